"""Child processes of Twisted: ``utils.getProcessOutputAndValue``, on the epoll reactor, its own choice on Linux.

Without its handler for SIGCHLD it would not hear of their ends.
"""

from __future__ import annotations

from twisted.internet import utils
from twisted.internet.epollreactor import EPollReactor

from benchmarks.systems.processes import OnReactor


class Twisted(OnReactor):
    """The system."""

    signals = True

    def __init__(self) -> None:
        super().__init__(EPollReactor(), utils.getProcessOutputAndValue)
