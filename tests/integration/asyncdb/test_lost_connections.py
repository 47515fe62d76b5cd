"""Connections that were lost, or may have been: they are checked and replaced, and nothing is sent twice."""

from __future__ import annotations

import pytest

from asyncdb import ConnectionPool
from asyncdb.testing import ScriptedDriver
from tests.integration.asyncdb.running import Drive


def test_a_connection_lost_at_rest_is_replaced_before_anything_is_sent(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            await pool.runQuery("a")
            driver.connections[0].kill()
            assert await pool.runQuery("b") == [(1,)]

    drive(main)
    assert driver.statements == [("a",), ("b",)]
    assert driver.calls["connect"] == 2


def test_a_connection_whose_server_only_spoke_is_kept(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1) as pool:
            await pool.runQuery("a")
            driver.connections[0].say()
            await pool.runQuery("b")

    drive(main)
    assert driver.calls["connect"] == 1
    assert driver.calls["ping"] == 1


def test_good_sql_is_the_check(drive: Drive) -> None:
    driver = ScriptedDriver(sockets=True)

    async def main() -> None:
        async with ConnectionPool(driver, cp_max=1, cp_good_sql="select good") as pool:
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
        async with ConnectionPool(driver, cp_max=1) as pool:
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
        async with ConnectionPool(driver, cp_max=1) as pool:
            with pytest.raises(driver.OperationalError, match="what may that be"):
                await pool.runQuery("a")
            assert await pool.runQuery("b") == [(1,)]

    drive(main)
    assert driver.calls["connect"] == 2
