"""Calls that nobody waits for any more, and connections that do not come back."""

from __future__ import annotations

import math

import pytest

from asyncdb._core import EntryState, JobState
from asyncdb.errors import CommitUnknown, DeadlineExceeded
from tests.support.core_pool import AGAIN, Pool

# ----------------------------------------------------------------------------------------------------------- cancelling


def test_cancelling_a_waiting_job_takes_it_out() -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    doomed, kept = pool.submit(), pool.submit()
    pool.cancel(doomed)
    assert doomed.state is JobState.DONE
    pool.tell(pool.core.finished, entry)
    assert entry.job is kept
    assert pool.core.tally.cancelled == 1


def test_cancelling_a_job_that_is_done_or_cancelled_does_nothing() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.cancel(job)
    pool.cancel(job)
    pool.tell(pool.core.finished, entry)
    pool.cancel(job)
    assert job.state is JobState.DONE
    assert pool.core.tally.cancelled == 1
    assert len(pool.interrupted) == 1


def test_cancelling_a_running_job_interrupts_it_until_it_comes_back_and_then_has_it_checked() -> None:
    pool = Pool(max=1, check_timeout=10.0)
    entry, job = pool.busy()
    waiting = pool.submit()
    pool.cancel(job)
    assert job.state is JobState.ABANDONED
    assert entry.state is EntryState.BUSY
    assert pool.interrupted == [entry]
    pool.pass_time(3 * AGAIN)
    assert pool.interrupted == [entry] * 4
    pool.tell(pool.core.finished, entry)
    assert entry.state is EntryState.CHECKING
    assert waiting.state is JobState.WAITING
    pool.tell(pool.core.checked, entry)
    assert entry.job is waiting
    assert pool.core.tally.interrupts == 4
    assert not pool.failed


@pytest.mark.parametrize("event", ["failed", "distrusted", "suspected"])
def test_an_interrupted_connection_is_checked_however_its_job_ended(event: str) -> None:
    pool = Pool(max=1)
    entry, job = pool.busy()
    pool.submit()
    pool.cancel(job)
    pool.tell(getattr(pool.core, event), entry)
    assert entry.state is EntryState.CHECKING
    assert job.state is JobState.DONE
    assert pool.core.waiting == 1


def test_a_job_whose_statement_does_not_stop_is_cut_and_another_connection_serves() -> None:
    pool = Pool(max=1, check_timeout=10.0)
    entry, job = pool.busy()
    waiting = pool.submit()
    pool.cancel(job)
    pool.pass_time(10)
    assert pool.cut == [entry]
    assert entry.state is EntryState.ABANDONED
    assert pool.connect().job is waiting
    assert pool.core.tally.evictions == {"cancelled": 1}
    pool.lose(entry)  # it comes back at last
    assert not pool.core.strays
    assert pool.core.tally.evictions == {"cancelled": 1}


def test_where_a_driver_cannot_interrupt_the_connection_is_cut_at_once() -> None:
    pool = Pool(max=1, again=None)
    entry, job = pool.busy()
    waiting = pool.submit()
    pool.cancel(job)
    assert pool.cut == [entry]
    assert not pool.interrupted
    pool.pass_time(0)
    assert pool.connect().job is waiting


def test_a_commit_is_left_alone_and_cut_at_last() -> None:
    pool = Pool(max=1, check_timeout=10.0)
    entry, job = pool.busy()
    job.committing = True
    pool.cancel(job)
    pool.pass_time(9.9)
    assert not pool.interrupted
    assert not pool.cut
    pool.pass_time(0.1)
    assert pool.cut == [entry]


def test_a_commit_that_ends_leaves_a_connection_that_need_not_be_checked() -> None:
    pool = Pool(max=1)
    entry, job = pool.busy()
    job.committing = True
    waiting = pool.submit()
    pool.cancel(job)
    pool.tell(pool.core.finished, entry)
    assert entry.job is waiting


def test_a_cancelled_job_on_a_suspect_connection_does_not_go_back() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.cancel(job)
    pool.tell(pool.core.suspected, entry)
    assert job.state is JobState.DONE
    assert pool.core.waiting == 0


def test_a_check_after_an_interrupt_that_takes_too_long_is_cut() -> None:
    pool = Pool(max=1, check_timeout=10.0)
    entry, job = pool.busy()
    pool.cancel(job)
    pool.tell(pool.core.finished, entry)
    pool.pass_time(10)
    assert pool.cut == [entry]
    assert entry.state is EntryState.ABANDONED


# ------------------------------------------------------------------------------------------------------------ deadlines


def test_a_running_job_fails_at_its_deadline_and_is_interrupted() -> None:
    pool = Pool(max=1, timeout=3.0)
    entry, job = pool.busy()
    pool.wait(1)
    waiting = pool.submit()
    pool.pass_time(2)
    error = pool.error_of(job)
    assert isinstance(error, DeadlineExceeded)
    assert "not ended within its timeout of 3 s; it is interrupted, and may have taken effect" in str(error)
    assert "busy 1" in str(error)
    assert pool.interrupted == [entry]
    assert pool.core.tally.timeouts == 1
    pool.tell(pool.core.finished, entry)
    pool.tell(pool.core.checked, entry)
    assert entry.job is waiting
    pool.pass_time(1)  # of the three seconds of the whole call
    assert isinstance(pool.error_of(waiting), DeadlineExceeded)


