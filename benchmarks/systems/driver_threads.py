"""A blocking driver and threads, with no pool and no event loop: the limit of the driver with threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from benchmarks.people import Rows, relax, statement
from benchmarks.systems.base import thread_round


class Threads:
    """As many threads as connections, or as clients if they are fewer. Each owns a connection, in autocommit, and one
    cursor, and loops on its own ``execute`` and ``fetchall``: nothing is handed over between threads, and the answer is
    checked in the thread that asked.

    So what an answer takes here is the statement alone, without the wait for a connection that is in the other systems'
    latencies.
    """

    def __init__(
        self, driver: str, connect: dict[str, Any], connections: int, clients: int, update: bool = False
    ) -> None:
        self._open: Callable[[], Any] = _psycopg2(connect) if driver == "psycopg2" else _sqlite3(connect)
        self._sql = statement(driver, update)
        self._threads = min(connections, clients)
        self._opened: list[Any] = []

    def start(self) -> None:
        self._opened = [self._open() for _ in range(self._threads)]

    def _asker(self, connection: Any) -> Callable[[str], Rows]:
        cursor, sql = connection.cursor(), self._sql

        def ask(name: str) -> Rows:
            cursor.execute(sql, (name,))
            rows: Rows = cursor.fetchall()
            return rows

        return ask

    def round(self, operations: int) -> list[float]:
        return thread_round([self._asker(connection) for connection in self._opened], operations)

    def stop(self) -> None:
        for connection in self._opened:
            connection.close()


def _psycopg2(connect: dict[str, Any]) -> Callable[[], Any]:
    import psycopg2

    def open_connection() -> Any:
        connection = psycopg2.connect(**connect)
        connection.autocommit = True
        return connection

    return open_connection


def _sqlite3(connect: dict[str, Any]) -> Callable[[], Any]:
    def open_connection() -> Any:
        connection = sqlite3.connect(**connect, isolation_level=None, check_same_thread=False)
        relax(connection)
        return connection

    return open_connection
