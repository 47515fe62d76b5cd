"""Cancelling what runs, on real databases: the statement ends, and its connection serves the next.

`tests.load.interrupts` says how soon.
"""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import pytest

from asyncdb import ConnectionPool, DeadlineExceeded
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing.postgres import Database
from netcore.defer import CancelledError
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive
from tests.support.waiting import wait_until

CANCELLED = (CancelledError, asyncio.CancelledError)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
BEGUN = "SELECT count(begun()) FROM n"


async def until_state(database: Database, pid: int, state: str) -> None:
    """Wait, off the reactor's thread, until the backend *pid* is in *state*."""

    def in_state() -> bool:
        query = "SELECT state FROM pg_stat_activity WHERE pid = %s"
        return database.postgres.execute(query, (pid,)) == [(state,)]

    await deferToThread(wait_until, in_state, f"backend {pid} is {state}")


async def pid_of(pool: ConnectionPool) -> int:
    ((pid,),) = await pool.runQuery("SELECT pg_backend_pid()")
    return int(pid)


def sleep_in_transaction(transaction: Transaction) -> None:
    transaction.execute("CREATE TABLE half_done (x int)")
    transaction.execute("SELECT pg_sleep(600)")


def sleep_on_connection(connection: Connection) -> None:
    sleep_in_transaction(connection.cursor())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["statement", "interaction", "with connection"])
@pytest.mark.parametrize("by", ["cancel", "timeout"])
def test_the_backend_of_a_call_that_nobody_waits_for_is_idle_and_serves_the_next(
    drive: Drive, database: Database, kind: str, by: str
) -> None:
    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            pid = await pid_of(pool)
            view = pool if by == "cancel" else pool.using(timeout=0.2)
            if kind == "statement":
                call = view.runQuery("SELECT pg_sleep(600)")
            elif kind == "interaction":
                call = view.runInteraction(sleep_in_transaction)
            else:
                call = view.runWithConnection(sleep_on_connection)
            if by == "cancel":
                await until_state(database, pid, "active")
                call.cancel()
            with pytest.raises(CANCELLED if by == "cancel" else DeadlineExceeded):
                await call
            await until_state(database, pid, "idle")
            assert await pid_of(pool) == pid
            assert await pool.runQuery("SELECT to_regclass('half_done')") == [(None,)]
            assert pool.stats().evictions == {}

    drive(main)


def test_a_copy_that_nobody_waits_for_is_ended(drive: Drive, database: Database) -> None:
    """The server has said no, but libpq asks for its answer only when all is sent."""

    class Rows(io.RawIOBase):
        """Some for the server to wait for more, and an end when the test says so."""

        def __init__(self) -> None:
            self.given = threading.Event()
            self.end = threading.Event()

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            if not self.given.is_set():
                self.given.set()
                return b"1\n" * 10
            self.end.wait(60)
            return b""

    rows = Rows()

    def copy(transaction: Transaction) -> None:
        transaction.copy_expert("COPY copied FROM STDIN", rows)

    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1, cp_check_timeout=30.0) as pool:
            await pool.runOperation("CREATE TABLE copied (x int)")
            pid = await pid_of(pool)
            call = pool.runInteraction(copy)
            await deferToThread(rows.given.wait, 60)
            call.cancel()
            with pytest.raises(CANCELLED):
                await call
            rows.end.set()
            assert await pool.runQuery("SELECT count(*) FROM copied") == [(0,)]
            assert await pid_of(pool) == pid

    drive(main)


def test_a_long_sqlite_statement_is_ended_and_its_connection_serves_the_next(drive: Drive, tmp_path: Any) -> None:
    begun = threading.Event()

    def openfun(connection: Any) -> None:
        connection.create_function("begun", 0, begun.set)

    async def main() -> None:
        database = str(tmp_path / "long.sqlite3")
        async with ConnectionPool("sqlite3", database, cp_max=1, cp_openfun=openfun, cp_check_timeout=30.0) as pool:
            call = pool.runQuery(ENDLESS.replace("SELECT count(*) FROM n", BEGUN))
            await deferToThread(begun.wait, 60)
            call.cancel()
            with pytest.raises(CANCELLED):
                await call
            assert await pool.runQuery("SELECT 1") == [(1,)]
            stats = pool.stats()
            assert (stats.connected, stats.abandoned, stats.evictions) == (1, 0, {})

    drive(main)
