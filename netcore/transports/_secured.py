"""``startTLS``: a connection that begins to be encrypted in the middle.

The protocol keeps its transport, which from then on is of another class: what it is asked for goes through a layer of
TLS, which stands between the socket and the protocol (`netcore.protocols.tls`). So connections without TLS pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from netcore.protocol import Factory
from netcore.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from netcore.transports._states import StreamState

if TYPE_CHECKING:
    from netcore.ssl import Certificate
    from netcore.transports._stream import StreamTransport

__all__ = ["Secured", "start_tls"]


class _Below:
    """A connection without its TLS, as the transport of the layer."""

    def __init__(self, connection: StreamTransport, plain: type[StreamTransport]) -> None:
        self._connection = connection
        self._plain = plain

    def write(self, data: bytes) -> None:
        self._plain.write(self._connection, data)

    def loseConnection(self) -> None:
        self._plain.loseConnection(self._connection)

    def abortConnection(self) -> None:
        self._plain.abortConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._plain.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:
        self._plain.unregisterProducer(self._connection)

    def pauseProducing(self) -> None:
        self._plain.pauseProducing(self._connection)

    def resumeProducing(self) -> None:
        self._plain.resumeProducing(self._connection)

    @property
    def _maximum(self) -> int | None:
        return self._connection._maximum

    def _call_soon(self, callback: Callable[[], None]) -> None:
        self._connection._call_soon(callback)

    def _waiting_to_be_sent(self) -> int | None:
        return self._plain._waiting_to_be_sent(self._connection)

    def _not_taken(self) -> int:
        return self._plain._not_taken(self._connection)

    def __repr__(self) -> str:
        return self._plain.__repr__(self._connection)


class Secured:
    """What a connection has in place of its own once TLS has begun; the first base of its new class."""

    TLS = True
    _tls: TLSMemoryBIOProtocol
    disconnecting: bool

    @property
    def protocol(self) -> Any:
        """The layer. Who puts another protocol in place of the own puts it above that."""
        return self.__dict__["protocol"]

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        if protocol is None:  # the connection is lost, and lets go
            self.__dict__["protocol"] = None
        elif self.__dict__["protocol"] is not None:
            self._tls.wrappedProtocol = protocol

    def write(self, data: bytes) -> None:
        """Send *data*. Dropped once the connection is going.

        Raises: TypeError: *data* is not bytes-like.
        """
        self._tls.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*.

        Raises: TypeError: one is not bytes-like.
        """
        self._tls.writeSequence(data)

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent, and a registered producer has finished."""
        self.disconnecting = True
        self._tls.loseConnection()

    def loseWriteConnection(self) -> None:
        """As `loseConnection`: TLS has no half-close that peers keep to."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """Close at once with a reset, dropping what was not sent; the reason is `ConnectionAborted`."""
        self._tls.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*: an `IPushProducer` if *streaming*, else an `IPullProducer`.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        self._tls.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer has finished. A `loseConnection` that waited for it takes effect."""
        self._tls.unregisterProducer()

    def pauseProducing(self) -> None:
        """Hand over nothing more. The handshake goes on."""
        self._tls.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        self._tls.resumeProducing()

    def _waiting_to_be_sent(self) -> int | None:
        return self._tls._waiting_to_be_sent()

    def _not_taken(self) -> int:
        return self._tls._not_taken()

    def getPeerCertificate(self) -> Certificate | None:
        """The peer's certificate; None if it has shown none, or none yet."""
        return self._tls.getPeerCertificate()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What was agreed to be spoken (ALPN, RFC 7301); None: nothing, or not yet."""
        return self._tls.negotiatedProtocol

    def getHandle(self) -> Any:
        """The `ssl.SSLObject`."""
        return self._tls.getHandle()

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Raises: RuntimeError: it speaks TLS already."""
        raise RuntimeError(f"{self!r} speaks TLS already")

    def _report(self) -> None:
        try:
            super()._report()  # type: ignore[misc]
        finally:
            self._tls.transport = None  # which has us: that would be a cycle


def start_tls(connection: Any, secured: type, contextFactory: Any, is_client: bool) -> None:
    """Have *connection* speak TLS, and be *secured*, a class made of `Secured` and its own."""
    state = connection._state
    if state is not StreamState.OPEN:
        if state in (StreamState.READ_ENDED, StreamState.WRITE_ENDING, StreamState.WRITE_ENDED):
            raise RuntimeError(f"one direction of {connection!r} has ended: TLS needs both")
        return  # it is going: as `write`
    protocol = connection.protocol
    nobody: Any = Factory()  # the protocol is there already
    factory = TLSMemoryBIOFactory(contextFactory, is_client, nobody, connection._reactor)
    layer = TLSMemoryBIOProtocol(factory, protocol, False)
    below = _Below(connection, type(connection))
    layer.prepare()  # raises what there is to be raised, before anything has changed
    producer, streaming, paused = connection._producer, connection._streaming, connection._producer_paused
    reading = connection._reading
    connection.unregisterProducer()
    connection._tls = layer
    connection.protocol = layer
    connection.__class__ = secured
    if producer is not None:
        layer.take_over_producer(producer, streaming, paused)
    if not reading:
        layer.pauseProducing()
        below.resumeProducing()
    layer.makeConnection(below)
    # What came behind the last byte that was not encrypted.
    unread = getattr(protocol, "clearLineBuffer", None)
    if unread is not None and (data := unread()):
        layer.dataReceived(data)
