"""The scenario of idle connections: the memory that a server's process needs for each, and whether all still work.

Each server is a new process: memory that was used once is not given back.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from benchmarks.passes import Plan
from benchmarks.process import CannotRun, WorkerFailed, WorkerProcess
from benchmarks.scenarios.base import SYSTEMS, Unavailable
from benchmarks.scenarios.echo import ECHO
from benchmarks.targets import Verdict

NAME = "idle"
CONNECTIONS = 10_000
SPARE = 200  # descriptors that a process needs besides
PEERS = ("netcore", "netcore-uvloop", "twisted", "asyncio", "asyncio-uvloop")


@dataclass
class IdleResults:
    """By system: bytes of memory for each connection, and the microseconds of processor time that opening one took."""

    connections: int = 0
    bytes_each: dict[str, float] = field(default_factory=dict)
    cpu_each: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def judge(self) -> Verdict:
        """Ours is to need no more than Twisted's."""
        ours, theirs = self.bytes_each.get("netcore"), self.bytes_each.get("twisted")
        if ours is None or theirs is None:
            return Verdict.UNKNOWN
        return Verdict.FLOOR if ours <= theirs else Verdict.MISSED


def run(plan: Plan, say: Callable[[str], None], connections: int = CONNECTIONS) -> IdleResults:
    """Measure each system once. Raises: WorkerFailed: one failed, or lost a connection."""
    results = IdleResults(connections)
    entries = [entry for entry in ECHO.entries if entry.name in PEERS]
    entries = [entry for entry in entries if not plan.systems or entry.name in plan.systems]
    try:
        _check_machine(connections)
    except Unavailable as reason:
        results.missing = {entry.name: str(reason) for entry in entries}
        return results
    for entry in entries:
        say(f"{NAME}: {entry.name}")
        with closing(WorkerProcess(f"{NAME}: {entry.name}")) as server:
            try:
                told = server.ask("start", factory=f"{SYSTEMS}.{entry.factory}", arguments=entry.arguments)
            except CannotRun as error:
                results.missing[entry.name] = str(error)
                continue
            with closing(WorkerProcess(f"the client of {NAME}")) as client:
                arguments = {"connections": connections}
                client.ask("start", factory=f"{SYSTEMS}.idle_client:Client", arguments=arguments)
                before, began = server.ask("memory"), server.ask("processor_time")
                client.ask("call", method="connect", arguments={"port": told["port"]})
                took, used = server.ask("processor_time") - began, server.ask("memory") - before
                echoed = client.ask("call", method="echo", arguments={})
                if echoed != connections:
                    raise WorkerFailed(f"{entry.name}: {connections - echoed} of {connections} connections were lost")
                client.ask("call", method="disconnect", arguments={})
        results.bytes_each[entry.name] = used / connections
        results.cpu_each[entry.name] = took / connections * 1e6
    return results


def _check_machine(connections: int) -> None:
    """Raises: Unavailable: it cannot be done here."""
    if not os.path.exists("/proc/self/statm"):
        raise Unavailable("memory is read from /proc, which this system does not have")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE
    if 0 <= hard < wanted:
        raise Unavailable(f"{connections} connections need {wanted} descriptors, and the limit is {hard} (ulimit -Hn)")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))  # the workers inherit it
