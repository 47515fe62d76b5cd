"""execute, fromCoroutine, fromFuture, asFuture, and the callbacks ready made. (Real loops: integration.)"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    NotACoroutineError,
    execute,
    fail,
    gatherResults,
    logError,
    passthru,
    race,
    succeed,
)
from netcore.failure import Failure


def outcome_of(d: Deferred[Any]) -> Any:
    """What *d* has now, a Failure as its exception."""
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "the Deferred has no result"
    return seen[0].value if isinstance(seen[0], Failure) else seen[0]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Let everything that is ready run."""
    loop.run_until_complete(asyncio.sleep(0))


class TestExecute:
    def test_what_it_returns_or_raises_is_the_result(self) -> None:
        assert outcome_of(execute(divmod, 7, 2)) == (3, 1)
        assert isinstance(outcome_of(execute(divmod, 7, 0)), ZeroDivisionError)
        assert outcome_of(execute(dict, a=1)) == {"a": 1}

    def test_a_deferred_is_no_result(self) -> None:
        with pytest.raises(TypeError, match="through maybeDeferred"):
            execute(lambda: succeed(1))

    def test_a_coroutine_is_no_result_and_is_not_left_unawaited(self) -> None:
        async def never() -> None: ...

        coroutines: list[Any] = []

        def begins() -> Any:
            coroutines.append(never())
            return coroutines[0]

        with pytest.raises(TypeError, match="through maybeDeferred"):
            execute(begins)
        assert coroutines[0].cr_frame is None

    def test_a_traceback_begins_in_the_callable(self) -> None:
        def explode() -> None:
            raise KeyError("k")

        seen: list[Failure] = []
        execute(explode).addErrback(seen.append)
        assert [frame[0] for frame in seen[0].frames] == ["explode"]


class TestFromCoroutine:
    def test_it_is_started_at_once(self) -> None:
        async def coroutine(d: Deferred[int]) -> int:
            return await d + 1

        waited: Deferred[int] = Deferred()
        d = Deferred.fromCoroutine(coroutine(waited))
        assert not d.called
        waited.callback(1)
        assert outcome_of(d) == 2

    def test_a_generator_will_do(self) -> None:
        def generator() -> Generator[Any, Any, int]:
            return (yield succeed(1)) + 1

        assert outcome_of(Deferred.fromCoroutine(generator())) == 2

    def test_a_coroutine_of_another_make_will_do(self) -> None:
        class Made(Coroutine[Any, Any, int]):
            def __await__(self) -> Generator[Any, Any, int]:
                return succeed(3).__await__()

            def send(self, value: Any) -> Any:
                raise StopIteration(3)

            def throw(self, *error: Any) -> Any:
                raise error[0]

        assert outcome_of(Deferred.fromCoroutine(Made())) == 3

    @pytest.mark.parametrize("wrong", [3, None, outcome_of], ids=repr)
    def test_anything_else_is_refused(self, wrong: Any) -> None:
        with pytest.raises(NotACoroutineError, match="call the async function"):
            Deferred.fromCoroutine(wrong)

    def test_a_deferred_is_refused(self) -> None:
        with pytest.raises(NotACoroutineError, match="take it as it is"):
            Deferred.fromCoroutine(succeed(1))  # type: ignore[arg-type]


