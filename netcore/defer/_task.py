"""A coroutine driven by netcore, as the asyncio Task it stands in for.

`asyncio.timeout`, `TaskGroup`, `wait_for` (from Python 3.12 on), anyio and aiohttp ask ``asyncio.current_task()`` whom
to cancel. While a coroutine runs, and an asyncio loop runs in its thread, the answer is its `CoroutineTask`; afterwards
it is again what it was before.

`CoroutineTask.cancel` does what Task's does: the coroutine sees `asyncio.CancelledError` at what it waits for, never
within the call. It is another thing than cancelling the coroutine's Deferred, where the coroutine sees what becomes of
what it waits for.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore.defer._chain import Chain, Waiter

if TYPE_CHECKING:
    from netcore.defer._driver import CoroutineDriver

__all__ = ["CoroutineTask", "current_tasks"]

_numbers = itertools.count(1)


class _InThreadState:
    """`current_tasks` where asyncio keeps the current task in the state of the thread."""

    def get(self, loop: asyncio.AbstractEventLoop) -> Any:
        return asyncio.current_task(loop)

    def __setitem__(self, loop: asyncio.AbstractEventLoop, task: Any) -> None:
        asyncio.tasks._swap_current_task(loop, task)  # type: ignore[attr-defined,unused-ignore]  # from 3.12 on

    def __delitem__(self, loop: asyncio.AbstractEventLoop) -> None:
        self[loop] = None


# The current task of each loop that has one. Where asyncio has a table of them, it is taken as it is: asyncio's own
# functions in Python cost 150 ns a call on 3.11.
current_tasks: Any = getattr(asyncio.tasks, "_current_tasks", None)
if current_tasks is None or sys.version_info >= (3, 14):
    current_tasks = _InThreadState()


class _Ended(Waiter):
    """The entry that tells of a coroutine's end, in its Deferred, whose result it passes on."""

    __slots__ = ("task",)

    def __init__(self, task: CoroutineTask) -> None:
        self.task = task

    def _resume(self, source: Chain, result: Any, failed: bool) -> None:
        source._result = result
        self.task.tell()


class CoroutineTask:
    """The current task while *coroutine* runs, with the names, semantics and thread rules of `asyncio.Task`.

    Whoever makes it sets *coroutine*. Here is what libraries ask of the current task, not all of a Task: who wants to
    wait for the coroutine has its Deferred.
    """

    coroutine: Any
    # Not set before they become something else: most coroutines never hear of them (−100 of 1000 ns for a call).
    driver: CoroutineDriver | None = None  # when it has been suspended, and until it has ended
    unheard: asyncio.CancelledError | None = None  # it was cancelled before it had a driver
    requests = 0
    given_up = 0  # how often the coroutine's Deferred was cancelled while it waited
    callbacks: list[tuple[Callable[[Any], object], Context | None]] | None = None
    loop: asyncio.AbstractEventLoop | None = None  # when somebody has asked to be told of the end
    name: str | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """Raise `asyncio.CancelledError` in the coroutine, where it waits, or where it will wait next.

        Returns: False if it has ended.
        """
        if self.done():
            return False
        self.requests += 1
        message = () if msg is None else (msg,)
        if self.driver is not None:
            self.driver.withdraw(message)
        else:
            self.unheard = asyncio.CancelledError(*message)
            self.callbacks = self.callbacks or []  # the one thing that is looked at when it ends without waiting
        return True

    def cancelling(self) -> int:
        """How many calls of `cancel` were not taken back."""
        return self.requests

    def uncancel(self) -> int:
        """Take one call of `cancel` back; what it did remains done. Returns: how many are left."""
        if self.requests > 0:
            self.requests -= 1
            if not self.requests and sys.version_info >= (3, 13):  # what nobody has heard of yet is called off
                self.unheard = None
                if self.driver is not None:
                    self.driver.unheard = None
        return self.requests

    def done(self) -> bool:
        """Whether the coroutine has ended."""
        return self.coroutine.cr_frame is None

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Have the loop call *fn* with this object when the coroutine has ended."""
        new = self.callbacks is None
        self.callbacks = [*(self.callbacks or ()), (fn, context)]
        self.loop = self.get_loop()
        if self.driver is not None:
            if new:
                self.watch(self.driver.deferred)
        elif self.done():
            self.tell()

    def watch(self, deferred: Chain) -> None:
        """Call the callbacks when *deferred*, the coroutine's, has its result."""
        deferred._add(_Ended(self))

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Take *fn* back. Returns: how often it was there."""
        if self.callbacks is None:
            return 0
        before = len(self.callbacks)
        self.callbacks = [one for one in self.callbacks if one[0] != fn]
        return before - len(self.callbacks)

    def tell(self) -> None:
        """Have the callbacks called."""
        callbacks, self.callbacks = self.callbacks or [], []
        loop = self.loop
        if loop is None or loop.is_closed():  # nobody asked, or nobody can be told
            return
        for fn, context in callbacks:
            loop.call_soon(fn, self, context=context)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the coroutine's thread."""
        loop = self.driver and self.driver.loop
        return loop or self.loop or asyncio.get_running_loop()

    def get_coro(self) -> Any:
        """The coroutine."""
        return self.coroutine

    def get_name(self) -> str:
        """The name it was given, or one made for it."""
        if self.name is None:
            self.name = f"netcore-coroutine-{next(_numbers)}"
        return self.name

    def set_name(self, value: object) -> None:
        """Give it a name."""
        self.name = str(value)

    # anyio looks at these three, which Task has beside its documented names.

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self.get_loop()

    @property
    def _must_cancel(self) -> bool:
        return (self.driver or self).unheard is not None

    @property
    def _fut_waiter(self) -> Any:
        return self.driver and self.driver.waiting

    def __repr__(self) -> str:
        waiting = self.driver and self.driver.waiting
        state = "done" if self.done() else "running" if waiting is None else f"waiting for {waiting!r}"
        return f"<coroutine {self.coroutine.__qualname__} driven by netcore, {state}>"
