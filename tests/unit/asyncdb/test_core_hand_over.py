"""The usual case under load has a way of its own: it comes to the same, or is left to the other way untouched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asyncdb._core import EntryState, Job, JobState, QuickCalls
from asyncdb._core._crowd import SAMPLE, STALL
from asyncdb._core._states import Entry
from asyncdb._core._tally import BATCH
from tests.support.core_pool import Pool
from tests.unit.asyncdb.situations import SITUATIONS, picture

QUICK = 1e-3


def loaded(waiting: int = 5, **options: Any) -> tuple[Pool, Entry, list[Job]]:
    """Each of two connections runs a call, more calls wait than there are threads, and the first has just ended."""
    pool = Pool(leak_after=30.0, **options)
    entry, _ = pool.busy()
    pool.busy()
    jobs = [pool.submit() for _ in range(waiting)]
    pool.carry.clear()
    pool.wait(QUICK)
    return pool, entry, jobs


def next_is_looked_at(pool: Pool) -> None:
    """So many calls have ended."""
    for times in (pool.core.tally.run_time, pool.core.tally.wait_time):
        times.recent[:] = [QUICK] * (SAMPLE - 1)


def test_it_comes_to_what_the_tables_say() -> None:
    pictures = []
    for usual in (True, False):
        pool, entry, jobs = loaded()
        job = entry.job
        assert job is not None
        if usual:
            assert pool.core.hand_over(entry, pool.now)
        else:
            assert pool.core.finished(entry, pool.now) is None
        assert job.state is JobState.DONE
        assert entry.job is jobs[0]
        assert (jobs[0].state, jobs[0].started) == (JobState.RUNNING, pool.now)
        core = pool.core
        told = core.tally.run_time.count(), core.tally.wait_time.count(), core.waiting, core.due_at, core.stall_at
        pictures.append((told, [core.count(state) for state in EntryState], [job.state for job in jobs]))
        pool.pass_time(29.0)  # those who wait lose their patience when they should
        assert [job.state for job in jobs[1:]] == [JobState.WAITING] * 4
        pool.pass_time(1.0)
        assert [job.state for job in jobs[1:]] == [JobState.DONE] * 4
    assert pictures[0] == pictures[1]


def test_those_who_wait_are_served_in_turn() -> None:
    pool, entry, jobs = loaded(6)
    for job in jobs[:4]:
        assert pool.core.hand_over(entry, pool.now)
        assert entry.job is job
        pool.wait(QUICK)
    assert not pool.core.hand_over(entry, pool.now)  # as many wait as are at work: somebody wants to hear soon
    assert [job.state for job in jobs[4:]] == [JobState.WAITING] * 2
    pool.tell(pool.core.finished, entry)
    assert entry.job is jobs[4]


def _nobody_waits_for_it(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    assert entry.job is not None
    pool.cancel(entry.job)


def _the_next_was_cancelled(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.submit(timeout=5.0)  # keeps the dead in the queue
    pool.cancel(jobs[0])


def _some_are_in_another_lane(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.submit(priority="high")


def _suspended(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.core.suspend()


def _to_be_replaced(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.do(pool.core.evict_all(pool.now))


def _to_be_looked_at(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    next_is_looked_at(pool)


def _few_wait(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    for job in jobs[2:]:
        pool.cancel(job)


@pytest.mark.parametrize(
    "happens",
    [
        _nobody_waits_for_it,
        _the_next_was_cancelled,
        _some_are_in_another_lane,
        _suspended,
        _to_be_replaced,
        _to_be_looked_at,
        _few_wait,
    ],
)
def test_whatever_else_there_is_to_think_of_is_left_to_the_other_way(
    happens: Callable[[Pool, Entry, list[Job]], None],
) -> None:
    pool, entry, jobs = loaded()
    happens(pool, entry, jobs)
    before = picture(pool, entry)
    assert not pool.core.hand_over(entry, pool.now)
    assert picture(pool, entry) == before
    job = entry.job
    assert job is not None
    pool.tell(pool.core.finished, entry)
    assert job.state is JobState.DONE


def test_who_waits_with_a_limit_or_a_name_of_its_own_is_served_the_other_way() -> None:
    for caller, timeout in (("reports", None), (None, 5.0)):
        pool, entry, _ = loaded(0)
        waiting = [pool.submit(timeout, caller=caller) for _ in range(4)]
        waiting.append(pool.submit())
        before = picture(pool, entry)
        assert not pool.core.hand_over(entry, pool.now)
        assert picture(pool, entry) == before
        pool.tell(pool.core.finished, entry)
        assert entry.job is waiting[0]
        assert caller is None or pool.core.queue.waiting_of(caller) == 3


def test_a_call_to_be_logged_as_slow_is_not_handed_over_in_passing() -> None:
    pool, entry, _ = loaded(slow_query=QUICK / 2)
    assert not pool.core.hand_over(entry, pool.now)
    pool, entry, _ = loaded(slow_query=2 * QUICK)
    assert pool.core.hand_over(entry, pool.now)


def test_one_thread_too_many_hands_nothing_over() -> None:
    pool = Pool(max=3, crowd=QuickCalls(1.0, 1))
    entries = [pool.busy()[0] for _ in range(3)]
    for _ in range(5):
        pool.submit()
    pool.wait(QUICK)
    next_is_looked_at(pool)  # by which it is found out
    for entry in entries[:2]:
        assert not pool.core.hand_over(entry, pool.now)
        pool.tell(pool.core.finished, entry)
        assert entry.state is EntryState.IDLE
    assert pool.core.hand_over(entries[2], pool.now)


@pytest.mark.parametrize("situation", [name for name in SITUATIONS if name not in ("busy", "idle")])
def test_only_a_connection_that_runs_a_call_for_somebody_hands_over(situation: str) -> None:
    pool = Pool(max=6)
    entry = SITUATIONS[situation][1](pool)
    while pool.core.waiting < 8:
        pool.submit()
    before = picture(pool, entry)
    assert not pool.core.hand_over(entry, pool.now)
    assert picture(pool, entry) == before


@pytest.mark.parametrize("waiting", [0, 5])
def test_one_of_so_many_calls_is_looked_at_whatever_comes_between_them(waiting: int) -> None:
    pool = Pool(max=1, crowd=QuickCalls(1.0, 1))
    entry, job = pool.busy()
    for _ in range(waiting):
        pool.submit()
    for _ in range(2 * BATCH):
        if job.sequence % SAMPLE:
            if not pool.core.hand_over(entry, pool.now):
                pool.tell(pool.core.finished, entry)
        else:  # in step with the numbers of calls: one of another kind
            assert pool.core.lent(entry, pool.now)
            pool.do(pool.core.returned(entry, pool.now))
            pool.clean(entry)
        pool.submit()
        assert entry.job is not None
        job = entry.job
        pool.wait(QUICK)
    assert len(pool.core.tally.run_time.recent) < BATCH + SAMPLE  # the others are counted
    assert pool.core.plenty == 1  # it was found out that calls are quick
    assert pool.core.waiting == waiting


def test_who_comes_behind_calls_with_limits_of_their_own_waits_no_longer_than_it_may() -> None:
    pool = Pool(max=1, timeout=1.0, wait_timeout=None, leak_after=None)
    pool.submit(timeout=10.0)
    pool.connect()
    patient, other = pool.submit(timeout=10.0), pool.submit()
    pool.pass_time(1.0)
    assert [job for job, _ in pool.failed] == [other]
    assert patient.state is JobState.WAITING


def test_who_comes_when_all_others_were_served_gets_a_connection_at_rest() -> None:
    pool = Pool(rest=10.0, crowd=QuickCalls(1.0, 1))
    pool.idle(2)
    next_is_looked_at(pool)
    entry, _ = pool.busy()
    pool.tell(pool.core.finished, entry)
    pool.busy()
    waiting = [pool.submit(), pool.submit(priority="high")]  # left to the one at work
    for job in reversed(waiting):
        pool.tell(pool.core.finished, entry)
        assert entry.job is job
    pool.wait(2 * STALL)  # and the timer does not fire
    assert pool.submit().state is JobState.RUNNING


def test_where_fewer_connections_may_be_than_would_be_enough_their_number_is() -> None:
    pool = Pool(crowd=QuickCalls(1.0, 8))
    entry, _ = pool.busy()
    pool.busy()
    for _ in range(5):
        pool.submit()
    next_is_looked_at(pool)
    pool.tell(pool.core.finished, entry)
    assert pool.core.plenty == 2
    assert [pool.core.hand_over(entry, pool.now) for _ in range(3)] == [True, True, False]
