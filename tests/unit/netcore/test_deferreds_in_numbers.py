"""Deferreds in numbers: long chains need no stack, and what is done with leaves nothing behind.

tests/unit/netcore/test_deferred.py has 100,000 in one chain, test_coroutines.py 100,000 ``yield`` and ``await`` of what
is there already.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    ensureDeferred,
    fail,
    gatherResults,
    inlineCallbacks,
    race,
    succeed,
)
from netcore.failure import Failure
from netcore.task import Clock

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


def chained(inner: Deferred[Any]) -> Deferred[Any]:
    other: Deferred[Any] = Deferred()
    inner.chainDeferred(other)
    return other


Link = Callable[[Deferred[Any]], Deferred[Any]]
LINKS: list[Link] = [returned, awaited, yielded, gathered, chained]


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


CLOCK = Clock()


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


def fired_by_another() -> None:
    d, other = Deferred[int](), Deferred[int]()
    d.chainDeferred(other.addCallback(ignore))
    d.callback(1)


def fired_by_another_that_failed() -> None:
    d, other = Deferred[int](), Deferred[int]()
    d.chainDeferred(other.addErrback(ignore))
    d.errback(KeyError())


def fired_by_another_too_late() -> None:
    succeed(1).chainDeferred(succeed(2)).addErrback(ignore)


def timed_out() -> None:
    Deferred[int]().addTimeout(1, CLOCK).addErrback(ignore)
    CLOCK.advance(1)


def timed_out_with_a_function() -> None:
    Deferred[int]().addTimeout(1, CLOCK, lambda result, seconds: None)
    CLOCK.advance(1)


def in_time() -> None:
    d: Deferred[int] = Deferred()
    d.addTimeout(1, CLOCK)
    d.callback(1)


def failed_in_time() -> None:
    d: Deferred[int] = Deferred()
    d.addTimeout(1, CLOCK).addErrback(ignore)
    d.errback(KeyError())


def lock_waited_for() -> None:
    lock = DeferredLock()
    lock.acquire()
    lock.acquire().addCallback(ignore)
    lock.release()
    lock.release()


def lock_given_up() -> None:
    lock = DeferredLock()
    lock.acquire()
    lock.acquire().addErrback(ignore).cancel()
    lock.release()


def lock_run_with() -> None:
    def explode() -> None:
        raise KeyError

    DeferredSemaphore(1).run(explode).addErrback(ignore)


def lock_in_coroutines() -> None:
    async def work(lock: DeferredLock) -> None:
        async with lock:
            raise KeyError

    lock = DeferredLock()
    lock.acquire()
    ensureDeferred(work(lock)).addErrback(ignore)
    ensureDeferred(work(lock)).addErrback(ignore)
    lock.release()


def queue_waited_for() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    queue.get().addCallback(ignore)
    queue.get().addErrback(ignore).cancel()
    queue.put(1)
    queue.put(2)


def queue_in_a_coroutine() -> None:
    async def work(queue: DeferredQueue[int]) -> None:
        async for item in queue:
            if item:
                raise KeyError

    queue: DeferredQueue[int] = DeferredQueue()
    ensureDeferred(work(queue)).addErrback(ignore)
    queue.put(0)
    queue.put(1)


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
    just_fired: 120_000,
    with_callbacks: 100_000,
    never_fired: 100_000,
    failed_and_handled: 40_000,
    raised_and_handled: 40_000,
    errback_that_traps_something_else: 20_000,
    callback_for_both_that_traps_something_else: 20_000,
    several_errbacks_that_trap_something_else: 10_000,
    errbacks_that_raise_it_again: 20_000,
    fired_by_another: 20_000,
    fired_by_another_that_failed: 10_000,
    fired_by_another_too_late: 10_000,
    timed_out: 10_000,
    timed_out_with_a_function: 10_000,
    in_time: 10_000,
    failed_in_time: 10_000,
    lock_waited_for: 10_000,
    lock_given_up: 10_000,
    lock_run_with: 10_000,
    lock_in_coroutines: 10_000,
    queue_waited_for: 20_000,
    queue_in_a_coroutine: 10_000,
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


# Between the two worlds: each is awaited in a Task, and has turns of the loop in it.


def soon(call: Callable[..., Any], *args: Any) -> None:
    asyncio.get_running_loop().call_soon(call, *args)


async def awaited_in_a_task() -> None:
    d: Deferred[int] = Deferred()
    soon(d.callback, 1)
    await d


async def awaited_in_a_task_and_failed() -> None:
    d: Deferred[int] = Deferred()
    soon(d.errback, KeyError())
    with contextlib.suppress(KeyError):
        await d


async def awaited_in_a_task_and_cancelled() -> None:
    d: Deferred[int] = Deferred()
    soon(d.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await d


async def awaited_in_a_task_that_is_cancelled() -> None:
    async def waits() -> None:
        await Deferred()

    task = asyncio.create_task(waits())
    soon(task.cancel)
    await asyncio.wait([task])


async def waited_for_in_vain() -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(Deferred(), 0)


async def gathered_by_asyncio() -> None:
    one, other = Deferred[int](), Deferred[int]()
    soon(one.callback, 1)
    soon(other.errback, KeyError())
    await asyncio.gather(one.asFuture(asyncio.get_running_loop()), awaiting(other), return_exceptions=True)


async def awaiting(d: Deferred[Any]) -> Any:
    return await d


def failing_soon() -> asyncio.Future[int]:
    """Who keeps it in a variable while it raises would make a cycle himself."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    soon(future.set_exception, KeyError())
    return future


