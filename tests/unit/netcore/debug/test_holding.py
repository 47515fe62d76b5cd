"""When a callback counts as one that holds its loop."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from netcore._timers import DelayedCall
from netcore.debug._holding import Judge, base_of, callback_in, frames_above
from netcore.defer._chain import run_on
from netcore.reactors._selector import DirectSelector
from netcore.reactors._threadcalls import ThreadCalls
from netcore.reactors._turns import Turns


def reported(judge: Judge, samples: list[tuple[float, object]]) -> list[tuple[float, object, float]]:
    found = []
    for now, token in samples:
        held = judge.sample(now, token)
        if held is not None:
            found.append((now, token, held))
    return found


def test_an_activation_seen_for_as_long_as_the_threshold_is_reported_once() -> None:
    samples = [(second / 10, "a") for second in range(50)]
    assert reported(Judge(1.0), samples) == [(1.0, "a", 1.0)]


def test_two_samples_are_enough() -> None:
    assert reported(Judge(1.0), [(5.0, "a"), (9.0, "a")]) == [(9.0, "a", 4.0)]


def test_less_than_the_threshold_is_not_reported() -> None:
    assert reported(Judge(1.0), [(0.0, "a"), (0.99, "a"), (1.0, "b")]) == []


def test_many_short_ones_are_not_reported() -> None:
    assert reported(Judge(1.0), [(second / 10, f"call {second}") for second in range(100)]) == []


def test_what_ran_before_and_after_another_did_not_run_all_the_time() -> None:
    assert reported(Judge(1.0), [(0.0, "a"), (0.6, "b"), (1.2, "a"), (2.0, "a")]) == []


def test_an_idle_loop_begins_anew() -> None:
    assert reported(Judge(1.0), [(0.0, None), (5.0, None), (5.5, "a"), (6.0, None), (6.4, "a"), (7.0, "a")]) == []


def test_the_second_that_holds_is_reported_too() -> None:
    assert [token for _, token, _ in reported(Judge(1.0), [(0, "a"), (1, "a"), (2, "b"), (3, "b"), (4, "b")])] == [
        "a",
        "b",
    ]


def test_what_was_cleared_is_forgotten() -> None:
    judge = Judge(1.0)
    judge.sample(0.0, "a")
    judge.clear()
    assert judge.sample(2.0, "a") is None


def test_what_nobody_could_look_at_is_reported_with_what_stands_there_then() -> None:
    judge = Judge(1.0)
    judge.look(0.0, 100.0)
    unseen = judge.unseen(0.1, 3.0, 102.9)
    assert unseen == pytest.approx(2.9)
    assert judge.sample(3.0, "a", unseen) == unseen
    assert judge.sample(9.0, "a") is None  # once
    assert judge.sample(9.1, "b") is None


def test_it_is_reported_if_nothing_stands_there_any_more() -> None:
    judge = Judge(1.0)
    assert judge.sample(3.0, None, 2.9) == 2.9
    assert judge.sample(3.1, None) is None
    assert judge.sample(6.0, None, 2.8) == 2.8


def test_what_was_seen_before_has_run_since_then() -> None:
    judge = Judge(1.0)
    judge.sample(0.0, "a")
    assert judge.sample(3.0, "a", 2.9) == 3.0


def test_a_thread_that_did_not_use_the_processor_held_nothing() -> None:
    judge = Judge(1.0)
    judge.look(0.0, 100.0)
    assert judge.unseen(0.1, 3.0, 100.2) == pytest.approx(0.2)  # it waited, or the process was stopped
    assert judge.sample(3.0, "a", 0.2) is None


def test_who_looks_in_time_has_missed_nothing() -> None:
    judge = Judge(1.0)
    judge.look(0.0, 100.0)
    assert judge.unseen(3.0, 3.0, 103.0) == 0.0
    assert judge.unseen(3.0, 2.0, 102.0) == 0.0


def test_what_ran_before_the_turn_began_does_not_count() -> None:
    judge = Judge(1.0)
    judge.look(0.0, 100.0)
    judge.look(2.5, 102.5)  # the beat
    assert judge.unseen(0.1, 3.0, 103.0) == 0.5


def test_without_a_clock_nothing_is_known() -> None:
    judge = Judge(1.0)
    assert judge.unseen(0.1, 3.0, 103.0) == 0.0  # no look before
    judge.look(0.0, None)
    assert judge.unseen(0.1, 3.0, 103.0) == 0.0
    judge.look(0.0, 100.0)
    assert judge.unseen(0.1, 3.0, None) == 0.0


# Stacks, as they are


def seen_in_a_callback(loop: asyncio.AbstractEventLoop) -> tuple[list[FrameType], list[FrameType]]:
    """What is found in two activations of one callback in one turn."""
    tokens: list[list[FrameType]] = []

    def callback() -> None:
        def inner() -> None:
            frames: list[FrameType] = []
            frames_above(sys._getframe(), base[0], frames)
            found = callback_in(frames)
            assert found is not None
            end, start = found
            names.append([frame.f_code.co_name for frame in frames[start:]])
            tokens.append(frames[:end])

        inner()

    def beat() -> None:
        base.append(base_of(sys._getframe()))

    base: list[int] = []
    names: list[list[str]] = []
    loop.call_soon(beat)
    loop.call_soon(callback)
    loop.call_soon(callback)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert names == [["callback", "inner"]] * 2
    first, second = tokens
    return first, second


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_two_activations_of_one_function_differ(name: str) -> None:
    from netcore.reactors._names import new_loop

    loop = new_loop(name)
    try:
        first, second = seen_in_a_callback(loop)
    finally:
        loop.close()
    assert first != second
    first.clear()
    second.clear()


def test_a_thread_that_runs_no_loop_runs_no_callback() -> None:
    frames: list[FrameType] = []
    frames_above(sys._getframe(), 0, frames)
    assert frames == []
    assert callback_in(frames) is None


def stack_of(*functions: Any) -> list[FrameType]:
    """Frames, as far as `callback_in` looks at them."""
    return [cast("FrameType", SimpleNamespace(f_code=function.__code__)) for function in functions]


BELOW = (asyncio.BaseEventLoop._run_once, asyncio.Handle._run)  # type: ignore[attr-defined]  # typeshed


@pytest.mark.parametrize(
    "function", [run_on, ThreadCalls.drain, Turns._run_timers, DirectSelector._dispatch], ids=lambda one: one.__name__
)
def test_what_makes_one_call_after_another_is_no_callback_itself(function: Any) -> None:
    assert callback_in(stack_of(*BELOW, function)) is None
    assert callback_in(stack_of(*BELOW, function, stack_of)) == (4, 3)  # what it calls is


def test_what_makes_one_call_is_its_callback_where_that_has_no_frames() -> None:
    assert callback_in(stack_of(*BELOW)) == (2, 1)
    assert callback_in(stack_of(*BELOW, Turns._run_timers, DelayedCall.call)) == (4, 3)


def test_a_loop_that_only_runs_itself_runs_no_callback() -> None:
    def frame_of(function: str) -> FrameType | None:
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code.co_name != function:
            frame = frame.f_back
        return frame

    loop = asyncio.SelectorEventLoop()
    seen: list[object] = []

    def look() -> None:
        frames: list[FrameType] = []
        frames_above(frame_of("_run_once"), 0, frames)
        seen.append([frame.f_code.co_name for frame in frames])
        seen.append(callback_in(frames))
        frames.clear()

    loop.call_soon(look)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert seen == [["_run_once"], None]
