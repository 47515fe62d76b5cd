"""asyncdb, with default options."""

from __future__ import annotations

from typing import Any

from asyncdb import ConnectionPool
from benchmarks.systems.kills_base import OnReactor
from netcore.reactors import Reactor


class Pool(OnReactor):
    """On netcore's reactor."""

    def __init__(self, connect: dict[str, Any], connections: int) -> None:
        reactor = Reactor()
        super().__init__(
            reactor,
            ConnectionPool("psycopg2", cp_min=connections, cp_max=connections, cp_reactor=reactor, **connect),
        )
