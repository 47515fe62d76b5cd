"""The end of a pool: what closing lets run, cuts and fails."""

from __future__ import annotations

import math

import pytest

from asyncdb._core import EntryState, JobState
from asyncdb._core._timing import CUT_AGAIN, CUT_GRACE
from asyncdb.errors import CommitUnknown, PoolClosed
from tests.support.core_pool import Pool


def test_closing_fails_what_waits_retires_what_rests_and_lets_run_what_runs() -> None:
    pool = Pool(max=2)
    idle, busy = pool.busy()[0], pool.busy()[0]
    pool.tell(pool.core.finished, idle)
    pool.carry.clear()
    pool.do(pool.core.close(pool.now, 5.0))
    assert idle.state is EntryState.CLOSING
    assert pool.carry == [idle]
    assert busy.state is EntryState.BUSY
    pool.tell(pool.core.finished, busy)
    assert busy.state is EntryState.CLOSING
    pool.tell(pool.core.ended, idle)
    assert not pool.drained
    pool.tell(pool.core.ended, busy)
    assert pool.drained == 1
    with pytest.raises(PoolClosed):
        pool.submit()


def test_closing_fails_queued_jobs() -> None:
    pool = Pool(max=1)
    entry, running = pool.busy()
    queued = pool.submit()
    pool.do(pool.core.close(pool.now, 5.0))
    assert isinstance(pool.error_of(queued), PoolClosed)
    assert pool.core.tally.closed_waiting == 1
    assert "nothing of it was sent" in str(pool.error_of(queued))
    assert running.state is JobState.RUNNING
    assert entry.state is EntryState.BUSY


def test_closing_an_empty_pool_drains_it_at_once() -> None:
    pool = Pool()
    pool.do(pool.core.close(pool.now, 5.0))
    assert pool.drained == 1
    pool.do(pool.core.close(pool.now, 5.0))
    assert pool.drained == 1


def test_at_the_deadline_what_still_runs_is_cut_and_fails() -> None:
    pool = Pool(max=3)
    entry, job = pool.busy()
    committing_entry, committing = pool.busy()
    committing.committing = True
    lent = pool.lent()
    pool.do(pool.core.close(pool.now, 5.0))
    assert pool.core.wake_at <= 105.0
    pool.wait(5)
    pool.expire()
    assert isinstance(pool.error_of(job), PoolClosed)
    assert isinstance(pool.error_of(committing), CommitUnknown)
    assert {*pool.cut} == {entry, committing_entry, lent}
    assert lent.state is EntryState.CLOSING
    assert pool.carry == [lent]
    assert not pool.drained
    for ended in (entry, committing_entry, lent):
        pool.tell(pool.core.ended, ended)
    assert pool.drained == 1


def test_what_does_not_come_back_after_a_cut_is_cut_again_and_then_left() -> None:
    pool = Pool()
    entry, _ = pool.busy()
    pool.do(pool.core.close(pool.now, 5.0))
    pool.wait(5)
    pool.expire()
    assert pool.core.wake_at == pytest.approx(pool.now + CUT_AGAIN)
    pool.wait(CUT_AGAIN)
    pool.expire()
    assert pool.cut == [entry, entry]
    pool.wait(CUT_GRACE)
    pool.expire()
    assert pool.drained == 1
    assert pool.core.wake_at == math.inf
    pool.tell(pool.core.ended, entry)  # it does come back
    assert pool.drained == 1


def test_closing_does_not_wait_its_deadline_for_threads_given_up_before() -> None:
    pool = Pool(connect_timeout=1.0)
    job = pool.submit()
    stuck = pool.take(EntryState.CONNECTING)
    pool.cancel(job)
    pool.wait(1)
    pool.expire()
    pool.do(pool.core.close(pool.now, 5.0))
    assert not pool.drained
    pool.expire()
    pool.wait(CUT_GRACE)
    pool.expire()
    assert pool.drained == 1
    pool.tell(pool.core.ended, stuck)


def test_a_connection_that_comes_while_closing_is_closed() -> None:
    pool = Pool()
    pool.submit()
    entry = pool.take(EntryState.CONNECTING)
    pool.do(pool.core.close(pool.now, 5.0))
    pool.tell(pool.core.connected, entry)
    assert entry.state is EntryState.CLOSING


def test_a_job_on_a_suspect_connection_fails_when_the_pool_closes() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.do(pool.core.close(pool.now, 5.0))
    pool.tell(pool.core.suspected, entry)
    assert isinstance(pool.error_of(job), PoolClosed)
    assert pool.core.tally.closed_waiting == 1
    assert entry.state is EntryState.CLOSING


def test_closing_again_can_only_bring_the_deadline_nearer() -> None:
    pool = Pool()
    pool.busy()
    pool.do(pool.core.close(pool.now, 5.0))
    pool.do(pool.core.close(pool.now, 50.0))
    pool.do(pool.core.close(pool.now, 2.0))
    pool.wait(2)
    pool.expire()
    assert len(pool.cut) == 1


def test_a_call_cancelled_while_the_pool_closes_is_answered_once() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.do(pool.core.close(pool.now, 5.0))
    pool.cancel(job)
    assert pool.interrupted == [entry]
    pool.tell(pool.core.finished, entry)
    assert entry.state is EntryState.CLOSING  # what is closed need not be clean
    pool.tell(pool.core.ended, entry)
    assert pool.drained == 1
    assert not pool.failed


def test_what_a_closing_pool_closes_counts_as_no_eviction() -> None:
    pool = Pool(max=3)
    pool.busy()
    lent = pool.lent()
    pool.idle()
    pool.do(pool.core.close(pool.now, 1.0))
    pool.do(pool.core.forsaken(lent))
    pool.pass_time(5)
    assert not pool.core.tally.evictions


def test_a_cut_call_that_nobody_waits_for_ends_the_pool_in_time_too() -> None:
    pool = Pool(max=1, again=None)
    entry, job = pool.busy()
    pool.do(pool.core.close(pool.now, 50.0))
    pool.cancel(job)
    assert pool.cut == [entry]
    pool.pass_time(2 * CUT_GRACE)
    assert pool.drained == 1
