"""Fuzz the parsers: ``python -m tests.fuzz --seconds 60 --seed 1 lines netstrings``.

Each target runs for that long, or for so many rounds; the first round takes the seed, the next one that plus one, and
so on. A failure ends with how to run its round alone.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from itertools import count
from random import SystemRandom

from tests.fuzz.frame import FuzzFailure, Target, run_round, targets


def run(name: str, target: Target, seed: int, seconds: float, most: int | None) -> int:
    """Run rounds until *seconds* are over, or *most* were run.

    Returns: how many.
    Raises: FuzzFailure.
    """
    end = time.monotonic() + seconds
    for rounds in count():
        if rounds == most or (most is None and time.monotonic() >= end):
            return rounds
        run_round(name, target, seed + rounds)
    raise AssertionError("it counts for ever")


def main(arguments: list[str] | None = None) -> int:
    """Returns: the exit status: 1 if a target failed."""
    known = targets()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (default: 10)")
    parser.add_argument("--rounds", type=int, help="for each target, instead of a time")
    parser.add_argument("--seed", type=int, help="of the first round (default: a random one)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no target is called {', '.join(unknown)}: there are {', '.join(known)}")
    seed = SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    failed = False
    for name in options.names or known:
        try:
            rounds = run(name, known[name], seed, options.seconds, options.rounds)
        except FuzzFailure as error:
            failed = True
            traceback.print_exception(error)
        else:
            print(f"{name}: {rounds:,} rounds from the seed {seed} on, without a failure", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