async def as_a_future() -> None:
    d: Deferred[int] = Deferred()
    soon(d.errback, KeyError())
    with contextlib.suppress(KeyError):
        await d.asFuture(asyncio.get_running_loop())


async def as_a_future_that_is_cancelled() -> None:
    d: Deferred[int] = Deferred()
    future = d.addErrback(ignore).asFuture(asyncio.get_running_loop())
    future.cancel()
    await asyncio.sleep(0)


async def made_of_a_future() -> None:
    with contextlib.suppress(KeyError):
        await Deferred.fromFuture(failing_soon())


async def future_awaited_in_a_coroutine() -> None:
    async def waits() -> int:
        return await failing_soon()

    with contextlib.suppress(KeyError):
        await ensureDeferred(waits())


async def coroutine_timed_out_by_asyncio() -> None:
    async def waits() -> None:
        async with asyncio.timeout(0):
            await Deferred()

    with contextlib.suppress(asyncio.TimeoutError):
        await ensureDeferred(waits())


async def lock_awaited_in_a_task() -> None:
    lock = DeferredLock()
    await lock.acquire()
    soon(lock.release)
    async with lock:
        pass


async def queue_awaited_in_a_task() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    soon(queue.put, 1)
    async for _ in queue:
        break


IN_A_TASK: list[Callable[[], Coroutine[Any, Any, None]]] = [
    awaited_in_a_task,
    awaited_in_a_task_and_failed,
    awaited_in_a_task_and_cancelled,
    awaited_in_a_task_that_is_cancelled,
    waited_for_in_vain,
    gathered_by_asyncio,
    as_a_future,
    as_a_future_that_is_cancelled,
    made_of_a_future,
    future_awaited_in_a_coroutine,
    coroutine_timed_out_by_asyncio,
    lock_awaited_in_a_task,
    queue_awaited_in_a_task,
]


@pytest.mark.usefixtures("not_debugging")
@pytest.mark.parametrize("do", IN_A_TASK, ids=lambda do: do.__name__)
def test_what_a_task_awaits_leaves_no_garbage(do: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> int:
        for _ in range(100):  # as above
            await do()
        gc.collect()
        gc.disable()
        try:
            for _ in range(1_000):
                await do()
            return gc.collect()
        finally:
            gc.enable()

    with asyncio.Runner() as runner:
        assert runner.run(main()) == 0
