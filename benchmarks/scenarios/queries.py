"""Questions to PostgreSQL and SQLite: one row selected, or updated, by its key."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Round
from benchmarks.people import fill_sqlite, visits
from benchmarks.process import WorkerFailed, WorkerProcess
from benchmarks.scenarios.base import Bench, Entry, Scenario, Unavailable

CONNECTIONS = 8
CLIENTS = 64
# In one thread for each client: more of them than this measure the machine's threads.
MOST_THREADS = 64
# An SQLite file has one writer at a time. The others wait, by drawing lots, and nobody's five seconds shall be over.
BUSY_TIMEOUT = 60.0


@dataclass(frozen=True)
class Query(Scenario):
    """Some clients ask through some connections."""

    connections: int
    clients: int

    @property
    def least(self) -> int:
        """So many that what begins and ends a round, when not all clients ask, is a small part of it."""
        return 3 * self.clients

    def arguments(self, connect: dict[str, str]) -> dict[str, object]:
        """Those of all systems."""
        return {"connect": connect, "connections": self.connections, "clients": self.clients}


class QueryPostgres(Query):
    """Rows from PostgreSQL."""

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """A PostgreSQL with the table."""
        from benchmarks import database  # here, so that the other scenarios need no driver

        with ExitStack() as stack:
            try:
                server = stack.enter_context(database.server(len(self.entries) * self.connections))
                parameters = stack.enter_context(database.table(server))
            except database.Unavailable as error:
                raise Unavailable(str(error)) from error
            yield Bench(server.description, self.arguments(parameters))


class QuerySqlite(Query):
    """Rows from SQLite."""

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """A file with the table."""
        with tempfile.TemporaryDirectory(prefix="netcore-bench-") as folder:
            path = Path(folder, "people.sqlite3")
            fill_sqlite(path)
            yield self.bench(path)

    def bench(self, path: Path) -> Bench:
        """On the file at *path*."""
        return Bench(_sqlite(), self.arguments({"database": str(path)}))


class UpdateSqlite(QuerySqlite):
    """Rows in SQLite that change."""

    def bench(self, path: Path) -> Bench:
        """On the file at *path*."""
        arguments = self.arguments({"database": str(path)})
        return UpdateBench(path, {**arguments, "connect": {"database": str(path), "timeout": BUSY_TIMEOUT}})


class UpdateBench(Bench):
    """Looks, after each round, whether the file has all of its updates."""

    def __init__(self, path: Path, arguments: dict[str, object]) -> None:
        super().__init__(_sqlite(), {**arguments, "update": True})
        self._path = path

    def round(self, worker: WorkerProcess, operations: int) -> Round:
        """One round. Raises: WorkerFailed, too, if an update was lost, or made twice."""
        before = visits(self._path)
        measured = super().round(worker, operations)
        if (found := visits(self._path) - before) != operations:
            raise WorkerFailed(f"{worker.name}: of {operations} updates, {found} are in the file")
        return measured


def _sqlite() -> str:
    return f"SQLite {sqlite3.sqlite_version}, a file in WAL mode, synchronous=NORMAL"


# ---------------------------------------------------------------------------------------------------------- the systems


def _asyncdb(driver: str) -> tuple[Entry, Entry]:
    return (
        Entry("asyncdb", "asyncdb_pool:OnReactor", {"driver": driver}),
        Entry("asyncdb-in-asyncio", "asyncdb_pool:InAsyncio", {"driver": driver}),
    )


ADBAPI = Entry("adbapi", "twisted_adbapi:Adbapi", {"driver": "psycopg2"})
THREADS = Entry("psycopg2-threads", "driver_threads:Threads", {"driver": "psycopg2"})
PSYCOPG_POOL = Entry("psycopg_pool", "psycopg_pools:InAsyncio")
PSYCOPG_POOL_THREADS = Entry("psycopg_pool-threads", "psycopg_pools:InThreads")
ASYNCPG = Entry("asyncpg", "asyncpg_pool:Pool")
SQLALCHEMY = Entry("sqlalchemy-asyncio", "sqlalchemy_engine:Engine")

QUERY_POSTGRES = QueryPostgres(
    "query-postgres",
    f"One-row selects by key from PostgreSQL; {CONNECTIONS} connections, {CLIENTS} clients",
    Figure.RATE,
    (
        *_asyncdb("psycopg2"),
        Entry("asyncdb-uvloop", "asyncdb_pool:OnReactor", {"driver": "psycopg2", "loop": "uvloop"}),
        ADBAPI,
        Entry("adbapi-autocommit", "twisted_adbapi:Adbapi", {"driver": "psycopg2", "autocommit": True}),
        THREADS,
        PSYCOPG_POOL,
        Entry("psycopg_pool-autocommit", "psycopg_pools:InAsyncio", {"autocommit": True}),
        PSYCOPG_POOL_THREADS,
        ASYNCPG,
        Entry("asyncpg-uvloop", "asyncpg_pool:Pool", {"loop": "uvloop"}),
        SQLALCHEMY,
        Entry("sqlalchemy-asyncio-autocommit", "sqlalchemy_engine:Engine", {"autocommit": True}),
    ),
    CONNECTIONS,
    CLIENTS,
    rounds=15,  # by how the kernel places threads and server processes, rounds differ by a fifth
)


def _cell(connections: int, clients: int) -> QueryPostgres:
    """One cell of the matrix. That of 8 connections and 64 clients is `query-postgres`, which has more systems."""
    if (connections, clients) == (CONNECTIONS, CLIENTS):
        return QUERY_POSTGRES
    entries = [_asyncdb("psycopg2")[0], ADBAPI, THREADS, PSYCOPG_POOL, PSYCOPG_POOL_THREADS, ASYNCPG, SQLALCHEMY]
    if clients > MOST_THREADS:
        entries.remove(PSYCOPG_POOL_THREADS)
    return QueryPostgres(
        f"query-postgres-{connections}x{clients}",
        f"One-row selects by key from PostgreSQL; {_count(connections, 'connection')}, {_count(clients, 'client')}",
        Figure.RATE,
        tuple(entries),
        connections,
        clients,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


MATRIX = tuple(_cell(connections, clients) for connections in (1, 8, 32) for clients in (1, 64, 1000))


SQLITE_SYSTEMS = (
    *_asyncdb("sqlite3"),
    Entry("adbapi", "twisted_adbapi:Adbapi", {"driver": "sqlite3"}),
    Entry("sqlite3-threads", "driver_threads:Threads", {"driver": "sqlite3"}),
    Entry("aiosqlite", "aiosqlite_connections:Connections", {"connections": 1}),
    Entry("aiosqlite-8", "aiosqlite_connections:Connections"),
)
QUERY_SQLITE = QuerySqlite(
    "query-sqlite",
    f"One-row selects by key from an SQLite file; {CONNECTIONS} connections, {CLIENTS} clients",
    Figure.RATE,
    SQLITE_SYSTEMS,
    CONNECTIONS,
    CLIENTS,
)
UPDATE_SQLITE = UpdateSqlite(
    "update-sqlite",
    "One-row updates by key in an SQLite file, each committed before it is answered; "
    f"{CONNECTIONS} connections, {CLIENTS} clients",
    Figure.RATE,
    SQLITE_SYSTEMS,
    CONNECTIONS,
    CLIENTS,
)
