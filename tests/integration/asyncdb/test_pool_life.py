"""A pool's life on virtual time: readiness, growth, replacement, age, suspension, eviction, outages."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asyncdb import ConnectionPool, DeadlineExceeded, PoolClosed
from asyncdb.testing import HANG, ScriptedDriver, VirtualTime
from netcore.defer import CancelledError, Deferred
from netcore.testing import failureResultOf, successResultOf


class World:
    """A scripted driver, and pools of it on virtual time."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.driver = ScriptedDriver(sockets=True, interruptible=True)

    def pool(self, **options: Any) -> ConnectionPool:
        return self.time.pool(self.driver, **{"cp_wait_timeout": None, **options})

    def result(self, call: Deferred[Any]) -> Any:
        """What *call* comes to without waiting."""
        self.time.settle()
        return successResultOf(call)

    def busy(self, pool: ConnectionPool, count: int) -> threading.Event:
        """Have *count* calls run, until the event is set; then time moves on by the pauses of those that wait."""
        gate = threading.Event()
        self.driver.when("execute", gate, times=count)
        for _ in range(count):
            pool.runQuery("busy").addErrback(lambda failure: None)
        self.time.settle()
        assert pool.stats().busy == count
        return gate

    def open(self) -> int:
        """Connections that are not closed."""
        return sum(not connection.closed for connection in self.driver.connections)


@pytest.fixture
def world() -> Iterator[World]:
    with VirtualTime() as time:
        yield World(time)


# ------------------------------------------------------------------------------------------------------------- ready


def test_ready_opens_the_least_and_no_more(world: World) -> None:
    pool = world.pool(cp_min=3, cp_max=5)
    assert world.driver.calls["connect"] == 0
    assert world.result(pool.ready()) is None
    assert (pool.stats().idle, world.driver.calls["connect"]) == (3, 3)
    assert world.result(pool.ready()) is None
    assert world.driver.calls["connect"] == 3


def test_a_pool_that_needs_none_is_ready_at_once(world: World) -> None:
    pool = world.pool(cp_min=0)
    assert world.result(pool.ready()) is None
    assert world.driver.calls["connect"] == 0


def test_connections_are_opened_one_at_a_time(world: World) -> None:
    pool = world.pool(cp_min=3, cp_max=5)
    gates = [threading.Event() for _ in range(3)]
    steps = [world.driver.when("connect", gate, times=1) for gate in gates]
    ready = pool.ready()
    for number, gate in enumerate(gates):
        world.time.settle()
        assert [step.count for step in steps] == [1] * (number + 1) + [0] * (2 - number)
        assert not ready.called
        gate.set()
    assert world.result(ready) is None


def test_ready_goes_on_trying_and_fails_with_the_last_error_when_its_time_is_over(world: World) -> None:
    pool = world.pool(cp_min=2)
    step = world.driver.when("connect", world.driver.OperationalError("refused"))
    ready = pool.ready(timeout=20)
    world.time.advance(19.9)
    assert not ready.called
    assert step.count > 3
    world.time.advance(0.1)
    error = failureResultOf(ready, DeadlineExceeded).value
    assert "not 2 connections (cp_min) within 20 s" in str(error)
    assert "refused" in str(error)
    assert isinstance(error.__cause__, world.driver.OperationalError)
    again = pool.ready()
    world.driver.clear()
    world.time.advance(5)
    assert successResultOf(again) is None


def test_ready_fails_at_once_with_what_trying_again_would_not_mend(world: World) -> None:
    pool = world.pool(cp_min=2)
    wrong = TypeError("no such argument")
    world.driver.when("connect", wrong, times=1)
    ready = pool.ready()
    world.time.settle()
    assert failureResultOf(ready, TypeError).value is wrong
    assert world.driver.calls["connect"] == 1
    assert world.result(pool.ready()) is None


def test_ready_that_is_cancelled_tells_nobody_and_opens_connections_all_the_same(world: World) -> None:
    pool = world.pool(cp_min=2)
    ready = pool.ready()
    ready.cancel()
    failureResultOf(ready, CancelledError)
    world.time.settle()
    assert pool.stats().idle == 2


def test_one_ready_may_cancel_another_as_it_is_told(world: World) -> None:
    pool = world.pool(cp_min=1)
    first, second, third = pool.ready(), pool.ready(), pool.ready()
    first.addCallback(lambda _: second.cancel())
    world.time.settle()
    failureResultOf(second, CancelledError)
    assert successResultOf(third) is None


def test_ready_fails_when_the_pool_is_closed(world: World) -> None:
    pool = world.pool(cp_min=1)
    gate = threading.Event()
    world.driver.when("connect", gate, times=1)
    ready = pool.ready()
    world.time.settle()
    closed = pool.close()
    failureResultOf(ready, PoolClosed)  # at once, though the attempt to connect still goes on
    world.time.advance(10)
    assert successResultOf(closed) is None
    failureResultOf(pool.ready(), PoolClosed)
    gate.set()


