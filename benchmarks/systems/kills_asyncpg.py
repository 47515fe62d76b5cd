"""asyncpg's pool, as it comes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from benchmarks.systems.asyncpg_pool import url
from benchmarks.systems.kills_asyncio import InAsyncio


class Pool(InAsyncio):
    """`pool.fetchval`."""

    def __init__(self, connect: dict[str, str], connections: int) -> None:
        super().__init__()
        self._keywords: dict[str, Any] = {"dsn": url(connect), "min_size": connections, "max_size": connections}

    async def open(self, stack: AsyncExitStack) -> None:
        self._pool = await stack.enter_async_context(asyncpg.create_pool(**self._keywords))

    async def fetch(self, sql: str) -> Any:
        return await self._pool.fetchval(sql)