class TestFromFuture:
    def test_the_loop_brings_the_result(self, loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[int] = loop.create_future()
        d = Deferred.fromFuture(future)
        future.set_result(3)
        assert not d.called
        turn(loop)
        assert outcome_of(d) == 3

    def test_one_that_is_done_fires_it_at_once(self, loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[int] = loop.create_future()
        future.set_exception(KeyError("k"))
        assert isinstance(outcome_of(Deferred.fromFuture(future)), KeyError)

    def test_cancelling_the_future_says_why(self, loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[int] = loop.create_future()
        d = Deferred.fromFuture(future)
        future.cancel("because")
        turn(loop)
        error = outcome_of(d)
        assert isinstance(error, CancelledError)
        assert error.args == ("because",)

    def test_cancelling_it_cancels_the_future(self, loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[int] = loop.create_future()
        d = Deferred.fromFuture(future)
        d.cancel()
        assert future.cancelled()
        turn(loop)
        assert isinstance(outcome_of(d), CancelledError)

    def test_a_task_may_refuse_to_be_cancelled(self, loop: asyncio.AbstractEventLoop) -> None:
        async def stubborn() -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "finished all the same"
            raise AssertionError("nobody sets it")

        d = Deferred.fromFuture(loop.create_task(stubborn()))
        turn(loop)
        d.cancel()
        turn(loop)
        turn(loop)
        assert outcome_of(d) == "finished all the same"

    def test_fired_by_somebody_else_it_keeps_that(self, loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[int] = loop.create_future()
        d = Deferred.fromFuture(future)
        d.callback(1)
        future.set_result(2)
        turn(loop)
        assert outcome_of(d) == 1

    def test_a_deferred_in_a_future_is_an_error_that_says_so(self, loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[Any] = loop.create_future()
        future.set_result(Deferred())
        assert "await it" in str(outcome_of(Deferred.fromFuture(future)))

    @pytest.mark.parametrize(
        "wrong", [3, concurrent.futures.Future(), Deferred()], ids=lambda wrong: type(wrong).__name__
    )
    def test_anything_else_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="no asyncio future"):
            Deferred.fromFuture(wrong)

    def test_it_leaves_no_garbage(self, loop: asyncio.AbstractEventLoop) -> None:
        gc.collect()
        for settle in (lambda future: future.set_exception(KeyError("k")), lambda future: future.cancel()):
            future: asyncio.Future[int] = loop.create_future()
            d = Deferred.fromFuture(future)
            d.addErrback(lambda failure: None)
            settle(future)
            turn(loop)
            del future, d
        assert gc.collect() == 0


class TestAsFuture:
    def test_the_future_takes_the_result(self, loop: asyncio.AbstractEventLoop) -> None:
        d: Deferred[int] = Deferred()
        future = d.asFuture(loop)
        d.callback(3)
        assert future.result() == 3
        assert outcome_of(d) is None

    def test_one_that_has_fired_gives_a_future_that_is_done(self, loop: asyncio.AbstractEventLoop) -> None:
        assert succeed(3).asFuture(loop).result() == 3

    def test_a_failure_is_the_futures_exception(self, loop: asyncio.AbstractEventLoop) -> None:
        d: Deferred[int] = Deferred()
        future = d.asFuture(loop)
        d.errback(KeyError("k"))
        assert isinstance(future.exception(), KeyError)
        assert outcome_of(d) is None

    def test_cancelling_the_future_cancels_it(self, loop: asyncio.AbstractEventLoop) -> None:
        cancelled: list[Any] = []
        d: Deferred[int] = Deferred(cancelled.append)
        future = d.asFuture(loop)
        future.cancel("because")
        turn(loop)
        assert cancelled == [d]
        assert outcome_of(d) is None
        with pytest.raises(asyncio.CancelledError, match="because"):
            future.result()

    def test_the_message_reaches_the_deferred(self, loop: asyncio.AbstractEventLoop) -> None:
        d: Deferred[int] = Deferred()
        seen: list[Failure] = []
        future = d.addErrback(lambda failure: seen.append(failure) or failure).asFuture(loop)  # type: ignore[func-returns-value]
        future.cancel("because")
        turn(loop)
        assert seen[0].value.args == ("because",)

    def test_cancelling_it_cancels_the_future(self, loop: asyncio.AbstractEventLoop) -> None:
        d: Deferred[int] = Deferred()
        future = d.asFuture(loop)
        d.cancel()
        assert future.cancelled()

    @pytest.mark.parametrize("several", [DeferredList, gatherResults, race])
    def test_several_are_cancelled_in_their_own_way(
        self, several: Callable[..., Deferred[Any]], loop: asyncio.AbstractEventLoop
    ) -> None:
        ds = [Deferred[int](), Deferred[int]()]
        d = several(ds)
        future = d.asFuture(loop)
        future.cancel()
        turn(loop)
        assert all(each.called for each in ds)
        assert outcome_of(d) is None
        for each in ds:
            each.addErrback(lambda failure: failure.trap(CancelledError))

    def test_a_result_that_comes_with_the_cancel_stays_the_deferreds(self, loop: asyncio.AbstractEventLoop) -> None:
        d: Deferred[int] = Deferred()
        future = d.asFuture(loop)
        future.cancel()
        d.callback(3)  # before the loop has told of the cancel
        turn(loop)
        assert outcome_of(d) == 3

    def test_an_error_that_comes_with_the_cancel_is_not_lost(
        self, loop: asyncio.AbstractEventLoop, logged: Any
    ) -> None:
        d: Deferred[int] = Deferred()
        d.asFuture(loop).cancel()
        d.errback(KeyError("k"))
        del d
        turn(loop)
        assert len(logged.take(KeyError)) == 1

    def test_after_the_result_cancelling_the_future_does_nothing(self, loop: asyncio.AbstractEventLoop) -> None:
        d: Deferred[int] = Deferred()
        future = d.asFuture(loop)
        waited: Deferred[None] = Deferred()
        d.addCallback(lambda _: waited)
        d.callback(3)
        assert not future.cancel()
        turn(loop)
        assert not waited.called

    def test_stopiteration_arrives_in_a_form_that_a_future_takes(self, loop: asyncio.AbstractEventLoop) -> None:
        future = fail(StopIteration(1)).asFuture(loop)
        assert isinstance(future.exception(), RuntimeError)

    def test_it_leaves_no_garbage(self, loop: asyncio.AbstractEventLoop) -> None:
        gc.collect()
        d: Deferred[int] = Deferred()
        future = d.asFuture(loop)
        d.errback(KeyError("k"))
        future.exception()
        del d, future
        turn(loop)
        d = Deferred()
        d.asFuture(loop).cancel()
        turn(loop)
        del d
        assert gc.collect() == 0


class TestCallbacks:
    def test_logerror_logs_and_passes_on(self, logged: Any) -> None:
        assert isinstance(outcome_of(fail(KeyError("k")).addErrback(logError)), KeyError)
        (record,) = logged.take(KeyError)
        assert record.getMessage() == "KeyError: 'k'"

    def test_passthru_passes_on(self) -> None:
        assert outcome_of(succeed(3).addCallback(passthru)) == 3
