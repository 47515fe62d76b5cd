"""How much work a loop does in one turn: from one look at its sockets and timers to the next.

Nobody else is served meanwhile. Two measures: the processor time of the loop's thread, for measuring by hand, and the
number of calls of Python functions, which is the same on a busy machine and is what tests may compare.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Turns", "counted", "timed"]


@dataclasses.dataclass
class Turns:
    """The turns so far.

    Attributes: *count*; *longest*, in seconds of the thread's own processor time, or in calls.
    """

    count: int = 0
    longest: float = 0.0

    def note(self, measure: float) -> None:
        """One turn is over."""
        self.count += 1
        self.longest = max(self.longest, measure)


@contextmanager
def timed(loop: Any) -> Iterator[Turns]:
    """Measure the turns of *loop*, one of asyncio's own, by its thread's processor time. The garbage collector rests:
    what it would take depends on all else that there is in the process.

    Threading: the loop's thread.
    """
    turns = Turns()
    run_once = loop._run_once

    def measured() -> None:
        before = time.thread_time()
        run_once()
        turns.note(time.thread_time() - before)

    collecting = gc.isenabled()
    gc.disable()
    loop._run_once = measured
    try:
        yield turns
    finally:
        del loop._run_once
        if collecting:
            gc.enable()


@contextmanager
def counted(loop: Any) -> Iterator[Turns]:
    """Measure the turns of *loop*, one of asyncio's own, by the calls of functions, those in C among them.

    Threading: the loop's thread.
    """
    turns = Turns()
    run_once = loop._run_once
    calls = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    def measured() -> None:
        nonlocal calls
        calls = 0
        run_once()
        turns.note(calls)

    loop._run_once = measured
    sys.setprofile(called)
    try:
        yield turns
    finally:
        sys.setprofile(None)
        del loop._run_once
