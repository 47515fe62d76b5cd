"""`IReactorTime`: a clock, and calls to be made by it."""

from __future__ import annotations

import math
from contextvars import ContextVar, copy_context
from typing import Any

from netcore.defer import Deferred
from netcore.error import AlreadyCalled, AlreadyCancelled
from netcore.interfaces import IDelayedCall, IReactorTime, provides
from netcore.testing.contracts._contract import ReactorContract, driven, raises

__all__ = ["ReactorTimeContract"]

NEVER = 1000.0  # seconds: no test waits for it
_variable: ContextVar[str] = ContextVar("variable", default="unset")


class ReactorTimeContract(ReactorContract):
    """`IReactorTime`, and the `IDelayedCall` it gives. Override `makeReactor`."""

    interface = IReactorTime

    def after(self, delay: float = 0) -> Deferred[None]:
        """Fires after *delay* seconds, and so after all that was to be called until then."""
        deferred = Deferred[None]()
        self.reactor.callLater(delay, deferred.callback, None)
        return deferred

    @driven
    async def test_a_call_is_made_once_with_its_arguments(self) -> None:
        """Positional ones and by name, later and not from within ``callLater``."""
        seen: list[Any] = []
        call = self.reactor.callLater(0, lambda *args, **kwargs: seen.append((args, kwargs)), 1, "a", key=2)
        assert seen == []
        assert provides(call, IDelayedCall)
        assert call.active()
        await self.after(0.001)
        await self.settle()
        assert seen == [((1, "a"), {"key": 2})]
        assert not call.active()

    @driven
    async def test_calls_come_in_the_order_of_their_times(self) -> None:
        """Whatever the order they were asked for in."""
        seen: list[int] = []
        now = self.reactor.seconds()
        for number in (3, 1, 2, 0):
            call = self.reactor.callLater(1, seen.append, number)
            call.delay(now + number * 0.001 - call.getTime())
        await self.after(0.004)
        assert seen == [0, 1, 2, 3]

    @driven
    async def test_equal_times_come_in_the_order_asked_for(self) -> None:
        """First in, first out."""
        seen: list[int] = []
        deadline = self.reactor.seconds() + 0.005
        for number in range(100):
            call = self.reactor.callLater(1, seen.append, number)
            call.delay(deadline - call.getTime())
        await self.after(0.01)
        assert seen == list(range(100))

    @driven
    async def test_calls_without_delay_come_in_the_order_asked_for(self) -> None:
        """Zero is a time like any other."""
        seen: list[int] = []
        for number in range(100):
            self.reactor.callLater(0, seen.append, number)
        await self.after()
        assert seen == list(range(100))

    @driven
    async def test_no_call_comes_early(self) -> None:
        """By the clock of ``seconds()``."""
        early: list[float] = []

        def check(due: float) -> None:
            if self.reactor.seconds() < due:
                early.append(due - self.reactor.seconds())

        for number in range(50):
            delay = number * 0.000_23
            self.reactor.callLater(delay, check, self.reactor.seconds() + delay)
        await self.after(0.012)
        assert early == []

    @driven
    async def test_the_clock_does_not_go_back(self) -> None:
        """And it goes on."""
        first = self.reactor.seconds()
        await self.after(0.001)
        assert self.reactor.seconds() >= first + 0.001

    @driven
    async def test_a_call_without_delay_comes_in_a_later_turn(self) -> None:
        """What a call asks for is not made together with it, so that the rest of the program has its turn."""
        seen: list[str] = []

        def first() -> None:
            self.reactor.callLater(0, seen.append, "asked for by the first")
            seen.append("first")

        self.reactor.callLater(0, first)
        self.reactor.callLater(0, seen.append, "second")
        await self.after()
        await self.after()
        assert seen == ["first", "second", "asked for by the first"]

    @driven
    async def test_a_cancelled_call_is_not_made(self) -> None:
        """Not even if it was due when it was cancelled."""
        seen: list[str] = []
        call = self.reactor.callLater(0, seen.append, "cancelled")
        due = self.reactor.callLater(0, seen.append, "due")
        self.reactor.callLater(0, lambda: None)
        call.cancel()
        assert not call.active()
        for refused in (call.cancel, lambda: call.delay(1), lambda: call.reset(1)):
            with raises(AlreadyCancelled):
                refused()
        await self.after()
        assert seen == ["due"]
        assert not due.active()

    @driven
    async def test_a_call_may_cancel_another_that_is_due_with_it(self) -> None:
        """Their time has come for both."""
        seen: list[str] = []
        calls: list[Any] = []

        def cancel() -> None:
            calls[1].cancel()

        calls.append(self.reactor.callLater(0, cancel))
        calls.append(self.reactor.callLater(0, seen.append, "cancelled"))
        await self.after()
        assert seen == []

    @driven
    async def test_a_call_that_was_made_cannot_be_moved(self) -> None:
        """Nor while it is being made."""
        refused: list[BaseException] = []

        def made() -> None:
            with raises(AlreadyCalled) as caught:
                call.cancel()
            refused.append(caught.value)

        call = self.reactor.callLater(0, made)
        await self.after()
        for late in (call.cancel, lambda: call.delay(1), lambda: call.reset(1)):
            with raises(AlreadyCalled):
                late()
        assert len(refused) == 1

    @driven
    async def test_a_call_can_be_moved(self) -> None:
        """``delay`` counts from when it was due, ``reset`` from now."""
        seen: list[str] = []
        later = self.reactor.callLater(0, seen.append, "later")
        earlier = self.reactor.callLater(NEVER, seen.append, "earlier")
        due = later.getTime()
        later.delay(NEVER)
        assert math.isclose(later.getTime(), due + NEVER)
        earlier.reset(0.001)
        assert earlier.getTime() <= self.reactor.seconds() + 0.001
        await self.after(0.001)
        assert seen == ["earlier"]
        assert later.active()
        later.reset(0)
        await self.after()
        assert seen == ["earlier", "later"]

    @driven
    async def test_a_call_may_be_made_earlier_by_a_negative_delay(self) -> None:
        """As far as now."""
        seen: list[str] = []
        call = self.reactor.callLater(NEVER, seen.append, "earlier")
        call.delay(-NEVER)
        await self.after(0.001)
        assert seen == ["earlier"]

    @driven
    async def test_it_knows_the_calls_still_to_come(self) -> None:
        """And no others."""
        calls = [self.reactor.callLater(NEVER, print) for _ in range(3)]
        made = self.reactor.callLater(0, lambda: None)
        assert {*calls, made} <= set(self.reactor.getDelayedCalls())
        calls[0].cancel()
        await self.after()
        left = set(self.reactor.getDelayedCalls())
        assert set(calls[1:]) <= left
        assert not {calls[0], made} & left
        for call in calls[1:]:
            call.cancel()

    @driven
    async def test_what_a_call_raises_is_logged_and_the_rest_still_run(self) -> None:
        """One mistake costs one call."""
        seen: list[str] = []
        self.reactor.callLater(0, lambda: 1 / 0)
        self.reactor.callLater(0, seen.append, "rest")
        await self.after()
        assert seen == ["rest"]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    @driven
    async def test_a_call_runs_in_the_context_it_was_asked_for_in(self) -> None:
        """That of `contextvars`."""
        seen: list[str] = []

        def ask(value: str) -> None:
            _variable.set(value)
            self.reactor.callLater(0, lambda: seen.append(_variable.get()))

        for value in ("one", "two"):
            copy_context().run(ask, value)
        await self.after()
        assert seen == ["one", "two"]

    @driven
    async def test_a_delay_that_is_none_is_refused(self) -> None:
        """At once, and nothing is left behind."""
        before = len(self.reactor.getDelayedCalls())
        for wrong in (-1, -0.001, math.nan):
            with raises(ValueError):
                self.reactor.callLater(wrong, print)
        assert len(self.reactor.getDelayedCalls()) == before
