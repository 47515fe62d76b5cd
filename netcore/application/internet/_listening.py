"""Services that listen.

What a listening service owns is its port. Connections that were made stay when it stops: they belong to their
protocols, and end with the reactor at the latest.
"""

from __future__ import annotations

import logging
from typing import Any

from netcore._log import log_failure
from netcore.application.service import Service
from netcore.defer import CancelledError, Deferred
from netcore.failure import Failure
from netcore.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

__all__ = ["StreamServerEndpointService"]

log = logging.getLogger("netcore.application")


class StreamServerEndpointService(Service):
    """Listens on an endpoint while it runs: from `privilegedStartService` on if that is called, else from
    `startService`.

    A port that cannot be opened is logged; `strports.service` makes one that raises instead, so that the program does
    not start.

    Args:
        endpoint: where to listen.
        factory: what builds the protocols.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> None:
        self.endpoint = endpoint
        self.factory = factory
        self._raiseSynchronously = False
        self._listening: Deferred[IListeningPort | None] | None = None  # None: stopped

    def privilegedStartService(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError: only if made by `strports.service`.
        """
        super().privilegedStartService()
        raised: list[Failure] = []

        def failed(failure: Failure) -> None:
            if self._raiseSynchronously and listening is None:
                raised.append(failure)
            elif not failure.check(CancelledError):
                log_failure(log, failure, "cannot listen on %r", self.endpoint)

        listening: Deferred[IListeningPort | None] | None = None
        listening = self.endpoint.listen(self.factory).addErrback(failed)
        if raised:
            raised[0].raiseException()
        self._listening = listening

    def startService(self) -> None:
        """Listen, unless `privilegedStartService` did.

        Raises: netcore.error.CannotListenError: only if made by `strports.service`.
        """
        if self._listening is None:
            self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[Any] | None:
        """Listen no more. Connections stay.

        Returns: Deferred firing when the port is closed and what runs in scopes of the service has ended, or None if
            there is nothing to wait for.
        """
        ending = super().stopService()
        listening, self._listening = self._listening, None
        if listening is None:
            return ending
        listening.cancel()
        closed = listening.addCallback(lambda port: None if port is None else port.stopListening())
        return closed if ending is None else closed.addBoth(lambda result: ending.addCallback(lambda _: result))
