"""A progress bar for somebody who watches: on a terminal only, and only if tqdm is there (the extra ``examples``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from examples.finger.transfer import Import

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(importing: Import) -> Iterator[Callable[[], None]]:
    """Show how far *importing* is.

    Returns: a context manager that gives a function to call now and then; the bar goes with the context.
    """
    bar = _bar(importing.source.size) if sys.stderr.isatty() else None
    if bar is None:
        yield _nothing
        return

    def draw() -> None:
        bar.n = importing.read if importing.source.size is None else importing.source.position
        bar.set_postfix_str(f"{importing.read:,} people", refresh=False)
        bar.refresh()

    with bar:
        yield draw


def _bar(size: int | None) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    tqdm.monitor_interval = 0  # else it starts a thread that redraws; here the reactor does
    if size is None:  # of a pipe nobody knows how much comes
        return tqdm(desc="importing", unit=" people", leave=False)
    return tqdm(desc="importing", total=size, unit="B", unit_scale=True, unit_divisor=1024, leave=False)


def _nothing() -> None:
    pass
