"""From the ClientFactory that a reactor tells how connecting goes, to a Deferred that fires once.

An `Attempt` is such a factory around the user's own. It fires its Deferred exactly once: when the protocol is connected
(after ``connectionMade``), when the attempt fails, or when it is cancelled, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import providedBy

from netcore.defer import Deferred
from netcore.error import NoProtocol
from netcore.failure import Failure
from netcore.interfaces import IAddress, IConnector, IProtocol, IProtocolFactory, IStreamClientEndpoint
from netcore.protocol import ClientFactory, Factory

__all__ = ["Attempt", "connectProtocol"]


class Attempt(ClientFactory[Any]):
    """One attempt to connect, as the reactor's factory."""

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self._connector: IConnector | None = None
        self._connected: Deferred[Any] | None = Deferred(self._cancel)

    @classmethod
    def make(cls, factory: IProtocolFactory, connect: Callable[[Attempt], IConnector]) -> Deferred[Any]:
        """Begin an attempt by calling *connect* with it.

        Returns: Deferred firing with the connected protocol that *factory* built. Cancelling it ends the attempt.
        """
        attempt = cls(factory)
        connected = attempt._connected
        assert connected is not None
        try:
            attempt._connector = connect(attempt)
        except Exception:
            attempt.failed(Failure())
        return connected

    def succeeded(self, protocol: IProtocol) -> None:
        """*protocol* is connected."""
        connected, self._connected = self._connected, None
        if connected is not None:
            connected.callback(protocol)
            del connected  # as in `failed`

    def failed(self, reason: Failure) -> None:
        """There is no connection; ignored if that was told before."""
        connected, self._connected = self._connected, None
        if connected is not None:
            connected.errback(reason)
            del connected, reason  # this frame may be in the traceback of what its callbacks raise

    def _cancel(self, connected: Deferred[Any]) -> None:
        self._connected = None
        if self._connector is not None:
            self._connector.disconnect()  # also right if the connection stands and ``connectionMade`` has not returned

    # What the reactor tells

    def doStart(self) -> None:
        """Passed on to the user's factory."""
        self._factory.doStart()

    def doStop(self) -> None:
        """Passed on to the user's factory."""
        self._factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        """Keep *connector*, in order to cancel."""
        self._connector = connector

    def buildProtocol(self, addr: IAddress) -> Any:
        """The user's protocol, behind a `_Herald`; None if there is none."""
        try:
            protocol = self._factory.buildProtocol(addr)
        except Exception:
            self.failed(Failure())
            return None
        if protocol is None:
            self.failed(Failure(NoProtocol(f"{self._factory!r} built no protocol for {addr}")))
            return None
        return _Herald(protocol, self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """The attempt has failed."""
        self._connector = None
        self.failed(reason)
        del reason  # as in `failed`

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """The connection has ended."""
        self._connector = None  # which has us: that would be a cycle


class _Herald:
    """Stands between transport and protocol until the protocol is connected, to say so; then it steps aside if it can.

    Whatever else the protocol provides, or has, this seems to provide and have.
    """

    def __init__(self, protocol: IProtocol, attempt: Attempt) -> None:
        self._protocol = protocol
        self._attempt: Attempt | None = attempt

    @property
    def __providedBy__(self) -> Any:  # zope's: asked each time, for a wrapper provides more later
        return providedBy(self._protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def __repr__(self) -> str:
        return repr(self._protocol)

    def makeConnection(self, transport: Any) -> None:
        self._protocol.makeConnection(transport)
        if getattr(transport, "protocol", None) is self:  # a transport that looks its protocol up each time
            transport.protocol = self._protocol
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.succeeded(self._protocol)

    def dataReceived(self, data: bytes) -> None:
        self._protocol.dataReceived(data)  # looked up each time: a protocol may put another method in its place

    def connectionLost(self, reason: Failure) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:  # ``connectionMade`` raised
            attempt.failed(reason)
        self._protocol.connectionLost(reason)


class _OneShot(Factory[Any]):
    """Hands out one protocol that was made before."""

    noisy = False

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress) -> Any:
        return self._protocol


def connectProtocol(endpoint: IStreamClientEndpoint, protocol: IProtocol) -> Deferred[Any]:
    """Connect *protocol*, made before and needing no factory, to *endpoint*.

    Returns: Deferred firing with *protocol* when it is connected. Cancelling it ends the attempt.
    Fails with: what ``endpoint.connect`` fails with.
    """
    return endpoint.connect(_OneShot(protocol))
