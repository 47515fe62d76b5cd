"""Connections that are lent, and those that are held for long."""

from __future__ import annotations

from asyncdb._core import EntryState, JobState
from tests.support.core_pool import AGAIN, Pool


def test_a_connection_is_lent_and_returned_and_reset() -> None:
    pool = Pool(max=1)
    job = pool.submit()
    entry = pool.connect()
    assert pool.core.lent(entry, pool.now)
    assert entry.state is EntryState.LENT
    assert job.state is JobState.DONE
    assert pool.core.tally.loans == 1
    waiting = pool.submit()
    pool.do(pool.core.returned(entry, pool.now))
    assert pool.carry == [entry]
    assert entry.state is EntryState.RESETTING
    pool.clean(entry)
    assert entry.job is waiting


def test_a_connection_is_not_lent_to_a_caller_who_is_gone() -> None:
    pool = Pool()
    job = pool.submit()
    entry = pool.connect()
    pool.cancel(job)
    assert not pool.core.lent(entry, pool.now)
    assert entry.state is EntryState.BUSY
    assert pool.core.tally.loans == 0
    pool.tell(pool.core.finished, entry)
    pool.tell(pool.core.checked, entry)
    assert entry.state is EntryState.IDLE


def test_a_connection_that_was_given_up_is_not_lent() -> None:
    pool = Pool(again=None)
    entry, job = pool.busy()
    pool.cancel(job)
    assert not pool.core.lent(entry, pool.now)
    assert entry.state is EntryState.ABANDONED


def test_a_lent_connection_is_not_bound_by_the_deadline_of_the_call_that_asked_for_it() -> None:
    pool = Pool(timeout=3.0)
    pool.lent()
    pool.pass_time(100)
    assert not pool.failed
    assert not pool.interrupted


def test_a_reset_that_takes_too_long_is_cut() -> None:
    pool = Pool(check_timeout=10.0)
    entry = pool.lent()
    pool.do(pool.core.returned(entry, pool.now))
    pool.pass_time(10)
    assert pool.cut == [entry]
    assert not pool.core.entries
    assert pool.core.tally.evictions == {"unclean": 1}
    pool.clean(entry)  # late
    assert entry.state is EntryState.ABANDONED


def test_a_forsaken_connection_is_ended_and_makes_room() -> None:
    pool = Pool(max=1)
    entry = pool.lent()
    waiting = pool.submit()
    pool.do(pool.core.forsaken(entry))
    pool.end()
    assert pool.connect().job is waiting
    assert pool.core.tally.evictions == {"unclean": 1}


# ------------------------------------------------------------------------------------------------------------ held long


def test_a_lent_connection_held_for_long_is_told_once() -> None:
    pool = Pool(leak_after=5.0)
    entry = pool.lent()
    pool.pass_time(4.9)
    assert not pool.held
    pool.pass_time(0.1)
    assert pool.held == [entry]
    pool.pass_time(100)
    assert pool.held == [entry]
    assert pool.core.tally.leaks == 1


def test_each_who_holds_it_for_long_is_told() -> None:
    pool = Pool(max=1, leak_after=5.0)
    entry, _ = pool.busy()
    waiting = pool.submit()
    pool.pass_time(5)
    pool.tell(pool.core.finished, entry)
    assert entry.job is waiting
    pool.pass_time(5)
    assert pool.held == [entry] * 2
    pool.core.lent(entry, pool.now)
    pool.pass_time(5)
    assert pool.held == [entry] * 3
    pool.do(pool.core.returned(entry, pool.now))
    pool.clean(entry)
    pool.busy()
    pool.core.lent(entry, pool.now)
    pool.pass_time(4)
    assert pool.held == [entry] * 3
    pool.pass_time(1)
    assert pool.held == [entry] * 4


def test_a_call_that_nobody_waits_for_is_told_like_any_other() -> None:
    pool = Pool(max=1, leak_after=5.0, check_timeout=10.0)
    entry, job = pool.busy()
    pool.cancel(job)
    pool.pass_time(6 * AGAIN)
    assert not pool.held
    pool.pass_time(5)
    assert pool.held == [entry]


def test_time_in_the_queue_is_no_holding() -> None:
    pool = Pool(max=1, leak_after=5.0)
    entry, _ = pool.busy()
    pool.submit()
    pool.pass_time(4)
    pool.tell(pool.core.finished, entry)
    pool.pass_time(4.9)
    assert not pool.held
    pool.pass_time(0.1)
    assert pool.held == [entry]


def test_without_a_limit_nobody_is_told() -> None:
    pool = Pool(max_idle=None, max_lifetime=None)
    pool.lent()
    pool.pass_time(1e6)
    assert not pool.held


def test_a_connection_was_last_used_when_it_was_given_back() -> None:
    pool = Pool()
    lent = pool.lent()
    pool.wait(1)
    other = pool.idle()
    pool.wait(1)
    pool.do(pool.core.returned(lent, pool.now))
    pool.clean(lent)
    assert pool.core._idle == [other, lent]


def test_a_connection_is_in_use_until_what_its_borrower_left_is_rolled_back() -> None:
    pool = Pool()
    entry = pool.lent()
    assert pool.core.in_use == 1
    pool.do(pool.core.returned(entry, pool.now))
    assert pool.core.in_use == 1
    pool.clean(entry)
    assert pool.core.in_use == 0


def test_a_call_that_is_made_again_after_a_shared_transaction_is_seen_to_be_held_for_long() -> None:
    pool = Pool(rest=100.0, min=2, leak_after=5.0)
    entry, first = pool.busy()
    other, _ = pool.busy()
    following = pool.submit()
    assert pool.core.share(entry, pool.now, lambda job: True)
    assert entry.job is following
    pool.tell(pool.core.finished, other)
    pool.pass_time(5.0)
    pool.pass_time(5.0)
    assert pool.core.tally.leaks == 1
    pool.do(pool.core.undone(entry, pool.now))
    assert other.job is first
    assert pool.core.wake_at <= pool.now + 5.0


def test_so_is_one_whose_connection_turned_out_suspect_after_so_long() -> None:
    pool = Pool(rest=100.0, leak_after=5.0, check_timeout=60.0)
    entry, first = pool.busy()
    other, _ = pool.busy()
    pool.pass_time(5.0)
    pool.pass_time(5.0)
    assert pool.core.tally.leaks == 2
    pool.tell(pool.core.finished, other)
    pool.do(pool.core.suspected(entry, pool.now))
    assert other.job is first
    assert pool.core.wake_at <= pool.now + 5.0
