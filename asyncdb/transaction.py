"""What user's code is given of a connection, and what may be asked to run with it.

`Connection` and `Transaction` are what functions given to ``runWithConnection`` and ``runInteraction`` get: they pass
almost everything on to the DB-API connection and cursor.

Invariant: nothing can be done through one of them any more when its call has ended, or when its caller has gone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet, finalize

from asyncdb._commit import Abandoned, commit
from asyncdb._core import EntryState, JobState
from asyncdb._worker import Call, Slot
from asyncdb.dialect import Driver
from asyncdb.errors import PoolClosed
from asyncdb.options import is_lazy
from netcore.defer import Deferred

if TYPE_CHECKING:
    from asyncdb.adbapi import ConnectionPool

__all__ = ["Abandoned", "Connection", "Transaction", "checkFunction", "checkResult"]

_ABANDONED = JobState.ABANDONED  # a global is read faster than an attribute of an enum class

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
                close_quietly(cursor)
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
    if not callable(function):
        raise TypeError(f"a function is needed, not {function!r}")
    if is_lazy(function):
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


def close_quietly(cursor: Any) -> None:
    """Close *cursor*, whatever that raises."""
    try:
        cursor.close()
    except Exception:  # what went wrong before is what counts
        pass
