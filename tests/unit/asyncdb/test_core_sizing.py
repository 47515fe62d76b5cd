"""How many connections there are: growing one at a time, keeping ``cp_min``, and closing what is old or not needed."""

from __future__ import annotations

import pytest

from asyncdb._core import EntryState, JobState
from asyncdb._core._upkeep import SPREAD
from asyncdb.errors import DeadlineExceeded, PoolClosed
from tests.support.core_pool import REST, Pool

# The Pool's jitter is always 1: limits are as short as they may be.
SHORT = 1 - SPREAD


# --------------------------------------------------------------------------------------------- growing and handing over


def test_the_first_call_makes_a_connection_and_runs_on_it() -> None:
    pool = Pool()
    job = pool.submit()
    assert job.state is JobState.WAITING
    entry = pool.connect()
    assert entry.state is EntryState.BUSY
    assert entry.job is job
    assert job.state is JobState.RUNNING


def test_the_pool_grows_by_one_connection_at_a_time_up_to_the_maximum() -> None:
    pool = Pool(max=3)
    jobs = [pool.submit() for _ in range(5)]
    for number in range(3):
        assert [entry.state for entry in pool.carry] == [EntryState.CONNECTING]
        assert pool.connect().job is jobs[number]
    assert not pool.carry
    assert pool.core.waiting == 2


def test_what_comes_free_first_serves_who_waits_longest_and_the_new_connection_rests() -> None:
    pool = Pool()
    first, _ = pool.busy()
    second = pool.submit()
    late = pool.take(EntryState.CONNECTING)
    pool.tell(pool.core.finished, first)
    assert first.job is second
    pool.tell(pool.core.connected, late)
    assert late.state is EntryState.IDLE


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
    last = pool.idle(3)
    pool.submit()
    assert pool.carry == [last]


def test_connections_at_rest_stand_in_the_order_of_their_last_use_whatever_was_done_to_them_since() -> None:
    pool = Pool(max=3, keepalive=10.0, check_timeout=10.0)
    entries = []
    for entry in [pool.busy()[0] for _ in range(3)]:
        pool.wait(1)
        pool.tell(pool.core.finished, entry)
        entries.append(entry)
    pool.pass_time(12)
    for entry in (entries[1], entries[0], entries[2]):  # their checks end in another order than they were begun
        pool.tell(pool.core.checked, entry)
    assert pool.core._idle == entries


# --------------------------------------------------------------------------------------------------- cp_min and ready()


def test_before_ready_is_asked_for_no_connection_is_made_unasked() -> None:
    pool = Pool(min=2, max=3)
    entry, _ = pool.busy()
    pool.lose(entry)
    pool.expire()
    assert not pool.carry


def test_ready_makes_the_least_connections_one_by_one_and_is_told_once() -> None:
    pool = Pool(min=2, max=3)
    pool.do(pool.core.warm(pool.now))
    pool.connect()
    assert not pool.ready
    pool.connect()
    assert pool.ready == 1
    assert not pool.carry
    pool.busy()
    assert pool.ready == 1


def test_ready_counts_the_connections_that_there_are() -> None:
    pool = Pool(min=1, max=3)
    pool.lent()
    pool.do(pool.core.warm(pool.now))
    assert pool.ready == 1
    assert not pool.carry


def test_a_pool_that_needs_none_is_ready() -> None:
    pool = Pool(min=0)
    pool.do(pool.core.warm(pool.now))
    assert pool.ready == 1
    assert not pool.carry


def test_after_ready_a_lost_connection_is_replaced_unasked() -> None:
    pool = Pool(min=1, max=3)
    pool.do(pool.core.warm(pool.now))
    entry = pool.connect()
    pool.submit()
    pool.carry.clear()
    pool.lose(entry)
    assert pool.connect().state is EntryState.IDLE


