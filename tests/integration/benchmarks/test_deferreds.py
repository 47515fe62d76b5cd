"""What the scenario of Deferreds does in its process: with netcore and asyncio; Twisted is done as netcore is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from benchmarks.systems.deferreds.batch import BATCH, Stopwatch
from benchmarks.systems.deferreds.comparison import Deferreds, Futures, Library, in_callback, time_in_turns
from benchmarks.systems.deferreds.memory import KINDS, Kind
from benchmarks.systems.deferreds.operations import OPERATIONS, Operation
from netcore import defer

IN_ASYNCIO = [name for name, operation in OPERATIONS.items() if operation.futures is not None]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that nothing is reported to."""
    reported: list[dict[str, Any]] = []
    with closing(asyncio.new_event_loop()) as loop:
        loop.set_exception_handler(lambda _, context: reported.append(context))
        yield loop
        assert not asyncio.all_tasks(loop)
    assert reported == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_done_with_deferreds(name: str, loop: asyncio.AbstractEventLoop) -> None:
    assert Deferreds("netcore", defer).time(OPERATIONS[name], loop) > 0


@pytest.mark.parametrize("name", IN_ASYNCIO)
def test_an_operation_that_asyncio_has_is_done_with_futures(name: str, loop: asyncio.AbstractEventLoop) -> None:
    assert Futures("asyncio").time(OPERATIONS[name], loop) > 0


@pytest.mark.parametrize("in_loop", [True, False])
def test_deferreds_are_timed_in_the_surroundings_that_the_operation_names(
    in_loop: bool, loop: asyncio.AbstractEventLoop
) -> None:
    running = []

    def done(library: Any, stopwatch: Stopwatch) -> None:
        running.append(asyncio._get_running_loop())
        if in_loop:
            assert asyncio.current_task() is None
        with stopwatch:
            pass

    Deferreds("netcore", defer).time(Operation(done, in_loop=in_loop), loop)
    assert running == [loop if in_loop else None]


def test_an_operation_that_fails_voids_the_run(loop: asyncio.AbstractEventLoop) -> None:
    def fail() -> None:
        raise AssertionError("not all was delivered")

    with pytest.raises(AssertionError, match="not all was delivered"):
        in_callback(loop, fail)


def test_an_operation_that_times_nothing_voids_the_run(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(AssertionError, match="nothing was timed"):
        Deferreds("netcore", defer).time(Operation(lambda library, stopwatch: None), loop)


class Recording(Library):
    """Writes down when it is asked; each batch takes less time than the one before."""

    def __init__(self, name: str, asked: list[str]) -> None:
        super().__init__(name)
        self._asked = asked

    def has(self, operation: Operation) -> bool:
        return True

    def time(self, operation: Operation, loop: asyncio.AbstractEventLoop) -> float:
        self._asked.append(self.name)
        return 100.0 - len(self._asked)

    def size(self, kind: Kind, loop: asyncio.AbstractEventLoop) -> float:
        return 1.0


def test_libraries_take_turns_in_every_order_and_the_least_counts(loop: asyncio.AbstractEventLoop) -> None:
    asked: list[str] = []
    libraries = [Recording(name, asked) for name in "abc"]
    least = time_in_turns(libraries, OPERATIONS["succeed + callback"], 6, loop)
    assert {"".join(asked[at : at + 3]) for at in range(0, 18, 3)} == {"abc", "acb", "bac", "bca", "cab", "cba"}
    assert least == {"c": 84.0, "b": 83.0, "a": 82.0}


@pytest.mark.parametrize("library", [Deferreds("netcore", defer), Futures("asyncio")], ids=lambda library: library.name)
def test_what_holds_more_weighs_more(library: Library, loop: asyncio.AbstractEventLoop) -> None:
    bare, one, three, suspended = (library.size(kind, loop) for kind in KINDS.values())
    assert 0 < bare <= one < three
    assert suspended > bare


def test_the_stopwatch_divides_by_the_operations_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5_000, 5_000 + 7 * BATCH])
    monkeypatch.setattr("benchmarks.systems.deferreds.batch.perf_counter_ns", lambda: next(times))
    stopwatch = Stopwatch()
    with stopwatch:
        pass
    assert stopwatch.per_operation == 7
