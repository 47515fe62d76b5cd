"""How many operations make a round."""

from __future__ import annotations

import pytest

from benchmarks.calibration import FIRST, calibrate


class Machine:
    """Something to measure that takes no time: *speed* operations in a second, after *cold* seconds the first time."""

    def __init__(self, speed: float, cold: float = 0.0) -> None:
        self.speed, self.cold = speed, cold
        self.asked: list[int] = []

    def __call__(self, operations: int) -> float:
        taken = operations / self.speed + (0.0 if self.asked else self.cold)
        self.asked.append(operations)
        return taken


@pytest.mark.parametrize("speed", [300, 5000, 1e6])
def test_a_round_takes_as_long_as_it_should(speed: float) -> None:
    assert calibrate(Machine(speed), 1.5) == pytest.approx(1.5 * speed, rel=0.01)


def test_a_slow_system_is_tried_once() -> None:
    machine = Machine(100)
    assert calibrate(machine, 1.0) == 100
    assert machine.asked == [FIRST]


def test_a_cold_start_is_not_what_counts() -> None:
    assert calibrate(Machine(20_000, cold=0.3), 1.0) == pytest.approx(20_000, rel=0.01)


def test_it_ends_though_the_clock_says_that_nothing_took_time() -> None:
    taken = iter([0.0, 0.0, 1.0])

    def measure(operations: int) -> float:
        return next(taken)

    assert calibrate(measure, 1.0) == FIRST * 16 * 16


def test_a_round_has_an_operation_however_slow_it_is() -> None:
    assert calibrate(Machine(0.1), 1.0) == 1
