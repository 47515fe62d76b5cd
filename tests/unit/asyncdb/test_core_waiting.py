"""Who waits, for how long, in which order, and who is refused."""

from __future__ import annotations

import math
import random

import pytest

from asyncdb._core import EntryState, JobState
from asyncdb._core._queue import SPARE as LANE
from asyncdb._core._queue import TURNS
from asyncdb._core._waits import SPARE as WAITS
from asyncdb.errors import DeadlineExceeded, PoolOverloaded
from asyncdb.options import PRIORITIES, Priority
from asyncdb.stats import Histogram
from tests.support.core_pool import REST, Pool

# ----------------------------------------------------------------------------------------------------------- the bounds


def test_beyond_max_waiting_a_call_is_refused() -> None:
    pool = Pool(max=1, max_waiting=2)
    pool.busy()
    pool.submit()
    pool.submit()
    with pytest.raises(PoolOverloaded, match=r"cp_max_waiting=2.*busy 1.*waiting 2"):
        pool.submit()
    assert pool.core.waiting == 2


def test_where_none_may_wait_there_may_be_as_many_as_connections_can_be_made() -> None:
    pool = Pool(max=3, max_waiting=0)
    jobs = [pool.submit() for _ in range(3)]  # which are made one by one
    with pytest.raises(PoolOverloaded):
        pool.submit()
    for job in jobs:
        assert pool.connect().job is job
    with pytest.raises(PoolOverloaded):
        pool.submit()


def test_where_none_may_wait_a_call_may_while_an_old_connection_makes_room() -> None:
    pool = Pool(max=1, max_waiting=0, max_lifetime=100.0)
    pool.idle()
    pool.pass_time(100)  # CLOSING
    job = pool.submit()
    with pytest.raises(PoolOverloaded):
        pool.submit()
    pool.end()
    assert pool.connect().job is job


def test_where_none_may_wait_an_outage_ends_though_all_who_saw_it_have_given_up() -> None:
    pool = Pool(max=3, max_waiting=0)
    gone = pool.submit()
    pool.fail(OSError("refused"))
    with pytest.raises(PoolOverloaded):
        pool.submit()  # of one attempt at a time, one call may wait for each
    pool.cancel(gone)
    job = pool.submit()
    with pytest.raises(PoolOverloaded):
        pool.submit()
    pool.pass_time(1)
    assert pool.connect().job is job


def test_where_none_may_wait_a_connection_at_rest_serves_whether_it_must_be_checked_or_not() -> None:
    pool = Pool(max=1, max_waiting=0)
    entry = pool.idle()
    pool.wait(2 * REST)
    job = pool.submit()
    pool.tell(pool.core.checked, entry)
    assert entry.job is job


def test_one_caller_may_have_so_many_waiting_and_others_may_not_care() -> None:
    pool = Pool(max=1, max_waiting_per_caller=2)
    entry, _ = pool.busy()
    first, second = pool.submit(caller="report"), pool.submit(caller="report", priority="low")
    with pytest.raises(PoolOverloaded, match=r"of 'report' wait.*cp_max_waiting_per_caller=2.*waiting 2"):
        pool.submit(caller="report", priority="high")
    for _ in range(5):
        pool.submit()
    pool.submit(caller="web")
    assert pool.core.tally.refused == 1
    pool.cancel(second)
    pool.submit(caller="report")
    pool.tell(pool.core.finished, entry)
    assert entry.job is first
    pool.submit(caller="report")
    with pytest.raises(PoolOverloaded):
        pool.submit(caller="report")


def test_a_refused_call_leaves_nothing_behind() -> None:
    pool = Pool(max=1, max_waiting=0)
    pool.busy()
    before = pool.core.submitted
    with pytest.raises(PoolOverloaded):
        pool.submit(caller="web")
    assert pool.core.submitted == before
    assert pool.core.queue.waiting_of("web") == 0
    assert pool.core._waits.earliest() == math.inf
    assert not pool.core._waits.usual


# ---------------------------------------------------------------------------------------- none is kept without need


def kept_by(pool: Pool) -> int:
    """How many places in the core's lists hold a call."""
    queue, waits = pool.core.queue, pool.core._waits
    return sum(map(len, queue._lanes)) + len(waits.usual) + len(waits._others)


