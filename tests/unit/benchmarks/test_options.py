"""The benchmarks' command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.options import Options, parse
from benchmarks.passes import Plan

SYSTEMS = {"query": ["ours", "theirs"], "echo": ["ours-echo", "theirs"], "deferred": []}


def parsed(*arguments: str) -> Options:
    return parse(arguments, SYSTEMS)


def test_everything_is_run_unless_something_is_chosen() -> None:
    assert parsed() == Options(("query", "echo", "deferred"), Plan(frozenset()), None)


def test_scenarios_can_be_chosen_and_run_once_each() -> None:
    assert parsed("--scenario", "echo", "--scenario", "query", "--scenario", "echo").scenarios == ("echo", "query")


def test_chosen_systems_choose_the_scenarios_they_take_part_in() -> None:
    options = parsed("--systems", "ours,theirs")
    assert options.plan.systems == {"ours", "theirs"}
    assert options.scenarios == ("query", "echo")
    assert parsed("--systems", "ours-echo").scenarios == ("echo",)


def test_systems_may_be_named_in_several_options() -> None:
    assert parsed("--systems", " ours, ", "--systems", "theirs").plan.systems == {"ours", "theirs"}


def test_a_scenario_without_systems_runs_as_a_whole() -> None:
    assert parsed("--scenario", "deferred", "--systems", "ours").scenarios == ("deferred",)


def test_the_plan() -> None:
    options = parsed("--rounds", "3", "--seconds", "0.5", "--seed", "7", "--json", "here.json")
    assert options.plan == Plan(frozenset(), rounds=3, seconds=0.5, seed=7)
    assert options.json == Path("here.json")


def test_a_name_for_several_scenarios() -> None:
    groups = {"both": ("query", "echo")}
    assert parse(["--scenario", "both", "--scenario", "query"], SYSTEMS, groups).scenarios == ("query", "echo")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--systems", "adbapy"], "no system is called 'adbapy': ours, ours-echo, theirs"),
        (["--scenario", "echo", "--systems", "ours"], "none of ours is a system of echo: ours-echo, theirs"),
        (["--scenario", "ping"], "invalid choice: 'ping'"),
        (["--rounds", "0"], "must be a whole number, 1 or more, not '0'"),
        (["--rounds", "many"], "must be a whole number, 1 or more, not 'many'"),
        (["--seconds", "0"], "must be a number, more than 0 and 60 at most, not '0'"),
        (["--seconds", "nan"], "more than 0"),
        (["--seconds", "soon"], "more than 0 and 60 at most, not 'soon'"),
        (["--seconds", "61"], "60 at most"),
        (["--round", "1"], "unrecognized arguments"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        parsed(*arguments)
    assert exit.value.code == 2
    assert complaint in capsys.readouterr().err


def test_help_names_the_systems(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    printed = capsys.readouterr().out
    assert "query: ours, theirs" in printed
    assert "deferred: as a whole" in printed
