"""LineReceiver and LineOnlyReceiver: the same bytes give the same lines, however they are cut, for linear work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from netcore.protocols.basic import LineOnlyReceiver, LineReceiver
from netcore.testing import StringTransport
from tests.unit.netcore.protocols.counted import Counted
from tests.unit.netcore.protocols.cuts import CUTS

RECEIVERS = [LineReceiver, LineOnlyReceiver]


@pytest.fixture(params=CUTS, ids=lambda cut: cut.__name__)
def cut(request: pytest.FixtureRequest) -> Callable[[bytes], list[bytes]]:
    return request.param


class Commands:
    """Writes down what it is told; some lines do something."""

    MAX_LENGTH = 20
    wanted = 0

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def lineReceived(self: Any, line: bytes) -> None:
        self.heard.append(("line", line))
        word, _, rest = line.partition(b" ")
        if word == b"quit":
            self.transport.loseConnection()
        elif word == b"raw":
            self.wanted = int(rest)
            self.setRawMode()
        elif word == b"feed":
            self.dataReceived(rest + b"\r\n")
        elif word == b"clear":
            self.heard.append(("cleared", self.clearLineBuffer()))
        elif word == b"pause":
            self.pauseProducing()
        elif word == b"lf":
            self.delimiter = b"\n"
        elif word == b"fail":
            raise KeyError(line)

    def rawDataReceived(self: Any, data: bytes) -> None:
        taken, rest = data[: self.wanted], data[self.wanted :]
        self.wanted -= len(taken)
        if self.heard[-1][0] == "raw":
            self.heard[-1] = ("raw", self.heard[-1][1] + taken)
        else:
            self.heard.append(("raw", taken))
        if self.wanted == 0:
            self.setLineMode(rest)


class Receiver(Commands, LineReceiver):
    pass


class OnlyReceiver(Commands, LineOnlyReceiver):
    pass


class Patient(Receiver):
    """Goes on after a line that is too long."""

    def lineLengthExceeded(self, line: bytes) -> None:
        self.heard.append(("too long", line))


def feed(protocol: Any, pieces: Iterable[bytes]) -> StringTransport:
    """Deliver *pieces* as a transport would, which reads nothing more once it was told to close."""
    transport = StringTransport()
    protocol.makeConnection(transport)
    for piece in pieces:
        if not transport.disconnecting:
            protocol.dataReceived(piece)
    return transport


def lines(*expected: bytes) -> list[tuple[str, bytes]]:
    return [("line", line) for line in expected]


@pytest.mark.parametrize("kind", [Receiver, OnlyReceiver])
@pytest.mark.parametrize("trailing", [b"", b"rest", b"rest\r"])
def test_lines_are_cut_out_and_trailing_data_waits(kind: type[Any], trailing: bytes, cut: Any) -> None:
    protocol = kind()
    feed(protocol, cut(b"one\r\n\r\nt\rw\no\r\n" + trailing))
    assert protocol.heard == lines(b"one", b"", b"t\rw\no")
    protocol.dataReceived(b"\n" if trailing.endswith(b"\r") else b"\r\n")
    assert protocol.heard[3:] == lines(trailing.rstrip(b"\r"))


@pytest.mark.parametrize("kind", [Receiver, OnlyReceiver])
@pytest.mark.parametrize("delimiter", [b"\n", b"\0", b"-=-", b"aa"])
def test_any_delimiter_can_be_chosen(kind: type[Any], delimiter: bytes, cut: Any) -> None:
    protocol = kind()
    protocol.delimiter = delimiter
    feed(protocol, cut(delimiter.join([b"one", b"", b"two\r", b""])))
    assert protocol.heard == lines(b"one", b"", b"two\r")


@pytest.mark.parametrize("kind", RECEIVERS)
def test_an_empty_delimiter_is_refused(kind: type[Any]) -> None:
    protocol = kind()
    protocol.delimiter = b""
    with pytest.raises(ValueError, match="delimiter is empty"):
        protocol.dataReceived(b"x")


@pytest.mark.parametrize("kind", [Receiver, OnlyReceiver])
def test_the_longest_line_allowed_is_delivered(kind: type[Any], cut: Any) -> None:
    protocol = kind()
    transport = feed(protocol, cut(b"x" * 20 + b"\r\n" + b"y" * 20 + b"\r\n"))
    assert protocol.heard == lines(b"x" * 20, b"y" * 20)
    assert not transport.disconnecting


@pytest.mark.parametrize("kind", [Receiver, OnlyReceiver])
@pytest.mark.parametrize("data", [b"x" * 21 + b"\r\n", b"x" * 22, b"x" * 21 + b"\r", b"x" * 500 + b"\r\nafter\r\n"])
def test_a_line_one_byte_too_long_closes_the_connection(kind: type[Any], data: bytes, cut: Any) -> None:
    protocol = kind()
    transport = feed(protocol, cut(b"before\r\n" + data))
    assert transport.disconnecting
    assert protocol.heard == lines(b"before")


def test_one_byte_over_may_still_be_the_delimiters_first() -> None:
    protocol = Receiver()
    transport = feed(protocol, [b"x" * 20 + b"\r"])
    assert not transport.disconnecting
    protocol.dataReceived(b"\n")
    assert protocol.heard == lines(b"x" * 20)


@pytest.mark.parametrize("kind", [Receiver, OnlyReceiver])
def test_line_length_exceeded_gets_everything_from_that_line_on(kind: type[Any]) -> None:
    protocol = kind()
    told: list[bytes] = []
    protocol.lineLengthExceeded = told.append
    transport = feed(protocol, [b"ok\r\n" + b"x" * 21 + b"\r\nmore\r\nrest", b"\r\nnext\r\n"])
    assert told == [b"x" * 21 + b"\r\nmore\r\nrest"]
    assert protocol.heard == lines(b"ok", b"", b"next")
    assert not transport.disconnecting


def test_what_is_fed_back_from_a_line_too_long_is_delivered_at_once() -> None:
    class Mending(Receiver):
        def lineLengthExceeded(self, line: bytes) -> None:
            self.setLineMode(line[-6:])

    protocol = Mending()
    feed(protocol, [b"x" * 30 + b"tail\r\n"])
    assert protocol.heard == lines(b"tail")


def test_raw_mode_in_the_middle_of_a_segment(cut: Any) -> None:
    protocol = Receiver()
    feed(protocol, cut(b"raw 7\r\nab\r\ncdeone\r\nraw 2\r\n\r\ntwo\r\nrest"))
    assert protocol.heard == [
        ("line", b"raw 7"),
        ("raw", b"ab\r\ncde"),
        *lines(b"one", b"raw 2"),
        ("raw", b"\r\n"),
        *lines(b"two"),
    ]
    assert protocol.clearLineBuffer() == b"rest"


def test_raw_data_has_no_limit() -> None:
    protocol = Receiver()
    transport = feed(protocol, [b"raw 5000\r\n" + b"x" * 5000 + b"after\r\n"])
    assert protocol.heard == [*lines(b"raw 5000"), ("raw", b"x" * 5000), *lines(b"after")]
    assert not transport.disconnecting


def test_nothing_is_delivered_once_the_connection_is_asked_to_close(cut: Any) -> None:
    protocol = Receiver()
    feed(protocol, cut(b"one\r\nquit\r\ntwo\r\nraw 3\r\nabc"))
    assert protocol.heard == lines(b"one", b"quit")
    protocol.dataReceived(b"three\r\n")
    assert protocol.heard == lines(b"one", b"quit")


def test_line_only_receiver_delivers_nothing_once_asked_to_close(cut: Any) -> None:
    protocol = OnlyReceiver()
    feed(protocol, cut(b"one\r\nquit\r\ntwo\r\n"))
    assert protocol.heard == lines(b"one", b"quit")


def test_it_works_without_a_transport() -> None:
    protocol = Receiver()
    protocol.dataReceived(b"one\r\n")
    assert protocol.heard == lines(b"one")


def test_a_delimiter_changed_in_the_middle_counts_from_the_next_line(cut: Any) -> None:
    protocol = Receiver()
    feed(protocol, cut(b"one\r\nlf\r\ntwo\nthree\r\n"))
    assert protocol.heard == lines(b"one", b"lf", b"two", b"three\r")


def test_a_delimiter_changed_between_segments_is_looked_for_in_what_waits() -> None:
    protocol = Receiver()
    feed(protocol, [b"one\ntw"])
    protocol.delimiter = b"\n"
    protocol.dataReceived(b"o\n")
    assert protocol.heard == lines(b"one", b"two")


@pytest.mark.parametrize("kind", [Receiver, OnlyReceiver])
def test_data_fed_in_from_a_callback_comes_after_what_is_there(kind: type[Any]) -> None:
    protocol = kind()
    feed(protocol, [b"feed me\r\none\r\n", b"two\r\n"])
    assert protocol.heard == lines(b"feed me", b"one", b"me", b"two")


@pytest.mark.parametrize("kind", RECEIVERS)
def test_feeding_from_callbacks_does_not_nest(kind: type[Any]) -> None:
    class Counting(kind):  # type: ignore[misc]
        left = 20_000

        def lineReceived(self, line: bytes) -> None:
            self.left -= 1
            if self.left:
                self.dataReceived(b"again\r\n")

    protocol = Counting()
    protocol.dataReceived(b"go\r\n")
    assert protocol.left == 0


def test_switching_modes_does_not_nest() -> None:
    class Flipping(LineReceiver):
        flips = 0

        def lineReceived(self, line: bytes) -> None:
            self.setRawMode()

        def rawDataReceived(self, data: bytes) -> None:
            self.flips += 1
            self.setLineMode(data[1:])

    protocol = Flipping()
    protocol.dataReceived(b"\r\nx" * 5_000)
    assert protocol.flips == 5_000


def test_what_a_callback_raises_goes_to_the_caller_and_loses_nothing() -> None:
    protocol = Receiver()
    with pytest.raises(KeyError):
        feed(protocol, [b"one\r\nfail\r\ntwo\r\nth"])
    protocol.dataReceived(b"ree\r\n")
    assert protocol.heard == lines(b"one", b"fail", b"two", b"three")


def test_clear_line_buffer_drops_and_returns_what_waits() -> None:
    protocol = Receiver()
    feed(protocol, [b"one\r\nclear\r\ntwo\r\nth"])
    assert protocol.heard == [*lines(b"one", b"clear"), ("cleared", b"two\r\nth")]
    protocol.dataReceived(b"ree\r\n")
    assert protocol.heard[3:] == lines(b"ree")
    assert protocol.clearLineBuffer() == b""


def test_pausing_holds_back_what_was_received() -> None:
    protocol = Receiver()
    transport = feed(protocol, [b"one\r\npause\r\ntwo\r\n"])
    assert transport.producerState == "paused"
    protocol.dataReceived(b"pause\r\nthree\r\n")
    assert protocol.heard == lines(b"one", b"pause")
    protocol.resumeProducing()
    assert protocol.heard == lines(b"one", b"pause", b"two", b"pause")
    protocol.resumeProducing()
    assert transport.producerState == "producing"
    assert protocol.heard == lines(b"one", b"pause", b"two", b"pause", b"three")


def test_pausing_and_resuming_within_a_line_goes_on() -> None:
    class Blinking(Receiver):
        def lineReceived(self, line: bytes) -> None:
            super().lineReceived(line)
            self.pauseProducing()
            self.resumeProducing()

    protocol = Blinking()
    feed(protocol, [b"one\r\ntwo\r\n"])
    assert protocol.heard == lines(b"one", b"two")


def test_stop_producing_holds_everything_and_stops_the_transport() -> None:
    protocol = Receiver()
    transport = feed(protocol, [])
    protocol.stopProducing()
    protocol.dataReceived(b"one\r\n")
    assert protocol.heard == []
    assert transport.producerState == "stopped"


@pytest.mark.parametrize("kind", RECEIVERS)
def test_send_line_adds_the_delimiter(kind: type[Any]) -> None:
    protocol = kind()
    transport = feed(protocol, [])
    protocol.sendLine(b"hello")
    protocol.delimiter = b"\n"
    protocol.sendLine(b"")
    assert transport.value() == b"hello\r\n\n"


@pytest.mark.parametrize("kind", RECEIVERS)
def test_callbacks_that_must_be_overridden_say_so(kind: type[Any]) -> None:
    with pytest.raises(NotImplementedError, match=f"{kind.__name__} must override lineReceived"):
        kind().dataReceived(b"x\r\n")


def test_raw_mode_must_be_overridden_to_be_used() -> None:
    protocol = LineReceiver()
    protocol.setRawMode()
    with pytest.raises(NotImplementedError, match="rawDataReceived"):
        protocol.dataReceived(b"x")


# ---------------------------------------------------------------------------------------------------- work, by count


def start_counting(protocol: Any) -> None:
    """Give *protocol* a counting buffer with one byte in it: from then on all it receives goes there."""
    protocol.dataReceived(b"x")
    protocol._buffer = Counted(protocol._buffer)


@pytest.mark.parametrize("kind", RECEIVERS)
def test_a_mebibyte_of_empty_lines_costs_work_linear_in_it(kind: type[Any], counted: type[Counted]) -> None:
    seen = 0

    def count(line: bytes) -> None:
        nonlocal seen
        seen += 1

    protocol = kind()
    start_counting(protocol)
    protocol.lineReceived = count
    data = b"\r\n" * (1 << 19)
    protocol.dataReceived(data)
    assert seen == 1 << 19
    assert counted.copied <= len(data) + 1, "only what arrived was added, only what was a line was copied out"
    assert counted.searched <= 2 * len(data)


@pytest.mark.parametrize("kind", RECEIVERS)
def test_a_long_line_byte_by_byte_is_searched_once(kind: type[Any], counted: type[Counted]) -> None:
    got: list[bytes] = []
    protocol = kind()
    start_counting(protocol)
    protocol.lineReceived = got.append
    for _ in range(16_383):
        protocol.dataReceived(b"\r")
    protocol.dataReceived(b"\r\n")
    assert [len(line) for line in got] == [16_384]
    assert counted.copied <= 3 * 16_384
    assert counted.searched <= 5 * 16_384


@pytest.mark.parametrize("kind", RECEIVERS)
def test_a_huge_segment_without_delimiter_is_searched_as_far_as_a_line_may_go(
    kind: type[Any], counted: type[Counted]
) -> None:
    protocol = kind()
    protocol.makeConnection(StringTransport())
    start_counting(protocol)
    protocol.dataReceived(b"x" * (1 << 20))
    assert protocol.transport.disconnecting
    assert counted.searched <= 2 * 16_384


def test_pausing_at_every_line_does_not_copy_the_rest() -> None:
    """Each resumption delivers one line; the rest is cut at its front, which moves no bytes."""
    protocol = Receiver()
    feed(protocol, [b"pause\r\n" * 50_000])
    kept = protocol._buffer
    for _ in range(49_998):
        protocol.resumeProducing()
        assert protocol._buffer is kept
    protocol.resumeProducing()
    assert len(protocol.heard) == 50_000
    assert protocol.clearLineBuffer() == b""
