"""Interrupting what runs in a database, and proving that the interrupt is over: the drivers, and the pool on them."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import QueryCanceledError

from asyncdb import ConnectionPool, Engine, dialect
from asyncdb.adbapi import Connection, Transaction
from asyncdb.dialect import Driver
from asyncdb.options import Options
from asyncdb.testing import FaultyProxy
from asyncdb.testing.postgres import Address, Database
from netcore.defer import CancelledError, Deferred
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive
from tests.integration.asyncdb.test_postgres import running
from tests.support.waiting import wait_until

ROUNDS = 60
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT started() UNION ALL SELECT x FROM n) SELECT count(*) FROM n"


def connected(name: str, *args: Any, **kwargs: Any) -> tuple[Driver, Any]:
    driver = dialect.load(name)
    driver.set_arguments(args, kwargs, Options())
    connection = driver.connect()
    driver.prepare(connection)
    return driver, connection


def cancel(call: Deferred[Any]) -> None:
    """Its caller is answered at once."""
    call.cancel()
    heard: list[Any] = []
    call.addBoth(heard.append)
    assert heard[0].check(CancelledError)


def interrupt_until(driver: Driver, connection: Any, ended: threading.Event) -> None:
    """As the pool does."""
    while not ended.wait(driver.interrupt_again):
        driver.interrupt(connection)


# ------------------------------------------------------------------------------------------------------------- psycopg2


def test_after_an_interrupt_and_its_proof_no_statement_is_cancelled(database: Database) -> None:
    """By hand, with thousands of ROUNDS."""
    driver, connection = connected("psycopg2", database.dsn)
    chance = random.Random(ROUNDS)
    cancelled = 0
    for _ in range(ROUNDS):
        start = threading.Barrier(2)
        # Some aim at the statement's end, most hit it before or after.
        delay, repeats = chance.choice([0.0, 0.0005, 0.001, 0.002]), chance.choice([1, 2])

        def aim(start: threading.Barrier = start, delay: float = delay, repeats: int = repeats) -> None:
            start.wait()
            threading.Event().wait(delay)
            for _ in range(repeats):
                driver.interrupt(connection)

        thread = threading.Thread(target=aim)
        thread.start()
        chance.choice([driver.begin, driver.autocommit])(connection)
        with connection.cursor() as cursor:
            start.wait()
            try:
                cursor.execute("SELECT pg_sleep(%s)", (chance.choice([0.0, 0.001, 0.002]),))
            except QueryCanceledError:
                cancelled += 1
            thread.join()
            driver.prove(connection)
            for _ in range(3):
                cursor.execute("SELECT 1")
        connection.rollback()
    driver.close(connection)
    assert cancelled > 0


def test_a_cancel_that_nobody_answers_holds_up_no_other_thread(database: Database) -> None:
    """psycopg2's own holds the interpreter until it is answered."""
    with FaultyProxy(*database.server) as proxy:
        driver, connection = connected("psycopg2", database.through(proxy.host, proxy.port).dsn)
        proxy.blackHole(connections="new")
        thread = threading.Thread(target=driver.interrupt, args=(connection,))
        thread.start()
        wait_until(lambda: proxy.connections == 2, "the cancel is on its way")
        assert thread.is_alive()
        proxy.heal()
        thread.join()
        driver.prove(connection)
        driver.close(connection)


def test_interrupting_a_closed_connection_does_nothing(database: Database) -> None:
    driver, connection = connected("psycopg2", database.dsn)
    driver.close(connection)
    driver.interrupt(connection)
    with pytest.raises(psycopg2.InterfaceError):
        driver.prove(connection)
    with FaultyProxy(*database.server) as proxy:
        driver, connection = connected("psycopg2", database.through(proxy.host, proxy.port).dsn)
        proxy.refuse()
        driver.interrupt(connection)
        driver.close(connection)


def test_proving_rolls_back(database: Database) -> None:
    driver, connection = connected("psycopg2", database.dsn)
    driver.begin(connection)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (x int)")
    driver.prove(connection)
    assert not driver.in_transaction(connection)
    assert database.execute("SELECT to_regclass('t')") == [(None,)]
    driver.close(connection)


