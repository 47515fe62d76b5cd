"""Calls that share a transaction on SQLite: each has what it would have had alone, and there are fewer COMMITs.

A group is made by suspending a pool of one connection until all calls wait. Where a call is to be met in the middle of
its statement, that calls ``pause()``, which waits for the test. No statement is slow unless a test says so.
"""

from __future__ import annotations

import math
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asyncdb import CommitUnknown, ConnectionPool, DeadlineExceeded, PoolClosed, PoolOverloaded, _sharing
from asyncdb.adbapi import Transaction
from netcore.defer import CancelledError, Deferred, DeferredList, gatherResults
from tests.integration.asyncdb.running import Drive, reached, runReactor
from tests.support.waiting import wait_until

INSERT = "INSERT INTO t VALUES (?)"
RETURNING = "INSERT INTO t VALUES (?) RETURNING x * 10"
PAUSE = "INSERT INTO t VALUES (pause(?))"
OR_ROLLBACK = "INSERT OR ROLLBACK INTO t VALUES (?)"
OR_FAIL = "INSERT OR FAIL INTO t VALUES (?), (?), (?)"
PARENT = "INSERT INTO parents VALUES (?)"
CHILD = "INSERT INTO children VALUES (?)"
ENDLESS = (
    "INSERT INTO t SELECT max(x) FROM "
    "(WITH RECURSIVE n(x) AS (SELECT pause(?) UNION ALL SELECT x FROM n) SELECT x FROM n)"
)
TEXTS = (INSERT, RETURNING, PAUSE, OR_ROLLBACK, OR_FAIL, PARENT, CHILD, ENDLESS)

MAKE = "CREATE TABLE t (x INTEGER UNIQUE)"

variable: ContextVar[int] = ContextVar("variable", default=0)


@pytest.fixture(autouse=True)
def all_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sharing, "QUICK", math.inf)
    monkeypatch.setattr(_sharing, "LONGEST", math.inf)


