"""A failure that nobody handles is reported when the last reference to its Deferred goes, not at the next garbage
collection: nothing of netcore keeps the Deferred in a frame that the failure's traceback holds, with debugging off or
on."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import netcore
from netcore import protocol, task, threads
from netcore.defer import (
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    ensureDeferred,
    execute,
    fail,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    setUnhandledFailureHook,
    succeed,
)
from netcore.endpoints import TCP4ClientEndpoint
from netcore.failure import Failure
from netcore.reactors import Reactor
from tests.support.debugging import switched
from tests.support.guard import Logged
from tests.support.network import free_port


@pytest.fixture
def without_collector(logged: Logged) -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        logged.take()


def call_it(result: Any, function: Any) -> None:
    function(result)
    del function


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


def soon(call: Callable[..., Any], *args: Any) -> None:
    Reactor.current().callLater(0, call, *args)


def failing() -> Deferred[Any]:
    """One whose callback fails, when it has been fired."""
    return Deferred().addCallback(boom)


def failing_when_cancelled() -> Deferred[Any]:
    return Deferred().addErrback(boom)


async def waits() -> None:
    await Deferred()


async def waits_and_fails() -> None:
    try:
        await Deferred()
    finally:
        boom()


@inlineCallbacks
def generator_that_waits() -> Any:
    yield Deferred()


def fired_in_a_thread() -> None:
    Reactor.current().callInThread(failing().callback, 1)


def fired_in_a_thread_among_others() -> None:
    threads.callMultipleInThread([(int, (), {}), (failing().callback, (1,), {}), (int, (), {})])


def got_from_a_queue() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    queue.get().addCallback(boom)
    queue.put(1)


def got_a_lock(*others: Callable[[], Any]) -> None:
    lock = DeferredLock()
    lock.acquire()
    lock.acquire().addCallback(boom)
    soon(lock.release)


def unpaused() -> None:
    deferred = failing()
    deferred.pause()
    deferred.callback(1)
    soon(deferred.unpause)


def cancelled_through_a_task() -> None:
    async def wait(deferred: Deferred[Any]) -> None:
        await deferred

    deferred: Deferred[Any] = Deferred()
    running = asyncio.ensure_future(wait(deferred))
    soon(deferred.addCallback, boom)  # behind the Task, which takes what the cancelling leads to
    Reactor.current().callLater(0.001, running.cancel)


def cancelled_through_a_future() -> None:
    deferred: Deferred[Any] = Deferred()
    soon(deferred.asFuture(asyncio.get_running_loop()).cancel)
    deferred.addCallback(boom)


def made_of_a_future() -> None:
    future = asyncio.get_running_loop().create_future()
    Deferred.fromFuture(future).addCallback(boom)
    soon(future.set_result, 1)


def lost_a_race() -> None:
    quick, slow = Deferred[int](), Deferred[int]()
    race([quick, slow])
    slow.addCallback(boom)
    soon(quick.callback, 1)


def a_list_cancelled() -> None:
    soon(DeferredList([Deferred(), failing_when_cancelled()], consumeErrors=True).addCallback(boom).cancel)


def a_loop(end: str) -> None:
    """A LoopingCall that is stopped by its own function, or from outside, or while its function's Deferred waits."""
    waiting: Deferred[Any] = Deferred()

    def function() -> Any:
        if end == "itself":
            call.stop()
        return waiting if end == "waiting" else None

    call = task.LoopingCall(function)
    call.start(0.001, now=False).addCallback(boom)
    if end == "outside":
        soon(call.stop)
    if end == "waiting":
        Reactor.current().callLater(0.01, call.stop)
        Reactor.current().callLater(0.01, waiting.callback, 1)


def a_loop_begun_again() -> None:
    waiting: Deferred[Any] = Deferred()
    call = task.LoopingCall(lambda: waiting)
    call.start(1).addCallback(boom)
    call.stop()
    call.start(1)
    soon(waiting.callback, 1)
    Reactor.current().callLater(0.002, call.stop)


def a_job_of_a_scope_cancelled() -> None:
    over = threading.Event()

    async def scope() -> None:
        async with netcore.scope() as children:
            children.deferToThread(over.wait, 10.0).addErrback(boom)
            children.cancel()
            over.set()

    ensureDeferred(scope())


def a_child_of_a_scope() -> None:
    async def scope() -> None:
        async with netcore.scope() as children:
            children.start(asyncio.sleep(0)).addCallback(boom)

    ensureDeferred(scope())


