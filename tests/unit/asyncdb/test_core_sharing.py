"""Several jobs in one transaction: who joins, and what becomes of those that are held until it is committed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from asyncdb import CommitUnknown, PoolClosed
from asyncdb._core import Crowd, Entry, EntryState, IllegalTransition, Job, JobState, QuickCalls
from asyncdb._core._queue import TURNS
from asyncdb._core._states import Entry as Connection
from asyncdb._core._tally import BATCH
from tests.support.core_pool import Pool
from tests.unit.asyncdb.situations import picture, sharing

S = EntryState
WAITING, RUNNING, ABANDONED, DONE = JobState


def anybody(job: Job) -> bool:
    return True


def nobody(job: Job) -> bool:
    return False


def share(pool: Pool, entry: Connection, joins: Callable[[Job], object] = anybody) -> bool:
    """As a thread does: once its statement is executed, a job's outcome is that of the COMMIT."""
    assert entry.job is not None
    entry.job.committing = True
    return pool.core.share(entry, pool.now, joins)


def loaded(waiting: int = 3, **options: Any) -> tuple[Pool, Entry, Job, list[Job]]:
    """One connection, which runs a call, and others that wait."""
    pool = Pool(max=1, **options)
    entry, job = pool.busy()
    return pool, entry, job, [pool.submit() for _ in range(waiting)]


def test_those_who_wait_join_in_turn() -> None:
    pool, entry, first, jobs = loaded()
    pool.wait(1.0)
    assert share(pool, entry)
    assert (entry.job, entry.held) == (jobs[0], [first])
    assert (first.state, jobs[0].state, jobs[0].started) == (RUNNING, RUNNING, pool.now)
    assert share(pool, entry)
    assert (entry.job, entry.held) == (jobs[1], [first, jobs[0]])
    assert pool.core.waiting == 1
    pool.core.committed(entry, pool.now)
    assert [job.state for job in (first, *jobs)] == [DONE, DONE, RUNNING, WAITING]
    assert entry.held == []
    pool.tell(pool.core.finished, entry)
    assert entry.job is jobs[2]


def _does_not_join(pool: Pool, entry: Entry, jobs: list[Job]) -> Callable[[Job], object]:
    return lambda job: job is not jobs[0]


