"""A place where stream connections are accepted. `Port` in `tcp` and in `unix` say where that is.

What holds: ``_socket`` is None when it does not listen; while it does, the loop watches the socket, except for the
pause after the system ran out of descriptors or memory: a connection that could not be accepted stays queued and the
socket readable, so that watching it would spin. For want of a descriptor, those that wait then are refused, with the
reactor's spare one: their peers would hang. Such an outage is logged once, when it begins, and its end is.
"""

from __future__ import annotations

import errno
import logging
import socket
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import Deferred, succeed
from netcore.failure import Failure
from netcore.interfaces import IDelayedCall, IProtocolFactory
from netcore.transports._sockets import OUT_OF_DESCRIPTORS, OUT_OF_RESOURCES
from netcore.transports._stream import StreamTransport

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["StreamPort"]

logger = logging.getLogger("netcore.transports")

# How many connections are accepted before the loop sees to the others again.
ACCEPT_AT_ONCE = 32
# accept(2): these say that the one connection went wrong before it could be accepted; the next may be good.
_ONE_LOST = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "EPERM", "ENETDOWN", "EPROTO", "ENOPROTOOPT", "EHOSTDOWN"),
        *("ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "ETIMEDOUT"),
    )
    if hasattr(errno, name)
)


class StreamPort:
    """Accepts connections, each for a protocol that *factory* builds.

    Args:
        reactor: whose loop watches the socket.
        factory, backlog: see `IReactorTCP.listenTCP`.
    Attributes: *factory*; *acceptPause*, seconds without accepting after the system ran out of descriptors or memory.
    Threading: the reactor's thread only.
    """

    acceptPause = 1.0

    def __init__(self, reactor: Reactor, factory: IProtocolFactory, backlog: int) -> None:
        self.factory = factory
        self._reactor = reactor
        self._backlog = backlog
        self._context = copy_context()
        self._socket: socket.socket | None = None
        self._adopted: socket.socket | None = None  # listens already; it is taken when we begin to
        self._host: Any = None
        self._pause: IDelayedCall | None = None
        self._outage = False
        self._refused = 0  # in this outage

    # What kinds of ports differ in.

    def _open(self) -> socket.socket:
        """A socket that listens, with ``_host`` set to its address.

        Raises: CannotListenError.
        """
        raise NotImplementedError

    def _ends_of(self, sock: socket.socket, name: Any) -> tuple[Any, Any]:
        """The addresses of *sock*, which was accepted, and of its peer, for which accept(2) gave *name*.

        Raises: OSError: it is gone.
        """
        raise NotImplementedError

    def _connection(
        self, sock: socket.socket, host: Any, peer: Any, protocol: Any, context: Context
    ) -> StreamTransport:
        """The transport of a connection."""
        raise NotImplementedError

    def _closed(self) -> None:
        """The socket was closed."""

    def startListening(self) -> None:
        """Listen.

        Raises: CannotListenError. RuntimeError: it listens already. ReactorNotRunning: the reactor was disposed of.
            What the factory's ``doStart`` raised: the socket is closed again.
        """
        if self._socket is not None:
            raise RuntimeError(f"{self!r} listens already")
        self._reactor._require_usable()
        adopted, self._adopted = self._adopted, None
        self._socket = sock = adopted or self._open()
        self._reactor._keep(self)
        self._reactor._spare.hold()
        try:
            self._watch(sock)
            logger.info("%r listens", self)
            self.factory.doStart()
        except BaseException:
            self._close()
            raise

    def stopListening(self) -> Deferred[None] | None:
        """Listen no more; connections already made stay.

        Returns: a Deferred (fired: the port is free when this returns), or None if it did not listen.
        """
        if self._socket is None:
            return None
        self._shut_down()
        return succeed(None)

    def getHost(self) -> Any:
        """The address listened on.

        Raises: RuntimeError: it never listened.
        """
        if self._host is None:
            raise RuntimeError(f"{self!r} has no address: it never listened")
        return self._host

    def _shut_down(self) -> None:
        """Close the port now."""
        if self._socket is not None:
            self._close()
            logger.info("%r closed", self)
            try:
                self._context.copy().run(self.factory.doStop)
            except ENDS_THE_PROGRAM:
                raise
            except BaseException:  # CancelledError too: what else there is is closed all the same
                log_failure(logger, Failure(), "doStop of %r raised", self.factory)

    def _close(self) -> None:
        sock, self._socket = self._socket, None
        assert sock is not None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        else:
            self._reactor._watcher.remove_reader(sock.fileno())
        self._outage = False
        self._reactor._spare.release()
        self._reactor._drop(self)
        sock.close()
        self._closed()

    def _watch(self, sock: socket.socket) -> None:
        accept = partial(self._context.copy().run, self._accept)  # what is logged there is logged in our context
        self._reactor._watcher.add_reader(sock.fileno(), accept)

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if self._socket is None:  # a connection's first act was to close the port
                return
            try:
                sock, name = self._socket.accept()
                self._reactor._admit(sock)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _ONE_LOST:
                    continue
                self._pause_accepting(error)
                return
            if self._outage:
                self._outage = False
                logger.info("%r accepts connections again; it refused %d", self, self._refused)
            try:
                sock.setblocking(False)
                host, peer = self._ends_of(sock, name)
            except OSError as error:
                sock.close()
                logger.debug("%r: a connection was gone before it began: %s", self, error)
                continue
            self._accepted(sock, host, peer)

    def _accepted(self, sock: socket.socket, host: Any, peer: Any) -> None:
        context = self._context.copy()
        try:
            protocol = context.run(self.factory.buildProtocol, peer)
        except BaseException as error:
            sock.close()
            if isinstance(error, ENDS_THE_PROGRAM):
                raise
            log_failure(logger, Failure(error), "buildProtocol of %r raised for %r", self.factory, peer)
            return
        if protocol is None:
            sock.close()
        else:
            self._connection(sock, host, peer, protocol, context).start()

    def _pause_accepting(self, error: OSError) -> None:
        assert self._socket is not None
        if not self._outage:
            self._refused = 0
        if error.errno in OUT_OF_DESCRIPTORS:
            self._refuse(self._socket)
        self._reactor._watcher.remove_reader(self._socket.fileno())
        self._pause = self._reactor.callLater(self.acceptPause, self._resume_accepting)
        if not self._outage:
            self._outage = True
            shortage = "out of resources" if error.errno in OUT_OF_RESOURCES else "accept failed"
            told = "%r: %s (%s): refused %d that waited, accepts nothing for %g s, then tries again"
            logger.error(told, self, shortage, error, self._refused, self.acceptPause)

    def _refuse(self, listening: socket.socket) -> None:
        """Close connections that wait to be accepted."""
        spare = self._reactor._spare
        if not spare.lend():
            return
        for _ in range(ACCEPT_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except OSError as error:
                if error.errno in _ONE_LOST:
                    continue
                break  # no more wait; or somebody else took the descriptor
            sock.close()
            self._refused += 1
        spare.refill()

    def _resume_accepting(self) -> None:
        self._pause = None
        if self._socket is not None:
            self._reactor._spare.refill()  # it may have been lost in the outage
            self._watch(self._socket)
