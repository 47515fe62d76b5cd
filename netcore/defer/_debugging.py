"""What debugging knows of Deferreds: where each was made and fired, and in which thread.

Switched on, methods of ours are replaced by ones that also record (``_PATCHES`` says which); switched off, the
originals are back. So nothing is asked, stored or imported on any path while it is off. What is recorded is kept beside
the Deferreds (`netcore._origins`), and goes with them.

Rules that the reports follow:

- *Fired in a foreign thread* is reported if the thread that the Deferred was made in runs an asyncio loop or a reactor
  (or is the main thread, and the global reactor was made, which will run there), and the thread that fires is not that
  loop's. Handing over by ``callFromThread`` fires in the Deferred's own thread and is never reported; nor is a Deferred
  that a thread without a loop made for somebody else.
- *Awaited in a foreign thread* is refused without debugging, too (`_asyncio.belongs_elsewhere`); with it also where the
  loop is not asyncio's own and no reactor runs on it, and the error says where the Deferred was made.
- *The functions that wait* for one that failed are shown outside its traceback, if they have not been resumed with the
  failure: those that have are in it.

Wrappers keep neither a Failure nor a Deferred in a variable when they return, as `_chain` demands of everybody on the
stack of a callback.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from threading import get_ident
from types import FrameType, TracebackType
from typing import Any

import netcore._log
from netcore._current import loop_where, thread_name
from netcore._origins import Origins, Patches, Stack, is_machinery, jobs, stack_here, summary, text_of
from netcore.defer import _asyncio, _conversions, _driver, _unhandled
from netcore.defer._chain import PENDING, Chain
from netcore.defer._deferred import Deferred
from netcore.defer._errors import AlreadyCalledError
from netcore.defer._waiting import driver_of, frames_waiting_for
from netcore.failure import Failure, _without_our_frames

__all__ = ["DeferredOrigin", "getDebugging", "origins", "setDebugging"]

logger = logging.getLogger("netcore.debug")

MOST_PLACES = 1000  # that a report is made for: code made up at run time could have any number


class DeferredOrigin(_unhandled.Origin):
    """Where a Deferred was made, and where it was fired, if it was.

    Attributes: *by_job*, a job of a thread has fired it that is no function of the program's, and *fired* is where that
        was asked for; *waited_for*, where the Deferred was fired whose result it has taken last.
    """

    __slots__ = ("by_job", "coroutine", "fired", "fired_in", "loop", "made", "made_in", "since", "waited_for")

    def __init__(self, coroutine: str | None) -> None:
        self.made: Stack = stack_here()
        self.made_in = get_ident()
        self.since = time.monotonic()
        loop = asyncio._get_running_loop()
        self.loop = None if loop is None else weakref.ref(loop)
        self.coroutine = coroutine
        self.fired: Stack | None = None
        self.fired_in: str | None = None  # the other thread; by name, for it may have ended when the report is due
        self.by_job = False
        self.waited_for: Stack | None = None

    def note_firing(self) -> None:
        """It is fired here and now."""
        self.fired, self.by_job = _firing()
        thread = get_ident()
        self.fired_in = None if thread == self.made_in else thread_name(thread)

    def text(self, failure: Failure) -> str:
        """For the report of *failure*, which nobody handled."""
        coroutine = self.coroutine
        if coroutine == _ENDED_AT_ONCE:
            coroutine = _outermost_of(failure.tb)
        what = "Deferred" if coroutine is None else f"Deferred of the coroutine {coroutine}"
        text = f"\nThe {what} was made at\n{text_of(self.made)}"
        if self.fired is not None:
            where = "" if self.fired_in is None else f", in thread {self.fired_in},"
            text += f"\nand {'fired' if coroutine is None else 'failed'}{where} {_at(self.fired, self.by_job)}"
        if self.waited_for is not None:
            text += f"\nThe Deferred that it waited for was fired at\n{text_of(self.waited_for)}"
        return text

    def attributes(self) -> dict[str, Any]:
        """For the record of that report."""
        return {"madeAt": summary(self.made), "firedAt": None if self.fired is None else summary(self.fired)}


def _firing() -> tuple[Stack, bool]:
    """Where a Deferred is fired here and now, and whether that is where the job of this thread was asked for."""
    fired = stack_here()
    job = None if fired else jobs.get(get_ident())
    return (fired, False) if job is None else (job.stack, True)


def _at(fired: Stack, by_job: bool) -> str:
    return f"{'by the call of it that was asked for ' if by_job else ''}at\n{text_of(fired)}"


# Instead of a name: the coroutine never had to wait, and is gone. The traceback of what it failed with has its name.
_ENDED_AT_ONCE = ""

origins: Origins[DeferredOrigin] = Origins()
_failed: Origins[weakref.ref[Deferred[Any]]] = Origins()  # Failure -> the Deferred of the coroutine that ended with it
_reported: set[Any] = set()
_lock = threading.RLock()


def setDebugging(on: bool) -> None:
    """Switch debugging of Deferreds on or off; both may be done again and again. `netcore.debug` does this and more.

    Switched on: the report of an unhandled failure says where its Deferred was made and where it was fired, and so does
    `AlreadyCalledError`; a Deferred fired in a thread that is not its reactor's is reported, once for each place
    (logger ``netcore.debug``, level WARNING); one that is awaited in another loop's thread raises RuntimeError there;
    and tracebacks have the functions that wait, without netcore's own frames. It costs several times what a Deferred
    costs.

    Threading: any thread.
    """
    with _lock:
        if on:
            _unhandled.set_origin_of(_origin_of)
            _PATCHES.apply()
        else:
            _PATCHES.undo()
            _unhandled.set_origin_of(None)
            for known in (origins, _failed, _reported):
                known.clear()


def getDebugging() -> bool:
    """Whether debugging of Deferreds is switched on."""
    return _PATCHES.applied


def _outermost_of(tb: TracebackType | None) -> str | None:
    """The name of the program's outermost function in *tb*."""
    while tb is not None and is_machinery(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return None if tb is None else tb.tb_frame.f_code.co_qualname


def _origin_of(deferred: Any) -> DeferredOrigin | None:
    """The origin of *deferred*, which fails right now."""
    origin = origins.get(deferred)
    if origin is not None and origin.fired is None:  # not by its own `errback`: by what it waited for, or a coroutine
        origin.note_firing()
    return origin


# What takes the place of methods


def _made(original: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Chain, canceller: Callable[[Any], object] | None = None) -> None:
        original(self, canceller)
        coroutine: str | None = None
        driver = driver_of(self)
        if driver is not None:
            coroutine = driver.generator.__qualname__
        else:
            caller = sys._getframe(1).f_back
            if caller is not None and caller.f_code is _FINISH:  # through `succeed`
                coroutine = _ENDED_AT_ONCE
        origins.put(self, DeferredOrigin(coroutine))

    return __init__


def _fired_with_result(original: Callable[..., None]) -> Callable[..., None]:
    def callback(self: Deferred[Any], result: Any) -> None:
        _note_firing(self)
        try:
            original(self, result)
        finally:
            del self, result

    return callback


def _fired_with_failure(original: Callable[..., None]) -> Callable[..., None]:
    def errback(self: Deferred[Any], fail: Failure | BaseException | None = None) -> None:
        _note_firing(self)
        try:
            original(self, fail)
        finally:
            del self, fail

    return errback


def _fired_by_another(original: Callable[..., Any]) -> Callable[..., Any]:
    def _fire(self: Deferred[Any], result: Any) -> Any:
        _note_firing(self)
        try:
            return original(self, result)
        finally:
            del self, result

    return _fire


def _note_firing(deferred: Deferred[Any]) -> None:
    if deferred._state != PENDING or not getDebugging():  # a bound method was taken while it was on
        return
    origin = origins.get(deferred)
    if origin is not None:
        origin.note_firing()
    if deferred._thread != get_ident() and _belongs_to_a_loop(deferred, origin):
        _report_thread(deferred, origin)


def _belongs_to_a_loop(deferred: Deferred[Any], origin: DeferredOrigin | None) -> bool:
    """Whether *deferred*, which this thread fires and another made, should have been fired there."""
    here = asyncio._get_running_loop()
    home = _running_home(deferred, origin)
    if home is not None:
        return home is not here
    return (
        here is None
        and deferred._thread == threading.main_thread().ident
        and "reactor" in vars(sys.modules["netcore"])  # the global one
    )


def _running_home(deferred: Chain, origin: DeferredOrigin | None) -> asyncio.AbstractEventLoop | None:
    """The loop that runs in the thread of *deferred*, as far as is known."""
    loop = origin.loop() if origin is not None and origin.loop is not None else None
    return loop if loop is not None and loop.is_running() else loop_where(deferred._thread)


def _report_thread(deferred: Deferred[Any], origin: DeferredOrigin | None) -> None:
    fired, by_job = _firing()
    key = (None if origin is None else origin.made[-1:], fired[-1:]) if fired else object()  # who knows how many places
    if key in _reported or len(_reported) >= MOST_PLACES:
        return
    _reported.add(key)
    logger.warning(
        "A Deferred made in thread %s was fired in thread %s: its callbacks run there, at the same time as what its "
        "reactor calls. Fire it by reactor.callFromThread(deferred.callback, result), or use threads.deferToThread(). "
        "It was made %s\nand fired %s",
        thread_name(deferred._thread),
        thread_name(get_ident()),
        "before debugging was on" if origin is None else f"at\n{text_of(origin.made)}",
        _at(fired, by_job),
        extra={"madeAt": None if origin is None else summary(origin.made), "firedAt": summary(fired)},
        stacklevel=4,
    )


def _fired_again(original: Callable[..., None]) -> Callable[..., None]:
    def _fired_again(self: Deferred[Any]) -> None:
        try:
            original(self)
        except AlreadyCalledError as error:
            origin = origins.get(self)
            if origin is None:
                raise
            where = f"{error}\nIt was made at\n{text_of(origin.made)}"
            if origin.fired is not None:
                where += f"\nand fired {_at(origin.fired, origin.by_job)}"
            raise AlreadyCalledError(where) from None

    return _fired_again


def _taken(original: Callable[..., Any]) -> Callable[..., Any]:
    def _resume(self: Chain, source: Chain, result: Any, failed: bool) -> Any:
        origin, inner = origins.get(self), origins.get(source)
        if origin is not None and inner is not None:
            origin.waited_for = inner.waited_for or inner.fired or stack_here()  # the last: of a coroutine
        try:
            return original(self, source, result, failed)
        finally:
            del self, source, result

    return _resume


def _waited_for(original: Callable[..., Any]) -> Callable[..., Any]:
    def belongs_elsewhere(deferred: Chain) -> RuntimeError | None:
        error = original(deferred)
        if error is None:
            return None
        origin = origins.get(deferred)
        made = "before debugging was on" if origin is None else f"at\n{text_of(origin.made)}"
        return RuntimeError(f"{error}. It was made {made}")

    return belongs_elsewhere


def _where_it_was_made(original: Callable[..., Any]) -> Callable[..., Any]:
    def loop_of(deferred: Chain) -> asyncio.AbstractEventLoop | None:
        return original(deferred) or _running_home(deferred, origins.get(deferred))

    return loop_of


def _coroutine_ended(original: Callable[..., Any]) -> Callable[..., Any]:
    def _finish(result: Any, driver: Any) -> Any:
        if driver is not None and isinstance(result, Failure):
            _failed.put(result, weakref.ref(driver.deferred))
        try:
            return original(result, driver)
        finally:
            del result

    return _finish


# Tracebacks


def _shown(original: Callable[[Failure], TracebackType | None]) -> Callable[[Failure], TracebackType | None]:
    def traceback_shown(failure: Failure) -> TracebackType | None:
        return _with_those_that_wait(failure, original(failure))

    return traceback_shown


def _as_text(original: Callable[..., str]) -> Callable[..., str]:
    def getTraceback(self: Failure, elideFrameworkCode: bool = False, detail: str = "default") -> str:
        shown = _with_those_that_wait(self, _without_our_frames(self.tb))
        failure = self if shown is None or shown is self.tb else Failure(self.value, self.type, shown)
        return failure._traceback(True, detail, keep_some=not elideFrameworkCode)

    return getTraceback


def _with_those_that_wait(failure: Failure, tb: TracebackType | None) -> TracebackType | None:
    """*tb*, beneath the functions that wait for the coroutine that *failure* ended."""
    reference = _failed.get(failure)
    deferred = None if reference is None else reference()
    if deferred is None:
        return tb
    shown = {id(frame) for frame, _ in traceback.walk_tb(tb)}
    waiting: list[FrameType] = [
        frame
        for frame in frames_waiting_for(deferred)
        if id(frame) not in shown and not is_machinery(frame.f_code.co_filename)
    ]
    for frame in reversed(waiting):
        tb = TracebackType(tb, frame, frame.f_lasti, frame.f_lineno or frame.f_code.co_firstlineno)
    return tb


_FINISH = _driver._finish.__code__

_PATCHES = Patches(
    [
        (Chain, "__init__", _made),
        (Chain, "_resume", _taken),
        (Deferred, "callback", _fired_with_result),
        (Deferred, "errback", _fired_with_failure),
        (Deferred, "_fire", _fired_by_another),
        (Deferred, "_fired_again", _fired_again),
        (_driver, "_finish", _coroutine_ended),
        (_asyncio, "loop_of", _where_it_was_made),
        (_driver, "belongs_elsewhere", _waited_for),
        (_asyncio, "belongs_elsewhere", _waited_for),
        (_conversions, "belongs_elsewhere", _waited_for),
        (Failure, "getTraceback", _as_text),
        (netcore._log, "traceback_shown", _shown),
    ]
)