class Scene:
    """A database file, a pool of one connection, what SQLite executes on it, and a statement that is held up."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "db")
        self.executed: list[str] = []
        self.connections = 0
        self.paused_at: int | None = None
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def pool(self, database: str | None = None, **options: Any) -> ConnectionPool:
        options = {"cp_max": 1, "cp_openfun": self.open, **options}
        return known(ConnectionPool("sqlite3", self.path if database is None else database, **options))

    def open(self, connection: sqlite3.Connection) -> None:
        self.connections += 1
        connection.create_function("pause", 1, self._pause)
        connection.set_trace_callback(self.executed.append)

    def _pause(self, value: int) -> int:
        if value == self.paused_at and not self.go_on.is_set():
            self.reached.set()
            assert self.go_on.wait(60)
        return value

    @contextmanager
    def pausing(self, value: int) -> Iterator[None]:
        """Held up is the statement with *value*. At the end it goes on, whatever has become of the test."""
        self.paused_at = value
        try:
            yield
        finally:
            self.go_on.set()

    @property
    def commits(self) -> int:
        return self.executed.count("COMMIT")

    @property
    def transactions(self) -> list[int]:
        """How many statements each transaction had that was committed."""
        counts: list[int] = []
        count = None
        for statement in self.executed:
            if statement.startswith("BEGIN"):
                count = 0
            elif statement == "COMMIT":
                assert count is not None
                counts.append(count)
                count = None
            elif statement == "ROLLBACK":
                count = None
            elif count is not None and not statement.startswith(("PRAGMA", "SELECT 1 FROM sqlite_master")):
                count += 1
        return counts

    def rows(self, table: str = "t") -> list[int]:
        """What another connection sees, in the order in which it was written."""
        with closing(sqlite3.connect(self.path, timeout=0)) as other:
            return [row[0] for row in other.execute(f"SELECT x FROM {table} ORDER BY rowid")]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def known(pool: ConnectionPool) -> ConnectionPool:
    """*pool*, which knows that the texts of these tests are quick."""
    pool._tasks._shared._quick.update(dict.fromkeys(TEXTS, True))
    return pool


def together(pool: ConnectionPool, *calls: Callable[[], Deferred[Any]]) -> list[Deferred[Any]]:
    """Make *calls*, all of which wait before the first is begun."""
    pool.suspend()
    waiting = [call() for call in calls]
    pool.resume()
    return waiting


async def outcomes(calls: list[Deferred[Any]]) -> list[Any]:
    """What each of *calls* comes to: its result, or its error."""
    return [
        result if success else result.value for success, result in await DeferredList(list(calls), consumeErrors=True)
    ]


def kinds(results: list[Any]) -> list[Any]:
    return [type(result) if isinstance(result, BaseException) else result for result in results]


def inserts(pool: Any, *numbers: int, text: str = INSERT) -> list[Callable[[], Deferred[Any]]]:
    return [partial(pool.runQuery, text, (number,)) for number in numbers]


# ----------------------------------------------------------------------------------------------------------- one COMMIT


def test_calls_that_wait_are_committed_by_one_commit_in_their_order(drive: Drive, scene: Scene) -> None:
    seen: list[list[int]] = []

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            calls: list[Callable[[], Deferred[Any]]] = [
                partial(pool.runQuery, INSERT, (1,)),
                partial(pool.runOperation, INSERT, (2,)),
                partial(pool.runQuery, RETURNING, (3,)),
                partial(pool.runOperation, RETURNING, (4,)),
                partial(pool.runQuery, "INSERT INTO t VALUES (:x) RETURNING x * 10", {"x": 5}),
            ]
            pool._tasks._shared._quick["INSERT INTO t VALUES (:x) RETURNING x * 10"] = True
            waiting = together(pool, *calls, *inserts(pool, 6, 7, 8, text=RETURNING))
            for call in waiting:
                call.addCallback(lambda result: (seen.append(scene.rows()), result)[1])
            results = await outcomes(waiting)
            assert results == [[], None, [(30,)], None, [(50,)], [(60,)], [(70,)], [(80,)]]
            assert scene.transactions == [8]
            assert pool.stats().finished == 9

    drive(main)
    assert seen == [[1, 2, 3, 4, 5, 6, 7, 8]] * 8  # nobody has heard before


def test_nothing_is_to_be_seen_before_the_commit(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(3):
                waiting = together(pool, *inserts(pool, 1, 2), *inserts(pool, 3, text=PAUSE), *inserts(pool, 4))
                await reached(scene)
                assert scene.rows() == []
                assert not any(call.called for call in waiting)
                assert pool.stats().waiting == 1
            assert await outcomes(waiting) == [[]] * 4
            assert scene.transactions == [4]

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_a_text_that_nobody_knows_is_tried_first_and_then_joined(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            pool._tasks._shared._quick.clear()
            assert await outcomes(together(pool, *inserts(pool, 1, 2, 3, text=OR_ROLLBACK))) == [[]] * 3
            assert scene.transactions == [2]  # the first is made alone, and is known then
            calls = [*inserts(pool, 4, text=OR_ROLLBACK), *inserts(pool, 5, 6)]
            assert await outcomes(together(pool, *calls)) == [[]] * 3
            assert scene.transactions == [2]  # 4, which is known, did not wait for 5

    drive(main)
    assert scene.rows() == [1, 2, 3, 4, 5, 6]


def test_a_text_whose_commit_was_slow_may_be_quick_in_a_transaction(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            pool._tasks._shared._quick[INSERT] = False
            assert await outcomes(together(pool, *inserts(pool, 1, 2, 3))) == [[]] * 3
            assert scene.transactions == [3]

    drive(main)
    assert scene.rows() == [1, 2, 3]


@pytest.mark.parametrize("text", ["INSERT INTO t VALUES (?) -- " + 2000 * "x", "CREATE TABLE IF NOT EXISTS o (x)"])
def test_what_nobody_needs_to_know(drive: Drive, scene: Scene, text: str) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            await pool.runOperation(text, *([1],) * text.count("?"))
            assert text not in pool._tasks._shared._quick

    drive(main)


def test_a_call_that_nobody_waits_behind_has_no_transaction(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            for number in range(3):
                await pool.runQuery(INSERT, (number,))
            assert not [text for text in scene.executed if text.startswith("BEGIN")]

    drive(main)
    assert scene.rows() == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "value", "transactions"), [("MOST", 3, [3, 3]), ("LONGEST", 0.0, [1] * 6), ("QUICK", 0.0, [1] * 6)]
)
def test_a_transaction_has_its_limits(
    drive: Drive, scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, value: float, transactions: list[int]
) -> None:
    monkeypatch.setattr(_sharing, name, value)

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            assert await outcomes(together(pool, *inserts(pool, *range(7)))) == [[]] * 7
            assert scene.transactions == transactions  # the last has nobody behind it

    drive(main)
    assert scene.rows() == list(range(7))


def test_what_counts_is_each_statements_own_time_and_that_of_them_all(
    drive: Drive, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sharing, "QUICK", 10)
    monkeypatch.setattr(_sharing, "LONGEST", 20)
    now = [0]

    class Slow:
        """A value that takes 4 seconds."""

        def __init__(self, value: int) -> None:
            self.value = value

        def __conform__(self, protocol: object) -> int:
            now[0] += 4
            return self.value

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            assert pool._crew is not None
            monkeypatch.setattr(pool._crew.host, "seconds", lambda: now[0])
            numbers = (*range(12), 12, 13, 12, 14)
            results = await outcomes(
                together(pool, *(partial(pool.runQuery, INSERT, (Slow(number),)) for number in numbers))
            )
            assert kinds(results) == [[]] * 14 + [sqlite3.IntegrityError, []]
            assert scene.transactions == [6, 6, 3]

    drive(main)
    assert scene.rows() == list(range(15))


def test_a_text_that_was_slow_is_joined_to_nothing_any_more(
    drive: Drive, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            await outcomes(together(pool, *inserts(pool, 1), *inserts(pool, 2, 3, text=PAUSE)))
            assert scene.transactions == [3]
            with monkeypatch.context() as patch:
                patch.setattr(_sharing, "QUICK", 0.0)
                await outcomes(together(pool, *inserts(pool, 4, 5, text=PAUSE)))
            assert scene.transactions == [3, 1]
            await outcomes(together(pool, *inserts(pool, 6, 7), *inserts(pool, 8, text=PAUSE), *inserts(pool, 9)))
            assert scene.transactions == [3, 1, 2, 2]  # and is tried anew

    drive(main)
    assert scene.rows() == list(range(1, 10))


def test_nobody_joins_after_a_statement_that_was_slow(
    drive: Drive, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(2):
                waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=PAUSE), *inserts(pool, 3, 4))
                await reached(scene)
                monkeypatch.setattr(_sharing, "QUICK", 0.0)
            assert await outcomes(waiting) == [[]] * 4
            assert scene.transactions == [2, 1]

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


@pytest.mark.parametrize("end", ["error", "cancel"])
def test_a_text_that_was_slow_and_failed_is_joined_to_nothing_any_more(
    drive: Drive, scene: Scene, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            await pool.runQuery(INSERT, (1,))
            number = 1 if end == "error" else 2
            with scene.pausing(number), monkeypatch.context() as patch:
                waiting = together(pool, *inserts(pool, 3), *inserts(pool, number, text=PAUSE))
                await reached(scene)
                patch.setattr(_sharing, "QUICK", 0.0)
                if end == "cancel":
                    waiting[1].cancel()
                scene.go_on.set()
                error = CancelledError if end == "cancel" else sqlite3.IntegrityError
                assert kinds(await outcomes(waiting)) == [[], error]
            await pool.runQuery("SELECT 1")  # the connection is at rest
            scene.executed.clear()
            calls = [*inserts(pool, 6, 7), *inserts(pool, 8, text=PAUSE), *inserts(pool, 9)]
            assert await outcomes(together(pool, *calls)) == [[]] * 4
            assert scene.transactions == [2, 2]

    drive(main)
    assert scene.rows() == [1, 3, 6, 7, 8, 9]


def test_of_many_texts_few_are_remembered(drive: Drive, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sharing, "REMEMBERED", 4)

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            texts = [f"INSERT INTO t VALUES ({number})" for number in range(50)]
            results = await outcomes(together(pool, *(partial(pool.runQuery, text) for text in texts)))
            assert results == [[]] * 50
            assert len(pool._tasks._shared._quick) <= 4

    drive(main)
    assert scene.rows() == list(range(50))


# --------------------------------------------------------------------------------------------------------------- errors


def test_an_error_is_its_own_calls_only(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            results = await outcomes(together(pool, *inserts(pool, 1, 2, 1, 3, 2, 4)))
            assert kinds(results) == [[], [], sqlite3.IntegrityError, [], sqlite3.IntegrityError, []]
            assert "UNIQUE" in str(results[2])
            stats = pool.stats()
            assert (stats.finished, stats.failed) == (7, 2)

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_what_cannot_be_bound_or_prepared_fails_alone(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            broken = "INSERT INTO nowhere VALUES (?)"
            pool._tasks._shared._quick[broken] = True
            calls = [
                *inserts(pool, 1),
                partial(pool.runQuery, INSERT, (object(),)),
                *inserts(pool, 2),
                partial(pool.runOperation, broken, (1,)),
                *inserts(pool, 3),
                partial(pool.runQuery, INSERT),
            ]
            results = kinds(await outcomes(together(pool, *calls)))
            error = sqlite3.Error
            assert [issubclass(kind, error) if isinstance(kind, type) else kind for kind in results] == [
                [], True, [], True, [], True
            ]  # fmt: skip

    drive(main)
    assert scene.rows() == [1, 2, 3]


def test_stop_iteration_and_what_is_no_exception_fail_their_own_calls(drive: Drive, scene: Scene) -> None:
    class Stops:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __conform__(self, protocol: object) -> object:
            raise self.error

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            calls = [
                *inserts(pool, 1),
                partial(pool.runQuery, INSERT, (Stops(StopIteration()),)),
                *inserts(pool, 2),
                partial(pool.runQuery, INSERT, (Stops(SystemExit()),)),
                *inserts(pool, 3),
            ]
            assert kinds(await outcomes(together(pool, *calls))) == [[], RuntimeError, [], SystemExit, []]

    drive(main)
    assert scene.rows() == [1, 2, 3]


@pytest.mark.parametrize("by", ["conflict", "trigger"])
def test_those_before_a_statement_that_rolls_all_back_are_made_again_once(drive: Drive, scene: Scene, by: str) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            if by == "conflict":
                guilty = partial(pool.runQuery, OR_ROLLBACK, (1,))
            else:
                await pool.runOperation(
                    "CREATE TRIGGER never BEFORE INSERT ON t WHEN new.x = 9 BEGIN SELECT RAISE(ROLLBACK, 'never'); END"
                )
                guilty = partial(pool.runQuery, INSERT, (9,))
            results = await outcomes(together(pool, *inserts(pool, 1, 2, text=RETURNING), guilty, *inserts(pool, 3, 4)))
            assert kinds(results) == [[(10,)], [(20,)], sqlite3.IntegrityError, [], []]
            # Of those made again each is alone; and so is any with that text, until it is known to be quick again.
            assert scene.executed.count("BEGIN IMMEDIATE") == (2 if by == "conflict" else 1)

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_an_insert_or_fail_keeps_what_it_did_before_it_failed(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            calls = [*inserts(pool, 1), partial(pool.runQuery, OR_FAIL, (2, 1, 3)), *inserts(pool, 4)]
            assert kinds(await outcomes(together(pool, *calls))) == [[], sqlite3.IntegrityError, []]

    drive(main)
    assert scene.rows() == [1, 2, 4]


def test_an_insert_or_fail_that_is_first_keeps_it_too(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            calls = [partial(pool.runQuery, OR_FAIL, (2, 2, 3)), *inserts(pool, 4)]
            assert kinds(await outcomes(together(pool, *calls))) == [sqlite3.IntegrityError, []]

    drive(main)
    assert scene.rows() == [2, 4]


# --------------------------------------------------------------------------------------------- a COMMIT that is refused


class Family(Scene):
    """Children need not have their parent before the COMMIT. The pool does not look for that: it may not be the only
    reason for which a COMMIT is refused."""

    def pool(self, database: str | None = None, **options: Any) -> ConnectionPool:
        pool = super().pool(database, **options)
        driver: Any = pool._driver
        driver._defers_constraints = lambda connection: False
        return pool

    def open(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        super().open(connection)

    async def begin(self, pool: ConnectionPool) -> None:
        await pool.runOperation("CREATE TABLE parents (x INTEGER PRIMARY KEY)")
        await pool.runOperation("CREATE TABLE children (x INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_commit_that_one_call_makes_impossible_fails_that_one_only(drive: Drive, family: Family, place: int) -> None:
    async def main() -> None:
        async with family.pool() as pool:
            await family.begin(pool)
            calls = inserts(pool, 1, 2, 3, text=PARENT)
            calls.insert(place, partial(pool.runQuery, CHILD, (99,)))
            results = await outcomes(together(pool, *calls))
            error = results.pop(place)
            assert isinstance(error, sqlite3.IntegrityError)
            assert "FOREIGN KEY" in str(error)
            assert results == [[]] * 3
            stats = pool.stats()
            assert (stats.submitted, stats.finished, stats.failed) == (6, 6, 1)

    drive(main)
    assert family.rows("parents") == [1, 2, 3]
    assert family.rows("children") == []


def test_those_made_again_after_a_refused_commit_keep_their_order(drive: Drive, family: Family) -> None:
    async def main() -> None:
        async with family.pool() as pool:
            await family.begin(pool)
            change = "UPDATE parents SET x = x + 10 WHERE x = ? RETURNING x"
            pool._tasks._shared._quick[change] = True
            calls = [
                *inserts(pool, 1, text=PARENT),
                *inserts(pool, 99, text=CHILD),
                partial(pool.runQuery, change, (1,)),
            ]
            assert kinds(await outcomes(together(pool, *calls))) == [[], sqlite3.IntegrityError, [(11,)]]

    drive(main)
    assert family.rows("parents") == [11]


@pytest.mark.parametrize("how", ["INSERT", "INSERT OR ROLLBACK"])
def test_an_error_because_of_what_was_never_committed_is_told_to_nobody(drive: Drive, family: Family, how: str) -> None:
    async def main() -> None:
        async with family.pool() as pool:
            await family.begin(pool)
            await pool.runOperation(
                "CREATE TABLE t (x INTEGER UNIQUE, parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
            )
            text = f"{how} INTO t VALUES (?, ?)"
            pool._tasks._shared._quick[text] = True
            calls = [
                *inserts(pool, 1, text=PARENT),
                partial(pool.runQuery, text, (7, 99)),
                partial(pool.runQuery, text, (7, 1)),  # alone, it would find no 7
                *inserts(pool, 2, text=PARENT),
            ]
            assert kinds(await outcomes(together(pool, *calls))) == [[], sqlite3.IntegrityError, [], []]
            assert await pool.runQuery("SELECT * FROM t") == [(7, 1)]

    drive(main)
    assert family.rows("parents") == [1, 2]


def test_an_error_before_a_commit_that_is_refused_stays_its_own(drive: Drive, family: Family) -> None:
    async def main() -> None:
        async with family.pool() as pool:
            await family.begin(pool)
            calls = inserts(pool, 1, text=PARENT) + inserts(pool, 99, text=CHILD) + inserts(pool, 1, 2, text=PARENT)
            results = await outcomes(together(pool, *calls))
            assert kinds(results) == [[], sqlite3.IntegrityError, sqlite3.IntegrityError, []]
            assert "FOREIGN KEY" in str(results[1])
            assert "UNIQUE" in str(results[2])

    drive(main)
    assert family.rows("parents") == [1, 2]


@pytest.mark.parametrize("failures", [1, 9])
def test_where_nothing_can_be_rolled_back_nothing_is_made_again(drive: Drive, family: Family, failures: int) -> None:
    """On that connection."""
    left = [failures]

    class Stubborn(sqlite3.Connection):
        def rollback(self) -> None:
            left[0] -= 1
            if left[0] >= 0:
                raise sqlite3.OperationalError("not now")
            super().rollback()

    async def main() -> None:
        left[0] = failures
        async with family.pool(factory=Stubborn) as pool:
            await family.begin(pool)
            calls = inserts(pool, 1, text=PARENT) + inserts(pool, 99, text=CHILD) + inserts(pool, 2, text=PARENT)
            error = sqlite3.IntegrityError
            assert kinds(await outcomes(together(pool, *calls))) == [[], error, error]
            assert family.connections == (1 if failures == 1 else 2)

    drive(main)
    assert family.rows("parents") == [1]


@pytest.mark.parametrize("last", [1, 3], ids=["after an error", "after the last"])
def test_where_a_commit_fails_that_may_have_been_one_nothing_is_made_again(
    drive: Drive, scene: Scene, last: int
) -> None:
    fails = [False]

    class Late(sqlite3.Connection):
        def commit(self) -> None:
            super().commit()
            if fails[0]:
                fails[0] = False
                raise sqlite3.OperationalError("disk I/O error")

    async def main() -> None:
        async with scene.pool(factory=Late) as pool:
            await pool.runOperation(MAKE)
            fails[0] = True
            results = await outcomes(together(pool, *inserts(pool, 1, 2, last)))
            assert kinds(results) == [
                CommitUnknown,
                CommitUnknown,
                sqlite3.IntegrityError if last == 1 else CommitUnknown,
            ]
            assert "disk I/O error" in str(results[0])
            assert pool.stats().failed == 3

    drive(main)
    assert scene.rows() == [1, 2, 3][: 2 if last == 1 else 3]
    assert scene.executed.count("INSERT INTO t VALUES (1)") == (2 if last == 1 else 1)


def test_a_commit_that_ends_a_thread_strands_nobody(drive: Drive, scene: Scene) -> None:
    exits = [False]

    class Exiting(sqlite3.Connection):
        def commit(self) -> None:
            if exits[0]:
                exits[0] = False
                raise SystemExit
            super().commit()

    async def main() -> None:
        async with scene.pool(factory=Exiting) as pool:
            await pool.runOperation(MAKE)
            exits[0] = True
            assert kinds(await outcomes(together(pool, *inserts(pool, 1, 2, 1)))) == [[], [], sqlite3.IntegrityError]

    drive(main)
    assert scene.rows() == [1, 2]


def test_an_error_keeps_hold_of_nobody_elses_call(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            *_, error = await outcomes(together(pool, *inserts(pool, 1, 2, 1)))
            assert isinstance(error, sqlite3.IntegrityError)
            traceback = error.__traceback__
            while traceback is not None:
                frame, traceback = traceback.tb_frame, traceback.tb_next
                assert not [name for name, value in frame.f_locals.items() if isinstance(value, list) and value]

    drive(main)


def test_a_text_factory_of_the_programs_own(drive: Drive, scene: Scene) -> None:
    def refuse(text: bytes) -> str:
        raise ValueError("not for you")

    def open_(connection: sqlite3.Connection) -> None:
        scene.open(connection)
        connection.text_factory = refuse

    async def main() -> None:
        async with scene.pool(cp_openfun=open_) as pool:
            await pool.runOperation(MAKE)
            assert await outcomes(together(pool, *inserts(pool, 1, 2, 3))) == [[]] * 3
            assert scene.transactions == [3]

    drive(main)


@pytest.mark.parametrize(
    "child",
    [
        "create temp table children (x integer references parents deferrable initially deferred)",
        "CREATE TEMP TABLE children (x INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
    ],
)
def test_it_is_found_wherever_and_however_it_is_written(drive: Drive, scene: Scene, child: str) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation("PRAGMA foreign_keys = ON")
            await pool.runOperation("PRAGMA case_sensitive_like = ON")
            await pool.runOperation("CREATE TEMP TABLE parents (x INTEGER PRIMARY KEY)")
            await outcomes(together(pool, *inserts(pool, 1, 2, text=PARENT)))
            await pool.runOperation(child)
            calls = [*inserts(pool, 5, text=CHILD), *inserts(pool, 5, text=PARENT)]
            assert kinds(await outcomes(together(pool, *calls))) == [sqlite3.IntegrityError, []]
            assert scene.transactions == [2]

    drive(main)


def test_what_may_be_broken_until_the_commit_is_nobody_elses_to_mend(drive: Drive, scene: Scene) -> None:
    """A child before its parent, in one transaction: that COMMIT would succeed."""

    async def main() -> None:
        async with scene.pool() as pool:
            await Family.begin(scene, pool)  # type: ignore[arg-type]
            await pool.runOperation(MAKE)
            await pool.runOperation("PRAGMA foreign_keys = ON")
            calls = [*inserts(pool, 5, text=CHILD), *inserts(pool, 5, text=PARENT), *inserts(pool, 5, text=CHILD)]
            assert kinds(await outcomes(together(pool, *calls))) == [sqlite3.IntegrityError, [], []]
            await pool.runOperation("DROP TABLE children")
            await outcomes(together(pool, *inserts(pool, 1, 2)))
            await pool.runOperation("CREATE TABLE children (x INTEGER REFERENCES parents)")
            calls = [*inserts(pool, 6, text=CHILD), *inserts(pool, 6, text=PARENT)]
            assert kinds(await outcomes(together(pool, *calls))) == [sqlite3.IntegrityError, []]
            assert scene.transactions == [2, 1]

    drive(main)
    assert scene.rows("children") == []


def test_the_locks_of_other_files_are_not_taken(drive: Drive, scene: Scene, tmp_path: Path) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            await pool.runOperation("CREATE TEMP TABLE mine (x)")
            await pool.runOperation("ATTACH ? AS other", (str(tmp_path / "other"),))
            await outcomes(together(pool, *inserts(pool, 1, 2)))
            assert scene.transactions == []
            await pool.runOperation("DETACH other")
            await outcomes(together(pool, *inserts(pool, 3, 4)))
            assert scene.transactions == [2]

    drive(main)


# -------------------------------------------------------------------------------------------------- callers who give up


def test_a_call_that_waits_behind_others_is_cancelled_and_not_made(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(2):
                calls = [*inserts(pool, 1), *inserts(pool, 2, text=PAUSE), *inserts(pool, 3, 4)]
                waiting = together(pool, *calls)
                await reached(scene)
                waiting[2].cancel()
                assert kinds(await outcomes([waiting[2]])) == [CancelledError]
            assert await outcomes([waiting[0], waiting[1], waiting[3]]) == [[]] * 3

    drive(main)
    assert scene.rows() == [1, 2, 4]


def test_the_outcome_of_a_call_is_unknown_that_is_cancelled_before_the_commit(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(3):
                waiting = together(pool, *inserts(pool, 1, 2), *inserts(pool, 3, text=PAUSE), *inserts(pool, 4))
                await reached(scene)
                waiting[0].cancel()
                assert kinds(await outcomes([waiting[0]])) == [CommitUnknown]
            assert await outcomes(waiting[1:]) == [[]] * 3
            stats = pool.stats()
            assert (stats.cancelled, stats.interrupts, stats.failed, stats.finished) == (1, 0, 0, 5)
            assert scene.connections == 1

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


@pytest.mark.parametrize("text", [PAUSE, ENDLESS])
def test_cancelling_the_call_whose_statement_runs_has_the_others_made_again(
    drive: Drive, scene: Scene, text: str
) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(3):
                waiting = together(pool, *inserts(pool, 1, 2), *inserts(pool, 3, text=text), *inserts(pool, 4))
                await reached(scene)
                waiting[2].cancel()
                assert kinds(await outcomes([waiting[2]])) == [CancelledError]
            del waiting[2]
            assert await outcomes(waiting) == [[]] * 3
            assert scene.connections == 1  # it is proven clean, and used again
            assert pool.stats().checks == 1

    drive(main)
    assert scene.rows() == [1, 2, 4]


def test_who_was_cancelled_before_the_transaction_came_to_nothing_is_not_made_again(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            text = "INSERT OR ROLLBACK INTO t VALUES (pause(?)), (1)"
            pool._tasks._shared._quick[text] = True
            with scene.pausing(3):
                waiting = together(pool, *inserts(pool, 1, 2), *inserts(pool, 3, text=text), *inserts(pool, 4))
                await reached(scene)
                waiting[1].cancel()
            expected = [[], CommitUnknown, sqlite3.IntegrityError, []]
            assert kinds(await outcomes(waiting)) == expected

    drive(main)
    assert scene.rows() == [1, 4]


def test_who_is_made_again_is_cancelled_as_if_for_the_first_time(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            text = "INSERT OR ROLLBACK INTO t VALUES (pause(?)), (5)"
            pool._tasks._shared._quick[text] = True
            calls = [*inserts(pool, 1, text=PAUSE), *inserts(pool, 5), *inserts(pool, 2, text=text)]
            with scene.pausing(2):
                waiting = together(pool, *calls)
                await reached(scene)
                go_on = scene.go_on
                scene.paused_at, scene.reached, scene.go_on = 1, threading.Event(), threading.Event()
                go_on.set()
                await reached(scene)
                waiting[0].cancel()
                assert kinds(await outcomes(waiting[:1])) == [CancelledError]
                assert pool.stats().interrupts > 0
            assert kinds(await outcomes(waiting[1:])) == [[], sqlite3.IntegrityError]
            # It was alone, and its statement may have ended by itself.
            assert scene.rows() in ([5], [1, 5])

    drive(main)


def test_all_cancelled_one_after_another(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(3):
                waiting = together(pool, *inserts(pool, 1, 2), *inserts(pool, 3, text=PAUSE), *inserts(pool, 4))
                await reached(scene)
                for call in waiting:
                    call.cancel()
                expected = [CommitUnknown, CommitUnknown, CancelledError, CancelledError]
                assert kinds(await outcomes(waiting)) == expected
            assert await pool.runQuery("SELECT x FROM t") == []  # the one that was interrupted has undone it all
            assert await outcomes(together(pool, *inserts(pool, 5, 6))) == [[]] * 2
            assert pool.stats().finished == 5

    drive(main)


def test_who_is_held_is_answered_within_his_time(scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            hasty = pool.using(timeout=0.5)
            with scene.pausing(3):
                calls = [*inserts(hasty, 1), *inserts(pool, 2), *inserts(pool, 3, text=PAUSE), *inserts(pool, 4)]
                waiting = together(pool, *calls)
                await reached(scene)
                assert kinds(await outcomes(waiting[:1])) == [CommitUnknown]  # while the statement is held up
                assert pool.stats().timeouts == 1
            assert await outcomes(waiting[1:]) == [[]] * 3
            assert pool.stats().interrupts == 0

    runReactor(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_a_statement_that_takes_too_long_is_interrupted_and_those_before_it_made_again(scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            hasty = pool.using(timeout=0.5)
            with scene.pausing(3):
                calls = [*inserts(pool, 1, 2), *inserts(hasty, 3, text=PAUSE), *inserts(pool, 4)]
                waiting = together(pool, *calls)
                await reached(scene)
                assert kinds(await outcomes([waiting[2]])) == [DeadlineExceeded]
            del waiting[2]
            assert await outcomes(waiting) == [[]] * 3

    runReactor(main)
    assert scene.rows() == [1, 2, 4]


def test_of_a_connection_that_is_cut_the_others_hear_that_their_outcome_is_unknown(scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool(cp_check_timeout=0.1) as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(3):
                waiting = together(pool, *inserts(pool, 1, 2), *inserts(pool, 3, text=PAUSE))
                await reached(scene)
                waiting[2].cancel()
                assert kinds(await outcomes(waiting)) == [CommitUnknown, CommitUnknown, CancelledError]
            assert await pool.runQuery("SELECT x FROM t") == []
            assert scene.connections == 2

    runReactor(main)


# -------------------------------------------------------------------------------------------------- what does not share


def test_a_read_ends_the_transaction_and_sees_what_was_written_before(drive: Drive, scene: Scene) -> None:
    def interaction(transaction: Transaction) -> int:
        transaction.execute("SELECT count(*) FROM t")
        ((count,),) = transaction.fetchall()
        return int(count)

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            calls = [
                *inserts(pool, 1, 2),
                partial(pool.runQuery, "SELECT count(*) FROM t"),
                *inserts(pool, 3, 4),
                partial(pool.runInteraction, interaction),
                *inserts(pool, 5, 6, 7),
            ]
            results = await outcomes(together(pool, *calls))
            assert results == [[], [], [(2,)], [], [], 4, [], [], []]
            assert scene.transactions == [2, 2, 1, 3]

    drive(main)


@pytest.mark.parametrize("options", [{"isolation": "SERIALIZABLE"}, {"readonly": False}])
def test_calls_with_a_transaction_of_their_own_share_none(drive: Drive, scene: Scene, options: Any) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            view = pool.using(**options)
            results = await outcomes(together(pool, *inserts(pool, 1), *inserts(view, 2, 3), *inserts(pool, 4)))
            assert results == [[]] * 4
            assert scene.commits == 2

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_calls_that_may_not_write_share_none(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            calls = [*inserts(pool, 1), *inserts(pool.using(readonly=True), 2), *inserts(pool, 3, 4)]
            assert kinds(await outcomes(together(pool, *calls))) == [[], sqlite3.OperationalError, [], []]

    drive(main)
    assert scene.rows() == [1, 3, 4]


def test_without_autocommit_each_has_its_own_commit(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool(cp_autocommit=False) as pool:
            await pool.runOperation(MAKE)
            await outcomes(together(pool, *inserts(pool, 1, 2, 3)))
            assert scene.transactions == [1, 1, 1, 1]

    drive(main)
    assert scene.rows() == [1, 2, 3]


def test_with_transactions_of_the_users_own_class_each_is_alone(drive: Drive, scene: Scene) -> None:
    class Own(Transaction):
        pass

    async def main() -> None:
        pool = scene.pool()
        pool.transactionFactory = Own
        async with pool:
            await pool.runOperation(MAKE)
            assert await outcomes(together(pool, *inserts(pool, 1, 2, 3))) == [[]] * 3
            assert scene.commits == 0

    drive(main)
    assert scene.rows() == [1, 2, 3]


def test_transactions_that_are_to_be_deferred_are_not_begun_for_others(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool(isolation_level="DEFERRED") as pool:
            await pool.runOperation(MAKE)
            assert await outcomes(together(pool, *inserts(pool, 1, 2, 3))) == [[]] * 3
            assert scene.commits == 0

    drive(main)
    assert scene.rows() == [1, 2, 3]


def test_a_database_in_memory_shares_too(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool(":memory:") as pool:
            await pool.runOperation(MAKE)
            assert kinds(await outcomes(together(pool, *inserts(pool, 1, 2, 1, 3)))) == [
                [], [], sqlite3.IntegrityError, []
            ]  # fmt: skip
            assert scene.transactions == [3]
            assert await pool.runQuery("SELECT x FROM t") == [(1,), (2,), (3,)]

    drive(main)


# ------------------------------------------------------------------------------------------------------ locks of others


def test_while_another_writes_nobody_fails(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with closing(sqlite3.connect(scene.path)) as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = together(pool, *inserts(pool, 1, 2, 3))
                wait_until(lambda: scene.executed.count("BEGIN") > 0, "the first waits for the lock")
                other.execute("INSERT INTO t VALUES (0)")
                other.commit()
                assert await outcomes(waiting) == [[]] * 3

    drive(main)
    assert scene.rows() == [0, 1, 2, 3]


def test_a_reader_at_the_commit_is_waited_for(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with closing(sqlite3.connect(scene.path)) as other:
                other.execute("BEGIN")
                assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
                waiting = together(pool, *inserts(pool, 1, 2, 3))
                wait_until(lambda: scene.commits > 1, "the commit is tried again")
                assert not any(call.called for call in waiting)
                other.rollback()
                assert await outcomes(waiting) == [[]] * 3
            assert scene.executed.count("BEGIN IMMEDIATE") == 1

    drive(main)
    assert scene.rows() == [1, 2, 3]


def test_a_reader_is_waited_for_after_an_error_too(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with closing(sqlite3.connect(scene.path)) as other:
                other.execute("BEGIN")
                assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
                waiting = together(pool, *inserts(pool, 1, 2, 1))
                wait_until(lambda: scene.commits > 1, "the commit is tried again")
                assert not any(call.called for call in waiting)
                other.rollback()
                assert kinds(await outcomes(waiting)) == [[], [], sqlite3.IntegrityError]

    drive(main)
    assert scene.rows() == [1, 2]


def test_behind_a_reader_who_stays_each_fails_as_it_would_alone(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool(timeout=0.02) as pool:
            await pool.runOperation(MAKE)
            with closing(sqlite3.connect(scene.path)) as other:
                other.execute("BEGIN")
                assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
                results = await outcomes(together(pool, *inserts(pool, 1, 2, 3)))
                assert kinds(results) == [sqlite3.OperationalError] * 3
                assert scene.executed.count("INSERT INTO t VALUES (3)") == 1  # it has waited long enough
                other.rollback()
            await pool.runQuery(INSERT, (4,))

    drive(main)
    assert scene.rows() == [4]


def test_cancelled_while_the_commit_waits_for_a_reader(drive: Drive, scene: Scene) -> None:
    """The last one's caller goes; the COMMIT is given up, and the others are made again."""

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with closing(sqlite3.connect(scene.path)) as other:
                other.execute("BEGIN")
                assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
                waiting = together(pool, *inserts(pool, 1, 2, 3))
                wait_until(lambda: scene.commits > 1, "the commit is tried again")
                waiting[2].cancel()
                assert kinds(await outcomes([waiting[2]])) == [CommitUnknown]
                wait_until(lambda: "ROLLBACK" in scene.executed, "it is given up")
                other.rollback()
            assert await outcomes(waiting[:2]) == [[]] * 2

    drive(main)
    assert scene.rows() == [1, 2]


