"""What a reactor does with the asyncio loop beneath it, besides using its turns.

Living with a loop that others run. The loop keeps the reactor attached to it, as an attribute: a table of ours could
hold neither of them weakly, since each needs the other, and would keep both of a loop that was dropped without a word.
And a loop tells nobody that its program is ending, but for one thing: asyncio.run(), Runner and their like call
``loop.shutdown_asyncgens()``, which closes every asynchronous generator whose first step was taken in the loop, and
waits until it is closed. So an attached reactor holds a suspended generator, whose end is the reactor's. (Tried on
asyncio's loops and uvloop's, Python 3.11 to 3.13.)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netcore.reactors._turns import Turns

__all__ = ["call_at_end", "end_tasks", "is_ending", "is_virtual", "kept_by", "let_keep", "seconds_of", "turn"]

_KEPT = "_netcore_reactor"
_VIRTUAL = "_netcore_virtual"
_LONGEST = 24 * 3600.0  # that a loop is asked to wait: see `_turns`
_ENDING = frozenset({"shutdown_asyncgens", "shutdown_default_executor"})


def turn(loop: asyncio.AbstractEventLoop, delay: float, turns: Turns) -> None:
    """Have *loop*, which does not run, turn once, after waiting *delay* seconds at most for something to do.

    A loop that is told to stop beforehand does not wait; so asyncio's are told when their selector, which is asked in
    our name, has answered. uvloop tells nobody when something has happened: there it is *delay* seconds of turns,
    unless something of *turns* was served. And it calls in one turn what was ready in the one before: without a delay
    it takes two.
    """
    selector = getattr(loop, "_selector", None)
    ends: list[asyncio.Handle] = []  # cancelled when an exception was quicker: they are not to end the next run

    def end_soon() -> None:
        ends.append(loop.call_soon(loop.stop))

    if delay > 0:
        turns.on_served = end_soon
        limit = min(delay, _LONGEST)
        ends.append(loop.call_later(limit, loop.stop if selector is None else _nothing))
    elif selector is None:
        ends.append(loop.call_soon(end_soon))
    else:
        end_soon()
    try:
        if delay <= 0 or selector is None:
            loop.run_forever()
        else:
            _until_selected(loop, selector)
    finally:
        turns.on_served = None
        for end in ends:
            end.cancel()


def _until_selected(loop: asyncio.AbstractEventLoop, selector: Any) -> None:
    """Run *loop* until the end of the turn in which *selector* has waited."""
    select = selector.select

    def select_once(timeout: float | None = None) -> object:
        events = select(timeout)
        loop.stop()
        return events

    selector.select = select_once
    try:
        loop.run_forever()
    finally:
        del selector.select


def _nothing() -> None:
    """How long a timer is set for is how long the loop has its selector wait."""


async def end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """End what runs on *loop*, which is ours alone, as asyncio.run() does before it closes one.

    Tasks are cancelled and run to their end, and what goes wrong is told to the loop's exception handler.
    """
    tasks = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task(loop)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            what = {"message": "a task that dispose() ended failed", "exception": error, "task": task}
            loop.call_exception_handler(what)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def is_virtual(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether *loop* never waits: its time is virtual (`netcore.testing.network`)."""
    return bool(getattr(loop, _VIRTUAL, False))


def seconds_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The clock of reactors on *loop*: the monotonic one, unless the time of the loop itself is virtual."""
    return loop.time if is_virtual(loop) else time.monotonic


def kept_by(loop: asyncio.AbstractEventLoop) -> Any:
    """What *loop* keeps for us, or None."""
    return getattr(loop, _KEPT, None)


def let_keep(loop: asyncio.AbstractEventLoop, reactor: object) -> None:
    """Have *loop* keep *reactor*."""
    setattr(loop, _KEPT, reactor)


def is_ending(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the program of *loop* is known to be ending: an asynchronous generator begun now would not be closed.

    asyncio's loops know. uvloop's keep it to themselves, but what ends a program (asyncio.run() and its like) runs the
    loop's own coroutines for that as tasks.
    """
    if getattr(loop, "_asyncgens_shutdown_called", False):
        return True
    return any(getattr(task.get_coro(), "__name__", None) in _ENDING for task in asyncio.all_tasks(loop))


def call_at_end(finish: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Have ``finish()`` awaited when the program of the running loop ends.

    Returns: a generator, which the caller keeps: the loop refers to it weakly.
    """

    async def wait() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await finish()

    generator = wait()
    with contextlib.suppress(StopIteration):  # so a coroutine says that it has come to its end: here, to the yield
        generator.__anext__().__await__().send(None)
    return generator
