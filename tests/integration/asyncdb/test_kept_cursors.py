"""Cursors that go from one `runQuery` to the next, on a connection that is handed over: nothing is to be seen of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
from psycopg2.extras import RealDictCursor

from asyncdb import ConnectionPool
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing.postgres import Database
from netcore.defer import DeferredList, gatherResults
from tests.integration.asyncdb.running import Drive

made: list[Any] = []
"""By the connections below, in a pool with one of them."""


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    made.clear()


class Counting(sqlite3.Connection):
    def cursor(self, *args: Any) -> Any:
        made.append(super().cursor(*args))
        return made[-1]


class OwnCursor(sqlite3.Cursor):
    pass


class MakingOwn(Counting):
    def cursor(self, *args: Any) -> Any:
        return super().cursor(OwnCursor)


class CountingPostgres(psycopg2.extensions.connection):
    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        made.append(super().cursor(*args, **kwargs))
        return made[-1]


def sqlite_pool(path: Path, factory: type[sqlite3.Connection] = Counting, **options: Any) -> ConnectionPool:
    return ConnectionPool("sqlite3", str(path / "db"), factory=factory, cp_max=1, **options)


async def cursors_for(work: Callable[[], Any]) -> int:
    before = len(made)
    await work()
    return len(made) - before


def test_queries_that_follow_each_other_share_one(drive: Drive, tmp_path: Path) -> None:
    async def main() -> None:
        async with sqlite_pool(tmp_path) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")

            async def queries() -> None:
                sql = ["INSERT INTO t VALUES (1)", "SELECT x FROM t", "INSERT INTO t VALUES (?) RETURNING x"]
                calls = [pool.runQuery(sql[0]), pool.runQuery(sql[1]), pool.runQuery(sql[2], (2,))]
                assert await gatherResults(calls) == [[], [(1,)], [(2,)]]

            assert await cursors_for(queries) == 1
            assert await cursors_for(lambda: pool.runQuery("SELECT 1")) == 1  # the connection rested, and kept none

    drive(main)


def test_a_users_function_has_the_next_query_begin_anew(drive: Drive, tmp_path: Path) -> None:
    def change(connection: Connection) -> None:
        connection.row_factory = sqlite3.Row

    async def main() -> None:
        async with sqlite_pool(tmp_path) as pool:
            await pool.runQuery("SELECT 1")

            async def queries() -> None:
                calls = [pool.runQuery("SELECT 1"), pool.runWithConnection(change), pool.runQuery("SELECT 2")]
                assert await gatherResults(calls) == [[(1,)], None, [(2,)]]

            assert await cursors_for(queries) == 2

    drive(main)


@pytest.mark.parametrize("sql", ["SELECT nothing", "SELECT fails()", "BEGIN"])
def test_a_statement_that_fails_or_leaves_something_behind_is_not_felt_by_the_next(
    drive: Drive, tmp_path: Path, sql: str
) -> None:
    def add_function(connection: sqlite3.Connection) -> None:
        connection.create_function("fails", 0, lambda: 1 / 0)

    async def main() -> None:
        async with sqlite_pool(tmp_path, cp_openfun=add_function) as pool:
            calls = [
                pool.runQuery("SELECT 1"),
                pool.runQuery(sql),
                pool.runQuery("SELECT 2"),
                pool.runQuery("SELECT 3"),
            ]
            results = await DeferredList(calls, consumeErrors=True)
            assert [result for well, result in results if well and result] == [[(1,)], [(2,)], [(3,)]]
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
            calls = [pool.runQuery("INSERT INTO t VALUES (1) RETURNING x"), pool.runQuery("SELECT look()")]
            assert await gatherResults(calls) == [[(1,)], [(2,)]]

    drive(main)


def test_cursors_of_a_class_of_ones_own_are_made_for_each_query(drive: Drive, tmp_path: Path) -> None:
    async def main() -> None:
        async with sqlite_pool(tmp_path, MakingOwn) as pool:
            await pool.runQuery("SELECT 1")
            calls = [pool.runQuery("SELECT ?", (number,)) for number in range(3)]
            assert await cursors_for(lambda: gatherResults(calls)) == 3

    drive(main)
    assert {type(cursor) for cursor in made[-3:]} == {OwnCursor}


def test_on_postgresql_too(drive: Drive, database: Database) -> None:
    def interaction(transaction: Transaction) -> Any:
        transaction.execute("SELECT txid_current_if_assigned() IS NULL, pg_current_xact_id_if_assigned() IS NULL")
        transaction.execute("CREATE TABLE t (x int)")
        return transaction.connection.autocommit

    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, connection_factory=CountingPostgres, cp_max=1) as pool:
            await pool.runQuery("SELECT 1")

            async def queries() -> None:
                calls = [pool.runQuery("SELECT %s::int", (1,)), pool.runQuery("SET LOCAL work_mem = '1MB'")]
                calls.append(pool.runQuery("SELECT %(x)s::text AS y", {"x": "a"}))
                assert await gatherResults(calls) == [[(1,)], [], [("a",)]]

            assert await cursors_for(queries) == 1
            calls = [pool.runQuery("SELECT 1"), pool.runInteraction(interaction), pool.runQuery("SELECT x FROM t")]
            assert await gatherResults(calls) == [[(1,)], False, []]

    drive(main)


def test_a_cursor_factory_is_heard(drive: Drive, database: Database) -> None:
    async def main() -> None:
        factories = {"connection_factory": CountingPostgres, "cursor_factory": RealDictCursor}
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1, **factories) as pool:
            await pool.runQuery("SELECT 1 AS x")
            calls = [pool.runQuery("SELECT 1 AS x"), pool.runQuery("SELECT 2 AS y")]
            assert await cursors_for(lambda: gatherResults(calls)) == 2
            assert await gatherResults([pool.runQuery("SELECT 3 AS z")]) == [[{"z": 3}]]

    drive(main)
