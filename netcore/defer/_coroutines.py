"""Coroutines on Deferreds: `inlineCallbacks` for generators, `ensureDeferred` for ``async def``; one driver for both.

`_advance` resumes the generator or coroutine and looks at what it waits for. A Deferred that has its result is looped
over right there, registering nothing (1380 → 98 ns per step); only when there is something to wait for is a `_Driver`
made, which is then the waiting entry and the canceller in one.

Each coroutine runs in a copy of the context it was started in, and always in the thread it was started in: when another
thread fires what it waits for, it goes on through its own thread's loop. That other thread may be at it at any moment,
so a result is handed over by two rules: who brings it stores it in ``arrived`` *before* looking whether the coroutine
is suspended already (``waiting``), who suspends it sets ``waiting`` *before* looking for a result; and whoever takes it
(two adjacent attribute operations, see `_chain`) goes on with it.

Cancelling a coroutine's Deferred cancels what it waits for; the coroutine sees that fail and decides how it ends. It is
never resumed from within the call if that was made by the coroutine itself.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from threading import get_ident
from types import CoroutineType, GeneratorType
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from netcore._current import reactor_of_thread
from netcore.defer._asyncio import Awaiting
from netcore.defer._chain import FIRED, PENDING, RUNNING, CancellingWaiter, Chain, caught, run, run_on, take
from netcore.defer._deferred import Deferred, fail, logger, succeed
from netcore.defer._errors import CancelledError, NotACoroutineError
from netcore.error import ReactorNotRunning
from netcore.failure import Failure

__all__ = ["ensureDeferred", "inlineCallbacks", "maybeDeferred", "returnValue"]

T = TypeVar("T")
P = ParamSpec("P")


class _Return(BaseException):
    """Carries the value of `returnValue` out of its generator."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


def returnValue(val: Any) -> NoReturn:
    """End an `inlineCallbacks` generator with the result *val*. Plain ``return val`` does the same; tutorials use
    this."""
    raise _Return(val)


_NOTHING: Any = object()


class _Driver(CancellingWaiter):
    """A suspended coroutine."""

    __slots__ = ("arrived", "context", "deferred", "generator", "loop", "thread", "unheard", "waiting")

    def __init__(self, generator: Any, context: Context) -> None:
        self.generator = generator
        self.context = context
        self.thread = get_ident()
        self.loop = asyncio._get_running_loop()
        self.waiting: Any = None  # what it waits and a cancel goes to: a Deferred, an asyncio future; None: it runs
        self.arrived: Any = _NOTHING
        self.unheard: BaseException | None = None  # a cancel that came when that had its result already
        self.deferred: Deferred[Any] = Deferred(cast("Any", self))

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        """What it waited for has *result*."""
        if not failed and self.waiting is not None and get_ident() == self.thread:
            return self.context.run(_advance, self.generator, self.context, self, result)
        self.arrived = result
        del result  # see "no cycles" in `_chain`
        if self.waiting is None:
            return None  # `_advance` finds it on its way out
        if get_ident() != self.thread:
            if self.loop is not None and not self.loop.is_closed():
                self.loop.call_soon_threadsafe(self.go_on)
                return None
            reactor = reactor_of_thread(self.thread)  # the coroutine was started before its reactor ran
            if reactor is not None:
                try:
                    reactor.callFromThread(self.go_on)
                    return None
                except ReactorNotRunning:
                    pass  # it was attached to a loop that was closed without a word: the thread has none any more
        return self.advance()

    def advance(self) -> Chain | None:
        """Go on with what has arrived, unless somebody else has."""
        if self.arrived is _NOTHING:
            return None
        return self.context.run(_advance, self.generator, self.context, self, _NOTHING)

    def go_on(self) -> None:
        """Go on with what has arrived, from outside the chain of callbacks."""
        deferred = self.advance()
        if deferred is not None:
            run_on(deferred)

    def wait_for_future(self, future: Any) -> None:
        """Go on when *future*, an asyncio future, is done, and never before; the coroutine looks up the result."""
        future._asyncio_future_blocking = False
        future.add_done_callback(self.future_done, context=self.context.copy())
        self.waiting = future

    def future_done(self, future: Any) -> None:
        """The asyncio future it waited for is done."""
        self.arrived = None
        del future  # as in `_resume`
        self.go_on()

    def cancel(self) -> Chain | None:
        """Cancel what is waited for, if it is no Deferred. A coroutine that is running right now takes no notice."""
        waiting = self.waiting
        if waiting is None:
            return None
        if not isinstance(waiting, Deferred):
            if not waiting.cancel():
                self.unheard = asyncio.CancelledError()
        elif self.arrived is _NOTHING:
            return waiting
        else:
            self.unheard = CancelledError()
        return None


