"""The queue of waiting jobs: its lanes, and what becomes of those that were dropped."""

from __future__ import annotations

import random

import pytest

from asyncdb._core import Job, JobState
from asyncdb._core._queue import SPARE, TURNS, JobQueue
from asyncdb._core._states import NORMAL

HIGH, LOW = NORMAL - 1, NORMAL + 1


def filled(*lanes: int) -> tuple[JobQueue[Job], list[Job]]:
    queue: JobQueue[Job] = JobQueue()
    jobs = [Job(lane) for lane in lanes]
    for number, job in enumerate(jobs):
        job.sequence = number
        queue.append(job)
    return queue, jobs


def take(queue: JobQueue[Job]) -> Job:
    job = queue.pop()
    assert job.state is JobState.WAITING
    job.state = JobState.RUNNING
    return job


def taken(queue: JobQueue[Job]) -> list[int]:
    numbers = []
    while queue.alive:
        numbers.append(take(queue).sequence)
    return numbers


def kept(queue: JobQueue[Job]) -> int:
    """How many jobs it holds, dead or alive."""
    return sum(map(len, queue._lanes))


def test_first_in_is_first_out() -> None:
    queue, _ = filled(*[NORMAL] * 5)
    assert taken(queue) == [0, 1, 2, 3, 4]


def test_lanes_go_before_each_other_and_each_is_in_order() -> None:
    queue, _ = filled(LOW, NORMAL, HIGH, LOW, NORMAL, HIGH)
    assert taken(queue) == [2, 5, 1, 4, 0, 3]
    assert queue.others == 0


def test_one_of_so_many_is_from_a_lane_that_was_overtaken() -> None:
    queue, _ = filled(*[NORMAL] * 20, LOW, LOW)
    assert [number for number in range(22) if take(queue).lane == LOW] == [TURNS - 1, 2 * TURNS - 1]


def test_who_comes_when_nobody_was_overtaken_begins_the_count_anew() -> None:
    queue, _ = filled(*[HIGH] * (TURNS - 1), NORMAL)
    for _ in range(TURNS - 1):
        assert take(queue).lane == HIGH
    assert take(queue).lane == NORMAL
    high, normal = Job(HIGH), Job()
    high.sequence, normal.sequence = 101, 100
    queue.append(normal)
    queue.append(high)
    assert [take(queue), take(queue)] == [high, normal]


def test_a_dropped_job_is_passed_over() -> None:
    queue, jobs = filled(*[NORMAL] * 5)
    queue.drop(jobs[0])
    queue.drop(jobs[3])
    assert jobs[3].state is JobState.DONE
    assert queue.alive == 3
    assert taken(queue) == [1, 2, 4]


def test_a_lane_of_dropped_jobs_is_no_lane_that_waits() -> None:
    queue, jobs = filled(*[NORMAL] * 20, LOW, LOW)
    queue.drop(jobs[20])
    assert [number for number in range(20) if take(queue).lane == LOW] == [TURNS - 1]


@pytest.mark.parametrize("order", ["as they came", "the last first", "any"])
@pytest.mark.parametrize("lanes", [(NORMAL,), (LOW,), (HIGH, NORMAL, LOW)])
def test_dropped_jobs_do_not_pile_up(order: str, lanes: tuple[int, ...]) -> None:
    queue, jobs = filled(*(lanes * 1000)[:1000])
    doomed = jobs[1:]
    if order == "the last first":
        doomed.reverse()
    elif order == "any":
        random.Random(1).shuffle(doomed)
    for job in doomed:
        queue.drop(job)
        assert kept(queue) <= len(lanes) * (2 * queue.alive + SPARE) + queue.alive
    assert taken(queue) == [0]


def test_dropped_jobs_of_a_lane_where_nobody_waits_any_more_go_with_the_last_that_did() -> None:
    queue, jobs = filled(*[LOW] * 100, *[NORMAL] * 100)
    for job in jobs[1:100]:
        queue.drop(job)
    for _ in range(101):
        take(queue)
    assert kept(queue) == 0


def test_a_queue_whose_jobs_were_all_dropped_keeps_none_of_them() -> None:
    queue, jobs = filled(NORMAL, LOW, HIGH)
    for job in jobs:
        queue.drop(job)
    assert kept(queue) == 0


def test_jobs_put_back_in_any_order_stand_in_their_own() -> None:
    queue, jobs = filled(*[NORMAL] * 6)
    for _ in range(4):
        take(queue)
    for number in (2, 0, 3, 1):
        jobs[number].state = JobState.WAITING
        queue.put_back(jobs[number])
    assert taken(queue) == [0, 1, 2, 3, 4, 5]


def test_jobs_go_back_to_their_own_lanes_past_those_that_were_dropped() -> None:
    queue, jobs = filled(HIGH, LOW, HIGH, LOW, NORMAL, HIGH)
    out = [take(queue) for _ in range(5)]
    assert [job.sequence for job in out] == [0, 2, 5, 4, 1]
    for job in (jobs[5], jobs[0], jobs[1], jobs[2]):
        job.state = JobState.WAITING
        queue.put_back(job)
        if job is jobs[5]:
            queue.drop(job)
    assert queue.alive == 4
    assert queue.others == 4
    assert taken(queue) == [0, 2, 1, 3]


def test_callers_are_counted_while_they_wait() -> None:
    queue: JobQueue[Job] = JobQueue()
    jobs = [Job(lane, caller) for lane, caller in ((HIGH, "a"), (LOW, "a"), (NORMAL, "b"), (NORMAL, None))]
    for number, job in enumerate(jobs):
        job.sequence = number
        queue.append(job)
    assert (queue.waiting_of("a"), queue.waiting_of("b")) == (2, 1)
    take(queue)
    assert queue.waiting_of("a") == 1
    jobs[0].state = JobState.WAITING
    queue.put_back(jobs[0])
    assert queue.waiting_of("a") == 2
    queue.drop(jobs[1])
    queue.clear()
    assert not queue._callers  # of names that are made up for each call, none is kept
    assert jobs[3].state is JobState.DONE


def test_the_names_of_callers_that_wait_no_longer_are_not_kept() -> None:
    queue: JobQueue[Job] = JobQueue()
    for number in range(100):
        queue.append(Job(NORMAL, f"request {number}"))
        take(queue)
    assert queue.waiting_of("request 7") == 0
    assert not queue._callers


def test_clear_takes_all_in_the_order_in_which_they_came() -> None:
    queue, jobs = filled(NORMAL, HIGH, LOW, HIGH)
    queue.drop(jobs[1])
    assert queue.clear() == [jobs[0], jobs[2], jobs[3]]
    assert queue.alive == queue.others == kept(queue) == 0
