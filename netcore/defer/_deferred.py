"""`Deferred`: a result that is not there yet, and the callbacks that wait for it.

States (``_state``), and what moves between them::

    PENDING --callback/errback/cancel--> RUNNING
    RUNNING --no callbacks left, or paused--> FIRED
    RUNNING --a callback returned a Deferred that has no result yet--> CHAINED
    CHAINED --that Deferred has a result--> RUNNING
    FIRED   --a callback is added, or unpaused--> RUNNING

Being paused (``_paused`` > 0) is apart from the state: it only keeps FIRED from becoming RUNNING. ``_result`` is the
result (or Failure) in FIRED, the Deferred waited for in CHAINED.

Invariants:

- A Deferred that is FIRED and not paused has no entries left: its ``_result`` may be taken at once.
- Callbacks run in one loop, `_run`, which never recurses: a Deferred or coroutine that waits for another is an *entry*
  of it, and is run after it by the same loop. 100,000 of them in a chain need no stack.
- Entries are kept in the cheapest form that says all: a bare callable (a callback without arguments), a tuple (callback
  and errback with arguments), a Deferred (which waits for the result) or a `Waiter`. The first is held inline (−39 %
  time, −64 bytes), those after it in cells ``[entry, next]`` from ``_more`` to ``_tail``.
- A Deferred may be fired from another thread (``reactor.callInThread(work, d.callback)``) while its own adds callbacks.
  Adding stores the entry *before* it looks at the state, firing sets the state *before* it looks for entries, so that
  one of them sees the other; and whoever finds a FIRED one with entries must `_claim` it before running them, which one
  thread only can. Claiming, and putting in and taking out an entry, are runs of operations between which CPython with a
  GIL does not switch threads (it may after a call and at a jump backward; there is none in them): no entry is lost,
  runs twice or gets a result that is not its own.
- No cycles. A traceback keeps frames alive, each frame keeps its caller (from Python 3.12 on, generators' frames too),
  and a frame its variables. So no function of ours that may be on the stack when a callback runs or a coroutine goes on
  still has a Failure in a variable when it returns: it would hold the traceback that holds it.
- A failure nobody handles is held by an `Unhandled`, made only when a failure is stored (a ``__del__`` on every
  Deferred would cost 76 ns each); when it is collected still armed, it reports.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from netcore._current import current_reactor
from netcore._log import log_failure
from netcore.defer._errors import AlreadyCalledError, CancelledError, TimeoutError
from netcore.defer._unhandled import Unhandled
from netcore.failure import Failure, _Special

if TYPE_CHECKING:
    from netcore.interfaces import IReactorTime

__all__ = ["Deferred", "Waiter", "fail", "succeed", "take"]

T = TypeVar("T")
U = TypeVar("U")
E = TypeVar("E")
P = ParamSpec("P")
Q = ParamSpec("Q")

logger = logging.getLogger("netcore.defer")

PENDING, FIRED, RUNNING, CHAINED = range(4)
_STATE_NAMES = ("pending", "fired", "running", "chained")


class Waiter(_Special):
    """An entry that takes the result away: a suspended coroutine, or an asyncio Task's view of a Deferred."""

    __slots__ = ()

    def resume(self, result: Any) -> Deferred[Any] | None:
        """Take *result*, a value or a Failure. Must not raise.

        Returns: a Deferred that this made ready to run (state set, entries not run), or None.
        """
        raise NotImplementedError


class _EatOne:
    """In place of a canceller: the Deferred was cancelled, and the one result still to come is dropped."""

    def __repr__(self) -> str:
        return "<eat one result>"


_EAT_ONE: Any = _EatOne()


