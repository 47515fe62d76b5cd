"""When another thread would only be in the way: calls so quick that the interpreter is what is short.

Threads that make quick calls take turns with the interpreter, and a change of turns costs as much as a call. Measured
on two processors with 64 callers, in calls a second, by the number of threads at work:

===================  ======  ======  ======  ======
one-row selects         1       2       3       8
===================  ======  ======  ======  ======
SQLite, a file       92,000  75,000       -  45,000
PostgreSQL, local         -  30,200  23,300  25,200
===================  ======  ======  ======  ======

So while calls are quick, those that wait are left to the threads at work, beside connections at rest. That is never for
long: a call that has run for `STALL` no longer counts as one that will soon make room, and whoever waits behind it gets
a connection of its own.

A call on a server further away, or one that gives the database work to do, is not quick, and this is not for those.
"""

from __future__ import annotations

__all__ = ["STALL", "Crowd"]

STALL = 0.002
"""Seconds that a call may run before it no longer counts as quick; twice this is the longest that one waits beside a
connection at rest."""
SPAN = 16
"""Over how many calls the mean is taken, each weighing less the older it is."""
MOST = 4
"""How many times the limit a call counts at most: one that waited for SQLite's checkpoint, or for a processor, says
nothing of those after it."""


class Crowd:
    """How quick calls are.

    The time of one is divided by the number of threads at work, so that being slow because of all the others does not
    count as being slow: else a pool that once had too many at work would keep them.

    Args:
        limit: the seconds for each call, over all threads, below which they get in each other's way.
        enough: how many threads at work are then all there should be.
    Attributes: *quick*, whether they would be; *enough*.
    """

    __slots__ = ("_limit", "_mean", "_most", "enough", "quick")

    def __init__(self, limit: float, enough: int) -> None:
        self._limit = limit
        self._most = MOST * limit
        self._mean = limit
        self.enough = enough
        self.quick = False  # until the first calls show it

    def ended(self, took: float, at_work: int) -> bool:
        """A call took so many seconds, while so many threads were at work. Returns *quick*."""
        each = took / at_work
        if each > self._most:
            each = self._most
        self._mean = mean = self._mean + (each - self._mean) / SPAN
        self.quick = quick = mean < self._limit
        return quick
