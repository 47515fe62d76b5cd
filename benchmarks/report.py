"""Results as text for people and as plain data for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from benchmarks.deferred import ASYNCIO, OURS, THEIRS, DeferredResults
from benchmarks.figures import Figure, Round, Summary
from benchmarks.idle import IdleResults
from benchmarks.passes import Results
from benchmarks.tables import between, number, table
from benchmarks.targets import DEFERRED_FLOORS, DEFERRED_SIZES, TARGETS

NOTHING = "–"  # in a cell: nothing comparable, or not measured

# ------------------------------------------------------------------------------------------------------------ scenarios


def scenario_text(results: Results) -> str:
    """A table of the systems of one scenario, and those that cannot run here."""
    parts = [f"{results.scenario.name}: {results.scenario.title}", results.description]
    if results.rounds:
        figure = results.scenario.figure
        headings = ["system", "ops/s", "quartiles", "CPU µs/op", "quartiles", "p50 ms", "p99 ms"]
        headings += [f"{results.baseline} ÷ it", "quartiles"]
        rows = [_row(results, name, rounds) for name, rounds in results.rounds.items()]
        parts += ["", table(headings, rows), f"The last two columns compare {figure.title}."]
    return "\n".join(part for part in parts + _missing_text(results.missing))


def _row(results: Results, name: str, rounds: list[Round]) -> list[str]:
    rate = Summary.of([measured.rate for measured in rounds])
    cpu = Summary.of([measured.cpu for measured in rounds])
    row = [name, number(rate.median), between(rate.low, rate.high), number(cpu.median), between(cpu.low, cpu.high)]
    row += [number(median(getattr(measured, name) for measured in rounds) * 1000) for name in ("p50", "p99")]
    ratio = results.ratio(results.baseline, name, results.scenario.figure)
    if name == results.baseline or ratio is None:
        return [*row, "", ""]
    return [*row, number(ratio.median), between(ratio.low, ratio.high)]


def _missing_text(missing: Mapping[str, str]) -> list[str]:
    return [f"{name} cannot run on this machine: {reason}" for name, reason in missing.items()]


def scenario_data(results: Results) -> dict[str, Any]:
    """Every round, and what the table says of them."""
    figure = results.scenario.figure
    systems = {}
    for name, rounds in results.rounds.items():
        ratio = results.ratio(results.baseline, name, figure)
        systems[name] = {
            "rate": dataclasses.asdict(Summary.of([measured.rate for measured in rounds])),
            "cpu_microseconds": dataclasses.asdict(Summary.of([measured.cpu for measured in rounds])),
            "baseline_divided_by_it": ratio and dataclasses.asdict(ratio),
            "rounds": [dataclasses.asdict(measured) for measured in rounds],
        }
    return {
        "title": results.scenario.title,
        "description": results.description,
        "baseline": results.baseline,
        "compared_by": figure.value,
        "systems": systems,
        "missing": results.missing,
    }


# ------------------------------------------------------------------------------------------------------------ Deferreds


def deferred_text(results: DeferredResults) -> str:
    """A table of operations, and one of memory."""
    times = [_operation_row(results, operation) for operation in results.times]
    sizes = []
    for kind, bytes_of in results.sizes.items():
        row = [kind, *(_cell(bytes_of.get(library), "{:.0f}".format) for library in (OURS, THEIRS, ASYNCIO))]
        sizes.append([*row, str(DEFERRED_SIZES[kind]), results.judge_size(kind).value])
    headings = ["operation", "netcore ns", "Twisted ns", "asyncio ns", "asyncio ÷ ours", "quartiles"]
    headings += ["Twisted ÷ ours", "quartiles", "floor", ""]
    return "\n".join(
        [
            "deferred: what single operations on Deferreds cost, in one process",
            "Inside a running loop, unless it says otherwise.",
            "",
            table(headings, times, left=(0, 9)),
            "",
            table(["memory", "netcore bytes", "Twisted bytes", "asyncio bytes", "at most", ""], sizes, left=(0, 5)),
            *_missing_text(results.missing),
        ]
    )


def _operation_row(results: DeferredResults, operation: str) -> list[str]:
    times = results.times[operation]
    medians = {library: median(nanoseconds) for library, nanoseconds in times.items()}
    row = [operation, *(_cell(medians.get(library), number) for library in (OURS, THEIRS, ASYNCIO))]
    for library in (ASYNCIO, THEIRS):
        speed = results.speed(operation, library)
        row += [number(speed.median), between(speed.low, speed.high)] if speed else [NOTHING, ""]
    floor, verdict = DEFERRED_FLOORS.get(operation), results.judge_speed(operation)
    return [*row, number(floor) if floor else "", verdict.value if verdict else ""]


def _cell(value: float | None, text: Callable[[float], str]) -> str:
    return NOTHING if value is None else text(value)


def deferred_data(results: DeferredResults) -> dict[str, Any]:
    """Every pass, the ratios of the table, and what is said of them."""
    speeds: dict[str, dict[str, Any]] = {operation: {} for operation in results.times}
    verdicts: dict[str, str] = {}
    for operation, by_library in speeds.items():
        for library in (THEIRS, ASYNCIO):
            speed = results.speed(operation, library)
            by_library[library] = speed and dataclasses.asdict(speed)
        if verdict := results.judge_speed(operation):
            verdicts[operation] = verdict.value
    verdicts.update({kind: results.judge_size(kind).value for kind in results.sizes})
    return {
        "nanoseconds": results.times,
        "bytes": results.sizes,
        "times_as_fast": speeds,
        "verdicts": verdicts,
        "missing": results.missing,
    }


# ----------------------------------------------------------------------------------------------------- idle connections


def idle_text(results: IdleResults) -> str:
    """A table of the systems, and those that cannot run here."""
    ours = results.bytes_each.get(OURS)
    rows = [
        [
            name,
            number(each),
            number(results.cpu_each[name]),
            NOTHING if ours is None or not each else number(ours / each),
        ]
        for name, each in results.bytes_each.items()
    ]
    parts = [f"idle: {results.connections:,} connections, none of them lost: each has echoed a message at the end", ""]
    if rows:
        parts += [table(["system", "bytes each", "CPU µs to open one", f"{OURS} ÷ it (bytes)"], rows)]
        parts += [f"wanted: no more bytes than Twisted's: {results.judge().value}"]
    return "\n".join(parts + _missing_text(results.missing))


def idle_data(results: IdleResults) -> dict[str, Any]:
    """The same as data."""
    return {**dataclasses.asdict(results), "verdict": results.judge().value}


# -------------------------------------------------------------------------------------------------------------- targets


def targets_data(results: Mapping[str, Results]) -> list[dict[str, Any]]:
    """Each target of the scenarios that were run, with what was measured."""
    found = []
    for target in TARGETS:
        if target.scenario not in results:
            continue
        ratio = results[target.scenario].ratio(target.ours, target.theirs, target.figure)
        found.append(
            {
                **dataclasses.asdict(target),
                "figure": target.figure.value,
                "ratio": ratio and dataclasses.asdict(ratio),
                "verdict": target.judge(ratio.median if ratio else None).value,
            }
        )
    return found


def targets_text(data: list[dict[str, Any]]) -> str:
    """The same as a table."""
    rows = []
    for target in data:
        figure, ratio = Figure(target["figure"]), target["ratio"]
        sign = "≥" if figure.higher_is_better else "≤"
        rows.append(
            [
                target["scenario"],
                f"{figure.label}, {target['ours']} ÷ {target['theirs']}",
                number(ratio["median"]) if ratio else "",
                between(ratio["low"], ratio["high"]) if ratio else "",
                f"{sign} {target['floor']:g}",
                f"{sign} {target['aim']:g}",
                target["verdict"],
            ]
        )
    return table(["targets", "ratio", "measured", "quartiles", "floor", "aim", ""], rows, left=(0, 1, 6))


def machine_text(facts: Mapping[str, str]) -> str:
    """One fact per line."""
    width = max(map(len, facts))
    return "\n".join(f"{name.ljust(width)}  {fact}" for name, fact in facts.items())
