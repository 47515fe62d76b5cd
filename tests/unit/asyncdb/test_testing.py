"""The scripted driver."""

from __future__ import annotations

import threading

import pytest

from asyncdb.testing import HANG, ScriptedDriver


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
