"""What a reactor offers, by family: its life, time, threads and TCP.

Threading: everything here is called in the reactor's thread, except `IReactorFromThreads.callFromThread`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._protocol import IProtocolFactory
from netcore.interfaces._transport import IAddress

if TYPE_CHECKING:
    from netcore.defer import Deferred
    from netcore.threadpool import ThreadPool

__all__ = [
    "IConnector",
    "IDelayedCall",
    "IListeningPort",
    "IReactorCore",
    "IReactorFromThreads",
    "IReactorInThreads",
    "IReactorTCP",
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


class IListeningPort(Interface):
    """A place that is listened on."""

    def startListening(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError.
        """

    def stopListening(self) -> Deferred[None] | None:
        """Listen no more; connections already made stay.

        Returns: a Deferred that fires when the port is closed, or None if it was.
        """
        ...

    def getHost(self) -> IAddress:
        """The address listened on, with the port number that was given if 0 was asked for."""
        ...


class IConnector(Interface):
    """One outgoing connection, being made or standing."""

    def connect(self) -> None:
        """Try (again) to connect.

        Raises: RuntimeError: it is connecting or connected.
        """

    def disconnect(self) -> None:
        """Close the connection, or stop trying."""

    def stopConnecting(self) -> None:
        """Stop trying; the reason is `netcore.error.UserError`.

        Raises: netcore.error.NotConnectingError.
        """

    def getDestination(self) -> IAddress:
        """The address it connects to, as asked for."""
        ...


class IReactorTCP(Interface):
    """TCP."""

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Accept connections on *port* (0: any free one).

        Args:
            backlog: how many connections the kernel keeps until they are accepted (listen(2)).
            interface: a local IPv4 or IPv6 address; "" is every IPv4 address, "::" every IPv6 one, and the IPv4 ones
                too where the system says so (Linux does, ipv6(7)).
        Raises: netcore.error.CannotListenError. ValueError: *port* is not from 0 to 65535.
        """
        ...

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Connect to *host* (a name or an address) on *port*.

        The factory hears of it: ``startedConnecting``, then ``buildProtocol`` or ``clientConnectionFailed``, and
        ``clientConnectionLost`` in the end.

        Args:
            timeout: seconds for the whole attempt, looking up the name included; None waits as long as the kernel does.
            bindAddress: local (host, port) to connect from.
        Raises: ValueError: a port is not from 0 to 65535.
        """
        ...
