"""`Deferred`: a result that is not there yet, and the callbacks that wait for it. This is its surface: what users call.

The machine beneath, with its states and invariants, is in `_chain`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from netcore._current import current_reactor
from netcore.defer._chain import (
    CHAINED,
    FAILED,
    FIRED,
    PENDING,
    RUNNING,
    Chain,
    Waiter,
    caught,
    claim,
    rest,
    run,
    run_on,
    run_one,
    take,
)
from netcore.defer._errors import AlreadyCalledError, CancelledError, TimeoutError
from netcore.failure import Failure, _Special

if TYPE_CHECKING:
    import asyncio

    from netcore.interfaces import IReactorTime

__all__ = [
    "EAT_ONE",
    "Deferred",
    "Target",
    "fail",
    "set_awaiting",
    "set_cancel",
    "set_conversions",
    "succeed",
]

T = TypeVar("T")
U = TypeVar("U")
E = TypeVar("E")
P = ParamSpec("P")
Q = ParamSpec("Q")

logger = logging.getLogger("netcore.defer")


class _EatOne:
    """In place of a canceller: the Deferred was cancelled, and the one result still to come is dropped."""

    def __repr__(self) -> str:
        return "<eat one result>"


EAT_ONE: Any = _EatOne()


class Deferred(Chain, Generic[T]):
    """A result that will be there later, handed through a chain of callbacks.

    Each callback gets what the one before returned; what one raises goes to the next errback, as a `Failure`. A
    callback may return another Deferred: the chain goes on when that has its result.

    Args:
        canceller: called with this Deferred when it is cancelled while it has no result. It should stop the work and
            may fire the Deferred; if it does not, `CancelledError` does.
    Threading: made, given callbacks and cancelled in one thread, the reactor's. It may be *fired* from another one;
        callbacks then run there, coroutines that wait for it go on in their own.
    """

    __slots__ = ()

    # Out of another world, and into it

    @classmethod
    def fromCoroutine(cls, coro: Coroutine[Any, Any, U] | Generator[Any, Any, U]) -> Deferred[U]:
        """Start *coro*, a coroutine object. It may await Deferreds, coroutines and asyncio futures.

        Returns: Deferred firing with what the coroutine returns. Cancelling it cancels what the coroutine waits for.
        Raises: NotACoroutineError: something else was given.
        """
        return _from_coroutine(coro)  # type: ignore[no-any-return]

    @classmethod
    def fromFuture(cls, future: asyncio.Future[U]) -> Deferred[U]:
        """Wait for *future*, an asyncio future or Task of this thread's loop. (Coroutines await it as it is.)

        Returns: Deferred firing with its result: at once, if it is done. Cancelling it cancels *future*; what that ends
            with is the result, which the loop brings.
        Raises: TypeError: something else was given. RuntimeError: its loop runs in another thread.
        Fails with: what *future* failed with; `CancelledError`, if it was cancelled.
        """
        return _from_future(future)  # type: ignore[no-any-return]

    def asFuture(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
        """An asyncio future of *loop* that takes the result. (Tasks await the Deferred as it is.)

        Cancelling the future cancels the Deferred, and the other way round.

        Args:
            loop: may run in another thread.
        Returns: the future.
        Raises: RuntimeError: this Deferred belongs to another thread, whose reactor runs.
        Threading: call it in the Deferred's thread.
        """
        return _as_future(self, loop)  # type: ignore[no-any-return]

    # Looking

    @property
    def called(self) -> bool:
        """Whether it was fired or cancelled."""
        return self._state != PENDING

    @property
    def paused(self) -> int:
        """How many `pause` calls are not yet undone."""
        return self._paused

    @property
    def result(self) -> Any:
        """The result so far: a value, a Failure, or a Deferred that is waited for.

        Raises: AttributeError: there is none yet.
        """
        if self._state == PENDING:
            raise AttributeError("this Deferred has no result yet")
        return self._result.failure if self._state == FAILED else self._result

    def __repr__(self) -> str:
        name = f"{type(self).__name__} at {id(self):#x}"
        if self._state == PENDING:
            return f"<{name}>"
        if self._state == RUNNING:
            return f"<{name} running its callbacks>"  # its result is out of date, and may be itself
        if self._state == CHAINED:
            return f"<{name} waiting on {type(self._result).__name__} at {id(self._result):#x}>"
        return f"<{name} current result: {self.result!r}>"

    # Adding callbacks

    # A checker finds U in ``Deferred[U] | U`` only where nothing else would do: each case is told.

    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, P], Failure | Deferred[U]],
        errback: Callable[Concatenate[Failure, Q], Failure | Deferred[E]],
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[U | E]: ...

    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, P], Failure | Deferred[U]],
        errback: Callable[Concatenate[Failure, Q], Failure | Deferred[E] | E],
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[U | E]: ...

    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, P], Failure | Deferred[U] | U],
        errback: Callable[Concatenate[Failure, Q], Failure | Deferred[E]],
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[U | E]: ...

    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, P], Failure | Deferred[U] | U],
        errback: Callable[Concatenate[Failure, Q], Failure | Deferred[E] | E],
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[U | E]: ...

    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, P], Failure | Deferred[U]],
        errback: None = None,
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[U]: ...

    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, P], Failure | Deferred[U] | U],
        errback: None = None,
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[U]: ...

    @overload
    def addCallbacks(
        self,
        callback: None,
        errback: Callable[Concatenate[Failure, Q], Failure | Deferred[E]],
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[T | E]: ...

    @overload
    def addCallbacks(
        self,
        callback: None,
        errback: Callable[Concatenate[Failure, Q], Failure | Deferred[E] | E],
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[T | E]: ...

    def addCallbacks(
        self,
        callback: Callable[..., Any] | None,
        errback: Callable[..., Any] | None = None,
        callbackArgs: Sequence[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Sequence[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Add *callback* for a result and, in the same place of the chain, *errback* for a failure.

        Called at once if the result is there. What *callback* raises does not go to this *errback* but to a later one.

        Args:
            callback, errback: called with the result or Failure and these arguments; None passes it on.
        Returns: this Deferred.
        Raises: TypeError: not callable.
        """
        if callback.__class__ is not FunctionType and callback is not None and not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")
        if errback.__class__ is not FunctionType and errback is not None and not callable(errback):
            raise TypeError(f"a callback must be callable, not {errback!r}")
        entry: Any
        if callbackArgs or callbackKeywords or errbackArgs or errbackKeywords:
            args, errargs = tuple(callbackArgs or ()), tuple(errbackArgs or ())
            entry = (callback, errback, args, errargs, callbackKeywords or None, errbackKeywords or None)
            del args, errargs
        else:
            entry = (callback, errback)
        self._add(entry)
        try:
            return self
        finally:  # see "no cycles" in `_chain`
            del self, entry, callback, errback, callbackArgs, callbackKeywords, errbackArgs, errbackKeywords

    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], Failure], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...

    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], Failure | Deferred[U]], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[U]: ...

    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], Failure | U], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[U]: ...

    def addCallback(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Add *callback*, to be called with the result and the arguments given. Failures pass it by.

        Returns: this Deferred.
        Raises: TypeError: not callable.
        """
        if callback.__class__ is not FunctionType and not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")
        entry: Any = (callback, None, args, (), kwargs or None, None) if args or kwargs else callback
        # From here on as `_add`, a call that is a tenth of all this.
        if self._more is None and self._first is None:
            if self._state == FIRED and not self._paused:
                self._state = RUNNING
                run_one(self, entry, self._result, False)
                try:
                    return self
                finally:
                    del self, entry, callback, args, kwargs  # see "no cycles" in `_chain`
            self._first = entry
        else:
            cell = [entry, None]
            if self._more is None:
                self._more = cell
            else:
                self._tail[1] = cell
            self._tail = cell
        if self._state < FIRED:
            return self
        run(self)
        try:
            return self
        finally:
            del self, entry, callback, args, kwargs

    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], Failure], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...

    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], Failure | Deferred[U]], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T | U]: ...

    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], Failure | U], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T | U]: ...

    def addErrback(self, errback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Add *errback*, to be called with the Failure and the arguments given. Results pass it by.

        What it returns is a result again; to stay a failure, return the Failure or raise.

        Returns: this Deferred.
        Raises: TypeError: not callable.
        """
        if not callable(errback):
            raise TypeError(f"an errback must be callable, not {errback!r}")
        self._add((None, errback, (), args, None, kwargs or None) if args or kwargs else (None, errback))
        try:
            return self
        finally:
            del self, errback, args, kwargs  # see "no cycles" in `_chain`

    @overload
    def addBoth(
        self, callback: Callable[Concatenate[T | Failure, P], Failure], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...

    @overload
    def addBoth(
        self, callback: Callable[Concatenate[T | Failure, P], Failure | Deferred[U]], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[U]: ...

    @overload
    def addBoth(
        self, callback: Callable[Concatenate[T | Failure, P], Failure | U], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[U]: ...

    def addBoth(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Add *callback*, to be called with the result or Failure, whichever it is, and the arguments given.

        Returns: this Deferred.
        Raises: TypeError: not callable.
        """
        if not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")
        keywords = kwargs or None
        self._add((callback, callback, args, args, keywords, keywords) if args or kwargs else (callback, callback))
        try:
            return self
        finally:
            del self, callback, args, kwargs, keywords  # see "no cycles" in `_chain`

    def chainDeferred(self, d: Deferred[T]) -> Deferred[None]:
        """Fire *d* with the result or Failure that is there at this place of the chain; this one goes on with None.

        Returns: this Deferred.
        Raises: TypeError: *d* is no Deferred.
        Fails with: AlreadyCalledError: *d* was fired before; instead of going on with None.
        """
        if not isinstance(d, Deferred):
            raise TypeError(f"chainDeferred() fires a Deferred, not {d!r}")
        if type(d).callback is not Deferred.callback or type(d).errback is not Deferred.errback:
            self._add((d.callback, d.errback))  # a subclass has its own way
        else:
            self._add(Target(d))
        try:
            return cast("Deferred[None]", self)
        finally:
            del self, d  # see "no cycles" in `_chain`

    # Firing

    def callback(self, result: T | Failure) -> None:
        """Fire with *result*: run the callbacks. A Failure counts as one.

        Raises:
            AlreadyCalledError: it has a result already.
            TypeError: *result* is a Deferred; return it from a callback instead, or use `chainDeferred`.
        """
        if isinstance(result, _Special):
            if isinstance(result, Deferred):
                raise TypeError("callback() cannot take a Deferred: return it from a callback, or use chainDeferred")
            if isinstance(result, Failure):
                self.errback(result)
                del result, self  # see "no cycles" in `_chain`
                return
        if self._state != PENDING:
            self._fired_again()
            return
        self._result = result
        entry = self._first
        if entry is None or self._paused:
            self._state = FIRED
            return
        self._state = RUNNING
        if self._more is not None:
            run_on(self)
            del self, entry
            return
        self._first = None
        # From here on as `run_one`; that call, and looking at what *entry* is not, cost 70 of 400 ns.
        kind = entry.__class__
        outcome: Any
        following: Chain | None = None
        if kind is FunctionType or kind is MethodType:
            try:
                outcome = entry(result)
            except BaseException as error:
                outcome = caught(error)
        elif kind is tuple and entry[0] is not None and (len(entry) == 2 or entry[4] is None):
            try:
                outcome = entry[0](result) if len(entry) == 2 else entry[0](result, *entry[2])
            except BaseException as error:
                outcome = caught(error)
        elif kind is not tuple and isinstance(entry, Waiter):
            self._result = None
            following = entry._resume(self, result, False)
            outcome = self._result
        else:
            run_one(self, entry, result, False)
            del self, entry  # see "no cycles" in `_chain`
            return
        self._result = outcome
        if outcome is not None and isinstance(outcome, _Special):
            del outcome
            run_on(self, following)
            del self, entry, following
            return
        self._state = FIRED
        if (self._first is not None or self._more is not None) and claim(self):
            run_on(self, following)
        elif following is not None:
            run_on(following)
        del self, entry, following

    def errback(self, fail: Failure | BaseException | None = None) -> None:
        """Fire with a failure: run the errbacks.

        Args:
            fail: a Failure or an exception; None: the exception being handled.
        Raises:
            AlreadyCalledError: it has a result already.
            TypeError: neither a Failure nor an exception.
            netcore.failure.NoCurrentExceptionError: None was given and no exception is being handled.
        """
        if isinstance(fail, BaseException):
            fail = Failure(fail)
        elif fail is None:
            fail = Failure()
        elif not isinstance(fail, Failure):
            raise TypeError(f"errback() takes a Failure or an exception, not {fail!r}")
        if self._state != PENDING:
            self._fired_again()
            return
        self._result = fail
        self._state = RUNNING
        entry = self._first
        if entry is None or self._paused:
            rest(self, fail)
            if self._first is not None:  # added by another thread just now
                run(self)
        elif self._more is None:
            self._first = None
            run_one(self, entry, fail, True)
        else:
            run_on(self)
        del fail, self, entry  # see "no cycles" in `_chain`

    def _fire(self, result: Any) -> Chain | None:
        """As `callback` or `errback`, but that the callbacks are left to whoever calls this.

        Returns: this Deferred, for the caller to `run_on`, or None.
        Raises: AlreadyCalledError.
        """
        if self._state != PENDING:
            self._fired_again()
            return None
        self._result = result
        self._state = RUNNING
        return self

    def _fired_again(self) -> None:
        if self._canceller is not EAT_ONE:
            raise AlreadyCalledError(f"{self!r} was fired before")
        self._canceller = None

    def pause(self) -> None:
        """Run no callbacks until `unpause` was called as often."""
        self._paused += 1

    def unpause(self) -> None:
        """Undo one `pause`; after the last, callbacks run if the result is there.

        Raises: RuntimeError: it is not paused.
        """
        if not self._paused:
            raise RuntimeError("unpause() without pause()")
        self._paused -= 1
        if not self._paused:
            run(self)
            del self  # see "no cycles" in `_chain`

    # Cancelling

    def cancel(self) -> None:
        """Give up on the result.

        Without a result yet: the canceller is called, if there is one; then, unless it fired the Deferred,
        `CancelledError` fires it (and without a canceller, the result that may still come is dropped). Waiting for
        another Deferred: that one is cancelled. With its result: nothing happens. What a canceller raises is logged.

        The Deferred of a coroutine is different: what the coroutine waits for is cancelled, and how the coroutine then
        ends is the result.
        """
        _cancel(self, ())
        del self  # see "no cycles" in `_chain`

    def addTimeout(
        self,
        timeout: float,
        clock: IReactorTime | None = None,
        onTimeoutCancel: Callable[[Any, float], Any] | None = None,
    ) -> Deferred[T]:
        """Cancel this Deferred if it has no result after *timeout* seconds.

        Args:
            clock: whose seconds; default: this thread's reactor.
            onTimeoutCancel: called with what the cancelling led to and *timeout*; its result is the Deferred's.
                Default: a CancelledError becomes `TimeoutError`.
        Returns: this Deferred.
        Fails with: TimeoutError.
        """
        timed_out = False

        def time_out(deferred: Deferred[T]) -> None:
            nonlocal timed_out
            timed_out = True
            deferred.cancel()
            del deferred  # see "no cycles" in `_chain`

        call = (clock if clock is not None else current_reactor()).callLater(timeout, time_out, self)

        def finished(result: Any) -> Any:
            if call.active():
                call.cancel()
            if not timed_out:
                return result
            if onTimeoutCancel is not None:
                return onTimeoutCancel(result, timeout)
            if isinstance(result, Failure) and result.check(CancelledError):
                return Failure(TimeoutError(timeout, "Deferred"))
            return result

        return cast("Deferred[T]", self.addBoth(finished))

    # Awaiting

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the result, in a coroutine driven by netcore or by an asyncio Task.

        A value that is there already stays, for others to await; one that comes later, and a failure, are taken away:
        who awaits the same Deferred after that gets None.

        Raises: what the Deferred failed with (`asyncio.CancelledError` in a Task, if it was cancelled).
        """
        result: Any
        if self._state == FIRED and not self._paused:
            return self._result  # type: ignore[no-any-return]  # a cast would cost a quarter of all this
        if self._state == FAILED and not self._paused and not self._result.failure.check(CancelledError):
            result = take(self)
            try:
                raise result.value.with_traceback(result.tb)
            finally:
                del self, result  # this frame joins the traceback
        # Whoever drives the coroutine looks at what is yielded. netcore sends the value, or raises, here; an asyncio
        # Task sends None.
        awaiting = _Awaiting()
        awaiting._asyncio_future_blocking = True  # here, as an __init__ would cost 45 ns
        awaiting.deferred = self
        awaiting.loop = None
        del self
        try:
            result = yield awaiting
            if result is None and awaiting.loop is not None:
                result = awaiting.outcome()
            return result  # type: ignore[no-any-return]
        finally:
            del awaiting  # as above


class Target(Waiter):
    """The entry that fires another Deferred. That one's callbacks are the next that the loop runs, so that 100,000 in a
    row need no stack."""

    __slots__ = ("deferred",)

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        try:
            return self.deferred._fire(result)
        except AlreadyCalledError as error:
            source._result = caught(error)
            return None
        finally:
            del self, source, result  # see "no cycles" in `_chain`


_Awaiting: Any
_cancel: Any
_from_coroutine: Any
_from_future: Any
_as_future: Any


def set_awaiting(awaiting: Callable[[], Any]) -> None:
    """Tell what ``await`` yields for a Deferred without a result; called once, by `netcore.defer._asyncio`."""
    global _Awaiting
    _Awaiting = awaiting


def set_cancel(cancel: Callable[[Deferred[Any], tuple[Any, ...]], object]) -> None:
    """Tell what `Deferred.cancel` does; called once, by `netcore.defer._cancelling`."""
    global _cancel
    _cancel = cancel


def set_conversions(from_coroutine: Any, from_future: Any, as_future: Any) -> None:
    """Tell what `Deferred.fromCoroutine`, `fromFuture` and `asFuture` do; called once, by
    `netcore.defer._conversions`."""
    global _from_coroutine, _from_future, _as_future
    _from_coroutine, _from_future, _as_future = from_coroutine, from_future, as_future


def succeed(result: T) -> Deferred[T]:
    """A Deferred that has *result* already."""
    d: Deferred[T] = Deferred()
    if isinstance(result, _Special):
        d.callback(result)
    else:  # as callback() would, where nothing can be waiting
        d._result = result
        d._state = FIRED
    return d


def fail(result: Failure | BaseException | None = None) -> Deferred[Any]:
    """A Deferred that has failed already, with *result*: a Failure, an exception, or None for the one being handled."""
    d: Deferred[Any] = Deferred()
    d.errback(result)
    return d
