"""A reactor attached to an asyncio program's loop: it lives and ends with that program."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from netcore.defer import Deferred
from netcore.error import ReactorAlreadyRunning, ReactorNotRunning
from netcore.failure import Failure
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.reactors import Reactor, _loops, live
from netcore.task import deferLater
from netcore.threads import blockingCallFromThread, deferToThread
from tests.support.guard import Logged


def in_asyncio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 20))


def test_there_is_one_for_each_loop() -> None:
    async def main() -> Reactor:
        reactor = Reactor.current()
        await asyncio.sleep(0)
        assert Reactor.current() is reactor
        assert reactor.loop is asyncio.get_running_loop()
        assert reactor.running
        return reactor

    assert in_asyncio(main) is not in_asyncio(main)


def test_outside_of_the_loop_there_is_none() -> None:
    async def main() -> None:
        Reactor.current()

    in_asyncio(main)
    with pytest.raises(ReactorNotRunning):
        Reactor.current()


def test_it_is_not_ours_to_run_or_stop() -> None:
    async def main() -> None:
        reactor = Reactor.current()
        with pytest.raises(ReactorAlreadyRunning, match="attached"):
            reactor.run()
        for act in (reactor.stop, reactor.crash):
            with pytest.raises(ReactorNotRunning, match="ends when that loop's program does"):
                act()

    in_asyncio(main)


def test_timers_threads_and_deferreds_work() -> None:
    async def main() -> None:
        reactor = Reactor.current()
        seen: list[str] = []
        assert await deferLater(reactor, 0.001, lambda: "later") == "later"
        assert await deferToThread(threading.get_ident) != threading.get_ident()
        done = asyncio.get_running_loop().create_future()
        reactor.callInThread(reactor.callFromThread, done.set_result, "from a thread")
        assert await done == "from a thread"
        assert reactor.callWhenRunning(seen.append, "at once") is None
        assert seen == ["at once"]

    in_asyncio(main)


def test_it_ends_with_the_program_and_fires_shutdown() -> None:
    seen: list[Any] = []

    async def main() -> Reactor:
        reactor = Reactor.current()

        def before() -> Deferred[None]:
            seen.append(("before", reactor.running))
            return deferLater(reactor, 0.001, lambda: seen.append("waited"))

        async def before_too() -> None:
            await asyncio.sleep(0.001)
            seen.append("slept")

        reactor.addSystemEventTrigger("before", "shutdown", before)
        reactor.addSystemEventTrigger("before", "shutdown", before_too)
        reactor.addSystemEventTrigger("during", "shutdown", lambda: seen.append(("during", reactor.running)))
        reactor.addSystemEventTrigger("after", "shutdown", seen.append, "after")
        reactor.callLater(1000, print)
        return reactor

    reactor = in_asyncio(main)
    assert seen[0] == ("before", True)
    assert set(seen[1:3]) == {"waited", "slept"}
    assert seen[3:] == [("during", False), "after"]
    assert reactor.disposed
    assert reactor.getDelayedCalls() == []
    assert reactor not in live()
    with pytest.raises(ReactorNotRunning, match="disposed"):
        reactor.callLater(0, print)


def test_its_end_closes_connections_and_threads() -> None:
    reasons: list[Failure] = []

    class Lost(Protocol):
        def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
            reasons.append(reason)

    async def main() -> None:
        reactor = Reactor.current()
        port = reactor.listenTCP(0, Factory.forProtocol(Lost), interface="127.0.0.1")
        made = Deferred[None]()

        class Client(Lost):
            def connectionMade(self) -> None:
                made.callback(None)

        reactor.connectTCP("127.0.0.1", port.getHost().port, ClientFactory.forProtocol(Client))
        await made
        await deferToThread(int)

    in_asyncio(main)
    assert len(reasons) in (1, 2)  # the server's side may not have been accepted yet
    assert not any(thread.name.startswith("netcore-pool") for thread in threading.enumerate())


def test_a_program_that_fails_or_is_cancelled_ends_it_too() -> None:
    reactors: list[Reactor] = []
    seen: list[str] = []

    async def main() -> None:
        reactors.append(Reactor.current())
        reactors[-1].addSystemEventTrigger("during", "shutdown", seen.append, "shutdown")
        raise LookupError("the program")

    with pytest.raises(LookupError):
        in_asyncio(main)
    assert seen == ["shutdown"]
    assert reactors[0].disposed


def test_it_can_be_disposed_of_by_hand_and_another_takes_its_place() -> None:
    async def main() -> None:
        first = Reactor.current()
        port = first.listenTCP(0, Factory(), interface="127.0.0.1")
        first.callLater(1000, print)
        await deferToThread(int)
        first.dispose()
        first.dispose()
        assert first.disposed
        assert port.stopListening() is None
        second = Reactor.current()
        assert second is not first
        assert await deferLater(second, 0, lambda: "works") == "works"

    in_asyncio(main)


def test_disposing_of_it_in_a_protocols_callback_works() -> None:
    reasons: list[Failure] = []

    class Disposes(Protocol):
        def dataReceived(self, data: bytes) -> None:
            Reactor.current().dispose()

        def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
            reasons.append(reason)

    async def main() -> None:
        port = Reactor.current().listenTCP(0, Factory.forProtocol(Disposes), interface="127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port.getHost().port)
        writer.write(b"x")
        assert await reader.read() == b""
        writer.close()

    in_asyncio(main)
    assert len(reasons) == 1


def test_a_runner_that_runs_several_coroutines_keeps_one() -> None:
    async def current() -> Reactor:
        return Reactor.current()

    with asyncio.Runner() as runner:
        first = runner.run(current())
        seen: list[str] = []
        first.callLater(0, seen.append, "waited for the next run")
        assert runner.run(current()) is first
        runner.run(asyncio.sleep(0.001))
        assert seen == ["waited for the next run"]
    assert first.disposed


def test_a_call_from_a_thread_after_the_end_is_refused_clearly() -> None:
    async def main() -> Reactor:
        return Reactor.current()

    reactor = in_asyncio(main)
    with pytest.raises(ReactorNotRunning, match="disposed"):
        reactor.callFromThread(print)


def test_its_end_ends_the_waiting_of_other_threads() -> None:
    caught: list[BaseException] = []
    threads: list[threading.Thread] = []

    async def main() -> None:
        reactor = Reactor.current()
        asked = asyncio.Event()

        def function() -> Deferred[None]:
            asked.set()
            return Deferred()

        def ask() -> None:
            with pytest.raises(ReactorNotRunning, match="disposed of before") as info:
                blockingCallFromThread(reactor, function)
            caught.append(info.value)

        threads.append(threading.Thread(target=ask, daemon=True))
        threads[0].start()
        await asked.wait()

    in_asyncio(main)
    threads[0].join(20)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("before", "loop_says_so"),
    [(True, True), (False, True), (True, False)],  # one of another make may keep it to itself
)
def test_none_is_attached_to_a_loop_whose_program_is_over(
    monkeypatch: pytest.MonkeyPatch, before: bool, loop_says_so: bool
) -> None:
    """A reactor that came that late would never end."""
    if not loop_says_so:
        monkeypatch.setattr(_loops, "is_ending", lambda loop: False)
    caught: list[BaseException] = []
    generators: list[AsyncIterator[None]] = []

    async def main() -> None:
        over = asyncio.Event()

        async def slow() -> AsyncIterator[None]:
            try:
                yield
            finally:
                if before:
                    await over.wait()
                with pytest.raises(ReactorNotRunning, match="too late for another") as info:
                    Reactor.current()
                caught.append(info.value)

        generators.append(slow())
        await anext(generators[0])
        if before:
            reactor = Reactor.current()
            dispose = reactor._release

            def disposed() -> None:
                dispose()
                over.set()

            reactor._release = disposed  # type: ignore[method-assign]

    in_asyncio(main)
    assert len(caught) == 1


def test_what_a_lost_connection_opens_while_it_is_disposed_of_is_closed_too() -> None:
    ports: list[Any] = []

    class Opens(Protocol):
        def dataReceived(self, data: bytes) -> None:
            Reactor.current().dispose()

        def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
            ports.append(ports[0]._reactor.listenTCP(0, Factory(), interface="127.0.0.1"))

    async def main() -> None:
        ports.append(Reactor.current().listenTCP(0, Factory.forProtocol(Opens), interface="127.0.0.1"))
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0].getHost().port)
        writer.write(b"x")
        assert await reader.read() == b""
        writer.close()

    in_asyncio(main)
    assert len(ports) == 2
    assert [port.stopListening() for port in ports] == [None, None]


def test_a_stuck_thread_does_not_keep_the_program(logged: Logged) -> None:
    go_on, stuck = threading.Event(), threading.Event()

    def work() -> None:
        stuck.set()
        go_on.wait()

    async def main() -> None:
        reactor = Reactor.current()
        reactor.threadPatience = 0.01
        reactor.callInThread(work)
        stuck.wait()

    in_asyncio(main)
    (record,) = logged.take()
    assert "left behind" in record.getMessage()
    go_on.set()


def test_a_loop_closed_without_a_word_takes_its_reactor_with_it() -> None:
    async def current() -> weakref.ref[Reactor]:
        return weakref.ref(Reactor.current())

    loop = asyncio.new_event_loop()
    reference = loop.run_until_complete(current())
    loop.close()
    del loop
    # The registry of threads still names it, until the next reactor in this thread.
    in_asyncio(current)
    gc.collect()
    assert reference() is None


def test_loops_in_several_threads_each_have_their_own() -> None:
    barrier = threading.Barrier(3)
    reactors: list[Reactor] = []

    async def main() -> None:
        reactors.append(Reactor.current())
        barrier.wait()

    threads = [threading.Thread(target=in_asyncio, args=(main,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(reactors)) == 3
    assert all(reactor.disposed for reactor in reactors)
