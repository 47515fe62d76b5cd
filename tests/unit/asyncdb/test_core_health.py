"""Which connections are fit: checks, losses, what makes others suspect, and failing to connect."""

from __future__ import annotations

import math

import pytest

from asyncdb._core import EntryState, JobState
from asyncdb._core._ground import FAIL_OVER_PAUSE
from asyncdb._core._outage import FIRST_PAUSE, LONGEST_PAUSE
from tests.support.core_pool import REST, Pool

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
    pool.lose(entry, "check")
    assert entry.state is EntryState.GONE
    assert pool.connect().job is job
    assert len(pool.core.entries) == 1
    assert pool.core.tally.evictions == {"check": 1}


def test_as_many_are_checked_as_jobs_wait() -> None:
    pool = Pool(max=3)
    pool.idle(3)
    pool.wait(1)
    for expected in (1, 2):
        pool.submit()
        assert pool.core.count(EntryState.CHECKING) == expected
    assert pool.core.count(EntryState.IDLE) == 1


def test_a_connection_known_good_serves_though_one_used_later_would_have_to_be_checked() -> None:
    pool = Pool(max=3, keepalive=1.0)
    first, second = (pool.busy()[0] for _ in range(2))
    pool.tell(pool.core.finished, first)
    pool.wait(0.2)
    pool.tell(pool.core.finished, second)
    pool.pass_time(0.8)
    pool.tell(pool.core.checked, first)
    pool.wait(0.1)
    assert pool.core._idle == [first, second]
    pool.wait(0.35)
    second.proven = pool.now - 2 * REST
    pool.carry.clear()
    job = pool.submit()
    assert first.job is job
    assert pool.carry == [first]


def test_a_resting_connection_is_checked_though_a_new_one_is_being_made() -> None:
    pool = Pool(max=3)
    entry, _ = pool.busy()
    second = pool.submit()
    pool.take(EntryState.CONNECTING)  # for the second, and it takes its time
    pool.tell(pool.core.finished, entry)
    assert entry.job is second
    pool.tell(pool.core.finished, entry)
    pool.wait(1)
    job = pool.submit()
    assert pool.carry == [entry]
    pool.tell(pool.core.checked, entry)
    assert entry.job is job


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


def test_a_job_sent_back_keeps_its_patience() -> None:
    pool = Pool(max=1, wait_timeout=5.0, check_timeout=60.0)
    entry, job = pool.busy()
    pool.pass_time(4)
    pool.tell(pool.core.suspected, entry)
    assert job.state is JobState.WAITING
    pool.pass_time(1)
    assert "cp_wait_timeout" in str(pool.error_of(job))


def test_a_job_sent_back_after_its_patience_fails_at_once() -> None:
    pool = Pool(max=1, wait_timeout=5.0)
    entry, job = pool.busy()
    pool.pass_time(6)
    pool.tell(pool.core.suspected, entry)
    pool.pass_time(0)
    assert "nothing of the call was sent" in str(pool.error_of(job))


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
    pool = Pool(check_timeout=3.0)
    entry = pool.idle()
    pool.wait(1)
    job = pool.submit()
    pool.carry.clear()
    pool.pass_time(3)
    assert entry.state is EntryState.ABANDONED
    assert pool.cut == [entry]
    assert pool.connect().job is job
    assert pool.core.tally.evictions == {"check": 1}


def test_when_a_check_takes_too_long_those_that_have_not_answered_since_are_not_asked_one_after_the_other() -> None:
    pool = Pool(max=3, check_timeout=3.0)
    pool.idle(3)
    pool.wait(1)
    job = pool.submit()
    pool.carry.clear()
    pool.pass_time(3)
    assert pool.core.count(EntryState.CLOSING) == 2
    assert pool.core.tally.evictions == {"check": 3}
    pool.end()
    assert pool.connect().job is job


def test_when_a_check_takes_too_long_those_that_have_answered_since_stay() -> None:
    pool = Pool(max=2, check_timeout=3.0)
    pool.idle(2)
    pool.wait(1)
    pool.submit()
    pool.submit()
    hangs, answers = pool.core.entries
    pool.wait(1)
    pool.tell(pool.core.checked, answers)
    pool.tell(pool.core.finished, answers)
    pool.tell(pool.core.finished, answers)
    pool.pass_time(2)
    assert hangs.state is EntryState.ABANDONED
    assert answers.state is EntryState.IDLE


def test_a_job_that_ends_in_a_doubtful_error_has_its_connection_checked() -> None:
    pool = Pool()
    entry, job = pool.busy()
    pool.tell(pool.core.distrusted, entry)
    assert job.state is JobState.DONE
    assert entry.state is EntryState.CHECKING
    assert pool.core.tally.failed == 1


