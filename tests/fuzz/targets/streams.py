"""`Stream`: a random sequence of reads, against the same on a string; some of them are cancelled in between."""

from __future__ import annotations

from random import Random
from typing import Any

from netcore.defer import ensureDeferred
from netcore.protocols.stream import IncompleteReadError, LimitOverrunError, Stream
from netcore.testing import StringTransport
from tests.fuzz.frame import calls, cuts, noise

Read = tuple[str, Any]


def expected(data: bytes, reads: list[Read], limit: int) -> list[Any]:
    """What the reads must give, up to the first error."""
    told: list[Any] = []
    for name, wanted in reads:
        if name == "readexactly":
            end = wanted if len(data) >= wanted else -1
        else:
            at = data.find(wanted, 0, limit + len(wanted))
            end = at + len(wanted) if at >= 0 else -1
            if at < 0 and len(data) >= limit + len(wanted):
                return [*told, LimitOverrunError]
        if end < 0:
            return [*told, data]
        told.append(data[:end])
        data = data[end:]
    return told


async def read_all(stream: Stream, reads: list[Read], told: list[Any]) -> None:
    """Does the reads that are left."""
    while reads:
        name, wanted = reads[0]
        try:
            told.append(await getattr(stream, name)(wanted))
            reads.pop(0)
        except IncompleteReadError as error:
            told.append(error.partial)
            reads.clear()
        except LimitOverrunError:
            told.append(LimitOverrunError)
            reads.clear()


def feed(
    stream: Stream, transport: StringTransport, pieces: list[bytes], reads: list[Read], cancels: Random
) -> list[Any]:
    """What the reads give when *pieces* come, and then the end; a cancelled one is begun again."""
    told: list[Any] = []
    reading = ensureDeferred(read_all(stream, reads, told))
    for piece in pieces:
        if cancels.random() < 0.2 and reads:
            reading.addErrback(lambda _: None)
            reading.cancel()
            reading = ensureDeferred(read_all(stream, reads, told))
        if reads:
            assert transport.producerState == "producing", "who waits must be served"
            stream.dataReceived(piece)
    stream.readConnectionLost()
    assert reads == []
    return told


def one(random: Random) -> None:
    """Reads of every kind, of what the separators are made of."""
    limit = random.choice((1, 5, 50))
    data = noise(random, 400, random.choice((b"ab", b"\n\0a", bytes(range(256)))))
    reads: list[Read] = []
    while random.random() < 0.9:
        reads.append(
            random.choice(
                (
                    ("readuntil", random.choice((b"\n", b"aab", b"\0", b"ba"))),
                    ("readexactly", random.choice((0, 1, 7, 100))),
                )
            )
        )
    told = expected(data, reads, limit)
    cancels = Random(random.random())
    for pieces in cuts(random, data):
        stream, transport = Stream(limit), StringTransport()
        stream.makeConnection(transport)
        heard: list[Any] = []
        work = calls(lambda: heard.extend(feed(stream, transport, pieces, list(reads), cancels)))  # noqa: B023
        assert heard == told, (data, pieces, reads, limit)
        assert work <= 400 * (len(data) + len(reads) + 1), (work, data)
