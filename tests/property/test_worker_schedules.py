"""Random schedules of a real crew: calls of every kind, and all that can happen to them, with threads that take turns.

What the database does is drawn from the seed too: it answers, refuses, goes away, hangs until it is told to stop or is
cut, or for good. It says what must be true of every connection; the end of a schedule, what must be true of every call.
"""

from __future__ import annotations

import gc
import logging
import math
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asyncdb import CommitUnknown, ConnectionPool, DeadlineExceeded, PoolClosed, PoolOverloaded
from asyncdb._worker import Crew, _steps, _yields
from netcore.defer import CancelledError, Deferred
from netcore.failure import Failure
from tests.property.crew_worlds import TurnHost, TurnLock, Turnstile

SCHEDULES = 100
"""A hundred times as many, with other seeds, are worth their time when the crew was changed."""
FINE_SCHEDULES = 20
"""Those that stop between the lines of the crew's own code, too."""

STEPS = 100
LATEST = 20_000


class Error(Exception):
    """PEP 249's."""


class OperationalError(Error):
    """The server went away, or said no."""


class Interrupted(Error):
    """The statement was told to stop."""


class Wanted:
    """A call that the schedule made.

    Attributes: *unwanted*, its caller has cancelled it, or its time is over: it may be interrupted.
    """

    def __init__(self, number: int, kind: str, latest: float) -> None:
        self.number = number
        self.kind = kind
        self.latest = latest
        self.unwanted = False
        self.too_late_to_commit = False
        self.answers: list[Any] = []
        self.deferred: Deferred[Any] | None = None
        self.expected: type[BaseException] | None = None  # what its function raises


class Database:
    """A DB-API module, and the database behind it."""

    paramstyle = "qmark"
    Error = Error
    OperationalError = OperationalError

    def __init__(self, world: World) -> None:
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

    def __init__(self, world: World) -> None:
        self.world = world
        self.inside: int | None = None  # the thread in a call on it
        self.lost = False
        self.shut = False
        self.cut = False
        self.told = False  # to stop; what is told late hits the next statement
        self.proven = False  # `prove` is at work
        self.interrupters = 0
        self.open: list[int] = []  # the calls in the transaction, none: no transaction
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

    def commit(self) -> None:
        world = self.world
        self.enter()
        try:
            self.fail_if_lost()
            committed, self.open = self.open, []
            for number in committed:
                self.world.must(
                    not world.calls[number].too_late_to_commit, f"call {number} was committed after it was cancelled"
                )
            if world.chance(world.trouble / 4):
                self.lost = True
                if world.chance(0.5):
                    world.committed.update(committed)
                raise OperationalError("the connection is lost")
            world.may_hang(self, world.trouble / 4)
            self.fail_if_lost()
            world.committed.update(committed)
        finally:
            self.leave()

    def rollback(self) -> None:
        self.enter()
        try:
            self.fail_if_lost()
            self.open = []
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
        self.world.must(not self.interrupters or world.over(number), "handed out while somebody interrupts it")
        self.world.must(not self.told or world.over(number), "handed out before an interrupt has hit")
        self.world.must(
            self.open in ([], [number] * len(self.open)), f"call {number} was handed the transaction of {self.open}"
        )
        self.doing = number
        self.enter()
        try:
            world.executed[number] += 1
            self.fail_if_lost()
            world.may_hang(self, world.trouble, interruptible=True)
            self.fail_if_lost()
            if self.told:
                self.world.must(world.over(number), f"an interrupt hit call {number}, which it was not meant for")
            self.fail_if_told()
            if world.chance(world.trouble / 2):
                self.lost = True
                raise OperationalError("the connection is lost")
            if world.chance(world.trouble):
                raise Error("a mistake in the statement")
            self.open.append(number)
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

    def execute(self, statement: Any) -> None:
        if statement == "SELECT 1":
            self._connection.ping()
        else:
            self._number = statement
            self._connection.execute(statement)

    def fetchall(self) -> list[int]:
        return [self._number]

    def close(self) -> None: ...


KINDS = ("query", "operation", "interaction", "with connection", "lend")


