"""Protocols over a stream of bytes."""

from __future__ import annotations

from typing import Any

from netcore.error import ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import ILoggingContext, IProtocol, ITransport, implementer

__all__ = ["BaseProtocol", "Protocol", "connectionDone"]

connectionDone = Failure(ConnectionDone())
"""The reason of a clean close, for those who call ``connectionLost`` by hand."""


class BaseProtocol:
    """What every protocol has, whatever it is carried by: a transport."""

    connected: int = 0
    """1 from the moment the connection stood; it stays 1 when the connection has gone."""
    transport: ITransport = None  # type: ignore[assignment]  # before makeConnection there is no use in asking
    """What carries the bytes; None until `makeConnection`."""

    def makeConnection(self, transport: Any) -> None:
        """Keep *transport*, then call `connectionMade`. Called by transports; override `connectionMade` instead."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """The connection stands: the place to greet the peer, or to set up what one conversation needs."""


@implementer(IProtocol, ILoggingContext)
class Protocol(BaseProtocol):
    """One connection's conversation over a stream of bytes: inherit from this, override what you need."""

    factory: Any = None
    """The factory that built the protocol, set by `Factory.buildProtocol`."""

    def logPrefix(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived, cut anywhere: what was written at once may come in many pieces, and the other way round.

        Test a protocol on its whole input, byte by byte, and with trailing data.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has gone: let go of whatever refers to this protocol.

        Args:
            reason: wraps a `netcore.error.ConnectionClosed` (ConnectionDone: closed cleanly; ConnectionLost: not;
                ConnectionAborted: by ``abortConnection``), or what a callback of this protocol raised.
        """
