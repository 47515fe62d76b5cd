"""The reactor on its own loop: running, stopping, events, time, the end."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from netcore.defer import Deferred
from netcore.error import ConnectError, ConnectionLost, ReactorAlreadyRunning, ReactorNotRunning
from netcore.failure import Failure
from netcore.protocol import ClientFactory, DatagramProtocol, Factory, Protocol, connectionDone
from netcore.reactors import Reactor, live
from tests.integration.netcore.tcp_peers import Instead
from tests.support.guard import Logged

Run = Callable[..., Any]


class TestRunning:
    def test_startup_fires_in_the_loop_and_running_follows_the_phases(self, reactor: Reactor) -> None:
        seen: list[Any] = []

        def note(what: str) -> None:
            assert asyncio.get_running_loop() is reactor.loop
            assert Reactor.current() is reactor
            seen.append((what, reactor.running))

        for event in ("startup", "shutdown"):
            for phase in ("after", "during", "before"):
                reactor.addSystemEventTrigger(phase, event, note, f"{phase} {event}")
        reactor.callWhenRunning(reactor.stop)
        assert not reactor.running
        reactor.run()
        assert not reactor.running
        assert seen == [
            ("before startup", False),
            ("during startup", True),
            ("after startup", True),
            ("before shutdown", True),
            ("during shutdown", False),
            ("after shutdown", False),
        ]

    def test_it_runs_again_after_stop(self, reactor: Reactor) -> None:
        seen: list[int] = []
        for number in range(3):
            reactor.callWhenRunning(seen.append, number)
            reactor.callWhenRunning(reactor.stop)
            reactor.run()
        assert seen == [0, 1, 2]

    def test_timers_that_were_pending_at_stop_stay(self, reactor: Reactor) -> None:
        seen: list[str] = []
        call = reactor.callLater(1000, seen.append, "late")
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert reactor.getDelayedCalls() == [call]
        call.reset(0)
        reactor.callLater(0, reactor.stop)
        reactor.run()
        assert seen == ["late"]

    def test_stop_while_startup_waits_ends_it(self, reactor: Reactor) -> None:
        seen: list[str] = []
        waiting = Deferred[None]()
        reactor.addSystemEventTrigger("before", "startup", lambda: waiting)
        reactor.addSystemEventTrigger("during", "startup", seen.append, "started")
        reactor.addSystemEventTrigger("before", "shutdown", lambda: waiting.callback(None))
        reactor.callLater(0, reactor.stop)
        reactor.run()
        assert seen == ["started"]
        assert not reactor.running

    def test_crash_returns_without_shutdown_and_keeps_what_was_open(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "shutdown", seen.append, "shutdown")
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")

        def crash() -> None:
            reactor.crash()
            assert not reactor.running

        reactor.callWhenRunning(crash)
        reactor.run()
        assert seen == []
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            pass
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert seen == ["shutdown"]

    def test_crash_while_shutdown_waits_ends_it(self, reactor: Reactor) -> None:
        waiting = Deferred[None]()
        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "shutdown", lambda: waiting)
        reactor.addSystemEventTrigger("during", "shutdown", seen.append, "during")
        reactor.callWhenRunning(reactor.stop)
        reactor.callLater(0, reactor.crash)
        reactor.run()
        waiting.callback(None)
        reactor.callLater(0, reactor.stop)
        reactor.run()
        assert seen == ["during"]  # of the second shutdown: the first was abandoned

    def test_stop_and_crash_need_a_running_reactor(self, reactor: Reactor) -> None:
        for act in (reactor.stop, reactor.crash):
            with pytest.raises(ReactorNotRunning, match="is not running"):
                act()

    def test_run_refuses_to_nest(self, reactor: Reactor, new_reactor: Callable[[], Reactor]) -> None:
        refused: list[BaseException] = []

        def nest() -> None:
            for other in (reactor, new_reactor()):
                with pytest.raises(ReactorAlreadyRunning) as caught:
                    other.run()
                refused.append(caught.value)
            reactor.stop()

        reactor.callWhenRunning(nest)
        reactor.run()
        assert len(refused) == 2

    def test_run_refuses_inside_an_asyncio_program(self, reactor: Reactor) -> None:
        async def main() -> None:
            with pytest.raises(ReactorAlreadyRunning, match=r"Reactor\.current"):
                reactor.run()

        asyncio.run(main())

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("where", ["callLater", "callFromThread", "call_soon", "a trigger"])
    def test_what_ends_the_program_escapes_and_leaves_it_sane(
        self, reactor: Reactor, where: str, kind: type[BaseException]
    ) -> None:
        def end() -> None:
            raise kind("enough")

        ask: dict[str, Callable[[], object]] = {
            "callLater": lambda: reactor.callLater(0, end),
            "callFromThread": lambda: reactor.callFromThread(end),
            "call_soon": lambda: reactor.loop.call_soon(end),
            "a trigger": lambda: reactor.addSystemEventTrigger("after", "startup", end),
        }
        reactor.callWhenRunning(ask[where])
        with pytest.raises(kind, match="enough"):
            reactor.run()
        assert not reactor.running
        with pytest.raises(ReactorNotRunning):
            Reactor.current()
        reactor.callLater(0, reactor.callFromThread, reactor.stop)
        reactor.run()

    def test_a_loop_stopped_behind_its_back_ends_the_run(self, reactor: Reactor) -> None:
        reactor.callWhenRunning(reactor.loop.stop)
        reactor.run()
        assert not reactor.running
        reactor.callWhenRunning(reactor.stop)
        reactor.run()

    def test_events_of_the_application_can_be_fired(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("after", "reload", seen.append, "after")
        reactor.addSystemEventTrigger("before", "reload", seen.append, "before")
        reactor.fireSystemEvent("reload")
        assert seen == ["before", "after"]

    def test_a_given_loop_is_used_and_left_open(self) -> None:
        loop = asyncio.new_event_loop()
        reactor = Reactor(loop)
        seen: list[object] = []
        reactor.callWhenRunning(lambda: seen.append(asyncio.get_running_loop()))
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        reactor.dispose()
        assert seen == [loop]
        assert not loop.is_closed()
        loop.close()

    def test_a_loop_that_runs_is_refused(self) -> None:
        async def main() -> None:
            with pytest.raises(ReactorAlreadyRunning, match=r"Reactor\.current"):
                Reactor(asyncio.get_running_loop())

        asyncio.run(main())

    def test_asyncio_libraries_run_on_it(self, reactor: Reactor, run: Run) -> None:
        async def child() -> str:
            await asyncio.sleep(0)
            return "done"

        async def main() -> Any:
            return await asyncio.ensure_future(child())

        assert run(main) == "done"

    def test_repr_says_how_it_is(self, reactor: Reactor) -> None:
        assert "is not running" in repr(reactor)


class TestTime:
    def test_a_call_with_no_delay_comes_in_the_next_turn(self, reactor: Reactor) -> None:
        seen: list[str] = []

        def first() -> None:
            reactor.callLater(0, seen.append, "next turn")
            reactor.loop.call_soon(seen.append, "between")
            seen.append("this turn")

        reactor.callLater(0, first)
        reactor.callLater(0, seen.append, "this turn too")
        reactor.callLater(0.01, reactor.stop)
        reactor.run()
        assert seen.index("this turn too") < seen.index("next turn")
        assert seen.index("between") < seen.index("next turn")

    def test_calls_without_end_leave_descriptors_their_turn(self, reactor: Reactor) -> None:
        ours, theirs = socket.socketpair()
        turns = 0

        def again() -> None:
            nonlocal turns
            turns += 1
            if turns == 10:
                theirs.send(b"x")
            assert turns < 1000, "the descriptor never had its turn"
            reactor.callLater(0, again)

        def readable() -> None:
            reactor.loop.remove_reader(ours.fileno())
            reactor.crash()

        reactor.loop.add_reader(ours.fileno(), readable)
        reactor.callWhenRunning(again)
        reactor.run()
        assert 10 <= turns < 20
        ours.close()
        theirs.close()

    def test_what_a_call_raises_is_logged_and_the_rest_still_run(self, reactor: Reactor, logged: Logged) -> None:
        seen: list[str] = []
        reactor.callLater(0, lambda: 1 / 0)
        reactor.callLater(0, seen.append, "rest")
        reactor.callLater(0, reactor.stop)
        reactor.run()
        assert seen == ["rest"]
        (record,) = logged.take(ZeroDivisionError)
        assert record.name == "netcore.reactors"
        assert record.failure.check(ZeroDivisionError)  # type: ignore[attr-defined]

    def test_a_cancelled_error_is_just_an_exception(self, reactor: Reactor, logged: Logged) -> None:
        def raises() -> None:
            raise asyncio.CancelledError

        reactor.callLater(0, raises)
        reactor.callFromThread(raises)
        reactor.callLater(0, reactor.stop)
        reactor.run()
        assert len(logged.take(asyncio.CancelledError)) == 2

    def test_an_endless_delay_is_just_never(self, reactor: Reactor) -> None:
        call = reactor.callLater(float("inf"), print)
        reactor.callLater(0, reactor.stop)
        reactor.run()
        assert call.active()


class Lost(Protocol):
    """Notes why it lost its connection."""

    def __init__(self) -> None:
        self.made = Deferred[Any]()
        self.reasons: list[BaseException] = []

    def connectionMade(self) -> None:
        self.made.callback(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reasons.append(reason.value)


class TestShutdown:
    def test_ports_and_connections_are_closed_and_protocols_hear_of_it(self, reactor: Reactor) -> None:
        server, client = Lost(), Lost()
        failed: list[Failure] = []
        factory = Factory()
        factory.buildProtocol = lambda addr: server  # type: ignore[method-assign,assignment]
        clients = ClientFactory()
        clients.buildProtocol = lambda addr: client  # type: ignore[method-assign,assignment]
        lost: list[Failure] = []
        clients.clientConnectionLost = lambda connector, reason: lost.append(reason)  # type: ignore[method-assign,assignment]
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, clients)
        pending = ClientFactory()
        pending.clientConnectionFailed = lambda connector, reason: failed.append(reason)  # type: ignore[method-assign,assignment]

        def both(_: object) -> None:
            reactor.connectTCP("127.0.0.1", port.getHost().port, pending)
            reactor.stop()

        client.made.addCallback(lambda _: server.made).addCallback(both)
        reactor.run()
        assert [type(reason) for reason in server.reasons + client.reasons] == [ConnectionLost] * 2
        assert lost[0].check(ConnectionLost)
        assert failed[0].check(ConnectError)
        assert port.stopListening() is None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port.getHost().port))

    def test_what_was_written_before_stop_is_still_sent(self, reactor: Reactor) -> None:
        class Goodbye(Protocol):
            def dataReceived(self, data: bytes) -> None:
                reactor.callLater(0, self.leave)

            def leave(self) -> None:
                self.transport.write(b"goodbye")
                reactor.stop()

        port = reactor.listenTCP(0, Factory.forProtocol(Goodbye), interface="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as peer:
            peer.sendall(b"x")
            reactor.run()
            assert peer.recv(100) == b"goodbye"

    def test_all_that_the_kernel_takes_without_waiting_is_still_sent(self, reactor: Reactor, run: Run) -> None:
        room = 5 * 128 * 1024 + 7
        taken: list[int] = []

        def send(data: bytes) -> int:
            return sendmsg([data])

        def sendmsg(pieces: list[bytes]) -> int:
            left = room - sum(taken)
            if not left:
                raise BlockingIOError(errno.EAGAIN, "full")
            taken.append(min(sum(map(len, pieces)), left, 100_003))
            return taken[-1]

        class Leaves(Protocol):
            def connectionMade(self) -> None:
                reactor.callLater(0, self.leave)

            def leave(self) -> None:
                Instead.of(self.transport, send=send, sendmsg=sendmsg)
                for _ in range(200):
                    self.transport.write(b"x" * 10_000)
                reactor.stop()

        port = reactor.listenTCP(0, Factory.forProtocol(Leaves), interface="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            reactor.run()
        assert sum(taken) == room

    def test_a_client_that_always_connects_again_does_not_keep_it(self, reactor: Reactor) -> None:
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        failures: list[Failure] = []

        class Again(ClientFactory):
            protocol = Lost

            def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
                connector.connect()

            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                failures.append(reason)

            def buildProtocol(self, addr: Any) -> Any:
                made = super().buildProtocol(addr)
                made.made.addCallback(lambda _: reactor.stop())
                return made

        reactor.addSystemEventTrigger("after", "shutdown", lambda: None)
        reactor.connectTCP("127.0.0.1", port.getHost().port, Again())
        reactor.run()
        assert len(failures) == 1

    def test_threads_are_waited_for_while_the_loop_turns(self, reactor: Reactor) -> None:
        seen: list[str] = []
        go_on = threading.Event()

        def work() -> None:
            go_on.wait()
            reactor.callFromThread(seen.append, "from the thread")

        reactor.callInThread(work)
        reactor.addSystemEventTrigger("during", "shutdown", reactor.callLater, 0.01, go_on.set)
        reactor.addSystemEventTrigger("after", "shutdown", seen.append, "after")
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert seen == ["from the thread", "after"]

    def test_a_stuck_thread_is_left_behind(self, reactor: Reactor, logged: Logged) -> None:
        go_on = threading.Event()
        stuck = threading.Event()
        reactor.threadPatience = 0.01

        def work() -> None:
            stuck.set()
            go_on.wait()

        reactor.callInThread(work)
        reactor.callWhenRunning(lambda: stuck.wait() and reactor.stop())
        reactor.run()
        (record,) = logged.take()
        assert "left behind" in record.getMessage()
        go_on.set()

    def test_a_late_job_is_refused(self, reactor: Reactor) -> None:
        refused: list[BaseException] = []

        def late() -> None:
            with pytest.raises(RuntimeError, match="stopped") as caught:
                reactor.callInThread(print)
            refused.append(caught.value)

        reactor.getThreadPool()
        reactor.addSystemEventTrigger("after", "shutdown", late)
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert len(refused) == 1

    def test_threads_can_be_used_again_in_the_next_run(self, reactor: Reactor) -> None:
        for _ in range(2):
            done: list[str] = []
            reactor.callInThread(lambda done=done: reactor.callFromThread(lambda: done.append("x") or reactor.stop()))
            reactor.run()
            assert done == ["x"]


class TestDispose:
    def test_everything_is_given_back(self, reactor: Reactor) -> None:
        factory = Factory.forProtocol(Protocol)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        reactor.callLater(1000, print)
        reactor.callInThread(print)
        reactor.dispose()
        assert reactor.disposed
        assert reactor.loop.is_closed()
        assert reactor.getDelayedCalls() == []
        assert port.stopListening() is None
        assert reactor not in live()

    def test_who_loses_a_connection_by_it_can_cancel_a_timer(self, reactor: Reactor) -> None:
        """As they may when it stops, and without asking whether it is still to come."""
        ended: list[str] = []

        class Timed(Protocol):
            def connectionMade(self) -> None:
                self.timer = reactor.callLater(1000, print)
                reactor.callLater(0, reactor.crash)

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                self.timer.cancel()
                ended.append(type(reason.value).__name__)

        class Reached(ClientFactory):
            def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
                pass

        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, Reached.forProtocol(Timed))
        reactor.run()
        reactor.dispose()
        assert ended == ["ConnectionLost"]

    def test_disposing_twice_does_nothing(self, reactor: Reactor) -> None:
        reactor.dispose()
        reactor.dispose()

    def test_later_use_is_refused_clearly(self, reactor: Reactor) -> None:
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        datagrams = reactor.listenUDP(0, DatagramProtocol(), interface="127.0.0.1")
        reactor.dispose()
        uses: list[Callable[[], object]] = [
            reactor.run,
            reactor.stop,
            reactor.crash,
            lambda: reactor.callLater(0, print),
            lambda: reactor.callFromThread(print),
            lambda: reactor.callInThread(print),
            lambda: reactor.callWhenRunning(print),
            lambda: reactor.listenTCP(0, Factory()),
            lambda: reactor.connectTCP("127.0.0.1", 9, ClientFactory()),
            port.startListening,
            datagrams.startListening,
            lambda: reactor.addSystemEventTrigger("during", "shutdown", print),
            reactor.getThreadPool,
        ]
        for use in uses:
            with pytest.raises(ReactorNotRunning, match="disposed"):
                use()

    def test_a_call_from_a_thread_into_a_closed_loop_says_so(self) -> None:
        loop = asyncio.new_event_loop()
        reactor = Reactor(loop)
        loop.close()
        for _ in range(3):
            with pytest.raises(ReactorNotRunning, match="closed"):
                reactor.callFromThread(print)
        reactor.dispose()

    def test_it_must_not_run(self, reactor: Reactor) -> None:
        refused: list[BaseException] = []

        def dispose() -> None:
            with pytest.raises(ReactorAlreadyRunning, match="is running") as caught:
                reactor.dispose()
            refused.append(caught.value)
            reactor.stop()

        reactor.callWhenRunning(dispose)
        reactor.run()
        assert len(refused) == 1

    def test_another_loop_must_not_run(self, reactor: Reactor) -> None:
        async def main() -> None:
            with pytest.raises(ReactorAlreadyRunning):
                reactor.dispose()

        asyncio.run(main())
        assert not reactor.disposed

    def test_tasks_are_cancelled_and_run_to_their_end(self, reactor: Reactor) -> None:
        seen: list[str] = []

        async def task() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(0)
                seen.append("ended")

        async def generate() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                seen.append("closed")

        generator = generate()

        async def step() -> None:
            await generator.__anext__()

        def begin() -> None:
            tasks.append(reactor.loop.create_task(task()))
            tasks.append(reactor.loop.create_task(step()))
            reactor.loop.run_in_executor(None, seen.append, "in the executor")
            reactor.callLater(0.01, reactor.stop)

        tasks: list[asyncio.Task[None]] = []
        reactor.callWhenRunning(begin)
        reactor.run()
        reactor.dispose()
        assert sorted(seen) == ["closed", "ended", "in the executor"]

    def test_a_task_that_fails_in_its_end_is_reported(self, reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
        async def task() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                raise LookupError("at the end")

        tasks: list[asyncio.Task[None]] = []
        reactor.callWhenRunning(lambda: tasks.append(reactor.loop.create_task(task())))
        reactor.callLater(0, reactor.stop)
        reactor.run()
        reactor.dispose()
        assert "a task that dispose() ended failed" in caplog.text

    def test_connections_hear_of_it(self, reactor: Reactor) -> None:
        server = Lost()
        factory = Factory()
        factory.buildProtocol = lambda addr: server  # type: ignore[method-assign,assignment]
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        server.made.addCallback(lambda _: reactor.crash())
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as peer:
            reactor.run()
            assert server.reasons == []
            reactor.dispose()
            assert [type(reason) for reason in server.reasons] == [ConnectionLost]
            assert peer.recv(1) == b""

    def test_pending_timers_are_dropped_and_not_made(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.callLater(0, seen.append, "made")
        reactor.dispose()
        assert seen == []

    def test_calls_from_threads_are_dropped_and_the_pool_still_ends(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.getThreadPool()
        reactor.callFromThread(seen.append, "made")
        reactor.dispose()  # the guard fails this test if the end of the pool was not heard of
        assert seen == []

    def test_a_wake_up_that_was_ignored_does_not_keep_the_pool_from_ending(self, reactor: Reactor) -> None:
        """The loop turned while the reactor did not run."""
        seen: list[str] = []
        reactor.getThreadPool()
        reactor.callFromThread(seen.append, "made")
        reactor.loop.run_until_complete(asyncio.sleep(0))
        assert seen == []
        reactor.dispose()

    def test_nothing_keeps_a_disposed_reactor(self) -> None:
        reactor = Reactor()
        reactor.callLater(0, reactor.stop)
        reactor.run()
        reactor.dispose()
        reference = weakref.ref(reactor)
        del reactor
        gc.collect()
        assert reference() is None


class TestSeveral:
    def test_each_thread_has_its_own(self, new_reactor: Callable[[], Reactor]) -> None:
        reactors = [new_reactor() for _ in range(3)]
        barrier = threading.Barrier(3)
        seen: list[bool] = []

        def turn(reactor: Reactor) -> None:
            def check() -> None:
                barrier.wait()  # all three run now
                seen.append(Reactor.current() is reactor)
                reactor.stop()

            reactor.callWhenRunning(check)
            reactor.run()

        threads = [threading.Thread(target=turn, args=(reactor,)) for reactor in reactors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [True] * 3

    def test_outside_of_all_there_is_none(self) -> None:
        with pytest.raises(ReactorNotRunning, match="in this thread"):
            Reactor.current()

    def test_live_names_those_not_disposed_of(self, new_reactor: Callable[[], Reactor]) -> None:
        one, two = new_reactor(), new_reactor()
        assert {one, two} <= set(live())
        one.dispose()
        assert one not in live()
        assert two in live()

    def test_one_calls_into_another(self, new_reactor: Callable[[], Reactor]) -> None:
        here, there = new_reactor(), new_reactor()
        seen: list[Any] = []

        def answer() -> None:
            seen.append(Reactor.current() is there)
            here.callFromThread(here.stop)
            there.stop()

        thread = threading.Thread(target=there.run)
        here.callWhenRunning(thread.start)
        here.callWhenRunning(there.callFromThread, answer)
        here.run()
        thread.join()
        assert seen == [True]
