"""The fixtures `postgres`, one server per session, started when a test first asks, and `database`, fresh per test.

`breakable` is a database whose server the test may stop, kill and pause.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn

from tests.support.guard import kept
from tests.support.postgres_server import Server, Unavailable, open_own_server, open_server
from tests.support.waiting import wait_until

_used = pytest.StashKey[str]()
_numbers = itertools.count(1)


class Address:
    """One place to connect to, in the three forms that drivers and libraries want."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self.connect_args = dict(parameters)  # keyword arguments of psycopg2.connect

    @property
    def dsn(self) -> str:
        """libpq's keywords and values."""
        dsn: str = make_dsn(**self.connect_args)
        return dsn

    @property
    def url(self) -> str:
        """postgresql://user:password@host:port/database?..."""
        rest = dict(self.connect_args)
        user, password = quote(rest.pop("user", ""), safe=""), quote(rest.pop("password", ""), safe="")
        host, port, name = rest.pop("host", ""), rest.pop("port", ""), quote(rest.pop("dbname", ""), safe="")
        if host.startswith("/"):  # the folder of a socket
            rest["host"], host = host, ""
        credentials = f"{user}:{password}@" if password else f"{user}@" if user else ""
        query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
        return f"postgresql://{credentials}{host}{f':{port}' if port else ''}/{name}{query}"

    def connect(self) -> Connection:
        """A connection of the test's own, in autocommit. The test closes it."""
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        return connection

    def execute(self, statement: str | sql.Composable, parameters: object = None) -> list[tuple[Any, ...]]:
        """Run one statement on a connection that is opened and closed for it, and return its rows if it has any."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)  # type: ignore[arg-type]  # the stubs know no plain object
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


class Postgres(Address):
    """The session's server, as seen by its administrator."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.parameters)
        self._server = server
        self.version = self.execute("SHOW server_version")[0][0].split()[0]
        self.description = f"PostgreSQL {self.version}, from {server.description}"
        self.ours = server.ours

    def backends(self, application_name: str) -> list[int]:
        """The process numbers of the backends whose client calls itself so."""
        rows = self.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", (application_name,))
        return [pid for (pid,) in rows]

    def terminate_backends(self, application_name: str) -> int:
        """pg_terminate_backend for each of them; returns how many there were, when they are gone."""
        doomed = self.backends(application_name)
        self.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (doomed,))
        wait_until(lambda: not set(doomed) & set(self.backends(application_name)), "terminated backends are gone")
        return len(doomed)

    def stop(self) -> None:
        """Stop the server, ending its backends. Raises: RuntimeError if it is not ours (ASYNCDB_TEST_DSN)."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, at the same address; returns when it answers."""
        self._server.start()

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL to all its processes, as the kernel does when memory ends. Raises: as `stop`."""
        self._server.kill()

    def pause(self) -> None:
        """Stop all its processes where they stand: connections stay, and nothing answers. Raises: as `stop`."""
        self._server.pause()

    def resume(self) -> None:
        """Let them go on. Raises: as `stop`."""
        self._server.resume()

    def mend(self) -> None:
        """Let it go on, or start it, whichever it needs. Raises: as `stop`."""
        self._server.mend()


class Database(Address):
    """An empty schema, first on the search path of those who connect here; it goes with the test."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.schema = self.application_name = f"test_{os.getpid()}_{next(_numbers)}"
        options = f"{postgres.connect_args.get('options', '')} -c search_path={self.schema}".strip()
        super().__init__(
            {**postgres.connect_args, "options": options, "application_name": self.application_name},
        )

    def create(self) -> None:
        self.postgres.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.schema)))

    def drop(self) -> None:
        self.terminate_backends()  # one that a failed test left would hold its locks
        self.postgres.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self.schema)))

    def backends(self) -> list[int]:
        """The process numbers of the backends that serve connections made here."""
        return self.postgres.backends(self.application_name)

    def terminate_backends(self) -> int:
        """End them all, as an administrator would; returns how many there were, when they are gone."""
        return self.postgres.terminate_backends(self.application_name)


def _open_server() -> Server:
    try:
        return open_server()
    except Unavailable as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """A real PostgreSQL. There being none is a failure, never a skip."""
    began = time.monotonic()
    with kept():  # a test may ask for it in its middle
        server = _open_server()
        try:
            postgres = Postgres(server)
        except BaseException:
            server.close()
            raise
    pytestconfig.stash[_used] = f"{postgres.description}, started in {time.monotonic() - began:.1f} s"
    yield postgres
    server.close()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A fresh schema in the session's PostgreSQL."""
    database = Database(postgres)
    database.create()
    yield database
    database.drop()


@pytest.fixture(scope="session")
def breakable_server(postgres: Postgres) -> Iterator[Postgres]:
    """The session's PostgreSQL or, if that is somebody else's (ASYNCDB_TEST_DSN), one of our own beside it."""
    if postgres.ours:
        yield postgres
        return
    with kept():
        server = open_own_server()
        try:
            own = Postgres(server)
        except BaseException:
            server.close()
            raise
    yield own
    server.close()


@pytest.fixture
def breakable(breakable_server: Postgres) -> Iterator[Database]:
    """A fresh schema in a server that the test may stop, kill and pause through ``postgres``. It is mended afterwards.

    A kill loses what was committed in the last second, unless a CHECKPOINT came after it.
    """
    database = Database(breakable_server)
    database.create()
    database.execute("CHECKPOINT")
    yield database
    breakable_server.mend()
    database.drop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(config.stash.get(_used, "PostgreSQL: no test asked for it"))
