"""The queue of waiting jobs."""

from __future__ import annotations

from asyncdb._core import Job, JobState
from asyncdb._core._queue import SPARE, JobQueue


def filled(count: int) -> tuple[JobQueue[Job], list[Job]]:
    queue: JobQueue[Job] = JobQueue()
    jobs = [Job(deadline=float(number)) for number in range(count)]
    for number, job in enumerate(jobs):
        job.sequence = number
        queue.append(job)
    return queue, jobs


def taken(queue: JobQueue[Job]) -> list[int]:
    numbers = []
    while queue.alive:
        job = queue.pop()
        job.state = JobState.RUNNING
        numbers.append(job.sequence)
    return numbers


def test_first_in_is_first_out() -> None:
    queue, _ = filled(5)
    assert taken(queue) == [0, 1, 2, 3, 4]


def test_a_dropped_job_is_passed_over() -> None:
    queue, jobs = filled(5)
    queue.drop(jobs[0])
    queue.drop(jobs[3])
    assert jobs[3].state is JobState.DONE
    assert queue.alive == 3
    assert queue.head() is jobs[1]
    assert taken(queue) == [1, 2, 4]


def test_dropped_jobs_do_not_pile_up() -> None:
    queue, jobs = filled(1000)
    for job in jobs[1:]:
        queue.drop(job)
        assert len(queue._jobs) <= 2 * queue.alive + SPARE
    assert taken(queue) == [0]


def test_a_queue_whose_jobs_were_all_dropped_keeps_none_of_them() -> None:
    queue, jobs = filled(3)
    for job in jobs:
        queue.drop(job)
    assert not queue._jobs


def test_jobs_put_back_in_any_order_stand_in_their_own() -> None:
    queue, jobs = filled(6)
    for _ in range(4):
        queue.pop()
    for number in (2, 0, 3, 1):
        queue.put_back(jobs[number])
    assert taken(queue) == [0, 1, 2, 3, 4, 5]


def test_overdue_takes_those_whose_time_has_come() -> None:
    queue, jobs = filled(5)
    queue.drop(jobs[1])
    assert list(queue.overdue(2.0)) == [jobs[0], jobs[2]]
    assert jobs[2].state is JobState.DONE
    assert taken(queue) == [3, 4]


def test_clear_takes_all() -> None:
    queue, jobs = filled(3)
    queue.drop(jobs[1])
    assert queue.clear() == [jobs[0], jobs[2]]
    assert queue.alive == 0
    assert queue.head() is None
