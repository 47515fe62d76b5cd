"""The receivers of strings: the same bytes give the same strings, however they are cut, for linear work; and what is
wrong ends the connection, as in Twisted."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.testing import StringTransport as TheirTransport
from twisted.protocols import basic as theirs

from netcore.protocols import basic
from netcore.protocols.basic import (
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    IntNStringReceiver,
    NetstringParseError,
    NetstringReceiver,
    StatefulStringProtocol,
    StringTooLongError,
)
from netcore.testing import StringTransport
from tests.unit.netcore.protocols.counted import Counted
from tests.unit.netcore.protocols.cuts import CUTS

INTS: list[Any] = [Int8StringReceiver, Int16StringReceiver, Int32StringReceiver]
ALL: list[Any] = [NetstringReceiver, *INTS]


@pytest.fixture(params=CUTS[:5], ids=lambda cut: cut.__name__)
def cut(request: pytest.FixtureRequest) -> Callable[[bytes], list[bytes]]:
    return request.param


def framed(kind: Any, *strings: bytes) -> bytes:
    """What *kind* sends for *strings*."""
    protocol = kind()
    protocol.makeConnection(StringTransport())
    for string in strings:
        protocol.sendString(string)
    value: bytes = protocol.transport.value()
    return value


def listening(kind: Any, on: Callable[[Any, bytes], object] = lambda protocol, string: None) -> tuple[Any, list[bytes]]:
    """A connected protocol of *kind*, and the list of what it hears; *on* is called with each string."""
    protocol = kind()
    heard: list[bytes] = []

    def received(string: bytes) -> None:
        heard.append(string)
        on(protocol, string)

    protocol.stringReceived = received
    protocol.makeConnection(StringTransport())
    return protocol, heard


@pytest.mark.parametrize("kind", ALL)
def test_what_is_sent_is_received_and_trailing_data_waits(kind: Any, cut: Any) -> None:
    protocol, heard = listening(kind)
    strings = [b"", b"a", b"3:abc,", bytes(range(200))]
    data = framed(kind, *strings)
    for piece in cut(data + data[:-1]):
        protocol.dataReceived(piece)
    assert heard == strings + strings[:-1]
    assert not protocol.transport.disconnecting


@pytest.mark.parametrize("kind", ALL)
def test_the_last_byte_completes_a_string(kind: Any) -> None:
    protocol, heard = listening(kind)
    data = framed(kind, b"hello")
    protocol.dataReceived(data[:-1])
    assert heard == []
    protocol.dataReceived(data[-1:])
    assert heard == [b"hello"]


@pytest.mark.parametrize("kind", [each.__name__ for each in ALL])
def test_the_same_is_sent_as_by_twisted(kind: str) -> None:
    protocol = getattr(theirs, kind)()
    protocol.makeConnection(TheirTransport())
    for string in (b"", b"abc", b"x" * 255):
        protocol.sendString(string)
    assert framed(getattr(basic, kind), b"", b"abc", b"x" * 255) == protocol.transport.value()


@pytest.mark.parametrize("kind", ALL)
def test_anything_bytes_like_is_sent_and_text_is_refused(kind: Any) -> None:
    protocol, _ = listening(kind)
    protocol.sendString(memoryview(b"ab").cast("H"))
    assert protocol.transport.value() == framed(kind, b"ab")
    with pytest.raises(TypeError, match="encoded"):
        protocol.sendString("text")


@pytest.mark.parametrize("kind", ALL)
def test_nothing_is_delivered_after_a_close(kind: Any) -> None:
    protocol, heard = listening(kind, lambda protocol, string: protocol.transport.loseConnection())
    protocol.dataReceived(framed(kind, b"one", b"two"))
    protocol.dataReceived(framed(kind, b"three"))
    assert heard == [b"one"]
    assert len(protocol._buffer) == 0


@pytest.mark.parametrize("kind", ALL)
def test_pausing_holds_back_what_was_received(kind: Any) -> None:
    protocol, heard = listening(kind, lambda protocol, string: protocol.pauseProducing())
    protocol.dataReceived(framed(kind, b"one", b"two", b"three"))
    assert heard == [b"one"]
    assert protocol.paused
    assert protocol.transport.producerState == "paused"
    protocol.resumeProducing()
    assert heard == [b"one", b"two"]
    protocol.resumeProducing()
    protocol.resumeProducing()
    assert heard == [b"one", b"two", b"three"]
    assert protocol.transport.producerState == "producing"


@pytest.mark.parametrize("kind", ALL)
def test_what_a_callback_raises_loses_no_string(kind: Any) -> None:
    def fail(protocol: Any, string: bytes) -> None:
        if string == b"fail":
            raise KeyError(string)

    protocol, heard = listening(kind, fail)
    with pytest.raises(KeyError):
        protocol.dataReceived(framed(kind, b"fail", b"next"))
    protocol.dataReceived(b"")
    assert heard == [b"fail", b"next"]


@pytest.mark.parametrize("kind", ALL)
def test_feeding_from_callbacks_does_not_nest(kind: Any) -> None:
    left = 5_000
    again = framed(kind, b"again")

    def feed(protocol: Any, string: bytes) -> None:
        nonlocal left
        left -= 1
        if left:
            protocol.dataReceived(again)

    protocol, _ = listening(kind, feed)
    protocol.dataReceived(again)
    assert left == 0


@pytest.mark.parametrize("kind", ALL)
def test_what_is_to_be_overridden_says_so(kind: Any) -> None:
    with pytest.raises(NotImplementedError, match="must override stringReceived"):
        kind().dataReceived(framed(kind, b""))


@pytest.mark.parametrize("kind", ALL)
def test_tls_takes_what_was_not_delivered(kind: Any) -> None:
    taken: list[bytes] = []
    protocol, heard = listening(kind, lambda protocol, string: taken.append(protocol.clearLineBuffer()))
    protocol.dataReceived(framed(kind, b"starttls") + b"client hello")
    assert heard == [b"starttls"]
    assert taken == [b"client hello"]


# -------------------------------------------------------------------------------------------------------- netstrings

NONE = [
    b":",
    b",",
    b"x",
    b"-1:",
    b"+1:x,",
    b" 1:x,",
    b"00:,",
    b"01:x,",
    b"1x",
    b"1:x;",
    b"1:xx",
    b"0:x",
    b"21:",
    b"21",
    b"999999999999999999",
    b"0x1:x,",
    b"1_0:",
    "١:x,".encode(),
    b"1.",
    b"\0",
]


@pytest.mark.parametrize("data", NONE)
def test_what_is_no_netstring_closes_the_connection(data: bytes, cut: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "netcore.protocols")
    protocol, heard = listening(NetstringReceiver)
    protocol.MAX_LENGTH = 20
    for piece in cut(b"2:ok," + data + b"2:no,"):
        protocol.dataReceived(piece)
    assert heard == [b"ok"]
    assert protocol.transport.disconnecting
    assert protocol.brokenPeer
    assert "netstring" in caplog.text
    assert caplog.text.count("closes the connection") == 1


@pytest.mark.parametrize("data", [b"", b"0", b"1", b"20", b"20:", b"1:x", b"9:12345678"])
def test_the_beginning_of_a_netstring_is_waited_for(data: bytes) -> None:
    protocol, heard = listening(NetstringReceiver)
    protocol.MAX_LENGTH = 20
    protocol.dataReceived(data)
    assert heard == []
    assert not protocol.transport.disconnecting


@pytest.mark.parametrize("data", [*NONE, b"", b"0", b"1", b"20", b"20:", b"1:x", b"0:,1:x,", b"20:" + b"x" * 20 + b","])
def test_twisted_agrees_on_what_a_netstring_is(data: bytes) -> None:
    ours, heard = listening(NetstringReceiver)
    their: Any = theirs.NetstringReceiver()
    heard_there: list[bytes] = []
    their.stringReceived = heard_there.append
    their.makeConnection(TheirTransport())
    ours.MAX_LENGTH = their.MAX_LENGTH = 20
    ours.dataReceived(data)
    their.dataReceived(data)
    assert heard == heard_there
    assert bool(ours.brokenPeer) == bool(their.brokenPeer)
    assert bool(ours.transport.disconnecting) == bool(their.transport.disconnecting)


def test_a_parse_error_is_a_value_error() -> None:
    assert issubclass(NetstringParseError, ValueError)


# -------------------------------------------------------------------------------------------------------------- ints


@pytest.mark.parametrize("kind", INTS)
def test_a_string_beyond_the_limit_closes_the_connection(kind: Any, cut: Any) -> None:
    protocol, heard = listening(kind)
    protocol.MAX_LENGTH = 20
    for piece in cut(framed(kind, b"x" * 20, b"y" * 21, b"z")):
        protocol.dataReceived(piece)
    assert heard == [b"x" * 20]
    assert protocol.transport.disconnecting


@pytest.mark.parametrize("kind", INTS)
def test_after_a_limit_was_exceeded_nothing_is_kept_or_delivered(kind: Any, cut: Any) -> None:
    told: list[int] = []
    protocol, heard = listening(kind)
    protocol.lengthLimitExceeded = told.append
    protocol.MAX_LENGTH = 20
    for piece in cut(framed(kind, b"x", b"y" * 21, b"z")):
        protocol.dataReceived(piece)
    assert heard == [b"x"]
    assert told == [21]
    assert not protocol.transport.disconnecting
    assert len(protocol._buffer) == 0


@pytest.mark.parametrize("kind", INTS)
def test_a_limit_that_is_raised_lets_the_string_in(kind: Any, cut: Any) -> None:
    protocol, heard = listening(kind)
    protocol.lengthLimitExceeded = lambda length: setattr(protocol, "MAX_LENGTH", length)
    protocol.MAX_LENGTH = 1
    for piece in cut(framed(kind, b"x", b"y" * 21, b"z")):
        protocol.dataReceived(piece)
    assert heard == [b"x", b"y" * 21, b"z"]


def test_a_length_below_zero_is_no_length() -> None:
    class Signed(IntNStringReceiver):
        structFormat = "!i"
        prefixLength = 4

    protocol, heard = listening(Signed)
    protocol.dataReceived(framed(Int32StringReceiver, b"x") + b"\xff\xff\xff\xfc" + framed(Int32StringReceiver, b"y"))
    assert heard == [b"x"]
    assert protocol.transport.disconnecting


@pytest.mark.parametrize(("kind", "limit"), [(Int8StringReceiver, 1 << 8), (Int16StringReceiver, 1 << 16)])
def test_what_does_not_fit_into_the_prefix_is_not_sent(kind: Any, limit: int) -> None:
    protocol, _ = listening(kind)
    with pytest.raises(StringTooLongError, match=f"{limit - 1} at most"):
        protocol.sendString(b"x" * limit)
    assert protocol.transport.value() == b""
    protocol.sendString(b"x" * (limit - 1))


def test_other_prefixes_can_be_had() -> None:
    class Little(IntNStringReceiver):
        structFormat = "<I"
        prefixLength = struct.calcsize(structFormat)

    assert framed(Little, b"ab") == b"\2\0\0\0ab"
    protocol, heard = listening(Little)
    protocol.dataReceived(b"\2\0\0\0ab")
    assert heard == [b"ab"]


# ----------------------------------------------------------------------------------------------------------- stateful


class Login(StatefulStringProtocol):
    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def proto_init(self, string: bytes) -> str:
        self.heard.append(("init", string))
        return string.decode()

    def proto_second(self, string: bytes) -> str:
        self.heard.append(("second", string))
        return "done"


@pytest.mark.parametrize("kind", ALL)
def test_the_state_says_which_method_gets_a_string(kind: Any) -> None:
    protocol = type("LoginReceiver", (Login, kind), {})()
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(framed(kind, b"init", b"second", b"last", b"too late"))
    assert protocol.heard == [("init", b"init"), ("init", b"second"), ("second", b"last")]
    assert protocol.transport.disconnecting


def test_a_state_without_a_method_is_logged(logged: Any) -> None:
    protocol = type("LoginReceiver", (Login, NetstringReceiver), {})()
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(framed(NetstringReceiver, b"nowhere", b"dropped"))
    assert protocol.state == "nowhere"
    assert "no method proto_nowhere" in logged.take()[0].getMessage()
    assert not protocol.transport.disconnecting


# ----------------------------------------------------------------------------------------------------- work, by count


@pytest.mark.parametrize("kind", ALL)
def test_empty_strings_in_numbers_cost_work_linear_in_them(kind: Any, counted: type[Counted]) -> None:
    empty = framed(kind, b"")
    count = (1 << 17) // len(empty)
    seen = 0

    def received(string: bytes) -> None:
        nonlocal seen
        seen += 1

    protocol, _ = listening(kind)
    protocol.stringReceived = received
    protocol.dataReceived(empty[:1])
    if len(empty) > 1:
        protocol._buffer = counted(protocol._buffer)
    protocol.dataReceived(empty[1:] + empty * (count - 1))
    assert seen == count
    assert counted.copied <= 4 * count * len(empty)


@pytest.mark.parametrize("kind", ALL)
def test_a_long_string_byte_by_byte_is_copied_a_few_times(kind: Any, counted: type[Counted]) -> None:
    size = 255 if kind is Int8StringReceiver else 20_000
    data = framed(kind, b"x" * size)
    protocol, heard = listening(kind)
    protocol.dataReceived(data[:1])
    protocol._buffer = counted(protocol._buffer)
    for at in range(1, len(data)):
        protocol.dataReceived(data[at : at + 1])
    assert heard == [b"x" * size]
    assert counted.copied <= 10 * len(data)


@pytest.mark.parametrize("kind", INTS[1:])
def test_a_length_that_is_announced_reserves_no_memory(kind: Any) -> None:
    protocol, _ = listening(kind)
    protocol.MAX_LENGTH = 1 << 32
    protocol.dataReceived(b"\xff" * kind.prefixLength)
    assert len(protocol._buffer) == kind.prefixLength
