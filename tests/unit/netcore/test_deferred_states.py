"""The Deferred's state machine, walked through for every pair of state and operation.

deferred_states.txt says what happens. Each line is one state and one operation, and then

- what the Deferred becomes, with the number of pauses, if there are any; or what the operation raises, which leaves it
  as it was;
- what the operation's own callback, coroutine, or other Deferred is told;
- what a callback sees that is added next.

What is told and seen only when the Deferred is let go afterwards stands in parentheses: it is unpaused, and fired with
"value", or what it waits for with "inner".

asyncio's CancelledError is told by its full name, with its message. The loop of Tasks and futures has its turns within
an operation, and when the Deferred is let go; it does not run while callbacks do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from netcore.defer import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    ensureDeferred,
    gatherResults,
    inlineCallbacks,
    succeed,
)
from netcore.defer._chain import CHAINED, FAILED, FIRED, PENDING, RUNNING
from netcore.failure import Failure
from netcore.task import Clock

NAMES = {PENDING: "pending", FIRED: "fired", FAILED: "failed", RUNNING: "running", CHAINED: "chained"}

TABLE = [
    re.split(" {2,}", line)
    for line in Path(__file__).with_suffix(".txt").with_stem("deferred_states").read_text().splitlines()[1:]
    if line
]


def said(result: Any) -> str:
    if isinstance(result, Failure):
        result = result.value
    if isinstance(result, list):
        return f"[{said(result[0])}]"
    if isinstance(result, asyncio.CancelledError):
        return f"asyncio.CancelledError({', '.join(result.args)})"
    return type(result).__name__ if isinstance(result, BaseException) else str(result)


class Case:
    """A Deferred, the one it may wait for, and what was told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.inner: Deferred[Any] = Deferred()
        self.deferred: Deferred[Any] = Deferred()
        self.others: list[Deferred[Any]] = []
        self.told: list[str] = []
        self.becomes = ""

    def tell(self, result: Any) -> str:
        self.told.append(said(result))
        return "told"

    def tell_from(self, other: Deferred[Any]) -> None:
        self.others.append(other)
        other.addBoth(self.tell)

    def tell_from_future(self, future: asyncio.Future[Any]) -> None:
        def done(future: asyncio.Future[Any]) -> None:
            try:
                self.tell(future.result())
            except (asyncio.CancelledError, CancelledError, KeyError) as error:
                self.tell(error)

        future.add_done_callback(done)
        self.turn()

    def turn(self) -> None:
        """Let the loop run what is ready, and what that makes ready."""
        for _ in range(3):
            self.loop.run_until_complete(asyncio.sleep(0))

    def state(self) -> str:
        paused = self.deferred.paused
        return NAMES[self.deferred._state] + (f" ({paused})" if paused else "")

    def do(self, operation: str) -> None:
        before = self.state()
        try:
            OPERATIONS[operation](self)
        except (AlreadyCalledError, RuntimeError) as error:
            self.becomes = type(error).__name__
            assert self.state() == before, "what is refused leaves it as it was"
        else:
            self.becomes = self.state()

    def let_go(self) -> None:
        while self.deferred.paused:
            self.deferred.unpause()
        if not self.deferred.called:
            self.deferred.callback("value")
        if not self.inner.called:
            self.inner.callback("inner")
        self.turn()
        for one in [self.deferred, *self.others]:
            one.addErrback(lambda failure: None)  # the guard of the suite wants every failure to be somebody's


# ------------------------------------------------------------------------------------------------------------- states


def pending(case: Case, operation: str) -> None:
    case.do(operation)


def fired(case: Case, operation: str) -> None:
    case.deferred.callback("value")
    case.do(operation)


def failed(case: Case, operation: str) -> None:
    case.deferred.errback(KeyError())
    case.do(operation)


def running(case: Case, operation: str) -> None:
    """It is met only from inside a callback; *then* is what comes after that one, which returns "inside"."""

    def inside(result: str) -> str:
        case.do(operation)
        return "inside"

    case.deferred.addCallback(inside)
    case.deferred.callback("value")


def chained(case: Case, operation: str) -> None:
    case.deferred.addCallback(lambda result: case.inner)
    case.deferred.callback("value")
    case.do(operation)


def cancelled(case: Case, operation: str) -> None:
    """Without a canceller: one more result may come, and is dropped."""
    case.deferred.cancel()
    case.do(operation)


def cancelled_and_handled(case: Case, operation: str) -> None:
    case.deferred.addErrback(lambda failure: "handled")
    case.deferred.cancel()
    case.do(operation)


State = Callable[[Case, str], None]


def paused(state: State) -> State:
    def paused(case: Case, operation: str) -> None:
        case.deferred.pause()
        state(case, operation)

    return paused


def paused_within(case: Case, operation: str) -> None:
    def inside(result: str) -> str:
        case.deferred.pause()
        case.do(operation)
        return "inside"

    case.deferred.addCallback(inside)
    case.deferred.callback("value")


def chained_then_paused(case: Case, operation: str) -> None:
    case.deferred.addCallback(lambda result: case.inner)
    case.deferred.callback("value")
    case.deferred.pause()
    case.do(operation)


