"""Ports without a descriptor left: who waits is refused, the port backs off, and goes on as soon as it can."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from netcore.defer import Deferred
from netcore.protocol import DatagramProtocol, Factory, Protocol
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.transports import _spare, _stream_port
from netcore.transports.tcp import Port
from tests.support.guard import Logged

Run = Callable[..., Any]


class Server(Factory[Any]):
    """*built* is how many; `made` fires with the first protocol."""

    def __init__(self) -> None:
        self.built = 0
        self.made = Deferred[Protocol]()

    def buildProtocol(self, addr: Any) -> Protocol:
        self.built += 1
        factory = self

        class Made(Protocol):
            def connectionMade(self) -> None:
                if not factory.made.called:
                    factory.made.callback(self)

        return Made()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """The process has no descriptor left."""
    taken: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)


class Peers:
    """Sockets made while there are descriptors, to be connected when there are none."""

    def __init__(self, reactor: Reactor) -> None:
        self.loop = reactor.loop
        self.socks: list[socket.socket] = []

    def make(self, count: int = 1) -> list[socket.socket]:
        made = [socket.socket() for _ in range(count)]
        self.socks += made
        return made

    async def connect(self, sock: socket.socket, port: Port) -> None:
        sock.setblocking(False)
        await self.loop.sock_connect(sock, ("127.0.0.1", port.getHost().port))

    async def refused(self, sock: socket.socket) -> bool:
        """Whether the connection is ended; waits for it."""
        try:
            return await self.loop.sock_recv(sock, 1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def peers(reactor: Reactor) -> Iterator[Peers]:
    peers = Peers(reactor)
    yield peers
    for sock in peers.socks:
        sock.close()


def listen(reactor: Reactor, server: Server, pause: float = 1000.0) -> Port:
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    port.acceptPause = pause
    return port


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def paused(reactor: Reactor, port: Port) -> None:
    while port._pause is None:
        await deferLater(reactor, 0)


def test_who_waits_is_refused_at_once(reactor: Reactor, run: Run, peers: Peers, logged: Logged) -> None:
    server = Server()

    async def main() -> None:
        port = listen(reactor, server)
        socks, (late,) = peers.make(5), peers.make()
        with no_descriptors():
            for sock in socks:  # the kernel takes them, within this turn
                sock.connect(("127.0.0.1", port.getHost().port))
                sock.setblocking(False)
            assert [await peers.refused(sock) for sock in socks] == [True] * 5
            assert port._refused == 5
        assert server.built == 0
        assert port._pause is not None
        await peers.connect(late, port)
        port._pause.reset(0)
        await server.made  # accepted when there are descriptors again

    run(main)
    (record,) = logged.take()
    assert "out of resources" in record.getMessage()
    assert "refused" in record.getMessage()


def test_refusing_is_bounded_and_goes_on_after_the_pause(
    reactor: Reactor, run: Run, peers: Peers, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stream_port, "ACCEPT_AT_ONCE", 2)
    server = Server()

    async def main() -> None:
        port = listen(reactor, server)
        socks = peers.make(5)
        with no_descriptors():
            for sock in socks:  # the kernel takes them, within this turn
                sock.connect(("127.0.0.1", port.getHost().port))
                sock.setblocking(False)
            refused = []
            for _ in range(3):
                await paused(reactor, port)
                refused.append(port._refused)
                assert port._pause is not None
                port._pause.reset(0)
                await deferLater(reactor, 0)
            assert refused == [2, 4, 5]
            assert [await peers.refused(sock) for sock in socks] == [True] * 5

    run(main)
    assert len(logged.take()) == 1


def test_one_spare_descriptor_serves_all_ports_of_a_reactor(
    reactor: Reactor, run: Run, peers: Peers, logged: Logged
) -> None:
    async def main() -> None:
        reactor.listenUDP(0, DatagramProtocol(), interface="127.0.0.1")  # what watching needs by itself is there then
        before = descriptors()
        ports = [listen(reactor, Server()) for _ in range(4)]
        assert descriptors() == before + 4 + 1
        socks = peers.make(4)
        with no_descriptors():
            for sock, port in zip(socks, ports, strict=True):
                await peers.connect(sock, port)
            assert [await peers.refused(sock) for sock in socks] == [True] * 4
        assert descriptors() == before + 4 + 1 + 4
        for port in ports[1:]:
            await port.stopListening()
        assert descriptors() == before + 1 + 1 + 4
        await ports[0].stopListening()
        assert descriptors() == before + 4  # the last port gives it back
        again = listen(reactor, Server())
        assert descriptors() == before + 1 + 1 + 4
        await again.stopListening()

    run(main)
    assert len(logged.take()) == 4


def test_many_outages_leave_nothing_behind_and_are_told_once_each(
    reactor: Reactor, run: Run, peers: Peers, logged: Logged
) -> None:
    async def main() -> None:
        port = listen(reactor, server := Server())
        before = descriptors()
        for outage in range(10):
            one, other = peers.make(2)
            with no_descriptors():
                await peers.connect(one, port)
                assert await peers.refused(one)
            assert port._pause is not None
            port._pause.reset(0)
            await peers.connect(other, port)
            while server.built <= outage:
                await deferLater(reactor, 0)
            one.close()
            other.close()
            while len(reactor._open) > 1:
                await deferLater(reactor, 0)
            assert descriptors() == before

    run(main)
    assert len(logged.take()) == 10


def test_a_spare_that_cannot_be_had_again_is_asked_for_after_each_pause(
    reactor: Reactor, run: Run, peers: Peers, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    stolen: list[int] = []

    def none_left() -> socket.socket:
        if not stolen:
            stolen.append(os.dup(0))
        raise OSError(errno.EMFILE, "Too many open files")

    async def main() -> None:
        port = listen(reactor, server)
        first, second, third = peers.make(3)
        with no_descriptors():
            with monkeypatch.context() as patch:  # another thread is quicker
                patch.setattr(_spare, "socket", SimpleNamespace(socket=none_left))
                await peers.connect(first, port)
                assert await peers.refused(first)
                assert reactor._spare._held is None
                await peers.connect(second, port)
                for _ in range(3):
                    assert port._pause is not None
                    port._pause.reset(0)
                    await deferLater(reactor, 0)
                    await paused(reactor, port)
                assert port._refused == 1  # there is nothing to refuse with: it only backs off
            os.close(stolen.pop())
            assert port._pause is not None
            port._pause.reset(0)  # what was let go becomes the spare one again, not a connection's
            assert await peers.refused(second)
            assert reactor._spare._held is not None
            assert server.built == 0
        assert port._pause is not None
        port._pause.reset(0)
        await peers.connect(third, port)
        await server.made

    run(main)
    assert len(logged.take()) == 1


def test_a_port_can_be_opened_without_a_spare(
    reactor: Reactor, run: Run, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()

    async def main() -> None:
        monkeypatch.setattr(reactor._spare, "refill", lambda: None)
        port = listen(reactor, server)
        assert reactor._spare._held is None
        (sock,) = peers.make()
        await peers.connect(sock, port)
        await server.made

    run(main)


def test_a_port_closed_in_an_outage_begins_anew(reactor: Reactor, run: Run, peers: Peers, logged: Logged) -> None:
    server = Server()

    async def main() -> None:
        port = listen(reactor, server)
        one, other = peers.make(2)
        with no_descriptors():
            await peers.connect(one, port)
            assert await peers.refused(one)
        await port.stopListening()
        port.startListening()
        await peers.connect(other, port)
        await server.made

    run(main)
    assert len(logged.take()) == 1
