"""Endpoints: where to listen or connect, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._protocol import IProtocolFactory

if TYPE_CHECKING:
    from netcore.defer import Deferred
    from netcore.interfaces._network import IListeningPort

__all__ = ["IStreamClientEndpoint", "IStreamServerEndpoint"]


class IStreamServerEndpoint(Interface):
    """A place to listen."""

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen there, with protocols from *protocolFactory*.

        Returns: Deferred firing with the `IListeningPort`.
        Fails with: netcore.error.CannotListenError.
        """
        ...


class IStreamClientEndpoint(Interface):
    """A place to connect to."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect there, once.

        Returns: Deferred firing with the protocol that *protocolFactory* built, connected. Cancelling it ends the
            attempt.
        Fails with: a netcore.error.ConnectError, DNSLookupError, CancelledError.
        """
        ...
