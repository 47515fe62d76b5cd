"""Cursors that go from one `runQuery` to the next, on a connection that is handed over: nothing is to be seen of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extras import RealDictCursor

from asyncdb import ConnectionPool
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing.postgres import Database
from netcore.defer import DeferredList
from tests.integration.asyncdb.running import Drive

made: list[Any] = []
"""The cursors that were made for queries."""


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    made.clear()


class OwnCursor(sqlite3.Cursor):
    pass


class OwnConnection(sqlite3.Connection):
    def cursor(self, *args: Any) -> Any:
        return super().cursor(OwnCursor)


class Traced(sqlite3.Connection):
    """Its cursors are sqlite3's own."""


def counting(pool: ConnectionPool) -> ConnectionPool:
    """*pool*, whose driver notes each cursor that it is asked about."""
    keeps = pool._driver.keeps

    def note(connection: Any, cursor: Any) -> bool:
        made.append(cursor)
        return keeps(connection, cursor)

    pool._driver.keeps = note  # type: ignore[method-assign]
    return pool


def sqlite_pool(path: Path, **options: Any) -> ConnectionPool:
    return counting(ConnectionPool("sqlite3", str(path / "db"), cp_max=1, **options))


def postgres_pool(database: Database, **options: Any) -> ConnectionPool:
    return counting(ConnectionPool("psycopg2", database.dsn, cp_max=1, **options))


async def one_ride(pool: ConnectionPool, *calls: Callable[[], Any]) -> tuple[list[Any], int]:
    """Make *calls*, all of which wait before the first is made. Returns their results, and how many cursors it took."""
    before = len(made)
    pool.suspend()
    waiting = [call() for call in calls]
    pool.resume()
    results = [result for _, result in await DeferredList(waiting, consumeErrors=True)]
    return results, len(made) - before


def test_queries_that_follow_each_other_share_one(drive: Drive, tmp_path: Path) -> None:
    async def main() -> None:
        async with sqlite_pool(tmp_path) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            insert = partial(pool.runQuery, "INSERT INTO t VALUES (1)")
            select = partial(pool.runQuery, "SELECT x FROM t")
            returning = partial(pool.runQuery, "INSERT INTO t VALUES (?) RETURNING x", (2,))
            assert await one_ride(pool, insert, select, returning) == ([[], [(1,)], [(2,)]], 1)
            assert await one_ride(pool, select) == ([[(1,), (2,)]], 1)  # the connection rested, and kept none

    drive(main)


def test_a_users_function_has_the_next_query_begin_anew(drive: Drive, tmp_path: Path) -> None:
    def change(connection: Connection) -> None:
        connection.row_factory = sqlite3.Row

    async def main() -> None:
        async with sqlite_pool(tmp_path) as pool:
            select = partial(pool.runQuery, "SELECT 1")
            await select()
            calls = (select, partial(pool.runWithConnection, change), select, select)
            assert await one_ride(pool, *calls) == ([[(1,)], None, [(1,)], [(1,)]], 2)

    drive(main)


@pytest.mark.parametrize("sql", ["SELECT nothing", "SELECT fails()", "BEGIN"])
def test_a_statement_that_fails_or_leaves_something_behind_is_not_felt_by_the_next(
    drive: Drive, tmp_path: Path, sql: str
) -> None:
    def add_function(connection: sqlite3.Connection) -> None:
        connection.create_function("fails", 0, lambda: 1 / 0)

    async def main() -> None:
        async with sqlite_pool(tmp_path, cp_openfun=add_function) as pool:
            select = partial(pool.runQuery, "SELECT 1")
            await select()
            results, cursors = await one_ride(pool, select, partial(pool.runQuery, sql), select, select)
            assert [results[0], *results[2:]] == [[(1,)]] * 3
            assert cursors == (1 if sql == "BEGIN" else 2)
            assert await pool.runWithConnection(lambda connection: connection.execute("SELECT 4").fetchall()) == [(4,)]

    drive(main)


def test_what_a_query_has_written_is_committed_before_the_next_runs(drive: Drive, tmp_path: Path) -> None:
    def look() -> int:
        with sqlite3.connect(tmp_path / "db", timeout=0) as other:
            other.execute("INSERT INTO t VALUES (2)")  # nobody has the lock
            (count,) = other.execute("SELECT count(*) FROM t").fetchone()
        other.close()
        return int(count)

    def add_function(connection: sqlite3.Connection) -> None:
        connection.create_function("look", 0, look)

    async def main() -> None:
        async with sqlite_pool(tmp_path, cp_openfun=add_function) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            insert = partial(pool.runQuery, "INSERT INTO t VALUES (1) RETURNING x")
            assert await one_ride(pool, insert, partial(pool.runQuery, "SELECT look()")) == ([[(1,)], [(2,)]], 1)

    drive(main)


@pytest.mark.parametrize("factory", [OwnConnection, Traced])
def test_for_classes_of_ones_own_cursors_are_made_for_each_query(
    drive: Drive, tmp_path: Path, factory: type[sqlite3.Connection]
) -> None:
    async def main() -> None:
        async with sqlite_pool(tmp_path, factory=factory) as pool:
            select = partial(pool.runQuery, "SELECT 1")
            await select()
            assert await one_ride(pool, select, select, select) == ([[(1,)]] * 3, 3)

    drive(main)


def test_on_postgresql_too(drive: Drive, database: Database) -> None:
    def interaction(transaction: Transaction) -> Any:
        transaction.execute("CREATE TABLE t (x int)")
        return transaction.connection.autocommit

    async def main() -> None:
        async with postgres_pool(database) as pool:
            select = partial(pool.runQuery, "SELECT %s::int", (1,))
            await select()
            named = partial(pool.runQuery, "SELECT %(x)s::text AS y", {"x": "a"})
            without_rows = partial(pool.runQuery, "SET LOCAL work_mem = '1MB'")
            assert await one_ride(pool, select, without_rows, named) == ([[(1,)], [], [("a",)]], 1)
            calls = (select, partial(pool.runInteraction, interaction), partial(pool.runQuery, "SELECT x FROM t"))
            assert await one_ride(pool, *calls) == ([[(1,)], False, []], 2)

    drive(main)


def test_the_rows_of_one_query_are_not_kept_while_something_else_runs(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with postgres_pool(database) as pool:
            select = partial(pool.runQuery, "SELECT 1")
            await select()
            calls = (select, partial(pool.runOperation, "SELECT 1"), select)
            assert await one_ride(pool, *calls) == ([[(1,)], None, [(1,)]], 2)

    drive(main)


def test_a_cursor_factory_is_heard(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with postgres_pool(database, cursor_factory=RealDictCursor) as pool:
            select = partial(pool.runQuery, "SELECT 1 AS x")
            await select()
            assert await one_ride(pool, select, select) == ([[{"x": 1}]] * 2, 2)

    drive(main)
