"""Structured concurrency: `scope`, whose children end before it does, and whose errors all come out in one place.

A `Scope` is used in one of two ways, and decides what becomes of its `netcore._children.Children`:

* entered (``async with``): one set of children, and the body. The exit waits for all of them and raises their errors.
  The body is cancelled through ``asyncio.current_task()``, which netcore's coroutines have, too. That is done in a turn
  of the loop of its own, when the body is certain to wait: cancelled while it runs, it might not wait any more, and
  leave behind a cancellation for whoever waits next (before Python 3.13, where uncancel() does not take it back).
* tied, not entered: a set of children from when the first is started until none runs. Then it is dropped, and its
  errors, if there are any, are logged; the next child begins another set.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Generator
from enum import Enum
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from netcore._children import Children, Job, Refused, State, is_cancellation, refuse
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore._owner import ScopeOwner
from netcore.defer import CancelledError, Deferred
from netcore.failure import Failure
from netcore.protocol import BaseProtocol

__all__ = ["Scope", "scope"]

T = TypeVar("T")
P = ParamSpec("P")

logger = logging.getLogger("netcore.scope")

THREAD_LIMIT = 5.0


def scope(owner: object = None) -> Scope:
    """Something to start things in that shall end together: coroutines, Deferreds, calls in threads.

    ::

        async with netcore.scope() as s:
            first = s.start(fetch("one"))
            second = s.start(fetch("two"))
        # here both have ended
        print(await first, await second)

    Args:
        owner: a connection (a transport, or a protocol that is connected) or a `netcore.application.service.Service`,
            whose end ends the scope. With an owner the scope can be used without ``async with``, too; see `Scope`.
    Raises: TypeError: *owner* is nothing of the kind. RuntimeError: *owner* is a protocol that is not connected.
    """
    return Scope(owner)


class _Phase(Enum):
    NEW = "was not entered"
    BODY = "is in its body"
    LEAVING = "waits for its children"
    LEFT = "has ended"


class Scope:
    """What `scope` gives.

    Its children are started with `start` and `deferToThread`, at any time, also by each other, and awaited when the
    ``async with`` is left, however its body has ended. It works in asyncio Tasks and in coroutines driven by netcore.

    When one fails: the other children and the body are cancelled, and awaited. Then all that failed is raised as one
    ExceptionGroup (a BaseExceptionGroup where need be), in the order in which it happened, each exception once, the
    body's own included. A KeyboardInterrupt or SystemExit is raised as it is, as by `asyncio.TaskGroup`; what failed
    beside it is logged.

    Cancelling: a child sees `asyncio.CancelledError` where it waits, once. To have been cancelled by the scope, or
    through the Deferred that `start` gave, is no error; every other CancelledError, netcore's or asyncio's, is one. A
    child that takes no notice is waited for.

    Cancelled from outside (its Task, or the Deferred of its coroutine): the children are cancelled with the same
    message and awaited, and the cancellation goes on. If something has failed, that is raised instead, and the
    cancellation of a Task comes with its next wait (from Python 3.13 on; before, it is lost, as in a TaskGroup).

    Tied to a connection or a service: when the connection is lost, or the service stopped, the scope ends as by
    `cancel`, also if it is entered only later. The children of a connection are cancelled before its protocol hears
    ``connectionLost``, and see that after it, in the loop's next turn; what ``stopService`` returns waits for those of
    the service. The owner holds the scope only while something runs in it. It need not be entered::

        def connectionMade(self):
            self.scope = netcore.scope(self)

        def lineReceived(self, line):
            self.scope.start(self.answer(line))

    No ``async with`` raises its errors then: they are logged, as one ExceptionGroup, when all its children have ended.
    A connection is lost at once, with an ExceptionGroup of what has failed so far, as if the protocol's callback had
    raised that. A service serves on: new children may be started at once, and after it was stopped and started again.
    The children of one scope stand and fall together: what shall go on when another fails belongs in a scope of its
    own, of which an owner may have any number.

    Attributes: *threadLimit*, seconds, see `deferToThread`.
    Threading: for one thread only, that in which it is entered, or the first child started.
    """

    threadLimit = THREAD_LIMIT

    def __init__(self, owner: object = None) -> None:
        self._owner = None if owner is None else _owner_of(owner)
        self._phase = _Phase.NEW
        self._children: Children | None = None
        self._cancelled = False
        # Of one that was entered:
        self._task: Any = None
        self._loop: Any = None
        self._requests = 0  # to cancel the task, that were there before
        self._given_up = 0  # the same, of the Deferred that a coroutine of netcore's has
        self._interrupted = False
        self._emptied: Deferred[None] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether it was ended before its time: by `cancel`; if it was entered, also by its owner's end, from outside,
        or by an error."""
        return self._cancelled

    # Children.

    def start(self, awaitable: Awaitable[T] | Generator[Any, Any, T]) -> Deferred[T]:
        """Begin *awaitable*: a coroutine object, which is run up to where it first waits; a Deferred; or anything else
        that can be awaited.

        Returns: Deferred firing with its result; it stays there after the end of the scope. What it fails with is the
            scope's to raise, and not reported as unhandled. Cancelling it cancels this child alone.
        Raises: RuntimeError: the scope has ended, is being cancelled, was not entered and has no owner, or belongs to
            another thread. A coroutine is closed then. NotACoroutineError, a TypeError: it cannot be awaited.
        """
        children = self._taking(awaitable)
        try:
            return children.start(awaitable)
        finally:
            children.settle()

    def deferToThread(self, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call *f* in a thread of the current reactor's pool.

        A call in a thread cannot be stopped. Cancelled, with the scope or by its Deferred, it is not made if it has not
        begun. If it has, the Deferred fails at once, and the result is dropped; but the scope waits for the thread, so
        that what *f* uses can be closed after it, and raises what *f* raises. It waits for *threadLimit* seconds from
        the cancelling on; then a warning is logged, and it goes on without. (What *f* raises after that is logged.)

        Returns: Deferred firing with what *f* returned, as that of `start`.
        Raises: RuntimeError: as `start`.
        Fails with: whatever *f* raised; TypeError if it returned a Deferred or a coroutine; RuntimeError if the pool
            was stopped.
        """
        children = self._taking(None)
        try:
            return children.start_job(Job(f, args, kwargs), self.threadLimit)
        finally:
            children.settle()

    def cancel(self) -> None:
        """End it: cancel its children and its body. That alone is no error at the exit; what fails nevertheless is.

        Nothing can be started in it any more. Once it is being cancelled, or has ended, this does nothing.

        Raises: RuntimeError: it belongs to another thread.
        """
        if self._children is not None:
            self._children.check_thread()
        self._cancelled = self._cancelled or self._phase is not _Phase.LEFT
        if self._children is not None:
            self._children.cancel("its scope was cancelled")

    def _taking(self, awaitable: Any) -> Children:
        """The children, to which one is about to be added."""
        children = self._children
        if self._phase is _Phase.LEFT:
            raise refuse(awaitable, "the scope has ended, nothing can be started in it")
        if children is None and self._owner is None:
            raise refuse(awaitable, "enter the scope before starting something: `async with netcore.scope() as s`")
        if children is not None:
            children.check_thread(awaitable)
            if children.state is not State.OPEN:
                raise refuse(awaitable, f"nothing can be started in the scope: {children.why}", children)
            return children
        if self._cancelled:
            raise refuse(awaitable, "nothing can be started in the scope: it was cancelled")
        assert self._owner is not None
        if self._owner._ended_because is not None:
            raise refuse(awaitable, f"nothing can be started in the scope: {self._owner._ended_because}")
        self._children = Children(self, self._owner)
        return self._children

    # What the children tell.

    def _children_cancelled(self, children: Children) -> None:
        """They were cancelled: so is the body; or where there is none, the next child is among others."""
        if self._phase is _Phase.NEW:
            self._children = None
            if children.errors and self._owner is not None:
                self._owner._child_failed(Failure(_group(children.errors)))
            return
        self._cancelled = True
        if self._phase is _Phase.BODY and not self._loop.is_closed():
            self._loop.call_soon(self._interrupt, children.why)

    def _interrupt(self, why: str) -> None:
        if self._phase is _Phase.BODY:
            self._interrupted = True
            self._task.cancel(why)

    def _children_idle(self, children: Children) -> None:
        """None of them runs any more."""
        if self._emptied is not None:
            emptied, self._emptied = self._emptied, None
            if not emptied.called:
                emptied.callback(None)
        elif self._phase in (_Phase.NEW, _Phase.LEFT):  # nobody waits at an exit
            if self._children is children:
                self._children = None
            children.close()
            if children.errors:
                errors, children.errors = children.errors, []
                log_failure(
                    logger, Failure(_group(errors)), "in a scope of %s", self._owner or "a coroutine that was closed"
                )

    # The body.

    async def __aenter__(self) -> Self:
        loop = asyncio._get_running_loop()
        task = None if loop is None else asyncio.current_task()
        if task is None:
            raise RuntimeError(
                "a scope is entered in an asyncio Task or in a coroutine that netcore drives, while the loop runs: "
                "where none does, use one tied to an owner, without `async with`"
            )
        if self._phase is not _Phase.NEW or self._children is not None:
            raise RuntimeError("a scope is entered once, and before anything is started in it: make another one")
        self._loop, self._task, self._requests = loop, task, task.cancelling()
        self._given_up = getattr(task, "given_up", 0)
        self._phase = _Phase.BODY
        self._children = children = Children(self, self._owner)
        if self._owner is not None and self._owner._ended_because is not None:
            children.cancel(self._owner._ended_because)
        elif self._cancelled:
            children.cancel("its scope was cancelled")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool:
        children = self._children
        assert children is not None
        self._phase = _Phase.LEAVING
        if self._interrupted:
            self._task.uncancel()
        outside: BaseException | None = None  # the cancellation that is not ours
        try:
            if isinstance(error, GeneratorExit):  # the coroutine is being closed: it cannot wait
                self._abandon(children)
                return False
            if error is not None:
                outside = self._sort(children, error)
            while children.running:
                self._emptied = Deferred()
                try:
                    await self._emptied
                except (asyncio.CancelledError, CancelledError) as again:
                    outside = outside or again
                    children.cancel(*again.args)
                except GeneratorExit:
                    self._abandon(children)
                    raise
            task = self._task
            self._leave(children)
            errors, children.errors = children.errors, []
            if errors:
                # Who has cancelled the task waits for that to be heard. Before 3.13, where uncancel() does not take it
                # back, it would be heard even if the time-out that had asked for it is over.
                if outside is not None and task.cancelling() > self._requests and sys.version_info >= (3, 13):
                    task.uncancel()
                    task.cancel(*outside.args)
                _raise(errors, error)
            if outside is not None and outside is not error:
                raise outside
            return outside is None and not errors
        finally:
            del error, outside, tb  # this frame joins the traceback of what is raised
            errors = []

    def _sort(self, children: Children, error: BaseException) -> BaseException | None:
        """The body has ended with *error*. Returns: that, if it is a cancellation from outside."""
        if is_cancellation(error):
            if children.state is State.OPEN or self._is_from_outside(children, error):
                children.cancel(*error.args)
                return error
        elif not (isinstance(error, Refused) and error.children is children):
            children.note(error)
            children.cancel_for_error()
        return None

    def _is_from_outside(self, children: Children, error: BaseException) -> bool:
        """Whether somebody else has cancelled, too, when *children* were being cancelled.

        netcore's CancelledError is the end of a Deferred, where it is not that of a child: the body itself is cancelled
        in asyncio's terms.
        """
        if self._task.cancelling() > self._requests or getattr(self._task, "given_up", 0) > self._given_up:
            return True
        return isinstance(error, CancelledError) and error.args != (children.why,)

    def _leave(self, children: Children) -> None:
        self._phase = _Phase.LEFT
        self._task = self._loop = self._children = self._owner = None
        children.close()

    def _abandon(self, children: Children) -> None:
        """Nobody waits for the children any more: what they fail with is logged."""
        self._emptied = None
        self._phase = _Phase.LEFT
        children.cancel("the coroutine it was entered in was closed")
        children.settle()
        self._task = self._loop = self._children = self._owner = None


def _raise(errors: list[BaseException], error: BaseException | None) -> None:
    """Raise what an exit raises; but not *error*, which goes on by itself."""
    final = next((each for each in errors if isinstance(each, ENDS_THE_PROGRAM)), None)
    try:
        if final is None:
            raise _group(errors) from None
        others = [each for each in errors if each is not final]
        if others:
            log_failure(logger, Failure(_group(others)), "in a scope that ends with %r", final)
        if final is not error:
            raise final
    finally:
        del errors, error, final  # this frame joins the traceback


def _group(errors: list[BaseException]) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("errors in a scope", list(errors))


def _owner_of(given: Any) -> ScopeOwner:
    if isinstance(given, ScopeOwner):
        return given
    transport = getattr(given, "transport", None)
    if isinstance(transport, ScopeOwner):
        return transport
    if isinstance(given, BaseProtocol) and transport is None:
        raise RuntimeError(f"{given!r} is not connected yet: make its scope in connectionMade()")
    raise TypeError(
        f"a scope is tied to a connection (one of netcore's transports, or a Protocol on one) or to a Service, "
        f"not to {given!r}"
    )
