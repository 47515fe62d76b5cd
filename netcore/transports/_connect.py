"""Making TCP connections.

A `Connector` moves DISCONNECTED → CONNECTING → CONNECTED → DISCONNECTED, or back from CONNECTING when it fails, and
may be sent round again by `connect`. While CONNECTING it is a lookup in the thread pool, then one address after the
other, all within one time limit. ``_attempt`` is a new object each time: what a lookup finds for an attempt that is
over is dropped.

The factory is told synchronously what it asked for itself (`connect` → startedConnecting, `stopConnecting` →
clientConnectionFailed); everything else it hears from the loop.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections import deque
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.address import IPv4Address, IPv6Address
from netcore.error import (
    ConnectBindError,
    ConnectError,
    DNSLookupError,
    NotConnectingError,
    TimeoutError,
    UserError,
    getConnectError,
)
from netcore.failure import Failure
from netcore.interfaces import IConnector, IDelayedCall, IProtocolFactory, implementer
from netcore.transports._connection import Connection
from netcore.transports._sockets import SocketAddress, address_of, check_port, literal_addresses
from netcore.transports._states import CONNECTOR_TRANSITIONS, ConnectorEvent, ConnectorState

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Connector"]

logger = logging.getLogger("netcore.transports")

# connect(2) of a non-blocking socket; EINTR: it goes on all the same; EWOULDBLOCK is what Windows says.
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})


class _Nobody:
    """The protocol of a connection that the factory did not want."""

    def makeConnection(self, transport: Connection) -> None:
        transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        pass  # pragma: no cover - a closing connection is not read

    def connectionLost(self, reason: Failure) -> None:
        pass


@implementer(IConnector)
class Connector:
    """One outgoing TCP connection, being made or standing.

    Args:
        reactor: whose loop watches the socket.
        host, port, factory, timeout, bindAddress: see `IReactorTCP.connectTCP`.
    Attributes: *host*, *port*, *factory*, *timeout*, *bindAddress*, as asked for; *state*, "disconnected",
        "connecting" or "connected"; *transport*, the connection that stands, or None.
    Raises: ValueError: a port is not from 0 to 65535.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None,
        bindAddress: tuple[str, int] | None,
    ) -> None:
        check_port(port)
        if bindAddress is not None:
            check_port(bindAddress[1])
        self.host = host
        self.port = port
        self.factory: Any = factory  # a ClientFactory: what it is told is beyond IProtocolFactory
        self.timeout = timeout
        self.bindAddress = bindAddress
        self.transport: Connection | None = None
        self._reactor = reactor
        self._context = copy_context()
        self._state = ConnectorState.DISCONNECTED
        self._factory_started = False
        self._attempt: object = None
        self._timer: IDelayedCall | None = None
        self._begin_call: IDelayedCall | None = None
        self._addresses: deque[tuple[int, SocketAddress]] = deque()
        self._socket: socket.socket | None = None
        self._last_error: ConnectError = ConnectError()

    @property
    def state(self) -> str:
        """In a word."""
        return self._state.value

    # What the application asks for.

    def connect(self) -> None:
        """Try (again) to connect.

        Raises: RuntimeError: it is connecting or connected.
        """
        self._move(ConnectorEvent.CONNECT)
        if not self._factory_started:
            self.factory.doStart()
            self._factory_started = True
        self._attempt = object()
        self._last_error = ConnectError(string=f"no address to try for {self.host!r}")
        self._reactor._keep(self)
        if self.timeout is not None:
            self._timer = self._reactor.callLater(self.timeout, self._timed_out)
        self._begin_call = self._reactor.callLater(0, self._begin)
        try:
            self.factory.startedConnecting(self)
        except BaseException:
            if self._state is ConnectorState.CONNECTING:
                self._end_attempt()
                self._move(ConnectorEvent.FAILED)
                self._stop_factory()
            raise

    def stopConnecting(self) -> None:
        """Stop trying: the factory's ``clientConnectionFailed`` is called with `netcore.error.UserError`.

        Raises: NotConnectingError.
        """
        if self._state is not ConnectorState.CONNECTING:
            raise NotConnectingError(f"there is no attempt to stop: {self!r}")
        self._fail(Failure(UserError()))

    def disconnect(self) -> None:
        """Close the connection, or stop trying. Does nothing if there is neither."""
        if self._state is ConnectorState.CONNECTING:
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> IPv4Address | IPv6Address:
        """The address it connects to, as asked for: *host* may be a name."""
        if ":" in self.host:
            return IPv6Address("TCP", self.host, self.port)
        return IPv4Address("TCP", self.host, self.port)

    # The attempt.

    def _begin(self) -> None:
        self._begin_call = None
        if self._reactor._refusing:
            self._fail(Failure(ConnectError(string="the reactor is shutting down")))
            return
        found = literal_addresses(self.host, self.port)
        if found is not None:
            self._try(found)
            return
        attempt = self._attempt
        reactor = self._reactor

        def looked_up(success: bool, result: Any) -> None:
            try:
                reactor.callFromThread(self._looked_up, attempt, success, result)
            except RuntimeError:
                logger.debug("%r: the reactor was disposed of during the lookup", self)

        try:
            reactor.getThreadPool().callInThreadWithCallback(
                looked_up, socket.getaddrinfo, self.host, self.port, type=socket.SOCK_STREAM
            )
        except RuntimeError as error:  # the pool was stopped
            self._fail(Failure(ConnectError(string=str(error))))

    def _looked_up(self, attempt: object, success: bool, result: Any) -> None:
        if attempt is not self._attempt:
            return
        if success:
            self._try([(family, address) for family, _, _, _, address in result])
        else:
            failure: Failure = result
            error = DNSLookupError(f"looking up {self.host!r} failed: {failure.getErrorMessage()}")
            error.__cause__ = failure.value
            self._fail(Failure(error))

    def _try(self, addresses: list[tuple[int, SocketAddress]]) -> None:
        self._addresses.extend(addresses)
        self._try_next()

    def _try_next(self) -> None:
        """Start connecting to the next address for which that is possible at all."""
        while self._addresses:
            family, address = self._addresses.popleft()
            sock = None
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
                sock.setblocking(False)
                if self.bindAddress is not None:
                    self._bind(sock, self.bindAddress)
                number = sock.connect_ex(address)
                if number not in _UNDER_WAY and number != 0:
                    raise OSError(number, os.strerror(number))
            except Exception as error:
                if sock is not None:
                    sock.close()
                self._last_error = _explain(error)
                continue
            self._socket = sock
            decided = partial(self._context.copy().run, self._decided)  # what is logged there is logged in our context
            self._reactor._watcher.add_writer(sock.fileno(), decided)
            return
        self._fail(Failure(self._last_error))

    def _bind(self, sock: socket.socket, address: tuple[str, int]) -> None:
        try:
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError as error:
            raise ConnectBindError(error, f"{address[0]}:{address[1]}: {error}") from error

    def _decided(self) -> None:
        """The kernel has connected the socket, or has given up."""
        sock, self._socket = self._socket, None
        assert sock is not None
        self._reactor._watcher.remove_writer(sock.fileno())
        try:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
            host = address_of(sock.getsockname())
            peer = address_of(sock.getpeername())  # fails if it was reset meanwhile
        except OSError as error:
            sock.close()
            self._last_error = getConnectError(error)
            self._try_next()
            return
        self._made(sock, host, peer)

    def _made(self, sock: socket.socket, host: IPv4Address | IPv6Address, peer: IPv4Address | IPv6Address) -> None:
        context = self._context.copy()
        try:
            protocol = context.run(self.factory.buildProtocol, peer)
        except BaseException as error:
            sock.close()
            if isinstance(error, ENDS_THE_PROGRAM):
                raise
            failure = Failure(error)
            log_failure(logger, failure, "buildProtocol of %r raised for %r", self.factory, peer)
            if self._state is ConnectorState.CONNECTING:
                self._fail(failure)
            return
        if self._state is not ConnectorState.CONNECTING:  # it was stopped in there
            sock.close()
            return
        self._end_attempt()
        self._move(ConnectorEvent.MADE)
        self.transport = Connection(
            self._reactor, sock, host, peer, _Nobody() if protocol is None else protocol, context, self._connection_lost
        )
        self.transport.start()

    def _timed_out(self) -> None:
        self._timer = None
        self._fail(Failure(TimeoutError(string=f"{self.host}:{self.port} did not answer within {self.timeout:g} s")))

    def _shut_down(self) -> None:
        """Stop trying now, because the reactor ends."""
        if self._state is ConnectorState.CONNECTING:
            self._fail(Failure(ConnectError(string="the reactor was shut down")))

    def _fail(self, failure: Failure) -> None:
        self._end_attempt()
        self._move(ConnectorEvent.FAILED)
        self._tell("clientConnectionFailed", failure)

    def _end_attempt(self) -> None:
        """Give back what the attempt holds."""
        self._attempt = None
        self._addresses.clear()
        for call in (self._timer, self._begin_call):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._begin_call = None
        if self._socket is not None:
            self._reactor._watcher.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._reactor._drop(self)

    def _connection_lost(self, reason: Failure) -> None:
        self.transport = None
        self._move(ConnectorEvent.LOST)
        self._tell("clientConnectionLost", reason)

    def _tell(self, what: str, reason: Failure) -> None:
        """Tell the factory, which may connect again; if it does not, it is of no more use here."""
        context = self._context.copy()
        try:
            context.run(getattr(self.factory, what), self, reason)
        except Exception:
            context.run(log_failure, logger, Failure(), "%s of %r raised", what, self.factory)
        if self._state is ConnectorState.DISCONNECTED:
            self._stop_factory()

    def _stop_factory(self) -> None:
        if self._factory_started:
            self._factory_started = False
            context = self._context.copy()
            try:
                context.run(self.factory.doStop)
            except Exception:
                context.run(log_failure, logger, Failure(), "doStop of %r raised", self.factory)

    def _move(self, event: ConnectorEvent) -> None:
        state = CONNECTOR_TRANSITIONS.get((self._state, event))
        if state is None:
            raise RuntimeError(f"{event.value} is not possible: {self!r}")
        self._state = state

    def __repr__(self) -> str:
        return f"<TCP connector to {self.host}:{self.port}, {self._state.value}, of {self.factory!r}>"


def _explain(error: Exception) -> ConnectError:
    if isinstance(error, ConnectError):
        return error
    if isinstance(error, OSError):
        return getConnectError(error)
    return ConnectError(string=str(error))  # a local name that cannot be one: UnicodeError
