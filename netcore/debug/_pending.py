"""What waits.

Timers, jobs, ports and connections are found where they live: at the reactors and in the threads of pools. Deferreds
live nowhere in particular: the garbage collector knows them all. So all of this works with debugging off; switched on,
it also says where each was made.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, TextIO

from netcore._origins import Made, Stack, is_machinery, place, summary, text_of
from netcore.debug._made import made_of, made_with, running_in
from netcore.defer import Deferred
from netcore.defer._chain import CHAINED, FIRED, PENDING
from netcore.defer._debugging import DeferredOrigin, getDebugging, origins
from netcore.defer._waiting import driver_of, entries_of, frames_of
from netcore.reactors import Reactor
from netcore.reactors._fdset import READ, Watched
from netcore.reactors._reactor import live
from netcore.stdio import StandardIO
from netcore.task import LoopingCall
from netcore.threadpool import ThreadPool, _perform, _Worker
from netcore.transports._datagram_port import DatagramSocket
from netcore.transports._process_base import ProcessTransport
from netcore.transports._stream import StreamTransport
from netcore.transports._stream_connector import StreamConnector
from netcore.transports._stream_port import StreamPort

__all__ = ["KINDS", "Pending", "PendingList", "pending", "printPending"]

KINDS = (
    *("coroutine", "task", "deferred", "timer", "job"),
    *("connector", "connection", "port", "process", "reader", "writer"),
)


@dataclass(frozen=True)
class Pending:
    """Something that waits.

    Attributes: *kind*, one of "coroutine" (driven by netcore), "task" (asyncio's), "deferred", "timer", "job" (of a
        thread pool), "connector", "connection", "port", "process", "reader", "writer" (a descriptor of the
        application's, given to ``addReader`` or ``addWriter``); *what* it is, in a line; *madeAt*, where it was made,
        None if that is not known; *age*, in seconds since then, or None; *waitsAt*, where a coroutine, a task or a
        running job stands, outermost first (empty for the others).
    """

    kind: str
    what: str
    madeAt: traceback.StackSummary | None
    age: float | None
    waitsAt: traceback.StackSummary

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.what}" + ("" if self.age is None else f", {self.age:.3f} s old")]
        if self.waitsAt:
            lines += ["  stands at", text_of(self.waitsAt)]
        if self.madeAt is not None:
            lines += ["  made at", text_of(self.madeAt)]
        elif self.kind != "task" and getDebugging():
            lines += ["  made before debugging was on"]
        return "\n".join(lines)


class PendingList(list[Pending]):
    """What `pending` found. ``str()`` of it is a report to be read."""

    def __str__(self) -> str:
        if not self:
            return "nothing waits"
        counts = {kind: sum(each.kind == kind for each in self) for kind in KINDS}
        head = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items() if count)
        hint = "" if getDebugging() else " (with debugging on, this says where each was made: see netcore.debug)"
        return "\n".join([f"waiting: {head}{hint}", *map(str, self)])


def pending(*kinds: str) -> PendingList:
    """What waits in this process, whether debugging is on or off.

    That is, of each reactor that was not disposed of: its timers, ports, connections, connectors that are connecting,
    child processes, readers and writers, and the tasks of its asyncio loop; the jobs of thread pools, queued and
    running; and all Deferreds that have no result, wait for another, or are paused, and coroutines driven by netcore.
    Jobs of asyncio's executors (`to_thread`, ``run_in_executor``) are not among them.

    Args:
        kinds: those that are asked for (see `Pending`); none: all.
    Returns: a list of `Pending`.
    Raises: ValueError: there is no such kind.
    Threading: call it in the reactor's thread; in any other what it says may be past. It goes through all objects that
        the garbage collector knows, which takes about 0.1 s for a million.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"there is nothing called {kind!r} here, only {', '.join(KINDS)}")
    found = PendingList()
    for provided, find in _FINDERS:
        if not kinds or not provided.isdisjoint(kinds):
            found += [each for each in find() if not kinds or each.kind in kinds]
    found.sort(key=lambda each: KINDS.index(each.kind))
    return found


def printPending(file: TextIO | None = None) -> None:
    """Write what `pending` finds to *file*; by default, to standard error."""
    print(pending(), file=sys.stderr if file is None else file, flush=True)


def _found(
    kind: str, what: str, stack: Stack | None, since: float | None, waits_at: Iterable[FrameType] = ()
) -> Pending:
    age = None if since is None else time.monotonic() - since
    stands = tuple(place(frame) for frame in waits_at if not is_machinery(frame.f_code.co_filename))
    return Pending(kind, what, None if stack is None else summary(stack), age, summary(stands))


def _found_made(kind: str, what: object, made: Made | None, waits_at: Iterable[FrameType] = ()) -> Pending:
    text = what if isinstance(what, str) else _repr(what)
    if made is None:
        return _found(kind, text, None, None, waits_at)
    return _found(kind, text, made.stack, made.since, waits_at)


def _repr(thing: object) -> str:
    try:
        return repr(thing)
    except Exception as error:
        return f"<{type(thing).__qualname__}, whose __repr__ raised {type(error).__qualname__}>"


# Deferreds and coroutines