class Once(protocol.ServerFactory, protocol.ClientFactory):
    """For one connection, of which nothing is left."""

    port: Any = None

    def buildProtocol(self, addr: Any) -> Any:
        if self.port is not None:
            self.port.stopListening()
        return Closing()


class Closing(protocol.Protocol):
    """Says nothing."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


def connected() -> None:
    factory = Once()
    factory.port = Reactor.current().listenTCP(0, factory, interface="127.0.0.1")
    endpoint = TCP4ClientEndpoint(Reactor.current(), "127.0.0.1", factory.port.getHost().port)
    endpoint.connect(Once()).addCallback(boom)


def not_connected() -> None:
    TCP4ClientEndpoint(Reactor.current(), "127.0.0.1", free_port()).connect(Once()).addErrback(boom)


def fired_by_an_event(phase: str) -> None:
    reactor = Reactor.current()
    reactor.addSystemEventTrigger(phase, "something", failing().callback, 1)
    reactor.fireSystemEvent("something")


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
    "an errback that traps another": lambda: Deferred().addErrback(lambda f: f.trap(KeyError)).errback(OSError()),
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
    "one fired by another": lambda: fired(lambda d: d.chainDeferred(failing())),
    "one fired by another, later": lambda: fired(lambda d: d.addCallback(str).chainDeferred(failing())),
    "one fired by another that has its result": lambda: succeed(1).chainDeferred(failing()),
    "one that is a callback, added late": lambda: succeed(1).addCallback(failing().callback),
    "one that is an argument, added late": lambda: succeed(1).addCallback(call_it, failing().callback),
    "one that is a callback for both": lambda: succeed(1).addBoth(failing().callback),
    "one that is an errback": lambda: fail(KeyError()).addErrback(failing_when_cancelled().errback),
    "one fired in a thread": fired_in_a_thread,
    "one fired in a thread among others": fired_in_a_thread_among_others,
    "one got from a queue": got_from_a_queue,
    "one that got a lock": got_a_lock,
    "unpaused": unpaused,
    "cancelled": lambda: failing_when_cancelled().cancel(),
    "cancelled by a timer": lambda: soon(failing_when_cancelled().cancel),
    "a coroutine, cancelled": lambda: ensureDeferred(waits()).cancel(),
    "a coroutine that fails then, cancelled": lambda: ensureDeferred(waits_and_fails()).cancel(),
    "a coroutine, cancelled by a timer": lambda: soon(ensureDeferred(waits()).cancel),
    "a coroutine that waits for another, cancelled": lambda: ensureDeferred(
        waits_for(ensureDeferred(waits()))
    ).cancel(),
    "a generator, cancelled": lambda: generator_that_waits().cancel(),
    "a coroutine, timed out": lambda: ensureDeferred(waits()).addTimeout(0, Reactor.current()),
    "a coroutine that fails then, timed out": lambda: ensureDeferred(waits_and_fails()).addTimeout(
        0, Reactor.current()
    ),
    "timed out, with a callback": lambda: Deferred().addTimeout(0, Reactor.current()).addErrback(boom),
    "cancelled through a Task": cancelled_through_a_task,
    "cancelled through a future": cancelled_through_a_future,
    "made of a future": made_of_a_future,
    "one that lost a race": lost_a_race,
    "a list, cancelled": a_list_cancelled,
    "a LoopingCall stopped by itself": lambda: a_loop("itself"),
    "a LoopingCall stopped from outside": lambda: a_loop("outside"),
    "a LoopingCall stopped while it waits": lambda: a_loop("waiting"),
    "a LoopingCall begun again": a_loop_begun_again,
    "a job of a scope, cancelled": a_job_of_a_scope_cancelled,
    "a child of a scope": a_child_of_a_scope,
    "connected": connected,
    "not connected": not_connected,
    "called when the reactor runs": lambda: Reactor.current().callWhenRunning(failing().callback, 1),
    "fired before an event": lambda: fired_by_an_event("before"),
    "fired during an event": lambda: fired_by_an_event("during"),
}


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("debugging", [False, True], ids=["", "debugging"])
@pytest.mark.parametrize("case", CASES)
def test_is_reported_without_the_garbage_collector(case: str, debugging: bool) -> None:
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

    with switched(debugging):
        asyncio.run(main())
    assert len(told) == 1
