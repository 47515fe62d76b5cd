"""asyncpg's pool: `pool.fetch`, min_size = max_size = the number of connections, everything else as it comes.

It keeps its statements prepared by itself, and resets a connection, which is a round trip, whenever one is given back.
Its rows are `Record`, which compare equal to tuples.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg

from benchmarks.people import SELECT, Rows
from benchmarks.systems.base import AsyncioSystem

SQL = SELECT.format("$1")


def url(connect: dict[str, str]) -> str:
    """Where to connect, for asyncpg: of all its ways to be told, only a URL knows libpq's names."""
    return f"postgresql://?{urlencode(connect, quote_via=quote)}"


class Pool(AsyncioSystem):
    """Tasks."""

    def __init__(self, connect: dict[str, str], connections: int, clients: int, loop: str = "asyncio") -> None:
        super().__init__(clients, loop)
        self._keywords: dict[str, Any] = {"dsn": url(connect), "min_size": connections, "max_size": connections}

    async def open(self, stack: AsyncExitStack) -> None:
        self._pool = await stack.enter_async_context(asyncpg.create_pool(**self._keywords))

    async def ask(self, name: str) -> Rows:
        rows: Rows = await self._pool.fetch(SQL, name)
        return rows
