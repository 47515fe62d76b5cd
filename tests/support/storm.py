"""A storm of calls on pools of one PostgreSQL: cancelled, out of time, wrong, killed, lent, dropped; by chance, but
the same chance for the same seed. And what is looked at meanwhile and afterwards.

Each call has a kind (what it does) and a fate (what becomes of it meanwhile). Whatever a caller is told that the kind
and the fate do not explain is a *violation*; so is a connection that came with something of somebody else's on it, an
answer to another question, and what a pool leaves behind when all is over.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import QueryCanceledError

from asyncdb import CommitUnknown, ConnectionPool, DeadlineExceeded
from asyncdb.adbapi import Connection, Transaction
from asyncdb.testing.postgres import Database
from netcore.defer import CancelledError, Deferred, ensureDeferred, gatherResults
from netcore.reactors import Reactor
from netcore.threads import deferToThread
from tests.support.ledger import ACCOUNTS, FRESH, Dirty, Findings, Ledger, Outcome, fresh, move
from tests.support.waiting import wait_until

__all__ = ["Report", "Storm"]

LONG = 600.0
"""Seconds that a statement takes which must be interrupted. None may last that long, so that a lost interrupt shows."""


@dataclasses.dataclass
class Report:
    """What a storm came to.

    Attributes: *calls*, how many there were; *fired*, how many of them were told something; *kills*, how many backends
        were ended; *told*, how often each kind was told what; *violations*, in words; *findings*, of the ledger;
        *stats*, of each pool before it closed, by its name.
    """

    calls: int = 0
    fired: int = 0
    kills: int = 0
    told: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    violations: list[str] = dataclasses.field(default_factory=list)
    findings: Findings = dataclasses.field(default_factory=Findings)
    stats: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.violations and not self.findings.wrong and self.calls == self.fired


class _Fate:
    """What becomes of a call while it waits or runs."""

    def __init__(self, chance: random.Random, hopeless: bool = False) -> None:
        """*hopeless*: by itself the call would take for ever."""
        dice = chance.random()
        # Most of what there is to hit takes well below a millisecond, some of it several.
        when = chance.choice((0.0002, 0.0005, 0.001, 0.002, 0.005)) * chance.random()
        self.cancel = when if dice < 0.35 else None
        self.timeout = max(1e-5, when) if 0.35 <= dice < 0.55 else None
        if hopeless and self.cancel is None and self.timeout is None:
            self.timeout = 0.01
        if dice < 0.05:
            self.timeout = self.cancel or 1e-5  # both at once
        self.cancelled = False


class Storm:
    """So many calls by so many clients, over two pools: a usual one, and one whose ``cp_timeout`` is short.

    Args:
        database: where; fresh.
        calls: how many.
        seed: of all that is left to chance, but for how fast the machine is.
        clients: how many make calls at a time.
        connections: ``cp_max`` of the pools.
        patience: seconds within which all must be over that ends by itself.
    """

    def __init__(
        self, database: Database, calls: int, seed: int, clients: int = 8, connections: int = 4, patience: float = 30.0
    ) -> None:
        self._database = database
        self._calls = calls
        self._clients = clients
        self._connections = connections
        self._patience = patience
        self._chance = random.Random(seed)
        self._ledger = Ledger(database)
        self._admin: Any = None
        self._killing = threading.Lock()
        self._left = calls
        self._kinds: list[tuple[int, Callable[[int], Awaitable[object]]]] = [
            (20, self._echo),
            (8, self._sleeper),
            (8, self._insert),
            (24, self._move),
            (6, self._serializable),
            (4, self._readonly),
            (4, self._settings),
            (6, self._mistake),
            (4, self._raises),
            (6, self._steps),
            (7, self._lend),
            (3, self._kill),
        ]
        self.report = Report()

    async def run(self) -> Report:
        """Have it all happen, look at what is left, and close."""
        self._ledger.create()
        name = self._database.applicationName
        pools = {
            limit: ConnectionPool(
                "psycopg2",
                self._database.dsn,
                cp_name=f"{name}-{limit}",
                cp_min=0,
                cp_max=self._connections,
                cp_timeout=limit,
                cp_check_timeout=self._patience,  # nothing is stuck here: who is cut, was cut for no reason
            )
            for limit in (None, 0.02)
        }
        self._pool, self._hasty = pools[None], pools[0.02]
        self._admin = self._database.connect()
        watch = _Watch()
        logger = logging.getLogger("asyncdb")
        logger.addHandler(watch)
        try:
            await gatherResults([ensureDeferred(self._client()) for _ in range(self._clients)])
            for pool in pools.values():
                await self._look_after(pool)
            self.report.findings = await deferToThread(self._ledger.audit)
        finally:
            logger.removeHandler(watch)
            await gatherResults([pool.close() for pool in pools.values()])
            self._admin.close()
        self.report.violations += watch.messages
        self.report.calls = self._calls
        return self.report

    # ------------------------------------------------------------------------------------------------------- clients

    async def _client(self) -> None:
        weights = [weight for weight, kind in self._kinds]
        kinds = [kind for weight, kind in self._kinds]
        while self._left > 0:
            self._left -= 1
            number = self._calls - self._left
            (kind,) = self._chance.choices(kinds, weights)
            await kind(number)
            self.report.fired += 1

    def _view(self, fate: _Fate, **options: Any) -> Any:
        """A pool to make a call through."""
        pool = self._hasty if self._chance.random() < 0.15 else self._pool
        if fate.timeout is not None:
            options["timeout"] = fate.timeout
        return pool.using(**options) if options else pool

    async def _told(self, kind: str, number: int, fate: _Fate, deferred: Deferred[Any], *expected: type) -> Any:
        """What the caller of *number* is told: a result, or an exception that kind and fate explain."""
        if fate.cancel is not None:
            fate_comes = Reactor.current().callLater(fate.cancel, self._cancel, fate, deferred)
        else:
            fate_comes = None
        told: Any
        try:
            told = await deferred
        except Exception as error:
            told = error.with_traceback(None)
        if fate_comes is not None and fate_comes.active():
            fate_comes.cancel()
        self._note(kind, told)
        if isinstance(told, Exception) and not self._explained(told, fate, expected):
            self._violation(f"{kind} {number}: {type(told).__name__}: {str(told).strip()}")
        return told

    def _cancel(self, fate: _Fate, deferred: Deferred[Any]) -> None:
        fate.cancelled = True
        deferred.cancel()

    def _explained(self, error: Exception, fate: _Fate, expected: tuple[type, ...]) -> bool:
        if isinstance(error, CancelledError):
            return fate.cancelled
        if isinstance(error, (DeadlineExceeded, CommitUnknown, *expected)):
            return True
        if isinstance(error, (QueryCanceledError, Dirty)):
            return False  # whoever is interrupted is told CancelledError or DeadlineExceeded
        # Its backend was killed.
        code = getattr(error, "pgcode", None)
        killed = code is None or code == "57P01"
        return killed and isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))

    def _note(self, kind: str, told: object) -> None:
        self.report.told[kind, type(told).__name__ if isinstance(told, Exception) else "well"] += 1

    def _violation(self, text: str) -> None:
        self.report.violations.append(text)

    def _expect(self, kind: str, number: int, told: object, wanted: object) -> None:
        if not isinstance(told, Exception) and told != wanted:
            self._violation(f"{kind} {number}: {told!r} instead of {wanted!r}")

    # --------------------------------------------------------------------------------------------------------- kinds

    async def _echo(self, number: int) -> None:
        fate = _Fate(self._chance)
        answer = await self._told("echo", number, fate, self._view(fate).runQuery(f"{FRESH}, %s", (number,)))
        # After SET LOCAL, the setting that nobody has set is an empty string rather than NULL.
        told = answer if isinstance(answer, Exception) else [(owner or None, *rest) for owner, *rest in answer]
        self._expect("echo", number, told, [(None, None, number)])

    async def _sleeper(self, number: int) -> None:
        fate = _Fate(self._chance, hopeless=True)
        call = self._view(fate).runQuery("SELECT pg_sleep(%s)", (LONG,))
        told = await self._told("sleeper", number, fate, call)
        if not isinstance(told, Exception):
            self._violation(f"sleeper {number}: woke up by itself")

    async def _insert(self, number: int) -> None:
        """One statement in autocommit: interrupted, it may have taken effect; unless it got no connection at all."""
        fate = _Fate(self._chance)
        call = self._view(fate).runOperation("INSERT INTO log VALUES (%s)", (number,))
        told = await self._told("insert", number, fate, call)
        if not isinstance(told, Exception):
            self._ledger.told(number, Outcome.DONE)
        elif isinstance(told, DeadlineExceeded) and "nothing of the call was sent" in str(told):
            self._ledger.told(number, Outcome.NOT_DONE)
        else:
            self._ledger.told(number, Outcome.UNKNOWN)

    async def _move(self, number: int) -> None:
        fate = _Fate(self._chance)
        source, target = self._chance.sample(range(2, ACCOUNTS), 2)
        pause = self._chance.choice((0.0, 0.0, 0.002))
        call = self._view(fate).runInteraction(move, number, source, target, self._chance.randrange(1, 100), pause)
        self._settle(number, await self._told("move", number, fate, call), number)

    async def _serializable(self, number: int) -> None:
        fate = _Fate(self._chance)
        view = self._view(fate, isolation="SERIALIZABLE")
        call = view.runInteraction(_move_serializable, number, self._chance.randrange(1, 100))
        told = await self._told("serializable", number, fate, call, errors.SerializationFailure)
        self._settle(number, told, "serializable")

    async def _readonly(self, number: int) -> None:
        fate = _Fate(self._chance)
        view = self._view(fate, readonly=True)
        if self._chance.random() < 0.5:
            told = await self._told("readonly", number, fate, view.runQuery("SHOW transaction_read_only"))
            self._expect("readonly", number, told, [("on",)])
            return
        call = view.runOperation("INSERT INTO log VALUES (%s)", (number,))
        told = await self._told("readonly", number, fate, call, errors.ReadOnlySqlTransaction)
        if not isinstance(told, Exception):
            self._violation(f"readonly {number}: wrote")
        self._ledger.told(number, Outcome.NOT_DONE)

    async def _settings(self, number: int) -> None:
        fate = _Fate(self._chance)
        told = await self._told("settings", number, fate, self._view(fate).runInteraction(_settings, number))
        self._expect("settings", number, told, ("read committed", "off"))

    async def _mistake(self, number: int) -> None:
        fate = _Fate(self._chance)
        view = self._view(fate)
        dice = self._chance.randrange(3)
        if dice == 0:
            call = view.runQuery("SELEC 1")
        elif dice == 1:
            call = view.runOperation("INSERT INTO taken VALUES (0)")
        else:
            call = view.runInteraction(_take, number)
            self._ledger.told(number, Outcome.NOT_DONE)
        told = await self._told("mistake", number, fate, call, errors.SyntaxError, errors.UniqueViolation)
        if not isinstance(told, Exception):
            self._violation(f"mistake {number}: nobody minded")

    async def _raises(self, number: int) -> None:
        fate = _Fate(self._chance)
        told = await self._told("raises", number, fate, self._view(fate).runInteraction(_raise, number), LookupError)
        if not isinstance(told, Exception):
            self._violation(f"raises {number}: it did not")
        self._ledger.told(number, Outcome.NOT_DONE)

    async def _steps(self, number: int) -> None:
        """Three transactions in one call, of which the log of the last stands for all."""
        fate = _Fate(self._chance)
        pairs = [self._chance.sample(range(2, ACCOUNTS), 2) for _ in range(3)]
        call = self._view(fate).runWithConnection(_move_in_steps, number, pairs)
        told = await self._told("steps", number, fate, call)
        self._settle(number, told, number)
        for part in (1, 2):  # of those before, each is there at most once
            done = not isinstance(told, Exception)
            self._ledger.told(-(10 * number + part), Outcome.DONE if done else Outcome.UNKNOWN)

    async def _lend(self, number: int) -> None:
        fate = _Fate(self._chance)
        fate.timeout = None if fate.timeout is None else fate.timeout + 0.005  # else it hardly ever comes to anything
        lent = await self._told("lend", number, fate, self._view(fate).connect())
        if isinstance(lent, Exception):
            return
        way = self._chance.choice(("commit", "commit", "leave", "drop"))
        fate.cancel = fate.timeout = None
        pair = self._chance.sample(range(2, ACCOUNTS), 2)
        call = deferToThread(_use_lent, lent, number, pair, way == "commit")
        told = await self._told("lent", number, fate, call)
        if way == "commit":
            self._settle(number, told, number)
        else:
            self._ledger.told(number, Outcome.NOT_DONE)
        if way == "drop" and not isinstance(told, Exception):
            del lent
        else:
            pool = lent._pool
            await pool.disconnect(lent)

    async def _kill(self, number: int) -> None:
        killed = await deferToThread(self._terminate)
        self.report.kills += killed
        self._note("kill", None)

    def _terminate(self) -> int:
        with self._killing, self._admin.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = %s "
                "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS doomed",
                (self._database.applicationName,),
            )
            return int(cursor.rowcount)

    def _settle(self, number: int, told: object, wanted: object) -> None:
        """A transaction was reported as done, or not, or nobody knows."""
        if not isinstance(told, Exception):
            self._expect("result of", number, told, wanted)
            self._ledger.told(number, Outcome.DONE)
        else:
            unknown = isinstance(told, CommitUnknown)
            self._ledger.told(number, Outcome.UNKNOWN if unknown else Outcome.NOT_DONE)

    # ---------------------------------------------------------------------------------------------------- afterwards

    async def _look_after(self, pool: ConnectionPool) -> None:
        """All is over: nothing may be in use, and each connection as good as new."""
        name = str(pool.name)
        await deferToThread(self._look, pool, name)
        meeting = threading.Barrier(self._connections)
        looks = [pool.using(timeout=self._patience).runInteraction(_look_closely, meeting) for _ in range(pool.max)]
        for answer in await gatherResults(looks):
            if answer != ("", None, "read committed", "off"):
                self._violation(f"{name}: a connection was left with {answer}")
        self.report.stats[name] = pool.stats()

    def _look(self, pool: ConnectionPool, name: str) -> None:
        def quiet() -> bool:
            stats = pool.stats()
            return stats.idle == stats.total and not (stats.abandoned or stats.waiting)

        try:
            wait_until(quiet, "the pool is quiet", self._patience)
        except AssertionError:
            self._violation(f"{name}: at the end still {pool.stats()}")
        pools = (self._pool, self._hasty)
        query = (
            "SELECT state, query FROM pg_stat_activity WHERE application_name = %s AND pid <> %s ORDER BY state",
            (self._database.applicationName, self._admin.info.backend_pid),
        )

        def settled() -> bool:
            states = self._database.postgres.execute(
                *query
            )  # fewer than connections: killed at rest, and not used since
            return len(states) <= sum(pool.stats().total for pool in pools) and {s for s, _ in states} <= {"idle"}

        try:
            wait_until(settled, "the backends are idle", self._patience)
        except AssertionError:
            totals = [pool.stats().total for pool in pools]
            self._violation(f"{name}: {totals} connections, and backends {self._database.postgres.execute(*query)}")
        locks = self._database.postgres.execute(
            "SELECT locktype, mode FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = %s "
            "AND pid <> %s",
            query[1],
        )
        if locks:
            self._violation(f"{name}: locks are left: {locks}")


class _Watch(logging.Handler):
    """What the pools log that no call should make them log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "dropped without disconnect()" not in text and "cannot connect" not in text:
            self.messages.append(f"logged: {text}")


