"""`ClientService`: the machine that runs the table in `_client_states`.

Events that come while another is being dealt with wait until that is through: each action sees the state it was made
for, and an endpoint that answers at once causes no recursion. What users wait for fires after that, so that their
callbacks may call the service as anybody else may.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from netcore._current import current_reactor
from netcore._log import ENDS_THE_PROGRAM, log_failure, traceback_shown
from netcore.application.internet._attempt import Attempt
from netcore.application.internet._backoff import backoffPolicy
from netcore.application.internet._client_states import TRANSITIONS, Action, Event, State
from netcore.application.service import Service
from netcore.defer import CancelledError, Deferred
from netcore.error import ConnectError, ConnectionClosed
from netcore.failure import Failure
from netcore.interfaces import IDelayedCall, IProtocolFactory, IReactorTime, IStreamClientEndpoint

__all__ = ["ClientService"]

log = logging.getLogger("netcore.application")

_default_policy = backoffPolicy()


class ClientService(Service):
    """Keeps one connection to an endpoint while it runs: makes it anew when it is lost, and tries again when that
    fails.

    There are never two connections: the next attempt begins after the last connection has gone. (Its end is noticed
    where the protocol's ``connectionLost`` is called: one that puts another in its place on the transport keeps the
    service from that.) An outage is logged once for each kind of failure.

    Args:
        endpoint: where to connect.
        factory: what builds the protocols.
        retryPolicy: called with how many attempts have failed in a row, the loss of a connection being the first;
            returns the seconds until the next. Default: `backoffPolicy`. One that raises, or returns no number of
            seconds, is logged, and the default holds.
        clock: whose seconds; default: this thread's reactor.
        prepareConnection: called with each new connection's protocol before others get it from `whenConnected`: to log
            in, say. May return a Deferred or coroutine. If it fails, the connection is closed, and that counts as a
            failed attempt. It is cancelled if the connection is lost meanwhile, or the service stopped.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        factory: IProtocolFactory,
        retryPolicy: Callable[[int], float] | None = None,
        clock: IReactorTime | None = None,
        prepareConnection: Callable[[Any], Any] | None = None,
    ) -> None:
        for name, given in (("retryPolicy", retryPolicy), ("prepareConnection", prepareConnection)):
            if given is not None and not callable(given):
                raise TypeError(f"{name} is a function, or None, not {given!r}")
        self._endpoint = endpoint
        self._factory = factory
        self._policy = retryPolicy
        self._clock = clock
        self._prepare = prepareConnection
        self._state = State.STOPPED
        self._events: deque[tuple[Event, Any]] = deque()
        self._busy = False
        self._results: deque[tuple[Deferred[Any], Any]] = deque()  # what is to fire when no event is left
        self._attempt: Attempt | None = None
        self._failures = 0  # attempts in a row
        self._told: set[type[BaseException]] = set()  # which failures were logged, since there was a connection
        self._timer: IDelayedCall | None = None
        self._waiters: dict[Deferred[Any], int | None] = {}  # how many failures each has left
        self._stops: list[Deferred[None]] = []
        self._refusing = False  # it was stopped, and not started since
        self._context: Context  # of `startService`: attempts are made in copies

    def __repr__(self) -> str:
        return f"<ClientService to {self._endpoint!r}: {self._state.value}>"

    def startService(self) -> None:
        """Connect. While it still stops, that is done when the old connection has gone. If it runs, does nothing."""
        if self.running:
            log.warning("%r was started, though it runs", self)
            return
        super().startService()
        self._refusing = False
        self._context = copy_context()
        self._handle(Event.START)

    def stopService(self) -> Deferred[None]:
        """Close the connection, or end the attempt to make one. Those who wait for a connection get CancelledError.

        Returns: Deferred firing when the connection has gone, and what runs in scopes of the service has ended.
        """
        ending = super().stopService()
        self._refusing = True
        stopped: Deferred[None] = Deferred()
        self._stops.append(stopped)
        self._handle(Event.STOP)
        return stopped if ending is None else stopped.addCallback(lambda _: ending)

    def whenConnected(self, failAfterFailures: int | None = None) -> Deferred[Any]:
        """The connection, or the next one if there is none now.

        Args:
            failAfterFailures: how many attempts may fail from now on, the one that is under way included, the last of
                them being the failure of this Deferred; None: any number.
        Returns: Deferred firing with the protocol that the factory built, once it is connected and prepared. Cancelling
            it ends the wait, and nothing else.
        Raises: ValueError: *failAfterFailures* is less than 1.
        Fails with: CancelledError: the service was stopped. What the attempt failed with, such as a
            netcore.error.ConnectError.
        """
        if failAfterFailures is not None and failAfterFailures < 1:
            raise ValueError(f"failAfterFailures is 1 or more, or None for any number; not {failAfterFailures!r}")
        wanted: Deferred[Any] = Deferred(lambda cancelled: self._waiters.pop(cancelled, None))
        if self._state is State.CONNECTED and self._attempt is not None and self._attempt.stands:
            wanted.callback(self._attempt.protocol)
        elif self._state is State.STOPPED and self._refusing:
            wanted.errback(CancelledError("the service was stopped"))
        else:
            self._waiters[wanted] = failAfterFailures
        return wanted

    # The machine.

    def _handle(self, event: Event, value: Any = None) -> None:
        self._events.append((event, value))
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                event, value = self._events.popleft()
                if event in _OF_AN_ATTEMPT and (self._attempt is None or self._attempt.abandoned):
                    continue
                for action in self._move(event):
                    _DO[action](self, value)
        finally:
            self._busy = False
            del value  # as in `_fire`
        self._fire()

    def _move(self, event: Event) -> tuple[Action, ...]:
        try:
            self._state, actions = TRANSITIONS[self._state, event]
        except KeyError:
            raise RuntimeError(f"{event.value}: not possible for {self!r}") from None
        return actions

    def _fire(self) -> None:
        while self._results:
            deferred, result = self._results.popleft()
            if deferred.called:  # cancelled by the callback of another
                pass
            elif isinstance(result, Failure):
                deferred.errback(result)
            else:
                deferred.callback(result)
            del deferred, result  # this frame may be in the traceback of what its callbacks raise

    # The actions.

    def _connect(self, _: Any) -> None:
        attempt = self._attempt = Attempt(self._handle)
        self._context.copy().run(attempt.connect, self._endpoint, self._factory)

    def _prepare_connection(self, _: Any) -> None:
        assert self._attempt is not None
        self._context.copy().run(self._attempt.prepare, self._prepare)

    def _leave(self, _: Any) -> None:
        assert self._attempt is not None
        self._attempt.leave()

    def _wait(self, _: Any) -> None:
        self._attempt = None
        self._failures += 1
        delay = self._delay()
        clock = self._clock if self._clock is not None else current_reactor()
        self._timer = clock.callLater(delay, self._due)

    def _delay(self) -> float:
        if self._policy is not None:
            try:
                delay = self._policy(self._failures)
                if 0 <= delay < math.inf:
                    return delay
                raise ValueError(f"a delay is 0 or more seconds, not {delay!r}")
            except ENDS_THE_PROGRAM:
                raise
            except BaseException:  # CancelledError too
                log_failure(log, Failure(), "%r was asked for a delay by %r", self._policy, self)
        return _default_policy(self._failures)

    def _due(self) -> None:
        self._timer = None
        self._handle(Event.DUE)

    def _wait_no_more(self, _: Any) -> None:
        if self._timer is not None and self._timer.active():  # a reactor that is disposed of cancels its timers
            self._timer.cancel()
        self._timer = None

    def _give(self, _: Any) -> None:
        assert self._attempt is not None
        self._failures = 0
        if self._told:
            self._told.clear()
            log.info("connected to %r again", self._endpoint)
        waiters, self._waiters = self._waiters, {}
        self._results.extend((waiter, self._attempt.protocol) for waiter in waiters)

    def _count(self, failure: Failure) -> None:
        if failure.type not in self._told:  # each kind is told once, not each minute
            self._told.add(failure.type)
            self._tell(failure)
        waiters, self._waiters = self._waiters, {}
        for waiter, left in waiters.items():
            if left is None:
                self._waiters[waiter] = None
            elif left > 1:
                self._waiters[waiter] = left - 1
            else:
                self._results.append((waiter, failure))
        del failure  # as in `_fire`

    def _tell(self, failure: Failure) -> None:
        what, told = failure.type.__name__, None
        if not failure.check(*_EXPECTED):  # that is a mistake in `prepareConnection`, the factory or the endpoint
            told = (failure.type, failure.value, traceback_shown(failure))
        log.warning("no connection to %r: %s: %s", self._endpoint, what, failure.getErrorMessage(), exc_info=told)
        del failure, told  # as in `_fire`

    def _disappoint(self, _: Any) -> None:
        waiters, self._waiters = self._waiters, {}
        self._results.extend((waiter, Failure(CancelledError("the service was stopped"))) for waiter in waiters)

    def _tell_stopped(self, _: Any) -> None:
        self._attempt = None
        self._failures = 0
        self._told.clear()
        stops, self._stops = self._stops, []
        self._results.extend((stopped, None) for stopped in stops)


_EXPECTED = (ConnectError, ConnectionClosed, OSError, CancelledError)  # failures that say nothing about the program

_OF_AN_ATTEMPT = {Event.MADE, Event.FAILED, Event.PREPARED, Event.REJECTED}

_DO: dict[Action, Callable[[ClientService, Any], None]] = {
    Action.CONNECT: ClientService._connect,
    Action.PREPARE: ClientService._prepare_connection,
    Action.LEAVE: ClientService._leave,
    Action.WAIT: ClientService._wait,
    Action.WAIT_NO_MORE: ClientService._wait_no_more,
    Action.GIVE: ClientService._give,
    Action.COUNT: ClientService._count,
    Action.DISAPPOINT: ClientService._disappoint,
    Action.TELL_STOPPED: ClientService._tell_stopped,
}