class Deferred(_Special, Generic[T]):
    """A result that will be there later, handed through a chain of callbacks.

    Each callback gets what the one before returned; what one raises goes to the next errback, as a `Failure`. A
    callback may return another Deferred: the chain goes on when that has its result.

    Args:
        canceller: called with this Deferred when it is cancelled while it has no result. It should stop the work and
            may fire the Deferred; if it does not, `CancelledError` does.
    Threading: made, given callbacks and cancelled in one thread, the reactor's. It may be *fired* from another one;
        callbacks then run there, coroutines that wait for it go on in their own.
    """

    __slots__ = ("__weakref__", "_canceller", "_first", "_more", "_paused", "_report", "_result", "_state", "_tail")

    def __init__(self, canceller: Callable[[Deferred[Any]], object] | None = None) -> None:
        self._state = PENDING
        self._first: Any = None
        self._more: list[Any] | None = None
        self._tail: list[Any] | None = None
        self._paused = 0
        self._canceller: Any = canceller
        self._report: Unhandled | None = None
        self._result: Any = None

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
        return self._result

    def __repr__(self) -> str:
        name = f"{type(self).__name__} at {id(self):#x}"
        if self._state == PENDING:
            return f"<{name}>"
        if self._state == CHAINED:
            return f"<{name} waiting on {type(self._result).__name__} at {id(self._result):#x}>"
        return f"<{name} current result: {self._result!r}>"

    # Adding callbacks

    def _add(self, entry: Any) -> None:
        more = self._more
        if more is None and self._first is None:
            self._first = entry
        else:
            cell = [entry, None]
            if more is None:
                self._more = cell
            else:
                self._tail[1] = cell  # type: ignore[index]  # where there is a head, there is a tail
            self._tail = cell
        if self._state == FIRED and not self._paused:
            _run(self)

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
        for given in (callback, errback):
            if given is not None and not callable(given):
                raise TypeError(f"a callback must be callable, not {given!r}")
        self._add(
            (
                callback,
                tuple(callbackArgs or ()),
                callbackKeywords or {},
                errback,
                tuple(errbackArgs or ()),
                errbackKeywords or {},
            )
        )
        return self

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
        if not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")
        if args or kwargs:
            self._add((callback, args, kwargs, None, (), {}))
        else:
            self._add(callback)
        return self

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
        self._add((None, (), {}, errback, args, kwargs))
        return self

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
        self._add((callback, args, kwargs, callback, args, kwargs))
        return self

    def chainDeferred(self, d: Deferred[T]) -> Deferred[None]:
        """Fire *d* with the result or Failure that is there at this place of the chain; this one goes on with None.

        Returns: this Deferred.
        """
        return self.addCallbacks(d.callback, d.errback)

    # Firing

    def callback(self, result: T | Failure) -> None:
        """Fire with *result*: run the callbacks. A Failure counts as one.

        Raises:
            AlreadyCalledError: it has a result already.
            TypeError: *result* is a Deferred; return it from a callback instead, or use `chainDeferred`.
        """
        special = isinstance(result, _Special)
        if special and isinstance(result, Deferred):
            raise TypeError("callback() cannot take a Deferred: return it from a callback, or use chainDeferred")
        if self._state != PENDING:
            self._fired_again()
            return
        self._result = result
        self._state = FIRED
        del result  # see "no cycles"
        if self._first is not None and not self._paused:
            _run(self)
        elif special:
            _rest(self)

    def errback(self, fail: Failure | BaseException | None = None) -> None:
        """Fire with a failure: run the errbacks.

        Args:
            fail: a Failure or an exception; None: the exception being handled.
        Raises:
            AlreadyCalledError: it has a result already.
            TypeError: neither a Failure nor an exception.
            netcore.failure.NoCurrentExceptionError: None was given and no exception is being handled.
        """
        if fail is None:
            fail = Failure()
        elif not isinstance(fail, Failure):
            if not isinstance(fail, BaseException):
                raise TypeError(f"errback() takes a Failure or an exception, not {fail!r}")
            fail = Failure(fail)
        if self._state != PENDING:
            self._fired_again()
            return
        self._result = fail
        self._state = FIRED
        del fail
        if self._first is not None and not self._paused:
            _run(self)
        else:
            _rest(self)

    def _fired_again(self) -> None:
        if self._canceller is not _EAT_ONE:
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
        if not self._paused and self._state == FIRED:
            _run(self)

    # Cancelling

    def cancel(self) -> None:
        """Give up on the result.

        Without a result yet: the canceller is called, if there is one; then, unless it fired the Deferred,
        `CancelledError` fires it (and without a canceller, the result that may still come is dropped). Waiting for
        another Deferred: that one is cancelled. With its result: nothing happens. What a canceller raises is logged.

        The Deferred of a coroutine is different: what the coroutine waits for is cancelled, and how the coroutine then
        ends is the result.
        """
        target: Deferred[Any] = self
        seen = {id(self)}
        while True:  # down to what has no result yet; a loop, since 100,000 may wait for each other in a row
            canceller = target._canceller
            following: Deferred[Any] | None
            if target._state == CHAINED:
                following = target._result
            elif target._state != PENDING:
                return
            elif isinstance(canceller, CancellingWaiter):
                following = canceller.cancel()
            else:
                break
            if following is None or id(following) in seen:  # two that wait for each other can only be left alone
                return
            if type(following).cancel is not Deferred.cancel:  # a subclass has its own way
                following.cancel()
                return
            seen.add(id(following))
            target = following
        if canceller is None:
            target._canceller = _EAT_ONE
        else:
            target._canceller = None
            try:
                canceller(target)
            except BaseException:
                log_failure(logger, Failure(), "The canceller of %r raised", target)
        if target._state == PENDING:
            target.errback(CancelledError())

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

        def time_out() -> None:
            nonlocal timed_out
            timed_out = True
            self.cancel()

        call = (clock if clock is not None else current_reactor()).callLater(timeout, time_out)

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

    def _was_cancelled(self) -> bool:
        """Whether the result is a CancelledError: a Task that awaits it must be told in its own terms."""
        return isinstance(self._result, Failure) and self._result.check(CancelledError) is not None

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the result, in a coroutine driven by netcore or by an asyncio Task; takes it away from the Deferred.

        Raises: what the Deferred failed with (`asyncio.CancelledError` in a Task, if it was cancelled).
        """
        result: Any
        if self._state == FIRED and not self._paused and not isinstance(self._result, Failure):
            result, self._result = self._result, None  # the ordinary case of `take`
            return cast("T", result)
        if self._state == FIRED and not self._paused and not self._was_cancelled():
            result = take(self)
        else:
            awaiting = _new_awaiting(self)
            try:
                yield awaiting
                result = awaiting.outcome()
            finally:
                del awaiting  # it holds the Failure
        if isinstance(result, Failure):
            try:
                raise result.value.with_traceback(result.tb)
            finally:
                del self, result  # this frame joins the traceback
        return cast("T", result)


_new_awaiting: Callable[[Deferred[Any]], Any]


def set_awaiting(awaiting: Callable[[Deferred[Any]], Any]) -> None:
    """Tell what ``await`` yields for a Deferred without a result; called once, by `netcore.defer._asyncio`."""
    global _new_awaiting
    _new_awaiting = awaiting


class CancellingWaiter(Waiter):
    """A Waiter that is its own Deferred's canceller: cancelling is passed on, and does not by itself fire the
    Deferred."""

    __slots__ = ()

    def cancel(self) -> Deferred[Any] | None:
        """Cancel what is waited for, unless it is a Deferred: that is returned, for the caller to cancel."""
        raise NotImplementedError


def take(deferred: Deferred[T]) -> T | Failure:
    """Take the result away from *deferred*, which must be FIRED and not paused; None stays in its place."""
    result: T | Failure = deferred._result
    deferred._result = None
    report = deferred._report
    if report is not None:
        report.failure = None
        deferred._report = None
    return result


def _claim(deferred: Deferred[Any]) -> bool:
    """Make *deferred* RUNNING, if it is FIRED and not paused. Of several threads that try, one is told True."""
    if deferred._state != FIRED or deferred._paused:
        return False
    deferred._state = RUNNING
    return True


def _run(current: Deferred[Any]) -> None:
    """Run the entries of *current*, if it is FIRED and not paused, and then of all that waited for it."""
    if current._state != FIRED:  # as `_claim`, which costs a call
        return
    current._state = RUNNING

    # The most frequent case by far, on its own (−30 %): one plain callback, and plain results.
    entry = current._first
    result = current._result
    if (
        entry is not None
        and current._more is None
        and entry.__class__ is not tuple
        and not isinstance(entry, _Special)
        and not isinstance(result, _Special)
    ):
        current._first = None
        try:
            current._result = result = entry(result)
        except BaseException as error:  # whatever a callback raises is its result, SystemExit included
            current._result = result = Failure(
                error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
            )
        if not isinstance(result, _Special) and not current._paused:
            current._state = FIRED
            if (current._first is None and current._more is None) or not _claim(current):
                return

    held: list[Deferred[Any]] | None = None  # RUNNING, with entries left, when those that wait for them have run
    while True:
        report = current._report
        if report is not None:
            report.failure = None
            current._report = None
        result = current._result
        following: Deferred[Any] | None = None
        while True:
            failed = isinstance(result, _Special)
            if failed and isinstance(result, Deferred):
                inner = result
                if inner is current:
                    result = Failure(TypeError("a callback returned the Deferred it was attached to"))
                elif inner._state == FIRED and not inner._paused:
                    result = take(inner)
                    failed = isinstance(result, Failure)
                else:
                    current._result = inner
                    current._state = CHAINED
                    inner._add(current)
                    break
            if current._paused:
                break
            entry = current._first
            if entry is not None:
                current._first = None
            else:
                cell = current._more
                if cell is None:
                    break
                entry = cell[0]
                current._more = cell[1]
                cell[0] = None  # ``_tail`` may keep the cell
            try:
                if entry.__class__ is tuple:
                    if failed:
                        _, _, _, function, args, keywords = entry
                    else:
                        function, args, keywords, _, _, _ = entry
                    if function is not None:
                        result = function(result, *args, **keywords)
                elif isinstance(entry, _Special):
                    if isinstance(entry, Deferred):
                        following = entry
                        following._result = result
                        following._state = FIRED
                    else:
                        following = entry.resume(result)  # type: ignore[attr-defined]  # a Waiter
                    result = None
                    if following is not None:
                        if (following._first is not None or following._more is not None) and _claim(following):
                            break
                        _rest(following)
                        following = None
                elif not failed:
                    result = entry(result)
            except BaseException as error:
                result = Failure(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        if current._state == RUNNING:
            current._result = result
            current._state = FIRED
            if (current._first is not None or current._more is not None) and _claim(current):
                # They are left because something that waited comes first, or were added by another thread just now.
                held = held or []
                held.append(current)
            else:
                _rest(current)
        result = None  # see "no cycles"
        if following is not None:
            current = following
        elif held:
            current = held.pop()
        else:
            return


def _rest(deferred: Deferred[Any]) -> None:
    """*deferred* is FIRED, and nothing of it can run now: a failure in it is nobody's yet."""
    result = deferred._result
    if isinstance(result, Failure):
        report = deferred._report = Unhandled(result)
        if deferred._state != FIRED:  # another thread runs it meanwhile, and may not have seen the report
            report.failure = None


def fire(deferred: Deferred[Any]) -> None:
    """Go on with *deferred*, which a `Waiter.resume` returned."""
    if deferred._paused or (deferred._first is None and deferred._more is None):
        _rest(deferred)
    else:
        _run(deferred)


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
