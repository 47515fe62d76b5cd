"""Calls on a pool of scripted connections: what is done, in which order, and who hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import signal
import threading
import weakref
from types import FrameType
from typing import Any

import pytest

import netcore
from asyncdb import (
    CommitUnknown,
    ConnectionPool,
    DeadlineExceeded,
    NotCheckedOut,
    PoolClosed,
    PoolOverloaded,
    WrongThread,
)
from asyncdb._worker import Call, Crew
from asyncdb._worker._call import NOTHING
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing import HANG, ScriptedConnection, ScriptedDriver
from netcore.defer import CancelledError, Deferred, DeferredList, gatherResults
from netcore.reactors import Reactor
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive, runAsyncio, runReactor
from tests.support.waiting import wait_until


def pool_on(driver: ScriptedDriver, **options: Any) -> ConnectionPool:
    return ConnectionPool(driver, **options)


async def reached(step: Any) -> None:
    """Wait, off the reactor's thread, until a worker has come to *step*."""
    done: Deferred[bool] = Deferred()
    reactor = Reactor.current()
    threading.Thread(target=lambda: reactor.callFromThread(done.callback, step.reached.wait(30)), daemon=True).start()
    assert await done


# ------------------------------------------------------------------------------------------------------- the four calls


def test_each_kind_of_call_in_a_transaction(drive: Drive) -> None:
    """A generic driver has no autocommit that anyone could rely on: everything is committed."""
    driver = ScriptedDriver(rows=[("a", 1)])

    async def main() -> None:
        async with pool_on(driver) as pool:
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
        async with pool_on(driver) as pool:
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
        async with pool_on(driver) as pool:
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
        async with pool_on(driver) as pool:
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
        async with pool_on(ScriptedDriver()) as pool:
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
        async with pool_on(driver) as pool:
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
        async with pool_on(driver) as pool:
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
        pool = pool_on(driver)
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
        async with pool_on(ScriptedDriver()) as pool:
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


# ---------------------------------------------------------------------------------------------- never blocking the loop


def test_while_ten_calls_block_the_reactor_turns_and_close_returns() -> None:
    driver = ScriptedDriver()
    gate = threading.Barrier(11)
    release = threading.Event()

    def blocked(*args: Any) -> None:
        gate.wait(30)
        release.wait(30)

    driver.when("execute", blocked)

    async def main() -> None:
        reactor = Reactor.current()
        pool = pool_on(driver, cp_max=10)
        calls = [pool.runQuery("select") for _ in range(10)]
        queued = pool.runQuery("queued")
        all_there: Deferred[None] = Deferred()
        threading.Thread(
            target=lambda: (gate.wait(30), reactor.callFromThread(all_there.callback, None)), daemon=True
        ).start()
        await all_there

        turns = 0
        turned: Deferred[None] = Deferred()

        def turn() -> None:
            nonlocal turns
            turns += 1
            if turns < 1000:
                reactor.callLater(0, turn)
            else:
                turned.callback(None)

        turn()
        await turned
        assert turns == 1000
        assert not any(call.called for call in calls)

        closed = pool.close()
        assert not closed.called  # it has returned, and all ten still block
        with pytest.raises(PoolClosed):
            await queued
        with pytest.raises(PoolClosed):
            await pool.runQuery("later")
        release.set()
        assert await gatherResults(calls) == [[(1,)]] * 10  # they may finish
        await closed

    runReactor(main)
    assert driver.calls["close"] == 10


def test_the_first_of_many_results_wakes_the_reactor_and_the_others_do_not() -> None:
    driver = ScriptedDriver()
    first_seen, all_done = threading.Event(), threading.Event()
    seen: list[bool] = []
    driver.when("execute", lambda *_: seen.append(first_seen.wait(30)), matching=lambda *args: args[:1] == ("second",))
    driver.when("execute", lambda *_: all_done.set(), matching=lambda *args: args[:1] == ("last",))
    woken = 0

    async def main() -> None:
        nonlocal woken
        reactor = Reactor.current()
        plainly = reactor.callFromThread

        def counted(function: Any, *args: Any) -> None:
            nonlocal woken
            woken += function.__name__ == "deliver"
            plainly(function, *args)

        reactor.callFromThread = counted  # type: ignore[method-assign]
        async with pool_on(driver, cp_max=1) as pool:
            await pool.suspend()
            calls = [pool.runQuery("first"), pool.runQuery("second")]
            calls += [pool.runQuery("another") for _ in range(200)]
            calls.append(pool.runQuery("last"))
            pool.resume()
            await calls[0]
            woken = 0
            first_seen.set()
            assert all_done.wait(30)  # the reactor stands still meanwhile
            assert woken <= 1
            await gatherResults(calls[1:])

    runReactor(main)
    assert seen == [True]


