"""Twisted's adbapi: `runQuery` on the epoll reactor, which is Twisted's own choice on Linux.

Configured as its how-to shows; ``cp_max`` is the number of connections, one per thread, and ``cp_min`` its default of
three, or as many as there may be. A query is a transaction, three
round trips to PostgreSQL; adbapi has no option for autocommit, but ``cp_openfun`` can set the connection's own.

With sqlite3 it needs ``check_same_thread=False`` to run at all: queries stay in the thread that opened the connection,
but `close` closes them from the reactor's, which sqlite3 refuses otherwise.
"""

from __future__ import annotations

from typing import Any

from twisted.enterprise import adbapi
from twisted.internet.epollreactor import EPollReactor

from benchmarks.people import relax, statement
from benchmarks.systems.base import CallbackClients, ReactorHost


class Adbapi:
    """Callbacks."""

    def __init__(
        self,
        driver: str,
        connect: dict[str, Any],
        connections: int,
        clients: int,
        autocommit: bool = False,
        update: bool = False,
    ) -> None:
        self._sql = statement(driver, update)
        self._host = ReactorHost(EPollReactor())
        keywords = {**connect, "cp_min": min(3, connections), "cp_max": connections}
        keywords["cp_reactor"] = self._host.reactor
        if driver == "sqlite3":
            keywords.update(check_same_thread=False, cp_openfun=relax)
        if autocommit:
            keywords["cp_openfun"] = _set_autocommit
        self._pool = adbapi.ConnectionPool(driver, **keywords)
        self._clients = CallbackClients(self._host, self._ask, clients)

    def _ask(self, name: str) -> Any:
        return self._pool.runQuery(self._sql, (name,))

    def start(self) -> None:
        self._host.start()

    def round(self, operations: int) -> list[float]:
        return self._clients.round(operations)

    def stop(self) -> None:
        self._host.call(self._pool.close)
        self._host.stop()


def _set_autocommit(connection: Any) -> None:
    connection.autocommit = True
