"""What is weighed: the bytes that objects hold, the collector's part included."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.systems.deferreds.with_deferreds import identity, inline

KEPT = 1000  # objects, of which the mean is taken

Maker = Callable[[], Any]


@dataclass(frozen=True)
class Kind:
    """One line of the table: of a Deferreds' module, and of asyncio's loop, what makes one."""

    deferreds: Callable[[Any], Maker]
    futures: Callable[[asyncio.AbstractEventLoop], Maker]


def _pending(callbacks: int) -> Kind:
    def deferreds(defer: Any) -> Maker:
        def make() -> Any:
            deferred = defer.Deferred()
            for _ in range(callbacks):
                deferred.addCallback(identity)
            return deferred

        return make

    def futures(loop: asyncio.AbstractEventLoop) -> Maker:
        def make() -> Any:
            future = loop.create_future()
            for _ in range(callbacks):
                future.add_done_callback(identity)
            return future

        return make

    return Kind(deferreds, futures)


def _suspended() -> Kind:
    def calls(defer: Any) -> Maker:
        @inline(defer)
        def function(deferred: Any) -> Iterator[Any]:
            yield deferred

        return lambda: function(defer.Deferred())

    def tasks(loop: asyncio.AbstractEventLoop) -> Maker:
        async def function(future: asyncio.Future[None]) -> None:
            await future

        return lambda: loop.create_task(function(loop.create_future()))

    return Kind(calls, tasks)


KINDS = {
    "a pending Deferred": _pending(0),
    "with one callback": _pending(1),
    "with three callbacks": _pending(3),
    "a suspended inlineCallbacks call": _suspended(),
}


def size_of_deferreds(kind: Kind, defer: Any) -> float:
    """The bytes that one of this *kind* holds."""
    size, _ = _weigh(kind.deferreds(defer), lambda: None)
    return size


def size_in_asyncio(kind: Kind, loop: asyncio.AbstractEventLoop) -> float:
    """The bytes that one of this *kind* holds; *loop* does not run."""

    def turn() -> None:  # in which Tasks begin, and end
        loop.run_until_complete(asyncio.sleep(0))

    size, futures = _weigh(kind.futures(loop), turn)
    for future in futures:
        future.cancel()  # a Task that is dropped while it waits is reported
    turn()
    return size


def _weigh(make: Maker, settle: Callable[[], None]) -> tuple[float, list[Any]]:
    """The bytes of one, as the mean, and all that were made. *settle* does what they do by themselves after that."""
    kept: list[Any] = [None] * KEPT
    first = make()  # what is made once for all is there then
    settle()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for index in range(KEPT):
        kept[index] = make()
    settle()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / KEPT, [first, *kept]
