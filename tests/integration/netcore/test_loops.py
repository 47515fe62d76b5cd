"""Reactors on loops by name: that each stands on the loop it names, and works there."""

from __future__ import annotations

import asyncio
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from netcore.defer import Deferred, gatherResults
from netcore.error import NoSuchReactor
from netcore.failure import Failure
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.reactors import Reactor, live
from netcore.reactors._names import _SELECTORS, NAMES
from netcore.reactors._select import SelectSelector
from netcore.reactors._selector import DirectSelector
from netcore.task import deferLater
from netcore.threads import deferToThread
from tests.integration.netcore.conftest import run_in
from tests.support.guard import _open_descriptors

HERE = [name for name in NAMES if name not in _SELECTORS or hasattr(selectors, _SELECTORS[name])]


@pytest.fixture(params=HERE)
def name(request: pytest.FixtureRequest) -> str:
    """Each loop there is on this platform."""
    return request.param


@pytest.fixture
def named(name: str) -> Iterator[Reactor]:
    """A reactor on it."""
    reactor = Reactor(name)
    yield reactor
    reactor.dispose()


def kind(loop: asyncio.AbstractEventLoop) -> type[Any]:
    """The class of *loop*; of asyncio's, that of its selector."""
    return type(loop._selector) if isinstance(loop, asyncio.SelectorEventLoop) else type(loop)


class Watched:
    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno

    def doRead(self) -> None: ...

    def connectionLost(self, reason: Failure) -> None: ...

    def logPrefix(self) -> str:
        return "Watched"


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Ask(Protocol):
    def connectionMade(self) -> None:
        self.received = b""
        self.transport.write(self.factory.question)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if len(self.received) == len(self.factory.question):
            self.factory.answer.callback(self.received)
            self.transport.loseConnection()


async def echoed(reactor: Reactor, question: bytes) -> bytes:
    """What a server of the same reactor makes of *question*, over TCP."""
    port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    factory = ClientFactory.forProtocol(Ask)
    factory.question = question
    factory.answer = Deferred()
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
    answer: bytes = await factory.answer
    await port.stopListening()
    return answer


# ------------------------------------------------------------------------------------------------- which loop it is


def test_each_name_is_that_loop(named: Reactor, name: str) -> None:
    best = DirectSelector if hasattr(selectors, "EpollSelector") else selectors.DefaultSelector
    expected: dict[str, Any] = {
        "uvloop": uvloop.Loop,
        "asyncio": best,
        "epoll": DirectSelector,
        "select": SelectSelector,
    }
    assert kind(named.loop) is (expected.get(name) or getattr(selectors, _SELECTORS[name]))


def test_without_a_name_it_is_the_loop_that_asyncio_makes(reactor: Reactor, loop_name: str) -> None:
    named, made = Reactor(loop_name), asyncio.new_event_loop()
    assert type(reactor.loop) is type(named.loop) is type(made)
    assert kind(reactor.loop) is kind(named.loop)
    named.dispose()
    made.close()


def test_without_a_name_it_is_what_a_policy_of_the_program_makes() -> None:
    made: list[asyncio.AbstractEventLoop] = []

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            made.append(super().new_event_loop())
            made[-1].set_debug(True)
            return made[-1]

    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    try:
        reactor = Reactor()
    finally:
        asyncio.set_event_loop_policy(before)
    assert [reactor.loop] == made
    reactor.dispose()


def test_a_reactor_says_what_it_stands_on() -> None:
    reactor = Reactor("uvloop")
    assert repr(reactor) == "<Reactor that is not running, over uvloop.Loop>"
    reactor.dispose()


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    before = live()
    for wrong in ("twisted", "", "UVLOOP", "reactor"):
        with pytest.raises(ValueError, match="the names are asyncio, select, poll, epoll, kqueue and uvloop") as caught:
            Reactor(wrong)
        assert isinstance(caught.value, NoSuchReactor)
        assert repr(wrong) in str(caught.value)
    assert live() == before


def test_what_is_neither_a_loop_nor_a_name_is_refused() -> None:
    for wrong in (5, b"uvloop", asyncio.SelectorEventLoop):
        with pytest.raises(TypeError, match="a reactor is made on an event loop, or the name of one, not on"):
            Reactor(wrong)  # type: ignore[arg-type]


