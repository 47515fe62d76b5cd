"""The operations, as far as asyncio has them, done with its Futures and Tasks.

asyncio delivers a result in the next turn of the loop, and a turn costs as much as several operations. So a batch is
scheduled as a whole and delivered in one turn, two where a Task has to begin first. Callbacks of a turn run in the
order in which they were scheduled: once the function here is resumed, all that it scheduled before have run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.systems.deferreds.batch import BATCH, Stopwatch
from benchmarks.systems.deferreds.with_deferreds import identity

Operation = Callable[[Stopwatch], Awaitable[None]]

WAITERS = 100  # Tasks that wait at the same time, and are resumed in one turn: 50 to 200 are the best for asyncio


async def _one_turn() -> None:
    await asyncio.sleep(0)


def _check(done: bool) -> None:
    if not done:
        raise AssertionError("not all was delivered")


def _handle(future: asyncio.Future[Any]) -> None:
    if not isinstance(future.exception(), ValueError):
        raise TypeError("another error was expected")


def fire_with_callbacks(callbacks: int) -> Operation:
    async def operation(stopwatch: Stopwatch) -> None:
        delivered: list[object] = []
        make = asyncio.get_running_loop().create_future
        future = make()
        with stopwatch:
            for _ in range(BATCH):
                future = make()
                for _ in range(callbacks):
                    future.add_done_callback(identity)
                future.set_result(1)
            future.add_done_callback(delivered.append)
            await _one_turn()
        _check(bool(delivered))

    return operation


async def succeed(stopwatch: Stopwatch) -> None:
    delivered: list[object] = []
    make = asyncio.get_running_loop().create_future
    future = make()
    with stopwatch:
        for _ in range(BATCH):
            future = make()
            future.set_result(1)
            future.add_done_callback(identity)
        future.add_done_callback(delivered.append)
        await _one_turn()
    _check(bool(delivered))


async def await_fired(stopwatch: Stopwatch) -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(BATCH)]
    for future in futures:
        future.set_result(1)

    async def function() -> None:
        for future in futures:
            await future

    with stopwatch:
        await loop.create_task(function())


async def await_pending(stopwatch: Stopwatch) -> None:
    """All Tasks wait when the time begins, and each for one Future more when it ends: as many waits as results."""
    loop = asyncio.get_running_loop()
    turns = [[loop.create_future() for _ in range(WAITERS)] for _ in range(BATCH // WAITERS + 1)]

    async def function(number: int) -> None:
        for futures in turns:
            await futures[number]

    tasks = [loop.create_task(function(number)) for number in range(WAITERS)]
    await _one_turn()
    with stopwatch:
        for futures in turns[:-1]:
            for future in futures:
                future.set_result(1)
            await _one_turn()
    for future in turns[-1]:
        future.set_result(1)
    await _one_turn()
    _check(all(task.done() for task in tasks))


async def create_task(stopwatch: Stopwatch) -> None:
    create = asyncio.get_running_loop().create_task

    async def function() -> int:
        return 1

    task = create(function())
    with stopwatch:
        for _ in range(BATCH):
            task = create(function())
        await _one_turn()
    _check(task.done())


async def set_exception(stopwatch: Stopwatch) -> None:
    delivered: list[object] = []
    make = asyncio.get_running_loop().create_future
    future = make()
    with stopwatch:
        for _ in range(BATCH):
            future = make()
            future.add_done_callback(_handle)
            future.set_exception(ValueError("1"))
        future.add_done_callback(delivered.append)
        await _one_turn()
    _check(bool(delivered))


async def raising(stopwatch: Stopwatch) -> None:
    delivered: list[object] = []
    create = asyncio.get_running_loop().create_task

    async def function() -> None:
        raise ValueError(1)

    with stopwatch:
        for _ in range(BATCH - 1):
            create(function()).add_done_callback(_handle)
        last = create(function())
        last.add_done_callback(_handle)
        last.add_done_callback(delivered.append)
        await _one_turn()  # all have raised
        await _one_turn()
    _check(bool(delivered))


async def gather(stopwatch: Stopwatch) -> None:
    loop = asyncio.get_running_loop()
    lists = [[loop.create_future() for _ in range(100)] for _ in range(BATCH // 100)]
    with stopwatch:
        gathered = [asyncio.gather(*futures) for futures in lists]
        for futures in lists:
            for future in futures:
                future.set_result(1)
        await _one_turn()
    _check(all(future.done() for future in gathered))
