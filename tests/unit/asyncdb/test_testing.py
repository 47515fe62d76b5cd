"""The scripted driver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from asyncdb import dialect
from asyncdb.testing import HANG, ScriptedDialect, ScriptedDriver
from asyncdb.testing._scripted import PING
from tests.support.waiting import wait_until


def test_left_alone_everything_succeeds() -> None:
    driver = ScriptedDriver(rows=[("a",)])
    connection = driver.connect("x", y=1)
    cursor = connection.cursor()
    cursor.execute("select ?", (1,))
    assert cursor.fetchall() == [("a",)]
    connection.commit()
    connection.rollback()
    connection.close()
    assert driver.statements == [("select ?", (1,))]
    assert driver.calls == dict.fromkeys(("connect", "cursor", "execute", "fetchall", "commit", "rollback", "close"), 1)
    with pytest.raises(driver.InterfaceError):
        connection.cursor()


def test_steps_apply_in_order_as_often_as_asked() -> None:
    driver = ScriptedDriver()
    driver.when("connect", driver.OperationalError("first"), times=1)
    driver.when("connect", driver.OperationalError, times=1)
    for _ in range(2):
        with pytest.raises(driver.OperationalError):
            driver.connect()
    driver.connect().close()


def test_a_step_can_answer_one_statement() -> None:
    driver = ScriptedDriver()
    driver.when("execute", [(7,)], matching=lambda statement, *args: "seven" in statement)
    cursor = driver.connect().cursor()
    cursor.execute("seven")
    assert cursor.fetchall() == [(7,)]
    cursor.execute("one")
    assert cursor.fetchall() == [(1,)]


def test_a_step_can_block_and_says_that_it_was_reached() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    step = driver.when("commit", gate)
    connection = driver.connect()
    thread = threading.Thread(target=connection.commit)
    thread.start()
    assert step.reached.wait(10)
    assert thread.is_alive()
    gate.set()
    thread.join(10)
    assert step.count == 1


def test_a_hanging_call_comes_back_when_the_server_goes() -> None:
    driver = ScriptedDriver(sockets=True)
    driver.when("execute", HANG)
    connection = driver.connect()
    failures: list[BaseException] = []

    def execute() -> None:
        try:
            connection.cursor().execute("x")
        except driver.Error as error:
            failures.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    connection.kill()
    thread.join(10)
    assert isinstance(failures[0], driver.OperationalError)
    assert connection.closed


def test_a_killed_connection_fails_at_the_next_call() -> None:
    driver = ScriptedDriver(sockets=True)
    connection = driver.connect()
    connection.say()
    connection.cursor()  # reads it
    connection.kill()
    with pytest.raises(driver.OperationalError):
        connection.cursor()


def test_an_unknown_call_is_refused() -> None:
    with pytest.raises(ValueError, match="is not one of connect, cursor"):
        ScriptedDriver().when("fetchone", HANG)


# ------------------------------------------------------------------------------------------------------- interrupted


def in_thread(call: Callable[[], object]) -> Callable[[], BaseException | None]:
    """Make *call* in a thread. Returns: a function that waits for its end, and returns what it raised."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> BaseException | None:
        thread.join(10)
        return raised[0]

    return end


@pytest.mark.parametrize("action", [HANG, threading.Event()])
def test_an_interrupt_ends_what_blocks_and_the_connection_goes_on(action: Any) -> None:
    driver = ScriptedDriver()
    step = driver.when("execute", action, times=1)
    connection = driver.connect()
    end = in_thread(lambda: connection.cursor().execute("slow"))
    assert step.reached.wait(10)
    wait_until(lambda: connection.blocks, "the thread blocks")
    connection.interrupt()
    error = end()
    assert isinstance(error, driver.QueryCanceled)
    assert isinstance(error, driver.OperationalError)
    assert error.pgcode == "57014"
    assert not connection.closed
    connection.cursor().execute("next")


def test_an_interrupt_of_nothing_is_lost() -> None:
    driver = ScriptedDriver()
    connection = driver.connect()
    connection.interrupt()
    driver.when("execute", HANG)
    end = in_thread(lambda: connection.cursor().execute("slow"))
    wait_until(lambda: connection.blocks, "the thread blocks")
    connection.kill()
    assert type(end()) is driver.OperationalError
    assert driver.calls["interrupt"] == 1


