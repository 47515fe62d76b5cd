"""Locks, semaphores, queues and futures used by asyncio's Tasks: cancelling at any moment loses nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    ensureDeferred,
    fail,
    race,
    succeed,
)
from netcore.failure import Failure
from netcore.reactors import Reactor

Limited = DeferredLock | DeferredSemaphore

each_of_one = pytest.mark.parametrize("make", [DeferredLock, lambda: DeferredSemaphore(1)], ids=["lock", "semaphore"])


def in_asyncio(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


async def turn() -> None:
    """Let everything that is ready run once."""
    await asyncio.sleep(0)


@each_of_one
class TestTurns:
    def test_tasks_and_coroutines_take_turns(self, make: Callable[[], Limited]) -> None:
        async def test() -> None:
            limited, order = make(), []

            async def one(name: str) -> None:
                async with limited:
                    order.append(f"{name} in")
                    await asyncio.sleep(0)
                    order.append(f"{name} out")

            first = asyncio.create_task(one("task"))
            await turn()
            second = ensureDeferred(one("coroutine"))
            third = asyncio.create_task(one("task"))
            await asyncio.gather(first, second, third)
            assert order == [f"{name} {way}" for name in ("task", "coroutine", "task") for way in ("in", "out")]
            assert limited.acquire().called

        in_asyncio(test)

    def test_a_task_cancelled_while_it_waits_leaves_the_queue(self, make: Callable[[], Limited]) -> None:
        async def test() -> None:
            limited = make()
            await limited.acquire()

            async def waits() -> None:
                async with limited:
                    raise AssertionError("it was cancelled")

            task = asyncio.create_task(waits())
            await turn()
            assert len(limited.waiting) == 1
            task.cancel("because")
            with pytest.raises(asyncio.CancelledError, match="because"):
                await task
            assert limited.waiting == []
            limited.release()
            assert limited.acquire().called

        in_asyncio(test)

    @pytest.mark.parametrize("how", ["async with", "await acquire", "wait_for", "timeout"])
    def test_a_task_cancelled_between_hand_over_and_going_on_passes_it_on(
        self, make: Callable[[], Limited], how: str
    ) -> None:
        async def test() -> None:
            limited = make()
            await limited.acquire()

            async def waits() -> None:
                if how == "async with":
                    async with limited:
                        raise AssertionError("it was cancelled")
                elif how == "await acquire":
                    await limited.acquire()
                elif how == "wait_for":
                    await asyncio.wait_for(limited.acquire(), 5)
                    limited.release()  # Python 3.11's prefers a result to being cancelled
                    raise asyncio.CancelledError
                else:
                    async with asyncio.timeout(5):
                        await limited.acquire()
                raise AssertionError("it was cancelled")

            task = asyncio.create_task(waits())
            while not limited.waiting:
                await turn()
            (handed_over,) = limited.waiting
            following = limited.acquire()
            limited.release()
            assert handed_over.called
            assert not following.called
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not following.called:  # wait_for (3.11) has a Task of its own to cancel
                await turn()
            limited.release()
            assert limited.acquire().called

        in_asyncio(test)

    def test_a_coroutine_of_ours_cancelled_at_any_step_passes_it_on(self, make: Callable[[], Limited]) -> None:
        async def test() -> None:
            for steps in range(4):
                limited = make()
                await limited.acquire()

                async def waits(limited: Limited = limited) -> None:
                    async with limited:
                        await asyncio.sleep(0)
                        await Deferred()

                d = ensureDeferred(waits())
                following = limited.acquire()
                for step in range(4):
                    if step == steps:
                        d.addErrback(lambda failure: failure.trap(CancelledError))
                        d.cancel()
                    if step == 1:
                        limited.release()
                    await turn()
                while not following.called:
                    await turn()
                limited.release()
                assert limited.acquire().called

        in_asyncio(test)


class TestQueue:
    def test_a_task_cancelled_with_an_item_on_its_way_loses_none(self) -> None:
        async def test() -> None:
            queue: DeferredQueue[int] = DeferredQueue()

            async def consume() -> None:
                async for item in queue:
                    raise AssertionError(f"cancelled, it got {item}")

            for number in range(0, 10, 2):
                task = asyncio.create_task(consume())
                while not queue.waiting:
                    await turn()
                queue.put(number)
                queue.put(number + 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert queue.pending == [number, number + 1]
                assert [await queue.get(), await queue.get()] == [number, number + 1]

        in_asyncio(test)

    @pytest.mark.parametrize(("callback", "comes_back"), [(str, []), (lambda item: item, [1])], ids=["made", "passed"])
    def test_of_an_item_on_its_way_through_a_callback_only_itself_comes_back(
        self, callback: Callable[[int], Any], comes_back: list[int]
    ) -> None:
        async def test() -> None:
            queue: DeferredQueue[int] = DeferredQueue()

            async def consume() -> None:
                item = await queue.get().addCallback(callback)
                raise AssertionError(f"cancelled, it got {item}")

            task = asyncio.create_task(consume())
            while not queue.waiting:
                await turn()
            queue.put(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert queue.pending == comes_back

        in_asyncio(test)

    def test_consumers_share_the_items(self) -> None:
        async def test() -> None:
            queue: DeferredQueue[int] = DeferredQueue()
            seen: list[int] = []

            async def consume() -> None:
                async for item in queue:
                    seen.append(item)
                    await turn()

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(consume()) for _ in range(3)]
                for number in range(30):
                    queue.put(number)
                while len(seen) < 30:
                    await turn()
                for task in tasks:
                    task.cancel()
            assert sorted(seen) == list(range(30))

        in_asyncio(test)


class TestRace:
    def test_a_task_gets_the_first(self) -> None:
        async def test() -> None:
            waiting: Deferred[str] = Deferred()
            task = asyncio.create_task(asyncio.wait_for(race([waiting, Deferred()]), 5))
            await turn()
            waiting.callback("there")
            assert await task == (0, "there")

        in_asyncio(test)

    def test_cancelling_the_task_cancels_all(self) -> None:
        async def test() -> None:
            ds: list[Deferred[str]] = [Deferred(), Deferred()]

            async def waits() -> None:
                await race(ds)

            task = asyncio.create_task(waits())
            await turn()
            task.cancel("because")
            with pytest.raises(asyncio.CancelledError, match="because"):
                await task
            assert all(d.called for d in ds)

        in_asyncio(test)


class TestFutures:
    @pytest.mark.parametrize("before", [True, False], ids=["made before it runs", "made when it runs"])
    def test_a_future_for_the_loop_of_another_thread(self, before: bool) -> None:
        reactor = Reactor()
        answers: list[Any] = []
        cancelled_in: list[int] = []

        def other(loop: asyncio.AbstractEventLoop, futures: list[asyncio.Future[str]]) -> None:
            async def look() -> None:
                answers.append(await asyncio.wait_for(futures[0], 10))
                with pytest.raises(KeyError):
                    await asyncio.wait_for(futures[1], 10)
                futures[2].cancel("because")

            loop.run_until_complete(look())
            loop.run_until_complete(asyncio.sleep(0))  # it tells of the cancel

        loop = asyncio.new_event_loop()
        first: Deferred[str] = Deferred()
        second: Deferred[str] = Deferred()
        third: Deferred[str] = Deferred(lambda _: cancelled_in.append(threading.get_ident()))

        def begin() -> None:
            futures = [d.asFuture(loop) for d in (first, second, third)]
            third.addBoth(lambda _: reactor.stop())
            reactor.callInThread(other, loop, futures)
            reactor.callLater(0, first.callback, "there")
            reactor.callLater(0, second.errback, KeyError("k"))

        if before:
            begin()
        else:
            reactor.callWhenRunning(begin)
        guard = reactor.callLater(10, reactor.stop)
        reactor.run()
        guard.cancel()
        reactor.dispose()
        loop.close()
        assert answers == ["there"]
        assert cancelled_in == [threading.get_ident()]

    def test_what_comes_too_late_for_another_threads_loop_is_told_if_it_is_an_error(self, logged: Any) -> None:
        loop = asyncio.new_event_loop()
        made, fired = threading.Event(), threading.Event()
        bad, good, d = Deferred[int](), Deferred[int](), Deferred[int]()
        futures = [each.asFuture(loop) for each in (bad, good, d)]

        async def cancel_late() -> None:
            made.set()
            fired.wait(10)  # so that the results are on their way
            for future in futures:
                future.cancel()

        thread = threading.Thread(target=lambda: loop.run_until_complete(cancel_late()))
        thread.start()
        made.wait(10)
        bad.errback(KeyError("k"))
        good.callback(1)
        d.cancel()
        fired.set()
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert all(future.cancelled() for future in futures)
        assert len(logged.take(KeyError)) == 1

    def test_a_deferred_of_another_threads_reactor_is_refused(self) -> None:
        async def test() -> None:
            Reactor.current()
            d: Deferred[int] = Deferred()
            seen: list[Exception] = []

            def elsewhere() -> None:
                loop = asyncio.new_event_loop()
                try:
                    d.asFuture(loop)
                except RuntimeError as error:
                    seen.append(error)
                finally:
                    loop.close()

            await asyncio.to_thread(elsewhere)
            assert "belongs to" in str(seen[0])

        in_asyncio(test)

    def test_a_future_of_another_threads_loop_is_refused(self) -> None:
        async def test() -> None:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            seen: list[Exception] = []

            def elsewhere() -> None:
                try:
                    Deferred.fromFuture(future)
                except RuntimeError as error:
                    seen.append(error)

            await asyncio.to_thread(elsewhere)
            assert "runs in another thread" in str(seen[0])

        in_asyncio(test)

    def test_there_and_back(self) -> None:
        async def test() -> None:
            loop = asyncio.get_running_loop()
            assert await Deferred.fromFuture(succeed(3).asFuture(loop)) == 3
            seen: list[Failure] = []
            Deferred.fromFuture(fail(KeyError("k")).asFuture(loop)).addErrback(seen.append)
            assert seen[0].type is KeyError
            d: Deferred[int] = Deferred()
            Deferred.fromFuture(d.asFuture(loop)).addErrback(seen.append).cancel()
            await turn()
            await turn()
            assert seen[1].type is CancelledError
            assert d.called

        in_asyncio(test)
