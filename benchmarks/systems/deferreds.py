"""Deferreds, netcore's and Twisted's, in one process: what single operations cost.

Each operation is timed in short batches, the libraries in turn, and the shortest batch of each counts: a batch that
another process or the collector got into is longer. The collector stays on. What a batch works on is made beforehand
where it is not itself what is measured.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

LIBRARIES = {"netcore": "netcore.defer", "twisted": "twisted.internet.defer"}
BATCH = 1000  # operations: half a millisecond to five
KEPT = 1000  # objects whose memory is measured

Timed = Callable[[], object]
Operation = Callable[[Any, int], Timed]  # of the library's module and a count: what does it so many times


def _inline(defer: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The library's inlineCallbacks, with a type that both have."""
    decorator: Callable[[Callable[..., Any]], Callable[..., Any]] = defer.inlineCallbacks
    return decorator


def _identity(value: Any) -> Any:
    return value


def _trap(failure: Any) -> None:
    failure.trap(ValueError)


def _raise(value: Any) -> None:
    raise ValueError(value)


def _fire_with_callbacks(callbacks: int) -> Operation:
    def operation(defer: Any, count: int) -> Timed:
        make = defer.Deferred

        def timed() -> None:
            for _ in range(count):
                deferred = make()
                for _ in range(callbacks):
                    deferred.addCallback(_identity)
                deferred.callback(1)

        return timed

    return operation


def _succeed(defer: Any, count: int) -> Timed:
    succeed = defer.succeed

    def timed() -> None:
        for _ in range(count):
            succeed(1).addCallback(_identity)

    return timed


def _inline_call(defer: Any, count: int) -> Timed:
    fired = [defer.succeed(1) for _ in range(count)]

    @_inline(defer)
    def function(deferred: Any) -> Iterator[Any]:
        result = yield deferred
        return result

    def timed() -> None:
        for deferred in fired:
            function(deferred)

    return timed


def _yields(fired: bool) -> Operation:
    def operation(defer: Any, count: int) -> Timed:
        deferreds = [defer.succeed(1) if fired else defer.Deferred() for _ in range(count)]

        @_inline(defer)
        def function() -> Iterator[Any]:
            for deferred in deferreds:  # noqa: UP028  # results are sent in, which a list's iterator does not take
                yield deferred

        return _run(function, [] if fired else deferreds)

    return operation


def _awaits(fired: bool) -> Operation:
    def operation(defer: Any, count: int) -> Timed:
        deferreds = [defer.succeed(1) if fired else defer.Deferred() for _ in range(count)]

        async def function() -> None:
            for deferred in deferreds:
                await deferred

        return _run(lambda: defer.ensureDeferred(function()), [] if fired else deferreds)

    return operation


def _run(begin: Callable[[], Any], pending: list[Any]) -> Timed:
    def timed() -> None:
        ended = begin()
        for deferred in pending:
            deferred.callback(1)
        if not ended.called:
            raise AssertionError("it waits for something that has fired")

    return timed


def _ensure(defer: Any, count: int) -> Timed:
    ensure = defer.ensureDeferred

    async def function() -> int:
        return 1

    def timed() -> None:
        for _ in range(count):
            ensure(function())

    return timed


def _errback(defer: Any, count: int) -> Timed:
    make = defer.Deferred

    def timed() -> None:
        for _ in range(count):
            deferred = make()
            deferred.addErrback(_trap)
            deferred.errback(ValueError("1"))

    return timed


def _raising(defer: Any, count: int) -> Timed:
    make = defer.Deferred

    def timed() -> None:
        for _ in range(count):
            deferred = make()
            deferred.addCallback(_raise)
            deferred.addErrback(_trap)
            deferred.callback(1)

    return timed


