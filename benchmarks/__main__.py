"""`python -m benchmarks`: run scenarios, print tables, write all figures as JSON.

The exit status is 1 if a system failed or answered wrongly. Targets that are missed are reported and fail nothing: a
figure depends on the machine and on what else it does.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import deferred, idle, kills, machine, matrix, passes, queued, report
from benchmarks.options import Options, parse
from benchmarks.process import WorkerFailed
from benchmarks.scenarios import SCENARIOS

RESULTS = Path(__file__).with_name("results")

# Scenarios that are no comparison of rounds: how each is run, and told as text and as data.
OTHERS: dict[str, tuple[Callable[..., Any], Callable[[Any], str], Callable[[Any], dict[str, Any]]]] = {
    kills.NAME: (kills.run, kills.text, kills.data),
    queued.NAME: (queued.run, queued.text, queued.data),
    idle.NAME: (idle.run, report.idle_text, report.idle_data),
    deferred.NAME: (deferred.run, report.deferred_text, report.deferred_data),
}


def main(arguments: list[str]) -> int:
    """Do what the command line says; returns the exit status."""
    systems = {name: [entry.name for entry in scenario.entries] for name, scenario in SCENARIOS.items()}
    systems |= {kills.NAME: [entry.name for entry in kills.ENTRIES]}
    systems |= {queued.NAME: [entry.name for entry in queued.ENTRIES]}
    systems |= {idle.NAME: list(idle.PEERS), deferred.NAME: []}
    options = parse(arguments, systems, {matrix.NAME: matrix.CELLS})
    path = options.json or RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    new = not path.exists()
    try:  # now, rather than when the figures are there and lost
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    try:
        return _measure(options, path)
    finally:
        if new and not path.stat().st_size:
            path.unlink()  # there are no figures


def _measure(options: Options, path: Path) -> int:
    """Do what *options* say, and write the figures to *path*; returns the exit status."""
    facts = machine.facts()
    print(report.machine_text(facts))
    data: dict[str, Any] = {"machine": facts, "plan": _plan_data(options), "scenarios": {}}
    results = {}
    try:
        for name in options.scenarios:
            if name in OTHERS:
                run, text, as_data = OTHERS[name]
                found = run(options.plan, _say)
                data["scenarios"][name] = as_data(found)
                _show(text(found))
            else:
                results[name] = passes.run(SCENARIOS[name], options.plan, _say)
                data["scenarios"][name] = report.scenario_data(results[name])
                _show(report.scenario_text(results[name]))
    except WorkerFailed as error:
        _say("")
        print(f"the run is void: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("")
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    if table := matrix.text(results):
        _show(table)
    data["targets"] = report.targets_data(results)
    if data["targets"]:
        _show(report.targets_text(data["targets"]))
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _show(f"all figures: {path}")
    return 0


def _plan_data(options: Options) -> dict[str, Any]:
    return {**dataclasses.asdict(options.plan), "systems": sorted(options.plan.systems)}


def _say(text: str) -> None:
    """What is being done, in a line that the next one replaces; nothing where that cannot be."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _show(text: str) -> None:
    _say("")
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
