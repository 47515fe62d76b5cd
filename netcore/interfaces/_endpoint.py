"""Endpoints: where to listen or connect, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._protocol import IProtocolFactory

if TYPE_CHECKING:
    from netcore.defer import Deferred
    from netcore.interfaces._network import IListeningPort

__all__ = [
    "IStreamClientEndpoint",
    "IStreamClientEndpointStringParserWithReactor",
    "IStreamServerEndpoint",
    "IStreamServerEndpointStringParser",
]


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


class IStreamServerEndpointStringParser(Interface):
    """A plugin for endpoint strings of servers: an entry point of the group ``netcore.endpoints.server``."""

    prefix: str
    """The kind of endpoint that it reads, which is the entry point's name."""

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:
        """The endpoint for the arguments of a string: those without a name, and those with one. All are str.

        Raises: whatever is wrong with them: who reads the string is told, with the string.
        """
        ...


class IStreamClientEndpointStringParserWithReactor(Interface):
    """A plugin for endpoint strings of clients: an entry point of the group ``netcore.endpoints.client``."""

    prefix: str
    """The kind of endpoint that it reads, which is the entry point's name."""

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamClientEndpoint:
        """The endpoint for the arguments of a string: those without a name, and those with one. All are str.

        Raises: whatever is wrong with them: who reads the string is told, with the string.
        """
        ...
