"""What runs generators and coroutines that wait for Deferreds.

`advance` resumes one and looks at what it waits for. A Deferred that has its result is looped over right there,
registering nothing (1380 → 98 ns per step). Only when there is something to wait for is a `Driver` made, which is then
the waiting entry and the canceller in one. While a coroutine runs, the asyncio loop of its thread has a `CoroutineTask`
for its current task.

Each runs in a copy of the context it was started in, and always in the thread it was started in: when another
thread fires what it waits for, it goes on through its own thread's loop. That other thread may be at it at any moment,
so a result is handed over by two rules: who brings it stores it in ``arrived`` *before* looking whether the coroutine
is suspended already (``waiting``), who suspends it sets ``waiting`` *before* looking for a result; and whoever takes it
(two adjacent attribute operations, see `_chain`) goes on with it.

Cancelling a coroutine's Deferred cancels what it waits for; the coroutine sees that fail and decides how it ends. It is
never resumed from within the call if that was made by the coroutine itself. Where cancelling what it waits for does
nothing (that is paused, or runs its callbacks), the coroutine gives up waiting: it sees the CancelledError, and what it
has waited for keeps its result.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable
from contextvars import Context, copy_context
from threading import get_ident
from types import CoroutineType, GeneratorType
from typing import Any, TypeVar, cast

from netcore._current import reactor_of_thread
from netcore.defer._asyncio import Awaiting, belongs_elsewhere, leave, says_cancelled
from netcore.defer._cancelling import cancel_as_asked
from netcore.defer._chain import FIRED, PENDING, RUNNING, CancellingWaiter, Chain, caught, run, run_on, take
from netcore.defer._deferred import Deferred, fail, logger, succeed
from netcore.defer._errors import CancelledError
from netcore.defer._task import CoroutineTask, current_tasks
from netcore.error import ReactorNotRunning
from netcore.failure import Failure, _Special

__all__ = ["Return", "start_awaitable", "start_coroutine", "start_generator"]

T = TypeVar("T")


class Return(BaseException):
    """Carries the value of `returnValue` out of its generator."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


_NOTHING: Any = object()
_NO_MORE: Any = succeed(None)  # what is waited for by who has given up waiting, until it goes on


