"""Connections that are closed when nothing has happened for some time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from netcore._current import current_reactor
from netcore.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, implementer
from netcore.protocols.policies._wrapping import ProtocolWrapper, WrappingFactory

if TYPE_CHECKING:
    from netcore.failure import Failure
    from netcore.interfaces import IAddress

__all__ = ["TimeoutFactory", "TimeoutMixin", "TimeoutProtocol"]


class TimeoutMixin:
    """For a protocol that wants to be told when nothing has happened for some time; what has, it says itself.

    Call `setTimeout` in ``connectionMade``, `resetTimeout` whenever something has happened, and ``setTimeout(None)`` in
    ``connectionLost``.

    >>> from netcore.protocol import Protocol
    >>> from netcore.task import Clock
    >>> from netcore.testing import StringTransport
    >>> clock = Clock()
    >>> class Patient(Protocol, TimeoutMixin):
    ...     callLater = staticmethod(clock.callLater)
    ...     def connectionMade(self):
    ...         self.setTimeout(10)
    ...     def dataReceived(self, data):
    ...         self.resetTimeout()
    >>> protocol, transport = Patient(), StringTransport()
    >>> protocol.makeConnection(transport)
    >>> clock.advance(10)
    >>> transport.disconnecting
    True
    """

    timeOut: float | None = None
    """The seconds that `setTimeout` was given."""

    __timeout: IDelayedCall | None = None

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """Have *func* called after *period* seconds: by this thread's reactor. Override it for another clock."""
        return current_reactor().callLater(period, func)

    def setTimeout(self, period: float | None) -> float | None:
        """Have `timeoutConnection` called after *period* seconds, counted from now and from each `resetTimeout`. None:
        not at all.

        Returns: what held until now.
        Raises: ValueError: *period* is negative, or NaN.
        """
        if period is not None and not period >= 0:
            raise ValueError(f"a timeout is 0 or more seconds, or None for none, not {period!r}")
        before, self.timeOut = self.timeOut, period
        call = self.__timeout
        if period is None:
            self.__timeout = None
            if call is not None:
                call.cancel()
        elif call is not None:
            call.reset(period)
        else:
            self.__timeout = self.callLater(period, self.__timed_out)
        return before

    def resetTimeout(self) -> None:
        """Something has happened: count from now on. Does nothing where there is no timeout, or where it is over."""
        if self.__timeout is not None and self.timeOut is not None:
            self.__timeout.reset(self.timeOut)

    def timeoutConnection(self) -> None:
        """Nothing has happened for too long: closes the connection, unless overridden."""
        self.transport.loseConnection()  # type: ignore[attr-defined]  # the protocol's

    def __timed_out(self) -> None:
        self.__timeout = None
        self.timeoutConnection()


class TimeoutProtocol(ProtocolWrapper):
    """Closes the connection when nothing was received or written for *timeoutPeriod* seconds.

    Args:
        factory, wrappedProtocol: as for `ProtocolWrapper`.
        timeoutPeriod: seconds; None: for ever.
    """

    factory: TimeoutFactory

    def __init__(self, factory: TimeoutFactory, wrappedProtocol: IProtocol, timeoutPeriod: float | None) -> None:
        super().__init__(factory, wrappedProtocol)
        self.timeoutPeriod = timeoutPeriod
        self.timeoutCall: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        """The transport stands: the time begins."""
        self.setTimeout(self.timeoutPeriod)
        super().makeConnection(transport)

    def setTimeout(self, timeoutPeriod: float | None = None) -> None:
        """Close the connection after *timeoutPeriod* seconds, counted from now and from each byte in or out;
        None: not at all."""
        self.cancelTimeout()
        self.timeoutPeriod = timeoutPeriod
        if timeoutPeriod is not None:
            self.timeoutCall = self.factory.callLater(timeoutPeriod, self.timeoutFunc)

    def cancelTimeout(self) -> None:
        """Do not close it, until the next `setTimeout`."""
        call, self.timeoutCall = self.timeoutCall, None
        if call is not None:
            call.cancel()

    def resetTimeout(self) -> None:
        """Count from now on."""
        if self.timeoutCall is not None and self.timeoutPeriod is not None:
            self.timeoutCall.reset(self.timeoutPeriod)

    def timeoutFunc(self) -> None:
        """Nothing has happened for too long: closes the connection, unless overridden."""
        self.timeoutCall = None
        self.loseConnection()

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self.resetTimeout()
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*."""
        self.resetTimeout()
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived."""
        self.resetTimeout()
        super().dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection has gone."""
        self.cancelTimeout()
        super().connectionLost(reason)
        del reason  # as there


@implementer(IProtocolFactory)
class TimeoutFactory(WrappingFactory):
    """Closes connections on which nothing was received or written for some time.

    It is no defence: a byte now and then keeps a connection. `netcore.protocols.limits.ListenerLimits` is one.

    Args:
        wrappedFactory: builds the protocols.
        timeoutPeriod: seconds.
        clock: whose; default: this thread's reactor.
    """

    protocol: Any = TimeoutProtocol

    def __init__(
        self, wrappedFactory: IProtocolFactory, timeoutPeriod: float | None = 30 * 60, clock: IReactorTime | None = None
    ) -> None:
        super().__init__(wrappedFactory)
        self.timeoutPeriod = timeoutPeriod
        self._clock = clock

    def buildProtocol(self, addr: IAddress) -> Any:
        """A wrapper for what the factory above builds; None if it builds nothing."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped, timeoutPeriod=self.timeoutPeriod)

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """Have *func* called after *period* seconds."""
        return (self._clock or current_reactor()).callLater(period, func)
