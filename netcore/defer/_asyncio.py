"""`Awaiting`: what ``await deferred`` yields to whoever drives the coroutine, be it netcore or an asyncio Task.

netcore's driver takes only the Deferred from it, and waits for that as for one that a generator yields. A Task accepts
what looks like an asyncio future: the class attribute ``_asyncio_future_blocking`` and the methods below (found by
trying every combinator of asyncio on CPython 3.11–3.13). Keeping that duck type here keeps it off Deferred.

Two rules of the Task: done-callbacks come through ``loop.call_soon``, never synchronously; and a cancelled future
raises `asyncio.CancelledError`, with its message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import Any

from netcore._current import loop_where, thread_name
from netcore.defer._cancelling import cancel_as_asked
from netcore.defer._chain import Chain, Waiter
from netcore.defer._combine import DeferredList
from netcore.defer._deferred import Deferred, fail, set_awaiting
from netcore.defer._errors import CancelledError, FailureGroup, FirstError
from netcore.defer._unhandled import Told
from netcore.failure import Failure

__all__ = ["Awaiting", "belongs_elsewhere", "leave", "says_cancelled"]

_PENDING: Any = object()
_GIVEN_UP: Any = object()


class Awaiting(Waiter):
    """One ``await`` of a Deferred whose result cannot be taken at once. `Deferred.__await__` makes it and sets
    *deferred* and *loop* (None); everything else is there once a Task asks to be called back."""

    __slots__ = ("_asked", "_asyncio_future_blocking", "_callbacks", "_message", "_outcome", "deferred", "loop")

    deferred: Deferred[Any]  # not there any more if the Task has given up
    _outcome: Any
    loop: asyncio.AbstractEventLoop | None  # of the Task that awaits; None: no Task does

    def _resume(self, source: Chain, result: Any, failed: bool) -> None:
        """The Deferred has its result."""
        if self._outcome is _GIVEN_UP:
            leave(source, result)
            del source, result
            return
        self._outcome = result
        del result
        self._schedule()

    def outcome(self) -> Any:
        """The value, for the coroutine, which takes it away."""
        outcome, self._outcome = self._outcome, None
        return outcome

    # What an asyncio Task asks of a future

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the Task that asks."""
        return asyncio.get_running_loop()

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Have the loop call *fn* with this object once the result is there."""
        if self.loop is None:
            self._callbacks: list[tuple[Callable[[Any], object], Context | None]] = [(fn, context)]
            self._asked = False
            self._message: tuple[Any, ...] = ()
            self._outcome = _PENDING
            self.loop = asyncio.get_running_loop()
            elsewhere = belongs_elsewhere(self.deferred)
            if elsewhere is None:
                self.deferred._add(self)  # last: another thread may fire it
            else:
                self._resume(self.deferred, Failure(elsewhere), True)
        else:
            self._callbacks.append((fn, context))
            if self.done():
                self._schedule()

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Take *fn* back; returns how often it was there."""
        if self.loop is None:
            return 0
        kept = [(known, context) for known, context in self._callbacks if known != fn]
        removed = len(self._callbacks) - len(kept)
        self._callbacks = kept
        return removed

    def _schedule(self) -> None:
        loop = self.loop
        assert loop is not None
        callbacks, self._callbacks = self._callbacks, []
        # A worker thread may have fired the Deferred; the Task must hear of it in its own.
        here = asyncio._get_running_loop() is loop
        call_soon = loop.call_soon if here else loop.call_soon_threadsafe
        for fn, context in callbacks:
            call_soon(fn, self, context=context)

    def done(self) -> bool:
        """Whether the result is there."""
        return self.loop is not None and self._outcome is not _PENDING

    def cancelled(self) -> bool:
        """Whether the Deferred was cancelled, or is not waited for any more."""
        if self._outcome is _GIVEN_UP:
            return True
        if self._asked:
            return says_cancelled(self.deferred, self._outcome)
        return isinstance(self._outcome, Failure) and self._outcome.check(CancelledError) is not None

    def cancel(self, msg: str | None = None) -> bool:
        """Cancel the Deferred, or give up waiting for it if that does nothing; False if it has its result."""
        if self.done():
            outcome = self._outcome
            if isinstance(outcome, Failure) and not self.cancelled():
                self._outcome = Told(outcome)
                fail(outcome)  # to be reported: the Task will not raise it, but that it was cancelled
            return False
        self._asked = True
        self._message = () if msg is None else (msg,)
        if not cancel_as_asked(self.deferred, self._message) and self._outcome is _PENDING:
            self._outcome = _GIVEN_UP
            del self.deferred  # which has this for an entry
            self._schedule()
        del self  # see "no cycles" in `_chain`
        return True

    def exception(self) -> BaseException | None:
        """What it failed with, or None.

        Raises: asyncio.CancelledError: it was cancelled. asyncio.InvalidStateError: no result yet.
        """
        if not self.done():
            raise asyncio.InvalidStateError("the Deferred has no result yet")
        if self.cancelled():
            raise self._make_cancelled_error()
        return self._outcome.value if isinstance(self._outcome, Failure) else None

    def result(self) -> Any:
        """The result; raises what the Deferred failed with."""
        error = self.exception()
        if error is None:
            return self._outcome
        tb, self._outcome = self._outcome.tb, None  # the coroutine that gets the error holds this object, too
        try:
            raise error.with_traceback(tb)
        finally:
            del self, error, tb  # this frame joins the traceback

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        outcome = self._outcome
        if self._asked or not isinstance(outcome, Failure):
            return asyncio.CancelledError(*self._message)
        return asyncio.CancelledError(*outcome.value.args)  # cancelled by somebody else, who may have said why


