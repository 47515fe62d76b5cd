"""Coroutines on Deferreds: `inlineCallbacks` for generators, `ensureDeferred` for ``async def``.

What runs them is in `_driver`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType, GeneratorType
from typing import Any, NoReturn, ParamSpec, TypeVar, overload

from netcore.defer._chain import caught
from netcore.defer._deferred import Deferred, fail, succeed
from netcore.defer._driver import Return, start_awaitable, start_coroutine, start_generator
from netcore.defer._errors import NotACoroutineError

__all__ = ["ensureDeferred", "inlineCallbacks", "maybeDeferred", "returnValue"]

T = TypeVar("T")
P = ParamSpec("P")


def returnValue(val: Any) -> NoReturn:
    """End an `inlineCallbacks` generator with the result *val*. Plain ``return val`` does the same; tutorials use
    this."""
    raise Return(val)


def inlineCallbacks(f: Callable[P, Generator[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Make *f*, a generator function, wait for the Deferreds it yields: each ``yield`` gives the result or raises.

    ``yield`` also takes coroutines and asyncio futures; anything else comes straight back. The function then returns a
    Deferred with what the generator returns. Cancelling that cancels what the generator waits for.

    Raises: TypeError, when called: *f* returned no generator.
    """

    @functools.wraps(f)
    def started(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        generator = f(*args, **kwargs)
        if not isinstance(generator, GeneratorType):
            raise TypeError(
                f"inlineCallbacks needs a generator function, but {f!r} returned {generator!r}: "
                "it has no yield (or is async def: use ensureDeferred)"
            )
        return start_generator(generator)  # type: ignore[no-any-return]

    return started


def ensureDeferred(coro: Coroutine[Any, Any, T] | Generator[Any, Any, T] | Deferred[T]) -> Deferred[T]:
    """Start *coro*, a coroutine object (a Deferred is given back as it is).

    It may await Deferreds, coroutines and asyncio futures.

    Returns: Deferred firing with what the coroutine returns. Cancelling it cancels what the coroutine waits for.
    Raises: NotACoroutineError: something else was given.
    """
    if coro.__class__ is CoroutineType:  # the ordinary case
        return start_coroutine(coro)  # type: ignore[no-any-return]
    if isinstance(coro, Deferred):
        return coro
    if isinstance(coro, GeneratorType):
        return start_generator(coro)  # type: ignore[no-any-return]
    if inspect.isawaitable(coro):
        return start_awaitable(coro)  # type: ignore[no-any-return]
    raise NotACoroutineError(f"{coro!r} is not a coroutine; call the async function, and pass what it returns")


@overload
def maybeDeferred(
    f: Callable[P, Deferred[T] | Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]: ...
@overload
def maybeDeferred(
    f: Callable[P, Deferred[T] | Coroutine[Any, Any, T] | T], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]: ...
def maybeDeferred(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Call *f* and make a Deferred of whatever comes: of a result, an exception, a coroutine; a Deferred stays
    itself."""
    try:
        result = f(*args, **kwargs)
    except BaseException as error:
        return fail(caught(error))
    if isinstance(result, Deferred):
        return result
    if isinstance(result, CoroutineType):
        return ensureDeferred(result)
    return succeed(result)
