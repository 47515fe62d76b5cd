"""A crew whose threads take turns: which of them goes on, and for how far, is drawn from a seed.

Real threads, one of which runs at a time. Each of them stops at every place where threads meet (`_yields.hook`), before
and after every call of the driver, and, with *fine*, at every line of the crew's own code; the turnstile then lets one
of those go on, or the host's thread. So an order of events that comes once in a million calls comes once in a hundred
schedules, and a seed that fails, fails again.
"""

from __future__ import annotations

import random
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

from asyncdb import _commit, _sharing, _tasks, transaction
from asyncdb.hosts import NOWHERE
from netcore.defer import Deferred
from netcore.task import Clock

__all__ = ["TurnHost", "TurnLock", "Turnstile", "VirtualTurns"]

PATIENCE = 60.0
"""Seconds of real time after which a thread that should stop at the next place is taken for lost."""


class _Stop:
    """Where a thread has stopped, and whether it may go on."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.go = threading.Lock()
        self.go.acquire()
        self.may: Callable[[], bool] = _always


def _always() -> bool:
    return True


class Turnstile:
    """Lets one thread through at a time.

    Args:
        pick: where all choices come from.
        often: how likely a thread stops at a place.
        fine: how likely it stops at a line of the crew's own code.
    Attributes: *passed*, how many places were passed.
    Threading: the thread that made it is the host's; it never stops, but lets others go on in between.
    """

    def __init__(self, pick: random.Random, often: float, fine: float) -> None:
        self.pick = pick
        self.often, self.fine = often, fine
        self.passed = 0
        self._own = threading.local()
        self._host = threading.get_ident()
        self._state = threading.Lock()
        self._running = 0
        self._all_stopped = threading.Semaphore(0)
        self._waited_for = False
        self._stopped: dict[int, _Stop] = {}
        self._made = 0
        self._inside = False  # the host is letting others go on
        self.holders = 0  # of locks: who holds one is not stopped

    # In the threads.

    def wrap(self, start: Callable[..., None]) -> Callable[..., None]:
        """*start*, as ``ThreadPool.callInThread``, for threads that take turns."""

        def call_in_thread(function: Callable[..., Any], *args: Any) -> None:
            with self._state:
                self._made += 1
                stop = _Stop(self._made)
                self._running += 1
            try:
                start(self._run, stop, function, args)
            except BaseException:
                self._left()
                raise

        return call_in_thread

    def _run(self, stop: _Stop, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._own.stop = stop
        self._wait(stop, _always)
        before = sys.gettrace()
        if self.fine:
            sys.settrace(self._trace)
        try:
            function(*args)
        finally:
            sys.settrace(before)
            self._own.stop = None
            self._left()

    def _left(self) -> None:
        with self._state:
            self._running -= 1
            if not self._running and self._waited_for:
                self._waited_for = False
                self._all_stopped.release()

    def _wait(self, stop: _Stop, may: Callable[[], bool]) -> None:
        stop.may = may
        with self._state:
            self._stopped[stop.number] = stop
        self._left()
        assert stop.go.acquire(timeout=PATIENCE)

    def place(self, name: str = "") -> None:
        """A place where another may go on instead."""
        self.passed += 1
        if not self.holders and self.pick.random() < self.often:
            self._yield()

    def wait_until(self, may: Callable[[], bool]) -> None:
        """Stop here until *may* says that it may go on. Not in the host's thread."""
        self._wait(self._own.stop, may)

    def _yield(self) -> None:
        if threading.get_ident() == self._host:
            if not self._inside:
                self.let_go_on(self.pick.choice((0, 1, 2, 12)))
        elif (stop := getattr(self._own, "stop", None)) is not None:
            self._wait(stop, _always)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if frame.f_code.co_filename in FINE else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and not self.holders and self.pick.random() < self.fine:
            self._yield()
        return self._line

    # In the host's thread.

    def let_go_on(self, steps: int) -> int:
        """Let *steps* threads go on, one after the other, each to the next place. Returns how many could."""
        self._inside = True
        try:
            self._settle()
            for step in range(steps):
                able = self.able()
                if not able:
                    return step
                stop = self._stopped.pop(self.pick.choice(able))
                with self._state:
                    self._running += 1
                stop.go.release()
                self._settle()
            return steps
        finally:
            self._inside = False

    def able(self) -> list[int]:
        """The threads that may go on. In the host's thread."""
        self._settle()
        return [number for number, stop in sorted(self._stopped.items()) if stop.may()]

    def _settle(self) -> None:
        with self._state:
            if not self._running:
                return
            self._waited_for = True
        assert self._all_stopped.acquire(timeout=PATIENCE), "a thread has not stopped, or never began"

    @property
    def stuck(self) -> int:
        """How many threads have stopped and not ended. In the host's thread."""
        self._settle()
        return len(self._stopped)


FINE = {sys.modules[name].__file__ for name in sys.modules if name.startswith("asyncdb._worker")} | {
    module.__file__ for module in (_commit, _sharing, _tasks, transaction)
}


class TurnLock:
    """A lock that tells the turnstile that it is held."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self._held = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._turnstile.place("acquire")
        assert self._held.acquire(timeout=PATIENCE)
        self._turnstile.holders += 1
        return True

    def release(self) -> None:
        self._turnstile.holders -= 1
        self._held.release()
        self._turnstile.place("release")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class VirtualTurns:
    """`asyncdb.dialect._turns.Turns`, for threads that take turns at *turnstile* anyway, and on virtual time."""

    def __init__(self, turnstile: Turnstile, seconds: Callable[[], float]) -> None:
        self._turnstile = turnstile
        self._seconds = seconds
        self._waiting: deque[object] = deque()
        self.holder: object = None

    def take_free(self, holder: object) -> bool:
        self._turnstile.place("turn")
        if self.holder is None:
            self.holder = holder
        return self.holder is holder

    def take(self, holder: object, seconds: float, wanted: Callable[[], bool]) -> bool:
        if self.take_free(holder):
            return True
        self._waiting.append(holder)
        end = self._seconds() + seconds
        self._turnstile.wait_until(lambda: self.holder is holder or self._seconds() >= end or not wanted())
        if self.holder is holder:
            return True
        self._waiting.remove(holder)
        return False

    def give(self, holder: object) -> None:
        if self.holder is holder:
            self.holder = self._waiting.popleft() if self._waiting else None
            self._turnstile.place("turn")


class TurnHost:
    """A host on virtual time, whose thread does what it is told when the test says so."""

    loop: object = NOWHERE

    def __init__(self) -> None:
        self.clock = Clock()
        self.seconds: Callable[[], float] = self.clock.seconds
        self.callLater: Callable[..., Any] = self.clock.callLater
        self.makeDeferred: Callable[..., Deferred[Any]] = Deferred
        self.asked: list[Callable[[], object]] = []

    def callFromThread(self, function: Callable[..., object], /, *args: Any) -> None:
        self.asked.append(lambda: function(*args))

    def checkThread(self) -> None: ...

    def isRunning(self) -> bool:
        return True

    def isGone(self) -> bool:
        return False

    def atShutdown(self, drain: Callable[[], Deferred[None]], end: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def turn(self) -> int:
        """Do what was asked for. Returns how much that was."""
        asked, self.asked = self.asked, []
        for function in asked:
            function()
        return len(asked)

    def pass_time(self) -> bool:
        """Go on to the next timer. Returns whether there is one."""
        calls = self.clock.getDelayedCalls()
        if calls:
            self.clock.advance(max(0.0, min(call.getTime() for call in calls) - self.clock.seconds()))
        return bool(calls)
