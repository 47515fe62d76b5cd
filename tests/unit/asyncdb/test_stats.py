"""Histograms."""

from __future__ import annotations

import pytest

from asyncdb._core._tally import BOUNDS, Times
from asyncdb.stats import Histogram


def histogram(*seconds: float) -> Histogram:
    times = Times()
    times.recent.extend(seconds)
    return Histogram(times.count())


@pytest.mark.parametrize(
    ("seconds", "index"),
    [(0.0, 0), (0.9e-6, 0), (1e-6, 1), (1.9e-6, 1), (2e-6, 2), (0.0009, 10), (0.001, 11), (0.999, 20), (1.0, 21)],
)
def test_a_time_is_counted_with_those_below_the_next_power_of_two(seconds: float, index: int) -> None:
    assert [number for number, count in enumerate(histogram(seconds).counts) if count] == [index]


def test_there_is_a_place_for_every_time_that_can_pass() -> None:
    counts = histogram(1e9, 1800.0, 2048.0).counts
    assert counts[-1] == 2
    assert sum(counts) == 3
    assert len(counts) == len(BOUNDS) + 1


def test_batches_add_up_and_are_not_kept() -> None:
    times = Times()
    for _ in range(3):
        times.recent.extend([0.5, 1e-9, 0.25])
        counts = times.count()
        assert times.recent == []
    assert counts == times.count()
    assert (counts[0], counts[19], counts[20]) == (3, 3, 3)


def test_an_empty_histogram() -> None:
    assert histogram().count == 0
    assert [histogram().percentile(percent) for percent in (0, 50, 100)] == [0.0] * 3


def test_a_percentile_is_never_below_what_it_speaks_of_and_at_most_twice_as_much() -> None:
    times = [1.5e-6 * 1.3**number for number in range(60)]
    made = histogram(*times)
    assert made.count == 60
    for percent in (0.1, 10, 50, 90, 99, 100):
        exact = next(time for number, time in enumerate(times, 1) if number >= 60 * percent / 100)
        assert exact <= made.percentile(percent) <= 2 * exact


def test_the_least_and_the_most() -> None:
    made = histogram(3e-6, 0.001, 0.001, 0.3)
    assert made.percentile(0) == made.percentile(25) == 2.0**-18
    assert made.percentile(26) == made.percentile(75) == 2.0**-9
    assert made.percentile(100) == 0.5


@pytest.mark.parametrize("percent", [-1, 100.1, float("nan")])
def test_no_other_percents(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        histogram(1.0).percentile(percent)


def test_a_histogram_shows_what_matters() -> None:
    assert repr(histogram(0.001, 0.001, 0.3)) == "<Histogram of 3: half within 0.00195312 s, 99 % within 0.5 s>"
