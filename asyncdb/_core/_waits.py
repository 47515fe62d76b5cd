"""When those who wait lose their patience.

Most calls have the pool's own time limits: the order in which they came is then the order in which they run out, and a
deque keeps it, 8 bytes and two steps for each. Calls with a limit of their own, and those that were put back into the
queue, are in a heap. Jobs that left the queue are taken out as soon as they are at the head, and when the queue is
empty: they hold on to what their callers gave them.

Invariant: every job in state WAITING, whose patience ends at all, is in one of the two. Jobs that wait no longer are
passed over, and thrown out when they outnumber the others.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from asyncdb._core._states import Job, JobState

__all__ = ["Waits"]

J = TypeVar("J", bound=Job)

_WAITING = JobState.WAITING
SPARE = 64  # so many that wait no longer are always tolerated


class Waits(Generic[J]):
    """The patience of waiting jobs."""

    __slots__ = ("_others", "usual")

    def __init__(self) -> None:
        self.usual: deque[J] = deque()  # the same one always
        self._others: list[tuple[float, int, J]] = []

    def tidy(self, alive: int) -> None:
        """One that was not the first waits no longer; *alive* jobs wait. The dead at the head are taken out at once:
        else whoever takes the first out of the queue would not find it at the head, and all after it would stay."""
        if not alive:
            self.clear()
            return
        usual = self.usual
        while usual and usual[0].state is not _WAITING:
            usual.popleft()
        if len(usual) + len(self._others) > 2 * alive + SPARE:
            self._drop_dead()

    def add(self, job: J, alive: int) -> None:
        """*job*, whenever its patience ends."""
        if job.patience == math.inf:
            return
        heapq.heappush(self._others, (job.patience, job.sequence, job))
        if len(self._others) > 2 * alive + SPARE:
            self._drop_dead()

    def forget(self, job: J) -> None:
        """*job*, which was taken out of the queue, is not in it any more, wherever it stood."""
        with suppress(ValueError):
            self.usual.remove(job)

    def _drop_dead(self) -> None:
        usual = self.usual
        living = [job for job in usual if job.state is _WAITING]
        usual.clear()
        usual.extend(living)
        self._others = [item for item in self._others if item[2].state is _WAITING]
        heapq.heapify(self._others)

    def earliest(self) -> float:
        """When the first of them runs out; infinity if none does."""
        usual, others = self.usual, self._others
        while usual and usual[0].state is not _WAITING:
            usual.popleft()
        while others and others[0][2].state is not _WAITING:
            heapq.heappop(others)
        first = usual[0].patience if usual else math.inf
        return min(first, others[0][0]) if others else first

    def overdue(self, now: float) -> Iterator[J]:
        """Those that have run out. Each must be dropped from the queue before the next is asked for."""
        while self.earliest() <= now:
            usual, others = self.usual, self._others
            if usual and usual[0].patience <= now:
                yield usual[0]
            else:
                yield others[0][2]

    def clear(self) -> None:
        """Nobody waits."""
        if self.usual:
            self.usual.clear()
        if self._others:
            self._others.clear()
