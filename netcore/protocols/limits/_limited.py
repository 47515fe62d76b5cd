"""The wrapper that keeps one connection to the limits.

What holds:

- ``_phase`` says what is waited for, ``_since`` since when. The clock is read when the phase changes, and not for each
  byte that comes.
- There is one timer per connection. ``_due``, when it comes up, is never after the next deadline. It may be before:
  then it finds nothing to do and is set anew. So a deadline that becomes a later one, as with every answer, costs
  nothing, and a connection that is in use is looked at once in *rateWindow* seconds.
- Once a limit has closed the connection the phase is CLOSED, and the protocol hears nothing but its end.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from netcore._closing import abort
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.failure import Failure
from netcore.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    ILimitListener,
    ISSLTransport,
    provides,
)
from netcore.protocols.limits._counting import LimitExceeded, logger, peer_of
from netcore.protocols.policies import ProtocolWrapper
from netcore.protocols.policies._wrapping import never_connected

if TYPE_CHECKING:
    from netcore.protocols.limits._factory import LimitedFactory, Refused

__all__ = ["FAREWELL", "LimitedProtocol", "or_never", "requestAnswered", "requestReceived"]

FAREWELL = 1.0
"""Seconds that a peer has to take the last word, and to close."""
SLACK = 0.001
"""Seconds by which a timer may come up too early: sums of floats are not exact."""
RECORD = 64
"""Bytes that TLS adds to a short write, at most; to a long one it adds less than a hundredth (RFC 8446, 5.2)."""


class Phase(Enum):
    """What is waited for."""

    HANDSHAKE = "handshake"
    FIRST = "waiting for the first byte"
    REQUEST = "request"
    ANSWER = "answer"
    IDLE = "idle"
    CLOSED = "closed by a limit"


_HANDSHAKE, _FIRST, _REQUEST, _ANSWER, _IDLE, _CLOSED = Phase

_LIMITS = {
    _HANDSHAKE: ("handshake", "the TLS handshake was not through in time"),
    _FIRST: ("firstByte", "the peer did not begin to speak in time"),
    _REQUEST: ("request", "the peer's request was not complete in time"),
    _IDLE: ("idle", "nothing was said for too long"),
}


def requestReceived(transport: Any) -> None:
    """Say that a request is complete: its peer has nothing to do but to wait for the answer, and no time runs against
    it. For protocols to call with their transport; does nothing if that has no limits."""
    tell = getattr(transport, "requestReceived", None)
    if tell is not None:
        tell()


def requestAnswered(transport: Any) -> None:
    """Say that the answer to a request is written; once for each `requestReceived`. With the last one idle time begins,
    or the next request, if some of it has come meanwhile. For protocols to call with their transport; does nothing if
    that has no limits."""
    tell = getattr(transport, "requestAnswered", None)
    if tell is not None:
        tell()


def or_never(seconds: float | None) -> float:
    """A limit, as a number."""
    return math.inf if seconds is None else seconds


class LimitedProtocol(ProtocolWrapper):
    """One connection with limits."""

    factory: LimitedFactory
    _listens = (IHandshakeListener,)

    _peer: Any = None
    _counted = False
    _refused: Refused | None = None
    _reason: Failure | None = None  # why a limit has closed the connection

    def __init__(self, factory: LimitedFactory, wrappedProtocol: Any) -> None:
        super().__init__(factory, wrappedProtocol)
        self._limits = factory.limits
        self._idle = factory.idle
        self._soonest = factory.soonest
        self._phase = _FIRST
        self._since = 0.0
        self._paused_at: float | None = None
        self._call: IDelayedCall | None = None
        self._due = math.inf
        # Requests.
        self._aware = False  # the protocol says where they end
        self._unanswered = 0
        self._ahead = False  # some of the next one has come during an answer
        self._received = 0
        self._window_at = 0.0  # when the window for the rate began
        self._window_from = 0  # what had been received when it began
        # Output.
        self._written = self._writes = 0
        self._look_at = math.inf if factory.limits.buffer is None else factory.limits.buffer
        self._taken_by: float | None = None if factory.limits.minimumRate is not None else math.inf
        self._taken_goal = 0.0  # what is to have been taken by then
        self._mark = 0, 0  # `_writes` and `_written` before what has been written since
        self._left = 0  # what was outstanding when it was last idle

    # The connection's beginning and end.

    def makeConnection(self, transport: Any) -> None:
        """The transport stands: refuse it, or count it."""
        factory = self.factory
        clock = factory.clock
        self._clock = clock
        self._seconds = clock.seconds
        address = transport.getPeer()
        peer = peer_of(address, transport, self._limits)
        full = factory.counting.full(peer)
        if full is not None:
            self._phase = _CLOSED
            self.transport = transport
            wrapped, self.wrappedProtocol = self.wrappedProtocol, None
            never_connected(wrapped)
            self._refused = factory.refuse(full, address)
            if self._refused is None:
                abort(transport)
            else:
                self._refused.makeConnection(transport)
            return
        factory.counting.enter(peer)
        self._peer = peer
        self._counted = True
        if provides(transport, ISSLTransport):
            self._enter(_HANDSHAKE, or_never(self._limits.handshake))
        else:
            self._enter(_FIRST, or_never(self._limits.firstByte))
        super().makeConnection(transport)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection has gone, perhaps because of a limit."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        if self._counted:
            self.factory.counting.leave(self._peer)
        if self._refused is not None:
            self._refused.connectionLost(reason)
        told, self._reason = self._reason or reason, None
        self._phase = _CLOSED
        self._due = -math.inf  # whatever the protocol still does, there is no timer any more
        try:
            super().connectionLost(told)
        finally:
            del told, reason  # as there

    # The peer.

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived."""
        self._received += len(data)
        phase = self._phase
        if phase is _ANSWER:
            self._ahead = True
        elif phase is _CLOSED:
            return
        elif phase is not _REQUEST:
            self._begin_request(len(data))
        self.wrappedProtocol.dataReceived(data)

    def handshakeCompleted(self) -> None:
        """TLS is through with its handshake."""
        if self._phase is _HANDSHAKE:
            self._enter(_FIRST, or_never(self._limits.firstByte))
        if IHandshakeListener(self.wrappedProtocol, None) is not None:  # type: ignore[call-arg,misc]
            super().handshakeCompleted()

    def readConnectionLost(self) -> None:
        """The peer sends no more."""
        if self._phase in (_FIRST, _REQUEST):
            self._phase = _ANSWER
        super().readConnectionLost()

    # What the protocol says.

    def requestReceived(self) -> None:
        """A request is complete; see the function of that name."""
        if self._phase is not _CLOSED:
            self._aware = True
            self._unanswered += 1
            self._ahead = False
            self._phase = _ANSWER
        requestReceived(self.transport)  # where there are more limits

    def requestAnswered(self) -> None:
        """A request is answered; see the function of that name."""
        self._aware = True
        self._unanswered = max(0, self._unanswered - 1)
        if self._phase is _ANSWER and not self._unanswered:
            if self._ahead:
                self._ahead = False
                self._begin_request(0)
            else:
                self._enter(_IDLE, self._idle)
        requestAnswered(self.transport)

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self.transport.write(data)
        size = len(data)
        self._written += size
        self._writes += 1
        if self._written > self._look_at:
            self._look_at_buffer()
        phase = self._phase
        if phase is _IDLE or ((phase is _REQUEST or phase is _ANSWER) and not self._aware):
            self._enter(_IDLE, self._idle)
        if self._taken_by is None and phase is not _CLOSED:
            self._watch_output(self._written - size, size)
            self._mark = self._writes - 1, self._written - size

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*."""
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        """Stop reading: nothing is awaited of the peer."""
        self.transport.pauseProducing()
        if self._paused_at is None:
            self._paused_at = self._seconds()

    def resumeProducing(self) -> None:
        """Read again: time goes on where it stood still."""
        self.transport.resumeProducing()
        if self._paused_at is not None:
            now = self._seconds()
            gone, self._paused_at = now - self._paused_at, None
            # What began since the pause begins now.
            if self._phase is not _HANDSHAKE:
                self._since = min(self._since + gone, now)
            self._window_at = min(self._window_at + gone, now)
            self._expect(self._next(), now)

    # The clock.

    def _enter(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._since = self._window_at = now = self._seconds()
        if now + seconds < self._due:
            self._expect(now + seconds, now)

    def _begin_request(self, size: int) -> None:
        """Of which *size* bytes are there."""
        self._window_from = self._received - size
        self._enter(_REQUEST, self._soonest)

    def _watch_output(self, taken: float, waiting: float) -> None:
        """From now on *waiting* bytes have to be taken at the rate."""
        now = self._seconds()
        self._taken_by = when = now + self._limits.rateWindow
        self._taken_goal = taken + min(self.factory.in_window, waiting)
        self._mark = self._writes, self._written
        self._expect(when, now)

    def _next(self) -> float:
        """The next deadline."""
        when = math.inf if self._taken_by is None else self._taken_by
        if self._awaits_peer() and self._phase in _LIMITS:
            seconds = getattr(self._limits, _LIMITS[self._phase][0])
            if seconds is not None:
                when = min(when, self._since + seconds)
            if self._phase is _REQUEST and self.factory.in_window:
                when = min(when, self._window_at + self._limits.rateWindow)
        return when

    def _awaits_peer(self) -> bool:
        return (self._paused_at is None or self._phase is _HANDSHAKE) and not self.disconnecting

    def _expect(self, when: float, now: float) -> None:
        """Look again at *when*, or before."""
        if when < self._due:
            self._due = when
            if self._call is None:
                self._call = self._clock.callLater(max(0.0, when - now), self._look)
            else:
                self._call.reset(max(0.0, when - now))

    def _look(self) -> None:
        """Time has passed: see whether there is anything that has taken too long."""
        self._call = None
        self._due = math.inf
        if self._phase is _CLOSED:
            abort(self.transport)
            return
        now = self._seconds()
        exceeded = self._not_sent(now) or self._not_taken_in_time(now)
        if exceeded is not None:
            self._close(*exceeded, now=now)
        else:
            self._expect(self._next(), now)

    def _not_sent(self, now: float) -> tuple[str, str, bool] | None:
        """The limit that the peer has exceeded by saying nothing, or too little; and that it is told so."""
        phase = self._phase
        if not self._awaits_peer() or phase not in _LIMITS:
            return None
        limit, what = _LIMITS[phase]
        seconds = getattr(self._limits, limit)
        if seconds is not None and now >= self._since + seconds - SLACK:
            left = self._outstanding() if phase is _IDLE else 0
            stuck = left == self._left and not self.factory.in_window  # for else the rate says so
            if not left or stuck:
                return limit, what, phase is not _HANDSHAKE
            self._since, self._left = now, left  # it may still be reading our answer
        wanted, window = self.factory.in_window, self._limits.rateWindow
        if phase is _REQUEST and wanted and now >= self._window_at + window - SLACK:
            sent = self._received - self._window_from
            if sent < wanted:
                return "minimumRate", f"the peer has sent {sent} bytes of its request in {window:g} s", True
            self._window_at, self._window_from = now, self._received
        return None

    def _not_taken_in_time(self, now: float) -> tuple[str, str, bool] | None:
        """The same, for what it was sent."""
        if self._taken_by is None or now < self._taken_by - SLACK:
            return None
        self._taken_by = None
        outstanding = self._outstanding()
        if not outstanding:
            return None
        missing = self._taken_goal - (self._written - outstanding)
        if missing > 0 and provides(self.transport, ISSLTransport):
            # What is outstanding is encrypted, and more than what we wrote.
            writes, written = self._mark
            missing -= RECORD * (self._writes - writes) + (self._written - written) / 100
        if missing > 0:
            what = f"{outstanding} bytes wait to be taken, and the peer has taken too little of them"
            return "minimumRate", f"{what} in {self._limits.rateWindow:g} s", False
        self._watch_output(self._written - outstanding, outstanding)
        return None

    def _outstanding(self) -> int:
        """How much the peer has not taken of what we wrote."""
        ask = getattr(self.transport, "_not_taken", None)
        return 0 if ask is None else ask()

    def _look_at_buffer(self) -> None:
        ask = getattr(self.transport, "_waiting_to_be_sent", None)
        waiting = (ask() if ask is not None else 0) or 0
        limit = self._limits.buffer
        assert limit is not None
        # As long as no more than what there is room for is written, there is no need to look again.
        self._look_at = self._written + limit - waiting
        if waiting > limit and self._phase is not _CLOSED:
            self._close("buffer", f"{waiting} bytes would wait to be sent", False, now=self._seconds())

    def _close(self, limit: str, what: str, tell: bool, *, now: float) -> None:
        """Close the connection; if *tell*, with a last word of the protocol's."""
        error = LimitExceeded(limit, getattr(self._limits, limit), what)
        self._reason = Failure(error)
        self._phase = _CLOSED
        counting = self.factory.counting
        counting.closed[limit] += 1
        counting.log(logging.INFO, now, limit, "closed the connection of %s: %s", self.transport.getPeer(), error)
        written = self._written
        try:
            if tell:
                self._say_goodbye(error)
        finally:
            if self._written == written:
                abort(self.transport)
            else:
                self.loseConnection()
                self._expect(now + FAREWELL, now)

    def _say_goodbye(self, error: LimitExceeded) -> None:
        listener = ILimitListener(self.wrappedProtocol, None)  # type: ignore[call-arg,misc]
        if listener is not None:
            try:
                listener.limitExceeded(error)
            except ENDS_THE_PROGRAM:
                raise
            except BaseException:
                log_failure(logger, Failure(), "limitExceeded of %r raised", self.wrappedProtocol)
