"""The pool on a real PostgreSQL."""

from __future__ import annotations

import socket
import threading
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from asyncdb import CommitUnknown, ConnectionPool, DeadlineExceeded, PoolClosed
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing.postgres import Database
from netcore.defer import CancelledError, DeferredList, gatherResults
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive, runReactor
from tests.support.waiting import wait_until


def pool_on(database: Database, **options: Any) -> ConnectionPool:
    return ConnectionPool("psycopg2", database.dsn, **options)


async def running(database: Database, statement: str) -> None:
    """Wait, off the reactor's thread, until a backend runs *statement*."""
    query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND application_name = %s AND query LIKE %s"
    name = (database.applicationName, f"%{statement}%")
    await deferToThread(wait_until, lambda: database.postgres.execute(query, name), f"{statement} runs")


# ---------------------------------------------------------------------------------------------------------------- calls


def test_each_kind_of_call(drive: Drive, database: Database) -> None:
    def interaction(transaction: Transaction) -> Any:
        transaction.execute("INSERT INTO people VALUES (%s)", ("bob",))
        return transaction.rowcount

    def with_connection(connection: Connection) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM people ORDER BY name")
            return cursor.fetchall()

    async def main() -> None:
        async with pool_on(database) as pool:
            assert await pool.runOperation("CREATE TABLE people (name text)") is None
            assert await pool.runQuery("INSERT INTO people VALUES (%s) RETURNING name", ("ann",)) == [("ann",)]
            assert await pool.runQuery("INSERT INTO people VALUES (%(name)s)", {"name": "cid"}) == []
            assert await pool.runInteraction(interaction) == 1
            assert await pool.runWithConnection(with_connection) == [("ann",), ("bob",), ("cid",)]

    drive(main)
    assert database.execute("SELECT count(*) FROM people") == [(3,)]