def test_after_ready_what_is_lost_is_replaced_and_before_it_is_not(world: World) -> None:
    pool = world.pool(cp_min=2, cp_max=2, cp_keepalive=10)
    world.result(pool.runQuery("one"))
    world.driver.connections[0].kill()
    world.time.advance(20)
    assert pool.stats().total == 0
    world.result(pool.ready())
    assert pool.stats().idle == 2
    for connection in world.driver.connections:
        connection.kill()
    world.time.advance(20)
    assert pool.stats().idle == 2
    assert pool.stats().evictions == {"check": 3}
    assert not any(connection.closed for connection in world.driver.connections[-2:])


def test_the_least_stands_again_when_the_database_is_back_and_the_hook_hears_of_it(world: World) -> None:
    heard: list[Any] = []
    where: set[int] = set()

    def hook(error: BaseException | None) -> None:
        heard.append(error)
        where.add(threading.get_ident())

    pool = world.pool(cp_min=2, cp_max=2, cp_keepalive=10, cp_on_outage=hook)
    world.result(pool.ready())
    for round in range(2):
        refused = world.driver.OperationalError(f"refused {round}")
        world.driver.when("connect", refused)
        for connection in world.driver.connections:
            connection.kill()
        world.time.advance(60)
        assert pool.stats().total - pool.stats().connecting == 0
        assert pool.stats().outage == f"OperationalError: refused {round}"
        assert heard[2 * round :] == [refused]
        world.driver.clear()
        world.time.advance(6)
        assert pool.stats().idle == 2
        assert heard[2 * round :] == [refused, None]
        assert pool.stats().outage is None
    assert where == {threading.get_ident()}


def test_the_hook_hears_in_order_even_of_attempts_that_end_at_once(world: World) -> None:
    """The next attempt may end before the thread that has begun it goes on."""
    heard: list[Any] = []
    pool = world.pool(cp_max=1, cp_connect_timeout=5, cp_on_outage=heard.append)
    gate = threading.Event()
    world.driver.when("connect", gate, times=1)
    call = pool.runQuery("select")
    world.time.settle()
    threads: Any = pool._crew and pool._crew._threads
    threads.callInThread = lambda function, *args: function(*args)
    world.time.advance(5)
    assert successResultOf(call) == [(1,)]
    assert [type(error) for error in heard] == [DeadlineExceeded, type(None)]
    gate.set()


def test_a_hook_that_raises_is_logged_and_the_pool_goes_on(world: World, logged: Any) -> None:
    def hook(error: BaseException | None) -> None:
        raise ZeroDivisionError

    pool = world.pool(cp_min=1, cp_on_outage=hook)
    world.driver.when("connect", world.driver.OperationalError("refused"), times=1)
    call = pool.runQuery("select")
    world.time.advance(1)
    assert successResultOf(call) == [(1,)]
    assert len(logged.take(ZeroDivisionError)) == 2


# ------------------------------------------------------------------------------------------------------------- growth


def test_a_call_never_waits_for_an_attempt_to_connect_if_a_connection_comes_back_first(world: World) -> None:
    pool = world.pool(cp_min=0, cp_max=2)
    gate = world.busy(pool, 1)
    never = threading.Event()
    connect = world.driver.when("connect", never, times=1)
    waiting = pool.runQuery("waits")
    world.time.settle()
    assert connect.count == 1
    gate.set()
    assert world.result(waiting) == [(1,)]
    never.set()
    world.time.settle()
    assert pool.stats().idle == 2


def test_what_is_not_needed_is_closed_down_to_the_least(world: World) -> None:
    pool = world.pool(cp_min=1, cp_max=4, cp_max_idle=100, cp_max_lifetime=None)
    world.busy(pool, 4).set()
    world.time.settle()
    assert pool.stats().idle == 4
    for _ in range(8):
        world.time.advance(10)
        world.result(pool.runQuery("one is enough"))
    assert pool.stats().total == 4
    world.time.advance(30)
    assert (pool.stats().total, pool.stats().evictions) == (1, {"idle": 3})
    assert world.open() == 1
    world.time.advance(1000)
    assert pool.stats().total == 1


def test_what_is_old_is_replaced_when_it_is_free(world: World) -> None:
    pool = world.pool(cp_min=2, cp_max=2, cp_max_lifetime=100, cp_max_idle=None)
    world.result(pool.ready())
    world.time.advance(89)
    assert world.driver.calls["connect"] == 2
    gate = world.busy(pool, 1)
    world.time.advance(11)
    assert world.driver.calls["connect"] == 3  # the other one was at rest
    gate.set()
    world.time.settle()
    assert (pool.stats().idle, world.driver.calls["connect"]) == (2, 4)
    assert pool.stats().evictions == {"lifetime": 2}
    assert world.open() == 2


# ---------------------------------------------------------------------------------------------------------- suspension


