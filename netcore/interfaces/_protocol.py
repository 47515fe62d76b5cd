"""Protocols and the factories that build them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._transport import IAddress

if TYPE_CHECKING:
    from netcore.failure import Failure
    from netcore.protocols.limits import LimitExceeded

__all__ = [
    "IDrainable",
    "IFileDescriptorReceiver",
    "IHalfCloseableProtocol",
    "ILimitListener",
    "ILoggingContext",
    "IProtocol",
    "IProtocolFactory",
]


class ILoggingContext(Interface):
    """Something that log lines are about."""

    def logPrefix(self) -> str:
        """A short name for log lines."""
        ...


class IProtocol(Interface):
    """One connection's conversation. A transport calls these, all in the reactor's thread."""

    def makeConnection(self, transport: Any) -> None:
        """The connection stands, reachable through *transport*; ends in a call of `connectionMade`."""

    def connectionMade(self) -> None:
        """The connection stands and can be written to."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived, in whatever pieces the network made of them: never rely on where they are cut.

        Test a protocol on its whole input, byte by byte, and with trailing data.
        """

    def connectionLost(self, reason: Failure) -> None:
        """The connection has ended, once and for good. *reason* wraps a `netcore.error.ConnectionClosed`, or what a
        callback of this protocol raised."""


class IHalfCloseableProtocol(Interface):
    """A protocol that goes on when one direction of its connection has ended. One that does not say so is closed
    altogether when the peer has sent its last. When both directions have ended, ``connectionLost`` follows."""

    def readConnectionLost(self) -> None:
        """The peer sends no more; writing goes on, until ``loseWriteConnection`` or ``loseConnection``: without either
        the connection stays, and that the peer has gone altogether is noticed only when something is written."""

    def writeConnectionLost(self) -> None:
        """What was written before ``loseWriteConnection`` is sent, and the peer told that no more comes; reading goes
        on. (If it cannot be sent, ``connectionLost`` is called instead.)"""


class IDrainable(Interface):
    """A protocol, or a factory, that wants to know when its service stops and lets connections finish, so that they
    need not last until they are closed. A protocol that waits for its peer's next request, say, closes at once; one
    that is answering does so afterwards, and asks its peer for nothing more.

    Services that have no deadline for their connections, which stay, tell nobody.
    """

    def drain(self, seconds: float) -> None:
        """No more connections come, and those that stand are closed in *seconds*. Called once, from the reactor; of the
        factory first, then of each protocol. What this raises is logged."""


class IFileDescriptorReceiver(Interface):
    """A protocol, on a UNIX socket, that takes descriptors."""

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """A descriptor arrived: it is the protocol's, to be closed by it."""


class ILimitListener(Interface):
    """A protocol that has a last word for a peer that was too slow for a `netcore.protocols.limits.ListenerLimits`."""

    def limitExceeded(self, error: LimitExceeded) -> None:
        """The connection is about to be closed with *error*, whose attribute *limit* is ``"firstByte"``, ``"idle"``,
        ``"request"`` or ``"minimumRate"`` (as a sender). What is written now is sent, if the peer takes it within a
        second."""


class IProtocolFactory(Interface):
    """Builds a protocol for each connection."""

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """The protocol for a connection with the peer at *addr*; None refuses the connection, which is then closed."""
        ...

    def doStart(self) -> None:
        """One more port or connector uses the factory."""

    def doStop(self) -> None:
        """One port or connector less uses the factory."""
