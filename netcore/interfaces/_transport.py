"""Transports, producers and consumers: bytes out, and who tells whom to slow down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netcore._interface import Interface

__all__ = ["IAddress", "IConsumer", "IProducer", "IPullProducer", "IPushProducer", "ITCPTransport", "ITransport"]


class IAddress(Interface):
    """Names one end of a connection. Concrete addresses (`netcore.address`) carry the particulars."""


class IProducer(Interface):
    """Makes data for a consumer."""

    def stopProducing(self) -> None:
        """The consumer has gone: produce no more, ever."""


class IPushProducer(IProducer, Interface):
    """A producer that writes by itself until told to pause."""

    def pauseProducing(self) -> None:
        """Write no more until `resumeProducing`."""

    def resumeProducing(self) -> None:
        """Go on writing."""


class IPullProducer(IProducer, Interface):
    """A producer that writes once each time it is asked."""

    def resumeProducing(self) -> None:
        """Write once."""


class IConsumer(Interface):
    """Takes data from a producer, and tells it when to pause."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*: an `IPushProducer` if *streaming*, else an `IPullProducer`.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """

    def unregisterProducer(self) -> None:
        """The producer has finished. A ``loseConnection`` that waited for it may now take effect."""

    def write(self, data: bytes) -> None:
        """Take *data* from the producer."""


class ITransport(Interface):
    """The connection as a protocol sees it. Writing never blocks and never raises for a lost connection.

    Threading: every method in the reactor's thread; from another one use ``reactor.callFromThread``.
    """

    disconnecting: bool
    """Whether this side is closing the connection: `loseConnection` was called, or the connection aborted."""

    def write(self, data: bytes) -> None:
        """Send *data* to the peer, in order, as soon as it can be.

        Silently dropped once the connection is going; a registered producer may write until it is unregistered.

        Raises: TypeError: *data* is not bytes-like; text must be encoded first.
        """

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*, as `write` of their concatenation would."""

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent; ``connectionLost`` follows, never from
        within this call."""

    def getPeer(self) -> IAddress:
        """The address of the other side."""
        ...

    def getHost(self) -> IAddress:
        """The address of this side."""
        ...


class ITCPTransport(ITransport, IConsumer, IPushProducer, Interface):
    """A TCP connection. As producer it is the stream of received bytes: pausing it stops reading."""

    def abortConnection(self) -> None:
        """Close at once with a reset, dropping what was not sent; the reason is `ConnectionAborted`."""

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set (tcp(7))."""
        ...

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear TCP_NODELAY (tcp(7)): send small segments without waiting for acknowledgements."""

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set (socket(7))."""
        ...

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear SO_KEEPALIVE (socket(7))."""
