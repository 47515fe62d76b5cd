"""`ThreadPool`: calls made by a bounded number of threads.

What holds whenever the lock is free:

* A job waits in ``_queue`` only while every thread is busy and there are as many as there may be (or as the system
  would give when last asked), or before `start`. An idle thread is handed its job directly, the one that became idle
  last first (its caches are warm), so a job cannot be waiting while a thread is idle, and no wake-up can be lost: there
  is none to lose.
* ``threads`` holds every thread that may still run a job; a thread takes itself out, under the lock, as its last act.
* The states go one way, NEW → STARTED → STOPPING → STOPPED (``_TRANSITIONS``). Jobs queued in NEW run after `start`;
  those queued in STARTED run before the pool has stopped; in STOPPING and STOPPED a job is refused.

Threads are daemons: a driver call that hangs for ever must not keep the process from exiting. Whoever wants them
finished says so, by `stop`.

Each job runs in a copy of the contextvars context it was submitted in, its *onResult* too.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from enum import Enum
from typing import Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.failure import Failure

__all__ = ["ThreadPool"]

logger = logging.getLogger("netcore.threadpool")

OnResult = Callable[[bool, Any], object]
_Job = tuple[Context, OnResult | None, Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_numbers = itertools.count(1)
_pools: weakref.WeakSet[ThreadPool] = weakref.WeakSet()
_pools_lock = threading.Lock()


def _jobs() -> int:
    """How many jobs are being done, or wait for a thread, in all pools of this process. (Virtual time asks.)"""
    with _pools_lock:
        pools = list(_pools)
    return sum(pool._at_work() for pool in pools)


class _State(Enum):
    NEW = "not started"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"


class _Event(Enum):
    START = "start"
    STOP = "stop"
    ENDED = "the last thread ended"


# A pair that is not here is refused.
_TRANSITIONS: dict[tuple[_State, _Event], _State] = {
    (_State.NEW, _Event.START): _State.STARTED,
    (_State.STARTED, _Event.START): _State.STARTED,
    (_State.NEW, _Event.STOP): _State.STOPPING,
    (_State.STARTED, _Event.STOP): _State.STOPPING,
    (_State.STOPPING, _Event.STOP): _State.STOPPING,
    (_State.STOPPED, _Event.STOP): _State.STOPPED,
    (_State.STOPPING, _Event.ENDED): _State.STOPPED,
}


class _Worker(threading.Thread):
    """One thread; *job* is what it has been handed, *wake* is released when there is one (or when it shall end)."""

    def __init__(self, pool: ThreadPool, name: str, job: _Job | None) -> None:
        super().__init__(target=pool._work, args=(self,), name=name, daemon=True)
        self.job = job
        self.wake = threading.Lock()
        self.wake.acquire()


class ThreadPool:
    """Threads that make calls, as many as are needed up to a limit.

    Args:
        minthreads: how many threads `start` starts.
        maxthreads: how many there are at most; one is started when a job comes and none is idle.
        name: for the threads' names and for logs.
    Attributes: *min*, *max*, *name*; *threads*, those alive; *started* and *joined*, whether `start` and `stop` were
        called.
    Raises: ValueError: the numbers are negative, or the wrong way round.
    Threading: every method from any thread, but not from signal handlers and finalisers (``__del__``), which may
        interrupt one: they have ``reactor.callFromThread``.
    """

    min: int
    max: int
    name: str | None
    threads: list[threading.Thread]

    def __init__(self, minthreads: int = 5, maxthreads: int = 20, name: str | None = None) -> None:
        _check(minthreads, maxthreads)
        self.min = minthreads
        self.max = maxthreads
        self.name = name
        self.threads = []
        self._number = next(_numbers)
        self._started_threads = itertools.count(1)
        self._lock = threading.Lock()
        self._state = _State.NEW
        self._queue: deque[_Job] = deque()
        self._idle: list[_Worker] = []
        self._when_stopped: list[Callable[[], object]] = []
        self._told: list[Callable[[], object]] = []  # until they have been
        with _pools_lock:
            _pools.add(self)

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._state is _State.STARTED

    @property
    def joined(self) -> bool:
        """Whether `stop` was called: the pool takes no more jobs."""
        return self._state in (_State.STOPPING, _State.STOPPED)

    def start(self) -> None:
        """Start *min* threads, and as many more as there are jobs waiting; fewer, if the system has no more to give.

        Raises: RuntimeError: the pool was stopped, or the system gives it no thread at all.
        """
        with self._lock:
            self._move(_Event.START)
            self._grow()

    def callInThread(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call *func* in a thread, in a copy of the caller's context. What it raises is logged.

        Raises: RuntimeError: the pool was stopped.
        """
        self._submit((copy_context(), None, func, args, kwargs))

    def callInThreadWithCallback(
        self, onResult: OnResult | None, func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Call *func* in a thread, then, in the same thread and context, ``onResult(success, result)``.

        Args:
            onResult: given True and what *func* returned, or False and a `Failure`; what it raises is logged.
        Raises: RuntimeError: the pool was stopped.
        """
        self._submit((copy_context(), onResult, func, args, kwargs))

    def adjustPoolsize(self, minthreads: int | None = None, maxthreads: int | None = None) -> None:
        """Change *min* and *max*. Threads beyond the new maximum end when their job is done.

        Raises: ValueError: the numbers are negative, or the wrong way round.
        """
        with self._lock:
            least = self.min if minthreads is None else minthreads
            most = self.max if maxthreads is None else maxthreads
            _check(least, most)
            self.min, self.max = least, most
            if self._state is _State.STARTED:
                for _ in range(min(len(self._idle), len(self.threads) - most)):
                    self._idle.pop(0).wake.release()  # with no job: it looks again, and ends
                self._grow()

    def stop(self, timeout: float | None = None) -> None:
        """Take no more jobs, and wait until those taken are done and the threads have ended.

        Args:
            timeout: seconds to wait at most; the threads then go on, as daemons. None waits for ever.
        Raises: RuntimeError: called in a thread of the pool, which would wait for itself.
        """
        if threading.current_thread() in self.threads:
            raise RuntimeError("stop() was called in a thread of the pool, which would wait for itself")
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._begin_stop(None):
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def beginStop(self, whenStopped: Callable[[], object] | None = None) -> None:
        """Take no more jobs; the threads end when those taken are done. Does not wait.

        Args:
            whenStopped: called once every thread has ended: now, if there are none, else in the last of them, as its
                last act, so that joining the threads then takes no time.
        """
        self._begin_stop(whenStopped)

    def dumpStats(self) -> None:
        """Log, at level INFO, how busy the pool is: how many threads it has, how many jobs wait, which threads work."""
        with self._lock:
            idle = set(self._idle)
            busy = ", ".join(thread.name for thread in self.threads if thread not in idle) or "none"
            summary = repr(self)
        logger.info("%s; at work: %s", summary, busy)

    def _at_work(self) -> int:
        """How many jobs are being done, or wait for a thread. Telling that it has stopped is one too."""
        with self._lock:
            waiting = 0 if self._state is _State.NEW else len(self._queue)
            return waiting + len(self.threads) - len(self._idle) + len(self._told)

    def _begin_stop(self, when_stopped: Callable[[], object] | None) -> list[threading.Thread]:
        with self._lock:
            if self._state is _State.NEW:
                self._queue.clear()  # there is no thread to run them
            self._move(_Event.STOP)
            threads = list(self.threads)
            while self._idle:
                self._idle.pop().wake.release()  # with no job: it looks again, and ends
            if when_stopped is not None:
                self._when_stopped.append(when_stopped)
            told = self._end()
        _tell(told)
        return threads

    def _move(self, event: _Event) -> None:
        state = _TRANSITIONS.get((self._state, event))
        if state is None:
            raise RuntimeError(
                f"thread pool {self.name or self._number}: cannot {event.value}, it is {self._state.value}"
            )
        self._state = state

    def _submit(self, job: _Job) -> None:
        with self._lock:
            if self._idle:
                worker = self._idle.pop()
                worker.job = job
                worker.wake.release()
            elif self._state is _State.STARTED and len(self.threads) < self.max:
                self._queue.append(job)  # behind those for which the system had no thread
                try:
                    self._grow()
                except RuntimeError:
                    self._queue.pop()
                    raise
            elif self._state in (_State.NEW, _State.STARTED):
                self._queue.append(job)
            else:
                raise RuntimeError(f"thread pool {self.name or self._number} was stopped: it takes no more calls")

    def _grow(self) -> None:
        """Start the threads there should be, as far as the system gives them.

        Raises: RuntimeError: it gives none, and there is none.
        """
        while len(self.threads) < self.min or (self._queue and len(self.threads) < self.max):
            job = self._queue.popleft() if self._queue else None
            if not self._start_thread(job):
                if job is not None:
                    self._queue.appendleft(job)
                if not self.threads:
                    raise RuntimeError(
                        f"thread pool {self.name or self._number} can't start a thread: the system gives none"
                    )
                return

    def _start_thread(self, job: _Job | None) -> bool:
        """Returns: whether the system had a thread to give."""
        label = f"netcore-pool-{self.name or self._number}-{next(self._started_threads)}"
        worker = _Worker(self, label, job)
        self.threads.append(worker)
        try:
            worker.start()
        except RuntimeError:
            self.threads.remove(worker)
            return False
        return True

    def _work(self, worker: _Worker) -> None:
        told: list[Callable[[], object]]
        while True:
            job = worker.job
            if job is not None:
                worker.job = None
                job[0].run(_perform, *job[1:])
                job = None  # while it waits, a thread keeps nothing of the last job alive
            with self._lock:
                surplus = len(self.threads) > self.max
                if self._queue and not surplus:
                    worker.job = self._queue.popleft()
                    continue
                if surplus or self._state is not _State.STARTED:
                    self.threads.remove(worker)
                    told = self._end()
                    break
                self._idle.append(worker)
            worker.wake.acquire()
        _tell(told)

    def _end(self) -> list[Callable[[], object]]:
        """If the pool is stopping and no thread is left, it has stopped. Returns who wants to know."""
        if self.threads or self._state in (_State.NEW, _State.STARTED):
            return []
        if self._state is _State.STOPPING:
            self._move(_Event.ENDED)
        self._told, self._when_stopped = self._when_stopped, []
        return self._told

    def __repr__(self) -> str:
        return (
            f"<ThreadPool {self.name or self._number} {self._state.value}: {len(self.threads)} threads of {self.max}, "
            f"{len(self._idle)} idle, {len(self._queue)} jobs waiting>"
        )


def _check(least: int, most: int) -> None:
    if not 0 <= least <= most or most < 1:
        raise ValueError(f"a pool has 0 <= minthreads <= maxthreads threads, and at least 1, not {least} to {most}")


def _tell(told: list[Callable[[], object]]) -> None:
    while told:
        try:
            told[0]()
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:  # CancelledError too
            log_failure(logger, Failure(), "%r, told that a thread pool has stopped, raised", told[0])
        finally:
            del told[0]


def _perform(
    on_result: OnResult | None, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        result, success = func(*args, **kwargs), True
    except BaseException:  # SystemExit in a worker ends nobody's program: it is this job's result
        result, success = Failure(), False
    try:
        if on_result is not None:
            on_result(success, result)
        elif not success:
            log_failure(logger, result, "%r, called in a thread, raised", func)
    except BaseException:
        log_failure(logger, Failure(), "%r, given the result of %r, raised", on_result, func)
    finally:
        # A Failure holds this frame, which would hold the Failure, and with the others the Deferred that has it.
        del result, on_result, func, args, kwargs
