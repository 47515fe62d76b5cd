"""When another thread would only be in the way: a database inside the process, asked for little at a time.

A call on SQLite that takes microseconds needs the interpreter for most of them. Eight threads that make such calls take
turns, and each change of turns costs more than the call: point reads were measured at 44,000/s with eight threads at
work, and at 86,000/s with one. So while calls are quick, those that wait are left to the thread at work, beside
connections at rest. That is never for long: a call that has run for `STALL` no longer counts as one that will soon make
room, and whoever waits behind it gets a connection of its own.

A call on a server spends its time waiting, with the interpreter free: this is not for those.
"""

from __future__ import annotations

__all__ = ["STALL", "Crowd"]

STALL = 0.002
"""Seconds that a call may run before it no longer counts as quick; twice this is the longest that one waits beside a
connection at rest."""
QUICK = 100e-6
"""The seconds for each call, over all threads, below which they get in each other's way. More is work of the database
itself, which several processors can share."""
SPAN = 16
"""Over how many calls the mean is taken, each weighing less the older it is."""


class Crowd:
    """How quick calls are.

    The time of one is divided by the number of threads at work, so that being slow because of all the others does not
    count as being slow: else a pool that once had too many at work would keep them.
    """

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean = QUICK  # not quick, until the first calls show it

    def ended(self, took: float, at_work: int) -> None:
        """A call took so many seconds, while so many threads were at work."""
        self._mean += (took / at_work - self._mean) / SPAN

    @property
    def quick(self) -> bool:
        """Whether threads would be in each other's way."""
        return self._mean < QUICK
