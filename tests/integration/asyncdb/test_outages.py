"""The database fails in one way or another while clients read and write. `tests.load.outages` is the same at length."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from asyncdb import ConnectionPool
from asyncdb.testing.postgres import Database
from tests.integration.asyncdb.running import Drive, runReactor
from tests.support.outages import READ_ONLY, Course, Scene, through

CONNECTIONS = 4


def course_of(outage: str, database: Database) -> Course:
    async def main() -> Course:
        async with Scene(database, connections=CONNECTIONS).played() as scene:
            return await through(scene, outage)

    course = runReactor(main)
    assert not course.wrong, (course.tally.wrong, course.findings)
    return course


@pytest.mark.parametrize("outage", ["restart", "crash"])
def test_of_a_server_that_goes_and_comes_back_only_what_ran_is_felt(breakable: Database, outage: str) -> None:
    """Whatever waits, waits for the server; nothing is sent on a connection that is known to be lost."""
    course = course_of(outage, breakable)
    assert course.tally.failed.total() <= CONNECTIONS, course.tally
    assert course.connect_failures


@pytest.mark.parametrize("outage", ["read-only", "standby"])
def test_a_server_that_takes_no_writes_serves_reads_and_is_written_to_when_it_does(
    breakable: Database, outage: str
) -> None:
    course = course_of(outage, breakable)
    others = {name: count for name, count in course.tally.failed.items() if name != READ_ONLY}
    assert sum(others.values()) <= (CONNECTIONS if outage == "standby" else 0), others  # it restarts for that
    assert course.evictions["readonly"]


def test_a_changed_password_costs_nothing_once_the_pool_is_told(breakable: Database) -> None:
    course = course_of("password", breakable)
    assert course.tally.failed.total() <= 1, course.tally  # the one whose backend was ended
    assert course.connect_failures  # with the old password, until the new one was known
    assert course.right_meanwhile >= 20
    assert course.evictions["evicted"] == CONNECTIONS - 1


def test_with_no_connection_to_be_had_those_there_are_serve_on(breakable: Database) -> None:
    course = course_of("role limit", breakable)
    assert course.tally.failed.total() <= 2, course.tally  # those whose backends were ended
    assert course.connect_failures
    assert course.right_meanwhile >= 20


def test_a_server_that_takes_no_writes_for_long_does_not_cost_a_connection_for_each(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncdb._core._decide.FAIL_OVER_PAUSE", 3600.0)

    async def main() -> None:
        async with ConnectionPool("sqlite3", str(tmp_path / "db"), cp_max=1) as pool:
            monkeypatch.setattr(pool._driver, "eviction", lambda error, connection: "readonly")
            for _ in range(3):
                with pytest.raises(sqlite3.OperationalError):
                    await pool.runQuery("SELECT nothing")
            stats = pool.stats()
            assert (stats.connected, stats.evictions, stats.failed) == (2, {"readonly": 1}, 3)

    drive(main)