def test_suspended_it_lets_calls_wait_and_tells_when_none_runs(world: World) -> None:
    pool = world.pool(cp_max=2)
    gate = world.busy(pool, 2)
    suspended = pool.suspend()
    waiting = pool.runQuery("waits")
    world.time.settle()
    assert not suspended.called
    assert pool.stats().state == "suspended"
    gate.set()
    assert world.result(suspended) is True
    assert not waiting.called
    assert pool.stats().waiting == 1
    pool.resume()
    assert world.result(waiting) == [(1,)]
    assert pool.stats().state == "running"


@pytest.mark.parametrize("end", ["error", "cancel", "cut", "lost"])
def test_suspension_is_told_however_the_last_call_ends(world: World, end: str) -> None:
    pool = world.pool(cp_max=1)
    world.driver.when("execute", HANG, times=1)
    call = pool.runQuery("last")
    call.addErrback(lambda failure: None)
    world.time.settle()
    suspended = pool.suspend()
    if end == "error":
        world.driver.connections[0].interrupt()
    elif end == "lost":
        world.driver.connections[0].kill()
    else:
        if end == "cut":
            world.driver.when("interrupt", world.driver.OperationalError("no"))
        call.cancel()
    world.time.advance(3)
    assert successResultOf(suspended) is True


def test_a_loan_is_waited_for_when_suspended(world: World) -> None:
    pool = world.pool()
    connection = world.result(pool.connect())
    suspended = pool.suspend()
    world.time.settle()
    assert not suspended.called
    world.result(pool.disconnect(connection))
    assert world.result(suspended) is True


def test_resumed_before_it_says_so(world: World) -> None:
    pool = world.pool(cp_max=1)
    gate = world.busy(pool, 1)
    suspended = pool.suspend()
    pool.resume()
    assert world.result(suspended) is False
    gate.set()
    world.time.settle()
    assert pool.stats().idle == 1


def test_suspended_calls_keep_their_time_limits_and_close_ends_all(world: World) -> None:
    pool = world.pool(cp_max=1, cp_timeout=10)
    suspended = pool.suspend()
    assert world.result(suspended) is True
    late, waiting = pool.using(timeout=5).runQuery("late"), pool.runQuery("waits")
    world.time.advance(5)
    assert "suspended" in str(failureResultOf(late, DeadlineExceeded).value)
    again = pool.suspend()
    closed = pool.close()
    world.time.settle()
    failureResultOf(waiting, PoolClosed)
    assert successResultOf(again) is True
    assert successResultOf(closed) is None
    failureResultOf(pool.suspend(), PoolClosed)


# ------------------------------------------------------------------------------------------------------------ eviction


def test_evict_all_replaces_what_rests_now_and_the_rest_when_it_is_free(world: World) -> None:
    pool = world.pool(cp_min=0, cp_max=4)
    gate = world.busy(pool, 3)
    world.driver.when("execute", gate, times=1)
    lent = world.result(pool.connect())
    assert pool.stats().total == 4
    resting = threading.Event()
    pool.evictAll()
    world.time.settle()
    assert world.open() == 4
    gate.set()
    world.time.settle()
    assert world.open() == 1
    world.result(pool.disconnect(lent))
    assert world.open() == 0
    assert pool.stats().evictions == {"evicted": 4}
    world.driver.when("connect", resting, times=1)
    waiting = pool.runQuery("waits")
    world.time.settle()
    pool.evictAll()  # also one that is being made: its credentials may be the old ones
    resting.set()
    assert world.result(waiting) == [(1,)]
    assert pool.stats().evictions == {"evicted": 5}
    pool.evictAll()
    world.time.settle()
    assert world.open() == 0


# ---------------------------------------------------------------------------------------------------------- connecting


def test_a_connection_that_comes_too_late_is_closed_and_cp_openfun_not_called(world: World) -> None:
    opened: list[Any] = []
    gate = threading.Event()
    world.driver.when("connect", gate, times=1)
    pool = world.pool(cp_max=1, cp_connect_timeout=5, cp_openfun=opened.append)
    call = pool.runQuery("select")
    world.time.advance(6)
    assert successResultOf(call) == [(1,)]
    assert len(opened) == 1
    gate.set()
    world.time.settle()
    assert len(opened) == 1
    assert (world.driver.calls["connect"], world.driver.calls["close"]) == (2, 1)
    assert pool.stats().abandoned == 0


# --------------------------------------------------------------------------------------------------------- after close


def test_a_closed_pool_says_so_whatever_it_is_asked(world: World) -> None:
    pool = world.pool()
    connection = world.result(pool.connect())
    closed = pool.close()
    world.time.settle()
    for call in (pool.runQuery("x"), pool.connect(), pool.ready(), pool.suspend()):
        failureResultOf(call, PoolClosed)
    world.result(pool.disconnect(connection))
    assert world.result(closed) is None
    for call in (pool.runQuery("x"), pool.connect(), pool.ready(), pool.suspend()):
        failureResultOf(call, PoolClosed)
    pool.resume()
    pool.evictAll()
    assert pool.stats().state == "closed"
    assert pool.using(timeout=math.inf).runQuery("x").addErrback(lambda failure: failure.trap(PoolClosed)).called