def test_one_connection_serves_many_calls_in_order(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            await gatherResults([pool.runQuery(str(number)) for number in range(500)])

    drive(main)
    assert driver.statements == [(str(number),) for number in range(500)]


# ----------------------------------------------------------------------------------------------- cancelling, time, load


def test_cancel_removes_a_queued_call(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            running = pool.runQuery("running")
            await reached(step)
            queued, kept = pool.runQuery("queued"), pool.runQuery("kept")
            queued.cancel()
            with pytest.raises(BaseException) as caught:  # asyncio's, in a Task
                await queued
            assert "Cancelled" in type(caught.value).__name__
            gate.set()
            await gatherResults([running, kept])

    drive(main)
    assert driver.statements == [("running",), ("kept",)]


def test_cancel_answers_at_once_and_the_connection_serves_the_next() -> None:
    driver = ScriptedDriver(interruptible=True)
    step = driver.when("execute", HANG, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            running = pool.runQuery("running")
            await reached(step)
            running.cancel()
            assert running.called
            following = pool.runQuery("following")
            with pytest.raises(CancelledError):
                await running
            assert await following == [(1,)]
        assert driver.calls["connect"] == driver.calls["interrupt"] == 1

    runReactor(main)


def test_an_asyncio_timeout_cancels_the_call() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            running = pool.runQuery("running")
            await reached(step)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await running
            gate.set()
            await pool.runQuery("after")

    runAsyncio(main)


def test_too_many_waiting_calls_are_refused_at_once(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1, cp_max_waiting=2) as pool:
            running = pool.runQuery("running")
            await reached(step)
            queued = [pool.runQuery("queued") for _ in range(2)]
            refused = pool.runQuery("refused")
            assert refused.called
            with pytest.raises(PoolOverloaded, match="cp_max_waiting=2"):
                await refused
            gate.set()
            await gatherResults([running, *queued])

    drive(main)
    assert len(driver.statements) == 3


def test_a_call_that_gets_no_connection_in_time_fails_with_the_pools_figures(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1, cp_wait_timeout=0.05, cp_name="people") as pool:
            running = pool.runQuery("running")
            await reached(step)
            with pytest.raises(DeadlineExceeded) as caught:
                await pool.runQuery("too late")
            assert "pool 'people': total 1 of 1, idle 0, busy 1, lent 0, connecting 0, waiting 1" in str(caught.value)
            assert caught.value.__cause__ is None
            gate.set()
            await running

    drive(main)


def test_a_call_that_runs_too_long_fails_and_its_connection_serves_the_next(drive: Drive) -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", HANG, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            with pytest.raises(DeadlineExceeded, match=r"not ended within its timeout of 0\.05 s"):
                await pool.using(timeout=0.05).runQuery("slow")
            await pool.runQuery("after")
        assert driver.calls["connect"] == 1

    drive(main)


# ----------------------------------------------------------------------------------------------------------- connecting


def test_connecting_is_tried_again_and_told_once(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver()
    driver.when("connect", driver.OperationalError("the server starts up"), times=2)

    async def main() -> None:
        async with pool_on(driver) as pool:
            with caplog.at_level("INFO", "asyncdb.pool"):
                assert await pool.runQuery("select") == [(1,)]

    drive(main)
    assert [(record.levelname, "the server starts up" in record.message) for record in caplog.records] == [
        ("WARNING", True),
        ("INFO", False),
    ]


@pytest.mark.parametrize("error", [TypeError("unexpected keyword"), ScriptedDriver.ProgrammingError("invalid dsn")])
def test_wrong_connect_arguments_fail_every_waiting_call_at_once(drive: Drive, error: Exception) -> None:
    driver = ScriptedDriver()
    driver.when("connect", error)

    async def main() -> None:
        async with pool_on(driver) as pool:
            results = await DeferredList([pool.runQuery("a"), pool.runQuery("b")], consumeErrors=True)
            assert [failure.value for _, failure in results] == [error, error]

    drive(main)


def test_a_system_without_threads_is_waited_for(drive: Drive, monkeypatch: pytest.MonkeyPatch, logged: Any) -> None:
    def no_more(*args: Any) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with pool_on(ScriptedDriver()) as pool:
            assert pool._crew is not None
            monkeypatch.setattr(pool._crew._threads, "callInThread", no_more)
            assert await pool.runQuery("x") == [(1,)]

    drive(main)
    (record,) = logged.take()
    assert "can't start new thread" in record.getMessage()


def test_openfun_prepares_each_connection(drive: Drive) -> None:
    driver = ScriptedDriver()
    opened: list[Any] = []
    threads: set[str] = set()

    def openfun(connection: Any) -> None:
        opened.append(connection)
        threads.add(threading.current_thread().name)

    async def main() -> None:
        async with pool_on(driver, cp_openfun=openfun, cp_max=1) as pool:
            await pool.runQuery("a")
            await pool.runQuery("b")

    drive(main)
    assert opened == driver.connections
    assert len(opened) == 1
    assert threading.main_thread().name not in threads


def test_an_error_of_openfun_reaches_the_caller_and_closes_the_connection(drive: Drive) -> None:
    driver = ScriptedDriver()

    def openfun(connection: Any) -> None:
        raise LookupError("no such setting")

    async def main() -> None:
        async with pool_on(driver, cp_openfun=openfun) as pool:
            with pytest.raises(LookupError, match="no such setting"):
                await pool.runQuery("a")

    drive(main)
    assert driver.calls["close"] == driver.calls["connect"] == 1


# ----------------------------------------------------------------------------------------------------- lost connections


def test_a_connection_lost_at_rest_is_replaced_before_anything_is_sent(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            await pool.runQuery("a")
            driver.connections[0].kill()
            assert await pool.runQuery("b") == [(1,)]

    drive(main)
    assert driver.statements == [("a",), ("b",)]
    assert driver.calls["connect"] == 2


def test_a_connection_whose_server_only_spoke_is_kept(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            await pool.runQuery("a")
            driver.connections[0].say()
            await pool.runQuery("b")

    drive(main)
    assert driver.calls["connect"] == 1
    assert driver.calls["ping"] == 1


def test_good_sql_is_the_check(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        async with pool_on(driver, cp_max=1, cp_good_sql="select good") as pool:
            await pool.runQuery("a")
            driver.connections[0].say()
            await pool.runQuery("b")

    drive(main)
    assert driver.statements == [("a",), ("select good",), ("b",)]


def test_nothing_is_sent_twice(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    def die(statement: str) -> None:
        driver.connections[-1]._lose()

    driver.when("execute", die, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            with pytest.raises(driver.OperationalError):
                await pool.runOperation("insert")
            await pool.runOperation("another")

    drive(main)
    assert driver.statements == [("insert",), ("another",)]


def test_after_an_error_nobody_can_read_the_connection_is_checked(drive: Drive) -> None:
    driver = ScriptedDriver()
    driver.when("execute", driver.OperationalError("what may that be"), times=1)
    driver.when("ping", driver.OperationalError("gone"), times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            with pytest.raises(driver.OperationalError, match="what may that be"):
                await pool.runQuery("a")
            assert await pool.runQuery("b") == [(1,)]

    drive(main)
    assert driver.calls["connect"] == 2


# -------------------------------------------------------------------------------------------------- connect, disconnect


def test_a_connection_is_the_callers_until_given_back(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            connection = await pool.connect()
            connection.cursor().execute("mine")
            connection.commit()
            waiting = pool.runQuery("waits")
            assert not waiting.called
            assert await pool.disconnect(connection) is None
            await waiting
            with pytest.raises(NotCheckedOut):
                pool.disconnect(connection)

    drive(main)
    assert driver.statements == [("mine",), ("waits",)]
    assert driver.calls["rollback"] == 1


def test_only_what_connect_gave_can_be_given_back(drive: Drive) -> None:
    async def main() -> None:
        async with pool_on(ScriptedDriver()) as pool, pool_on(ScriptedDriver()) as other:
            connection = await other.connect()
            with pytest.raises(NotCheckedOut, match="is not checked out"):
                pool.disconnect(connection)
            with pytest.raises(NotCheckedOut):
                pool.disconnect(None)  # type: ignore[arg-type]
            kept: list[Any] = []
            await pool.runWithConnection(kept.append)
            with pytest.raises(NotCheckedOut):
                pool.disconnect(kept[0])
            await other.disconnect(connection)

    drive(main)


def test_a_cancelled_connect_gives_the_connection_back() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("connect", gate, times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            asked = pool.connect()
            await reached(step)
            asked.addErrback(lambda failure: failure.trap(CancelledError))
            asked.cancel()
            gate.set()
            await pool.runQuery("free")
        assert driver.calls["connect"] == 1

    runReactor(main)


def test_a_connection_that_comes_after_its_borrower_has_gone_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        reactor = Reactor.current()
        async with pool_on(driver, cp_max=1) as pool:
            await pool.runQuery("first")
            asked = pool.connect()
            asked.addErrback(lambda failure: failure.trap(CancelledError))
            # The result is on its way to this thread; the cancel comes before it is delivered.
            assert pool._crew is not None
            delivery = pool._crew._delivery
            monkeypatch.setattr(type(delivery), "deliver", lambda self: None)
            while not delivery.results:
                turned: Deferred[None] = Deferred()
                reactor.callLater(0, turned.callback, None)
                await turned
            asked.cancel()
            monkeypatch.undo()
            delivery.deliver()
            await pool.runQuery("free")

    runReactor(main)
    assert driver.statements == [("first",), ("free",)]


# -------------------------------------------------------------------------------------------------------------- the end


def test_close_waits_for_what_runs_and_refuses_what_comes(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)

    async def main() -> None:
        pool = pool_on(driver, cp_max=1)
        running, queued = pool.runQuery("running"), pool.runQuery("queued")
        await reached(step)
        closed, again = pool.close(), pool.close()
        with pytest.raises(PoolClosed, match="nothing of it was sent"):
            await queued
        with pytest.raises(PoolClosed):
            await pool.runQuery("later")
        with pytest.raises(PoolClosed):
            await pool.connect()
        assert not pool.running
        gate.set()
        assert await running == [(1,)]
        await gatherResults([closed, again])
        await pool.close()

    drive(main)
    assert driver.calls["close"] == 1


def test_at_the_deadline_close_cuts_what_hangs(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)
    step = driver.when("execute", HANG)

    async def main() -> None:
        pool = pool_on(driver, cp_max=1)
        hanging = pool.runQuery("hangs")
        await reached(step)
        closed = pool.close(deadline=0.02)
        with pytest.raises(PoolClosed, match="its connection was cut"):
            await hanging
        await closed

    drive(main)
    assert driver.connections[0].closed


def test_a_lent_connection_is_cut_at_the_deadline_and_may_still_be_given_back(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        pool = pool_on(driver)
        connection = await pool.connect()
        await pool.close(deadline=0.02)
        assert driver.calls["close"] == 0  # its borrower's thread may be inside a call on it
        assert driver.connections[0]._client is not None
        assert driver.connections[0]._client.recv(1) == b""
        with pytest.raises(PoolClosed, match="only there to be given back"):
            connection.cursor()
        await pool.disconnect(connection)
        assert driver.connections[0].closed

    drive(main)


def test_close_does_not_wait_for_ever_for_a_driver_that_cannot_be_cut(drive: Drive) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate)

    async def main() -> None:
        pool = pool_on(driver, cp_max=1)
        hanging = pool.runQuery("hangs")
        await reached(step)
        closed = pool.close(deadline=0.02)
        with pytest.raises(PoolClosed):
            await hanging
        await closed
        gate.set()

    drive(main)


def test_a_pool_that_was_never_used_closes_and_is_closed(drive: Drive) -> None:
    async def main() -> None:
        pool = pool_on(ScriptedDriver())
        assert repr(pool) == "<ConnectionPool ScriptedDriver: not started>"
        await pool.close()
        with pytest.raises(PoolClosed):
            await pool.runQuery("x")
        assert "closed" in repr(pool)

    drive(main)


def test_a_closed_pool_can_be_started_again(drive: Drive) -> None:
    driver = ScriptedDriver()

    async def main() -> None:
        pool = pool_on(driver)
        await pool.runQuery("a")
        closing = pool.close()
        with pytest.raises(PoolClosed, match="still closing"):
            pool.start()
        await closing
        pool.start()
        pool.start()
        assert pool.running
        await pool.runQuery("b")
        await pool.close()

    drive(main)
    assert driver.calls["connect"] == driver.calls["close"] == 2


def test_a_pool_closes_with_its_reactor_and_lets_the_last_calls_finish() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)
    heard: list[Any] = []

    async def main() -> None:
        pool = pool_on(driver, cp_max=1)
        pool.runQuery("the last").addBoth(heard.append)
        pool.runQuery("the very last").addBoth(heard.append)
        await reached(step)
        Reactor.current().addSystemEventTrigger("before", "shutdown", gate.set)

    runReactor(main)
    assert heard == [[(1,)], [(1,)]]
    assert driver.calls["close"] == 1


def test_a_pool_whose_asyncio_program_ended_serves_the_next() -> None:
    driver = ScriptedDriver()
    pool = pool_on(driver)

    async def main() -> Any:
        return await pool.runQuery("x")

    assert asyncio.run(main()) == asyncio.run(main()) == [(1,)]
    assert driver.calls["connect"] == driver.calls["close"] == 2


def test_after_its_reactor_a_pool_says_that_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_on(ScriptedDriver())

    async def main() -> None:
        await pool.runQuery("x")

    runReactor(main)
    other = Reactor()
    monkeypatch.setitem(netcore.__dict__, "reactor", other)
    failures: list[Any] = []
    pool.runQuery("y").addErrback(failures.append)
    assert failures[0].check(PoolClosed)
    other.dispose()


def test_calls_made_before_the_reactor_runs_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = Reactor()
    monkeypatch.setitem(netcore.__dict__, "reactor", reactor)
    heard: list[Any] = []
    pool = pool_on(ScriptedDriver())
    pool.runQuery("early").addBoth(lambda result: (heard.append(result), reactor.stop()))
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    assert heard == [[(1,)]]


def test_another_thread_is_told_where_to_go(drive: Drive) -> None:
    async def main() -> None:
        async with pool_on(ScriptedDriver()) as pool:
            await pool.runQuery("x")
            told: Deferred[BaseException] = Deferred()
            reactor = Reactor.current()

            def elsewhere() -> None:
                try:
                    pool.runQuery("y")
                except Exception as error:
                    reactor.callFromThread(told.callback, error)

            threading.Thread(target=elsewhere, daemon=True).start()
            error = await told
            assert isinstance(error, WrongThread)
            assert "callFromThread" in str(error)

    drive(main)


def test_results_that_come_when_the_loop_is_gone_are_dropped_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("execute", gate, times=1)
    pool = pool_on(driver, cp_max=1)
    loop = asyncio.new_event_loop()  # run by hand, and closed without its asynchronous generators being shut down

    async def main() -> Any:
        call = pool.runQuery("x")
        await reached(step)
        return call

    call = loop.run_until_complete(main())
    call.addErrback(lambda failure: None)
    loop.close()
    gate.set()
    assert asyncio.run(_query(pool)) == [(1,)]  # the pool finds out, and goes on with the next
    assert not caplog.records


def used_on_a_closed_loop() -> ConnectionPool:
    """A pool that nobody has told of the end of its loop."""
    pool = pool_on(ScriptedDriver(), cp_max=1)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_query(pool))
    assert pool.running
    loop.close()
    assert not pool.running
    return pool


def test_a_pool_whose_loop_is_gone_can_be_closed_on_another() -> None:
    pool = used_on_a_closed_loop()
    asyncio.run(_close(pool))
    assert pool.stats().state == "closed"
    with pytest.raises(PoolClosed):
        asyncio.run(_query(pool))


def test_a_pool_whose_loop_is_gone_starts_on_another() -> None:
    pool = used_on_a_closed_loop()

    async def main() -> None:
        pool.evictAll()  # there is nothing
        pool.resume()
        async with pool:
            assert pool.running
            assert pool.stats().connected == 0
            await pool.runQuery("x")

    asyncio.run(main())
    assert pool.stats().state == "closed"


def test_closing_in_the_wrong_thread_does_nothing() -> None:
    pool = pool_on(ScriptedDriver(), cp_max=1)

    async def main() -> None:
        await pool.runQuery("x")
        with pytest.raises(WrongThread):
            await asyncio.to_thread(pool.close)

    asyncio.run(main())
    assert asyncio.run(_query(pool)) == [(1,)]  # it has ended with its loop, and was not closed


async def _query(pool: ConnectionPool) -> Any:
    return await pool.runQuery("x")


@pytest.mark.parametrize("deadline", [-1, float("nan"), float("inf"), None, "5", True])
def test_a_deadline_that_is_none_is_refused(deadline: Any) -> None:
    with pytest.raises(ValueError, match="deadline must be"):
        pool_on(ScriptedDriver()).close(deadline)


def test_a_pool_keeps_nothing_of_a_call_that_is_over(drive: Drive) -> None:
    class Thing:
        pass

    async def main() -> None:
        async with pool_on(ScriptedDriver()) as pool:
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


def test_adbapis_attributes() -> None:
    driver = ScriptedDriver()
    pool = ConnectionPool(driver, "there", cp_min=1, cp_max=2, cp_name="n", cp_noisy=1, user="u")
    assert (pool.min, pool.max, pool.name, pool.noisy, pool.running) == (1, 2, "n", True, False)
    assert pool.dbapi is driver
    assert (pool.connargs, pool.connkw) == (("there",), {"user": "u"})
    assert ConnectionPool("sqlite3", "x.db").dbapiName == "sqlite3"
    with pytest.raises(TypeError, match="did you mean cp_max"):
        ConnectionPool("sqlite3", "x.db", cp_maxx=1)


def test_noisy_logs_connections_but_no_arguments(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with ConnectionPool(ScriptedDriver(), password="geheim", cp_noisy=True) as pool:
            await pool.runQuery("select geheim")

    with caplog.at_level("INFO", "asyncdb.pool"):
        drive(main)
    assert "connected" in caplog.text
    assert "geheim" not in caplog.text


# ------------------------------------------------------------------------------------- errors of connecting, and loops


def test_an_error_of_openfun_is_not_tried_again_unless_the_connection_was_lost(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)
    attempts: list[Any] = []

    def openfun(connection: Any) -> None:
        attempts.append(connection)
        if len(attempts) == 1:
            raise driver.OperationalError("no such role")
        if len(attempts) == 2:
            connection.kill()
            connection.cursor()

    async def main() -> None:
        async with pool_on(driver, cp_openfun=openfun) as pool:
            with pytest.raises(driver.OperationalError, match="no such role"):
                await pool.runQuery("a")
            assert await pool.runQuery("b") == [(1,)]

    drive(main)
    assert len(attempts) == 3


def test_passwords_stay_out_of_logs_messages_and_tracebacks(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver()
    refused = driver.OperationalError("cannot log in with geheim\nHINT: geheim")
    wrong = driver.when("connect", driver.ProgrammingError("no"), times=1)

    async def main() -> None:
        async with ConnectionPool(driver, password="geheim", cp_timeout=0.05) as pool:
            with pytest.raises(driver.ProgrammingError) as error:
                await pool.runQuery("a")
            traceback = error.value.__traceback__
            while traceback is not None:
                assert traceback.tb_frame.f_code.co_name != "connect"
                traceback = traceback.tb_next
            driver.when("connect", refused)
            with pytest.raises(DeadlineExceeded) as caught:
                await pool.runQuery("b")
            assert "cannot log in with ***" in str(caught.value)
            assert "geheim" not in str(caught.value)

    drive(main)
    assert wrong.count == 1
    assert "cannot log in with ***" in caplog.text
    assert "geheim" not in caplog.text


def test_a_pool_of_a_stopped_loop_says_so_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_on(ScriptedDriver())
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        assert first.run_until_complete(_query(pool)) == [(1,)]
        with pytest.raises(WrongThread, match="stopped and not closed"):
            second.run_until_complete(_query(pool))
        assert first.run_until_complete(_query(pool)) == [(1,)]
        first.close()
        assert second.run_until_complete(_query(pool)) == [(1,)]
        second.run_until_complete(_close(pool))
    finally:
        first.close()
        second.close()


async def _close(pool: ConnectionPool) -> None:
    await pool.close()


def test_a_timer_that_a_thread_asks_for_is_set(drive: Drive) -> None:
    """A thread's failure to connect makes the next moment of interest: nobody else would see to it."""
    driver = ScriptedDriver()
    driver.when("connect", driver.OperationalError("refused"), times=2)

    async def main() -> None:
        async with pool_on(driver, cp_timeout=None) as pool:
            assert await pool.runQuery("select") == [(1,)]

    drive(main)


def test_a_connection_whose_commit_was_lost_is_not_rolled_back(drive: Drive) -> None:
    driver = ScriptedDriver()
    driver.when("commit", driver.OperationalError("gone"), times=1)

    async def main() -> None:
        async with pool_on(driver, cp_max=1) as pool:
            with pytest.raises(CommitUnknown):
                await pool.runOperation("insert")
            assert driver.calls["rollback"] == 0
            await pool.runOperation("insert")

    drive(main)
    assert driver.calls["connect"] == 2


# --------------------------------------------------------------------------------------------------------- interruption


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