class World:
    """A pool, its callers and its database, all of whose choices come from *seed*."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch, fine: bool = False) -> None:
        self.pick = pick = random.Random(seed)
        self.turnstile = Turnstile(pick, pick.choice([0.2, 0.5, 1.0]), pick.choice([0.02, 0.2]) if fine else 0.0)
        monkeypatch.setattr(_yields, "hook", self.turnstile.place)
        if fine:
            monkeypatch.setattr(_steps, "make_lock", lambda: TurnLock(self.turnstile))
        self.host = TurnHost()
        self.trouble = pick.choice([0.0, 0.02, 0.1, 0.3])
        self.stuck_for_good = pick.random() < 0.3
        self.healed = False
        self.up = True
        self.calls: dict[int, Wanted] = {}
        self.committed: Counter[int] = Counter()
        self.executed: Counter[int] = Counter()
        self.lent: list[Any] = []
        self.others: list[list[Any]] = []  # what ready() and suspend() came to
        self.suspensions: list[list[Any]] = []
        self.wrong: list[str] = []
        self.database = Database(self)
        limits: dict[str, Any] = {
            "cp_max": pick.choice([1, 2, 3]),
            "cp_max_waiting": pick.choice([2, 1000, 1000, 1000]),
            "cp_timeout": pick.choice([None, None, 0.05, 0.5]),
            "cp_wait_timeout": pick.choice([None, 3.0]),
            "cp_check_after": pick.choice([None, 0.05]),
            "cp_max_idle": pick.choice([None, 0.3]),
            "cp_max_lifetime": pick.choice([None, 1.0]),
            "cp_leak_after": pick.choice([None, 0.1]),
            "cp_on_outage": lambda error: None,
        }
        limits["cp_min"] = pick.randint(0, limits["cp_max"])
        self.pool = ConnectionPool(self.database, **limits)
        self.timeout = limits["cp_timeout"] or math.inf
        self.prepare(pick.random() < 0.75)
        pool: Any = self.pool
        pool._tasks.prepare()
        self.crew = Crew(pool._options, pool._driver, self.host, "schedule", pool.disconnect)
        pool._crew = self.crew
        threads: Any = self.crew._threads
        threads.callInThread = self.turnstile.wrap(threads.callInThread)

    def prepare(self, interrupts: bool) -> None:
        """Say of the driver what a generic one cannot know."""
        driver: Any = self.pool._driver
        driver.in_transaction = lambda connection: bool(connection.open)
        driver.left_open = lambda connection: bool(connection.open)
        driver.cut = self.cut
        driver.can_interrupt = interrupts
        driver.interrupt = self.interrupt
        driver.prove = self.prove

    # What the database does.

    def must(self, true: bool, what: str) -> None:
        """In a worker thread, where an AssertionError would be the result of a call."""
        if not true:
            self.wrong.append(what)

    def chance(self, probability: float) -> bool:
        return not self.healed and self.pick.random() < probability

    def may_hang(self, connection: Connection | None, probability: float, interruptible: bool = False) -> None:
        if not self.chance(probability):
            return
        if self.stuck_for_good and self.pick.random() < 0.2:
            self.turnstile.wait_until(lambda: self.healed)
            return
        later = self.host.seconds() + self.pick.uniform(0.0, 20.0)

        def may() -> bool:
            over = self.healed or self.host.seconds() >= later
            return over or (connection is not None and (connection.cut or (interruptible and connection.told)))

        self.turnstile.wait_until(may)

    def cut(self, connection: Connection) -> None:
        self.must(not connection.shut, "cut after it was closed")
        connection.cut = True

    def interrupt(self, connection: Connection) -> None:
        self.must(not connection.shut, "interrupted after it was closed")
        connection.interrupters += 1
        try:
            self.turnstile.place("interrupt")
            self.may_hang(None, self.trouble)
            if self.chance(self.trouble):
                raise OperationalError("no way to the server")
            number = connection.doing
            if number is None and self.pick.random() < 0.5:
                return  # nothing to stop
            self.must(number is None or self.over(number), f"call {number} was interrupted, and is wanted")
            connection.told = True
        finally:
            self.turnstile.place("interrupt")
            connection.interrupters -= 1

    def prove(self, connection: Connection) -> None:
        connection.proven = True
        for _ in range(3):
            try:
                if connection.open:
                    connection.rollback()
                connection.ping()
                connection.proven = False
                return
            except Interrupted:
                pass
        raise OperationalError("it does not come to rest")

    def over(self, number: int) -> bool:
        """Whether nobody waits for that call any more: it may be interrupted."""
        call = self.calls[number]
        return call.unwanted or self.host.seconds() >= call.latest

    # What callers do.

    def call(self) -> None:
        number = len(self.calls) + 1
        pick, pool = self.pick, self.pool
        call = Wanted(number, pick.choice(KINDS), self.host.seconds() + self.timeout)
        self.calls[number] = call
        if call.kind == "query":
            deferred: Any = pool.runQuery(number)
        elif call.kind == "operation":
            deferred = pool.runOperation(number)
        elif call.kind == "interaction":
            if pick.random() < 0.2:
                call.expected = LookupError
            deferred = pool.runInteraction(self.interaction, call)
        elif call.kind == "with connection":
            deferred = pool.runWithConnection(self.with_connection, call)
        else:
            deferred = pool.connect()
        call.deferred = deferred
        deferred.addBoth(self.answered, call)

    def interaction(self, transaction: Any, call: Wanted) -> int:
        for _ in range(self.pick.randint(1, 2)):
            transaction.execute(call.number)
            self.turnstile.place("function")
        if call.expected is not None:
            raise call.expected
        return call.number

    def with_connection(self, connection: Any, call: Wanted) -> int:
        cursor = connection.cursor()
        for _ in range(self.pick.randint(0, 2)):
            cursor.execute(call.number)
            if self.pick.random() < 0.3:
                connection.rollback()
        return call.number

    def answered(self, result: Any, call: Wanted) -> None:
        call.unwanted = True
        call.deferred = None
        if isinstance(result, Failure):
            call.answers.append(result.value)
        elif call.kind == "lend":
            call.answers.append(None)  # not the connection: nothing may keep one that is dropped
            self.lent.append(result)
        else:
            call.answers.append(result)

    def cancel(self) -> None:
        waiting = [call for call in self.calls.values() if call.deferred is not None]
        if waiting:
            running = [call for call in waiting if self.executed[call.number]]
            call = self.pick.choice(running if running and self.pick.random() < 0.8 else waiting)
            deferred = call.deferred
            assert deferred is not None
            call.unwanted = True
            deferred.cancel()
            assert call.answers, "cancel answers at once"
            if isinstance(call.answers[0], CancelledError) and not self.committed[call.number]:
                call.too_late_to_commit = True

    def use_lent(self) -> None:
        if not self.lent:
            return
        connection = self.lent.pop(self.pick.randrange(len(self.lent)))
        way = self.pick.random()
        if way < 0.1:
            del connection  # dropped: it comes back by itself
            return
        self.pool.disconnect(connection).addErrback(lambda failure: self.others.append([failure.value]))

    def ask(self, method: Callable[[], Any]) -> list[Any]:
        answers: list[Any] = []
        self.others.append(answers)
        deferred = method()
        deferred.addBoth(answers.append)
        if self.pick.random() < 0.2:
            deferred.cancel()
        return answers

    def step(self) -> None:
        pick, way = self.pick, self.pick.random()
        if way < 0.22:
            self.call()
        elif way < 0.55:
            self.turnstile.let_go_on(pick.randint(1, 8))
        elif way < 0.65:
            self.host.turn()
        elif way < 0.80:
            self.cancel()
            self.turnstile.let_go_on(pick.randint(0, 8))
        elif way < 0.83:
            self.host.clock.advance(pick.choice([0.001, 0.01, 0.1, 0.1, 1.0, 3.0]))
        elif way < 0.87:
            self.host.pass_time()
        elif way < 0.90:
            self.use_lent()
        elif way < 0.91:
            self.up = not self.up
        elif way < 0.92:
            self.pool.evictAll()
        elif way < 0.93:
            self.suspensions.append(self.ask(self.pool.suspend))
        elif way < 0.97:
            self.pool.resume()
            self.up = self.up or pick.random() < 0.5
        elif way < 0.98:
            self.ask(self.pool.ready)
        else:
            self.check_now()

    # What must be true.

    def check_now(self) -> None:
        stats = self.pool.stats()
        assert stats.total <= stats.max
        assert stats.abandoned <= stats.max
        assert len(self.crew._threads.threads) <= 4 * stats.max

    def check_armed(self) -> None:
        """While nothing happens by itself, the timer is set for the next moment at which something is due."""
        crew = self.crew
        if not (self.host.asked or self.turnstile.able()):
            assert crew._armed_for <= crew.core.wake_at or crew.core.drained, "nobody will come when it is time"

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            self.check_armed()
        if self.pick.random() < 0.5:
            self.come_to_rest()
        self.end()
        self.check_calls()

    def go_on_until(self, over: Callable[[], bool], what: str) -> None:
        for _ in range(LATEST):
            if over():
                return
            if self.turnstile.let_go_on(1) or self.host.turn():
                continue
            self.check_armed()
            if not self.host.pass_time():
                for thread in list(self.crew._threads.threads):
                    thread.join(5)
                assert self.host.asked, f"nothing is left to happen, but not: {what}"
        raise AssertionError(f"in so many steps, not: {what}")

    def come_to_rest(self) -> None:
        """Everything is well again, and nobody wants anything more: then every connection is at rest, or closed."""
        self.up = True
        self.healed = True
        if self.crew.core.suspended:
            self.go_on_until(self.all_suspended, "who has suspended the pool hears that nothing runs")
        self.pool.resume()
        self.go_on_until(self.all_answered, "every call is answered")
        self.lent_back()
        crew = self.crew
        self.go_on_until(
            lambda: not (self.turnstile.stuck or self.host.asked or crew.core.strays or crew._delivery.results),
            "every thread is at rest",
        )
        stats = self.pool.stats()
        assert stats.total == stats.idle + stats.lent, stats
        assert len(self.database.open()) == stats.total
        assert stats.lent == 0
        for connection in self.database.open():
            assert connection.open == []
            assert not connection.told
        calls = stats.submitted, len([call for call in self.calls.values() if not refused(call)])
        assert calls[0] == calls[1]

    def all_answered(self) -> bool:
        self.lent_back()  # others may wait for it
        return all(call.answers for call in self.calls.values())

    def all_suspended(self) -> bool:
        self.lent_back()
        return all(self.suspensions)

    def lent_back(self) -> None:
        while self.lent:
            self.use_lent()
            gc.collect(0)

    def end(self) -> None:
        closed: list[Any] = []
        self.pool.close(self.pick.choice([0.0, 1.0, 5.0])).addBoth(closed.append)
        if self.pick.random() < 0.5:
            self.call()
        began = self.host.seconds()
        self.go_on_until(lambda: bool(closed), "the pool has closed")
        assert closed == [None]
        assert self.host.seconds() - began <= 5.0 + 2.0 + 0.1
        self.healed = True
        while self.lent:
            self.pool.disconnect(self.lent.pop())
        self.go_on_until(lambda: not self.turnstile.stuck, "every thread has come back")
        for thread in list(self.crew._threads.threads):
            thread.join(10)
        self.host.turn()
        assert not self.crew._threads.threads
        assert not self.database.open(), "a connection was left open"

    def check_calls(self) -> None:
        for number, call in self.calls.items():
            assert len(call.answers) == 1, f"call {number} was answered {len(call.answers)} times"
            (answer,) = call.answers
            commits = self.committed[number]
            if isinstance(answer, (PoolOverloaded,)) or "nothing of" in str(answer) or "was not made" in str(answer):
                assert not self.executed[number]
            if call.kind == "lend":
                continue
            if not isinstance(answer, BaseException):
                assert answer in (number, [number], None)
                assert commits or call.kind == "with connection"
            elif isinstance(answer, (LookupError, Interrupted, OperationalError)) or type(answer) is Error:
                assert not commits, f"{call.kind} {number} failed with {answer!r} and was committed"
            else:
                assert isinstance(
                    answer, (CancelledError, CommitUnknown, DeadlineExceeded, PoolClosed, PoolOverloaded, TypeError)
                ), repr(answer)
        for answers in self.others:
            assert len(answers) == 1


def refused(call: Wanted) -> bool:
    return any(isinstance(answer, PoolOverloaded) or "was not made" in str(answer) for answer in call.answers)


class Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


@pytest.fixture
def errors() -> Iterator[list[str]]:
    handler = Errors()
    for name in ("asyncdb", "netcore"):
        logging.getLogger(name).addHandler(handler)
    yield handler.messages
    for name in ("asyncdb", "netcore"):
        logging.getLogger(name).removeHandler(handler)


def run(seed: int, fine: bool, errors: list[str]) -> World:
    with pytest.MonkeyPatch.context() as patch:
        world = World(seed, patch, fine)
        try:
            world.run(STEPS)
            assert not world.wrong, world.wrong
            assert errors == []
        except BaseException as error:
            error.add_note(f"seed {seed}, fine={fine}")
            raise
    return world


@pytest.mark.parametrize("first", range(0, SCHEDULES, 20))
def test_whatever_threads_do_in_whatever_order_each_call_is_answered_once(first: int, errors: list[str]) -> None:
    for seed in range(first, first + 20):
        run(seed, False, errors)


def test_the_same_between_the_lines_of_the_crew(errors: list[str]) -> None:
    for seed in range(FINE_SCHEDULES):
        run(seed, True, errors)


if __name__ == "__main__":
    import sys

    handler = Errors()
    for name in ("asyncdb", "netcore"):
        logging.getLogger(name).addHandler(handler)
    begin, end = int(sys.argv[1]), int(sys.argv[2])
    passed = 0
    for seed in range(begin, end):
        passed += run(seed, len(sys.argv) > 3, handler.messages).turnstile.passed
    sys.stdout.write(f"{end - begin} schedules, {passed} places passed\n")
