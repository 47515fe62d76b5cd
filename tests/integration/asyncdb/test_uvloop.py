"""The pool in asyncio programs and on reactors whose loop is uvloop's, whatever loop the tests run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from asyncdb import ConnectionPool
from netcore.reactors import Reactor
from tests.integration.netcore.conftest import run_in

Main = Callable[[], Coroutine[Any, Any, Any]]


def runner(main: Main) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def run(main: Main) -> Any:
    return uvloop.run(main())


def reactor(main: Main) -> Any:
    reactor = Reactor("uvloop")
    try:
        return run_in(reactor, main)
    finally:
        reactor.dispose()


@pytest.fixture(params=[runner, run, reactor], ids=lambda drive: drive.__name__)
def drive(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    """Runs a coroutine function on uvloop: as two kinds of asyncio programs, and on a reactor."""
    return request.param


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return "sqlite://" if request.param == "sqlite" else request.getfixturevalue("database").url


def test_queries_transactions_and_waiting_clients(drive: Callable[[Main], Any], url: str) -> None:
    mark = "?" if url.startswith("sqlite") else "%s"

    def insert(transaction: Any, numbers: range) -> int:
        for number in numbers:
            transaction.execute(f"INSERT INTO t VALUES ({mark})", [number])
        return len(numbers)

    async def main() -> int:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        async with ConnectionPool.fromURL(url, cp_max=2) as pool:
            await pool.runOperation("CREATE TABLE t (x INTEGER)")
            assert await pool.runInteraction(insert, range(5)) == 5
            with pytest.raises(ZeroDivisionError):
                await pool.runInteraction(lambda transaction: insert(transaction, range(5, 9)) / 0)
            rows = await asyncio.gather(*(pool.runQuery("SELECT count(*) FROM t") for _ in range(20)))
        return sum(count for ((count,),) in rows)

    assert drive(main) == 20 * 5


def test_a_pool_serves_one_program_after_the_other(url: str) -> None:
    pool = ConnectionPool.fromURL(url)

    async def ask() -> Any:
        return await pool.runQuery("SELECT 1")

    async def ask_and_close() -> Any:
        async with pool:
            return await ask()

    assert run(ask) == asyncio.run(ask()) == runner(ask_and_close) == [(1,)]