def test_why_a_real_server_refuses_to_write(database: Database) -> None:
    database.execute("CREATE TABLE t (x int)")

    def refused(connection: Any, *statements: str) -> psycopg2.Error:
        connection.autocommit = True
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.ReadOnlySqlTransaction) as caught:
            for statement in (*statements, "INSERT INTO t VALUES (1)"):
                cursor.execute(statement)
        return caught.value

    driver, connection = connected("psycopg2", database.dsn)
    begun = refused(connection, "BEGIN READ ONLY")
    asked_by_a_transaction = driver.eviction(begun, connection)
    driver.rollback(connection)
    assert driver.eviction(refused(connection, "SET default_transaction_read_only = on"), connection) == "readonly"
    driver.close(connection)
    if connection.server_version >= 140000:  # older ones tell nothing unasked
        assert asked_by_a_transaction is None
        options = f"{database.connectArgs['options']} -c default_transaction_read_only=on"
        driver, connection = connected("psycopg2", database.dsn, options=options)
        assert driver.eviction(refused(connection), connection) is None
        driver.close(connection)


def test_a_terminated_session_costs_the_connection(database: Database) -> None:
    driver, connection = connected("psycopg2", database.dsn)
    with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as caught:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert driver.eviction(caught.value, connection) in ("shutdown", "lost")  # libpq keeps the server's reason, or not
    driver.close(connection)


# -------------------------------------------------------------------------------------------------------------- sqlite3


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "people.db")
    connection = sqlite3.connect(name)
    connection.execute("CREATE TABLE t (x INTEGER)")
    connection.close()
    return name


