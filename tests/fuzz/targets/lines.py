"""`LineReceiver`, in line mode and in raw mode, against cutting the whole input at once."""

from __future__ import annotations

from random import Random
from typing import Any

from netcore.protocols.basic import LineReceiver
from netcore.testing import StringTransport
from tests.fuzz.frame import calls, cuts, noise

Heard = list[tuple[str, bytes]]


class Recorder(LineReceiver):
    """A line "r" is followed by that many raw bytes as it is long, "q" closes, "p" pauses for a moment."""

    wanted = 0

    def __init__(self) -> None:
        self.heard: Heard = []

    def lineReceived(self, line: bytes) -> None:
        self.heard.append(("line", line))
        if line.startswith(b"q"):
            self.transport.loseConnection()
        elif line.startswith(b"r"):
            self.wanted = len(line)
            self.setRawMode()
        elif line.startswith(b"p"):
            self.pauseProducing()

    def rawDataReceived(self, data: bytes) -> None:
        taken, rest = data[: self.wanted], data[self.wanted :]
        self.wanted -= len(taken)
        self.heard.extend(("raw", taken[at : at + 1]) for at in range(len(taken)))
        if not self.wanted:
            self.setLineMode(rest)


def expected(data: bytes, delimiter: bytes, longest: int) -> tuple[Heard, bool]:
    """What must be heard of *data*, and whether the connection is closed."""
    heard: Heard = []
    while True:
        line, found, rest = data.partition(delimiter)
        if len(line) > longest:
            # Too long, if what is there can be nothing else: a delimiter may still be incomplete at its end.
            return heard, bool(found) or len(line) >= longest + len(delimiter)
        if not found:
            return heard, False
        heard.append(("line", line))
        data = rest
        if line.startswith(b"q"):
            return heard, True
        if line.startswith(b"r"):
            raw, data = data[: len(line)], data[len(line) :]
            heard.extend(("raw", raw[at : at + 1]) for at in range(len(raw)))
            if len(raw) < len(line):
                return heard, False


def one(random: Random) -> None:
    """One input, mostly of what lines are made of."""
    delimiter = random.choice((b"\r\n", b"\n", b"\0", b"aab"))
    longest = random.choice((0, 1, 7, 30))
    parts = [random.choice((b"", b"q", b"r", b"p", noise(random, 33, b"rpab\r\n\0x"), noise(random, 3)))]
    while len(parts) < 60 and random.random() < 0.95:
        parts.append(random.choice((b"r", b"p", b"rr", noise(random, 33, b"rpab\r\n\0x"), noise(random, 8))))
    data = delimiter.join(parts) + noise(random, 3, b"\r\n\0aab")
    told, closes = expected(data, delimiter, longest)
    for pieces in cuts(random, data):
        protocol, transport = Recorder(), StringTransport()
        protocol.delimiter, protocol.MAX_LENGTH = delimiter, longest
        protocol.makeConnection(transport)
        work = calls(lambda: feed(protocol, transport, pieces))  # noqa: B023
        assert protocol.heard == told, (data, pieces)
        assert transport.disconnecting is closes, (data, pieces)
        assert work <= 60 * (len(data) + 1), (work, data)
        assert len(protocol._buffer) <= longest + len(delimiter) or closes, "no more waits than a line may have"


def feed(protocol: Any, transport: StringTransport, pieces: list[bytes]) -> None:
    """As a transport does, which reads no more when it is closing; whoever paused is resumed."""
    for piece in pieces:
        if transport.disconnecting:
            return
        protocol.dataReceived(piece)
        while getattr(protocol, "paused", False) and not transport.disconnecting:
            protocol.resumeProducing()
