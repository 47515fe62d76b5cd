"""What a reactor does besides connections: timers, calls from threads, and child processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.scenarios.base import Bench, Entry, Scenario


@dataclass(frozen=True)
class InProcess(Scenario):
    """Something that needs nothing but the loop."""

    description: str

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """There is nothing to open."""
        yield Bench(self.description, {})


TIMERS = InProcess(
    "timers",
    "Timers: processor time per timer that fires",
    Figure.CPU,
    (
        Entry("netcore", "timers:Netcore"),
        Entry("netcore-uvloop", "timers:Netcore", {"loop": "uvloop"}),
        Entry("twisted", "timers_twisted:Twisted"),
        Entry("asyncio", "timers:Asyncio"),
    ),
    "for each that fires one more is added and cancelled, each fifth is set anew; p50 and p99 are how late they are",
)
THREAD_CALLS = InProcess(
    "thread-calls",
    "Calls from 8 threads into the loop's: processor time per call",
    Figure.CPU,
    (
        Entry("netcore", "thread_calls:Netcore"),
        Entry("netcore-uvloop", "thread_calls:Netcore", {"loop": "uvloop"}),
        Entry("twisted", "thread_calls_twisted:Twisted"),
        Entry("asyncio", "thread_calls:Asyncio"),
        Entry("asyncio-uvloop", "thread_calls:Asyncio", {"loop": "uvloop"}),
    ),
    "8 threads call as fast as they can; p50 and p99 are from the call to its being made",
)
PROCESSES = InProcess(
    "processes",
    "Child processes, 20 at a time: processor time per child, without the child's own",
    Figure.CPU,
    (
        Entry("netcore", "processes:Netcore"),
        Entry("netcore-uvloop", "processes:Netcore", {"loop": "uvloop"}),
        Entry("twisted", "processes_twisted:Twisted"),
        Entry("asyncio", "processes:Asyncio"),
        Entry("asyncio-uvloop", "processes:Asyncio", {"loop": "uvloop"}),
    ),
    "`true` is run, its output and exit code collected through three pipes; p50 and p99 are from asking to having them",
)
