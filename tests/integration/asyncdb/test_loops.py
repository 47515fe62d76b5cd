"""A pool and the loop it runs on: no call blocks the loop, and a pool ends with its loop and starts on the next."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import netcore
from asyncdb import ConnectionPool, PoolClosed, WrongThread
from asyncdb.testing import ScriptedDriver
from netcore.defer import Deferred, gatherResults
from netcore.reactors import Reactor
from tests.integration.asyncdb.running import Drive, reached, runReactor


async def _query(pool: ConnectionPool) -> Any:
    return await pool.runQuery("x")


async def _close(pool: ConnectionPool) -> None:
    await pool.close()


def test_while_ten_calls_block_the_reactor_turns_and_close_returns() -> None:
    driver = ScriptedDriver()
    gate = threading.Barrier(11)
    release = threading.Event()

    def blocked(*args: Any) -> None:
        gate.wait(30)
        release.wait(30)

    driver.when("execute", blocked)

    async def main() -> None:
        reactor = Reactor.current()
        pool = ConnectionPool(driver, cp_max=10)
        calls = [pool.runQuery("select") for _ in range(10)]
        queued = pool.runQuery("queued")
        all_there: Deferred[None] = Deferred()
        threading.Thread(
            target=lambda: (gate.wait(30), reactor.callFromThread(all_there.callback, None)), daemon=True
        ).start()
        await all_there

        turns = 0
        turned: Deferred[None] = Deferred()

        def turn() -> None:
            nonlocal turns
            turns += 1
            if turns < 1000:
                reactor.callLater(0, turn)
            else:
                turned.callback(None)

        turn()
        await turned
        assert turns == 1000
        assert not any(call.called for call in calls)

        closed = pool.close()
        assert not closed.called  # it has returned, and all ten still block
        with pytest.raises(PoolClosed):
            await queued
        with pytest.raises(PoolClosed):
            await pool.runQuery("later")
        release.set()
        assert await gatherResults(calls) == [[(1,)]] * 10  # they may finish
        await closed

    runReactor(main)
    assert driver.calls["close"] == 10


def test_the_first_of_many_results_wakes_the_reactor_and_the_others_do_not() -> None:
    driver = ScriptedDriver()
    first_seen, all_done = threading.Event(), threading.Event()
    seen: list[bool] = []
    driver.when("execute", lambda *_: seen.append(first_seen.wait(30)), matching=lambda *args: args[:1] == ("second",))
    driver.when("execute", lambda *_: all_done.set(), matching=lambda *args: args[:1] == ("last",))
    woken = 0

    async def main() -> None:
        nonlocal woken
        reactor = Reactor.current()
        plainly = reactor.callFromThread

        def counted(function: Any, *args: Any) -> None:
            nonlocal woken
            woken += function.__name__ == "deliver"
            plainly(function, *args)

        reactor.callFromThread = counted  # type: ignore[method-assign]
        async with ConnectionPool(driver, cp_max=1) as pool:
            await pool.suspend()
            calls = [pool.runQuery("first"), pool.runQuery("second")]
            calls += [pool.runQuery("another") for _ in range(200)]
            calls.append(pool.runQuery("last"))
            pool.resume()
            await calls[0]
            woken = 0
            first_seen.set()
            assert all_done.wait(30)  # the reactor stands still meanwhile
            assert woken <= 1
            await gatherResults(calls[1:])

    runReactor(main)
    assert seen == [True]


def test_calls_made_before_the_reactor_runs_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = Reactor()
    monkeypatch.setitem(netcore.__dict__, "reactor", reactor)
    heard: list[Any] = []
    pool = ConnectionPool(ScriptedDriver())
    pool.runQuery("early").addBoth(lambda result: (heard.append(result), reactor.stop()))
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    assert heard == [[(1,)]]


def test_another_thread_is_told_where_to_go(drive: Drive) -> None:
    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool:
            await pool.runQuery("x")
            told: Deferred[BaseException] = Deferred()
            reactor = Reactor.current()

            def elsewhere() -> None:
                try:
                    pool.runQuery("y")
                except Exception as error:
                    reactor.callFromThread(told.callback, error)

            threading.Thread(target=elsewhere, daemon=True).start()
            error = await told
            assert isinstance(error, WrongThread)
            assert "callFromThread" in str(error)

    drive(main)


def test_a_pool_closes_with_its_reactor_and_lets_the_last_calls_finish() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)
    heard: list[Any] = []

    async def main() -> None:
        pool = ConnectionPool(driver, cp_max=1)
        pool.runQuery("the last").addBoth(heard.append)
        pool.runQuery("the very last").addBoth(heard.append)
        await reached(step)
        Reactor.current().addSystemEventTrigger("before", "shutdown", gate.set)

    runReactor(main)
    assert heard == [[(1,)], [(1,)]]
    assert driver.calls["close"] == 1


def test_a_pool_whose_asyncio_program_ended_serves_the_next() -> None:
    driver = ScriptedDriver()
    pool = ConnectionPool(driver)

    async def main() -> Any:
        return await pool.runQuery("x")

    assert asyncio.run(main()) == asyncio.run(main()) == [(1,)]
    assert driver.calls["connect"] == driver.calls["close"] == 2


def test_after_its_reactor_a_pool_says_that_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ConnectionPool(ScriptedDriver())

    async def main() -> None:
        await pool.runQuery("x")

    runReactor(main)
    other = Reactor()
    monkeypatch.setitem(netcore.__dict__, "reactor", other)
    failures: list[Any] = []
    pool.runQuery("y").addErrback(failures.append)
    assert failures[0].check(PoolClosed)
    other.dispose()


def test_results_that_come_when_the_loop_is_gone_are_dropped_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)
    pool = ConnectionPool(driver, cp_max=1)
    loop = asyncio.new_event_loop()  # run by hand, and closed without its asynchronous generators being shut down

    async def main() -> Any:
        call = pool.runQuery("x")
        await reached(step)
        return call

    call = loop.run_until_complete(main())
    call.addErrback(lambda failure: None)
    loop.close()
    gate.set()
    assert asyncio.run(_query(pool)) == [(1,)]  # the pool finds out, and goes on with the next
    assert not caplog.records


def used_on_a_closed_loop() -> ConnectionPool:
    """A pool that nobody has told of the end of its loop."""
    pool = ConnectionPool(ScriptedDriver(), cp_max=1)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_query(pool))
    assert pool.running
    loop.close()
    assert not pool.running
    return pool


def test_a_pool_whose_loop_is_gone_can_be_closed_on_another() -> None:
    pool = used_on_a_closed_loop()
    asyncio.run(_close(pool))
    assert pool.stats().state == "closed"
    with pytest.raises(PoolClosed):
        asyncio.run(_query(pool))


def test_a_pool_whose_loop_is_gone_starts_on_another() -> None:
    pool = used_on_a_closed_loop()

    async def main() -> None:
        pool.evictAll()  # there is nothing
        pool.resume()
        async with pool:
            assert pool.running
            assert pool.stats().connected == 0
            await pool.runQuery("x")

    asyncio.run(main())
    assert pool.stats().state == "closed"


def test_a_pool_of_a_stopped_loop_says_so_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ConnectionPool(ScriptedDriver())
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        assert first.run_until_complete(_query(pool)) == [(1,)]
        with pytest.raises(WrongThread, match="stopped and not closed"):
            second.run_until_complete(_query(pool))
        assert first.run_until_complete(_query(pool)) == [(1,)]
        first.close()
        assert second.run_until_complete(_query(pool)) == [(1,)]
        second.run_until_complete(_close(pool))
    finally:
        first.close()
        second.close()


def test_closing_in_the_wrong_thread_does_nothing() -> None:
    pool = ConnectionPool(ScriptedDriver(), cp_max=1)

    async def main() -> None:
        await pool.runQuery("x")
        with pytest.raises(WrongThread):
            await asyncio.to_thread(pool.close)

    asyncio.run(main())
    assert asyncio.run(_query(pool)) == [(1,)]  # it has ended with its loop, and was not closed