def _gather(defer: Any, count: int) -> Timed:
    batches = [[defer.Deferred() for _ in range(100)] for _ in range(count // 100)]

    def timed() -> None:
        for batch in batches:
            gathered = defer.gatherResults(batch)
            for deferred in batch:
                deferred.callback(1)
            if not gathered.called:
                raise AssertionError("all have fired")

    return timed


def _returning(fired: bool) -> Operation:
    def operation(defer: Any, count: int) -> Timed:
        make = defer.Deferred
        inners = [defer.succeed(1) if fired else make() for _ in range(count)]

        def timed() -> None:
            for inner in inners:
                outer = make()
                outer.addCallback(lambda _, inner=inner: inner)
                outer.callback(1)
                if not fired:
                    inner.callback(1)

        return timed

    return operation


OPERATIONS: dict[str, Operation] = {
    "create + one callback + fire": _fire_with_callbacks(1),
    "succeed + callback": _succeed,
    "create + ten callbacks + fire": _fire_with_callbacks(10),
    "inlineCallbacks call with one fired yield": _inline_call,
    "each further yield of a fired Deferred": _yields(fired=True),
    "each yield of a pending Deferred": _yields(fired=False),
    "await of a fired Deferred": _awaits(fired=True),
    "await of a pending Deferred": _awaits(fired=False),
    "ensureDeferred call": _ensure,
    "errback + trap": _errback,
    "raise in a callback + trap": _raising,
    "gatherResults of 100, per item": _gather,
    "callback returning a fired Deferred": _returning(fired=True),
    "callback returning an unfired Deferred": _returning(fired=False),
}


# --------------------------------------------------------------------------------------------------------------- memory


def _pending(callbacks: int) -> Callable[[Any], Callable[[], Any]]:
    def maker(defer: Any) -> Callable[[], Any]:
        def make() -> Any:
            deferred = defer.Deferred()
            for _ in range(callbacks):
                deferred.addCallback(_identity)
            return deferred

        return make

    return maker


def _suspended(defer: Any) -> Callable[[], Any]:
    @_inline(defer)
    def function(deferred: Any) -> Iterator[Any]:
        yield deferred

    return lambda: function(defer.Deferred())


SIZES: dict[str, Callable[[Any], Callable[[], Any]]] = {  # of the library's module: what makes one
    "a pending Deferred": _pending(0),
    "with one callback": _pending(1),
    "with three callbacks": _pending(3),
    "a suspended inlineCallbacks call": _suspended,
}


def size_of(make: Callable[[], Any]) -> float:
    """The bytes that one of what *make* makes holds, the collector's part included, as the mean of `KEPT`."""
    make()  # what is made once for all is there then
    kept: list[Any] = [None] * KEPT
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for index in range(KEPT):
        kept[index] = make()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / KEPT


# ----------------------------------------------------------------------------------------------------------- the system


@dataclass(frozen=True)
class Library:
    """One of the two."""

    name: str
    module: Any


class Comparison:
    """Both libraries, or netcore alone."""

    def __init__(self) -> None:
        self._libraries: list[Library] = []
        self._missing: dict[str, str] = {}

    def start(self) -> dict[str, Any]:
        for name, module in LIBRARIES.items():
            try:
                self._libraries.append(Library(name, importlib.import_module(module)))
            except ModuleNotFoundError as error:
                self._missing[name] = str(error)
        return {"operations": list(OPERATIONS), "missing": self._missing}

    def time(self, operation: str, batches: int) -> dict[str, float]:
        """Nanoseconds per operation, by library: the least of *batches* batches of each."""
        least = {library.name: float("inf") for library in self._libraries}
        turns = itertools.cycle([self._libraries, self._libraries[::-1]])  # neither is always the second
        for _, order in zip(range(batches), turns, strict=False):
            for library in order:
                timed = OPERATIONS[operation](library.module, BATCH)
                began = perf_counter_ns()
                timed()
                least[library.name] = min(least[library.name], (perf_counter_ns() - began) / BATCH)
        return least

    def sizes(self) -> dict[str, dict[str, float]]:
        """Bytes, by kind of object and library."""
        found: dict[str, dict[str, float]] = {}
        for library in self._libraries:
            for name, maker in SIZES.items():
                found.setdefault(name, {})[library.name] = size_of(maker(library.module))
        return found

    def stop(self) -> None:
        pass
