"""What a reactor offers, by family: its life, time, threads and descriptors. `_network` has what leads to peers.

Threading: everything here is called in the reactor's thread, except `IReactorFromThreads.callFromThread`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._descriptor import IReadDescriptor, IWriteDescriptor

if TYPE_CHECKING:
    from netcore.defer import Deferred
    from netcore.threadpool import ThreadPool

__all__ = [
    "IDelayedCall",
    "IReactorCore",
    "IReactorFDSet",
    "IReactorFromThreads",
    "IReactorInThreads",
    "IReactorThreads",
    "IReactorTime",
]


class IReactorCore(Interface):
    """The life of a reactor and the events in it: "startup" and "shutdown", each in three phases."""

    running: bool
    """True from the "during" phase of startup to the "during" phase of shutdown."""

    def run(self) -> None:
        """Fire "startup", then serve events until `stop` or `crash`.

        Raises: netcore.error.ReactorAlreadyRunning.
        """

    def stop(self) -> None:
        """Fire "shutdown"; `run` returns when its triggers have finished.

        Raises: netcore.error.ReactorNotRunning: it does not run, or is stopping already.
        """

    def crash(self) -> None:
        """Make `run` return at once, without firing "shutdown"."""

    def iterate(self, delay: float = 0) -> None:
        """Run one turn of the loop by hand, waiting *delay* seconds at most for something to happen.

        Raises: netcore.error.ReactorAlreadyRunning: it runs already, or this is one of its callbacks.
        """

    def fireSystemEvent(self, eventType: str) -> None:
        """Run the triggers of *eventType*: "before" (waiting for the Deferreds they return), "during", "after"."""

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> object:
        """Have *callable* called when *eventType* is fired.

        Args:
            phase: "before" (may return a Deferred, which is waited for), "during" or "after".
            eventType: "startup", "shutdown", or a name of the application's own.
        Returns: an identifier for `removeSystemEventTrigger`.
        Raises: ValueError: an unknown phase.
        """
        ...

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take back a trigger.

        Raises: ValueError, KeyError or TypeError: no such trigger is waiting.
        """

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> object | None:
        """Call *callable* now if the reactor runs, else as soon as it does.

        Returns: None if it was called, else the identifier of the trigger.
        """
        ...

    def resolve(self, name: str, timeout: Sequence[int] = (1, 3, 11, 45)) -> Deferred[str]:
        """Look up the IPv4 address of *name*.

        Args:
            name: an address in dotted quads is its own; "" is "0.0.0.0".
            timeout: seconds until the look-up is tried again, one for each try; after the last it has failed.
        Returns: Deferred firing with the address in dotted quads.
        Fails with: netcore.error.DNSLookupError.
        """
        ...


class IDelayedCall(Interface):
    """A call that will be made later."""

    def getTime(self) -> float:
        """When, on the clock of ``seconds()``."""
        ...

    def cancel(self) -> None:
        """Do not call.

        Raises: netcore.error.AlreadyCalled, AlreadyCancelled.
        """

    def delay(self, secondsLater: float) -> None:
        """Call that many seconds later than planned.

        Raises: netcore.error.AlreadyCalled, AlreadyCancelled.
        """

    def reset(self, secondsFromNow: float) -> None:
        """Call that many seconds from now.

        Raises: netcore.error.AlreadyCalled, AlreadyCancelled.
        """

    def active(self) -> bool:
        """Whether the call is still to come."""
        ...


class IReactorTime(Interface):
    """Time: the reactor's, or a virtual one (`netcore.task.Clock`)."""

    def seconds(self) -> float:
        """A clock that never goes back, in seconds; its zero means nothing."""
        ...

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> IDelayedCall:
        """Call *callable* after *delay* seconds, in the caller's context (contextvars), from the event loop.

        Calls due at the same time are made in the order they were asked for. What one raises is logged.

        Raises: ValueError: *delay* is negative or not a number.
        """
        ...

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """The calls still to come, in no order."""
        ...


class IReactorFromThreads(Interface):
    """The way back into the reactor's thread."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call *callable* in the reactor's thread, soon, in the caller's context (contextvars), in the order asked for.

        Threading: any thread, and signal handlers.
        """


class IReactorInThreads(Interface):
    """The way out into another thread."""

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call *callable* in a thread of the reactor's pool, in a copy of the caller's context; what it raises is
        logged."""


class IReactorThreads(IReactorFromThreads, IReactorInThreads, Interface):
    """Threads both ways, and the pool of them."""

    def getThreadPool(self) -> ThreadPool:
        """The pool that `callInThread` uses."""
        ...

    def suggestThreadPoolSize(self, size: int) -> None:
        """Let the pool have at most *size* threads."""


class IReactorFDSet(Interface):
    """Descriptors that the application looks after itself: anything with ``fileno``."""

    def addReader(self, reader: IReadDescriptor) -> None:
        """Call *reader*'s ``doRead`` whenever its descriptor is readable. Adding it twice is adding it once."""

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Call *writer*'s ``doWrite`` whenever its descriptor is writable. Adding it twice is adding it once."""

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Look at *reader* no more. Does nothing if it was not added."""

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Look at *writer* no more. Does nothing if it was not added."""

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """Remove all readers and writers that were added.

        Returns: them, each once.
        """
        ...

    def getReaders(self) -> list[IReadDescriptor]:
        """The readers that were added."""
        ...

    def getWriters(self) -> list[IWriteDescriptor]:
        """The writers that were added."""
        ...
