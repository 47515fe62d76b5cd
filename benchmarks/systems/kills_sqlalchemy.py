"""SQLAlchemy's engine on psycopg2 and threads, and its asyncio engine on asyncpg; *check* is its ``pool_pre_ping``."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import psycopg2
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.systems.asyncpg_pool import url
from benchmarks.systems.kills_asyncio import InAsyncio
from benchmarks.systems.kills_base import Asked


class AsyncEngine(InAsyncio):
    """`create_async_engine`."""

    def __init__(self, connect: dict[str, Any], connections: int, check: bool = False) -> None:
        super().__init__()
        dsn = url(connect)
        self._options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_pre_ping": check}
        self._options["async_creator"] = lambda: asyncpg.connect(dsn)

    async def open(self, stack: AsyncExitStack) -> None:
        self._engine = create_async_engine("postgresql+asyncpg://", **self._options)
        stack.push_async_callback(self._engine.dispose)

    async def fetch(self, sql: str) -> Any:
        async with self._engine.connect() as connection:
            return (await connection.execute(text(sql))).scalar()


class Engine(Asked):
    """`create_engine`."""

    def __init__(self, connect: dict[str, Any], connections: int, check: bool = False) -> None:
        super().__init__()
        options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_pre_ping": check}
        options["creator"] = lambda: psycopg2.connect(**connect)
        self._engine = create_engine("postgresql+psycopg2://", **options)
        self._threads = ThreadPoolExecutor(32)

    def start(self) -> None:
        pass

    def submit(self, sql: str) -> Future[Any]:
        return self._threads.submit(self._fetch, sql)

    def _fetch(self, sql: str) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(text(sql)).scalar()

    def stop(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()
