"""Quick calls: when those that wait are left to the threads at work."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asyncdb._core import EntryState, JobState, QuickCalls, SharedProcessors
from asyncdb._core._crowd import BUSY, LAZY, LONGEST, REMEMBERED, STALL
from asyncdb._core._trials import SOON
from asyncdb.errors import PoolOverloaded
from tests.support.core_pool import Pool

QUICK = 10e-6


def crowd(enough: int = 1) -> QuickCalls:
    return QuickCalls(10 * QUICK, enough)


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


def test_looking_whether_room_was_made_leaves_all_else_for_when_it_is_due() -> None:
    pool = quick_pool(max=4)
    entry, _ = pool.busy()
    pool.submit()
    pool.wait(0.9 * STALL)
    pool.tell(pool.core.finished, entry)  # and it takes the next
    pool.submit()
    pool.now, due = pool.core.wake_at, pool.core.due_at
    pool.expire()
    assert pool.core.due_at == due
    assert pool.core.wake_at == pool.now + STALL < due
    assert pool.carry == []


# ------------------------------------------------------------------------------------------- a server on this machine


class Thread:
    """How much processor time a thread has used."""

    def __init__(self) -> None:
        self.number = 1
        self.used = 0.0

    def __call__(self) -> tuple[int, float]:
        return self.number, self.used


def shared(thread: Thread, enough: int = 2) -> SharedProcessors:
    crowd = SharedProcessors(thread, enough)
    crowd.near = True
    return crowd


def work(crowd: SharedProcessors, thread: Thread, busy: float, now: float = 100.0) -> float:
    """A while passes, in which four threads are at work and use so much of a processor. Returns when that ends."""
    for _ in range(100):  # not so long that a trial begins
        now += 0.001
        thread.used += busy / 4 * 0.001
        crowd.ended(0.001, 4, now)
    return now


def test_threads_that_are_busy_beside_their_server_are_enough() -> None:
    thread = Thread()
    crowd = shared(thread)
    now = work(crowd, thread, 0.9 * BUSY)
    assert not crowd.tight
    now = work(crowd, thread, 1.1 * BUSY, now)
    assert crowd.tight
    work(crowd, thread, 1.1 * LAZY, now)  # a moment in which few threads are less busy, as happens
    assert crowd.tight


def test_threads_that_are_busy_no_more_are_not_enough() -> None:
    thread = Thread()
    crowd = shared(thread)
    now = work(crowd, thread, 1.1 * BUSY)
    now = work(crowd, thread, 0.9 * LAZY, now)
    assert not crowd.tight
    work(crowd, thread, 1.1 * BUSY, now)  # perhaps because they are more now: tried before it is believed again
    assert not crowd.tight


def test_threads_of_the_next_load_are_enough_as_those_of_the_last_were() -> None:
    thread = Thread()
    crowd = shared(thread)
    now = work(crowd, thread, 1.1 * BUSY)
    now = work(crowd, thread, 0.9 * LAZY, now)
    assert not crowd.tight
    work(crowd, thread, 1.1 * BUSY, now + 2 * SOON)
    assert crowd.tight


def test_where_the_server_has_processors_of_its_own_there_are_never_enough() -> None:
    thread = Thread()
    crowd = shared(thread)
    now = work(crowd, thread, 1.0)
    assert crowd.tight
    crowd.near = False
    work(crowd, thread, 1.0, now)
    assert not crowd.tight


def test_a_thread_that_rested_or_is_new_says_nothing() -> None:
    thread = Thread()
    crowd = shared(thread)
    now = work(crowd, thread, 1.0)
    for _ in range(100):
        now += 1.1 * LONGEST
        crowd.ended(0.001, 4, now)  # it has used nothing
    assert crowd.tight
    for number in range(2 * REMEMBERED):
        thread.number = number
        now += 0.0001
        crowd.ended(0.001, 4, now)
    assert crowd.tight
    assert len(crowd._before) <= REMEMBERED + 1


def test_beside_a_busy_local_server_some_connections_rest() -> None:
    thread = Thread()
    crowd = shared(thread)
    pool = Pool(rest=math.inf, crowd=crowd, max=4)
    pool.idle(4)
    entries = [pool.busy()[0] for _ in range(4)]

    def run(turns: int, busy: float) -> list[int]:
        """How many were at work, each turn. There is always a call that waits."""
        at_work = []
        for _ in range(turns):
            while pool.core.waiting < 10:
                pool.submit()
            pool.wait(0.001)
            thread.used += busy * 0.001
            for entry in entries:
                if entry.state is EntryState.BUSY:
                    pool.tell(pool.core.finished, entry)
            pool.expire()
            at_work.append(pool.core.count(EntryState.BUSY))
        return at_work

    assert run(200, busy=1.0)[-100:] == [2] * 100
    assert run(500, busy=0.0)[-100:] == [4] * 100


def test_a_pool_whose_threads_are_tried_serves_every_call_in_turn() -> None:
    thread = Thread()
    pool = Pool(rest=math.inf, crowd=shared(thread), max=4)
    pool.idle(4)
    jobs = [pool.submit() for _ in range(10)]
    sizes: list[int] = []
    for _ in range(12_000):
        while pool.core.waiting < 10:
            jobs.append(pool.submit())
        pool.wait(0.001)
        thread.used += 0.001
        for entry in list(pool.core.entries):
            if entry.state is EntryState.BUSY and not pool.core.hand_over(entry, pool.now):
                pool.tell(pool.core.finished, entry)
        pool.expire()
        sizes.append(pool.core.count(EntryState.BUSY))
    done = [job.state is JobState.DONE for job in jobs]
    assert done == sorted(done, reverse=True)
    assert sum(done) > 12_000
    assert sizes.count(2) > 1000  # few ...
    assert sizes.count(4) > 1000  # ... and all
    assert sizes.count(2) + sizes.count(4) > 11_500
