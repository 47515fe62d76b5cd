"""The timer queue, on a clock that the test moves."""

from __future__ import annotations

import contextvars
import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from netcore._timers import DelayedCall, TimerQueue
from netcore.error import AlreadyCalled, AlreadyCancelled
from netcore.interfaces import IDelayedCall, provides


class Queue:
    """A queue, its clock, and what its calls noted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.woken = 0
        self.called: list[Any] = []
        self.timers = TimerQueue(lambda: self.now, self.wake)

    def wake(self) -> None:
        self.woken += 1

    def later(self, delay: float, name: Any = None, func: Callable[..., Any] | None = None) -> DelayedCall:
        return self.timers.add(delay, func or self.called.append, (name,) if func is None else (), {})

    def turn(self, now: float | None = None, bounded: bool = True) -> list[Any]:
        """Make the calls due at *now*; returns what was called."""
        if now is not None:
            self.now = now
        self.called.clear()
        mark = self.timers.mark() if bounded else None
        while (call := self.timers.take(self.now, mark)) is not None:
            call.call()
        return list(self.called)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_calls_come_when_they_are_due_and_not_before(queue: Queue) -> None:
    queue.later(2, "b")
    queue.later(1, "a")
    assert queue.timers.next_deadline() == 1
    assert queue.turn(0.999) == []
    assert queue.turn(1) == ["a"]
    assert queue.turn(5) == ["b"]
    assert queue.timers.next_deadline() is None


def test_equal_times_come_in_the_order_asked_for(queue: Queue) -> None:
    for number in range(100):
        queue.later(1, number)
    assert queue.turn(1) == list(range(100))


def test_a_delayed_call_declares_its_interface(queue: Queue) -> None:
    assert provides(queue.later(1), IDelayedCall)


@pytest.mark.parametrize("delay", [-1, -0.001, math.nan])
def test_a_delay_that_is_none_is_refused(queue: Queue, delay: float) -> None:
    with pytest.raises(ValueError, match="seconds from now"):
        queue.later(delay)
    assert len(queue.timers) == 0


def test_what_cannot_be_called_is_refused(queue: Queue) -> None:
    with pytest.raises(TypeError):
        queue.timers.add(1, "not callable", (), {})  # type: ignore[arg-type]


def test_arguments_are_passed_on(queue: Queue) -> None:
    got: list[Any] = []
    queue.timers.add(1, lambda *a, **kw: got.append((a, kw)), (1, 2), {"x": 3})
    queue.turn(1)
    assert got == [((1, 2), {"x": 3})]


def test_cancelling_removes_the_call(queue: Queue) -> None:
    call = queue.later(1, "a")
    queue.later(1, "b")
    assert call.active()
    call.cancel()
    assert not call.active()
    assert queue.turn(1) == ["b"]
    assert len(queue.timers) == 0


def test_a_call_may_cancel_another_that_is_due_in_the_same_turn(queue: Queue) -> None:
    calls: list[DelayedCall] = []

    def cancel() -> None:
        calls[0].cancel()

    queue.later(1, func=cancel)
    calls.append(queue.later(1, "cancelled"))
    assert queue.turn(1) == []


def test_the_states_refuse_what_makes_no_sense(queue: Queue) -> None:
    called, cancelled = queue.later(1), queue.later(1)
    cancelled.cancel()
    queue.turn(1)
    for act in (lambda c: c.cancel(), lambda c: c.delay(1), lambda c: c.reset(1)):
        with pytest.raises(AlreadyCalled):
            act(called)
        with pytest.raises(AlreadyCancelled):
            act(cancelled)


def test_a_call_is_not_active_while_it_is_made(queue: Queue) -> None:
    seen: list[bool] = []
    call = queue.later(1, func=lambda: seen.append(call.active()))
    queue.turn(1)
    assert seen == [False]


def test_delay_moves_by_that_much_from_the_planned_time(queue: Queue) -> None:
    call = queue.later(1, "a")
    queue.now = 0.5
    call.delay(2)
    assert call.getTime() == 3
    assert queue.turn(2.9) == []
    assert queue.turn(3) == ["a"]


def test_delay_by_a_negative_amount_moves_it_earlier(queue: Queue) -> None:
    call = queue.later(5, "a")
    queue.later(4, "b")
    call.delay(-3)
    assert queue.timers.next_deadline() == 2
    assert queue.turn(2) == ["a"]
    assert queue.turn(4) == ["b"]


def test_reset_counts_from_now_in_both_directions(queue: Queue) -> None:
    later, earlier = queue.later(2, "later"), queue.later(10, "earlier")
    queue.now = 1
    later.reset(5)
    earlier.reset(1)
    assert (later.getTime(), earlier.getTime()) == (6, 2)
    assert queue.turn(2) == ["earlier"]
    assert queue.turn(5.9) == []
    assert queue.turn(6) == ["later"]


def test_a_call_moved_back_and_forth_comes_once(queue: Queue) -> None:
    call = queue.later(5, "a")
    for seconds in (1, 9, 2, 8, 3, 7):
        call.reset(seconds)
    assert len(queue.timers) == 1
    assert queue.turn(6.9) == []
    assert queue.turn(7) == ["a"]
    assert queue.turn(100) == []
    assert queue.timers.entries == 0


def test_moving_to_no_time_at_all_is_refused(queue: Queue) -> None:
    call = queue.later(1)
    with pytest.raises(ValueError, match="NaN"):
        call.reset(math.nan)
    assert call.getTime() == 1


def test_a_moved_call_queues_behind_those_that_were_there(queue: Queue) -> None:
    first = queue.later(1, "moved")
    queue.later(2, "stayed")
    first.reset(2)
    assert queue.turn(2) == ["stayed", "moved"]


def test_moving_later_costs_no_entry(queue: Queue) -> None:
    call = queue.later(1)
    for _ in range(1000):
        call.reset(1)
        call.delay(1)
    assert queue.timers.entries == 1


def test_a_call_that_moves_another_which_is_due_spares_it(queue: Queue) -> None:
    calls: list[DelayedCall] = []
    queue.later(1, func=lambda: calls[0].reset(5))
    calls.append(queue.later(1, "moved"))
    assert queue.turn(1) == []
    assert queue.turn(6) == ["moved"]


def test_ten_thousand_cancelled_calls_are_swept_out(queue: Queue) -> None:
    calls = [queue.later(number % 97, number) for number in range(10_000)]
    for call in calls[:9_900]:
        call.cancel()
    assert len(queue.timers) == 100
    assert queue.timers.entries <= 200
    expected = sorted(range(9_900, 10_000), key=lambda number: (number % 97, number))
    assert queue.turn(100) == expected


def test_a_time_out_that_is_cancelled_at_once_leaves_nothing(queue: Queue) -> None:
    kept = [queue.timers.add(number, print, (), {}) for number in range(10)]
    for _ in range(100):
        queue.timers.add(1000, print, (), {}).cancel()
        assert queue.timers.entries == 10
    moved = queue.timers.add(1000, print, (), {})
    moved.reset(2000)
    moved.reset(0.5)  # two entries, of which the first is stale
    moved.cancel()
    assert len(queue.timers) == len(queue.timers.calls()) == 10
    assert sorted(queue.timers.calls(), key=id) == sorted(kept, key=id)
    assert queue.timers.next_deadline() == kept[0].getTime()


def test_ten_thousand_resets_to_earlier_are_swept_out(queue: Queue) -> None:
    calls = [queue.later(10_000, number) for number in range(100)]
    for step in range(100):
        for call in calls:
            call.reset(5_000 - step)
    assert queue.timers.entries <= 200
    assert queue.turn(4_901) == list(range(100))


def test_cancelling_lets_go_of_the_callable_at_once(queue: Queue) -> None:
    class Held:
        def method(self, argument: object) -> None: ...

    held, argument = Held(), Held()
    dead = weakref.ref(held), weakref.ref(argument)
    queue.timers.add(1, held.method, (argument,), {}).cancel()
    del held, argument
    gc.collect()
    assert [reference() for reference in dead] == [None, None]


def test_a_bounded_turn_leaves_what_it_asked_for_itself_to_the_next(queue: Queue) -> None:
    def again() -> None:
        queue.called.append("again")
        queue.later(0, func=again)

    queue.later(0, func=again)
    assert queue.turn() == ["again"]
    assert queue.turn() == ["again"]


def test_an_unbounded_turn_makes_every_call_that_is_due(queue: Queue) -> None:
    queue.later(1, func=lambda: queue.later(0, "nested") and None)
    assert queue.turn(1, bounded=False) == ["nested"]


def test_the_owner_is_woken_for_an_earlier_deadline_only(queue: Queue) -> None:
    queue.later(5)
    assert queue.woken == 1
    call = queue.later(9)
    assert queue.woken == 1
    queue.later(4)
    assert queue.woken == 2
    call.reset(20)
    assert queue.woken == 2
    call.reset(1)
    assert queue.woken == 3


def test_each_call_runs_in_the_context_it_was_asked_for_in(queue: Queue) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def ask(value: str) -> None:
        variable.set(value)
        queue.later(1, func=lambda: seen.append(variable.get()))

    contextvars.copy_context().run(ask, "one")
    contextvars.copy_context().run(ask, "two")
    queue.turn(1)
    assert seen == ["one", "two"]
    assert variable.get() == "unset"


def test_a_call_that_raises_leaves_the_others(queue: Queue) -> None:
    queue.later(1, func=lambda: 1 / 0)
    queue.later(1, "b")
    with pytest.raises(ZeroDivisionError):
        queue.turn(1)
    assert queue.turn(1) == ["b"]


def test_calls_lists_the_active_ones_once(queue: Queue) -> None:
    kept, moved, cancelled = queue.later(1), queue.later(5), queue.later(3)
    moved.reset(2)
    cancelled.cancel()
    assert set(queue.timers.calls()) == {kept, moved}
    assert len(queue.timers.calls()) == 2


def test_clear_cancels_everything(queue: Queue) -> None:
    call = queue.later(1)
    queue.timers.clear()
    assert not call.active()
    assert queue.turn(2) == []
    with pytest.raises(AlreadyCancelled):
        call.cancel()


def test_what_is_held_never_becomes_due_and_can_be_cancelled_or_moved(queue: Queue) -> None:
    calls = [queue.later(delay, delay) for delay in (3, 1, 2)]
    calls[0].delay(1)
    gone = queue.later(1)
    gone.cancel()
    queue.timers.hold()
    assert queue.turn(1e9) == []
    assert all(call.active() for call in calls)
    calls[1].cancel()
    calls[2].reset(5)
    assert len(queue.timers) == 2
    assert queue.turn(1e9 + 5) == [2]
    queue.timers.clear()
    assert not calls[0].active()


def test_repr_says_what_and_when(queue: Queue) -> None:
    def wake_up() -> None: ...

    call = queue.later(1.5, func=wake_up)
    assert "wake_up" in repr(call)
    assert "1.500 s" in repr(call)
    call.cancel()
    assert "cancelled" in repr(call)
