"""`LineOnlyReceiver`, against `bytes.split`."""

from __future__ import annotations

from random import Random

from netcore.protocols.basic import LineOnlyReceiver
from netcore.testing import StringTransport
from tests.fuzz.frame import calls, cuts, noise
from tests.fuzz.targets.lines import feed


class Recorder(LineOnlyReceiver):
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self.heard.append(line)


def one(random: Random) -> None:
    """One input, mostly of what lines are made of."""
    delimiter = random.choice((b"\r\n", b"\n", b"aba", b"aa"))
    longest = random.choice((0, 1, 10, 100))
    data = noise(random, 600, random.choice((delimiter, b"\r\nab", b"\r\n" + bytes(range(97, 123)), bytes(range(256)))))
    *lines, rest = data.split(delimiter)
    too_long = next((at for at, line in enumerate(lines) if len(line) > longest), None)
    closes = too_long is not None or len(rest) >= longest + len(delimiter)
    for pieces in cuts(random, data):
        protocol, transport = Recorder(), StringTransport()
        protocol.delimiter, protocol.MAX_LENGTH = delimiter, longest
        protocol.makeConnection(transport)
        work = calls(lambda: feed(protocol, transport, pieces))  # noqa: B023
        assert protocol.heard == lines[:too_long], (data, pieces)
        assert transport.disconnecting is closes, (data, pieces)
        assert work <= 40 * (len(data) + 1), (work, data)
