"""Signals while a reactor runs: who gets them, and who has them back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from netcore.defer import Deferred
from netcore.reactors import Reactor
from netcore.task import deferLater
from tests.support.guard import Logged

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def others() -> Iterator[list[int]]:
    """The numbers of the signals that the program's own handlers got; afterwards, all handlers are as they were."""
    got: list[int] = []
    before = {number: signal.getsignal(number) for number in WATCHED}
    signal.signal(signal.SIGHUP, lambda number, _: got.append(number))
    mine = signal.getsignal(signal.SIGHUP)
    wakes = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakes)
    yield got
    assert signal.getsignal(signal.SIGHUP) is mine
    signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {number: signal.getsignal(number) for number in WATCHED} == before
    assert signal.set_wakeup_fd(wakes) == wakes


def hang_up(reactor: Reactor, then: Callable[[], object]) -> None:
    """Send the process a SIGHUP, and call *then* when the loop has had time to hear of it."""
    signal.raise_signal(signal.SIGHUP)
    turns(reactor, 5, then)


def turns(reactor: Reactor, number: int, then: Callable[[], object]) -> None:
    if number:
        reactor.callLater(0.001, turns, reactor, number - 1, then)
    else:
        then()


class TestReload:
    def test_each_hangup_calls_every_trigger_phase_by_phase(self, reactor: Reactor, others: list[int]) -> None:
        seen: list[str] = []
        for phase in ("after", "during", "before"):
            reactor.addSystemEventTrigger(phase, "reload", seen.append, phase)
        reactor.callWhenRunning(hang_up, reactor, lambda: hang_up(reactor, reactor.stop))
        reactor.run()
        assert seen == ["before", "during", "after"] * 2
        assert others == []

    def test_without_a_trigger_it_means_what_it_did(self, reactor: Reactor, others: list[int]) -> None:
        reactor.callWhenRunning(hang_up, reactor, reactor.stop)
        reactor.run()
        assert others == [signal.SIGHUP]

    def test_the_first_trigger_takes_it_and_the_last_gives_it_back(self, reactor: Reactor, others: list[int]) -> None:
        seen: list[str] = []

        def take() -> None:
            first = reactor.addSystemEventTrigger("during", "reload", seen.append, "first")
            second = reactor.addSystemEventTrigger("during", "reload", seen.append, "second")

            def give_back() -> None:
                reactor.removeSystemEventTrigger(first)
                hang_up(reactor, give_the_other)

            def give_the_other() -> None:
                reactor.removeSystemEventTrigger(second)
                hang_up(reactor, reactor.stop)

            hang_up(reactor, give_back)

        reactor.callWhenRunning(hang_up, reactor, take)
        reactor.run()
        assert seen == ["first", "second", "second"]
        assert others == [signal.SIGHUP, signal.SIGHUP]

    def test_after_run_it_means_what_it_did_and_in_the_next_run_it_reloads(
        self, reactor: Reactor, others: list[int]
    ) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("during", "reload", seen.append, "reload")
        for number in range(1, 3):
            reactor.callWhenRunning(hang_up, reactor, reactor.stop)
            reactor.run()
            signal.raise_signal(signal.SIGHUP)
            assert len(seen) == len(others) == number

    def test_one_that_comes_while_reloading_is_answered_once_afterwards(self, reactor: Reactor) -> None:
        waiting: list[Deferred[None]] = []

        def before() -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        def more() -> None:
            signal.raise_signal(signal.SIGHUP)
            hang_up(reactor, finish)

        def finish() -> None:
            assert len(waiting) == 1
            waiting[0].callback(None)
            turns(reactor, 5, again)

        def again() -> None:
            assert len(waiting) == 2
            waiting[1].callback(None)
            turns(reactor, 5, reactor.stop)

        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "reload", before)
        reactor.addSystemEventTrigger("after", "reload", seen.append, "done")
        reactor.callWhenRunning(hang_up, reactor, more)
        reactor.run()
        assert len(waiting) == 2
        assert seen == ["done", "done"]

    def test_one_that_never_finished_does_not_keep_the_next_run_from_reloading(self, reactor: Reactor) -> None:
        seen: list[Deferred[None]] = []

        def before() -> Deferred[None]:
            seen.append(Deferred())
            return seen[-1]

        reactor.addSystemEventTrigger("before", "reload", before)
        for _ in range(2):
            reactor.callWhenRunning(hang_up, reactor, reactor.stop)
            reactor.run()
        assert len(seen) == 2

    def test_a_trigger_that_fails_is_logged_and_called_the_next_time(self, reactor: Reactor, logged: Logged) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "reload", lambda: 1 / 0)
        reactor.addSystemEventTrigger("during", "reload", seen.append, "rest")
        reactor.callWhenRunning(hang_up, reactor, lambda: hang_up(reactor, reactor.stop))
        reactor.run()
        assert seen == ["rest", "rest"]
        assert len(logged.take(ZeroDivisionError)) == 2

    def test_a_trigger_may_remove_itself_and_others(self, reactor: Reactor) -> None:
        seen: list[str] = []

        def first() -> None:
            seen.append("first")
            for trigger in triggers:
                reactor.removeSystemEventTrigger(trigger)

        triggers = [
            reactor.addSystemEventTrigger("during", "reload", first),
            reactor.addSystemEventTrigger("during", "reload", seen.append, "second"),
        ]
        reactor.fireSystemEvent("reload")
        reactor.fireSystemEvent("reload")
        assert seen == ["first"]

    def test_each_call_has_the_context_the_trigger_was_added_in(self, reactor: Reactor) -> None:
        variable: ContextVar[int] = ContextVar("variable", default=0)
        seen: list[int] = []

        def count() -> None:
            seen.append(variable.get())
            variable.set(variable.get() + 1)

        variable.set(7)
        reactor.addSystemEventTrigger("during", "reload", count)
        variable.set(0)
        reactor.fireSystemEvent("reload")
        reactor.fireSystemEvent("reload")
        assert seen == [7, 7]

    def test_one_that_a_trigger_left_is_no_longer_under_way(self, reactor: Reactor) -> None:
        def leave() -> None:
            raise SystemExit

        reactor.addSystemEventTrigger("during", "reload", leave)
        for _ in range(2):
            with pytest.raises(SystemExit):
                reactor.fireSystemEvent("reload")

    def test_one_that_comes_during_startup_waits_for_its_end(self, reactor: Reactor) -> None:
        seen: list[str] = []

        def startup() -> Deferred[Any]:
            signal.raise_signal(signal.SIGHUP)
            return deferLater(reactor, 0.01, seen.append, "started")

        reactor.addSystemEventTrigger("before", "startup", lambda: deferLater(reactor, 0, startup))
        reactor.addSystemEventTrigger("during", "reload", seen.append, "reload")
        reactor.callWhenRunning(turns, reactor, 5, reactor.stop)
        reactor.run()
        assert seen == ["started", "reload"]

    def test_one_that_comes_while_stopping_is_dropped(self, reactor: Reactor, others: list[int]) -> None:
        seen: list[str] = []

        def shutdown() -> Deferred[None]:
            signal.raise_signal(signal.SIGHUP)
            return deferLater(reactor, 0.01, lambda: None)

        reactor.addSystemEventTrigger("during", "reload", seen.append, "reload")
        reactor.addSystemEventTrigger("before", "shutdown", shutdown)
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert seen == others == []

    @pytest.mark.parametrize("end", ["stop", "crash"])
    def test_one_that_was_to_be_answered_afterwards_is_dropped_by_then(self, reactor: Reactor, end: str) -> None:
        """It came while the reactor was reloading, and that took until it stopped. The next run knows nothing of it."""
        waiting: list[Deferred[None]] = []
        seen: list[str] = []

        def before() -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        def finish() -> None:
            getattr(reactor, end)()
            waiting[0].callback(None)

        reactor.addSystemEventTrigger("before", "reload", before)
        reactor.addSystemEventTrigger("before", "shutdown", lambda: deferLater(reactor, 0.001, lambda: None))
        reactor.callWhenRunning(hang_up, reactor, lambda: hang_up(reactor, finish))
        reactor.run()
        assert len(waiting) == 1
        reactor.addSystemEventTrigger("before", "startup", seen.append, "startup")
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert len(waiting) == 1
        assert seen == ["startup"]


