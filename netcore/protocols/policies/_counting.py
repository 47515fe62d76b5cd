"""Connections that are so many at most. `netcore.protocols.limits` does more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netcore.interfaces import IProtocolFactory, implementer
from netcore.protocol import ServerFactory
from netcore.protocols.policies._wrapping import ProtocolWrapper, WrappingFactory

if TYPE_CHECKING:
    from netcore.interfaces import IAddress

__all__ = ["LimitConnectionsByPeer", "LimitTotalConnectionsFactory"]


@implementer(IProtocolFactory)
class LimitConnectionsByPeer(WrappingFactory):
    """Closes at once what comes from a host that has *maxConnectionsPerPeer* connections.

    Attributes: *maxConnectionsPerPeer*; *peerConnections*, how many each host has that has some. What comes from no
        host, as on UNIX sockets, is not limited.
    """

    maxConnectionsPerPeer: int = 5

    def __init__(self, wrappedFactory: IProtocolFactory) -> None:
        super().__init__(wrappedFactory)
        self.peerConnections: Counter[str] = Counter()
        self._hosts: dict[Any, str] = {}  # of what was built

    def buildProtocol(self, addr: IAddress) -> Any:
        """A wrapper for what the factory above builds; None if it builds nothing, or *addr* has enough."""
        host = getattr(addr, "host", None)
        if host is not None and self.peerConnections[host] >= self.maxConnectionsPerPeer:
            return None
        protocol = super().buildProtocol(addr)
        if protocol is not None and host is not None:
            self.peerConnections[host] += 1
            self._hosts[protocol] = host
        return protocol

    def unregisterProtocol(self, p: Any) -> None:
        """The connection of *p* has gone."""
        super().unregisterProtocol(p)
        host = self._hosts.pop(p, None)
        if host is not None:
            self.peerConnections[host] -= 1
            if not self.peerConnections[host]:
                del self.peerConnections[host]


@implementer(IProtocolFactory)
class LimitTotalConnectionsFactory(ServerFactory[Any]):
    """Builds protocols, with their ``factory`` set, for *connectionLimit* connections at a time; those beyond are
    closed at once, or get an `overflowProtocol`, to say why.

    Attributes: *connectionCount*, how many there are, with those beyond; *connectionLimit*, None: any;
        *overflowProtocol*, what is called for a protocol then; it has to close the connection itself.
    """

    connectionCount: int = 0
    connectionLimit: int | None = None
    overflowProtocol: Callable[[], Any] | None = None

    def buildProtocol(self, addr: IAddress) -> Any:
        """A protocol in a wrapper that counts it; None if there are too many, and nothing says so."""
        protocol: Any
        if self.connectionLimit is None or self.connectionCount < self.connectionLimit:
            protocol = super().buildProtocol(addr)
        elif self.overflowProtocol is not None:
            protocol = self.overflowProtocol()
            protocol.factory = self
        else:
            return None
        self.connectionCount += 1
        return ProtocolWrapper(self, protocol)

    def registerProtocol(self, p: Any) -> None:
        """The connection of *p*, a wrapper, stands."""

    def unregisterProtocol(self, p: Any) -> None:
        """It has gone."""
        self.connectionCount -= 1
