"""The main thread of a worker, where its system's loop runs as it does in programs; orders come in another thread.

Where a loop runs is not all the same: malloc serves other threads from arenas of their own, which made some 10 % in
an echo server's processor time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "Future[Any]"]
_jobs: SimpleQueue[_Job] = SimpleQueue()


def submit(function: Callable[[], T]) -> Future[T]:
    """Have the main thread call *function*, which may take as long as the process lives."""
    outcome: Future[T] = Future()
    _jobs.put((function, outcome))
    return outcome


def serve() -> None:
    """Call what is submitted, one after the other, for ever. Called by the main thread."""
    while True:
        function, outcome = _jobs.get()
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)