class TestWhoTakesThem:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_they_stop_it_each_time_it_runs(self, reactor: Reactor, number: int) -> None:
        seen: list[str] = []
        for _ in range(2):
            reactor.addSystemEventTrigger("during", "shutdown", seen.append, "shutdown")
            reactor.callWhenRunning(turns, reactor, 1, lambda: signal.raise_signal(number))
            reactor.run()
        assert seen == ["shutdown", "shutdown"]

    def test_without_handlers_none_is_taken(self, reactor: Reactor, others: list[int]) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("during", "reload", seen.append, "reload")
        before = [signal.getsignal(number) for number in WATCHED]

        def check() -> None:
            assert [signal.getsignal(number) for number in WATCHED] == before
            hang_up(reactor, reactor.stop)

        reactor.callWhenRunning(turns, reactor, 1, check)
        reactor.run(installSignalHandlers=False)
        assert seen == []
        assert others == [signal.SIGHUP]

    def test_a_reactor_in_another_thread_takes_none(self, new_reactor: Callable[[], Reactor]) -> None:
        reactors = [new_reactor() for _ in range(2)]
        before = [signal.getsignal(number) for number in WATCHED]
        seen: list[bool] = []

        def turn(reactor: Reactor) -> None:
            def check() -> None:
                seen.append([signal.getsignal(number) for number in WATCHED] == before)
                trigger = reactor.addSystemEventTrigger("during", "reload", list)
                reactor.removeSystemEventTrigger(trigger)
                reactor.stop()

            reactor.addSystemEventTrigger("during", "reload", list)
            reactor.callWhenRunning(turns, reactor, 1, check)
            reactor.run()

        threads = [threading.Thread(target=turn, args=(reactor,)) for reactor in reactors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [True, True]

    def test_they_are_put_back_when_an_exception_leaves_it(self, reactor: Reactor) -> None:
        """The fixture looks."""

        def leave() -> None:
            raise SystemExit

        reactor.addSystemEventTrigger("during", "reload", list)
        reactor.callLater(0.001, leave)
        with pytest.raises(SystemExit):
            reactor.run()

    def test_a_trigger_added_from_a_callback_before_they_are_taken_counts(self, reactor: Reactor) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger(
            "before", "startup", lambda: reactor.addSystemEventTrigger("during", "reload", seen.append, "reload")
        )
        reactor.callWhenRunning(turns, reactor, 1, lambda: hang_up(reactor, reactor.stop))
        reactor.run()
        assert seen == ["reload"]


class TestHandlersThatRaise:
    """Handlers of `signal.signal`, which interrupt whatever the main thread is doing."""

    @pytest.fixture(autouse=True)
    def _raising(self) -> Iterator[None]:
        before = signal.signal(signal.SIGUSR1, self.handle)
        self.do: Callable[[], object] = lambda: None
        yield
        signal.signal(signal.SIGUSR1, before)

    def handle(self, number: int, frame: Any) -> None:
        self.do()
        raise LookupError("in a signal handler")

    def interrupt(self, reactor: Reactor) -> None:
        """Have a signal come the next time that the loop waits; or, if nobody is told of that, in its next turn."""
        selector: Any = getattr(reactor.loop, "_selector", None)
        if selector is None:
            reactor.loop.call_soon(signal.raise_signal, signal.SIGUSR1)
            return
        select = selector.select

        def interrupted(timeout: float | None = None) -> Any:
            selector.select = select
            signal.raise_signal(signal.SIGUSR1)
            return select(timeout)

        selector.select = interrupted

    def test_are_logged_and_the_reactor_goes_on(
        self, reactor: Reactor, logged: Logged, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As often as it happens, if the loop turns in between."""
        seen: list[str] = []

        def interrupt(left: int) -> None:
            if not left:
                reactor.stop()
                return
            self.interrupt(reactor)
            reactor.callLater(0.001, interrupt, left - 1)
            reactor.callFromThread(seen.append, "thread")

        reactor.addSystemEventTrigger("during", "shutdown", seen.append, "shutdown")
        reactor.callWhenRunning(interrupt, 5)
        reactor.run()
        assert seen == [*["thread"] * 5, "shutdown"]
        assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"] * 5  # or uvloop's own
        logged.take(LookupError)
        assert not reactor.running

    def test_at_the_beginning_too(self, reactor: Reactor, logged: Logged) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "startup", seen.append, "startup")
        self.interrupt(reactor)
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert seen == ["startup"]
        logged.take(LookupError)

    def test_one_that_crashes_it_has_its_way(self, reactor: Reactor, logged: Logged) -> None:
        seen: list[str] = []
        reactor.addSystemEventTrigger("during", "shutdown", seen.append, "shutdown")
        self.do = reactor.crash
        reactor.callWhenRunning(self.interrupt, reactor)
        reactor.run()
        assert seen == []
        logged.take(LookupError)

    def test_a_loop_that_is_broken_is_given_up(self, logged: Logged) -> None:
        """It comes to no turn any more: to go on would be to spin."""
        reactor = Reactor("poll")
        selector: Any = reactor.loop._selector  # type: ignore[attr-defined]
        tried: list[float | None] = []

        def broken(timeout: float | None = None) -> Any:
            tried.append(timeout)
            raise OSError("broken")

        selector.select = broken
        with pytest.raises(OSError, match="broken"):
            reactor.run()
        del selector.select
        assert len(tried) == 4
        assert len(logged.take(OSError)) == 3
        assert not reactor.running
        reactor.dispose()
