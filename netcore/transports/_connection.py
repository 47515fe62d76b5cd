"""A TCP connection, accepted or made."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore.address import IPv4Address, IPv6Address
from netcore.failure import Failure
from netcore.interfaces import INegotiated, ITLSTransport, implementer
from netcore.transports._secured import Secured, start_tls
from netcore.transports._states import StreamState
from netcore.transports._stream import StreamTransport

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Connection", "SecuredConnection"]


@implementer(ITLSTransport)
class Connection(StreamTransport):
    """A TCP connection; see `StreamTransport` for how it lives and ends.

    Args:
        host, peer: the addresses of this side and of the other.
    Attributes: *TLS*, whether it is encrypted.
    """

    TLS = False
    _is_client = False

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        host: IPv4Address | IPv6Address,
        peer: IPv4Address | IPv6Address,
        protocol: Any,
        context: Context,
        on_lost: Callable[[Failure], object] | None = None,
    ) -> None:
        super().__init__(reactor, sock, protocol, context, on_lost)
        self._host = host
        self._peer = peer

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The address of the other side."""
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address of this side."""
        return self._host

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Speak TLS from here on, in both directions. What was written before is sent as it was; what a
        receiver of `netcore.protocols.basic` has received behind its last line or string is taken for TLS. Does nothing
        once the connection is going.

        Args:
            contextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one (`netcore.ssl` has
                some).
            normal: who connected is TLS's client, who accepted its server; if false, the other way round.
        Raises: RuntimeError: it speaks TLS already, or one direction has ended. TypeError, ValueError, ssl.SSLError:
            the context cannot be used.
        """
        start_tls(self, SecuredConnection, contextFactory, self._is_client is bool(normal))

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set (tcp(7)). It is not, at first: what a callback writes leaves in one piece
        anyway."""
        return self._option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear TCP_NODELAY (tcp(7)): send small segments without waiting for acknowledgements."""
        self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set (socket(7))."""
        return self._option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear SO_KEEPALIVE (socket(7))."""
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _option(self, level: int, option: int) -> bool:
        return self._state is not StreamState.CLOSED and bool(self._socket.getsockopt(level, option))

    def _set_option(self, level: int, option: int, enabled: bool) -> None:
        if self._state is not StreamState.CLOSED:  # as with write(), it may have been lost meanwhile
            self._socket.setsockopt(level, option, bool(enabled))

    def __repr__(self) -> str:
        host, peer = self._host, self._peer
        return (
            f"<TCP connection {host.host}:{host.port} to {peer.host}:{peer.port}, {self._state.value}; "
            f"{self._size} bytes to send; protocol {self.protocol!r}>"
        )


@implementer(INegotiated)
class SecuredConnection(Secured, Connection):
    """A TCP connection after `startTLS`."""
