"""The way back of results: how often the host is woken, and that none is left behind."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from asyncdb._core import JobState
from asyncdb._worker._call import NOTHING, Call
from asyncdb._worker._delivery import BATCH, TICK, Delivery
from netcore.defer import Deferred
from netcore.task import Clock


class Host:
    """A host whose thread does what it is told when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.seconds = self.clock.seconds
        self.asked: list[Callable[[], object]] = []  # by callFromThread

    def callFromThread(self, function: Callable[[], object]) -> None:
        self.asked.append(function)

    def turn(self) -> None:
        asked, self.asked = self.asked, []
        for function in asked:
            function()


class Results:
    """A delivery, its host, and what has been delivered."""

    def __init__(self) -> None:
        self.host: Any = Host()
        self.coming: list[bool] = []  # after each batch, whether the host comes by itself
        self.delivery = Delivery(self.host, "test", lambda connection: None, self._note)
        self.delivered: list[Any] = []

    def _note(self) -> None:
        self.coming.append(self.delivery.coming)

    def post(self, value: Any, plenty: bool = False) -> None:
        call = Call.__new__(Call)
        call.state, call.task, call.context = JobState.DONE, NOTHING, copy_context()
        call.deferred = Deferred()
        call.deferred.addCallback(self.delivered.append)
        self.delivery.post(call, value, plenty)

    def under_load(self) -> None:
        """Two results in one turn: from now on the host comes by itself, for a time."""
        self.post("a")
        self.post("b")
        self.host.turn()
        self.delivered.clear()


@pytest.fixture
def results() -> Results:
    return Results()


def test_one_wake_up_brings_all_that_were_posted_before_it(results: Results) -> None:
    for number in range(5):
        results.post(number)
    assert len(results.host.asked) == 1
    results.host.turn()
    assert results.delivered == list(range(5))


def test_a_result_alone_is_delivered_at_once_and_nothing_is_left_to_come(results: Results) -> None:
    results.post(1, plenty=True)
    results.host.turn()
    assert results.delivered == [1]
    assert results.host.clock.getDelayedCalls() == []


def test_each_result_alone_has_the_host_come(results: Results) -> None:
    for number in range(3):
        results.post(number, plenty=True)
        assert len(results.host.asked) == 1
        results.host.turn()
        assert results.host.clock.getDelayedCalls() == []
        results.host.clock.advance(TICK)
    assert results.delivered == [0, 1, 2]


def test_for_results_that_follow_each_other_closely_it_comes_by_itself(results: Results) -> None:
    for number in range(2):
        results.post(number, plenty=True)
        assert len(results.host.asked) == 1
        results.host.turn()
        results.host.clock.advance(0.9 * TICK)
    results.post(2, plenty=True)
    results.post(3, plenty=True)
    assert results.host.asked == []
    results.host.clock.advance(TICK)
    assert results.delivered == [0, 1, 2, 3]


def test_so_it_does_when_it_has_come_for_one_by_itself(results: Results) -> None:
    results.under_load()
    results.post(1, plenty=True)
    results.host.clock.advance(TICK)
    assert results.host.clock.getDelayedCalls() == []
    results.host.clock.advance(0.9 * TICK)
    results.post(2, plenty=True)
    results.host.turn()
    assert len(results.host.clock.getDelayedCalls()) == 1
    assert results.delivered == [1, 2]


def test_it_does_not_for_those_of_a_pool_with_little_to_do(results: Results) -> None:
    for number in range(3):
        results.post(number)
        results.host.turn()
        assert results.host.clock.getDelayedCalls() == []
    assert results.delivered == [0, 1, 2]


def test_nor_for_those_that_come_when_many_waited_before(results: Results) -> None:
    results.post(0, plenty=True)
    results.host.turn()
    results.post(1)
    results.host.turn()
    assert results.host.clock.getDelayedCalls() == []
    assert results.delivered == [0, 1]


def test_after_the_host_came_for_nothing_it_is_woken_again(results: Results) -> None:
    results.under_load()
    results.host.clock.advance(TICK)
    results.post(1, plenty=True)
    results.host.turn()
    assert results.delivered == [1]


def test_whoever_counts_on_the_host_that_comes_by_itself_hears_that_it_does_no_more(results: Results) -> None:
    results.under_load()
    assert results.coming == [True]
    results.host.clock.advance(TICK)  # for nothing
    assert results.coming == [True, False]


def test_while_there_is_plenty_to_do_the_host_comes_by_itself(results: Results) -> None:
    results.under_load()
    results.post(1, plenty=True)
    results.post(2, plenty=True)
    assert results.host.asked == []
    results.host.clock.advance(TICK)
    assert results.delivered == [1, 2]


def test_it_comes_for_as_long_as_there_are_several_results_each_time(results: Results) -> None:
    results.under_load()
    for count in (3, 2, 1, 0):
        for _ in range(count):
            results.post(count, plenty=True)
        results.host.clock.advance(TICK)
        assert results.delivered == [count] * count
        assert len(results.host.clock.getDelayedCalls()) == (count > 1)
        results.delivered.clear()
        if count == 1:  # nobody comes any more
            results.post(count, plenty=True)
            assert len(results.host.asked) == 1
            results.host.turn()
            results.delivered.clear()


def test_a_thread_that_may_soon_have_nothing_to_do_wakes_the_host(results: Results) -> None:
    results.under_load()
    results.post(1, plenty=True)
    results.post(2)
    results.host.turn()
    assert results.delivered == [1, 2]


def test_very_many_leave_others_a_turn_in_between(results: Results) -> None:
    for number in range(BATCH + 3):
        results.post(number)
    results.host.turn()
    assert len(results.delivered) == BATCH
    results.host.turn()
    assert results.delivered == list(range(BATCH + 3))


def test_the_end_delivers_what_is_there_and_leaves_no_timer(results: Results) -> None:
    results.under_load()
    results.post(1, plenty=True)
    results.host.callLater = None  # the reactor may have been disposed of
    results.delivery.end()
    assert results.delivered == [1]
    assert results.host.clock.getDelayedCalls() == []


def test_the_end_may_come_after_that_of_the_reactor_which_has_cancelled_its_timers(results: Results) -> None:
    results.under_load()
    results.post(1, plenty=True)
    (tick,) = results.host.clock.getDelayedCalls()
    tick.cancel()
    results.delivery.end()
    assert results.delivered == [1]


class Interrupted:
    """A context, as a call has one, in which a signal comes."""

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        raise KeyboardInterrupt


def test_a_signal_that_ends_a_turn_leaves_the_others_their_results(results: Results) -> None:
    results.post(1)
    results.post(2)
    call: Any = results.delivery.results[0][0]
    call.context = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        results.host.turn()
    results.host.turn()
    assert results.delivered == [2]


def test_so_does_one_that_comes_before_the_first_is_delivered(results: Results) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    delivery: Any = results.delivery
    results.post(1)
    results.post(2)
    later, delivery._call_later = delivery._call_later, interrupted
    with pytest.raises(KeyboardInterrupt):
        results.host.turn()
    delivery._call_later = later
    results.host.turn()
    assert results.delivered == [1, 2]
