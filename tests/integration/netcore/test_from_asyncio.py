"""Servers that were written for asyncio, on netcore's endpoints: aiohttp's, and asyncio's own streams with STARTTLS.
`test_aiosmtpd.py` has another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from netcore.defer import Deferred, maybeDeferred
from netcore.endpoints import TCP4ServerEndpoint, clientFromString
from netcore.error import ConnectionDone
from netcore.protocols.adapt import fromAsyncio
from netcore.protocols.stream import openStream
from netcore.reactors import Reactor
from netcore.ssl import ClientTLSOptions
from netcore.testing.contracts._recorder import OneProtocol, Recorder
from tests.integration.netcore.tcp_peers import BIG
from tests.integration.netcore.worlds import in_asyncio
from tests.support.certificates import HOST, client_context, server_context

Run = Callable[..., Any]


def test_aiohttp_serves_its_own_client() -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        peer = request.transport.get_extra_info("peername")  # type: ignore[union-attr]
        return web.Response(body=await request.read() + f" from {peer[0]}".encode())

    async def main() -> None:
        server = web.Server(answer)
        port = await TCP4ServerEndpoint(Reactor.current(), 0, interface="127.0.0.1").listen(fromAsyncio(server))
        async with aiohttp.ClientSession() as session:
            for body in (b"hello", b"x" * 1_000_000):
                async with session.post(f"http://127.0.0.1:{port.getHost().port}/", data=body) as response:
                    assert await response.read() == body + b" from 127.0.0.1"
        await server.shutdown(1)
        await maybeDeferred(port.stopListening)

    in_asyncio(main)


def test_a_client_of_asyncios_connects(run: Run, reactor: Reactor, unix_place: str) -> None:
    class Client(asyncio.Protocol):
        def __init__(self) -> None:
            self.lost = Deferred[Any]()
            self.received = 0
            self.told: list[str] = []

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.place = transport.get_extra_info("peername")
            transport.write(BIG)
            transport.write_eof()

        def pause_writing(self) -> None:
            self.told.append("pause")

        def resume_writing(self) -> None:
            self.told.append("resume")

        def data_received(self, data: bytes) -> None:
            self.received += len(data)

        def connection_lost(self, exc: BaseException | None) -> None:
            self.lost.callback(exc)

    async def main() -> None:
        server = Recorder()
        server.on_data = lambda recorder, data: recorder.transport.write(data)
        port = reactor.listenUNIX(f"{unix_place}/socket", OneProtocol(server))
        client = Client()
        reactor.connectUNIX(f"{unix_place}/socket", fromAsyncio(lambda: client))
        await server.made.times()
        assert client.place == f"{unix_place}/socket"
        assert client.transport.get_extra_info("socket").fileno() >= 0
        assert await client.lost is None
        assert client.received == len(BIG)
        assert client.told[:2] == ["pause", "resume"]
        assert server.received == BIG
        assert type(await server.lost.times()) is ConnectionDone
        await maybeDeferred(port.stopListening)

    run(main)


def test_limits_hold_for_what_waits_already(run: Run, reactor: Reactor) -> None:
    class Server(asyncio.Protocol):
        def __init__(self) -> None:
            self.told: list[str] = []

        def connection_made(self, transport: Any) -> None:
            transport.set_write_buffer_limits(2 * len(BIG))
            transport.write(BIG)
            self.told.append("written")
            transport.set_write_buffer_limits(0)
            self.transport = transport

        def pause_writing(self) -> None:
            self.told.append("pause")

        def resume_writing(self) -> None:
            self.told.append("resume")
            self.transport.close()

    async def main() -> None:
        server = Server()
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(fromAsyncio(lambda: server))
        stream = await openStream(clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}"))
        async with stream:
            assert await stream.readexactly(len(BIG)) == BIG
            assert await stream.read(1) == b""
        assert server.told == ["written", "pause", "resume"]
        await maybeDeferred(port.stopListening)

    run(main)


def test_asyncios_own_streams_can_start_tls(run: Run, reactor: Reactor, request: pytest.FixtureRequest) -> None:
    """On asyncio's loops: uvloop's start_tls takes transports of uvloop's only, and says so."""
    on_uvloop = request.config.getoption("--loop") == "uvloop"
    told: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        try:
            await writer.start_tls(server_context())
            writer.write(await reader.readline())
            await writer.drain()
        except TypeError as error:
            told.append(error)
        writer.close()

    def make() -> asyncio.StreamReaderProtocol:
        loop = asyncio.get_running_loop()
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), serve, loop=loop)

    async def main() -> None:
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(fromAsyncio(make))
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
        async with await openStream(endpoint) as stream:
            stream.write(b"STARTTLS\n")
            assert await stream.readline() == b"go ahead\n"
            if not on_uvloop:
                stream.transport.startTLS(ClientTLSOptions(HOST, client_context()))  # type: ignore[attr-defined]
                stream.write(b"secret\n")
                assert await stream.readline() == b"secret\n"
            assert await stream.read(1) == b""
        await maybeDeferred(port.stopListening)

    run(main)
    assert len(told) == on_uvloop