class Driver(CancellingWaiter):
    """Something suspended, or about to be.

    Attributes:
        generator, context: what is run, and in what.
        waiting: what it waits for, and a cancel goes to: a Deferred, an asyncio future; None: it runs.
        arrived: the result of that, not yet taken; or `_NOTHING`.
        unheard: what to raise in the place of that: it was cancelled when that had its result, or while it ran.
        deferred: its own.
        thread: whose it is.
        direct: the same, or 0: a value is not to be taken from where it comes from, but through `arrived`.
        loop: asyncio's, of that thread; None: there was none yet.
        given_up: the Deferreds that still have this for an entry, though it does not wait for them any more.
    """

    __slots__ = (
        "arrived",
        "context",
        "deferred",
        "direct",
        "generator",
        "given_up",
        "loop",
        "thread",
        "unheard",
        "waiting",
    )

    def __init__(self, generator: Any, context: Context, loop: asyncio.AbstractEventLoop | None) -> None:
        self.generator = generator
        self.context = context
        self.loop = loop
        self.waiting: Any = None
        self.arrived: Any = _NOTHING
        self.unheard: BaseException | None = None
        self.given_up: list[weakref.ref[Chain]] | None = None
        self.deferred: Any = Deferred(cast("Any", self))
        self.thread = self.direct = self.deferred._thread

    def run(self) -> Chain | None:
        """`advance` with what has arrived."""
        raise NotImplementedError

    def has_left(self, source: Chain, result: Any) -> bool:
        """Whether *result* comes from a *source* that this does not wait for any more; then it stays there."""
        if self.waiting is not source:
            for reference in self.given_up or ():
                if reference() is source:
                    cast("Any", self.given_up).remove(reference)
                    leave(source, result)
                    return True
        return False

    def resume_otherwise(self) -> Chain | None:
        """As `_resume`, where what has arrived is no value, or from another thread, or comes when it does not wait."""
        if self.waiting is None:
            return None  # `advance` finds it on its way out, or who cancels when it has
        if get_ident() != self.thread:
            if self.loop is not None and not self.loop.is_closed():
                self.loop.call_soon_threadsafe(self.go_on)
                return None
            reactor = reactor_of_thread(self.thread)  # it was started before its reactor ran
            if reactor is not None:
                try:
                    reactor.callFromThread(self.go_on)
                    return None
                except ReactorNotRunning:
                    pass  # it was attached to a loop that was closed without a word: the thread has none any more
        return self.run()

    def go_on(self) -> None:
        """Go on with what has arrived, unless somebody else has, from outside the chain of callbacks."""
        if self.arrived is _NOTHING:
            return
        deferred = self.run()
        if deferred is not None:
            run_on(deferred)
            del deferred  # see "no cycles" in `_chain`

    def take(self) -> Any:
        """What has arrived, once; and what is to be raised in its place."""
        result, self.arrived = self.arrived, _NOTHING
        if self.unheard is not None and result is not _NOTHING:
            failed = isinstance(result, Failure)
            if not failed or not result.check(CancelledError):  # else an earlier cancel is heard
                if failed:
                    fail(result)  # to be reported
                result = Failure(self.unheard)
            self.unheard = None
        return result

    def wait_for_future(self, future: Any) -> RuntimeError | None:
        """Go on when *future*, an asyncio future, is done, and never before; the coroutine looks up the result.

        Returns: the error to be raised instead, as an asyncio Task does: it belongs to another loop. Or None.
        """
        future._asyncio_future_blocking = False
        loop = future.get_loop()
        if loop is not self.loop:
            running = asyncio._get_running_loop()
            if loop is not running and (running is not None or loop.is_running()):
                return RuntimeError(
                    f"{future!r} belongs to another loop and cannot be awaited in this one: have it awaited there, by "
                    "asyncio.run_coroutine_threadsafe(), and take what that returns through asyncio.wrap_future()"
                )
        future.add_done_callback(self.future_done, context=self.context.copy())
        self.waiting = future
        return None

    def future_done(self, future: Any) -> None:
        """The asyncio future it waited for is done."""
        self.arrived = None
        if self.unheard is not None and future.cancelled():
            self.unheard = None  # as in `take`
        del future  # as in `_resume`
        self.go_on()

    def pass_on_cancel(self, message: tuple[Any, ...]) -> Chain | bool | None:
        """What is running right now takes no notice."""
        waiting = self.waiting
        if waiting is None:
            return False
        if not isinstance(waiting, Deferred):
            if not waiting.cancel(*message):
                self.unheard = asyncio.CancelledError(*message)
        elif self.arrived is _NOTHING:
            return waiting
        else:
            self.unheard = CancelledError(*message)
        return None

    def not_heard(self, waited_for: Chain, message: tuple[Any, ...]) -> None:
        if self.waiting is waited_for and self.arrived is _NOTHING:
            self.give_up(message)
            following = self.resume_otherwise()
            if following is not None:
                run_on(following)
                del following  # see "no cycles" in `_chain`

    def give_up(self, message: tuple[Any, ...]) -> None:
        """Wait no longer for the Deferred that it waits for: a CancelledError has arrived instead."""
        self.given_up = self.given_up or []
        self.given_up.append(weakref.ref(self.waiting))
        self.waiting = _NO_MORE
        self.arrived = Failure(CancelledError(*message))


class _Turn(Deferred[None]):
    """The loop's next turn, which a coroutine waits for in ``asyncio.sleep(0)``."""

    __slots__ = ()


class GeneratorDriver(Driver):
    """A generator, from when it is suspended for the first time."""

    __slots__ = ()

    def __init__(self, generator: Any, context: Context) -> None:
        super().__init__(generator, context, asyncio._get_running_loop())

    def run(self) -> Chain | None:
        return self.context.run(advance, self.generator, self.context, self, _NOTHING)

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        if not failed and self.waiting is source and get_ident() == self.direct:
            del source  # see "no cycles" in `_chain`
            return self.context.run(advance, self.generator, self.context, self, result)
        if self.given_up is not None and self.has_left(source, result):
            return None
        self.arrived = result
        del source, result  # see "no cycles" in `_chain`
        return self.resume_otherwise()


