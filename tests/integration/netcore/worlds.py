"""The surroundings that a coroutine finds itself in: driven by asyncio, by netcore, by netcore within asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netcore.defer import ensureDeferred
from netcore.failure import Failure
from netcore.reactors import Reactor

PATIENCE = 20.0  # seconds that a test may take at most: none takes one

Main = Callable[[], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


def in_asyncio(main: Main) -> Any:
    """Run *main* in a Task, and return its result."""
    return asyncio.run(asyncio.wait_for(main(), PATIENCE))


def in_reactor(main: Main) -> Any:
    """Run *main* as netcore's coroutine where there is no Task around it, and return its result."""
    reactor = Reactor()
    ended: list[Any] = []

    def end(result: Any) -> None:
        ended.append(result)
        reactor.stop()

    reactor.callWhenRunning(lambda: ensureDeferred(main()).addTimeout(PATIENCE, reactor).addBoth(end))
    try:
        reactor.run()
    finally:
        reactor.dispose()
    if isinstance(ended[0], Failure):
        ended[0].raiseException()
    return ended[0]


def in_netcore_in_asyncio(main: Main) -> Any:
    """Run *main* as netcore's coroutine that a Task awaits, and return its result."""

    async def task() -> Any:
        return await ensureDeferred(main())

    return in_asyncio(task)


everywhere = pytest.mark.parametrize("run", [in_reactor, in_netcore_in_asyncio])


async def turns(count: int = 5) -> None:
    """Let what is ready run, and what that makes ready: everything that needs no input and no timer comes to rest."""
    for _ in range(count):
        await asyncio.sleep(0)
