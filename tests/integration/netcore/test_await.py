"""One Deferred in both worlds: how Tasks and netcore's coroutines go on, and what several as one mean to them.

test_await_combinators.py has every way that asyncio has to wait, test_await_asyncio.py all that it has to wait for.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    ensureDeferred,
    fail,
    gatherResults,
    inlineCallbacks,
    succeed,
)
from netcore.failure import Failure
from netcore.reactors import Reactor
from netcore.task import deferLater
from tests.integration.netcore.worlds import in_asyncio


async def turn() -> None:
    """Let everything that is ready run once."""
    await asyncio.sleep(0)


async def wait_for(d: Deferred[Any]) -> Any:
    return await d


def test_a_task_goes_on_from_the_loop_and_never_within_callback() -> None:
    async def test() -> None:
        d: Deferred[int] = Deferred()
        task = asyncio.create_task(wait_for(d))
        await turn()
        d.callback(1)
        assert not task.done()
        assert await task == 1

    in_asyncio(test)


class Selector(selectors.DefaultSelector):
    """Says when the loop goes to sleep with nothing to do, and whether nobody woke it."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Event()
        self.overslept = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 1:
            self.asleep.set()
        ready = super().select(timeout)
        self.overslept = self.overslept or (self.asleep.is_set() and not ready and timeout != 0)
        return ready


def run_and_fire_while_asleep(test: Callable[[Deferred[int]], Coroutine[Any, Any, None]]) -> int:
    """Run *test* on a loop that has nothing else to do; fire its Deferred in another thread when the loop sleeps.

    Returns: that thread's identifier.
    """
    selector = Selector()
    d: Deferred[int] = Deferred()

    def fire() -> None:
        assert selector.asleep.wait(10)
        d.callback(1)

    worker = threading.Thread(target=fire)
    worker.start()
    ident = worker.ident
    assert ident is not None
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(asyncio.wait_for(test(d), 10))
    worker.join()
    assert not selector.overslept
    return ident


def test_a_sleeping_loop_is_woken_for_a_task_whose_deferred_another_thread_fires() -> None:
    async def test(d: Deferred[int]) -> None:
        assert await d == 1

    run_and_fire_while_asleep(test)


def test_a_netcore_coroutine_goes_on_in_its_own_thread_whoever_fires() -> None:
    seen: list[int] = []

    async def test(d: Deferred[int]) -> None:
        async def coroutine() -> None:
            await d
            seen.append(threading.get_ident())

        await ensureDeferred(coroutine())

    worker = run_and_fire_while_asleep(test)
    assert seen == [threading.get_ident()]
    assert worker not in seen


def test_an_inlinecallbacks_function_goes_on_in_its_own_thread_whoever_fires() -> None:
    seen: list[int] = []

    async def test(d: Deferred[int]) -> None:
        @inlineCallbacks
        def f():  # type: ignore[no-untyped-def]
            yield d
            seen.append(threading.get_ident())

        await f()

    run_and_fire_while_asleep(test)
    assert seen == [threading.get_ident()]


@pytest.mark.parametrize("several", [gatherResults, DeferredList])
def test_cancelling_a_task_that_awaits_several_cancels_it(several: Any) -> None:
    async def test() -> None:
        def waiting() -> Any:
            return several([Deferred(), Deferred()], consumeErrors=True)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting(), 0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await waiting()
        task = asyncio.create_task(wait_for(waiting()))
        await turn()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    in_asyncio(test)


def test_a_netcore_coroutine_that_gathers_is_cancelled_with_the_task_that_awaits_it() -> None:
    async def test() -> None:
        async def gathers() -> Any:
            return await gatherResults([Deferred(), Deferred()], consumeErrors=True)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ensureDeferred(gathers()), 0.001)

    in_asyncio(test)


def test_a_list_that_fires_by_itself_gives_a_task_its_results_cancelled_ones_included() -> None:
    async def test() -> None:
        waiting: list[Deferred[int]] = [Deferred(), Deferred()]
        task = asyncio.create_task(wait_for(DeferredList(waiting, consumeErrors=True)))
        await turn()
        waiting[0].cancel()
        waiting[1].callback(1)
        (first, _), second = await task
        assert (first, second) == (False, (True, 1))

    in_asyncio(test)


