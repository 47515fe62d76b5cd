"""Calls that nobody waits for any more: how their statements are stopped, and what becomes of their connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asyncdb import CommitUnknown, ConnectionPool, DeadlineExceeded
from asyncdb.testing import HANG, ScriptedDriver, VirtualTime
from netcore.defer import CancelledError, Deferred
from netcore.testing import failureResultOf, successResultOf
from netcore.testing.network import heldUp

AGAIN = 0.1  # `Driver.interrupt_again`
CHECK = 2.0  # cp_check_timeout


class World:
    """A pool of one connection on virtual time, and the driver behind it."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.driver = ScriptedDriver(interruptible=True)

    def pool(self, **options: Any) -> ConnectionPool:
        return self.time.pool(self.driver, **{"cp_max": 1, "cp_wait_timeout": None, **options})

    def hang(self) -> None:
        """The next statement does not answer."""
        self.driver.when("execute", HANG, times=1)

    def cancelled(self, call: Deferred[Any], kind: type[BaseException] = CancelledError) -> None:
        """Cancel *call*, which is answered at once; and let happen what can happen now."""
        self.time.settle()
        call.cancel()
        failureResultOf(call, kind)
        self.time.settle()

    def result(self, call: Deferred[Any]) -> Any:
        """What *call* comes to without waiting."""
        self.time.settle()
        return successResultOf(call)


@pytest.fixture
def world() -> Iterator[World]:
    with VirtualTime() as time:
        yield World(time)


def in_autocommit(pool: ConnectionPool) -> None:
    """Have single statements run as psycopg2's do: nothing follows on them."""
    driver: Any = pool._driver
    tasks: Any = pool._tasks
    driver.may_autocommit = lambda connection: True
    driver.left_open = lambda connection: False
    tasks._autocommit = lambda connection: None


