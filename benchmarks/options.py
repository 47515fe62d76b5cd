"""The command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.passes import Plan
from benchmarks.scenarios.base import ROUNDS


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    scenarios: tuple[str, ...]
    plan: Plan
    json: Path | None


def parse(
    arguments: Sequence[str], systems: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]] | None = None
) -> Options:
    """Read the command line.

    Args:
        systems: the names of each scenario's systems; a scenario without any always runs as a whole.
        groups: names for several scenarios.
    Raises: SystemExit: help was asked for, or something is wrong (status 2, after saying what).
    """
    groups = groups or {}
    parser = _parser(systems, groups)
    given = parser.parse_args(arguments)
    chosen = [name.strip() for text in given.systems for name in text.split(",") if name.strip()]
    known = {name for names in systems.values() for name in names}
    for name in chosen:
        if name not in known:
            parser.error(f"no system is called {name!r}: {', '.join(sorted(known))}")
    named = [scenario for name in given.scenario for scenario in groups.get(name, [name])]
    scenarios = tuple(dict.fromkeys(named)) or tuple(systems)
    if chosen and not given.scenario:
        scenarios = tuple(name for name in systems if set(systems[name]) & set(chosen))
    for scenario in scenarios:
        if chosen and systems[scenario] and not set(systems[scenario]) & set(chosen):
            parser.error(f"none of {', '.join(chosen)} is a system of {scenario}: {', '.join(systems[scenario])}")
    plan = Plan(frozenset(chosen), given.rounds, given.seconds, given.seed)
    return Options(scenarios, plan, given.json)


def _parser(systems: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]]) -> argparse.ArgumentParser:
    names = "\n".join(f"  {scenario}: {', '.join(names) or 'as a whole'}" for scenario, names in systems.items())
    several = "".join(f"\n\n{name}, for several:\n  {', '.join(group)}" for name, group in groups.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure netcore and asyncdb beside what could be taken instead, all in one run.",
        epilog=f"scenarios and their systems:\n{names}{several}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--scenario", action="append", choices=[*systems, *groups], default=[], help="this one only (may be repeated)"
    )
    parser.add_argument(
        "--systems", action="append", default=[], metavar="NAME,NAME", help="these only, wherever they take part"
    )
    parser.add_argument(
        "--rounds",
        type=_count,
        default=Plan.rounds,
        help=f"how many of each system (default: {ROUNDS}, or more where a scenario needs them)",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=Plan.seconds, help="how long each is to be (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of the order of the systems")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all figures, instead of results/")
    return parser


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 60:  # which no NaN is
        raise argparse.ArgumentTypeError(f"must be a number, more than 0 and 60 at most, not {text!r}")
    return value
