"""Random schedules of a real crew: calls of every kind, and all that can happen to them, with threads that take turns.

What the database does is drawn from the seed too: it answers, refuses, goes away, hangs until it is told to stop or is
cut, or for good. It says what must be true of every connection; the end of a schedule, what must be true of every call.
"""

from __future__ import annotations

import gc
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asyncdb import CommitUnknown, ConnectionPool, DeadlineExceeded, PoolClosed, PoolOverloaded, _sharing
from asyncdb._core import JobState
from asyncdb._tasks import Tasks
from asyncdb._worker import Crew, _steps, _yields
from asyncdb._worker._call import NOTHING
from netcore.defer import CancelledError
from netcore.failure import Failure
from tests.property.crew_database import (
    SHARING,
    CommitFailed,
    Connection,
    Database,
    Error,
    Interrupted,
    OperationalError,
    Wanted,
)
from tests.property.crew_worlds import TurnHost, TurnLock, Turnstile, VirtualTurns

SCHEDULES = 100
"""A hundred times as many, with other seeds, are worth their time when the crew was changed."""
FINE_SCHEDULES = 20
"""Those that stop between the lines of the crew's own code, too."""

STEPS = 100
LATEST = 20_000


SHARING_SCHEDULES = 100
"""Those of calls that share transactions."""
FINE_SHARING_SCHEDULES = 40

TEXTS = ("write", "write", "write otherwise")
REACHED = ("held", "committed together", "failed COMMIT", "undone", "given up while held", "made again")
KINDS = ("query", "operation", "interaction", "with connection", "lend")