def _cancelled(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    assert entry.job is not None
    pool.cancel(entry.job)


def _next_cancelled(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.cancel(jobs[0])
    assert pool.core.queue.normal[0] is jobs[0]


def _another_lane(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.submit(priority="high")


def _expired(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.do(pool.core.evict_all(pool.now))


def _suspended(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    pool.core.suspend()


def _nobody_waits(pool: Pool, entry: Entry, jobs: list[Job]) -> None:
    for job in jobs:
        pool.cancel(job)


@pytest.mark.parametrize(
    "prevents",
    [_does_not_join, _cancelled, _next_cancelled, _another_lane, _expired, _suspended, _nobody_waits],
)
def test_none_joins(prevents: Callable[..., Callable[[Job], object] | None]) -> None:
    pool, entry, _, jobs = loaded()
    joins = prevents(pool, entry, jobs) or anybody
    before = picture(pool, entry)
    assert not pool.core.share(entry, pool.now, joins)
    assert picture(pool, entry) == before


def test_without_anybody_who_may_join_it_ends_as_alone() -> None:
    pool, entry, first, jobs = loaded()
    assert not share(pool, entry, nobody)
    pool.tell(pool.core.finished, entry)
    assert (first.state, entry.job) == (DONE, jobs[0])


def test_a_name_is_free_again_when_its_job_joins() -> None:
    pool = Pool(max=1, max_waiting_per_caller=1)
    entry, _ = pool.busy()
    pool.submit(caller="a")
    assert share(pool, entry)
    pool.submit(caller="a")
    assert pool.core.queue.waiting_of("a") == 1


def test_a_limit_of_its_own_keeps_none_from_joining() -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    job = pool.submit(timeout=1.0)
    assert share(pool, entry)
    assert entry.job is job
    assert pool.core._waits.earliest() == math.inf


def test_times_are_counted_for_each() -> None:
    pool, entry, _, _ = loaded()
    pool.wait(1.0)
    share(pool, entry)
    pool.wait(2.0)
    share(pool, entry)
    pool.wait(4.0)
    pool.core.committed(entry, pool.now)
    assert pool.core.tally.run_time.recent == [7.0, 6.0]
    assert pool.core.tally.wait_time.recent == [0.0, 1.0]


def test_so_many_are_counted_that_the_lists_do_not_grow() -> None:
    pool, entry, _, _ = loaded(0)
    for _ in range(40 * BATCH // 20):
        for _ in range(20):
            pool.submit()
            share(pool, entry)
        pool.core.committed(entry, pool.now)
        assert len(pool.core.tally.wait_time.recent) == len(pool.core.tally.run_time.recent) < BATCH + 20


class Listening(Crowd):
    """A crowd that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(1)
        self.told: list[tuple[float, int]] = []

    def ended(self, took: float, at_work: int, now: float) -> None:
        self.told.append((took, at_work))


def test_the_crowd_hears_what_one_has_taken_of_it() -> None:
    crowd = Listening()
    pool, entry, _, _ = loaded(crowd=crowd)
    share(pool, entry)
    pool.wait(1.0)
    pool.core.committed(entry, pool.now)
    assert crowd.told == [(0.5, 1)]


# ------------------------------------------------------------------------------------------------------- giving up


def test_the_caller_of_one_held_gives_it_up() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    pool.cancel(first)
    assert first.state is ABANDONED
    assert (pool.interrupted, pool.cut, pool.core.tally.cancelled) == ([], [], 1)
    assert entry.job is jobs[0]
    assert jobs[0].state is RUNNING
    pool.core.committed(entry, pool.now)
    assert first.state is DONE


def test_the_deadline_of_one_held_passes() -> None:
    pool, entry, first, jobs = loaded(timeout=10.0)
    pool.wait(5.0)
    late = pool.submit()
    for _ in range(4):
        share(pool, entry)
    assert entry.job is late
    pool.expire()  # sets the timer anew
    assert pool.core.wake_at == 110.0
    pool.pass_time(5.0)
    for job in (first, *jobs):
        error = pool.error_of(job)
        assert isinstance(error, CommitUnknown)
        assert "10 s" in str(error)
    assert pool.core.tally.timeouts == 4
    assert (late.state, pool.interrupted, pool.cut) == (RUNNING, [], [])
    pool.core.committed(entry, pool.now)
    pool.tell(pool.core.finished, entry)
    assert [job.state for job in (first, *jobs, late)] == [DONE] * 5
    assert len(pool.failed) == 4


def test_the_statement_of_another_does_not_stop() -> None:
    pool, entry, first, jobs = loaded(check_timeout=2.0)
    share(pool, entry)
    share(pool, entry)
    pool.cancel(jobs[0])  # held
    pool.cancel(jobs[1])  # running
    assert pool.interrupted == [entry]
    pool.pass_time(2.0)
    assert entry.state is S.ABANDONED
    assert isinstance(pool.error_of(first), CommitUnknown)
    assert [job for job, _ in pool.failed] == [first]
    assert pool.core.tally.failed == 1
    pool.do(pool.core.undone(entry, pool.now))  # its thread comes back
    assert [job.state for job in (first, *jobs)] == [DONE, DONE, ABANDONED, WAITING]
    pool.tell(pool.core.failed, entry)
    assert pool.core.waiting == 1


def test_the_pool_closes_and_cuts() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    pool.do(pool.core.close(pool.now, 1.0))
    pool.pass_time(1.0)
    assert isinstance(pool.error_of(first), CommitUnknown)
    assert isinstance(pool.error_of(jobs[0]), PoolClosed)
    assert [isinstance(pool.error_of(job), PoolClosed) for job in jobs[1:]] == [True, True]
    pool.core.committed(entry, pool.now)
    pool.tell(pool.core.ended, entry)
    assert pool.drained == 1


# ----------------------------------------------------------------------------------------------------------- undone


def test_what_is_undone_goes_back_to_its_place() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    share(pool, entry)
    pool.do(pool.core.undone(entry, pool.now))
    assert (entry.job, entry.held) == (jobs[1], [])
    assert [job.state for job in (first, jobs[0])] == [WAITING, WAITING]
    assert not first.committing
    assert list(pool.core.queue.normal) == [first, jobs[0], jobs[2]]
    assert pool.core.waiting == 3
    pool.tell(pool.core.failed, entry)
    assert entry.job is first


def test_its_own_job_too() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    share(pool, entry)
    pool.do(pool.core.undone(entry, pool.now, own=True))
    assert (entry.state, entry.job, entry.held) == (S.BUSY, first, [])
    assert list(pool.core.queue.normal) == jobs
    assert [job.state for job in (first, *jobs)] == [RUNNING, WAITING, WAITING, WAITING]
    assert [job.committing for job in (first, *jobs)] == [False] * 4
    assert not pool.carry


def test_its_own_job_whose_caller_has_gone() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    assert isinstance(entry.job, Job)
    entry.job.committing = True
    pool.cancel(entry.job)
    pool.do(pool.core.undone(entry, pool.now, own=True))
    assert (entry.job, jobs[0].state) == (first, DONE)


def test_its_connection_is_checked_if_it_was_interrupted_in_that_moment() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    assert isinstance(entry.job, Job)
    pool.cancel(entry.job)
    assert pool.interrupted == [entry]
    pool.do(pool.core.undone(entry, pool.now, own=True))
    assert (entry.state, entry.job, first.state) == (S.CHECKING, None, WAITING)
    pool.tell(pool.core.checked, entry)
    assert entry.job is first
    assert jobs[0].state is DONE


def test_one_from_another_lane_hides_nobody_whose_patience_ends() -> None:
    pool = Pool(max=1, wait_timeout=5.0)
    entry, _ = pool.busy()
    jobs = [pool.submit() for _ in range(TURNS)]
    low, last = pool.submit(priority="low"), pool.submit()
    for _ in range(TURNS):
        pool.tell(pool.core.finished, entry)
    assert entry.job is low  # its turn, before one that came before it
    assert share(pool, entry)
    assert entry.job is jobs[-1]
    pool.do(pool.core.undone(entry, pool.now))
    pool.core.suspend()
    pool.pass_time(5.0)
    assert [job for job, _ in pool.failed] == [last]
    assert low.state is WAITING


def test_all_of_it_in_a_pool_that_closes() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    pool.do(pool.core.close(pool.now, 5.0))
    pool.do(pool.core.undone(entry, pool.now, own=True))
    assert entry.state is S.CLOSING
    assert "undone" in str(pool.error_of(first))
    assert "undone" in str(pool.error_of(jobs[0]))


def test_it_has_had_its_connection_in_time() -> None:
    pool, entry, first, jobs = loaded(wait_timeout=1.0, timeout=20.0)
    share(pool, entry)
    pool.wait(0.5)
    pool.do(pool.core.undone(entry, pool.now))
    pool.pass_time(10.0)
    assert [job for job, _ in pool.failed] == jobs[1:]
    assert first.state is WAITING
    pool.pass_time(9.5)
    assert "its timeout" in str(pool.error_of(first))


def test_what_was_answered_is_not_done_again() -> None:
    pool, entry, first, jobs = loaded()
    share(pool, entry)
    pool.cancel(first)
    pool.do(pool.core.undone(entry, pool.now))
    assert first.state is DONE
    assert list(pool.core.queue.normal) == jobs[1:]


def test_another_connection_that_rests_takes_it() -> None:
    pool = Pool(max=2)
    entry, first = pool.busy()
    other, _ = pool.busy()
    job = pool.submit()
    share(pool, entry)
    assert entry.job is job
    pool.tell(pool.core.finished, other)
    pool.carry.clear()
    pool.do(pool.core.undone(entry, pool.now))
    assert (pool.carry, other.job, first.state) == ([other], first, RUNNING)


def test_a_pool_that_closes_fails_it() -> None:
    pool, entry, first, _ = loaded()
    share(pool, entry)
    pool.do(pool.core.close(pool.now, 5.0))
    pool.failed.clear()
    pool.do(pool.core.undone(entry, pool.now))
    assert isinstance(pool.error_of(first), PoolClosed)
    assert (first.state, pool.core.waiting) == (DONE, 0)
    assert pool.core.tally.closed_waiting == 3


@pytest.mark.parametrize("event", ["finished", "failed", "distrusted", "suspected", "lent", "ended"])
def test_the_end_of_its_own_job_comes_after(event: str) -> None:
    pool = Pool(max=1)
    entry = sharing(pool)
    assert not pool.core.hand_over(entry, pool.now)
    with pytest.raises(IllegalTransition):
        getattr(pool.core, event)(entry, pool.now)
    pool.core.committed(entry, pool.now)
    getattr(pool.core, event)(entry, pool.now)


def test_a_pool_that_is_crowded_shares_too() -> None:
    crowd = QuickCalls(1.0, 1)
    crowd.tight = True
    pool, entry, first, _ = loaded(crowd=crowd)
    assert share(pool, entry)
    assert entry.held == [first]
