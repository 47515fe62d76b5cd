"""`IReactorCore`: system events, and the life of a reactor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred, fail
from netcore.error import ReactorAlreadyRunning, ReactorNotRunning
from netcore.interfaces import IReactorCore
from netcore.testing.contracts._contract import ReactorContract, driven, raises

__all__ = ["ReactorCoreContract", "ReactorEventsContract"]


class ReactorEventsContract(ReactorContract):
    """`IReactorCore` as far as it holds for a reactor that others run and stop, such as an attached one. Override
    `drive`."""

    interface = IReactorCore

    @driven
    async def test_it_runs_while_it_runs(self) -> None:
        """It says so."""
        assert self.reactor.running

    @driven
    async def test_call_when_running_calls_at_once_if_it_does(self) -> None:
        """And returns None then."""
        seen: list[Any] = []
        assert self.reactor.callWhenRunning(lambda *args, **kwargs: seen.append((args, kwargs)), 1, key=2) is None
        assert seen == [((1,), {"key": 2})]

    @driven
    async def test_triggers_are_called_by_phase_with_their_arguments(self) -> None:
        """In each phase, in the order they were added; each once."""
        seen: list[Any] = []
        for phase in ("after", "during", "before"):
            for number in range(2):
                self.reactor.addSystemEventTrigger(
                    phase, "rotate", lambda *args, **kwargs: seen.append((*args, kwargs)), phase, number, key=1
                )
        for _ in range(2):
            self.reactor.fireSystemEvent("rotate")
            await self.settle()
        assert seen == [(phase, number, {"key": 1}) for phase in ("before", "during", "after") for number in range(2)]

    @driven
    async def test_an_event_waits_for_what_before_returns(self) -> None:
        """For all the Deferreds of that phase; those that fail are waited for as well."""
        seen: list[str] = []
        first, second = Deferred[None](), Deferred[None]()
        for waiting in (first, second):
            self.reactor.addSystemEventTrigger("before", "rotate", lambda waiting=waiting: waiting)
        self.reactor.addSystemEventTrigger("during", "rotate", seen.append, "during")
        self.reactor.addSystemEventTrigger("after", "rotate", seen.append, "after")
        self.reactor.fireSystemEvent("rotate")
        await self.settle()
        assert seen == []
        first.callback(None)
        await self.settle()
        assert seen == []
        second.callback(None)
        await self.settle()
        assert seen == ["during", "after"]

    @driven
    async def test_a_deferred_that_has_fired_is_not_waited_for(self) -> None:
        """It has a result already; it may be a failure, which is logged."""
        seen: list[str] = []
        self.reactor.addSystemEventTrigger("before", "rotate", fail, ZeroDivisionError())
        self.reactor.addSystemEventTrigger("during", "rotate", seen.append, "during")
        self.reactor.fireSystemEvent("rotate")
        await self.settle()
        assert seen == ["during"]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    @driven
    async def test_what_a_trigger_raises_is_logged_and_the_rest_still_run(self) -> None:
        """In every phase."""
        seen: list[str] = []
        for phase in ("before", "during", "after"):
            self.reactor.addSystemEventTrigger(phase, "rotate", lambda: 1 / 0)
            self.reactor.addSystemEventTrigger(phase, "rotate", seen.append, phase)
        self.reactor.fireSystemEvent("rotate")
        await self.settle()
        assert seen == ["before", "during", "after"]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 3

    @driven
    async def test_a_trigger_can_be_taken_back(self) -> None:
        """Once, and not when it has been called."""
        seen: list[str] = []
        trigger = self.reactor.addSystemEventTrigger("during", "rotate", seen.append, "taken back")
        self.reactor.removeSystemEventTrigger(trigger)
        with raises(ValueError, KeyError, TypeError):
            self.reactor.removeSystemEventTrigger(trigger)
        self.reactor.fireSystemEvent("rotate")
        await self.settle()
        assert seen == []
        for wrong in (None, "trigger", object()):
            with raises(ValueError, KeyError, TypeError):
                self.reactor.removeSystemEventTrigger(wrong)

    @driven
    async def test_a_phase_that_is_none_is_refused(self) -> None:
        """At once."""
        for wrong in ("", "earlier", "Before"):
            with raises(ValueError, KeyError):
                self.reactor.addSystemEventTrigger(wrong, "rotate", print)

    def test_the_end_is_an_event(self) -> None:
        """ "shutdown", in its three phases, of which "before" is waited for."""
        seen: list[str] = []
        waited = Deferred[None]()

        def before() -> Deferred[None]:
            self.reactor.callLater(0.001, waited.callback, None)
            return waited.addCallback(lambda _: seen.append("before"))

        async def main() -> None:
            self.reactor.addSystemEventTrigger("after", "shutdown", seen.append, "after")
            self.reactor.addSystemEventTrigger("during", "shutdown", seen.append, "during")
            self.reactor.addSystemEventTrigger("before", "shutdown", before)

        self.drive(main)
        assert seen == ["before", "during", "after"]


TURNS = 2000  # that are taken by hand, at most, until something has happened
LONG = 1000.0  # seconds: no test takes so long


def turn_until(reactor: Any, done: Callable[[], object], delay: float = 0) -> None:
    """Take turns by hand until something is *done*."""
    for _ in range(TURNS):
        if done():
            return
        reactor.iterate(delay)
    raise AssertionError(f"it was not done in {TURNS} turns")


class ReactorCoreContract(ReactorEventsContract):
    """`IReactorCore`, all of it. Override `makeReactor`."""

    def test_running_follows_the_phases(self) -> None:
        """It is true from the middle of startup to the middle of shutdown."""
        reactor = self.newReactor()
        seen: list[Any] = []
        for event in ("startup", "shutdown"):
            for phase in ("after", "during", "before"):
                reactor.addSystemEventTrigger(
                    phase, event, lambda what: seen.append((what, bool(reactor.running))), f"{phase} {event}"
                )
        reactor.callWhenRunning(reactor.stop)
        assert not reactor.running
        self.runReactor(reactor)
        assert not reactor.running
        assert seen == [
            ("before startup", False),
            ("during startup", True),
            ("after startup", True),
            ("before shutdown", True),
            ("during shutdown", False),
            ("after shutdown", False),
        ]

    def test_startup_comes_before_timers_and_calls_from_threads(self) -> None:
        """Whatever was asked for earlier."""
        reactor = self.newReactor()
        seen: list[str] = []
        reactor.callLater(0, seen.append, "timer")
        reactor.callFromThread(seen.append, "thread")
        reactor.addSystemEventTrigger("before", "startup", seen.append, "startup")
        reactor.callLater(0.001, reactor.stop)
        self.runReactor(reactor)
        assert seen[0] == "startup"
        assert sorted(seen[1:]) == ["thread", "timer"]

    def test_call_when_running_waits_for_it(self) -> None:
        """And can be taken back until then."""
        reactor = self.newReactor()
        seen: list[str] = []
        trigger = reactor.callWhenRunning(seen.append, "taken back")
        assert trigger is not None
        reactor.callWhenRunning(seen.append, "called")
        reactor.callWhenRunning(reactor.stop)
        reactor.removeSystemEventTrigger(trigger)
        assert seen == []
        self.runReactor(reactor)
        assert seen == ["called"]

    def test_stop_needs_a_running_reactor_and_is_not_repeated(self) -> None:
        """It says so."""
        reactor = self.newReactor()
        seen: list[BaseException] = []

        def again() -> None:
            with raises(ReactorNotRunning) as caught:
                reactor.stop()
            seen.append(caught.value)

        again()
        reactor.addSystemEventTrigger("before", "shutdown", again)
        reactor.callWhenRunning(reactor.stop)
        self.runReactor(reactor)
        assert len(seen) == 2

    def test_stop_fires_shutdown_from_the_loop_and_not_from_within(self) -> None:
        """Who stops has its say first."""
        reactor = self.newReactor()
        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "shutdown", seen.append, "shutdown")

        def stop() -> None:
            reactor.stop()
            seen.append("stop returned")

        reactor.callWhenRunning(stop)
        self.runReactor(reactor)
        assert seen == ["stop returned", "shutdown"]

    def test_run_refuses_to_nest(self) -> None:
        """In a callback of its own."""
        reactor = self.newReactor()
        seen: list[BaseException] = []

        def nest() -> None:
            with raises(ReactorAlreadyRunning) as caught:
                reactor.run()
            seen.append(caught.value)
            reactor.stop()

        reactor.callWhenRunning(nest)
        self.runReactor(reactor)
        assert len(seen) == 1

    def test_crash_returns_without_shutdown(self) -> None:
        """At once."""
        reactor = self.newReactor()
        seen: list[str] = []
        reactor.addSystemEventTrigger("before", "shutdown", seen.append, "shutdown")
        late = reactor.callLater(1000, seen.append, "late")
        reactor.callWhenRunning(reactor.crash)
        self.runReactor(reactor)
        assert seen == []
        assert not reactor.running
        late.cancel()

    def test_firing_shutdown_ends_a_running_reactor(self) -> None:
        """As `stop` does."""
        reactor = self.newReactor()
        seen: list[str] = []
        reactor.addSystemEventTrigger("during", "shutdown", seen.append, "shutdown")
        reactor.callWhenRunning(reactor.fireSystemEvent, "shutdown")
        self.runReactor(reactor)
        assert seen == ["shutdown"]

    def test_a_failing_trigger_keeps_it_neither_from_starting_nor_from_stopping(self) -> None:
        """What it raised is logged."""
        reactor = self.newReactor()
        for event in ("startup", "shutdown"):
            for phase in ("before", "during", "after"):
                reactor.addSystemEventTrigger(phase, event, lambda: 1 / 0)
        reactor.callWhenRunning(reactor.stop)
        self.runReactor(reactor)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 6

    # Turns taken by hand.

    def test_a_turn_makes_the_calls_that_are_due(self) -> None:
        """In order, and no others."""
        reactor = self.newReactor()
        seen: list[int] = []
        later = reactor.callLater(LONG, seen.append, 4)
        for number in range(4):
            reactor.callLater(0, seen.append, number)
        turn_until(reactor, lambda: seen)
        reactor.iterate()
        assert seen == [0, 1, 2, 3]
        later.cancel()

    def test_turns_make_calls_from_threads(self) -> None:
        """In order, here."""
        reactor = self.newReactor()
        seen: list[tuple[int, threading.Thread]] = []

        def ask() -> None:
            for number in range(3):
                reactor.callFromThread(lambda number=number: seen.append((number, threading.current_thread())))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        turn_until(reactor, lambda: len(seen) == 3)
        assert seen == [(number, threading.current_thread()) for number in range(3)]

    def test_a_turn_waits_for_something_to_happen(self) -> None:
        """A timer that becomes due, or a call from a thread; no longer than that."""
        reactor = self.newReactor()
        seen: list[str] = []
        reactor.callLater(0.001, seen.append, "timer")
        turn_until(reactor, lambda: seen, LONG)
        thread = threading.Thread(target=reactor.callFromThread, args=(seen.append, "thread"))
        reactor.callLater(0.001, thread.start)
        turn_until(reactor, lambda: len(seen) == 2, LONG)
        thread.join()
        assert seen == ["timer", "thread"]

    def test_a_turn_waits_as_long_as_it_was_told_at_most(self) -> None:
        """If nothing happens."""
        reactor = self.newReactor()
        later = reactor.callLater(LONG, list)
        began = reactor.seconds()
        reactor.iterate(0.001)
        assert reactor.seconds() - began < LONG
        later.cancel()

    def test_what_calls_raise_in_a_turn_is_logged_and_the_rest_is_made(self) -> None:
        """Turns go on."""
        reactor = self.newReactor()
        seen: list[str] = []
        reactor.callLater(0, lambda: 1 / 0)
        reactor.callFromThread(lambda: 1 / 0)
        reactor.callLater(0, seen.append, "timer")
        reactor.callFromThread(seen.append, "thread")
        turn_until(reactor, lambda: len(seen) == 2)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 2

    def test_turns_are_no_startup(self) -> None:
        """Nor anything else of a run, that comes before or after."""
        reactor = self.newReactor()
        seen: list[Any] = []
        for _ in range(2):
            reactor.addSystemEventTrigger("before", "startup", seen.append, "startup")
            reactor.callWhenRunning(seen.append, "running")
            reactor.callLater(0, lambda: seen.append(reactor.running))
            turn_until(reactor, lambda: seen)
            reactor.iterate()
            assert seen == [False]
            reactor.callWhenRunning(reactor.stop)
            self.runReactor(reactor)
            assert seen == [False, "startup", "running"]
            seen.clear()

    def test_there_is_nothing_to_stop_in_a_turn(self) -> None:
        """It ends by itself."""
        reactor = self.newReactor()
        seen: list[BaseException] = []

        def stop() -> None:
            with raises(ReactorNotRunning) as caught:
                reactor.stop()
            seen.append(caught.value)

        reactor.callLater(0, stop)
        turn_until(reactor, lambda: seen)

    def test_turns_refuse_to_nest(self) -> None:
        """In each other, and in a run."""
        reactor = self.newReactor()
        seen: list[BaseException] = []

        def nest() -> None:
            for act in (reactor.iterate, reactor.run):
                with raises(ReactorAlreadyRunning) as caught:
                    act()
                seen.append(caught.value)

        reactor.callLater(0, nest)
        turn_until(reactor, lambda: seen)
        reactor.callWhenRunning(nest)
        reactor.callWhenRunning(reactor.stop)
        self.runReactor(reactor)
        assert len(seen) == 4

    def test_an_event_goes_on_in_later_turns(self) -> None:
        """When what it waits for has come."""
        reactor = self.newReactor()
        seen: list[str] = []
        waited = Deferred[None]()
        reactor.addSystemEventTrigger("before", "rotate", lambda: waited)
        reactor.addSystemEventTrigger("during", "rotate", seen.append, "during")
        reactor.fireSystemEvent("rotate")
        reactor.iterate()
        assert seen == []
        reactor.callLater(0, waited.callback, None)
        turn_until(reactor, lambda: seen)