# --------------------------------------------------------------------------------------------------- order and counting


def test_the_counts_add_up(drive: Drive, scene: Scene) -> None:
    count = 3_000

    async def main() -> None:
        async with scene.pool(cp_max=2, cp_max_waiting=count) as pool:
            await pool.runOperation(MAKE)
            numbers = [number if number % 10 else 0 for number in range(count)]
            texts = [OR_ROLLBACK if number % 500 == 250 else INSERT for number in range(count)]
            calls = [partial(pool.runQuery, text, (number,)) for text, number in zip(texts, numbers, strict=True)]
            results = Counter(str(kind) for kind in kinds(await outcomes(together(pool, *calls))))
            errors = count // 10 - 1
            assert results == {"[]": count - errors, str(sqlite3.IntegrityError): errors}
            stats = pool.stats()
            assert stats.submitted == stats.finished == count + 1
            assert stats.failed == errors
            assert stats.runTime.count == stats.waitTime.count == stats.finished
            assert (stats.busy, stats.waiting, stats.cancelled) == (0, 0, 0)
            assert scene.commits < count / 4

    drive(main)
    assert sorted(scene.rows()) == [0, *(number for number in range(count) if number % 10)]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_each_call_is_told_what_has_become_of_it(tmp_path: Path, seed: int) -> None:
    """Calls that fail in every way, and are cancelled at any moment, on several connections."""
    family, chance = Family(tmp_path), random.Random(seed)
    count = 1_200
    ways = {
        "INSERT INTO t (x) VALUES (?)": 40,
        "INSERT INTO t (x, y) VALUES (?, 0)": 3,
        "INSERT OR ROLLBACK INTO t (x, y) VALUES (?, 0)": 1,
        "INSERT INTO t (x, parent) VALUES (?, 99)": 1,
        "INSERT INTO t (x) VALUES (?) RETURNING x": 10,
    }
    texts = chance.choices(list(ways), list(ways.values()), k=count)
    results: list[Any] = []
    ended = [0]

    def open_(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        family.open(connection)

    async def main() -> None:
        async with family.pool(cp_max=chance.choice([1, 4]), cp_openfun=open_) as pool:
            await family.begin(pool)
            await pool.runOperation(
                "CREATE TABLE t (x INTEGER, y INTEGER UNIQUE, "
                "parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
            )
            await pool.runQuery("INSERT INTO t (x, y) VALUES (-1, 0)")
            pool._tasks._shared._quick.update(ways)

            def heard(result: Any) -> Any:
                while ended[0] < count and waiting[ended[0]].called:
                    ended[0] += 1
                if chance.random() < 0.2:  # of those that are being made, more or less
                    waiting[min(count - 1, ended[0] + chance.randrange(20))].cancel()
                return result

            waiting = together(pool, *(partial(pool.runQuery, text, (n,)) for n, text in enumerate(texts)))
            for call in waiting:
                call.addBoth(heard)
            results.extend(kinds(await outcomes(waiting)))
            written = Counter(x for (x,) in await pool.runQuery("SELECT x FROM t"))
            assert max(written.values()) == 1
            for number, (text, result) in enumerate(zip(texts, results, strict=True)):
                if "y" in text or "parent" in text:
                    assert result in (sqlite3.IntegrityError, CancelledError, CommitUnknown)
                    assert not written[number]
                elif result not in (CancelledError, CommitUnknown):
                    assert result == ([(number,)] if "RETURNING" in text else [])
                    assert written[number]
            stats = pool.stats()
            assert stats.runTime.count == stats.finished
            assert (stats.busy, stats.waiting) == (0, 0)

    runReactor(main)
    assert CancelledError in results
    assert sqlite3.IntegrityError in results


def test_while_another_lane_waits_none_joins(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(2):
                waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=PAUSE), *inserts(pool, 3, 4))
                await reached(scene)
                waiting.append(pool.using(priority="high").runQuery(INSERT, (5,)))
            assert await outcomes(waiting) == [[]] * 5
            assert scene.transactions == [2, 3]  # the one from the other lane is joined by those after it

    drive(main)
    assert scene.rows() == [1, 2, 5, 3, 4]