def test_a_url(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with ConnectionPool.fromURL(database.url, cp_max=1) as pool:
            assert pool.dbapiName == "psycopg2"
            assert await pool.runQuery("SELECT current_schema()") == [(database.schema,)]
            assert await pool.runQuery("SHOW application_name") == [(database.applicationName,)]

    drive(main)


def test_after_every_backend_was_terminated_nine_queries_succeed(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=5) as pool:
            meeting = threading.Barrier(5)
            await gatherResults([pool.runInteraction(lambda t: meeting.wait(30)) for _ in range(5)])
            assert len(database.backends()) == 5
            assert await deferToThread(database.terminateBackends) == 5
            for _ in range(9):
                assert await pool.runQuery("SELECT 1") == [(1,)]
            await deferToThread(database.terminateBackends)
            assert await gatherResults([pool.runQuery("SELECT 1") for _ in range(9)]) == [[(1,)]] * 9

    drive(main)


def test_a_backend_terminated_while_it_works_fails_that_call_only(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            call = pool.runQuery("SELECT pg_sleep(600)")
            await running(database, "pg_sleep")
            await deferToThread(database.terminateBackends)
            with pytest.raises(psycopg2.Error):
                await call
            assert await pool.runQuery("SELECT 1") == [(1,)]

    drive(main)


def test_a_notification_does_not_cost_the_connection(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            await pool.runOperation("LISTEN people")
            before = database.backends()
            await deferToThread(database.execute, "NOTIFY people")
            assert await pool.runQuery("SELECT 1") == [(1,)]
            assert database.backends() == before

    drive(main)


# ----------------------------------------------------------------------------------------------------------- autocommit


def test_one_statement_runs_in_autocommit_and_interactions_in_a_transaction(drive: Drive, database: Database) -> None:
    """A transaction's time stands still; the statements' time shows whether there is one."""
    own = "SELECT now() = statement_timestamp()"

    def interaction(transaction: Transaction) -> Any:
        transaction.execute("SELECT pg_current_xact_id()")
        first = transaction.fetchall()
        transaction.execute("SELECT pg_current_xact_id()")
        return first == transaction.fetchall()

    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            assert await pool.runInteraction(interaction)
            assert await pool.runQuery(own) == [(True,)]
            await pool.runOperation("VACUUM")  # refuses to run in a transaction
        async with pool_on(database, cp_max=1, cp_autocommit=False) as pool:
            with pytest.raises(psycopg2.errors.ActiveSqlTransaction):
                await pool.runOperation("VACUUM")
            await pool.runOperation("CREATE TABLE kept (x int)")
        assert database.execute("SELECT * FROM kept") == []

    drive(main)


@pytest.mark.parametrize(
    ("session", "shown", "value"),
    [
        ({"isolation_level": "SERIALIZABLE"}, "transaction_isolation", "serializable"),
        ({"readonly": True}, "transaction_read_only", "on"),
        ({"isolation_level": "SERIALIZABLE", "deferrable": True}, "transaction_deferrable", "on"),
    ],
)
def test_session_characteristics_hold_in_single_statements_too(
    drive: Drive, database: Database, session: dict[str, Any], shown: str, value: str
) -> None:
    def openfun(connection: Any) -> None:
        connection.set_session(**session)

    async def main() -> None:
        async with pool_on(database, cp_openfun=openfun, cp_max=1) as pool:
            for _ in range(2):
                assert await pool.runQuery(f"SHOW {shown}") == [(value,)]

    drive(main)


def test_a_readonly_session_cannot_write(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_openfun=lambda c: c.set_session(readonly=True)) as pool:
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                await pool.runOperation("CREATE TABLE t (x int)")

    drive(main)


def test_what_openfun_sets_stays(drive: Drive, database: Database) -> None:
    def openfun(connection: Any) -> None:
        connection.cursor().execute("SET statement_timeout = '7s'")  # in a transaction, left open

    async def main() -> None:
        async with pool_on(database, cp_openfun=openfun, cp_max=1) as pool:
            with pytest.raises(psycopg2.errors.DivisionByZero):
                await pool.runInteraction(lambda t: t.execute("SELECT 1/0"))
            assert await pool.runQuery("SHOW statement_timeout") == [("7s",)]

    drive(main)


def test_openfun_may_leave_autocommit_on(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_openfun=lambda c: setattr(c, "autocommit", True), cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")

            def fails(transaction: Transaction) -> None:
                transaction.execute("INSERT INTO t VALUES (1)")
                raise LookupError

            with pytest.raises(LookupError):
                await pool.runInteraction(fails)
            assert await pool.runQuery("SELECT * FROM t") == []

    drive(main)


def test_a_statement_that_needs_a_transaction_says_what_to_do(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            for statement in ("LOCK TABLE t", "DECLARE c CURSOR FOR SELECT 1"):
                with pytest.raises(psycopg2.errors.NoActiveSqlTransaction) as caught:
                    await pool.runOperation(statement)
                assert any("use runInteraction" in note for note in caught.value.__notes__)
            await pool.runInteraction(lambda t: t.execute("LOCK TABLE t"))
        async with pool_on(database, cp_autocommit=False) as pool:
            await pool.runOperation("LOCK TABLE t")

    drive(main)


def test_a_transaction_left_open_by_a_statement_is_rolled_back(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            await pool.runOperation("BEGIN")
            await pool.runOperation("INSERT INTO t VALUES (1)")
        assert database.execute("SELECT * FROM t") == [(1,)]

    drive(main)


def test_what_a_function_sets_for_the_session_goes_with_it(drive: Drive, database: Database) -> None:
    def restrict(connection: Connection) -> None:
        connection.set_session(readonly=True, isolation_level="SERIALIZABLE")
        connection.cursor().execute("SELECT 1")

    def free(connection: Connection) -> None:
        connection.autocommit = True
        connection.cursor().execute("VACUUM")

    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            for function in (restrict, free):
                await pool.runWithConnection(function)
                assert await pool.runQuery("SHOW transaction_read_only") == [("off",)]
                assert await pool.runInteraction(lambda t: t.execute("SHOW transaction_isolation") or t.fetchall()) == [
                    ("read committed",)
                ]

    drive(main)


# --------------------------------------------------------------------------------------------------------- transactions


def test_a_failed_transaction_whose_error_was_caught_is_not_reported_as_committed(
    drive: Drive, database: Database
) -> None:
    """COMMIT of a failed transaction is a ROLLBACK, and says so to nobody."""

    def careless(transaction: Transaction) -> str:
        transaction.execute("INSERT INTO t VALUES (1)")
        try:
            transaction.execute("INSERT INTO t VALUES (1/0)")
        except psycopg2.Error:
            pass
        return "all is well"

    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            with pytest.raises(psycopg2.errors.InFailedSqlTransaction, match="nothing can be committed"):
                await pool.runInteraction(careless)
            assert await pool.runQuery("SELECT * FROM t") == []

    drive(main)


def test_a_deferred_constraint_fails_the_call_at_commit(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)")

            def twice(transaction: Transaction) -> None:
                transaction.execute("INSERT INTO t VALUES (1), (1)")

            with pytest.raises(psycopg2.errors.UniqueViolation):
                await pool.runInteraction(twice)
            assert await pool.runQuery("SELECT * FROM t") == []

    drive(main)


def test_a_connection_lost_at_commit_is_reported_as_not_known(drive: Drive, database: Database) -> None:
    def cut(connection: Connection) -> None:
        sock = socket.socket(fileno=socket.dup(connection.fileno()))
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def dies(transaction: Transaction) -> None:
        transaction.execute("INSERT INTO t VALUES (1)")
        cut(transaction._connection)

    def dies_and_commits(connection: Connection) -> None:
        connection.cursor().execute("INSERT INTO t VALUES (1)")
        cut(connection)
        connection.commit()

    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            with pytest.raises(CommitUnknown) as caught:
                await pool.runInteraction(dies)
            assert isinstance(caught.value.__cause__, psycopg2.Error)
            with pytest.raises(CommitUnknown):
                await pool.runWithConnection(dies_and_commits)
            assert await pool.runQuery("SELECT 1") == [(1,)]

    drive(main)


def test_a_lent_connection_is_clean_again_when_given_back(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            await pool.runOperation("CREATE TABLE t (x int)")
            connection = await pool.connect()
            assert connection.autocommit is False

            def work() -> None:
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO t VALUES (1)")
                    connection.commit()
                    cursor.execute("INSERT INTO t VALUES (2)")

            await deferToThread(work)
            raw = connection._connection
            await pool.disconnect(connection)
            assert raw.get_transaction_status() == TRANSACTION_STATUS_IDLE
            assert await pool.runQuery("SELECT x FROM t") == [(1,)]

    drive(main)


# ------------------------------------------------------------------------------------------------ cancelling and ending


def test_cancel_a_running_query(database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=1) as pool:
            call = pool.runQuery("SELECT pg_advisory_lock(1)")
            holder = database.connect()
            await call
            call = pool.runQuery("SELECT pg_advisory_unlock(1)")
            await call
            with holder.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(2)")
            blocked = pool.runQuery("SELECT pg_advisory_lock(2)")
            await running(database, "pg_advisory_lock(2)")
            blocked.cancel()
            with pytest.raises(CancelledError):
                await blocked
            # The connection is given to nobody before its statement has stopped: it did not get the lock.
            assert await pool.runQuery("SELECT pg_advisory_unlock(2)") == [(False,)]
            holder.close()
            assert pool.stats().connected == 1

    runReactor(main)


def test_close_cuts_a_query_that_outlasts_the_deadline(drive: Drive, database: Database) -> None:
    async def main() -> None:
        pool = pool_on(database)
        call = pool.runQuery("SELECT pg_sleep(600)")
        await running(database, "pg_sleep")
        closed = pool.close(deadline=0.01)
        with pytest.raises(PoolClosed, match="was cut"):
            await call
        await closed
        assert not pool.running

    drive(main)


def test_a_query_that_takes_too_long_fails_and_the_pool_goes_on(drive: Drive, database: Database) -> None:
    async def main() -> None:
        holder = database.connect()
        with holder.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(3)")
        async with pool_on(database, cp_max=2, cp_timeout=0.2) as pool:
            with pytest.raises(DeadlineExceeded):
                await pool.runQuery("SELECT pg_advisory_lock(3)")
            assert await pool.runQuery("SELECT 1") == [(1,)]
            holder.close()

    drive(main)


def test_no_server_is_told_with_the_reason(drive: Drive) -> None:
    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def main() -> None:
            async with ConnectionPool("psycopg2", host="127.0.0.1", port=port, cp_timeout=0.1) as pool:
                with pytest.raises(DeadlineExceeded, match="refused") as caught:
                    await pool.runQuery("SELECT 1")
                assert isinstance(caught.value.__cause__, psycopg2.OperationalError)

        drive(main)


def test_a_server_that_never_answers_is_given_up(drive: Drive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        async def main() -> None:
            pool = ConnectionPool(
                "psycopg2", host="127.0.0.1", port=port, sslmode="disable", cp_timeout=0.3, cp_connect_timeout=0.1
            )
            with pytest.raises(DeadlineExceeded, match=r"cp_connect_timeout=0\.1"):
                await pool.runQuery("SELECT 1")
            silent.close()
            await pool.close(deadline=0.01)

        drive(main)


def test_a_wrong_dsn_fails_at_once(drive: Drive) -> None:
    async def main() -> None:
        async with ConnectionPool("psycopg2", "this is no dsn") as pool:
            with pytest.raises(psycopg2.ProgrammingError, match="dsn"):
                await pool.runQuery("SELECT 1")
        async with ConnectionPool("psycopg2", no_such_parameter="x") as pool:
            with pytest.raises(psycopg2.ProgrammingError, match="no_such_parameter"):
                await pool.runQuery("SELECT 1")

    drive(main)


def test_hundreds_of_calls_at_once(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with pool_on(database, cp_max=4) as pool:
            results = await DeferredList([pool.runQuery("SELECT %s::int", (number,)) for number in range(500)])
            assert results == [(True, [(number,)]) for number in range(500)]
            assert len(database.backends()) <= 4

    drive(main)