# --------------------------------------------------------------------------------------------------- losing connections


@pytest.mark.parametrize("reason", ["lost", "shutdown"])
@pytest.mark.parametrize("rest", [REST, math.inf])
def test_a_loss_makes_all_others_suspect(reason: str, rest: float) -> None:
    pool = Pool(max=3, rest=rest)
    pool.idle(2)
    job = pool.submit()
    pool.lose(pool.carry.pop(), reason)
    assert job.state is JobState.DONE
    pool.submit()
    assert [entry.state for entry in pool.carry] == [EntryState.CHECKING]
    assert pool.core.tally.evictions == {reason: 1}
    assert pool.core.tally.failed == 1


def test_a_connection_that_did_not_answer_makes_all_others_suspect() -> None:
    pool = Pool(rest=math.inf, keepalive=60.0)
    first, second = (pool.busy()[0] for _ in range(2))
    pool.tell(pool.core.finished, first)
    pool.wait(1)
    pool.tell(pool.core.finished, second)
    pool.pass_time(59)
    pool.lose(first, "check")
    pool.carry.clear()
    pool.submit()
    assert second.state is EntryState.CHECKING


def test_a_suspect_connection_at_rest_is_asked_as_if_it_had_not_answered_since_its_last_use() -> None:
    pool = Pool(keepalive=60.0)
    first, second = (pool.busy()[0] for _ in range(2))
    pool.tell(pool.core.finished, first)
    pool.pass_time(60)
    pool.carry.clear()
    pool.tell(pool.core.checked, first)
    pool.wait(1)
    pool.lose(second)
    pool.pass_time(0)
    assert pool.carry == [first]
    assert first.state is EntryState.CHECKING


def test_a_connection_in_use_during_a_loss_proves_itself_by_ending_its_job() -> None:
    pool = Pool()
    first, _ = pool.busy()
    second, _ = pool.busy()
    pool.lose(first)
    pool.tell(pool.core.finished, second)
    assert pool.submit().state is JobState.RUNNING


def test_a_lent_connection_is_suspect_until_the_server_has_answered() -> None:
    pool = Pool(max=3)
    for answered in (True, False):
        lent = pool.lent()
        other, _ = pool.busy()
        pool.lose(other)
        pool.do(pool.core.returned(lent, pool.now))
        pool.carry.clear()
        pool.clean(lent, answered)
        job = pool.submit()
        assert lent.state is (EntryState.BUSY if answered else EntryState.CHECKING)
        pool.carry.clear()
        if not answered:
            pool.tell(pool.core.checked, lent)
        assert lent.job is job
        pool.lose(lent)


def test_a_connection_that_could_not_be_cleaned_says_nothing_about_the_others() -> None:
    pool = Pool()
    pool.idle(2)
    pool.submit()
    entry = pool.carry.pop()
    pool.lose(entry, "unclean")
    assert pool.submit().state is JobState.RUNNING


def test_a_server_that_only_reads_has_every_connection_replaced() -> None:
    pool = Pool(max=3)
    lent = pool.lent()
    pool.idle(2)
    pool.submit()
    entry = pool.carry.pop()
    pool.lose(entry, "readonly")
    assert [entry.state for entry in pool.carry] == [EntryState.CLOSING]
    pool.do(pool.core.returned(lent, pool.now))
    pool.clean(lent)
    assert lent.state is EntryState.CLOSING
    assert pool.core.tally.evictions == {"readonly": 3}


def test_a_server_that_only_reads_on_purpose_has_them_replaced_once_in_a_while() -> None:
    pool = Pool(max=3)
    pool.idle(2)
    pool.submit()
    pool.lose(pool.carry.pop(), "readonly")
    pool.end()
    pool.idle(2)
    pool.wait(FAIL_OVER_PAUSE / 2)
    pool.submit()
    pool.lose(pool.carry.pop(), "readonly")
    assert not pool.carry  # it goes, the other one stays
    assert pool.submit().state is JobState.RUNNING
    entry = pool.carry.pop()
    assert not pool.core.worth_replacing(entry, pool.now)  # and would have stayed, too, if that had been asked
    pool.wait(FAIL_OVER_PAUSE)
    assert pool.core.worth_replacing(entry, pool.now)
    pool.end()
    pool.idle()
    pool.submit()
    pool.lose(pool.carry.pop(), "readonly")
    assert not pool.core.count(EntryState.IDLE)


# --------------------------------------------------------------------------------------------------- failing to connect


def test_an_outage_is_told_once_and_retried_with_growing_pauses() -> None:
    pool = Pool(wait_timeout=None)
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
    pool = Pool(wait_timeout=3.0)
    pool.submit()
    for _ in range(20):  # the outage lasts, and calls come and go
        pool.fail(OSError("refused"))
        pool.submit()
        assert pool.core.outage.retry_at - pool.now <= 1.0
        pool.now = pool.core.outage.retry_at
        pool.expire()
        assert len(pool.carry) == 1


