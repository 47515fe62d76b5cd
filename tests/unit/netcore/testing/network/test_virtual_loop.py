"""A loop whose time is virtual: what is due comes in its order, at its time, and what never comes is told of."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import netcore
from netcore.defer import Deferred
from netcore.reactors import Reactor
from netcore.task import LoopingCall, deferLater
from netcore.testing.network import Stalled, VirtualLoop, _selector, heldUp
from netcore.threads import blockingCallFromThread, deferToThread


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    loop = VirtualLoop()
    reactor = Reactor(loop)
    yield reactor
    reactor.dispose()
    loop.close()


def drive(reactor: Reactor, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run *reactor* until ``main()`` has a result."""
    results: list[Any] = []

    async def program() -> None:
        try:
            results.append(await main())
        finally:
            reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(program()).addErrback(results.append))
    reactor.run()
    return results[0]


# ------------------------------------------------------------------------------------------------------------- asyncio


def test_sleeping_takes_no_time(runner: asyncio.Runner) -> None:
    async def main() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []
        loop = asyncio.get_running_loop()

        async def sleep(name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            seen.append((name, loop.time()))

        await asyncio.gather(sleep("a year", 365 * 86400.0), sleep("a second", 1.0), sleep("a moment", 1e-6))
        return seen

    assert runner.run(main()) == [("a moment", 1e-6), ("a second", 1.0), ("a year", 365 * 86400.0)]


def test_a_time_out_comes_in_time(runner: asyncio.Runner) -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        return asyncio.get_running_loop().time()

    assert runner.run(main()) == 30.0


def test_waiting_for_what_never_comes_is_told(runner: asyncio.Runner) -> None:
    async def main() -> None:
        await asyncio.sleep(5)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled, match=r"nothing will ever happen: no timer, .* \(it is 5 s\)"):
        runner.run(main())


def test_being_busy_for_ever_is_told(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_selector, "_BUSY", 50)
    turns = 0

    async def main() -> None:
        nonlocal turns
        await asyncio.sleep(1)
        for _ in range(40):
            await asyncio.sleep(0)
        await asyncio.sleep(1)  # time passes: it is not for ever
        while True:
            turns += 1
            await asyncio.sleep(0)

    with pytest.raises(Stalled, match="turned 50 times without time passing"):
        runner.run(main())
    assert turns <= 51


def test_the_real_world_is_refused(runner: asyncio.Runner) -> None:
    read, write = os.pipe()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="is a real descriptor"):
            loop.add_reader(read, print)
        with pytest.raises(NotImplementedError, match="TCP only"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match=r"to connect, a coroutine has to run on a host .*host\.runUntil"):
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", 80)
        with pytest.raises(RuntimeError, match="to listen, "):
            await loop.create_server(asyncio.Protocol, "127.0.0.1", 80)
        with pytest.raises(RuntimeError, match="to look up a name, "):
            await loop.getaddrinfo("localhost", 80)

    try:
        runner.run(main())
    finally:
        os.close(read)
        os.close(write)


def test_time_stands_still_while_an_executor_works(runner: asyncio.Runner) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go_on.wait(20)
        return "done"

    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(None, work)
        assert begun.wait(20)
        loop.call_soon(go_on.set)
        later = asyncio.ensure_future(asyncio.sleep(3600))
        result = await working
        later.cancel()
        return result, loop.time()

    assert runner.run(main()) == ("done", 0.0)


def test_time_goes_on_beside_a_thread_that_is_held_up_and_waits_when_it_no_longer_is(runner: asyncio.Runner) -> None:
    gate = threading.Event()

    def work() -> str:
        with heldUp(lambda: not gate.is_set()):
            assert gate.wait(20)
        return "done"

    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(None, work)
        await asyncio.sleep(3600)
        assert not working.done()
        gate.set()
        later = asyncio.ensure_future(asyncio.sleep(3600))
        result = await working
        later.cancel()
        return result, loop.time()

    assert runner.run(main()) == ("done", 3600.0)


