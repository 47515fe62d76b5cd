"""The scenario of queued calls: the memory that each needs, and what becomes of those beyond the bound.

Memory is measured twice, in processes of its own each: as Python's allocators count it, and as the process grows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.passes import Plan
from benchmarks.people import fill_sqlite
from benchmarks.process import CannotRun, WorkerFailed, WorkerProcess
from benchmarks.scenarios.base import SYSTEMS, Entry
from benchmarks.tables import number, table
from benchmarks.targets import QUEUED_BYTES, Verdict

NAME = "queued"
CALLS = 100_000
EXCESS = 10_000

ENTRIES = (Entry("asyncdb", "queued_asyncdb:Pool"), Entry("adbapi", "queued_adbapi:Pool"))


@dataclass(frozen=True)
class Queued:
    """What one system needs for a queued call: bytes, allocated and resident (RSS), and microseconds; and of the calls
    beyond the bound, how many it refused, and in how many microseconds each."""

    allocated: float
    resident: float
    queueing: float
    refused: int
    refusing: float


@dataclass
class QueuedResults:
    """By system."""

    calls: int = 0
    excess: int = 0
    systems: dict[str, Queued] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def judge(self) -> Verdict:
        """Ours is to need no more than it may, and to refuse all that are beyond the bound."""
        ours = self.systems.get("asyncdb")
        if ours is None:
            return Verdict.UNKNOWN
        return Verdict.FLOOR if ours.allocated <= QUEUED_BYTES and ours.refused == self.excess else Verdict.MISSED


def run(plan: Plan, say: Callable[[str], None], calls: int = CALLS, excess: int = EXCESS) -> QueuedResults:
    """Measure each system once. Raises: WorkerFailed: one failed, or lost a call."""
    results = QueuedResults(calls, excess)
    entries = [entry for entry in ENTRIES if not plan.systems or entry.name in plan.systems]
    if not os.path.exists("/proc/self/statm"):
        reason = "memory is read from /proc, which this system does not have"
        results.missing = {entry.name: reason for entry in entries}
        return results
    with tempfile.TemporaryDirectory(prefix="netcore-bench-") as folder:
        path = Path(folder, "people.sqlite3")
        fill_sqlite(path)
        for entry in entries:
            say(f"{NAME}: {entry.name}")
            try:
                allocated, _ = _measure(entry, path, calls, excess, traced=True)
                resident, over = _measure(entry, path, calls, excess, traced=False)
            except CannotRun as error:
                results.missing[entry.name] = str(error)
                continue
            results.systems[entry.name] = Queued(
                allocated["bytes_each"],
                resident["bytes_each"],
                resident["cpu_each"],
                int(over["refused"]),
                over["cpu_each"],
            )
    return results


def _measure(
    entry: Entry, path: Path, calls: int, excess: int, traced: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """What filling the queue took, and what overfilling it did. Raises: CannotRun, WorkerFailed."""
    with closing(WorkerProcess(f"{NAME}: {entry.name}")) as worker:
        arguments = {"connect": {"database": str(path)}, "bound": calls}
        worker.ask("start", factory=f"{SYSTEMS}.{entry.factory}", arguments=arguments)
        filled = worker.ask("call", method="fill", arguments={"calls": calls, "traced": traced})
        over = worker.ask("call", method="overfill", arguments={"calls": excess})
        answered = worker.ask("call", method="drain", arguments={})
        if answered != calls:
            raise WorkerFailed(f"{entry.name}: of {calls} queued calls, {answered} were answered")
        worker.ask("stop")
        return filled, over


# -------------------------------------------------------------------------------------------------------------- as text


def text(results: QueuedResults) -> str:
    """A table, and those that cannot run here."""
    headings = ["system", "bytes each", "RSS bytes each", "CPU µs to queue one", "refused", "CPU µs to refuse one"]
    rows = [
        [
            name,
            number(found.allocated),
            number(found.resident),
            number(found.queueing),
            f"{found.refused:,}",
            number(found.refusing) if found.refused else "–",
        ]
        for name, found in results.systems.items()
    ]
    parts = [f"{NAME}: {results.calls:,} calls that wait for one connection, and {results.excess:,} beyond the bound"]
    parts += ["All that wait are answered in the end.", ""]
    if rows:
        wanted = f"wanted of asyncdb: {QUEUED_BYTES} bytes each at most, all refused beyond the bound"
        parts += [table(headings, rows), f"{wanted}: {results.judge().value}"]
    return "\n".join([*parts, *(f"{name} cannot run on this machine: {why}" for name, why in results.missing.items())])


def data(results: QueuedResults) -> dict[str, Any]:
    """The same as data."""
    return {**asdict(results), "verdict": results.judge().value}
