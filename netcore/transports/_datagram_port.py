"""A socket that datagrams come to, and leave from. `Port` in `udp`, and those in `_unix_datagram`, say of which kind.

What holds:

* ``_socket`` is None when the port does not listen. ``_stopping`` is None but between `stopListening` and the end,
  which comes in the loop's next turn: so ``stopProtocol`` is never called from within a call that the protocol makes,
  and what it writes after `stopListening` still leaves. From `stopListening` on nothing is received.
* The loop watches the socket while it listens and is not stopping.
* ``doStop`` of the protocol is called once for each ``makeConnection`` that returned.
* Callbacks of the protocol run in the port's own context (contextvars). What one raises is logged, and the port goes
  on.

The kernel reports that a datagram was refused (an ICMP message came, udp(7)) as the error of whatever is done with the
socket next, once. If that is reading, ``connectionRefused`` is called from there; if it is writing, in the loop's next
turn, since the protocol is making a call. uvloop's poll handle stops at such an error and watches no longer, whoever
takes the error; so after one the socket is always given to the loop anew.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import Deferred
from netcore.error import MessageLengthError, NotListeningError
from netcore.failure import Failure
from netcore.transports._sockets import TRY_LATER

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["REFUSALS", "DatagramSocket"]

logger = logging.getLogger("netcore.transports")

# How many datagrams are read before the loop sees to the others again.
READ_AT_ONCE = 64

# What says that a datagram sent earlier was refused. udp(7); ECONNRESET and ENETRESET are Windows' words for it, and
# ECONNRESET that of a UNIX peer that has connected to somebody else.
REFUSALS = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETRESET})

# Reading fails with these for what became of a datagram on its way (ip(7), icmp(7)), or because there is no memory: the
# next may be good. Others say that the descriptor is not what it was, and would be reported for ever.
_ONE_LOST = REFUSALS | frozenset(
    getattr(errno, name)
    for name in (
        *("EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN", "ENONET", "ENOPROTOOPT", "EPROTO", "EACCES", "EPERM"),
        *("EMSGSIZE", "ETIMEDOUT", "ENOBUFS", "ENOMEM"),
    )
    if hasattr(errno, name)
)


class DatagramSocket:
    """Receives datagrams for *protocol*, and sends its own.

    Args:
        reactor: whose loop watches the socket.
        protocol, maxPacketSize: see `IReactorUDP.listenUDP`.
    Attributes: *protocol*; *maxPacketSize*.
    Raises: ValueError: *maxPacketSize* is less than 1.
    Threading: the reactor's thread only.
    """

    def __init__(self, reactor: Reactor, protocol: Any, maxPacketSize: int) -> None:
        if maxPacketSize < 1:
            raise ValueError(f"maxPacketSize is a number of bytes, at least 1, not {maxPacketSize!r}")
        self.protocol = protocol
        self.maxPacketSize = maxPacketSize
        self._reactor = reactor
        self._context = copy_context()
        self._socket: socket.socket | None = None
        self._host: Any = None
        self._connected = False
        self._started = False
        self._stopping: list[Deferred[None]] | None = None
        self._later: dict[str, asyncio.Handle] = {}

    # What kinds of ports differ in.

    def _open(self) -> socket.socket | None:
        """A socket that is bound, with ``_host`` set to its address; None: there is none, and the protocol knows.

        Raises: CannotListenError.
        """
        raise NotImplementedError

    def _deliver(self, datagram: bytes, name: Any) -> None:
        """Hand the protocol what came from *name*, as recvfrom(2) gave it."""
        raise NotImplementedError

    def _before_close(self) -> None:
        """The socket is about to be closed."""

    # Life.

    def startListening(self) -> None:
        """Open the socket, and tell the protocol.

        Raises: CannotListenError. RuntimeError: it listens already. ReactorNotRunning: the reactor was disposed of.
            What ``startProtocol`` raised: the socket is closed again.
        """
        if self._socket is not None:
            raise RuntimeError(f"{self!r} listens already")
        self._reactor._require_usable()
        self._socket = sock = self._open()
        if sock is None:
            return
        self._context = self._context.copy()  # the last one may be entered, if the port was closed in a callback
        self._reactor._keep(self)
        try:
            self._watch()
            logger.info("%r listens", self)
            self._context.run(self.protocol.makeConnection, self)
        except BaseException:
            self._shut_down()
            raise
        self._started = True
        if self._socket is None:  # closed meanwhile: the reactor was disposed of
            self._stop_protocol()

    def stopListening(self) -> Deferred[None] | None:
        """Receive nothing any more, and close the socket in the loop's next turn.

        Returns: a Deferred that fires when it is closed and ``stopProtocol`` was called; None if it did not listen.
        """
        if self._socket is None:
            return None
        if self._stopping is None:
            self._soon("close", self._shut_down, None)  # the Deferreds fire in the caller's context
            self._stopping = []
            self._reactor._watcher.remove_reader(self._socket.fileno())
        closed = Deferred[None]()
        self._stopping.append(closed)
        return closed

    def getHost(self) -> Any:
        """The address it is bound to, or was.

        Raises: RuntimeError: it never listened.
        """
        if self._host is None:
            raise RuntimeError(f"{self!r} has no address: it never listened")
        return self._host

    def _shut_down(self) -> None:
        """Close the port now."""
        if self._socket is None:
            return
        waiting = self._stopping or ()
        self._close()
        logger.info("%r closed", self)
        try:
            self._stop_protocol()
        finally:
            for closed in waiting:
                closed.callback(None)

    def _close(self) -> None:
        sock = self._bound()
        if self._stopping is None:
            self._reactor._watcher.remove_reader(sock.fileno())
        for handle in self._later.values():
            handle.cancel()
        self._later.clear()
        self._reactor._drop(self)
        self._before_close()
        sock.close()
        self._socket = self._stopping = None
        self._connected = False

    def _stop_protocol(self) -> None:
        if self._started:
            self._started = False
            # A copy, since the port's own context may be entered: disposing of an attached reactor in a callback.
            self._context.copy().run(self._call, "doStop", self.protocol.doStop)

    def _bound(self) -> socket.socket:
        """Raises: NotListeningError: it does not listen."""
        if self._socket is None:
            raise NotListeningError(f"{self!r} does not listen: nothing can be sent from it, or set")
        return self._socket

    # Receiving.

    def _watch(self) -> None:
        self._reactor._watcher.add_reader(self._bound().fileno(), partial(self._context.run, self._read))

    def _read(self) -> None:
        for _ in range(READ_AT_ONCE):
            if self._socket is None or self._stopping is not None:  # a datagram's receiver closed the port
                return
            try:
                datagram, name = self._socket.recvfrom(self.maxPacketSize)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._read_failed(error)
                continue
            self._call("datagramReceived", self._deliver, datagram, name)

    def _read_failed(self, error: OSError) -> None:
        if error.errno not in _ONE_LOST:
            logger.error("%r: receiving failed (%s): it is closed", self, error)
            self._shut_down()
            return
        self._watch_anew()
        if error.errno in REFUSALS and self._connected:
            self._call("connectionRefused", self.protocol.connectionRefused)
        else:
            logger.debug("%r: a datagram was lost: %s", self, error)

    def _watch_anew(self) -> None:
        self._reactor._watcher.remove_reader(self._bound().fileno())
        self._watch()

    def _refused_soon(self) -> None:
        """Tell the protocol, once for all that is refused until then."""
        if self._stopping is None:
            self._soon("refused", self._refused, self._context)

    def _refused(self) -> None:
        if self._stopping is None:
            self._watch_anew()
            self._call("connectionRefused", self.protocol.connectionRefused)

    def _call(self, what: str, callback: Callable[..., object], *args: Any) -> None:
        """Call the protocol's *what*; what it raises is logged."""
        try:
            callback(*args)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException as error:  # CancelledError too
            log_failure(logger, Failure(error), "%s of %r raised", what, self.protocol)

    def _soon(self, what: str, callback: Callable[[], None], context: Context | None) -> None:
        """Call *callback* in the next turn, unless *what* is to be done then already, or the port is closed."""
        if what not in self._later:
            self._later[what] = self._reactor.loop.call_soon(self._now, what, callback, context=context)

    def _now(self, what: str, callback: Callable[[], None]) -> None:
        del self._later[what]
        callback()

    # Sending.

    def _send(self, send: Callable[..., object], packet: bytes, *address: Any) -> OSError | None:
        """Send *packet* with *send*, a method of the socket.

        Returns: the refusal, if that is what was reported; None otherwise. A connected port's protocol will hear of it.
        Raises: MessageLengthError. OSError: it cannot be sent.
        """
        try:
            send(packet, *address)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise MessageLengthError(f"{len(packet)} bytes are more than one datagram can carry here") from error
            if error.errno in TRY_LATER:
                logger.debug("%r: the send buffer is full: a datagram of %d bytes was dropped", self, len(packet))
                return None
            if error.errno in REFUSALS:
                if self._connected:
                    self._refused_soon()
                return error
            raise
        return None
