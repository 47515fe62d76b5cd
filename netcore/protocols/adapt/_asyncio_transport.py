"""A connection of netcore's as the transport of asyncio's protocols; `_from_asyncio` says what holds."""

from __future__ import annotations

import asyncio
import logging
from asyncio.trsock import TransportSocket
from collections.abc import Iterable
from typing import Any, cast

from netcore._log import log_failure
from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.error import ConnectionAborted, ConnectionClosed, ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import IAddress, INegotiated, provides

__all__ = ["AsyncioTransport"]

logger = logging.getLogger("netcore.protocols")

# What asyncio's own transports begin with is (16 KiB, 64 KiB); netcore's resume when nothing waits any more.
HIGH_WATER = 64 * 1024


class AsyncioTransport(asyncio.Transport):
    """A connection of netcore's as asyncio's protocols see it. Made by `AsyncioProtocol`.

    It does what asyncio's own do, but for this: when both directions have ended, the connection is closed, without
    ``close()``; ``close()`` waits for a peer that takes nothing as long as the connection does (``lingerLimit``);
    ``abort()`` resets; what ``connection_made`` raises closes the connection; ``write()`` after ``close()`` does
    nothing. ``loop.start_tls`` takes it on asyncio's own loops, uvloop's does not.
    """

    _start_tls_compatible = True  # asked for by BaseEventLoop.start_tls

    def __init__(self, transport: Any, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._transport = transport
        self._protocol: Any = None
        self._buffered = False
        self._made = False  # connection_made was called
        self._closing = self._eof = self._paused = self._writing_paused = self._lost = False
        self._aborted = False  # by us: no error to asyncio's protocol
        self._error: BaseException | None = None  # what `_force_close` was given
        self._limits = (0, HIGH_WATER)
        self._pending = b""  # for a BufferedProtocol that paused before it had all
        self._registered = False
        self.set_protocol(protocol)

    # What is known of the connection.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection under *name*: "peername", "sockname", "socket"; with TLS also "ssl_object",
        "sslcontext", "peercert", "cipher", "compression"; and "netcore_transport", the connection itself."""
        transport = self._transport
        if name == "netcore_transport":
            return transport
        if name == "peername":
            return _plain(transport.getPeer())
        if name == "sockname":
            return _plain(transport.getHost())
        if name == "socket":
            while transport is not None and not hasattr(transport, "_socket"):
                transport = getattr(transport, "transport", None)  # below TLS, and wrappers
            return default if transport is None else TransportSocket(transport._socket)
        tls = transport.getHandle() if self._is_tls() else None
        if tls is None:
            return default
        if name == "ssl_object":
            return tls
        if name == "sslcontext":
            return tls.context
        if name == "peercert":
            return tls.getpeercert()
        if name in ("cipher", "compression"):
            return getattr(tls, name)()
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on talk to *protocol*."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """What it talks to; None once the connection is lost."""
        return cast("asyncio.BaseProtocol", self._protocol)

    def is_closing(self) -> bool:
        """Whether the connection is closing, or closed."""
        return self._closing or bool(self._transport.disconnecting)

    # Reading.

    def is_reading(self) -> bool:
        """Whether data is delivered now."""
        return not self._paused and not self.is_closing()

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`; the end is not noticed either."""
        if not self._paused and not self.is_closing():
            self._paused = True
            self._transport.pauseProducing()

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._paused and not self.is_closing():
            self._paused = False
            if self._pending:
                asyncio.get_running_loop().call_soon(self._deliver_pending)
            else:
                self._transport.resumeProducing()

    def _deliver(self, data: bytes) -> None:
        if self._closing:
            return
        if self._buffered or self._pending:
            self._pending += data
            self._fill()
        else:
            self._protocol.data_received(data)

    def _deliver_pending(self) -> None:
        try:
            self._fill()
        except Exception as error:
            log_failure(logger, Failure(error), "%r raised: its connection is closed", self._protocol)
            self._force_close(error)
        else:
            if not self._paused and not self.is_closing():
                self._transport.resumeProducing()

    def _fill(self) -> None:
        """Hand over what is pending, into the protocol's own buffers if it has some, until it pauses or closes. It may
        have been replaced by one of the other kind in the middle."""
        data, self._pending = self._pending, b""
        given = 0
        try:
            while given < len(data) and not self._paused and not self.is_closing():
                if not self._buffered:
                    rest, given = data[given:], len(data)
                    self._protocol.data_received(rest)
                    return
                buffer = self._protocol.get_buffer(len(data) - given)
                if not len(buffer):
                    raise RuntimeError("get_buffer() returned an empty buffer")
                size = min(len(buffer), len(data) - given)
                buffer[:size] = data[given : given + size]
                given += size
                self._protocol.buffer_updated(size)
        finally:
            self._pending = data[given:]

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*. Dropped once the connection is closing.

        Raises: RuntimeError: after `write_eof`. TypeError: *data* is not bytes-like.
        """
        self._check_eof()
        self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of *list_of_data*; otherwise as `write`."""
        self._check_eof()
        self._transport.writeSequence(list_of_data)

    def _check_eof(self) -> None:
        if self._eof:
            raise RuntimeError("nothing can be written after write_eof()")

    def can_write_eof(self) -> bool:
        """Whether our direction can be ended on its own: not with TLS."""
        return hasattr(self._transport, "loseWriteConnection") and not self._is_tls()

    def write_eof(self) -> None:
        """Tell the peer, behind what was written, that no more comes.

        Raises: NotImplementedError: see `can_write_eof`.
        """
        if not self.can_write_eof():
            raise NotImplementedError(f"one direction of {self._transport!r} cannot be ended on its own")
        if not self._eof and not self.is_closing():
            self._eof = True
            self._unregister()
            self._transport.loseWriteConnection()
            if self._writing_paused:  # who waits to write need not wait: there is nothing more to be written
                self._tell_writing("resume_writing")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say with how many bytes that wait ``pause_writing`` is called, and with how few ``resume_writing``.

        Raises: ValueError: they do not hold 0 <= low <= high.
        """
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"write limits must be 0 <= low <= high, not low={low!r}, high={high!r}")
        maximum = getattr(self._transport, "_maximum", None)  # somebody else's, which stays
        if maximum is not None:
            high = min(high, maximum - 1)
            low = min(low, high)
        self._limits = low, high
        set_limits = getattr(self._transport, "setWriteLimits", None)
        if set_limits is not None:
            set_limits(high, low, maximum=maximum)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Those limits, the lower one first."""
        return self._limits

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be sent, as far as the connection says."""
        waiting = getattr(self._transport, "_waiting_to_be_sent", None)
        return (waiting() or 0) if waiting is not None else 0

    # Closing.

    def close(self) -> None:
        """Close the connection once what was written is sent; ``connection_lost(None)`` follows."""
        if not self._closing:
            self._closing = True
            self._unregister()
            self._transport.loseConnection()

    def abort(self) -> None:
        """Close it at once; ``connection_lost(None)`` follows."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        """Close at once because of *exc*. asyncio's TLS calls it."""
        if self._lost:
            return
        self._closing = self._aborted = True
        self._error = self._error or exc
        self._unregister()
        getattr(self._transport, "abortConnection", self._transport.loseConnection)()  # pipes have none

    # What the connection tells, through `AsyncioProtocol`.

    def _is_tls(self) -> bool:
        return provides(self._transport, INegotiated)

    def _connection_made(self) -> None:
        if self._made:
            return
        self._made = True
        if hasattr(self._transport, "registerProducer"):
            self._registered = True
            self._transport.registerProducer(_Writing(self), True)
        self._protocol.connection_made(self)

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()

    def _peer_ended(self) -> None:
        keeps_open = self._protocol.eof_received()
        if self._is_tls() or not keeps_open:
            self.close()

    def _connection_lost(self, reason: Failure) -> None:
        if not self._made or self._lost:
            return
        self._lost = True
        clean = reason.check(ConnectionDone) is not None
        protocol = self._protocol
        if clean and not self._closing and self._is_tls():
            try:
                protocol.eof_received()  # which TLS tells together with the end
            except Exception:
                log_failure(logger, Failure(), "eof_received of %r raised", protocol)
        self._closing = True
        error = self._error
        if error is None and not clean and not (self._aborted and reason.check(ConnectionAborted)):
            error = _as_asyncio_says(reason.value)
        self._protocol = None  # which has us
        self._pending = b""
        protocol.connection_lost(error)

    def _tell_writing(self, what: str) -> None:
        """What ``pause_writing`` or ``resume_writing`` raises is logged, and the connection goes on, as on asyncio."""
        if self._protocol is None:
            return
        self._writing_paused = what == "pause_writing"
        try:
            getattr(self._protocol, what)()
        except Exception:
            log_failure(logger, Failure(), "%s of %r raised", what, self._protocol)

    def __repr__(self) -> str:
        return f"<AsyncioTransport over {self._transport!r}>"


class _Writing:
    """asyncio's protocol as the producer of what is written."""

    def __init__(self, transport: AsyncioTransport) -> None:
        self._transport = transport

    def pauseProducing(self) -> None:
        self._transport._tell_writing("pause_writing")

    def resumeProducing(self) -> None:
        self._transport._tell_writing("resume_writing")

    def stopProducing(self) -> None:
        pass  # ``connection_lost`` comes


def _plain(address: IAddress) -> Any:
    """*address* as the socket module has it; None for what it has not."""
    if isinstance(address, IPv4Address):
        return address.host, address.port
    if isinstance(address, IPv6Address):
        return address.host, address.port, address.flowInfo, address.scopeID
    if isinstance(address, UNIXAddress):
        name = address.name or b""
        return name if name.startswith(b"\0") else name.decode(errors="surrogateescape")
    return None


def _as_asyncio_says(error: BaseException) -> BaseException:
    """What asyncio's programs expect for *error*: an OSError for a connection that broke."""
    if not isinstance(error, ConnectionClosed):
        return error  # what a callback raised, or TLS
    for argument in error.args:
        if isinstance(argument, OSError):
            return argument
    kind = ConnectionAbortedError if isinstance(error, ConnectionAborted) else ConnectionResetError
    said = kind(str(error))
    said.__cause__ = error
    return said
