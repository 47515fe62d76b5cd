"""Streams over sockets, in coroutines of netcore's and in asyncio's Tasks: whole conversations, also with TLS."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

import netcore
from netcore.defer import CancelledError, Deferred, maybeDeferred
from netcore.endpoints import SSL4ClientEndpoint, SSL4ServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint
from netcore.error import ConnectionClosed
from netcore.protocols.stream import Stream, StreamFactory, openStream
from netcore.reactors import Reactor
from tests.integration.netcore.worlds import everywhere, in_asyncio, in_reactor
from tests.support.certificates import client_context, server_context

MUCH = 4 << 20
worlds = pytest.mark.parametrize("run", [in_asyncio, in_reactor])


async def serving(handler: Any, secure: bool = False) -> tuple[Any, Any]:
    """A port that serves *handler*, and an endpoint that leads there."""
    reactor = Reactor.current()
    if secure:
        port = await SSL4ServerEndpoint(reactor, 0, server_context(), interface="127.0.0.1").listen(
            StreamFactory(handler)
        )
        return port, SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, client_context())
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(StreamFactory(handler))
    return port, TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)


@worlds
@pytest.mark.parametrize("secure", [False, True])
def test_a_conversation(run: Any, secure: bool) -> None:
    async def digest(stream: Stream) -> None:
        """Answers the length and the hash of what comes after a length."""
        while size := await stream.readline():
            body = await stream.readexactly(int(size))
            stream.write(b"%d %b\n" % (len(body), hashlib.sha256(body).hexdigest().encode()))
            await stream.drain()

    async def main() -> None:
        port, endpoint = await serving(digest, secure)
        async with await openStream(endpoint) as stream:
            for body in (b"", b"x", bytes(range(256)) * (MUCH // 256)):
                stream.write(b"%d\n" % len(body))
                for at in range(0, len(body), 100_000):
                    stream.write(body[at : at + 100_000])
                    await stream.drain()
                answer = b"%d %b\n" % (len(body), hashlib.sha256(body).hexdigest().encode())
                assert await stream.readline() == answer
            if not secure:
                stream.endWriting()
                assert await stream.read() == b""
        await maybeDeferred(port.stopListening)

    run(main)


@worlds
def test_a_sender_waits_for_a_reader_that_is_slow(run: Any) -> None:
    """What the sender has in memory stays small, however much it sends."""
    waiting: list[int] = []
    ready: list[Deferred[None]] = []

    async def source(stream: Stream) -> None:
        for _ in range(MUCH // 50_000 * 4):
            stream.write(bytes(50_000))
            await stream.drain()
            waiting.append(stream.transport._size)  # type: ignore[attr-defined]
            if len(waiting) == 1:
                ready[0].callback(None)

    async def main() -> None:
        ready.append(Deferred())
        port, endpoint = await serving(source)
        async with await openStream(endpoint) as stream:
            await ready[0]
            total = 0
            async for data in stream:
                assert len(stream._buffer) <= stream.limit + (256 << 10)
                total += len(data)
        assert total == MUCH // 50_000 * 4 * 50_000
        assert max(waiting) <= 2 * (64 << 10)
        await maybeDeferred(port.stopListening)

    run(main)


@worlds
def test_a_read_that_is_cancelled_again_and_again_loses_nothing(run: Any) -> None:
    async def lines(stream: Stream) -> None:
        for number in range(300):
            stream.write(b"%d\n" % number)
            await asyncio.sleep(0)

    async def main() -> None:
        port, endpoint = await serving(lines)
        got: list[bytes] = []
        attempts = 0
        async with await openStream(endpoint) as stream:
            while len(got) < 300:
                task = asyncio.ensure_future(stream.readline())
                attempts += 1
                for _ in range(attempts % 5):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    got.append(await task)
                except asyncio.CancelledError:
                    await asyncio.sleep(0)
            assert await stream.read(1) == b""
        assert got == [b"%d\n" % number for number in range(300)]
        await maybeDeferred(port.stopListening)

    run(main)


@everywhere
def test_a_scope_ends_what_a_handler_does_when_its_connection_is_lost(run: Any) -> None:
    ended: list[Any] = []
    begun: list[Deferred[None]] = []

    async def forever() -> None:
        begun[0].callback(None)
        try:
            await Deferred[None]()
        except (CancelledError, asyncio.CancelledError):
            ended.append("cancelled")
            raise

    async def handler(stream: Stream) -> None:
        try:
            async with netcore.scope(stream.transport) as scope:
                scope.start(forever())
                await stream.read(1)
        finally:
            ended.append("left")
            over[0].callback(None)

    over: list[Deferred[None]] = []

    async def main() -> None:
        begun.append(Deferred())
        over.append(Deferred())
        port, endpoint = await serving(handler)
        stream = await openStream(endpoint)
        await begun[0]
        stream.abort()
        await stream.waitClosed()
        await over[0]
        await maybeDeferred(port.stopListening)

    run(main)
    assert ended == ["cancelled", "left"]


@worlds
def test_a_connection_that_cannot_be_made_says_why(run: Any) -> None:
    async def main() -> None:
        async def never(stream: Stream) -> None:
            pass

        port, endpoint = await serving(never)
        await maybeDeferred(port.stopListening)
        with pytest.raises(netcore.error.ConnectError):
            await openStream(endpoint)

    run(main)


@worlds
def test_forty_at_a_time(run: Any) -> None:
    async def upper(stream: Stream) -> None:
        async for data in stream:
            stream.write(data.upper())

    async def main() -> None:
        port, endpoint = await serving(upper)

        async def client(number: int) -> bytes:
            async with await openStream(endpoint) as stream:
                stream.write(b"client %d\n" % number)
                return await stream.readline()

        answers = await asyncio.gather(*(client(number) for number in range(40)))
        assert answers == [b"CLIENT %d\n" % number for number in range(40)]
        await maybeDeferred(port.stopListening)

    run(main)


@worlds
def test_a_peer_that_resets_is_told_to_who_writes(run: Any) -> None:
    told: list[Deferred[BaseException]] = []

    async def writes(stream: Stream) -> None:
        try:
            while True:
                stream.write(bytes(100_000))
                await stream.drain()
        except ConnectionClosed as error:
            told[0].callback(error)  # type: ignore[arg-type]
            raise

    async def main() -> None:
        told.append(Deferred())
        port, endpoint = await serving(writes)
        stream = await openStream(endpoint)
        assert len(await stream.readexactly(1000)) == 1000
        stream.abort()
        assert isinstance(await told[0], ConnectionClosed)
        await stream.waitClosed()
        await maybeDeferred(port.stopListening)

    run(main)


@worlds
def test_what_came_before_tls_is_not_read_as_if_it_had_been_encrypted(run: Any) -> None:
    """CVE-2011-0411."""
    read: list[bytes] = []
    ended: list[Deferred[None]] = []

    async def upgrades(stream: Stream) -> None:
        try:
            read.append(await stream.readline())
            stream.transport.startTLS(server_context())  # type: ignore[attr-defined]
            read.append(await stream.readline())
        finally:
            ended[0].callback(None)

    async def main() -> None:
        ended.append(Deferred())
        port, endpoint = await serving(upgrades)
        async with await openStream(endpoint) as stream:
            stream.write(b"STARTTLS\nslipped in\n")
            await ended[0]
        await maybeDeferred(port.stopListening)

    run(main)
    assert read == [b"STARTTLS\n"]
