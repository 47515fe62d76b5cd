"""What each of a pool's calls does with a connection: what is sent and committed, and what comes of functions."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
import signal
import weakref
from types import FrameType
from typing import Any

import pytest

from asyncdb import CommitUnknown, ConnectionPool, PoolClosed
from asyncdb._worker import Call, Crew
from asyncdb._worker._call import NOTHING
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing import ScriptedConnection, ScriptedDriver
from netcore.defer import Deferred, gatherResults
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive, runAsyncio, runReactor
from tests.support.waiting import wait_until


def test_each_kind_of_call_in_a_transaction(drive: Drive) -> None:
    """A generic driver has no autocommit that anyone could rely on: everything is committed."""
    driver = ScriptedDriver(rows=[("a", 1)])

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
            assert await pool.runQuery("select ?", ("x",)) == [("a", 1)]
            assert await pool.runOperation("update") is None
            assert await pool.runInteraction(lambda t, n: t.execute("in") or n, 5) == 5
            assert await pool.runWithConnection(lambda c, n: c.cursor().execute("with") or n, n=6) == 6

    drive(main)
    assert driver.statements == [("select ?", ("x",)), ("update",), ("in",), ("with",)]
    assert driver.calls["connect"] == 1
    assert driver.calls["commit"] == 4
    assert driver.calls["rollback"] <= 3  # what a function may have left is rolled back where the driver cannot say
    assert driver.calls["close"] == 1


def test_what_raises_is_rolled_back_and_reported(drive: Drive) -> None:
    driver = ScriptedDriver()

    def interaction(transaction: Transaction) -> None:
        transaction.execute("insert")
        raise LookupError("mine")

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
            with pytest.raises(LookupError, match="mine"):
                await pool.runInteraction(interaction)
            assert (driver.calls["commit"], driver.calls["rollback"]) == (0, 1)
            await pool.runQuery("select")
        assert driver.calls["connect"] == 1

    drive(main)


def test_an_error_of_rolling_back_is_logged_and_the_first_error_wins(
    drive: Drive, caplog: pytest.LogCaptureFixture
) -> None:
    driver = ScriptedDriver()
    driver.when("rollback", driver.DatabaseError("cannot roll back"), times=1)
    driver.when("execute", driver.IntegrityError("duplicate"), times=1)

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
            with pytest.raises(driver.IntegrityError):
                await pool.runOperation("insert")
            await pool.runOperation("insert")

    drive(main)
    assert driver.calls["connect"] == 2  # such a connection is not used again
    assert "rolling back failed" in caplog.text
    assert "cannot roll back" in caplog.text


def test_a_statement_without_rows_gives_an_empty_list(drive: Drive) -> None:
    driver = ScriptedDriver()

    class Cursor:
        description = None

        def execute(self, *args: Any) -> None: ...
        def close(self) -> None: ...

    driver.when("connect", lambda: _connection_with(driver, Cursor))

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
            assert await pool.runQuery("insert") == []

    drive(main)


def _connection_with(driver: ScriptedDriver, cursor: Any) -> ScriptedConnection:
    connection = ScriptedConnection(driver)
    connection.cursor = cursor  # type: ignore[method-assign]
    return connection


@pytest.mark.parametrize("method", ["runInteraction", "runWithConnection"])
def test_functions_that_would_not_run_are_refused_at_once(method: str) -> None:
    async def coroutine(t: Any) -> None: ...

    def generator(t: Any) -> Any:
        yield

    async def async_generator(t: Any) -> Any:
        yield

    class Callable:
        async def __call__(self, t: Any) -> None: ...

    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool:
            call = getattr(pool, method)
            for function in (coroutine, generator, async_generator, functools.partial(coroutine), Callable()):
                with pytest.raises(TypeError, match="generator or coroutine function"):
                    call(function)
            with pytest.raises(TypeError, match="a function is needed"):
                call("select 1")

    runReactor(main)


def test_a_function_that_returns_what_nobody_would_wait_for_is_rolled_back(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def coroutine() -> None: ...

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
            for result in (coroutine, Deferred):
                with pytest.raises(TypeError, match="Return a plain result"):
                    await pool.runInteraction(lambda t, made: made(), result)
            assert driver.calls["commit"] == 0

    drive(main)


def test_wrappers_pass_on_and_cannot_be_used_afterwards(drive: Drive) -> None:
    driver = ScriptedDriver(rows=[(1,), (2,)])
    kept: list[Any] = []

    def with_connection(connection: Connection) -> None:
        kept.append(connection)
        assert isinstance(connection.driver, ScriptedDriver)
        assert connection.closed is False
        connection.close()  # nothing happens
        connection.cursor()
        with pytest.raises(AttributeError):
            connection.no_such_name  # noqa: B018

    def interaction(transaction: Transaction) -> list[Any]:
        kept.append(transaction)
        transaction.execute("x")
        transaction.rowcount = 9
        assert transaction._cursor.rowcount == 9
        first = transaction._cursor
        transaction.reopen()
        assert transaction._cursor is not first
        transaction.close()
        transaction.reopen()
        transaction.execute("y")
        return transaction.fetchall()  # type: ignore[no-any-return]

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
            await pool.runWithConnection(with_connection)
            assert await pool.runInteraction(interaction) == [(1,), (2,)]
        for wrapper in kept:
            with pytest.raises(RuntimeError, match="gone back to its pool"):
                wrapper.rowcount  # noqa: B018

    drive(main)


def test_factories_of_the_users_own_are_used_for_every_call(drive: Drive) -> None:
    seen: list[Any] = []

    class MyTransaction(Transaction):
        def execute(self, statement: str, *args: Any) -> None:
            seen.append((type(self._connection), statement))
            self._cursor.execute(f"/* mine */ {statement}", *args)

    class MyConnection(Connection):
        pass

    class MyPool(ConnectionPool):
        connectionFactory = MyConnection
        transactionFactory = MyTransaction

    driver = ScriptedDriver()

    async def main() -> None:
        async with MyPool(driver) as pool:
            assert await pool.runQuery("a") == [(1,)]
            await pool.runOperation("b")
            await pool.runInteraction(lambda t: t.execute("c"))

    drive(main)
    assert seen == [(MyConnection, statement) for statement in "abc"]
    seen.clear()

    async def on_an_instance() -> None:
        pool = ConnectionPool(driver)
        pool.transactionFactory = MyTransaction
        async with pool:
            await pool.runQuery("d")

    drive(on_an_instance)
    assert seen == [(Connection, "d")]
    assert [statement for (statement,) in driver.statements] == [f"/* mine */ {statement}" for statement in "abcd"]


def test_contextvars_travel_to_the_worker_and_back(drive: Drive) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    def interaction(transaction: Transaction) -> str:
        found = who.get()
        who.set(f"{found}, in the worker")
        return found

    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool:
            heard: list[str] = []
            calls = []
            for name in ("ann", "bob"):
                who.set(name)
                calls.append(
                    pool.runInteraction(interaction).addCallback(lambda found: heard.append(f"{found} / {who.get()}"))
                )
            who.set("main")
            await gatherResults(calls)
            assert sorted(heard) == ["ann / ann, in the worker", "bob / bob, in the worker"]
            assert who.get() == "main"

    drive(main)


def test_one_connection_serves_many_calls_in_order(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            await gatherResults([pool.runQuery(str(number)) for number in range(500)])

    drive(main)
    assert driver.statements == [(str(number),) for number in range(500)]


def test_a_connection_whose_commit_was_lost_is_not_rolled_back(drive: Drive) -> None:
    driver = ScriptedDriver()
    driver.when("commit", driver.OperationalError("gone"), times=1)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            with pytest.raises(CommitUnknown):
                await pool.runOperation("insert")
            assert driver.calls["rollback"] == 0
            await pool.runOperation("insert")

    drive(main)
    assert driver.calls["connect"] == 2


def test_a_pool_keeps_nothing_of_a_call_that_is_over(drive: Drive) -> None:
    class Thing:
        pass

    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool:
            thing = Thing()
            gone = weakref.ref(thing)
            await pool.runInteraction(lambda t, thing: None, thing)
            try:
                await pool.runInteraction(lambda t, thing: thing.nothing, thing)
            except AttributeError:
                pass
            del thing
            await pool.runQuery("another")
            # The thread that ran the call may not have got out of it yet, on a busy machine.
            await deferToThread(wait_until, lambda: gc.collect() >= 0 and gone() is None, "nothing keeps it")

    drive(main)


def test_an_interruption_as_a_call_is_made_leaves_the_pool_usable() -> None:
    """As by Ctrl-C: an exception out of a signal handler, at whatever step `submit` is."""
    making = Crew.submit.__code__
    hits = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is making:
            raise KeyboardInterrupt

    async def main() -> None:
        nonlocal hits
        pool = ConnectionPool("sqlite3", ":memory:", cp_max=1)
        pool.start()
        crew = pool._crew
        assert crew is not None
        await pool.close()  # so that each call is refused, and none is left over
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for _ in range(200_000):
            try:
                with contextlib.suppress(PoolClosed):
                    crew.submit(Call(crew, NOTHING, None, (), {}))
            except KeyboardInterrupt:
                hits += 1
                assert crew._lock.acquire(timeout=10), "the lock is held, and nobody will release it"
                crew._lock.release()
                if hits == 100:
                    break

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        runAsyncio(main)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits


def test_adbapis_attributes() -> None:
    driver = ScriptedDriver()
    pool = ConnectionPool(driver, "there", cp_min=1, cp_max=2, cp_name="n", cp_noisy=1, user="u")
    assert (pool.min, pool.max, pool.name, pool.noisy, pool.running) == (1, 2, "n", True, False)
    assert pool.dbapi is driver
    assert (pool.connargs, pool.connkw) == (("there",), {"user": "u"})
    assert ConnectionPool("sqlite3", "x.db").dbapiName == "sqlite3"
    with pytest.raises(TypeError, match="did you mean cp_max"):
        ConnectionPool("sqlite3", "x.db", cp_maxx=1)
