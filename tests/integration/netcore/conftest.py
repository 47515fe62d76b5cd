"""Reactors for tests that turn one: made here, and disposed of when the test is over."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore.defer import maybeDeferred
from netcore.failure import Failure
from netcore.reactors import Reactor

TIMEOUT = 20.0  # what a test waits for at most: nothing here takes a tenth of a second

Run = Callable[..., Any]


@pytest.fixture
def new_reactor() -> Iterator[Callable[[], Reactor]]:
    """Makes reactors."""
    made: list[Reactor] = []

    def new_reactor() -> Reactor:
        made.append(Reactor())
        return made[-1]

    yield new_reactor
    for reactor in made:
        reactor.dispose()


@pytest.fixture
def reactor(new_reactor: Callable[[], Reactor]) -> Reactor:
    return new_reactor()


def run_in(reactor: Reactor, main: Callable[..., Any], *args: Any) -> Any:
    """Run *reactor* until what ``main(*args)`` returned, a coroutine or Deferred, has its result, and return that."""
    results: list[Any] = []

    def begin() -> None:
        maybeDeferred(main, *args).addTimeout(TIMEOUT, reactor).addBoth(end)

    def end(result: Any) -> None:
        results.append(result)
        reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


@pytest.fixture
def run(reactor: Reactor) -> Run:
    """``run(main, *args)``: have the test's reactor run an ``async def``, and return what that returns."""
    return lambda main, *args: run_in(reactor, main, *args)


@pytest.fixture
def unix_place() -> Iterator[str]:
    """A directory with a path short enough for UNIX sockets, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="nc") as place:
        yield place