def test_who_is_made_again_comes_before_those_behind_him(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            calls = [*inserts(pool, 1, 2), *inserts(pool, 1, text=OR_ROLLBACK), *inserts(pool, 3, 4)]
            await outcomes(together(pool, *calls))

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_a_callers_calls_do_not_wait_any_more_once_they_share(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool(cp_max_waiting_per_caller=2) as pool:
            await pool.runOperation(MAKE)
            caller = pool.using(name="caller")
            with scene.pausing(3):
                waiting = together(pool, *inserts(caller, 1, 2), *inserts(pool, 3, text=PAUSE), *inserts(pool, 4))
                await reached(scene)
                waiting += [caller.runQuery(INSERT, (number,)) for number in (5, 6)]
                assert kinds(await outcomes([caller.runQuery(INSERT, (7,))])) == [PoolOverloaded]
            assert await outcomes(waiting) == [[]] * 6
            await gatherResults([caller.runQuery(INSERT, (number,)) for number in (8, 9)])

    drive(main)
    assert scene.rows() == [1, 2, 3, 4, 5, 6, 8, 9]


def test_each_statement_and_callback_is_in_the_context_of_its_call(drive: Drive, scene: Scene) -> None:
    class Probe:
        def __conform__(self, protocol: object) -> int:
            return variable.get()

    heard: list[int] = []

    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)

            def call(number: int) -> Deferred[Any]:
                variable.set(number)
                return pool.runQuery(RETURNING, (Probe(),)).addCallback(
                    lambda rows: (heard.append(variable.get()), rows)[1]
                )

            waiting = together(pool, *(partial(call, number) for number in (1, 2, 3)))
            variable.set(0)
            assert await outcomes(waiting) == [[(10,)], [(20,)], [(30,)]]
            assert scene.transactions == [3]

    drive(main)
    assert heard == [1, 2, 3]


# ------------------------------------------------------------------------------------------------------ the pool's life


def test_closing_lets_a_transaction_end(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        pool = scene.pool()
        await pool.runOperation(MAKE)
        with scene.pausing(2):
            waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=PAUSE), *inserts(pool, 3))
            await reached(scene)
            closed = pool.close()
        assert kinds(await outcomes(waiting)) == [[], [], PoolClosed]
        await closed
        assert pool.stats().closedWaiting == 1

    drive(main)
    assert scene.rows() == [1, 2]