def test_a_thread_that_does_not_end_is_told(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_selector, "_PATIENCE", 0.0)
    end = threading.Event()

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, end.wait, 20)

    try:
        with pytest.raises(Stalled, match="a thread has worked for 0 real seconds"):
            runner.run(main())
    finally:
        monkeypatch.undo()
        end.set()


def test_a_thread_of_anybodys_can_call(runner: asyncio.Runner) -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, "heard"))
        thread.start()
        thread.join()
        return await future

    assert runner.run(main()) == "heard"


def test_a_name_is_not_asked_for_outside(runner: asyncio.Runner) -> None:
    async def main() -> tuple[str, str]:
        return await asyncio.get_running_loop().getnameinfo(("10.0.0.1", 80))

    assert runner.run(main()) == ("10.0.0.1", "80")


# ------------------------------------------------------------------------------------------------------------ reactors


def test_a_reactor_runs_in_virtual_time(reactor: Reactor) -> None:
    async def main() -> list[float]:
        seen = [reactor.seconds()]
        await deferLater(reactor, 3600)
        seen.append(reactor.seconds())
        await asyncio.sleep(0.5)
        seen.append(reactor.seconds())
        async with netcore.scope() as scope:
            scope.start(deferLater(reactor, 9.5))
        seen.append(reactor.seconds())
        return seen

    assert drive(reactor, main) == [0.0, 3600.0, 3600.5, 3610.0]


@pytest.mark.parametrize("start", [0.0, 0.1, 12345.678, 1e9 + 0.1])
def test_timers_come_exactly_when_they_are_due(reactor: Reactor, start: float) -> None:
    """However near to each other, whatever is lost in reckoning; and no turn is taken in vain."""
    seen: list[tuple[float, float]] = []

    async def main() -> None:
        await deferLater(reactor, start)
        now = reactor.seconds()
        due = now
        for step in (0.1, 0.2, 0.1 + 0.2, 1e-10, 1e-9, 1 / 3):
            due = math.nextafter(due + step, math.inf)
            call = reactor.callLater(due - now, lambda due: seen.append((due, reactor.seconds())), due)
            call.delay(due - call.getTime())
            seen.append((call.getTime(), math.nan))
        await deferLater(reactor, 10)

    turns = 0
    select = reactor.loop._selector.select  # type: ignore[attr-defined]

    def counting(timeout: float | None = None) -> Any:
        nonlocal turns
        turns += 1
        return select(timeout)

    reactor.loop._selector.select = counting  # type: ignore[attr-defined]
    drive(reactor, main)
    planned = [when for when, made in seen if math.isnan(made)]
    assert [made for _, made in seen if not math.isnan(made)] == planned
    assert turns < 40


def test_a_looping_call_does_not_drift(reactor: Reactor) -> None:
    seen: list[float] = []

    async def main() -> None:
        call = LoopingCall(lambda: seen.append(reactor.seconds()))
        call.clock = reactor
        call.start(0.25)
        await deferLater(reactor, 1.1)
        call.stop()

    drive(reactor, main)
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_reactor_that_waits_for_nothing_says_so(reactor: Reactor) -> None:
    with pytest.raises(Stalled, match="nothing will ever happen"):
        reactor.run()
    assert not reactor.running


def test_threads_of_a_reactor_take_no_time(reactor: Reactor) -> None:
    """But one that waits for the reactor has to have time pass."""

    def work() -> tuple[float, float]:
        before = reactor.seconds()
        blockingCallFromThread(reactor, deferLater, reactor, 60)
        return before, reactor.seconds()

    async def main() -> tuple[tuple[float, float], float]:
        reactor.callLater(3600, print)  # it must not be waited for
        return await deferToThread(work), reactor.seconds()

    assert drive(reactor, main) == ((0.0, 60.0), 60.0)
    for call in reactor.getDelayedCalls():
        call.cancel()


def test_turns_by_hand_go_on_in_time(reactor: Reactor) -> None:
    seen: list[float] = []
    reactor.callLater(5, lambda: seen.append(reactor.seconds()))
    reactor.iterate()
    assert reactor.seconds() == 0
    reactor.iterate(100)
    reactor.iterate()
    assert seen == [5.0]
