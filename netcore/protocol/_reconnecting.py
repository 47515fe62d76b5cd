"""A client that comes back."""

from __future__ import annotations

import logging
import math
import random
from typing import Generic

from netcore._current import current_reactor
from netcore.error import NotConnectingError
from netcore.failure import Failure
from netcore.interfaces import IConnector, IDelayedCall, IReactorTime
from netcore.protocol._factories import ClientFactory, P

__all__ = ["ReconnectingClientFactory"]

log = logging.getLogger("netcore.protocol")


class ReconnectingClientFactory(ClientFactory[P], Generic[P]):
    """Connects again when a connection was lost or could not be made: soon at first, then after longer and longer
    delays, which differ at random, so that many clients of one server do not all come back at once.

    Call `resetDelay` when a connection is good (in ``buildProtocol``, or once the peer has said something sensible);
    call `stopTrying` when it was the last one. Who overrides `clientConnectionFailed` or `clientConnectionLost` calls
    the one here as well.
    """

    maxDelay: float = 3600
    """Seconds that a delay is at most, before `jitter`."""
    initialDelay: float = 1.0
    """Seconds that the first delay is."""
    factor: float = math.e
    """By which each delay is longer than the one before."""
    jitter: float | None = 0.119626565582  # as in Twisted
    """The standard deviation of a delay, as a share of it; None or 0: none."""
    delay: float = initialDelay
    """Seconds that the next delay will be, before `jitter`."""
    retries: int = 0
    """How many times in a row it was tried again."""
    maxRetries: int | None = None
    """How many times in a row it is tried again at most; None: any number."""
    connector: IConnector | None = None
    """What connects: the one that was heard of last."""
    clock: IReactorTime | None = None
    """What delays are measured by; None: this thread's reactor."""
    continueTrying: int = 1
    """0 after `stopTrying`: nothing is tried again then. To go on set it to 1, or call `resetDelay`."""

    _waiting: dict[IConnector, IDelayedCall] | None = None

    def startedConnecting(self, connector: IConnector) -> None:
        """An attempt begins: `stopTrying` can end it, the first one too. If it was begun by hand, the one that waits is
        dropped."""
        self.connector = connector
        self._forget(connector)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Try again, later."""
        if self.continueTrying:
            self.connector = connector
            self.retry()

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """Connect again, later."""
        if self.continueTrying:
            self.connector = connector
            self.retry()

    def retry(self, connector: IConnector | None = None) -> None:
        """Have *connector* connect after the next delay, instead of when it was to do that before, if it was.

        Does nothing after `stopTrying`, or `maxRetries` in a row.

        Args:
            connector: default: the one that was heard of last.
        Raises: ValueError: there is none.
        """
        if not self.continueTrying:
            self._say("%r does not try again: it was stopped", self)
            return
        if connector is None:
            connector = self.connector
            if connector is None:
                raise ValueError(f"{self!r} has heard of no connector yet: give retry() the one that is to connect")
        self.retries += 1
        if self.maxRetries is not None and self.retries > self.maxRetries:
            self._say("%r gives up after %d retries", self, self.maxRetries)
            return
        delay = min(self.delay, self.maxDelay)
        if self.jitter:  # abs: with much jitter it could be negative
            delay = abs(random.normalvariate(delay, delay * self.jitter))
        self.delay = min(delay * self.factor, self.maxDelay)
        self._say("%r will try again in %.3g seconds", connector, delay)
        self._forget(connector)
        clock = current_reactor() if self.clock is None else self.clock
        if self._waiting is None:
            self._waiting = {}
        self._waiting[connector] = clock.callLater(delay, self._reconnect, connector)

    def stopTrying(self) -> None:
        """Try no more: what waits is cancelled, and an attempt under way stopped. A connection that stands goes on; it
        is not made again."""
        self.continueTrying = 0
        for connector in list(self._waiting or ()):
            self._forget(connector)
        if self.connector is not None:
            try:
                self.connector.stopConnecting()
            except NotConnectingError:
                pass

    def resetDelay(self) -> None:
        """Begin anew with `initialDelay`, and count `retries` from 0. As in Twisted, that undoes `stopTrying`."""
        self.delay = self.initialDelay
        self.retries = 0
        self.continueTrying = 1

    def _reconnect(self, connector: IConnector) -> None:
        self._forget(connector)
        connector.connect()

    def _forget(self, connector: IConnector) -> None:
        """*connector* does not connect later any more."""
        call = (self._waiting or {}).pop(connector, None)
        if call is not None and call.active():
            call.cancel()

    def _say(self, message: str, *args: object) -> None:
        if self.noisy:
            log.info(message, *args)
