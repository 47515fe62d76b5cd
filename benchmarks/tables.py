"""Plain text tables."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Columns as wide as they need to be, right-aligned but for those numbered in *left*."""
    widths = [max(len(line[column]) for line in (headings, *rows)) for column in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return GAP.join(aligned).rstrip()

    return "\n".join([line(headings), line(["-" * width for width in widths]), *map(line, rows)])


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same in Markdown, all but the first column right-aligned."""
    widths = [max(2, *(len(line[column]) for line in (headings, *rows))) for column in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        (first, *others), (width, *widths_of_others) = cells, widths
        aligned = [
            first.ljust(width),
            *(cell.rjust(width) for cell, width in zip(others, widths_of_others, strict=True)),
        ]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(headings), line(rule), *map(line, rows)])


def number(value: float) -> str:
    """Three or four significant digits, and no more than the measurement has."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def between(low: float, high: float) -> str:
    """A range."""
    return f"{number(low)}–{number(high)}"
