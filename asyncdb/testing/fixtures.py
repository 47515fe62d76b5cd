"""pytest's fixtures for tests against a real PostgreSQL, for who asks for them in a conftest.py:

    pytest_plugins = ["asyncdb.testing.fixtures"]

- `postgres`: a server, found or started when a test first asks (`asyncdb.testing.postgres` says where), and gone at
  the end of the session. That there is none fails the tests that ask: none is skipped.
- `database`: an empty place in it, fresh for each test.
- `breakable`: the same in a server that the test may stop, kill, pause and make read-only. It is mended afterwards.
- `virtualTime`: time for pools that passes when the test says so, and needs no PostgreSQL.

pytest's last lines say which server it was. A project that has fixtures of these names keeps its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from asyncdb.testing import VirtualTime

if TYPE_CHECKING:  # psycopg2 is needed by the tests that ask only
    from asyncdb.testing.postgres import Database, Postgres

__all__ = ["asyncdb_breakable", "asyncdb_postgres", "breakable", "database", "postgres", "virtualTime"]

_used = pytest.StashKey[str]()


def _opened(openServer: Any) -> Any:
    from asyncdb.testing.postgres import Unavailable

    try:
        return openServer()
    except Unavailable as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def asyncdb_postgres(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """`postgres`, by a name that nobody else has."""
    from asyncdb.testing.postgres import openServer

    began = time.monotonic()
    with _opened(openServer) as postgres:
        pytestconfig.stash[_used] = f"{postgres.description}, started in {time.monotonic() - began:.1f} s"
        yield postgres


@pytest.fixture(scope="session")
def asyncdb_breakable(asyncdb_postgres: Postgres) -> Iterator[Postgres]:
    """The session's PostgreSQL or, if that is not ours to break (``ASYNCDB_TEST_DSN``), one beside it that is."""
    from asyncdb.testing.postgres import openOwnServer

    if asyncdb_postgres.ours:
        yield asyncdb_postgres
        return
    with _opened(openOwnServer) as own:
        yield own


@pytest.fixture(scope="session")
def postgres(asyncdb_postgres: Postgres) -> Postgres:
    """A real PostgreSQL, as its administrator sees it: an `asyncdb.testing.postgres.Postgres`."""
    return asyncdb_postgres


@pytest.fixture
def database(asyncdb_postgres: Postgres) -> Iterator[Database]:
    """An empty place in the session's PostgreSQL: an `asyncdb.testing.postgres.Database`."""
    from asyncdb.testing.postgres import Database

    with Database(asyncdb_postgres) as database:
        yield database


@pytest.fixture
def breakable(asyncdb_breakable: Postgres) -> Iterator[Database]:
    """The same in a server that the test may break through ``breakable.postgres``, and that is mended afterwards.

    A kill loses what was committed in the last second, unless a CHECKPOINT came after it.
    """
    from asyncdb.testing.postgres import Database

    database = Database(asyncdb_breakable)
    database.create()
    database.execute("CHECKPOINT")
    yield database
    asyncdb_breakable.mend()
    database.drop()


@pytest.fixture
def virtualTime() -> Iterator[VirtualTime]:
    """Time that passes when the test says so: an `asyncdb.testing.VirtualTime`."""
    with VirtualTime() as time:
        yield time


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which server it was."""
    if told := config.stash.get(_used, ""):
        terminalreporter.write_line(told)
