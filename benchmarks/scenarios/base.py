"""What a scenario is: something that several systems do, each in a process of its own, and how one round is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import Figure, Round
from benchmarks.process import WorkerProcess

SYSTEMS = "benchmarks.systems"
ROUNDS = 5


@dataclass(frozen=True)
class Entry:
    """One system of a scenario.

    Args:
        name: for tables and ``--systems``.
        factory: "module:Class" under `benchmarks.systems`.
        arguments: for the class, besides those that all systems of the scenario get.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)


class Unavailable(Exception):
    """The whole scenario cannot run on this machine; the message says why."""


class Bench:
    """An open scenario: what its systems need is there.

    Args:
        description: of what is there, for the report.
        arguments: for every system's class.
    """

    def __init__(self, description: str, arguments: dict[str, Any]) -> None:
        self.description = description
        self.arguments = arguments

    def start(self, worker: WorkerProcess, entry: Entry) -> None:
        """Start a system in its process. Raises: CannotRun, WorkerFailed."""
        self.start_system(worker, entry)

    def start_system(self, worker: WorkerProcess, entry: Entry) -> dict[str, Any]:
        """Construct and start it; returns what it says about itself."""
        told: dict[str, Any] = worker.ask(
            "start", factory=f"{SYSTEMS}.{entry.factory}", arguments={**self.arguments, **entry.arguments}
        )
        return told

    def round(self, worker: WorkerProcess, operations: int) -> Round:
        """Have it do one round. Raises: WorkerFailed."""
        return Round(**worker.ask("round", operations=operations))


@dataclass(frozen=True)
class Scenario(ABC):
    """Something to measure.

    Args:
        figure: what the systems are compared by.
        entries: its systems; the others are compared with the first.
        rounds: how many of each it takes until the same comes out again.
    """

    name: str
    title: str
    figure: Figure
    entries: tuple[Entry, ...]
    rounds: int = field(default=ROUNDS, kw_only=True)

    @property
    def least(self) -> int:
        """The fewest operations that make a round of it."""
        return 1

    @abstractmethod
    def open(self) -> AbstractContextManager[Bench]:
        """Make ready what all systems need. Raises: Unavailable."""
