"""TCP: listening ports and connectors, as a reactor makes them, and connections."""

from __future__ import annotations

import errno
import os
import socket
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore.address import IPv4Address, IPv6Address
from netcore.error import CannotListenError
from netcore.interfaces import IListeningPort, IProtocolFactory, implementer
from netcore.transports._connection import Connection
from netcore.transports._sockets import (
    SocketAddress,
    address_of,
    check_listens,
    check_port,
    family_of,
    literal_addresses,
    set_reuse_port,
)
from netcore.transports._stream_port import StreamPort
from netcore.transports._tcp_connector import Connector

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Connection", "Connector", "Port"]


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
            sock = self._reactor._new_socket(family)
            self._reactor._admit(sock)
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
