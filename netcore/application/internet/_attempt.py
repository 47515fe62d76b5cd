"""One attempt of a `ClientService` to connect, and the connection that comes of it.

It reports what happens, in this order at most: MADE or FAILED; after MADE, if it is asked to prepare the connection,
PREPARED or REJECTED; at the end ENDED, once, when nothing is left of it: the endpoint has answered, and every
connection that it has made has gone, protocols' ``connectionLost`` included. Once it was told to `leave`, it reports
nothing but that. (What it reported before may not have been heard yet: it has no meaning any more.)

Endpoints may take their time to obey a cancellation, answer all the same, connect afterwards, fail while a connection
of theirs stands, or lose it before they answer: that is what the care here is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netcore.application.internet._client_states import Event
from netcore.application.internet._watched import Watched, WatchingFactory, call_at_the_end
from netcore.defer import Deferred, maybeDeferred
from netcore.error import ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IProtocolFactory, IStreamClientEndpoint

__all__ = ["Attempt"]

Report = Callable[[Event, Any], None]


class Attempt:
    """See above.

    Args:
        report: called with what happens, and with a Failure: of FAILED and REJECTED the reason, of ENDED that for which
            the connection was lost, if there was one. Else with None.
    Attributes: *protocol*, the user's, from MADE on; *abandoned*, whether it was told to `leave`, or has ended.
    """

    def __init__(self, report: Report) -> None:
        self.protocol: Any = None
        self._report = report
        self._connecting: Deferred[Any] | None = None
        self._preparing: Deferred[Any] | None = None
        self._standing: list[Watched] = []
        self._leaving: list[Watched] = []  # those whose `connectionLost` is being called
        self._given: Watched | None = None
        self._reason: Failure | None = None  # for which that was lost
        self.abandoned = False
        self._ended = False

    @property
    def stands(self) -> bool:
        """Whether there is a connection, which is not just telling its protocol that it is lost."""
        return self._given is not None and not self._given.lost

    def connect(self, endpoint: IStreamClientEndpoint, factory: IProtocolFactory) -> None:
        """Begin."""
        watching: Any = WatchingFactory(factory, self)
        connecting = self._connecting = maybeDeferred(endpoint.connect, watching)
        connecting.addCallbacks(self._made, self._failed)
        del connecting  # as in `_failed`

    def prepare(self, prepare: Callable[[Any], Any] | None) -> None:
        """Prepare the connection by calling *prepare* with the protocol."""
        if prepare is None:
            self._report(Event.PREPARED, None)
            return
        preparing = maybeDeferred(prepare, self.protocol)
        if not self.abandoned:
            self._preparing = preparing
        preparing.addCallbacks(self._prepared, self._rejected)
        if self.abandoned:  # while it was being called
            preparing.cancel()
        del preparing  # as in `_failed`

    def leave(self) -> None:
        """End it, in whatever state it is."""
        self.abandoned = True
        self._stop_preparing()
        if self._connecting is not None:
            self._connecting.cancel()
        for watched in list(self._standing):
            if not watched.lost:
                call_at_the_end(watched.transport.loseConnection)
        self._end_if_all_has_gone()

    # The endpoint's answer.

    def _made(self, protocol: Any) -> None:
        self._connecting = None
        if self.abandoned:
            self._end_if_all_has_gone()
            return
        watched: Watched | None
        if isinstance(protocol, Watched):
            watched = None if protocol.lost else protocol
            self.protocol = protocol.protocol
        else:  # an endpoint that wraps protocols in its turn
            watched = self._standing[-1] if self._standing else None
            self.protocol = protocol
        if watched is None:
            what = f"{protocol!r}, with which the endpoint answered, has no connection (any more)"
            self._report(Event.FAILED, Failure(ConnectionLost(what)))
        else:
            self._given = watched
            self._report(Event.MADE, None)

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if self.abandoned:
            self._end_if_all_has_gone()
        else:
            self._report(Event.FAILED, failure)
        del failure  # this frame may be in the traceback that it holds

    # The answer of prepareConnection.

    def _prepared(self, _: Any) -> None:
        if self._preparing is not None and self._given not in self._leaving:
            self._preparing = None
            self._report(Event.PREPARED, None)

    def _rejected(self, failure: Failure) -> None:
        if self._preparing is not None:
            self._preparing = None
            self._report(Event.REJECTED, failure)
        del failure  # as in `_failed`

    def _stop_preparing(self) -> None:
        preparing, self._preparing = self._preparing, None
        if preparing is not None:
            preparing.cancel()
        del preparing  # as in `_failed`

    # What becomes of connections.

    def refuses(self) -> bool:
        """Whether a connection would come too late."""
        return self.abandoned or self._given is not None

    def came(self, watched: Watched) -> bool:
        """A connection stands. Returns whether it is wanted."""
        self._standing.append(watched)
        return not self.abandoned and self._given in {None, watched}

    def leaves(self, watched: Watched) -> None:
        """A connection was lost, and its protocol is to hear of it."""
        self._standing.remove(watched)
        self._leaving.append(watched)

    def gone(self, watched: Watched, reason: Failure) -> None:
        """It has heard."""
        self._leaving.remove(watched)
        if watched is self._given:
            self._reason = reason
            self.leave()
        else:
            self._end_if_all_has_gone()
        del reason  # as in `_failed`

    def _end_if_all_has_gone(self) -> None:
        if self._ended or not self.abandoned or self._connecting is not None or self._standing or self._leaving:
            return
        self._ended = True
        self._given = None  # which has this one: that would be a cycle
        self._report(Event.ENDED, self._reason)
