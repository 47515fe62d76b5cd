"""One call, later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from netcore._current import current_reactor
from netcore.defer import Deferred
from netcore.interfaces import IReactorTime

__all__ = ["deferLater"]

P = ParamSpec("P")
T = TypeVar("T")


@overload
def deferLater(clock: IReactorTime | None, delay: float) -> Deferred[None]: ...
@overload
def deferLater(
    clock: IReactorTime | None,
    delay: float,
    callable: Callable[P, Deferred[T]],
    *args: P.args,
    **kw: P.kwargs,
) -> Deferred[T]: ...
@overload
def deferLater(
    clock: IReactorTime | None, delay: float, callable: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> Deferred[T]: ...
def deferLater(
    clock: IReactorTime | None,
    delay: float,
    callable: Callable[..., Any] | None = None,
    *args: Any,
    **kw: Any,
) -> Deferred[Any]:
    """Call *callable* after *delay* seconds.

    Args:
        clock: whose seconds; None is the current reactor.
        callable: None just waits.
    Returns: Deferred firing with what *callable* returned. Cancelling it cancels the call.
    Raises: ValueError: *delay* is negative or NaN.
    Fails with: whatever *callable* raised.
    """
    deferred: Deferred[Any] = Deferred(lambda _: call.cancel() if call.active() else None)
    if callable is not None:
        function = callable
        deferred.addCallback(lambda _: function(*args, **kw))
    call = (current_reactor() if clock is None else clock).callLater(delay, deferred.callback, None)
    return deferred
