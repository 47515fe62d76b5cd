"""Services that listen.

What a listening service owns is its port. By default, as in Twisted, connections that were made stay when it stops:
they belong to their protocols, and end with the reactor at the latest. A service that is told how long to wait for
them (*drain*) ends them: see `_draining`.
"""

from __future__ import annotations

import logging
from typing import Any

from netcore._current import current_reactor
from netcore._log import log_failure
from netcore.application.internet._draining import Connections, check_seconds
from netcore.application.service import Service
from netcore.defer import CancelledError, Deferred
from netcore.failure import Failure
from netcore.interfaces import IAddress, IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint

__all__ = ["GRACE", "DrainingService", "StreamServerEndpointService", "after"]

log = logging.getLogger("netcore.application")

GRACE = 5.0
"""Seconds from closing a connection to aborting it: for what was written to be sent, and the peer to close."""


class DrainingService(Service):
    """A service with connections, which it may end. *drain* and *grace* as of `StreamServerEndpointService`."""

    def __init__(self, drain: float | None, grace: float) -> None:
        check_seconds(drain, grace)
        self._drain = drain
        self._grace = grace
        # Those of the present start come last; before are those of earlier ones which have not all gone.
        self._runs: list[Connections] = []
        self._accepting: Connections | None = None

    @property
    def connections(self) -> int | None:
        """How many stand, those included that are to end; None without *drain*: then they are not the service's."""
        return None if self._drain is None else sum(map(len, self._runs))

    def hurry(self) -> None:
        """While connections are to end, take the next step now: close them, or if that was done abort them."""
        for run in list(self._runs):
            if run is not self._accepting:
                run.hurry()

    def _accept(self, factory: IProtocolFactory, clock: IReactorTime | None) -> Any:
        """What to listen with, for *factory*."""
        if self._drain is None:
            return factory
        if self._accepting is not None:  # whose connections nobody would end
            raise RuntimeError(f"{self!r} listens already: stop it first")
        if clock is None:
            clock = current_reactor()
        self._accepting = Connections(self, factory, self._drain, self._grace, clock)
        self._runs.append(self._accepting)
        return self._accepting.factory

    def _accept_nothing(self) -> None:
        """It could not listen, after `_accept`."""
        run, self._accepting = self._accepting, None
        if run is not None:
            self._runs.remove(run)

    def _take_no_more(self) -> Connections | None:
        """The port is about to be closed.

        Returns: what `_end_connections` is to end when that has begun. (Whoever is called meanwhile may stop the
            service too, and start it again.)
        """
        run, self._accepting = self._accepting, None
        if run is not None:
            run.close()
        return run

    def _end_connections(self, run: Connections | None) -> Deferred[None] | None:
        """Have those of *run* end.

        Returns: Deferred firing when all have gone, those of earlier runs too; None if there is nothing to wait for.
        """
        if run is not None:
            run.end()
            run.whenGone().addCallback(lambda _: self._runs.remove(run))
        gone: Deferred[None] | None = None
        for each in self._runs:
            if each is not self._accepting:  # see `_take_no_more`
                gone = after(gone, each.whenGone())
        return gone


def after(first: Deferred[Any] | None, then: Deferred[Any] | None) -> Deferred[Any] | None:
    """*first*, once *then*, which never fails, has fired as well; both may be None."""
    if first is None or then is None:
        return then if first is None else first
    return first.addBoth(lambda result: then.addCallback(lambda _: result))


class StreamServerEndpointService(DrainingService):
    """Listens on an endpoint while it runs: from `privilegedStartService` on if that is called, else from
    `startService`.

    A port that cannot be opened is logged; `strports.service` makes one that raises instead, so that the program does
    not start.

    Args:
        endpoint: where to listen.
        factory: what builds the protocols.
        drain: what becomes of connections when the service stops. None: they stay, as in Twisted. A number: they may
            finish for so many seconds (protocols that want to know provide `IDrainable`); those that stand then are
            closed (``loseConnection``), and aborted *grace* seconds later (``abortConnection``). *factory* is stopped
            (``doStop``) when they have gone. A connection whose protocol puts another in its place on the transport is
            no more counted, and stays.
        grace: as said.
        clock: whose seconds; default: this thread's reactor.
    Raises: ValueError: negative seconds.
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        *,
        drain: float | None = None,
        grace: float = GRACE,
        clock: IReactorTime | None = None,
    ) -> None:
        super().__init__(drain, grace)
        self.endpoint = endpoint
        self.factory = factory
        self._clock = clock
        self._raiseSynchronously = False
        self._listening: Deferred[IListeningPort | None] | None = None  # None: stopped

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.endpoint!r}>"

    def privilegedStartService(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError: only if made by `strports.service`. RuntimeError: with *drain*, it
            listens already.
        """
        super().privilegedStartService()
        raised: list[Failure] = []

        def failed(failure: Failure) -> None:
            if self._raiseSynchronously and listening is None:
                raised.append(failure)
            elif not failure.check(CancelledError):
                log_failure(log, failure, "cannot listen on %r", self.endpoint)

        listening: Deferred[IListeningPort | None] | None = None
        factory = self._accept(self.factory, self._clock)
        try:
            listening = self.endpoint.listen(factory).addErrback(failed)
            if raised:
                raised.pop().raiseException()  # this frame is in its traceback
        except BaseException:
            self._accept_nothing()
            raise
        self._listening = listening

    def startService(self) -> None:
        """Listen, unless `privilegedStartService` did.

        Raises: netcore.error.CannotListenError: only if made by `strports.service`.
        """
        if self._listening is None:
            self.privilegedStartService()
        super().startService()

    def getHost(self) -> IAddress:
        """Where it listens: of port 0, for example, which one that was in the end.

        Raises: RuntimeError: it does not listen, or not yet.
        """
        port: IListeningPort | None = None
        if self._listening is not None and self._listening.called:
            port = self._listening.result
        if port is None:
            raise RuntimeError(f"{self!r} does not listen: it is not started, or its port is not open")
        return port.getHost()

    def stopService(self) -> Deferred[Any] | None:
        """Listen no more. Connections stay, or end: see *drain*.

        It may be started again before that is over: then there are new connections, while the old ones end.

        Returns: Deferred firing when the port is closed, what runs in scopes of the service has ended (it is cancelled
            at once), and connections that are to end have gone; or None if there is nothing to wait for.
        """
        ending = super().stopService()
        run = self._take_no_more()
        closed: Deferred[Any] | None
        listening, closed = self._listening, None
        self._listening = None
        if listening is not None:
            listening.cancel()
            closed = listening.addCallback(lambda port: None if port is None else port.stopListening())
        return after(after(closed, ending), self._end_connections(run))
