"""`Reactor.iterate`: turns taken by hand."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from netcore.error import ReactorAlreadyRunning, ReactorNotRunning
from netcore.protocol import Factory, Protocol
from netcore.reactors import Reactor
from netcore.task import deferLater
from tests.support.guard import Logged

TURNS = 2000  # many more than anything here takes
LONG = 1000.0  # nobody waits so long


def iterate_until(reactor: Reactor, done: Callable[[], object], delay: float = 0) -> None:
    for _ in range(TURNS):
        if done():
            return
        reactor.iterate(delay)
    raise AssertionError(f"not done in {TURNS} turns")


class Reader:
    """Reads what comes to *sock*."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.seen: list[bytes] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def doRead(self) -> None:
        self.seen.append(self.sock.recv(100))

    def connectionLost(self, reason: Any) -> None:
        pass

    def logPrefix(self) -> str:
        return "Reader"


class TestWhatATurnServes:
    def test_timers_that_are_due(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.callLater(0, seen.append, "due")
        later = reactor.callLater(LONG, seen.append, "later")
        reactor.iterate()
        assert seen == ["due"]
        later.cancel()

    def test_calls_from_threads(self, reactor: Reactor) -> None:
        seen: list[int] = []
        thread = threading.Thread(target=reactor.callFromThread, args=(seen.append, 1))
        thread.start()
        thread.join()
        reactor.iterate()
        assert seen == [1]

    def test_descriptors_that_are_ready(self, reactor: Reactor) -> None:
        ours, peer = socket.socketpair()
        reader = Reader(ours)
        reactor.addReader(reader)
        peer.send(b"one")
        reactor.iterate()
        assert reader.seen == [b"one"]
        reactor.removeReader(reader)
        ours.close()
        peer.close()

    def test_connections(self, reactor: Reactor) -> None:
        received: list[bytes] = []

        class Upper(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.append(data)
                self.transport.write(data.upper())

        port = reactor.listenTCP(0, Factory.forProtocol(Upper), interface="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as peer:
            peer.send(b"hello")
            iterate_until(reactor, lambda: received)
            reactor.iterate()
            assert peer.recv(100) == b"HELLO"

    def test_asyncios_tasks(self, reactor: Reactor) -> None:
        seen: list[object] = []

        async def task() -> None:
            await asyncio.sleep(0)
            seen.append(Reactor.current() is reactor)

        kept = reactor.loop.create_task(task())
        iterate_until(reactor, lambda: seen)
        assert seen == [True]
        assert kept.done()


class TestWaiting:
    """None of these would end if the whole delay were waited for."""

    def test_a_timer_ends_it(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.callLater(0.01, seen.append, "due")
        iterate_until(reactor, lambda: seen, LONG)

    def test_a_call_from_a_thread_ends_it(self, reactor: Reactor) -> None:
        seen: list[int] = []
        timer = threading.Timer(0.01, reactor.callFromThread, (seen.append, 1))
        timer.start()
        iterate_until(reactor, lambda: seen, LONG)
        timer.join()

    def test_a_descriptor_ends_it(self, reactor: Reactor) -> None:
        ours, peer = socket.socketpair()
        reader = Reader(ours)
        reactor.addReader(reader)
        timer = threading.Timer(0.01, peer.send, (b"one",))
        timer.start()
        iterate_until(reactor, lambda: reader.seen, LONG)
        timer.join()
        reactor.removeReader(reader)
        ours.close()
        peer.close()

    @pytest.mark.parametrize("name", ["asyncio", "select", "poll"])
    def test_a_connection_ends_it_where_the_loop_tells(self, name: str) -> None:
        made: list[Any] = []
        reactor = Reactor(name)
        factory = Factory()
        factory.buildProtocol = made.append  # type: ignore[method-assign,assignment]
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            iterate_until(reactor, lambda: made, LONG)
        reactor.dispose()

    def test_nothing_ends_it_but_the_delay(self, reactor: Reactor) -> None:
        later = reactor.callLater(LONG, list)
        before = reactor.seconds()
        reactor.iterate(0.01)
        assert reactor.seconds() - before < LONG / 2
        later.cancel()

    def test_for_ever_is_a_delay_too(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.callLater(0.01, seen.append, "due")
        iterate_until(reactor, lambda: seen, math.inf)


class TestItsPlaceInLife:
    def test_it_is_no_startup(self, reactor: Reactor) -> None:
        seen: list[object] = []
        reactor.addSystemEventTrigger("before", "startup", seen.append, "startup")
        reactor.callWhenRunning(seen.append, "running")
        reactor.callLater(0, lambda: seen.append(reactor.running))
        reactor.callInThread(seen.append, "thread")
        for _ in range(5):
            reactor.iterate()
        assert seen == [False]
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert sorted(map(str, seen)) == ["False", "running", "startup", "thread"]

    def test_stop_and_crash_find_nothing_to_stop(self, reactor: Reactor) -> None:
        refused: list[bool] = []

        def stop() -> None:
            for act in (reactor.stop, reactor.crash):
                with pytest.raises(ReactorNotRunning, match=r"in the middle of iterate\(\)"):
                    act()
                refused.append(True)

        reactor.callLater(0, stop)
        reactor.iterate()
        assert refused == [True, True]

    def test_it_refuses_to_nest(self, reactor: Reactor, new_reactor: Callable[[], Reactor]) -> None:
        other = new_reactor()
        refused: list[str] = []

        def nest() -> None:
            for act in (reactor.iterate, reactor.run, reactor.dispose, other.iterate, other.run):
                with pytest.raises(ReactorAlreadyRunning) as caught:
                    act()
                refused.append(str(caught.value))

        reactor.callLater(0, nest)
        reactor.iterate()
        reactor.callWhenRunning(nest)
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert len(refused) == 10

    def test_an_attached_one_turns_with_its_loop(self) -> None:
        async def main() -> None:
            with pytest.raises(ReactorAlreadyRunning, match="whenever that loop does"):
                Reactor.current().iterate()

        asyncio.run(main())

    def test_a_disposed_one_turns_no_more(self, reactor: Reactor) -> None:
        reactor.dispose()
        with pytest.raises(ReactorNotRunning, match="disposed of"):
            reactor.iterate()

    def test_run_after_it_and_it_after_run(self, reactor: Reactor) -> None:
        seen: list[str] = []
        for _ in range(2):
            reactor.callLater(0, seen.append, "by hand")
            reactor.iterate()
            reactor.callWhenRunning(seen.append, "run")
            reactor.callWhenRunning(reactor.stop)
            reactor.run()
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        reactor.iterate()
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            assert seen == ["by hand", "run"] * 2

    def test_an_event_that_waits_goes_on_in_a_later_turn(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "mine", lambda: deferLater(reactor, 0, list))
        reactor.addSystemEventTrigger("during", "mine", seen.append, "during")
        reactor.fireSystemEvent("mine")
        iterate_until(reactor, lambda: seen)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("delay", [0, LONG])
    def test_what_ends_the_program_escapes_and_leaves_it_sane(
        self, reactor: Reactor, kind: type[BaseException], delay: float
    ) -> None:
        def end() -> None:
            raise kind("enough")

        seen: list[str] = []
        reactor.callLater(0, end)
        reactor.callLater(0, seen.append, "rest")
        with pytest.raises(kind, match="enough"):
            reactor.iterate(delay)
        reactor.callWhenRunning(reactor.callLater, 0.01, reactor.stop)
        reactor.callLater(0.005, seen.append, "the run goes on")
        reactor.run()
        assert seen == ["rest", "the run goes on"]

    def test_what_a_call_raises_is_logged(self, reactor: Reactor, logged: Logged) -> None:
        reactor.callLater(0, lambda: 1 / 0)
        reactor.iterate()
        assert len(logged.take(ZeroDivisionError)) == 1

    @pytest.mark.parametrize("delay", [-1, math.nan])
    def test_a_delay_that_is_none_is_refused(self, reactor: Reactor, delay: float) -> None:
        with pytest.raises(ValueError, match="0 or more seconds"):
            reactor.iterate(delay)
        reactor.iterate()
