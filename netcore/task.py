"""Doing things later, again, or as a whole program: `deferLater`, `LoopingCall`, `react`, and `Clock` to test such
with.

Everything here takes time from an `IReactorTime`: the current reactor, unless another, such as a `Clock`, is given.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload

from netcore._current import current_reactor
from netcore._log import log_failure
from netcore._timers import DelayedCall, TimerQueue
from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.error import ReactorNotRunning
from netcore.failure import Failure
from netcore.interfaces import IDelayedCall, IReactorTime, implementer

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Clock", "LoopingCall", "deferLater", "react"]

logger = logging.getLogger("netcore.task")

P = ParamSpec("P")
T = TypeVar("T")


@overload
def deferLater(clock: IReactorTime | None, delay: float) -> Deferred[None]: ...
@overload
def deferLater(
    clock: IReactorTime | None,
    delay: float,
    callable: Callable[P, Deferred[T]],
    *args: P.args,
    **kw: P.kwargs,
) -> Deferred[T]: ...
@overload
def deferLater(
    clock: IReactorTime | None, delay: float, callable: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> Deferred[T]: ...
def deferLater(
    clock: IReactorTime | None,
    delay: float,
    callable: Callable[..., Any] | None = None,
    *args: Any,
    **kw: Any,
) -> Deferred[Any]:
    """Call *callable* after *delay* seconds.

    Args:
        clock: whose seconds; None is the current reactor.
        callable: None just waits.
    Returns: Deferred firing with what *callable* returned. Cancelling it cancels the call.
    Raises: ValueError: *delay* is negative or NaN.
    Fails with: whatever *callable* raised.
    """
    deferred: Deferred[Any] = Deferred(lambda _: call.cancel() if call.active() else None)
    if callable is not None:
        function = callable
        deferred.addCallback(lambda _: function(*args, **kw))
    call = (current_reactor() if clock is None else clock).callLater(delay, deferred.callback, None)
    return deferred


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
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._end()

    def reset(self) -> None:
        """Begin the grid anew: the next call is one interval from now.

        Raises: RuntimeError: it does not run.
        """
        self._require_running()
        assert self._time is not None
        self._start = self._time.seconds()
        self._moment = self._counted = 0
        if self._call is not None:
            self._call.cancel()
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


def react(
    main: Callable[..., Deferred[Any] | Coroutine[Any, Any, Any]],
    argv: Iterable[Any] = (),
    _reactor: Reactor | None = None,
) -> NoReturn:
    """Run a program: call ``main(reactor, *argv)`` in the reactor, wait for its Deferred or coroutine, stop, and exit.

    *main* is called when the reactor runs, so that asyncio libraries can be used in it from its first line.

    Args:
        _reactor: by default the global reactor.
    Raises: SystemExit, always: with the code of a SystemExit that *main* raised, 1 if it failed in another way (which
        is logged), else 0, also if the reactor was stopped before *main* had finished.
    """
    reactor = current_reactor() if _reactor is None else _reactor
    code: Any = 0
    stopping = False

    def shutting_down() -> None:
        nonlocal stopping
        stopping = True

    def begin() -> None:
        maybeDeferred(lambda: ensureDeferred(main(reactor, *argv))).addBoth(finished)

    def finished(result: Any) -> None:
        nonlocal code
        if isinstance(result, Failure):
            if isinstance(result.value, SystemExit):
                code = result.value.code
            else:
                log_failure(logger, result, "main function encountered error")
                code = 1
        if not stopping:
            try:
                reactor.stop()
            except ReactorNotRunning:  # stopped in the same turn
                pass

    reactor.addSystemEventTrigger("before", "shutdown", shutting_down)
    reactor.callWhenRunning(begin)
    reactor.run()
    sys.exit(code)


@implementer(IReactorTime)
class Clock:
    """Time that passes when a test says so.

    Attributes: *rightNow*, what `seconds` gives.
    """

    def __init__(self) -> None:
        self.rightNow = 0.0
        self._timers = TimerQueue(self.seconds, _nobody_waits)

    def seconds(self) -> float:
        """The time."""
        return self.rightNow

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> DelayedCall:
        """Have *callable* called when `advance` has brought *delay* seconds.

        Raises: ValueError: *delay* is negative or NaN.
        """
        return self._timers.add(delay, callable, args, kwargs)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """The calls still to come, in no order."""
        return self._timers.calls()

    def advance(self, amount: float) -> None:
        """Let *amount* seconds pass, all at once, and make the calls that are due then.

        Those that these ask for are made too if they are due: with no delay, at once.

        Raises: what a call raises; those after it are made by the next `advance`.
        """
        self.rightNow += amount
        while (call := self._timers.take(self.rightNow)) is not None:
            call.call()

    def pump(self, timings: Iterable[float]) -> None:
        """`advance` by each of *timings*."""
        for amount in timings:
            self.advance(amount)


def _nobody_waits() -> None:
    pass
