"""The part of a reactor that makes calls: later, from other threads, and in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netcore._timers import DelayedCall
from netcore.reactors._lifecycle import Lifecycle, State
from netcore.reactors._part import Part
from netcore.reactors._pool import ReactorPool
from netcore.reactors._turns import Turns
from netcore.threadpool import ThreadPool

__all__ = ["Calls"]

_DISPOSED = State.DISPOSED  # looked up in its class it takes longer than the rest of the question


class Calls(Part):
    """`IReactorTime` and `IReactorThreads`."""

    _life: Lifecycle
    _turns: Turns
    _pool: ReactorPool

    # Time.

    def seconds(self) -> float:
        """The monotonic clock, in seconds."""
        return self._turns.timers.seconds()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> DelayedCall:
        """Call *callable* after *delay* seconds, in the caller's context (contextvars), from the event loop.

        Calls due at the same time are made in the order they were asked for; one with no delay is made in the next
        turn. What one raises is logged.

        Raises: ValueError: *delay* is negative or NaN. TypeError: *callable* cannot be called.
        """
        if self._life.state is _DISPOSED:
            self._require_usable()
        return self._turns.timers.add(delay, callable, args, kwargs)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """The calls still to come, in no order."""
        return self._turns.timers.calls()

    # Threads.

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call *callable* in the reactor's thread, soon, in the caller's context (contextvars), in the order asked for.

        What it raises is logged. If the reactor does not run, the call waits until it does.

        Raises: ReactorNotRunning: it was disposed of, or its loop was closed. TypeError: *callable* cannot be called.
        Threading: any thread, and signal handlers.
        """
        if self._life.state is _DISPOSED:
            self._require_usable()
        self._turns.thread_calls.add(callable, args, kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call *callable* in a thread of the reactor's pool, in a copy of the caller's context; what it raises is
        logged.

        If the reactor does not run, the call waits until it does.

        Raises: RuntimeError: the reactor is shutting down, and the pool has been stopped.
        Threading: any thread.
        """
        self.getThreadPool().callInThread(callable, *args, **kwargs)

    def getThreadPool(self) -> ThreadPool:
        """The pool that `callInThread` uses; made at the first call, started when the reactor runs.

        Threading: any thread.
        """
        self._require_usable()
        return self._pool.get()

    def suggestThreadPoolSize(self, size: int) -> None:
        """Let the pool have at most *size* threads.

        Raises: ValueError: less than 1.
        """
        self._pool.resize(size)
