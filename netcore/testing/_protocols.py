"""Protocols and a producer that tests can put at one end, and a wait for the end of connections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.interfaces import IConsumer, IReactorTime
from netcore.protocol import Protocol, connectionDone
from netcore.protocols.basic import LineReceiver
from netcore.task import LoopingCall

__all__ = ["AccumulatingProtocol", "LineSendingProtocol", "NonStreamingProducer", "waitUntilAllDisconnected"]

_LOOK_AGAIN = 0.01  # seconds


class AccumulatingProtocol(Protocol):
    """Keeps what it receives.

    Attributes: *data*, all of it; *made* and *closed*, 1 once ``connectionMade`` and ``connectionLost`` were called;
        *closedReason*, what the latter was given; *closedDeferred*, a Deferred that a test may put there, to be fired
        then. If the factory has an attribute *protocolConnectionMade*, a Deferred, it is fired with the protocol by
        ``connectionMade``, and taken away.
    """

    made = closed = 0
    closedReason: Failure | None = None
    closedDeferred: Deferred[None] | None = None
    data = b""

    def connectionMade(self) -> None:
        """Note it."""
        self.made = 1
        made: Deferred[Any] | None = getattr(self.factory, "protocolConnectionMade", None)
        if made is not None:
            self.factory.protocolConnectionMade = None
            made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """Keep *data*."""
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.closed = 1
        self.closedReason = reason
        closed, self.closedDeferred = self.closedDeferred, None
        if closed is not None:
            closed.callback(None)


class LineSendingProtocol(LineReceiver):
    """Sends lines, and keeps those that come.

    Args:
        lines: what to send.
        start: whether all is sent when the connection is made, or when the first line has come.
    Attributes: *response*, the lines that have come; *lostConn*, whether the connection has ended.
    """

    lostConn = False

    def __init__(self, lines: Iterable[bytes], start: bool = True) -> None:
        self.lines = list(lines)
        self.response: list[bytes] = []
        self.start = start

    def connectionMade(self) -> None:
        """Send the lines, if it is for us to begin."""
        if self.start:
            self._send()

    def lineReceived(self, line: bytes) -> None:
        """Keep *line*; send ours, if they were to wait for it."""
        if not self.start:
            self.start = True
            self._send()
        self.response.append(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.lostConn = True

    def _send(self) -> None:
        for line in self.lines:
            self.sendLine(line)


class NonStreamingProducer:
    """An `IPullProducer` that writes ten times, the digits from 0 to 9, and then unregisters itself.

    Args:
        consumer: what it writes to, and is registered with by the test.
    Attributes: *counter*, how many times it has written; *stopped*, whether it has ended or was told to;
        *result*, a Deferred that fires with None when it has ended, and with what had been written if it was told to.
    """

    def __init__(self, consumer: IConsumer) -> None:
        self.consumer: IConsumer | None = consumer
        self.counter = 0
        self.stopped = False
        self.result: Deferred[None] = Deferred()

    def resumeProducing(self) -> None:
        """Write once.

        Raises: RuntimeError: it has ended.
        """
        if self.consumer is None:
            raise RuntimeError(f"{self!r} was asked for more after it had ended")
        self.consumer.write(b"%d" % self.counter)
        self.counter += 1
        if self.counter == 10:
            self.consumer.unregisterProducer()
            self._end()

    def pauseProducing(self) -> None:
        """Raises: RuntimeError: nobody may ask that of a pull producer."""
        raise RuntimeError(f"{self!r} is a pull producer: it is not to be paused")

    def stopProducing(self) -> None:
        """Write no more."""
        if self.consumer is not None:
            self._end()

    def _end(self) -> None:
        self.consumer = None
        self.stopped = True
        self.result.callback(None)


def waitUntilAllDisconnected(reactor: IReactorTime, protocols: Iterable[Any]) -> Deferred[None]:
    """Wait for the connections of *protocols* to end: look at their transports' ``connected`` every hundredth of a
    second.

    Returns: Deferred firing with None when none is connected. Cancelling it stops looking.
    """
    waited_for = list(protocols)

    def look() -> None:
        if not any(protocol.transport.connected for protocol in waited_for):
            looking.stop()

    def stop(_: Any) -> None:
        if looking.running:
            looking.stop()

    looking = LoopingCall(look)
    looking.clock = reactor
    ended: Deferred[None] = Deferred(stop)
    looking.start(_LOOK_AGAIN).addCallback(lambda _: None if ended.called else ended.callback(None))
    return ended
