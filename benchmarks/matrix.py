"""Scenarios that differ by connections and clients only, side by side: a table of each figure."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from benchmarks.figures import Figure
from benchmarks.passes import Results
from benchmarks.scenarios import MATRIX
from benchmarks.tables import number, table

NAME = "query-matrix"
CELLS = tuple(scenario.name for scenario in MATRIX)
SYSTEMS = tuple(dict.fromkeys(entry.name for scenario in MATRIX[:2] for entry in scenario.entries))

# How each figure is called, and what it is multiplied by.
FIGURES: dict[Figure, tuple[str, float]] = {
    Figure.RATE: ("queries/s", 1),
    Figure.CPU: ("CPU µs/query", 1),
    Figure.P50: ("p50 ms", 1000),
    Figure.P99: ("p99 ms", 1000),
}


def text(results: Mapping[str, Results]) -> str:
    """The cells among *results*; an empty string if there are not two."""
    measured = [scenario for scenario in MATRIX if scenario.name in results and results[scenario.name].rounds]
    if len(measured) < 2:
        return ""
    names = [name for name in SYSTEMS if any(name in results[scenario.name].rounds for scenario in measured)]
    parts = ["PostgreSQL, connections × clients: medians"]
    for figure, (title, factor) in FIGURES.items():
        rows = []
        for scenario in measured:
            cells = [_cell(results[scenario.name], name, figure, factor) for name in names]
            rows.append([f"{scenario.connections} × {scenario.clients:,}", *cells])
        parts.append(table([title, *names], rows))
    return "\n\n".join(parts)


def _cell(results: Results, name: str, figure: Figure, factor: float) -> str:
    rounds = results.rounds.get(name)
    return number(median(map(figure.of, rounds)) * factor) if rounds else "–"
