"""SQLAlchemy's asyncio engine on asyncpg: ``async with engine.connect()`` for each question, as its tutorial shows.

pool_size is the number of connections, with no overflow beyond it. That makes a question a transaction, which is rolled
back when the connection returns; the isolation level AUTOCOMMIT, which the documentation offers too, leaves that out.
The statement is a `text()` made once, the least work that SQLAlchemy offers. Its rows compare equal to tuples.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.people import SELECT, Rows
from benchmarks.systems.asyncpg_pool import url
from benchmarks.systems.base import AsyncioSystem

STATEMENT = text(SELECT.format(":name"))


class Engine(AsyncioSystem):
    """Tasks."""

    def __init__(self, connect: dict[str, str], connections: int, clients: int, autocommit: bool = False) -> None:
        super().__init__(clients)
        dsn = url(connect)
        self._options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0}
        self._options["async_creator"] = lambda: asyncpg.connect(dsn)  # its own URLs know fewer of libpq's names
        if autocommit:
            self._options["isolation_level"] = "AUTOCOMMIT"

    async def open(self, stack: AsyncExitStack) -> None:
        self._engine = create_async_engine("postgresql+asyncpg://", **self._options)
        stack.push_async_callback(self._engine.dispose)

    async def ask(self, name: str) -> Rows:
        async with self._engine.connect() as connection:
            rows: Any = (await connection.execute(STATEMENT, {"name": name})).all()
            return list(rows)
