"""How the pool behaves while it cannot connect: one attempt at a time, with growing pauses, told once."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Outage"]

# Back-off doubles from the first pause to the longest. The longest bounds how long after the database's return a call
# still waits (measured with five seconds: 3.8 s after an outage of as many); two also keep a pool with nothing but
# failures from filling the server's log. A call that waits less than that must still see an attempt made while it
# waits, so no pause is longer than a third of *patience*.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class Outage:
    """The failures to connect since the last success.

    Args:
        jitter: gives a number between 0 and 1; a pause is between half and all of its length, so that many pools that
            lost the same server do not come back in step.
        patience: seconds that a call waits for a connection.
    """

    __slots__ = ("_first", "_jitter", "_longest", "_pause", "error", "failures", "retry_at")

    def __init__(self, jitter: Callable[[], float], patience: float) -> None:
        self._jitter = jitter
        self._longest = min(LONGEST_PAUSE, patience / 3)
        self._first = self._pause = min(FIRST_PAUSE, self._longest)
        self.failures = 0
        self.error: BaseException | None = None
        self.retry_at = -math.inf

    def failed(self, error: BaseException, now: float, began: float) -> bool:
        """An attempt that *began* then failed. Returns whether it is the first: the one worth telling.

        The pause counts from its beginning: what hung for long has given whoever did not answer time enough.
        """
        if now >= self.retry_at:  # else it was under way already when another failed: no reason for a longer pause
            self.retry_at = max(now, began + self._pause * (0.5 + 0.5 * self._jitter()))
            self._pause = min(self._longest, 2 * self._pause)
        self.failures += 1
        # Without its traceback, whose frames hold the connect arguments: a password lives in there.
        self.error = error.with_traceback(None)
        return self.failures == 1

    def succeeded(self) -> int:
        """An attempt succeeded. Returns how many had failed."""
        failures = self.failures
        self.failures, self.error, self.retry_at, self._pause = 0, None, -math.inf, self._first
        return failures