STATES: dict[str, State] = {
    "pending": pending,
    "pending, paused": paused(pending),
    "fired": fired,
    "fired, paused": paused(fired),
    "failed": failed,
    "failed, paused": paused(failed),
    "running": running,
    "running, paused": paused_within,
    "chained": chained,
    "chained, paused": chained_then_paused,
    "cancelled": cancelled,
    "cancelled, paused": paused(cancelled),
    "cancelled, handled": cancelled_and_handled,
}

# ----------------------------------------------------------------------------------------------------------- operations


def time_out(case: Case) -> None:
    clock = Clock()
    case.deferred.addTimeout(1, clock)
    clock.advance(1)


def await_it(case: Case) -> None:
    async def waits() -> Any:
        return await case.deferred

    case.tell_from(ensureDeferred(waits()))


def yield_it(case: Case) -> None:
    @inlineCallbacks
    def waits() -> Any:
        return (yield case.deferred)

    case.tell_from(waits())


def chain(case: Case) -> None:
    other: Deferred[Any] = Deferred()
    case.tell_from(other)
    case.deferred.chainDeferred(other)


def cancel_what_awaits_it(case: Case) -> None:
    async def waits() -> Any:
        return await case.deferred

    waiting = ensureDeferred(waits())
    case.tell_from(waiting)
    waiting.cancel()


def cancel_the_task_of_what_awaits_it(case: Case) -> None:
    """The current task of netcore's coroutine, which `asyncio.timeout` cancels."""
    tasks: list[asyncio.Task[Any]] = []

    async def waits() -> Any:
        tasks.extend(filter(None, [asyncio.current_task()]))
        try:
            return await case.deferred
        except asyncio.CancelledError as error:
            return error

    async def begin() -> None:
        case.tell_from(ensureDeferred(waits()))
        tasks[0].cancel("because")

    case.loop.run_until_complete(begin())
    case.turn()


def await_it_in_a_task(case: Case) -> asyncio.Task[Any]:
    async def waits() -> Any:
        return await case.deferred

    task = case.loop.create_task(waits())
    case.tell_from_future(task)
    return task


def cancel_a_task_that_awaits_it(case: Case) -> None:
    await_it_in_a_task(case).cancel("because")
    case.turn()


def as_future(case: Case) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = case.deferred.asFuture(case.loop)
    case.tell_from_future(future)
    return future


def cancel_its_future(case: Case) -> None:
    as_future(case).cancel("because")
    case.turn()


OPERATIONS: dict[str, Callable[[Case], object]] = {
    "callback": lambda case: case.deferred.callback("late"),
    "errback": lambda case: case.deferred.errback(ZeroDivisionError()),
    "cancel": lambda case: case.deferred.cancel(),
    "pause": lambda case: case.deferred.pause(),
    "unpause": lambda case: case.deferred.unpause(),
    "addCallback": lambda case: case.deferred.addCallback(case.tell),
    "addErrback": lambda case: case.deferred.addErrback(case.tell),
    "addCallbacks": lambda case: case.deferred.addCallbacks(case.tell, case.tell),
    "addBoth": lambda case: case.deferred.addBoth(case.tell),
    "chainDeferred": chain,
    "addTimeout": time_out,
    "await": await_it,
    "yield": yield_it,
    "await, cancelled": cancel_what_awaits_it,
    "await, task cancelled": cancel_the_task_of_what_awaits_it,
    "Task awaits": await_it_in_a_task,
    "Task awaits, cancelled": cancel_a_task_that_awaits_it,
    "asFuture": as_future,
    "asFuture, cancelled": cancel_its_future,
    "returned": lambda case: case.tell_from(succeed(None).addCallback(lambda _: case.deferred)),
    "gathered": lambda case: case.tell_from(gatherResults([case.deferred], consumeErrors=True)),
    "inner fires": lambda case: case.inner.callback("inner"),
}

# ---------------------------------------------------------------------------------------------------------------- tests


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def walk(state: str, operation: str, loop: asyncio.AbstractEventLoop) -> list[str]:
    """A line of the table, as it comes out."""
    case = Case(loop)
    STATES[state](case, operation)
    told, seen = case.told, list[str]()
    at_once = list(told)
    case.deferred.addBoth(lambda result: seen.append(said(result)))
    seen_at_once = list(seen)
    case.let_go()

    def when(words: list[str], at_once: list[str]) -> str:
        assert at_once in ([], words), "nothing is told in two parts"
        return " ".join(words) if words == at_once else f"({' '.join(words)})"

    return [state, operation, case.becomes, when(told, at_once) or "-", when(seen, seen_at_once) or "-"]


def test_the_table_has_every_pair_of_state_and_operation() -> None:
    assert [(state, operation) for state, operation, *_ in TABLE] == list(product(STATES, OPERATIONS))


@pytest.mark.parametrize("line", TABLE, ids=lambda line: f"{line[0]}-{line[1]}")
def test_every_operation_in_every_state_does_what_the_table_says(
    line: list[str], loop: asyncio.AbstractEventLoop
) -> None:
    assert walk(line[0], line[1], loop) == line


def test_a_cancelled_deferred_drops_one_result_and_refuses_the_next() -> None:
    d: Deferred[str] = Deferred()
    seen: list[Any] = []
    d.addErrback(seen.append)
    d.cancel()
    d.callback("too late")
    with pytest.raises(AlreadyCalledError):
        d.callback("twice")
    assert [failure.type for failure in seen] == [CancelledError]
