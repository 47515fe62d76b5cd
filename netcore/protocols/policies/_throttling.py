"""Connections that together use so many bytes per second.

What holds: a factory counts what all its connections read, and write, in a second that begins with the first byte after
the last one. When that is more than its limit, all of them are held until the average is the limit again. So a limit is
exceeded by what one call brings or writes, and no more; and there is a timer while they are held only.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from netcore._current import current_reactor
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.failure import Failure
from netcore.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, implementer
from netcore.protocols._producers import HeldPull, HeldPush, held
from netcore.protocols.policies._wrapping import ProtocolWrapper, WrappingFactory

if TYPE_CHECKING:
    from netcore.interfaces import IAddress

__all__ = ["ThrottlingFactory", "ThrottlingProtocol"]

log = logging.getLogger("netcore.protocols")

_HELD = {True: "held", False: "let go on"}
SLACK = 0.001
"""Seconds that are not worth another timer: sums of floats are not exact."""


class ThrottlingProtocol(ProtocolWrapper):
    """One of the connections of a `ThrottlingFactory`.

    Of writing, producers are held: a protocol that has no producer registered writes what it likes, and counts.
    """

    factory: ThrottlingFactory

    def __init__(self, factory: ThrottlingFactory, wrappedProtocol: IProtocol) -> None:
        super().__init__(factory, wrappedProtocol)
        self._producer: HeldPush | HeldPull | None = None
        # The transport is read from if none of the two has paused it.
        self._paused = self._throttled = False

    def write(self, data: bytes) -> None:
        """Send *data*."""
        super().write(data)
        self.factory.registerWritten(len(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*."""
        self.write(b"".join(data))

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived."""
        self.factory.registerRead(len(data))
        super().dataReceived(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*, and hold it when too much was written.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        ours = held(producer, streaming)
        before, self._producer = self._producer, ours  # a transport may ask it at once
        try:
            super().registerProducer(ours, streaming)
        except BaseException:
            self._producer = before
            raise
        if self.factory.throttlingWrites:
            ours.hold(True)

    def unregisterProducer(self) -> None:
        """The producer has finished."""
        self._producer = None
        super().unregisterProducer()

    def pauseProducing(self) -> None:
        """Stop reading."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again, when that is allowed."""
        self._paused = False
        if not self._throttled:
            self.transport.resumeProducing()

    def throttleReads(self) -> None:
        """Stop reading, because too much was read."""
        self._throttled = True
        if not self.disconnecting:
            self.transport.pauseProducing()

    def unthrottleReads(self) -> None:
        """Read again."""
        self._throttled = False
        if not self._paused and not self.disconnecting:
            self.transport.resumeProducing()

    def throttleWrites(self) -> None:
        """Hold the producer, if there is one, because too much was written."""
        self._hold(True)

    def unthrottleWrites(self) -> None:
        """Let it go on."""
        self._hold(False)

    def _hold(self, by_us: bool) -> None:
        producer = self._producer
        if producer is not None:
            try:
                producer.hold(by_us)
            except ENDS_THE_PROGRAM:
                raise
            except BaseException:  # CancelledError too; not the fault of whoever wrote, and others have to go on
                failure = Failure()
                log_failure(log, failure, "the producer of %r raised, when it was %s", self, _HELD[by_us])
                self._child_failed(failure)


