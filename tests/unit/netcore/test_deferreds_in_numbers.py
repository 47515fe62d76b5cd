"""Deferreds in numbers: long chains need no stack, and what is done with leaves nothing behind.

tests/unit/netcore/test_deferred.py has 100,000 in one chain, test_coroutines.py 100,000 ``yield`` and ``await`` of what
is there already.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    ensureDeferred,
    fail,
    gatherResults,
    inlineCallbacks,
    race,
    succeed,
)
from netcore.failure import Failure

MANY = 100_000

# --------------------------------------------------------------------------------------------------------------- chains


def result_of(d: Deferred[Any]) -> Any:
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "the Deferred has no result"
    return seen[0].type if isinstance(seen[0], Failure) else seen[0]


def returned(inner: Deferred[Any]) -> Deferred[Any]:
    return succeed(None).addCallback(lambda _: inner)


def awaited(inner: Deferred[Any]) -> Deferred[Any]:
    async def waits() -> Any:
        return await inner

    return ensureDeferred(waits())


@inlineCallbacks
def yielded(inner: Deferred[Any]) -> Any:
    return (yield inner)


def gathered(inner: Deferred[Any]) -> Deferred[Any]:
    return gatherResults([inner], consumeErrors=True).addCallback(lambda results: results[0])


Link = Callable[[Deferred[Any]], Deferred[Any]]
LINKS: list[Link] = [returned, awaited, yielded, gathered]


@pytest.mark.parametrize("link", LINKS)
def test_a_result_goes_through_a_long_chain_without_a_stack(link: Link) -> None:
    first: Deferred[Any] = Deferred()
    last = first
    for _ in range(MANY):
        last = link(last)
    first.callback("end")
    assert result_of(last) == "end"


@pytest.mark.parametrize("link", [returned, awaited, yielded])
@pytest.mark.parametrize("fire", [lambda first, last: first.errback(KeyError()), lambda first, last: last.cancel()])
def test_a_failure_and_a_cancel_go_through_a_long_chain_without_a_stack(link: Link, fire: Any) -> None:
    first: Deferred[Any] = Deferred()
    last = first
    for _ in range(MANY // 10):  # each adds its line to the traceback
        last = link(last)
    fire(first, last)
    assert result_of(last) in (KeyError, CancelledError)


def test_a_long_chain_of_all_kinds_needs_no_stack() -> None:
    first: Deferred[Any] = Deferred()
    last = first
    for number in range(MANY):
        last = LINKS[number % len(LINKS)](last)
    first.callback("end")
    assert result_of(last) == "end"


def test_a_long_chain_that_has_its_result_already_needs_no_stack() -> None:
    last: Deferred[Any] = succeed("end")
    for number in range(MANY):
        last = LINKS[number % len(LINKS)](last)
    assert result_of(last) == "end"


@pytest.mark.parametrize("fired", [True, False])
def test_a_task_that_awaits_many_in_turn_needs_no_stack(fired: bool) -> None:
    count = MANY if fired else MANY // 10

    async def main() -> int:
        loop = asyncio.get_running_loop()
        total = 0
        for _ in range(count):
            d: Deferred[int] = Deferred()
            if fired:
                d.callback(1)
            else:
                loop.call_soon(d.callback, 1)
            total += await d
        return total

    with asyncio.Runner() as runner:
        assert runner.run(main()) == count


# -------------------------------------------------------------------------------------------------------------- garbage


def ignore(result: Any) -> None:
    pass


def just_fired() -> None:
    Deferred[int]().callback(1)


def with_callbacks() -> None:
    d: Deferred[int] = Deferred()
    d.addCallback(ignore).addErrback(ignore).addBoth(ignore)
    d.callback(1)


def never_fired() -> None:
    Deferred[int]().addCallback(ignore)


def failed_and_handled() -> None:
    d: Deferred[int] = Deferred()
    d.addErrback(ignore)
    d.errback(KeyError())


def raised_and_handled() -> None:
    def explode(result: Any) -> None:
        raise KeyError

    d: Deferred[int] = Deferred()
    d.addCallback(explode).addErrback(ignore)
    d.callback(1)


def let_pass_by_trap(adding: str) -> None:
    def not_mine(failure: Any) -> None:
        failure.trap(ZeroDivisionError)

    d: Deferred[int] = Deferred()
    getattr(d, adding)(not_mine)
    d.errback(KeyError())
    getattr(d, adding)(not_mine)
    d.addErrback(ignore)


def errback_that_traps_something_else() -> None:
    let_pass_by_trap("addErrback")


def callback_for_both_that_traps_something_else() -> None:
    let_pass_by_trap("addBoth")


def several_errbacks_that_trap_something_else() -> None:
    def explode(result: Any) -> None:
        raise KeyError

    def not_mine(failure: Failure, *error_types: Any) -> None:
        failure.trap(*error_types)

    d: Deferred[int] = Deferred()
    d.addCallback(explode)
    for _ in range(3):
        d.addErrback(not_mine, ZeroDivisionError)
        d.addCallbacks(ignore, not_mine)
    d.addErrback(ignore)
    d.callback(1)


def errbacks_that_raise_it_again() -> None:
    def again(failure: Failure) -> None:
        failure.raiseException()

    d: Deferred[int] = Deferred()
    d.addErrback(again).addErrback(again).addErrback(ignore)
    d.errback(KeyError())


def cancelled() -> None:
    d: Deferred[int] = Deferred(ignore)
    d.addErrback(ignore)
    d.cancel()


def waiting_for_another() -> None:
    inner: Deferred[int] = Deferred()
    returned(inner).addCallback(ignore)
    inner.callback(1)


def inlinecallbacks_that_waits() -> None:
    d: Deferred[int] = Deferred()
    yielded(d)
    d.callback(1)


def inlinecallbacks_that_fails() -> None:
    d: Deferred[int] = Deferred()
    yielded(d).addErrback(ignore)
    d.errback(KeyError())


def coroutine_that_does_not_wait() -> None:
    awaited(succeed(1))


def coroutine_that_waits() -> None:
    d: Deferred[int] = Deferred()
    awaited(d)
    d.callback(1)


def coroutine_that_fails() -> None:
    d: Deferred[int] = Deferred()
    awaited(d).addErrback(ignore)
    d.errback(KeyError())


def coroutine_that_is_cancelled() -> None:
    awaited(Deferred()).addErrback(ignore).cancel()


def several_gathered() -> None:
    one, other = Deferred[int](), Deferred[int]()
    gatherResults([one, other])
    one.callback(1)
    other.callback(2)


def several_gathered_and_failed() -> None:
    d: Deferred[int] = Deferred()
    gatherResults([succeed(1), d], consumeErrors=True).addErrback(ignore)
    d.errback(KeyError())


def several_in_a_list() -> None:
    d: Deferred[int] = Deferred()
    DeferredList([succeed(1), fail(KeyError()), d], consumeErrors=True)
    d.callback(1)


def several_in_a_race() -> None:
    d: Deferred[int] = Deferred()
    race([d, Deferred()])
    d.callback(1)


# What is done, and how often: a million in all.
DONE: dict[Callable[[], None], int] = {
    just_fired: 270_000,
    with_callbacks: 100_000,
    never_fired: 100_000,
    failed_and_handled: 40_000,
    raised_and_handled: 40_000,
    errback_that_traps_something_else: 20_000,
    callback_for_both_that_traps_something_else: 20_000,
    several_errbacks_that_trap_something_else: 10_000,
    errbacks_that_raise_it_again: 20_000,
    cancelled: 40_000,
    waiting_for_another: 40_000,
    inlinecallbacks_that_waits: 40_000,
    inlinecallbacks_that_fails: 20_000,
    coroutine_that_does_not_wait: 80_000,
    coroutine_that_waits: 40_000,
    coroutine_that_fails: 20_000,
    coroutine_that_is_cancelled: 20_000,
    several_gathered: 40_000,
    several_gathered_and_failed: 20_000,
    several_in_a_list: 10_000,
    several_in_a_race: 10_000,
}


def test_it_is_a_million() -> None:
    assert sum(DONE.values()) == 1_000_000


@pytest.mark.usefixtures("not_debugging")  # which remembers, and whose watching thread makes objects of its own
@pytest.mark.parametrize("do", DONE, ids=lambda do: do.__name__)
@pytest.mark.parametrize("in_a_loop", [False, True], ids=["", "loop"])
def test_what_is_done_leaves_no_garbage_and_takes_no_memory(do: Callable[[], None], in_a_loop: bool) -> None:
    """Without the collector running in between, what is in a cycle would stay: reference counts have freed all."""

    async def main() -> None:
        measure(do, DONE[do] // 2)

    if in_a_loop:
        with asyncio.Runner() as runner:  # coroutines have a current task then
            runner.run(main())
    else:
        measure(do, DONE[do] // 2)


def measure(do: Callable[[], None], count: int) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(1_000):  # what is cached once is no leak: lists and tuples for the next, code as it warms up
            do()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(1_000):  # tracing takes ten times as long
                do()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        for _ in range(count):
            do()
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert after - before < 1_000, "less than a byte for each"
    assert peak - before < 20_000, "one after the other is freed"
