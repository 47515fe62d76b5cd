"""`Calls`, what can be called on a pool; and `PoolView`, a pool as seen by calls that have options of their own.

A view is a pool and a `CallOptions`, and holds nothing else: make one for each request, or one for all of them. Views
share the pool's connections, its queue and its end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from asyncdb._tasks import Tasks
from asyncdb.dialect import PLAIN
from asyncdb.options import CallOptions, Priority
from asyncdb.transaction import Connection, checkFunction
from netcore.defer import Deferred

if TYPE_CHECKING:
    from asyncdb._worker import Task
    from asyncdb.adbapi import ConnectionPool

__all__ = ["Calls", "PoolView"]

T = TypeVar("T")
P = ParamSpec("P")


class Calls:
    """The calls that a `ConnectionPool` and its views take.

    Cancelling the Deferred of any of them answers the caller at once, as does the passing of its deadline. A queued
    call is taken out of the queue. What a running one does in the database is interrupted, and the connection is used
    again when that has worked and was proven; drivers other than psycopg2 and sqlite3 cannot do so: there, it is
    closed. A call that had not begun to commit does not commit then. One that had may or may not: that is
    `CommitUnknown`.

    Threading: every method in the reactor's thread.
    """

    __slots__ = ()

    _tasks: Tasks

    def runQuery(self, sql: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Execute one statement and fire with all of its rows.

        It runs in autocommit where that means the same as a transaction of its own (``cp_autocommit``). Whether a
        statement in autocommit that was cancelled, ran out of time, or lost its connection has taken effect is not
        known: use `runInteraction` where that matters.

        Args:
            sql, args, kwargs: for the cursor's ``execute``.
        Returns: Deferred firing with what the cursor's ``fetchall`` returns; an empty list for a statement without
            rows. Cancelling it: see the class.
        Fails with: PoolClosed, PoolOverloaded, DeadlineExceeded, CommitUnknown (without autocommit, or on SQLite), and
            whatever the driver raises.
        Threading: call in the reactor's thread.
        """
        return self._call(self._tasks.query, None, (sql, *args), kwargs)

    def runOperation(self, sql: Any, /, *args: Any, **kwargs: Any) -> Deferred[None]:
        """Execute one statement and fire with None. As `runQuery` in everything else."""
        return self._call(self._tasks.operation, None, (sql, *args), kwargs)

    def runInteraction(
        self, interaction: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run *interaction* in one transaction and fire with its result.

        Args:
            interaction: called with a `Transaction`, *args* and *kwargs*. When it returns, the transaction is
                committed; when it raises, rolled back.
        Returns: Deferred firing with what *interaction* returned. Cancelling it: see the class. What *interaction* next
            does with its `Transaction` then raises, and nothing is committed.
        Raises: TypeError, at once, for a generator or coroutine function.
        Fails with: PoolClosed, PoolOverloaded, DeadlineExceeded, CommitUnknown, and whatever *interaction* raised.
        Threading: call in the reactor's thread; *interaction* runs in a worker thread, in the caller's contextvars.
        """
        checkFunction(interaction)
        return self._call(self._tasks.interaction, interaction, args, kwargs)

    def runWithConnection(
        self, func: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run *func* with a `Connection` and fire with its result. As `runInteraction` in everything else.

        *func* may commit and roll back as it goes; each time, the next transaction begins. What it has committed itself
        stays, whatever becomes of the call.
        """
        checkFunction(func)
        return self._call(self._tasks.withConnection, func, args, kwargs)

    def connect(self) -> Deferred[Connection]:
        """Check a connection out, until it is given to `disconnect`.

        It has the driver's usual ways: a transaction begins by itself (psycopg2: with the first statement, sqlite3:
        with the first that writes) and is ended by your ``commit()`` or ``rollback()``. Its calls block: make them in
        a thread. One that is dropped without `disconnect` is taken back when Python frees it, with a warning logged.

        Returns: Deferred firing with a `Connection`. Cancelling it gives the connection back.
        Fails with: PoolClosed, PoolOverloaded, DeadlineExceeded, and whatever connecting raises.
        """
        return self._call(self._tasks.lend, None, (), {})

    def disconnect(self, conn: Connection) -> Deferred[None]:
        """Give back a connection that `connect` handed out. What is not committed is rolled back.

        No thread may be inside a call on it any more.

        Returns: Deferred firing when it is back in the pool. Fires at once if the pool closed meanwhile.
        Raises: NotCheckedOut: it is not this pool's, was given back before, or belongs to the process that this one was
            forked from.
        """
        raise NotImplementedError

    def using(
        self,
        *,
        timeout: float | None = None,
        isolation: str | None = None,
        readonly: bool | None = None,
        priority: Priority | None = None,
        name: str | None = None,
    ) -> PoolView:
        """This pool for calls with options of their own. What is not given is as here.

        With *isolation* or *readonly*, `runQuery` and `runOperation` are transactions, too: three round trips to
        the database rather than one.

        Args:
            timeout: seconds for each call, in place of ``cp_timeout``; ``math.inf``: no limit.
            isolation: "READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ" or "SERIALIZABLE". SQLite has the last
                only.
            readonly: True: their transactions cannot write, and on SQLite wait for no other writer. False: they can,
                though the session says otherwise.
            priority: "high", "normal" or "low": the lane in the queue.
            name: of the caller, for ``cp_max_waiting_per_caller``, messages and logs.
        Returns: a `PoolView`.
        Raises: TypeError or ValueError, saying what to write instead; for a driver other than psycopg2 and sqlite3 with
            any *isolation* or *readonly*, too.
        """
        given: dict[str, Any] = {
            "timeout": timeout,
            "isolation": isolation,
            "readonly": readonly,
            "priority": priority,
            "name": name,
        }
        options, pool = self._seen()
        options = dataclasses.replace(options, **{key: value for key, value in given.items() if value is not None})
        pool._driver.check_call_options(options)
        return PoolView(pool, options)

    def _seen(self) -> tuple[CallOptions, ConnectionPool]:
        """The options here, and the pool."""
        raise NotImplementedError

    def _call(self, task: Task, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Deferred[Any]:
        raise NotImplementedError


class PoolView(Calls):
    """A pool, for calls with options of their own. `ConnectionPool.using` makes it.

    Attributes: *pool*; *options*, a `CallOptions`.
    """

    __slots__ = ("_tasks", "options", "pool")

    def __init__(self, pool: ConnectionPool, options: CallOptions) -> None:
        self.pool = pool
        self.options = options
        self._tasks = pool._tasks if options.plain else pool._transactions

    def disconnect(self, conn: Connection) -> Deferred[None]:
        return self.pool.disconnect(conn)

    def __repr__(self) -> str:
        changed = (
            f"{field.name}={getattr(self.options, field.name)!r}"
            for field in dataclasses.fields(CallOptions)
            if getattr(self.options, field.name) != getattr(PLAIN, field.name)
        )
        return f"<{type(self).__name__} of {self.pool!r}: {', '.join(changed) or 'as it is'}>"

    def _seen(self) -> tuple[CallOptions, ConnectionPool]:
        return self.options, self.pool

    def _call(self, task: Task, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Deferred[Any]:
        return self.pool._call(task, function, args, kwargs, self.options)
