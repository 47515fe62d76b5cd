"""Twisted's adbapi: one connection. It has no bound for its queue."""

from __future__ import annotations

from typing import Any

from twisted.enterprise import adbapi
from twisted.internet.epollreactor import EPollReactor

from benchmarks.systems.queued_base import Queue


class Pool(Queue):
    """On the epoll reactor."""

    def __init__(self, connect: dict[str, Any], bound: int) -> None:
        del bound
        reactor = EPollReactor()
        super().__init__(reactor)
        options: dict[str, Any] = {"cp_min": 1, "cp_max": 1, "cp_reactor": reactor, "check_same_thread": False}
        self.pool = adbapi.ConnectionPool("sqlite3", cp_openfun=self.open_connection, **options, **connect)
