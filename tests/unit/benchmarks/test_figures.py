"""From rounds to figures."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure, Round, Summary, percentile, ratios


def measured(operations: int, seconds: float, cpu_seconds: float = 0.1) -> Round:
    return Round(operations, seconds, cpu_seconds, p50=0.001, p99=0.002)


def test_a_round_knows_its_rate_and_the_processor_time_of_an_operation() -> None:
    assert measured(3000, 1.5).rate == 2000
    assert measured(3000, 1.5, cpu_seconds=0.6).cpu == pytest.approx(200)


def test_a_summary_has_median_quartiles_and_extremes() -> None:
    assert Summary.of([5, 1, 4, 2, 3]) == Summary(median=3, low=2, high=4, least=1, most=5)


def test_a_summary_of_one_value_is_that_value() -> None:
    assert Summary.of([7.5]) == Summary(7.5, 7.5, 7.5, 7.5, 7.5)


def test_there_is_no_summary_of_nothing() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        Summary.of([])


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 50, 1), (1, 99, 1), (2, 50, 1), (4, 50, 2), (100, 99, 99), (101, 99, 100), (1000, 99, 990), (10, 100, 10)],
)
def test_a_percentile_is_the_nearest_rank(count: int, percent: float, expected: int) -> None:
    assert percentile(range(1, count + 1), percent) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_ratios_are_taken_pass_by_pass() -> None:
    # The machine was ten times slower in the second pass, for both: the ratio of the medians would be 10 or 0.2.
    ours = [measured(200, 1), measured(20, 1), measured(200, 1)]
    theirs = [measured(100, 1), measured(10, 1), measured(10, 1)]
    assert ratios(ours, theirs, Figure.RATE).median == 2


def test_ratios_of_processor_time() -> None:
    ours, theirs = [measured(100, 1, cpu_seconds=0.2)], [measured(200, 1, cpu_seconds=0.8)]
    assert ratios(ours, theirs, Figure.CPU).median == pytest.approx(0.5)


def test_ratios_of_latencies() -> None:
    ours, theirs = [Round(1, 1, 1, p50=0.001, p99=0.002)], [Round(1, 1, 1, p50=0.002, p99=0.008)]
    assert ratios(ours, theirs, Figure.P50).median == pytest.approx(0.5)
    assert ratios(ours, theirs, Figure.P99).median == pytest.approx(0.25)
    assert [figure.label for figure in Figure if figure.higher_is_better] == ["ops/s"]


def test_ratios_need_the_same_passes() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratios([measured(1, 1), measured(1, 1)], [measured(1, 1)], Figure.RATE)
