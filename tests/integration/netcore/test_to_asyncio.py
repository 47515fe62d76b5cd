"""netcore's protocols on asyncio's loops: what `tests/contract/test_adapted.py` does not have."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netcore.address import IPv4Address, UNIXAddress
from netcore.defer import Deferred
from netcore.error import ConnectionAborted, ConnectionDone
from netcore.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    INegotiated,
    ITCPTransport,
    implementer,
    provides,
)
from netcore.protocol import Factory
from netcore.protocols.adapt import toAsyncio
from netcore.protocols.basic import LineReceiver
from netcore.testing.contracts._recorder import FactoryRecorder, OneProtocol, Push, Recorder
from tests.integration.netcore.worlds import in_asyncio, turns
from tests.support.certificates import HOST, client_context, server_context


class Upper(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        if line == b"quit":
            self.transport.loseConnection()
        else:
            self.sendLine(line.upper())


class Quiet(Factory[Any]):
    noisy = False


def test_a_protocol_serves_on_a_loop() -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(toAsyncio(Quiet.forProtocol(Upper)), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\r\nquit\r\nnot heard\r\n")
            assert await reader.read() == b"HELLO\r\n"
            writer.close()
            await writer.wait_closed()

    in_asyncio(main)


def test_a_factory_is_started_for_the_first_connection_and_stopped_after_the_last() -> None:
    async def main() -> None:
        factory = FactoryRecorder()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(toAsyncio(factory), "127.0.0.1", 0)
        place = server.sockets[0].getsockname()
        client_factory = FactoryRecorder()
        ones = [(await loop.create_connection(toAsyncio(client_factory), *place))[1].protocol for _ in range(2)]
        assert ones == client_factory.built
        await factory.made.times(2)
        assert isinstance(client_factory.addr, IPv4Address)
        assert client_factory.addr.port == place[1]
        for one, other in zip(ones, factory.built, strict=True):
            one.transport.loseConnection()
            assert type(await one.lost.times()) is ConnectionDone
            assert type(await other.lost.times()) is ConnectionDone
        assert [factory.started, factory.stopped] == [1, 1]
        assert [client_factory.started, client_factory.stopped] == [1, 1]
        server.close()

    in_asyncio(main)


def test_a_factory_that_builds_nothing_refuses() -> None:
    async def main() -> None:
        factory = FactoryRecorder()
        factory.build = lambda: None
        server = await asyncio.get_running_loop().create_server(toAsyncio(factory), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert [factory.started, factory.stopped] == [1, 1]

    in_asyncio(main)


def test_a_factory_that_cannot_start_refuses() -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context))

        class Broken(Quiet):
            def startFactory(self) -> None:
                raise KeyError

        server = await loop.create_server(toAsyncio(Broken.forProtocol(Upper)), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
        assert isinstance(told[0]["exception"], KeyError)

    in_asyncio(main)


def test_a_factory_that_could_not_start_for_one_connection_is_not_stopped_by_it() -> None:
    told: list[str] = []

    class Late(Quiet):
        def startFactory(self) -> None:
            told.append("start")
            if len(told) == 1:
                raise KeyError

        def stopFactory(self) -> None:
            told.append("stop")

    class Transport(asyncio.Transport):
        def abort(self) -> None: ...

    make = toAsyncio(Late.forProtocol(Upper))
    one, other = make(), make()
    with pytest.raises(KeyError):
        one.connection_made(Transport())
    other.connection_made(Transport())
    one.connection_lost(None)
    assert told == ["start", "start"]
    other.connection_lost(None)
    assert told == ["start", "start", "stop"]


def test_what_is_no_factory_is_refused() -> None:
    protocol: Any = Upper
    with pytest.raises(TypeError, match="is no factory"):
        toAsyncio(protocol)


def test_what_connection_made_raises_is_the_reason() -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context))
        factory = FactoryRecorder()

        def build() -> Recorder:
            recorder = Recorder()
            recorder.on_made = lambda recorder: {}[recorder]
            return recorder

        factory.build = build
        server = await loop.create_server(toAsyncio(factory), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                assert await reader.read() == b""
            except ConnectionResetError:
                pass
            writer.close()
        assert isinstance(await factory.built[0].lost.times(), KeyError)
        assert isinstance(told[0]["exception"], KeyError)

    in_asyncio(main)


def test_a_producer_may_abort_when_it_is_resumed() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        errors: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: errors.append(context))
        factory, client = FactoryRecorder(), FactoryRecorder()
        server = await loop.create_server(toAsyncio(factory), "127.0.0.1", 0)
        await loop.create_connection(toAsyncio(client), *server.sockets[0].getsockname())
        sender, receiver = client.built[0], await factory.made.times()

        class Leaving:
            def pauseProducing(self) -> None:
                pass

            def resumeProducing(self) -> None:
                sender.transport.abortConnection()

            def stopProducing(self) -> None:
                pass

        sender.transport.registerProducer(Leaving(), True)
        sender.transport.write(bytes(16 << 20))
        assert type(await sender.lost.times()) is ConnectionAborted
        await receiver.lost.times()
        server.close()
        assert errors == []

    in_asyncio(main)


def test_the_end_of_writing_is_told_when_all_is_sent() -> None:
    @implementer(IHalfCloseableProtocol)
    class Half(Recorder):
        def readConnectionLost(self) -> None:
            self.told.append("read ended")

        def writeConnectionLost(self) -> None:
            self.told.append("write ended")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        factory, client = FactoryRecorder(), FactoryRecorder()
        client.build = Half
        server = await loop.create_server(toAsyncio(factory), "127.0.0.1", 0)
        await loop.create_connection(toAsyncio(client), *server.sockets[0].getsockname())
        sender, receiver = client.built[0], await factory.made.times()
        receiver.transport.pauseProducing()
        sender.transport.write(bytes(32 << 20))
        sender.transport.loseWriteConnection()
        sender.transport.loseWriteConnection()
        sender.transport.write(b"dropped")
        await turns(20)
        assert sender.told == ["made"]
        receiver.transport.resumeProducing()
        await receiver.lost.times()
        assert len(receiver.received) == 32 << 20
        await sender.lost.times()
        assert sender.told == ["made", "write ended", "read ended", "lost"]
        server.close()

    in_asyncio(main)


def test_there_is_one_producer_at_a_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        factory, client = FactoryRecorder(), FactoryRecorder()
        server = await loop.create_server(toAsyncio(factory), "127.0.0.1", 0)
        await loop.create_connection(toAsyncio(client), *server.sockets[0].getsockname())
        transport = client.built[0].transport
        producer = Push()
        transport.registerProducer(producer, True)
        with pytest.raises(RuntimeError, match="unregister it first"):
            transport.registerProducer(Push(), True)
        (await factory.made.times()).transport.abortConnection()
        await client.built[0].lost.times()
        assert producer.told == ["stop"]
        late = Push()
        transport.registerProducer(late, True)
        assert late.told == ["stop"]
        transport.write(b"dropped")
        server.close()

    in_asyncio(main)


def test_more_than_the_maximum_aborts() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        factory, client = FactoryRecorder(), FactoryRecorder()
        server = await loop.create_server(toAsyncio(factory), "127.0.0.1", 0)
        await loop.create_connection(toAsyncio(client), *server.sockets[0].getsockname())
        (await factory.made.times()).transport.pauseProducing()
        sender = client.built[0]
        for wrong in ({"high": 1, "low": 2}, {"low": -1}, {"high": 7, "maximum": 7}, {"maximum": 65_536}):
            with pytest.raises(ValueError, match="low <= high < maximum"):
                sender.transport.setWriteLimits(**wrong)
        sender.transport.setWriteLimits(1000, maximum=100_000)
        sender.transport.write(bytes(32 << 20))
        error = await sender.lost.times()
        assert type(error) is ConnectionAborted
        assert "at most 100000 may" in str(error)
        factory.built[0].transport.resumeProducing()
        await factory.built[0].lost.times()
        server.close()

    in_asyncio(main)


def test_with_tls_the_protocol_knows_the_peer() -> None:
    @implementer(IHandshakeListener)
    class Knowing(Recorder):
        certificate: Any = None

        def handshakeCompleted(self) -> None:
            self.told.append("handshake")
            self.certificate = self.transport.getPeerCertificate()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        factory, client = FactoryRecorder(), FactoryRecorder()
        client.build = Knowing
        server_side, client_side = server_context(), client_context()
        server_side.set_alpn_protocols(["finger"])
        client_side.set_alpn_protocols(["finger"])
        server = await loop.create_server(toAsyncio(factory), "127.0.0.1", 0, ssl=server_side)
        await loop.create_connection(
            toAsyncio(client), *server.sockets[0].getsockname(), ssl=client_side, server_hostname=HOST
        )
        one: Any = client.built[0]
        other = await factory.made.times()
        assert one.told == ["made", "handshake"]
        assert ("DNS", HOST) in one.certificate.names
        assert provides(one.transport, INegotiated)
        assert one.transport.negotiatedProtocol == b"finger"
        assert one.transport.getHandle().version()
        one.transport.loseWriteConnection()
        await one.lost.times()
        await other.lost.times()
        server.close()

    in_asyncio(main)


def test_with_tls_a_peer_that_still_sends_is_no_error() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        recorder.on_data = lambda recorder, data: recorder.transport.loseConnection()
        server = await loop.create_server(toAsyncio(OneProtocol(recorder)), "127.0.0.1", 0, ssl=server_context())
        async with server:
            place = server.sockets[0].getsockname()
            _, writer = await asyncio.open_connection(*place, ssl=client_context(), server_hostname=HOST)
            writer.write(bytes(4 << 20))
            assert type(await recorder.lost.times()) is ConnectionDone
            writer.transport.abort()

    in_asyncio(main)


def test_unix_sockets_have_their_addresses(unix_place: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        factory, client = FactoryRecorder(), FactoryRecorder()
        server = await loop.create_unix_server(toAsyncio(factory), f"{unix_place}/socket")
        await loop.create_unix_connection(toAsyncio(client), f"{unix_place}/socket")
        transport = client.built[0].transport
        assert provides(transport, ITCPTransport)
        assert transport.getPeer() == UNIXAddress(f"{unix_place}/socket")
        assert transport.getHost() == UNIXAddress(None)
        transport.setTcpNoDelay(True)
        assert not transport.getTcpNoDelay()
        gone: Deferred[Any] = (await factory.made.times()).lost.times()
        transport.abortConnection()
        await client.built[0].lost.times()
        await gone
        server.close()

    in_asyncio(main)
