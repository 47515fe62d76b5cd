"""Child processes: of netcore's reactor, and of asyncio. Twisted's are beside. `true` is run, and all it writes
(nothing) and its exit code are collected.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

from benchmarks.people import WrongAnswer
from benchmarks.systems.base import ROUND_TIMEOUT, AsyncioProgram, ReactorHost
from netcore.reactors import Reactor
from netcore.utils import getProcessOutputAndValue

AT_A_TIME = 20
PROGRAM = "/bin/true"
EXPECTED = (b"", b"", 0)


class OnReactor(ReactorHost):
    """The system, on a reactor.

    Args:
        run: the `getProcessOutputAndValue` that goes with it.
    """

    def __init__(self, reactor: Any, run: Callable[..., Any]) -> None:
        super().__init__(reactor)
        self._run = run

    def round(self, operations: int) -> list[float]:
        """One round."""
        latencies: list[float] = []
        finished: Future[None] = Future()
        left = operations

        def start_next() -> None:
            nonlocal left
            if left:
                left -= 1
                self._run(PROGRAM, reactor=self.reactor).addCallbacks(ended, failed, callbackArgs=(perf_counter(),))

        def ended(result: Any, started: float) -> None:
            latencies.append(perf_counter() - started)
            if result != EXPECTED and not finished.done():
                finished.set_exception(WrongAnswer(f"{PROGRAM} has ended with {result!r}"))
            if len(latencies) == operations and not finished.done():
                finished.set_result(None)
            start_next()

        def failed(failure: Any) -> None:
            if not finished.done():
                finished.set_exception(failure.value)

        def begin() -> None:
            for _ in range(AT_A_TIME):
                start_next()

        self.call(begin)
        finished.result(ROUND_TIMEOUT)
        return latencies


class Netcore(OnReactor):
    """netcore: ``utils.getProcessOutputAndValue``, over asyncio's default loop or uvloop's."""

    def __init__(self, loop: str = "asyncio") -> None:
        super().__init__(Reactor(loop), getProcessOutputAndValue)


class Asyncio(AsyncioProgram):
    """asyncio: ``create_subprocess_exec`` and ``communicate``, of the default loop or uvloop."""

    async def open(self, stack: AsyncExitStack) -> None:
        pass

    def round(self, operations: int) -> list[float]:
        """One round."""
        latencies: list[float] = []
        numbers = iter(range(operations))

        async def client() -> None:
            for _ in numbers:
                started = perf_counter()
                process = await asyncio.create_subprocess_exec(PROGRAM, stdin=PIPE, stdout=PIPE, stderr=PIPE, env={})
                result = (*await process.communicate(), process.returncode)
                latencies.append(perf_counter() - started)
                if result != EXPECTED:
                    raise WrongAnswer(f"{PROGRAM} has ended with {result!r}")

        async def clients() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_A_TIME):
                    group.create_task(client())

        asyncio.run_coroutine_threadsafe(clients(), self.loop).result(ROUND_TIMEOUT)
        return latencies
