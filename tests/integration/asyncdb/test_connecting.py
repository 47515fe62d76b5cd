"""How connections are made: attempts that fail, `cp_openfun`, and what the log says of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from asyncdb import ConnectionPool, DeadlineExceeded
from asyncdb.testing import ScriptedDriver
from netcore.defer import DeferredList
from tests.integration.asyncdb.running import Drive


def test_connecting_is_tried_again_and_told_once(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver()
    driver.when("connect", driver.OperationalError("the server starts up"), times=2)

    async def main() -> None:
        async with ConnectionPool(driver) as pool:
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
        async with ConnectionPool(driver) as pool:
            results = await DeferredList([pool.runQuery("a"), pool.runQuery("b")], consumeErrors=True)
            assert [failure.value for _, failure in results] == [error, error]

    drive(main)


def test_a_system_without_threads_is_waited_for(drive: Drive, monkeypatch: pytest.MonkeyPatch, logged: Any) -> None:
    def no_more(*args: Any) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with ConnectionPool(ScriptedDriver()) as pool:
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
        async with ConnectionPool(driver, cp_openfun=openfun, cp_max=1) as pool:
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
        async with ConnectionPool(driver, cp_openfun=openfun) as pool:
            with pytest.raises(LookupError, match="no such setting"):
                await pool.runQuery("a")

    drive(main)
    assert driver.calls["close"] == driver.calls["connect"] == 1


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
        async with ConnectionPool(driver, cp_openfun=openfun) as pool:
            with pytest.raises(driver.OperationalError, match="no such role"):
                await pool.runQuery("a")
            assert await pool.runQuery("b") == [(1,)]

    drive(main)
    assert len(attempts) == 3


def test_a_timer_that_a_thread_asks_for_is_set(drive: Drive) -> None:
    """A thread's failure to connect makes the next moment of interest: nobody else would see to it."""
    driver = ScriptedDriver()
    driver.when("connect", driver.OperationalError("refused"), times=2)

    async def main() -> None:
        async with ConnectionPool(driver, cp_timeout=None) as pool:
            assert await pool.runQuery("select") == [(1,)]

    drive(main)


def test_noisy_logs_connections_but_no_arguments(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with ConnectionPool(ScriptedDriver(), password="geheim", cp_noisy=True) as pool:
            await pool.runQuery("select geheim")

    with caplog.at_level("INFO", "asyncdb.pool"):
        drive(main)
    assert "connected" in caplog.text
    assert "geheim" not in caplog.text


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
