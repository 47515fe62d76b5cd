"""What a type checker knows of results: mypy and pyright check each ``assert_type``.

`tests/unit/netcore/test_typing.py` runs `check`, so that what is asserted of types is said of code that works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, assert_type

from netcore.defer import (
    Deferred,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    ensureDeferred,
    execute,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    passthru,
    race,
    succeed,
)
from netcore.failure import Failure


def plain(number: int, *, text: str = "") -> str:
    return text * number


def deferring(number: int, *, text: str = "") -> Deferred[str]:
    return succeed(text * number)


async def waiting(number: int, *, text: str = "") -> str:
    return text * number


def either(now: bool) -> Deferred[int] | int:
    return 1 if now else succeed(1)


@inlineCallbacks
def stepping(number: int, *, text: str = "") -> Generator[Deferred[Any], Any, str]:
    got: str = yield succeed(text)
    return got * number


def broken(failure: Failure) -> bytes:
    return failure.getErrorMessage().encode()


def repaired(failure: Failure) -> Deferred[bytes]:
    return succeed(failure.getErrorMessage().encode())


def check(loop: asyncio.AbstractEventLoop) -> None:
    """Args: loop: does not run."""
    # Functions keep their parameters.
    assert_type(stepping(2, text="a"), Deferred[str])
    stepping("two").addErrback(broken)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    try:
        stepping(2, test="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    except TypeError:
        pass

    # Callbacks make of a result what they return.
    assert_type(succeed(1).addCallback(plain, text="a"), Deferred[str])
    assert_type(succeed(1).addCallback(deferring, text="a"), Deferred[str])
    assert_type(succeed(1).addCallbacks(plain, broken), Deferred[str | bytes])
    assert_type(succeed(1).addCallbacks(deferring), Deferred[str])
    assert_type(succeed(1).addCallbacks(deferring, repaired, callbackKeywords={"text": "a"}), Deferred[str | bytes])
    assert_type(succeed(1).addCallbacks(None, broken), Deferred[int | bytes])
    assert_type(succeed(1).addCallbacks(None, repaired), Deferred[int | bytes])
    assert_type(succeed(True).addCallbacks(either), Deferred[int])
    assert_type(succeed(1).addErrback(broken), Deferred[int | bytes])
    assert_type(succeed(1).addCallback(passthru), Deferred[int])

    # Whatever a Deferred is made of, it knows its result.
    assert_type(ensureDeferred(waiting(2)), Deferred[str])
    assert_type(ensureDeferred(succeed(2)), Deferred[int])
    assert_type(Deferred.fromCoroutine(waiting(2)), Deferred[str])
    assert_type(maybeDeferred(plain, 2, text="a"), Deferred[str])
    assert_type(maybeDeferred(deferring, 2, text="a"), Deferred[str])
    assert_type(maybeDeferred(waiting, 2, text="a"), Deferred[str])
    assert_type(maybeDeferred(stepping, 2, text="a"), Deferred[str])
    assert_type(maybeDeferred(either, True), Deferred[int])
    assert_type(execute(plain, 2, text="a"), Deferred[str])
    future: asyncio.Future[int] = loop.create_future()
    future.set_result(1)
    assert_type(Deferred.fromFuture(future), Deferred[int])
    assert_type(succeed("a").asFuture(loop), asyncio.Future[str])

    # Several are lists and pairs of what each is.
    assert_type(gatherResults([succeed(1), succeed(2)]), Deferred[list[int]])
    assert_type(race([succeed(1), succeed(2)]), Deferred[tuple[int, int]])

    # Locks hand themselves over, and what is run under them keeps parameters and result.
    lock, semaphore = DeferredLock(), DeferredSemaphore(2)
    assert_type(lock.run(plain, 2, text="a"), Deferred[str])
    assert_type(lock.run(deferring, 2, text="a"), Deferred[str])
    assert_type(semaphore.run(waiting, 2, text="a"), Deferred[str])
    assert_type(semaphore.run(either, True), Deferred[int])
    assert_type(semaphore.acquire(), Deferred[DeferredSemaphore])
    assert_type(lock.acquire(), Deferred[DeferredLock])
    assert_type(lock.waiting, list[Deferred[DeferredLock]])

    queue: DeferredQueue[int] = DeferredQueue()
    queue.put(1)
    assert_type(queue.pending, list[int])
    assert_type(queue.get(), Deferred[int])
    queue.put("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    queue.put(2)
    ensureDeferred(awaiting(DeferredLock(), queue))


async def awaiting(lock: DeferredLock, queue: DeferredQueue[int]) -> None:
    assert_type(await deferring(1), str)
    assert_type(await race([succeed(1)]), tuple[int, int])
    async with lock as held:
        assert_type(held, DeferredLock)
    async for item in queue:
        assert_type(item, int)
        return
