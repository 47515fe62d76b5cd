"""What the pool has counted: nothing that it decides by."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

__all__ = ["BATCH", "Tally", "Times"]

BOUNDS = [2.0**exponent for exponent in range(-20, 12)]
"""Seconds: about a microsecond, and each further power of two, to half an hour."""
BATCH = 512


class Times:
    """A histogram of times.

    They are kept as they come, and counted in batches: adding one costs 30 ns, sorting and counting it 70 more, a
    logarithm of each would take 200.

    Attributes: *recent*, those not yet counted. Whoever adds to it calls `count` when there are `BATCH`.
    """

    __slots__ = ("_counts", "recent")

    def __init__(self) -> None:
        self.recent: list[float] = []
        self._counts = [0] * (len(BOUNDS) + 1)

    def count(self) -> tuple[int, ...]:
        """How many there are below each of `BOUNDS`, and not below the one before it; and then those below none."""
        recent, counts = self.recent, self._counts
        recent.sort()
        before = 0
        for index, bound in enumerate(BOUNDS):
            below = bisect_left(recent, bound, before)
            counts[index] += below - before
            before = below
        counts[-1] += len(recent) - before
        recent.clear()
        return tuple(counts)


class Tally:
    """Counters since the pool's start. `asyncdb.stats.PoolStats` says what they mean."""

    __slots__ = (
        "cancelled",
        "checks",
        "closed_waiting",
        "connect_failures",
        "connected",
        "evictions",
        "failed",
        "interrupts",
        "leaks",
        "left_open",
        "loans",
        "refused",
        "run_time",
        "timeouts",
        "wait_time",
        "wait_timeouts",
    )

    def __init__(self) -> None:
        self.wait_time = Times()
        self.run_time = Times()
        self.evictions: Counter[str] = Counter()
        self.failed = self.refused = self.cancelled = self.timeouts = self.wait_timeouts = self.closed_waiting = 0
        self.connected = self.connect_failures = self.checks = self.interrupts = 0
        self.loans = self.leaks = self.left_open = 0
