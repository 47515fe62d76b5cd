"""The scenario of Deferreds: what single operations cost, netcore's and Twisted's in one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from benchmarks.figures import Summary
from benchmarks.passes import Plan
from benchmarks.process import WorkerProcess
from benchmarks.scenarios.base import SYSTEMS

NAME = "deferred"
OURS, THEIRS = "netcore", "twisted"
BATCHES_PER_SECOND = 30  # of either library and each operation; a pass of all of them takes about a second


@dataclass
class DeferredResults:
    """Nanoseconds by operation and library, one for every pass, and bytes by kind of object and library."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sizes: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def speed(self, operation: str) -> Summary | None:
        """How many times as long Twisted takes; None if it was not measured."""
        times = self.times[operation]
        if THEIRS not in times:
            return None
        return Summary.of([their / our for our, their in zip(times[OURS], times[THEIRS], strict=True)])


def run(plan: Plan, say: Callable[[str], None]) -> DeferredResults:
    """Time every operation in every pass. Raises: WorkerFailed."""
    results = DeferredResults()
    batches = max(2, round(plan.seconds * BATCHES_PER_SECOND))
    with closing(WorkerProcess(NAME)) as worker:
        started = worker.ask("start", factory=f"{SYSTEMS}.deferreds:Comparison", arguments={})
        results.missing = started["missing"]
        for number in range(plan.rounds):
            say(f"{NAME}: pass {number + 1} of {plan.rounds}")
            for operation in started["operations"]:
                arguments = {"operation": operation, "batches": batches}
                times = worker.ask("call", method="time", arguments=arguments)
                for library, nanoseconds in times.items():
                    results.times.setdefault(operation, {}).setdefault(library, []).append(nanoseconds)
        results.sizes = worker.ask("call", method="sizes", arguments={})
        worker.ask("stop")
    return results
