"""asyncdb: `ConnectionPool.runQuery`, on netcore's reactor and inside asyncio, with default options but for the size.

So a query runs in autocommit, which is asyncdb's default for one statement.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from asyncdb import ConnectionPool
from benchmarks.people import Rows, relax, statement
from benchmarks.systems.base import AsyncioSystem, CallbackClients, ReactorHost
from netcore.reactors import Reactor


def _make_pool(driver: str, connect: dict[str, Any], connections: int, **options: Any) -> ConnectionPool:
    if driver == "sqlite3":
        options["cp_openfun"] = relax
    return ConnectionPool(driver, cp_max=connections, **connect, **options)


class OnReactor:
    """Callbacks on a reactor of its own, over asyncio's default loop or uvloop's."""

    def __init__(
        self,
        driver: str,
        connect: dict[str, Any],
        connections: int,
        clients: int,
        loop: str = "asyncio",
        update: bool = False,
    ) -> None:
        self._sql = statement(driver, update)
        self._host = ReactorHost(Reactor(loop))
        self._pool = _make_pool(driver, connect, connections, cp_reactor=self._host.reactor)
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


class InAsyncio(AsyncioSystem):
    """Tasks that await what `runQuery` returns, in a program that knows nothing of reactors."""

    def __init__(
        self, driver: str, connect: dict[str, Any], connections: int, clients: int, update: bool = False
    ) -> None:
        super().__init__(clients)
        self._sql = statement(driver, update)
        self._pool = _make_pool(driver, connect, connections)

    async def open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._pool)

    async def ask(self, name: str) -> Rows:
        rows: Rows = await self._pool.runQuery(self._sql, (name,))
        return rows
