"""Calls with options of their own, and that what they set ends with them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy.exc

from asyncdb import ConnectionPool, DeadlineExceeded, Engine
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing import HANG, ScriptedDriver
from asyncdb.testing.postgres import Database
from tests.integration.asyncdb.running import Drive

SHOWN = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
USUAL = [("read committed", "off")]
OTHER = [("repeatable read", "on")]


def shown(cursor: Any) -> Any:
    cursor.execute(SHOWN)
    return cursor.fetchall()


def of_connection(connection: Connection) -> Any:
    before = shown(connection.cursor())
    connection.commit()
    assert shown(connection.cursor()) == before  # in the next transaction, too
    return before


def fails(cursor: Any) -> None:
    cursor.execute("SELECT 1/0")


def test_characteristics_hold_for_every_kind_of_call_and_end_with_it(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            view = pool.using(isolation="REPEATABLE READ", readonly=True)
            engine = Engine(view)
            for call in (
                lambda: view.runQuery(SHOWN),
                lambda: view.runInteraction(shown),
                lambda: view.runWithConnection(of_connection),
                lambda: engine.run(lambda c: [tuple(row) for row in c.exec_driver_sql(SHOWN)]),
            ):
                assert await call() == OTHER
                assert await pool.runQuery(SHOWN) == USUAL
                assert await pool.runInteraction(shown) == USUAL
            assert await view.runOperation("SELECT 1") is None
            with pytest.raises(psycopg2.errors.DivisionByZero):
                await view.runInteraction(fails)
            assert await pool.runInteraction(shown) == USUAL
            lent = await view.connect()
            assert shown(lent.cursor()) == OTHER
            await view.disconnect(lent)
            assert await pool.runInteraction(shown) == USUAL
            assert pool.stats().connected == 1

    drive(main)


def test_a_write_that_the_view_forbids_costs_no_connection(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            reader = pool.using(readonly=True)
            for call in (reader.runQuery, reader.runOperation, lambda sql: reader.runInteraction(_executes, sql)):
                with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                    await call("INSERT INTO t VALUES (1)")
            with pytest.raises(sqlalchemy.exc.InternalError):
                await Engine(reader).run(lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1)") and None)
            await pool.runOperation("INSERT INTO t VALUES (1)")
            assert pool.stats().connected == 1

    drive(main)


def _executes(transaction: Transaction, sql: str) -> None:
    transaction.execute(sql)


def test_a_view_may_write_where_the_session_says_otherwise(drive: Drive, database: Database) -> None:
    def reading_only(connection: Any) -> None:
        connection.set_session(readonly=True)

    async def main() -> None:
        database.execute("CREATE TABLE t (x int)")
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1, cp_openfun=reading_only) as pool:
            await pool.using(readonly=False).runOperation("INSERT INTO t VALUES (1)")
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                await pool.runOperation("INSERT INTO t VALUES (2)")
            assert await pool.runQuery("SELECT x FROM t") == [(1,)]

    drive(main)


def test_autocommit_and_characteristics_exclude_each_other(drive: Drive, database: Database) -> None:
    def function(connection: Any) -> None:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("SELECT 1")

    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=1) as engine:
            await engine.run(function)
            with pytest.raises(ValueError, match="AUTOCOMMIT cannot have them"):
                await engine.using(readonly=True).run(function)
            assert await engine.run(lambda c: c.exec_driver_sql("SELECT 1").scalar()) == 1

    drive(main)


def test_reading_only_on_sqlite_waits_for_no_writer_and_ends_with_the_call(drive: Drive, tmp_path: Path) -> None:
    path = str(tmp_path / "p.db")

    def reads(transaction: Any) -> Any:
        return transaction.execute("SELECT count(*) FROM t").fetchall()

    def writes(transaction: Any) -> None:
        transaction.execute("INSERT INTO t VALUES (1)")

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x)")
            writer = sqlite3.connect(path, isolation_level=None)
            writer.execute("BEGIN IMMEDIATE")
            reader = pool.using(readonly=True, isolation="serializable")
            assert await reader.runQuery("SELECT count(*) FROM t") == [(0,)]
            assert await reader.runInteraction(reads) == [(0,)]
            assert await reader.runWithConnection(reads) == [(0,)]
            assert await Engine(reader).run(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar()) == 0
            writer.close()
            lent = await reader.connect()
            for call in (
                lambda: reader.runOperation("INSERT INTO t VALUES (1)"),
                lambda: reader.runInteraction(writes),
                lambda: reader.runWithConnection(writes),
            ):
                with pytest.raises(sqlite3.OperationalError, match="readonly"):
                    lent.execute("INSERT INTO t VALUES (1)")
                await reader.disconnect(lent)
                with pytest.raises(sqlite3.OperationalError, match="readonly"):
                    await call()
                await pool.runInteraction(writes)
                await pool.runOperation("INSERT INTO t VALUES (1)")
                assert await pool.runQuery("PRAGMA busy_timeout") == [(50,)]
                lent = await reader.connect()
            await reader.disconnect(lent)
            assert await pool.runQuery("SELECT count(*) FROM t") == [(6,)]
            assert pool.stats().connected == 1

    drive(main)


def test_a_time_limit_of_the_calls_own(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True, interruptible=True)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            view = pool.using(timeout=0.05)
            assert await view.runQuery("quick") == [(1,)]
            driver.when("execute", HANG, times=1)
            with pytest.raises(DeadlineExceeded, match="timeout"):
                await view.runQuery("hangs")
            assert await pool.runQuery("quick") == [(1,)]
            assert pool.stats().connected == 1

    drive(main)
