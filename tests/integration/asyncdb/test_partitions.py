"""A network that swallows what is sent, in front of a real PostgreSQL. `tests.load.partition` is the same at length."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from asyncdb import ConnectionPool, DeadlineExceeded, PoolClosed
from asyncdb.testing import FaultyProxy
from asyncdb.testing.postgres import Database
from netcore.defer import Deferred, gatherResults
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import runReactor
from tests.support.turns import counted

CONNECTIONS = 4
DEADLINE = 0.3
MARGIN = 2.0
# Processor time is for measuring by hand, where the longest turn takes 2 ms. A function's call takes some 0.1 µs: so
# many are well below 20 ms.
CALLS = 20_000


def pool_behind(proxy: FaultyProxy, database: Database, **options: Any) -> ConnectionPool:
    address = database.through(proxy.host, proxy.port)
    return ConnectionPool("psycopg2", address.dsn, cp_max=CONNECTIONS, **options)


async def use_all(pool: ConnectionPool) -> None:
    """Have all connections open."""
    meeting = threading.Barrier(CONNECTIONS)
    await gatherResults([pool.runInteraction(lambda t: meeting.wait(30)) for _ in range(CONNECTIONS)])


class Late:
    """Which calls had not failed when a moment later than their deadline had come and gone."""

    def __init__(self, calls: list[Deferred[Any]]) -> None:
        self.failures: list[BaseException] = []
        self.unanswered = len(calls)
        self.late: int | None = None
        for call in calls:
            call.addBoth(self._answer)
        self._seen = Deferred[None]()
        Reactor.current().callLater(DEADLINE + MARGIN, self._look, 10)

    def _answer(self, result: Any) -> None:
        self.unanswered -= 1
        self.failures.append(result.value)

    def _look(self, turns: int) -> None:
        # A loop that was held up comes to both at once: what was due before has some turns to be told first.
        if turns and self.unanswered:
            Reactor.current().callLater(0, self._look, turns - 1)
            return
        self.late = self.unanswered
        self._seen.callback(None)

    async def seen(self) -> int:
        """How many."""
        await self._seen
        assert self.late is not None
        return self.late


@pytest.mark.parametrize("loses", [False, True], ids=["held", "lost"])
def test_every_query_in_a_black_hole_fails_by_its_deadline_and_service_comes_back(
    database: Database, loses: bool
) -> None:
    with FaultyProxy(*database.server) as proxy:

        async def main() -> None:
            pool = pool_behind(proxy, database, cp_check_timeout=0.2, cp_connect_timeout=2.0)
            hasty = pool.using(timeout=DEADLINE)
            with counted(Reactor.current().loop) as turns:
                await use_all(pool)
                calls = [hasty.runQuery("SELECT pg_sleep(600)") for _ in range(2)]
                await deferToThread(proxy.blackHole, loses=loses)
                calls += [hasty.runQuery("SELECT 1") for _ in range(20)]
                calls += [hasty.runInteraction(lambda t: t.execute("SELECT 1")) for _ in range(20)]
                late = Late(calls)
                assert await late.seen() == 0
                assert {type(error) for error in late.failures} == {DeadlineExceeded}
                await deferToThread(proxy.heal)
                assert await pool.runQuery("SELECT 1") == [(1,)]
                await use_all(pool)
                await pool.close()
                await deferLater(None, 0, lambda: None)
            assert turns.longest < CALLS

        runReactor(main, "asyncio")  # whose turns can be looked at


def test_a_pool_in_a_black_hole_closes_by_its_deadline(database: Database) -> None:
    with FaultyProxy(*database.server) as proxy:

        async def main() -> None:
            pool = pool_behind(proxy, database)
            with counted(Reactor.current().loop) as turns:
                await use_all(pool)
                await deferToThread(proxy.blackHole)
                calls = [pool.runQuery("SELECT 1") for _ in range(20)]
                await pool.close(0.1)
                for call in calls:
                    with pytest.raises(PoolClosed):
                        await call
            assert turns.longest < CALLS
            await deferToThread(proxy.heal)

        runReactor(main, "asyncio")  # whose turns can be looked at