def test_what_comes_to_nothing_while_the_pool_closes_is_not_made_again(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        pool = scene.pool()
        await pool.runOperation(MAKE)
        text = "INSERT OR ROLLBACK INTO t VALUES (pause(?)), (1)"
        pool._tasks._shared._quick[text] = True
        with scene.pausing(2):
            waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=text), *inserts(pool, 3))
            await reached(scene)
            closed = pool.close()
        results = await outcomes(waiting)
        assert kinds(results) == [PoolClosed] * 3
        assert ["undone" in str(error) for error in results] == [True, True, False]  # trying again is safe
        await closed

    drive(main)
    assert scene.rows() == []


def test_closing_at_once_cuts_a_transaction(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        pool = scene.pool()
        await pool.runOperation(MAKE)
        with scene.pausing(2):
            waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=ENDLESS), *inserts(pool, 3))
            await reached(scene)
            closed = pool.close(0)
            assert kinds(await outcomes(waiting)) == [CommitUnknown, PoolClosed, PoolClosed]
        await closed

    drive(main)
    assert scene.rows() == []


def test_a_connection_that_is_to_be_replaced_is_joined_by_none(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(2):
                waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=PAUSE), *inserts(pool, 3, 4))
                await reached(scene)
                pool.evictAll()
            assert await outcomes(waiting) == [[]] * 4
            assert scene.transactions[0] == 2
            assert scene.connections == 2

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_a_pool_that_is_suspended_ends_its_transaction_and_begins_nothing(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            with scene.pausing(2):
                waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=PAUSE), *inserts(pool, 3, 4))
                await reached(scene)
                quiet = pool.suspend()
            assert await quiet
            assert scene.rows() == [1, 2]
            pool.resume()
            assert await outcomes(waiting) == [[]] * 4
            assert scene.transactions == [2, 2]

    drive(main)
    assert scene.rows() == [1, 2, 3, 4]


def test_what_comes_to_nothing_in_a_suspended_pool_is_made_again_later(drive: Drive, scene: Scene) -> None:
    async def main() -> None:
        async with scene.pool() as pool:
            await pool.runOperation(MAKE)
            text = "INSERT OR ROLLBACK INTO t VALUES (pause(?)), (1)"
            pool._tasks._shared._quick[text] = True
            with scene.pausing(2):
                waiting = together(pool, *inserts(pool, 1), *inserts(pool, 2, text=text), *inserts(pool, 3))
                await reached(scene)
                quiet = pool.suspend()
            assert await quiet
            assert scene.rows() == []
            assert pool.stats().waiting == 3
            pool.resume()
            assert kinds(await outcomes(waiting)) == [[], sqlite3.IntegrityError, []]

    drive(main)
    assert scene.rows() == [1, 3]
