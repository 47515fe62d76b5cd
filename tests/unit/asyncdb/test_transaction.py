"""What a call commits, and what it reports of that, in one thread."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from asyncdb import CommitUnknown, ConnectionPool
from asyncdb._commit import Abandoned, begin, commit, committing
from asyncdb._core import JobState
from asyncdb._worker import Call, Slot, Task
from asyncdb.dialect import PLAIN, Driver
from asyncdb.dialect._turns import Turns
from asyncdb.options import CallOptions
from asyncdb.testing import ScriptedDriver
from asyncdb.transaction import Connection, Transaction


class Waiting(Driver):
    """A driver for which locks can be taken: "busy" is what is said of them, and at once."""

    busy_timeout = 1000.0

    def is_busy(self, error: BaseException) -> bool:
        return isinstance(error, self.error) and "busy" in str(error)


class Carried:
    """A slot with a connection, and a call that runs on it."""

    def __init__(self, driver: type[Driver] = Waiting, **options: Any) -> None:
        self.module = ScriptedDriver()
        self.pool = ConnectionPool(self.module, **options)
        self.pool._driver = self.driver = driver(self.module)
        self.pool._tasks.__init__(self.pool, self.driver)  # type: ignore[misc]
        self.slot = Slot()
        self.slot.connection = self.module.connect()
        crew: Any = SimpleNamespace(host=SimpleNamespace(seconds=lambda: 0.0))
        self.call = Call(crew, Task(lambda slot, call: None), None, (), {})
        self.call.state = JobState.RUNNING

    def run(self, function: Callable[[Any], Any], kind: str = "interaction") -> Any:
        self.call.function = function
        return getattr(self.pool._tasks, kind).run(self.slot, self.call)

    def abandon(self, *ignored: Any, **too: Any) -> None:
        self.call.state = JobState.ABANDONED


# -------------------------------------------------------------------------------------------------------------- commits


@pytest.mark.parametrize("kind", ["interaction", "withConnection"])
def test_a_call_whose_caller_has_gone_commits_nothing(kind: str) -> None:
    carried = Carried()
    with pytest.raises(Abandoned):
        carried.run(carried.abandon, kind)
    assert not carried.call.committing
    assert not carried.module.calls["commit"]


def test_a_statement_in_a_transaction_whose_caller_has_gone_commits_nothing() -> None:
    carried = Carried()
    carried.module.when("execute", carried.abandon)
    carried.call.args = ("insert",)
    with pytest.raises(Abandoned):
        carried.pool._tasks.query.run(carried.slot, carried.call)
    assert not carried.module.calls["commit"]


def test_a_commit_of_the_functions_own_is_not_made_when_the_caller_has_gone() -> None:
    carried = Carried()

    def function(connection: Connection) -> None:
        connection.commit()
        carried.abandon()
        connection.commit()

    with pytest.raises(Abandoned):
        carried.run(function, "withConnection")
    assert carried.module.calls["commit"] == 1


def test_a_caller_who_goes_during_the_commit_and_after_it_sees_it() -> None:
    carried = Carried()
    seen: list[bool] = []
    carried.module.when("commit", lambda: seen.append(carried.call.committing))
    assert carried.run(lambda transaction: 7) == 7
    assert seen == [True]
    assert carried.call.committing  # until the result is delivered: it has been committed


def test_after_a_commit_in_the_middle_the_rest_can_be_interrupted() -> None:
    carried = Carried()

    def function(connection: Connection) -> None:
        connection.commit()
        assert not carried.call.committing

    carried.run(function, "withConnection")


def test_a_refused_commit_is_no_commit() -> None:
    carried = Carried()
    carried.module.when("commit", carried.module.IntegrityError("duplicate"))
    with pytest.raises(carried.module.IntegrityError):
        carried.run(lambda transaction: 7)
    assert not carried.call.committing
    assert not carried.slot.lost


def test_an_unknown_commit_stays_unknown() -> None:
    carried = Carried()

    def dies() -> None:
        carried.slot.connection.closed = True
        raise carried.module.OperationalError("gone")

    carried.module.when("commit", dies)
    with pytest.raises(CommitUnknown, match="gone"):
        carried.run(lambda transaction: 7)
    assert carried.call.committing
    assert carried.slot.lost


def test_what_was_prepared_is_committed_whoever_waits() -> None:
    carried = Carried()
    carried.abandon()
    with pytest.raises(Abandoned):
        committing(carried.driver, carried.slot, carried.call, lambda: pytest.fail("prepared"))
    done: list[bool] = []
    committing(carried.driver, carried.slot, carried.call, lambda: done.append(True), promised=True)
    assert done
    assert carried.call.committing


def test_a_lent_connection_commits_for_itself() -> None:
    carried = Carried()
    commit(carried.driver, carried.slot, None)
    assert carried.module.calls["commit"] == 1


# ----------------------------------------------------------------------------------------------------- going no further


@pytest.mark.parametrize("what", ["execute", "fetchall", "rowcount"])
def test_a_function_whose_caller_has_gone_gets_no_further(what: str) -> None:
    carried = Carried()
    tried: list[int] = []

    def stubborn(transaction: Transaction) -> None:
        carried.abandon()
        for attempt in range(3):
            tried.append(attempt)
            try:
                getattr(transaction, what)
            except Exception:  # as functions do that skip what fails
                continue

    with pytest.raises(Abandoned):
        carried.run(stubborn)
    assert tried == [0]


def test_a_function_of_a_connection_gets_no_further_either() -> None:
    carried = Carried()

    def function(connection: Connection) -> None:
        carried.abandon()
        connection.cursor()

    with pytest.raises(Abandoned):
        carried.run(function, "withConnection")
    assert not carried.module.calls["cursor"]


# ---------------------------------------------------------------------------------------------------- waiting for locks


def busy(carried: Carried, call: str, times: int) -> Any:
    return carried.module.when(call, carried.module.DatabaseError("busy"), times=times)


def test_a_commit_that_finds_a_lock_taken_is_repeated() -> None:
    carried = Carried()
    step = busy(carried, "commit", 3)
    assert carried.run(lambda transaction: 7) == 7
    assert step.count == 3
    assert carried.call.committing


def test_between_two_attempts_a_commit_sees_that_its_caller_has_gone() -> None:
    carried = Carried()

    def refuse() -> None:
        carried.abandon()
        raise carried.module.DatabaseError("busy")

    step = carried.module.when("commit", refuse)
    with pytest.raises(Abandoned):
        carried.run(lambda transaction: 7)
    assert step.count == 1
    assert not carried.call.committing


def test_waiting_for_a_lock_ends() -> None:
    carried = Carried()
    carried.driver.busy_timeout = 0.0
    step = busy(carried, "commit", 100)
    with pytest.raises(carried.module.DatabaseError, match="busy"):
        carried.run(lambda transaction: 7)
    assert step.count == 1


def test_only_taken_locks_are_waited_for() -> None:
    carried = Carried()
    step = carried.module.when("commit", carried.module.DatabaseError("disk full"))
    with pytest.raises(carried.module.DatabaseError, match="disk full"):
        carried.run(lambda transaction: 7)
    assert step.count == 1


def test_who_waits_to_begin_sees_that_his_caller_has_gone() -> None:
    carried = Carried()
    tried: list[int] = []

    class Locked(Waiting):
        def begin(self, connection: Any, options: Any = None) -> None:
            tried.append(1)
            if len(tried) == 3:
                carried.abandon()
            raise carried.module.DatabaseError("busy")

    with pytest.raises(Abandoned):
        begin(Locked(carried.module), carried.slot, carried.call)
    assert len(tried) == 3


# ---------------------------------------------------------------------------------------------------------------- turns


class OneWrites(Waiting):
    """A driver for which one connection can write at a time."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.turns = Turns()
        self.begun = 0

    def begin(self, connection: Any, options: CallOptions = PLAIN) -> None:
        self.begun += 1
        raise self.error("busy")


