"""What a function may do with its transaction, and what is said of the outcome."""

from __future__ import annotations

import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from asyncdb import CommitUnknown, ConnectionPool, PoolClosed
from asyncdb.adbapi import Connection, ConnectionLost, Transaction
from asyncdb.testing import ScriptedDriver
from asyncdb.testing.postgres import Database
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive, reached


@pytest.fixture
def path(tmp_path: Path) -> str:
    found = str(tmp_path / "x.db")
    connection = sqlite3.connect(found)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    return found


def seen(path: str) -> list[Any]:
    """What another connection sees; it must be able to write too."""
    connection = sqlite3.connect(path, timeout=0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]
    finally:
        connection.close()


# -------------------------------------------------------------------------------------------------------------- sqlite


if sys.version_info >= (3, 12):  # sqlite3's connections have no such attribute before

    @pytest.mark.parametrize("value", [True, False])
    def test_sqlites_autocommit_attribute_is_the_pools(drive: Drive, path: str, value: bool) -> None:
        def switch(connection: Any) -> None:
            connection.autocommit = value

        def insert(transaction: Transaction, x: int) -> None:
            transaction.execute("INSERT INTO t VALUES (?)", (x,))

        def fail(transaction: Transaction) -> None:
            insert(transaction, 9)
            raise LookupError

        def switch_and_insert(connection: Connection) -> None:
            switch(connection)
            connection.execute("INSERT INTO t VALUES (3)")

        async def main() -> None:
            async with ConnectionPool("sqlite3", path, cp_openfun=switch, cp_max=1) as pool:
                await pool.runInteraction(insert, 1)
                assert seen(path)[-1:] == [1]
                with pytest.raises(LookupError):
                    await pool.runInteraction(fail)
                await pool.runOperation("INSERT INTO t VALUES (2)")
                assert seen(path)[-1:] == [2]
                await pool.runWithConnection(switch_and_insert)
                await pool.runOperation("INSERT INTO t VALUES (4)")
                assert seen(path) == [1, 2, 3, 4]

        drive(main)


def test_a_commit_that_leaves_the_transaction_open_is_an_error() -> None:
    driver = ConnectionPool("sqlite3", ":memory:")._driver

    class Stubborn:
        in_transaction = True
        autocommit = -1

        def commit(self) -> None: ...

    with pytest.raises(sqlite3.OperationalError, match="nothing is committed"):
        driver.commit(Stubborn())


def script(transaction: Transaction) -> None:
    transaction.executescript("INSERT INTO t VALUES (1);")


def script_that_fails(transaction: Transaction) -> None:
    with pytest.raises(sqlite3.OperationalError):
        transaction.executescript("INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (1);")


def script_of_the_connection(transaction: Transaction) -> None:
    transaction._connection.executescript("INSERT INTO t VALUES (1);")


def commit(transaction: Transaction) -> None:
    transaction.execute("INSERT INTO t VALUES (1)")
    transaction.connection.commit()


def with_connection(transaction: Transaction) -> None:
    with transaction.connection:
        transaction.execute("INSERT INTO t VALUES (1)")


@pytest.mark.parametrize("first", [script, script_that_fails, script_of_the_connection, commit, with_connection])
def test_after_a_commit_inside_an_interaction_the_rest_is_a_transaction(drive: Drive, path: str, first: Any) -> None:
    def function(transaction: Transaction) -> None:
        first(transaction)
        transaction.execute("INSERT INTO t VALUES (2)")
        raise LookupError("mine")

    async def main() -> None:
        async with ConnectionPool("sqlite3", path) as pool:
            with pytest.raises(LookupError):
                await pool.runInteraction(function)
            assert await deferToThread(seen, path) == [1]

    drive(main)


def test_a_cursor_that_outlives_its_function_keeps_no_lock(drive: Drive, path: str) -> None:
    kept: list[Any] = []

    def half_read(connection: Connection, way: Any) -> None:
        cursor = way(connection)
        kept.append(cursor)
        assert cursor.fetchone() == (1,)

    ways = (
        lambda c: c.execute("SELECT x FROM t"),
        lambda c: c.cursor().execute("SELECT x FROM t"),
    )

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=1) as pool:
            await pool.runInteraction(lambda t: t.executemany("INSERT INTO t VALUES (?)", [(1,)] * 2000) and None)
            for way in ways:
                await pool.runWithConnection(half_read, way)
                other = sqlite3.connect(path, timeout=0)
                other.execute("UPDATE t SET x = 1")
                other.commit()
                other.close()
                with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
                    kept[-1].fetchone()

    drive(main)


def test_row_and_text_factories_go_with_the_function(drive: Drive, path: str) -> None:
    def change(connection: Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, cp_max=1) as pool:
            await pool.runWithConnection(change)
            assert await pool.runQuery("SELECT 'a'") == [("a",)]

    drive(main)


def test_a_level_of_none_stays_for_lent_connections(drive: Drive, path: str) -> None:
    async def main() -> None:
        async with ConnectionPool("sqlite3", path, isolation_level=None) as pool:
            connection = await pool.connect()
            connection.execute("INSERT INTO t VALUES (1)")
            await pool.disconnect(connection)
            assert seen(path) == [1]

    drive(main)


