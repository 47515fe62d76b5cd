"""What a pool has done and how it stands: `PoolStats`, a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Histogram", "PoolStats"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long things took.

    Attributes:
        counts: those below 2 ** -20 s (about a microsecond), and then those below each further power of two:
            ``counts[10]`` are those from 0.49 to 0.98 ms (2 ** -11 to 2 ** -10 s). The last are
            those of half an hour and more.
    """

    counts: Sequence[int]

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def percentile(self, percent: float) -> float:
        """The seconds that so many percent of them did not exceed, rounded up to the end of their bucket; 0 of none.

        Raises: ValueError: not between 0 and 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be between 0 and 100, not {percent!r}")
        wanted, seen = self.count * percent / 100, 0
        for index, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return float(2.0 ** (index - 20))
        return 0.0

    def __repr__(self) -> str:
        count, median, late = self.count, self.percentile(50), self.percentile(99)
        return f"<Histogram of {count}: half within {median:g} s, 99 % within {late:g} s>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """A pool at one moment. Counters begin with the pool's start; the difference of two snapshots is a rate.

    How it stands:

    Attributes:
        name: the pool's.
        state: "not started", "running", "suspended", "closing" or "closed".
        max, min: of connections.
        total: connections that there are, or that are being made.
        connecting, checking, idle, busy, lent, resetting, closing: those in each state; *lent* were checked out by
            ``connect()``, *resetting* given back and not yet clean.
        abandoned: connections that took too long and were cut, whose threads have not come back yet. Not in *total*.
        waiting: calls that wait for a connection.
        outage: the last error of connecting, redacted, if connecting fails; else None.

    What it has done:

    Attributes:
        submitted: calls that were made and not refused.
        finished: of those, the ones that came to an end on a connection that was fit for the next.
        failed: those that ended in an error on their connection.
        refused: calls that failed with PoolOverloaded.
        cancelled: calls that their caller cancelled, in the queue or while they ran.
        waitTimeouts, timeouts: calls that failed with DeadlineExceeded, in the queue and while they ran.
        closedWaiting: calls that failed with PoolClosed in the queue.
        loans: calls of `ConnectionPool.connect` that were lent a connection. They are not *finished* ones.
        connected, connectFailures: attempts to connect, by their end.
        checks: connections that were checked.
        interrupts: how often a running statement was told to stop.
        evictions: connections that were closed before the pool was, by reason: "idle" and "lifetime" by their limits;
            "lost" (the connection broke) and "shutdown" (the server said that it closes it); "readonly" (the server had
            become a standby); "check" (it did not answer); "unclean" (what was left on it could not be undone);
            "cancelled" (its statement did not stop); "evicted" (by `ConnectionPool.evictAll`).
        leaks: connections that were held for longer than ``cp_leak_after``.
        leftOpen: connections that came back from `ConnectionPool.connect` in a transaction, which was rolled back.
        waitTime, runTime: of the calls that *finished* counts: from the call to its connection, and from there to its
            end.
    """

    name: str
    state: str
    max: int
    min: int
    total: int = 0
    connecting: int = 0
    checking: int = 0
    idle: int = 0
    busy: int = 0
    lent: int = 0
    resetting: int = 0
    closing: int = 0
    abandoned: int = 0
    waiting: int = 0
    outage: str | None = None

    submitted: int = 0
    finished: int = 0
    failed: int = 0
    refused: int = 0
    cancelled: int = 0
    waitTimeouts: int = 0
    timeouts: int = 0
    closedWaiting: int = 0
    loans: int = 0
    connected: int = 0
    connectFailures: int = 0
    checks: int = 0
    interrupts: int = 0
    evictions: Mapping[str, int]
    leaks: int = 0
    leftOpen: int = 0
    waitTime: Histogram
    runTime: Histogram