class Python:
    """What a user's function does between two statements: it waits for *gate*."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self, transaction: Any) -> None:
        transaction.execute("first")
        with heldUp(lambda: not self.gate.is_set()):
            assert self.gate.wait(30)
        transaction.execute("second")


# ------------------------------------------------------------------------------------------------ a driver that can


def test_a_running_statement_is_interrupted_and_its_connection_proven_and_kept(world: World) -> None:
    pool = world.pool()
    world.hang()
    world.cancelled(pool.runQuery("hangs"))
    assert world.driver.calls["interrupt"] == 1
    assert world.driver.calls["ping"] == 1
    assert world.driver.calls["commit"] == 0
    following = pool.runQuery("following")
    world.time.settle()
    assert successResultOf(following) == [(1,)]
    stats = pool.stats()
    assert (stats.connected, stats.cancelled, stats.interrupts, stats.checks, stats.evictions) == (1, 1, 1, 1, {})


def test_who_waits_gets_the_connection_as_soon_as_it_is_proven(world: World) -> None:
    pool = world.pool()
    world.hang()
    running, waiting = pool.runQuery("hangs"), pool.runQuery("waits")
    world.cancelled(running)
    assert successResultOf(waiting) == [(1,)]
    assert world.driver.statements == [("hangs",), ("waits",)]


@pytest.mark.parametrize("method", ["runQuery", "runOperation", "runInteraction", "runWithConnection"])
def test_each_kind_of_call_is_interrupted_at_its_deadline_and_commits_nothing(world: World, method: str) -> None:
    pool = world.pool(cp_timeout=5.0)
    world.hang()
    work: Any = "select"
    if method == "runInteraction":
        work = lambda transaction: transaction.execute("select")  # noqa: E731
    elif method == "runWithConnection":
        work = lambda connection: connection.cursor().execute("select")  # noqa: E731
    call = getattr(pool, method)(work)
    world.time.advance(4.9)
    assert not call.called
    world.time.advance(0.1)
    assert "not ended within its timeout of 5 s" in str(failureResultOf(call, DeadlineExceeded).value)
    world.time.settle()
    assert world.driver.calls["interrupt"] == 1
    assert world.driver.calls["commit"] == 0
    assert world.result(pool.runQuery("after")) == [(1,)]
    assert (pool.stats().connected, pool.stats().timeouts) == (1, 1)


def test_a_statement_that_goes_on_is_interrupted_again_and_again(world: World) -> None:
    pool = world.pool()
    world.hang()
    refused = world.driver.when("interrupt", world.driver.OperationalError("no way to the server"), times=3)
    world.cancelled(pool.runQuery("hangs"))
    assert refused.count == 1
    world.time.advance(2 * AGAIN)
    assert refused.count == 3
    waiting = pool.runQuery("waits")
    world.time.advance(AGAIN)
    assert successResultOf(waiting) == [(1,)]
    assert (pool.stats().connected, pool.stats().interrupts) == (1, 4)


def test_one_that_stops_for_no_interrupt_is_cut_and_others_do_not_wait_for_it(world: World) -> None:
    pool = world.pool()
    world.hang()
    world.driver.when("interrupt", world.driver.OperationalError("no way to the server"))
    world.cancelled(pool.runQuery("hangs"))
    waiting = pool.runQuery("waits")
    world.time.advance(CHECK - 0.01)
    assert not waiting.called
    world.time.advance(0.01)
    assert successResultOf(waiting) == [(1,)]
    assert pool.stats().evictions == {"cancelled": 1}
    assert pool.stats().abandoned == 0  # being cut, it has come back
    assert world.driver.connections[0].closed


def test_an_interrupt_under_way_is_not_sent_twice(world: World) -> None:
    pool = world.pool()
    world.hang()
    gate = threading.Event()
    world.driver.when("interrupt", gate, times=1)
    world.cancelled(pool.runQuery("hangs"))
    world.time.advance(5 * AGAIN)
    assert world.driver.calls["interrupt"] == 1
    gate.set()
    assert world.result(pool.runQuery("after")) == [(1,)]
    assert pool.stats().connected == 1


# ------------------------------------------------------------------------------------- the moment of the interrupt


def test_nobody_gets_a_connection_that_somebody_is_about_to_interrupt(world: World) -> None:
    """The statement ends by itself, and the interrupt is still on its way: whoever waits, waits for that."""
    pool = world.pool()
    in_autocommit(pool)
    ends, interrupts = threading.Event(), threading.Event()
    world.driver.when("execute", ends, times=1)
    world.driver.when("interrupt", interrupts, times=1)
    late = world.driver.when("ping", world.driver.QueryCanceled, times=1)
    world.cancelled(pool.runQuery("ends by itself"))
    waiting = pool.runQuery("waits")
    ends.set()
    world.time.settle()
    assert not waiting.called
    assert world.driver.calls["ping"] == 0
    interrupts.set()
    world.time.settle()
    assert late.count == 1  # it was hit, and no other
    assert successResultOf(waiting) == [(1,)]
    assert pool.stats().connected == 1


def test_an_interrupt_that_hits_the_rollback_costs_no_connection(world: World, caplog: Any) -> None:
    pool = world.pool()
    rolls_back, interrupts = threading.Event(), threading.Event()
    world.driver.when("execute", world.driver.IntegrityError("twice"), times=1)
    rollback = world.driver.when("rollback", rolls_back, times=1)
    world.driver.when("interrupt", interrupts, times=1)
    call = pool.runOperation("fails")
    world.time.settle()
    assert rollback.count == 1
    world.cancelled(call)
    interrupts.set()
    assert world.result(pool.runQuery("after")) == [(1,)]
    assert pool.stats().connected == 1
    assert "rolling back failed" not in caplog.text


def test_an_interrupt_that_never_returns_holds_up_nobody_and_not_the_end(world: World) -> None:
    pool = world.pool()
    ends, never = threading.Event(), threading.Event()
    world.driver.when("execute", ends, times=1)
    world.driver.when("interrupt", never, times=1)
    world.cancelled(pool.runQuery("ends by itself"))
    ends.set()
    waiting = pool.runQuery("waits")
    world.time.advance(CHECK)
    assert successResultOf(waiting) == [(1,)]  # on another connection
    stats = pool.stats()
    assert (stats.connected, stats.total, stats.abandoned, stats.evictions) == (2, 1, 0, {"check": 1})
    began = world.time.seconds()
    world.time.runUntil(pool.close(deadline=1.0))
    assert world.time.seconds() - began <= 2.0
    assert world.driver.calls["close"] == 1  # the interrupt may still use the other one
    never.set()
    world.time.settle()
    assert world.driver.calls["close"] == 2


def test_a_connection_lost_under_an_interrupt_is_closed_when_that_is_over(world: World) -> None:
    pool = world.pool()
    never = threading.Event()
    world.hang()
    world.driver.when("interrupt", never, times=1)
    world.cancelled(pool.runQuery("hangs"))
    world.driver.connections[0].kill()
    assert world.result(pool.runQuery("after")) == [(1,)]
    assert world.driver.calls["close"] == 0
    never.set()
    world.time.settle()
    assert world.driver.calls["close"] == 1


def test_interrupts_that_never_return_leave_threads_for_calls(world: World) -> None:
    pool = world.pool()
    never = threading.Event()
    world.driver.when("interrupt", never)
    for number in range(8):
        world.hang()
        world.cancelled(pool.runQuery(f"hangs {number}"))
        world.time.advance(CHECK)
    assert world.driver.calls["interrupt"] == 2  # twice cp_max
    assert world.result(pool.runQuery("after")) == [(1,)]
    crew = pool._crew
    assert crew is not None
    assert len(crew._threads.threads) <= 4
    never.set()
    world.hang()
    world.cancelled(pool.runQuery("hangs again"))
    assert world.driver.calls["interrupt"] == 3
    assert world.result(pool.runQuery("after all")) == [(1,)]


def test_connections_that_wait_for_an_interrupt_to_end_are_done_without(world: World) -> None:
    """Statements end, but interrupts never do: no thread is inside the driver with these connections."""
    pool = world.pool()
    never = threading.Event()
    world.driver.when("interrupt", never)
    for number in range(4):
        ends = threading.Event()
        world.driver.when("execute", ends, times=1)
        world.cancelled(pool.runQuery(f"ends by itself {number}"))
        ends.set()
        world.time.advance(CHECK)
        assert pool.stats().abandoned == 0
    assert world.driver.calls["interrupt"] == 2  # twice cp_max
    assert world.result(pool.runQuery("after")) == [(1,)]
    never.set()
    world.time.settle()
    assert world.driver.calls["close"] == 2


# ----------------------------------------------------------------------------------------------------------- commits


def test_a_commit_is_not_interrupted_and_its_outcome_not_guessed(world: World) -> None:
    pool = world.pool()
    gate = threading.Event()
    world.driver.when("commit", gate, times=1)
    call = pool.runOperation("insert")
    world.cancelled(call, CommitUnknown)
    world.time.advance(CHECK / 2)
    assert world.driver.calls["interrupt"] == 0
    gate.set()
    assert world.result(pool.runQuery("after")) == [(1,)]
    assert pool.stats().connected == 1
    assert pool.stats().evictions == {}


def test_a_commit_that_does_not_end_is_cut(world: World) -> None:
    pool = world.pool(cp_timeout=5.0)
    commit = world.driver.when("commit", HANG, times=1)
    call = pool.runOperation("insert")
    world.time.advance(5.0)
    assert commit.count == 1
    assert "passed during COMMIT" in str(failureResultOf(call, CommitUnknown).value)
    waiting = pool.runQuery("waits")
    world.time.advance(CHECK)
    assert successResultOf(waiting) == [(1,)]
    assert world.driver.calls["interrupt"] == 0
    assert pool.stats().evictions == {"cancelled": 1}


# -------------------------------------------------------------------------------------------------- functions of Python


def test_a_function_between_two_statements_gets_no_further_and_commits_nothing(world: World) -> None:
    pool, function = world.pool(), Python()
    world.cancelled(pool.runInteraction(function))
    assert world.driver.calls["interrupt"] == 1
    waiting = pool.runQuery("waits")
    function.gate.set()
    world.time.settle()
    assert successResultOf(waiting) == [(1,)]
    assert world.driver.statements == [("first",), ("waits",)]
    assert world.driver.calls["commit"] == 1  # of the other
    assert world.driver.calls["rollback"] >= 1
    assert pool.stats().connected == 1


def test_a_function_that_does_not_end_keeps_its_connection_and_others_get_another(world: World) -> None:
    pool, function = world.pool(), Python()
    world.cancelled(pool.runInteraction(function))
    waiting = pool.runQuery("waits")
    world.time.advance(CHECK)
    assert successResultOf(waiting) == [(1,)]
    assert (pool.stats().connected, pool.stats().abandoned) == (2, 1)
    function.gate.set()
    world.time.settle()
    assert pool.stats().abandoned == 0
    assert world.driver.calls["close"] == 1
    assert ("second",) not in world.driver.statements


# ------------------------------------------------------------------------------------------------- a driver that cannot


def test_where_a_driver_cannot_interrupt_the_connection_is_cut_and_another_made_at_once(world: World) -> None:
    world.driver = ScriptedDriver(sockets=True)
    pool = world.pool()
    world.hang()
    world.cancelled(pool.runQuery("hangs"))
    assert world.driver.connections[0].closed
    assert world.result(pool.runQuery("after")) == [(1,)]
    assert pool.stats().evictions == {"cancelled": 1}
    assert pool.stats().interrupts == 0


# --------------------------------------------------------------------------------------------------- many stuck threads


def test_with_every_thread_stuck_calls_fail_in_time_and_all_is_well_when_they_come_back(world: World) -> None:
    """No interrupt and no cut brings them back: as on a file system that hangs."""
    pool = world.pool(cp_max=32, cp_timeout=5.0)
    driver: Any = pool._driver
    driver.cut = lambda connection: None
    back = threading.Event()
    driver.interrupt = lambda connection: None

    def stuck(*args: Any) -> None:
        with heldUp(lambda: not back.is_set()):
            assert back.wait(60)

    world.driver.when("execute", stuck)
    calls = [pool.runQuery("stuck") for _ in range(200)]
    world.time.advance(5.0)
    for call in calls:
        failureResultOf(call, DeadlineExceeded)
    world.time.advance(CHECK)
    again = [pool.runQuery("stuck too") for _ in range(100)]
    world.time.advance(5.0 + CHECK)
    for call in again:
        failureResultOf(call, DeadlineExceeded)
    stats = pool.stats()
    assert (stats.total, stats.abandoned) == (32, 32)
    crew = pool._crew
    assert crew is not None
    assert len(crew._threads.threads) <= 4 * 32
    world.driver.clear()
    back.set()
    assert world.result(pool.runQuery("after")) == [(1,)]
    stats = pool.stats()
    assert stats.abandoned == 0
    assert stats.total == stats.idle


def test_whoever_waits_does_not_count_on_a_check_that_takes_too_long(world: World) -> None:
    """As many threads are stuck as may be, so it keeps its place: there is room for another all the same."""
    pool = world.pool(cp_max=2)
    driver: Any = pool._driver
    driver.cut = lambda connection: None
    back = threading.Event()
    for _ in range(3):
        world.result(pool.runQuery("before"))
        world.time.advance(1)
        world.driver.when("ping", back, times=1)
        asked = pool.using(timeout=1.0).runQuery("waits for the check")
        world.time.advance(1)
        failureResultOf(asked, DeadlineExceeded)
        world.time.advance(CHECK - 2)
        waits = pool.runQuery("goes on waiting")
        world.time.advance(1)
        assert successResultOf(waits) == [(1,)]
    assert pool.stats().abandoned == 2
    assert world.result(pool.runQuery("after")) == [(1,)]
    back.set()
