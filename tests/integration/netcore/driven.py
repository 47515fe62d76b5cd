"""netcore's two drivers, and what must hold for whatever they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netcore import defer
from netcore.defer import Deferred, ensureDeferred, inlineCallbacks
from netcore.failure import Failure
from tests.integration.netcore.waits import Wait
from tests.integration.netcore.worlds import turns

Heard = list[tuple[Any, ...]]  # of each error that came out where it was waited: its type and arguments


def by_await(wait: Callable[[], Coroutine[Any, Any, Any]], heard: Heard) -> Deferred[Any]:
    async def waits() -> Any:
        try:
            return await wait()
        except (asyncio.CancelledError, defer.CancelledError) as error:
            heard.append((type(error), *error.args))
            raise

    return ensureDeferred(waits())


@inlineCallbacks
def by_yield(wait: Callable[[], Coroutine[Any, Any, Any]], heard: Heard) -> Any:
    try:
        return (yield wait())
    except (asyncio.CancelledError, defer.CancelledError) as error:
        heard.append((type(error), *error.args))
        raise


# Where something of asyncio's is awaited as it is, its own CancelledError comes out. A generator waits for a Deferred.
DRIVERS: dict[Any, type[BaseException]] = {by_await: asyncio.CancelledError, by_yield: defer.CancelledError}
both_drivers = pytest.mark.parametrize("start", DRIVERS)
every_cancel = pytest.mark.parametrize("how", ["cancel()", "through a Task, with a message"])


async def check_result(wait: Wait, start: Any) -> None:
    """What *wait* waits for comes, and *start*, a driver, goes on with it."""
    await wait.begin()
    try:
        assert await start(wait.comes, []) == "result"
    finally:
        await wait.end()


async def check_cancelled(wait: Wait, start: Any, how: str) -> None:
    """The Deferred of *start*, a driver, is cancelled while it is in *wait*: that is given up, and all are told."""
    await wait.begin()
    heard: Heard = []
    try:
        waiting: Deferred[Any] = start(wait.never, heard)
        await wait.is_under_way()
        assert not waiting.called
        if how == "cancel()":
            failures: list[Failure] = []
            ended = asyncio.Event()
            waiting.addErrback(failures.append).addBoth(lambda _: ended.set())
            waiting.cancel()
            await ended.wait()
            assert [failure.type for failure in failures] == [defer.CancelledError]
            message: tuple[str, ...] = ()
        else:
            message = ("closing time",)

            async def waits() -> Any:
                return await waiting

            task = asyncio.create_task(waits())
            await turns()
            task.cancel(*message)
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert caught.value.args == message
        assert heard == [(DRIVERS[start], *message)]
        assert await wait.is_given_up()
    finally:
        await wait.end()
