"""A reactor's thread pool: made at need, and ended without blocking the reactor.

A pool that was stopped stays until `forget`: a late call is refused, instead of starting threads anew.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from netcore.error import ReactorNotRunning
from netcore.threadpool import ThreadPool

if TYPE_CHECKING:
    from netcore.interfaces import IDelayedCall
    from netcore.reactors._reactor import Reactor

__all__ = ["ReactorPool"]

logger = logging.getLogger("netcore.reactors")

_SIZE = 10  # as many threads at most as the reference's reactors have


class ReactorPool:
    """The pool of *reactor*.

    Threading: `get` and `resize` in any thread, the rest in the reactor's.
    """

    __slots__ = ("_lock", "_patience", "_pool", "_reactor", "_size", "_started")

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._lock = threading.Lock()
        self._pool: ThreadPool | None = None
        self._size = _SIZE
        self._started = False
        self._patience: IDelayedCall | None = None

    def get(self) -> ThreadPool:
        """The pool; before `start`, one whose jobs wait."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPool(0, self._size, name="reactor")
                if self._started:
                    self._pool.start()
            return self._pool

    def resize(self, size: int) -> None:
        """Have at most *size* threads.

        Raises: ValueError: less than 1.
        """
        if size < 1:
            raise ValueError(f"a thread pool needs at least one thread, not {size}")
        with self._lock:
            self._size = size
            if self._pool is not None:
                self._pool.adjustPoolsize(0, size)

    def start(self) -> None:
        """The reactor runs."""
        with self._lock:
            self._started = True
            if self._pool is not None:
                self._pool.start()

    def end(self, patience: float, then: Callable[[], None]) -> None:
        """End the threads, then call *then*: when they have ended, or after *patience* seconds.

        The loop turns meanwhile, since what the threads are doing may need it (blockingCallFromThread).
        """
        pool = self._pool
        if pool is None:
            then()
            return
        threads = list(pool.threads)

        def ended() -> None:
            for thread in threads:  # they have, but for their last few instructions
                thread.join()
            if waiting.active():
                waiting.cancel()
                then()

        def expired() -> None:
            stuck = ", ".join(thread.name for thread in pool.threads)
            logger.error("not waiting any longer for what runs in threads %s: they are left behind", stuck)
            then()

        def last_ended() -> None:
            with contextlib.suppress(ReactorNotRunning):  # threads left behind may outlive the reactor
                self._reactor.callFromThread(ended)

        self._patience = waiting = self._reactor.callLater(patience, expired)
        pool.beginStop(last_ended)

    def forget(self) -> None:
        """The reactor runs no more: wait for nothing, and let go of a pool that was stopped."""
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None
        with self._lock:
            self._started = False
            if self._pool is not None and self._pool.joined:
                self._pool = None

    def abandon(self) -> None:
        """The reactor is disposed of: threads end when their jobs do."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.beginStop()
