"""deferLater, LoopingCall and Clock, on virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred
from netcore.interfaces import IReactorTime, provides
from netcore.task import Clock, LoopingCall, deferLater


@pytest.fixture
def clock() -> Clock:
    return Clock()


def results_of(deferred: Deferred[Any]) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


class TestClock:
    def test_it_declares_its_interface(self, clock: Clock) -> None:
        assert provides(clock, IReactorTime)

    def test_time_passes_only_when_told(self, clock: Clock) -> None:
        assert clock.seconds() == 0
        clock.advance(1.5)
        assert clock.seconds() == clock.rightNow == 1.5

    def test_advance_makes_due_calls_in_order_at_the_final_time(self, clock: Clock) -> None:
        seen: list[Any] = []
        clock.callLater(2, lambda: seen.append(("b", clock.seconds())))
        clock.callLater(1, lambda: seen.append(("a", clock.seconds())))
        clock.callLater(4, seen.append, "later")
        clock.advance(3)
        assert seen == [("a", 3), ("b", 3)]
        assert [call.getTime() for call in clock.getDelayedCalls()] == [4]

    def test_a_call_asked_for_while_advancing_is_made_if_due(self, clock: Clock) -> None:
        seen: list[str] = []
        clock.callLater(1, clock.callLater, 0, seen.append, "nested")
        clock.callLater(1, clock.callLater, 1, seen.append, "not due")
        clock.advance(1)
        assert seen == ["nested"]

    def test_pump_advances_step_by_step(self, clock: Clock) -> None:
        seen: list[float] = []
        for delay in (1, 2, 3):
            clock.callLater(delay, lambda: seen.append(clock.seconds()))
        clock.pump([0.5, 0.5, 1, 1])
        assert seen == [1, 2, 3]

    def test_what_a_call_raises_comes_out_of_advance(self, clock: Clock) -> None:
        seen: list[str] = []
        clock.callLater(1, lambda: 1 / 0)
        clock.callLater(1, seen.append, "the rest")
        with pytest.raises(ZeroDivisionError):
            clock.advance(1)
        clock.advance(0)
        assert seen == ["the rest"]

    def test_a_negative_delay_is_refused(self, clock: Clock) -> None:
        with pytest.raises(ValueError):
            clock.callLater(-1, print)


class TestDeferLater:
    def test_it_fires_with_the_result(self, clock: Clock) -> None:
        results = results_of(deferLater(clock, 2, lambda *a, **kw: (a, kw), 1, b=2))
        clock.advance(1.9)
        assert results == []
        clock.advance(0.1)
        assert results == [((1,), {"b": 2})]

    def test_without_a_callable_it_just_waits(self, clock: Clock) -> None:
        results = results_of(deferLater(clock, 1))
        clock.advance(1)
        assert results == [None]

    def test_a_deferred_result_is_waited_for(self, clock: Clock) -> None:
        inner = Deferred[str]()
        results = results_of(deferLater(clock, 1, lambda: inner))
        clock.advance(1)
        assert results == []
        inner.callback("x")
        assert results == ["x"]

    def test_it_fails_with_what_the_callable_raises(self, clock: Clock) -> None:
        results = results_of(deferLater(clock, 1, lambda: 1 / 0))
        clock.advance(1)
        assert results[0].check(ZeroDivisionError)

    def test_cancelling_cancels_the_call(self, clock: Clock) -> None:
        called: list[str] = []
        deferred = deferLater(clock, 1, called.append, "x")
        results = results_of(deferred)
        deferred.cancel()
        assert results[0].check(CancelledError)
        assert clock.getDelayedCalls() == []
        clock.advance(2)
        assert called == []


class Loop:
    """A LoopingCall on a Clock, and the times at which it called."""

    def __init__(self, clock: Clock, result: Any = None) -> None:
        self.clock = clock
        self.times: list[float] = []
        self.result = result
        self.call = LoopingCall(self.note)
        self.call.clock = clock

    def note(self) -> Any:
        self.times.append(self.clock.seconds())
        return self.result() if callable(self.result) else self.result


class TestLoopingCall:
    def test_it_calls_at_once_and_every_interval(self, clock: Clock) -> None:
        loop = Loop(clock)
        loop.call.start(2)
        assert loop.call.running
        assert loop.call.interval == 2
        clock.pump([1, 1, 2])
        assert loop.times == [0, 2, 4]

    def test_now_false_waits_an_interval_first(self, clock: Clock) -> None:
        loop = Loop(clock)
        loop.call.start(2, now=False)
        clock.pump([1, 1, 2])
        assert loop.times == [2, 4]

    def test_stop_fires_with_the_loop_and_cancels_the_call(self, clock: Clock) -> None:
        loop = Loop(clock)
        results = results_of(loop.call.start(1))
        loop.call.stop()
        assert results == [loop.call]
        assert not loop.call.running
        assert clock.getDelayedCalls() == []

    def test_stop_inside_the_function_makes_that_call_the_last(self, clock: Clock) -> None:
        loop = Loop(clock, lambda: loop.call.stop() if len(loop.times) == 2 else None)
        results = results_of(loop.call.start(1))
        clock.pump([1, 1, 1])
        assert loop.times == [0, 1]
        assert results == [loop.call]

    def test_a_failure_ends_the_loop(self, clock: Clock) -> None:
        loop = Loop(clock, lambda: 1 / 0)
        results = results_of(loop.call.start(1))
        assert results[0].check(ZeroDivisionError)
        assert not loop.call.running
        assert clock.getDelayedCalls() == []

    def test_it_stays_on_its_grid_whatever_a_call_takes(self, clock: Clock) -> None:
        loop = Loop(clock)
        loop.call.start(1)
        clock.pump([1.3, 0.6, 0.1, 2.5, 0.5])
        assert loop.times == pytest.approx([0, 1.3, 2.0, 4.5, 5.0])

    def test_it_does_not_drift_over_many_calls(self, clock: Clock) -> None:
        loop = Loop(clock)
        loop.call.start(0.1)
        for moment in range(1, 1001):
            # 0.1 is no binary fraction: rounding must neither make two calls of one moment nor skip one.
            clock.rightNow = moment * 0.1
            clock.advance(0)
        assert loop.times == [moment * 0.1 for moment in range(1001)]

    def test_a_deferred_is_waited_for_and_missed_moments_are_left_out(self, clock: Clock) -> None:
        slow = Deferred[None]()
        loop = Loop(clock, slow)
        loop.call.start(1)
        clock.pump([1, 1, 1.5])
        assert loop.times == [0]
        slow.callback(None)
        loop.result = None
        clock.pump([0.4, 0.1])
        assert loop.times == [0, 4]

    def test_stop_while_a_deferred_is_waited_for_fires_after_it(self, clock: Clock) -> None:
        slow = Deferred[None]()
        loop = Loop(clock, slow)
        results = results_of(loop.call.start(1))
        loop.call.stop()
        assert results == []
        slow.callback(None)
        assert results == [loop.call]

    def test_a_coroutine_function_is_waited_for(self, clock: Clock) -> None:
        gate = Deferred[None]()
        times: list[float] = []

        async def work() -> None:
            times.append(clock.seconds())
            await gate

        call = LoopingCall(work)
        call.clock = clock
        call.start(1)
        clock.advance(5)
        assert times == [0]
        gate.callback(None)
        clock.advance(1)
        assert times == [0, 6]
        call.stop()

    def test_reset_begins_the_grid_anew(self, clock: Clock) -> None:
        loop = Loop(clock)
        loop.call.start(2)
        clock.advance(1)
        loop.call.reset()
        clock.pump([1.9, 0.1, 2])
        assert loop.times == [0, 3, 5]

    def test_an_interval_of_none_calls_in_every_turn(self, clock: Clock) -> None:
        loop = Loop(clock, lambda: loop.call.stop() if len(loop.times) == 5 else None)
        loop.call.start(0)
        clock.advance(0)
        assert loop.times == [0] * 5

    def test_it_can_be_started_again(self, clock: Clock) -> None:
        loop = Loop(clock)
        loop.call.start(1)
        loop.call.stop()
        clock.advance(10.5)
        loop.call.start(2)
        clock.advance(2)
        assert loop.times == [0, 10.5, 12.5]

    def test_arguments_are_passed_on(self, clock: Clock) -> None:
        got: list[Any] = []
        call = LoopingCall(lambda *a, **kw: got.append((a, kw)), 1, b=2)
        call.clock = clock
        call.start(1)
        assert got == [((1,), {"b": 2})]
        call.stop()

    def test_misuse_is_refused(self, clock: Clock) -> None:
        loop = Loop(clock)
        for act in (loop.call.stop, loop.call.reset):
            with pytest.raises(RuntimeError, match="does not run"):
                act()
        with pytest.raises(ValueError, match="interval"):
            loop.call.start(-1)
        loop.call.start(1)
        with pytest.raises(RuntimeError, match="runs already"):
            loop.call.start(1)

    def test_with_count_tells_how_many_moments_have_come(self, clock: Clock) -> None:
        times, counts = [], []

        def note(count: int) -> None:
            times.append(clock.seconds())
            counts.append(count)

        call = LoopingCall.withCount(note)
        call.clock = clock
        call.start(1)
        clock.pump([0.5, 0.5, 3.2, 0.3, 0.5])
        assert times == pytest.approx([0, 1, 4.2, 5.0])
        assert counts == [1, 1, 3, 1]

    def test_with_count_and_now_false_counts_from_the_start(self, clock: Clock) -> None:
        counts: list[int] = []
        call = LoopingCall.withCount(counts.append)
        call.clock = clock
        call.start(1, now=False)
        clock.pump([3.5, 0.5])
        assert counts == [3, 1]

    def test_with_count_adds_up_over_many_calls(self, clock: Clock) -> None:
        counts: list[int] = []
        call = LoopingCall.withCount(counts.append)
        call.clock = clock
        call.start(0.1, now=False)
        clock.pump([0.1, 0.25, 0.05] * 500)
        assert sum(counts) == pytest.approx(2000, abs=1)

    def test_with_count_counts_anew_after_a_reset(self, clock: Clock) -> None:
        counts: list[int] = []
        call = LoopingCall.withCount(counts.append)
        call.clock = clock
        call.start(1)
        clock.pump([1] * 5)
        call.reset()
        clock.advance(3.5)
        assert counts == [1] * 6 + [3]

    def test_with_count_counts_what_passed_before_a_reset_as_well(self, clock: Clock) -> None:
        counts: list[int] = []
        loop = LoopingCall.withCount(counts.append)
        loop.clock = clock
        loop.start(1)
        clock.rightNow = 5.5
        loop.reset()
        clock.advance(1)
        assert counts == [1, 6]  # of the six and a half seconds
        loop.stop()

    def test_a_loop_whose_call_others_have_cancelled_can_be_stopped(self, clock: Clock) -> None:
        loop = LoopingCall(list)
        loop.clock = clock
        ended: list[Any] = []
        loop.start(1).addBoth(ended.append)
        for call in clock.getDelayedCalls():  # as a reactor does that is disposed of
            call.cancel()
        loop.stop()
        assert ended == [loop]

    @pytest.mark.parametrize("now", [True, False])
    def test_stopped_and_started_again_inside_the_function_it_is_a_new_run(self, clock: Clock, now: bool) -> None:
        results: list[Any] = []

        def again() -> None:
            if len(loop.times) == 2:
                loop.call.stop()
                loop.call.start(3, now).addBoth(lambda result: results.append(("second", result)))

        loop = Loop(clock, again)
        loop.call.start(1).addBoth(lambda result: results.append(("first", result)))
        clock.pump([1, 0, 1, 1, 1, 3])
        assert results == [("first", loop.call)]
        assert loop.times == [0, 1, *([1] if now else []), 4, 7]
        assert len(clock.getDelayedCalls()) == 1
        loop.call.stop()
        assert results == [("first", loop.call), ("second", loop.call)]

    @pytest.mark.parametrize("fails", [True, False])
    def test_a_new_run_waits_for_the_last_call_of_the_old_one(self, clock: Clock, fails: bool) -> None:
        slow = Deferred[None]()
        loop = Loop(clock, slow)
        first = results_of(loop.call.start(1))
        loop.call.stop()
        second = results_of(loop.call.start(2))
        loop.result = None
        clock.advance(3)
        assert loop.times == [0]
        assert first == second == []
        if fails:
            slow.errback(LookupError())
            assert first[0].check(LookupError)
        else:
            slow.callback(None)
            assert first == [loop.call]
        assert second == []
        clock.pump([0, 1, 2])
        assert loop.times == [0, 3, 4, 6]
        loop.call.stop()
        assert second == [loop.call]

    def test_a_run_that_waits_for_the_old_one_can_be_stopped(self, clock: Clock) -> None:
        slow = Deferred[None]()
        loop = Loop(clock, slow)
        first = results_of(loop.call.start(1))
        loop.call.stop()
        second = results_of(loop.call.start(1))
        loop.call.stop()
        assert second == [loop.call]
        assert first == []
        slow.callback(None)
        assert first == [loop.call]
        assert not loop.call.running
        clock.advance(5)
        assert loop.times == [0]

    def test_repr_says_what_and_how_often(self, clock: Clock) -> None:
        loop = Loop(clock)
        loop.call.start(1)
        assert "note" in repr(loop.call)
        assert "every 1 s, running" in repr(loop.call)
