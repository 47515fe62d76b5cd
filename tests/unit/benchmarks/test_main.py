"""A run of the benchmarks, with nothing measured: where its figures go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.process import WorkerFailed

ARGUMENTS = ["--scenario", "echo", "--rounds", "1"]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The scenarios that were measured."""
    names: list[Any] = []

    def run(scenario: Any, plan: Any, say: Any) -> Any:
        names.append(scenario.name)
        return benchmarks.passes.Results(scenario)

    monkeypatch.setattr(benchmarks.passes, "run", run)
    return names


def test_the_figures_are_in_the_file(measured: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "figures.json"
    assert benchmarks.main([*ARGUMENTS, "--json", str(path)]) == 0
    assert measured == ["echo"]
    assert json.loads(path.read_text())["plan"]["rounds"] == 1
    assert capsys.readouterr().out.endswith(f"all figures: {path}\n")


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(
    measured: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmarks.main([*ARGUMENTS, "--json", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{tmp_path} cannot be written: Is a directory\n"
    assert measured == []


@pytest.mark.parametrize(("error", "status"), [(WorkerFailed("it broke"), 1), (KeyboardInterrupt(), 130)])
def test_a_run_that_is_void_leaves_the_file_as_it_was(
    error: BaseException, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(benchmarks.passes, "run", run)
    path = tmp_path / "figures.json"
    assert benchmarks.main([*ARGUMENTS, "--json", str(path)]) == status
    assert not path.exists()
    path.write_text("those of before")
    assert benchmarks.main([*ARGUMENTS, "--json", str(path)]) == status
    assert path.read_text() == "those of before"
