"""Running a test's coroutine on a real reactor, or in an asyncio program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from asyncdb.testing import VirtualTime
from netcore.defer import Deferred, ensureDeferred
from netcore.failure import Failure
from netcore.reactors import Reactor
from netcore.testing import successResultOf

T = TypeVar("T")

PATIENCE = 60.0


class Drive(Protocol):
    """Runs a coroutine function to its end, and returns its result."""

    def __call__(self, function: Callable[[], Coroutine[Any, Any, T]], /) -> T: ...


def runReactor(function: Callable[[], Coroutine[Any, Any, T]], loop: str | None = None) -> T:
    """Run *function* on a reactor made for it, on the run's loop or the one that *loop* names.

    What it leaves open is closed by the reactor's shutdown.
    """
    reactor = Reactor(loop)
    results: list[Any] = []

    def start() -> None:
        ensureDeferred(function()).addBoth(finish)

    def finish(result: Any) -> None:
        results.append(result)
        reactor.stop()

    reactor.callWhenRunning(start)
    watchdog = reactor.callLater(PATIENCE, reactor.crash)
    try:
        reactor.run(installSignalHandlers=False)
    finally:
        if watchdog.active():
            watchdog.cancel()
        reactor.dispose()
    assert results, f"the test did not end within {PATIENCE:g} s"
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result  # type: ignore[no-any-return]


def runAsyncio(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *function* as an asyncio program."""

    async def main() -> T:
        async with asyncio.timeout(PATIENCE):
            return await function()

    return asyncio.run(main())


def result(time: VirtualTime, call: Deferred[Any]) -> Any:
    """What *call* comes to without any time passing."""
    time.settle()
    return successResultOf(call)


async def reached(step: Any) -> None:
    """Wait, off the reactor's thread, until a worker has come to *step*."""
    done: Deferred[bool] = Deferred()
    reactor = Reactor.current()
    threading.Thread(target=lambda: reactor.callFromThread(done.callback, step.reached.wait(30)), daemon=True).start()
    assert await done
