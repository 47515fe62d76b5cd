"""StringTransport: it keeps what is written, and notes what it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.address import IPv4Address
from netcore.error import ConnectionAborted, ConnectionDone
from netcore.protocol import Protocol
from netcore.testing import StringTransport, StringTransportWithDisconnection


def test_it_keeps_what_is_written_as_a_whole_and_call_by_call() -> None:
    transport = StringTransport()
    transport.write(b"one")
    transport.writeSequence([b"t", b"w", b"o"])
    assert transport.value() == b"onetwo"
    assert transport.written == [b"one", b"two"]
    assert transport.io.getvalue() == b"onetwo"


def test_clear_forgets() -> None:
    transport = StringTransport()
    transport.write(b"one")
    transport.clear()
    assert transport.value() == b""
    assert transport.written == []
    transport.write(b"two")
    assert transport.value() == b"two"


@pytest.mark.parametrize("data", ["text", None, 5, [b"x"]])
def test_only_bytes_can_be_written(data: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(data).__name__}"):
        StringTransport().write(data)


@pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x")])
def test_bytes_like_data_is_kept_as_it_was(data: Any) -> None:
    transport = StringTransport()
    transport.write(data)
    assert transport.written == [b"x"]
    assert type(transport.written[0]) is bytes


def test_closing_leaves_a_mark_and_nothing_else() -> None:
    transport = StringTransport()
    assert not transport.disconnecting
    transport.loseConnection()
    assert transport.disconnecting
    assert not transport.disconnected
    transport.write(b"late")
    assert transport.value() == b"late"


def test_ending_our_half_leaves_a_mark_of_its_own() -> None:
    transport = StringTransport()
    assert not transport.writeDisconnecting
    transport.loseWriteConnection()
    assert transport.writeDisconnecting
    assert not transport.disconnecting
    transport.write(b"seen all the same")
    assert transport.value() == b"seen all the same"


def test_write_limits_are_remembered_and_checked() -> None:
    transport = StringTransport()
    assert transport.writeLimits == (65536, 0, None)
    transport.setWriteLimits(10, 5, maximum=20)
    assert transport.writeLimits == (10, 5, 20)
    with pytest.raises(ValueError, match="0 <= low <= high < maximum"):
        transport.setWriteLimits(5, 10)


def test_aborting_leaves_both_marks() -> None:
    transport = StringTransport()
    transport.abortConnection()
    assert transport.disconnecting
    assert transport.disconnected


def test_addresses_have_defaults_and_can_be_given() -> None:
    transport = StringTransport()
    assert transport.getHost() != transport.getPeer()
    host, peer = IPv4Address("TCP", "192.0.2.1", 1), IPv4Address("TCP", "192.0.2.2", 2)
    transport = StringTransport(hostAddress=host, peerAddress=peer)
    assert (transport.getHost(), transport.getPeer()) == (host, peer)


def test_one_producer_at_a_time() -> None:
    transport, producer = StringTransport(), object()
    transport.registerProducer(producer, True)
    assert (transport.producer, transport.streaming) == (producer, True)
    with pytest.raises(RuntimeError, match="unregister it first"):
        transport.registerProducer(object(), False)
    transport.unregisterProducer()
    assert transport.producer is None
    with pytest.raises(RuntimeError, match="no producer"):
        transport.unregisterProducer()


def test_it_notes_what_it_is_asked_as_a_producer() -> None:
    transport = StringTransport()
    assert transport.producerState == "producing"
    transport.pauseProducing()
    assert transport.producerState == "paused"
    transport.resumeProducing()
    assert transport.producerState == "producing"
    transport.stopProducing()
    assert transport.producerState == "stopped"


@pytest.mark.parametrize("ending", ["stopProducing", "loseConnection"])
def test_at_its_end_it_can_neither_pause_nor_resume(ending: str) -> None:
    transport = StringTransport()
    getattr(transport, ending)()
    for call in (transport.pauseProducing, transport.resumeProducing):
        with pytest.raises(RuntimeError):
            call()


def test_tcp_options_are_remembered() -> None:
    transport = StringTransport()
    assert not transport.getTcpNoDelay()
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(1)  # type: ignore[arg-type]  # as one may write it
    assert transport.getTcpNoDelay()
    assert transport.getTcpKeepAlive() is True


# ----------------------------------------------------------------------------------------- what loses its connection


def lost_by(transport: StringTransportWithDisconnection) -> list[Any]:
    """What a protocol on *transport* hears of its end."""
    heard: list[Any] = []
    protocol = Protocol()
    protocol.connectionLost = lambda reason=None: heard.append(reason.type)  # type: ignore[method-assign]
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return heard


def test_a_connection_is_lost_when_it_is_asked_to() -> None:
    transport = StringTransportWithDisconnection()
    heard = lost_by(transport)
    assert transport.connected
    transport.loseConnection()
    assert heard == [ConnectionDone]
    assert transport.disconnecting
    assert not transport.connected
    transport.loseConnection()
    transport.abortConnection()
    assert heard == [ConnectionDone]


def test_a_connection_is_aborted() -> None:
    transport = StringTransportWithDisconnection()
    heard = lost_by(transport)
    transport.abortConnection()
    assert heard == [ConnectionAborted]
    assert transport.disconnected


def test_addresses_are_attributes_too() -> None:
    host, peer = IPv4Address("TCP", "127.0.0.1", 79), IPv4Address("TCP", "127.0.0.1", 5000)
    transport = StringTransport(host, peerAddress=peer)
    assert (transport.hostAddr, transport.peerAddr) == (host, peer) == (transport.getHost(), transport.getPeer())


def test_a_lenient_one_may_be_paused_when_it_is_closing() -> None:
    transport = StringTransport(lenient=True)
    transport.loseConnection()
    transport.pauseProducing()
    assert transport.producerState == "paused"
    transport.stopProducing()
    with pytest.raises(RuntimeError):
        transport.resumeProducing()
