"""What a call does with its connection: the statement in autocommit, the transaction, the user's function.

Invariants:

- A task that returns has committed what it was to commit (`_commit`), and a result it returns is safe to deliver: no
  cursor is open that would keep a lock, or a statement from being committed.
- A task that raises leaves the connection as it is: the worker rolls back. (But for `_sharing`, which ends what it has
  begun.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import finalize

from asyncdb._commit import Abandoned, begin, commit, patiently, take_turn
from asyncdb._core import JobState
from asyncdb._sharing import SharedCommits
from asyncdb._worker import Call, Slot, Task
from asyncdb.dialect import Driver
from asyncdb.transaction import Connection, Transaction, checkResult, close_quietly

if TYPE_CHECKING:
    from asyncdb.adbapi import ConnectionPool

__all__ = ["Tasks"]

_ABANDONED = JobState.ABANDONED  # a global is read faster than an attribute of an enum class


class Tasks:
    """The kinds of calls.

    Args:
        pool: for the factories of `Connection` and `Transaction`.
        driver: the driver.
        plain: whether their options are (`CallOptions.plain`); then one statement may run in autocommit.
    Attributes: *query*, *operation*, *interaction*, *withConnection*, *lend*.
    Threading: what they run, in a worker thread, with a connection that is this call's alone.
    """

    def __init__(self, pool: ConnectionPool, driver: Driver, plain: bool = True) -> None:
        self._pool = pool
        self._driver = driver
        self._autocommit = driver.autocommit
        self._bare = True
        self._plain = plain
        # What is begun with characteristics of its own has them taken off again as from a user's function.
        if driver.turns is None:
            self.query = Task(self._query, "runQuery", foreign=not plain)
            self.operation = Task(self._operation, "runOperation", foreign=not plain)
        else:
            self._shared = SharedCommits(driver)
            self.query = self._by_turns(self._query, "runQuery")
            self.operation = self._by_turns(self._operation, "runOperation")
        self.interaction = Task(self._giving(self._interaction), "runInteraction", foreign=True)
        self.withConnection = Task(self._giving(self._with_connection), "runWithConnection", foreign=True)
        self.lend = Task(self._lend, "connect", foreign=True, lends=True)

    def prepare(self) -> None:
        """The pool starts: with factories of the user's own, statements go through them, as in adbapi."""
        pool = self._pool
        self._bare = pool.connectionFactory is Connection and pool.transactionFactory is Transaction

    def _by_turns(self, run: Callable[..., Any], name: str) -> Task:
        """The task of one statement, where writes take turns."""
        in_turn = partial(self._in_turn, run)
        alone = Task(in_turn, name, foreign=not self._plain, inside=False)
        if not self._plain:
            return alone
        return Task(in_turn, name, inside=False, part=lambda slot, call: run(slot, call, False), alone=alone)

    def _giving(self, run: Callable[[Slot, Call], Any]) -> Callable[[Slot, Call], Any]:
        """*run*, after which a turn that it still has is given on."""
        turns = self._driver.turns
        if turns is None:
            return run

        def run_and_give(slot: Slot, call: Call) -> Any:
            connection = slot.connection
            try:
                return run(slot, call)
            finally:
                turns.give(connection)

        return run_and_give

    # One statement.

    def _query(self, slot: Slot, call: Call, patient: bool = True) -> Any:
        """Execute one statement; returns its rows, none for a statement that has no rows to give."""
        # What `_statement` does, in one go: this is the call that programs make by the thousand.
        cursor = slot.cursor
        if cursor is None:
            if not self._may_be_bare(slot):
                return self._statement(slot, call, _rows, patient)
            self._autocommit(slot.connection)
            cursor = slot.connection.cursor()
            if self._driver.keeps(slot.connection, cursor):
                slot.cursor = cursor
        try:
            if call.kwargs:
                cursor.execute(*call.args, **call.kwargs)
            else:  # merging none costs as much as a call
                cursor.execute(*call.args)
            rows = [] if cursor.description is None else cursor.fetchall()
        except BaseException as error:
            slot.cursor = None
            close_quietly(cursor)
            return self._rescue(slot, call, error, _rows, patient)
        if slot.cursor is None:
            cursor.close()
        return rows

    def _may_be_bare(self, slot: Slot) -> bool:
        """Whether one statement may run on the driver's own cursor, and in autocommit."""
        return slot.may_autocommit and self._bare and self._plain

    def _operation(self, slot: Slot, call: Call, patient: bool = True) -> None:
        """Execute one statement; its rows, if there are any, are left."""
        slot.cursor = None  # it would hold the rows of the query before, for as long as this takes
        self._statement(slot, call, _nothing, patient)

    def _statement(self, slot: Slot, call: Call, fetch: Callable[[Any], Any], patient: bool = True) -> Any:
        if not (slot.may_autocommit and self._plain):
            begin(self._driver, slot, call)
            result = self._execute(slot, call, fetch)
            commit(self._driver, slot, call)
            return result
        self._autocommit(slot.connection)
        try:
            return self._execute(slot, call, fetch)
        except BaseException as error:
            return self._rescue(slot, call, error, fetch, patient)

    def _rescue(
        self, slot: Slot, call: Call, error: BaseException, fetch: Callable[[Any], Any], patient: bool = True
    ) -> Any:
        """One statement in autocommit ended in *error*. Raise it; or wait longer, if a lock is all that it lacks."""
        driver, connection = self._driver, slot.connection
        if not patient or not driver.is_busy(error) or driver.busy_timeout <= driver.busy_slice:
            driver.explain(error)
            raise error
        if call.state is _ABANDONED:
            raise Abandoned
        if driver.begin_again(connection, call.args[0]):
            # It is executed once, and only its COMMIT repeated. Readers who come after it wait for it then; in
            # autocommit, each attempt would have to begin anew behind those who have come meanwhile.
            result = patiently(driver, call, partial(self._execute, slot, call, fetch))
            commit(driver, slot, call)
            return result
        driver.wait_long(connection)
        try:
            return self._execute(slot, call, fetch)
        finally:
            driver.restore(connection, slot.session)

    def _execute(self, slot: Slot, call: Call, fetch: Callable[[Any], Any]) -> Any:
        connection: Any = None
        if self._bare:
            cursor = slot.connection.cursor()
        else:
            connection = self._wrap(slot, call)
            cursor = self._pool.transactionFactory(self._pool, connection)
        try:
            cursor.execute(*call.args, **call.kwargs)
            result = fetch(cursor)
        except BaseException:
            close_quietly(cursor)
            raise
        cursor.close()
        if connection is not None:
            connection._detach()
        return result

    def _in_turn(self, run: Callable[..., Any], slot: Slot, call: Call) -> Any:
        """*run* the call's statement, which has to wait for its turn if it writes. Outside of the call's context."""
        driver, connection = self._driver, slot.connection
        turns = driver.turns
        assert turns is not None
        autocommit = slot.may_autocommit and self._plain
        if autocommit and not driver.writes(call.args[0]):
            return call.context.run(run, slot, call)
        try:
            # A transaction takes its turn itself; and it is free, most of the time.
            patient = not autocommit or turns.take_free(connection) or take_turn(driver, slot, call)
            if patient and call.task.part is not None and autocommit and self._bare:
                return self._shared.run(slot, call, run)
            return call.context.run(run, slot, call, patient)
        finally:
            turns.give(connection)

    # User's functions.

    def _interaction(self, slot: Slot, call: Call) -> Any:
        """A function of a Transaction."""
        connection = self._wrap(slot, call)
        begin(self._driver, slot, call)
        transaction = self._pool.transactionFactory(self._pool, connection)
        try:
            result = call.function(transaction, *call.args, **call.kwargs)
            checkResult(result)
        except BaseException:
            close_quietly(transaction)
            connection._detach()
            raise
        transaction.close()
        connection._detach()
        commit(self._driver, slot, call)
        return result

    def _with_connection(self, slot: Slot, call: Call) -> Any:
        """A function of a Connection."""
        connection = self._wrap(slot, call)
        begin(self._driver, slot, call)
        try:
            result = call.function(connection, *call.args, **call.kwargs)
            checkResult(result)
        finally:
            connection._detach()
        commit(self._driver, slot, call)
        return result

    def _lend(self, slot: Slot, call: Call) -> Connection:
        """The connection itself, with the driver's usual ways."""
        self._driver.lend(slot.connection, call.options)
        connection = self._wrap(slot, None)
        # One that is dropped, perhaps by a Task that was cancelled as it got it, comes back all the same.
        assert connection._cursors is not None
        connection._finalizer = finalize(connection, call.crew.reclaim, slot, connection._cursors)
        connection._finalizer.atexit = False
        return connection

    def _wrap(self, slot: Slot, call: Call | None) -> Connection:
        connection = self._pool.connectionFactory(self._pool)
        connection._attach(self._driver, slot, call)
        return connection


def _rows(cursor: Any) -> Any:
    # The statement has run, and in autocommit it has taken effect: to fail now, as psycopg2's fetchall() does without
    # rows, would tell the caller the opposite.
    return [] if cursor.description is None else cursor.fetchall()


def _nothing(cursor: Any) -> None:
    pass