def test_ready_in_an_outage_keeps_the_pause_and_is_told_when_it_is_over() -> None:
    pool = Pool(min=1)
    gone = pool.submit()
    pool.fail(OSError("refused"))
    pool.cancel(gone)
    pool.do(pool.core.warm(pool.now))
    assert not pool.carry
    assert pool.core.wake_at <= pool.core.outage.retry_at
    pool.pass_time(1)
    pool.connect()
    assert pool.ready == 1
    assert pool.recovered == 1


def test_ready_fails_with_an_error_that_no_retry_mends_and_nothing_is_tried_until_somebody_asks_again() -> None:
    pool = Pool(min=1)
    pool.do(pool.core.warm(pool.now))
    wrong = TypeError("wrong")
    pool.fail(wrong, retryable=False)
    assert pool.unready == [wrong]
    pool.pass_time(100)
    assert not pool.carry
    pool.do(pool.core.warm(pool.now))
    pool.connect()
    assert pool.ready == 1


def test_once_a_call_has_got_through_the_least_connections_are_kept_again() -> None:
    pool = Pool(min=2)
    pool.do(pool.core.warm(pool.now))
    pool.fail(TypeError("a password that has just been changed"), retryable=False)
    pool.submit()
    pool.connect()
    assert pool.connect().state is EntryState.IDLE


def test_a_connection_that_has_to_be_replaced_when_it_comes_does_not_make_the_pool_ready() -> None:
    pool = Pool(min=1)
    pool.do(pool.core.warm(pool.now))
    pool.do(pool.core.evict_all(pool.now))  # a change of credentials, while it connects with those of before
    entry = pool.connect()
    assert entry.state is EntryState.CLOSING
    assert not pool.ready
    pool.tell(pool.core.ended, entry)
    pool.carry.clear()
    pool.expire()
    new = next(iter(pool.core.entries))
    pool.tell(pool.core.connected, new)
    assert pool.ready == 1


def test_who_waits_too_long_for_ready_is_told_the_figures_and_the_cause() -> None:
    pool = Pool(min=1)
    pool.do(pool.core.warm(pool.now))
    refused = OSError("refused")
    pool.fail(refused)
    error = pool.core.not_ready(3.0)
    assert isinstance(error, DeadlineExceeded)
    assert error.__cause__ is refused
    assert "not 1 connections (cp_min) within 3 s. pool: total 0 of 2" in str(error)
    assert "OSError: refused" in str(error)


# ------------------------------------------------------------------------------------------- unused and old connections


def test_connections_not_needed_for_long_are_closed_down_to_the_minimum_the_longest_unused_first() -> None:
    pool = Pool(min=1, max=3, max_idle=100.0)
    pool.idle(3)
    first, second, last = pool.core._idle
    pool.pass_time(100 * SHORT)
    assert pool.carry == [first, second]
    assert last.state is EntryState.IDLE
    assert pool.core.tally.evictions == {"idle": 2}
    pool.end()
    pool.pass_time(1000)
    assert last.state is EntryState.IDLE


def test_a_connection_in_use_now_and_then_keeps_those_beside_it_from_nothing() -> None:
    pool = Pool(max=2, max_idle=100.0)
    last = pool.idle(2)
    for _ in range(10):
        pool.pass_time(10)
        pool.submit()
        if last.state is EntryState.CHECKING:
            pool.tell(pool.core.checked, last)
        pool.tell(pool.core.finished, last)
    assert [entry.state for entry in pool.core.entries if entry is not last] == [EntryState.CLOSING]
    assert last.state is EntryState.IDLE


def test_a_connection_whose_last_call_ended_in_a_doubtful_error_was_used_just_now() -> None:
    pool = Pool(max=2, max_idle=100.0)
    entry = pool.idle()
    pool.wait(80)
    pool.submit()
    pool.tell(pool.core.checked, entry)
    pool.tell(pool.core.distrusted, entry)
    pool.tell(pool.core.checked, entry)
    pool.pass_time(80)
    assert entry.state is EntryState.IDLE


