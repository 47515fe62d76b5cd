"""Coroutines on Deferreds: `inlineCallbacks` for generators, `ensureDeferred` for ``async def``; one driver for both.

`_advance` resumes the generator or coroutine and looks at what it waits for. A Deferred that has its result is looped
over right there, registering nothing (1380 → 98 ns per step); only when there is something to wait for is a `_Driver`
made, which is then the waiting entry and the canceller in one.

Each coroutine runs in a copy of the context it was started in, and always in the thread it was started in: when another
thread fires what it waits for, it goes on through its own thread's loop. That other thread may be at it at any moment,
so a result is handed over by two rules: who brings it stores it in ``arrived`` *before* looking whether the coroutine
is still on its way out (``inside``), who leaves clears ``inside`` *before* looking for a result; and whoever takes it
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
from netcore.defer._chain import FIRED, PENDING, CancellingWaiter, Chain, fire, rest, take
from netcore.defer._deferred import Deferred, fail, logger, succeed
from netcore.defer._errors import CancelledError, NotACoroutineError
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

    __slots__ = ("arrived", "context", "deferred", "generator", "inside", "loop", "thread", "unheard", "waiting")

    def __init__(self, generator: Any, context: Context) -> None:
        self.generator = generator
        self.context = context
        self.thread = get_ident()
        self.loop = asyncio._get_running_loop()
        self.inside = True  # `_advance` has not returned yet
        self.arrived: Any = _NOTHING
        self.waiting: Any = None  # what a cancel goes to: a Deferred, an `Awaiting`, an asyncio future
        self.unheard: BaseException | None = None  # a cancel that came when that had its result already
        self.deferred: Deferred[Any] = Deferred(cast("Any", self))

    def wait(self, yielded: Any) -> None:
        """Have *yielded*, which is `_can_be_awaited`, call `resume`."""
        self.inside = True
        self.waiting = yielded
        if isinstance(yielded, Deferred):
            yielded._add(self)
        elif isinstance(yielded, Awaiting):
            yielded.set_driver(self)
        else:
            yielded._asyncio_future_blocking = False
            yielded.add_done_callback(self.future_done, context=self.context.copy())

    def resume(self, result: Any) -> Chain | None:
        """What it waited for has *result*; None where the coroutine itself looks it up."""
        self.arrived = result
        del result  # see "no cycles" in `_chain`
        if self.inside:
            return None  # `_advance` finds it on its way out
        if get_ident() != self.thread:
            if self.loop is not None and not self.loop.is_closed():
                self.loop.call_soon_threadsafe(self.go_on)
                return None
            reactor = reactor_of_thread(self.thread)  # the coroutine was started before its reactor ran
            if reactor is not None:
                reactor.callFromThread(self.go_on)
                return None
        return self.advance()

    def advance(self) -> Chain | None:
        """Go on with what has arrived, unless somebody else has."""
        if self.arrived is _NOTHING:
            return None
        return self.context.run(_advance, self.generator, self.context, self)

    def go_on(self) -> None:
        """Go on with what has arrived, from outside the chain of callbacks."""
        deferred = self.advance()
        if deferred is not None:
            fire(deferred)

    def future_done(self, future: Any) -> None:
        """The asyncio future it waited for is done; the coroutine looks up the result itself."""
        self.arrived = None
        del future  # as in `resume`
        self.go_on()

    def cancel(self) -> Chain | None:
        """Cancel what is waited for, if it is no Deferred. A coroutine that is running right now takes no notice."""
        waiting = self.waiting
        if waiting is None:
            return None
        if isinstance(waiting, Awaiting):
            if not waiting.done():
                return waiting.deferred
            self.unheard = CancelledError()
        elif not isinstance(waiting, Deferred):
            if not waiting.cancel():
                self.unheard = asyncio.CancelledError()
        elif self.arrived is _NOTHING:
            return waiting
        else:
            self.unheard = CancelledError()
        return None


def _can_be_awaited(yielded: Any) -> bool:
    return isinstance(yielded, (Deferred, Awaiting)) or bool(getattr(yielded, "_asyncio_future_blocking", None))


def _advance(generator: Any, context: Context, driver: _Driver | None) -> Deferred[Any] | None:
    """Run *generator* with what has arrived, at first with None, until it ends or must wait.

    Returns: without *driver*, the coroutine's new Deferred; with it, its Deferred once ready to run, or None while it
        waits.
    """
    ended = False
    yielded: Any = None
    result: Any = None
    new: Deferred[Any] | None = None
    if driver is not None:
        result, driver.arrived = driver.arrived, _NOTHING
        if result is _NOTHING:
            return None
        driver.waiting = None
        if driver.unheard is not None:
            result, driver.unheard = Failure(driver.unheard), None
    while True:
        try:
            if isinstance(result, Failure):
                error: BaseException = result.value.with_traceback(result.tb)
                result = None
                try:
                    yielded = generator.throw(error)
                finally:
                    del error  # this frame joins the traceback
            else:
                yielded = generator.send(result)
        except StopIteration as stop:
            ended, result = True, stop.value
        except _Return as returned:
            ended, result = True, returned.value
        except asyncio.CancelledError as raised:  # it awaited an asyncio future: back to our terms
            cancelled = CancelledError(*raised.args)
            cancelled.__cause__ = raised
            ended, result = True, Failure(cancelled)
        except BaseException as raised:  # whatever it raises is its result, SystemExit included
            ended, result = True, Failure(raised.with_traceback(raised.__traceback__ and raised.__traceback__.tb_next))
        if ended:
            new = _finish(result, driver)
            result = None
            return new
        if isinstance(yielded, Deferred):
            if yielded._state == FIRED and not yielded._paused:
                result = yielded._result
                if isinstance(result, Failure):
                    take(yielded)
                else:
                    yielded._result = None  # the ordinary case of `take`
                continue
        elif isinstance(yielded, CoroutineType):
            yielded = ensureDeferred(yielded)
        elif isinstance(generator, GeneratorType) and asyncio.isfuture(yielded):
            yielded = ensureDeferred(_await(yielded))
        elif yielded is None and isinstance(generator, CoroutineType):  # ``asyncio.sleep(0)``: let others run
            loop = asyncio._get_running_loop()
            if loop is None:
                result = Failure(RuntimeError("no event loop runs: start the coroutine when the reactor runs"))
                continue
            yielded = Deferred()
            loop.call_soon(yielded.callback, None)
        elif not _can_be_awaited(yielded):
            if isinstance(generator, GeneratorType):
                result = yielded  # ``yield`` of anything else gives it back, as ``maybeDeferred`` would
            else:
                result = Failure(TypeError(f"a coroutine run by netcore cannot wait for {yielded!r}"))
            continue
        if driver is None:
            driver = _Driver(generator, context)
            new = driver.deferred
        driver.wait(yielded)
        driver.inside = False
        result, driver.arrived = driver.arrived, _NOTHING
        if result is _NOTHING:
            return new


def _finish(result: Any, driver: _Driver | None) -> Deferred[Any] | None:
    """The coroutine has ended with *result*."""
    if isinstance(result, Deferred):
        result = Failure(TypeError("a coroutine returned a Deferred: await it (or yield it) and return its result"))
    if driver is None:
        return succeed(result)
    driver.generator = None
    deferred = driver.deferred
    deferred._canceller = None
    if deferred._state != PENDING:  # somebody else fired what is the coroutine's to fire
        logger.error("The Deferred of a coroutine was fired from outside: its own result is lost: %r", result)
        return None
    deferred._result = result
    deferred._state = FIRED
    return deferred


def _start(generator: Any) -> Deferred[Any]:
    context = copy_context()
    deferred = cast("Deferred[Any]", context.run(_advance, generator, context, None))
    if deferred._state == FIRED and deferred._report is None:
        rest(deferred)  # it waited, for a moment only
    return deferred


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
        return fail(Failure(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)))
    if isinstance(result, Deferred):
        return result
    if isinstance(result, CoroutineType):
        return ensureDeferred(result)
    return succeed(result)
