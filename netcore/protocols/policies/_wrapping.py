"""What stands between a transport and a protocol, and the factory that puts it there.

A wrapper is the protocol of the transport below and the transport of the protocol above. What holds:

- To the protocol it is the transport that is below: it provides the same interfaces, and what it does not have itself
  is asked of that. To the transport it provides, of the interfaces of `PASSED_ON`, those that the protocol provides.
- The wrapper's own ``connectionMade`` comes first; then its factory knows it (`WrappingFactory.protocols`); then the
  protocol hears of the connection. At the end the factory forgets it, and then the protocol hears.
- A protocol that was not told of the connection is not told of its end either. If it is a wrapper, its factory, which
  may have counted it when it was built, forgets it (`never_connected`).
- When the connection is lost the wrapper lets go of the protocol, so that no cycle waits for the garbage collector.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zope.interface import directlyProvides, providedBy

from netcore._closing import abort
from netcore._owner import ScopeOwner
from netcore.interfaces import (
    IConnector,
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILimitListener,
    IProtocol,
    IProtocolFactory,
    implementer,
)
from netcore.protocol import ClientFactory, Protocol

if TYPE_CHECKING:
    from netcore.failure import Failure
    from netcore.interfaces import IAddress
    from netcore.protocols.limits import LimitExceeded

__all__ = ["ProtocolWrapper", "WrappingFactory", "never_connected"]

# What transports ask protocols for. Whoever adds one adds its methods to the wrapper.
PASSED_ON: tuple[Any, ...] = (IHalfCloseableProtocol, IHandshakeListener, IFileDescriptorReceiver, ILimitListener)


@implementer(IProtocol)
class ProtocolWrapper(Protocol, ScopeOwner):
    """Stands between a connection and its protocol, and changes nothing: inherit from it, and override what you need.

    What the protocol asks of its transport and is not here is asked of the transport below (``setTcpNoDelay``,
    ``pauseProducing``, ``getPeerCertificate``).

    Args:
        factory: whose it is: a `WrappingFactory`, or what else has ``registerProtocol`` and ``unregisterProtocol``.
        wrappedProtocol: the protocol above.
    Attributes: *transport*, below; *wrappedProtocol*, None once the connection is lost; *protocol*, the same, as of any
        transport: another may be put in its place.
    """

    transport: Any = None
    wrappedProtocol: Any
    _listens: tuple[Any, ...] = ()  # to what the wrapper itself wants to hear, whatever the protocol provides
    _introduced = False  # the protocol above has heard of the connection
    _disconnecting = False

    def __init__(self, factory: Any, wrappedProtocol: IProtocol) -> None:
        self.factory = factory
        self.wrappedProtocol = wrappedProtocol

    def __getattr__(self, name: str) -> Any:
        # Those of Python's own and zope's protocols (__conform__, __len__) would be the transport's.
        if self.transport is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.transport, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.wrappedProtocol!r}>"

    def logPrefix(self) -> str:
        """That of the protocol above, with a hint."""
        return _with_hint(self.wrappedProtocol, self)

    # As the protocol of the transport below

    def makeConnection(self, transport: Any) -> None:
        """The transport stands: calls `connectionMade` of the wrapper, then tells the factory and the protocol."""
        self.transport = transport
        self._provide()
        super().makeConnection(transport)
        self.factory.registerProtocol(self)
        self._introduced = True
        self.wrappedProtocol.makeConnection(self)

    def _provide(self) -> None:
        """Seem to be the transport below, and to the transport, the protocol above."""
        wanted = [interface for interface in PASSED_ON if interface(self.wrappedProtocol, None) is not None]
        directlyProvides(self, providedBy(self.transport), *self._listens, *wanted)
        below = self.transport
        if isinstance(below, ProtocolWrapper):  # which has asked us before we knew it
            below._provide()

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived: hands them to the protocol."""
        self.wrappedProtocol.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # none but the transport calls it
        """The connection has gone: tells the factory, then the protocol."""
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None  # they refer to each other
        self._end_scopes()
        try:
            self.factory.unregisterProtocol(self)
        finally:
            if self._introduced:
                wrapped.connectionLost(reason)
            else:
                never_connected(wrapped)
            del reason  # this frame may be in a traceback of theirs: see the rule in defer/_chain.py

    def _never_connected(self) -> None:
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None
        try:
            self.factory.unregisterProtocol(self)
        finally:
            never_connected(wrapped)

    def readConnectionLost(self) -> None:
        """As of `IHalfCloseableProtocol`, which the wrapper provides if the protocol does. (So for those that follow,
        with `IHandshakeListener`, `IFileDescriptorReceiver` and `ILimitListener`.)"""
        IHalfCloseableProtocol(self.wrappedProtocol).readConnectionLost()  # type: ignore[call-arg,misc]

    def writeConnectionLost(self) -> None:
        """What was written is sent, and the peer told that no more comes."""
        IHalfCloseableProtocol(self.wrappedProtocol).writeConnectionLost()  # type: ignore[call-arg,misc]

    def handshakeCompleted(self) -> None:
        """TLS is through with its handshake."""
        IHandshakeListener(self.wrappedProtocol).handshakeCompleted()  # type: ignore[call-arg,misc]

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """A descriptor arrived."""
        IFileDescriptorReceiver(self.wrappedProtocol).fileDescriptorReceived(descriptor)  # type: ignore[call-arg,misc]

    def limitExceeded(self, error: LimitExceeded) -> None:
        """The connection is about to be closed."""
        ILimitListener(self.wrappedProtocol).limitExceeded(error)  # type: ignore[call-arg,misc]

    def clearLineBuffer(self) -> bytes:
        """What the protocol has received and not taken, if it is a `netcore.protocols.basic.LineReceiver`; for
        ``startTLS``, since it came without TLS and must not be taken for what comes with it."""
        clear = getattr(self.wrappedProtocol, "clearLineBuffer", None)
        return b"" if clear is None else clear()

    # As the transport of the protocol above

    @property
    def protocol(self) -> Any:
        return self.wrappedProtocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self.wrappedProtocol = protocol
        if protocol is not None and self.transport is not None:
            self._provide()

    @property
    def disconnecting(self) -> bool:
        """Whether this side is closing the connection: as of `netcore.interfaces.ITransport`."""
        return self._disconnecting or bool(getattr(self.transport, "disconnecting", False))

    @disconnecting.setter
    def disconnecting(self, disconnecting: bool) -> None:
        self._disconnecting = bool(disconnecting)

    @property
    def lingerLimit(self) -> float:
        """As of the transport below, where it is set, too."""
        return self.transport.lingerLimit  # type: ignore[no-any-return]

    @lingerLimit.setter
    def lingerLimit(self, seconds: float) -> None:
        self.transport.lingerLimit = seconds

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self.transport.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*."""
        self.transport.writeSequence(data)

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent, and a registered producer has finished."""
        self._disconnecting = True
        self.transport.loseConnection()

    def getPeer(self) -> IAddress:
        """The address of the other side."""
        return self.transport.getPeer()  # type: ignore[no-any-return]

    def getHost(self) -> IAddress:
        """The address of this side."""
        return self.transport.getHost()  # type: ignore[no-any-return]

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer has finished."""
        self.transport.unregisterProducer()

    def stopConsuming(self) -> None:
        """Close the connection, as `loseConnection`."""
        self.loseConnection()

    def _child_failed(self, failure: Failure) -> None:
        """Something failed in a scope that was tied to us: the connection ends with that."""
        owner: Any = self.transport
        if isinstance(owner, ScopeOwner):
            owner._child_failed(failure)
        else:
            abort(owner)


@implementer(IProtocolFactory)
class WrappingFactory(ClientFactory[Any]):
    """Puts a wrapper between each protocol of *wrappedFactory* and its connection.

    Args:
        wrappedFactory: builds the protocols.
    Attributes: *protocol*, what is called for each, with this factory and the protocol, as a rule a subclass of
        `ProtocolWrapper`; *protocols*, the wrappers of connections that stand now, as the keys of a dict.
    """

    protocol: Any = ProtocolWrapper

    def __init__(self, wrappedFactory: IProtocolFactory) -> None:
        self.wrappedFactory: Any = wrappedFactory
        self.protocols: dict[Any, int] = {}

    def logPrefix(self) -> str:
        """That of the factory above, with a hint."""
        return _with_hint(self.wrappedFactory, self)

    def doStart(self) -> None:
        """As of any factory; the one above is started first."""
        self.wrappedFactory.doStart()
        super().doStart()

    def doStop(self) -> None:
        """As of any factory; the one above is stopped first."""
        self.wrappedFactory.doStop()
        super().doStop()

    def buildProtocol(self, addr: IAddress) -> Any:
        """A wrapper for what the factory above builds; None if it builds nothing."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)

    def registerProtocol(self, p: Any) -> None:
        """The connection of *p*, a wrapper, stands."""
        self.protocols[p] = 1

    def unregisterProtocol(self, p: Any) -> None:
        """The connection of *p*, which was built here, has gone. It may have broken before `registerProtocol`."""
        self.protocols.pop(p, None)

    # What a connector tells is the factory's above to hear.

    def startedConnecting(self, connector: IConnector) -> None:
        """A connection is being made."""
        self.wrappedFactory.startedConnecting(connector)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """It could not be."""
        self.wrappedFactory.clientConnectionFailed(connector, reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """It has ended."""
        self.wrappedFactory.clientConnectionLost(connector, reason)


def never_connected(protocol: Any) -> None:
    """*protocol* was built, and its connection ends before it has heard of it: if it is a wrapper, or has such above,
    what counts them forgets them."""
    forget = getattr(protocol, "_never_connected", None)
    if forget is not None:
        forget()


def _with_hint(above: Any, wrapper: Any) -> str:
    name = above.logPrefix() if hasattr(above, "logPrefix") else type(above).__name__
    return f"{name} ({type(wrapper).__name__})"