@pytest.mark.parametrize("order", ["as they came", "the last first", "any"])
@pytest.mark.parametrize("timeout", [None, 3.0])
def test_calls_that_were_cancelled_do_not_pile_up(order: str, timeout: float | None) -> None:
    pool = Pool(max=1)
    pool.busy()
    jobs = [pool.submit(timeout, priority) for _ in range(200) for priority in PRIORITIES]
    if order == "the last first":
        jobs.reverse()
    elif order == "any":
        random.Random(1).shuffle(jobs)
    for job in jobs:
        pool.cancel(job)
        assert kept_by(pool) <= len(PRIORITIES) * (2 * pool.core.waiting + LANE) + 2 * pool.core.waiting + WAITS
    assert kept_by(pool) == 0


@pytest.mark.parametrize("priority", PRIORITIES)
@pytest.mark.parametrize("lost", ["cancelled", "overtaken"])
def test_calls_that_were_served_do_not_pile_up_behind_one_that_left_out_of_turn(priority: Priority, lost: str) -> None:
    pool = Pool(max=1, wait_timeout=None)
    entry, _ = pool.busy()
    jobs = [pool.submit(), pool.submit(priority=priority), pool.submit()]
    if lost == "cancelled":
        pool.cancel(jobs[0])
    for _ in range(300):
        pool.submit()
        pool.tell(pool.core.finished, entry)
        assert kept_by(pool) <= 4 * pool.core.waiting + TURNS


# ------------------------------------------------------------------------------------------------------------- patience


def test_a_call_waits_for_a_connection_no_longer_than_it_may() -> None:
    pool = Pool(max=1, wait_timeout=5.0, timeout=60.0)
    pool.busy()
    job = pool.submit()
    pool.pass_time(4.9)
    assert job.state is JobState.WAITING
    pool.pass_time(0.1)
    error = pool.error_of(job)
    assert isinstance(error, DeadlineExceeded)
    assert "no connection within cp_wait_timeout of 5 s; nothing of the call was sent" in str(error)
    assert "busy 1" in str(error)
    assert pool.core.tally.wait_timeouts == 1


def test_a_call_that_must_have_ended_before_that_waits_so_long() -> None:
    pool = Pool(max=1, wait_timeout=5.0)
    pool.busy()
    usual, short, endless = pool.submit(), pool.submit(timeout=2.0), pool.submit(timeout=math.inf)
    pool.pass_time(2)
    assert [job for job, _ in pool.failed] == [short]
    assert "within its timeout of 2 s" in str(pool.error_of(short))
    pool.pass_time(3)
    assert [job for job, _ in pool.failed] == [short, usual, endless]
    assert "within cp_wait_timeout of 5 s" in str(pool.error_of(endless))


def test_jobs_lose_their_patience_in_the_order_of_their_deadlines_whatever_the_lane() -> None:
    pool = Pool(max=1)
    pool.busy()
    late = pool.submit(timeout=9.0, priority="high")
    early = pool.submit(timeout=3.0, priority="low")
    between = pool.submit(timeout=6.0)
    pool.pass_time(10)
    assert [job for job, _ in pool.failed] == [early, between, late]


def test_without_limits_jobs_wait_for_ever() -> None:
    pool = Pool(max=1, wait_timeout=None)
    pool.busy()
    pool.submit()
    pool.wait(1e9)
    pool.expire()
    assert not pool.failed
    assert pool.core.wake_at == math.inf


def test_jobs_that_wait_in_an_outage_fail_with_figures_and_cause() -> None:
    pool = Pool(wait_timeout=30.0, name="people")
    job = pool.submit()
    refused = OSError("connection refused\nis the server running?")
    pool.fail(refused)
    pool.wait(29.9)
    later = pool.submit()
    pool.wait(0.1)
    pool.expire()
    error = pool.error_of(job)
    assert isinstance(error, TimeoutError)
    assert error.__cause__ is refused
    assert "pool 'people': total 1 of 2, idle 0, busy 0, lent 0, connecting 1, waiting 2" in str(error)
    assert "OSError: connection refused" in str(error)
    assert "is the server running" not in str(error)
    assert later.state is JobState.WAITING


def test_the_time_to_wake_is_the_earliest_of_all() -> None:
    pool = Pool(max=1, wait_timeout=30.0, connect_timeout=10.0, timeout=60.0, max_idle=None, max_lifetime=None)
    pool.submit()
    assert pool.core.wake_at == 110.0
    pool.connect()
    pool.wait(1)
    pool.submit()
    pool.expire()
    assert pool.core.wake_at == 131.0  # the second's patience
    pool.submit(timeout=3.0)
    assert pool.core.wake_at == 104.0
    pool.pass_time(40)
    assert pool.core.wake_at == 160.0  # the first's deadline


# ------------------------------------------------------------------------------------------------------------ the lanes


