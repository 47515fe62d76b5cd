"""Results as text and as data."""

from __future__ import annotations

import json

import pytest

from benchmarks.deferred import DeferredResults
from benchmarks.figures import Round
from benchmarks.passes import Results
from benchmarks.report import deferred_data, deferred_text, scenario_data, scenario_text, targets_data, targets_text
from benchmarks.scenarios import SCENARIOS
from benchmarks.tables import between, number, table


def rounds(*rates: int) -> list[Round]:
    return [Round(rate, 1.0, 0.5, p50=0.002, p99=0.01) for rate in rates]


@pytest.fixture
def results() -> Results:
    return Results(
        SCENARIOS["query-postgres"],
        "PostgreSQL 18, from somewhere",
        {"asyncdb": rounds(6000, 6200, 5800), "adbapi": rounds(2000, 2000, 2000)},
        {"asyncpg": "No module named 'asyncpg'"},
    )


def lines_with(text: str, word: str) -> list[str]:
    return [line for line in text.splitlines() if word in line]


def test_a_scenario_s_table(results: Results) -> None:
    text = scenario_text(results)
    assert "PostgreSQL 18, from somewhere" in text
    (theirs,) = lines_with(text, "adbapi ")
    assert theirs.split() == ["adbapi", "2,000", "2,000–2,000", "250", "250–250", "2.00", "10.0", "3.00", "2.95–3.05"]
    (heading,) = lines_with(text, "p99 ms")
    assert "asyncdb ÷ it" in heading


def test_the_baseline_is_not_compared_with_itself(results: Results) -> None:
    (ours,) = lines_with(scenario_text(results), "asyncdb ")[1:]
    assert ours.split()[-2:] == ["2.00", "10.0"]


def test_a_system_that_cannot_run_is_reported(results: Results) -> None:
    assert "asyncpg cannot run on this machine: No module named 'asyncpg'" in scenario_text(results)
    assert scenario_data(results)["missing"] == {"asyncpg": "No module named 'asyncpg'"}


def test_a_scenario_that_cannot_run_is_reported() -> None:
    results = Results(SCENARIOS["echo"], missing={"netcore": "no epoll"})
    assert "netcore cannot run on this machine: no epoll" in scenario_text(results)
    assert scenario_data(results)["systems"] == {}


def test_targets_are_judged_by_the_median_of_the_ratios(results: Results) -> None:
    targets = targets_data({"query-postgres": results})
    verdicts = {target["theirs"]: target["verdict"] for target in targets if target["figure"] == "rate"}
    assert verdicts.pop("adbapi") == "floor held"
    assert {"psycopg2-threads", "psycopg_pool", "asyncpg", "sqlalchemy-asyncio"} <= verdicts.keys()
    assert set(verdicts.values()) == {"not measured"}
    rate, p99 = lines_with(targets_text(targets), "asyncdb ÷ adbapi ")
    assert rate.split()[-8:] == ["3.00", "2.95–3.05", "≥", "2.7", "≥", "3.2", "floor", "held"]
    assert p99.split()[1:2] == ["p99,"]
    assert p99.split()[-8:] == ["1.00", "1.00–1.00", "≤", "1", "≤", "1", "aim", "reached"]


def test_the_data_is_json_with_every_round(results: Results) -> None:
    data = json.loads(json.dumps([scenario_data(results), targets_data({"query-postgres": results})]))
    assert [measured["operations"] for measured in data[0]["systems"]["asyncdb"]["rounds"]] == [6000, 6200, 5800]
    assert data[0]["systems"]["adbapi"]["baseline_divided_by_it"]["median"] == 3


def test_deferreds_are_compared_operation_by_operation() -> None:
    operation = "succeed + callback"
    times = {"netcore": [100.0, 100.0, 200.0], "twisted": [250.0, 240.0, 500.0], "asyncio": [150.0, 150.0, 320.0]}
    sizes = {"netcore": 104.0, "twisted": 184.0, "asyncio": 145.4}
    results = DeferredResults({operation: times}, {"a pending Deferred": sizes})
    text = deferred_text(results)
    (line,) = lines_with(text, operation)
    assert line.startswith(operation)
    cells = line.removeprefix(operation).split()
    assert cells == ["100", "250", "150", "1.50", "1.50–1.55", "2.50", "2.45–2.50", "2.20", "floor", "held"]
    (line,) = lines_with(text, "a pending")
    assert line.split()[-6:] == ["104", "184", "145", "112", "floor", "held"]


def test_deferreds_data_has_every_ratio_and_verdict() -> None:
    times = {"netcore": [100.0], "twisted": [200.0], "asyncio": [150.0]}
    results = DeferredResults({"succeed + callback": times}, {"a pending Deferred": {"netcore": 104.0}})
    data = json.loads(json.dumps(deferred_data(results)))
    speeds = data["times_as_fast"]["succeed + callback"]
    assert (speeds["twisted"]["median"], speeds["asyncio"]["median"]) == (2, 1.5)
    assert data["verdicts"] == {"succeed + callback": "MISSED", "a pending Deferred": "floor held"}


def test_a_dash_stands_where_asyncio_has_nothing_comparable() -> None:
    operation = "each yield of a pending Deferred"
    results = DeferredResults({operation: {"netcore": [100.0], "twisted": [300.0]}})
    (line,) = lines_with(deferred_text(results), operation)
    cells = line.removeprefix(operation).split()
    assert cells == ["100", "300", "–", "–", "3.00", "3.00–3.00", "2.50", "floor", "held"]
    assert deferred_data(results)["times_as_fast"][operation]["asyncio"] is None


def test_an_operation_of_which_nothing_is_wanted_gets_no_verdict() -> None:
    operation = "ensureDeferred call, no loop running"
    results = DeferredResults({operation: {"netcore": [100.0], "twisted": [150.0]}})
    (line,) = lines_with(deferred_text(results), operation)
    assert line.endswith("1.50–1.50")
    assert deferred_data(results)["verdicts"] == {}


def test_deferreds_without_twisted() -> None:
    results = DeferredResults(
        {"succeed + callback": {"netcore": [100.0], "asyncio": [150.0]}},
        {"a pending Deferred": {"netcore": 200.0, "asyncio": 145.0}},
        {"twisted": "No module named 'twisted'"},
    )
    text = deferred_text(results)
    assert lines_with(text, "succeed")[0].endswith("not measured")
    assert lines_with(text, "a pending")[0].endswith("MISSED")
    assert "twisted cannot run on this machine" in text


def test_columns_are_as_wide_as_they_need_to_be() -> None:
    assert table(["name", "n"], [["a", "1"], ["longer", "1,000"]]).splitlines() == [
        "name        n",
        "------  -----",
        "a           1",
        "longer  1,000",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (999.6, "1000"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.00456, "0.0046")],
)
def test_numbers_have_no_more_digits_than_were_measured(value: float, text: str) -> None:
    assert number(value) == text


def test_a_range() -> None:
    assert between(1.5, 22.25) == "1.50–22.2"
