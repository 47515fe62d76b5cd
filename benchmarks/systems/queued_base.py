"""What is asked of a pool of one connection that is at work: to queue many calls, to refuse more, and to answer all.

The connection is sqlite3's, and is held up by a function that waits. Parameters, which are the caller's, are made
beforehand, and so is the list that keeps the Deferreds: what is measured is what the library needs for a call.
"""

from __future__ import annotations

import gc
import resource
import threading
import tracemalloc
from concurrent.futures import Future
from time import thread_time
from typing import Any

from benchmarks.people import Rows, check, questions, statement
from benchmarks.systems.base import ROUND_TIMEOUT, START_TIMEOUT, ReactorHost

HOLD = "SELECT hold_up()"
WAIT = 10 * ROUND_TIMEOUT  # a call may wait so long: nothing of this is about time


class Queue:
    """A pool with `runQuery`, on a reactor; it has to call `open_connection` with each new connection."""

    def __init__(self, reactor: Any) -> None:
        self._host = ReactorHost(reactor)
        self._sql = statement("sqlite3")
        self._entered, self._go_on = threading.Event(), threading.Event()
        self._deferreds: list[Any] = []
        self._asked: list[tuple[tuple[str], Rows]] = []
        self.pool: Any

    def open_connection(self, connection: Any) -> None:
        """Give *connection* the function that waits. Threading: a worker thread."""

        def hold_up() -> int:
            self._entered.set()
            self._go_on.wait()
            return 1

        connection.create_function("hold_up", 0, hold_up)

    def start(self) -> None:
        self._host.start()

    def fill(self, calls: int, traced: bool) -> dict[str, float]:
        """Queue *calls* calls. Returns: bytes of memory for each, as Python's allocators count them if *traced*, else
        as the process grew; and the microseconds of processor time that queueing one took."""
        self._asked = [((name,), expected) for name, expected in questions(calls)]
        self._deferreds = [None] * calls
        self._host.call(self.pool.runQuery, self._sql, ("u1",))  # everything has been used once
        self._entered.clear()
        self._go_on.clear()
        self._held: Any = self._host.call(lambda: [self.pool.runQuery(HOLD)])
        self._entered.wait(START_TIMEOUT)
        gc.collect()
        if traced:
            tracemalloc.start()
        before = _memory(traced)
        seconds = self._host.call(self._submit)
        used = _memory(traced) - before
        tracemalloc.stop()
        return {"bytes_each": used / calls, "cpu_each": seconds / calls * 1e6}

    def _submit(self) -> float:
        run, sql, deferreds, began = self.pool.runQuery, self._sql, self._deferreds, thread_time()
        for index, (parameters, _) in enumerate(self._asked):
            deferreds[index] = run(sql, parameters)
        return thread_time() - began

    def overfill(self, calls: int) -> dict[str, float]:
        """Ask for *calls* more. Returns how many were refused at once, and the microseconds that each took."""
        refused: list[str] = []

        def submit() -> float:
            run, sql, parameters, began = self.pool.runQuery, self._sql, ("u1",), thread_time()
            for _ in range(calls):
                run(sql, parameters).addErrback(lambda failure: refused.append(failure.type.__name__))
            return thread_time() - began

        seconds = self._host.call(submit)
        return {"refused": len(refused), "cpu_each": seconds / calls * 1e6}

    def drain(self) -> int:
        """Let the connection go on. Returns how many of the queued calls were answered, each rightly."""
        finished: Future[None] = Future()
        answered: list[Rows] = []

        def watch() -> None:
            for deferred, (_, expected) in zip(self._deferreds, self._asked, strict=True):
                deferred.addCallback(got, expected).addErrback(failed)

        def got(rows: Rows, expected: Rows) -> None:
            check(rows, expected)
            answered.append(rows)
            if len(answered) == len(self._asked):
                finished.set_result(None)

        def failed(failure: Any) -> None:
            if not finished.done():
                finished.set_exception(failure.value)

        self._host.call(watch)
        self._go_on.set()
        finished.result(ROUND_TIMEOUT)
        return len(answered)

    def stop(self) -> None:
        self._host.call(self.pool.close)
        self._host.stop()


def _memory(traced: bool) -> int:
    """Bytes: what Python's allocators gave out since they are watched, or what the process uses (RSS, proc(5))."""
    if traced:
        return tracemalloc.get_traced_memory()[0]
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
