"""A ledger in a database, by which it shows whether calls did what their callers were told they did.

Each transaction moves an amount from one account to another and writes its number into a log. So the sum of all
accounts never changes; what was reported as done is in the log once; what was reported as not done is not there; and of
what nobody can know (`Outcome.UNKNOWN`) there is at most one entry.

Each transaction also looks whether it is the first on its connection to say whose it is: with `SET LOCAL`, which ends
with the transaction. One that was handed out dirty has another's number there, or rows that another has written.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from enum import Enum
from typing import Any

from asyncdb.testing.postgres import Address

__all__ = ["ACCOUNTS", "TOTAL", "Dirty", "Findings", "Ledger", "Outcome", "fresh", "move"]

ACCOUNTS = 16
OPENING = 1_000
TOTAL = ACCOUNTS * OPENING

FRESH = "SELECT current_setting('ledger.owner', true), pg_current_xact_id_if_assigned()::text"


class Dirty(AssertionError):
    """A connection came with something of somebody else's on it."""


class Outcome(Enum):
    """What a caller was told about a transaction of its."""

    DONE = "done"
    NOT_DONE = "not done"
    UNKNOWN = "unknown"


@dataclasses.dataclass
class Findings:
    """What does not agree. All empty, and *balance* 0, is as it should be."""

    balance: int = 0
    """By how much the sum of all accounts is wrong."""
    missing: list[int] = dataclasses.field(default_factory=list)
    """Reported as done, and not there."""
    phantoms: list[int] = dataclasses.field(default_factory=list)
    """Reported as not done, and there."""
    doubled: list[int] = dataclasses.field(default_factory=list)
    """There more than once."""
    strangers: list[int] = dataclasses.field(default_factory=list)
    """There, and nobody's."""
    known: Counter[str] = dataclasses.field(default_factory=Counter)
    """How many of those whose outcome nobody knew had been done, and not."""

    @property
    def wrong(self) -> int:
        """How many things do not agree."""
        return bool(self.balance) + len(self.missing) + len(self.phantoms) + len(self.doubled) + len(self.strangers)


class Ledger:
    """The tables, and what callers were told.

    Args:
        database: where; the role that the pool uses must be able to write there.
    Attributes: *outcomes*, by number.
    Threading: any, but one at a time.
    """

    def __init__(self, database: Address) -> None:
        self.database = database
        self.outcomes: dict[int, Outcome] = {}

    def create(self) -> None:
        """Make the tables. Nothing in the log is unique: an entry that is there twice shall be seen."""
        self.database.execute(
            f"""
            CREATE TABLE accounts (id int PRIMARY KEY, amount bigint NOT NULL);
            CREATE TABLE log (number bigint NOT NULL);
            CREATE TABLE taken (number bigint PRIMARY KEY);
            INSERT INTO accounts SELECT id, {OPENING} FROM generate_series(0, {ACCOUNTS - 1}) AS id;
            INSERT INTO taken VALUES (0)
            """
        )

    def told(self, number: int, outcome: Outcome) -> None:
        """The caller of *number* was told that."""
        assert number not in self.outcomes, f"{number} was told twice: {self.outcomes[number]}, {outcome}"
        self.outcomes[number] = outcome

    def audit(self) -> Findings:
        """Compare what is there with what was told."""
        findings = Findings()
        ((amount,),) = self.database.execute("SELECT sum(amount) FROM accounts")
        findings.balance = int(amount) - TOTAL
        there = Counter(number for (number,) in self.database.execute("SELECT number FROM log"))
        for number, times in there.items():
            if times > 1:
                findings.doubled.append(number)
            if number not in self.outcomes:
                findings.strangers.append(number)
        for number, outcome in self.outcomes.items():
            if outcome is Outcome.DONE and number not in there:
                findings.missing.append(number)
            elif outcome is Outcome.NOT_DONE and number in there:
                findings.phantoms.append(number)
            elif outcome is Outcome.UNKNOWN:
                findings.known["done" if number in there else "not done"] += 1
        return findings


def fresh(cursor: Any, number: int) -> None:
    """See that nobody else is, or was, in this transaction, and say whose it is now.

    Raises: Dirty.
    """
    cursor.execute(FRESH)
    ((owner, written),) = cursor.fetchall()
    if owner or written is not None:
        raise Dirty(f"the transaction of {number} began with that of {owner or 'somebody'} (xid {written})")
    cursor.execute("SET LOCAL ledger.owner = %s", (str(number),))


def move(cursor: Any, number: int, source: int, target: int, amount: int, pause: float = 0.0) -> int:
    """An interaction: move *amount*, and write that down. With *pause*, it takes the server so many seconds more.

    Raises: Dirty, and what the driver raises.
    """
    fresh(cursor, number)
    for account, change in sorted(((source, -amount), (target, amount))):  # in one order: no deadlocks
        cursor.execute("UPDATE accounts SET amount = amount + %s WHERE id = %s", (change, account))
    if pause:
        cursor.execute("SELECT pg_sleep(%s)", (pause,))
    cursor.execute("INSERT INTO log VALUES (%s)", (number,))
    return number
