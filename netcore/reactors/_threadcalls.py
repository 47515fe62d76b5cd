"""Calls from other threads into the loop's: one queue, one wake-up for many calls.

No call is lost: `add` appends *before* it reads ``_woken``, `drain` clears ``_woken`` *before* it counts. If `add`
reads True, the drain that the flag stands for has yet to clear it, so it will count the new call; if it reads False,
it wakes. (Two threads may both read False: one wake-up too many, which drains nothing.) Neither takes a lock, since
deque operations are atomic and a signal handler, which may interrupt either, could not wait for one.

A drain makes as many calls as there were when it began: a call that makes calls, and a thread that never stops, leave
the loop its turns.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.error import ReactorNotRunning
from netcore.failure import Failure

__all__ = ["ThreadCalls"]

logger = logging.getLogger("netcore.reactors")


class ThreadCalls:
    """The calls that other threads want made in the loop's.

    Args:
        wake: makes the loop call `drain` soon; may be called in any thread.
    Threading: `add` in any thread and in signal handlers; the rest in the loop's.
    """

    __slots__ = ("_calls", "_wake", "_woken")

    def __init__(self, wake: Callable[[], object]) -> None:
        self._calls: deque[partial[Any]] = deque()  # partial(context.run, func, *args, **kwargs)
        self._wake = wake
        self._woken = False

    def add(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Have a call made, in the caller's context, in the order of the calls of `add`.

        Raises: TypeError: *func* cannot be called. What *wake* raises; the call is then not made.
        """
        if not callable(func):
            raise TypeError(f"{func!r} cannot be called")
        call = partial(copy_context().run, func, *args, **kwargs)
        self._calls.append(call)
        if not self._woken:
            self._woken = True
            try:
                self._wake()
            except BaseException:
                self._woken = False  # so that the next call hears of it too
                with contextlib.suppress(ValueError):  # dropped meanwhile
                    self._calls.remove(call)
                if self._calls:  # other threads', who saw the flag: KeyboardInterrupt must not cost them the wake-up
                    with contextlib.suppress(ReactorNotRunning):
                        self._wake()
                raise

    def drain(self) -> None:
        """Make the calls. What one raises is logged; KeyboardInterrupt and SystemExit escape, and the rest wait."""
        self._woken = False
        calls = self._calls
        try:
            for _ in range(len(calls)):
                if not calls:  # cleared by the last one, which disposed of the reactor
                    break
                call = calls.popleft()
                try:
                    call()
                except ENDS_THE_PROGRAM:
                    raise
                except BaseException:  # CancelledError too
                    log_failure(logger, Failure(), "%r, called from a thread, raised", call.args[0])
                del call  # may be a Deferred's, and this frame in the traceback that its failure holds
        finally:
            if calls and not self._woken:
                self._woken = True
                self._wake()

    def clear(self) -> None:
        """Forget the calls, and a wake-up that may have been ignored: the next call wakes again."""
        self._woken = False  # first, as in `drain`
        self._calls.clear()
