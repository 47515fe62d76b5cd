"""The scenario of killed connections: of the nine questions after all three backends of a pool were killed, how many
fail? Killed at rest, and in use: then the statements under way fail everywhere, which is not counted.

Each count is of a pool of its own, in a new process: one that never recovers stays as it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.passes import Plan
from benchmarks.process import CannotRun, WorkerFailed, WorkerProcess
from benchmarks.scenarios.base import SYSTEMS, Entry
from benchmarks.tables import markdown
from benchmarks.targets import Verdict
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from asyncdb.testing.postgres import Postgres

NAME = "kills"
CONNECTIONS = 3
QUESTIONS = 9
PATIENCE = 30.0  # seconds, for the server to do what it was told

ENTRIES = (
    Entry("asyncdb", "kills_asyncdb:Pool"),
    Entry("adbapi", "kills_adbapi:Pool"),
    Entry("adbapi-reconnect", "kills_adbapi:Pool", {"reconnect": True}),
    Entry("psycopg_pool", "kills_psycopg:AsyncPool"),
    Entry("psycopg_pool-check", "kills_psycopg:AsyncPool", {"check": True}),
    Entry("psycopg_pool-threads", "kills_psycopg:Pool"),
    Entry("psycopg_pool-threads-check", "kills_psycopg:Pool", {"check": True}),
    Entry("sqlalchemy", "kills_sqlalchemy:Engine"),
    Entry("sqlalchemy-pre-ping", "kills_sqlalchemy:Engine", {"check": True}),
    Entry("sqlalchemy-asyncio", "kills_sqlalchemy:AsyncEngine"),
    Entry("sqlalchemy-asyncio-pre-ping", "kills_sqlalchemy:AsyncEngine", {"check": True}),
    Entry("asyncpg", "kills_asyncpg:Pool"),
)


@dataclass(frozen=True)
class Case:
    """When the backends are killed, and how the questions are asked afterwards."""

    in_use: bool
    at_once: bool

    def __str__(self) -> str:
        return f"{'in use' if self.in_use else 'at rest'}, {'at once' if self.at_once else 'in turn'}"


CASES = tuple(Case(in_use, at_once) for in_use in (False, True) for at_once in (False, True))


@dataclass
class KillsResults:
    """By system and case, the errors of the questions that failed."""

    description: str = ""
    errors: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def judge(self) -> Verdict:
        """Of ours, none is to fail."""
        ours = self.errors.get("asyncdb")
        if ours is None:
            return Verdict.UNKNOWN
        return Verdict.MISSED if any(ours.values()) else Verdict.AIM


def run(plan: Plan, say: Callable[[str], None]) -> KillsResults:
    """Kill the connections of each system in each case, once. Raises: WorkerFailed."""
    from benchmarks import database  # here, so that the other scenarios need no driver

    results = KillsResults()
    entries = [entry for entry in ENTRIES if not plan.systems or entry.name in plan.systems]
    try:
        with database.server(CONNECTIONS) as server:
            results.description = server.description
            for entry in entries:
                for case in CASES:
                    say(f"{NAME}: {entry.name}, {case}")
                    try:
                        errors = _measure(entry, case, server)
                    except CannotRun as error:
                        results.missing[entry.name] = str(error)
                        break
                    results.errors.setdefault(entry.name, {})[str(case)] = errors
    except database.Unavailable as reason:
        results.missing = {entry.name: str(reason) for entry in entries}
    return results


def _measure(entry: Entry, case: Case, server: Postgres) -> list[str]:
    """The errors of the questions that failed. Raises: CannotRun, WorkerFailed."""
    name = f"netcore-bench-{secrets.token_hex(4)}"
    with closing(WorkerProcess(f"{NAME}: {entry.name}")) as worker:
        connect = {**server.connectArgs, "application_name": name}
        arguments = {"connect": connect, "connections": CONNECTIONS, **entry.arguments}
        worker.ask("start", factory=f"{SYSTEMS}.{entry.factory}", arguments=arguments)
        try:
            with _held_up(worker, server, name):
                if case.in_use:
                    _kill(server, name)
        except AssertionError as error:  # waited in vain
            raise WorkerFailed(f"{entry.name}, {case}: {error}") from error
        failed = worker.ask("call", method="release", arguments={})
        if failed != (CONNECTIONS if case.in_use else 0):
            raise WorkerFailed(f"{entry.name}, {case}: of {CONNECTIONS} statements under way {failed} failed")
        if not case.in_use:
            _kill(server, name)
        arguments = {"count": QUESTIONS, "at_once": case.at_once}
        errors: list[str] = worker.ask("call", method="ask", arguments=arguments)
        worker.ask("stop")
        return errors


@contextmanager
def _held_up(worker: WorkerProcess, server: Postgres, name: str) -> Iterator[None]:
    """Each connection of the pool in *worker* runs a statement meanwhile, which waits for a lock of ours."""
    key = secrets.randbits(31)
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (key,))  # which ends with the connection
        sql = f"SELECT 1 FROM pg_advisory_xact_lock_shared({key})"  # which ends with the statement or its transaction
        worker.ask("call", method="hold", arguments={"sql": sql, "count": CONNECTIONS})
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        wait_until(lambda: server.execute(waiting, (name,)) == [(CONNECTIONS,)], "every connection waits", PATIENCE)
        yield


def _kill(server: Postgres, name: str) -> None:
    """Have the server end them all; returns when they are gone."""
    killed = server.terminateBackends(name)
    if killed != CONNECTIONS:
        raise WorkerFailed(f"the pool has {killed} connections, not {CONNECTIONS}")


# -------------------------------------------------------------------------------------------------------------- as text


def text(results: KillsResults) -> str:
    """A table, as Markdown, and those that cannot run here."""
    parts = [f"{NAME}: of the next {QUESTIONS} queries after all {CONNECTIONS} backends were killed, so many fail"]
    parts += [results.description, ""]
    rows = [[name, *(str(len(errors[str(case)])) for case in CASES)] for name, errors in results.errors.items()]
    if rows:
        parts += [markdown(["", *map(str, CASES)], rows), ""]
        parts += [f"wanted of asyncdb: none: {results.judge().value}"]
    return "\n".join([*parts, *(f"{name} cannot run on this machine: {why}" for name, why in results.missing.items())])


def data(results: KillsResults) -> dict[str, Any]:
    """The same, with every error."""
    return {**asdict(results), "verdict": results.judge().value}
