"""The moment between giving a running call up and telling its caller: what its thread does then is nobody's answer."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from asyncdb import ConnectionPool, DeadlineExceeded
from asyncdb._core import Orders
from asyncdb._worker import Crew
from asyncdb.adbapi import Transaction
from tests.integration.asyncdb.running import Drive
from tests.support.waiting import wait_until


@pytest.mark.parametrize("lends", [False, True], ids=["commits", "lends"])
def test_a_thread_that_comes_back_before_its_caller_was_told_tells_nothing(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lends: bool
) -> None:
    going_on = threading.Event()

    def function(transaction: Transaction) -> None:
        going_on.wait(60)

    async def main() -> None:
        async with ConnectionPool("sqlite3", str(tmp_path / "db"), cp_max=1) as pool:
            await pool.runQuery("SELECT 1")
            crew: Any = pool._crew
            carry_out, lend = crew._carry_out, pool._driver.lend

            def after_the_thread(crew: Crew, orders: Orders[Any, Any]) -> None:
                if orders.fail:
                    going_on.set()
                    wait_until(
                        lambda: not crew.core.in_use and not crew._threads._at_work(), "the thread has come back"
                    )
                carry_out(orders)

            def slow_lend(*args: Any) -> None:
                going_on.wait(60)
                lend(*args)

            monkeypatch.setattr(Crew, "_carry_out", after_the_thread)
            monkeypatch.setattr(pool._driver, "lend", slow_lend)
            hasty = pool.using(timeout=0.05)
            call: Any = hasty.connect() if lends else hasty.runInteraction(function)
            with pytest.raises(DeadlineExceeded):
                await call
            monkeypatch.undo()
            assert await pool.runQuery("SELECT 1") == [(1,)]

    drive(main)
