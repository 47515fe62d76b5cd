"""What fuzz targets are made of, and what runs them.

A target is a module in `tests/fuzz/targets/` with a function ``one(random)``: it makes one input out of *random*, valid
or hostile, feeds it to a parser, and asserts what must hold. All its choices come from *random*, so that a seed is all
it takes to see a failure again. `cuts` gives the ways in which an input may arrive, `calls` counts the work.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from random import Random
from types import FrameType
from typing import Any

import tests.fuzz.targets

__all__ = ["FuzzFailure", "Target", "calls", "cuts", "noise", "run_round", "targets"]

Target = Callable[[Random], None]


class FuzzFailure(AssertionError):
    """A round failed. Says how to run it again; the cause is what the target raised."""


def targets() -> dict[str, Target]:
    """Every target by name, sorted."""
    found = {}
    for module in pkgutil.iter_modules(tests.fuzz.targets.__path__):
        found[module.name] = importlib.import_module(f"tests.fuzz.targets.{module.name}").one
    return dict(sorted(found.items()))


def run_round(name: str, target: Target, seed: int) -> None:
    """Run *target* once.

    Raises: FuzzFailure: whatever went wrong in it.
    """
    try:
        target(Random(seed))
    except Exception as error:
        again = f"python -m tests.fuzz --rounds 1 --seed {seed} {name}"
        raise FuzzFailure(f"{name} fails with the seed {seed}; again: {again}") from error


def cuts(random: Random, data: bytes) -> Iterator[list[bytes]]:
    """The ways in which *data* may arrive: whole, byte by byte, and in pieces of random sizes, small and large."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for largest in (3, 100):
        pieces, at = [], 0
        while at < len(data):
            size = random.randint(1, largest)
            pieces.append(data[at : at + size])
            at += size
        yield pieces


def noise(random: Random, most: int, alphabet: bytes | None = None) -> bytes:
    """Up to *most* random bytes, of *alphabet* if there is one."""
    size = random.choice((0, 1, random.randint(0, most), most))
    return random.randbytes(size) if alphabet is None else bytes(random.choices(alphabet, k=size))


def calls(function: Callable[[], object]) -> int:
    """Call *function*.

    Returns: how many functions that called in turn, Python's and C's: the work, by count. (How many bytes these copy
        or search it does not say: unit tests with counting buffers do.)
    """
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count
