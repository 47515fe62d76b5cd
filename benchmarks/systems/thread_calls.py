"""Calls from threads into the loop's: of netcore's reactor, and of asyncio's loops. Twisted's are beside.

Those of one thread must be made in the order in which it asked for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from time import perf_counter

from benchmarks.people import WrongAnswer
from benchmarks.systems.base import ROUND_TIMEOUT, AsyncioProgram, ReactorHost
from netcore.reactors import Reactor

THREADS = 8


def flood(call_from_thread: Callable[..., object], operations: int) -> list[float]:
    """Have that many calls made, from `THREADS` threads. Returns: the seconds that each took to come."""
    latencies: list[float] = []
    next_of = [0] * THREADS
    outcome: Future[list[float]] = Future()

    def arrived(thread: int, number: int, asked: float) -> None:
        latencies.append(perf_counter() - asked)
        if next_of[thread] != number and not outcome.done():
            outcome.set_exception(WrongAnswer("a call was made before an earlier one of its thread"))
        next_of[thread] = number + 1
        if len(latencies) == operations and not outcome.done():
            outcome.set_result(latencies)

    def call(thread: int, calls: int) -> None:
        for number in range(calls):
            call_from_thread(arrived, thread, number, perf_counter())

    threads = [
        threading.Thread(target=call, args=(number, operations // THREADS + (number < operations % THREADS)))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcome.result(ROUND_TIMEOUT)


class OnReactor(ReactorHost):
    """The system, on a reactor."""

    def round(self, operations: int) -> list[float]:
        """One round."""
        return flood(self.reactor.callFromThread, operations)


class Netcore(OnReactor):
    """netcore: ``reactor.callFromThread``, over asyncio's default loop or uvloop's."""

    def __init__(self, loop: str = "asyncio") -> None:
        super().__init__(Reactor(loop))


class Asyncio(AsyncioProgram):
    """asyncio: ``loop.call_soon_threadsafe``, of the default loop or uvloop's."""

    async def open(self, stack: AsyncExitStack) -> None:
        pass

    def round(self, operations: int) -> list[float]:
        """One round."""
        return flood(self.loop.call_soon_threadsafe, operations)
