"""FileSender: a file goes out piece by piece, and its Deferred tells how it went."""

from __future__ import annotations

import io
from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred
from netcore.failure import Failure
from netcore.interfaces import IPullProducer, provides
from netcore.protocol import FileWrapper, Protocol
from netcore.protocols.basic import FileSender
from netcore.testing import StringTransport, connectedPair


def outcome(deferred: Deferred[Any]) -> list[Any]:
    """The list in which the result stands once it is there; a failure as its exception."""
    results: list[Any] = []
    deferred.addBoth(lambda result: results.append(result.value if isinstance(result, Failure) else result))
    return results


def begin(data: bytes, transform: Any = None) -> tuple[FileSender, StringTransport, list[Any]]:
    sender, transport = FileSender(), StringTransport()
    return sender, transport, outcome(sender.beginFileTransfer(io.BytesIO(data), transport, transform))


def test_a_file_is_sent_when_asked_for_and_the_last_byte_told() -> None:
    sender, transport, results = begin(b"x" * 20_000 + b"!")
    assert provides(sender, IPullProducer)
    assert transport.producer is sender
    assert transport.streaming is False
    assert transport.value() == b""
    sender.resumeProducing()
    assert len(transport.value()) == sender.CHUNK_SIZE == 16_384
    sender.resumeProducing()
    assert transport.value() == b"x" * 20_000 + b"!"
    assert results == []
    sender.resumeProducing()
    assert results == [b"!"]
    assert transport.producer is None
    sender.resumeProducing()
    assert results == [b"!"]


def test_an_empty_file_has_no_last_byte() -> None:
    sender, transport, results = begin(b"")
    sender.resumeProducing()
    assert results == [b""]
    assert transport.producer is None


def test_what_transform_makes_of_it_is_sent_even_if_that_is_nothing() -> None:
    sender, transport, results = begin(b"a" * 40_000 + b"b", lambda piece: piece.strip(b"a").upper())
    sender.resumeProducing()
    assert transport.value() == b"B", "pieces of which nothing is left are passed over, or nobody would ask again"
    sender.resumeProducing()
    assert results == [b"B"]


def test_a_consumer_that_asks_to_stop_fails_the_transfer() -> None:
    sender, transport, results = begin(b"x")
    sender.stopProducing()
    assert type(results[0]) is Exception
    assert "asked to stop" in str(results[0])
    sender.stopProducing()
    sender.resumeProducing()
    assert transport.value() == b""
    assert len(results) == 1


def test_what_reading_raises_fails_the_transfer() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("worn out")

    sender, transport = FileSender(), StringTransport()
    results = outcome(sender.beginFileTransfer(Broken(), transport))
    sender.resumeProducing()
    assert str(results[0]) == "worn out"
    assert transport.producer is None
    assert not transport.disconnecting, "what is to become of the connection is for the application to say"


def test_what_transform_raises_fails_the_transfer() -> None:
    sender, transport, results = begin(b"x", lambda piece: piece.decode("utf-16").encode())
    sender.resumeProducing()
    assert isinstance(results[0], UnicodeDecodeError)
    assert transport.producer is None


def test_cancelling_stops_the_transfer() -> None:
    sender, transport = FileSender(), StringTransport()
    sent = sender.beginFileTransfer(io.BytesIO(b"x" * 40_000), transport)
    results = outcome(sent)
    sender.resumeProducing()
    sent.cancel()
    assert isinstance(results[0], CancelledError)
    assert transport.producer is None
    sender.resumeProducing()
    assert len(transport.value()) == sender.CHUNK_SIZE


@pytest.mark.parametrize("left", [b"", b"x"])
def test_a_transfer_can_be_cancelled_by_its_own_transformation(left: bytes) -> None:
    def transform(piece: bytes) -> bytes:
        sent.cancel()
        return left

    sender, transport = FileSender(), StringTransport()
    sent = sender.beginFileTransfer(io.BytesIO(b"x" * 40_000), transport, transform)
    results = outcome(sent)
    sender.resumeProducing()
    assert isinstance(results[0], CancelledError)
    assert transport.producer is None
    assert transport.value() == b""


def test_a_transformation_may_abort_the_connection_and_raise() -> None:
    def transform(piece: bytes) -> bytes:
        sender.stopProducing()
        raise KeyError

    sender, transport, results = begin(b"x", transform)
    sender.resumeProducing()
    assert "asked to stop" in str(results[0])
    assert transport.value() == b""


def test_a_second_file_waits_for_another_sender_or_the_end_of_the_first() -> None:
    sender, transport, results = begin(b"one")
    with pytest.raises(RuntimeError, match="a sender of its own"):
        sender.beginFileTransfer(io.BytesIO(b"two"), StringTransport())
    with pytest.raises(RuntimeError, match="registered"):
        FileSender().beginFileTransfer(io.BytesIO(b"two"), transport)
    sender.resumeProducing()
    sender.resumeProducing()
    assert results == [b"e"]
    again = outcome(sender.beginFileTransfer(io.BytesIO(b""), transport))
    sender.resumeProducing()
    assert again == [b""]


def test_a_file_goes_over_a_connection() -> None:
    data = bytes(range(256)) * 400
    received: list[bytes] = []

    class Client(Protocol):
        def dataReceived(self, data: bytes) -> None:
            received.append(data)

    pair = connectedPair(Protocol(), Client())
    results = outcome(FileSender().beginFileTransfer(io.BytesIO(data), pair.serverTransport))
    pair.serverTransport.loseConnection()
    pair.flush()
    assert b"".join(received) == data
    assert results == [b"\xff"]


def test_a_large_file_goes_into_a_file_without_a_deep_stack() -> None:
    class Small(FileSender):
        CHUNK_SIZE = 1

    kept = io.BytesIO()
    results = outcome(Small().beginFileTransfer(io.BytesIO(b"x" * 10_000), FileWrapper(kept)))
    assert results == [b"x"]
    assert kept.getvalue() == b"x" * 10_000
