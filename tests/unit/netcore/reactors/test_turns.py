"""The timer that a reactor's turns arm, on a loop whose time is virtual: how often it wakes, and never early."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from netcore.reactors._turns import Turns

_TURN = 0.000_01  # what one turn of the loop takes


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """An event loop's timers. *rounded* is what it makes of a delay: uvloop's are whole milliseconds.

    Attributes: *now*; *wakes*, how many callbacks it has called.
    """

    def __init__(self, rounded: Callable[[float], float]) -> None:
        self.now = 100.0
        self.wakes = 0
        self._rounded = rounded
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Handle, Callable[[], object]]] = []

    def call_soon(self, callback: Callable[[], object], *, context: object) -> Handle:
        return self._add(self.now, callback)

    def call_later(self, delay: float, callback: Callable[[], object], *, context: object) -> Handle:
        return self._add(self.now + self._rounded(delay), callback)

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> Handle:
        return self._add(self.now, callback)

    def _add(self, when: float, callback: Callable[[], object]) -> Handle:
        handle = Handle()
        heapq.heappush(self._waiting, (when, next(self._order), handle, callback))
        return handle

    def run(self) -> None:
        """Let time pass until nothing is waited for."""
        while self._waiting:
            when, _, handle, callback = heapq.heappop(self._waiting)
            if not handle.cancelled:
                self.now = max(self.now + _TURN, when)
                self.wakes += 1
                assert self.wakes < 10_000
                callback()


def exact(delay: float) -> float:
    return delay


def milliseconds(delay: float) -> float:
    return round(delay * 1000) / 1000


@pytest.fixture
def turns_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[Loop], Turns]:
    def turns_on(loop: Loop) -> Turns:
        monkeypatch.setattr(time, "monotonic", lambda: loop.now)
        turns = Turns(cast("asyncio.AbstractEventLoop", loop))
        turns.begin()
        return turns

    return turns_on


DELAYS = [number * 0.000_37 for number in range(40)]


@pytest.mark.parametrize("rounded", [exact, milliseconds])
def test_no_call_is_made_early_or_more_than_a_millisecond_late(
    turns_on: Callable[[Loop], Turns], rounded: Callable[[float], float]
) -> None:
    loop = Loop(rounded)
    turns = turns_on(loop)
    late: list[float] = []
    for delay in DELAYS:
        due = loop.now + delay
        turns.timers.add(delay, lambda due=due: late.append(loop.now - due), (), {})
    loop.run()
    assert len(late) == len(DELAYS)
    assert min(late) >= 0
    assert max(late) <= 0.001 + 2 * _TURN


@pytest.mark.parametrize(("rounded", "wakes"), [(exact, 1), (milliseconds, 2)])
@pytest.mark.parametrize("delay", DELAYS)
def test_a_loop_that_rounds_is_not_asked_again_and_again(
    turns_on: Callable[[Loop], Turns], rounded: Callable[[float], float], wakes: int, delay: float
) -> None:
    loop = Loop(rounded)
    made: list[Any] = []
    turns_on(loop).timers.add(delay, made.append, (delay,), {})
    loop.run()
    assert made == [delay]
    assert loop.wakes <= wakes


def test_a_call_for_next_year_is_waited_for_in_pieces(turns_on: Callable[[Loop], Turns]) -> None:
    loop = Loop(exact)
    year = 365 * 24 * 3600.0
    made: list[float] = []
    turns_on(loop).timers.add(year, lambda: made.append(loop.now), (), {})
    loop.run()
    assert made == [pytest.approx(100.0 + year)]
    assert loop.wakes == pytest.approx(365, abs=1)


def test_what_an_exception_took_out_of_the_loop_is_put_there_again(turns_on: Callable[[Loop], Turns]) -> None:
    loop = Loop(exact)
    turns = turns_on(loop)
    made: list[str] = []
    turns.timers.add(0.5, made.append, ("timer",), {})
    turns.thread_calls.add(made.append, ("thread",), {})
    loop._waiting.clear()
    turns.resume()
    loop.run()
    assert made == ["thread", "timer"]
    turns.end()
    turns.resume()  # not in use: there is nothing to go on with
    assert loop._waiting == []
