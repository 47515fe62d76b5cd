"""The database of a crew's schedules: a DB-API module that answers, refuses, goes away and hangs as its world says.

What its connections assert is what the crew promises of every one.
"""

from __future__ import annotations

import threading
from typing import Any

from asyncdb import _sharing
from netcore.defer import Deferred

__all__ = [
    "SHARING",
    "CommitFailed",
    "Connection",
    "Cursor",
    "Database",
    "Error",
    "Interrupted",
    "OperationalError",
    "Wanted",
]

SHARING = ("query", "operation")
"""The kinds of calls that may share a transaction, where there are turns."""


class Error(Exception):
    """PEP 249's."""


class OperationalError(Error):
    """The server went away, or said no."""


class Interrupted(Error):
    """The statement was told to stop."""


class CommitFailed(Error):
    """SQLite's, for whatever reason. Nothing of *numbers* is committed."""

    def __init__(self, numbers: set[int]) -> None:
        super().__init__("the disk is full")
        self.numbers = numbers


class Wanted:
    """A call that the schedule made.

    Attributes: *unwanted*, its caller has cancelled it, or its time is over: it may be interrupted.
    """

    job: Any = None

    def __init__(self, number: int, kind: str, latest: float) -> None:
        self.number = number
        self.kind = kind
        self.latest = latest
        self.unwanted = False
        self.too_late_to_commit = False
        self.dropped = False  # nobody waits for it, and nothing of it is there: it must not be executed any more
        self.held_up = False  # it waits, and the pool is suspended
        self.answers: list[Any] = []
        self.deferred: Deferred[Any] | None = None
        self.expected: type[BaseException] | None = None  # what its function raises


class Database:
    """A DB-API module, and the database behind it."""

    paramstyle = "qmark"
    Error = Error
    OperationalError = OperationalError

    def __init__(self, world: Any) -> None:
        self.world = world
        self.connections: list[Connection] = []

    def connect(self) -> Connection:
        world = self.world
        world.turnstile.place("connect")
        world.may_hang(None, world.trouble / 4)
        if not world.up or world.chance(world.trouble / 2):
            if world.chance(0.1):
                raise TypeError("no such argument")
            raise OperationalError("refused")
        connection = Connection(world)
        self.connections.append(connection)
        return connection

    def open(self) -> list[Connection]:
        return [connection for connection in self.connections if not connection.shut]


