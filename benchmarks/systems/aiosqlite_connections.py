"""aiosqlite: a thread per connection, and no pool: one connection as its documentation shows, or several in turn.

`execute_fetchall` is its own short cut for execute, fetchall and close: one trip to the thread instead of three. Its
connections are in autocommit: it makes no difference to reading, and each update is then a transaction of its own with
no second trip for the commit, which on a shared connection would also commit what other tasks are in the middle of.
"""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from typing import Any

import aiosqlite

from benchmarks.people import SYNCHRONOUS, Rows, statement
from benchmarks.systems.base import AsyncioSystem


class Connections(AsyncioSystem):
    """Tasks; each question goes to the next connection, whether it is busy or not."""

    def __init__(self, connect: dict[str, Any], connections: int, clients: int, update: bool = False) -> None:
        super().__init__(clients)
        self._connect = {**connect, "isolation_level": None}
        self._sql = statement("sqlite3", update)
        self._connections = connections

    async def open(self, stack: AsyncExitStack) -> None:
        opened = [await stack.enter_async_context(aiosqlite.connect(**self._connect)) for _ in range(self._connections)]
        for connection in opened:
            await connection.execute_fetchall(SYNCHRONOUS)
        self._next = itertools.cycle(opened).__next__

    async def ask(self, name: str) -> Rows:
        return list(await self._next().execute_fetchall(self._sql, (name,)))
