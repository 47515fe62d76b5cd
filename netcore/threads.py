"""Calls between the reactor's thread and others, with Deferreds on the reactor's side.

What is called in a thread sees a copy of the caller's context (contextvars), and so do the callbacks of the Deferred
that fires with its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from queue import SimpleQueue
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from netcore._current import current_reactor
from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.error import ReactorNotRunning
from netcore.failure import Failure
from netcore.reactors import Reactor

if TYPE_CHECKING:
    from netcore.interfaces import IReactorFromThreads
    from netcore.threadpool import ThreadPool

__all__ = ["blockingCallFromThread", "callMultipleInThread", "deferToThread", "deferToThreadPool"]

P = ParamSpec("P")
T = TypeVar("T")


def deferToThread(f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call *f* in a thread of the current reactor's pool.

    Returns: Deferred firing, in the reactor's thread, with what *f* returned. Cancelling it drops the result: a call
        in a thread cannot be stopped.
    Fails with: whatever *f* raised; TypeError if it returned a Deferred or a coroutine, which would belong to the
        reactor's thread; RuntimeError if the reactor is shutting down and takes no more.
    Threading: call in the reactor's thread.
    """
    reactor = current_reactor()
    return deferToThreadPool(reactor, reactor.getThreadPool(), f, *args, **kwargs)


def deferToThreadPool(
    reactor: IReactorFromThreads, threadpool: ThreadPool, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]:
    """Call *f* in a thread of *threadpool*.

    Returns: Deferred firing, in the thread of *reactor*, with what *f* returned. Cancelling it drops the result.
    Fails with: whatever *f* raised; TypeError if it returned a Deferred or a coroutine; RuntimeError if the pool was
        stopped.
    Threading: call in the reactor's thread.
    """
    deferred: Deferred[T] = Deferred()

    def on_result(success: bool, result: Any) -> None:
        if isinstance(result, (Deferred, CoroutineType)):
            success, result = False, _refused(f, result)
        with contextlib.suppress(ReactorNotRunning):  # disposed of meanwhile: nobody waits any more
            reactor.callFromThread(deferred.callback if success else deferred.errback, result)

    try:
        threadpool.callInThreadWithCallback(on_result, f, *args, **kwargs)
    except RuntimeError:
        deferred.errback(Failure())
    return deferred


def _refused(f: Callable[..., Any], result: Deferred[Any] | CoroutineType[Any, Any, Any]) -> Failure:
    what = "Deferred"
    if isinstance(result, CoroutineType):
        result.close()
        what = "coroutine"
    return Failure(
        TypeError(
            f"{f!r}, called in a thread, returned a {what}: call it in the reactor's thread, "
            "or wait for it in that thread, by blockingCallFromThread()"
        )
    )


@overload
def blockingCallFromThread(
    reactor: IReactorFromThreads, f: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T: ...
@overload
def blockingCallFromThread(reactor: IReactorFromThreads, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
def blockingCallFromThread(reactor: IReactorFromThreads, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call *f* in the thread of *reactor*, wait for its result, that of a Deferred, coroutine or any other awaitable
    included, and return that.

    Raises: whatever *f* raised, or its Deferred failed with. ReactorNotRunning: the reactor was disposed of before
        there was a result (if it was only stopped, this waits for its next run). RuntimeError: called in the reactor's
        own thread, which would wait for itself.
    Threading: call in any thread but the reactor's.
    """
    if asyncio._get_running_loop() is not None and asyncio._get_running_loop() is getattr(reactor, "loop", None):
        raise RuntimeError(
            "blockingCallFromThread() was called in the reactor's own thread, which would wait for itself"
        )
    results: SimpleQueue[Any] = SimpleQueue()

    def call() -> Any:
        result = f(*args, **kwargs)
        return ensureDeferred(cast("Deferred[Any]", result)) if inspect.isawaitable(result) else result

    def begin() -> None:
        if isinstance(reactor, Reactor):
            reactor._owed += 1
        maybeDeferred(call).addBoth(give)

    def give(result: Any) -> None:
        if isinstance(reactor, Reactor):
            reactor._owed -= 1  # first: from here on the thread does not wait for the reactor
        results.put(result)

    def let_go() -> None:
        results.put(Failure(ReactorNotRunning(f"the reactor was disposed of before {f!r} had a result")))

    blocked = reactor._blocked if isinstance(reactor, Reactor) else set()
    blocked.add(let_go)
    try:
        reactor.callFromThread(begin)
        result = results.get()
    finally:
        blocked.discard(let_go)
    if isinstance(result, Failure):
        result.raiseException()
    return result


def callMultipleInThread(tupleList: Iterable[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]) -> None:
    """Make several calls, ``(function, args, kwargs)`` each, one after the other in one thread of the reactor's pool.

    What one raises is logged, and ends the rest.

    Threading: call in the reactor's thread.
    """
    current_reactor().callInThread(_call_all, deque(tupleList))


def _call_all(calls: deque[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]) -> None:
    while calls:
        func, args, kwargs = calls.popleft()
        func(*args, **kwargs)
        del func, args, kwargs  # may be a Deferred's, and this frame in the traceback that its failure holds
