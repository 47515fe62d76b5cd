"""Calls from threads with Twisted: ``reactor.callFromThread``, on the epoll reactor, its own choice on Linux."""

from __future__ import annotations

from twisted.internet.epollreactor import EPollReactor

from benchmarks.systems.thread_calls import OnReactor


class Twisted(OnReactor):
    """The system."""

    def __init__(self) -> None:
        super().__init__(EPollReactor())
