"""The jobs that wait, first come first served.

Invariant: ``alive`` counts the jobs in state WAITING, and they stand in the order of their sequence numbers. A job that
was dropped stays where it is until it is passed over, or until the dead outnumber the living: taking one out of the
middle costs as much as the queue is long, and a thousand cancelled calls would cost a million steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from asyncdb._core._states import Job, JobEvent, JobState, advance

__all__ = ["JobQueue"]

J = TypeVar("J", bound=Job)

_WAITING = JobState.WAITING  # a global is read faster than an attribute of an enum class

SPARE = 32  # so many dead jobs are always tolerated, so that short queues are not rebuilt again and again


class JobQueue(Generic[J]):
    """Waiting jobs. The caller numbers them and keeps their number bounded."""

    __slots__ = ("_jobs", "alive")

    def __init__(self) -> None:
        self._jobs: deque[J] = deque()
        self.alive = 0

    def append(self, job: J) -> None:
        """Last in the queue."""
        self._jobs.append(job)
        self.alive += 1

    def pop(self) -> J:
        """The job that waits longest; there must be one. It is still WAITING: starting it is the caller's."""
        while True:
            job = self._jobs.popleft()
            if job.state is _WAITING:
                self.alive -= 1
                return job

    def head(self) -> J | None:
        """The job that waits longest, left where it is."""
        jobs = self._jobs
        while jobs:
            if jobs[0].state is JobState.WAITING:
                return jobs[0]
            jobs.popleft()
        return None

    def put_back(self, job: J) -> None:
        """Back to its place: at the head, unless others were put back there meanwhile that came before it."""
        ahead: list[J] = []
        jobs = self._jobs
        while jobs and jobs[0].sequence < job.sequence:
            ahead.append(jobs.popleft())
        jobs.appendleft(job)
        jobs.extendleft(reversed(ahead))
        self.alive += 1

    def drop(self, job: J) -> None:
        """*job* waits no longer."""
        advance(job, JobEvent.DROPPED)
        self.alive -= 1
        if not self.alive:
            self._jobs.clear()
        elif len(self._jobs) > 2 * self.alive + SPARE:  # each rebuild has as many drops behind it: it costs O(1) a drop
            self._jobs = deque(kept for kept in self._jobs if kept.state is JobState.WAITING)

    def overdue(self, now: float) -> Iterator[J]:
        """Take out, one after another, the jobs whose deadline has passed. They are DONE."""
        while (job := self.head()) is not None and job.deadline <= now:
            self._jobs.popleft()
            self.alive -= 1
            advance(job, JobEvent.DROPPED)
            yield job

    def clear(self) -> list[J]:
        """Take out all. They are DONE."""
        jobs = [job for job in self._jobs if job.state is JobState.WAITING]
        self._jobs.clear()
        self.alive = 0
        for job in jobs:
            advance(job, JobEvent.DROPPED)
        return jobs
