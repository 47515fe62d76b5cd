"""asyncdb: one connection, a bound as large as the queue is to be, and time to wait in it."""

from __future__ import annotations

from typing import Any

from asyncdb import ConnectionPool
from benchmarks.systems.queued_base import WAIT, Queue
from netcore.reactors import Reactor


class Pool(Queue):
    """On netcore's reactor."""

    def __init__(self, connect: dict[str, Any], bound: int) -> None:
        reactor = Reactor()
        super().__init__(reactor)
        options: dict[str, Any] = {"cp_max": 1, "cp_max_waiting": bound, "cp_wait_timeout": WAIT}
        options |= {"cp_openfun": self.open_connection, "cp_reactor": reactor}
        self.pool = ConnectionPool("sqlite3", **options, **connect)
