"""What connections promise, kept where netcore's protocols talk over asyncio's own transports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.protocols.adapt import toAsyncio
from netcore.testing import contracts
from netcore.testing.contracts._connection import BIG
from netcore.testing.contracts._contract import driven
from netcore.testing.contracts._recorder import OneProtocol, Push
from tests.contract.worlds import Attached
from tests.support.certificates import HOST, client_context, server_context


class OverAsyncio(Attached):
    """Connected by the loop itself."""

    secure = False

    def connect(self, server: Any, client: Any) -> Deferred[None]:
        self.made += server, client

        async def connecting() -> None:
            loop = asyncio.get_running_loop()
            contexts: list[dict[str, Any]] = [{}, {}]
            if self.secure:
                contexts = [{"ssl": server_context()}, {"ssl": client_context(), "server_hostname": HOST}]
            listening = await loop.create_server(toAsyncio(OneProtocol(server)), "127.0.0.1", 0, **contexts[0])
            host, port = listening.sockets[0].getsockname()
            await loop.create_connection(toAsyncio(OneProtocol(client)), host, port, **contexts[1])
            await server.made.times()
            listening.close()

        return ensureDeferred(connecting())

    def drive(self, main: Callable[[], Any]) -> Any:
        """asyncio leaves open what is open when a program ends."""
        self.made: list[Any] = []

        async def closing() -> Any:
            try:
                return await maybeDeferred(main)
            finally:
                for recorder in self.made:
                    if not recorder.lost.values:
                        recorder.transport.abortConnection()
                        await recorder.lost.times()

        return super().drive(closing)


class TCPContract(contracts.TCPTransportContract):
    """What is promised, in the figures of asyncio's transports."""

    @driven
    async def test_options_can_be_asked_for_and_set(self) -> None:
        """asyncio sets TCP_NODELAY."""
        one, _ = await self.pair()
        assert one.transport.getTcpNoDelay()
        assert not one.transport.getTcpKeepAlive()
        for name in ("TcpNoDelay", "TcpKeepAlive"):
            ask, put = getattr(one.transport, f"get{name}"), getattr(one.transport, f"set{name}")
            for enabled in (True, False):
                put(enabled)
                assert ask() is enabled

    @driven
    async def test_a_push_producer_that_writes_when_resumed_sends_everything(self) -> None:
        """What is written is given to the kernel at once, which takes megabytes before anything waits."""
        one, other = await self.pair()
        transport = one.transport

        class Endless(Push):
            left = 20

            def resumeProducing(self) -> None:
                super().resumeProducing()
                while self.told[-1] == "resume" and self.left:
                    self.left -= 1
                    transport.write(BIG[: 1 << 20])
                if not self.left:
                    transport.unregisterProducer()
                    transport.loseConnection()

        producer = Endless()
        transport.registerProducer(producer, True)
        producer.resumeProducing()
        assert producer.left > 0
        await other.lost.times()
        assert len(other.received) == 20 << 20
        assert producer.told.count("pause") > 1


class TestOverAsyncio(OverAsyncio, TCPContract):
    implementation = "NetcoreTransport over TCP"


class TestHalfCloseOverAsyncio(OverAsyncio, contracts.HalfCloseContract):
    implementation = "NetcoreTransport over TCP"


class TestOverAsyncioTLS(OverAsyncio, TCPContract):
    implementation = "NetcoreTransport over TLS"
    secure = True

    @driven
    async def test_a_push_producer_is_paused_and_resumed(self) -> None:
        """asyncio counts what waits for the encryption only: that is the second piece."""
        one, other = await self.pair()
        producer = Push()
        one.transport.registerProducer(producer, True)
        one.transport.write(BIG)
        one.transport.write(BIG)
        assert producer.told == ["pause"]
        await other.got(2 * len(BIG))
        await producer.resumed.times()
        assert producer.told == ["pause", "resume"]
        one.transport.unregisterProducer()
