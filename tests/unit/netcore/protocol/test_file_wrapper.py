"""FileWrapper: a file where a protocol wants a transport."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from netcore.protocol import FileWrapper, Protocol
from netcore.protocols.basic import LineReceiver


def test_what_a_protocol_writes_is_in_the_file() -> None:
    file = io.BytesIO()
    protocol = LineReceiver()
    protocol.makeConnection(FileWrapper(file))
    protocol.sendLine(b"hello")
    protocol.transport.writeSequence([b"a", b"b"])
    assert file.getvalue() == b"hello\r\nab"


@pytest.mark.parametrize("close", ["loseConnection", "stopProducing", "stopConsuming"])
def test_closing_closes_the_file(close: str) -> None:
    file = io.BytesIO()
    wrapper = FileWrapper(file)
    assert not wrapper.closed
    getattr(wrapper, close)()
    assert file.closed
    assert wrapper.closed
    assert wrapper.disconnecting
    wrapper.write(b"dropped")


def test_it_has_addresses_of_a_kind_and_takes_pauses() -> None:
    wrapper = FileWrapper(io.BytesIO())
    assert wrapper.getPeer() == ("file", "file")
    assert wrapper.getHost() == "file"
    wrapper.pauseProducing()
    wrapper.resumeProducing()
    Protocol().makeConnection(wrapper)


def test_what_the_file_raises_can_be_seen() -> None:
    class Full:
        def write(self, data: Any) -> int:
            raise OSError("full")

        def close(self) -> None:
            raise OSError("busy")

    class Telling(FileWrapper):
        def handleException(self) -> None:
            told.append(str(sys.exception()))

    told: list[str] = []
    full: Any = Full()
    Telling(full).write(b"x")
    Telling(full).loseConnection()
    assert told == ["full", "busy"]
    FileWrapper(full).write(b"x")


class Producer:
    """Writes so many pieces, one each time it is asked."""

    def __init__(self, consumer: FileWrapper, pieces: int) -> None:
        self.consumer, self.left = consumer, pieces

    def resumeProducing(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.consumer.unregisterProducer()
        else:
            self.consumer.write(b"x")


def test_a_pull_producer_is_asked_until_it_has_finished() -> None:
    wrapper = FileWrapper(io.BytesIO())
    wrapper.registerProducer(Producer(wrapper, 10_000), False)
    assert wrapper.producer is None
    assert wrapper.file.getvalue() == b"x" * 10_000  # type: ignore[attr-defined]


def test_one_that_has_nothing_yet_is_asked_again_after_the_next_write() -> None:
    wrapper = FileWrapper(io.BytesIO())
    asked = []

    class Idle:
        def resumeProducing(self) -> None:
            asked.append(True)

    wrapper.registerProducer(Idle(), False)
    assert len(asked) == 1
    wrapper.write(b"x")
    assert len(asked) == 2


def test_a_push_producer_is_left_alone_and_there_is_one_at_most() -> None:
    wrapper = FileWrapper(io.BytesIO())
    producer = object()
    wrapper.registerProducer(producer, True)
    wrapper.write(b"x")
    assert wrapper.producer is producer
    assert wrapper.streamingProducer
    with pytest.raises(RuntimeError, match="unregister it first"):
        wrapper.registerProducer(object(), True)
    wrapper.unregisterProducer()
    wrapper.registerProducer(object(), True)


def test_a_producer_that_closes_the_file_is_asked_no_more() -> None:
    class Endless:
        asked = 0

        def resumeProducing(self) -> None:
            self.asked += 1
            assert self.asked < 10, "it is asked for ever"
            if self.asked == 3:
                wrapper.loseConnection()
            wrapper.write(b"x")

    wrapper, producer = FileWrapper(io.BytesIO()), Endless()
    wrapper.registerProducer(producer, False)
    assert producer.asked == 3