def served(pool: Pool, count: int) -> list[int]:
    """The lanes of the next *count* jobs that the one connection takes."""
    (entry,) = pool.core.entries
    lanes = []
    for _ in range(count):
        pool.tell(pool.core.finished, entry)
        assert entry.job is not None
        lanes.append(entry.job.lane)
    return lanes


def test_a_higher_lane_is_served_first() -> None:
    pool = Pool(max=1)
    pool.busy()
    for priority in ("low", "normal", "high", "low", "high"):
        pool.submit(priority=priority)  # type: ignore[arg-type]
    assert served(pool, 5) == [0, 0, 1, 2, 2]


def test_of_so_many_that_overtake_a_lower_lane_the_last_lets_it_go_first() -> None:
    pool = Pool(max=1)
    pool.busy()
    for _ in range(3 * TURNS):
        pool.submit(priority="high")
    for _ in range(2):
        pool.submit(priority="low")
    assert served(pool, 3 * TURNS) == 2 * [*(TURNS - 1) * [0], 2] + TURNS * [0]


def test_of_two_lanes_that_were_overtaken_who_waits_longest_goes_first() -> None:
    pool = Pool(max=1)
    pool.busy()
    pool.submit(priority="low")
    for _ in range(4 * TURNS):
        pool.submit(priority="high")
        pool.submit()
    lanes = served(pool, 4 * TURNS)
    assert [lane for lane in lanes if lane] == [2, 1, 1, 1]


def test_no_lane_starves_however_the_others_are_fed() -> None:
    pool = Pool(max=1)
    pool.busy()
    waiting = [pool.submit(priority="low"), pool.submit()]
    for _ in range(3 * TURNS):
        pool.submit(priority="high")
        pool.submit(priority="high")
        served(pool, 1)
    assert [job.state for job in waiting] == [JobState.DONE] * 2


@pytest.mark.parametrize("priority", ["normal", "low"])
def test_no_lane_starves_when_those_that_overtake_it_come_one_at_a_time(priority: Priority) -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    waiting = pool.submit(priority=priority)
    for _ in range(TURNS - 1):
        high = pool.submit(priority="high")
        pool.tell(pool.core.finished, entry)
        assert entry.job is high
    pool.submit(priority="high")
    pool.tell(pool.core.finished, entry)
    assert entry.job is waiting


def test_who_is_served_without_being_overtaken_has_had_a_turn() -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    waiting = [pool.submit() for _ in range(5)]
    for _ in range(TURNS - 1):
        pool.submit(priority="high")
        pool.tell(pool.core.finished, entry)
    assert not pool.core.hand_over(entry, pool.now)  # which notes no turns
    pool.tell(pool.core.finished, entry)
    assert entry.job is waiting[0]
    assert pool.core.hand_over(entry, pool.now)
    high = pool.submit(priority="high")
    pool.tell(pool.core.finished, entry)
    assert entry.job is high


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_what_was_overtaken_and_has_left_gives_nobody_a_turn(end: str) -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    overtaken = pool.submit()
    for _ in range(TURNS - 1):
        pool.submit(priority="high")
        pool.tell(pool.core.finished, entry)
    if end == "cancelled":
        pool.cancel(overtaken)
    else:
        pool.lose(entry)
        pool.fail(OSError("wrong password"), retryable=False)
    assert pool.core.waiting == 0
    pool.submit()
    high = pool.submit(priority="high")
    if end == "cancelled":
        pool.tell(pool.core.finished, entry)
    else:
        entry = pool.connect()
    assert entry.job is high


def test_calls_come_from_lanes_to_new_connections_in_turn_too() -> None:
    pool = Pool(max=2)
    normal, high = pool.submit(), pool.submit(priority="high")
    assert pool.connect().job is high
    assert pool.connect().job is normal


# ------------------------------------------------------------------------------------------------------ what is counted


def test_times_are_counted_from_the_call_to_its_connection_and_from_there_to_its_end() -> None:
    pool = Pool(max=1)
    entry, _ = pool.busy()
    pool.submit()
    pool.wait(0.001)
    pool.tell(pool.core.finished, entry)
    pool.wait(1)
    pool.tell(pool.core.failed, entry)
    tally = pool.core.tally
    waited, ran = Histogram(tally.wait_time.count()), Histogram(tally.run_time.count())
    assert (waited.count, waited.percentile(50), waited.percentile(100)) == (2, 2.0**-20, 2.0**-9)
    assert (ran.count, ran.percentile(50), ran.percentile(100)) == (2, 2.0**-9, 2.0)
    assert tally.failed == 1
    assert entry.state is EntryState.IDLE
