"""From rounds to figures: pure arithmetic.

A round is one measurement of one system. A pass is one round of every system, so figures of the same pass were taken
within seconds of each other: ratios are taken pass by pass and only then summarised, which leaves out what slows a
whole machine down for a minute.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Round:
    """What one system did in one round."""

    operations: int
    seconds: float
    cpu_seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    @property
    def cpu(self) -> float:
        """Microseconds of processor time, user and system, of the system's process, per operation."""
        return self.cpu_seconds / self.operations * 1e6


@dataclass(frozen=True)
class Summary:
    """Several values of one figure."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """The median, the quartiles (low and high) and the extremes. Raises: ValueError: there are no values."""
        if not values:
            raise ValueError("no rounds, no figures")
        if len(values) == 1:
            low = high = values[0]
        else:
            low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), low, high, min(values), max(values))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order: the least that *percent* of them do not exceed."""
    if not ordered:
        raise ValueError("no values, no percentile")
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


class Figure(Enum):
    """What systems can be compared by."""

    RATE = "rate"
    CPU = "cpu"
    P50 = "p50"
    P99 = "p99"

    @property
    def title(self) -> str:
        """For headings."""
        return {
            Figure.RATE: "operations per second",
            Figure.CPU: "processor time per operation",
            Figure.P50: "median latency",
            Figure.P99: "99th percentile of latencies",
        }[self]

    @property
    def label(self) -> str:
        """For cells."""
        return {Figure.RATE: "ops/s", Figure.CPU: "CPU", Figure.P50: "p50", Figure.P99: "p99"}[self]

    @property
    def higher_is_better(self) -> bool:
        """Whether a ratio above 1 is in favour of the first."""
        return self is Figure.RATE

    def of(self, measured: Round) -> float:
        """Its value in one round."""
        value: float = getattr(measured, self.value)
        return value


def ratios(ours: Sequence[Round], theirs: Sequence[Round], figure: Figure) -> Summary:
    """*figure* of ours divided by theirs, pass by pass. Raises: ValueError: not the same passes."""
    return Summary.of([figure.of(our) / figure.of(their) for our, their in zip(ours, theirs, strict=True)])
