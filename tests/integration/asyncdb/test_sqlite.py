"""The pool on SQLite: its rules, on real files and in memory."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from asyncdb import ConnectionPool, Engine, PoolClosed
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing import ScriptedDriver
from netcore.defer import gatherResults, setUnhandledFailureHook
from netcore.reactors import Reactor
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive, reached
from tests.support.guard import Logged


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "people.db")


def test_statements_commit_by_themselves(drive: Drive, path: str) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            await pool.runOperation("INSERT INTO t VALUES (?)", (1,))
            assert await pool.runQuery("INSERT INTO t VALUES (2)") == []
            assert await pool.runQuery("SELECT x FROM t ORDER BY x") == [(1,), (2,)]

    drive(main)
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM t").fetchone() == (2,)
    other.close()


def test_behind_a_call_that_takes_long_nobody_waits_for_it_though_others_are_quick(drive: Drive, path: str) -> None:
    """Also while the reactor comes for results by itself, and no timer is set for those who wait."""
    going_on = threading.Event()

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=2) as pool:
            first, second = await gatherResults([pool.connect(), pool.connect()])
            await gatherResults([pool.disconnect(first), pool.disconnect(second)])
            crew: Any = pool._crew
            pool.suspend()
            quick = [pool.runQuery("SELECT 1") for _ in range(4)]
            pool.resume()
            await gatherResults(quick)
            crew._crowd.tight = True
            slow = pool.runWithConnection(lambda connection: going_on.wait(60))
            try:
                waiting = [pool.runQuery("SELECT ?", (number,)) for number in range(2)]
                assert await gatherResults(waiting) == [[(0,)], [(1,)]]
                assert not slow.called
            finally:
                going_on.set()
            assert await slow

    drive(main)


@pytest.mark.parametrize("method", ["runQuery", "runOperation"])
@pytest.mark.parametrize("autocommit", [True, False])
def test_insert_returning_is_committed_and_keeps_no_lock(
    drive: Drive, path: str, method: str, autocommit: bool
) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_autocommit=autocommit) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            result = await getattr(pool, method)("INSERT INTO t VALUES (1), (2) RETURNING x")
            assert result == ([(1,), (2,)] if method == "runQuery" else None)
            other = sqlite3.connect(path, timeout=0)
            assert other.execute("SELECT x FROM t").fetchall() == [(1,), (2,)]
            other.execute("INSERT INTO t VALUES (3)")  # the write lock is free
            other.commit()
            other.close()

    drive(main)


@pytest.mark.parametrize("database", [":memory:", ""])
def test_a_memory_database_is_shared_by_all_connections(drive: Drive, database: str) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", database, cp_max=4) as pool, ConnectionPool("sqlite3", database) as other:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")

            def insert(transaction: Transaction, number: int) -> None:
                transaction.execute("INSERT INTO t VALUES (?)", (number,))

            await gatherResults([pool.runInteraction(insert, number) for number in range(20)])
            assert await pool.runQuery("SELECT count(*) FROM t") == [(20,)]
            lent = [await pool.connect() for _ in range(4)]
            assert [connection.execute("SELECT count(*) FROM t").fetchone() for connection in lent] == [(20,)] * 4
            for connection in lent:
                await pool.disconnect(connection)
            assert await other.runQuery("SELECT * FROM sqlite_master") == []  # and by no one else

    drive(main)


def test_an_interaction_is_one_transaction(drive: Drive, path: str) -> None:
    def fails(transaction: Transaction) -> None:
        transaction.execute("INSERT INTO t VALUES (1)")
        raise LookupError

    def works(transaction: Transaction) -> list[Any]:
        transaction.execute("INSERT INTO t VALUES (2)")
        transaction.execute("SELECT x FROM t")
        return list(transaction)

    async def main() -> None:
        async with ConnectionPool("sqlite3", path) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            with pytest.raises(LookupError):
                await pool.runInteraction(fails)
            assert await pool.runInteraction(works) == [(2,)]

    drive(main)


def test_a_commit_in_the_middle_holds_and_what_follows_is_a_transaction_again(drive: Drive, path: str) -> None:
    def function(connection: Connection) -> None:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        cursor.execute("INSERT INTO t VALUES (2)")
        connection.rollback()
        cursor.execute("INSERT INTO t VALUES (3)")
        raise LookupError

    async def main() -> None:
        async with ConnectionPool("sqlite3", path) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            with pytest.raises(LookupError):
                await pool.runWithConnection(function)
            assert await pool.runQuery("SELECT x FROM t") == [(1,)]

    drive(main)


def test_a_transaction_left_open_by_a_statement_is_rolled_back(drive: Drive, path: str) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            await pool.runOperation("BEGIN IMMEDIATE")
            other = sqlite3.connect(path, timeout=0)
            other.execute("INSERT INTO t VALUES (1)")
            other.commit()
            other.close()
            assert await pool.runQuery("SELECT x FROM t") == [(1,)]

    drive(main)


def test_a_lent_connection_begins_by_itself_and_is_rolled_back(drive: Drive, path: str) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            connection = await pool.connect()
            connection.execute("INSERT INTO t VALUES (1)")
            connection.commit()
            connection.execute("INSERT INTO t VALUES (2)")
            assert connection.in_transaction
            await pool.disconnect(connection)
            await pool.runOperation("INSERT INTO t VALUES (3)")
            assert await pool.runQuery("SELECT x FROM t ORDER BY x") == [(1,), (3,)]

    drive(main)


def test_close_interrupts_a_statement_that_runs_on(drive: Drive, path: str) -> None:
    started = ScriptedDriver().when("execute", None)  # a step as a meeting place

    def endless(transaction: Transaction) -> None:
        transaction._connection.create_function("started", 0, started.reached.set)
        transaction.execute(
            "WITH RECURSIVE n(x) AS (SELECT started() UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
        )

    async def main() -> None:
        pool = ConnectionPool("sqlite3", path)
        call = pool.runInteraction(endless)
        await reached(started)
        closed = pool.close(deadline=0.01)
        with pytest.raises(PoolClosed):
            await call
        await closed

    drive(main)


def test_errors_of_sqlite_reach_the_caller(drive: Drive, path: str) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path) as pool:
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                await pool.runQuery("SELECT * FROM nowhere")
            await pool.runOperation("CREATE TABLE t (x UNIQUE)")
            await pool.runOperation("INSERT INTO t VALUES (1)")
            with pytest.raises(sqlite3.IntegrityError):
                await pool.runOperation("INSERT INTO t VALUES (1)")
            with pytest.raises(sqlite3.ProgrammingError):
                await pool.runQuery("SELECT ?, ?", (1,))

    drive(main)


def test_a_database_that_cannot_be_opened_is_the_cause_of_the_deadline(drive: Drive, tmp_path: Path) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", str(tmp_path / "nowhere" / "x.db"), cp_timeout=0.05) as pool:
            with pytest.raises(TimeoutError, match="unable to open database file"):
                await pool.runQuery("SELECT 1")

    drive(main)


def test_writers_wait_for_each_other(drive: Drive, path: str) -> None:
    def add(transaction: Transaction) -> None:
        transaction.execute("SELECT x FROM t")
        ((before,),) = transaction.fetchall()
        transaction.execute("UPDATE t SET x = ?", (before + 1,))

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, timeout=30, cp_max=4) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            await pool.runOperation("INSERT INTO t VALUES (0)")
            await gatherResults([pool.runInteraction(add) for _ in range(50)])
            assert await pool.runQuery("SELECT x FROM t") == [(50,)]

    drive(main)


def test_a_slow_function_keeps_no_quick_statement_waiting(drive: Drive, path: str) -> None:
    gate = threading.Event()

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=2) as pool:
            for _ in range(100):  # now the pool counts on calls being quick
                await pool.runQuery("SELECT 1")
            slow = pool.runInteraction(lambda transaction: gate.wait(30))
            try:
                assert await gatherResults([pool.runQuery("SELECT ?", (n,)) for n in range(8)]) == [
                    [(n,)] for n in range(8)
                ]
            finally:
                gate.set()
            assert await slow

    drive(main)


@pytest.mark.parametrize("ended", ["commit", "rollback", "DEFERRED", "mode=ro", "session.commit", "session.rollback"])
def test_who_has_no_lock_has_no_turn_to_write_either(drive: Drive, path: str, ended: str) -> None:
    """If it had, the other call would wait for an hour."""
    gate, there = threading.Event(), threading.Event()
    if ended == "mode=ro":
        database, options = f"file:{path}?mode=ro", {"uri": True}
    else:
        database, options = path, {"isolation_level": "DEFERRED"} if ended == "DEFERRED" else {}
    sqlite3.connect(path).close()

    def work(connection: Any) -> None:
        if ended.startswith("session."):
            connection.exec_driver_sql("SELECT 1")
        if ended.endswith(("commit", "rollback")):
            getattr(connection, ended.removeprefix("session."))()
        there.set()
        gate.wait(60)

    def write(transaction: Any) -> str:
        if ended != "mode=ro":
            transaction.execute("CREATE TABLE t (x INTEGER)")
        return "written"

    async def main() -> None:
        async with ConnectionPool("sqlite3", database, timeout=3600, cp_max=2, **options) as pool:
            slow = (Engine(pool).run if ended.startswith("session.") else pool.runWithConnection)(work)
            try:
                await deferToThread(there.wait, 60)
                assert await pool.runInteraction(write) == "written"
            finally:
                gate.set()
            await slow

    drive(main)


def test_an_engines_writers_take_their_turns_too(drive: Drive, path: str) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=2) as pool:
            turns = pool._driver.turns
            assert turns is not None
            held = await Engine(pool).run(
                lambda connection: [connection.exec_driver_sql("SELECT 1").scalar(), turns._holder]
            )
            assert held[1] is not None
            assert turns._holder is None

    drive(main)


def test_a_url(drive: Drive, path: str) -> None:
    async def main() -> None:
        async with ConnectionPool.fromURL(f"sqlite:///{path}", cp_max=2) as pool:
            await pool.runOperation("CREATE TABLE t (x)")
        async with ConnectionPool.fromURL("sqlite://") as memory:
            assert await memory.runQuery("SELECT 1") == [(1,)]

    drive(main)
    assert Path(path).exists()


def test_the_pool_uses_the_reactor_of_its_options(path: str) -> None:
    reactor = Reactor()
    pool = ConnectionPool("sqlite3", path, cp_reactor=reactor)
    heard: list[Any] = []
    reactor.callWhenRunning(
        lambda: pool.runQuery("SELECT 1").addBoth(lambda result: (heard.append(result), reactor.stop()))
    )
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    assert heard == [[(1,)]]


def test_what_a_callback_raises_is_reported_when_nobody_handles_it_and_not_at_the_next_collection(
    drive: Drive, path: str, logged: Logged
) -> None:
    def unpack(rows: Any) -> Any:
        raise LookupError(rows)

    async def main() -> None:
        async with ConnectionPool("sqlite3", path) as pool:
            pool.runQuery("SELECT 1").addCallback(unpack)
            async with asyncio.timeout(10):
                await heard.wait()

    heard = asyncio.Event()
    gc.collect()
    gc.disable()
    previous = setUnhandledFailureHook(lambda _: heard.set())
    try:
        drive(main)
    finally:
        setUnhandledFailureHook(previous)
        gc.enable()
    assert len(logged.take(LookupError)) == 1


def test_writers_of_one_pool_take_turns(drive: Drive, tmp_path: Path) -> None:
    """Those that wait do not try in vain meanwhile, and one that reads does not wait with them."""
    go_on = threading.Event()

    def prepare(connection: sqlite3.Connection) -> None:
        connection.create_function("slowly", 0, lambda: go_on.wait(60) and 1)

    async def main() -> None:
        path = str(tmp_path / "turns.db")
        async with ConnectionPool("sqlite3", path, cp_max=4, cp_min=0, cp_openfun=prepare) as pool:
            turns = pool._driver.turns
            assert turns is not None
            await pool.runOperation("CREATE TABLE counts (n INTEGER)")
            await pool.runOperation("INSERT INTO counts VALUES (0)")
            writers: list[Any] = [
                pool.runQuery("UPDATE counts SET n = n + slowly() RETURNING n"),
                pool.runOperation("  update counts set n = n + slowly()"),
                pool.runInteraction(
                    lambda transaction: transaction.execute("UPDATE counts SET n = n + slowly()") and None
                ),
            ]
            while len(turns._waiting) < len(writers) - 1:
                await pool.runQuery("SELECT 1")
            go_on.set()
            for writer in writers:
                await writer
            assert await pool.runQuery("SELECT n FROM counts") == [(3,)]

    drive(main)
