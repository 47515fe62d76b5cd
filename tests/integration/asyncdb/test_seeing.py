"""What a pool tells of itself: its figures, and its slow calls."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asyncdb import ConnectionPool, DeadlineExceeded, PoolClosed, PoolOverloaded
from asyncdb.testing import HANG, ScriptedDriver, VirtualTime
from netcore.defer import CancelledError, Deferred
from netcore.testing import failureResultOf, successResultOf
from tests.integration.asyncdb.running import result


@pytest.fixture
def slow(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "asyncdb.slow"):
        yield caplog


# ------------------------------------------------------------------------------------------------------------- figures


def test_the_figures_add_up(time: VirtualTime) -> None:
    """Each call that was made is somewhere, once."""
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_max=2, cp_max_waiting=10, cp_wait_timeout=5)
    assert pool.stats().state == "not started"
    for _ in range(7):
        result(time, pool.runQuery("ends well"))
    driver.when("execute", driver.IntegrityError("twice"), matching=lambda sql, *args: sql == "fails")
    for _ in range(3):
        failed = pool.runOperation("fails")
        time.settle()
        failureResultOf(failed, driver.IntegrityError)
    lent = result(time, pool.connect())

    driver.when("execute", HANG, matching=lambda sql, *args: sql == "hangs")
    hangs = pool.runQuery("hangs")
    time.settle()
    waiting = [pool.runQuery("waits") for _ in range(10)]
    for _ in range(4):
        failureResultOf(pool.runQuery("one too many"), PoolOverloaded)
    for call in waiting[:2]:
        call.cancel()
        failureResultOf(call, CancelledError)
    now = pool.stats()
    assert (now.busy, now.lent, now.waiting, now.idle, now.total, now.max) == (1, 1, 8, 0, 2, 2)
    time.advance(5)
    for call in waiting[2:]:
        failureResultOf(call, DeadlineExceeded)
    hangs.cancel()
    failureResultOf(hangs, CancelledError)
    time.settle()
    dies = pool.runQuery("hangs")
    time.settle()
    next(connection for connection in driver.connections if connection.blocks).kill()
    time.settle()
    failureResultOf(dies, driver.OperationalError)
    late = pool.using(timeout=3).runQuery("hangs")
    time.advance(3)
    failureResultOf(late, DeadlineExceeded)
    time.settle()
    result(time, pool.disconnect(lent))

    stats = pool.stats()
    lost, cancelled_waiting = 1, 2
    assert stats.submitted == 7 + 3 + 1 + 1 + 10 + 1 + 1
    assert stats.submitted == stats.finished + stats.loans + lost + cancelled_waiting + stats.waitTimeouts
    assert stats.finished == stats.runTime.count == stats.waitTime.count == 7 + 3 + 1 + 1
    assert (stats.refused, stats.cancelled, stats.waitTimeouts, stats.timeouts) == (4, 3, 8, 1)
    assert (stats.loans, stats.closedWaiting) == (1, 0)
    assert stats.failed == 3 + 1 + 1 + 1  # errors of the driver's; two of the interrupted statements
    assert stats.evictions == {"lost": 1}
    assert stats.connected == len(driver.connections) == 3
    assert stats.total == stats.idle == stats.connected - sum(stats.evictions.values())
    assert stats.interrupts == 2
    pool.suspend()
    waiting = [pool.runQuery("waits") for _ in range(5)]
    assert result(time, pool.close()) is None
    for call in waiting:
        failureResultOf(call, PoolClosed)
    closed = pool.stats()
    assert closed.state == "closed"
    assert (closed.submitted, closed.closedWaiting) == (stats.submitted + 5, 5)


def test_the_times_of_calls_are_those_of_the_clock(time: VirtualTime) -> None:
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_max=1)
    gate = threading.Event()
    driver.when("execute", gate, times=1)
    first, second = pool.runQuery("takes 3 s"), pool.runQuery("waits for as long")
    time.advance(3)
    gate.set()
    assert result(time, first) == result(time, second) == [(1,)]
    stats = pool.stats()
    assert stats.runTime.count == stats.waitTime.count == 2
    assert 3 <= stats.runTime.percentile(100) <= 6
    assert 3 <= stats.waitTime.percentile(100) <= 6
    assert stats.runTime.percentile(50) < 0.001


# ---------------------------------------------------------------------------------------------------------- slow calls


def find_person(transaction: Any, name: str) -> None:
    transaction.execute("SELECT * FROM people WHERE name = ?", (name,))


@pytest.mark.parametrize("told", [False, True], ids=["redacted", "with parameters"])
def test_slow_calls_are_logged_without_their_parameters_unless_asked_for(
    time: VirtualTime, slow: pytest.LogCaptureFixture, told: bool
) -> None:
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_slow_query=2.0, cp_log_parameters=told, cp_name="people")
    result(time, pool.runQuery("SELECT 'quick'"))
    for call in (
        lambda: pool.runQuery("SELECT *\n  FROM people\n WHERE name = ?", ("geheim",)),
        lambda: pool.runInteraction(find_person, "geheim"),
        lambda: pool.using(name="reports").runOperation("UPDATE people SET name = ?", ("geheim",)),
    ):
        gate = threading.Event()
        driver.when("execute", gate, times=1)
        called = call()
        time.advance(2.5)
        gate.set()
        result(time, called)
    messages = [record.getMessage() for record in slow.records if record.name == "asyncdb.slow"]
    rest = "('geheim',)" if told else "..."
    assert messages == [
        f"pool people: 2.500 s: runQuery SELECT * FROM people WHERE name = ? [{rest}]",
        "pool people: 2.500 s: runInteraction find_person",
        f"pool people: 2.500 s: runOperation of 'reports' UPDATE people SET name = ? [{rest}]",
    ]
    assert ("geheim" in slow.text) is told


class Unshowable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_parameters_that_cannot_be_shown_cost_no_call(time: VirtualTime, slow: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_max=1, cp_slow_query=1e-9, cp_log_parameters=True, cp_name="people")
    driver.when("execute", driver.IntegrityError("twice"), matching=lambda sql, *args: sql == "fails")
    for sql in ("fails", "ends well"):
        gate = threading.Event()
        driver.when("cursor", gate, times=1)
        call, following = pool.runQuery(sql, (Unshowable(),)), pool.runQuery("waits")
        time.advance(1.0)
        gate.set()
        time.settle()
        if sql == "fails":
            failureResultOf(call, driver.IntegrityError)
        else:
            assert successResultOf(call) == [(1,)]
        assert result(time, following) == [(1,)]
    assert "pool people: 1.000 s: runQuery of what cannot be shown (ZeroDivisionError)" in slow.text


def broken(record: logging.LogRecord) -> bool:
    raise ZeroDivisionError(record.msg)


def test_who_listens_and_fails_costs_no_call(time: VirtualTime) -> None:
    """The thread that tells carries a connection, and has the next call already."""
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_max=1, cp_slow_query=1e-9, cp_noisy=True)
    driver.when("execute", driver.OperationalError("lost"), matching=lambda sql, *args: sql == "loses")
    loggers = [logging.getLogger(name) for name in ("asyncdb.slow", "asyncdb.pool")]
    for logger in loggers:
        logger.addFilter(broken)
    try:
        gate = threading.Event()
        driver.when("cursor", gate, times=1)
        calls = [pool.runQuery(sql) for sql in ("first", "loses", "last")]
        time.advance(1.0)
        gate.set()
        assert result(time, calls[0]) == [(1,)]
        failureResultOf(calls[1], driver.OperationalError)
        assert result(time, calls[2]) == [(1,)]
        assert result(time, pool.close()) is None
    finally:
        for logger in loggers:
            logger.removeFilter(broken)


def test_slow_calls_that_fail_say_so_but_not_with_the_words_of_the_database(
    time: VirtualTime, slow: pytest.LogCaptureFixture
) -> None:
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_slow_query=2.0)
    driver.when("execute", HANG, times=1)
    call = pool.runQuery("SELECT ?", ("geheim",))
    time.advance(3)
    call.cancel()
    time.settle()
    failureResultOf(call, CancelledError)
    gate = threading.Event()

    def twice(*args: Any) -> None:
        raise driver.IntegrityError("Key (name)=(geheim) already exists")

    driver.when("cursor", gate, times=1)
    driver.when("execute", twice, times=1)
    call = pool.runQuery("INSERT")
    time.advance(3)
    gate.set()
    time.settle()
    failureResultOf(call, driver.IntegrityError)
    messages = [record.getMessage() for record in slow.records if record.name == "asyncdb.slow"]
    assert len(messages) == 2
    assert messages[1] == "pool ScriptedDriver: 3.000 s: runQuery INSERT, failed: IntegrityError"
    assert "geheim" not in slow.text


def test_parameters_are_in_no_log_and_no_error_of_the_pools(
    time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_max=1, cp_max_waiting=1, cp_timeout=5, cp_leak_after=1, cp_noisy=True)
    driver.when("execute", HANG)
    with caplog.at_level(logging.DEBUG, "asyncdb"):
        calls = [pool.runQuery("SELECT ?", ("geheim",)) for _ in range(4)]
        time.advance(20)
        pool.close()
        time.advance(10)
    for call in calls:
        failure = failureResultOf(call)
        assert "geheim" not in f"{failure.value} {failure.value.__cause__!r} {failure!r}"
    assert caplog.records
    assert "geheim" not in caplog.text


# --------------------------------------------------------------------------------------------------------- contextvars


def test_the_contextvars_of_each_call_go_along_however_it_ends(time: VirtualTime) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    driver = ScriptedDriver(interruptible=True)
    pool: ConnectionPool = time.pool(driver, cp_max=1)
    seen: list[str] = []
    driver.when("execute", lambda *args: seen.append(f"{args[0]} for {who.get()}"))
    hang = driver.when("cursor", HANG, times=1)
    calls: list[tuple[str, Deferred[Any]]] = []
    for name in ("ann", "bob", "cid"):
        who.set(name)
        call: Any = pool.runQuery(name)
        call.addBoth(lambda outcome: seen.append(f"back to {who.get()}"))
        calls.append((name, call))
    who.set("nobody")
    time.settle()
    assert hang.count == 1
    calls[0][1].cancel()
    time.settle()
    assert sorted(seen) == ["back to bob", "back to cid", "back to nobody", "bob for bob", "cid for cid"]
