"""The connections of a listening service, and their end: they may finish, then they are closed, then aborted.

A step is taken when the time of the one before is up, or earlier if somebody is in a hurry; when the last connection
has gone, that is the end. The end comes in any case: a connection that tells nothing of its own, although it was
aborted, is given up. The factory is in use until then: it is not stopped with the port, but afterwards.

Connections are known weakly, by what stands in their transports' way in (`_watched`). A protocol that puts another in
its place there, without passing on what it hears, takes the connection out of the service's sight: then it is no more
counted, and stays.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any
from weakref import WeakSet

from netcore._closing import abort
from netcore.application.internet._watched import Watched, WatchingFactory, call_at_the_end
from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.interfaces import IDelayedCall, IDrainable, IProtocolFactory, IReactorTime, provides

__all__ = ["Connections", "check_seconds"]

log = logging.getLogger("netcore.application")


class _State(Enum):
    """How far the end has come."""

    SERVING = "serving"
    FINISHING = "letting connections finish"
    CLOSING = "closing connections"
    ABORTING = "aborting connections"
    GONE = "gone"


class _Event(Enum):
    """What brings it on."""

    STOP = "the service stops"
    NEXT = "the time is up, or somebody is in a hurry"
    EMPTY = "the last connection has gone"


# A pair that is not here cannot happen.
_TRANSITIONS: dict[tuple[_State, _Event], _State] = {
    (_State.SERVING, _Event.STOP): _State.FINISHING,
    (_State.FINISHING, _Event.NEXT): _State.CLOSING,
    (_State.FINISHING, _Event.EMPTY): _State.GONE,
    (_State.CLOSING, _Event.NEXT): _State.ABORTING,
    (_State.CLOSING, _Event.EMPTY): _State.GONE,
    (_State.ABORTING, _Event.NEXT): _State.GONE,
    (_State.ABORTING, _Event.EMPTY): _State.GONE,
}


def check_seconds(drain: float | None, grace: float) -> None:
    """Raises: ValueError: they are no seconds that can be waited for."""
    for name, seconds in (("drain", drain), ("grace", grace)):
        if seconds is not None and not 0 <= seconds < math.inf:
            raise ValueError(f"{name} is 0 or more seconds, not {seconds!r}")


class _LongerUsed(WatchingFactory):
    """A factory that connections use after the port does not any more."""

    def doStop(self) -> None:
        self._watcher.at_the_end(super().doStop)


class Connections:
    """Those that were made to a service between one start and the next.

    Args:
        whose: the service, for the log.
        factory: the user's.
        drain: seconds in which they may finish.
        grace: seconds between closing and aborting.
        clock: whose seconds.
    """

    def __init__(
        self, whose: object, factory: IProtocolFactory, drain: float, grace: float, clock: IReactorTime
    ) -> None:
        self._whose = whose
        self._factory = factory
        self._seconds = {_State.FINISHING: drain, _State.CLOSING: grace, _State.ABORTING: grace}
        self._clock = clock
        self._connections: WeakSet[Watched] = WeakSet()
        self._state = _State.SERVING
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []
        self._at_the_end: list[Callable[[], object]] = []

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def factory(self) -> Any:
        """What to listen with."""
        return _LongerUsed(self._factory, self)

    def close(self) -> None:
        """Take no more of them; call it before the port is closed, and `end` after that."""
        self._move(_Event.STOP)

    def end(self) -> None:
        """Have them end."""
        self._tell()
        self._go_on()

    def at_the_end(self, call: Callable[[], object]) -> None:
        """Call *call* when all have gone; at once, if they are not to end or have."""
        if self._state in self._seconds:
            self._at_the_end.append(call)
        else:
            call()

    def whenGone(self) -> Deferred[None]:
        """After `close`: a Deferred that fires when all have gone, or were given up."""
        gone: Deferred[None] = Deferred()
        if self._state is _State.GONE:
            gone.callback(None)
        else:
            self._waiting.append(gone)
        return gone

    def hurry(self) -> None:
        """Take the next step now. Nothing happens before `close`, and when all have gone."""
        if self._state in self._seconds:
            self._next()

    # The steps.

    def _go_on(self) -> None:
        """See what is to be waited for in this state."""
        if self._timer is not None or self._state is _State.GONE:  # in a hurry, as somebody who was told may be
            return
        if not self._connections:
            self._end(_Event.EMPTY)
            return
        seconds = self._seconds[self._state]
        log.info("%r: %s, %d, for %g s", self._whose, self._state.value, len(self), seconds)
        self._timer = self._clock.callLater(seconds, self._next)

    def _next(self) -> None:
        self._stop_timer()
        if self._state is _State.ABORTING:
            log.warning("%r: %d connections were aborted, and do not say that they are", self._whose, len(self))
            self._end(_Event.NEXT)
            return
        aborting = self._state is _State.CLOSING
        self._move(_Event.NEXT)
        for watched in self:
            transport = watched.transport
            if aborting:
                call_at_the_end(abort, transport)
            else:
                call_at_the_end(transport.loseConnection)
        self._go_on()

    def _end(self, event: _Event) -> None:
        self._stop_timer()
        self._move(event)
        calls, self._at_the_end = self._at_the_end, []
        for call in calls:
            call_at_the_end(call)
        waiting, self._waiting = self._waiting, []
        for gone in waiting:
            gone.callback(None)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _tell(self) -> None:
        """Tell those who want to know."""
        self._tell_one(self._factory, "wrappedFactory")
        for watched in self:
            self._tell_one(watched.protocol, "wrappedProtocol")

    def _tell_one(self, thing: Any, within: str) -> None:
        """Tell *thing*, or the first that wants to know of what it wraps as *within*."""
        while thing is not None and not provides(thing, IDrainable):
            thing = getattr(thing, within, None)
        if thing is not None:
            call_at_the_end(thing.drain, self._seconds[_State.FINISHING])

    def __iter__(self) -> Iterator[Watched]:
        """Those that stand, each when its turn comes: one may end another."""
        for watched in list(self._connections):
            if not watched.lost:
                yield watched

    def _move(self, event: _Event) -> None:
        state = _TRANSITIONS.get((self._state, event))
        if state is None:
            raise RuntimeError(f"{event.value}: not possible when {self._state.value}")
        self._state = state

    # What becomes of connections.

    def refuses(self) -> bool:
        """Whether a connection comes too late."""
        return self._state is not _State.SERVING

    def came(self, watched: Watched) -> bool:
        """A connection stands. Returns whether it is wanted."""
        self._connections.add(watched)
        return self._state is _State.SERVING

    def leaves(self, watched: Watched) -> None:
        """A connection was lost, and its protocol is to hear of it."""

    def gone(self, watched: Watched, reason: Failure) -> None:
        """It has heard."""
        self._connections.discard(watched)
        if not self._connections and self._timer is not None:
            self._end(_Event.EMPTY)
        del reason  # this frame may be in the traceback that it holds
