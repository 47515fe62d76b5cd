"""TCP: listening ports and connectors, as a reactor makes them, and connections."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore.address import IPv4Address, IPv6Address
from netcore.error import CannotListenError, ConnectError, DNSLookupError
from netcore.failure import Failure
from netcore.interfaces import IConnector, IListeningPort, IProtocolFactory, implementer
from netcore.transports._connection import Connection
from netcore.transports._dial import Dial
from netcore.transports._sockets import (
    SocketAddress,
    address_of,
    check_listens,
    check_port,
    family_of,
    literal_addresses,
    set_reuse_port,
)
from netcore.transports._stream_connector import StreamConnector
from netcore.transports._stream_port import StreamPort

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Connection", "Connector", "Port"]

logger = logging.getLogger("netcore.transports")


@implementer(IListeningPort)
class Port(StreamPort):
    """A TCP port that accepts connections, each for a protocol that *factory* builds.

    Args:
        reactor: whose loop watches the socket.
        port, factory, backlog, interface, reusePort: see `Reactor.listenTCP`.
    Attributes: *port* and *interface*, as asked for; *factory*; *acceptPause*, seconds without accepting after the
        system ran out of descriptors or memory.
    Raises: ValueError: *port* is not from 0 to 65535.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        port: int,
        factory: IProtocolFactory,
        backlog: int = 50,
        interface: str = "",
        *,
        reusePort: bool = False,
    ) -> None:
        check_port(port)
        super().__init__(reactor, factory, backlog)
        self.port = port
        self.interface = interface
        self._reuse_port = reusePort
        # Of the connection accepted last, as the kernel says it, and as an object, which the next one has as well, as a
        # rule: 150 bytes of an idle connection's 1,000.
        self._last_host: tuple[SocketAddress, Any] = (), None

    @classmethod
    def _adopting(cls, reactor: Reactor, sock: socket.socket, factory: IProtocolFactory) -> Port:
        """A port for *sock*, the port's from now on, to be started; once stopped, it can listen there again by itself.

        Raises: OSError: *sock* does not listen.
        """
        check_listens(sock)
        host = address_of(sock.getsockname())
        scope = f"%{host.scopeID}" if isinstance(host, IPv6Address) and host.scopeID else ""
        port = cls(reactor, host.port, factory, interface=host.host + scope)
        port._adopted, port._host = sock, host
        return port

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address listened on, with the number of the port that was given if 0 was asked for.

        Raises: RuntimeError: it never listened.
        """
        host: IPv4Address | IPv6Address = super().getHost()
        return host

    def _open(self) -> socket.socket:
        sock = None
        try:
            # An address as it is: of one with a scope (fe80::1%eth0), bind() with two items drops that.
            found = literal_addresses(self.interface, self.port) if self.interface else None
            family, name = found[0] if found else (family_of(self.interface), (self.interface, self.port))
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            if os.name == "posix":  # a restarted server gets its port although old connections are in TIME_WAIT
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # (on Windows it means: steal the port)
            if self._reuse_port:
                set_reuse_port(sock)
            sock.bind(name)
            sock.listen(self._backlog)
            self._host = address_of(sock.getsockname())
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                raise CannotListenError(self.interface, self.port, error) from error
            if isinstance(error, (TypeError, UnicodeError)):  # a host name that cannot be one
                raise CannotListenError(self.interface, self.port, OSError(errno.EINVAL, str(error))) from error
            raise
        return sock

    def _ends_of(
        self, sock: socket.socket, name: SocketAddress
    ) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
        host = sock.getsockname()
        if host != self._last_host[0]:
            self._last_host = host, address_of(host)
        return self._last_host[1], address_of(name)

    def _connection(self, sock: socket.socket, host: Any, peer: Any, protocol: Any, context: Context) -> Connection:
        return Connection(self._reactor, sock, host, peer, protocol, context)

    def __repr__(self) -> str:
        where = f"{self._host.host}:{self._host.port}" if self._host is not None else f"{self.interface}:{self.port}"
        state = "closed" if self._socket is None else "open"
        return f"<TCP port {where}, {state}, of {self.factory!r}>"


@implementer(IConnector)
class Connector(StreamConnector):
    """One outgoing TCP connection, being made or standing.

    An attempt is a lookup in the thread pool, then one address after the other. ``_attempt`` is a new object each time:
    what a lookup finds for an attempt that is over is dropped.

    Args:
        reactor: whose loop watches the socket.
        host, port, factory, timeout, bindAddress: see `IReactorTCP.connectTCP`.
    Attributes: *host*, *port*, *factory*, *timeout*, *bindAddress*, as asked for; *state*, "disconnected",
        "connecting" or "connected"; *transport*, the connection that stands, or None.
    Raises: ValueError: a port is not from 0 to 65535.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None,
        bindAddress: tuple[str, int] | None,
    ) -> None:
        check_port(port)
        if bindAddress is not None:
            check_port(bindAddress[1])
        super().__init__(reactor, factory, timeout)
        self.host = host
        self.port = port
        self.bindAddress = bindAddress
        self._attempt: object = None
        self._addresses: deque[tuple[int, SocketAddress]] = deque()
        self._dial: Dial | None = None
        self._last_error: ConnectError = ConnectError()

    def getDestination(self) -> IPv4Address | IPv6Address:
        """The address it connects to, as asked for: *host* may be a name."""
        if ":" in self.host:
            return IPv6Address("TCP", self.host, self.port)
        return IPv4Address("TCP", self.host, self.port)

    def _look(self) -> None:
        self._last_error = ConnectError(string=f"no address to try for {self.host!r}")
        found = literal_addresses(self.host, self.port)
        if found is not None:
            self._try(found)
            return
        self._attempt = attempt = object()
        reactor = self._reactor

        def looked_up(success: bool, result: Any) -> None:
            try:
                reactor.callFromThread(self._looked_up, attempt, success, result)
            except RuntimeError:
                logger.debug("%r: the reactor was disposed of during the lookup", self)

        try:
            reactor.getThreadPool().callInThreadWithCallback(
                looked_up, socket.getaddrinfo, self.host, self.port, type=socket.SOCK_STREAM
            )
        except RuntimeError as error:  # the pool was stopped
            self._fail(Failure(ConnectError(string=str(error))))

    def _looked_up(self, attempt: object, success: bool, result: Any) -> None:
        if attempt is not self._attempt:
            return
        if success:
            self._try([(family, address) for family, _, _, _, address in result])
        else:
            failure: Failure = result
            error = DNSLookupError(f"looking up {self.host!r} failed: {failure.getErrorMessage()}")
            error.__cause__ = failure.value
            self._fail(Failure(error))

    def _try(self, addresses: list[tuple[int, SocketAddress]]) -> None:
        self._addresses.extend(addresses)
        self._try_next()

    def _try_next(self) -> None:
        """Start connecting to the next address for which that is possible at all."""
        while self._addresses:
            family, address = self._addresses.popleft()
            try:
                self._dial = Dial(
                    self._reactor._watcher, family, address, self.bindAddress, self._context, self._decided
                )
            except ConnectError as error:
                self._last_error = error
                continue
            return
        self._fail(Failure(self._last_error))

    def _decided(self, dial: Dial, error: ConnectError | None) -> None:
        self._dial = None
        if error is not None:
            self._last_error = error
            self._try_next()
            return
        host, peer = dial.names
        self._made(dial.take(), address_of(host), address_of(peer))

    def _abandon(self) -> None:
        self._attempt = None
        self._addresses.clear()
        if self._dial is not None:
            self._dial.give_up()
            self._dial = None

    def _connection(self, sock: socket.socket, host: Any, peer: Any, protocol: Any, context: Context) -> Connection:
        return Connection(self._reactor, sock, host, peer, protocol, context, self._connection_lost)

    def _target(self) -> str:
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<TCP connector to {self.host}:{self.port}, {self._state.value}, of {self.factory!r}>"
