"""What the pool has counted: nothing that it decides by."""

from __future__ import annotations

from collections import Counter

__all__ = ["BUCKETS", "Tally", "bucket"]

BUCKETS = 64
"""Of a histogram of times: the first holds those below a microsecond, each further one those up to twice as long. The
last begins at 146,000 years."""


def bucket(seconds: float) -> int:
    """The index of the bucket for *seconds*."""
    return int(seconds * 1e6).bit_length()


class Tally:
    """Counters since the pool's start. `asyncdb.stats.PoolStats` says what they mean."""

    __slots__ = (
        "cancelled",
        "checks",
        "connect_failures",
        "connected",
        "evictions",
        "failed",
        "interrupts",
        "leaks",
        "left_open",
        "refused",
        "run_time",
        "timeouts",
        "wait_time",
        "wait_timeouts",
    )

    def __init__(self) -> None:
        self.wait_time = [0] * BUCKETS
        self.run_time = [0] * BUCKETS
        self.evictions: Counter[str] = Counter()
        self.failed = self.refused = self.cancelled = self.timeouts = self.wait_timeouts = 0
        self.connected = self.connect_failures = self.checks = self.interrupts = self.leaks = self.left_open = 0