set_awaiting(Awaiting)


def says_cancelled(deferred: Chain, outcome: Any) -> bool:
    """Whether *outcome* is what came of cancelling *deferred*, and not a result of its own that came first.

    Several as one say so in their own way: a list fires all the same, with the cancelled ones in it (asyncio's gather()
    is cancelled as a whole then), or fails with the first of them; a race fails with all of them.
    """
    if not isinstance(outcome, Failure):
        return isinstance(deferred, DeferredList)
    while isinstance(outcome.value, FirstError):
        outcome = outcome.value.subFailure
    if isinstance(outcome.value, FailureGroup):
        return all(failure.check(CancelledError) for failure in outcome.value.failures)
    return outcome.check(CancelledError) is not None


def leave(deferred: Chain, result: Any) -> None:
    """*result* has come to somebody who had been cancelled and does not wait for *deferred* any more. It is still the
    Deferred's; unless it is what came of that."""
    if not isinstance(result, Failure) or not says_cancelled(deferred, result):
        deferred._result = result
    del deferred, result  # see "no cycles" in `_chain`


def belongs_elsewhere(deferred: Chain) -> RuntimeError | None:
    """The error to be raised where *deferred* is awaited, if it was made in another thread and a loop runs there: its
    callbacks and its canceller belong in that thread. None if it may be awaited.

    A thread that runs no loop can do without one: it may make a Deferred that a loop's thread awaits.
    """
    thread = deferred._thread
    if thread == get_ident():
        return None
    loop = loop_of(deferred)
    if loop is None:
        return None
    return RuntimeError(
        f"{deferred!r} belongs to another thread, {thread_name(thread)}, where {loop!r} runs, and cannot be awaited in "
        "this one: call what makes it through threads.blockingCallFromThread(), or hand its result over by "
        "callFromThread() or loop.call_soon_threadsafe()"
    )


def loop_of(deferred: Chain) -> asyncio.AbstractEventLoop | None:
    """The loop that runs in the thread that *deferred* was made in, if one is seen there."""
    return loop_where(deferred._thread)
