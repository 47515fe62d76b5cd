"""The system: netcore, Twisted if it is installed, and asyncio, timed in turns and weighed.

The shortest of several batches counts: one that another process or the collector got into is longer. The collector
stays on. Everything is done inside a running loop, where programs do it: Deferreds in a callback of the loop, as
protocols use them, asyncio in a Task. Operations that say so are done without a loop as well.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from benchmarks import mainthread
from benchmarks.systems.deferreds import memory
from benchmarks.systems.deferreds.batch import Stopwatch
from benchmarks.systems.deferreds.memory import KINDS, Kind
from benchmarks.systems.deferreds.operations import OPERATIONS, Operation

T = TypeVar("T")

DEFERREDS = {"netcore": "netcore.defer", "twisted": "twisted.internet.defer"}


class Library(ABC):
    """One of those that are compared."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def has(self, operation: Operation) -> bool:
        """Whether it has anything like it."""

    @abstractmethod
    def time(self, operation: Operation, loop: asyncio.AbstractEventLoop) -> float:
        """Nanoseconds per operation, of one batch; *loop* does not run yet."""

    @abstractmethod
    def size(self, kind: Kind, loop: asyncio.AbstractEventLoop) -> float:
        """Bytes; *loop* does not run yet."""


class Deferreds(Library):
    """A module with Deferreds."""

    def __init__(self, name: str, defer: Any) -> None:
        super().__init__(name)
        self._defer = defer

    def has(self, operation: Operation) -> bool:
        return True

    def time(self, operation: Operation, loop: asyncio.AbstractEventLoop) -> float:
        stopwatch = Stopwatch()

        def batch() -> None:
            operation.deferreds(self._defer, stopwatch)

        if operation.in_loop:
            in_callback(loop, batch)
        else:
            batch()
        return stopwatch.per_operation

    def size(self, kind: Kind, loop: asyncio.AbstractEventLoop) -> float:
        return memory.size_of_deferreds(kind, self._defer)


class Futures(Library):
    """asyncio."""

    def has(self, operation: Operation) -> bool:
        return operation.futures is not None

    def time(self, operation: Operation, loop: asyncio.AbstractEventLoop) -> float:
        assert operation.futures is not None
        stopwatch = Stopwatch()
        loop.run_until_complete(operation.futures(stopwatch))
        return stopwatch.per_operation

    def size(self, kind: Kind, loop: asyncio.AbstractEventLoop) -> float:
        return memory.size_in_asyncio(kind, loop)


def in_callback(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Run *loop* until it has called *function*, in a callback: no Task runs meanwhile."""
    outcome: asyncio.Future[T] = loop.create_future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except Exception as error:
            outcome.set_exception(error)

    loop.call_soon(call)
    return loop.run_until_complete(outcome)


def time_in_turns(
    libraries: Sequence[Library], operation: Operation, batches: int, loop: asyncio.AbstractEventLoop
) -> dict[str, float]:
    """Nanoseconds per operation, by library: the least of *batches* batches of each."""
    least = {library.name: float("inf") for library in libraries}
    orders = itertools.cycle(itertools.permutations(libraries))  # each is as often behind one as behind another
    for order in itertools.islice(orders, batches):
        for library in order:
            least[library.name] = min(least[library.name], library.time(operation, loop))
    return least


class Comparison:
    """All of them, or those that are installed."""

    def __init__(self) -> None:
        self._libraries: list[Library] = []
        self._missing: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()

    def start(self) -> dict[str, Any]:
        for name, module in DEFERREDS.items():
            try:
                self._libraries.append(Deferreds(name, importlib.import_module(module)))
            except ModuleNotFoundError as error:
                self._missing[name] = str(error)
        self._libraries.append(Futures("asyncio"))
        return {"operations": list(OPERATIONS), "missing": self._missing}

    def time(self, operation: str, batches: int) -> dict[str, float]:
        """Nanoseconds per operation, by library that has it: see `time_in_turns`."""
        having = [library for library in self._libraries if library.has(OPERATIONS[operation])]
        return mainthread.submit(lambda: time_in_turns(having, OPERATIONS[operation], batches, self._loop)).result()

    def sizes(self) -> dict[str, dict[str, float]]:
        """Bytes, by kind of object and library."""
        return mainthread.submit(self._sizes).result()

    def _sizes(self) -> dict[str, dict[str, float]]:
        return {
            name: {library.name: library.size(kind, self._loop) for library in self._libraries}
            for name, kind in KINDS.items()
        }

    def stop(self) -> None:
        self._loop.close()
