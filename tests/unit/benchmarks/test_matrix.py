"""The scenarios that differ by connections and clients, and the tables that have them side by side."""

from __future__ import annotations

import pytest

from benchmarks import matrix
from benchmarks.figures import Round
from benchmarks.passes import Results
from benchmarks.scenarios import MATRIX, SCENARIOS
from benchmarks.scenarios.queries import QueryPostgres


def results(name: str, **seconds: float) -> Results:
    """Systems, each with what a thousand queries took it."""
    rounds = {
        system: [Round(1000, taken, cpu_seconds=taken / 2, p50=taken / 1000, p99=taken / 100)]
        for system, taken in seconds.items()
    }
    return Results(SCENARIOS[name], "a server", rounds)


def test_every_number_of_connections_meets_every_number_of_clients() -> None:
    sizes = [(scenario.connections, scenario.clients) for scenario in MATRIX]
    assert sizes == [(connections, clients) for connections in (1, 8, 32) for clients in (1, 64, 1000)]
    assert dict(zip(matrix.CELLS, sizes, strict=True))["query-postgres"] == (8, 64)


@pytest.mark.parametrize("scenario", MATRIX, ids=lambda scenario: scenario.name)
def test_no_system_needs_a_thousand_threads(scenario: QueryPostgres) -> None:
    names = {entry.name for entry in scenario.entries}
    assert {"asyncdb", "adbapi", "psycopg2-threads", "psycopg_pool", "asyncpg", "sqlalchemy-asyncio"} <= names
    assert ("psycopg_pool-threads" in names) == (scenario.clients < 1000)


def test_a_round_has_several_questions_for_each_client() -> None:
    assert SCENARIOS["query-postgres-32x1000"].least == 3000
    assert SCENARIOS["echo"].least == 1


def test_there_is_a_table_for_every_figure() -> None:
    cells = {
        "query-postgres-1x1": results("query-postgres-1x1", asyncdb=0.5, adbapi=1.0),
        "query-sqlite": results("query-sqlite", asyncdb=0.1),
        "query-postgres": results("query-postgres", asyncdb=0.25),
    }
    _, rates, cpu, p50, p99 = matrix.text(cells).split("\n\n")
    assert [line.split() for line in rates.splitlines()] == [
        ["queries/s", "asyncdb", "adbapi"],
        ["---------", "-------", "------"],
        ["1", "×", "1", "2,000", "1,000"],
        ["8", "×", "64", "4,000", "–"],
    ]
    assert cpu.splitlines()[2].split() == ["1", "×", "1", "250", "500"]
    assert p50.splitlines()[2].split() == ["1", "×", "1", "0.50", "1.00"]
    assert p99.splitlines()[2].split() == ["1", "×", "1", "5.00", "10.0"]


def test_a_single_cell_needs_no_table_of_cells() -> None:
    assert matrix.text({"query-postgres": results("query-postgres", asyncdb=1.0)}) == ""
    assert not matrix.text({name: Results(SCENARIOS[name], missing={"asyncdb": "no server"}) for name in matrix.CELLS})