def test_a_connection_too_old_is_closed_at_rest_and_replaced_if_the_minimum_asks_for_it() -> None:
    pool = Pool(min=1, max_lifetime=100.0)
    pool.do(pool.core.warm(pool.now))
    entry = pool.connect()
    pool.pass_time(100 * SHORT)
    assert entry.state is EntryState.CLOSING
    assert pool.core.tally.evictions == {"lifetime": 1}
    pool.end()
    assert pool.connect().state is EntryState.IDLE


def test_a_connection_too_old_ends_its_job_and_takes_no_other() -> None:
    pool = Pool(max=1, max_lifetime=100.0, wait_timeout=None)
    entry, first = pool.busy()
    second = pool.submit()
    pool.pass_time(100)
    assert entry.state is EntryState.BUSY
    assert first.state is JobState.RUNNING
    pool.tell(pool.core.finished, entry)
    assert entry.state is EntryState.CLOSING
    assert second.state is JobState.WAITING
    pool.tell(pool.core.ended, entry)
    assert pool.connect().job is second


def test_a_job_that_counted_on_a_connection_which_had_to_be_replaced_has_another_made_at_once() -> None:
    pool = Pool(max=2)
    entry = pool.lent()
    pool.do(pool.core.returned(entry, pool.now))
    job = pool.submit()  # soon there will be one, so that no other is made
    pool.carry.clear()
    pool.do(pool.core.evict_all(pool.now))
    pool.clean(entry)
    assert entry.state is EntryState.CLOSING
    assert pool.connect().job is job


def test_a_call_takes_no_connection_that_is_too_old_though_nobody_has_closed_it_yet() -> None:
    pool = Pool(max=2, max_lifetime=100.0)
    entry = pool.idle()
    pool.now += 100
    entry.proven = pool.now
    job = pool.submit()
    assert entry.state is EntryState.CLOSING
    assert pool.connect().job is job


def test_each_connection_has_a_limit_of_its_own() -> None:
    pool = Pool(max=2, max_lifetime=100.0, max_idle=50.0)
    jitter = iter([0.0, 0.0, 0.5, 1.0])
    pool.core._upkeep._jitter = lambda: next(jitter)
    first, _ = pool.busy()
    second, _ = pool.busy()
    assert first.expires == pool.now + 100
    assert first.idle_limit == 50
    assert second.expires == pool.now + 100 * (1 - SPREAD / 2)
    assert second.idle_limit == 50 * (1 - SPREAD)


# ------------------------------------------------------------------------------------------------------------ keepalive


def test_a_connection_at_rest_is_asked_now_and_then_whether_it_lives() -> None:
    pool = Pool(keepalive=60.0)
    entry = pool.idle()
    for _ in range(3):
        pool.pass_time(60)
        assert pool.carry == [entry]
        assert entry.state is EntryState.CHECKING
        pool.carry.clear()
        pool.tell(pool.core.checked, entry)
        assert entry.state is EntryState.IDLE


def test_a_call_that_comes_while_the_last_connection_is_asked_waits_for_that() -> None:
    pool = Pool(keepalive=60.0, max=2)
    entry = pool.idle()
    pool.pass_time(60)
    pool.carry.clear()
    job = pool.submit()
    assert not pool.carry
    pool.tell(pool.core.checked, entry)
    assert entry.job is job


def test_being_asked_is_no_use_and_puts_off_no_end() -> None:
    pool = Pool(keepalive=60.0, max_idle=100.0)
    entry = pool.idle()
    pool.pass_time(60)
    pool.tell(pool.core.checked, entry)
    pool.pass_time(100 * SHORT - 60)
    assert entry.state is EntryState.CLOSING


# ------------------------------------------------------------------------------------------------------------- evictAll


def test_evict_all_closes_those_at_rest_now_and_the_others_when_they_are_free() -> None:
    pool = Pool(max=3)
    lent = pool.lent()
    busy, _ = pool.busy()
    idle, _ = pool.busy()
    pool.tell(pool.core.finished, idle)
    pool.do(pool.core.evict_all(pool.now))
    assert pool.carry == [idle]
    assert [entry.state for entry in (idle, busy, lent)] == [EntryState.CLOSING, EntryState.BUSY, EntryState.LENT]
    pool.tell(pool.core.finished, busy)
    pool.do(pool.core.returned(lent, pool.now))
    pool.clean(lent)
    assert {busy.state, lent.state} == {EntryState.CLOSING}
    assert pool.core.tally.evictions == {"evicted": 3}


