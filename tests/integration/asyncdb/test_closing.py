"""The end of a pool: what still runs is waited for, until the deadline; and it may be started again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from asyncdb import ConnectionPool, PoolClosed
from asyncdb.testing import HANG, ScriptedDriver
from netcore.defer import gatherResults
from tests.integration.asyncdb.running import Drive, reached


def test_close_waits_for_what_runs_and_refuses_what_comes(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        pool = ConnectionPool(driver, cp_max=1)
        running, queued = pool.runQuery("running"), pool.runQuery("queued")
        await reached(step)
        closed, again = pool.close(), pool.close()
        with pytest.raises(PoolClosed, match="nothing of it was sent"):
            await queued
        with pytest.raises(PoolClosed):
            await pool.runQuery("later")
        with pytest.raises(PoolClosed):
            await pool.connect()
        assert not pool.running
        gate.set()
        assert await running == [(1,)]
        await gatherResults([closed, again])
        await pool.close()

    drive(main)
    assert driver.calls["close"] == 1


def test_at_the_deadline_close_cuts_what_hangs(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)
    step = driver.when("execute", HANG)

    async def main() -> None:
        pool = ConnectionPool(driver, cp_max=1)
        hanging = pool.runQuery("hangs")
        await reached(step)
        closed = pool.close(deadline=0.02)
        with pytest.raises(PoolClosed, match="its connection was cut"):
            await hanging
        await closed

    drive(main)
    assert driver.connections[0].closed


def test_a_lent_connection_is_cut_at_the_deadline_and_may_still_be_given_back(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        pool = ConnectionPool(driver)
        connection = await pool.connect()
        await pool.close(deadline=0.02)
        assert driver.calls["close"] == 0  # its borrower's thread may be inside a call on it
        assert driver.connections[0]._client is not None
        assert driver.connections[0]._client.recv(1) == b""
        with pytest.raises(PoolClosed, match="only there to be given back"):
            connection.cursor()
        await pool.disconnect(connection)
        assert driver.connections[0].closed

    drive(main)


def test_close_does_not_wait_for_ever_for_a_driver_that_cannot_be_cut(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate)

    async def main() -> None:
        pool = ConnectionPool(driver, cp_max=1)
        hanging = pool.runQuery("hangs")
        await reached(step)
        closed = pool.close(deadline=0.02)
        with pytest.raises(PoolClosed):
            await hanging
        await closed
        gate.set()

    drive(main)


def test_a_pool_that_was_never_used_closes_and_is_closed(drive: Drive) -> None:
    async def main() -> None:
        pool = ConnectionPool(ScriptedDriver())
        assert repr(pool) == "<ConnectionPool ScriptedDriver: not started>"
        await pool.close()
        with pytest.raises(PoolClosed):
            await pool.runQuery("x")
        assert "closed" in repr(pool)

    drive(main)


def test_a_closed_pool_can_be_started_again(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        pool = ConnectionPool(driver)
        await pool.runQuery("a")
        closing = pool.close()
        with pytest.raises(PoolClosed, match="still closing"):
            pool.start()
        await closing
        pool.start()
        pool.start()
        assert pool.running
        await pool.runQuery("b")
        await pool.close()

    drive(main)
    assert driver.calls["connect"] == driver.calls["close"] == 2


@pytest.mark.parametrize("deadline", [-1, float("nan"), float("inf"), None, "5", True])
def test_a_deadline_that_is_none_is_refused(deadline: Any) -> None:
    with pytest.raises(ValueError, match="deadline must be"):
        ConnectionPool(ScriptedDriver()).close(deadline)
