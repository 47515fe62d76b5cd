"""Connections that are held for too long, transactions left open, and pools used where they must not be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asyncdb import ConnectionPool, WrongThread
from asyncdb.testing import HANG, ScriptedDriver, VirtualTime
from netcore.defer import Deferred
from netcore.reactors import Reactor
from tests.integration.asyncdb.running import Drive, result


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "asyncdb"):
        yield caplog


def borrows(pool: ConnectionPool) -> Deferred[Any]:
    return pool.connect()


def interacts(pool: ConnectionPool) -> Deferred[Any]:
    return pool.runInteraction(runs_long)


def runs_long(transaction: Any) -> None:
    transaction.execute("select secret from people", ("geheim",))


def test_a_loan_that_is_not_given_back_is_reported_once_with_who_took_it(
    time: VirtualTime, told: pytest.LogCaptureFixture
) -> None:
    pool = time.pool(ScriptedDriver(interruptible=True), cp_leak_after=10, cp_name="people")
    connection = result(time, borrows(pool))
    time.advance(9.9)
    assert told.text == ""
    time.advance(1000)
    (record,) = told.records
    message = record.getMessage()
    assert "pool people: a connection has been held for 10.0 s, by connect" in message
    assert message.endswith("in borrows\n    return pool.connect()\n"), "the caller is the last in the stack"
    assert pool.stats().leaks == 1
    result(time, pool.disconnect(connection))
    connection = result(time, borrows(pool))
    time.advance(11)
    assert (pool.stats().leaks, len(told.records)) == (2, 2)
    result(time, pool.disconnect(connection))


def test_a_function_that_does_not_end_is_reported_once_with_who_made_the_call(
    time: VirtualTime, told: pytest.LogCaptureFixture
) -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", HANG, times=1)
    pool = time.pool(driver, cp_leak_after=10)
    call = interacts(pool)
    time.advance(1000)
    (record,) = told.records
    message = record.getMessage()
    assert "by runInteraction runs_long" in message
    assert message.rstrip().endswith("return pool.runInteraction(runs_long)"), "the caller is the last in the stack"
    assert "geheim" not in message
    assert pool.stats().leaks == 1
    call.cancel()
    call.addErrback(lambda failure: None)


def test_a_call_of_a_view_names_its_caller_and_its_place(time: VirtualTime, told: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", HANG, times=1)
    pool = time.pool(driver, cp_leak_after=10)
    call = interacts(pool.using(name="reports"))  # type: ignore[arg-type]
    time.advance(11)
    message = told.records[0].getMessage()
    assert "by runInteraction runs_long of 'reports'" in message
    assert message.rstrip().endswith("return pool.runInteraction(runs_long)")
    call.cancel()
    call.addErrback(lambda failure: None)


def test_a_single_statement_that_does_not_end_is_named_without_its_parameters(
    time: VirtualTime, told: pytest.LogCaptureFixture
) -> None:
    driver = ScriptedDriver(interruptible=True)
    driver.when("execute", HANG, times=1)
    pool = time.pool(driver, cp_leak_after=10)
    call = pool.runQuery("SELECT  a\n FROM b WHERE c = ?", ("geheim",))
    time.advance(11)
    message = told.records[0].getMessage()
    assert "by runQuery SELECT a FROM b WHERE c = ? [...]" in message
    assert "geheim" not in message
    call.cancel()
    call.addErrback(lambda failure: None)


def test_without_a_limit_nothing_is_reported_and_no_stack_taken(
    time: VirtualTime, told: pytest.LogCaptureFixture
) -> None:
    pool = time.pool(ScriptedDriver(interruptible=True))
    connection = result(time, borrows(pool))
    assert connection._slot.origin is None
    time.advance(10_000)
    assert (told.text, pool.stats().leaks) == ("", 0)
    result(time, pool.disconnect(connection))


def test_a_transaction_left_open_is_rolled_back_counted_and_reported(
    time: VirtualTime, told: pytest.LogCaptureFixture
) -> None:
    driver = ScriptedDriver(interruptible=True)
    pool = time.pool(driver, cp_max=1, cp_leak_after=10)
    connection = result(time, borrows(pool))
    connection.cursor().execute("insert")
    result(time, pool.disconnect(connection))
    assert driver.calls["rollback"] == 1
    assert pool.stats().leftOpen == 1
    (record,) = told.records
    assert "came back in a transaction, which is rolled back" in record.getMessage()
    assert "in borrows" in record.getMessage()
    connection = result(time, borrows(pool))
    connection.cursor().execute("insert")
    connection.commit()
    result(time, pool.disconnect(connection))
    assert (pool.stats().leftOpen, len(told.records), driver.calls["connect"]) == (1, 1, 1)


def test_where_no_leaks_are_looked_for_a_transaction_left_open_is_counted_only(
    time: VirtualTime, told: pytest.LogCaptureFixture
) -> None:
    pool = time.pool(ScriptedDriver(interruptible=True), cp_max=1)
    connection = result(time, borrows(pool))
    connection.cursor().execute("insert")
    result(time, pool.disconnect(connection))
    assert (pool.stats().leftOpen, told.text) == (1, "")


def test_each_method_says_that_it_is_called_in_the_wrong_thread(drive: Drive) -> None:
    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool:
            connection = await pool.connect()
            reactor = Reactor.current()
            done: Deferred[list[BaseException | None]] = Deferred()
            methods = (
                lambda: pool.runQuery("x"),
                lambda: pool.using(timeout=1).runQuery("x"),
                pool.connect,
                lambda: pool.disconnect(connection),
                pool.ready,
                pool.suspend,
                pool.resume,
                pool.evictAll,
                pool.close,
            )

            def elsewhere() -> None:
                errors: list[BaseException | None] = []
                for method in methods:
                    try:
                        method()
                    except WrongThread as error:
                        errors.append(error)
                    else:
                        errors.append(None)
                assert pool.stats().lent == 1  # which may be asked for anywhere
                reactor.callFromThread(done.callback, errors)

            threading.Thread(target=elsewhere, daemon=True).start()
            errors = await done
            assert all("callFromThread" in str(error) for error in errors), errors
            await pool.disconnect(connection)
            assert await pool.runQuery("y") == [(1,)]

    drive(main)
