"""The jobs that wait: in lanes, and in each lane first come first served.

A lane is served before those behind it, but not for ever: of `TURNS` jobs that are served while one in a lower lane
waits, one is from there.

Invariants: ``alive`` counts the jobs in state WAITING, ``others`` those of them outside the normal lane,
``passed_over`` how many were served, one after another, while a lower lane waited. In each lane the jobs stand in the
order of their sequence numbers. A job that was dropped stays where it is until it is passed over, or until the dead
outnumber the living: taking one out of the middle costs as much as the queue is long, and a thousand cancelled calls
would cost a million steps.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Generic, TypeVar

from asyncdb._core._states import NORMAL, Job, JobEvent, JobState, advance
from asyncdb.options import PRIORITIES

__all__ = ["JobQueue"]

J = TypeVar("J", bound=Job)

_WAITING = JobState.WAITING  # a global is read faster than an attribute of an enum class

SPARE = 32  # so many dead jobs are always tolerated, so that short queues are not rebuilt again and again
TURNS = 8


class JobQueue(Generic[J]):
    """Waiting jobs. The caller numbers them and keeps their number bounded."""

    __slots__ = ("_callers", "_lanes", "alive", "normal", "others", "passed_over")

    def __init__(self) -> None:
        self._lanes: list[deque[J]] = [deque() for _ in PRIORITIES]
        self.normal = self._lanes[NORMAL]
        self._callers: Counter[str] = Counter()
        self.passed_over = 0
        self.alive = 0
        self.others = 0

    def waiting_of(self, caller: str) -> int:
        """How many of *caller*'s jobs wait."""
        return self._callers[caller]

    def append(self, job: J) -> None:
        """Last in its lane."""
        self._lanes[job.lane].append(job)
        self.alive += 1
        if job.lane != NORMAL:
            self.others += 1
        if job.caller is not None:
            self._callers[job.caller] += 1

    def pop(self) -> J:
        """The job whose turn it is; there must be one. It is still WAITING: starting it is the caller's."""
        if self.others:
            jobs = self._lane()
        else:
            jobs, self.passed_over = self.normal, 0
        while True:
            job = jobs.popleft()
            if job.state is _WAITING:
                if self.others or job.caller is not None:
                    self._leaves(job)
                else:
                    self.alive -= 1
                return job

    def put_back(self, job: J) -> None:
        """Back to its place: at the head of its lane, unless others were put back there that came before it."""
        ahead: list[J] = []
        jobs = self._lanes[job.lane]
        while jobs and jobs[0].sequence < job.sequence:
            ahead.append(jobs.popleft())
        jobs.appendleft(job)
        jobs.extendleft(reversed(ahead))
        self.alive += 1
        self.others += job.lane != NORMAL
        if job.caller is not None:
            self._callers[job.caller] += 1

    def drop(self, job: J) -> None:
        """*job* waits no longer. It is DONE."""
        advance(job, JobEvent.DROPPED)
        self._leaves(job)
        jobs = self._lanes[job.lane]
        if not self.alive:
            self.passed_over = 0
            for lane in self._lanes:
                lane.clear()
        elif len(jobs) > 2 * self.alive + SPARE:  # each rebuild has as many drops behind it: it costs O(1) a drop
            living = [kept for kept in jobs if kept.state is _WAITING]
            jobs.clear()
            jobs.extend(living)

    def clear(self) -> list[J]:
        """Take out all, in the order in which they came. They are DONE."""
        jobs = [job for lane in self._lanes for job in lane if job.state is _WAITING]
        jobs.sort(key=lambda job: job.sequence)
        for lane in self._lanes:
            lane.clear()
        self._callers.clear()
        self.alive = self.others = self.passed_over = 0
        for job in jobs:
            advance(job, JobEvent.DROPPED)
        return jobs

    def _leaves(self, job: J) -> None:
        self.alive -= 1
        if job.lane != NORMAL:
            self.others -= 1
            if not self.others:
                for lane in self._lanes:
                    if lane is not self.normal:
                        lane.clear()  # the dead: as long as nobody waits there, nobody looks there
        if job.caller is not None:
            left = self._callers[job.caller] - 1
            if left:
                self._callers[job.caller] = left
            else:
                del self._callers[job.caller]  # names may be many

    def _lane(self) -> deque[J]:
        """The lane whose turn it is: the first with a job, or the last with one when others had their share."""
        waiting = [lane for lane in self._lanes if _has_living(lane)]
        if len(waiting) == 1:
            self.passed_over = 0
            return waiting[0]
        self.passed_over += 1
        if self.passed_over < TURNS:
            return waiting[0]
        self.passed_over = 0
        return min(waiting[1:], key=lambda lane: lane[0].sequence)  # of two that were overtaken, who waits longest


def _has_living(jobs: deque[J]) -> bool:
    while jobs and jobs[0].state is not _WAITING:
        jobs.popleft()
    return bool(jobs)
