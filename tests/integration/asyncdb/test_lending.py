"""Connections that `connect` lends: who may close them, and how those come back that nobody gives back."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from asyncdb import ConnectionPool, NotCheckedOut, PoolClosed
from asyncdb._core import EntryState
from asyncdb.adbapi import Connection
from asyncdb.testing import ScriptedDriver
from netcore.defer import CancelledError, Deferred
from netcore.reactors import Reactor
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive, reached, runAsyncio, runReactor

# Thousands of steps of sqlite's between two calls of a Python function: interrupted in the middle.
ENDLESS = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT count(tick(x)) FROM t"


def test_a_connection_is_the_callers_until_given_back(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            connection = await pool.connect()
            connection.cursor().execute("mine")
            connection.commit()
            waiting = pool.runQuery("waits")
            assert not waiting.called
            assert await pool.disconnect(connection) is None
            await waiting
            with pytest.raises(NotCheckedOut):
                pool.disconnect(connection)

    drive(main)
    assert driver.statements == [("mine",), ("waits",)]
    assert driver.calls["rollback"] == 1


def test_only_what_connect_gave_can_be_given_back(drive: Drive) -> None:
    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool, ConnectionPool(ScriptedDriver()) as other:
            connection = await other.connect()
            with pytest.raises(NotCheckedOut, match="is not checked out"):
                pool.disconnect(connection)
            with pytest.raises(NotCheckedOut):
                pool.disconnect(None)  # type: ignore[arg-type]
            kept: list[Any] = []
            await pool.runWithConnection(kept.append)
            with pytest.raises(NotCheckedOut):
                pool.disconnect(kept[0])
            await other.disconnect(connection)

    drive(main)


def test_a_cancelled_connect_gives_the_connection_back() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("connect", gate, times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            asked = pool.connect()
            await reached(step)
            asked.addErrback(lambda failure: failure.trap(CancelledError))
            asked.cancel()
            gate.set()
            await pool.runQuery("free")
        assert driver.calls["connect"] == 1

    runReactor(main)


def test_a_connection_that_comes_after_its_borrower_has_gone_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        reactor = Reactor.current()
        async with ConnectionPool(driver, cp_max=1) as pool:
            await pool.runQuery("first")
            asked = pool.connect()
            asked.addErrback(lambda failure: failure.trap(CancelledError))
            # The result is on its way to this thread; the cancel comes before it is delivered.
            assert pool._crew is not None
            delivery = pool._crew._delivery
            monkeypatch.setattr(type(delivery), "deliver", lambda self: None)
            while not delivery.results:
                turned: Deferred[None] = Deferred()
                reactor.callLater(0, turned.callback, None)
                await turned
            asked.cancel()
            monkeypatch.undo()
            delivery.deliver()
            await pool.runQuery("free")

    runReactor(main)
    assert driver.statements == [("first",), ("free",)]


def test_close_interrupts_a_lent_sqlite_connection_and_leaves_closing_it_to_its_borrower(
    drive: Drive, tmp_path: Path
) -> None:
    inside = threading.Event()

    async def main() -> None:
        pool = ConnectionPool("sqlite3", str(tmp_path / "x.db"))
        connection = await pool.connect()
        raw: Any = connection._connection
        raw.create_function("tick", 1, lambda x: inside.set())
        closed: list[bool] = []
        driver_close = pool._driver.close
        pool._driver.close = lambda c: (closed.append(c is raw), driver_close(c))[1]  # type: ignore[method-assign]

        def work() -> None:
            with pytest.raises(Exception, match="interrupted"):
                connection.execute(ENDLESS)
            with pytest.raises(PoolClosed, match="only there to be given back"):
                connection.execute("SELECT 1")

        working = deferToThread(work)
        await deferToThread(inside.wait, 30)
        await pool.close(0)
        assert closed == []
        await working
        await pool.disconnect(connection)
        assert closed == [True]

    drive(main)


@pytest.mark.parametrize("name", ["psycopg2", "sqlite3"])
def test_which_drivers_stand_being_closed_from_another_thread(name: str) -> None:
    assert ConnectionPool(name, "dbname=x")._driver.closes_anywhere is (name == "psycopg2")


def test_a_lent_connection_that_is_dropped_is_taken_back(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            connection = await pool.connect()
            connection.marker = 1
            del connection
            gc.collect()
            assert await pool.runQuery("select") == [(1,)]
        assert driver.calls["connect"] == 1
        assert driver.calls["rollback"] >= 1

    with caplog.at_level(logging.WARNING, "asyncdb.pool"):
        drive(main)
    assert "dropped without disconnect()" in caplog.text


def test_a_dropped_connection_whose_cursor_lives_is_used_by_nobody_else(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            cursor = (await pool.connect()).cursor()
            gc.collect()
            assert await pool.runQuery("select") == [(1,)]
            cursor.execute("still mine")
        assert driver.calls["connect"] == 2

    drive(main)


def test_a_connection_given_back_is_not_taken_back_again(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with ConnectionPool(ScriptedDriver(), cp_max=1) as pool:
            connection = await pool.connect()
            await pool.disconnect(connection)
            del connection
            gc.collect()
            await pool.runQuery("select")

    with caplog.at_level(logging.WARNING, "asyncdb.pool"):
        drive(main)
    assert not caplog.records


def test_a_task_cancelled_as_its_connection_comes_does_not_lose_it() -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            tasks: list[asyncio.Task[None]] = []

            async def use() -> None:
                asked = pool.connect()
                asked.addCallback(cancel_and_pass_on)
                await pool.disconnect(await asked)

            def cancel_and_pass_on(connection: Connection) -> Connection:
                # After the Task was told of its result, before it goes on.
                asyncio.get_running_loop().call_soon(tasks[0].cancel)
                return connection

            tasks.append(asyncio.ensure_future(use()))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            tasks.clear()
            gc.collect()
            assert await pool.runQuery("select") == [(1,)]

    runAsyncio(main)
    assert driver.calls["connect"] == 1


class LateConnection(Connection):
    """One whose making waits until the test lets it go on."""

    inside: threading.Event
    gate: threading.Event

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__(pool)
        if not self.inside.is_set():
            self.inside.set()
            assert self.gate.wait(30)


@pytest.mark.parametrize("following", ["query", "connect"])
def test_a_loan_cancelled_as_it_is_made_leaves_the_connection_to_those_after_it(drive: Drive, following: str) -> None:
    """What was made for it neither closes the connection nor takes it from the next borrower."""
    driver = ScriptedDriver(interruptible=True)

    class Late(LateConnection):
        inside, gate = threading.Event(), threading.Event()

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            pool.connectionFactory = Late
            cancelled = pool.connect()
            await deferToThread(Late.inside.wait, 30)
            cancelled.addErrback(lambda failure: failure.trap(CancelledError))
            cancelled.cancel()
            after = pool.runQuery("select") if following == "query" else pool.connect()
            Late.gate.set()
            got = await after
            gc.collect()
            await deferToThread(gc.collect)  # a turn of the reactor, in which what was dropped could come back
            assert pool._crew is not None
            assert pool._crew.core.count(EntryState.LENT) == (following == "connect")
            if following == "connect":
                await pool.disconnect(got)
            assert await pool.runQuery("select") == [(1,)]
            assert driver.calls["close"] == 0

    drive(main)


def test_only_a_connection_that_is_the_pools_is_cut(drive: Drive) -> None:
    """Not one that is not there yet, or not any more: its descriptor's number may be somebody else's."""
    driver = ScriptedDriver(sockets=True)
    gate = threading.Event()
    cut: list[Any] = []

    async def main() -> None:
        pool = ConnectionPool(driver, cp_max=1, cp_connect_timeout=0.05)
        pool._driver.cut = cut.append  # type: ignore[method-assign]
        driver.when("connect", gate, times=1)
        call = pool.runQuery("select")
        await pool.close(deadline=0)
        with pytest.raises(PoolClosed):
            await call
        gate.set()

    drive(main)
    assert None not in cut
