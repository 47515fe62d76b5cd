"""What the pool lives on: something that runs calls in one thread, has a clock and timers, and makes Deferreds.

`Host` is all that asyncdb asks of its surroundings. `ReactorHost` is netcore's reactor: one that runs, or one attached
to the asyncio loop that runs. A pool asks for its host when it is first used, not before.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol

import netcore
from asyncdb.errors import WrongThread
from netcore.defer import Deferred
from netcore.error import ReactorNotRunning
from netcore.reactors import Reactor

__all__ = ["NOWHERE", "Host", "ReactorHost", "Timer", "find"]

NOWHERE: object = object()
"""In place of an asyncio loop: none that runs is this one."""


class Timer(Protocol):
    """What `Host.callLater` returns."""

    def cancel(self) -> None:
        """Do not call."""
        ...

    def active(self) -> bool:
        """Whether the call is still to come."""
        ...


class Host(Protocol):
    """What the pool needs of whatever it runs on.

    Attributes: *loop*, the asyncio loop whose running means that this is the host's thread, and that the host is not
        gone; `NOWHERE` for a host without one.
    Threading: `callFromThread` and `seconds` in any thread, the rest in the host's.
    """

    loop: object

    def seconds(self) -> float:
        """A monotonic clock."""
        ...

    def callLater(self, delay: float, function: Callable[..., object], /, *args: Any) -> Timer:
        """Call *function* after *delay* seconds."""
        ...

    def callFromThread(self, function: Callable[..., object], /, *args: Any) -> None:
        """Call *function* in the host's thread, soon. Raises if the host is gone."""
        ...

    def makeDeferred(self, canceller: Callable[[Any], object], /) -> Deferred[Any]:
        """A result that will be there later; *canceller* is called when it is cancelled before."""
        ...

    def checkThread(self) -> None:
        """Raises: WrongThread: this is not the host's thread."""
        ...

    def isRunning(self) -> bool:
        """Whether it takes calls, and is not about to end."""
        ...

    def isGone(self) -> bool:
        """Whether it will never make a call again."""
        ...

    def atShutdown(self, drain: Callable[[], Deferred[None]], end: Callable[[], None]) -> Callable[[], None]:
        """When the host ends, call *drain* and wait for it together with whatever else ends, then call *end*.

        Returns: a function that takes this back.
        """
        ...


class ReactorHost:
    """netcore's reactor as a host."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.seconds: Callable[[], float] = reactor.seconds
        self.callLater: Callable[..., Timer] = reactor.callLater
        self.callFromThread: Callable[..., None] = reactor.callFromThread
        self.makeDeferred: Callable[[Callable[[Any], object]], Deferred[Any]] = Deferred
        loop = getattr(reactor, "loop", None)
        self.loop: object = NOWHERE if loop is None else loop
        self.isGone: Callable[[], bool] = _never if loop is None else loop.is_closed
        self._thread: int | None = None  # that of the reactor, once it has been seen running

    def checkThread(self) -> None:
        """Raises: WrongThread: the reactor runs, but not here; or it does not run, and another one does here."""
        here = threading.get_ident()
        if here == self._thread:
            loop = asyncio._get_running_loop()
            if loop is None or loop is self.loop or self.loop is NOWHERE:
                return
            raise WrongThread(
                f"this pool belongs to {self.reactor!r}, whose loop is stopped and not closed, while another loop runs "
                "here: close that loop, or the pool in it, before the pool is used on another one"
            )
        # By its loop first: a virtual reactor is the current one only in its own contexts; callbacks have their call's.
        if asyncio._get_running_loop() is self.loop or self.reactor is _running_here():
            self._thread = here
        elif _runs(self.reactor):
            raise WrongThread(
                f"this pool belongs to {self.reactor!r}, which runs in another thread: go there with its "
                "callFromThread(), or with netcore.threads.blockingCallFromThread()"
            )

    def isRunning(self) -> bool:
        """Whether the reactor runs and is not shutting down."""
        return bool(self.reactor.running)

    def atShutdown(self, drain: Callable[[], Deferred[None]], end: Callable[[], None]) -> Callable[[], None]:
        """ "before" waits for the drain; "during" comes when all others that use the pool in "before" have finished."""
        triggers = [
            self.reactor.addSystemEventTrigger("before", "shutdown", drain),
            self.reactor.addSystemEventTrigger("during", "shutdown", end),
        ]

        def take_back() -> None:
            for trigger in triggers:
                try:
                    self.reactor.removeSystemEventTrigger(trigger)
                except (KeyError, TypeError, ValueError):
                    pass  # fired
            triggers.clear()

        return take_back


def find(reactor: Any = None) -> Host:
    """The host for a pool: *reactor*, if one is given.

    Else this thread's running reactor, or the one attached to the asyncio loop that runs; else the global
    ``netcore.reactor``.
    """
    if reactor is None:
        reactor = _running_here()
    if reactor is None:
        reactor = netcore.reactor
    return ReactorHost(reactor)


def _never() -> bool:
    return False


def _running_here() -> Reactor | None:
    try:
        return Reactor.current()
    except ReactorNotRunning:
        return None


def _runs(reactor: Any) -> bool:
    loop = getattr(reactor, "loop", None)  # of an attached reactor too
    return bool(loop.is_running() if loop is not None else getattr(reactor, "running", False))
