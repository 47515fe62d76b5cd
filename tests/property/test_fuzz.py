"""The fuzz targets, a few rounds of each: ``python -m tests.fuzz`` runs as many as there is time for."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.frame import FuzzFailure, calls, cuts, run_round, targets

ROUNDS = 60
TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_withstands_what_it_is_fed(name: str) -> None:
    for seed in range(ROUNDS):
        run_round(name, TARGETS[name], seed)


def test_targets_are_found() -> None:
    assert {"ints", "line_only", "lines", "netstrings", "streams"} <= TARGETS.keys()


def test_every_cut_has_all_the_data() -> None:
    data = bytes(range(200))
    ways = list(cuts(Random(1), data))
    assert all(b"".join(pieces) == data for pieces in ways)
    assert ways[0] == [data]
    assert len(ways[1]) == 200
    assert list(cuts(Random(1), data)) == ways, "the seed says how"


def test_work_is_counted() -> None:
    assert calls(lambda: [len("x") for _ in range(100)]) >= 100
    assert calls(lambda: None) <= 2


def test_a_failure_says_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails_at_7(random: Random) -> None:
        assert random.getstate() != Random(7).getstate()

    with pytest.raises(FuzzFailure, match="--rounds 1 --seed 7 broken") as caught:
        run_round("broken", fails_at_7, 7)
    assert isinstance(caught.value.__cause__, AssertionError)
    monkeypatch.setattr("tests.fuzz.__main__.targets", lambda: {"broken": fails_at_7})
    assert main(["--rounds", "7", "--seed", "0"]) == 0
    assert "broken: 7 rounds from the seed 0 on" in capsys.readouterr().out
    assert main(["--rounds", "8", "--seed", "0", "broken"]) == 1
    assert "--rounds 1 --seed 7 broken" in capsys.readouterr().err
    assert main(["--seconds", "0", "broken"]) == 0


def test_an_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "no target is called nonsense: there are " in capsys.readouterr().err
