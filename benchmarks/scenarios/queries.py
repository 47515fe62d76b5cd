"""One-row selects by key, from PostgreSQL and from SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.people import fill_sqlite
from benchmarks.scenarios.base import Bench, Entry, Scenario, Unavailable

CONNECTIONS = 8
CLIENTS = 64


class QueryPostgres(Scenario):
    """Rows from PostgreSQL."""

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """A PostgreSQL with the table."""
        from benchmarks import database  # here, so that the other scenarios need no driver

        with ExitStack() as stack:
            try:
                server = database.openServer()
                stack.callback(server.close)
                parameters = stack.enter_context(database.table(server.connectArgs))
            except database.Unavailable as error:
                raise Unavailable(str(error)) from error
            yield Bench(server.description, {"connect": parameters, "connections": CONNECTIONS, "clients": CLIENTS})


class QuerySqlite(Scenario):
    """Rows from SQLite."""

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """A file with the table."""
        with tempfile.TemporaryDirectory(prefix="netcore-bench-") as folder:
            path = Path(folder, "people.sqlite3")
            fill_sqlite(path)
            yield Bench(
                f"SQLite {sqlite3.sqlite_version}, a file in WAL mode",
                {"connect": {"database": str(path)}, "connections": CONNECTIONS, "clients": CLIENTS},
            )


QUERY_POSTGRES = QueryPostgres(
    "query-postgres",
    f"One-row selects by key from PostgreSQL; {CONNECTIONS} connections, {CLIENTS} clients",
    Figure.RATE,
    (
        Entry("asyncdb", "asyncdb_pool:OnReactor", {"driver": "psycopg2"}),
        Entry("asyncdb-uvloop", "asyncdb_pool:OnReactor", {"driver": "psycopg2", "loop": "uvloop"}),
        Entry("asyncdb-in-asyncio", "asyncdb_pool:InAsyncio", {"driver": "psycopg2"}),
        Entry("adbapi", "twisted_adbapi:Adbapi", {"driver": "psycopg2"}),
        Entry("adbapi-autocommit", "twisted_adbapi:Adbapi", {"driver": "psycopg2", "autocommit": True}),
        Entry("psycopg2-threads", "driver_threads:Threads", {"driver": "psycopg2"}),
        Entry("psycopg_pool", "psycopg_pools:InAsyncio"),
        Entry("psycopg_pool-autocommit", "psycopg_pools:InAsyncio", {"autocommit": True}),
        Entry("psycopg_pool-threads", "psycopg_pools:InThreads"),
        Entry("asyncpg", "asyncpg_pool:Pool"),
        Entry("asyncpg-uvloop", "asyncpg_pool:Pool", {"loop": "uvloop"}),
    ),
)

QUERY_SQLITE = QuerySqlite(
    "query-sqlite",
    f"One-row selects by key from an SQLite file; {CONNECTIONS} connections, {CLIENTS} clients",
    Figure.RATE,
    (
        Entry("asyncdb", "asyncdb_pool:OnReactor", {"driver": "sqlite3"}),
        Entry("asyncdb-in-asyncio", "asyncdb_pool:InAsyncio", {"driver": "sqlite3"}),
        Entry("adbapi", "twisted_adbapi:Adbapi", {"driver": "sqlite3"}),
        Entry("sqlite3-threads", "driver_threads:Threads", {"driver": "sqlite3"}),
        Entry("aiosqlite", "aiosqlite_connections:Connections", {"connections": 1}),
        Entry("aiosqlite-8", "aiosqlite_connections:Connections"),
    ),
)