class CoroutineDriver(Driver):
    """A coroutine, from when it is suspended for the first time.

    Attributes:
        task: what the loop has for its current task while this runs; None: no loop was there yet.
        asked: *task* was cancelled while this Deferred was waited for, with this message (or the coroutine's Deferred,
            in ``asyncio.sleep(0)``): if the Deferred says that it was cancelled, the coroutine is told in asyncio's
            terms. Or None.
    """

    __slots__ = ("asked", "task")

    def __init__(
        self, generator: Any, context: Context, loop: asyncio.AbstractEventLoop | None, task: CoroutineTask | None
    ) -> None:
        super().__init__(generator, context, loop)
        self.asked: tuple[Chain, tuple[Any, ...]] | None = None
        self.task = task
        if task is None:
            self.direct = 0
        else:
            task.driver = self
            self.unheard, task.unheard = task.unheard, None

    def run(self) -> Chain | None:
        loop = self.loop
        if loop is None:  # it was started before the loop ran
            loop = asyncio._get_running_loop()
            if loop is None:
                return self.context.run(advance, self.generator, self.context, self, _NOTHING)
            if get_ident() == self.thread:
                self.loop = loop
                self.direct = self.thread
        if self.task is None:
            self.task = CoroutineTask()
            self.task.coroutine = self.generator
            self.task.driver = self
        before = current_tasks.get(loop)
        current_tasks[loop] = self.task
        try:
            return self.context.run(advance, self.generator, self.context, self, _NOTHING)
        finally:
            if before is None:
                del current_tasks[loop]
            else:
                current_tasks[loop] = before

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        if not failed and self.waiting is source and get_ident() == self.direct:
            del source  # see "no cycles" in `_chain`
            loop: Any = self.loop  # there is one, else it is not direct
            before = current_tasks.get(loop)
            current_tasks[loop] = self.task
            try:
                return self.context.run(advance, self.generator, self.context, self, result)
            finally:
                if before is None:
                    del current_tasks[loop]
                else:
                    current_tasks[loop] = before
        if self.given_up is not None and self.has_left(source, result):
            return None
        self.arrived = result
        del source, result  # see "no cycles" in `_chain`
        return self.resume_otherwise()

    def take(self) -> Any:
        if self.asked is not None and self.arrived is not _NOTHING:
            (waited_for, message), self.asked = self.asked, None
            self.direct = self.thread if self.loop is not None else 0
            if says_cancelled(waited_for, self.arrived):
                self.arrived = Failure(asyncio.CancelledError(*message))
                self.unheard = None
        return super().take()

    def wait_for_future(self, future: Any) -> RuntimeError | None:
        elsewhere = super().wait_for_future(future)
        if elsewhere is None and self.unheard is not None and future.cancel(*self.unheard.args):
            self.unheard = None  # it was cancelled while it ran
        return elsewhere

    def pass_on_cancel(self, message: tuple[Any, ...]) -> Chain | bool | None:
        if self.task is not None and self.waiting is not None:
            self.task.given_up += 1
        following = super().pass_on_cancel(message)
        if following.__class__ is _Turn:  # what comes out is asyncio's error, as out of any other sleep
            self.asked = cast("Chain", following), message
        return following

    def withdraw(self, message: tuple[Any, ...]) -> None:
        """Have the coroutine see asyncio's CancelledError where it waits, or will wait next; but not now."""
        if self.waiting is None or self.arrived is not _NOTHING or not self.cancel_waiting(message):
            self.unheard = asyncio.CancelledError(*message)
        elif self.arrived is not _NOTHING and (loop := self.loop or asyncio._get_running_loop()) is not None:
            loop.call_soon(self.go_on)

    def cancel_waiting(self, message: tuple[Any, ...]) -> bool:
        """Cancel what is waited for, without going on with what comes of it. Returns: whether it took it."""
        waiting = self.waiting
        if not isinstance(waiting, Deferred):
            return bool(waiting.cancel(*message))
        if self.asked is None:  # else what it was cancelled with before is still to be heard
            self.asked = waiting, message
        self.direct = 0
        self.waiting = None  # so what arrives is kept
        heard = cancel_as_asked(waiting, message)
        self.waiting = waiting
        if not heard and self.arrived is _NOTHING:
            self.give_up(message)
        return True


def advance(
    generator: Any,
    context: Context,
    driver: Driver | None,
    result: Any,
    loop: asyncio.AbstractEventLoop | None = None,
    task: CoroutineTask | None = None,
) -> Chain | None:
    """Run *generator* with *result* until it ends or must wait.

    Args:
        driver: None until it had to wait.
        result: a value, at first None; `_NOTHING`: what has arrived at *driver*.
        loop, task: of a coroutine, the first time: the loop that runs, and its current task now; None: none runs.
    Returns: the first time, the Deferred of the coroutine, as it stands (it may be RUNNING: that is for the caller to
        `run_on`); later the same, RUNNING, if it has ended, or None if it waits again.
    """
    new: Chain | None = None
    waiting: Any
    failed = False
    if driver is not None:
        driver.waiting = None
        if result is _NOTHING:
            result = driver.take()
            if result is _NOTHING:
                return None
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
        except Return as returned:
            result = returned.value
            break
        except asyncio.CancelledError as raised:  # it awaited an asyncio future: back to our terms
            result = Failure(CancelledError(*raised.args))
            result.value.__cause__ = caught(raised).value
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
            if not isinstance(waiting, Chain):
                if driver is None:
                    driver = CoroutineDriver(generator, context, loop, task)
                    new = driver.deferred
                not_here = driver.wait_for_future(waiting)
                if not_here is None:
                    return new
                result = Failure(not_here)
                failed = True
                continue
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
            if isinstance(generator, CoroutineType):
                driver = CoroutineDriver(generator, context, loop, task)
            else:
                driver = GeneratorDriver(generator, context)
            new = driver.deferred
        if waiting._thread != driver.thread and (elsewhere := belongs_elsewhere(waiting)) is not None:
            result = Failure(elsewhere)
            failed = True
            continue
        if waiting._first is None and waiting._more is None:
            waiting._first = driver  # as `Chain._add`, which costs a call
            if waiting._state >= FIRED:  # another thread has fired it just now
                run(waiting)
        else:
            waiting._add(driver)
        driver.waiting = waiting
        if driver.arrived is _NOTHING:
            if driver.unheard is None:
                return new
            message, driver.unheard = driver.unheard.args, None  # it was cancelled, as a task is, while it ran
            cast("CoroutineDriver", driver).withdraw(message)
            if driver.arrived is _NOTHING or asyncio._get_running_loop() is not None:
                return new
        driver.waiting = None
        result = driver.take()
        failed = isinstance(result, Failure)

    if driver is None and (result is None or not isinstance(result, _Special)):
        new = Deferred()  # as in `_finish`: three calls, of which most coroutines need none
        new._result = result
        new._state = FIRED
        return new
    ended = _finish(result, driver)
    result = new = waiting = yielded = None  # see "no cycles" in `_chain`
    try:
        return ended
    finally:
        del ended


