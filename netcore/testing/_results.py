"""What a Deferred has come to, for tests: now, without waiting.

Each also takes a coroutine, which is started. A message says of which Deferred it speaks, what it has come to, and, of
a failure, its traceback.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from netcore.defer import Deferred, ensureDeferred
from netcore.failure import Failure

__all__ = ["assertNoResult", "failureResultOf", "successResultOf"]

T = TypeVar("T")
Result = Deferred[T] | Coroutine[Any, Any, T] | Generator[Any, Any, T]

_NOTHING: Any = object()


def successResultOf(deferred: Result[T]) -> T:
    """The result that *deferred* has now. It is taken out: what comes after in the chain gets None.

    Args:
        deferred: a Deferred or a coroutine.
    Raises: AssertionError: it has none, or has failed; the failure counts as handled then. TypeError: it is neither.

    >>> from netcore.defer import succeed
    >>> successResultOf(succeed("done"))
    'done'
    """
    __tracebackhide__ = True
    shown, found = _look(deferred, take=True)
    if found is _NOTHING:
        raise AssertionError(f"a result was expected of {shown}, and it has no result yet")
    if isinstance(found, Failure):
        raise AssertionError(f"a result was expected of {shown}, and it has failed:\n{_told(found)}")
    result: T = found
    return result


def failureResultOf(deferred: Result[Any], *expectedExceptionTypes: type[BaseException]) -> Failure:
    """The failure that *deferred* has now. It is taken out, and counts as handled.

    Args:
        deferred: a Deferred or a coroutine.
        expectedExceptionTypes: one of these it is to be; none: any.
    Returns: the Failure; the exception is its ``value``.
    Raises: AssertionError: it has no result, or one that is no failure, or a failure of another type. TypeError: it is
        neither.

    >>> from netcore.defer import fail
    >>> failureResultOf(fail(KeyError("name")), LookupError).value
    KeyError('name')
    """
    __tracebackhide__ = True
    wanted = "a failure" if not expectedExceptionTypes else f"a failure with {_any_of(expectedExceptionTypes)}"
    shown, found = _look(deferred, take=True)
    if found is _NOTHING:
        raise AssertionError(f"{wanted} was expected of {shown}, and it has no result yet")
    if not isinstance(found, Failure):
        raise AssertionError(f"{wanted} was expected of {shown}, and its result is {found!r}")
    if expectedExceptionTypes and not found.check(*expectedExceptionTypes):
        raise AssertionError(f"{wanted} was expected of {shown}, and it has failed otherwise:\n{_told(found)}")
    return found


def assertNoResult(deferred: Result[Any]) -> None:
    """*deferred* has no result yet. What it comes to later goes its way.

    Args:
        deferred: a Deferred or a coroutine.
    Raises: AssertionError: it has one; a failure counts as handled then, a result stays. TypeError: it is neither.

    >>> from netcore.defer import Deferred
    >>> assertNoResult(Deferred())
    """
    __tracebackhide__ = True
    shown, found = _look(deferred, take=False)
    if isinstance(found, Failure):
        raise AssertionError(f"no result was expected of {shown}, and it has failed:\n{_told(found)}")
    if found is not _NOTHING:
        raise AssertionError(f"no result was expected of {shown}, and it has {found!r}")


def _look(given: Any, take: bool) -> tuple[str, Any]:
    """How the Deferred shows itself, and the result it has, or `_NOTHING`. A failure is taken out, and a result if it
    is to be; what comes later goes its way."""
    deferred = ensureDeferred(given)
    shown = repr(deferred)
    found = _NOTHING
    looking = True

    def look(result: Any) -> Any:
        nonlocal found
        if not looking:
            return result
        found = result
        return None if take or isinstance(result, Failure) else result

    deferred.addBoth(look)
    looking = False
    return shown, found


def _told(failure: Failure) -> str:
    return failure.getTraceback(elideFrameworkCode=True).rstrip()


def _any_of(types: tuple[type[BaseException], ...]) -> str:
    return " or ".join(f"{each.__module__}.{each.__qualname__}" for each in types)
