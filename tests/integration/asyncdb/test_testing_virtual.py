"""A pool in virtual time: its time-outs, pauses and ages, counted in seconds that nobody waits for."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from asyncdb import DeadlineExceeded
from asyncdb.testing import HANG, ScriptedDriver, VirtualTime
from netcore.testing import assertNoResult, failureResultOf, successResultOf
from netcore.testing.network import Stalled


def test_what_is_to_happen_now_has_happened_when_all_is_settled(time: VirtualTime) -> None:
    pool = time.pool(ScriptedDriver())
    asked = pool.runQuery("SELECT a")
    assertNoResult(asked)
    time.settle()
    assert successResultOf(asked) == [(1,)]
    assert time.seconds() == 0.0


def test_a_call_waits_for_a_connection_until_its_time_is_over_and_not_longer(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)
    pool = time.pool(driver, cp_max=1, cp_wait_timeout=30, cp_name="people")
    running, waiting = pool.runQuery("SELECT a"), pool.runQuery("SELECT b")
    time.advance(29.9)
    assert step.count == 1
    assertNoResult(waiting)
    time.advance(0.1)
    assert "total 1 of 1, idle 0, busy 1" in failureResultOf(waiting, DeadlineExceeded).getErrorMessage()
    gate.set()
    assert time.runUntil(running) == [(1,)]
    assert time.seconds() == 30.0


def test_a_statement_that_hangs_is_interrupted_at_its_deadline_and_its_connection_goes_on(time: VirtualTime) -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", HANG, times=1)
    pool = time.pool(driver, cp_max=1, cp_timeout=20)
    hanging = pool.runQuery("SELECT a")
    time.advance(10)
    next_one = pool.runQuery("SELECT b")
    time.advance(10)
    failureResultOf(hanging, DeadlineExceeded)
    assert successResultOf(next_one) == [(1,)]
    assert (driver.calls["connect"], driver.calls["interrupt"]) == (1, 1)


def test_a_call_that_is_cancelled_interrupts_its_statement_at_once(time: VirtualTime) -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", HANG, times=1)
    pool = time.pool(driver, cp_max=1)
    hanging = pool.runQuery("SELECT a")
    hanging.addErrback(lambda failure: None)
    time.settle()
    hanging.cancel()
    time.settle()
    assert driver.calls["interrupt"] == 1
    assert time.runUntil(pool.runQuery("SELECT b")) == [(1,)]
    assert driver.calls["connect"] == 1
    assert time.seconds() == 0.0


def test_a_database_that_stays_away_is_the_cause_of_the_deadline(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    driver.when("connect", driver.OperationalError("connection refused"))
    asked = time.pool(driver, cp_wait_timeout=3600, cp_timeout=None).runQuery("SELECT a")
    time.advance(3600)
    failure = failureResultOf(asked, DeadlineExceeded)
    assert "connection refused" in failure.getErrorMessage()
    assert isinstance(failure.value.__cause__, driver.OperationalError)
    assert 1800 <= driver.calls["connect"] <= 3620  # it pauses in between, at last for one second to two


def test_a_connection_that_was_not_needed_for_long_is_closed(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    pool = time.pool(driver, cp_min=0, cp_max=1, cp_max_idle=600, cp_max_lifetime=None)
    time.runUntil(pool.runQuery("SELECT a"))
    time.advance(500)
    assert driver.calls["close"] == 0
    time.advance(100)
    assert driver.calls["close"] == 1
    assert time.runUntil(pool.runQuery("SELECT b")) == [(1,)]
    assert driver.calls["connect"] == 2


def test_an_attempt_that_hangs_is_given_up_and_its_late_connection_closed(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    driver.when("connect", gate, times=1)
    pool = time.pool(driver, cp_max=1, cp_min=0, cp_connect_timeout=10)
    asked = pool.runQuery("SELECT a")
    time.advance(9.9)
    assert driver.calls["connect"] == 1
    assert time.runUntil(asked) == [(1,)]
    assert driver.calls["connect"] == 2
    gate.set()
    time.settle()
    assert driver.calls["close"] == 1


def test_giving_back_is_answered_when_the_reset_takes_too_long(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    pool = time.pool(driver, cp_max=1, cp_check_timeout=2, cp_connect_timeout=2)
    connection = time.runUntil(pool.connect())
    gate = threading.Event()
    step = driver.when("rollback", gate, times=1)
    given_back = pool.disconnect(connection)
    time.advance(1.9)
    assert step.count == 1
    assertNoResult(given_back)
    time.advance(0.1)
    assert successResultOf(given_back) is None


def test_no_time_passes_while_a_function_runs(time: VirtualTime) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[float] = []

    def work(transaction: object) -> None:
        begun.set()
        assert go_on.wait(20)  # not in a step of the script: work, as far as time knows
        seen.append(time.seconds())

    pool = time.pool(ScriptedDriver())
    pool.runInteraction(work)
    time.reactor.callLater(0, begun.wait, 20)
    time.reactor.callLater(0, go_on.set)
    time.advance(3600)
    assert seen == [0.0]


def test_a_result_that_will_never_come_is_told(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    driver.when("execute", HANG)
    pool = time.pool(driver, cp_max=1)
    with pytest.raises(Stalled):
        time.runUntil(pool.runQuery("SELECT a"), timeout=3600)


def test_a_barrier_lets_threads_meet(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    step = driver.when("execute", threading.Barrier(3))
    pool = time.pool(driver, cp_max=3)
    asked = [pool.runQuery("SELECT a") for _ in range(3)]
    time.settle()
    assert step.count == 3
    assert [successResultOf(each) for each in asked] == [[(1,)]] * 3


def test_closing_lets_go_of_whatever_blocks() -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", threading.Event(), times=1)
    driver.when("execute", HANG, times=1)
    before = set(threading.enumerate())
    with VirtualTime() as time:
        pool = time.pool(driver, cp_max=3, cp_connect_timeout=10_000)
        for number in range(3):
            if number == 2:
                driver.when("connect", threading.Event())
            pool.runQuery("SELECT a").addErrback(lambda failure: None)
            time.settle()
        blocked = set(threading.enumerate()) - before
        assert len(blocked) == 3
    for thread in blocked:
        thread.join(10)
        assert not thread.is_alive()
    time.close()  # again


def test_programs_for_asyncio_have_the_same_time(time: VirtualTime) -> None:
    driver = ScriptedDriver()
    driver.when("execute", HANG, times=1)
    pool = time.pool(driver, cp_max=1, cp_timeout=None)

    async def main() -> float:
        try:
            async with asyncio.timeout(90):
                await pool.runQuery("SELECT a")
        except TimeoutError:
            await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert time.runUntil(main()) == 100.0


def test_a_pool_on_sqlite_lives_there_too(time: VirtualTime) -> None:
    pool = time.pool("sqlite3", ":memory:")
    time.runUntil(pool.runOperation("CREATE TABLE noted (x int)"))
    time.runUntil(pool.runOperation("INSERT INTO noted VALUES (?)", (7,)))
    assert time.runUntil(pool.runQuery("SELECT x FROM noted")) == [(7,)]


def test_the_same_seed_brings_the_same_pauses() -> None:
    def attempts(seed: int) -> list[float]:
        driver = ScriptedDriver()
        tried: list[float] = []
        with VirtualTime() as time:

            def refuse() -> None:
                tried.append(time.seconds())
                raise driver.OperationalError("connection refused")

            driver.when("connect", refuse)
            random.seed(seed)
            pool = time.pool(driver, cp_max=1, cp_wait_timeout=600)
            failing = pool.runQuery("SELECT a")
            time.advance(600)
            failureResultOf(failing, DeadlineExceeded)
        return tried

    assert attempts(1) == attempts(1)
    assert attempts(1) != attempts(2)


def test_a_callback_may_close_the_pool_whoever_made_the_call(time: VirtualTime) -> None:
    """It runs in the context of its call, which no reactor has made."""
    pool = time.pool(ScriptedDriver())
    closed = pool.runQuery("SELECT").addCallback(lambda rows: pool.close())
    time.settle()
    assert successResultOf(closed) is None
    assert pool.stats().state == "closed"
