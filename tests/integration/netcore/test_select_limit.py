"""The select loop with more descriptors than select(2) takes: who asks for one too many hears of it, and no other."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netcore.defer import Deferred
from netcore.error import CannotListenError, ConnectError
from netcore.failure import Failure
from netcore.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from netcore.reactors import Reactor
from netcore.reactors._select import SelectSelector
from netcore.transports.tcp import Port
from tests.support.guard import Logged

SAYS = "the select loop cannot watch descriptor 1[0-9]{3}, only numbers below 1024: .* another loop, such as 'asyncio'"


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """The process may have a few more descriptors than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def full() -> Iterator[list[int]]:
    """Inside, all numbers below the limit are in use."""
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < 1023:
        taken.append(os.dup(taken[0]))
    try:
        yield taken
    finally:
        for number in taken:
            os.close(number)


@pytest.fixture
def selecting() -> Iterator[Reactor]:
    reactor = Reactor("select")
    yield reactor
    reactor.dispose()


def until(reactor: Reactor, done: Callable[[], object]) -> None:
    for _ in range(2000):
        if done():
            return
        reactor.iterate(0.001)
    raise AssertionError("not done in 2000 turns")


class Thing:
    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number

    def doRead(self) -> None:
        raise AssertionError("it is not watched")

    doWrite = doRead

    def connectionLost(self, reason: Failure) -> None:
        raise AssertionError("it is not watched")

    def logPrefix(self) -> str:
        return "Thing"


class Telling(ClientFactory[Protocol]):
    """Attributes: *failures*, why connecting failed."""

    protocol = Protocol

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.failed = Deferred[None]()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failures.append(reason)
        self.failed.callback(None)


def test_a_port_is_refused(selecting: Reactor) -> None:
    with full(), pytest.raises(CannotListenError, match=SAYS):
        selecting.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    assert not selecting._open


def test_ports_of_every_other_kind_are_refused(selecting: Reactor, unix_place: str) -> None:
    listens: list[Callable[[], object]] = [
        lambda: selecting.listenUDP(0, DatagramProtocol(), interface="127.0.0.1"),
        lambda: selecting.listenMulticast(0, DatagramProtocol(), interface="127.0.0.1"),
        lambda: selecting.listenUNIX(f"{unix_place}/stream", Factory.forProtocol(Protocol)),
        lambda: selecting.listenUNIXDatagram(f"{unix_place}/datagrams", DatagramProtocol()),
    ]
    with full():
        for listen in listens:
            with pytest.raises(CannotListenError, match=SAYS):
                listen()
    assert os.listdir(unix_place) == []


def test_a_connector_of_unix_sockets_fails(selecting: Reactor, unix_place: str) -> None:
    reasons: list[BaseException] = []

    class Client(ClientFactory[Any]):
        noisy = False

        def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
            reasons.append(reason.value)

    selecting.listenUNIX(f"{unix_place}/stream", Factory.forProtocol(Protocol))
    with full():
        selecting.connectUNIX(f"{unix_place}/stream", Client())
        until(selecting, lambda: reasons)
    assert isinstance(reasons[0], ConnectError)
    assert re.search(SAYS, str(reasons[0]))


def test_a_connector_fails(selecting: Reactor) -> None:
    port = selecting.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    factory = Telling()
    with full():
        selecting.connectTCP("127.0.0.1", port.getHost().port, factory)
        until(selecting, lambda: factory.failures)
    (failure,) = factory.failures
    assert failure.check(ConnectError)
    assert failure.getErrorMessage() is not None
    with pytest.raises(ConnectError, match=SAYS):
        failure.raiseException()


def test_a_connection_is_refused_and_the_server_goes_on(
    selecting: Reactor, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Port, "acceptPause", 0.001)
    got: list[bytes] = []

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            got.append(data)
            self.transport.write(data)

    port = selecting.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        address = ("127.0.0.1", port.getHost().port)
        first.connect(address)
        first.send(b"before")
        until(selecting, lambda: len(got) == 1)
        with full():
            second.connect(address)
            second.setblocking(False)
            until(selecting, lambda: ended(second))
            first.send(b"during")
            until(selecting, lambda: len(got) == 2)
        third.connect(address)
        third.send(b"after")
        until(selecting, lambda: len(got) == 3)
    assert got == [b"before", b"during", b"after"]
    (record,) = logged.take()
    assert "the select loop cannot watch descriptor" in record.getMessage()


def ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("add", ["addReader", "addWriter"])
def test_a_descriptor_of_the_applications_is_refused(selecting: Reactor, add: str) -> None:
    with full() as taken:
        thing = Thing(os.dup(taken[0]))
        with pytest.raises(OSError, match=SAYS):
            getattr(selecting, add)(thing)
        os.close(thing.number)
    assert selecting.getReaders() == selecting.getWriters() == []
    selecting.iterate()


def test_what_asyncio_adds_is_refused(selecting: Reactor) -> None:
    with full() as taken:
        number = os.dup(taken[0])
        with pytest.raises(OSError, match=SAYS):
            selecting.loop.add_reader(number, print)
        os.close(number)
    selecting.iterate()


def test_a_select_loop_that_others_made_refuses_too() -> None:
    async def main() -> None:
        reactor = Reactor.current()
        factory = Telling()
        with full() as taken:
            with pytest.raises(CannotListenError, match=SAYS):
                reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
            thing = Thing(os.dup(taken[0]))
            with pytest.raises(OSError, match=SAYS):
                reactor.addReader(thing)
            os.close(thing.number)
            reactor.connectTCP("127.0.0.1", 1, factory)
            async with asyncio.timeout(20):
                await factory.failed
        with pytest.raises(ConnectError, match=SAYS):
            factory.failures[0].raiseException()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(main())


@pytest.mark.parametrize("name", ["asyncio", "poll", "uvloop"])
def test_other_loops_have_no_such_limit(name: str) -> None:
    reactor = Reactor(name)
    got: list[bytes] = []

    class Server(Protocol):
        def dataReceived(self, data: bytes) -> None:
            got.append(data)

    with full():
        port = reactor.listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as peer:
            peer.send(b"x")
            until(reactor, lambda: got)
        reactor.dispose()


def test_a_descriptor_that_asyncio_user_closed_does_not_end_the_loop() -> None:
    selector = SelectSelector()
    ours, peer = socket.socketpair()
    good, other = socket.socketpair()
    selector.register(ours.fileno(), selectors.EVENT_READ)
    selector.register(good.fileno(), selectors.EVENT_READ)
    number = ours.fileno()
    ours.close()
    assert [(key.fd, events) for key, events in selector.select(0)] == [(number, selectors.EVENT_READ)]
    selector.unregister(number)
    other.send(b"x")
    assert [key.fd for key, _ in selector.select(0)] == [good.fileno()]
    selector.close()
    for each in (peer, good, other):
        each.close()
