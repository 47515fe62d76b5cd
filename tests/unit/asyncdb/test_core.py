"""The core's decisions, without threads: events in, orders out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from asyncdb._core import Core, Crowd, Entry, EntryState, IllegalTransition, Job, JobState, Orders
from asyncdb._core._crowd import STALL
from asyncdb._core._decide import CUT_AGAIN, CUT_GRACE
from asyncdb._core._outage import FIRST_PAUSE, LONGEST_PAUSE
from asyncdb.errors import CommitUnknown, DeadlineExceeded, PoolClosed, PoolOverloaded
from asyncdb.options import Options

REST = 0.5


class Pool:
    """A core, and a person in the part of its threads."""

    def __init__(self, rest: float = REST, crowd: Crowd | None = None, **options: Any) -> None:
        options.setdefault("max", 2)
        options.setdefault("min", 0)
        self.options = Options(**options)
        self.core: Core[Entry, Job] = Core(self.options, Entry, rest, jitter=lambda: 1.0, crowd=crowd)
        self.now = 100.0
        self.carry: list[Entry] = []
        self.failed: list[tuple[Job, BaseException]] = []
        self.cut: list[Entry] = []
        self.outages: list[BaseException] = []
        self.recovered = 0
        self.drained = 0

    def do(self, orders: Orders[Entry, Job] | None) -> None:
        if orders is None:
            return
        self.carry += orders.carry
        self.failed += orders.fail
        self.cut += orders.cut
        self.outages += [orders.outage] if orders.outage else []
        self.recovered += orders.recovered
        self.drained += orders.drained

    def submit(self) -> Job:
        timeout = self.options.timeout
        job = Job(math.inf if timeout is None else self.now + timeout)
        self.do(self.core.submit(job, self.now))
        return job

    def tell(self, event: Callable[[Entry, float], Orders[Entry, Job] | None], entry: Entry) -> None:
        self.do(event(entry, self.now))

    def take(self, state: EntryState) -> Entry:
        """The first entry to be carried that is in *state*."""
        entry = next(entry for entry in self.carry if entry.state is state)
        self.carry.remove(entry)
        return entry

    def connect(self) -> Entry:
        entry = self.take(EntryState.CONNECTING)
        self.tell(self.core.connected, entry)
        return entry

    def fail(self, error: BaseException, retryable: bool = True) -> Entry:
        entry = self.take(EntryState.CONNECTING)
        self.do(self.core.connect_failed(entry, error, retryable, self.now))
        return entry

    def busy(self) -> tuple[Entry, Job]:
        job = self.submit()
        entry = self.connect() if any(e.state is EntryState.CONNECTING for e in self.carry) else self.carry.pop()
        assert entry.job is job
        return entry, job

    def idle(self) -> Entry:
        entry, _ = self.busy()
        self.tell(self.core.finished, entry)
        assert entry.state is EntryState.IDLE
        return entry

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def expire(self) -> None:
        self.do(self.core.expire(self.now))

    def error_of(self, job: Job) -> BaseException:
        (error,) = [error for failed, error in self.failed if failed is job]
        return error


# --------------------------------------------------------------------------------------------- growing and handing over


def test_the_first_call_makes_a_connection_and_runs_on_it() -> None:
    pool = Pool()
    job = pool.submit()
    assert job.state is JobState.WAITING
    entry = pool.connect()
    assert entry.state is EntryState.BUSY
    assert entry.job is job
    assert job.state is JobState.RUNNING


def test_a_connection_is_made_for_each_waiting_job_up_to_the_maximum() -> None:
    pool = Pool(max=3)
    for expected in (1, 2, 3, 3, 3):
        pool.submit()
        assert pool.core.count(EntryState.CONNECTING) == expected
    assert len(pool.carry) == 3


def test_calls_one_after_another_need_one_connection() -> None:
    pool = Pool(max=3)
    entry = pool.idle()
    for _ in range(5):
        pool.submit()
        assert pool.carry == [entry]
        pool.carry.clear()
        pool.tell(pool.core.finished, entry)
    assert len(pool.core.entries) == 1


def test_an_entry_that_ends_a_job_takes_the_one_that_waits_longest() -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    second, third = pool.submit(), pool.submit()
    pool.tell(pool.core.finished, entry)
    assert entry.state is EntryState.BUSY
    assert entry.job is second
    pool.tell(pool.core.finished, entry)
    assert entry.job is third
    pool.tell(pool.core.finished, entry)
    assert entry.state is EntryState.IDLE
    assert pool.carry == []  # nobody else was asked to carry it


def test_the_entry_used_last_is_used_first() -> None:
    pool = Pool(max=3)
    entries = [pool.busy()[0] for _ in range(3)]
    for entry in entries:
        pool.tell(pool.core.finished, entry)
    pool.submit()
    assert pool.carry == [entries[-1]]


def test_a_connection_that_comes_after_its_job_was_served_rests() -> None:
    pool = Pool()
    first, _ = pool.busy()
    second = pool.submit()
    late = pool.take(EntryState.CONNECTING)
    pool.tell(pool.core.finished, first)
    assert first.job is second
    pool.tell(pool.core.connected, late)
    assert late.state is EntryState.IDLE


def test_beyond_max_waiting_a_call_is_refused() -> None:
    pool = Pool(max=1, max_waiting=2)
    pool.busy()
    pool.submit()
    pool.submit()
    with pytest.raises(PoolOverloaded, match=r"cp_max_waiting=2.*busy 1.*waiting 2"):
        pool.submit()
    assert pool.core.waiting == 2


def test_calls_that_connections_are_being_made_for_do_not_count_against_max_waiting() -> None:
    pool = Pool(max=2, max_waiting=0)
    pool.submit()
    pool.submit()
    with pytest.raises(PoolOverloaded):
        pool.submit()


# ------------------------------------------------------------------------------------------------------------- checking


def test_a_connection_that_rested_is_checked_while_the_job_keeps_its_place() -> None:
    pool = Pool()
    entry = pool.idle()
    pool.wait(REST + 0.01)
    job = pool.submit()
    assert pool.carry == [entry]
    assert entry.state is EntryState.CHECKING
    assert job.state is JobState.WAITING
    pool.tell(pool.core.checked, entry)
    assert entry.job is job


def test_a_connection_that_rested_a_moment_is_not_checked() -> None:
    pool = Pool()
    entry = pool.idle()
    pool.wait(REST - 0.01)
    job = pool.submit()
    assert entry.job is job


def test_a_failed_check_makes_another_connection() -> None:
    pool = Pool()
    entry = pool.idle()
    pool.wait(1)
    job = pool.submit()
    pool.carry.clear()
    pool.tell(pool.core.ended, entry)
    assert entry.state is EntryState.GONE
    assert pool.connect().job is job
    assert len(pool.core.entries) == 1


def test_a_suspect_connection_sends_its_job_back_to_the_head() -> None:
    pool = Pool(max=1)
    entry, first = pool.busy()
    second = pool.submit()
    pool.tell(pool.core.suspected, entry)
    assert entry.state is EntryState.CHECKING
    assert first.state is JobState.WAITING
    pool.tell(pool.core.checked, entry)
    assert entry.job is first
    pool.tell(pool.core.finished, entry)
    assert entry.job is second


def test_several_suspect_connections_leave_the_order_as_it_was() -> None:
    pool = Pool(max=3)
    entries = [pool.busy()[0] for _ in range(3)]
    jobs = [entry.job for entry in entries]
    last = pool.submit()
    for number in (1, 2, 0):
        pool.tell(pool.core.suspected, entries[number])
    order = []
    for entry in entries:
        pool.tell(pool.core.checked, entry)
        order.append(entry.job)
    assert order == jobs
    pool.tell(pool.core.finished, entries[0])
    assert entries[0].job is last


def test_a_job_sent_back_takes_another_resting_connection() -> None:
    pool = Pool()
    first, _ = pool.busy()
    second, _ = pool.busy()
    pool.tell(pool.core.finished, first)
    pool.tell(pool.core.finished, second)
    job = pool.submit()
    pool.carry.clear()
    pool.tell(pool.core.suspected, second)
    assert first.job is job
    assert pool.carry == [first]


def test_a_check_that_takes_too_long_is_cut_and_replaced() -> None:
    pool = Pool(connect_timeout=10.0)
    entry = pool.idle()
    pool.wait(1)
    job = pool.submit()
    pool.carry.clear()
    pool.wait(10)
    assert pool.core.wake_at <= pool.now
    pool.expire()
    assert entry.state is EntryState.ABANDONED
    assert pool.cut == [entry]
    assert pool.connect().job is job


def test_a_job_that_ends_in_a_doubtful_error_has_its_connection_checked() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.tell(pool.core.distrusted, entry)
    assert job.state is JobState.DONE
    assert entry.state is EntryState.CHECKING


# --------------------------------------------------------------------------------------------------- failing to connect


def test_an_outage_is_told_once_and_retried_with_growing_pauses() -> None:
    pool = Pool(timeout=None)
    job = pool.submit()
    pauses = []
    for _ in range(9):
        pool.fail(OSError("refused"))
        assert not pool.carry
        pauses.append(pool.core.wake_at - pool.now)
        pool.now = pool.core.wake_at
        pool.expire()
    assert pauses[:3] == pytest.approx([FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE])
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)
    assert len(pool.outages) == 1
    assert pool.connect().job is job
    assert pool.recovered == 9
    pool.submit()
    pool.fail(OSError("refused again"))
    assert len(pool.outages) == 2


def test_a_call_that_waits_through_a_pause_sees_an_attempt_made() -> None:
    pool = Pool(timeout=3.0)
    pool.submit()
    for _ in range(20):  # the outage lasts, and calls come and go
        pool.fail(OSError("refused"))
        pool.submit()
        assert pool.core.outage.retry_at - pool.now <= 1.0
        pool.now = pool.core.outage.retry_at
        pool.expire()
        assert len(pool.carry) == 1


def test_attempts_that_fail_together_count_as_one_for_the_pause() -> None:
    pool = Pool(max=5)
    for _ in range(5):
        pool.submit()
    for _ in range(5):
        pool.fail(OSError())
    assert pool.core.wake_at - pool.now == pytest.approx(FIRST_PAUSE)


def test_during_an_outage_there_is_one_attempt_at_a_time() -> None:
    pool = Pool(max=5, timeout=None)
    pool.submit()
    pool.fail(OSError())
    for _ in range(4):
        pool.submit()
    assert not pool.carry
    pool.now = pool.core.wake_at
    pool.expire()
    assert len(pool.carry) == 1
    pool.connect()
    assert len(pool.carry) == 4  # and as many as wait when it is over


def test_jobs_that_wait_in_an_outage_fail_at_their_deadline_with_figures_and_cause() -> None:
    pool = Pool(timeout=30.0, name="people")
    job = pool.submit()
    refused = OSError("connection refused\nis the server running?")
    pool.fail(refused)
    pool.wait(29.9)
    later = pool.submit()
    pool.wait(0.1)
    pool.expire()
    error = pool.error_of(job)
    assert isinstance(error, DeadlineExceeded)
    assert isinstance(error, TimeoutError)
    assert error.__cause__ is refused
    assert "cp_timeout=30.0" in str(error)
    assert "pool 'people': total 1 of 2, idle 0, busy 0, lent 0, connecting 1, waiting 2" in str(error)
    assert "OSError: connection refused" in str(error)
    assert "is the server running" not in str(error)
    assert later.state is JobState.WAITING


def test_an_error_that_no_retry_mends_fails_every_waiting_job_at_once() -> None:
    pool = Pool()
    jobs = [pool.submit() for _ in range(3)]
    wrong = TypeError("unexpected keyword")
    pool.fail(wrong, retryable=False)
    assert [pool.error_of(job) for job in jobs] == [wrong] * 3
    assert not pool.outages
    assert pool.core.waiting == 0


def test_a_connect_error_is_kept_without_its_traceback() -> None:
    pool = Pool()
    pool.submit()
    try:
        raise OSError("with a frame full of passwords")
    except OSError as error:
        pool.fail(error)
    assert pool.core.outage.error is not None
    assert pool.core.outage.error.__traceback__ is None


def test_connecting_that_takes_too_long_is_given_up_and_tried_again() -> None:
    pool = Pool(connect_timeout=10.0)
    job = pool.submit()
    stuck = pool.take(EntryState.CONNECTING)
    pool.wait(10)
    pool.expire()
    assert stuck.state is EntryState.ABANDONED
    assert len(pool.outages) == 1
    assert "cp_connect_timeout=10.0" in str(pool.outages[0])
    pool.now = pool.core.wake_at
    pool.expire()
    assert pool.connect().job is job
    pool.tell(pool.core.connected, stuck)  # late
    assert stuck.state is EntryState.ABANDONED
    pool.tell(pool.core.ended, stuck)
    assert stuck.state is EntryState.GONE
    assert not pool.core.strays


def test_a_late_failure_to_connect_is_not_counted_twice() -> None:
    pool = Pool(connect_timeout=10.0)
    pool.submit()
    stuck = pool.take(EntryState.CONNECTING)
    pool.wait(10)
    pool.expire()
    pool.do(pool.core.connect_failed(stuck, OSError(), True, pool.now))
    assert pool.core.outage.failures == 1
    pool.do(pool.core.close(pool.now, 5))
    assert pool.drained == 1


def test_threads_that_may_be_stuck_are_bounded() -> None:
    pool = Pool(max=2, connect_timeout=1.0, timeout=None)
    for _ in range(4):
        pool.submit()
    taken = []
    for _ in range(20):
        taken += [pool.take(EntryState.CONNECTING) for _ in range(len(pool.carry))]
        pool.now = min(pool.core.wake_at, pool.now + 10)
        pool.expire()
    assert len(pool.core.strays) == 2
    assert len(pool.core.entries) <= 2
    assert len(taken) <= 4
    assert pool.core.wake_at > pool.now  # and it does not spin
    stray = next(iter(pool.core.strays))
    pool.do(pool.core.connect_failed(stray, OSError(), True, pool.now))
    pool.expire()
    assert len(pool.core.strays) == 2  # room for the next


# --------------------------------------------------------------------------------------------- cancelling and deadlines


def test_cancelling_a_waiting_job_takes_it_out() -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    doomed, kept = pool.submit(), pool.submit()
    pool.core.cancel(doomed)
    assert doomed.state is JobState.DONE
    pool.tell(pool.core.finished, entry)
    assert entry.job is kept


def test_cancelling_a_running_job_leaves_its_entry_busy() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.core.cancel(job)
    assert job.state is JobState.ABANDONED
    assert entry.state is EntryState.BUSY
    pool.tell(pool.core.finished, entry)
    assert entry.state is EntryState.IDLE


def test_cancelling_a_job_that_is_done_does_nothing() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.tell(pool.core.finished, entry)
    pool.core.cancel(job)
    assert job.state is JobState.DONE


def test_a_cancelled_job_on_a_suspect_connection_does_not_go_back() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.core.cancel(job)
    pool.tell(pool.core.suspected, entry)
    assert job.state is JobState.DONE
    assert pool.core.waiting == 0


def test_without_a_timeout_jobs_wait_for_ever() -> None:
    pool = Pool(max=1, timeout=None)
    pool.busy()
    pool.submit()
    pool.wait(1e9)
    pool.expire()
    assert not pool.failed
    assert pool.core.wake_at == math.inf


def test_a_running_job_fails_at_the_query_timeout_and_its_entry_returns_later() -> None:
    pool = Pool(max=1, query_timeout=3.0)
    entry, job = pool.busy()
    pool.wait(1)
    waiting = pool.submit()
    assert pool.core.wake_at <= 103.0
    pool.wait(2)
    pool.expire()
    assert isinstance(pool.error_of(job), DeadlineExceeded)
    assert "cp_query_timeout=3.0" in str(pool.error_of(job))
    assert entry.state is EntryState.BUSY
    pool.tell(pool.core.finished, entry)
    assert entry.job is waiting
    assert pool.core.wake_at <= pool.now + 3.0  # the next one's time is kept too


def test_the_time_to_wake_is_the_earliest_of_all() -> None:
    pool = Pool(max=1, timeout=30.0, connect_timeout=10.0)
    pool.submit()
    assert pool.core.wake_at == 110.0
    pool.connect()
    pool.submit()
    pool.expire()
    assert pool.core.wake_at == 130.0


# -------------------------------------------------------------------------------------------------------------- lending


def test_a_connection_is_lent_and_returned_and_reset() -> None:
    pool = Pool(max=1)
    job = pool.submit()
    entry = pool.connect()
    assert pool.core.lent(entry)
    assert entry.state is EntryState.LENT
    assert job.state is JobState.DONE
    waiting = pool.submit()
    pool.do(pool.core.returned(entry, pool.now))
    assert pool.carry == [entry]
    assert entry.state is EntryState.RESETTING
    pool.tell(pool.core.cleaned, entry)
    assert entry.job is waiting


def test_a_connection_is_not_lent_to_a_caller_who_is_gone() -> None:
    pool = Pool()
    job = pool.submit()
    entry = pool.connect()
    pool.core.cancel(job)
    assert not pool.core.lent(entry)
    assert entry.state is EntryState.BUSY
    pool.tell(pool.core.finished, entry)
    assert entry.state is EntryState.IDLE


def test_a_reset_that_takes_too_long_is_cut() -> None:
    pool = Pool(connect_timeout=10.0)
    pool.submit()
    entry = pool.connect()
    pool.core.lent(entry)
    pool.do(pool.core.returned(entry, pool.now))
    pool.wait(10)
    pool.expire()
    assert pool.cut == [entry]
    assert not pool.core.entries


# -------------------------------------------------------------------------------------------------------------- the end


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
    pool.submit()
    lent = pool.connect()
    pool.core.lent(lent)
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
    pool.submit()
    stuck = pool.take(EntryState.CONNECTING)
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


def test_an_illegal_event_changes_nothing() -> None:
    pool = Pool()
    entry = pool.idle()
    counts = [pool.core.count(state) for state in EntryState]
    with pytest.raises(IllegalTransition):
        pool.core.checked(entry, pool.now)
    with pytest.raises(IllegalTransition):
        pool.core.returned(entry, pool.now)
    assert entry.state is EntryState.IDLE
    assert [pool.core.count(state) for state in EntryState] == counts


# ------------------------------------------------------------------------- errors of connecting beside live connections


@pytest.mark.parametrize("lends", [False, True])
def test_an_error_no_retry_mends_fails_nobody_while_another_connection_can_serve(lends: bool) -> None:
    pool = Pool(max=2)
    entry, _ = pool.busy()
    if lends:
        assert pool.core.lent(entry)
    waiting = pool.submit()
    wrong = TypeError("wrong")
    pool.fail(wrong, retryable=False)
    assert pool.failed == []
    assert pool.outages == [wrong]
    if lends:
        pool.do(pool.core.returned(entry, pool.now))
        pool.tell(pool.core.cleaned, entry)
    else:
        pool.tell(pool.core.finished, entry)
    assert entry.job is waiting


def test_a_forsaken_connection_is_ended_and_makes_room() -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    assert pool.core.lent(entry)
    waiting = pool.submit()
    pool.do(pool.core.forsaken(entry))
    pool.carry.remove(entry)
    pool.tell(pool.core.ended, entry)
    assert pool.connect().job is waiting


# ------------------------------------------------------------------------------------------------------- quick calls

QUICK = 10e-6


def crowd(enough: int = 1) -> Crowd:
    return Crowd(10 * QUICK, enough)


def quick_pool(enough: int = 1, **options: Any) -> Pool:
    """A pool with as many connections at rest as it may have, all of whose calls were quick."""
    pool = Pool(rest=math.inf, crowd=crowd(enough), **options)
    jobs = [pool.submit() for _ in range(pool.options.max)]
    entries = [pool.connect() for _ in jobs]
    for entry in entries:
        pool.wait(QUICK)
        pool.tell(pool.core.finished, entry)
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
    assert len(pool.core.entries) == 4


def test_what_waits_for_a_connection_to_be_made_is_not_looked_at_again_and_again() -> None:
    pool = Pool(crowd=crowd(), max=4)
    pool.submit()
    pool.wait(1.0)
    pool.expire()
    assert pool.core.wake_at > pool.now + STALL
    pool.fail(OSError("refused"))
    pool.expire()
    assert pool.core.wake_at == pool.core.outage.retry_at > pool.now + STALL


def test_a_call_made_in_the_pause_between_two_attempts_is_served_at_its_end() -> None:
    pool = Pool(timeout=None)
    gone = pool.submit()
    pool.fail(OSError("refused"))
    pool.core.cancel(gone)
    pool.expire()  # too early, and with nobody waiting
    job = pool.submit()
    assert pool.core.wake_at == pool.core.outage.retry_at
    pool.now = pool.core.wake_at
    pool.expire()
    assert pool.connect().job is job
