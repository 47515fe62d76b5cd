"""Twisted's adbapi; *reconnect* is its ``cp_reconnect``, with the ``cp_good_sql`` that its documentation gives."""

from __future__ import annotations

from typing import Any

from twisted.enterprise import adbapi
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import globalLogBeginner

from benchmarks.systems.kills_base import OnReactor


class Pool(OnReactor):
    """On the epoll reactor."""

    def __init__(self, connect: dict[str, Any], connections: int, reconnect: bool = False) -> None:
        globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)  # as in `Asked`
        reactor = EPollReactor()
        options = {"cp_min": connections, "cp_max": connections, "cp_reconnect": reconnect, "cp_reactor": reactor}
        super().__init__(reactor, adbapi.ConnectionPool("psycopg2", **options, **connect))
