"""The way back: results from worker threads to the Deferreds of the host's thread.

Invariants:

- A Deferred is fired in the host's thread only, by whoever takes it off its call (``call.deferred``): that is done
  once, so that cancelling, expiring, ending and closing may race.
- One wake-up brings many results. The flag that says one is on its way is set before it is sent, and taken away before
  results are counted: a result posted at any moment is either counted or wakes the host again.
- While many calls wait and end, results do not wake the host: it comes for them itself, within `TICK`. A wake-up costs
  the reactor's thread two changes of the interpreter lock with eight threads waiting for it (41 → 28 µs of CPU for each
  one-row select, 64 callers at 8 connections, by coming for 40 results at a time rather than for 3).
- As long as the host comes by itself (``coming``), it looks for stalled calls then, and nobody sets a timer for them.
  So who finds that a call may stall says when (`Core.stall_at`), and then looks at ``coming``; the host takes that
  away, and then looks whether there is such a time.
- When the host is gone, results are dropped without a sound.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from asyncdb._core import JobState
from asyncdb._worker._call import Call
from asyncdb._worker._log import Log
from asyncdb._worker._yields import hooked
from asyncdb.hosts import Host, Timer
from netcore.failure import Failure

__all__ = ["Delivery"]

log = Log("asyncdb.pool")

# How many results are delivered in one turn of the host: when ten thousand calls fail together, others want a turn too.
BATCH = 256

# How long a result waits for the others, at most. A millisecond would cost 7 % of the throughput, in changes of thread.
TICK = 0.005

_DONE = JobState.DONE


class Delivery:
    """Brings results to the host's thread.

    Args:
        host: whose thread.
        name: of the pool, for logs.
        undelivered: called, in the host's thread, with a connection whose borrower had gone when it came.
        delivered: called, in the host's thread, after each batch, and when the host came by itself for none.
    Attributes: *results*, those posted and not yet delivered; *coming*, whether the host comes by itself; *expected*,
        whether it comes anyway, for whoever is in no hurry.
    Threading: `post` and `wake` in any thread, `deliver` in the host's.
    """

    __slots__ = (
        "_alone_at",
        "_call_from_thread",
        "_call_later",
        "_delivered",
        "_loaded",
        "_name",
        "_seconds",
        "_tick",
        "_undelivered",
        "_woken",
        "expected",
        "results",
    )

    def __init__(
        self, host: Host, name: str, undelivered: Callable[[Any], object], delivered: Callable[[], object]
    ) -> None:
        self._call_from_thread = hooked(host.callFromThread, "wake")
        self._call_later = host.callLater
        self._seconds = host.seconds
        self._name = name
        self._undelivered = undelivered
        self._delivered = delivered
        self._woken = False
        self._loaded = False  # it was woken while many calls wait
        self._alone_at = -math.inf  # when it last came for one result, or none, and nothing was to follow
        self.expected = False  # it was woken, or comes by itself
        self._tick: Timer | None = None  # when the host comes by itself
        self.results: deque[tuple[Call, Any]] = deque()

    def post(self, call: Call, value: Any, plenty: bool = False) -> None:
        """*value*, a result or a Failure, is for whoever waits for *call*.

        Args:
            plenty: there is work for every thread, so that none needs its next call from the host now.
        """
        self.results.append((call, value))
        if not (self.expected if plenty else self._woken):
            self.send_for(plenty)

    def send_for(self, plenty: bool = False) -> None:
        """Have the host come for results. Args: as of `post`."""
        if plenty:
            self._loaded = True
        self._woken = self.expected = True
        self.wake(self.deliver)

    @property
    def coming(self) -> bool:
        return self._tick is not None

    def wake(self, function: Callable[[], None]) -> None:
        """Have *function* called in the host's thread."""
        try:
            self._call_from_thread(function)
        except Exception as error:  # it has ended: there is nobody to tell
            log.tell(logging.DEBUG, "pool %s: its reactor is gone (%s)", self._name, error)

    def deliver(self) -> None:
        """Fire the Deferreds of the results that are there now. Those that come meanwhile get a turn of their own."""
        self._woken = False
        self.expected = self._tick is not None
        try:
            count = min(len(self.results), BATCH)
            if self._tick is None and (count > 1 or self._is_next_soon()):
                self._tick = self._call_later(TICK, self._on_tick)
                self.expected = True
            self._fire(count)
        finally:  # a signal (KeyboardInterrupt) may end this: the others' turn comes all the same
            if self.results and not self._woken:
                self.send_for()
            self._delivered()

    def _is_next_soon(self) -> bool:
        """Whether the one result that is there is one of many that come alone, and would each wake the host.

        That many calls wait does not tell it: they may be slow.
        """
        loaded, self._loaded = self._loaded, False
        now = self._seconds()
        before, self._alone_at = self._alone_at, now
        return loaded and now - before < TICK

    def end(self) -> None:
        """No thread has a result to bring any more: fire the Deferreds of those there are. The host may be gone."""
        tick, self._tick = self._tick, None
        if tick is not None and tick.active():  # a reactor that was disposed of has cancelled it
            tick.cancel()
        while self.results:
            self._fire(len(self.results))
        self._delivered()

    def _on_tick(self) -> None:
        self._tick = None
        self.expected = False  # before results are counted, as `_woken`
        if self.results:
            self.deliver()
        else:
            self._delivered()

    def _fire(self, count: int) -> None:
        results = self.results
        for _ in range(count):
            call, value = results.popleft()
            deferred, call.deferred = call.deferred, None
            try:
                if deferred is not None:
                    # While a thread is still inside the call, its context cannot be entered a second time.
                    context = call.context if call.state is _DONE else call.context.copy()
                    context.run(deferred.callback, value)
                elif call.task.lends and value is not None and not isinstance(value, Failure):
                    self._undelivered(value)
            except Exception:
                log.tell(logging.ERROR, "pool %s: a result could not be delivered", self._name, exc_info=True)
            # If a callback fails, this frame is in its traceback: it shall keep neither, so that a failure that nobody
            # handles is reported when the Deferred goes.
            deferred = value = None
