"""`Int8StringReceiver` and its like, against cutting the whole input at once."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

from netcore.protocols.basic import Int8StringReceiver, Int16StringReceiver, Int32StringReceiver
from netcore.testing import StringTransport
from tests.fuzz.frame import calls, cuts, noise
from tests.fuzz.targets.lines import feed


class Recorder:
    """ "q" closes, "p" pauses for a moment."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.exceeded: list[int] = []

    def stringReceived(self: Any, string: bytes) -> None:
        self.heard.append(string)
        if string == b"q":
            self.transport.loseConnection()
        elif string == b"p":
            self.pauseProducing()

    def lengthLimitExceeded(self, length: int) -> None:
        self.exceeded.append(length)
        super().lengthLimitExceeded(length)  # type: ignore[misc]


KINDS: list[Any] = [
    type(f"{kind.__name__}Recorder", (Recorder, kind), {})
    for kind in (Int8StringReceiver, Int16StringReceiver, Int32StringReceiver)
]


def expected(data: bytes, kind: Any, longest: int) -> tuple[list[bytes], list[int], bool]:
    """The strings in *data*, the length that was too much, if any, and whether the connection is closed."""
    heard: list[bytes] = []
    while len(data) >= kind.prefixLength:
        size = struct.unpack(kind.structFormat, data[: kind.prefixLength])[0]
        if size > longest:
            return heard, [size], True
        string, data = data[kind.prefixLength :][:size], data[kind.prefixLength + size :]
        if len(string) < size:
            break
        heard.append(string)
        if string == b"q":
            return heard, [], True
    return heard, [], False


def one(random: Random) -> None:
    """Strings, some with a length that is not theirs; or bytes that are none."""
    kind = random.choice(KINDS)
    longest = random.choice((0, 1, 20, 255, 99999))
    data = bytearray()
    while len(data) < 600 and random.random() < 0.95:
        string = random.choice((b"p", b"", b"q" if random.random() < 0.1 else b"qq", noise(random, min(longest, 40))))
        data += struct.pack(kind.structFormat, len(string)) + string
    for _ in range(random.choice((0, 0, 1, 3))):
        at = random.randint(0, len(data))
        data[at : at + random.randint(0, 2)] = noise(random, 3)
    told, exceeded, closes = expected(bytes(data), kind, longest)
    for pieces in cuts(random, bytes(data)):
        protocol, transport = kind(), StringTransport()
        protocol.MAX_LENGTH = longest
        protocol.makeConnection(transport)
        work = calls(lambda: feed(protocol, transport, pieces))  # noqa: B023
        assert protocol.heard == told, (data, pieces)
        assert protocol.exceeded == exceeded, (data, pieces)
        assert transport.disconnecting is closes, (data, pieces)
        assert work <= 60 * (len(data) + 1), (work, data)
        assert len(protocol._buffer) <= longest + kind.prefixLength, "no more waits than a string may have"