# ------------------------------------------------------------------------------------------------------------ wrappers


def test_subclasses_may_have_attributes_of_their_own(drive: Drive) -> None:
    class MyConnection(Connection):
        def __init__(self, pool: ConnectionPool) -> None:
            super().__init__(pool)
            self.label = "c"

    class MyTransaction(Transaction):
        def __init__(self, pool: ConnectionPool, connection: Connection) -> None:
            self.label = "t"
            super().__init__(pool, connection)

    class MyPool(ConnectionPool):
        connectionFactory = MyConnection
        transactionFactory = MyTransaction

    async def main() -> None:
        async with MyPool(ScriptedDriver()) as pool:
            assert await pool.runWithConnection(lambda c: c.label) == "c"
            assert await pool.runInteraction(lambda t: t.label + t._connection.label) == "tc"

    drive(main)


def test_with_a_connection_commits_or_rolls_back(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
            connection = await pool.connect()
            with connection as same:
                assert same is connection
            assert (driver.calls["commit"], driver.calls["rollback"]) == (1, 0)
            with pytest.raises(LookupError), connection:
                raise LookupError
            assert (driver.calls["commit"], driver.calls["rollback"]) == (1, 1)
            await pool.disconnect(connection)

    drive(main)


# ----------------------------------------------------------------------------------------------------- what is reported


def test_nothing_is_unknown_where_the_commit_was_not_sent(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    def dies(transaction: Transaction) -> None:
        driver.connections[-1].kill()
        with pytest.raises(driver.OperationalError):
            transaction.execute("insert")

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            with pytest.raises(driver.InterfaceError, match="closed"):
                await pool.runInteraction(dies)
            assert await pool.runQuery("select") == [(1,)]

    drive(main)


def test_a_doubtful_error_out_of_commit_leaves_the_outcome_unknown(drive: Drive) -> None:
    driver = ScriptedDriver()
    driver.when("commit", driver.OperationalError("what may that be"), times=1)
    driver.when("commit", driver.IntegrityError("duplicate"), times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            with pytest.raises(CommitUnknown, match="what may that be"):
                await pool.runOperation("insert")
            with pytest.raises(driver.IntegrityError):
                await pool.runOperation("insert")
            assert await pool.runQuery("select") == [(1,)]
        assert driver.calls["connect"] == 2  # the first is not used again

    drive(main)


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_cut_after_its_functions_own_commit_is_not_unknown(drive: Drive, fails: bool) -> None:
    driver = ScriptedDriver()
    if fails:
        driver.when("commit", driver.IntegrityError("duplicate"), times=1)
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    def function(connection: Connection) -> None:
        try:
            connection.commit()
        except driver.IntegrityError:
            connection.rollback()
        connection.cursor().execute("next")

    async def main() -> None:
        pool = ConnectionPool(driver, cp_max=1)
        call = pool.runWithConnection(function)
        await reached(step)
        closed = pool.close(deadline=0.02)
        with pytest.raises(PoolClosed):
            await call
        gate.set()
        await closed

    drive(main)


def test_begin_by_hand_in_autocommit_is_committed(drive: Drive, database: Database) -> None:
    def function(connection: Connection) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO t VALUES (1)")

    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            await pool.runWithConnection(function)
            assert database.execute("SELECT x FROM t") == [(1,)]

    drive(main)


def test_stop_iteration_out_of_a_function_is_a_clear_error(drive: Drive) -> None:
    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool:
            with pytest.raises(RuntimeError, match="the function raised StopIteration") as caught:
                await pool.runInteraction(lambda t: next(iter([])))
            assert isinstance(caught.value.__cause__, StopIteration)
            heard: list[Any] = []
            await pool.runInteraction(lambda t: next(iter([]))).addErrback(heard.append)
            assert heard[0].check(RuntimeError)

    drive(main)


def test_adbapis_name_for_a_lost_connection_can_be_caught() -> None:
    assert issubclass(ConnectionLost, Exception)
    assert not issubclass(CommitUnknown, ConnectionLost)


def test_the_cursor_of_a_query_is_closed(drive: Drive, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cursors: list[Any] = []

    class Noting(sqlite3.Connection):
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            cursors.append(super().cursor(*args, **kwargs))
            return cursors[-1]

    async def main() -> None:
        async with ConnectionPool("sqlite3", path, factory=Noting) as pool:
            await pool.runQuery("SELECT 1")
        with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
            cursors[0].fetchone()

    drive(main)


def test_a_session_set_with_autocommit_on_is_set_back_in_the_server_too(drive: Drive, database: Database) -> None:
    def function(connection: Connection) -> None:
        connection.rollback()
        connection.autocommit = True
        connection.set_session(readonly=True)  # in autocommit: SET default_transaction_read_only

    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            await pool.runWithConnection(function)
            assert await pool.runQuery("SHOW default_transaction_read_only") == [("off",)]
            await pool.runOperation("CREATE TABLE t (x int)")

    drive(main)
