"""What is wanted of the figures."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure
from benchmarks.scenarios import SCENARIOS
from benchmarks.systems.deferreds.memory import KINDS
from benchmarks.systems.deferreds.operations import OPERATIONS
from benchmarks.targets import DEFERRED_FLOORS, DEFERRED_SIZES, TARGETS, Target, Verdict


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (3.1, Verdict.AIM),
        (3.0, Verdict.AIM),
        (2.9, Verdict.FLOOR),
        (2.0, Verdict.FLOOR),
        (1.9, Verdict.MISSED),
        (None, Verdict.UNKNOWN),
    ],
)
def test_a_rate_should_be_high(ratio: float | None, verdict: Verdict) -> None:
    assert Target("s", Figure.RATE, "ours", "theirs", floor=2, aim=3).judge(ratio) is verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(0.4, Verdict.AIM), (0.5, Verdict.FLOOR), (0.51, Verdict.MISSED)])
def test_processor_time_should_be_low(ratio: float, verdict: Verdict) -> None:
    assert Target("s", Figure.CPU, "ours", "theirs", floor=0.5, aim=0.4).judge(ratio) is verdict


@pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: f"{target.scenario}-{target.figure.value}-{target.ours}-{target.theirs}"
)
def test_every_target_is_about_systems_that_there_are(target: Target) -> None:
    assert {target.ours, target.theirs} <= {entry.name for entry in SCENARIOS[target.scenario].entries}
    assert target.judge(target.aim) is Verdict.AIM
    at_the_floor = Verdict.AIM if target.floor == target.aim else Verdict.FLOOR
    assert target.judge(target.floor) is at_the_floor, "the aim is harder to reach than the floor, or there is none"


def test_every_operation_on_deferreds_has_a_floor_inside_a_running_loop() -> None:
    assert {name for name, operation in OPERATIONS.items() if operation.in_loop} == DEFERRED_FLOORS.keys()
    assert KINDS.keys() == DEFERRED_SIZES.keys()
