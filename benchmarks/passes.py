"""One scenario, run: its systems side by side, one active at a time, in an order drawn anew for every pass."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.calibration import calibrate
from benchmarks.figures import Figure, Round, Summary, ratios
from benchmarks.process import CannotRun, WorkerProcess
from benchmarks.scenarios.base import Bench, Entry, Scenario, Unavailable


@dataclass(frozen=True)
class Plan:
    """How a run is to be done.

    Args:
        systems: which; all of them if there is none in it.
        rounds: how many of each; None: as many as the scenario needs.
        seconds: how long each is to be.
        seed: of the order.
    """

    systems: Collection[str] = ()
    rounds: int | None = None
    seconds: float = 0.8
    seed: int = 1


@dataclass
class Results:
    """What came out of one scenario."""

    scenario: Scenario
    description: str = ""
    rounds: dict[str, list[Round]] = field(default_factory=dict)  # by system, one for every pass
    missing: dict[str, str] = field(default_factory=dict)  # systems that cannot run here, and why

    @property
    def baseline(self) -> str:
        """The system that the others are compared with: the first that was measured."""
        return next(iter(self.rounds), "")

    def ratio(self, ours: str, theirs: str, figure: Figure) -> Summary | None:
        """Ours divided by theirs; None if one of them was not measured."""
        if not (self.rounds.get(ours) and self.rounds.get(theirs)):
            return None
        return ratios(self.rounds[ours], self.rounds[theirs], figure)


def run(scenario: Scenario, plan: Plan, say: Callable[[str], None]) -> Results:
    """Measure the systems of *scenario* as *plan* says; *say* is told how it goes.

    Raises: WorkerFailed: a system failed or answered wrongly; there are no results then.
    """
    results = Results(scenario)
    entries = [entry for entry in scenario.entries if not plan.systems or entry.name in plan.systems]
    with ExitStack() as stack:
        try:
            bench = stack.enter_context(scenario.open())
        except Unavailable as reason:
            results.missing = {entry.name: str(reason) for entry in entries}
            return results
        results.description = bench.description
        running = _start(stack, bench, entries, results)
        counts = {}
        for name, worker in running.items():
            say(f"{scenario.name}: warming up {name}")
            counts[name] = max(scenario.least, calibrate(_Timed(bench, worker), plan.seconds))
            results.rounds[name] = []
        order, draw = list(running), random.Random(plan.seed)
        passes = plan.rounds or scenario.rounds
        for number in range(passes):
            draw.shuffle(order)
            for name in order:
                say(f"{scenario.name}: pass {number + 1} of {passes}: {name}")
                results.rounds[name].append(bench.round(running[name], counts[name]))
        for worker in running.values():
            worker.ask("stop")
    return results


@dataclass(frozen=True)
class _Timed:
    """What calibration measures with."""

    bench: Bench
    worker: WorkerProcess

    def __call__(self, operations: int) -> float:
        return self.bench.round(self.worker, operations).seconds


def _start(stack: ExitStack, bench: Bench, entries: list[Entry], results: Results) -> dict[str, WorkerProcess]:
    running = {}
    for entry in entries:
        worker = WorkerProcess(f"{results.scenario.name}: {entry.name}")
        stack.callback(worker.close)
        try:
            bench.start(worker, entry)
        except CannotRun as error:
            results.missing[entry.name] = str(error)
        else:
            running[entry.name] = worker
    return running
