"""Who is cancelled gives up waiting, also where cancelling what is waited for does nothing: that is paused, or runs its
callbacks, or a coroutine that runs; its result stays its own.

tests/unit/netcore/test_deferred_states.py has this for every state of a Deferred.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredQueue,
    ensureDeferred,
    gatherResults,
    inlineCallbacks,
    race,
    succeed,
)
from netcore.failure import Failure
from netcore.task import Clock
from tests.integration.netcore.worlds import Run, everywhere, in_asyncio, turns
from tests.support.guard import Logged


def paused() -> Deferred[Any]:
    d: Deferred[Any] = succeed("value")
    d.pause()
    return d


def chained() -> Deferred[Any]:
    return succeed(None).addCallback(lambda _: paused())


async def wait_for(d: Deferred[Any]) -> Any:
    return await d


@inlineCallbacks
def yields(d: Deferred[Any]) -> Any:
    return (yield d)


STUCK: dict[str, Callable[[], Deferred[Any]]] = {
    "paused": paused,
    "chained": chained,
    "gathered": lambda: gatherResults([paused(), chained()]),
    "listed": lambda: DeferredList([paused()]),
    "race": lambda: race([paused(), paused()]),
}

each_that_is_stuck = pytest.mark.parametrize("stuck", STUCK.values(), ids=STUCK)


@each_that_is_stuck
def test_a_time_out_of_asyncios_ends_a_tasks_wait(stuck: Callable[[], Deferred[Any]]) -> None:
    async def test() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stuck(), 0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stuck()

    in_asyncio(test)


@everywhere
@each_that_is_stuck
def test_a_time_out_of_asyncios_ends_a_coroutines_wait(run: Run, stuck: Callable[[], Deferred[Any]]) -> None:
    async def test() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stuck()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await ensureDeferred(wait_for(ensureDeferred(wait_for(stuck()))))

    run(test)


@pytest.mark.parametrize("wait", [lambda d: ensureDeferred(wait_for(d)), yields], ids=["await", "yield"])
@each_that_is_stuck
def test_cancelling_its_deferred_ends_a_coroutines_wait(stuck: Callable[[], Deferred[Any]], wait: Any) -> None:
    seen: list[Any] = []
    outer = wait(wait(stuck()))
    outer.addErrback(seen.append)
    outer.cancel()
    assert [failure.type for failure in seen] == [CancelledError]


def test_cancelling_the_last_of_many_that_wait_for_each_other_ends_them_all() -> None:
    last = d = paused()
    for _ in range(10_000):
        last = ensureDeferred(wait_for(last))
    seen: list[Any] = []
    last.addErrback(lambda failure: seen.append(failure.type))
    last.cancel()
    assert seen == [CancelledError]
    d.unpause()
    assert d.result == "value"


def test_who_has_given_up_can_wait_for_the_same_again() -> None:
    d = paused()
    seen: list[Any] = []

    async def waits() -> None:
        for _ in range(3):
            try:
                seen.append(await d)
            except CancelledError:
                seen.append("cancelled")
        await Deferred()

    waiting = ensureDeferred(waits())
    waiting.cancel()
    waiting.cancel()
    assert seen == ["cancelled", "cancelled"]
    d.unpause()
    assert seen == ["cancelled", "cancelled", "value"]
    assert not waiting.called, "what it waits for now is another"
    waiting.addErrback(lambda failure: failure.trap(CancelledError))
    waiting.cancel()
    assert waiting.called


def test_the_result_goes_to_who_waits_still() -> None:
    async def test() -> None:
        d = paused()
        waiting = [asyncio.create_task(wait_for(d)), ensureDeferred(wait_for(d)), yields(d)]
        await turns()
        last = asyncio.create_task(wait_for(d))
        await turns()
        for one in waiting:
            one.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, (CancelledError, asyncio.CancelledError)) for result in results)
        d.unpause()
        assert await last == "value"

    in_asyncio(test)


def test_a_lists_own_results_stay_its_own() -> None:
    async def test() -> None:
        both = DeferredList([succeed(1), succeed(2)])
        both.pause()
        task = asyncio.create_task(wait_for(both))
        await turns()
        task.cancel()
        await asyncio.wait([task])
        both.unpause()
        assert both.result == [(True, 1), (True, 2)]

    in_asyncio(test)


@pytest.mark.parametrize("wait", [asyncio.ensure_future, lambda d: ensureDeferred(wait_for(d))], ids=["task", "ours"])
def test_a_failure_that_nobody_waits_for_any_more_is_reported(wait: Any, logged: Logged) -> None:
    async def test() -> None:
        d: Deferred[Any] = Deferred()
        d.pause()
        d.errback(KeyError("nobody's"))
        waiting = wait(d)
        await turns()
        waiting.cancel()
        try:  # pytest.raises() would keep the error, and so the frames of who has waited
            await waiting
        except (CancelledError, asyncio.CancelledError):
            pass
        await turns()  # it is kept during the step that raises it
        assert not logged.take(KeyError)
        d.unpause()
        del d, waiting
        assert len(logged.take(KeyError)) == 1

    in_asyncio(test)


def test_a_cancel_from_a_callback_of_what_is_waited_for_is_heard() -> None:
    async def test() -> None:
        d: Deferred[str] = Deferred()
        d.addCallback(lambda result: (task.cancel("enough"), result)[1])
        task = asyncio.create_task(wait_for(d))
        await turns()
        d.callback("result")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert d.result == "result"

    in_asyncio(test)


def test_a_cancel_by_the_coroutine_that_is_waited_for_is_heard_and_that_goes_on() -> None:
    async def test() -> None:
        first, second = Deferred[None](), Deferred[str]()

        async def inner() -> str:
            await first
            task.cancel("enough")
            return await second

        waited_for = ensureDeferred(inner())
        task = asyncio.create_task(wait_for(waited_for))
        await turns()
        first.callback(None)
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        second.callback("went on")
        assert waited_for.result == "went on"

    in_asyncio(test)


def test_the_result_that_comes_before_the_coroutine_has_heard_of_its_cancel_stays_where_it_is() -> None:
    async def test() -> None:
        d = paused()
        tasks: list[Any] = []
        seen: list[Any] = []

        async def waits() -> None:
            tasks.append(asyncio.current_task())
            try:
                seen.append(await d)
            except asyncio.CancelledError as error:
                seen.append(error.args)

        waiting = ensureDeferred(waits())
        tasks[0].cancel("enough")
        d.unpause()
        assert seen == []
        await waiting
        assert seen == [("enough",)]
        assert d.result == "value"

    in_asyncio(test)


def test_given_up_and_fired_in_another_thread_it_keeps_its_result() -> None:
    async def test() -> None:
        d = paused()
        waiting = [asyncio.create_task(wait_for(d)), ensureDeferred(wait_for(d))]
        await turns()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        worker = threading.Thread(target=d.unpause)
        worker.start()
        worker.join()
        assert d.result == "value"

    in_asyncio(test)


def test_addtimeout_of_a_coroutine_that_waits_for_one_that_is_paused() -> None:
    clock = Clock()
    seen: list[Any] = []
    ensureDeferred(wait_for(paused())).addTimeout(1, clock).addErrback(lambda failure: seen.append(failure.type))
    clock.advance(1)
    assert [issubclass(kind, TimeoutError) for kind in seen] == [True]


def test_what_is_given_up_is_not_kept() -> None:
    async def test() -> None:
        gc.collect()
        gc.disable()
        try:
            for wait in (asyncio.ensure_future, lambda d: ensureDeferred(wait_for(d)), yields):
                d = paused()
                waiting: Any = wait(d)
                await turns()
                waiting.cancel()
                try:
                    await waiting
                except (CancelledError, asyncio.CancelledError):
                    pass
                gone = weakref.ref(d)
                del d, waiting
                await turns()
                assert gone() is None
        finally:
            gc.enable()

    in_asyncio(test)


class TestAFailureThatACancelForestalls:
    """It was on its way when who awaits was cancelled: that raises a CancelledError, and the failure is reported."""

    @staticmethod
    async def cancel_after_failure(waiting: Any, fire: Callable[[], object], cancel: Callable[[], object]) -> None:
        await turns()
        fire()
        cancel()
        cancel()
        with pytest.raises((CancelledError, asyncio.CancelledError)):
            await waiting

    def test_of_a_task(self, logged: Logged) -> None:
        async def test() -> None:
            d: Deferred[Any] = Deferred()
            task = asyncio.create_task(wait_for(d))
            await self.cancel_after_failure(task, lambda: d.errback(KeyError("lost")), task.cancel)

        in_asyncio(test)
        assert len(logged.take(KeyError)) == 1

    @pytest.mark.parametrize("wait", [lambda d: ensureDeferred(wait_for(d)), yields], ids=["await", "yield"])
    def test_of_a_coroutine_whose_deferred_another_thread_fires(self, wait: Any, logged: Logged) -> None:
        async def test() -> None:
            d: Deferred[Any] = Deferred()
            waiting = wait(d)

            def fire() -> None:
                worker = threading.Thread(target=d.errback, args=(KeyError("lost"),))
                worker.start()
                worker.join()

            await self.cancel_after_failure(waiting, fire, waiting.cancel)

        in_asyncio(test)
        assert len(logged.take(KeyError)) == 1

    def test_of_a_reader_of_a_queue(self, logged: Logged) -> None:
        async def test() -> None:
            queue: DeferredQueue[Any] = DeferredQueue()
            task = asyncio.create_task(wait_for(queue.get()))
            await self.cancel_after_failure(task, lambda: queue.put(Failure(KeyError("lost"))), task.cancel)

        in_asyncio(test)
        assert len(logged.take(KeyError)) == 1

    def test_is_not_told_twice_if_the_cancel_is_taken_back(self, logged: Logged) -> None:
        """From Python 3.13 on, the Task goes on with the failure then."""

        async def test() -> None:
            d: Deferred[Any] = Deferred()
            task = asyncio.create_task(wait_for(d))
            await turns()
            d.errback(KeyError("lost"))
            task.cancel()
            task.uncancel()
            with pytest.raises((KeyError, asyncio.CancelledError)):
                await task

        in_asyncio(test)
        assert len(logged.take(KeyError)) == 1

    def test_is_no_news_if_it_was_cancelled_itself(self) -> None:
        async def test() -> None:
            d: Deferred[Any] = Deferred()
            task = asyncio.create_task(wait_for(d))
            await self.cancel_after_failure(task, lambda: d.errback(CancelledError()), task.cancel)

        in_asyncio(test)