def test_who_waited_for_a_turn_in_vain_does_not_wait_as_long_again_for_the_lock() -> None:
    carried = Carried(OneWrites)
    carried.driver.busy_timeout = 0.001
    assert carried.driver.turns is not None
    assert carried.driver.turns.take("another", 0.0, lambda: True)
    taken = carried.driver.turns.take

    def take(holder: object, seconds: float, wanted: Callable[[], bool]) -> bool:
        try:
            return taken(holder, seconds, wanted)
        finally:
            carried.driver.busy_timeout = 1000.0

    carried.driver.turns = SimpleNamespace(take_free=carried.driver.turns.take_free, take=take)  # type: ignore[assignment]
    with pytest.raises(carried.module.Error, match="busy"):
        begin(carried.driver, carried.slot, carried.call)
    assert carried.driver.begun == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["operation", "interaction", "withConnection"])
def test_whose_turn_comes_when_nobody_waits_any_more_does_nothing_and_gives_it_on(kind: str) -> None:
    carried = Carried(OneWrites)
    carried.call.state = JobState.ABANDONED
    with pytest.raises(Abandoned):
        carried.run(carried.abandon, kind)
    assert not carried.driver.begun  # type: ignore[attr-defined]
    assert not carried.module.calls["execute"]
    assert carried.driver.turns is not None
    assert carried.driver.turns.take("the next", 0.0, lambda: False)


def test_a_task_that_lends_its_connection_is_foreign() -> None:
    with pytest.raises(ValueError, match="say foreign=True"):
        Task(lambda slot, call: None, "connect", lends=True)
    assert Task(lambda slot, call: None, "connect", foreign=True, lends=True).lends
