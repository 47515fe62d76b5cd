"""asyncio's programs on a fake network: its own transports, on the same hosts, links and clock."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from netcore.protocol import Factory, Protocol
from netcore.testing.contracts._recorder import ClientRecorder
from netcore.testing.network import FakeNetwork, Host
from tests.support.certificates import HOST, client_context, server_context

LATENCY = 0.25


@pytest.fixture
def net() -> Iterator[FakeNetwork]:
    with FakeNetwork(latency=LATENCY) as net:
        yield net


@pytest.fixture
def server(net: FakeNetwork) -> Host:
    return net.host("10.0.0.1", name="server.example")


@pytest.fixture
def client(net: FakeNetwork, server: Host) -> Host:
    return net.host("10.0.0.2")


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def ask(host: str, port: int, question: bytes, **options: Any) -> bytes:
    """What *host* answers."""
    reader, writer = await asyncio.open_connection(host, port, **options)
    try:
        writer.write(question)
        return await reader.readexactly(len(question))
    finally:
        writer.close()


def test_servers_and_clients_of_both_kinds_talk(net: FakeNetwork, server: Host, client: Host) -> None:
    server.runUntil(asyncio.start_server(echo, port=7))
    server.listenTCP(8, Factory.forProtocol(Echo))
    for port in (7, 8):
        for name in ("server.example", "10.0.0.1"):
            begun = net.seconds()
            assert client.runUntil(ask(name, port, b"hello")) == b"hello"
            assert net.seconds() - begun == 4 * LATENCY
        recorder = ClientRecorder()
        client.connectTCP("server.example", port, recorder)
        protocol = net.runUntil(recorder.made.times())
        protocol.transport.write(b"hello")
        net.runUntil(protocol.got(5))
        protocol.transport.loseConnection()
        net.runUntil(protocol.lost.times())


def test_much_goes_through(net: FakeNetwork, server: Host, client: Host) -> None:
    server.runUntil(asyncio.start_server(echo, port=7))
    much = bytes(range(256)) * 8192
    assert client.runUntil(ask("10.0.0.1", 7, much)) == much


def test_tls(net: FakeNetwork, server: Host, client: Host) -> None:
    net.name(HOST, server)
    server.runUntil(asyncio.start_server(echo, port=7, ssl=server_context()))
    assert client.runUntil(ask(HOST, 7, b"secret", ssl=client_context())) == b"secret"
    assert client.runUntil(ask("10.0.0.1", 7, b"secret", ssl=client_context(), server_hostname=HOST)) == b"secret"


def test_a_refusal_and_a_name_that_is_unknown(net: FakeNetwork, server: Host, client: Host) -> None:
    net.name("both.example", "10.0.0.1", "10.0.0.9")
    with pytest.raises(ConnectionRefusedError):
        client.runUntil(ask("both.example", 7, b"hello"))
    with pytest.raises(socket.gaierror, match=r"net\.name\('nobody\.example', address\)"):
        client.runUntil(ask("nobody.example", 7, b"hello"))


def test_the_next_address_is_tried(net: FakeNetwork, server: Host, client: Host) -> None:
    server.runUntil(asyncio.start_server(echo, port=7))
    net.host("10.0.0.3")
    net.name("both.example", "10.0.0.3", "10.0.0.1")
    assert client.runUntil(ask("both.example", 7, b"hello")) == b"hello"


def test_local_addresses(net: FakeNetwork, server: Host, client: Host) -> None:
    async def main() -> tuple[Any, Any]:
        _, writer = await asyncio.open_connection("10.0.0.1", 7, local_addr=("10.0.0.2", 5555))
        try:
            return writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        finally:
            writer.close()

    server.runUntil(asyncio.start_server(echo, "10.0.0.1", 7))
    assert client.runUntil(main()) == (("10.0.0.2", 5555), ("10.0.0.1", 7))
    with pytest.raises(OSError, match="no address of"):
        client.runUntil(asyncio.open_connection("10.0.0.1", 7, local_addr=("10.0.0.1", 0)))
    with pytest.raises(OSError, match="Address already in use"):
        server.runUntil(asyncio.start_server(echo, "10.0.0.1", 7))
    with pytest.raises(TypeError, match="one address"):
        server.runUntil(asyncio.start_server(echo, ["10.0.0.1"], 7))


def test_the_time_of_a_time_out_is_virtual(net: FakeNetwork, server: Host, client: Host) -> None:
    server.runUntil(asyncio.start_server(echo, port=7))
    net.partition(server, client)

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20):
                await ask("10.0.0.1", 7, b"hello")
        return asyncio.get_running_loop().time()

    assert client.runUntil(main()) == 20


def test_a_reset_is_heard(net: FakeNetwork, server: Host, client: Host) -> None:
    server.runUntil(asyncio.start_server(echo, port=7))

    async def main() -> None:
        reader, writer = await asyncio.open_connection("10.0.0.1", 7)
        try:
            net.connections()[0].reset()
            with pytest.raises(ConnectionResetError):
                await reader.read()
        finally:
            writer.close()

    client.runUntil(main())


def test_a_task_in_the_background(net: FakeNetwork, server: Host, client: Host) -> None:
    heard: list[float] = []

    async def beat() -> None:
        while True:
            await asyncio.sleep(10)
            heard.append(net.seconds())

    task = server.createTask(beat())
    net.advance(35)
    assert heard == [10, 20, 30]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        net.runUntil(task)


def test_what_is_open_at_the_end_is_closed(net: FakeNetwork, server: Host, client: Host) -> None:
    ended: list[str] = []

    class Ending(asyncio.Protocol):
        def connection_lost(self, exc: BaseException | None) -> None:
            ended.append("lost")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(Ending, "10.0.0.1", 7)
        try:
            await loop.create_future()
        finally:
            ended.append("cancelled")

    server.runUntil(asyncio.start_server(echo, port=7))
    client.createTask(main())
    net.advance(5)
    net.close()
    assert ended == ["cancelled", "lost"]
