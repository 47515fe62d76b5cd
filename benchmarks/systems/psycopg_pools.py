"""psycopg 3 with psycopg_pool, its pool for asyncio and its pool for threads.

As the documentation of the pools shows: opened explicitly, one connection borrowed per question with
``with pool.connection()``. That makes a question a transaction, three round trips; in autocommit, which the
documentation offers too, it is one. psycopg prepares a statement by itself when it has run five times.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from benchmarks.people import SELECT, Rows
from benchmarks.systems.base import START_TIMEOUT, AsyncioSystem, thread_round

SQL = SELECT.format("%s")


class InAsyncio(AsyncioSystem):
    """`AsyncConnectionPool`, and Tasks."""

    def __init__(self, connect: dict[str, Any], connections: int, clients: int, autocommit: bool = False) -> None:
        super().__init__(clients)
        keywords = {**connect, "autocommit": autocommit}
        self._arguments = {"kwargs": keywords, "min_size": connections, "max_size": connections}

    async def open(self, stack: AsyncExitStack) -> None:
        self._pool = AsyncConnectionPool(**self._arguments, open=False)
        await stack.enter_async_context(self._pool)
        await self._pool.wait(START_TIMEOUT)

    async def ask(self, name: str) -> Rows:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(SQL, (name,))
            rows: Rows = await cursor.fetchall()
            return rows


class InThreads:
    """`ConnectionPool`, and one thread per client."""

    def __init__(self, connect: dict[str, Any], connections: int, clients: int) -> None:
        self._clients = clients
        self._pool = ConnectionPool(kwargs=connect, min_size=connections, max_size=connections, open=False)

    def start(self) -> None:
        self._pool.open(wait=True, timeout=START_TIMEOUT)

    def _ask(self, name: str) -> Rows:
        with self._pool.connection() as connection:
            rows: Rows = connection.execute(SQL, (name,)).fetchall()
            return rows

    def round(self, operations: int) -> list[float]:
        return thread_round([self._ask] * self._clients, operations)

    def stop(self) -> None:
        self._pool.close()