def _deferreds() -> Iterator[Pending]:
    known: dict[int, Deferred[Any]] = {id(thing): thing for thing in origins.things()}  # gc.freeze() hides some
    # type() and not isinstance(), which asks the object: a proxy would do who knows what.
    known.update((id(thing), thing) for thing in gc.get_objects() if issubclass(type(thing), Deferred))
    for deferred in known.values():
        state = getattr(deferred, "_state", None)  # not set: it is being made
        if state == PENDING:
            doing = "has no result"
        elif state == CHAINED:
            doing = f"waits for {_name(deferred._result)}"
        elif state is not None and state >= FIRED and deferred._paused:
            doing = "is paused"
        else:
            continue
        origin = origins.get(deferred)
        driver = driver_of(deferred)
        if driver is None or state != PENDING:
            waiting = sum(1 for _ in entries_of(deferred))
            callbacks = f", {waiting} callback{'' if waiting == 1 else 's'}"
            yield _found_deferred("deferred", f"{_name(deferred)} {doing}{callbacks}", origin)
        elif driver.waiting is not None:  # else it runs: it asks, perhaps
            waited_for = driver.waiting
            name = _name(waited_for) if isinstance(waited_for, Deferred) else _repr(waited_for)
            what = f"{driver.generator.__qualname__}(), waits for {name}"
            yield _found_deferred("coroutine", what, origin, frames_of(driver.generator))


def _name(deferred: Deferred[Any]) -> str:
    return f"<{type(deferred).__name__} at {id(deferred):#x}>"


def _found_deferred(kind: str, what: str, origin: DeferredOrigin | None, waits_at: Iterable[FrameType] = ()) -> Pending:
    if origin is None:
        return _found(kind, what, None, None, waits_at)
    return _found(kind, what, origin.made, origin.since, waits_at)


# What reactors hold


def _of_reactors() -> Iterator[Pending]:
    for reactor in live():
        yield from _timers(reactor)
        yield from _transports(reactor)
        yield from _tasks(reactor)


def _timers(reactor: Reactor) -> Iterator[Pending]:
    for call in reactor.getDelayedCalls():
        func, arguments = call._func, call._kwargs
        if call.active():  # if not, it was called or cancelled this moment, in its own thread
            looping = getattr(func, "__self__", None)
            text = f"{_repr(looping)}, by {_repr(call)}" if isinstance(looping, LoopingCall) else call
            yield _found_made("timer", text, made_with(arguments))


def _transports(reactor: Reactor) -> Iterator[Pending]:
    for thing in list(reactor._open):
        if isinstance(thing, (StreamPort, DatagramSocket)):
            yield _found_made("port", thing, made_of(thing))
        elif isinstance(thing, (StreamTransport, StandardIO)):
            yield _found_made("connection", thing, made_of(thing))
        elif isinstance(thing, StreamConnector):  # it is kept while it is connecting
            yield _found_made("connector", thing, made_of(thing))
        elif isinstance(thing, ProcessTransport):
            yield _found_made("process", thing, made_of(thing))
        elif isinstance(thing, Watched) and thing.doomed is None:
            for kind, context in list(thing.contexts.items()):
                what = f"{_repr(thing.thing)}, descriptor {thing.number}"
                yield _found_made("reader" if kind is READ else "writer", what, made_of(context))


def _tasks(reactor: Reactor) -> Iterator[Pending]:
    if reactor.loop.is_closed():
        return
    current = asyncio.current_task(reactor.loop)
    for task in asyncio.all_tasks(reactor.loop):
        if task is not current:
            coroutine: Any = task.get_coro()
            what = f"{task.get_name()}, {getattr(coroutine, '__qualname__', coroutine)}()"
            yield _found("task", what, None, None, frames_of(coroutine))


# Threads


def _jobs() -> Iterator[Pending]:
    workers = [thread for thread in threading.enumerate() if isinstance(thread, _Worker)]
    pools: dict[int, ThreadPool] = {}
    for worker in workers:
        target: Any = getattr(worker, "_target", None)  # taken away when the thread ends
        if target is not None:
            pools[id(target.__self__)] = target.__self__
    for reactor in live():
        pool = reactor._pool._pool
        if pool is not None:
            pools[id(pool)] = pool
    frames = sys._current_frames()
    for pool in pools.values():
        with pool._lock:
            queued = list(pool._queue)
            handed = [(worker.name, worker.job) for worker in pool.threads if isinstance(worker, _Worker)]
            busy = [worker for worker in pool.threads if worker not in pool._idle]
        queued += [job for _, job in handed if job is not None]
        for _, _, func, _, arguments in queued:
            yield _found_made("job", f"{_repr(func)}, queued in {pool!r}", made_with(arguments))
        for thread in busy:
            stack = _stack_of_job(frames.get(thread.ident or 0))
            if stack is not None:
                what = f"{_what_runs(stack)}, runs in thread {thread.name}"
                yield _found_made("job", what, running_in(thread.ident), stack)


_PERFORM = _perform.__code__


def _stack_of_job(innermost: FrameType | None) -> list[FrameType] | None:
    """The frames of the job that runs in a worker thread, outermost first; None if none does."""
    frames: list[FrameType] = []
    frame = innermost
    while frame is not None:
        if frame.f_code is _PERFORM:
            frames.reverse()
            return frames
        frames.append(frame)
        frame = frame.f_back
    return None


def _what_runs(stack: list[FrameType]) -> str:
    for frame in stack:
        if not is_machinery(frame.f_code.co_filename):  # as what wraps a job of a scope is
            return frame.f_code.co_qualname + "()"
    return "a function without frames"


_FINDERS: tuple[tuple[frozenset[str], Callable[[], Iterator[Pending]]], ...] = (
    (frozenset({"coroutine", "deferred"}), _deferreds),
    (frozenset({"timer", "port", "process", "connection", "connector", "reader", "writer", "task"}), _of_reactors),
    (frozenset({"job"}), _jobs),
)