# ------------------------------------------------------------------------------------------ what runs in worker threads


def _move_serializable(transaction: Transaction, number: int, amount: int) -> str:
    fresh(transaction, number)
    transaction.execute("SELECT pg_advisory_xact_lock_shared(1), sum(amount) FROM accounts WHERE id IN (0, 1)")
    _move_unchecked(transaction, number, amount)
    transaction.execute("SHOW transaction_isolation")
    return str(transaction.fetchall()[0][0])


def _move_unchecked(transaction: Transaction, number: int, amount: int) -> None:
    """As `move`, in a transaction that has looked already."""
    for account, change in ((0, -amount), (1, amount)):
        transaction.execute("UPDATE accounts SET amount = amount + %s WHERE id = %s", (change, account))
    transaction.execute("INSERT INTO log VALUES (%s)", (number,))


def _settings(transaction: Transaction, number: int) -> tuple[str, str]:
    fresh(transaction, number)
    transaction.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
    ((isolation, readonly),) = transaction.fetchall()
    return isolation, readonly


def _take(transaction: Transaction, number: int) -> None:
    fresh(transaction, number)
    transaction.execute("INSERT INTO log VALUES (%s)", (number,))
    transaction.execute("INSERT INTO taken VALUES (0)")


def _raise(transaction: Transaction, number: int) -> None:
    fresh(transaction, number)
    transaction.execute("SELECT pg_advisory_xact_lock(%s)", (number,))
    transaction.execute("INSERT INTO log VALUES (%s)", (number,))
    raise LookupError(number)


def _move_in_steps(connection: Connection, number: int, pairs: list[list[int]]) -> int:
    for part, (source, target) in zip((-(10 * number + 1), -(10 * number + 2), number), pairs, strict=True):
        with connection.cursor() as cursor:
            move(cursor, part, source, target, 1)
        if part < 0:
            connection.commit()
    return number


def _use_lent(connection: Connection, number: int, pair: list[int], commits: bool) -> int:
    with connection.cursor() as cursor:
        move(cursor, number, pair[0], pair[1], 1)
    if commits:
        connection.commit()
    return number


def _look_closely(transaction: Transaction, meeting: threading.Barrier) -> tuple[Any, ...]:
    transaction.execute(f"{FRESH}, current_setting('transaction_isolation'), current_setting('transaction_read_only')")
    ((owner, *rest),) = transaction.fetchall()
    meeting.wait(60)  # each on a connection of its own
    return (owner or "", *rest)
