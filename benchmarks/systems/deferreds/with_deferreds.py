"""The operations, done with Deferreds: the same code for netcore and Twisted, whose module is the first argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.systems.deferreds.batch import BATCH, Stopwatch

Operation = Callable[[Any, Stopwatch], None]


def inline(defer: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The library's inlineCallbacks, with a type that both have."""
    decorator: Callable[[Callable[..., Any]], Callable[..., Any]] = defer.inlineCallbacks
    return decorator


def identity(value: Any) -> Any:
    """The callback wherever there is one."""
    return value


def _first(value: Any, more: Any) -> Any:
    return value


def _trap(failure: Any) -> None:
    failure.trap(ValueError)


def _raise(value: Any) -> None:
    raise ValueError(value)


def fire_with_callbacks(callbacks: int) -> Operation:
    def operation(defer: Any, stopwatch: Stopwatch) -> None:
        make = defer.Deferred
        with stopwatch:
            for _ in range(BATCH):
                deferred = make()
                for _ in range(callbacks):
                    deferred.addCallback(identity)
                deferred.callback(1)

    return operation


def fire_with_arguments(defer: Any, stopwatch: Stopwatch) -> None:
    make = defer.Deferred
    with stopwatch:
        for _ in range(BATCH):
            deferred = make()
            deferred.addCallbacks(_first, _trap, callbackArgs=(2,))
            deferred.callback(1)


def succeed(defer: Any, stopwatch: Stopwatch) -> None:
    make = defer.succeed
    with stopwatch:
        for _ in range(BATCH):
            make(1).addCallback(identity)


def inline_call(defer: Any, stopwatch: Stopwatch) -> None:
    fired = [defer.succeed(1) for _ in range(BATCH)]

    @inline(defer)
    def function(deferred: Any) -> Iterator[Any]:
        result = yield deferred
        return result

    with stopwatch:
        for deferred in fired:
            function(deferred)


def yields(fired: bool) -> Operation:
    def operation(defer: Any, stopwatch: Stopwatch) -> None:
        deferreds = _deferreds(defer, fired)

        @inline(defer)
        def function() -> Iterator[Any]:
            for deferred in deferreds:  # noqa: UP028  # results are sent in, which a list's iterator does not take
                yield deferred

        with stopwatch:
            _run(function, [] if fired else deferreds)

    return operation


def awaits(fired: bool) -> Operation:
    def operation(defer: Any, stopwatch: Stopwatch) -> None:
        deferreds = _deferreds(defer, fired)

        async def function() -> None:
            for deferred in deferreds:
                await deferred

        with stopwatch:
            _run(lambda: defer.ensureDeferred(function()), [] if fired else deferreds)

    return operation


def _deferreds(defer: Any, fired: bool) -> list[Any]:
    return [defer.succeed(1) if fired else defer.Deferred() for _ in range(BATCH)]


def _run(begin: Callable[[], Any], pending: list[Any]) -> None:
    ended = begin()
    for deferred in pending:
        deferred.callback(1)
    if not ended.called:
        raise AssertionError("it waits for something that has fired")


def ensure(defer: Any, stopwatch: Stopwatch) -> None:
    begin = defer.ensureDeferred

    async def function() -> int:
        return 1

    with stopwatch:
        for _ in range(BATCH):
            begin(function())


def errback(defer: Any, stopwatch: Stopwatch) -> None:
    make = defer.Deferred
    with stopwatch:
        for _ in range(BATCH):
            deferred = make()
            deferred.addErrback(_trap)
            deferred.errback(ValueError("1"))


def raising(defer: Any, stopwatch: Stopwatch) -> None:
    make = defer.Deferred
    with stopwatch:
        for _ in range(BATCH):
            deferred = make()
            deferred.addCallback(_raise)
            deferred.addErrback(_trap)
            deferred.callback(1)


def gather(defer: Any, stopwatch: Stopwatch) -> None:
    lists = [[defer.Deferred() for _ in range(100)] for _ in range(BATCH // 100)]
    with stopwatch:
        for deferreds in lists:
            gathered = defer.gatherResults(deferreds)
            for deferred in deferreds:
                deferred.callback(1)
            if not gathered.called:
                raise AssertionError("all have fired")


def returning(fired: bool) -> Operation:
    def operation(defer: Any, stopwatch: Stopwatch) -> None:
        make = defer.Deferred
        inners = _deferreds(defer, fired)
        with stopwatch:
            for inner in inners:
                outer = make()
                outer.addCallback(lambda _, inner=inner: inner)
                outer.callback(1)
                if not fired:
                    inner.callback(1)

    return operation
