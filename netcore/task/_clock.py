"""Time for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netcore._timers import DelayedCall, TimerQueue
from netcore.interfaces import IReactorTime, implementer

__all__ = ["Clock"]


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
