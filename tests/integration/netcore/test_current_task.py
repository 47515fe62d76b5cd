"""A coroutine driven by netcore is asyncio's current task while it runs, and is cancelled like one."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from netcore import defer
from netcore.defer import Deferred, ensureDeferred, inlineCallbacks
from netcore.failure import Failure
from netcore.reactors import Reactor
from tests.integration.netcore.worlds import Run, everywhere, in_asyncio, turns


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


@everywhere
def test_it_is_its_own_in_every_step(run: Run) -> None:
    seen: dict[str, list[Any]] = {"a": [], "b": []}

    async def one(name: str) -> None:
        for _ in range(3):
            seen[name].append(asyncio.current_task())
            await asyncio.sleep(0)
            await defer.succeed(None)
            seen[name].append(asyncio.current_task())

    async def main() -> None:
        mine = current()
        both = [ensureDeferred(one("a")), ensureDeferred(one("b"))]
        assert current() is mine
        await defer.gatherResults(both)
        assert current() is mine
        assert mine not in seen["a"]

    run(main)
    assert len(set(seen["a"])) == len(set(seen["b"])) == 1
    assert set(seen["a"]) != set(seen["b"])


def test_the_task_around_it_is_current_again_when_it_waits() -> None:
    async def main() -> None:
        outer = current()
        d: Deferred[None] = Deferred()

        async def inner() -> asyncio.Task[Any]:
            await d
            return current()

        waiting = ensureDeferred(inner())
        assert current() is outer
        d.callback(None)
        assert current() is outer
        assert (await waiting) is not outer

    in_asyncio(main)


def test_a_coroutine_begun_before_the_loop_ran_has_one_as_soon_as_it_runs() -> None:
    reactor = Reactor()
    d: Deferred[None] = Deferred()
    seen: list[Any] = []

    async def one() -> None:
        try:
            await d
            seen.append(current())
            async with asyncio.timeout(0):
                await Deferred[None]()
        except TimeoutError:
            seen.append(current())
            reactor.stop()

    waiting = ensureDeferred(one())
    reactor.callWhenRunning(d.callback, None)
    reactor.run()
    reactor.dispose()
    assert waiting.called
    assert seen[0] is seen[1]


def test_without_a_loop_there_is_none_and_coroutines_run_all_the_same() -> None:
    d: Deferred[int] = Deferred()

    async def one() -> int:
        return await d

    seen: list[int] = []
    ensureDeferred(one()).addCallback(seen.append)
    d.callback(1)
    assert seen == [1]


@everywhere
def test_fired_in_another_thread_it_goes_on_as_itself(run: Run) -> None:
    async def main() -> None:
        mine = current()
        d: Deferred[int] = Deferred()
        thread = threading.Thread(target=d.callback, args=(1,))
        thread.start()
        assert await d == 1
        thread.join()
        assert current() is mine

    run(main)


def interrupts(waited_for: str) -> tuple[Callable[[], Any], Callable[[], bool]]:
    """Something to be awaited that never comes, and how to find out whether it was cancelled."""
    if waited_for == "deferred":
        cancelled: list[Any] = []
        d: Deferred[Any] = Deferred(cancelled.append)
        return lambda: d, lambda: cancelled == [d]
    if waited_for == "chained":
        cancelled = []
        inner: Deferred[Any] = Deferred(cancelled.append)
        return lambda: defer.succeed(None).addCallback(lambda _: inner), lambda: cancelled == [inner]
    if waited_for == "list":
        one: Deferred[Any] = Deferred()
        return lambda: defer.gatherResults([one], consumeErrors=True), lambda: one.called
    if waited_for == "coroutine":
        future: asyncio.Future[Any] = asyncio.Future()

        async def wait() -> None:
            await future

        return lambda: ensureDeferred(wait()), future.cancelled
    if waited_for == "inlineCallbacks":
        d = Deferred()
        return inlineCallbacks(lambda: (yield d)), lambda: d.called
    waiting: asyncio.Future[Any] = asyncio.Future()
    return lambda: waiting, waiting.cancelled


@everywhere
@pytest.mark.parametrize("waited_for", ["deferred", "chained", "list", "coroutine", "inlineCallbacks", "future"])
def test_cancel_interrupts_what_it_waits_for_but_not_within_the_call(run: Run, waited_for: str) -> None:
    async def main() -> None:
        never, was_cancelled = interrupts(waited_for)
        events: list[Any] = []
        tasks: list[asyncio.Task[Any]] = []

        async def one() -> str:
            tasks.append(current())
            try:
                await never()
            except asyncio.CancelledError as error:
                events.append(error.args)
            return "went on"

        waiting = ensureDeferred(one())
        await turns()
        assert tasks[0].cancel("enough")
        assert events == []
        assert tasks[0].cancelling() == 1
        assert await waiting == "went on"
        assert events == [("enough",)]
        assert was_cancelled()
        assert tasks[0].done()
        assert not tasks[0].cancel()

    run(main)


@everywhere
def test_cancel_while_it_runs_is_heard_at_the_next_wait(run: Run) -> None:
    async def main() -> None:
        for never in Deferred[None](), asyncio.Future[None](), defer.gatherResults([Deferred[None]()], True):
            current().cancel("from within")
            await defer.succeed(None)  # no wait
            with pytest.raises(asyncio.CancelledError) as caught:
                await never
            assert caught.value.args == ("from within",)
            assert current().uncancel() == 0

    run(main)


@everywhere
@pytest.mark.parametrize("waits", [True, False])
def test_cancel_that_is_followed_by_no_wait_is_how_it_ends(run: Run, waits: bool) -> None:
    async def main() -> None:
        told: list[Any] = []

        async def one() -> str:
            if waits:
                await asyncio.sleep(0)
            current().add_done_callback(told.append)
            current().cancel("enough")
            return "lost, as a Task's is"

        async def fails() -> None:
            if waits:
                await asyncio.sleep(0)
            current().cancel()
            raise KeyError("k")

        failures: list[Failure] = []
        ensureDeferred(one()).addErrback(failures.append)
        ensureDeferred(fails()).addErrback(failures.append)
        await turns()
        assert [(failure.type, failure.value.args) for failure in failures] == [
            (defer.CancelledError, ("enough",)),
            (KeyError, ("k",)),
        ]
        assert len(told) == 1

    run(main)


@everywhere
def test_cancelled_in_its_last_step_it_may_have_taken_it_back(run: Run) -> None:
    async def main() -> None:
        async def one() -> str:
            current().cancel()
            with pytest.raises(asyncio.CancelledError):
                await turns()
            return "went on"

        assert await ensureDeferred(one()) == "went on"

    run(main)


@everywhere
@pytest.mark.parametrize("waited_for", ["deferred", "list", "coroutine", "future"])
def test_cancelled_twice_it_hears_the_first_message_as_a_task_does(run: Run, waited_for: str) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[Any]] = []
        heard: list[Any] = []

        async def one(never: Any) -> None:
            tasks.append(current())
            try:
                await never
            except asyncio.CancelledError as error:
                heard.append(error.args)
            await turns()

        for start in asyncio.create_task, ensureDeferred:
            never: Any = asyncio.Future() if start is asyncio.create_task else interrupts(waited_for)[0]()
            waiting: Any = start(one(never))
            await turns()
            tasks[-1].cancel("first")
            tasks[-1].cancel("second")
            await waiting
        assert heard == [("first",), ("first",)]

    run(main)


@everywhere
def test_cancel_between_the_result_and_the_next_step_is_not_lost(run: Run) -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.Future()
        tasks: list[asyncio.Task[Any]] = []

        async def one() -> Any:
            tasks.append(current())
            try:
                return await future
            except asyncio.CancelledError as error:
                return error.args

        waiting = ensureDeferred(one())
        await turns()
        future.set_result(1)
        tasks[0].cancel("late")
        assert await waiting == ("late",)

    run(main)


@everywhere
def test_a_canceller_that_has_a_result_decides(run: Run) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[Any]] = []
        d: Deferred[str] = Deferred(lambda d: d.callback("half of it"))
        later: Deferred[str] = Deferred()

        async def one() -> Any:
            tasks.append(current())
            first = await d
            try:
                await later
            except defer.CancelledError:
                return first

        waiting = ensureDeferred(one())
        tasks[0].cancel()
        await turns()
        later.cancel()  # by its own name: what the task was cancelled for is over
        assert await waiting == "half of it"

    run(main)


@everywhere
def test_a_coroutine_waited_for_may_take_its_time_over_the_cancel(run: Run) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[Any]] = []
        tidied: Deferred[None] = Deferred()

        async def slow() -> None:
            try:
                await Deferred[None]()
            finally:
                await tidied

        async def one() -> Any:
            tasks.append(current())
            try:
                await ensureDeferred(slow())
            except asyncio.CancelledError as error:
                return error.args

        waiting = ensureDeferred(one())
        tasks[0].cancel("in time")
        await turns()
        assert not waiting.called
        tidied.callback(None)
        assert await waiting == ("in time",)

    run(main)


@everywhere
def test_uncancel_counts_and_calls_off_what_was_not_heard_as_asyncio_does(run: Run) -> None:
    async def main() -> None:
        async def as_a_task() -> tuple[int, int, bool]:
            task = current()
            task.cancel()
            task.cancel()
            left = task.uncancel(), task.uncancel()
            try:
                await turns(1)
                await asyncio.sleep(0.001)
                return *left, False
            except asyncio.CancelledError:
                return *left, True

        expected = await asyncio.create_task(as_a_task())
        assert await ensureDeferred(as_a_task()) == expected
        assert expected == (1, 0, sys.version_info < (3, 13))
        assert current().uncancel() == 0

    run(main)


@everywhere
@pytest.mark.parametrize("when", ["before it waits", "while it waits", "when it has ended"])
@pytest.mark.parametrize("waits", [True, False])
def test_done_callbacks_are_called_by_the_loop(run: Run, when: str, waits: bool) -> None:
    async def main() -> None:
        told: list[Any] = []
        tasks: list[asyncio.Task[Any]] = []
        gone: list[Any] = []

        async def one() -> int:
            tasks.append(current())
            current().add_done_callback(gone.append)
            if when == "before it waits":
                current().add_done_callback(told.append)
            if waits:
                await turns()
            current().remove_done_callback(gone.append)
            return 5

        waiting = ensureDeferred(one())
        task = tasks[0]
        if when == "while it waits":
            task.add_done_callback(told.append)
        assert told == []
        assert await waiting == 5
        if when == "when it has ended":
            task.add_done_callback(told.append)
        await turns()
        assert told == [task]
        assert gone == []

    run(main)


def test_a_coroutine_that_ends_when_its_loop_has_stopped_keeps_its_result() -> None:
    d: Deferred[None] = Deferred()
    told: list[Any] = []
    waiting: list[Deferred[int]] = []

    async def one() -> int:
        current().add_done_callback(told.append)
        await d
        return 5

    async def main() -> None:
        waiting.append(ensureDeferred(one()))

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
        d.callback(None)
        assert waiting[0].result == 5
        loop.run_until_complete(asyncio.sleep(0))
        assert len(told) == 1
    finally:
        loop.close()


@everywhere
def test_it_has_a_name_a_coroutine_and_a_loop(run: Run) -> None:
    async def main() -> None:
        task = current()
        assert task.get_name() == task.get_name()
        task.set_name("mine")
        assert task.get_name() == "mine"
        assert task.get_coro().__qualname__ == main.__qualname__  # type: ignore[union-attr]
        assert task.get_loop() is asyncio.get_running_loop()
        assert "main" in repr(task)
        assert not task.done()
        assert weakref.ref(task)() is task

    run(main)


@everywhere
def test_no_garbage_is_left(run: Run) -> None:
    async def main() -> None:
        async def one() -> None:
            task = current()
            task.add_done_callback(lambda _: None)
            async with asyncio.timeout(5):
                await turns(1)
            try:
                async with asyncio.timeout(0):
                    await Deferred[None]()
            except TimeoutError:
                pass
            task.cancel()
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                task.uncancel()

        await ensureDeferred(one())
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await ensureDeferred(one())
            await turns()
            assert gc.collect() == 0
        finally:
            gc.enable()

    run(main)


# --------------------------------------------------------------------------------------------- messages of cancelling


def test_a_tasks_message_reaches_what_a_netcore_coroutine_waits_for() -> None:
    async def main() -> None:
        heard: list[Any] = []

        async def inner() -> None:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError as error:
                heard.append(error.args)
                raise

        async def outer() -> None:
            await ensureDeferred(inner())

        task = asyncio.create_task(outer())
        await turns()
        task.cancel("closing time")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert heard == [("closing time",)]
        assert caught.value.args == ("closing time",)

    in_asyncio(main)


@pytest.mark.parametrize("several", [lambda ds: defer.gatherResults(ds, consumeErrors=True), defer.race])
def test_a_tasks_message_reaches_each_of_several(several: Callable[[list[Deferred[Any]]], Deferred[Any]]) -> None:
    heard: list[tuple[Any, ...]] = []

    async def one(never: Any) -> None:
        try:
            await never
        except (defer.CancelledError, asyncio.CancelledError) as error:
            heard.append(error.args)
            raise

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        waiting = several([ensureDeferred(one(Deferred())), ensureDeferred(one(future))])

        async def waits() -> None:
            await waiting

        task = asyncio.create_task(waits())
        await turns()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert heard == [("enough",), ("enough",)]

    in_asyncio(main)


def test_a_deferred_cancelled_with_a_reason_tells_it_to_the_task() -> None:
    async def main() -> None:
        d: Deferred[None] = Deferred()

        async def wait() -> None:
            await d

        task = asyncio.create_task(wait())
        await turns()
        d.errback(defer.CancelledError("no longer wanted"))
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("no longer wanted",)

    in_asyncio(main)


def test_a_coroutines_asyncio_cancellation_is_a_deferreds_with_its_message() -> None:
    async def main() -> None:
        async def inner() -> None:
            raise asyncio.CancelledError("by hand")

        async def outer() -> None:
            await turns()
            current().cancel("later")
            await turns()

        for coroutine, message in (inner(), "by hand"), (outer(), "later"):
            failures: list[Failure] = []
            d = ensureDeferred(coroutine).addErrback(failures.append)
            while not d.called:
                await turns()
            assert failures[0].check(defer.CancelledError)
            assert failures[0].value.args == (message,)

    in_asyncio(main)


@everywhere
@pytest.mark.parametrize("seconds", [0, 60])
def test_its_deferred_cancelled_any_asyncio_sleep_raises_asyncios_error(run: Run, seconds: float) -> None:
    async def main() -> None:
        heard: list[BaseException] = []

        async def one() -> None:
            try:
                for _ in range(1000):
                    await asyncio.sleep(seconds)
            except BaseException as error:
                heard.append(error)
                raise

        async def waits() -> None:
            await waiting

        waiting = ensureDeferred(one())
        task = asyncio.create_task(waits())
        await turns()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [(type(error), error.args) for error in heard] == [(asyncio.CancelledError, ("enough",))]

    run(main)
