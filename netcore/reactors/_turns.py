"""The turns of an asyncio loop, as far as they are a reactor's: timers and calls from threads.

What holds:

* Turns are used between `begin` and `end` only. Before, timers and calls queue up, and a wake-up that the loop
  delivers too early is ignored, so that a reactor can do what comes first (fire "startup") before anything else
  happens.
* At most one of the loop's own timers is armed, for ``_armed_for`` (infinity: none), never later than the next
  deadline. It may fire early, uvloop's does: the queue is then asked again, and the rest waited for.
* A turn makes the calls that were due, and asked for, when it began. What they ask for waits for the next turn, and
  the loop looks after descriptors in between.

An exception in a call is logged, and the rest still run; KeyboardInterrupt and SystemExit escape into the loop, and
what is left waits for the next turn.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextvars import Context

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore._timers import TimerQueue
from netcore.failure import Failure
from netcore.reactors._loops import is_virtual, seconds_of
from netcore.reactors._threadcalls import ThreadCalls
from netcore.reactors._waker import Waker

__all__ = ["Turns"]

logger = logging.getLogger("netcore.reactors")

# The longest a loop's timer is armed for: uvloop overflows on what asyncio would take (infinity).
_LONGEST = 24 * 3600.0

# The least that is waited for after a timer that fired early. uvloop rounds to milliseconds, and half of one to none:
# asked for the rest as it is, it comes back at once, 75 times for one timer (measured). So a call is up to a
# millisecond late there, as on asyncio's loops over epoll.
_REST = 0.001


class Turns:
    """What is to be done in the turns of *loop*.

    Attributes: *timers*, *thread_calls* what waits; *used* whether turns are used; *on_served*, called, if it is there,
        when one was used.
    Threading: the loop's thread, but for ``thread_calls.add``.
    """

    __slots__ = (
        "_armed_for",
        "_context",
        "_handle",
        "_loop",
        "_seconds",
        "_virtual",
        "_waker",
        "on_served",
        "thread_calls",
        "timers",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.used = False
        self.on_served: Callable[[], object] | None = None
        self._seconds = seconds_of(loop)
        self._virtual = is_virtual(loop)
        self.timers = TimerQueue(self._seconds, self._arm)
        self._waker = Waker(loop, self._drain)
        self.thread_calls = ThreadCalls(self._waker.wake)
        self._handle: asyncio.Handle | None = None
        self._armed_for = math.inf
        self._context = Context()  # of the loop's timer, which is nobody's in particular: each call has its own

    def begin(self) -> None:
        """Use the turns from now on."""
        self.used = True
        self._arm()

    def end(self) -> None:
        """Use them no more. What waits stays."""
        self.used = False
        self._armed_for = math.inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def resume(self) -> None:
        """An exception has left the loop in the middle of a turn, with a call of ours perhaps, and it goes on."""
        if self.used:
            self.end()
            self.begin()
            self._loop.call_soon(self._drain, context=self._context)

    def hold(self) -> None:
        """Do nothing of what waits. Timers can still be cancelled: what is closed next may do so."""
        self.timers.hold()
        self.thread_calls.clear()

    def clear(self) -> None:
        """Drop what waits."""
        self.timers.clear()
        self.thread_calls.clear()

    def close(self) -> None:
        """Give back what wakes the loop."""
        self._waker.close()

    def served(self) -> None:
        """Something was done in this turn."""
        if self.on_served is not None:
            self.on_served()

    def _arm(self, least: float = 0.0) -> None:
        """Have the loop wake us for the next deadline, unless it will before; in *least* seconds, if it is to come."""
        if not self.used:
            return
        deadline = self.timers.next_deadline()
        if deadline is None or deadline >= self._armed_for:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._armed_for = deadline
        delay = deadline - self._seconds()
        if delay <= 0:
            self._handle = self._loop.call_soon(self._run_timers, context=self._context)
        elif self._virtual:  # no time passes in between, and no clock is inexact
            self._handle = self._loop.call_at(deadline, self._run_timers, context=self._context)
        else:
            delay = min(max(delay, least), _LONGEST)
            self._handle = self._loop.call_later(delay, self._run_timers, context=self._context)

    def _run_timers(self) -> None:
        now = self._seconds()
        early = now < self._armed_for
        self._handle = None
        self._armed_for = -math.inf  # nothing is armed from within: that is done once, below
        timers = self.timers
        mark = timers.mark()
        try:
            while (call := timers.take(now, mark)) is not None:
                try:
                    call.call()
                except ENDS_THE_PROGRAM:
                    raise
                except BaseException:  # CancelledError too
                    log_failure(logger, Failure(), "a call made later raised")
        finally:
            self._armed_for = math.inf
            self._arm(_REST if early else 0.0)
        if not early:
            self.served()

    def _drain(self) -> None:
        if self.used:
            self.thread_calls.drain()
            self.served()
