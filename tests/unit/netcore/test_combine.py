"""race, and what DeferredList and gatherResults tell. (What else lists do is in test_deferred.py.)"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import (
    FAILURE,
    SUCCESS,
    CancelledError,
    Deferred,
    DeferredList,
    FailureGroup,
    FirstError,
    ensureDeferred,
    fail,
    gatherResults,
    race,
    succeed,
)
from netcore.failure import Failure
from tests.support.guard import Logged


def outcome_of(d: Deferred[Any]) -> Any:
    """What *d* has now, a Failure as its exception."""
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "the Deferred has no result"
    return seen[0].value if isinstance(seen[0], Failure) else seen[0]


class TestRace:
    def test_the_first_result_wins_and_the_others_are_cancelled(self) -> None:
        cancelled: list[Any] = []
        ds = [Deferred(cancelled.append) for _ in range(3)]
        first = race(ds)
        ds[1].callback("there")
        assert outcome_of(first) == (1, "there")
        assert cancelled == [ds[0], ds[2]]
        assert [d.result for d in ds] == [None, None, None]

    def test_a_failure_does_not_end_it(self) -> None:
        ds: list[Deferred[str]] = [Deferred(), Deferred()]
        first = race(ds)
        ds[0].errback(KeyError("k"))
        assert not first.called
        ds[1].callback("there")
        assert outcome_of(first) == (1, "there")

    def test_if_all_fail_it_fails_with_all_failures_in_order(self) -> None:
        ds: list[Deferred[str]] = [Deferred(), Deferred()]
        first = race(ds)
        ds[1].errback(ValueError("second"))
        ds[0].errback(KeyError("first"))
        error = outcome_of(first)
        assert isinstance(error, FailureGroup)
        assert [failure.type for failure in error.failures] == [KeyError, ValueError]
        assert str(error) == "all 2 failed: KeyError: 'first'; ValueError: second"

    def test_one_that_has_fired_wins_at_once(self) -> None:
        cancelled: list[Any] = []
        waiting: Deferred[int] = Deferred(cancelled.append)
        assert outcome_of(race([waiting, succeed(2), succeed(3)])) == (1, 2)
        assert cancelled == [waiting]

    def test_cancelling_it_cancels_all(self) -> None:
        cancelled: list[Any] = []
        ds = [Deferred(cancelled.append) for _ in range(2)]
        first = race(ds)
        first.cancel()
        assert cancelled == ds
        error = outcome_of(first)
        assert isinstance(error, FailureGroup)
        assert [failure.type for failure in error.failures] == [CancelledError] * 2

    def test_a_canceller_that_has_a_result_wins_the_cancelled_race(self) -> None:
        ds: list[Deferred[str]] = [Deferred(), Deferred(lambda d: d.callback("partial"))]
        first = race(ds)
        first.cancel()
        assert outcome_of(first) == (1, "partial")

    def test_a_canceller_that_has_a_result_too_comes_too_late(self) -> None:
        ds: list[Deferred[str]] = [Deferred(), Deferred(lambda d: d.callback("too late"))]
        first = race(ds)
        ds[0].callback("there")
        assert outcome_of(first) == (0, "there")

    def test_a_canceller_that_cancels_the_race_does_no_harm(self) -> None:
        ds: list[Deferred[str]] = [Deferred(), Deferred(lambda _: first.cancel())]
        first = race(ds)
        ds[0].callback("there")
        assert outcome_of(first) == (0, "there")

    def test_a_canceller_that_fires_the_race_decides_it(self) -> None:
        ds: list[Deferred[str]] = [Deferred(), Deferred(lambda _: first.callback((7, "other")))]
        first = race(ds)
        ds[0].callback("there")
        assert outcome_of(first) == (7, "other")

    def test_afterwards_cancelling_goes_to_what_it_waits_for(self) -> None:
        cancelled: list[Any] = []
        ds: list[Deferred[str]] = [Deferred(), Deferred()]
        waited: Deferred[None] = Deferred(cancelled.append)
        first = race(ds).addCallback(lambda _: waited)
        ds[0].callback("there")
        first.cancel()
        assert cancelled == [waited]
        assert isinstance(outcome_of(first), CancelledError)

    def test_of_nothing_it_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one Deferred"):
            race([])

    def test_it_takes_any_iterable(self) -> None:
        assert outcome_of(race(succeed(number) for number in range(3))) == (0, 0)

    def test_it_leaves_no_garbage(self) -> None:
        gc.collect()
        ds: list[Deferred[str]] = [Deferred(), Deferred(), fail(KeyError("k"))]
        first = race(ds)
        ds[1].callback("there")
        assert outcome_of(first) == (1, "there")
        first = race([fail(KeyError("k"))])
        assert isinstance(outcome_of(first), FailureGroup)
        del ds, first
        assert gc.collect() == 0


class TestLists:
    def test_resultlist_and_finishedcount_tell_how_far_it_is(self) -> None:
        ds: list[Deferred[int]] = [Deferred(), Deferred(), Deferred()]
        collected = DeferredList(ds, consumeErrors=True)
        assert collected.resultList == [None, None, None]
        ds[2].callback(3)
        failure = Failure(KeyError("k"))
        ds[0].errback(failure)
        assert collected.resultList == [(FAILURE, failure), None, (SUCCESS, 3)]
        assert collected.finishedCount == 2
        ds[1].callback(2)
        assert outcome_of(collected) is collected.resultList

    def test_what_comes_after_it_fired_is_still_collected(self) -> None:
        ds: list[Deferred[int]] = [Deferred(), Deferred()]
        collected = DeferredList(ds, fireOnOneCallback=True)
        ds[1].callback(2)
        assert outcome_of(collected) == (2, 1)
        ds[0].callback(1)
        assert collected.resultList == [(SUCCESS, 1), (SUCCESS, 2)]

    @pytest.mark.parametrize("consume", [True, False])
    def test_gatherresults_leaves_the_failures_unless_told_to_consume_them(self, consume: bool) -> None:
        ds: list[Deferred[int]] = [Deferred(), Deferred()]
        gathered = gatherResults(ds, consumeErrors=consume)
        ds[0].errback(KeyError("k"))
        ds[1].errback(ValueError("v"))
        outcome_of(gathered)
        assert [type(outcome_of(d)) for d in ds] == ([type(None)] * 2 if consume else [KeyError, ValueError])

    @pytest.mark.parametrize(("flags", "fires"), [({}, True), ({"fireOnOneErrback": True}, True)])
    def test_of_an_empty_list_it_fires_at_once(self, flags: dict[str, bool], fires: bool) -> None:
        assert outcome_of(DeferredList([], **flags)) == []

    def test_the_first_of_an_empty_list_never_comes(self) -> None:
        assert not DeferredList([], fireOnOneCallback=True).called


@pytest.mark.parametrize("several", [lambda d: DeferredList([d], consumeErrors=True), lambda d: race([d])])
def test_cancelling_many_within_each_other_needs_no_stack(several: Callable[[Deferred[Any]], Deferred[Any]]) -> None:
    innermost: Deferred[Any] = Deferred()
    outer = innermost
    for _ in range(10_000):
        outer = several(outer)
    outer.cancel()
    outer.addErrback(lambda _: None)
    assert innermost.called
    assert outer.called


def test_a_first_error_that_nobody_handled_is_reported_with_the_traceback_of_what_failed(logged: Logged) -> None:
    def parse(text: str) -> int:
        return int(text)

    gatherResults([succeed("no number").addCallback(parse)], consumeErrors=True)
    (record,) = logged.take(FirstError)
    text = logging.Formatter().format(record)
    assert "in parse\n    return int(text)" in text
    assert "direct cause" in text


def test_one_met_again_that_waits_for_something_new_is_cancelled_again() -> None:
    retry: Deferred[str] = Deferred()
    first: Deferred[str] = Deferred()
    first.addErrback(lambda failure: retry)
    together = gatherResults([DeferredList([first], consumeErrors=True), first], consumeErrors=True)
    together.cancel()
    assert retry.called
    assert together.called


def test_a_coroutine_met_again_that_waits_for_something_new_is_cancelled_again() -> None:
    seen: list[str] = []

    async def stubborn() -> None:
        for attempt in ("first", "second"):
            try:
                await Deferred()
            except CancelledError:
                seen.append(attempt)

    one = ensureDeferred(stubborn())
    together = gatherResults([DeferredList([one]), gatherResults([one])])
    together.cancel()
    assert seen == ["first", "second"]
    assert one.called


def test_those_that_wait_for_each_other_can_be_cancelled() -> None:
    one, other = Deferred[Any](), Deferred[Any]()
    together = gatherResults([one, other, Deferred()], consumeErrors=True)
    one.addCallback(lambda _: together)
    other.addCallback(lambda _: one)
    one.callback(None)
    other.callback(None)
    other.cancel()
    assert isinstance(outcome_of(other), FirstError), "the third was cancelled"


def test_a_coroutine_that_begins_anew_whenever_it_is_cancelled_ends_no_cancel() -> None:
    parts: list[Deferred[Any]] = []

    async def begins_anew() -> None:
        while len(parts) < 100:
            parts.append(Deferred())
            try:
                await gatherResults([parts[-1], around], consumeErrors=True)
            except (CancelledError, FirstError):
                pass

    started: Deferred[None] = Deferred()
    beginning = started.addCallback(lambda _: ensureDeferred(begins_anew()))
    around = DeferredList([beginning], consumeErrors=True)
    started.callback(None)
    beginning.cancel()
    assert [part.called for part in parts] == [True, False]


def test_a_list_of_many_that_are_in_it_again_and_again_is_cancelled_in_a_few_steps() -> None:
    slow: Deferred[Any] = Deferred()
    slow.callback(None)
    slow.pause()
    last: Deferred[Any] = DeferredList([slow, slow])
    for _ in range(60):  # 2 ** 60 ways lead to the first
        last = DeferredList([last, last])
    last.cancel()
    slow.unpause()
    assert last.called


async def something() -> None:
    pass


@pytest.mark.parametrize("several", [gatherResults, DeferredList, race])
@pytest.mark.parametrize(
    "make",
    [lambda loop: something(), lambda loop: loop.create_future(), lambda loop: 1, lambda loop: None],
    ids=["coroutine", "future", "value", "None"],
)
def test_of_deferreds_only(several: Callable[[list[Any]], Any], make: Callable[[Any], Any]) -> None:
    before: Deferred[int] = Deferred()
    with asyncio.Runner() as runner:
        wrong = make(runner.get_loop())
        with pytest.raises(TypeError, match=r"ensureDeferred.*fromFuture"):
            several([before, wrong, Deferred()])
    assert before._first is None, "nothing was done"
    if asyncio.iscoroutine(wrong):
        wrong.close()