class World:
    """A pool, its callers and its database, all of whose choices come from *seed*.

    Args:
        fine: threads stop between the lines of the crew's own code, too.
        sharing: only one may write at a time, and calls of one statement share transactions.
    Attributes: *reached*, how often that has come about.
    """

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch, fine: bool = False, sharing: bool = False) -> None:
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
        self.reached: Counter[str] = Counter()
        self.turns: VirtualTurns | None = None
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
        if sharing:
            monkeypatch.setattr(_sharing, "MOST", pick.choice([2, 3, 64]))
            self.prepare_turns()
            pool._tasks = Tasks(pool, pool._driver)
        pool._tasks.prepare()
        self.crew = Crew(pool._options, pool._driver, self.host, "schedule", pool.disconnect)
        pool._crew = self.crew
        threads: Any = self.crew._threads
        threads.callInThread = self.turnstile.wrap(threads.callInThread)

    def prepare(self, interrupts: bool) -> None:
        """Say of the driver what a generic one cannot know."""
        driver: Any = self.pool._driver
        driver.in_transaction = driver.left_open = lambda connection: connection.begun
        driver.cut = self.cut
        driver.can_interrupt = interrupts
        driver.interrupt = self.interrupt
        driver.prove = self.prove

    def prepare_turns(self) -> None:
        """The same of one that lets one write at a time."""
        driver: Any = self.pool._driver
        driver.turns = self.turns = turns = VirtualTurns(self.turnstile, self.host.seconds)
        driver.busy_timeout = self.pick.choice([0.05, 5.0])
        driver.may_autocommit = lambda connection: True
        driver.autocommit = lambda connection: None
        driver.begin = lambda connection, options: connection.begin()
        driver.may_share = lambda statement: True
        driver.begin_shared = lambda connection: connection.begin_shared()

        def go_on(connection: Any) -> None:
            turns.give(connection)
            connection.begin()

        driver.go_on = go_on

    # What the database does.

    def must(self, true: bool, what: str) -> None:
        """In a worker thread, where an AssertionError would be the result of a call."""
        if not true:
            self.wrong.append(what)

    def chance(self, probability: float) -> bool:
        return not self.healed and self.pick.random() < probability

    def toss(self) -> bool:
        return self.pick.random() < 0.5

    def commit(self, numbers: set[int]) -> None:
        for number in numbers:
            self.must(not self.committed[number], f"call {number} was committed twice")
        self.committed.update(numbers)

    def undone(self, shared: bool, numbers: set[int]) -> None:
        for number in numbers:
            call = self.calls[number]
            call.dropped = call.dropped or (shared and bool(call.answers))
        if shared and len(numbers) > 1:
            self.reached["undone"] += len(numbers)

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
                if connection.begun:
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
        pick = self.pick
        sharing = self.turns is not None and pick.random() < 0.8
        call = Wanted(number, pick.choice(SHARING if sharing else KINDS), self.host.seconds() + self.timeout)
        pool: Any = self.pool
        if self.turns is not None and pick.random() < 0.4:
            limit = pick.choice([0.02, 0.2, 2.0])
            call.latest = self.host.seconds() + limit
            pool = pool.using(timeout=limit, priority=pick.choice(["normal", "normal", "normal", "high"]))
        self.calls[number] = call
        call.held_up = self.crew.core.suspended
        if call.kind == "query":
            deferred: Any = pool.runQuery(pick.choice(TEXTS), (number,))
        elif call.kind == "operation":
            deferred = pool.runOperation(pick.choice(TEXTS), (number,))
        elif call.kind == "interaction":
            if pick.random() < 0.2:
                call.expected = LookupError
            deferred = pool.runInteraction(self.interaction, "write", call)
        elif call.kind == "with connection":
            deferred = pool.runWithConnection(self.with_connection, call)
        else:
            deferred = pool.connect()
        call.deferred = deferred
        call.job = deferred._canceller
        deferred.addBoth(self.answered, call)

    def interaction(self, transaction: Any, text: str, call: Wanted) -> int:
        for _ in range(self.pick.randint(1, 2)):
            transaction.execute(text, (call.number,))
            self.turnstile.place("function")
        if call.expected is not None:
            raise call.expected
        return call.number

    def with_connection(self, connection: Any, call: Wanted) -> int:
        cursor = connection.cursor()
        for _ in range(self.pick.randint(0, 2)):
            cursor.execute("write", (call.number,))
            if self.pick.random() < 0.3:
                connection.rollback()
        return call.number

    def answered(self, result: Any, call: Wanted) -> None:
        if not isinstance(result, Failure):
            early = call.kind in (*SHARING, "interaction") and not self.committed[call.number]
            self.must(not early, f"call {call.number} had its result before it was committed")
        elif isinstance(result.value, Interrupted):
            self.must(self.over(call.number), f"call {call.number} was told of another's interrupt")
        elif isinstance(result.value, CommitFailed):
            self.must(result.value.numbers == {call.number}, f"call {call.number} was told of another's COMMIT")
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
            held = any(call.number in connection.held() for connection in self.database.connections)
            self.reached["given up while held"] += held
            deferred.cancel()
            assert call.answers, "cancel answers at once"
            call.dropped = call.job is not None and call.job.task is NOTHING
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
            for _ in range(1 if self.turns is None else pick.choice([1, 1, 4, 8])):
                self.call()
        elif way < 0.55:
            far = self.turns is not None and pick.random() < 0.2
            self.turnstile.let_go_on(80 if far else pick.randint(1, 8))
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
            for each in self.calls.values():
                each.held_up = not each.answers and (each.job is None or each.job.state is JobState.WAITING)
        elif way < 0.97:
            for each in self.calls.values():
                each.held_up = False
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

    def check_strays(self) -> None:
        """Whoever has a call on a connection that was given up has been answered."""
        for stray in self.crew.core.strays:
            for job in (*stray.held, stray.job):
                assert job is None or job.state is not JobState.RUNNING

    def check_armed(self) -> None:
        """While nothing happens by itself, the timer is set for the next moment at which something is due."""
        crew = self.crew
        if not (self.host.asked or self.turnstile.able()):
            assert crew._armed_for <= crew.core.wake_at or crew.core.drained, "nobody will come when it is time"
            due_at = crew.core._next_due(self.host.seconds())
            assert crew.core.due_at <= due_at or crew.core.drained, "nobody knows of what is to come"
            if not crew._delivery.results:
                for call in self.calls.values():
                    late = not call.answers and crew._armed_for > call.latest
                    assert not late, f"nobody will come when the time of call {call.number} is over"

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            self.check_armed()
            self.check_strays()
        if self.pick.random() < 0.5:
            self.come_to_rest()
        self.end()
        self.check_calls()

    def go_on_until(self, over: Callable[[], bool], what: str) -> None:
        for _ in range(LATEST):
            self.check_strays()
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
        assert not any(entry.held for entry in crew.core.entries)
        assert all(call.job is None or call.job.state is JobState.DONE for call in self.calls.values())
        assert self.turns is None or self.turns.holder is None
        for connection in self.database.open():
            assert not connection.begun
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
        if self.turns is not None:
            for _ in range(self.pick.randint(0, 8)):
                self.call()
            until_held = self.toss()
            for _ in range(self.pick.randint(0, 80)):
                if until_held and any(connection.held() for connection in self.database.connections):
                    break
                self.turnstile.let_go_on(1)
            for _ in range(self.pick.randint(0, 4)):
                self.cancel()
        self.pool.close(self.pick.choice([0.0, 1.0, 5.0])).addBoth(closed.append)
        if self.pick.random() < 0.5:
            self.call()
        if self.turns is not None:
            for _ in range(self.pick.randint(0, 4)):
                self.cancel()
                self.turnstile.let_go_on(self.pick.randint(0, 8))
            if self.toss():
                self.host.turn()  # who has dropped a connection is heard of before it is cut
                self.host.clock.advance(5.0)
        began = self.host.seconds()
        self.go_on_until(lambda: bool(closed), "the pool has closed")
        assert closed == [None]
        assert all(call.answers for call in self.calls.values())
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
                undone = self.turns is not None and call.kind in SHARING and "was not made" not in str(answer)
                assert not self.executed[number] or (undone and not commits)
            if call.kind == "lend":
                continue
            assert commits <= 1
            if call.kind in ("interaction", "with connection"):
                assert not (commits and isinstance(answer, CancelledError)), f"call {number} is said to be undone"
            if not isinstance(answer, BaseException):
                assert answer in (number, [number], None)
                assert commits or call.kind == "with connection"
            elif isinstance(answer, (LookupError, Error)):
                assert not commits, f"{call.kind} {number} failed with {answer!r} and was committed"
            else:
                assert str(answer) == "no such argument" or isinstance(
                    answer, (CancelledError, CommitUnknown, DeadlineExceeded, PoolClosed, PoolOverloaded)
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


def run(seed: int, fine: bool, errors: list[str], sharing: bool = False) -> World:
    with pytest.MonkeyPatch.context() as patch:
        world = World(seed, patch, fine, sharing)
        try:
            world.run(STEPS)
            assert not world.wrong, world.wrong
            assert errors == []
        except BaseException as error:
            error.add_note(f"seed {seed}, fine={fine}, sharing={sharing}")
            raise
    return world


@pytest.mark.parametrize("first", range(0, SCHEDULES, 20))
def test_whatever_threads_do_in_whatever_order_each_call_is_answered_once(first: int, errors: list[str]) -> None:
    for seed in range(first, first + 20):
        run(seed, False, errors)


def test_the_same_between_the_lines_of_the_crew(errors: list[str]) -> None:
    for seed in range(FINE_SCHEDULES):
        run(seed, True, errors)


@pytest.mark.parametrize("fine", [False, True])
def test_calls_that_share_a_transaction_are_committed_once_or_made_again(fine: bool, errors: list[str]) -> None:
    reached: Counter[str] = Counter()
    for seed in range(FINE_SHARING_SCHEDULES if fine else SHARING_SCHEDULES):
        reached += run(seed, fine, errors, sharing=True).reached
    assert all(reached[what] for what in REACHED), reached


if __name__ == "__main__":
    import sys

    handler = Errors()
    for name in ("asyncdb", "netcore"):
        logging.getLogger(name).addHandler(handler)
    begin, end = int(sys.argv[1]), int(sys.argv[2])
    passed, reached = 0, Counter[str]()
    for seed in range(begin, end):
        world = run(seed, "fine" in sys.argv, handler.messages, "sharing" in sys.argv)
        passed += world.turnstile.passed
        reached += world.reached
    sys.stdout.write(f"{end - begin} schedules, {passed} places passed, {dict(reached)}\n")
