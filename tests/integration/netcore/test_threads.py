"""Calls between the reactor's thread and others."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred, fail, gatherResults, setUnhandledFailureHook, succeed
from netcore.error import ReactorNotRunning
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.threadpool import ThreadPool
from netcore.threads import blockingCallFromThread, callMultipleInThread, deferToThread, deferToThreadPool
from tests.support.guard import Logged

Run = Callable[..., Any]
WAIT = 20.0


class TestCallFromThread:
    def test_many_calls_wake_the_loop_once(self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
        woken = 0
        calls = reactor._turns.thread_calls
        wake = calls._wake

        def counted() -> object:
            nonlocal woken
            woken += 1
            return wake()

        monkeypatch.setattr(calls, "_wake", counted)
        seen: list[int] = []

        def call() -> None:
            for number in range(1000):
                reactor.callFromThread(seen.append, number)

        def block() -> None:
            """The loop does not turn while the thread calls."""
            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
            reactor.callFromThread(reactor.stop)

        reactor.callWhenRunning(block)
        reactor.run()
        assert seen == list(range(1000))
        assert woken == 1


class TestInThread:
    def test_the_pool_has_the_size_suggested(self, reactor: Reactor) -> None:
        reactor.suggestThreadPoolSize(3)
        assert reactor.getThreadPool().max == 3
        reactor.suggestThreadPoolSize(30)
        assert reactor.getThreadPool().max == 30
        with pytest.raises(ValueError, match="at least one"):
            reactor.suggestThreadPoolSize(0)

    def test_several_calls_in_one_thread(self, reactor: Reactor) -> None:
        seen: list[Any] = []
        reactor.callWhenRunning(
            callMultipleInThread,
            [
                (lambda *a, **kw: seen.append((threading.get_ident(), a, kw)), (1,), {"b": 2}),
                (lambda: seen.append(threading.get_ident()), (), {}),
                (reactor.callFromThread, (reactor.stop,), {}),
            ],
        )
        reactor.run()
        assert seen == [(seen[1], (1,), {"b": 2}), seen[1]]


class TestDeferToThread:
    def test_it_fires_in_the_reactors_thread_with_the_result(self, run: Run) -> None:
        async def main() -> None:
            here = threading.get_ident()
            fired: list[int] = []
            deferred = deferToThread(lambda *a, **kw: (threading.get_ident(), a, kw), 1, b=2)
            deferred.addCallback(lambda result: fired.append(threading.get_ident()) or result)
            thread, args, kwargs = await deferred
            assert thread != here
            assert (args, kwargs) == ((1,), {"b": 2})
            assert fired == [here]

        run(main)

    def test_it_fails_with_what_was_raised(self, run: Run) -> None:
        async def main() -> None:
            with pytest.raises(ZeroDivisionError):
                await deferToThread(lambda: 1 / 0)

        run(main)

    def test_a_failure_that_nobody_handles_is_reported_without_the_garbage_collector(
        self, run: Run, logged: Logged
    ) -> None:
        async def main() -> None:
            reported = threading.Event()
            before = setUnhandledFailureHook(lambda failure: reported.set())
            gc.disable()
            try:
                deferToThread(lambda: 1 / 0)
                assert await deferToThread(reported.wait, WAIT)
            finally:
                gc.enable()
                setUnhandledFailureHook(before)

        run(main)
        logged.take(ZeroDivisionError)

    def test_the_reactor_turns_while_threads_are_busy(self, reactor: Reactor, run: Run) -> None:
        go_on = threading.Event()

        async def main() -> list[bool]:
            busy = [deferToThread(go_on.wait, WAIT) for _ in range(10)]
            for _ in range(1000):
                await deferLater(reactor, 0)
            assert not any(deferred.called for deferred in busy)
            go_on.set()
            return await gatherResults(busy)

        assert run(main) == [True] * 10

    def test_cancelling_drops_the_result(self, reactor: Reactor, run: Run) -> None:
        go_on = threading.Event()

        async def main() -> None:
            deferred = deferToThread(go_on.wait, WAIT)
            deferred.cancel()
            with pytest.raises(CancelledError):
                await deferred
            go_on.set()
            await deferToThread(int)

        run(main)

    def test_a_pool_of_ones_own_can_be_used(self, reactor: Reactor, run: Run) -> None:
        pool = ThreadPool(0, 1, name="own")
        pool.start()

        async def main() -> str:
            return await deferToThreadPool(reactor, pool, lambda: threading.current_thread().name)

        assert "own" in run(main)
        pool.stop()

    def test_it_fails_if_the_pool_was_stopped(self, reactor: Reactor, run: Run) -> None:
        pool = ThreadPool(0, 1)
        pool.stop()

        async def main() -> None:
            with pytest.raises(RuntimeError, match="stopped"):
                await deferToThreadPool(reactor, pool, int)

        run(main)

    @pytest.mark.parametrize("kind", ["Deferred", "coroutine"])
    def test_what_belongs_in_the_reactors_thread_is_refused(self, run: Run, kind: str) -> None:
        async def coroutine() -> None:
            pass  # pragma: no cover - it is closed, and no warning says that it was never awaited

        async def main() -> None:
            functions: dict[str, Callable[[], Any]] = {"Deferred": Deferred, "coroutine": coroutine}
            with pytest.raises(TypeError, match=f"returned a {kind}: call it in the reactor's thread"):
                await deferToThread(functions[kind])

        run(main)

    def test_callbacks_see_the_callers_context(self, run: Run) -> None:
        variable = contextvars.ContextVar("variable", default="unset")

        async def main() -> None:
            variable.set("caller's")
            seen: list[str] = []
            deferred = deferToThread(variable.get)
            deferred.addCallback(lambda result: seen.extend([result, variable.get()]))
            await deferred
            assert seen == ["caller's", "caller's"]

        run(main)

    def test_a_result_that_comes_after_the_end_is_dropped(self, new_reactor: Callable[[], Reactor]) -> None:
        reactor = new_reactor()
        pool = ThreadPool(0, 1)
        pool.start()
        go_on = threading.Event()
        deferToThreadPool(reactor, pool, go_on.wait, WAIT)
        reactor.dispose()
        go_on.set()
        pool.stop()


class TestBlockingCallFromThread:
    def ask(self, run: Run, reactor: Reactor, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async def main() -> Any:
            return await deferToThread(blockingCallFromThread, reactor, func, *args, **kwargs)

        return run(main)

    def test_it_returns_what_the_function_returns(self, reactor: Reactor, run: Run) -> None:
        here = threading.get_ident()
        assert self.ask(run, reactor, lambda *a, **kw: (threading.get_ident(), a, kw), 1, b=2) == (here, (1,), {"b": 2})

    def test_it_waits_for_a_deferred_and_for_a_coroutine(self, reactor: Reactor, run: Run) -> None:
        async def coroutine() -> str:
            await asyncio.sleep(0)
            return "slept"

        assert self.ask(run, reactor, succeed, "at once") == "at once"
        assert self.ask(run, reactor, lambda: deferLater(reactor, 0.001, lambda: "later")) == "later"
        assert self.ask(run, reactor, coroutine) == "slept"

    def test_it_raises_what_the_function_raised_or_failed_with(self, reactor: Reactor, run: Run) -> None:
        for function in (lambda: 1 / 0, lambda: fail(ZeroDivisionError())):
            with pytest.raises(ZeroDivisionError):
                self.ask(run, reactor, function)

    def test_it_waits_for_an_asyncio_future_and_other_awaitables(self, reactor: Reactor, run: Run) -> None:
        class Awaitable:
            def __await__(self) -> Any:
                return (yield from asyncio.sleep(0, "awaited").__await__())

        def future() -> asyncio.Future[str]:
            made = reactor.loop.create_future()
            reactor.callLater(0, made.set_result, "set")
            return made

        def broken() -> asyncio.Future[str]:
            made = reactor.loop.create_future()
            made.set_exception(LookupError())
            return made

        assert self.ask(run, reactor, future) == "set"
        assert self.ask(run, reactor, Awaitable) == "awaited"
        with pytest.raises(LookupError):
            self.ask(run, reactor, broken)

    def test_the_end_of_the_reactor_ends_the_waiting(self, reactor: Reactor) -> None:
        never = Deferred[None]()
        caught: list[BaseException] = []

        def function() -> Deferred[None]:
            reactor.stop()
            return never

        def ask() -> None:
            with pytest.raises(ReactorNotRunning, match="disposed of before") as info:
                blockingCallFromThread(reactor, function)
            caught.append(info.value)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        reactor.run()
        assert caught == []  # it may run again
        reactor.dispose()
        thread.join(WAIT)
        assert len(caught) == 1
        never.errback(LookupError())  # nobody waits any more
        assert reactor._blocked == set()

    def test_a_thread_of_the_pool_does_not_keep_it_from_ending(self, reactor: Reactor) -> None:
        """The guard fails this test if its end was waited for in vain."""
        caught: list[BaseException] = []

        def function() -> Deferred[None]:
            reactor.crash()
            return Deferred()

        def ask() -> None:
            with pytest.raises(ReactorNotRunning) as info:
                blockingCallFromThread(reactor, function)
            caught.append(info.value)

        reactor.callInThread(ask)
        reactor.run()
        reactor.dispose()
        assert len(caught) == 1

    def test_a_call_that_is_dropped_ends_the_waiting(self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = threading.Event()
        call_from_thread = reactor.callFromThread
        called: list[str] = []
        caught: list[BaseException] = []

        def told(*args: Any) -> None:
            call_from_thread(*args)
            asked.set()

        monkeypatch.setattr(reactor, "callFromThread", told)

        def ask() -> None:
            with pytest.raises(ReactorNotRunning) as info:
                blockingCallFromThread(reactor, called.append, "called")
            caught.append(info.value)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        assert asked.wait(WAIT)
        reactor.dispose()
        thread.join(WAIT)
        assert len(caught) == 1
        assert called == []
        with pytest.raises(ReactorNotRunning):
            blockingCallFromThread(reactor, int)
        assert reactor._blocked == set()

    def test_in_the_reactors_own_thread_it_is_refused(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            with pytest.raises(RuntimeError, match="would wait for itself"):
                blockingCallFromThread(reactor, int)

        run(main)

    def test_it_works_from_one_reactor_into_another(self, new_reactor: Callable[[], Reactor]) -> None:
        here, there = new_reactor(), new_reactor()
        results: list[Any] = []
        thread = threading.Thread(target=there.run)
        thread.start()

        def ask() -> None:
            results.append(blockingCallFromThread(there, lambda: Reactor.current() is there))
            blockingCallFromThread(there, there.stop)
            here.stop()

        here.callWhenRunning(ask)
        here.run()
        thread.join()
        assert results == [True]


def test_a_deferred_fired_in_a_thread_works(reactor: Reactor, run: Run) -> None:
    """As tutorials do it: ``reactor.callInThread(work, d.callback)``."""

    async def main() -> str:
        deferred = Deferred[str]()
        reactor.callInThread(deferred.callback, "x")
        return await deferred

    assert run(main) == "x"
