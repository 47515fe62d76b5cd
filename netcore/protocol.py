"""Protocols and the factories that build them.

A factory stands for a service or a peer and lives as long as it is used; it builds one protocol for each connection. A
protocol is one connection's conversation. Its transport calls it, always in the reactor's thread, in this order:
``makeConnection`` once (which calls ``connectionMade``), ``dataReceived`` any number of times, ``connectionLost`` once.

Datagrams need no connection: their protocol is a port's, and talks with everybody who sends something there. Its port
calls ``makeConnection`` (which calls ``startProtocol``), ``datagramReceived`` any number of times, and ``doStop``
(``stopProtocol``) when it is closed; then the protocol may be given to another one.

A child process has a protocol as well: ``makeConnection``, ``childDataReceived`` and ``childConnectionLost`` for each
of its pipes, ``processExited``, and ``processEnded`` last.

Nothing here does input or output or knows a reactor: that is what makes a protocol testable on
`netcore.testing.StringTransport` as well as on a network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from netcore.error import ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import (
    IAddress,
    IConnector,
    ILoggingContext,
    IProcessProtocol,
    IProcessTransport,
    IProtocol,
    IProtocolFactory,
    ITransport,
    implementer,
)

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    P = TypeVar("P", bound="IProtocol", default=Any)
else:  # the default (PEP 696) is the type checkers' business until Python 3.13
    from typing import TypeVar

    P = TypeVar("P", bound="IProtocol")


__all__ = [
    "BaseProtocol",
    "ClientFactory",
    "ConnectedDatagramProtocol",
    "DatagramProtocol",
    "Factory",
    "ProcessProtocol",
    "Protocol",
    "ServerFactory",
    "connectionDone",
]

log = logging.getLogger("netcore.protocol")

connectionDone = Failure(ConnectionDone())
"""The reason of a clean close, for those who call ``connectionLost`` by hand."""


class BaseProtocol:
    """What every protocol has, whatever it is carried by: a transport."""

    connected: int = 0
    """1 from the moment the connection stood; it stays 1 when the connection has gone."""
    transport: ITransport = None  # type: ignore[assignment]  # before makeConnection there is no use in asking
    """What carries the bytes; None until `makeConnection`."""

    def makeConnection(self, transport: Any) -> None:
        """Keep *transport*, then call `connectionMade`. Called by transports; override `connectionMade` instead."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """The connection stands: the place to greet the peer, or to set up what one conversation needs."""


@implementer(IProtocol, ILoggingContext)
class Protocol(BaseProtocol):
    """One connection's conversation over a stream of bytes: inherit from this, override what you need."""

    factory: Any = None
    """The factory that built the protocol, set by `Factory.buildProtocol`."""

    def logPrefix(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived, cut anywhere: what was written at once may come in many pieces, and the other way round.

        Test a protocol on its whole input, byte by byte, and with trailing data.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has gone: let go of whatever refers to this protocol.

        Args:
            reason: wraps a `netcore.error.ConnectionClosed` (ConnectionDone: closed cleanly; ConnectionLost: not;
                ConnectionAborted: by ``abortConnection``), or what a callback of this protocol raised.
        """


@implementer(IProtocolFactory, ILoggingContext)
class Factory(Generic[P]):
    """Builds protocols of one class. What outlives a connection is kept here, reachable as ``self.factory`` there."""

    protocol: Callable[[], P] | None = None
    """What `buildProtocol` calls: as a rule the protocol's class."""
    numPorts: int = 0
    """How many ports and connectors use the factory now."""
    noisy: bool = True
    """Whether starting and stopping are logged."""

    @classmethod
    def forProtocol(cls, protocol: Callable[[], IProtocol], *args: Any, **kwargs: Any) -> Self:
        """A factory for *protocol*, made without a class of its own.

        Args:
            protocol: the protocol's class.
            args, kwargs: passed on to the factory's class.
        """
        factory = cls(*args, **kwargs)
        factory.protocol = cast("Callable[[], P]", protocol)
        return factory

    def logPrefix(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def doStart(self) -> None:
        """One more port or connector uses the factory; the first one calls `startFactory`."""
        if self.numPorts == 0:
            if self.noisy:
                log.info("Starting factory %r", self)
            self.startFactory()
        self.numPorts += 1

    def doStop(self) -> None:
        """One port or connector less uses the factory; the last one calls `stopFactory`. One too many is ignored."""
        if self.numPorts == 0:
            return
        self.numPorts -= 1
        if self.numPorts == 0:
            if self.noisy:
                log.info("Stopping factory %r", self)
            self.stopFactory()

    def startFactory(self) -> None:
        """The factory comes into use: open what all its protocols share."""

    def stopFactory(self) -> None:
        """The factory is no longer in use: close what `startFactory` opened."""

    def buildProtocol(self, addr: IAddress) -> P | None:
        """The protocol for a new connection, with its ``factory`` set.

        Override it to hand the protocol what it needs, or to refuse a peer.

        Args:
            addr: the peer's address.
        Returns: the protocol, or None to close the connection at once.
        Raises: RuntimeError: the factory was given no `protocol`.
        """
        if self.protocol is None:
            raise RuntimeError(f"{self!r} cannot build a protocol: set its `protocol`, or override buildProtocol")
        built: Any = self.protocol()
        built.factory = self
        made: P = built
        return made


class ServerFactory(Factory[P], Generic[P]):
    """Builds protocols for connections that others make to us."""


class ClientFactory(Factory[P], Generic[P]):
    """Builds protocols for connections that we make, and hears how the attempts go."""

    def startedConnecting(self, connector: IConnector) -> None:
        """An attempt to connect begins; ``connector.stopConnecting()`` ends it."""

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """The attempt failed; ``connector.connect()`` tries again.

        Args:
            reason: wraps a `netcore.error.ConnectError` or `netcore.error.DNSLookupError`.
        """

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """A connection that stood has gone, after its protocol's ``connectionLost``; ``connector.connect()`` makes
        another.

        Args:
            reason: what the protocol was told.
        """


@implementer(ILoggingContext)
class DatagramProtocol:
    """What is done with the datagrams that come to a port: inherit from this, override what you need.

    Attributes: *transport*, the port (`IUDPTransport`, `IMulticastTransport` or `IUNIXDatagramTransport`), None while
        there is none; *numPorts*, how many ports use the protocol now: 0 or 1; *noisy*, whether starting and stopping
        are logged.
    """

    transport: Any = None
    numPorts: int = 0
    noisy: bool = True

    def logPrefix(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def makeConnection(self, transport: Any) -> None:
        """Keep *transport*, then call `doStart`. Called by ports; override `startProtocol` instead.

        Raises: RuntimeError: another port has the protocol. What `startProtocol` raises: there is no transport then.
        """
        if self.transport is not None:
            raise RuntimeError(
                f"{self!r} is the protocol of {self.transport!r} already: each port needs one of its own"
            )
        self.transport = transport
        try:
            self.doStart()
        except BaseException:
            self.transport = None
            raise

    def doStart(self) -> None:
        """A port uses the protocol: calls `startProtocol`."""
        if self.numPorts == 0:
            if self.noisy:
                log.info("Starting protocol %r", self)
            self.startProtocol()
        self.numPorts += 1

    def doStop(self) -> None:
        """The port is closed: calls `stopProtocol`, when there is no `transport` any more. One too many is ignored."""
        self.transport = None
        if self.numPorts == 0:
            return
        self.numPorts -= 1
        if self.numPorts == 0:
            if self.noisy:
                log.info("Stopping protocol %r", self)
            self.stopProtocol()

    def startProtocol(self) -> None:
        """The port is open, and `transport` is set: the place to connect it, to join groups, to send what comes
        first. What this raises closes the port, and is raised by what opened it."""

    def stopProtocol(self) -> None:
        """The port is closed: let go of whatever refers to this protocol. Called once, after all else."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A datagram arrived, whole, unless it was longer than the port's *maxPacketSize*: then the rest was dropped.

        What this raises is logged, and the port goes on.

        Args:
            datagram: may be empty.
            addr: who sent it, for ``transport.write``: (host, port) on UDP, a link-local IPv6 host with its zone, as in
                "fe80::1%2"; on UNIX sockets a path as str, an abstract name as bytes, or None if the sender has
                neither.
        """

    def connectionRefused(self) -> None:
        """Nobody received something that was sent earlier, on a connected transport. The port goes on: somebody may
        receive there later.

        Datagrams that are lost in other ways are not heard of.
        """


class ConnectedDatagramProtocol(DatagramProtocol):
    """What is done with datagrams that come from one place only, as ``reactor.connectUNIXDatagram`` wants it.

    (Connected UDP is a `DatagramProtocol`'s, whose transport has ``connect``.)
    """

    def datagramReceived(self, datagram: bytes) -> None:  # type: ignore[override]  # as in Twisted
        """A datagram arrived.

        Args:
            datagram: may be empty.
        """

    def connectionFailed(self, failure: Failure) -> None:
        """There will be no connection, and no `startProtocol`.

        Args:
            failure: wraps a `netcore.error.ConnectError`, or a `netcore.error.CannotListenError` if the address of
                one's own could not be had.
        """


@implementer(IProcessProtocol)
class ProcessProtocol(BaseProtocol):
    """What is done with a child process: inherit from this, override what you need.

    Attributes: *transport*, the process (`IProcessTransport`), None until it runs.
    """

    transport: IProcessTransport = None  # type: ignore[assignment]  # as for others

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """The child has written *data*: calls `outReceived` if that was to its standard output, `errReceived` if to its
        standard error. What this raises is logged, and ends that pipe."""
        if childFD == 1:
            self.outReceived(data)
        elif childFD == 2:
            self.errReceived(data)

    def outReceived(self, data: bytes) -> None:
        """Bytes came from its standard output, cut anywhere."""

    def errReceived(self, data: bytes) -> None:
        """Bytes came from its standard error, cut anywhere."""

    def childConnectionLost(self, childFD: int) -> None:
        """The pipe at the child's descriptor *childFD* is closed: calls `inConnectionLost`, `outConnectionLost` or
        `errConnectionLost`."""
        if childFD == 0:
            self.inConnectionLost()
        elif childFD == 1:
            self.outConnectionLost()
        elif childFD == 2:
            self.errConnectionLost()

    def inConnectionLost(self) -> None:
        """Its standard input is closed: it does not read it any more, or `transport.closeStdin` was called."""

    def outConnectionLost(self) -> None:
        """Its standard output is closed: nothing more comes."""

    def errConnectionLost(self) -> None:
        """Its standard error is closed: nothing more comes."""

    def processExited(self, reason: Failure) -> None:
        """The process has ended. What it wrote last may still come; and a process that it has started may go on, with
        its pipes.

        Args:
            reason: wraps `netcore.error.ProcessDone`, if the exit code is 0, else `netcore.error.ProcessTerminated`.
        """

    def processEnded(self, reason: Failure) -> None:
        """The process has ended, and all its pipes are closed: the last that is heard of it.

        Args:
            reason: as for `processExited`.
        """