@pytest.fixture
def holder(path: str) -> Iterator[sqlite3.Connection]:
    """Somebody else, with locks of his own."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    yield connection
    connection.close()


def seen(path: str) -> list[Any]:
    connection = sqlite3.connect(path)
    rows = [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]
    connection.close()
    return rows


def test_a_long_statement_is_interrupted_and_its_transaction_dead(path: str) -> None:
    driver, connection = connected("sqlite3", path)
    ended = threading.Event()
    connection.create_function("started", 0, lambda: 1)
    driver.begin(connection)
    connection.execute("INSERT INTO t VALUES (1)")
    thread = threading.Thread(target=interrupt_until, args=(driver, connection, ended))
    thread.start()
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute(ENDLESS)
    ended.set()
    thread.join()
    assert driver.is_interruption(caught.value)
    assert driver.eviction(caught.value, connection) is None
    driver.interrupt(connection)  # at rest: lost
    driver.prove(connection)
    assert not driver.in_transaction(connection)
    assert connection.execute("SELECT x FROM t").fetchall() == []
    driver.close(connection)
    driver.interrupt(connection)


Waits = Callable[[ConnectionPool], Any]

WAITING_CALLS: dict[str, Waits] = {
    "runQuery": lambda pool: pool.runQuery("INSERT INTO t VALUES (1)"),
    "runOperation": lambda pool: pool.runOperation("INSERT INTO t VALUES (1)"),
    "runInteraction": lambda pool: pool.runInteraction(lambda t: t.execute("INSERT INTO t VALUES (1)") and None),
    "runWithConnection": lambda pool: pool.runWithConnection(lambda c: c.execute("INSERT INTO t VALUES (1)") and None),
    "Engine.run": lambda pool: Engine(pool).run(lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1)") and None),
}


@pytest.fixture(params=WAITING_CALLS)
def waits(request: pytest.FixtureRequest) -> Waits:
    return WAITING_CALLS[request.param]


def test_waiting_for_a_lock_ends_when_the_lock_is_free(
    drive: Drive, path: str, holder: sqlite3.Connection, waits: Waits
) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, timeout=60, cp_max=2) as pool:
            await pool.runQuery("SELECT 1")
            holder.execute("BEGIN IMMEDIATE")
            call = waits(pool)
            await deferToThread(wait_until, lambda: slices(pool) > 1, "it has waited for more than one slice")
            holder.execute("ROLLBACK")
            await call
        assert seen(path) == [1]

    tries = Counted()
    slices = tries.of
    with tries:
        drive(main)


def test_a_cancelled_call_stops_waiting_for_a_lock(
    drive: Drive, path: str, holder: sqlite3.Connection, waits: Waits
) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, timeout=60, cp_max=1) as pool:
            holder.execute("BEGIN IMMEDIATE")
            call = waits(pool)
            await deferToThread(wait_until, lambda: tries.of(pool) > 1, "it waits")
            cancel(call)
            assert await pool.runQuery("SELECT 2") == [(2,)]  # by the same connection, while the lock is still taken
            assert pool.stats().connected == 1
            holder.execute("ROLLBACK")
        assert seen(path) == []

    tries = Counted()
    with tries:
        drive(main)


class Counted:
    """Counts how often somebody has found the lock taken."""

    def __init__(self) -> None:
        self.count = 0
        self._patch = pytest.MonkeyPatch()

    def of(self, pool: ConnectionPool) -> int:
        return self.count

    def __enter__(self) -> None:
        kind = type(dialect.load("sqlite3"))
        is_busy = kind.is_busy

        def counting(driver: Any, error: BaseException) -> bool:
            busy = is_busy(driver, error)
            self.count += busy
            return busy

        self._patch.setattr(kind, "is_busy", counting)

    def __exit__(self, *exc_info: object) -> None:
        self._patch.undo()


def test_a_commit_waits_for_readers_and_lets_no_new_ones_in(
    drive: Drive, path: str, holder: sqlite3.Connection
) -> None:
    holder.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    reading = holder.execute("SELECT x FROM t")
    assert next(reading) == (1,)

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, timeout=60) as pool:
            call = pool.runOperation("INSERT INTO t VALUES (3)")  # in autocommit it would begin anew each time
            await deferToThread(wait_until, lambda: tries.count > 1, "it waits to commit")
            other = sqlite3.connect(path, timeout=0)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("SELECT x FROM t")
            other.close()
            reading.close()
            await call
        assert seen(path) == [1, 2, 3]

    tries = Counted()
    with tries:
        drive(main)


def test_what_cannot_be_in_a_transaction_waits_too(drive: Drive, path: str, holder: sqlite3.Connection) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, timeout=60, cp_max=1) as pool:
            holder.execute("BEGIN IMMEDIATE")
            call = pool.runOperation("VACUUM")
            await deferToThread(wait_until, lambda: tries.count > 0, "it waits")
            holder.execute("ROLLBACK")
            await call
            assert await pool.runQuery("PRAGMA busy_timeout") == [(50,)]

    tries = Counted()
    with tries:
        drive(main)


# ------------------------------------------------------------------------------------------------------------- the pool


def test_a_cancelled_interaction_commits_nothing_and_goes_no_further(drive: Drive, database: Database) -> None:
    went_on: list[Any] = []
    gate = threading.Event()

    def interaction(transaction: Transaction) -> None:
        transaction.execute("INSERT INTO t VALUES (1)")
        try:
            transaction.execute("SELECT pg_sleep(600)")
        except QueryCanceledError:
            pass  # as a function may that takes it for a statement time-out
        gate.wait(30)
        transaction.execute("SELECT 2")
        went_on.append(transaction)

    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            (pid,) = (await pool.runQuery("SELECT pg_backend_pid()"))[0]
            call = pool.runInteraction(interaction)
            await running(database, "pg_sleep")
            cancel(call)
            gate.set()
            assert await pool.runQuery("SELECT pg_backend_pid(), count(*) FROM t") == [(pid, 0)]

    drive(main)
    assert not went_on


def test_a_cancelled_function_of_an_engine_commits_nothing(drive: Drive, database: Database) -> None:
    gate = threading.Event()
    entered = threading.Event()

    def function(connection: Any) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        entered.set()
        gate.wait(30)

    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=1) as engine:
            await engine.run(lambda c: c.exec_driver_sql("CREATE TABLE t (x int)") and None)
            call = engine.run(function)
            await deferToThread(entered.wait, 30)
            cancel(call)
            gate.set()
            assert await engine.run(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar()) == 0

    drive(main)


def test_a_function_that_has_committed_itself_keeps_that(drive: Drive, database: Database) -> None:
    def function(connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1)")
            connection.commit()
            cursor.execute("INSERT INTO t VALUES (2)")
            cursor.execute("SELECT pg_sleep(600)")

    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            call = pool.runWithConnection(function)
            await running(database, "pg_sleep")
            cancel(call)
            assert await pool.runQuery("SELECT x FROM t") == [(1,)]

    drive(main)


def test_connect_arguments_that_change_are_used(drive: Drive, database: Database) -> None:
    names = iter(["first", "second"])
    shown = "SHOW application_name"

    async def main() -> None:
        address: Address = database
        pool = ConnectionPool("psycopg2", address.dsn, cp_max=1, cp_connargs=lambda: {"application_name": next(names)})
        async with pool:
            assert await pool.runQuery(shown) == [("first",)]
            pool.evictAll()
            assert await pool.runQuery(shown) == [("second",)]

    drive(main)
