"""inlineCallbacks and async def on Deferreds: results, errors, cancelling, context, threads."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    NotACoroutineError,
    ensureDeferred,
    fail,
    inlineCallbacks,
    returnValue,
    succeed,
)
from netcore.failure import Failure

Yielding = Generator[Any, Any, Any]


def result_of(d: Deferred[Any]) -> Any:
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "the Deferred has no result"
    return seen[0].type if isinstance(seen[0], Failure) else seen[0]


@inlineCallbacks
def by_generator(*waited: Deferred[Any]) -> Yielding:
    """Wait for each in turn; the results, a failure as the type of its exception."""
    results = []
    for d in waited:
        try:
            results.append((yield d))
        except Exception as error:
            results.append(type(error))
    return results


async def waits_for_each(*waited: Deferred[Any]) -> list[Any]:
    results = []
    for d in waited:
        try:
            results.append(await d)
        except Exception as error:
            results.append(type(error))
    return results


async def await_one(d: Deferred[Any]) -> Any:
    return await d


def by_coroutine(*waited: Deferred[Any]) -> Deferred[list[Any]]:
    return ensureDeferred(waits_for_each(*waited))


class TestAgain:
    """What a second one gets that waits for the same Deferred."""

    def test_a_value_that_is_there_stays_for_others_to_await(self) -> None:
        ready = succeed(1)
        assert result_of(by_coroutine(ready, ready)) == [1, 1]
        assert ready.result == 1

    def test_one_that_is_yielded_is_taken_away(self) -> None:
        ready = succeed(1)
        assert result_of(by_generator(ready, ready)) == [1, None]

    def test_what_comes_later_is_taken_away(self) -> None:
        later: Deferred[int] = Deferred()
        first, second = by_coroutine(later), by_coroutine(later)
        later.callback(1)
        assert result_of(first) == [1]
        assert result_of(second) == [None]

    def test_a_failure_is_taken_away(self) -> None:
        failed = fail(KeyError())
        assert result_of(by_coroutine(failed, failed)) == [KeyError, None]


both_drivers = pytest.mark.parametrize("start", [by_generator, by_coroutine])
Start = Callable[..., Deferred[Any]]


@both_drivers
class TestBothDrivers:
    def test_results_and_failures_that_are_there(self, start: Start) -> None:
        assert result_of(start(succeed(1), fail(KeyError()), succeed(3))) == [1, KeyError, 3]

    def test_results_and_failures_that_come_later(self, start: Start) -> None:
        first, second = Deferred[int](), Deferred[int]()
        d = start(first, second)
        assert not d.called
        first.errback(KeyError())
        second.callback(2)
        assert result_of(d) == [KeyError, 2]

    def test_a_hundred_thousand_results_that_are_there_need_no_stack(self, start: Start) -> None:
        assert result_of(start(*[succeed(1) for _ in range(100_000)])) == [1] * 100_000

    def test_a_result_that_is_there_is_taken_without_a_callback(self, start: Start) -> None:
        class Refuses(Deferred[int]):
            def _add(self, entry: Any) -> None:
                pytest.fail("something was added")

        ready, failed = Refuses(), Refuses()
        ready.callback(1)
        failed.errback(KeyError())
        assert result_of(start(ready, failed)) == [1, KeyError]
        assert failed.result is None

    def test_a_paused_deferred_is_waited_for(self, start: Start) -> None:
        paused = succeed(1)
        paused.pause()
        d = start(paused)
        assert not d.called
        paused.unpause()
        assert result_of(d) == [1]

    def test_cancelling_cancels_what_it_waits_for(self, start: Start) -> None:
        cancelled: list[Any] = []
        waited: Deferred[int] = Deferred(cancelled.append)
        d = start(waited)
        d.cancel()
        assert cancelled == [waited]
        assert result_of(d) == [CancelledError]

    def test_a_coroutine_that_goes_on_after_a_cancel_can_be_cancelled_again(self, start: Start) -> None:
        first, second, third = Deferred[int](), Deferred[int](), Deferred[int]()
        d = start(first, second, third)
        d.cancel()
        assert not d.called
        d.cancel()
        assert not d.called
        third.callback(3)
        assert result_of(d) == [CancelledError, CancelledError, 3]

    def test_cancelling_many_that_wait_for_each_other_needs_no_stack(self, start: Start) -> None:
        first: Deferred[Any] = Deferred()
        last = first
        for _ in range(10_000):
            last = start(last)
        last.cancel()
        result = result_of(last)
        for _ in range(9_999):
            [result] = result
        assert result == [CancelledError]

    def test_fired_from_a_worker_thread_without_a_reactor_it_goes_on_there(self, start: Start) -> None:
        waited: Deferred[int] = Deferred()
        d = start(waited)
        worker = threading.Thread(target=waited.callback, args=(1,))
        worker.start()
        worker.join()
        assert result_of(d) == [1]

    @pytest.mark.parametrize("before", [True, False])
    def test_fired_by_another_thread_while_it_begins_to_wait_it_goes_on(self, start: Start, before: bool) -> None:
        """The other thread fires right before, or after, the assignment by which the coroutine begins to wait."""

        class FiredMeanwhile(Deferred[str]):
            @property
            def _first(self) -> Any:  # type: ignore[override]
                return self.__dict__.get("first")

            @_first.setter
            def _first(self, entry: Any) -> None:
                if before and entry is not None:
                    self.fire()
                self.__dict__["first"] = entry
                if not before and entry is not None:
                    self.fire()

            def fire(self) -> None:
                worker = threading.Thread(target=self.callback, args=("x",))
                worker.start()
                worker.join()

        assert result_of(start(FiredMeanwhile(), FiredMeanwhile())) == ["x", "x"]
        last: Deferred[int] = Deferred()
        d = start(FiredMeanwhile(), last)
        last.callback(1)
        assert result_of(d) == ["x", 1]

    def test_each_runs_in_a_context_of_its_own(self, start: Start) -> None:
        request = contextvars.ContextVar[str]("request")
        seen: list[str] = []
        waited = Deferred[None](), Deferred[None]()
        for name, d in zip("ab", waited, strict=True):
            request.set(name)
            d.addCallback(lambda _: None)
            start(d).addCallback(lambda _: None)
        request.set("c")

        async def look(d: Deferred[None]) -> None:
            await d
            seen.append(request.get())

        gates = Deferred[None](), Deferred[None]()
        for name, d in zip("ab", gates, strict=True):
            request.set(name)
            ensureDeferred(look(d))
        request.set("c")
        for d in (*gates[::-1], *waited):
            d.callback(None)
        assert seen == ["b", "a"]
        assert request.get() == "c"

    @pytest.mark.parametrize("handled", [True, False])
    def test_no_garbage_is_left(self, start: Start, handled: bool) -> None:
        gc.collect()
        for _ in range(100):
            later: Deferred[int] = Deferred()
            d = start(succeed(1), fail(KeyError()), later) if handled else ensureDeferred(await_one(later))
            later.errback(ValueError())
            d.addErrback(lambda f: None)
        del d, later
        assert gc.collect() == 0

    def test_many_waiting_for_each_other_need_no_stack(self, start: Start) -> None:
        first: Deferred[Any] = Deferred()
        last = first
        for _ in range(10_000):
            last = start(last)
            last.addCallback(lambda results: results[0])
        first.callback("end")
        assert result_of(last) == "end"


@pytest.mark.parametrize("among_others", [False, True])
@pytest.mark.parametrize("driver", ["inlineCallbacks", "ensureDeferred"])
def test_what_a_step_adds_to_what_it_waited_for_runs_after_the_step(driver: str, among_others: bool) -> None:
    order: list[Any] = []
    waited: Deferred[str] = Deferred()

    def step(result: str) -> None:
        waited.addCallback(lambda after: order.append(("added", after)))
        order.append(("step", result))

    @inlineCallbacks
    def by_yield() -> Yielding:
        step((yield waited))

    async def by_await() -> None:
        step(await waited)

    if among_others:
        waited.addCallback(lambda result: result)
    d = by_yield() if driver == "inlineCallbacks" else ensureDeferred(by_await())
    if among_others:
        waited.addCallback(lambda result: order.append(("there before", result)))
    d.addCallback(lambda _: order.append("the coroutine's own"))
    waited.callback("x")
    there_before = [("there before", None)] if among_others else []
    assert order == [("step", "x"), "the coroutine's own", *there_before, ("added", None)]


class TestInlineCallbacks:
    def test_a_failure_in_the_first_step_is_reported_if_nobody_handles_it(self, logged: Any) -> None:
        @inlineCallbacks
        def f() -> Yielding:
            yield 5
            raise KeyError("lost")

        f()
        assert len(logged.take(KeyError)) == 1

    def test_returnvalue_ends_it(self) -> None:
        @inlineCallbacks
        def f() -> Yielding:
            yield succeed(1)
            returnValue("early")

        assert result_of(f()) == "early"

    def test_what_it_raises_fails_the_deferred(self) -> None:
        @inlineCallbacks
        def f() -> Yielding:
            yield fail(KeyError("k"))

        assert result_of(f()) is KeyError

    def test_a_yield_of_anything_else_gives_it_back(self) -> None:
        @inlineCallbacks
        def f() -> Yielding:
            return (yield 3), (yield None), (yield "text")

        assert result_of(f()) == (3, None, "text")

    def test_a_yielded_coroutine_is_run(self) -> None:
        async def coroutine() -> int:
            return await succeed(4)

        @inlineCallbacks
        def f() -> Yielding:
            return (yield coroutine())

        assert result_of(f()) == 4

    def test_a_function_that_is_no_generator_is_refused(self) -> None:
        @inlineCallbacks
        def f() -> Any:
            return 3

        with pytest.raises(TypeError, match="generator function"):
            f()

    def test_a_returned_deferred_is_an_error_that_says_so(self) -> None:
        @inlineCallbacks
        def f() -> Yielding:
            yield succeed(1)
            return Deferred()

        seen: list[Failure] = []
        f().addErrback(seen.append)
        assert "await it" in seen[0].getErrorMessage()

    def test_the_wrapper_keeps_name_and_docstring(self) -> None:
        assert by_generator.__name__ == "by_generator"
        assert (by_generator.__doc__ or "").startswith("Wait for each")

    def test_a_traceback_names_the_generator_and_not_the_driver(self) -> None:
        @inlineCallbacks
        def f() -> Yielding:
            yield succeed(1)
            raise KeyError("k")

        seen: list[Failure] = []
        f().addErrback(seen.append)
        told = seen[0].getBriefTraceback()
        assert ":f\n" in told
        assert "_advance" not in told


class TestEnsureDeferred:
    def test_a_deferred_is_given_back(self) -> None:
        d = succeed(1)
        assert ensureDeferred(d) is d
        result_of(d)

    def test_nested_coroutines_are_awaited(self) -> None:
        async def inner(d: Deferred[int]) -> int:
            return await d + 1

        async def outer(d: Deferred[int]) -> int:
            return await inner(d) + 1

        waited: Deferred[int] = Deferred()
        d = ensureDeferred(outer(waited))
        waited.callback(1)
        assert result_of(d) == 3

    def test_another_awaitable_is_awaited(self) -> None:
        class Three:
            def __await__(self) -> Generator[Any, Any, int]:
                return succeed(3).__await__()

        assert result_of(ensureDeferred(Three())) == 3  # type: ignore[arg-type]

    @pytest.mark.parametrize("wrong", [3, None, waits_for_each])
    def test_anything_else_is_refused(self, wrong: Any) -> None:
        with pytest.raises(NotACoroutineError, match="call the async function"):
            ensureDeferred(wrong)

    def test_awaiting_something_no_driver_knows_raises_inside(self) -> None:
        class Odd:
            def __await__(self) -> Generator[Any, Any, None]:
                yield "odd"

        async def f() -> str:
            try:
                await Odd()
            except TypeError as error:
                return str(error)
            return "not raised"

        assert "cannot wait for 'odd'" in result_of(ensureDeferred(f()))

    def test_asyncio_sleep_without_a_loop_raises_inside(self) -> None:
        async def f() -> str:
            try:
                await asyncio.sleep(0)
            except RuntimeError as error:
                return str(error)
            return "not raised"

        assert "no event loop runs" in result_of(ensureDeferred(f()))

    def test_firing_a_coroutines_deferred_from_outside_is_reported(
        self, caplog: pytest.LogCaptureFixture, logged: Any
    ) -> None:
        waited: Deferred[int] = Deferred()
        d = ensureDeferred(waits_for_each(waited))
        d.callback([])
        waited.callback(1)
        assert "fired from outside" in caplog.text
        logged.take()
