"""psycopg_pool for asyncio and for threads; *check* is its own ``check_connection``, before each use."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from benchmarks.systems.base import START_TIMEOUT
from benchmarks.systems.kills_asyncio import InAsyncio
from benchmarks.systems.kills_base import Asked


class AsyncPool(InAsyncio):
    """`AsyncConnectionPool`."""

    def __init__(self, connect: dict[str, Any], connections: int, check: bool = False) -> None:
        super().__init__()
        self._arguments: dict[str, Any] = {"kwargs": connect, "min_size": connections, "max_size": connections}
        self._arguments["check"] = AsyncConnectionPool.check_connection if check else None

    async def open(self, stack: AsyncExitStack) -> None:
        self._pool = AsyncConnectionPool(**self._arguments, open=False)
        await stack.enter_async_context(self._pool)
        await self._pool.wait(START_TIMEOUT)

    async def fetch(self, sql: str) -> Any:
        async with self._pool.connection() as connection:
            row: Any = await (await connection.execute(sql)).fetchone()
            return row[0]


class Pool(Asked):
    """`ConnectionPool`."""

    def __init__(self, connect: dict[str, Any], connections: int, check: bool = False) -> None:
        super().__init__()
        arguments: dict[str, Any] = {"kwargs": connect, "min_size": connections, "max_size": connections}
        arguments["check"] = ConnectionPool.check_connection if check else None
        self._pool = ConnectionPool(**arguments, open=False)
        self._threads = ThreadPoolExecutor(32)

    def start(self) -> None:
        self._pool.open(wait=True, timeout=START_TIMEOUT)

    def submit(self, sql: str) -> Future[Any]:
        return self._threads.submit(self._fetch, sql)

    def _fetch(self, sql: str) -> Any:
        with self._pool.connection() as connection:
            row: Any = connection.execute(sql).fetchone()
            return row[0]

    def stop(self) -> None:
        self._threads.shutdown()
        self._pool.close()
