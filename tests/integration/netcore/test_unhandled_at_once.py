"""A failure that nobody handles is reported when the last reference to its Deferred goes, not at the next garbage
collection: nothing of netcore keeps the Deferred in a frame that the failure's traceback holds."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import netcore
from netcore import task, threads
from netcore.defer import (
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    ensureDeferred,
    execute,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    setUnhandledFailureHook,
)
from netcore.failure import Failure
from netcore.reactors import Reactor
from tests.support.guard import Logged


@pytest.fixture
def without_collector(logged: Logged) -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        logged.take()


def boom(*_: Any) -> Any:
    raise OSError("unhandled")


async def fails() -> None:
    boom()


async def fails_later() -> None:
    await asyncio.sleep(0)
    boom()


async def waits_for(awaitable: Any) -> None:
    await awaitable


@inlineCallbacks
def generator(waited: Any) -> Any:
    yield waited
    boom()


def fired(add: Callable[[Deferred[Any]], Any]) -> None:
    """A Deferred that the loop fires, and that nobody keeps."""
    deferred: Deferred[Any] = Deferred()
    add(deferred)
    Reactor.current().callLater(0, deferred.callback, 1)


def called_from_thread() -> None:
    Reactor.current().callInThread(Reactor.current().callFromThread, Deferred().addCallback(boom).callback, 1)


def by_one_of_a_list(**flags: bool) -> None:
    failing: Deferred[Any] = Deferred()
    together = DeferredList([failing, Deferred()], consumeErrors=True, **flags)
    failing.errback(OSError())
    del together


def in_a_lock() -> Any:
    async def hold() -> None:
        async with DeferredLock():
            await fails_later()

    return ensureDeferred(hold())


def in_a_group() -> Any:
    async def group() -> None:
        async with asyncio.TaskGroup() as children:
            children.create_task(fails_later())

    return ensureDeferred(group())


def in_a_scope() -> Any:
    async def scope() -> None:
        async with netcore.scope() as children:
            children.start(fails_later())

    return ensureDeferred(scope())


def too_much_for_a_queue() -> Any:
    queue: DeferredQueue[int] = DeferredQueue(size=0)
    return maybeDeferred(queue.put, 1)


CASES: dict[str, Callable[[], Any]] = {
    "a callback": lambda: Deferred().addCallback(boom).callback(1),
    "a later callback": lambda: Deferred().addCallback(lambda x: x).addCallback(boom).callback(1),
    "an errback": lambda: Deferred().addErrback(boom).errback(KeyError()),
    "a callback added late": lambda: maybeDeferred(int).addCallback(boom),
    "a callback for both, added late": lambda: maybeDeferred(int).addBoth(boom),
    "a callback with arguments, added late": lambda: maybeDeferred(int).addCallbacks(boom, boom, (1,)),
    "a callback that the loop comes to": lambda: fired(lambda d: d.addCallback(boom)),
    "one of several": lambda: fired(lambda d: d.addCallback(str).addCallback(boom).addCallback(str)),
    "one chained": lambda: fired(lambda d: Deferred().addCallback(lambda _: d).addCallback(boom).callback(1)),
    "a call from a thread": called_from_thread,
    "a coroutine, at once": lambda: ensureDeferred(fails()),
    "a coroutine, later": lambda: ensureDeferred(fails_later()),
    "a coroutine that waits for one": lambda: ensureDeferred(waits_for(ensureDeferred(fails_later()))),
    "a coroutine that waits for a thread": lambda: ensureDeferred(waits_for(threads.deferToThread(boom))),
    "a generator": lambda: generator(1),
    "a generator that waits": lambda: fired(generator),
    "maybeDeferred": lambda: maybeDeferred(boom),
    "execute": lambda: execute(boom),
    "a thread": lambda: threads.deferToThread(boom),
    "deferLater": lambda: task.deferLater(Reactor.current(), 0, boom),
    "a LoopingCall, at once": lambda: task.LoopingCall(boom).start(1),
    "a LoopingCall, later": lambda: task.LoopingCall(boom).start(0.001, now=False),
    "a time-out": lambda: Deferred().addTimeout(0, Reactor.current()),
    "one of a list": lambda: by_one_of_a_list(fireOnOneErrback=True),
    "gathered": lambda: gatherResults([ensureDeferred(fails_later()), Deferred()], consumeErrors=True),
    "a race": lambda: race([ensureDeferred(fails_later()), ensureDeferred(fails_later())]),
    "a semaphore's": lambda: DeferredSemaphore(1).run(boom),
    "a lock's": in_a_lock,
    "a queue's": too_much_for_a_queue,
    "a TaskGroup's": in_a_group,
    "a scope's": in_a_scope,
}


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("case", CASES)
def test_is_reported_without_the_garbage_collector(case: str) -> None:
    told: list[str] = []

    async def main() -> None:
        Reactor.current()
        loop, heard = asyncio.get_running_loop(), asyncio.Event()

        def hook(failure: Failure) -> None:
            told.append(failure.type.__name__)
            loop.call_soon_threadsafe(heard.set)

        previous = setUnhandledFailureHook(hook)
        try:
            CASES[case]()
            async with asyncio.timeout(10):
                await heard.wait()
        finally:
            setUnhandledFailureHook(previous)

    asyncio.run(main())
    assert len(told) == 1