def test_a_selector_that_the_platform_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, selector in _SELECTORS.items():
        if name != "select":
            monkeypatch.delattr(selectors, selector, raising=False)
    with pytest.raises(NoSuchReactor, match=r"^this platform has no kqueue, .*: it has select$"):
        Reactor("kqueue")
    monkeypatch.setattr(selectors, "PollSelector", selectors.SelectSelector, raising=False)
    with pytest.raises(NoSuchReactor, match=r"^this platform has no epoll, .*: it has select and poll$"):
        Reactor("epoll")


def test_without_uvloop_its_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(NoSuchReactor, match=r"pip install 'netcore-asyncdb\[uvloop\]'"):
        Reactor("uvloop")


# ------------------------------------------------------------------------------------------------------ how it works


def test_tcp_threads_and_asyncio_work_on_it(named: Reactor) -> None:
    question = bytes(range(256)) * 4096  # more than the kernel takes at once

    async def main() -> tuple[bytes, int, str]:
        slept = asyncio.ensure_future(asyncio.sleep(0, "slept"))
        return await echoed(named, question), await deferToThread(threading.get_ident), await slept

    answer, thread, slept = run_in(named, main)
    assert answer == question
    assert thread != threading.get_ident()
    assert slept == "slept"


def test_it_runs_again_and_dispose_closes_the_loop(named: Reactor) -> None:
    for _ in range(2):
        named.callWhenRunning(named.stop)
        named.run()
    named.dispose()
    assert named.loop.is_closed()


def test_dispose_leaves_no_descriptor(name: str) -> None:
    before = _open_descriptors()
    reactor = Reactor(name)
    ours, peer = socket.socketpair()
    for _ in range(2):
        reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
        reactor.addReader(Watched(ours))
        reactor.callWhenRunning(deferToThread, list)
        reactor.callWhenRunning(reactor.crash)  # which leaves all of that open
        reactor.run()
        reactor.iterate()
        reactor.removeAll()
    reactor.addReader(Watched(ours))
    reactor.dispose()
    ours.close()
    peer.close()
    assert _open_descriptors() == before


def test_several_turn_in_threads_of_their_own(name: str) -> None:
    barrier = threading.Barrier(3)
    results: dict[int, Any] = {}

    def turn(number: int) -> None:
        reactor = Reactor(name)

        async def main() -> tuple[bool, bytes]:
            barrier.wait(20)  # all of them run now
            return Reactor.current() is reactor, await echoed(reactor, b"%d" % number)

        results[number] = run_in(reactor, main)
        reactor.dispose()

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: (True, b"%d" % number) for number in range(3)}


# ------------------------------------------------------------------------------------- in asyncio programs on uvloop


def uvloop_runner(main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def uvloop_run(main: Callable[[], Any]) -> Any:
    return uvloop.run(main())


@pytest.mark.parametrize("run_program", [uvloop_runner, uvloop_run])
def test_a_reactor_attaches_to_an_asyncio_program_on_uvloop(run_program: Callable[..., Any]) -> None:
    ended: list[str] = []

    async def main() -> Reactor:
        reactor = Reactor.current()
        assert isinstance(reactor.loop, uvloop.Loop)
        reactor.addSystemEventTrigger("before", "shutdown", lambda: deferLater(reactor, 0.001, ended.append, "waited"))
        results = await gatherResults(
            [
                deferLater(reactor, 0.001, lambda: "later"),
                deferToThread(lambda: "from a thread"),
            ]
        )
        assert results == ["later", "from a thread"]
        async with asyncio.timeout(20):
            assert await echoed(reactor, b"hello") == b"hello"
        return reactor

    reactor = run_program(main)
    assert ended == ["waited"]
    assert reactor.disposed


def test_uvloop_stands_standard_streams_that_are_closed() -> None:
    """libuv ends a process in which one of its own descriptors has the number 0, 1 or 2."""
    program = """
import os
os.closerange(0, 3)
from netcore.reactors import Reactor
reactor = Reactor("uvloop")
reactor.callLater(0, reactor.stop)
reactor.run()
reactor.dispose()
os._exit(7)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 7
