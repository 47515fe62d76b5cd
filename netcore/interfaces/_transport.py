"""Transports, producers and consumers: bytes out, and who tells whom to slow down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from netcore._interface import Interface

if TYPE_CHECKING:
    from netcore.defer import Deferred

__all__ = [
    "IAddress",
    "IConsumer",
    "IMulticastTransport",
    "IProducer",
    "IPullProducer",
    "IPushProducer",
    "ITCPTransport",
    "ITransport",
    "IUDPTransport",
    "IUNIXDatagramConnectedTransport",
    "IUNIXDatagramTransport",
    "IUNIXTransport",
]


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

        It is told to stop when the consumer goes; at once, if nothing can be written any more.

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

        Silently dropped once the connection, or our half of it, is going; a registered producer may write until it is
        unregistered.

        Raises: TypeError: *data* is not bytes-like; text must be encoded first.
        """

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*, as `write` of their concatenation would."""

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent, and a registered producer has finished;
        ``connectionLost`` follows, never from within this call.

        netcore's own stream transports wait for no peer for ever: one that takes nothing, or does not close when all is
        sent, for ``transport.lingerLimit`` seconds (an attribute that may be set, on one transport or on a class of
        them; 30 at first) is cut off with a reset, and `ConnectionAborted` is the reason.
        """

    def getPeer(self) -> IAddress:
        """The address of the other side."""
        ...

    def getHost(self) -> IAddress:
        """The address of this side."""
        ...


class ITCPTransport(ITransport, IConsumer, IPushProducer, Interface):
    """A TCP connection. As producer it is the stream of received bytes: pausing it stops reading.

    As consumer, netcore's own can be told by ``setWriteLimits(high=None, low=None, *, maximum=None)`` with how many
    bytes waiting to be sent a streaming producer is paused and resumed (64 KiB and none, at first), and with how many
    the connection is aborted (any, at first).
    """

    def loseWriteConnection(self) -> None:
        """Tell the peer, once everything written so far has been sent, that no more comes (shutdown(2)); reading goes
        on.

        A registered producer is waited for, as by ``loseConnection``. A protocol that provides `IHalfCloseableProtocol`
        hears ``writeConnectionLost`` then, never from within this call.
        """

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


class IUNIXTransport(ITransport, Interface):
    """A connection over a UNIX socket."""

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send a copy of *descriptor* to the peer, together with the next byte that is written; there must be one.

        netcore's transports take a duplicate, so that *descriptor* may be closed at once; elsewhere the caller keeps it
        open until it is sent: until ``connectionLost``, or an answer that says so.

        Raises: OSError: it is none.
        """


class IUDPTransport(Interface):
    """Datagrams out, and the port they come in at. Datagrams may be lost, doubled, and come in another order."""

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send *packet* to *addr*, a literal address and a port; without one, to where `connect` said.

        Raises: netcore.error.InvalidAddressError: *addr* is no literal address, or of the other family.
            netcore.error.MessageLengthError: it is too long for one datagram.
        """

    def connect(self, host: str, port: int) -> None:
        """Send to that literal address only, and receive from there only; once.

        Raises: netcore.error.InvalidAddressError: a name: look it up first. RuntimeError: it is connected already.
        """

    def getHost(self) -> IAddress:
        """The address it is bound to."""
        ...

    def stopListening(self) -> Deferred[None] | None:
        """Close.

        Returns: a Deferred that fires when it is closed, or None if it was.
        """
        ...

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Let broadcast addresses be sent to, or not (SO_BROADCAST, socket(7)); at first, not."""

    def getBroadcastAllowed(self) -> bool:
        """Whether they may."""
        ...


class IMulticastTransport(IUDPTransport, Interface):
    """Datagrams to groups of hosts."""

    def getOutgoingInterface(self) -> str | int:
        """From where datagrams to groups leave: an address (IPv4) or an index (IPv6)."""
        ...

    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Have datagrams to groups leave by the interface with that address (IPv4), or index or name (IPv6).

        Returns: Deferred firing with 1.
        Fails with: OSError: there is no such interface.
        """
        ...

    def getLoopbackMode(self) -> bool:
        """Whether datagrams to groups come back to listeners on this machine."""
        ...

    def setLoopbackMode(self, mode: bool) -> None:
        """Have them come back, or not. At first they do."""

    def getTTL(self) -> int:
        """How many routers datagrams to groups may pass."""
        ...

    def setTTL(self, ttl: int) -> None:
        """Let them pass that many, 0 to 255; at first 1: none."""

    def joinGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """Receive what is sent to the group *addr*, on the interface with that address (IPv4) or name or index (IPv6),
        or on the one that the system chooses.

        Fails with: netcore.error.MulticastJoinError.
        """
        ...

    def leaveGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """Receive it no more.

        Fails with: netcore.error.MulticastJoinError.
        """
        ...


class IUNIXDatagramTransport(Interface):
    """Datagrams between paths of this machine."""

    def write(self, packet: bytes, addr: str) -> None:
        """Send *packet* to the path *addr*. Dropped if its receiver has no room for it.

        Raises: OSError: nobody is there. netcore.error.MessageLengthError: it is too long for one datagram.
        """

    def getHost(self) -> IAddress:
        """The path it is bound to."""
        ...


class IUNIXDatagramConnectedTransport(Interface):
    """Datagrams to one path of this machine."""

    def write(self, packet: bytes) -> None:
        """Send *packet* there. Dropped if its receiver has no room for it; if nobody is there any more, the protocol's
        ``connectionRefused`` hears.

        Raises: netcore.error.MessageLengthError: it is too long for one datagram.
        """

    def getHost(self) -> IAddress:
        """The path it is bound to, if any."""
        ...

    def getPeer(self) -> IAddress:
        """The path it sends to."""
        ...
