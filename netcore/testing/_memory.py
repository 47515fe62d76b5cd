"""A reactor without a network: `MemoryReactor` keeps what it is asked for, and does nothing by itself.

Ports are recorded, and attempts to connect; a test looks at the records, and plays the network. What would be a mistake
on a real reactor is one here: a port that is no number, a factory that is none, a port that is taken.

Nothing waits: `MemoryReactor.run` returns when it has called what was to be called, calls from and in threads are made
at once, and names are found at once, at 127.0.0.1.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.error import UnsupportedAddressFamily
from netcore.interfaces import (
    IAddress,
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
    IReadDescriptor,
    IWriteDescriptor,
    implementer,
)
from netcore.ssl import check_context_factory
from netcore.task import Clock
from netcore.testing import _recorded
from netcore.testing._datagrams import MemoryDatagramPort
from netcore.testing._memory_core import MemoryCore
from netcore.testing._recorded import MemoryConnector, MemoryPort, Place
from netcore.transports._sockets import check_port
from netcore.transports._unix_names import checked_name

__all__ = ["MemoryReactor", "MemoryReactorClock"]

_FIRST_FREE_PORT = 49152  # RFC 6335: dynamic ports begin here


@implementer(
    *(IReactorCore, IReactorTCP, IReactorSSL, IReactorUNIX, IReactorUDP, IReactorSocket, IReactorFDSet),
    *(IReactorThreads, IReactorPluggableNameResolver),
)
class MemoryReactor(MemoryCore):
    """A reactor without a network, for tests: keeps what it is asked for.

    Attributes, each a list of tuples with names, in the order asked for:
        tcpServers: (port, factory, backlog, interface).
        tcpClients: (host, port, factory, timeout, bindAddress).
        sslServers: (port, factory, contextFactory, backlog, interface).
        sslClients: (host, port, factory, contextFactory, timeout, bindAddress).
        unixServers: (address, factory, backlog, mode, wantPID).
        unixClients: (address, factory, timeout, checkPID).
        udpServers: (port, protocol, interface, maxPacketSize).
        adoptedPorts: (fileDescriptor, addressFamily, factory); with maxPacketSize behind them, for datagrams.
        adoptedStreamConnections: (fileDescriptor, addressFamily, factory). No protocol has been built.
        whenRunningHooks: (callable, args, kwargs), of `callWhenRunning`.
    Attributes beside these: *connectors*, a `MemoryConnector` for each attempt to connect, to go on with; *readers* and
        *writers*, the sets of what was added; *nameResolver*, which finds every name at 127.0.0.1 unless told
        otherwise, as in ``reactor.nameResolver["broken.example"] = []`` (it is a `netcore.resolver.DictResolver`);
        *running*; *hasRun*, *hasStopped*, *hasCrashed*, whether `run`, `stop` and `crash` were called.

    >>> from netcore.protocol import ClientFactory, Protocol
    >>> from netcore.testing import AccumulatingProtocol, MemoryReactor
    >>> class Shout(Protocol):
    ...     def connectionMade(self):
    ...         self.transport.write(b"HELLO")
    >>> reactor = MemoryReactor()
    >>> connector = reactor.connectTCP("server.example", 7979, ClientFactory.forProtocol(Shout))
    >>> reactor.tcpClients[0].port
    7979
    >>> pump = reactor.connectors[0].complete(AccumulatingProtocol())
    >>> pump.flush()
    >>> pump.server.data
    b'HELLO'
    """

    def __init__(self) -> None:
        super().__init__()
        self.tcpServers: list[_recorded.TCPServer] = []
        self.tcpClients: list[_recorded.TCPClient] = []
        self.sslServers: list[_recorded.SSLServer] = []
        self.sslClients: list[_recorded.SSLClient] = []
        self.unixServers: list[_recorded.UNIXServer] = []
        self.unixClients: list[_recorded.UNIXClient] = []
        self.udpServers: list[_recorded.UDPServer] = []
        self.adoptedPorts: list[_recorded.AdoptedStream | _recorded.AdoptedDatagrams] = []
        self.adoptedStreamConnections: list[_recorded.AdoptedStream] = []
        self.connectors: list[MemoryConnector] = []
        self.readers: set[IReadDescriptor] = set()
        self.writers: set[IWriteDescriptor] = set()
        self._ports: dict[Place, MemoryPort] = {}
        self._free_port = _FIRST_FREE_PORT

    # Streams.

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> MemoryPort:
        """Record it, in *tcpServers*. Port 0 is given a number, as `MemoryPort.getHost` says.

        Raises: netcore.error.CannotListenError: another port listens there. ValueError: *port* is not from 0 to 65535.
            TypeError: *port* is no number, or *factory* no factory.
        """
        listening = self._listen_tcp(port, factory, interface)
        self.tcpServers.append(_recorded.TCPServer(port, factory, backlog, interface))
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> MemoryConnector:
        """Record it, in *tcpClients*, and what goes on with it in *connectors*. Names are not looked up, and no time
        limit is kept.

        Raises: ValueError: a port is not from 0 to 65535, or *timeout* is negative or NaN. TypeError: a port is no
            number, *host* no str, or *factory* no factory for clients. What its ``doStart`` or ``startedConnecting``
            raised.
        """
        destination = self._checked_client(host, port, factory, timeout, bindAddress)
        self.tcpClients.append(_recorded.TCPClient(host, port, factory, timeout, bindAddress))
        return self._connect(("TCP", port), destination, factory, timeout)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> MemoryPort:
        """Record it, in *sslServers*.

        Raises: as `listenTCP`. TypeError: *contextFactory* is none.
        """
        check_context_factory(contextFactory)
        listening = self._listen_tcp(port, factory, interface)
        self.sslServers.append(_recorded.SSLServer(port, factory, contextFactory, backlog, interface))
        return listening

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> MemoryConnector:
        """Record it, in *sslClients*, and what goes on with it in *connectors*.

        Raises: as `connectTCP`. TypeError: *contextFactory* is none.
        """
        check_context_factory(contextFactory)
        destination = self._checked_client(host, port, factory, timeout, bindAddress)
        self.sslClients.append(_recorded.SSLClient(host, port, factory, contextFactory, timeout, bindAddress))
        return self._connect(("TCP", port), destination, factory, timeout)

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> MemoryPort:
        """Record it, in *unixServers*. No file is made.

        Raises: netcore.error.CannotListenError: another port listens there. ValueError: *address* is empty, has a NUL
            inside, or is an abstract name and *wantPID* asked for. TypeError: *factory* is none.
        """
        name = checked_name(address, wantPID and "wantPID")
        _check_factory(factory, _OF_SERVERS)
        listening = MemoryPort(self._ports, ("UNIX", "", name), UNIXAddress(address), factory)
        listening.startListening()
        self.unixServers.append(_recorded.UNIXServer(address, factory, backlog, mode, wantPID))
        return listening

    def connectUNIX(
        self, address: str, factory: Any, timeout: float | None = 30, checkPID: bool = False
    ) -> MemoryConnector:
        """Record it, in *unixClients*, and what goes on with it in *connectors*.

        Raises: ValueError: *address* is empty, has a NUL inside, or is an abstract name and *checkPID* asked for; or
            *timeout* is negative or NaN. TypeError: *factory* is no factory for clients. What its ``doStart`` or
            ``startedConnecting`` raised.
        """
        name = checked_name(address, checkPID and "checkPID")
        _check_timeout(timeout)
        _check_factory(factory, _OF_CLIENTS)
        self.unixClients.append(_recorded.UNIXClient(address, factory, timeout, checkPID))
        return self._connect(("UNIX", name), UNIXAddress(address), factory, timeout)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> MemoryPort:
        """Record it, in *adoptedPorts*. The descriptor is not looked at.

        Raises: netcore.error.UnsupportedAddressFamily. TypeError: *factory* is none.
        """
        _check_family(addressFamily, _STREAMS)
        _check_factory(factory, _OF_SERVERS)
        host = _any_address("TCP", addressFamily, fileDescriptor)
        listening = MemoryPort(self._ports, ("adopted", "", fileDescriptor), host, factory)
        listening.startListening()
        self.adoptedPorts.append(_recorded.AdoptedStream(fileDescriptor, addressFamily, factory))
        return listening

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        """Record it, in *adoptedStreamConnections*. The descriptor is not looked at, and no protocol built.

        Raises: netcore.error.UnsupportedAddressFamily. TypeError: *factory* is none.
        """
        _check_family(addressFamily, _STREAMS)
        _check_factory(factory, _OF_SERVERS)
        self.adoptedStreamConnections.append(_recorded.AdoptedStream(fileDescriptor, addressFamily, factory))

    # Datagrams.

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> MemoryDatagramPort:
        """Record it, in *udpServers*; the port is *protocol*'s transport, and keeps what is written to it.

        Raises: ValueError: *port* is not from 0 to 65535, or *maxPacketSize* less than 1. What ``startProtocol``
            raises.
        """
        check_port(port)
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        host = _address("UDP", family, interface, self._number(port))
        listening = MemoryDatagramPort(host, protocol, maxPacketSize)
        listening.startListening()
        self.udpServers.append(_recorded.UDPServer(port, protocol, interface, maxPacketSize))
        return listening

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192
    ) -> MemoryDatagramPort:
        """Record it, in *adoptedPorts*; the port is *protocol*'s transport, and keeps what is written to it. The
        descriptor is not looked at.

        Raises: netcore.error.UnsupportedAddressFamily. ValueError: *maxPacketSize* is less than 1. What
            ``startProtocol`` raises.
        """
        _check_family(addressFamily, _DATAGRAMS)
        host = _any_address("UDP", addressFamily, fileDescriptor)
        listening = MemoryDatagramPort(host, protocol, maxPacketSize)
        listening.startListening()
        self.adoptedPorts.append(_recorded.AdoptedDatagrams(fileDescriptor, addressFamily, protocol, maxPacketSize))
        return listening

    # Descriptors.

    def addReader(self, reader: IReadDescriptor) -> None:
        """Add it to *readers*.

        Raises: TypeError: it has no ``fileno`` or ``doRead``.
        """
        _check_has(reader, ("fileno", "doRead"), "reader")
        self.readers.add(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Add it to *writers*.

        Raises: TypeError: it has no ``fileno`` or ``doWrite``.
        """
        _check_has(writer, ("fileno", "doWrite"), "writer")
        self.writers.add(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Take it away. Does nothing if it was not added."""
        self.readers.discard(reader)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Take it away. Does nothing if it was not added."""
        self.writers.discard(writer)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """Take all readers and writers away.

        Returns: them, each once.
        """
        removed: set[Any] = {*self.readers, *self.writers}
        self.readers.clear()
        self.writers.clear()
        return list(removed)

    def getReaders(self) -> list[IReadDescriptor]:
        """The readers that were added."""
        return list(self.readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        """The writers that were added."""
        return list(self.writers)

    # For the parts.

    def _listen_tcp(self, port: int, factory: Any, interface: str) -> MemoryPort:
        check_port(port)
        _check_factory(factory, _OF_SERVERS)
        number = self._number(port)
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        listening = MemoryPort(
            self._ports, ("TCP", interface, number), _address("TCP", family, interface, number), factory
        )
        listening.startListening()
        return listening

    def _number(self, port: int) -> int:
        """*port*, or one that is free if that is 0."""
        if port == 0:
            port, self._free_port = self._free_port, self._free_port + 1
        return port

    def _checked_client(
        self, host: str, port: int, factory: Any, timeout: float | None, bindAddress: tuple[str, int] | None
    ) -> IPv4Address | IPv6Address:
        """The address to connect to, as asked for. Raises: TypeError, ValueError: something is wrong."""
        if not isinstance(host, str):
            raise TypeError(f"a host is a str, a name or an address, not {host!r}")
        check_port(port)
        if bindAddress is not None:
            check_port(bindAddress[1])
        _check_timeout(timeout)
        _check_factory(factory, _OF_CLIENTS)
        return _address("TCP", socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)

    def _connect(
        self, wanted: tuple[str, Any], destination: IAddress, factory: Any, timeout: float | None
    ) -> MemoryConnector:
        connector = MemoryConnector(self, wanted, destination, factory, timeout)
        self.connectors.append(connector)
        connector.connect()
        return connector

    def _port_at(self, wanted: tuple[str, Any]) -> MemoryPort | None:
        """The port of that kind that listens at that port number or path, on any interface."""
        found = (port for place, port in self._ports.items() if (place[0], place[-1]) == wanted)
        return next(found, None)


@implementer(IReactorTime)
class MemoryReactorClock(MemoryReactor, Clock):
    """A `MemoryReactor` that is a `netcore.task.Clock` as well: time passes when a test says so, by ``advance``."""

    def __init__(self) -> None:
        Clock.__init__(self)
        MemoryReactor.__init__(self)

    def _clock(self) -> IReactorTime:
        return self

    def iterate(self, delay: float = 0) -> None:
        """`advance` by *delay* seconds.

        Raises: ValueError: *delay* is negative or NaN. What a call raises.
        """
        super().iterate(delay)
        self.advance(delay)


# What is refused, as on a real reactor.

_DATAGRAMS = (socket.AF_INET, socket.AF_INET6)
_STREAMS = (*_DATAGRAMS, socket.AF_UNIX) if hasattr(socket, "AF_UNIX") else _DATAGRAMS

_OF_SERVERS = ("doStart", "doStop", "buildProtocol")
_OF_CLIENTS = (*_OF_SERVERS, "startedConnecting", "clientConnectionFailed", "clientConnectionLost")


def _check_has(thing: Any, methods: Sequence[str], what: str) -> None:
    for method in methods:
        if not callable(getattr(thing, method, None)):
            raise TypeError(f"{thing!r} is no {what}: it has no {method}()")


def _check_factory(factory: Any, methods: Sequence[str]) -> None:
    if methods is _OF_CLIENTS:
        _check_has(factory, methods, "factory for clients (netcore.protocol.ClientFactory is one)")
    else:
        _check_has(factory, methods, "factory (netcore.protocol.Factory is one)")


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"a time limit is 0 or more seconds, or None, not {timeout!r}")


def _check_family(family: int, families: Sequence[int]) -> None:
    if family not in families:
        wanted = ", ".join(socket.AddressFamily(each).name for each in families)
        raise UnsupportedAddressFamily(f"sockets of {wanted} can be adopted here, not of {family!r}")


def _address(kind: Any, family: int, host: str, port: int) -> IPv4Address | IPv6Address:
    if family == socket.AF_INET6:
        return IPv6Address(kind, host or "::", port)
    return IPv4Address(kind, host or "0.0.0.0", port)


def _any_address(kind: Any, family: int, descriptor: int) -> IAddress:
    """Of a socket that nobody has looked at."""
    if family in _DATAGRAMS:
        return _address(kind, family, "", _FIRST_FREE_PORT - 1 - descriptor)
    return UNIXAddress(None)
