"""One direction of one connection through a proxy: what comes from *source* goes to *sink*, under conditions.

Invariants:

- What goes through stays in order: bytes, and at most one end (FIN or RST) after them.
- ``_queue`` is empty unless conditions delay something or a black hole holds it, and takes no more than `LIMIT` bytes
  and one read. The source is paused while there is nowhere to put what it would send: so memory is bounded, and the
  peer feels what it would feel on a network.
- While a black hole is open nothing goes through, neither bytes nor ends.
- A stream with a gap is never passed on: a pipe in which something was lost says so (``broken``), and its connection is
  reset when the black hole closes.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from netcore.interfaces import IDelayedCall, IReactorTime

__all__ = ["FIN", "HOLDS", "LOSES", "RST", "Conditions", "End", "Pipe", "Tally"]

LIMIT = 64 * 1024
"""Bytes on their way, from which on no more are read."""
TICK = 0.05
"""Seconds between two pieces of what is throttled."""

End = Literal["close", "reset"]
FIN: End = "close"
RST: End = "reset"
HOLDS, LOSES = "holds", "loses"


@dataclasses.dataclass(frozen=True, slots=True)
class Conditions:
    """How a direction is.

    Attributes: *latency* and *jitter*, seconds; *rate*, bytes per second; *hole*, empty, HOLDS or LOSES; *left*, bytes
        that still go through before the connection is cut by *cut*.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    hole: str = ""
    left: int | None = None
    cut: End = RST


class Tally:
    """What has gone through one direction of all connections, and what was lost there, in bytes."""

    __slots__ = ("lost", "passed")

    def __init__(self) -> None:
        self.passed = 0
        self.lost = 0


class Pipe:
    """One direction of one connection. It is the producer of its sink.

    Args:
        clock: for delays.
        chance: for jitter.
        conditions: at first.
        tally: counts.
        cut: called when all is through that may be.
    Attributes: *conditions*; *broken*, whether something was lost.
    """

    def __init__(
        self,
        clock: IReactorTime,
        chance: random.Random,
        conditions: Conditions,
        tally: Tally,
        cut: Callable[[End], object],
    ) -> None:
        self._clock = clock
        self._chance = chance
        self.conditions = conditions
        self._left = conditions.left
        self._tally = tally
        self._cut = cut
        self.broken = False
        self._source: Any = None
        self._sink: Any = None
        self._full = False  # the sink takes no more
        self._over = False
        self._paused = False
        self._queue: deque[tuple[float, bytes | End]] = deque()
        self._queued = 0
        self._line_free = 0.0  # when what is throttled has been sent
        self._last_due = 0.0
        self._timer: IDelayedCall | None = None

    # The two ends.

    def open_from(self, transport: Any) -> None:
        """What comes, comes from *transport*."""
        self._source = transport
        self._adjust()

    def open_to(self, transport: Any) -> None:
        """What comes goes to *transport*."""
        self._sink = transport
        transport.registerProducer(self, True)
        self._pass_due()

    def pauseProducing(self) -> None:
        """The sink takes no more, for now."""
        self._full = True
        self._adjust()

    def resumeProducing(self) -> None:
        """The sink takes more."""
        self._full = False
        self._pass_due()

    def stopProducing(self) -> None:
        """The sink is gone."""
        self.stop()

    def stop(self) -> None:
        """Nothing goes through any more."""
        self._over = True
        self._disarm()
        self._queue.clear()
        self._queued = 0
        if self._sink is not None:
            self._sink.unregisterProducer()

    # What comes.

    def take(self, data: bytes) -> None:
        """The source has sent *data*."""
        conditions = self.conditions
        if self._over:
            return
        if conditions.hole == LOSES:
            self._lose(data)
        elif not self._queue and not self._delays():
            self._pass(data)
        elif conditions.rate is None:
            self._put(data)
        else:
            size = max(1, int(conditions.rate * TICK))
            for start in range(0, len(data), size):
                self._put(data[start : start + size])
        self._adjust()

    def end(self, how: End) -> None:
        """The source has ended."""
        if self._over:
            return
        if self.conditions.hole == LOSES:
            self._lose(how)
        elif not self._queue and not self._delays():
            self._pass(how)
        else:
            self._put(how)

    # How it is.

    def change(self, **fields: Any) -> None:
        """Have other conditions. What is on its way under delays that are gone, arrives now."""
        self.conditions = conditions = dataclasses.replace(self.conditions, **fields)
        if "left" in fields:
            self._left = conditions.left
        if self._over:
            return
        if conditions.hole == LOSES:
            for _, item in self._queue:
                self._lose(item)
            self._queue.clear()
            self._queued = 0
        self._disarm()
        self._pass_due()

    # Inside.

    def _delays(self) -> bool:
        conditions = self.conditions
        held = bool(conditions.hole) or self._sink is None
        return held or conditions.rate is not None or conditions.latency > 0 or conditions.jitter > 0

    def _put(self, item: bytes | End) -> None:
        conditions, sent = self.conditions, self._clock.seconds()
        size = len(item) if isinstance(item, bytes) else 0
        if conditions.rate is not None:
            sent = self._line_free = max(sent, self._line_free) + size / conditions.rate
        due = sent + conditions.latency + conditions.jitter * self._chance.random()
        self._last_due = due = max(due, self._last_due)
        self._queue.append((due, item))
        self._queued += size
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._queue and self._sink is not None and not self.conditions.hole:
            delay = max(0.0, self._queue[0][0] - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._on_timer)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._pass_due()

    def _pass_due(self) -> None:
        now = self._clock.seconds()
        at_once = not self._delays()
        if self._sink is not None and not self.conditions.hole:
            while self._queue and (at_once or self._queue[0][0] <= now):
                item = self._queue.popleft()[1]
                if isinstance(item, bytes):
                    self._queued -= len(item)
                self._pass(item)
        self._arm()
        self._adjust()

    def _pass(self, item: bytes | str) -> None:
        sink = self._sink
        if not isinstance(item, bytes):
            self.stop()
            if item == FIN:
                sink.loseWriteConnection()
            else:
                sink.abortConnection()
            return
        left = self._left
        if left is not None:
            whole, item = item, item[:left]
            self._left = left - len(item)
            self._tally.lost += len(whole) - len(item)
        self._tally.passed += len(item)
        sink.write(item)
        if self._left == 0:
            self.stop()
            self._timer = self._clock.callLater(0, self._cut_off)  # a reset would overtake what was just written

    def _cut_off(self) -> None:
        self._timer = None
        self._cut(self.conditions.cut)

    def _lose(self, item: bytes | str) -> None:
        self.broken = True
        if isinstance(item, bytes):
            self._tally.lost += len(item)

    def _adjust(self) -> None:
        """Let the source send, or not."""
        if self._source is None:
            return
        hole = self.conditions.hole
        pausing = hole != LOSES and (
            self._over or self._sink is None or self._full or hole == HOLDS or self._queued >= LIMIT
        )
        if pausing is not self._paused:
            self._paused = pausing
            if pausing:
                self._source.pauseProducing()
            else:
                self._source.resumeProducing()
