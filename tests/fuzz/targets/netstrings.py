"""`NetstringReceiver`, against the grammar as a regular expression."""

from __future__ import annotations

import re
from random import Random

from netcore.protocols.basic import NetstringReceiver
from netcore.testing import StringTransport
from tests.fuzz.frame import calls, cuts, noise
from tests.fuzz.targets.lines import feed

LENGTH = re.compile(rb"(0|[1-9][0-9]*):")
BEGUN = re.compile(rb"(0|[1-9][0-9]*)?")


class Recorder(NetstringReceiver):
    """ "q" closes, "p" pauses for a moment."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def stringReceived(self, string: bytes) -> None:
        self.heard.append(string)
        if string == b"q":
            self.transport.loseConnection()
        elif string == b"p":
            self.pauseProducing()


def expected(data: bytes, longest: int) -> tuple[list[bytes], bool, bool]:
    """The strings in *data*; whether something comes after them that is none; whether the connection is closed."""
    heard: list[bytes] = []
    while True:
        length = LENGTH.match(data)
        if length is None:
            broken = not BEGUN.fullmatch(data) or (data != b"" and int(data) > longest)
            return heard, broken, broken
        size, start = int(length[1]), length.end()
        if size > longest or data[start + size : start + size + 1] not in (b"", b","):
            return heard, True, True
        if len(data) <= start + size:
            return heard, False, False
        heard.append(data[start : start + size])
        if heard[-1] == b"q":
            return heard, False, True
        data = data[start + size + 1 :]


def one(random: Random) -> None:
    """Netstrings, some of which have been damaged; or what only looks like them."""
    longest = random.choice((0, 1, 9, 10, 40, 99999))
    data = bytearray()
    while len(data) < 600 and random.random() < 0.95:
        string = random.choice((b"p", b"", b"q" if random.random() < 0.1 else b"q:", noise(random, min(longest, 40))))
        data += random.choice((b"0", b"+", b"00:,")) if random.random() < 0.03 else b""
        data += b"%d:%b," % (len(string), string)
    for _ in range(random.choice((0, 0, 1, 3))):
        at = random.randint(0, len(data))
        data[at : at + random.randint(0, 2)] = noise(random, 3, b"0123456789:,-+_ x\0")
    told, broken, closes = expected(bytes(data), longest)
    for pieces in cuts(random, bytes(data)):
        protocol, transport = Recorder(), StringTransport()
        protocol.MAX_LENGTH = longest
        protocol.makeConnection(transport)
        work = calls(lambda: feed(protocol, transport, pieces))  # noqa: B023
        assert protocol.heard == told, (data, pieces)
        assert transport.disconnecting is closes, (data, pieces)
        assert protocol.brokenPeer == broken, (data, pieces)
        assert work <= 80 * (len(data) + 1), (work, data)
        assert len(protocol._buffer) <= longest + 8, "no more waits than a string may have"
