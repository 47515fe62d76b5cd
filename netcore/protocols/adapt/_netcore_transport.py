"""A connection of asyncio's as the transport of netcore's protocols; `_to_asyncio` says what holds."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from netcore._bytes import as_bytes
from netcore._owner import ScopeOwner
from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.error import ConnectionAborted
from netcore.failure import Failure
from netcore.interfaces import IAddress, IHalfCloseableProtocol, INegotiated, ITCPTransport, implementer
from netcore.ssl import Certificate

if TYPE_CHECKING:
    from netcore.protocols.adapt._to_asyncio import NetcoreProtocol

__all__ = ["NetcoreTransport", "half_closeable", "transport_for"]

HIGH_WATER = 64 * 1024  # as on netcore's own transports, where nothing is said


@implementer(ITCPTransport)
class NetcoreTransport(ScopeOwner):
    """A connection of asyncio's as netcore's protocols see it. Made by `NetcoreProtocol`.

    It does what netcore's own do, but for this: how long ``loseConnection`` waits for a peer that takes nothing is
    asyncio's affair, which waits for ever; a peer that is still sending then gets a reset; there is no ``startTLS``
    (asyncio has ``loop.start_tls``). What is asked of a TCP socket is nothing on one of another kind.

    Attributes: *asyncioTransport*, asyncio's; *TLS*, whether it is encrypted.
    """

    TLS = False
    disconnecting: bool = False

    _producer: Any = None
    _streaming = False
    _producer_paused = False
    _asking = False  # a pull producer: in the next turn
    _paused = False  # asyncio has asked to write no more
    _resuming = False
    _reading = True
    _read_ended = False
    _write_ending = _write_ended = False
    _told_write_ended = False
    _maximum: int | None = None
    _error: Failure | None = None  # why, if that is not what asyncio says

    def __init__(self, transport: asyncio.Transport, protocol: NetcoreProtocol[Any]) -> None:
        self.asyncioTransport = transport
        self._adapter: NetcoreProtocol[Any] | None = protocol

    # Writing.

    def write(self, data: bytes) -> None:
        """Send *data*. Dropped once the connection, or our half of it, is going.

        Raises: TypeError: *data* is not bytes-like.
        """
        data = as_bytes(data)
        if not data or not self._writable():
            return
        transport = self.asyncioTransport
        transport.write(data)
        if self._producer is not None and not self._streaming and not self._asking:
            self._asking = True
            asyncio.get_running_loop().call_soon(self._ask)
        if self._maximum is not None and (waits := transport.get_write_buffer_size()) > self._maximum:
            what = f"{waits} bytes would wait to be sent, and at most {self._maximum} may (setWriteLimits)"
            self._abort(ConnectionAborted(what))

    def _writable(self) -> bool:
        if self._adapter is None or self._write_ended or self.asyncioTransport.is_closing():
            return False
        return self._producer is not None or not (self.disconnecting or self._write_ending)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*.

        Raises: TypeError: one is not bytes-like.
        """
        self.write(b"".join(data))

    def setWriteLimits(self, high: int | None = None, low: int | None = None, *, maximum: int | None = None) -> None:
        """Say how much may wait to be sent, in bytes: with more than *high* a streaming producer is paused, with *low*
        it is resumed, a write that makes more than *maximum* wait aborts the connection.

        Raises: ValueError: they do not hold 0 <= low <= high < maximum.
        """
        low = 0 if low is None else low
        high = max(HIGH_WATER, low) if high is None else high
        if not 0 <= low <= high or (maximum is not None and maximum <= high):
            raise ValueError(
                f"write limits must be 0 <= low <= high < maximum, not low={low}, high={high}, maximum={maximum}"
            )
        self.asyncioTransport.set_write_buffer_limits(high, low)
        self._maximum = maximum

    # Closing.

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent, and a registered producer has finished."""
        self.disconnecting = True
        self._stop_reading()
        self._go_on_ending()

    def loseWriteConnection(self) -> None:
        """Tell the peer, once everything written so far has been sent and a registered producer has finished, that no
        more comes; reading goes on. With TLS, as `loseConnection`."""
        if not self.asyncioTransport.can_write_eof():
            self.loseConnection()
        elif not self.disconnecting:
            self._write_ending = True
            self._go_on_ending()

    def abortConnection(self) -> None:
        """Close at once with a reset, dropping what was not sent; the reason is `ConnectionAborted`."""
        self._abort(ConnectionAborted())

    def _abort(self, error: BaseException) -> None:
        self._abort_with(Failure(error))

    def _abort_with(self, failure: Failure) -> None:
        if self._adapter is None:
            return
        self.disconnecting = True
        if self._error is None:
            self._error = failure
        try:
            self._tcp_socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (AttributeError, OSError):
            pass  # none, or closed
        if self._resuming:  # see there
            asyncio.get_running_loop().call_soon(self.asyncioTransport.abort)
        else:
            self.asyncioTransport.abort()

    def _go_on_ending(self) -> None:
        """Do what waited for the producer."""
        if self._producer is not None or self._adapter is None or self._resuming:
            return
        if self.disconnecting:
            self.asyncioTransport.close()
        elif self._write_ending and not self._write_ended and not self.asyncioTransport.is_closing():
            self._write_ended = True
            transport = self.asyncioTransport
            transport.write_eof()
            # ``resume_writing`` is to say when all is sent. If nothing waits, nobody calls ``pause_writing``.
            transport.set_write_buffer_limits(0)
            if not self._paused:
                asyncio.get_running_loop().call_soon(self._sent_last)

    def _sent_last(self) -> None:
        adapter = self._adapter
        if adapter is None or self._told_write_ended or self.disconnecting:
            return
        self._told_write_ended = True
        half = half_closeable(adapter.protocol)
        if half is not None:
            self._tell(half.writeConnectionLost)
        if self._read_ended:
            self.loseConnection()

    def _tell(self, callback: Callable[..., object], *args: Any) -> None:
        """What *callback* raises ends the connection, and is raised."""
        try:
            callback(*args)
        except BaseException:
            self._abort_with(Failure())
            raise

    def _child_failed(self, failure: Failure) -> None:
        self._abort_with(failure)

    # Producers that write to us.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*: an `IPushProducer` if *streaming*, else an `IPullProducer`.

        It is told to stop if the connection, or our half of it, is going already, and when the connection is lost.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} is registered; unregister it first")
        if not self._writable():
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            self._ask()
        elif self._paused:
            self._pause()

    def unregisterProducer(self) -> None:
        """The producer has finished. A `loseConnection` or `loseWriteConnection` that waited for it takes effect."""
        self._producer = None
        self._go_on_ending()

    def _ask(self) -> None:
        """Ask a pull producer to write once. When it has, `write` sees to it that it is asked again."""
        self._asking = False
        if self._producer is not None and not self._streaming and not self._paused and self._adapter is not None:
            self._tell(self._producer.resumeProducing)

    def _pause(self) -> None:
        """asyncio's ``pause_writing``."""
        self._paused = True
        if self._producer is not None and self._streaming and not self._producer_paused:
            self._producer_paused = True
            self._tell(self._producer.pauseProducing)

    def _resume(self) -> None:
        """asyncio's ``resume_writing``."""
        self._paused = False
        # Closed from within its ``resume_writing``, asyncio's transport ends twice, and breaks: that has to wait.
        self._resuming = True
        try:
            if self._write_ended:
                self._sent_last()
            elif self._producer is not None and not self._streaming:
                self._ask()
            elif self._producer is not None and self._producer_paused:
                self._producer_paused = False
                self._tell(self._producer.resumeProducing)
        finally:
            self._resuming = False
            if self.disconnecting or self._write_ending:
                asyncio.get_running_loop().call_soon(self._go_on_ending)

    # Reading, of which we are the producer.

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`; the end is not noticed either."""
        if not self.disconnecting and not self._read_ended:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._reading and not self._read_ended and not self.asyncioTransport.is_closing():
            self._reading = False
            self.asyncioTransport.pause_reading()

    def _pause_again(self) -> None:
        if not self._reading and not self.asyncioTransport.is_closing():
            self.asyncioTransport.pause_reading()

    def resumeProducing(self) -> None:
        """Deliver again."""
        if not self._reading and not self.disconnecting and not self.asyncioTransport.is_closing():
            self._reading = True
            self.asyncioTransport.resume_reading()

    def stopProducing(self) -> None:
        """Close the connection, as `loseConnection`."""
        self.loseConnection()

    # What is known of it.

    def getPeer(self) -> IAddress:
        """The address of the other side."""
        return _address(self.asyncioTransport.get_extra_info("peername"))

    def getHost(self) -> IAddress:
        """The address of this side."""
        return _address(self.asyncioTransport.get_extra_info("sockname"))

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set (tcp(7)); asyncio sets it."""
        return self._option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear it."""
        self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set (socket(7))."""
        return self._option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear it."""
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _tcp_socket(self) -> Any:
        """The socket if it is TCP's and still open, else None."""
        sock = self.asyncioTransport.get_extra_info("socket")
        usable = sock is not None and sock.fileno() >= 0 and sock.family in (socket.AF_INET, socket.AF_INET6)
        return sock if usable else None

    def _option(self, level: int, option: int) -> bool:
        sock = self._tcp_socket()
        return sock is not None and bool(sock.getsockopt(level, option))

    def _set_option(self, level: int, option: int, enabled: bool) -> None:
        sock = self._tcp_socket()
        if sock is not None:
            sock.setsockopt(level, option, bool(enabled))

    def __repr__(self) -> str:
        return f"<NetcoreTransport over {self.asyncioTransport!r}>"


@implementer(INegotiated)
class _SecureTransport(NetcoreTransport):
    """The same, with TLS, whose handshake asyncio has been through."""

    TLS = True

    def getPeerCertificate(self) -> Certificate | None:
        """The peer's certificate; None if it has shown none."""
        return Certificate.of_peer(self.getHandle())

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What was agreed to be spoken (ALPN, RFC 7301), or None."""
        agreed = self.getHandle().selected_alpn_protocol()
        return None if agreed is None else agreed.encode()

    def getHandle(self) -> Any:
        """The `ssl.SSLObject`."""
        return self.asyncioTransport.get_extra_info("ssl_object")


def _address(name: Any) -> IAddress:
    """What the socket module calls *name*."""
    if isinstance(name, tuple):
        if len(name) == 2:
            return IPv4Address("TCP", *name)
        host, _, _ = name[0].partition("%")
        return IPv6Address("TCP", host, *name[1:])
    return UNIXAddress(name or None)


def half_closeable(protocol: Any) -> Any:
    return cast("Any", IHalfCloseableProtocol)(protocol, None)


def transport_for(transport: asyncio.BaseTransport, protocol: NetcoreProtocol[Any]) -> NetcoreTransport:
    """netcore's transport over asyncio's *transport*."""
    secure = transport.get_extra_info("ssl_object") is not None
    return (_SecureTransport if secure else NetcoreTransport)(cast("asyncio.Transport", transport), protocol)
