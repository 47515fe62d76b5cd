"""What this project wants of its figures: for each ratio a floor, which has to hold, and an aim."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmarks.figures import Figure
from benchmarks.scenarios.queries import MATRIX, QUERY_POSTGRES, QUERY_SQLITE, UPDATE_SQLITE


class Verdict(Enum):
    """What a measurement says about a target."""

    AIM = "aim reached"
    FLOOR = "floor held"
    MISSED = "MISSED"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Target:
    """*ours* divided by *theirs*, in the *figure* of a scenario. The aim is at least as hard to reach as the floor."""

    scenario: str
    figure: Figure
    ours: str
    theirs: str
    floor: float
    aim: float

    def judge(self, ratio: float | None) -> Verdict:
        """What a ratio means; None is one that was not measured."""
        if ratio is None:
            return Verdict.UNKNOWN
        if self._reaches(ratio, self.aim):
            return Verdict.AIM
        return Verdict.FLOOR if self._reaches(ratio, self.floor) else Verdict.MISSED

    def _reaches(self, ratio: float, bound: float) -> bool:
        return ratio >= bound if self.figure.higher_is_better else ratio <= bound


TARGETS = (
    Target("query-postgres", Figure.RATE, "asyncdb", "adbapi", 2.7, 3.2),
    Target("query-postgres", Figure.RATE, "asyncdb", "psycopg2-threads", 0.85, 0.95),
    *(
        Target("query-postgres", Figure.RATE, "asyncdb", entry.name, 1.0, 1.0)
        for entry in QUERY_POSTGRES.entries
        if not entry.name.startswith("asyncdb") and entry.name not in {"adbapi", "psycopg2-threads"}
    ),
    *(
        target
        for scenario in ("query-sqlite", "update-sqlite")
        for target in (
            Target(scenario, Figure.RATE, "asyncdb", "adbapi", 3.0, 4.0),
            Target(scenario, Figure.RATE, "asyncdb", "aiosqlite", 1.0, 1.0),
            Target(scenario, Figure.RATE, "asyncdb", "aiosqlite-8", 1.0, 1.0),
        )
    ),
    *(
        Target(scenario.name, Figure.P99, "asyncdb", "adbapi", 1.0, 1.0)
        for scenario in (*MATRIX, QUERY_SQLITE, UPDATE_SQLITE)
    ),
    Target("echo", Figure.CPU, "netcore", "twisted", 0.5, 0.4),
    Target("echo", Figure.CPU, "netcore", "asyncio-uvloop", 1.3, 1.15),
    Target("echo", Figure.CPU, "netcore-uvloop", "asyncio-uvloop", 1.2, 1.05),
    *(
        target
        for scenario in ("echo-64", "echo-100k", "bulk")
        for target in (
            Target(scenario, Figure.CPU, "netcore", "twisted", 0.5, 0.4),
            Target(scenario, Figure.CPU, "netcore", "asyncio-uvloop", 1.4, 1.4),
            Target(scenario, Figure.CPU, "netcore-uvloop", "asyncio-uvloop", 1.25, 1.25),
        )
    ),
    Target("tls-echo", Figure.CPU, "netcore", "twisted", 0.6, 0.6),
    Target("tls-bulk", Figure.CPU, "netcore", "twisted", 0.6, 0.6),
    Target("timers", Figure.CPU, "netcore", "twisted", 1.0, 1.0),
    Target("thread-calls", Figure.CPU, "netcore", "twisted", 0.5, 0.5),
    Target("processes", Figure.CPU, "netcore", "twisted", 0.8, 0.6),
)

QUEUED_BYTES = 600  # a call that waits for a connection, at most

# How many times as fast as Twisted's, inside a running loop. No aims: these are hard enough.
DEFERRED_FLOORS = {
    "create + one callback + fire": 2.0,
    "create + callback with argument, errback + fire": 1.6,
    "succeed + callback": 2.2,
    "create + ten callbacks + fire": 1.7,
    "inlineCallbacks call with one fired yield": 2.2,
    "each further yield of a fired Deferred": 8.0,
    "each yield of a pending Deferred": 2.5,
    "await of a fired Deferred": 1.3,
    "await of a pending Deferred": 2.2,
    "ensureDeferred call": 1.9,
    "errback + trap": 3.5,
    "raise in a callback + trap": 2.2,
    "gatherResults of 100, per item": 2.5,
    "callback returning a fired Deferred": 1.4,
    "callback returning an unfired Deferred": 1.4,
}
# Bytes, at most.
DEFERRED_SIZES = {
    "a pending Deferred": 112,
    "with one callback": 128,
    "with three callbacks": 400,
    "a suspended inlineCallbacks call": 650,
}
