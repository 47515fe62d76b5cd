"""Whatever netcore closes, it takes out of the loop first: the number may be another file's at once."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from netcore.defer import Deferred, maybeDeferred
from netcore.protocol import ClientFactory, Factory
from netcore.reactors import Reactor
from netcore.reactors._selector import Callback, Watcher
from netcore.task import deferLater
from netcore.testing.contracts._tcp import FullPort
from tests.integration.netcore import tcp_peers, unix_peers
from tests.integration.netcore.datagrams import ConnectedRecorder, Recorder
from tests.integration.netcore.tcp_peers import BIG

Run = Callable[..., Any]


class Watching:
    """In place of a reactor's watcher.

    Attributes: *watched*, what is; *there_were*, how often something was added; *late*, what was closed before it was
        removed.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.watched: set[tuple[str, int]] = set()
        self.there_were = 0
        self.late: list[tuple[str, int]] = []

    def add(self, kind: str, fd: int) -> None:
        self.watched.add((kind, fd))
        self.there_were += 1

    def remove(self, kind: str, fd: int) -> None:
        if (kind, fd) in self.watched:
            self.watched.remove((kind, fd))
            try:
                os.fstat(fd)
            except OSError:
                self.late.append((kind, fd))

    def add_reader(self, fd: int, callback: Callback, /) -> None:
        self.add("reader", fd)
        self.watcher.add_reader(fd, callback)

    def add_writer(self, fd: int, callback: Callback, /) -> None:
        self.add("writer", fd)
        self.watcher.add_writer(fd, callback)

    def remove_reader(self, fd: int, /) -> bool:
        self.remove("reader", fd)
        return self.watcher.remove_reader(fd)

    def remove_writer(self, fd: int, /) -> bool:
        self.remove("writer", fd)
        return self.watcher.remove_writer(fd)


class Bench:
    """What there is to be closed. Each method makes it, and returns what closes it."""

    def __init__(self, reactor: Reactor, place: str) -> None:
        self.reactor = reactor
        self.path = f"{place}/socket"
        self.tcp = tcp_peers.Net(reactor)
        self.unix = unix_peers.Net(reactor, self.path)
        self.full: FullPort | None = None

    def close(self) -> None:
        self.tcp.close()
        self.unix.close()
        if self.full is not None:
            self.full.close()

    async def busy(self, protocol: Any) -> Callable[[], object]:
        """Both ways: it reads, and has more to write than its peer takes."""
        protocol.transport.write(BIG)
        await deferLater(self.reactor, 0)
        abort: Callable[[], object] = protocol.transport.abortConnection
        return abort

    async def tcp_connection(self) -> Callable[[], object]:
        protocol, _ = await self.tcp.connect()
        return await self.busy(protocol)

    async def unix_connection(self) -> Callable[[], object]:
        protocol, _ = await self.unix.connect()
        return await self.busy(protocol)

    async def reset(self) -> Callable[[], object]:
        protocol, peer = await self.tcp.connect()
        await self.busy(protocol)

        def reset() -> Deferred[BaseException]:
            peer.reset()
            return protocol.lost

        return reset

    async def polite(self) -> Callable[[], object]:
        """Closed while the peer's words lie unread: it is listened to, and then closed."""
        protocol, peer = await self.tcp.connect()
        protocol.transport.pauseProducing()
        await peer.send(b"unread")

        async def end() -> None:
            protocol.transport.loseConnection()
            await deferLater(self.reactor, 0)
            peer.sock.close()
            await protocol.lost

        return end

    async def connecting(self) -> Callable[[], object]:
        self.full = FullPort()
        connector = self.reactor.connectTCP("127.0.0.1", self.full.number, ClientFactory[Any]())
        await deferLater(self.reactor, 0)
        await deferLater(self.reactor, 0)
        return connector.stopConnecting

    async def tcp_port(self) -> Callable[[], object]:
        return self.reactor.listenTCP(0, Factory[Any](), interface="127.0.0.1").stopListening

    async def unix_port(self) -> Callable[[], object]:
        return self.reactor.listenUNIX(self.path, Factory[Any]()).stopListening

    async def udp_port(self) -> Callable[[], object]:
        return self.reactor.listenUDP(0, Recorder(), interface="127.0.0.1").stopListening

    async def unix_datagram_port(self) -> Callable[[], object]:
        return self.reactor.listenUNIXDatagram(self.path, Recorder()).stopListening

    async def connected_datagram_port(self) -> Callable[[], object]:
        """Two, of which the second is closed."""
        server = self.reactor.listenUNIXDatagram(self.path, Recorder())
        client = self.reactor.connectUNIXDatagram(self.path, ConnectedRecorder())

        async def end() -> None:
            for port in (client, server):
                await maybeDeferred(port.stopListening)

        return end


KINDS: list[Callable[[Bench], Awaitable[Callable[[], object]]]] = [
    Bench.tcp_connection,
    Bench.unix_connection,
    Bench.reset,
    Bench.polite,
    Bench.connecting,
    Bench.tcp_port,
    Bench.unix_port,
    Bench.udp_port,
    Bench.unix_datagram_port,
    Bench.connected_datagram_port,
]


@pytest.fixture
def watching(reactor: Reactor) -> Watching:
    watching = Watching(reactor._watcher)
    reactor._watcher = watching
    return watching


@pytest.fixture
def bench(reactor: Reactor, watching: Watching, unix_place: str) -> Iterator[Bench]:
    bench = Bench(reactor, unix_place)
    yield bench
    bench.close()


kinds = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)


@kinds
def test_it_is_taken_out_of_the_loop_first(run: Run, bench: Bench, watching: Watching, make: Any) -> None:
    async def main() -> None:
        end = await make(bench)
        assert watching.there_were
        await maybeDeferred(end)
        await deferLater(bench.reactor, 0)
        assert watching.late == []
        assert watching.watched == set()

    run(main)


@kinds
def test_so_it_is_when_the_reactor_ends(run: Run, bench: Bench, watching: Watching, make: Any) -> None:
    run(make, bench)
    assert watching.there_were
    bench.reactor.dispose()
    assert watching.late == []
    assert watching.watched == set()