def test_during_an_outage_there_is_one_attempt_at_a_time() -> None:
    pool = Pool(max=5, wait_timeout=None)
    jobs = [pool.submit()]
    pool.fail(OSError())
    jobs += [pool.submit() for _ in range(4)]
    assert not pool.carry
    pool.pass_time(1)
    assert len(pool.carry) == 1
    for job in jobs:  # and they come one after the other when it is over
        assert pool.connect().job is job


def test_a_late_failure_makes_the_pause_no_longer() -> None:
    pool = Pool(max=2, connect_timeout=1.0, wait_timeout=None)
    pool.submit()
    late = pool.take(EntryState.CONNECTING)
    pool.pass_time(1)
    pause = pool.core.outage.retry_at
    pool.do(pool.core.connect_failed(late, OSError(), True, pool.now))
    assert pool.core.outage.retry_at == pause
    assert pool.core.outage.failures == 1


def test_an_error_that_no_retry_mends_fails_every_waiting_job_at_once() -> None:
    pool = Pool()
    jobs = [pool.submit() for _ in range(3)]
    wrong = TypeError("unexpected keyword")
    pool.fail(wrong, retryable=False)
    assert [pool.error_of(job) for job in jobs] == [wrong] * 3
    assert not pool.outages
    assert pool.core.waiting == 0
    assert pool.core.tally.closed_waiting == 0


def test_a_connect_error_is_kept_without_its_traceback() -> None:
    pool = Pool()
    pool.submit()
    try:
        raise OSError("with a frame full of passwords")
    except OSError as error:
        pool.fail(error)
    assert pool.core.outage.error is not None
    assert pool.core.outage.error.__traceback__ is None


@pytest.mark.parametrize("lends", [False, True])
def test_an_error_no_retry_mends_fails_nobody_while_another_connection_can_serve(lends: bool) -> None:
    pool = Pool(max=2)
    entry, _ = pool.busy()
    if lends:
        assert pool.core.lent(entry, pool.now)
    waiting = pool.submit()
    wrong = TypeError("wrong")
    pool.fail(wrong, retryable=False)
    assert pool.failed == []
    assert pool.outages == [wrong]
    if lends:
        pool.do(pool.core.returned(entry, pool.now))
        pool.clean(entry)
    else:
        pool.tell(pool.core.finished, entry)
    assert entry.job is waiting


def test_a_call_made_in_the_pause_between_two_attempts_is_served_at_its_end() -> None:
    pool = Pool(wait_timeout=None)
    gone = pool.submit()
    pool.fail(OSError("refused"))
    pool.cancel(gone)
    pool.expire()  # too early, and with nobody waiting
    job = pool.submit()
    assert pool.core.wake_at == pool.core.outage.retry_at
    pool.now = pool.core.wake_at
    pool.expire()
    assert pool.connect().job is job


def test_a_closing_pool_does_not_say_that_it_tries_again() -> None:
    pool = Pool(connect_timeout=1.0)
    pool.submit()
    entry = pool.take(EntryState.CONNECTING)
    pool.do(pool.core.close(pool.now, 5.0))
    pool.do(pool.core.connect_failed(entry, OSError(), True, pool.now))
    assert pool.core.tally.connect_failures == 1
    assert not pool.outages
    assert pool.drained == 1


def test_connecting_that_takes_too_long_is_given_up_and_tried_again() -> None:
    pool = Pool(connect_timeout=10.0)
    job = pool.submit()
    stuck = pool.take(EntryState.CONNECTING)
    pool.pass_time(10)
    assert stuck.state is EntryState.ABANDONED
    assert pool.cut == [stuck]
    assert len(pool.outages) == 1
    assert "cp_connect_timeout=10.0" in str(pool.outages[0])
    assert pool.connect().job is job  # at once: waiting for it was pause enough
    pool.tell(pool.core.connected, stuck)  # late
    assert stuck.state is EntryState.ABANDONED
    pool.tell(pool.core.ended, stuck)
    assert stuck.state is EntryState.GONE
    assert not pool.core.strays


def test_a_late_failure_to_connect_is_not_counted_twice() -> None:
    pool = Pool(connect_timeout=10.0)
    job = pool.submit()
    stuck = pool.take(EntryState.CONNECTING)
    pool.cancel(job)
    pool.pass_time(10)
    pool.do(pool.core.connect_failed(stuck, OSError(), True, pool.now))
    assert pool.core.outage.failures == 1
    assert pool.core.tally.connect_failures == 1
    pool.do(pool.core.close(pool.now, 5))
    assert pool.drained == 1
