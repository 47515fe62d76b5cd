"""The benchmarks themselves: each system of ours, and those that need nothing but what the tests need, does its work.

Those of other peers are run by `make bench`, which has them installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asyncdb.testing.postgres import Postgres
from benchmarks import database, deferred, idle, kills, passes, queued, report
from benchmarks.passes import Plan, Results
from benchmarks.process import WorkerFailed
from benchmarks.scenarios import SCENARIOS, Unavailable
from benchmarks.systems.deferreds.operations import OPERATIONS
from tests.support.process import Spawn

RUNNABLE = {
    "query-postgres": {"asyncdb", "asyncdb-uvloop", "asyncdb-in-asyncio", "psycopg2-threads"},
    "query-postgres-1x1": {"asyncdb", "psycopg2-threads"},
    "query-sqlite": {"asyncdb", "asyncdb-in-asyncio", "sqlite3-threads"},
    "update-sqlite": {"asyncdb", "asyncdb-in-asyncio", "sqlite3-threads"},
    "echo": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop", "bare-epoll"},
    "echo-100k": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop"},
    "bulk": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop"},
    "tls-echo": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop"},
    "tls-bulk": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop"},
    "tls-handshakes": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop"},
    "timers": {"netcore", "netcore-uvloop", "asyncio"},
    "thread-calls": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop"},
    "processes": {"netcore", "netcore-uvloop", "asyncio", "asyncio-uvloop"},
}


class SessionServer:
    """The PostgreSQL of the tests, in place of one that the scenario would start."""

    ours = False  # to start again

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def __getattr__(self, name: str) -> Any:
        return getattr(self._postgres, name)

    def close(self) -> None:
        pass


def run(name: str, systems: set[str]) -> Results:
    said: list[str] = []
    results = passes.run(SCENARIOS[name], Plan(systems, rounds=2, seconds=0.02), said.append)
    assert any("pass 2 of 2" in text for text in said)
    return results


def assert_measured(results: Results) -> None:
    name = results.scenario.name
    assert not results.missing
    assert results.rounds.keys() == RUNNABLE[name]
    for rounds in results.rounds.values():
        assert len(rounds) == 2
        assert all(measured.rate > 0 and 0 < measured.p50 <= measured.p99 for measured in rounds)
        assert all(measured.cpu_seconds > 0 for measured in rounds)


@pytest.mark.parametrize("name", ["query-postgres", "query-postgres-1x1"])
def test_queries_from_postgres(name: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "openServer", lambda: SessionServer(postgres))
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'netcore_bench_%%'"
    before = postgres.execute(schemas)
    assert_measured(run(name, RUNNABLE[name]))
    assert postgres.execute(schemas) == before, "the schema is dropped"


def test_without_a_postgres_its_scenario_is_reported_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise database.Unavailable("install one")

    monkeypatch.setattr(database, "openServer", refuse)
    results = passes.run(SCENARIOS["query-postgres"], Plan({"asyncdb", "adbapi"}), lambda text: None)
    assert results.missing == {"asyncdb": "install one", "adbapi": "install one"}
    with pytest.raises(Unavailable, match="install one"), SCENARIOS["query-postgres"].open():
        pass


@pytest.mark.parametrize("name", ["query-sqlite", "update-sqlite"])
def test_queries_from_sqlite(name: str) -> None:
    assert_measured(run(name, RUNNABLE[name]))


def test_an_update_that_is_not_in_the_file_voids_the_run() -> None:
    class Forgetful:
        name = "a pool"

        def ask(self, do: str, operations: int) -> dict[str, float]:
            return {"operations": operations, "seconds": 1.0, "cpu_seconds": 1.0, "p50": 1.0, "p99": 1.0}

    worker: Any = Forgetful()
    with (
        SCENARIOS["update-sqlite"].open() as bench,
        pytest.raises(WorkerFailed, match="of 5 updates, 0 are in the file"),
    ):
        bench.round(worker, 5)


def test_killed_connections(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "openServer", lambda: SessionServer(postgres))
    results = kills.run(Plan({"asyncdb"}), lambda text: None)
    assert results.errors == {"asyncdb": {str(case): [] for case in kills.CASES}}


def test_killed_connections_without_a_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise database.Unavailable("install one")

    monkeypatch.setattr(database, "openServer", refuse)
    assert kills.run(Plan({"asyncdb"}), lambda text: None).missing == {"asyncdb": "install one"}


def test_queued_calls() -> None:
    results = queued.run(Plan({"asyncdb"}), lambda text: None, calls=200, excess=20)
    ours = results.systems["asyncdb"]
    assert ours.refused == 20
    assert ours.queueing > 0
    assert ours.allocated > 100, "of what is queued, the least there can be"


STREAMS = ["echo", "echo-100k", "bulk", "tls-echo", "tls-bulk", "tls-handshakes"]


@pytest.mark.parametrize("name", [*STREAMS, "timers", "thread-calls", "processes"])
def test_what_a_reactor_does(name: str) -> None:
    assert_measured(run(name, RUNNABLE[name]))


def test_idle_connections() -> None:
    plan = Plan({"netcore", "netcore-uvloop", "asyncio"})
    results = idle.run(plan, lambda text: None, connections=50)
    assert results.bytes_each.keys() == results.cpu_each.keys() == plan.systems
    assert not results.missing
    results.bytes_each["asyncio"] = 0.0  # as few connections may need no page more
    assert "50 connections, none of them lost" in report.idle_text(results)
    assert report.idle_data(results)["verdict"] == "not measured", "beside Twisted, which the tests do not have"


def test_deferreds() -> None:
    results = deferred.run(Plan(rounds=2, seconds=0.01), lambda text: None)
    assert results.times.keys() == OPERATIONS.keys()
    for operation, times in results.times.items():
        assert "netcore" in times
        assert ("asyncio" in times) == (OPERATIONS[operation].futures is not None)
        assert all(len(nanoseconds) == 2 and min(nanoseconds) > 0 for nanoseconds in times.values())
    assert all(sizes["netcore"] > 0 and sizes["asyncio"] > 0 for sizes in results.sizes.values())


def test_the_command_prints_a_table_and_writes_all_figures(spawn: Spawn, tmp_path: Path) -> None:
    path = tmp_path / "figures" / "all.json"
    arguments = ["--systems", "asyncdb,sqlite3-threads", "--scenario", "query-sqlite", "--seconds", "0.02"]
    program = spawn.module("benchmarks", *arguments, "--rounds", "2", "--json", str(path))
    program.wait_for("asyncdb .* ops/s|ops/s .*asyncdb ÷ it")
    program.wait_for("^sqlite3-threads ")
    program.wait_for(r"query-sqlite .*asyncdb ÷ adbapi.*not measured")
    program.wait_for(f"all figures: {path}")
    assert program.wait() == 0
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["plan"]["systems"] == ["asyncdb", "sqlite3-threads"]
    assert data["machine"]["Python"]
    assert len(data["scenarios"]["query-sqlite"]["systems"]["asyncdb"]["rounds"]) == 2
