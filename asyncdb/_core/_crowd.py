"""When another thread would only be in the way: calls so quick that the interpreter is short, or a processor.

Threads that make quick calls take turns with the interpreter, and a change of turns costs as much as a call. A database
on the same machine takes turns with them at its processors. Measured on two processors with 64 callers, by the number
of threads at work: one-row selects from SQLite, in calls a second (1: 92,000, 2: 75,000, 8: 45,000); from a local
PostgreSQL it depends on the machine and the statement, and is found out by trying (`_trials`).

So while that is so, those that wait are left to the threads at work, beside connections at rest. That is never for
long: a call that has run for `STALL` no longer counts as one that will soon make room, and whoever waits behind it gets
a connection of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from asyncdb._core._trials import Trials

__all__ = ["SAMPLE", "STALL", "Crowd", "QuickCalls", "SharedProcessors"]

STALL = 0.005
"""Seconds that a call may run before it no longer counts as one that will soon make room. About twice this is the
longest that one waits beside a connection at rest, on a machine with a processor to spare."""
SAMPLE = 16
"""Of so many calls one is looked at."""
SPAN = 8
"""Over how many of those the mean is taken, each weighing less the older it is."""
MOST = 4
"""How many times the limit a call counts at most: one that waited for SQLite's checkpoint, or for a processor, says
nothing of those after it."""
LONGEST = 0.5
"""Seconds over which a thread's processor time is taken, at most: one that rested meanwhile says nothing."""
REMEMBERED = 256
"""Threads, at most: they come and go."""
BUSY = 0.4
"""How much of one processor the threads at work then use together, at least. For one-row selects from a local
PostgreSQL, with 64 callers, it is 0.6 to 0.7, whether 2 or 8 are at work. Where calls wait for a disk or a lock it is
less, and the less the fewer are at work."""
LAZY = 0.2
"""How little it must be for that to be over: with few threads at work there are moments in which it is 0.3."""
BUSY_SPAN = 16
"""As `SPAN`, for that: some 30 ms under load."""


class Crowd:
    """Whether there are enough threads at work.

    Attributes: *enough*, how many that would be; *tight*, whether more would be in each other's way.
    """

    __slots__ = ("enough", "tight")

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.tight = False  # until calls show it

    def ended(self, took: float, at_work: int, now: float) -> None:
        """One of `SAMPLE` calls has ended. It took so many seconds, while so many threads were at work.

        Threading: in the thread that ran it.
        """
        raise NotImplementedError


class QuickCalls(Crowd):
    """By how long calls take: for a database in this process.

    The time of one is divided by the number of threads at work, so that being slow because of all the others does not
    count as being slow: else a pool that once had too many at work would keep them.

    Args:
        limit: the seconds for each call, over all threads, below which they get in each other's way.
        enough: how many threads at work are then all there should be.
    """

    __slots__ = ("_limit", "_mean", "_most")

    def __init__(self, limit: float, enough: int) -> None:
        super().__init__(enough)
        self._limit = limit
        self._most = MOST * limit
        self._mean = limit

    def ended(self, took: float, at_work: int, now: float) -> None:
        each = took / at_work
        if each > self._most:
            each = self._most
        self._mean += (each - self._mean) / SPAN
        self.tight = self._mean < self._limit


class SharedProcessors(Crowd):
    """By trying, while the threads at work are busy: for a server on the same machine, which needs its processors, too.

    How long calls take says nothing there: with all processors busy, that is a matter of how many calls there are.

    Args:
        used: which thread this is, and the seconds of processor time that it has used.
        enough: as above, where few are better than all.
    Attributes: *near*, whether the server is on this machine: to be set when a connection shows it. If it is not, more
        threads at work mean that more of the server's processors are.
    """

    __slots__ = ("_before", "_busy", "_mean", "_trials", "_used", "near")

    def __init__(self, used: Callable[[], tuple[int, float]], enough: int) -> None:
        super().__init__(enough)
        self._used = used
        self._before: dict[int, tuple[float, float]] = {}  # of each thread: when it was seen, and what it had used
        self._mean = 0.0
        self._busy = False
        self._trials = Trials()
        self.near = False

    def ended(self, took: float, at_work: int, now: float) -> None:
        busy = self.near and self._are_busy(at_work, now)
        if busy:
            self._trials.sample(now)
        elif self._busy:
            self._trials.give_up(now)
        self._busy = busy
        self.tight = busy and self._trials.few

    def _are_busy(self, at_work: int, now: float) -> bool:
        """Whether the threads at work are, to judge by this one."""
        thread, used = self._used()
        before = self._before
        since, used_before = before.get(thread, (-math.inf, 0.0))
        if len(before) > REMEMBERED:
            before.clear()
        before[thread] = now, used
        passed = now - since
        if 0 < passed <= LONGEST:
            self._mean += (at_work * (used - used_before) / passed - self._mean) / BUSY_SPAN
        return self._mean >= (LAZY if self._busy else BUSY)
