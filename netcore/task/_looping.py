"""The same call, again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from netcore._current import current_reactor
from netcore.defer import Deferred, maybeDeferred
from netcore.failure import Failure
from netcore.interfaces import IDelayedCall, IReactorTime

__all__ = ["LoopingCall"]


class LoopingCall:
    """Calls a function again and again.

    The function is called on a grid of moments, *interval* apart, beginning with `start`, whatever a call takes: there
    is no drift. A Deferred it returns is waited for. Moments that pass meanwhile are left out. Calls never overlap: if
    it is stopped and started again while a call is being made, it begins when that has ended.

    Args:
        f: the function; *a* and *kw* its arguments.
    Attributes: *clock*, None for the current reactor, may be set before `start`; *interval*, seconds, None before
        `start`; *running*; *f*, *a*, *kw*.
    """

    clock: IReactorTime | None

    def __init__(self, f: Callable[..., Any], *a: Any, **kw: Any) -> None:
        self.f = f
        self.a = a
        self.kw = kw
        self.clock = None
        self.running = False
        self.interval: float | None = None
        self._time: IReactorTime | None = None
        self._context: Context  # of `start`: each later call is made in a copy, whoever brought it about
        self._start = 0.0  # the origin of the grid
        self._moment = 0  # of the call being made, or made last: how many intervals from the origin
        self._counted = 0  # the moment up to which withCount() has counted
        self._counted_at: float | None = None  # and when that was
        self._call: IDelayedCall | None = None
        self._deferred: Deferred[LoopingCall] | None = None  # of this run, from `start` to its end
        self._calling: Deferred[LoopingCall] | None = None  # of the run whose call is being made

    @classmethod
    def withCount(cls, countCallable: Callable[[int], Any]) -> LoopingCall:
        """A LoopingCall that tells *countCallable* how many moments have come since the last call: 1, unless it is
        late."""

        def counted() -> Any:
            passed = max(self._moment - self._counted, 1)
            self._counted = self._moment
            assert self._time is not None
            self._counted_at = self._time.seconds()
            return countCallable(passed)

        self = cls(counted)
        return self

    def start(self, interval: float, now: bool = True) -> Deferred[LoopingCall]:
        """Begin.

        Args:
            interval: seconds from call to call; 0 calls in every turn of the loop.
            now: whether the first call is made at once, or after one interval.
        Returns: Deferred firing with this LoopingCall when it is stopped.
        Raises: RuntimeError: it runs. ValueError: a negative interval.
        Fails with: whatever the function raises, or its Deferred fails with; that ends the loop.
        """
        if self.running:
            raise RuntimeError(f"{self!r} runs already")
        if not (0 <= interval < math.inf):
            raise ValueError(f"an interval is 0 or more seconds, not {interval!r}")
        self._time = self.clock if self.clock is not None else current_reactor()
        self.interval = interval
        self.running = True
        self._context = copy_context()
        deferred: Deferred[LoopingCall] = Deferred()
        self._deferred = deferred
        self._start = self._time.seconds()
        self._moment = 0
        self._counted = -1 if now else 0
        self._counted_at = None
        if self._calling is not None:
            self._moment = self._counted  # the first moment is still to come: see `_begin_again`
        elif now:
            self._make_call()
        else:
            self._schedule()
        try:
            return deferred
        finally:
            del deferred  # as in `_make_call`

    def stop(self) -> None:
        """End. If a call is being made, that is the last one.

        Raises: RuntimeError: it does not run.
        """
        self._require_running()
        self.running = False
        if self._calling is self._deferred:  # the function is at it, and _called() ends the loop
            return
        self._unschedule()
        self._end()

    def reset(self) -> None:
        """Begin the grid anew: the next call is one interval from now.

        Raises: RuntimeError: it does not run.
        """
        self._require_running()
        assert self._time is not None
        self._start = self._time.seconds()
        self._moment = 0
        # Moments that have come since the last call count, on the new grid: none if there was no call yet.
        self._counted = 0 if self._counted_at is None else self._now(self._counted_at)
        if self._unschedule():
            self._schedule()

    def _make_call(self) -> None:
        self._call = None
        run = self._calling = self._deferred
        maybeDeferred(self.f, *self.a, **self.kw).addCallbacks(self._called, self._failed, (run,), None, (run,))
        del run  # this frame may be in the traceback that its failure holds

    def _called(self, result: Any, run: Deferred[LoopingCall]) -> None:
        self._calling = None
        if run is not self._deferred:
            self._begin_again()
            run.callback(self)
        elif self.running:
            self._schedule()
        else:
            self._end()
        del run  # as in `_make_call`

    def _failed(self, failure: Failure, run: Deferred[LoopingCall]) -> None:
        self._calling = None
        if run is self._deferred:
            self.running = False
            self._deferred = None
        else:
            self._begin_again()
        run.errback(failure)
        del failure, run  # as in `_make_call`

    def _begin_again(self) -> None:
        """The last call of a run that was stopped is over: if a new run waits for that, it begins."""
        if not self.running:
            return
        assert self._time is not None
        if self._moment < 0:
            self._call = self._context.run(self._time.callLater, 0, self._come)
        else:
            self._schedule()

    def _end(self) -> None:
        deferred, self._deferred = self._deferred, None
        assert deferred is not None
        deferred.callback(self)
        del deferred  # as in `_make_call`

    def _schedule(self) -> None:
        """Have the call made at the next moment of the grid."""
        assert self._time is not None
        assert self.interval is not None
        delay = 0.0
        if self.interval:
            now = self._time.seconds()
            # At least one moment on from the last: rounding may put *now* a hair before the moment it is.
            following = max(self._moment, self._now(now)) + 1
            delay = max(0.0, self._start + following * self.interval - now)
        self._call = self._context.run(self._time.callLater, delay, self._come)

    def _unschedule(self) -> bool:
        """Forget the next call. Returns whether one was to come."""
        call, self._call = self._call, None
        if call is not None and call.active():  # a reactor that is disposed of cancels its timers
            call.cancel()
        return call is not None

    def _come(self) -> None:
        assert self._time is not None
        self._moment = max(self._moment + 1, self._now(self._time.seconds()))
        self._make_call()

    def _now(self, now: float) -> int:
        """The moment that has come last."""
        return int((now - self._start) / self.interval) if self.interval else 0

    def _require_running(self) -> None:
        if not self.running:
            raise RuntimeError(f"{self!r} does not run")

    def __repr__(self) -> str:
        name = getattr(self.f, "__qualname__", None) or repr(self.f)
        return f"<LoopingCall of {name} every {self.interval} s, {'running' if self.running else 'not running'}>"
