"""What a `MemoryReactor` keeps of what it is asked for, and the ports and connectors it gives for it.

The records are tuples with names, in the order of Twisted's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from netcore.address import IPv4Address, UNIXAddress
from netcore.defer import Deferred, succeed
from netcore.error import CannotListenError, ConnectionRefusedError, NotConnectingError, UserError
from netcore.failure import Failure
from netcore.interfaces import IAddress, IConnector, IListeningPort, IProtocol, implementer
from netcore.protocol import Protocol
from netcore.testing._pair import IOPump, MemoryTransport, _State

if TYPE_CHECKING:
    from netcore.testing._memory import MemoryReactor

__all__ = ["MemoryConnector", "MemoryPort"]


class TCPServer(NamedTuple):
    """``listenTCP``."""

    port: int
    factory: Any
    backlog: int
    interface: str


class TCPClient(NamedTuple):
    """``connectTCP``."""

    host: str
    port: int
    factory: Any
    timeout: float | None
    bindAddress: tuple[str, int] | None


class SSLServer(NamedTuple):
    """``listenSSL``."""

    port: int
    factory: Any
    contextFactory: Any
    backlog: int
    interface: str


class SSLClient(NamedTuple):
    """``connectSSL``."""

    host: str
    port: int
    factory: Any
    contextFactory: Any
    timeout: float | None
    bindAddress: tuple[str, int] | None


class UNIXServer(NamedTuple):
    """``listenUNIX``."""

    address: str
    factory: Any
    backlog: int
    mode: int
    wantPID: bool


class UNIXClient(NamedTuple):
    """``connectUNIX``."""

    address: str
    factory: Any
    timeout: float | None
    checkPID: bool


class AdoptedStream(NamedTuple):
    """``adoptStreamPort`` and ``adoptStreamConnection``."""

    fileDescriptor: int
    addressFamily: int
    factory: Any


class AdoptedDatagrams(NamedTuple):
    """``adoptDatagramPort``."""

    fileDescriptor: int
    addressFamily: int
    protocol: Any
    maxPacketSize: int


class UDPServer(NamedTuple):
    """``listenUDP``."""

    port: int
    protocol: Any
    interface: str
    maxPacketSize: int


Place = tuple[str, str, Any]
"""What no two ports can listen at: ("TCP", interface, number), say, or ("UNIX", "", path)."""


@implementer(IListeningPort)
class MemoryPort:
    """A port of a `MemoryReactor`. Nobody comes to it but whom a test brings: it calls the factory's ``buildProtocol``,
    or a connector's `MemoryConnector.complete`.

    Attributes: *factory*, as asked for; *listening*, whether it does.
    """

    listening = False

    def __init__(self, ports: dict[Place, MemoryPort], place: Place, host: IAddress, factory: Any) -> None:
        self._ports = ports
        self._place = place
        self._host = host
        self.factory = factory

    def startListening(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError: another port of the reactor listens there. RuntimeError: it listens.
        """
        if self.listening:
            raise RuntimeError(f"{self!r} listens already")
        if self._place in self._ports:
            taken = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            raise CannotListenError(*self._place[1:], taken)
        self.factory.doStart()
        self._ports[self._place] = self
        self.listening = True

    def stopListening(self) -> Deferred[None] | None:
        """Listen no more.

        Returns: a Deferred, which has fired; None if it did not listen.
        """
        if not self.listening:
            return None
        self.listening = False
        del self._ports[self._place]
        self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """The address listened on."""
        return self._host

    def __repr__(self) -> str:
        return f"<MemoryPort at {self._host}, {'listening' if self.listening else 'closed'}>"


class _Nobody(Protocol):
    """The protocol where a factory built none."""

    def connectionMade(self) -> None:
        self.transport.loseConnection()


def _or_nobody(protocol: IProtocol | None) -> IProtocol:
    return _Nobody() if protocol is None else protocol


class _ClientTransport(MemoryTransport):
    """A connector's side of a connection in memory."""

    def __init__(self, lost: Callable[[Failure], None], protocol: IProtocol, host: IAddress, peer: IAddress) -> None:
        super().__init__(protocol, host, peer)
        self._lost = lost

    def _end(self, reason: Failure) -> None:
        if self._state is not _State.CLOSED:
            try:
                super()._end(reason)
            finally:
                self._lost(reason)


