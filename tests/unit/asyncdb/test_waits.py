"""When those who wait lose their patience."""

from __future__ import annotations

import math
import random

import pytest

from asyncdb._core import Job, JobState
from asyncdb._core._waits import SPARE, Waits


def job(patience: float, sequence: int = 0) -> Job:
    made = Job()
    made.patience, made.sequence = patience, sequence
    return made


def run_out(waits: Waits[Job], now: float) -> list[float]:
    """The patience of those that have run out."""
    out = []
    for overdue in waits.overdue(now):
        out.append(overdue.patience)
        overdue.state = JobState.DONE
    return out


def add(waits: Waits[Job], each: Job, usual: bool, alive: int = 10) -> None:
    if usual:
        waits.usual.append(each)
    else:
        waits.add(each, alive)


def kept(waits: Waits[Job]) -> int:
    return len(waits.usual) + len(waits._others)


def test_one_that_comes_back_stands_in_one_place_only() -> None:
    waits: Waits[Job] = Waits()
    first, second, third = (job(patience) for patience in (1.0, 2.0, 3.0))
    for each in (first, second, third):
        add(waits, each, usual=True)
    waits.forget(second)
    waits.forget(second)  # it is no mistake
    second.patience = math.inf
    waits.add(second, 3)
    assert run_out(waits, 9.0) == [1.0, 3.0]


def test_nobody_waits_for_ever_if_nobody_waits() -> None:
    waits: Waits[Job] = Waits()
    assert waits.earliest() == math.inf
    assert run_out(waits, 1e9) == []


def test_the_earliest_is_found_wherever_it_is() -> None:
    waits: Waits[Job] = Waits()
    waits.usual.append(job(5.0))
    assert waits.earliest() == 5.0
    waits.add(job(7.0), 2)
    assert waits.earliest() == 5.0
    waits.add(job(3.0), 3)
    assert waits.earliest() == 3.0
    assert run_out(waits, 2.9) == []
    assert sorted(run_out(waits, 5.0)) == [3.0, 5.0]
    assert waits.earliest() == 7.0


def test_those_that_wait_no_longer_are_passed_over() -> None:
    waits: Waits[Job] = Waits()
    jobs = [job(float(number), number) for number in range(6)]
    for each in jobs:
        add(waits, each, bool(each.sequence % 2))
    for number in (0, 1, 3, 4):
        jobs[number].state = JobState.RUNNING
    assert waits.earliest() == 2.0
    assert sorted(run_out(waits, 9.0)) == [2.0, 5.0]
    assert kept(waits) == 0


def test_one_with_all_the_patience_in_the_world_is_never_overdue() -> None:
    waits: Waits[Job] = Waits()
    waits.add(job(math.inf), 1)
    assert kept(waits) == 0
    waits.usual.append(job(math.inf))
    assert run_out(waits, 1e300) == []
    assert waits.earliest() == math.inf


def test_one_that_is_in_both_runs_out_once() -> None:
    waits: Waits[Job] = Waits()
    again = job(5.0)
    waits.usual.extend([job(4.0), again])
    for _ in range(3):
        waits.add(again, 2)  # put back into the queue, more than once
    assert sorted(run_out(waits, 5.0)) == [4.0, 5.0]
    assert waits.earliest() == math.inf


def test_two_that_run_out_together_both_do() -> None:
    waits: Waits[Job] = Waits()
    for number in range(4):
        waits.add(job(5.0, number), 4)
    assert run_out(waits, 5.0) == [5.0] * 4


@pytest.mark.parametrize("usual", [True, False])
def test_those_that_were_served_do_not_pile_up_behind_one_that_waits(usual: bool) -> None:
    waits: Waits[Job] = Waits()
    add(waits, job(0.0), usual)
    for number in range(1, 1000):
        served = job(float(number), number)
        add(waits, served, usual)
        served.state = JobState.RUNNING
        waits.tidy(1)
        assert kept(waits) <= 2 + SPARE
    assert waits.earliest() == 0.0


def test_those_that_wait_no_longer_are_not_left_at_the_head() -> None:
    waits: Waits[Job] = Waits()
    jobs = [job(float(number), number) for number in range(4)]
    waits.usual.extend(jobs)
    for number in (1, 0):
        jobs[number].state = JobState.RUNNING
        waits.tidy(3 - number)
    assert [*waits.usual] == jobs[2:]


@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize("order", ["as they came", "the last first", "any"])
def test_those_that_were_dropped_do_not_pile_up(usual: bool, order: str) -> None:
    waits: Waits[Job] = Waits()
    jobs = [job(float(number), number) for number in range(1000)]
    for alive, each in enumerate(jobs, 1):
        add(waits, each, usual, alive)
    if order == "the last first":
        jobs.reverse()
    elif order == "any":
        random.Random(1).shuffle(jobs)
    for alive, each in zip(range(999, -1, -1), jobs, strict=True):
        each.state = JobState.DONE
        waits.tidy(alive)
        assert kept(waits) <= 2 * alive + SPARE
    assert kept(waits) == 0
