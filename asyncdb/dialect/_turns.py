"""Turns: one thread at a time, first come first served.

For databases that let one write at a time and have those who wait sleep and try again: SQLite sleeps for 1 to 100 ms,
and whoever comes meanwhile is served before. Threads of one pool know of each other, and need not sleep. Measured with
8 connections, updates a second, each in its own transaction: 12,100 without turns, 14,100 with one thread alone.

Invariant: ``_taken`` while somebody has the turn; it goes from hand to hand as long as somebody waits, so that nobody
who comes later has it before.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Turns"]

SLICE = 0.05
"""Seconds between two looks at whether the turn is still wanted."""


class Turns:
    """Who may go next.

    Threading: any thread.
    """

    __slots__ = ("_lock", "_taken", "_waiting")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()  # each is held until it is its turn

    def take(self, seconds: float, wanted: Callable[[], bool]) -> bool:
        """Wait for the turn.

        Args:
            seconds: for how long at most, to a slice.
            wanted: asked now and then; the waiting ends when it says no.
        Returns: whether it was got: then `give` must follow.
        """
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            ticket = threading.Lock()
            ticket.acquire()
            self._waiting.append(ticket)
        while not ticket.acquire(timeout=SLICE):
            seconds -= SLICE
            if seconds > 0 and wanted():
                continue
            with self._lock:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                    return False
                return True  # it came in this very moment
        return True

    def give(self) -> None:
        """To whoever waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
