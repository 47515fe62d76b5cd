"""The finger service while its PostgreSQL is killed, stopped, restarted, slow, or not there: nobody is told anything
wrong, nobody waits for ever, and when it is back, so is the service.

What the tests meet on is what clients are told. The long forms are run by hand: see `tests.load.finger_clients`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncdb.testing.postgres import Database
from examples.finger.limits import Limits
from examples.finger.server import FingerService
from examples.finger.store import Store
from netcore.reactors import Reactor
from netcore.threads import deferToThread
from tests.support.waiting import wait_until

LIMITS = Limits(answer_within=2.0)
HUNG = 20 * LIMITS.answer_within  # what takes so long on a busy machine has not been bounded at all
CLIENTS = 12  # more than connections

ALICE = b"Login: alice                    Name: Alice Liddell\r\n"
UNAVAILABLE = b"The directory is not available now; please try again later\r\n"


class Crowd:
    """Clients that ask, one question after the other, until the crowd goes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._told: Counter[str] = Counter()
        self._change = asyncio.Condition()
        self._going = False
        self._clients = [asyncio.ensure_future(self._ask_on()) for _ in range(CLIENTS)]

    async def is_told(self, what: str, times: int = CLIENTS) -> None:
        """Wait until clients are told *what* so many times more."""
        async with asyncio.timeout(HUNG), self._change:
            goal = self._told[what] + times
            await self._change.wait_for(lambda: self._told[what] >= goal or self._is_wrong())
            assert not self._is_wrong(), self._told

    async def goes(self) -> None:
        """Everybody has the answer, and asks no more."""
        self._going = True
        await asyncio.gather(*self._clients)
        assert not self._is_wrong(), self._told

    def _is_wrong(self) -> bool:
        return bool(self._told.keys() - {"right", "unavailable"})

    async def _ask_on(self) -> None:
        while not self._going:
            told = await self._ask()
            async with self._change:
                self._told[told] += 1
                self._change.notify_all()

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(HUNG):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    writer.write(b"alice\r\n")
                    answer = await reader.read(-1)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            return repr(error)
        return "right" if answer.startswith(ALICE) else "unavailable" if answer == UNAVAILABLE else repr(answer)


def with_crowd(database: Database, main: Callable[[Crowd], Awaitable[None]]) -> None:
    """Run *main* while a crowd asks a service on *database*; see that the service has lost nothing in the end."""

    async def run() -> None:
        store = Store.fromURL(database.url, LIMITS)
        service = FingerService(Reactor.current(), store, 0, "127.0.0.1", LIMITS)
        service.startService()
        try:
            crowd = Crowd(service.address.port)
            await main(crowd)
            await crowd.goes()
            pool = store.engine.pool
            at_rest = "busy 0, lent 0, connecting 0, waiting 0"
            await deferToThread(wait_until, lambda: at_rest in repr(pool), "all connections are back")
            assert len(database.backends()) <= pool.max
            # for connections, for those that are stuck, and for interrupting either
            assert sum("psycopg2" in thread.name for thread in threading.enumerate()) <= 4 * pool.max
        finally:
            await service.stopService()

    asyncio.run(run())


@pytest.fixture
def served(breakable: Database) -> Database:
    """A database with tables that a kill leaves there."""

    async def install() -> None:
        store = Store.fromURL(breakable.url)
        await store.install()
        await store.close()

    asyncio.run(install())
    breakable.execute("CHECKPOINT")
    return breakable


@pytest.mark.parametrize(
    ("harm", "heal"),
    [("stop", "start"), ("kill", "start"), ("pause", "resume")],
    ids=["stopped", "killed", "paused"],
)
def test_who_asks_while_the_server_is_away_is_told_so_and_is_answered_when_it_is_back(
    served: Database, harm: str, heal: str
) -> None:
    async def main(crowd: Crowd) -> None:
        for _ in range(2):
            await crowd.is_told("right")
            await deferToThread(getattr(served.postgres, harm))
            await crowd.is_told("unavailable")
            await deferToThread(getattr(served.postgres, heal))
        await crowd.is_told("right")

    with_crowd(served, main)


def test_a_restart_is_survived(served: Database) -> None:
    async def main(crowd: Crowd) -> None:
        await crowd.is_told("right")
        for _ in range(2):
            await deferToThread(served.postgres.restart)
            await crowd.is_told("right")

    with_crowd(served, main)


def test_a_server_that_was_not_there_at_the_start_is_found(served: Database) -> None:
    async def main(crowd: Crowd) -> None:
        await crowd.is_told("unavailable")
        await deferToThread(served.postgres.start)
        await crowd.is_told("right")

    served.postgres.stop()
    with_crowd(served, main)


def test_a_server_that_was_paused_at_the_start_is_found(served: Database) -> None:
    async def main(crowd: Crowd) -> None:
        await crowd.is_told("unavailable")
        await deferToThread(served.postgres.resume)
        await crowd.is_told("right")

    served.postgres.pause()
    with_crowd(served, main)


def test_a_lock_is_not_waited_for_by_clients_nor_for_ever_by_the_server(served: Database) -> None:
    waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"

    async def main(crowd: Crowd) -> None:
        await crowd.is_told("right")
        locking = await deferToThread(served.connect)
        try:
            with locking.cursor() as cursor:
                cursor.execute("BEGIN; LOCK TABLE finger_people")
                await crowd.is_told("unavailable")
                await crowd.goes()
                await deferToThread(
                    wait_until,
                    lambda: not served.postgres.execute(waiting, (served.applicationName,)),
                    "statements nobody waits for have given up their connections",
                )
                cursor.execute("ROLLBACK")
        finally:
            locking.close()

    with_crowd(served, main)


def test_a_database_that_is_slow_is_told_and_then_asked_again(
    served: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.finger import tables

    slow = threading.Event()
    slow.set()
    real = tables.find

    def find(connection: Any, name: str) -> Any:
        if slow.is_set():
            connection.exec_driver_sql("SELECT pg_sleep(600)")
        return real(connection, name)

    monkeypatch.setattr(tables, "find", find)

    async def main(crowd: Crowd) -> None:
        await crowd.is_told("unavailable")
        slow.clear()
        await crowd.is_told("right")

    with_crowd(served, main)
