"""`IReactorThreads`: calls between the reactor's thread and others."""

from __future__ import annotations

import signal
import threading
from contextvars import ContextVar
from typing import Any

from netcore.defer import Deferred
from netcore.interfaces import IReactorThreads
from netcore.testing.contracts._contract import ReactorContract, driven

__all__ = ["ReactorThreadsContract"]

_variable: ContextVar[str] = ContextVar("variable", default="unset")


class ReactorThreadsContract(ReactorContract):
    """`IReactorThreads`, which is `IReactorFromThreads` and `IReactorInThreads`. Override `makeReactor`."""

    interface = IReactorThreads

    @driven
    async def test_calls_of_one_thread_come_in_its_order(self) -> None:
        """However many threads call, and none of the calls is lost."""
        seen: dict[int, list[int]] = {number: [] for number in range(4)}
        barrier = threading.Barrier(len(seen))
        finished = Deferred[None]()
        left = set(seen)

        def call(thread: int) -> None:
            barrier.wait(self.deadline)
            for number in range(500):
                self.reactor.callFromThread(seen[thread].append, number)
            self.reactor.callFromThread(done, thread)

        def done(thread: int) -> None:
            left.discard(thread)
            if not left:
                finished.callback(None)

        threads = [threading.Thread(target=call, args=(number,)) for number in seen]
        for thread in threads:
            thread.start()
        await finished
        for thread in threads:
            thread.join()
        assert all(calls == list(range(500)) for calls in seen.values())

    @driven
    async def test_a_call_is_made_in_the_reactors_thread_with_its_arguments(self) -> None:
        """Not in the caller's."""
        seen: list[Any] = []
        called = Deferred[None]()

        def note(*args: Any, **kwargs: Any) -> None:
            seen.append((threading.get_ident(), args, kwargs))
            called.callback(None)

        thread = threading.Thread(target=lambda: self.reactor.callFromThread(note, 1, key=2))
        thread.start()
        await called
        thread.join()
        assert seen == [(threading.get_ident(), (1,), {"key": 2})]

    @driven
    async def test_a_call_wakes_a_reactor_that_sleeps(self) -> None:
        """It has nothing else to do, for ever."""
        asleep = threading.Event()
        called = Deferred[None]()

        def call() -> None:
            asleep.wait(self.deadline)
            self.reactor.callFromThread(called.callback, None)

        thread = threading.Thread(target=call)
        thread.start()
        self.reactor.callLater(0, asleep.set)
        await called
        thread.join()

    @driven
    async def test_a_call_from_the_reactors_own_thread_is_made_later(self) -> None:
        """Not from within."""
        seen: list[str] = []
        called = Deferred[None]()
        self.reactor.callFromThread(seen.append, "called")
        self.reactor.callFromThread(called.callback, None)
        assert seen == []
        await called
        assert seen == ["called"]

    def test_a_signal_handler_may_call(self) -> None:
        """It interrupts the reactor's thread, wherever that is. (Handlers are the main thread's.)"""
        assert threading.current_thread() is threading.main_thread(), "run this test in the main thread"

        async def main() -> None:
            called = Deferred[None]()
            before = signal.signal(signal.SIGTERM, lambda *_: self.reactor.callFromThread(called.callback, None))
            try:
                signal.raise_signal(signal.SIGTERM)
                await called
            finally:
                signal.signal(signal.SIGTERM, before)

        self.drive(main)

    @driven
    async def test_what_a_call_raises_is_logged_and_the_rest_still_run(self) -> None:
        """One mistake costs one call."""
        called = Deferred[None]()
        self.reactor.callFromThread(lambda: 1 / 0)
        self.reactor.callFromThread(called.callback, None)
        await called
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    @driven
    async def test_calls_that_call_leave_timers_their_turn(self) -> None:
        """However many there are."""
        calls = 0
        over = Deferred[None]()

        def again() -> None:
            nonlocal calls
            calls += 1
            if not over.called:
                assert calls < 1_000_000, "the timer never had its turn"
                self.reactor.callFromThread(again)

        again()
        self.reactor.callLater(0.001, over.callback, None)
        await over

    @driven
    async def test_a_call_runs_in_its_callers_context(self) -> None:
        """That of `contextvars`."""
        seen: list[str] = []
        called = Deferred[None]()

        def call() -> None:
            _variable.set("the thread's")
            self.reactor.callFromThread(lambda: seen.append(_variable.get()))
            self.reactor.callFromThread(called.callback, None)

        thread = threading.Thread(target=call)
        thread.start()
        await called
        thread.join()
        assert seen == ["the thread's"]

    @driven
    async def test_work_is_done_in_another_thread(self) -> None:
        """With its arguments and in a copy of the caller's context, while the reactor turns."""
        seen: list[Any] = []
        go_on = threading.Event()
        done = Deferred[None]()
        _variable.set("the caller's")

        def work(*args: Any, **kwargs: Any) -> None:
            go_on.wait(self.deadline)
            seen.append((args, kwargs, _variable.get(), threading.get_ident() != here))
            _variable.set("changed")
            self.reactor.callFromThread(done.callback, None)

        here = threading.get_ident()
        self.reactor.callInThread(work, 1, key=2)
        await self.settle()
        assert seen == []
        go_on.set()
        await done
        assert seen == [((1,), {"key": 2}, "the caller's", True)]
        assert _variable.get() == "the caller's"

    @driven
    async def test_what_work_raises_is_logged(self) -> None:
        """And its thread goes on with the next."""
        self.reactor.suggestThreadPoolSize(1)
        done = Deferred[None]()
        self.reactor.callInThread(lambda: 1 / 0)
        self.reactor.callInThread(self.reactor.callFromThread, done.callback, None)
        await done
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    @driven
    async def test_as_much_work_is_done_at_once_as_was_suggested(self) -> None:
        """The pool grows to that size."""
        self.reactor.suggestThreadPoolSize(3)
        barrier = threading.Barrier(3)
        done = [Deferred[None]() for _ in range(3)]

        def work(deferred: Deferred[None]) -> None:
            barrier.wait(self.deadline)
            self.reactor.callFromThread(deferred.callback, None)

        for deferred in done:
            self.reactor.callInThread(work, deferred)
        for deferred in done:
            await deferred

    @driven
    async def test_there_is_one_pool(self) -> None:
        """Which has the size that was suggested."""
        pool = self.reactor.getThreadPool()
        assert self.reactor.getThreadPool() is pool
        self.reactor.suggestThreadPoolSize(3)
        assert pool.max == 3
