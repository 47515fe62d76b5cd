"""What builds protocols, one for each connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from netcore.failure import Failure
from netcore.interfaces import IAddress, IConnector, ILoggingContext, IProtocol, IProtocolFactory, implementer

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    P = TypeVar("P", bound="IProtocol", default=Any)
else:  # the default (PEP 696) is the type checkers' business until Python 3.13
    from typing import TypeVar

    P = TypeVar("P", bound="IProtocol")


__all__ = ["ClientFactory", "Factory", "ServerFactory"]

log = logging.getLogger("netcore.protocol")


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