class Connection:
    """One connection. What it asserts is what the crew promises of every one."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.inside: int | None = None  # the thread in a call on it
        self.lost = False
        self.shut = False
        self.cut = False
        self.told = False  # to stop; what is told late hits the next statement
        self.proven = False  # `prove` is at work
        self.interrupters = 0
        self.begun = False  # a transaction is open ...
        self.open: list[int] = []  # ... and these calls have executed something in it
        self.shared = False  # it is for statements of several calls
        self.failed = False  # and has to be undone
        self.refused: int | None = None  # the call whose statement failed in it
        self.doing: int | None = None  # the call whose statement is being executed

    @property
    def closed(self) -> bool:
        return self.lost or self.shut

    def enter(self) -> None:
        self.world.must(not self.shut, "used after it was closed")
        self.world.must(self.inside is None, f"used by two threads: {self.inside} and {threading.get_ident()}")
        self.inside = threading.get_ident()
        self.world.turnstile.place("driver")

    def leave(self) -> None:
        self.world.turnstile.place("driver")
        self.inside = None

    def fail_if_lost(self) -> None:
        if self.cut:
            self.lost = True
        if self.lost:
            raise OperationalError("the connection is lost")

    def fail_if_told(self) -> None:
        if self.told:
            self.told = False
            raise Interrupted("told to stop")

    def cursor(self) -> Cursor:
        return Cursor(self)

    def begin(self) -> None:
        self.enter()
        try:
            self.fail_if_lost()
            self.begun = True
        finally:
            self.leave()

    def begin_shared(self) -> bool:
        world = self.world
        self.enter()
        try:
            world.must(not self.begun, "a transaction in a transaction")
            world.must(world.turns.holder is self, "a transaction is begun out of turn")
            if self.cut or self.lost or world.chance(max(world.trouble / 4, 0.02)):
                return False
            if self.told and world.toss():
                self.told = False
                return False
            self.begun = self.shared = True
            return True
        finally:
            self.leave()

    def commit(self) -> None:
        world = self.world
        self.enter()
        try:
            self.fail_if_lost()
            if self.shared:
                self.fail_to_commit()
            else:
                world.must(not self.told, "a late interrupt hits a COMMIT")
            shared, committed = self.shared, self.ended()
            for number in committed:
                world.must(
                    not world.calls[number].too_late_to_commit, f"call {number} was committed after it was cancelled"
                )
            if world.chance(world.trouble / 4):
                self.lost = True
                if not shared and world.chance(0.5):
                    world.commit(committed)
                else:
                    world.undone(shared, committed)
                raise OperationalError("the connection is lost")
            world.may_hang(self, world.trouble / 4)
            try:
                self.fail_if_lost()
            except OperationalError:
                world.undone(shared, committed)
                raise
            world.commit(committed)
            if shared and len(committed) > 1:
                world.reached["committed together"] += len(committed)
        finally:
            self.leave()

    def fail_to_commit(self) -> None:
        """As SQLite does: nothing is committed then, and the transaction may be open still."""
        world = self.world
        world.must(world.turns.holder is self, "committed out of turn")
        try:
            self.fail_if_told()
            if world.chance(world.trouble):
                raise CommitFailed(set(self.open))
        except Error:
            self.failed = True
            world.reached["failed COMMIT"] += 1
            if world.toss():
                self.undo()
            raise

    def held(self) -> list[int]:
        """The calls that wait for the COMMIT of others."""
        return [number for number in self.open if self.shared and number != self.doing]

    def ended(self) -> set[int]:
        """The transaction is. Returns the calls that were in it."""
        was, self.open = self.open, []
        self.begun = self.shared = self.failed = False
        self.refused = None
        return set(was)

    def undo(self) -> None:
        shared = self.shared
        self.world.undone(shared, self.ended())

    def rollback(self) -> None:
        self.enter()
        try:
            self.fail_if_lost()
            involved = [*self.open, *([] if self.refused is None else [self.refused])]
            given_up = self.world.crew.core.closing or any(self.world.over(number) for number in involved)
            self.failed = self.failed or given_up or not self.open
            self.world.must(not self.shared or self.failed, f"{self.open} were undone for no reason")
            if self.told and self.world.turns is not None and self.world.toss():
                self.fail_if_told()
            self.undo()
            self.world.may_hang(self, self.world.trouble / 8)
            self.fail_if_lost()
        finally:
            self.leave()

    def ping(self) -> None:
        self.enter()
        try:
            self.world.may_hang(self, self.world.trouble / 4)
            self.fail_if_lost()
            self.world.must(not self.told or self.proven, "a late interrupt hits a ping that nobody repeats")
            self.fail_if_told()
        finally:
            self.leave()

    def execute(self, number: int) -> None:
        world = self.world
        call = world.calls[number]
        others = set(self.open) - {number}
        world.must(not self.interrupters or world.over(number), "handed out while somebody interrupts it")
        world.must(not self.told or world.over(number), "handed out before an interrupt has hit")
        world.must(
            not others or (self.shared and call.kind in SHARING),
            f"call {number} was handed the transaction of {self.open}",
        )
        world.must(not self.shared or world.turns.holder is self, "a shared transaction without its turn")
        world.must(not call.dropped, f"call {number} was executed, for nobody")
        world.must(not (call.held_up and world.crew.core.suspended), f"call {number} was executed in a suspended pool")
        if call.job is not None and call.kind in SHARING:
            world.must(not call.job.committing, f"call {number} could not be interrupted")
        self.doing = number
        self.enter()
        try:
            world.executed[number] += 1
            again = [each for each in (number, *others) if world.executed[each] > 1]
            world.must(not (others and again), f"{again} were made again, and not alone")
            world.reached["made again"] += call.kind in SHARING and world.executed[number] > 1
            self.fail_if_lost()
            world.may_hang(self, world.trouble, interruptible=True)
            self.fail_if_lost()
            if self.told:
                world.must(world.over(number), f"an interrupt hit call {number}, which it was not meant for")
            self.fail_if_told()
            if world.chance(world.trouble / 2):
                self.lost = True
                raise OperationalError("the connection is lost")
            if world.chance(world.trouble):
                raise Error("a mistake in the statement")
            if world.turns is not None and not self.begun:
                world.commit({number})
                return
            self.begun = True
            self.open.append(number)
            world.must(not self.shared or len(self.open) <= _sharing.MOST, "too many in one transaction")
            world.reached["held"] += bool(others)
        except Error:
            self.refused = number
            if self.shared and not self.lost and world.toss():
                self.undo()
            raise
        finally:
            self.doing = None
            self.leave()

    def close(self) -> None:
        self.world.must(not self.interrupters, "closed while somebody interrupts it")
        if not self.shut:
            self.enter()
            self.world.may_hang(None, self.world.trouble / 16)
            self.shut = True
            self.leave()


class Cursor:
    description = (("one",),)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number = 0

    def execute(self, statement: str, numbers: tuple[int, ...] = ()) -> None:
        if statement == "SELECT 1":
            self._connection.ping()
        else:
            (self._number,) = numbers
            self._connection.execute(self._number)

    def fetchall(self) -> list[int]:
        return [self._number]

    def close(self) -> None: ...
