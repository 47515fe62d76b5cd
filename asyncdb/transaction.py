"""What a call does with its connection: the statement in autocommit, the transaction, what user's code is given of it.

`Connection` and `Transaction` are what functions given to ``runWithConnection`` and ``runInteraction`` get: they pass
almost everything on to the DB-API connection and cursor. `Tasks` does the work, in worker threads.

Invariants:

- A task that returns has committed what it was to commit, and a result it returns is safe to deliver: no cursor is open
  that would keep a lock, or a statement from being committed.
- A task that raises leaves the connection as it is: the worker rolls back.
- A commit whose outcome is not known is reported as CommitUnknown, whoever asked for it.
- A call whose caller has gone commits nothing. The thread says that it commits, then looks whether it still should;
  who cancels changes the call's state, then looks whether it commits: one of the two sees the other.
- After its last commit a call stays ``committing``: a caller who gives up before the result has reached him must not be
  told that nothing happened.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet, finalize

from asyncdb._core import EntryState, Job, JobState
from asyncdb._worker import Call, Slot, Task
from asyncdb.dialect import Driver, causes
from asyncdb.errors import CommitUnknown, PoolClosed
from netcore.defer import Deferred

if TYPE_CHECKING:
    from asyncdb.adbapi import ConnectionPool

__all__ = [
    "Abandoned",
    "Connection",
    "Tasks",
    "Transaction",
    "begin",
    "checkFunction",
    "checkResult",
    "commit",
    "committing",
]

T = TypeVar("T")

_ABANDONED = JobState.ABANDONED  # a global is read faster than an attribute of an enum class


class Abandoned(BaseException):
    """The caller of this call has gone: it goes no further, and commits nothing. Nobody hears of it.

    No Exception, so that a function which catches those, and goes on, ends all the same.
    """


# sqlite3's shortcuts, and PEP 249's own. An extension of another driver's is not a cursor we must know of.
_CURSOR_MAKERS = frozenset(("cursor", "execute", "executemany", "executescript"))


class _Passing:
    """Passes attributes on to the object behind it: reading them, and setting those it has."""

    _behind = ""  # the name of the attribute that holds it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == self._behind:
            raise AttributeError(name)  # copying and pickling look for such names before there is anything behind
        return getattr(self._object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        behind = self.__dict__.get(self._behind)  # None: in a subclass's __init__
        if name.startswith("_") or hasattr(type(self), name) or behind is None or not hasattr(behind, name):
            object.__setattr__(self, name, value)
        else:
            setattr(behind, name, value)

    def _object(self) -> Any:
        behind = self.__dict__.get(self._behind)
        if behind is None:
            raise RuntimeError(f"this {type(self).__name__} has gone back to its pool: use it only while it is yours")
        return behind


class Connection(_Passing):
    """A DB-API connection of the pool's, for as long as it is yours.

    Has everything the driver's connection has. `commit` and `rollback` end the transaction you are in, and the next one
    begins; what is open when a function given to ``runWithConnection`` returns is committed. ``with connection:``
    commits at its end, or rolls back if an exception leaves it. sqlite3's cursors are closed when the connection goes
    back: an open one would keep its lock.

    Threading: one thread at a time. A connection that `connect` lent must be in no thread's hands any more when it is
        given back.
    """

    _behind = "_connection"

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = None
        self._driver: Driver | None = None
        self._slot: Slot | None = None
        self._call: Call | None = None
        self._cursors: WeakSet[Any] | None = None  # those to be closed, or to be asked after
        self._finalizer: finalize[..., Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        if self._cursors is not None and name in _CURSOR_MAKERS:
            return partial(self._note, name, value)
        return value

    def _note(self, name: str, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a method that gives a cursor, and remember the cursor."""
        cursor = self._script(method, *args, **kwargs) if name == "executescript" else method(*args, **kwargs)
        assert self._cursors is not None
        try:
            self._cursors.add(cursor)
        except TypeError:  # a driver whose cursors cannot be referred to weakly
            pass
        return cursor

    def _object(self) -> Any:
        behind = super()._object()
        slot, driver, call = self._slot, self._driver, self._call
        if call is not None:
            if call.state is _ABANDONED:
                raise Abandoned
            return behind
        retired = slot is not None and slot.state is not EntryState.LENT
        if retired and driver is not None and not driver.closes_anywhere:
            raise PoolClosed("the pool was closed, and this connection is only there to be given back: disconnect() it")
        return behind

    def _script(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """sqlite3's ``executescript`` commits; its statements, and what follows, would be in no transaction."""
        driver, behind = self._driver, self._object()
        if driver is None or self._call is None:
            return method(*args, **kwargs)
        driver.wait_long(behind)
        try:
            return method(*args, **kwargs)
        finally:
            if not driver.in_transaction(behind):
                driver.go_on(behind)

    def close(self) -> None:
        """Does nothing: the connection is the pool's, which closes it when it must."""

    def commit(self) -> None:
        """Commit, and go on in a new transaction.

        Raises: CommitUnknown, and whatever the driver raises.
        """
        connection = self._object()
        driver, slot = self._driver, self._slot
        assert driver is not None
        assert slot is not None
        commit(driver, slot, self._call, last=False)
        if self._call is not None:
            driver.go_on(connection)

    def rollback(self) -> None:
        """Roll back, and go on in a new transaction."""
        connection = self._object()
        driver = self._driver
        assert driver is not None
        driver.rollback(connection)
        if self._call is not None:
            driver.go_on(connection)

    def _attach(self, driver: Driver, slot: Slot, call: Call | None) -> None:
        """It is this one; *call* is the one that the transaction belongs to, None for a connection that is lent."""
        self._driver, self._slot, self._call = driver, slot, call
        self._connection = slot.connection
        if driver.by_hand or call is None:
            self._cursors = WeakSet()

    def _detach(self) -> None:
        cursors, self._cursors = self._cursors, None
        if cursors and self._driver is not None and self._driver.by_hand:
            for cursor in list(cursors):
                _close_quietly(cursor)
        if self._finalizer is not None:
            self._finalizer.detach()
        self._connection = self._slot = self._call = self._finalizer = None


class Transaction(_Passing):
    """A cursor in a transaction. Has everything the driver's cursor has; iterating gives the rows.

    Args:
        pool: whose connection it is.
        connection: the connection.
    """

    _behind = "_cursor"

    def __init__(self, pool: ConnectionPool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self._cursor: Any = None
        self.reopen()

    def close(self) -> None:
        """Close the cursor. `reopen` gives another one, in the same transaction."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    def reopen(self) -> None:
        """A fresh cursor in place of the present one."""
        self.close()
        self._cursor = self._connection.cursor()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._object())

    def _object(self) -> Any:
        call = getattr(self._connection, "_call", None)
        if call is not None and call.state is _ABANDONED:
            raise Abandoned
        return super()._object()

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        driver = getattr(self._connection, "_driver", None)
        if driver is not None and driver.by_hand:
            if name == "executescript":
                return partial(self._connection._script, value)
            if name == "connection":  # with the driver's own, a commit would end the last transaction there is
                return self._connection
        return value


def checkFunction(function: Callable[..., Any]) -> None:
    """Refuse what could not run in a worker thread: calling it would run none of its code.

    Raises: TypeError.
    """
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    code = getattr(inner, "__code__", None)
    if code is None:
        if not callable(function):
            raise TypeError(f"a function is needed, not {function!r}")
        code = getattr(type(inner).__call__, "__code__", None)
    if code is not None and code.co_flags & _LAZY:
        raise TypeError(
            f"{function!r} is a generator or coroutine function: called in a worker thread, none of it would run. "
            "Pass a plain function, which may block as it likes"
        )


def checkResult(result: Any) -> None:
    """Refuse what nothing in a worker thread would wait for.

    Raises: TypeError.
    """
    if isinstance(result, Deferred) or inspect.iscoroutine(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError(
            f"the function returned a {type(result).__name__}, and nothing can wait for that in a worker thread; its "
            "transaction is rolled back. Return a plain result"
        )


_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Tasks:
    """The kinds of calls.

    Args:
        pool: for the factories of `Connection` and `Transaction`.
        driver: the driver.
        plain: whether one statement may run in autocommit.
    Attributes: *query*, *operation*, *interaction*, *withConnection*, *lend*.
    Threading: what they run, in a worker thread, with a connection that is this call's alone.
    """

    def __init__(self, pool: ConnectionPool, driver: Driver, plain: bool = True) -> None:
        self._pool = pool
        self._driver = driver
        self._autocommit = driver.autocommit
        self._bare = True
        self._plain = plain
        self._by_turns = driver.turns is not None
        # What is begun with characteristics of its own has them taken off again as from a user's function.
        query = self._query if driver.turns is None else self._query_by_turns
        self.query = Task(query, "runQuery", foreign=not plain)
        self.operation = Task(self._giving(self._operation), "runOperation", foreign=not plain)
        self.interaction = Task(self._giving(self._interaction), "runInteraction", foreign=True)
        self.withConnection = Task(self._giving(self._with_connection), "runWithConnection", foreign=True)
        self.lend = Task(self._lend, "connect", foreign=True, lends=True)

    def prepare(self) -> None:
        """The pool starts: with factories of the user's own, statements go through them, as in adbapi."""
        pool = self._pool
        self._bare = pool.connectionFactory is Connection and pool.transactionFactory is Transaction

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
            if not (slot.plain and self._bare and self._plain):
                return self._statement(slot, call, _rows)
            self._autocommit(slot.connection)
            cursor = slot.connection.cursor()
            if self._driver.keeps(cursor):
                slot.cursor = cursor
        try:
            if call.kwargs:
                cursor.execute(*call.args, **call.kwargs)
            else:  # merging none costs as much as a call
                cursor.execute(*call.args)
            rows = [] if cursor.description is None else cursor.fetchall()
        except BaseException as error:
            slot.cursor = None
            _close_quietly(cursor)
            return self._rescue(slot, call, error, _rows, patient)
        if slot.cursor is None:
            cursor.close()
        return rows

    def _query_by_turns(self, slot: Slot, call: Call) -> Any:
        driver = self._driver
        plain = slot.plain and self._bare and self._plain
        if plain and not driver.writes(call.args[0]):
            return self._query(slot, call)
        turns, connection = driver.turns, slot.connection
        assert turns is not None
        try:
            patient = not plain or take_turn(driver, slot, call)
            return self._query(slot, call, patient)
        finally:
            turns.give(connection)

    def _operation(self, slot: Slot, call: Call) -> None:
        """Execute one statement; its rows, if there are any, are left."""
        self._statement(slot, call, _nothing)

    def _statement(self, slot: Slot, call: Call, fetch: Callable[[Any], Any]) -> Any:
        if not (slot.plain and self._plain):
            begin(self._driver, slot, call)
            result = self._execute(slot, call, fetch)
            commit(self._driver, slot, call)
            return result
        self._autocommit(slot.connection)
        patient = True
        if self._by_turns and self._driver.writes(call.args[0]):
            patient = take_turn(self._driver, slot, call)
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
            result = _patiently(driver, call, partial(self._execute, slot, call, fetch))
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
            _close_quietly(cursor)
            raise
        cursor.close()
        if connection is not None:
            connection._detach()
        return result

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
            _close_quietly(transaction)
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


def begin(driver: Driver, slot: Slot, call: Call) -> None:
    """Begin a transaction for *call*, with the characteristics that its options ask for.

    Raises: Abandoned: its caller has gone while it waited for a lock. Else what the driver raises.
    """
    patient = take_turn(driver, slot, call)
    _patiently(driver, call, partial(driver.begin, slot.connection, call.options), patient)


def take_turn(driver: Driver, slot: Slot, call: Call) -> bool:
    """Wait until *call* may write, if the database lets only one write. Who took it gives it on, `Turns.give`.

    Returns: whether a lock that is missing now may be waited for. Not if it has been already: without its turn in time
        a call goes on all the same, and the database says who keeps the lock, if anybody does.
    Raises: Abandoned: nobody waits for the call any more.
    """
    turns = driver.turns
    if turns is None or call.options.readonly:
        return True
    taken = turns.take_free(slot.connection)
    if not taken:
        taken = turns.take(slot.connection, driver.busy_timeout, lambda: call.state is not _ABANDONED)
        call.started = call.crew.host.seconds()  # waiting for one's turn is waiting
    if call.state is _ABANDONED:
        raise Abandoned
    return taken


def commit(driver: Driver, slot: Slot, call: Call | None, last: bool = True) -> None:
    """Commit what *call* did on *slot*'s connection; None for a connection that is lent.

    Args:
        last: the call does nothing more.
    Raises: Abandoned: its caller has gone; nothing was committed. CommitUnknown: the connection was lost meanwhile.
        Else what the driver raises; nothing was committed.
    """
    connection = slot.connection
    if getattr(connection, "closed", False):
        driver.commit(connection)  # raises, before anything is sent
    job = call or Job()
    _patiently(driver, job, partial(committing, driver, slot, job, partial(driver.commit, connection)))
    if driver.turns is not None:
        driver.turns.give(connection)
    if not last:
        job.committing = False


def committing(driver: Driver, slot: Slot, job: Job, attempt: Callable[[], object], *, promised: bool = False) -> None:
    """Make one attempt to commit what *job* did. It is ``committing`` afterwards, unless nothing was committed.

    Args:
        promised: it was prepared, which promises that it can be: whether somebody waits for *job* is no question now.
    Raises: as `commit`.
    """
    job.committing = True
    if job.state is _ABANDONED and not promised:
        job.committing = False
        raise Abandoned
    try:
        attempt()
    except CommitUnknown:
        raise
    except Exception as error:
        if any(driver.is_unknown(cause, slot.connection) for cause in causes(error)):
            slot.lost = True
            raise CommitUnknown(f"the connection was lost during COMMIT: {str(error).strip()}") from error
        job.committing = False
        raise


def _patiently(driver: Driver, job: Job, attempt: Callable[[], T], patient: bool = True) -> T:
    """What *attempt* returns. It is made again as long as a lock is all that it lacks, and somebody waits for *job*.

    Args:
        patient: else it is made once.

    Raises: Abandoned: nobody does. Else what *attempt* raises.
    """
    now = monotonic()
    end = now + driver.busy_timeout if patient else now
    while True:
        try:
            return attempt()
        except Exception as error:
            before, now = now, monotonic()
            if now >= end or not driver.is_busy(error):
                raise
        if job.state is _ABANDONED:
            raise Abandoned
        if now - before < driver.busy_slice / 2:  # it has not waited: some builds of SQLite do only for whole seconds
            sleep(driver.busy_slice / 2)


def _close_quietly(cursor: Any) -> None:
    try:
        cursor.close()
    except Exception:  # what went wrong before is what counts
        pass
