"""Timers of Twisted: ``reactor.callLater``, on the epoll reactor, its own choice on Linux."""

from __future__ import annotations

from twisted.internet.epollreactor import EPollReactor

from benchmarks.systems.timers import OnReactor


class Twisted(OnReactor):
    """The system."""

    def __init__(self) -> None:
        super().__init__(EPollReactor())