def _advance(generator: Any, context: Context, driver: _Driver | None, result: Any) -> Deferred[Any] | None:
    """Run *generator* with *result* until it ends or must wait.

    Args:
        driver: None at first, until it had to wait.
        result: a value, at first None; `_NOTHING`: what has arrived at *driver*.
    Returns: without *driver*, the coroutine's new Deferred; with it, its Deferred, RUNNING, once it ended, or None
        while it waits.
    """
    new: Deferred[Any] | None = None
    failed = False
    if driver is not None:
        driver.waiting = None
        if result is _NOTHING:
            result, driver.arrived = driver.arrived, _NOTHING
            if result is _NOTHING:
                return None
            if driver.unheard is not None:
                result, driver.unheard = Failure(driver.unheard), None
            failed = isinstance(result, Failure)
    while True:
        try:
            if not failed:
                yielded = generator.send(result)
            else:
                error: BaseException = result.value.with_traceback(result.tb)
                failed = False
                try:
                    yielded = generator.throw(error)
                finally:
                    del error  # this frame joins the traceback
        except StopIteration as stop:
            result = stop.value
            break
        except _Return as returned:
            result = returned.value
            break
        except asyncio.CancelledError as raised:  # it awaited an asyncio future: back to our terms
            cancelled = CancelledError(*raised.args)
            cancelled.__cause__ = raised
            result = Failure(cancelled)
            break
        except BaseException as raised:  # whatever it raises is its result, SystemExit included
            result = caught(raised)
            break

        if yielded.__class__ is Awaiting:
            waiting = yielded.deferred
        elif isinstance(yielded, Deferred):
            waiting = yielded
        else:
            waiting = _to_be_waited_for(yielded, generator)
            if not isinstance(waiting, Deferred):
                if driver is None:
                    driver = _Driver(generator, context)
                    new = driver.deferred
                driver.wait_for_future(waiting)
                return new
        state = waiting._state
        if state >= FIRED and not waiting._paused:
            if state == FIRED:
                result = waiting._result  # the ordinary case of `take`
                waiting._result = None
            else:
                result = take(waiting)
                failed = True
            continue

        if driver is None:
            driver = _Driver(generator, context)
            new = driver.deferred
        if waiting._first is None and waiting._more is None:
            waiting._first = driver  # as `Chain._add`, which costs a call
            if waiting._state >= FIRED:  # another thread has fired it just now
                run(waiting)
        else:
            waiting._add(driver)
        driver.waiting = waiting
        result = driver.arrived
        if result is _NOTHING:
            return new
        driver.arrived = _NOTHING
        driver.waiting = None
        failed = isinstance(result, Failure)

    new = _finish(result, driver)
    result = None  # see "no cycles" in `_chain`
    return new


def _to_be_waited_for(yielded: Any, generator: Any) -> Any:
    """What to wait for, a Deferred or an asyncio future, where *generator* gave neither a Deferred nor its `Awaiting`.

    Futures are for coroutines, which look up the result themselves.
    """
    if isinstance(yielded, CoroutineType):
        return ensureDeferred(yielded)
    if isinstance(generator, GeneratorType):
        if asyncio.isfuture(yielded):
            return ensureDeferred(_await(yielded))
        return succeed(yielded)  # ``yield`` of anything else gives it back, as ``maybeDeferred`` would
    if yielded is None and isinstance(generator, CoroutineType):  # ``asyncio.sleep(0)``: let others run
        loop = asyncio._get_running_loop()
        if loop is None:
            return fail(RuntimeError("no event loop runs: start the coroutine when the reactor runs"))
        turn: Deferred[None] = Deferred()
        loop.call_soon(turn.callback, None)
        return turn
    if getattr(yielded, "_asyncio_future_blocking", None):
        return yielded
    return fail(TypeError(f"a coroutine run by netcore cannot wait for {yielded!r}"))


def _finish(result: Any, driver: _Driver | None) -> Deferred[Any] | None:
    """The coroutine has ended with *result*."""
    if isinstance(result, Deferred):
        result = Failure(TypeError("a coroutine returned a Deferred: await it (or yield it) and return its result"))
    if driver is None:
        return succeed(result)
    deferred = driver.deferred
    deferred._canceller = None
    if deferred._state != PENDING:  # somebody else fired what is the coroutine's to fire
        logger.error("The Deferred of a coroutine was fired from outside: its own result is lost: %r", result)
        return None
    deferred._result = result
    deferred._state = RUNNING
    return deferred


def _start(generator: Any) -> Deferred[Any]:
    context = copy_context()
    deferred: Any = context.run(_advance, generator, context, None, None)  # with None for *driver*, never None
    if deferred._state == RUNNING:
        run_on(deferred)  # it waited, for a moment only
    return deferred  # type: ignore[no-any-return]


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
        return _start(generator)

    return started


def ensureDeferred(coro: Coroutine[Any, Any, T] | Generator[Any, Any, T] | Deferred[T]) -> Deferred[T]:
    """Start *coro*, a coroutine object (a Deferred is given back as it is).

    It may await Deferreds, coroutines and asyncio futures.

    Returns: Deferred firing with what the coroutine returns. Cancelling it cancels what the coroutine waits for.
    Raises: NotACoroutineError: something else was given.
    """
    if coro.__class__ is CoroutineType:  # the ordinary case
        return _start(coro)
    if isinstance(coro, Deferred):
        return coro
    if isinstance(coro, (CoroutineType, GeneratorType)) or inspect.isawaitable(coro):
        return _start(coro if hasattr(coro, "send") else _await(cast("Awaitable[T]", coro)))
    raise NotACoroutineError(f"{coro!r} is not a coroutine; call the async function, and pass what it returns")


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def maybeDeferred(f: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Deferred[Any]:
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