@implementer(IConnector)
class MemoryConnector:
    """An attempt of a `MemoryReactor` to connect, which stands still until a test goes on with it: by `complete` or
    `fail`; or by hand, with the factory's ``buildProtocol`` and the protocol's ``makeConnection``, say. Of what was
    done by hand the connector knows nothing.

    Attributes: *factory* and *timeout*, as asked for (no time limit is kept); *state*, "connecting", "connected" or
        "disconnected"; *transport*, of the connection that `complete` has made, or None; *attempts*, how many have
        begun; *stoppedConnecting*, whether `stopConnecting` has ended one.
    """

    def __init__(
        self,
        reactor: MemoryReactor,
        wanted: tuple[str, Any],
        destination: IAddress,
        factory: Any,
        timeout: float | None,
    ) -> None:
        self.factory = factory
        self.timeout = timeout
        self.state: Literal["connecting", "connected", "disconnected"] = "disconnected"
        self.transport: MemoryTransport | None = None
        self.attempts = 0
        self.stoppedConnecting = False
        self._reactor = reactor
        self._wanted = wanted  # kind and port number, or path
        self._destination = destination
        self._factory_started = False

    # What the application asks for.

    def connect(self) -> None:
        """Begin an attempt. While one is under way, this is another: that it has failed was told by hand, perhaps.

        Raises: RuntimeError: it is connected. What the factory's ``doStart`` or ``startedConnecting`` raised.
        """
        if self.state == "connected":
            raise RuntimeError(f"{self!r} is connected")
        if not self._factory_started:
            self.factory.doStart()
            self._factory_started = True
        self.state = "connecting"
        self.attempts += 1
        try:
            self.factory.startedConnecting(self)
        except BaseException:
            self.state = "disconnected"
            self._stop_factory()
            raise

    def stopConnecting(self) -> None:
        """Stop trying: the factory's ``clientConnectionFailed`` is called with `netcore.error.UserError`.

        Raises: netcore.error.NotConnectingError.
        """
        if self.state != "connecting":
            raise NotConnectingError(f"there is no attempt to stop: {self!r}")
        self.stoppedConnecting = True
        self.fail(UserError())

    def disconnect(self) -> None:
        """Close the connection, or stop trying. Does nothing if there is neither."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> IAddress:
        """The address it connects to, as asked for: it may be a name."""
        return self._destination

    # What a test says becomes of it.

    def fail(self, reason: Failure | BaseException | None = None) -> None:
        """There is no connection: call the factory's ``clientConnectionFailed``.

        Args:
            reason: default: a `netcore.error.ConnectionRefusedError`.
        Raises: netcore.error.NotConnectingError.
        """
        if self.state != "connecting":
            raise NotConnectingError(f"there is no attempt that could fail: {self!r}")
        self.state = "disconnected"
        error = ConnectionRefusedError() if reason is None else reason
        self.factory.clientConnectionFailed(self, error if isinstance(error, Failure) else Failure(error))
        self._stop_factory()

    def complete(self, serverProtocol: IProtocol | None = None) -> IOPump:
        """There is a connection, in memory, and without TLS whatever was asked for: the factory builds its protocol.
        When the connection ends, the factory's ``clientConnectionLost`` is called.

        Args:
            serverProtocol: the other side; None: what is built by the factory of the port that listens there, on the
                same reactor.
        Returns: what moves bytes between the two, as `netcore.testing.connectedPair` does.
        Raises: netcore.error.NotConnectingError. RuntimeError: nobody listens there, or the attempt was stopped in
            ``buildProtocol``. What that, or a ``connectionMade``, raised.
        """
        if self.state != "connecting":
            raise NotConnectingError(f"there is no attempt that could succeed: {self!r}")
        unix = isinstance(self._destination, UNIXAddress)
        here: IAddress = UNIXAddress(None) if unix else IPv4Address("TCP", "10.0.0.2", 50000)  # RFC 1918
        if serverProtocol is None:
            port = self._reactor._port_at(self._wanted)
            if port is None:
                raise RuntimeError(f"nobody listens at {self._destination} on this reactor: give a protocol")
            serverProtocol = _or_nobody(port.factory.buildProtocol(here))
        try:
            clientProtocol: Any = self.factory.buildProtocol(self._destination)
        except Exception:
            self.fail(Failure())
            raise
        if self.state != "connecting":  # type: ignore[comparison-overlap,unused-ignore]  # buildProtocol may stop it
            raise RuntimeError(f"the attempt was stopped in buildProtocol: {self!r}")
        server = MemoryTransport(serverProtocol, host=self._destination, peer=here)
        client = _ClientTransport(self._lost, _or_nobody(clientProtocol), host=here, peer=self._destination)
        self.state, self.transport = "connected", client
        server.protocol.makeConnection(server)
        client.protocol.makeConnection(client)
        return IOPump(server, client)

    def _lost(self, reason: Failure) -> None:
        self.state, self.transport = "disconnected", None
        self.factory.clientConnectionLost(self, reason)
        self._stop_factory()

    def _stop_factory(self) -> None:
        """The factory is of no more use here, unless it has begun anew."""
        if self.state == "disconnected" and self._factory_started:
            self._factory_started = False
            self.factory.doStop()

    def __repr__(self) -> str:
        return f"<MemoryConnector to {self._destination}, {self.state}>"
