"""The queue of calls to be made later, shared by the reactor and `netcore.task.Clock` (decision 0002).

A heap of ``(deadline, order, call)``. What holds between any two operations:

* An active call has exactly one live entry: the one whose ``order`` is the call's ``_entry``. Every other entry that
  names a call is stale, and ``_stale`` counts those. The top of the heap is live whenever `next_deadline` has just
  looked.
* A call's deadline is never before that of its live entry. Moving a call to a later time only notes the time: the entry
  stays where it is and is pushed again when it comes up. Moving it to an earlier time pushes a second entry and leaves
  a stale one. So a time-out that is reset on every received byte costs two assignments.
* Stale entries are swept out once they are half of the heap: cancelling is O(1), amortised, and 10,000
  cancelled time-outs do not stay in memory until their time comes. A call that is cancelled or made lets go of its
  callable at once.
* Equal deadlines come up in the order in which they were asked for; moving a call asks anew.

There is no loop and no clock in here: *now* is passed in, and `DelayedCall.reset` asks the clock the queue was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import Context, copy_context
from enum import Enum
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from netcore.error import AlreadyCalled, AlreadyCancelled
from netcore.interfaces import IDelayedCall, implementer

__all__ = ["DelayedCall", "TimerQueue"]

# Below this many entries a sweep is not worth its call.
_SWEEP_FROM = 64


class _State(Enum):
    WAITING = "waiting"
    CALLED = "called"
    CANCELLED = "cancelled"


# Looking a member up in its class, each time, is a tenth of what a timer costs.
_WAITING, _CALLED, _CANCELLED = _State


@implementer(IDelayedCall)
class DelayedCall:
    """A call that will be made later; made by ``callLater``.

    Threading: the reactor's thread only.
    """

    # What is to be called is in slots of its own, not in a tuple: every object more that the garbage collector tracks
    # shows, when there are 200,000 calls.
    __slots__ = (
        "_args",
        "_context",
        "_entry",
        "_entry_time",
        "_func",
        "_kwargs",
        "_order",
        "_queue",
        "_state",
        "_time",
    )

    def __init__(
        self,
        queue: TimerQueue,
        time: float,
        order: int,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._queue = queue
        self._time = self._entry_time = time
        self._order = self._entry = order
        self._context: Context | None = copy_context()
        self._func: Callable[..., Any] | None = func
        self._args: tuple[Any, ...] | None = args
        self._kwargs: dict[str, Any] | None = kwargs or None  # an empty dict is an object too
        self._state = _WAITING

    def getTime(self) -> float:
        """When the call is due, on the clock of ``seconds()``."""
        return self._time

    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._state is _WAITING

    def cancel(self) -> None:
        """Do not call.

        Raises: AlreadyCalled, AlreadyCancelled.
        """
        if self._state is not _WAITING:
            raise self._too_late()
        self._finish(_CANCELLED)
        self._queue._forget(self)

    def delay(self, secondsLater: float) -> None:
        """Call that many seconds later than planned (earlier, if negative).

        Raises: AlreadyCalled, AlreadyCancelled; ValueError for NaN.
        """
        if self._state is not _WAITING:
            raise self._too_late()
        self._queue._move(self, self._time + secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        """Call that many seconds from now.

        Raises: AlreadyCalled, AlreadyCancelled; ValueError for NaN.
        """
        if self._state is not _WAITING:
            raise self._too_late()
        self._queue._move(self, self._queue.seconds() + secondsFromNow)

    def call(self) -> None:
        """Make the call, in the context it was asked for in. For the queue's owner, with what `TimerQueue.take` gave
        it.

        Raises: whatever the callable raises.
        """
        context, func, args, kwargs = self._context, self._func, self._args, self._kwargs
        assert context is not None
        assert func is not None
        assert args is not None
        self._state = _CALLED  # as `_finish` does
        self._context = self._func = self._args = self._kwargs = None
        try:
            if kwargs is None:
                context.run(func, *args)
            else:
                context.run(func, *args, **kwargs)
        finally:
            del func, args, kwargs  # may be a Deferred's, and this frame in the traceback that its failure holds

    def _too_late(self) -> AlreadyCalled | AlreadyCancelled:
        if self._state is _CALLED:
            return AlreadyCalled("the delayed call has been made")
        return AlreadyCancelled("the delayed call was cancelled before")

    def _finish(self, state: _State) -> None:
        self._state = state
        self._context = self._func = self._args = self._kwargs = None

    def __repr__(self) -> str:
        func = self._func
        if func is None:
            return f"<DelayedCall {self._state.value}>"
        name = getattr(func, "__qualname__", None) or repr(func)
        return f"<DelayedCall of {name} in {self._time - self._queue.seconds():.3f} s>"


class TimerQueue:
    """Calls in the order they are due.

    Args:
        seconds: the clock.
        earlier: told when the next deadline may have become an earlier one, so that whoever waits for it waits less.
    Threading: one thread only.
    """

    __slots__ = ("_earlier", "_heap", "_order", "_stale", "seconds")

    def __init__(self, seconds: Callable[[], float], earlier: Callable[[], None]) -> None:
        self.seconds = seconds
        self._earlier = earlier
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._order = 0
        self._stale = 0

    def __len__(self) -> int:
        """How many calls are still to come."""
        return len(self._heap) - self._stale

    @property
    def entries(self) -> int:
        """How many entries the heap holds, stale ones included: what the queue costs."""
        return len(self._heap)

    def add(self, delay: float, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> DelayedCall:
        """Queue a call, due *delay* seconds from now.

        Raises: ValueError: *delay* is negative or NaN. TypeError: *func* cannot be called.
        """
        if not delay >= 0:  # so put, NaN is refused as well
            raise ValueError(f"a call can be made 0 or more seconds from now, not {delay!r}")
        if not callable(func):
            raise TypeError(f"{func!r} cannot be called")
        self._order = order = self._order + 1
        time = self.seconds() + delay
        call = DelayedCall(self, time, order, func, args, kwargs)
        heap = self._heap
        entry = (time, order, call)
        heappush(heap, entry)
        if heap[0] is entry:
            self._earlier()
        return call

    def mark(self) -> int:
        """Remember this moment, for `take`."""
        return self._order

    def take(self, now: float, mark: int | None = None) -> DelayedCall | None:
        """The next call that is due at *now*, to be made by the caller; None if none is.

        Args:
            mark: None takes it whenever it was asked for; with a `mark`, calls asked for since then wait. A turn that
                takes with one mark is bounded, however many calls with no delay its calls ask for.
        """
        heap = self._heap
        while heap:
            deadline, order, call = heap[0]
            if deadline > now:
                return None
            if call._order == order == call._entry and call._state is _WAITING:
                if mark is not None and order > mark:
                    return None
                heappop(heap)
                return call
            self._settle_top()
        return None

    def next_deadline(self) -> float | None:
        """When the next call is due, None if there is none."""
        heap = self._heap
        while heap:
            deadline, order, call = heap[0]
            if call._order == order == call._entry and call._state is _WAITING:
                return deadline
            self._settle_top()
        return None

    def calls(self) -> list[DelayedCall]:
        """The calls still to come, in no order."""
        return [call for _, order, call in self._heap if call._entry == order and call._state is _WAITING]

    def hold(self) -> None:
        """Let no call become due any more, while each can still be cancelled or moved."""
        calls = sorted(self.calls(), key=lambda call: call._order)
        for call in calls:
            call._time = call._entry_time = math.inf
            call._entry = call._order
        self._heap[:] = [(math.inf, call._order, call) for call in calls]
        self._stale = 0

    def clear(self) -> None:
        """Cancel everything."""
        for call in self.calls():
            call._finish(_CANCELLED)
        self._heap.clear()
        self._stale = 0

    def _move(self, call: DelayedCall, time: float) -> None:
        if time != time:
            raise ValueError("a call cannot be moved to NaN")
        self._order = order = self._order + 1
        call._order = order
        call._time = time
        if time >= call._entry_time:
            return
        call._entry = order
        call._entry_time = time
        heappush(self._heap, (time, order, call))
        self._abandon_entry()
        if self._heap and self._heap[0][1] == order:
            self._earlier()

    def _settle_top(self) -> None:
        """The top of the heap is stale, or its call was moved to a later time: take it out, or put it there."""
        _, order, call = self._heap[0]
        if call._entry != order or call._state is not _WAITING:
            heappop(self._heap)
            self._stale -= 1
        else:
            call._entry = call._order
            call._entry_time = call._time
            heapreplace(self._heap, (call._time, call._order, call))

    def _forget(self, call: DelayedCall) -> None:
        """*call* was cancelled."""
        heap = self._heap
        if heap and heap[-1][2] is call:  # it was asked for a moment ago, as time-outs are; a heap can lose its last
            heap.pop()  # live, or stale since the call was moved: then another of its entries is stale now
            self._sweep()
        else:
            self._abandon_entry()

    def _abandon_entry(self) -> None:
        """One more entry has become stale."""
        self._stale += 1
        self._sweep()

    def _sweep(self) -> None:
        """Take the stale entries out, if they are half of all."""
        heap = self._heap
        if self._stale * 2 >= len(heap) >= _SWEEP_FROM:
            heap[:] = [entry for entry in heap if entry[2]._state is _WAITING and entry[2]._entry == entry[1]]
            heapify(heap)
            self._stale = 0
