"""Whether few threads at work get more done than all there may be: found out by trying both in turn.

It depends on the processors, the server, the statements and on what the program does with their results, and no figure
that a pool can read tells it. Measured with 64 callers at 8 connections to a server on the same two processors, in
parts of what eight bare threads of psycopg2 did beside them (2 threads at work, 4, 8): one-row selects 0.86 to 0.96,
0.80 to 0.88, 0.74 to 0.84; statements that cost the server twice as much 0.78 to 0.91, 0.87 to 0.92, 0.92 to 1.04. On a
slower machine 2 to 5 were alike for those selects, and a little better than 8.
"""

from __future__ import annotations

import math

__all__ = ["Trials"]

SETTLE = 0.3
"""Seconds after a change or a pause that are not measured: threads wake up or go to rest, and find their processors."""
WINDOW = 1.0
"""Seconds that are then measured, without pauses. Where threads are well or badly placed, they stay for half of one."""
PAUSE = 0.25
"""Seconds without a sample after which there was no load in between: the window goes on when threads have settled."""
MOST = 0.2
"""How much a gain or a loss in one trial counts, at most: windows with the same threads differ by 10 %."""
MARGIN = 0.02
"""By how much the other way must be better: so much less is counted for each trial."""
PROOF = 0.3
"""When what the trials have shown comes to so much, for the other way or against it, it is known which is better."""
STALE = 10.0
"""Seconds after which nothing is compared any more with a window of the way preferred: the load may be another."""
REST = 32
"""Windows between trials, once it is known; before, as much less as less has been shown against the other way."""
FIRST = 8
"""Windows before the first trial: what it costs, a load of a few seconds does not win back."""
SOON = 1.0
"""Seconds within which threads that are busy again are so because of how many of them work."""


class Trials:
    """Tries both ways, and keeps to the better one.

    A trial is a window of the other way soon after one of the way preferred, so that it matters little whether the load
    grows or falls in the long run. A load so small that both ways get all of it done changes nothing.

    Attributes: *few*, whether few threads are to be at work now.
    """

    __slots__ = (
        "_ended",
        "_gave_up_at",
        "_last",
        "_prefers_few",
        "_rate",
        "_rated_at",
        "_rested",
        "_seconds",
        "_settled_at",
        "_shown",
        "few",
    )

    def __init__(self) -> None:
        self.few = self._prefers_few = True
        self._last = self._settled_at = self._gave_up_at = -math.inf
        self._ended = 0  # samples in this window, and the seconds that it has lasted
        self._seconds = 0.0
        self._rate = 0.0  # in the last window of the way preferred: samples a second, and when that was
        self._rated_at = -math.inf
        self._shown = 0.0  # for the other way: 0.08, if it got a tenth more done in one trial
        self._rested = 1 - FIRST  # windows since the last trial

    def sample(self, now: float) -> None:
        """As many calls as each time have ended since the last sample, while threads were busy."""
        passed, self._last = now - self._last, now
        if passed > PAUSE:
            self._settled_at = now + SETTLE
        if now - self._gave_up_at <= SOON:  # that all went to work made them busy: few would not be
            self._prefer(False)
            self._begin(False, now)
        if self.few is not self._prefers_few and now - self._rated_at > STALE:
            self._judge(0.0)  # it has shown nothing, and has cost something
            self._begin(self._prefers_few, now)
        if now < self._settled_at:
            return
        self._ended += 1
        self._seconds += passed
        if self._seconds < WINDOW:
            return
        rate = self._ended / self._seconds
        if self.few is not self._prefers_few:
            self._judge(rate / self._rate - 1)
            self._begin(self._prefers_few, now)
            return
        self._rate, self._rated_at = rate, now
        self._rested += 1
        if self._rested < max(1.0, -REST * self._shown / PROOF):
            self._ended, self._seconds = 0, 0.0
        else:
            self._rested = 0
            self._begin(not self._prefers_few, now)

    def give_up(self, now: float) -> None:
        """Threads are busy no more, and all may work. If that is because few were at work, they will be again soon."""
        if self.few and self._prefers_few:
            self._gave_up_at = now
        elif self.few:
            self._judge(-1.0)
        self._begin(self._prefers_few, now)

    def _begin(self, few: bool, now: float) -> None:
        self.few = few
        self._settled_at = now + SETTLE
        self._ended, self._seconds = 0, 0.0

    def _judge(self, gain: float) -> None:
        self._shown += max(-MOST, min(gain, MOST)) - MARGIN
        if self._shown >= PROOF:
            self._prefer(not self._prefers_few)
        elif self._shown < -PROOF:
            self._shown = -PROOF

    def _prefer(self, few: bool) -> None:
        self._prefers_few = few
        self._shown, self._rested = 0.0, 0
        self._gave_up_at = -math.inf