@implementer(IProtocolFactory)
class ThrottlingFactory(WrappingFactory):
    """Connections that together read and write so much per second, and are so many at most.

    Args:
        wrappedFactory: builds the protocols.
        maxConnectionCount: how many connections there are at most; those beyond are closed at once.
        readLimit, writeLimit: bytes per second, of all connections together; None: any.
        clock: whose seconds; default: this thread's reactor.
    Attributes: *connectionCount*, how many there are; *readThisSecond* and *writtenThisSecond*, bytes.
    Raises: ValueError: a limit is not above 0.
    """

    protocol: Any = ThrottlingProtocol

    def __init__(
        self,
        wrappedFactory: IProtocolFactory,
        maxConnectionCount: int = sys.maxsize,
        readLimit: float | None = None,
        writeLimit: float | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        super().__init__(wrappedFactory)
        for name, limit in (("readLimit", readLimit), ("writeLimit", writeLimit)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be bytes per second above 0, or None for no limit, not {limit!r}")
        self.connectionCount = 0
        self.maxConnectionCount = maxConnectionCount
        self.readLimit = readLimit
        self.writeLimit = writeLimit
        self.readThisSecond = self.writtenThisSecond = 0
        self._clock = clock
        self._began_reading = self._began_writing = -math.inf  # the second that is counted in
        self._unthrottle_reads: IDelayedCall | None = None
        self._unthrottle_writes: IDelayedCall | None = None

    @property
    def throttlingWrites(self) -> bool:
        """Whether producers are held now."""
        return self._unthrottle_writes is not None

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """Have *func* called after *period* seconds."""
        return (self._clock or current_reactor()).callLater(period, func)

    def _seconds(self) -> float:
        return (self._clock or current_reactor()).seconds()

    def registerWritten(self, length: int) -> None:
        """A connection has written so many bytes."""
        if self.writeLimit is not None:
            now = self._seconds()
            if now - self._began_writing >= 1 and self._unthrottle_writes is None:
                self._began_writing, self.writtenThisSecond = now, 0
            self.writtenThisSecond += length
            self.checkWriteBandwidth()

    def registerRead(self, length: int) -> None:
        """A connection has read so many bytes."""
        if self.readLimit is not None:
            now = self._seconds()
            if now - self._began_reading >= 1 and self._unthrottle_reads is None:
                self._began_reading, self.readThisSecond = now, 0
            self.readThisSecond += length
            self.checkReadBandwidth()

    def checkReadBandwidth(self) -> None:
        """Hold the connections if too much was read in this second."""
        if self.readLimit is not None and self.readThisSecond > self.readLimit and self._unthrottle_reads is None:
            self.throttleReads()

    def checkWriteBandwidth(self) -> None:
        """Hold the producers if too much was written in this second."""
        if self.writeLimit is not None and self.writtenThisSecond > self.writeLimit and self._unthrottle_writes is None:
            self.throttleWrites()

    def throttleReads(self) -> None:
        """Read no more on any connection, until the average is the limit."""
        self._unthrottle_reads = self.callLater(max(0.0, self._too_much_read()), self.unthrottleReads)
        for protocol in list(self.protocols):
            protocol.throttleReads()

    def unthrottleReads(self) -> None:
        """Read again, unless more has come meanwhile."""
        self._unthrottle_reads = None
        wait = self._too_much_read()
        if wait > SLACK:
            self._unthrottle_reads = self.callLater(wait, self.unthrottleReads)
            return
        self._began_reading, self.readThisSecond = self._seconds(), 0
        for protocol in list(self.protocols):
            protocol.unthrottleReads()

    def throttleWrites(self) -> None:
        """Hold the producers of all connections, until the average is the limit."""
        self._unthrottle_writes = self.callLater(max(0.0, self._too_much_written()), self.unthrottleWrites)
        for protocol in list(self.protocols):
            protocol.throttleWrites()

    def unthrottleWrites(self) -> None:
        """Let them go on, unless more was written meanwhile."""
        self._unthrottle_writes = None
        wait = self._too_much_written()
        if wait > SLACK:
            self._unthrottle_writes = self.callLater(wait, self.unthrottleWrites)
            return
        self._began_writing, self.writtenThisSecond = self._seconds(), 0
        for protocol in list(self.protocols):
            protocol.unthrottleWrites()
        if self.throttlingWrites:  # what they wrote at once is too much again: each had its turn
            for protocol in list(self.protocols):
                protocol.throttleWrites()

    def _too_much_read(self) -> float:
        """Seconds until the average is the limit."""
        return self._began_reading + self.readThisSecond / (self.readLimit or math.inf) - self._seconds()

    def _too_much_written(self) -> float:
        return self._began_writing + self.writtenThisSecond / (self.writeLimit or math.inf) - self._seconds()

    def buildProtocol(self, addr: IAddress) -> Any:
        """A wrapper for what the factory above builds; None if it builds nothing, or there are too many."""
        if self.connectionCount >= self.maxConnectionCount:
            log.info("%r refuses a connection: %d is the most", self, self.maxConnectionCount)
            return None
        protocol = super().buildProtocol(addr)
        if protocol is not None:
            self.connectionCount += 1
        return protocol

    def registerProtocol(self, p: Any) -> None:
        """The connection of *p* stands: it is held with the others."""
        super().registerProtocol(p)
        if self._unthrottle_reads is not None:
            p.throttleReads()

    def unregisterProtocol(self, p: Any) -> None:
        """It has gone; with the last one, what was to be waited for."""
        super().unregisterProtocol(p)
        self.connectionCount -= 1
        if self.connectionCount == 0:
            for call in (self._unthrottle_reads, self._unthrottle_writes):
                if call is not None:
                    call.cancel()
            self._unthrottle_reads = self._unthrottle_writes = None
