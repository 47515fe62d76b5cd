"""aiosqlite: a thread per connection, and no pool: one connection as its documentation shows, or several in turn.

`execute_fetchall` is its own short cut for execute, fetchall and close: one trip to the thread instead of three.
"""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from typing import Any

import aiosqlite

from benchmarks.people import SELECT, Rows
from benchmarks.systems.base import AsyncioSystem

SQL = SELECT + "?"


class Connections(AsyncioSystem):
    """Tasks; each question goes to the next connection, whether it is busy or not."""

    def __init__(self, connect: dict[str, Any], connections: int, clients: int, loop: str = "asyncio") -> None:
        super().__init__(clients, loop)
        self._connect = connect
        self._connections = connections

    async def open(self, stack: AsyncExitStack) -> None:
        opened = [await stack.enter_async_context(aiosqlite.connect(**self._connect)) for _ in range(self._connections)]
        self._next = itertools.cycle(opened).__next__

    async def ask(self, name: str) -> Rows:
        return list(await self._next().execute_fetchall(SQL, (name,)))
