"""A transport that keeps what is written to it.

It delivers nothing and decides nothing: the test calls the protocol (``dataReceived``, ``connectionLost``) and looks at
the transport. Asking it to close only leaves a mark, and writing stays possible, so that a test sees what a protocol
writes when it should not.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, Literal

from netcore._owner import ScopeOwner
from netcore.address import IPv4Address
from netcore.error import ConnectionAborted, ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import IAddress, IProtocol, ITCPTransport, implementer
from netcore.transports._limits import WriteLimits, write_limits

__all__ = ["StringTransport", "StringTransportWithDisconnection", "TCPOptions", "check_bytes"]


def check_bytes(data: object) -> None:
    """Raises: TypeError: *data* is not bytes-like, as every transport says."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"a transport writes bytes, not {type(data).__name__}; encode text first")


class TCPOptions:
    """The switches of a TCP connection, remembered and without effect."""

    lingerLimit: float = 30.0
    """As on TCP; without effect: nothing here waits for a peer."""
    writeLimits: WriteLimits = write_limits(None, None, None)
    """What `setWriteLimits` was asked for."""

    _no_delay = False
    _keep_alive = False

    def getTcpNoDelay(self) -> bool:
        """What was set."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Remember *enabled*."""
        self._no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """What was set."""
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Remember *enabled*."""
        self._keep_alive = bool(enabled)

    def setWriteLimits(self, high: int | None = None, low: int | None = None, *, maximum: int | None = None) -> None:
        """Set `writeLimits`; see the TCP transport for what they mean.

        Raises: ValueError: they do not hold 0 <= low <= high < maximum.
        """
        self.writeLimits = write_limits(high, low, maximum)


@implementer(ITCPTransport)
class StringTransport(TCPOptions, ScopeOwner):
    """Stands in for one connection.

    Args:
        hostAddress, peerAddress: what `getHost` and `getPeer` return; by default two addresses of RFC 1918.
        lenient: whether it may be paused and resumed when it was asked to close.

    >>> from netcore.protocols.basic import LineReceiver
    >>> class Echo(LineReceiver):
    ...     def lineReceived(self, line):
    ...         self.sendLine(line)
    >>> protocol, transport = Echo(), StringTransport()
    >>> protocol.makeConnection(transport)
    >>> protocol.dataReceived(b"hello" + protocol.delimiter)
    >>> transport.value()
    b'hello\\r\\n'
    """

    connected: bool = True
    """Always; it says so for protocols that ask. (`StringTransportWithDisconnection` can lose its connection.)"""
    disconnecting: bool = False
    """Whether `loseConnection` or `abortConnection` was called."""
    writeDisconnecting: bool = False
    """Whether `loseWriteConnection` was called."""
    disconnected: bool = False
    """Whether `abortConnection` was called, or something failed in a scope tied to the connection (`netcore.scope`)."""
    failure: Failure | None = None
    """What failed in such a scope: a real connection would be lost with it."""
    producer: Any = None
    """The registered producer, or None."""
    streaming: bool | None = None
    """Whether the producer was registered as a streaming one; None before the first."""
    producerState: Literal["producing", "paused", "stopped"] = "producing"
    """What the protocol last asked of the transport as a producer."""
    io: io.BytesIO
    """What was written, as a file."""
    written: list[bytes]
    """What was written, call by call."""

    hostAddr: IAddress
    """What `getHost` returns."""
    peerAddr: IAddress
    """What `getPeer` returns."""

    def __init__(
        self, hostAddress: IAddress | None = None, peerAddress: IAddress | None = None, lenient: bool = False
    ) -> None:
        self.hostAddr = hostAddress if hostAddress is not None else IPv4Address("TCP", "10.0.0.1", 12345)
        self.peerAddr = peerAddress if peerAddress is not None else IPv4Address("TCP", "192.168.1.1", 54321)
        self._lenient = lenient
        self.clear()

    def value(self) -> bytes:
        """Everything written since the beginning, or since `clear`."""
        return self.io.getvalue()

    def clear(self) -> None:
        """Forget what was written."""
        self.io = io.BytesIO()
        self.written = []

    def write(self, data: bytes) -> None:
        """Keep *data*.

        Raises: TypeError: it is not bytes-like.
        """
        check_bytes(data)
        self.io.write(data)
        self.written.append(bytes(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Keep all of *data*, as one write."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Set `disconnecting`."""
        self.disconnecting = True

    def loseWriteConnection(self) -> None:
        """Set `writeDisconnecting`; the test calls ``writeConnectionLost``."""
        self.writeDisconnecting = True

    def abortConnection(self) -> None:
        """Set `disconnected` and `disconnecting`."""
        self.disconnected = True
        self.loseConnection()

    def loseScopes(self) -> None:
        """Cancel the scopes tied to the connection, as losing it does before the protocol's ``connectionLost``: call
        both."""
        self._end_scopes()

    def _child_failed(self, failure: Failure) -> None:
        self.failure = failure
        self.abortConnection()

    def getPeer(self) -> IAddress:
        """The other side's address."""
        return self.peerAddr

    def getHost(self) -> IAddress:
        """This side's address."""
        return self.hostAddr

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keep *producer*; the test drives it.

        Raises: RuntimeError: another one is registered.
        """
        if self.producer is not None:
            raise RuntimeError(f"{self.producer!r} is registered as producer: unregister it first")
        self.producer, self.streaming = producer, streaming

    def unregisterProducer(self) -> None:
        """Let go of the producer.

        Raises: RuntimeError: none is registered.
        """
        if self.producer is None:
            raise RuntimeError("no producer is registered")
        self.producer = None

    def pauseProducing(self) -> None:
        """Set `producerState` to "paused".

        Raises: RuntimeError: it was stopped; or, if it is not lenient, the connection was asked to close.
        """
        self._check_producing()
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        """Set `producerState` to "producing".

        Raises: RuntimeError: it was stopped; or, if it is not lenient, the connection was asked to close.
        """
        self._check_producing()
        self.producerState = "producing"

    def stopProducing(self) -> None:
        """Set `producerState` to "stopped"."""
        self.producerState = "stopped"

    def _check_producing(self) -> None:
        if (self.disconnecting and not self._lenient) or self.producerState == "stopped":
            raise RuntimeError("the connection is closing or was told to stop producing: neither pause nor resume it")


class StringTransportWithDisconnection(StringTransport):
    """A `StringTransport` that ends the connection when it is asked to, within that call.

    Attributes: *protocol*, whose ``connectionLost`` is called then: the test sets it; *connected*, whether that is
        still to come.
    """

    protocol: IProtocol

    def loseConnection(self) -> None:
        """End the connection, with ConnectionDone. Does nothing if it has ended."""
        self._lose(ConnectionDone())

    def abortConnection(self) -> None:
        """Set `disconnected` and end the connection, with ConnectionAborted."""
        self.disconnected = True
        self._lose(ConnectionAborted())

    def _lose(self, reason: Exception) -> None:
        self.disconnecting = True
        if self.connected:
            self.connected = False
            self.loseScopes()
            self.protocol.connectionLost(Failure(reason) if self.failure is None else self.failure)
