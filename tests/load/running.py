"""Running a coroutine function on a reactor of its own: on asyncio's own loop, which `tests.support.turns` measures."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from netcore.defer import ensureDeferred
from netcore.failure import Failure
from netcore.reactors import Reactor

__all__ = ["run"]

T = TypeVar("T")


def run(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *function* to its end, and return its result. Ctrl-C ends it."""
    results: list[Any] = []

    def finish(result: Any) -> None:
        results.append(result)
        reactor.stop()

    reactor = Reactor("asyncio")
    reactor.callWhenRunning(lambda: ensureDeferred(function()).addBoth(finish))
    try:
        reactor.run()
    finally:
        reactor.dispose()
    if not results:
        raise KeyboardInterrupt
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result  # type: ignore[no-any-return]