def test_the_outcome_of_a_commit_at_its_deadline_is_not_guessed() -> None:
    pool = Pool(max=1, timeout=3.0)
    _, job = pool.busy()
    job.committing = True
    pool.pass_time(3)
    assert isinstance(pool.error_of(job), CommitUnknown)
    assert not pool.interrupted


def test_a_timeout_of_its_own_ends_one_call_and_no_other() -> None:
    pool = Pool(max=3, timeout=30.0)
    usual, endless, short = (pool.submit(timeout=seconds) for seconds in (None, math.inf, 1.0))
    for _ in range(3):
        pool.connect()
    pool.pass_time(1)
    assert [job for job, _ in pool.failed] == [short]
    pool.pass_time(29)
    assert [job for job, _ in pool.failed] == [short, usual]
    pool.pass_time(1000)
    assert endless.state is JobState.RUNNING


def test_a_call_that_fails_at_its_deadline_can_be_cancelled_without_effect() -> None:
    pool = Pool(timeout=3.0)
    _, job = pool.busy()
    pool.pass_time(3)
    pool.cancel(job)
    assert pool.core.tally.cancelled == 0
    assert len(pool.failed) == 1


# ------------------------------------------------------------------------------------------------- those that are stuck


def test_threads_that_may_be_stuck_are_bounded() -> None:
    pool = Pool(max=2, connect_timeout=1.0, wait_timeout=None)
    for _ in range(4):
        pool.submit()
    pool.pass_time(60)
    taken = pool.carry
    assert len(pool.core.strays) == 2
    assert len(pool.core.entries) == 1  # one attempt at a time
    assert len(taken) == 3
    stray = next(iter(pool.core.strays))
    pool.do(pool.core.connect_failed(stray, OSError(), True, pool.now))
    pool.pass_time(0)
    assert len(pool.core.strays) == 2  # room for the next


def stuck(**options: float) -> Pool:
    """A pool of one connection whose one thread that may be stuck, is."""
    pool = Pool(max=1, wait_timeout=None, check_timeout=1.0, connect_timeout=5.0, **options)
    pool.lent()
    (entry,) = pool.core.entries
    pool.do(pool.core.returned(entry, pool.now))
    pool.pass_time(1)
    assert pool.core.strays == {entry}
    pool.carry.clear()
    pool.cut.clear()
    return pool


def back(pool: Pool) -> None:
    """It comes back."""
    (entry,) = pool.core.strays
    pool.tell(pool.core.ended, entry)
    pool.pass_time(0)


def test_with_no_room_for_one_more_that_is_stuck_a_cancelled_call_is_interrupted_on_and_on() -> None:
    pool = stuck()
    entry, job = pool.busy()
    pool.cancel(job)
    pool.pass_time(10)  # its second has passed long ago
    assert entry.state is EntryState.BUSY
    assert len(pool.interrupted) == 1 + 10 / AGAIN
    back(pool)
    assert entry.state is EntryState.ABANDONED
    assert pool.cut == [entry]


def test_with_no_room_for_one_more_that_is_stuck_a_commit_waits() -> None:
    pool = stuck()
    entry, job = pool.busy()
    job.committing = True
    pool.cancel(job)
    pool.pass_time(10)
    assert entry.state is EntryState.BUSY
    assert not pool.interrupted
    back(pool)
    assert pool.cut == [entry]


def test_with_no_room_for_one_more_that_is_stuck_and_no_way_to_interrupt_a_cancelled_call_waits() -> None:
    pool = Pool(max=1, again=None)
    first, job = pool.busy()
    pool.cancel(job)
    pool.pass_time(0)
    second, job = pool.busy()
    pool.cancel(job)
    pool.pass_time(10)
    assert pool.cut == [first]
    assert second.state is EntryState.BUSY
    back(pool)
    assert pool.cut == [first, second]


@pytest.mark.parametrize("state", [EntryState.CONNECTING, EntryState.CHECKING, EntryState.RESETTING])
def test_with_no_room_for_one_more_that_is_stuck_what_is_under_way_waits(state: EntryState) -> None:
    pool = stuck()
    if state is EntryState.CONNECTING:
        pool.submit()
        entry = pool.take(EntryState.CONNECTING)
    elif state is EntryState.CHECKING:
        entry, _ = pool.busy()
        pool.tell(pool.core.distrusted, entry)
    else:
        entry = pool.lent()
        pool.do(pool.core.returned(entry, pool.now))
    pool.pass_time(10)
    assert entry.state is state
    back(pool)
    assert entry.state is EntryState.ABANDONED
    assert pool.cut == [entry]
