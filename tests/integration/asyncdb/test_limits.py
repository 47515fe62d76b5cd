"""Calls that are cancelled, that wait or run for too long, and that are too many."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asyncdb import ConnectionPool, DeadlineExceeded, PoolOverloaded
from asyncdb.testing import HANG, ScriptedDriver
from netcore.defer import CancelledError, gatherResults
from tests.integration.asyncdb.running import Drive, reached, runAsyncio, runReactor


def test_cancel_removes_a_queued_call(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            running = pool.runQuery("running")
            await reached(step)
            queued, kept = pool.runQuery("queued"), pool.runQuery("kept")
            queued.cancel()
            with pytest.raises(BaseException) as caught:  # asyncio's, in a Task
                await queued
            assert "Cancelled" in type(caught.value).__name__
            gate.set()
            await gatherResults([running, kept])

    drive(main)
    assert driver.statements == [("running",), ("kept",)]


def test_cancel_answers_at_once_and_the_connection_serves_the_next() -> None:
    driver = ScriptedDriver(interruptible=True)
    step = driver.when("execute", HANG, times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            running = pool.runQuery("running")
            await reached(step)
            running.cancel()
            assert running.called
            following = pool.runQuery("following")
            with pytest.raises(CancelledError):
                await running
            assert await following == [(1,)]
        assert driver.calls["connect"] == driver.calls["interrupt"] == 1

    runReactor(main)


def test_an_asyncio_timeout_cancels_the_call() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            running = pool.runQuery("running")
            await reached(step)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await running
            gate.set()
            await pool.runQuery("after")

    runAsyncio(main)


def test_too_many_waiting_calls_are_refused_at_once(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1, cp_max_waiting=2) as pool:
            running = pool.runQuery("running")
            await reached(step)
            queued = [pool.runQuery("queued") for _ in range(2)]
            refused = pool.runQuery("refused")
            assert refused.called
            with pytest.raises(PoolOverloaded, match="cp_max_waiting=2"):
                await refused
            gate.set()
            await gatherResults([running, *queued])

    drive(main)
    assert len(driver.statements) == 3


def test_a_call_that_gets_no_connection_in_time_fails_with_the_pools_figures(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1, cp_wait_timeout=0.05, cp_name="people") as pool:
            running = pool.runQuery("running")
            await reached(step)
            with pytest.raises(DeadlineExceeded) as caught:
                await pool.runQuery("too late")
            assert "pool 'people': total 1 of 1, idle 0, busy 1, lent 0, connecting 0, waiting 1" in str(caught.value)
            assert caught.value.__cause__ is None
            gate.set()
            await running

    drive(main)


def test_a_call_that_runs_too_long_fails_and_its_connection_serves_the_next(drive: Drive) -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", HANG, times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            with pytest.raises(DeadlineExceeded, match=r"not ended within its timeout of 0\.05 s"):
                await pool.using(timeout=0.05).runQuery("slow")
            await pool.runQuery("after")
        assert driver.calls["connect"] == 1

    drive(main)
