"""ListenerLimits on sockets. Time is a Clock's; what the peers do, and the kernel, is real."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore.defer import Deferred, maybeDeferred
from netcore.endpoints import serverFromString
from netcore.error import ConnectionDone
from netcore.failure import Failure
from netcore.protocol import Factory, connectionDone
from netcore.protocols.basic import LineReceiver
from netcore.protocols.limits import LimitExceeded, ListenerLimits
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.reactors import Reactor
from netcore.task import Clock
from tests.integration.netcore.tcp_peers import BIG, Peer, Recorder
from tests.support.certificates import HOST, client_context, server_context

Run = Callable[..., Any]
WINDOW = 20.0


class Hall:
    """Where a service with limits listens, and bare sockets come."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.clock = Clock()
        self.limits = ListenerLimits()
        self.built: list[Recorder] = []
        self.next: Deferred[Recorder] = Deferred()
        self.prepare: Callable[[Recorder], object] = lambda recorder: None
        self._close: list[Callable[[], Any]] = []

    def build(self) -> Recorder:
        recorder = Recorder()
        recorder.on_made = self.made
        self.prepare(recorder)
        self.built.append(recorder)
        return recorder

    def made(self, recorder: Recorder) -> None:
        made, self.next = self.next, Deferred()
        self.reactor.callLater(0, made.callback, recorder)

    async def listen(self, where: str = "tcp:0:interface=127.0.0.1") -> Any:
        """Returns: the address."""
        factory: Any = Factory.forProtocol(self.build)
        factory.noisy = False
        endpoint = self.limits.wrapEndpoint(serverFromString(self.reactor, where), self.clock)
        port = await endpoint.listen(factory)
        self._close.append(port.stopListening)
        return port.getHost()

    def listen_with_tls(self) -> tuple[str, int]:
        factory: Any = Factory.forProtocol(self.build)
        above = self.limits.wrapFactory(factory, self.clock)
        for each in (factory, above):
            each.noisy = False
        port = self.reactor.listenTCP(
            0, TLSMemoryBIOFactory(server_context(), False, above, self.reactor), interface="127.0.0.1"
        )
        self._close.append(port.stopListening)
        return "127.0.0.1", port.getHost().port

    async def come(self, address: Any, family: int = socket.AF_INET, receive_buffer: int | None = None) -> Peer:
        sock = socket.socket(family)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        self._close.append(sock.close)
        await self.reactor.loop.sock_connect(sock, address)
        return Peer(self.reactor, sock)

    async def close(self) -> None:
        for close in self._close:
            await maybeDeferred(close)


@pytest.fixture
def hall(reactor: Reactor) -> Iterator[Hall]:
    hall = Hall(reactor)
    yield hall
    for close in hall._close:
        close()


async def until(met: Callable[[], bool]) -> None:
    """Let the loop turn until then."""
    while not met():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)


@pytest.mark.parametrize("size", [len(BIG), 200_000], ids=["more than the kernel takes", "what the kernel takes"])
def test_who_does_not_read_is_closed(hall: Hall, run: Run, size: int) -> None:
    async def main() -> None:
        host = await hall.listen()
        made = hall.next
        await hall.come(("127.0.0.1", host.port), receive_buffer=4096)
        server = await made
        server.transport.write(BIG[:size])
        waiting = server.transport._waiting_to_be_sent
        if size == len(BIG):
            hall.clock.advance(WINDOW)  # what the peer took before is known only now
            hall.clock.advance(WINDOW)
        else:
            await until(lambda: waiting() == 0)
            # Only Linux tells what is in the kernel's own buffer. Elsewhere the peer is idle.
            assert (server.transport._not_taken() > 0) is (sys.platform == "linux")
            for _ in range(4):
                hall.clock.advance(WINDOW)
        reason = await server.lost
        assert isinstance(reason, LimitExceeded)
        assert reason.limit == ("minimumRate" if sys.platform == "linux" or size == len(BIG) else "firstByte")

    hall.limits = ListenerLimits(firstByte=70, buffer=None)
    run(main)


def test_who_reads_steadily_may_take_long(hall: Hall, run: Run) -> None:
    async def main() -> None:
        host = await hall.listen()
        made = hall.next
        peer = await hall.come(("127.0.0.1", host.port), receive_buffer=4096)
        server = await made
        server.transport.write(BIG)
        for _ in range(10):  # far less than what the kernel waits for before it takes more
            got = 0
            while got < 20_000:
                got += len(await peer.receive(4096))
            hall.clock.advance(WINDOW)
        assert server.reasons == []
        await peer.receive_all(len(BIG) - 250_000)
        server.transport.abortConnection()
        await server.lost

    hall.limits = ListenerLimits(firstByte=None, buffer=None)
    run(main)