def test_an_interrupt_may_fail_and_may_block() -> None:
    driver = ScriptedDriver()
    driver.when("interrupt", driver.OperationalError("no way there"), times=1)
    gate = threading.Event()
    step = driver.when("interrupt", gate, times=1)
    connection = driver.connect()
    with pytest.raises(driver.OperationalError, match="no way there"):
        connection.interrupt()
    end = in_thread(connection.interrupt)
    assert step.reached.wait(10)
    gate.set()
    assert end() is None


def test_an_event_is_waited_for_whatever_becomes_of_the_connection() -> None:
    driver = ScriptedDriver()
    gate = threading.Event()
    driver.when("execute", gate)
    connection = driver.connect()
    end = in_thread(lambda: connection.cursor().execute("slow"))
    wait_until(lambda: connection.blocks, "the thread blocks")
    connection.kill()
    gate.set()
    assert end() is None
    with pytest.raises(driver.OperationalError):
        connection.cursor()


def test_release_lets_go_of_every_thread() -> None:
    driver = ScriptedDriver()
    driver.when("connect", threading.Event(), times=1)
    driver.when("execute", threading.Event(), times=1)
    ends = [in_thread(driver.connect)]
    wait_until(lambda: driver.calls["connect"] == 1, "the first one connects")
    waiting, hanging, at_barrier = driver.connect(), driver.connect(), driver.connect()
    ends.append(in_thread(lambda: waiting.cursor().execute("a")))
    wait_until(lambda: waiting.blocks, "the thread blocks")
    driver.clear()
    driver.when("execute", HANG, times=1)
    ends.append(in_thread(lambda: hanging.cursor().execute("b")))
    wait_until(lambda: hanging.blocks, "the thread blocks")
    step = driver.when("execute", threading.Barrier(2))
    ends.append(in_thread(lambda: at_barrier.cursor().execute("c")))
    assert step.reached.wait(10)
    driver.release()
    assert [type(end()) for end in ends] == [
        *(type(None), type(None)),
        driver.OperationalError,
        threading.BrokenBarrierError,
    ]
    assert driver.connect().cursor().execute("d") is None


def test_what_has_nothing_to_be_cut_by_cannot_hang() -> None:
    for call in ("connect", "interrupt"):
        with pytest.raises(ValueError, match=r"let it wait for a threading\.Event"):
            ScriptedDriver().when(call, HANG)


# ------------------------------------------------------------------------------------ transactions, SQLSTATEs, the pool


def test_a_transaction_begins_with_the_first_statement() -> None:
    driver = ScriptedDriver()
    driver.when("execute", driver.ProgrammingError, times=1)
    connection = driver.connect()
    assert not connection.in_transaction
    with pytest.raises(driver.ProgrammingError):
        connection.cursor().execute("wrong")
    assert connection.in_transaction
    connection.rollback()
    assert not connection.in_transaction
    connection.cursor().execute(PING)
    assert connection.in_transaction
    connection.commit()
    assert not connection.in_transaction


def test_errors_have_sqlstates() -> None:
    driver = ScriptedDriver()
    driver.when("execute", driver.OperationalError("the server shuts down", pgcode="57P01"))
    with pytest.raises(driver.OperationalError, match="shuts down") as caught:
        driver.connect().cursor().execute("x")
    assert caught.value.pgcode == "57P01"
    assert driver.DatabaseError("x").pgcode is None


def test_a_pool_knows_one_that_is_interruptible() -> None:
    driver = ScriptedDriver(interruptible=True)
    known = dialect.load("scripted", driver)
    assert isinstance(known, ScriptedDialect)
    assert known.can_interrupt
    connection = known.connect()
    assert not known.in_transaction(connection)
    connection.cursor().execute("x")
    assert known.in_transaction(connection)
    assert known.left_open(connection)
    known.prove(connection)
    assert not known.in_transaction(connection)
    for error, reason in (
        (driver.QueryCanceled(), None),
        (driver.OperationalError("x"), None),
        (driver.OperationalError("x", pgcode="57P01"), "shutdown"),
        (driver.OperationalError("x", pgcode="25006"), "readonly"),
    ):
        assert known.eviction(error, connection) == reason
        assert not known.is_doubtful(error)
        assert known.is_interruption(error) is isinstance(error, driver.QueryCanceled)
    known.cut(connection)
    with pytest.raises(driver.OperationalError) as caught:
        connection.cursor()
    assert known.eviction(caught.value, connection) == "lost"
    assert type(dialect.load("scripted", ScriptedDriver())) is dialect.Driver
