"""The scenario of Deferreds: what single operations cost, netcore's, Twisted's and asyncio's in one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from benchmarks.figures import Summary
from benchmarks.passes import Plan
from benchmarks.process import WorkerProcess
from benchmarks.scenarios.base import ROUNDS, SYSTEMS
from benchmarks.targets import DEFERRED_FLOORS, DEFERRED_SIZES, Verdict

NAME = "deferred"
OURS, THEIRS, ASYNCIO = "netcore", "twisted", "asyncio"
BATCHES_PER_SECOND = 30  # of each library and operation; a pass of all of them takes about two seconds


@dataclass
class DeferredResults:
    """Nanoseconds by operation and library, one for every pass, and bytes by kind of object and library."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sizes: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def speed(self, operation: str, library: str) -> Summary | None:
        """How many times as long *library* takes as netcore; None if it was not measured."""
        times = self.times[operation]
        if library not in times:
            return None
        return Summary.of([their / our for our, their in zip(times[OURS], times[library], strict=True)])

    def judge_speed(self, operation: str) -> Verdict | None:
        """What is to be said of its speed beside Twisted's; None if nothing is wanted of it."""
        floor, speed = DEFERRED_FLOORS.get(operation), self.speed(operation, THEIRS)
        if floor is None:
            return None
        if speed is None:
            return Verdict.UNKNOWN
        return Verdict.FLOOR if speed.median >= floor else Verdict.MISSED

    def judge_size(self, kind: str) -> Verdict:
        """What is to be said of the memory it takes."""
        return Verdict.FLOOR if self.sizes[kind][OURS] <= DEFERRED_SIZES[kind] else Verdict.MISSED


def run(plan: Plan, say: Callable[[str], None]) -> DeferredResults:
    """Time every operation in every pass. Raises: WorkerFailed."""
    results = DeferredResults()
    batches = max(2, round(plan.seconds * BATCHES_PER_SECOND))
    with closing(WorkerProcess(NAME)) as worker:
        started = worker.ask("start", factory=f"{SYSTEMS}.deferreds.comparison:Comparison", arguments={})
        results.missing = started["missing"]
        passes = plan.rounds or ROUNDS
        for number in range(passes):
            say(f"{NAME}: pass {number + 1} of {passes}")
            for operation in started["operations"]:
                arguments = {"operation": operation, "batches": batches}
                times = worker.ask("call", method="time", arguments=arguments)
                for library, nanoseconds in times.items():
                    results.times.setdefault(operation, {}).setdefault(library, []).append(nanoseconds)
        results.sizes = worker.ask("call", method="sizes", arguments={})
        worker.ask("stop")
    return results
