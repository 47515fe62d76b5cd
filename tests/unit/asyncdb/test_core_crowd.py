"""Quick calls: when those that wait are left to the threads at work."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asyncdb._core import Crowd, EntryState, JobState
from asyncdb._core._crowd import STALL
from asyncdb.errors import PoolOverloaded
from tests.support.core_pool import Pool

QUICK = 10e-6


def crowd(enough: int = 1) -> Crowd:
    return Crowd(10 * QUICK, enough)


def quick_pool(enough: int = 1, **options: Any) -> Pool:
    """A pool with as many connections at rest as it may have, all of whose calls were quick."""
    pool = Pool(rest=math.inf, crowd=crowd(enough), **options)
    pool.idle(pool.options.max)
    for _ in range(100):
        entry, _ = pool.busy()
        pool.wait(QUICK)
        pool.tell(pool.core.finished, entry)
    pool.carry.clear()
    assert pool.core.count(EntryState.IDLE) == pool.options.max
    return pool


def test_while_calls_are_quick_those_that_wait_are_left_to_the_thread_at_work() -> None:
    pool = quick_pool(max=4)
    entry, _ = pool.busy()
    waiting = [pool.submit() for _ in range(3)]
    assert pool.carry == []
    for job in waiting:
        pool.wait(QUICK)
        pool.tell(pool.core.finished, entry)
        assert entry.job is job
    assert pool.core.count(EntryState.BUSY) == 1


def test_several_threads_at_work_may_be_what_is_enough() -> None:
    pool = quick_pool(enough=2, max=4)
    pool.busy()
    entry, _ = pool.busy()
    waiting = [pool.submit() for _ in range(2)]
    assert pool.core.count(EntryState.BUSY) == 2
    pool.wait(QUICK)
    pool.tell(pool.core.finished, entry)  # not one too many
    assert entry.job is waiting[0]
    pool.wait(2 * STALL)
    pool.expire()  # neither of them makes room
    assert waiting[1].state is JobState.RUNNING


def test_nobody_waits_long_behind_a_slow_call() -> None:
    pool = quick_pool(max=4)
    slow, _ = pool.busy()
    waiting = [pool.submit() for _ in range(2)]
    assert pool.core.wake_at <= pool.now + STALL
    for _ in range(2):
        pool.now = pool.core.wake_at
        pool.expire()
    assert [job.state for job in waiting] == [JobState.RUNNING] * 2
    assert slow not in pool.carry
    pool.submit()  # behind three, none of which counts as quick yet
    assert pool.core.count(EntryState.BUSY) == 3
    assert pool.core.wake_at <= pool.now + STALL


def test_a_slow_call_beside_quick_ones_keeps_none_of_them_waiting() -> None:
    pool = quick_pool(max=4)
    pool.busy()
    pool.wait(1.0)
    for _ in range(10):
        entry, _ = pool.busy()
        pool.wait(QUICK)
        pool.tell(pool.core.finished, entry)


def test_one_thread_too_many_goes_to_rest() -> None:
    pool = quick_pool(max=4)
    slow, _ = pool.busy()
    jobs = [pool.submit() for _ in range(4)]
    pool.wait(2 * STALL)
    pool.expire()
    assert pool.core.count(EntryState.BUSY) == 4
    quick = [next(entry for entry in pool.core.entries if entry.job is job) for job in jobs[:3]]
    pool.wait(QUICK)
    for entry in quick[:2]:
        pool.tell(pool.core.finished, entry)
        assert entry.state is EntryState.IDLE
        assert pool.core.wake_at <= pool.now + STALL
    pool.tell(pool.core.finished, quick[2])  # the last one beside the slow one, which will not soon make room
    assert quick[2].job is jobs[3]
    assert slow.state is EntryState.BUSY


def test_calls_that_take_their_time_get_a_connection_each() -> None:
    pool = quick_pool(max=4)
    for _ in range(40):
        entry, _ = pool.busy()
        pool.wait(0.001)
        pool.tell(pool.core.finished, entry)
    for _ in range(4):
        pool.submit()
    assert pool.core.count(EntryState.BUSY) == 4


def test_where_no_call_may_wait_none_is_refused_for_being_quick() -> None:
    pool = quick_pool(max=2, max_waiting=0)
    pool.busy()
    pool.busy()
    with pytest.raises(PoolOverloaded):
        pool.submit()


def test_no_connection_is_made_for_calls_that_are_quick() -> None:
    pool = Pool(rest=math.inf, crowd=crowd(), max=4)
    entry, _ = pool.busy()
    pool.submit()  # not known to be quick yet
    pool.tell(pool.core.finished, entry)
    assert pool.core.count(EntryState.CONNECTING) == 1
    pool.connect()
    for _ in range(100):
        pool.wait(QUICK)
        pool.tell(pool.core.finished, entry)
        pool.submit()
        entry = next(e for e in pool.core.entries if e.state is EntryState.BUSY)
    for _ in range(20):
        pool.submit()
    assert len(pool.core.entries) == 2
    pool.wait(2 * STALL)
    pool.expire()
    pool.connect()
    assert len(pool.core.entries) == 4


def test_what_waits_for_a_connection_to_be_made_is_not_looked_at_again_and_again() -> None:
    pool = Pool(crowd=crowd(), max=4)
    pool.submit()
    pool.wait(2 * STALL)
    pool.expire()
    assert pool.core.wake_at > pool.now + STALL
    pool.fail(OSError("refused"))
    pool.expire()
    assert pool.core.wake_at == pool.core.outage.retry_at > pool.now + STALL


def test_the_least_connections_are_made_again_while_calls_are_quick() -> None:
    pool = quick_pool(min=2, max=2)
    pool.do(pool.core.warm(pool.now))
    entry, _ = pool.busy()
    pool.lose(entry, "unclean")
    pool.fail(OSError("refused"))
    pool.now = pool.core.outage.retry_at
    pool.busy()
    pool.carry.clear()
    pool.expire()
    assert [entry.state for entry in pool.carry] == [EntryState.CONNECTING]