def test_evict_all_replaces_a_connection_that_is_being_made() -> None:
    pool = Pool()
    job = pool.submit()
    pool.do(pool.core.evict_all(pool.now))
    entry = pool.connect()
    assert entry.state is EntryState.CLOSING
    assert pool.connect().job is job
    assert pool.core.tally.evictions == {"evicted": 1}


def test_connections_made_after_evict_all_live_their_lives() -> None:
    pool = Pool()
    pool.idle()
    pool.do(pool.core.evict_all(pool.now))
    pool.end()
    assert pool.idle().state is EntryState.IDLE


# --------------------------------------------------------------------------------------------------- suspend and resume


def test_a_suspended_pool_starts_nobody_and_lets_run_what_runs() -> None:
    pool = Pool(max=2)
    busy, _ = pool.busy()
    idle, _ = pool.busy()
    pool.tell(pool.core.finished, idle)
    pool.core.suspend()
    jobs = [pool.submit(), pool.submit()]
    assert pool.core.in_use == 1
    pool.tell(pool.core.finished, busy)
    assert pool.core.in_use == 0
    assert [job.state for job in jobs] == [JobState.WAITING] * 2
    assert not pool.carry
    assert "suspended" in pool.core.figures()
    pool.do(pool.core.resume(pool.now))
    assert [job.state for job in jobs] == [JobState.RUNNING] * 2


@pytest.mark.parametrize("what", ["connect", "check", "reset"])
def test_what_comes_free_in_a_suspended_pool_rests(what: str) -> None:
    pool = Pool(max=1)
    if what == "connect":
        job = pool.submit()
    else:
        entry = pool.lent() if what == "reset" else pool.idle()
        pool.wait(2 * REST)
        if what == "reset":
            pool.do(pool.core.returned(entry, pool.now))
        job = pool.submit()
    pool.core.suspend()
    if what == "connect":
        entry = pool.connect()
    elif what == "check":
        pool.tell(pool.core.checked, entry)
    else:
        pool.clean(entry)
    assert entry.state is EntryState.IDLE
    assert job.state is JobState.WAITING
    pool.do(pool.core.resume(pool.now))
    assert entry.job is job


def test_calls_in_a_suspended_pool_lose_their_patience() -> None:
    pool = Pool(wait_timeout=5.0)
    pool.core.suspend()
    job = pool.submit()
    pool.pass_time(5)
    assert "suspended" in str(pool.error_of(job))


def test_a_suspended_pool_does_not_connect_until_it_is_resumed() -> None:
    pool = Pool(min=1)
    pool.core.suspend()
    pool.submit()
    pool.do(pool.core.warm(pool.now))
    pool.pass_time(10)
    assert not pool.carry
    pool.do(pool.core.resume(pool.now))
    pool.connect()
    assert pool.ready == 1


def test_an_outage_goes_on_through_a_pause_and_is_ended_by_the_first_attempt_after_it() -> None:
    pool = Pool(wait_timeout=None)
    job = pool.submit()
    pool.fail(OSError("refused"))
    pool.core.suspend()
    pool.pass_time(100)
    assert not pool.carry
    pool.do(pool.core.resume(pool.now))
    assert pool.connect().job is job


def test_a_suspended_pool_can_be_closed_and_not_resumed_then() -> None:
    pool = Pool()
    entry = pool.idle()
    pool.core.suspend()
    job = pool.submit()
    pool.do(pool.core.close(pool.now, 5.0))
    assert isinstance(pool.error_of(job), PoolClosed)
    pool.do(pool.core.resume(pool.now))
    assert entry.state is EntryState.CLOSING
    pool.end()
    assert pool.drained == 1