def test_a_cancel_between_the_result_and_the_coroutines_next_step_is_not_lost() -> None:
    async def test() -> None:
        future = asyncio.get_running_loop().create_future()
        seen: list[Any] = []

        async def coroutine() -> None:
            try:
                seen.append(await future)
            except asyncio.CancelledError:
                seen.append("cancelled")

        d = ensureDeferred(coroutine())
        future.set_result("result")
        d.cancel()
        await d
        assert seen == ["cancelled"]

        fired: Deferred[str] = Deferred()

        async def awaits_deferred() -> None:
            try:
                seen.append(await fired)
            except CancelledError:
                seen.append("cancelled too")

        d = ensureDeferred(awaits_deferred())
        worker = threading.Thread(target=fired.callback, args=("result",))
        worker.start()
        worker.join()
        d.cancel()
        await d
        assert seen == ["cancelled", "cancelled too"]

    in_asyncio(test)


def test_a_coroutine_that_cancels_itself_while_it_runs_takes_no_notice() -> None:
    async def test() -> None:
        first, second = (asyncio.get_running_loop().create_future() for _ in range(2))

        async def coroutine() -> str:
            await first
            d.cancel()
            return await second

        d = ensureDeferred(coroutine())
        first.set_result(None)
        await turn()
        second.set_result("not cancelled")
        assert await d == "not cancelled"

    in_asyncio(test)


def test_a_task_goes_on_at_once_with_a_result_or_failure_that_is_there() -> None:
    async def test() -> None:
        turned: list[str] = []
        asyncio.get_running_loop().call_soon(turned.append, "turned")
        assert await succeed(1) == 1
        with pytest.raises(KeyError):
            await fail(KeyError())
        assert turned == []

    in_asyncio(test)


def test_a_deferred_that_was_cancelled_before_raises_the_same() -> None:
    async def test() -> None:
        d: Deferred[int] = Deferred()
        d.cancel()
        with pytest.raises(asyncio.CancelledError):
            await d

        async def in_netcore() -> None:
            e: Deferred[int] = Deferred()
            e.cancel()
            with pytest.raises(CancelledError):
                await e

        await ensureDeferred(in_netcore())

    in_asyncio(test)


def test_a_netcore_coroutine_in_asyncio_sleep_can_be_cancelled() -> None:
    async def test() -> None:
        async def sleeps(seconds: float) -> None:
            for _ in range(1_000_000):
                await asyncio.sleep(seconds)

        for seconds in (0, 60):
            seen: list[Failure] = []
            d = ensureDeferred(sleeps(seconds))
            d.addErrback(seen.append)
            await turn()
            d.cancel()
            await turn()
            assert [failure.type for failure in seen] == [CancelledError]

    in_asyncio(test)


def test_a_failure_raised_in_a_task_leaves_no_garbage() -> None:
    async def test() -> None:
        async def handles(d: Deferred[int]) -> None:
            try:  # pytest.raises() would make cycles of its own
                await d
            except KeyError:
                return
            pytest.fail("it did not raise")

        gc.collect()
        for _ in range(20):
            d: Deferred[int] = Deferred()
            task = asyncio.create_task(handles(d))
            await turn()
            d.errback(KeyError())
            await task
        del d, task
        await turn()
        assert gc.collect() == 0

    in_asyncio(test)


def test_a_coroutine_goes_on_where_it_is_fired_if_its_threads_loop_was_closed_without_a_word() -> None:
    """asyncio.run() tells the attached reactor that it ends; run_until_complete() and close() do not."""

    async def attach() -> None:
        Reactor.current()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(attach())
    loop.close()

    async def waits(waited: Deferred[int]) -> int:
        return await waited

    waited: Deferred[int] = Deferred()
    result = ensureDeferred(waits(waited))
    worker = threading.Thread(target=waited.callback, args=(1,))
    worker.start()
    worker.join()
    seen: list[int] = []
    result.addCallback(seen.append)
    assert seen == [1]


def test_a_task_that_waits_in_deferlater_ends_quietly_with_its_reactor() -> None:
    """The reactor takes its delayed calls back before it cancels the Tasks of its loop, and so their Deferreds."""
    reactor = Reactor()
    tasks: list[asyncio.Task[None]] = []

    async def waits() -> None:
        await deferLater(reactor, 60)

    def begin() -> None:
        tasks.append(asyncio.ensure_future(waits()))
        reactor.loop.call_soon(reactor.stop)

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    assert tasks[0].cancelled()
