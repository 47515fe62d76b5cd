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

import heapq
from collections.abc import Callable
from contextvars import Context, copy_context
from enum import Enum
from typing import Any

from netcore.error import AlreadyCalled, AlreadyCancelled
from netcore.interfaces import IDelayedCall, implementer

__all__ = ["DelayedCall", "TimerQueue"]

# Below this many entries a sweep is not worth its call.
_SWEEP_FROM = 64


_What = tuple[Context, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _State(Enum):
    WAITING = "waiting"
    CALLED = "called"
    CANCELLED = "cancelled"


@implementer(IDelayedCall)
class DelayedCall:
    """A call that will be made later; made by ``callLater``.

    Threading: the reactor's thread only.
    """

    __slots__ = ("_entry", "_entry_time", "_order", "_queue", "_state", "_time", "_what")

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
        self._what: _What | None = (copy_context(), func, args, kwargs)
        self._state = _State.WAITING

    def getTime(self) -> float:
        """When the call is due, on the clock of ``seconds()``."""
        return self._time

    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._state is _State.WAITING

    def cancel(self) -> None:
        """Do not call.

        Raises: AlreadyCalled, AlreadyCancelled.
        """
        self._require_waiting()
        self._finish(_State.CANCELLED)
        self._queue._abandon_entry()

    def delay(self, secondsLater: float) -> None:
        """Call that many seconds later than planned (earlier, if negative).

        Raises: AlreadyCalled, AlreadyCancelled; ValueError for NaN.
        """
        self._require_waiting()
        self._queue._move(self, self._time + secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        """Call that many seconds from now.

        Raises: AlreadyCalled, AlreadyCancelled; ValueError for NaN.
        """
        self._require_waiting()
        self._queue._move(self, self._queue.seconds() + secondsFromNow)

    def call(self) -> None:
        """Make the call, in the context it was asked for in. For the queue's owner, with what `TimerQueue.take` gave
        it.

        Raises: whatever the callable raises.
        """
        assert self._what is not None
        context, func, args, kwargs = self._what
        self._finish(_State.CALLED)
        try:
            context.run(func, *args, **kwargs)
        finally:
            del func, args, kwargs  # may be a Deferred's, and this frame in the traceback that its failure holds

    def _require_waiting(self) -> None:
        if self._state is _State.CALLED:
            raise AlreadyCalled("the delayed call has been made")
        if self._state is _State.CANCELLED:
            raise AlreadyCancelled("the delayed call was cancelled before")

    def _finish(self, state: _State) -> None:
        self._state = state
        self._what = None

    def __repr__(self) -> str:
        if self._what is None:
            return f"<DelayedCall {self._state.value}>"
        func = self._what[1]
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
        heapq.heappush(heap, (time, order, call))
        if heap[0][1] == order:
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
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return None
        entry = self._heap[0]
        if mark is not None and entry[1] > mark:
            return None
        heapq.heappop(self._heap)
        return entry[2]

    def next_deadline(self) -> float | None:
        """When the next call is due, None if there is none."""
        heap = self._heap
        while heap:
            deadline, order, call = heap[0]
            if call._entry != order or call._state is not _State.WAITING:
                heapq.heappop(heap)
                self._stale -= 1
            elif call._order != order:  # was moved to a later time since
                call._entry = call._order
                call._entry_time = call._time
                heapq.heapreplace(heap, (call._time, call._order, call))
            else:
                return deadline
        return None

    def calls(self) -> list[DelayedCall]:
        """The calls still to come, in no order."""
        return [call for _, order, call in self._heap if call._entry == order and call._state is _State.WAITING]

    def clear(self) -> None:
        """Cancel everything."""
        for call in self.calls():
            call._finish(_State.CANCELLED)
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
        heapq.heappush(self._heap, (time, order, call))
        self._abandon_entry()
        if self._heap and self._heap[0][1] == order:
            self._earlier()

    def _abandon_entry(self) -> None:
        """One more entry has become stale."""
        self._stale += 1
        heap = self._heap
        if len(heap) >= _SWEEP_FROM and self._stale * 2 >= len(heap):
            heap[:] = [entry for entry in heap if entry[2]._entry == entry[1] and entry[2]._state is _State.WAITING]
            heapq.heapify(heap)
            self._stale = 0
