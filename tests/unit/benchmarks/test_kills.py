"""What is said of killed connections."""

from __future__ import annotations

import json

import pytest

from benchmarks.kills import CASES, KillsResults, data, text
from benchmarks.targets import Verdict

NONE: dict[str, list[str]] = {str(case): [] for case in CASES}


def test_the_table_is_markdown_with_the_number_of_failures() -> None:
    results = KillsResults("a server", {"asyncdb": NONE, "other": {**NONE, "at rest, in turn": ["lost", "lost"]}})
    lines = text(results).splitlines()
    assert lines[3] == "|         | at rest, in turn | at rest, at once | in use, in turn | in use, at once |"
    assert lines[4] == "| ------- | ---------------: | ---------------: | --------------: | --------------: |"
    assert lines[6] == "| other   |                2 |                0 |               0 |               0 |"


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ({"asyncdb": NONE}, Verdict.AIM),
        ({"asyncdb": {**NONE, "in use, at once": ["lost"]}}, Verdict.MISSED),
        ({"other": NONE}, Verdict.UNKNOWN),
    ],
)
def test_of_ours_none_may_fail(errors: dict[str, dict[str, list[str]]], verdict: Verdict) -> None:
    results = KillsResults("a server", errors)
    assert results.judge() is verdict
    assert text(results).endswith(verdict.value)
    assert json.loads(json.dumps(data(results)))["verdict"] == verdict.value


def test_a_system_that_cannot_run_is_reported() -> None:
    assert text(KillsResults(missing={"asyncpg": "No module"})).endswith(
        "asyncpg cannot run on this machine: No module"
    )
