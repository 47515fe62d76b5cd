"""Timers: of netcore's reactor, and of asyncio's default loop. Twisted's are beside. (uvloop rounds its own timers to
milliseconds: they do not fire in the order of their times.)

For every timer that is to fire, one more is added and cancelled, and a fifth of those that are left are reset to a
later time. They must fire in the order of their times.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.people import WrongAnswer
from benchmarks.systems.base import ROUND_TIMEOUT, AsyncioProgram, ReactorHost
from netcore.reactors import Reactor

EACH = 5e-6  # seconds for each timer, over which they are to fire: half of what one takes


class Round(ABC):
    """One round, all in the loop's thread.

    Args:
        timers: how many are to fire.
        now: their clock.
        add: makes one that calls a function, with arguments, after a delay.
    """

    def __init__(self, timers: int, now: Callable[[], float], add: Callable[..., Any]) -> None:
        self.now = now
        self.add = add
        self._left = timers
        self._due = [0.0] * timers
        self._latest = 0.0
        self._lateness: list[float] = []
        self._outcome: Future[list[float]] = Future()

    @abstractmethod
    def reset(self, timer: Any, delay: float, number: int) -> Any:
        """The timer, *delay* seconds from now."""

    @abstractmethod
    def time_of(self, timer: Any) -> float:
        """When it is to fire."""

    def begin(self) -> Future[list[float]]:
        """Add the timers. Returns: how late each was, when they have fired."""
        draw = random.Random(len(self._due))
        timers = []
        spread = EACH * len(self._due)
        for number in range(len(self._due)):
            timers.append(self.add(draw.random() * spread, self._fire, number))
            self.add(draw.random() * spread, self._wrong).cancel()
        for number in range(0, len(timers), 5):
            timers[number] = self.reset(timers[number], (1 + draw.random()) * spread, number)
        self._due = [self.time_of(timer) for timer in timers]
        return self._outcome

    def _fire(self, number: int) -> None:
        due = self._due[number]
        if due < self._latest:
            self._fail("a timer fired before an earlier one")
        self._latest = due
        self._lateness.append(self.now() - due)
        self._left -= 1
        if not self._left and not self._outcome.done():
            self._outcome.set_result(self._lateness)

    def _wrong(self) -> None:
        self._fail("a timer fired that was cancelled")

    def _fail(self, why: str) -> None:
        if not self._outcome.done():
            self._outcome.set_exception(WrongAnswer(why))


class ReactorRound(Round):
    """Of a reactor, netcore's or Twisted's."""

    def __init__(self, timers: int, reactor: Any) -> None:
        super().__init__(timers, reactor.seconds, reactor.callLater)

    def reset(self, timer: Any, delay: float, number: int) -> Any:
        timer.reset(delay)
        return timer

    def time_of(self, timer: Any) -> float:
        time: float = timer.getTime()
        return time


class LoopRound(Round):
    """Of asyncio, where a timer that is to fire at another time is cancelled, and another one made."""

    def __init__(self, timers: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(timers, loop.time, loop.call_later)

    def reset(self, timer: Any, delay: float, number: int) -> Any:
        timer.cancel()
        return self.add(delay, self._fire, number)

    def time_of(self, timer: Any) -> float:
        time: float = timer.when()
        return time


class OnReactor(ReactorHost):
    """The system, on a reactor."""

    def round(self, operations: int) -> list[float]:
        """One round."""
        outcome: Future[list[float]] = self.call(ReactorRound(operations, self.reactor).begin)
        return outcome.result(ROUND_TIMEOUT)


class Netcore(OnReactor):
    """netcore: ``reactor.callLater``, over asyncio's default loop or uvloop's."""

    def __init__(self, loop: str = "asyncio") -> None:
        super().__init__(Reactor(loop))


class Asyncio(AsyncioProgram):
    """asyncio: ``loop.call_later``, of the default loop."""

    async def open(self, stack: AsyncExitStack) -> None:
        pass

    def round(self, operations: int) -> list[float]:
        """One round."""

        async def begin() -> Future[list[float]]:
            return LoopRound(operations, self.loop).begin()

        return asyncio.run_coroutine_threadsafe(begin(), self.loop).result(ROUND_TIMEOUT).result(ROUND_TIMEOUT)
