"""One Deferred in both worlds: awaited by asyncio Tasks, and asyncio futures awaited in netcore's coroutines."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred, ensureDeferred, inlineCallbacks
from netcore.failure import Failure


def in_asyncio(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


async def turn() -> None:
    """Let everything that is ready run once."""
    await asyncio.sleep(0)


async def wait_for(d: Deferred[Any]) -> Any:
    return await d


def test_a_task_gets_the_result_and_the_failure() -> None:
    async def test() -> None:
        good, bad = Deferred[int](), Deferred[int]()
        waiting = asyncio.create_task(wait_for(good)), asyncio.create_task(wait_for(bad))
        await turn()
        good.callback(1)
        bad.errback(KeyError("k"))
        assert await waiting[0] == 1
        with pytest.raises(KeyError):
            await waiting[1]

    in_asyncio(test)


def test_a_task_goes_on_from_the_loop_and_never_within_callback() -> None:
    async def test() -> None:
        d: Deferred[int] = Deferred()
        task = asyncio.create_task(wait_for(d))
        await turn()
        d.callback(1)
        assert not task.done()
        assert await task == 1

    in_asyncio(test)


def test_gather_takes_deferreds_as_they_are() -> None:
    async def test() -> None:
        first, second = Deferred[int](), Deferred[int]()
        gathered = asyncio.gather(first, second)
        await turn()
        second.callback(2)
        first.callback(1)
        assert await gathered == [1, 2]

    in_asyncio(test)


def test_cancelling_gather_cancels_the_deferreds() -> None:
    async def test() -> None:
        cancelled: list[Any] = []
        waited: list[Deferred[int]] = [Deferred(cancelled.append), Deferred(cancelled.append)]
        gathered = asyncio.gather(*waited)
        await turn()
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        assert cancelled == waited

    in_asyncio(test)


def test_a_cancelled_task_cancels_the_deferred_and_keeps_its_message() -> None:
    async def test() -> None:
        cancelled: list[Any] = []
        d: Deferred[int] = Deferred(cancelled.append)
        task = asyncio.create_task(wait_for(d))
        await turn()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert cancelled == [d]
        assert task.cancelled()

    in_asyncio(test)


def test_a_cancelled_deferred_cancels_the_task() -> None:
    async def test() -> None:
        d: Deferred[int] = Deferred()
        task = asyncio.create_task(wait_for(d))
        await turn()
        d.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    in_asyncio(test)


def test_wait_for_and_timeout_cancel_it() -> None:
    async def test() -> None:
        cancelled: list[Any] = []
        d: Deferred[int] = Deferred(cancelled.append)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(d, 0.001)
        e: Deferred[int] = Deferred(cancelled.append)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await e
        assert cancelled == [d, e]

    in_asyncio(test)


def test_shield_protects_it() -> None:
    async def test() -> None:
        d: Deferred[int] = Deferred()
        inner = asyncio.ensure_future(d)
        outer = asyncio.ensure_future(asyncio.shield(inner))
        await turn()
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        d.callback(1)
        assert await inner == 1

    in_asyncio(test)


def test_a_taskgroup_that_fails_cancels_its_deferreds() -> None:
    async def test() -> None:
        d: Deferred[int] = Deferred()

        async def fails() -> None:
            await turn()
            raise KeyError("k")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(wait_for(d))
                group.create_task(fails())
        assert caught.group_contains(KeyError)
        assert waiting.cancelled()

    in_asyncio(test)


def test_a_task_hears_of_a_deferred_fired_in_another_thread() -> None:
    async def test() -> None:
        d: Deferred[int] = Deferred()
        task = asyncio.create_task(wait_for(d))
        await turn()
        worker = threading.Thread(target=d.callback, args=(1,))
        worker.start()
        assert await task == 1
        worker.join()

    in_asyncio(test)


def test_a_netcore_coroutine_awaits_asyncio_futures_and_coroutines() -> None:
    async def test() -> None:
        future = asyncio.get_running_loop().create_future()
        lock = asyncio.Lock()

        async def coroutine() -> list[Any]:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            async with lock:
                return [await future, await asyncio.to_thread(threading.get_ident)]

        d = ensureDeferred(coroutine())
        await turn()
        future.set_result("from asyncio")
        result, ident = await d
        assert result == "from asyncio"
        assert ident != threading.get_ident()

    in_asyncio(test)


def test_an_inlinecallbacks_function_yields_an_asyncio_future() -> None:
    async def test() -> None:
        future = asyncio.get_running_loop().create_future()

        @inlineCallbacks
        def f():  # type: ignore[no-untyped-def]
            return (yield future)

        d = f()
        future.set_result(5)
        assert await d == 5

    in_asyncio(test)


def test_cancelling_a_netcore_coroutine_cancels_the_future_it_awaits() -> None:
    async def test() -> None:
        future = asyncio.get_running_loop().create_future()
        seen: list[type[BaseException]] = []

        async def coroutine() -> str:
            try:
                await future
            except asyncio.CancelledError as error:
                seen.append(type(error))
            return "went on"

        d = ensureDeferred(coroutine())
        d.cancel()
        assert await d == "went on"
        assert future.cancelled()
        assert seen == [asyncio.CancelledError]

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