class TestTLS:
    def test_who_does_not_shake_hands_is_closed(self, hall: Hall, run: Run) -> None:
        async def main() -> None:
            made = hall.next
            peer = await hall.come(hall.listen_with_tls())
            server = await made
            await peer.send(b"\x16\x03\x01")
            hall.clock.advance(9)
            assert server.reasons == []
            hall.clock.advance(1)
            reason = await server.lost
            assert isinstance(reason, LimitExceeded)
            assert reason.limit == "handshake"

        run(main)

    def test_who_does_is_served_in_many_small_pieces(self, hall: Hall, run: Run) -> None:
        """What TLS adds to each is not taken for what the client has not read."""

        def ask(address: Any) -> bytes:
            with (
                socket.create_connection(address, 20) as plain,
                client_context().wrap_socket(plain, server_hostname=HOST) as secure,
            ):
                answer = b""
                for _ in range(100):
                    secure.sendall(b"?")
                    answer += secure.recv(10)
                secure.unwrap()
                return answer

        def answers(recorder: Recorder, data: bytes) -> None:
            recorder.transport.write(b"!" * len(data))
            hall.clock.advance(WINDOW / 2)

        def prepare(recorder: Recorder) -> None:
            recorder.on_data = answers

        async def main() -> None:
            hall.prepare = prepare
            made = hall.next
            answer = await asyncio.to_thread(ask, hall.listen_with_tls())
            assert answer == b"!" * 100
            server = await made
            assert type(await server.lost) is ConnectionDone
            assert hall.limits.counters().closed == {}

        hall.limits = ListenerLimits(handshake=1000)
        run(main)

    def test_who_does_not_read_is_closed(self, hall: Hall, run: Run) -> None:
        async def main() -> None:
            made = hall.next
            address = hall.listen_with_tls()
            reader, writer = await asyncio.open_connection(
                *address, ssl=client_context(), server_hostname=HOST, limit=1024
            )
            server = await made
            writer.write(b"?")
            await server.got(1)
            server.transport.write(BIG)
            for _ in range(3):
                hall.clock.advance(WINDOW)
            reason = await server.lost
            assert isinstance(reason, LimitExceeded)
            assert reason.limit == "minimumRate"
            writer.transport.abort()
            await reader.read(1)

        hall.limits = ListenerLimits(buffer=None)
        run(main)


def test_what_waits_for_a_handshake_that_does_not_come_is_bounded(hall: Hall, run: Run) -> None:
    def secures(recorder: Recorder, data: bytes) -> None:
        transport: Any = recorder.transport
        transport.startTLS(server_context())
        transport.write(b"x" * hall.limits.buffer)  # type: ignore[operator]
        transport.write(b"x")

    async def main() -> None:
        made = hall.next
        peer = await hall.come(("127.0.0.1", (await hall.listen()).port))
        server = await made
        server.on_data = secures
        await peer.send(b"STARTTLS\r\n")
        reason = await server.lost
        assert isinstance(reason, LimitExceeded)
        assert reason.limit == "buffer"

    run(main)


def test_what_came_before_tls_is_not_taken_for_what_comes_with_it(hall: Hall, run: Run) -> None:
    """STARTTLS, and a command behind it that somebody on the way has put there."""

    lines: list[bytes] = []
    lost: Deferred[Any] = Deferred()

    class Server(LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            lines.append(line)
            if line == b"STARTTLS":
                self.transport.startTLS(server_context())  # type: ignore[attr-defined]

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            lost.callback(reason.value)

    async def main() -> None:
        factory: Any = Factory.forProtocol(Server)
        factory.noisy = False
        port = hall.reactor.listenTCP(0, hall.limits.wrapFactory(factory, hall.clock), interface="127.0.0.1")
        hall._close.append(port.stopListening)
        peer = await hall.come(("127.0.0.1", port.getHost().port))
        await peer.send(b"STARTTLS\r\nDELETE everything\r\n")
        assert isinstance(await lost, ssl.SSLError)
        assert lines == [b"STARTTLS"]

    run(main)


def test_who_is_refused_is_told_so_even_while_it_asks(hall: Hall, run: Run) -> None:
    async def main() -> None:
        host = await hall.listen()
        first = await hall.come(("127.0.0.1", host.port))
        peer = await hall.come(("127.0.0.1", host.port))
        assert await peer.receive(6) == b"busy\r\n"
        await peer.send(b"a question that nobody reads")
        assert await peer.receive() == b"", "the end, and no reset"
        peer.sock.close()
        await until(lambda: hall.limits._counting.told == 0)
        assert hall.limits.counters().refused == {"connections": 1}
        first.sock.close()
        await hall.built[0].lost

    hall.limits = ListenerLimits(connections=1, overflow=b"busy\r\n")
    run(main)


def test_users_are_the_peers_of_a_unix_socket(hall: Hall, run: Run, unix_place: str) -> None:
    async def main() -> None:
        path = f"{unix_place}/socket"
        factory: Any = Factory.forProtocol(hall.build)
        factory.noisy = False
        port = hall.reactor.listenUNIX(path, hall.limits.wrapFactory(factory, hall.clock))
        hall._close.append(port.stopListening)
        first = await hall.come(path, socket.AF_UNIX)
        peer = await hall.come(path, socket.AF_UNIX)
        assert await peer.receive_all() == b"busy\r\n"
        assert hall.limits.counters().refused == {"connectionsPerPeer": 1}
        peer.sock.close()
        first.sock.close()
        await hall.built[0].lost
        await until(lambda: hall.limits._counting.told == 0)
        assert hall.limits.counters().current == 0

    hall.limits = ListenerLimits(connectionsPerPeer=1, overflow=b"busy\r\n")
    run(main)
