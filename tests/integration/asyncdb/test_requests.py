"""Fifty requests at once on one pool: each is itself in the worker's thread, and in all that follows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from asyncdb import ConnectionPool
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing.postgres import Database
from netcore.defer import Deferred, ensureDeferred, gatherResults, inlineCallbacks
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive

REQUESTS = 50

request_id = ContextVar("request_id", default=-1)

Open = Callable[[], AbstractAsyncContextManager[ConnectionPool]]


@pytest.fixture(params=["sqlite", "postgres"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a pool with fewer connections than there are requests, and a table ``seen (request, stage)``."""
    driver, *arguments = ("sqlite3", str(tmp_path / "requests.sqlite3"))
    if request.param == "postgres":
        database: Database = request.getfixturevalue("database")
        driver, *arguments = ("psycopg2", database.dsn)

    @asynccontextmanager
    async def opened() -> AsyncIterator[ConnectionPool]:
        async with ConnectionPool(driver, *arguments, cp_max=4) as pool:
            await pool.runOperation("CREATE TABLE seen (request INTEGER, stage TEXT)")
            yield pool

    return opened


def note(transaction: Transaction, stage: str) -> int:
    """In the worker's thread: who asks is in the context, and nowhere else."""
    transaction.execute(f"INSERT INTO seen VALUES ({request_id.get()}, '{stage}')")
    return request_id.get()


def look(connection: Connection) -> int:
    return request_id.get()


def spoil(transaction: Transaction) -> None:
    request_id.set(-2)  # the next job of this thread must not see it


async def by_coroutine(pool: ConnectionPool, number: int) -> list[int]:
    """A request that goes to the database, by timers and through threads, and says who it was at each step."""
    request_id.set(number)
    seen = [await pool.runInteraction(note, "first")]
    seen.append(request_id.get())
    await deferLater(None, 0)
    await pool.runQuery("SELECT count(*) FROM seen")
    seen.append(request_id.get())
    seen.append(await pool.runWithConnection(look))
    seen.append(await deferToThread(request_id.get))
    await pool.runInteraction(spoil)
    seen.append(await pool.runQuery("SELECT 1").addCallback(lambda rows: request_id.get()))
    seen.append(await pool.runInteraction(note, "last"))
    try:
        await pool.runQuery("SELECT * FROM nothing")
    except Exception:
        seen.append(request_id.get())
    return seen


@inlineCallbacks
def by_generator(pool: ConnectionPool, number: int) -> Any:
    request_id.set(number)
    seen = [(yield pool.runInteraction(note, "first"))]
    yield deferLater(None, 0)
    yield pool.runQuery("SELECT count(*) FROM seen")
    seen.append(request_id.get())
    yield pool.runInteraction(spoil)
    seen.append((yield pool.runInteraction(note, "last")))
    seen.append(request_id.get())
    return seen


@pytest.mark.parametrize("kind", [lambda *args: ensureDeferred(by_coroutine(*args)), by_generator], ids=["c", "g"])
def test_fifty_requests_keep_their_own(drive: Drive, pool: Open, kind: Callable[..., Deferred[list[int]]]) -> None:
    async def main() -> None:
        Reactor.current()  # in an asyncio program too, for deferLater()
        async with pool() as opened:
            seen = await gatherResults([kind(opened, number) for number in range(REQUESTS)])
            assert request_id.get() == -1
            assert [set(one) for one in seen] == [{number} for number in range(REQUESTS)]
            rows = await opened.runQuery("SELECT request, stage FROM seen")
            assert sorted(rows) == sorted((n, stage) for n in range(REQUESTS) for stage in ("first", "last"))

    drive(main)