def _to_be_waited_for(yielded: Any, generator: Any) -> Any:
    """What to wait for, a Deferred or an asyncio future, where *generator* gave neither a Deferred nor its `Awaiting`.

    Futures are for coroutines, which look up the result themselves.
    """
    if isinstance(yielded, CoroutineType):
        return start_coroutine(yielded)
    if isinstance(generator, GeneratorType):
        if asyncio.isfuture(yielded):
            return start_awaitable(yielded)
        return succeed(yielded)  # ``yield`` of anything else gives it back, as ``maybeDeferred`` would
    if yielded is None and isinstance(generator, CoroutineType):  # ``asyncio.sleep(0)``: let others run
        loop = asyncio._get_running_loop()
        if loop is None:
            return fail(RuntimeError("no event loop runs: start the coroutine when the reactor runs"))
        turn = _Turn()
        loop.call_soon(turn.callback, None)
        return turn
    if getattr(yielded, "_asyncio_future_blocking", None):
        return yielded
    return fail(TypeError(f"a coroutine run by netcore cannot wait for {yielded!r}"))


def _finish(result: Any, driver: Driver | None) -> Chain | None:
    """The coroutine has ended with *result*."""
    if isinstance(result, Deferred):
        result = Failure(TypeError("a coroutine returned a Deferred: await it (or yield it) and return its result"))
    if driver is None:
        return succeed(result)
    if driver.unheard is not None and not isinstance(result, Failure):  # as asyncio: it was to end cancelled
        result = Failure(CancelledError(*driver.unheard.args))
    deferred: Chain = driver.deferred
    deferred._canceller = driver.deferred = None  # they refer to each other, and frames to *driver*
    if isinstance(driver, CoroutineDriver) and driver.task is not None:
        driver.task.driver = None
        driver.task = None
    if deferred._state != PENDING:  # somebody else fired what is the coroutine's to fire
        logger.error("The Deferred of a coroutine was fired from outside: its own result is lost: %r", result)
        return None
    deferred._result = result
    deferred._state = RUNNING
    return deferred


def _started(deferred: Any) -> Any:
    if deferred._state == RUNNING:
        run_on(deferred)  # it waited, for a moment only
    try:
        return deferred
    finally:
        del deferred  # see "no cycles" in `_chain`


def start_generator(generator: Any) -> Any:
    """The Deferred of *generator*, which is begun."""
    context = copy_context()
    return _started(context.run(advance, generator, context, None, None))  # with None for *driver*, never None


def start_coroutine(coroutine: Any) -> Any:
    """The Deferred of *coroutine*, which is begun."""
    context = copy_context()
    loop = asyncio._get_running_loop()
    if loop is None:
        return _started(context.run(advance, coroutine, context, None, None))
    task = CoroutineTask()
    task.coroutine = coroutine  # here, as an __init__ would cost 45 ns
    before = current_tasks.get(loop)
    current_tasks[loop] = task
    try:
        deferred: Any = context.run(advance, coroutine, context, None, None, loop, task)
    finally:
        if before is None:
            del current_tasks[loop]
        else:
            current_tasks[loop] = before
    if task.callbacks is not None:  # somebody asks for more than the result
        if task.unheard is not None and deferred._state == FIRED:  # as in `_finish`
            deferred = fail(CancelledError(*task.unheard.args))
        task.watch(deferred)
    if deferred._state == RUNNING:
        run_on(deferred)  # as in `_started`
    try:
        return deferred
    finally:
        del deferred  # see "no cycles" in `_chain`


def start_awaitable(awaitable: Awaitable[T]) -> Any:
    """The Deferred of a coroutine that awaits *awaitable*."""

    async def wait() -> T:
        return await awaitable

    return start_coroutine(wait())
