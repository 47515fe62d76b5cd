"""Deferreds made of something else (a call, a coroutine, an asyncio future), and futures made of Deferreds.

Cancelling crosses in both directions, and its message goes along; each side sees the CancelledError of its own world. A
result is where it was taken to, and nowhere else; a failure that comes when nobody looks any more is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from threading import get_ident
from types import CoroutineType, GeneratorType
from typing import Any, ParamSpec, TypeVar

from netcore._current import reactor_of_thread
from netcore.defer._asyncio import belongs_elsewhere, says_cancelled
from netcore.defer._cancelling import cancel_as_asked
from netcore.defer._chain import CancellingWaiter, caught
from netcore.defer._deferred import Deferred, fail, set_conversions, succeed
from netcore.defer._driver import start_awaitable, start_coroutine, start_generator
from netcore.defer._errors import CancelledError, NotACoroutineError
from netcore.failure import Failure

__all__ = ["execute"]

T = TypeVar("T")
P = ParamSpec("P")


def execute(callable: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call *callable*, which returns its result itself, and make a Deferred of that or of what it raises.

    Raises: TypeError: it returned a Deferred or coroutine; that is for `maybeDeferred`.
    """
    try:
        result = callable(*args, **kwargs)
    except BaseException as error:
        return fail(caught(error))
    if isinstance(result, (Deferred, CoroutineType)):
        if isinstance(result, CoroutineType):
            result.close()  # else Python warns that nobody awaited it, which is no news
        raise TypeError(f"{callable!r} returned {result!r}, not a result: call it through maybeDeferred")
    return succeed(result)


def _from_coroutine(coro: Any) -> Deferred[Any]:
    if coro.__class__ is CoroutineType:
        return start_coroutine(coro)  # type: ignore[no-any-return]
    if isinstance(coro, GeneratorType):
        return start_generator(coro)  # type: ignore[no-any-return]
    if isinstance(coro, Coroutine):  # of a compiler of its own
        return start_awaitable(coro)  # type: ignore[no-any-return]
    if isinstance(coro, Deferred):
        raise NotACoroutineError(f"{coro!r} is no coroutine: take it as it is, or use ensureDeferred")
    raise NotACoroutineError(f"{coro!r} is not a coroutine; call the async function, and pass what it returns")


class _CancelsFuture(CancellingWaiter):
    """The canceller of a Deferred made of an asyncio future, which decides itself what becomes of it."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def pass_on_cancel(self, message: tuple[Any, ...]) -> bool | None:
        return None if self.future.cancel(*message) else False  # done already: its result is on its way


def _from_future(future: asyncio.Future[T]) -> Deferred[T]:
    given: object = future
    if not asyncio.isfuture(given):
        advice = "asyncio.wrap_future() makes one of a concurrent.futures.Future, fromCoroutine() takes a coroutine"
        raise TypeError(f"{future!r} is no asyncio future: {advice}")
    loop = future.get_loop()
    if loop.is_running() and asyncio._get_running_loop() is not loop:
        raise RuntimeError(
            f"{future!r} belongs to a loop that runs in another thread: make the Deferred there, and hand its result "
            "over by reactor.callFromThread()"
        )
    canceller: Any = _CancelsFuture(future)
    deferred: Deferred[T] = Deferred(canceller)

    if future.done():
        _arrived(deferred, future)
    else:
        future.add_done_callback(partial(_arrived, deferred))
    return deferred


def _arrived(deferred: Deferred[T], future: asyncio.Future[T]) -> None:
    outcome = _outcome_of(future)
    if not deferred.called:
        deferred.callback(outcome)
    del deferred, outcome  # see "no cycles" in `_chain`


def _outcome_of(future: asyncio.Future[T]) -> T | Failure:
    """The result of *future*, which is done, or a Failure in netcore's terms."""
    try:
        result = future.result()
    except asyncio.CancelledError as cancelled:
        return Failure(CancelledError(*cancelled.args))
    except BaseException as error:
        return caught(error)
    if isinstance(result, Deferred):
        return Failure(TypeError("an asyncio future had a Deferred as result: await it, and set what comes of it"))
    return result


def _as_future(deferred: Deferred[T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
    elsewhere = belongs_elsewhere(deferred)
    if elsewhere is not None:
        raise elsewhere
    future: asyncio.Future[T] = loop.create_future()
    home = asyncio._get_running_loop()  # of the Deferred; the future may be for a loop of another thread
    taken = False

    def arrived(result: Any) -> Any:
        nonlocal taken
        if future.done():  # cancelled: what it led to is known there, anything else is still the Deferred's
            return None if says_cancelled(deferred, result) else result
        taken = True
        if asyncio._get_running_loop() is loop or (get_ident() == deferred._thread and not loop.is_running()):
            _settle(future, result)
        else:
            loop.call_soon_threadsafe(_settle, future, result)
        return None

    def done(deferred: Deferred[T], future: asyncio.Future[T]) -> None:
        if taken or not future.cancelled():
            return
        message = _outcome_of(future).value.args  # type: ignore[union-attr]  # a Failure
        if get_ident() == deferred._thread:
            cancel_as_asked(deferred, message)
        elif home is not None and home is not loop:
            home.call_soon_threadsafe(cancel_as_asked, deferred, message)
        elif (reactor := reactor_of_thread(deferred._thread)) is not None:
            reactor.callFromThread(cancel_as_asked, deferred, message)
        else:  # its thread runs no loop
            cancel_as_asked(deferred, message)
        del deferred  # see "no cycles" in `_chain`

    future.add_done_callback(partial(done, deferred))
    deferred.addBoth(arrived)
    return future


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    """Give *future* the *result*, a value or Failure, in its loop's thread."""
    failure = result if isinstance(result, Failure) else None
    if future.done():  # cancelled while *result* was on its way from another thread
        if failure is not None and not failure.check(CancelledError):
            fail(failure)  # to be reported
    elif failure is None:
        future.set_result(result)
    elif failure.check(CancelledError):
        future.cancel(*failure.value.args[:1])
    elif isinstance(failure.value, StopIteration):  # asyncio takes none
        error = RuntimeError("the Deferred failed with StopIteration")
        error.__cause__ = failure.value
        future.set_exception(error)
    else:
        future.set_exception(failure.value)


set_conversions(_from_coroutine, _from_future, _as_future)
