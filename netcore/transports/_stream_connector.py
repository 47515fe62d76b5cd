"""Making stream connections. `Connector` in `tcp` and in `unix` say with whom.

A connector moves DISCONNECTED → CONNECTING → CONNECTED → DISCONNECTED, or back from CONNECTING when it fails, and may
be sent round again by `connect`. All of CONNECTING is within one time limit.

The factory is told synchronously what it asked for itself (`connect` → startedConnecting, `stopConnecting` →
clientConnectionFailed); everything else it hears from the loop.
"""

from __future__ import annotations

import logging
import socket
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.error import ConnectError, NotConnectingError, TimeoutError, UserError
from netcore.failure import Failure
from netcore.interfaces import IDelayedCall, IProtocolFactory
from netcore.transports._states import CONNECTOR_TRANSITIONS, ConnectorEvent, ConnectorState
from netcore.transports._stream import StreamTransport

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["StreamConnector"]

logger = logging.getLogger("netcore.transports")


class _Nobody:
    """The protocol of a connection that the factory did not want."""

    def makeConnection(self, transport: StreamTransport) -> None:
        transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        pass  # pragma: no cover - a closing connection is not read

    def connectionLost(self, reason: Failure) -> None:
        pass


class StreamConnector:
    """One outgoing connection, being made or standing.

    Args:
        reactor: whose loop watches the socket.
        factory: a ClientFactory: what it is told is beyond IProtocolFactory.
        timeout: seconds for the whole of an attempt; None: any number.
    Attributes: *factory*, *timeout*, as asked for; *state*, "disconnected", "connecting" or "connected"; *transport*,
        the connection that stands, or None.
    Threading: the reactor's thread only.
    """

    def __init__(self, reactor: Reactor, factory: IProtocolFactory, timeout: float | None) -> None:
        self.factory: Any = factory
        self.timeout = timeout
        self.transport: StreamTransport | None = None
        self._reactor = reactor
        self._context = copy_context()
        self._state = ConnectorState.DISCONNECTED
        self._factory_started = False
        self._timer: IDelayedCall | None = None
        self._begin_call: IDelayedCall | None = None

    # What kinds of connectors differ in.

    def getDestination(self) -> Any:
        """The address it connects to, as asked for."""
        raise NotImplementedError

    def _look(self) -> None:
        """Begin an attempt, which ends in a call of `_made` or `_fail`, unless `_abandon` is called first."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Give back what the attempt holds; there may be nothing."""
        raise NotImplementedError

    def _connection(
        self, sock: socket.socket, host: Any, peer: Any, protocol: Any, context: Context
    ) -> StreamTransport:
        """The transport of the connection, which calls `_connection_lost`."""
        raise NotImplementedError

    def _target(self) -> str:
        """What it connects to, in a word."""
        raise NotImplementedError

    @property
    def state(self) -> str:
        """In a word."""
        return self._state.value

    # What the application asks for.

    def connect(self) -> None:
        """Try (again) to connect. If it raises anything, it has not begun to.

        Raises: RuntimeError: it is connecting or connected. ValueError: *timeout* is negative or NaN.
            ReactorNotRunning: the reactor was disposed of. What the factory's ``doStart`` or ``startedConnecting``
            raised.
        """
        self._move(ConnectorEvent.CONNECT)
        try:
            if self.timeout is not None:
                self._timer = self._reactor.callLater(self.timeout, self._timed_out)
            self._begin_call = self._reactor.callLater(0, self._begin)
            self._reactor._keep(self)
            if not self._factory_started:
                self.factory.doStart()
                self._factory_started = True
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

    # The attempt.

    def _begin(self) -> None:
        self._begin_call = None
        if self._reactor._refusing:
            self._fail(Failure(ConnectError(string="the reactor is shutting down")))
        else:
            self._look()

    def _made(self, sock: socket.socket, host: Any, peer: Any) -> None:
        """*sock* is connected."""
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
        self.transport = self._connection(sock, host, peer, _Nobody() if protocol is None else protocol, context)
        self.transport.start()

    def _timed_out(self) -> None:
        self._timer = None
        self._fail(Failure(TimeoutError(string=f"{self._target()} did not answer within {self.timeout:g} s")))

    def _shut_down(self) -> None:
        """Stop trying now, because the reactor ends."""
        if self._state is ConnectorState.CONNECTING:
            self._fail(Failure(ConnectError(string="the reactor was shut down")))

    def _fail(self, failure: Failure) -> None:
        self._end_attempt()
        self._move(ConnectorEvent.FAILED)
        self._tell("clientConnectionFailed", failure)

    def _end_attempt(self) -> None:
        for call in (self._timer, self._begin_call):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._begin_call = None
        self._abandon()
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
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:  # CancelledError too
            context.run(log_failure, logger, Failure(), "%s of %r raised", what, self.factory)
        if self._state is ConnectorState.DISCONNECTED:
            self._stop_factory()

    def _stop_factory(self) -> None:
        if self._factory_started:
            self._factory_started = False
            context = self._context.copy()
            try:
                context.run(self.factory.doStop)
            except ENDS_THE_PROGRAM:
                raise
            except BaseException:
                context.run(log_failure, logger, Failure(), "doStop of %r raised", self.factory)

    def _move(self, event: ConnectorEvent) -> None:
        state = CONNECTOR_TRANSITIONS.get((self._state, event))
        if state is None:
            raise RuntimeError(f"{event.value} is not possible: {self!r}")
        self._state = state
