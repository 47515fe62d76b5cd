"""`Engine`: SQLAlchemy Core, and the ORM, on a `ConnectionPool`'s connections.

A function runs in a worker thread with a SQLAlchemy ``Connection`` over the DB-API connection that the pool has given
the call. One SQLAlchemy engine is shared by all of them, so that statements are compiled once and the dialect asks the
server what it is once. Its pool, `_Borrowed`, owns nothing: "checking out" gives the record of the connection that the
thread works with, "checking in" changes nothing.

Invariants:

- SQLAlchemy never closes a connection without the pool learning of it: an invalidated record is seen when the function
  ends, and the connection counts as lost. It opens none either.
- A call has one connection and one transaction: a second checkout inside it is refused.
- Every commit goes through `_Shared._commit`, whoever asked for it: a failed transaction is not reported as committed,
  nor one as failed whose outcome nobody knows.
- The types that SQLAlchemy registers on a connection hold while a function of an engine's runs, and for nobody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, Result, ScalarResult
from sqlalchemy.engine.result import MappingResult
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolProxiedConnection

from asyncdb._commit import Abandoned, begin, commit, committing
from asyncdb._worker import Call, Slot, Task
from asyncdb.adbapi import ConnectionPool, PoolView
from asyncdb.dialect import Driver
from asyncdb.options import Priority
from asyncdb.transaction import checkFunction, checkResult
from netcore.defer import Deferred

__all__ = ["Engine"]

T = TypeVar("T")
P = ParamSpec("P")


class _Current(threading.local):
    """What this thread works with, while it runs a function of an engine's."""

    slot: Slot | None = None
    call: Call | None = None
    connection: sqlalchemy.Connection | None = None
    ending = False
    """The function has returned."""


class _Borrowed(Pool):
    """Gives SQLAlchemy the connection that the thread works with."""

    def __init__(self, current: _Current) -> None:
        super().__init__(self._connection, reset_on_return=None)
        self._current = current

    def _connection(self) -> Any:
        """The "creator". A record asks twice only when its connection was invalidated: then there is no other."""
        slot = self._current.slot
        if slot is None:
            raise RuntimeError("connections of this engine exist only inside functions given to its run()")
        if slot.extra is not None:
            raise DisconnectionError("the connection was lost, and with it the transaction: call run() again")
        return slot.connection

    def _do_get(self) -> ConnectionPoolEntry:
        slot = self._current.slot
        if slot is None or slot.extra is None:
            record = self._create_connection()
            if slot is not None:
                slot.extra = record
            return record
        record = cast("ConnectionPoolEntry", slot.extra)
        if record.in_use:
            raise RuntimeError(
                "run() gives its function one connection, and this would be a second one, in the same transaction: use "
                "the connection you were given, for example create_all(connection) or Session(connection)"
            )
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        pass

    def dispose(self) -> None:
        """Nothing is ours to dispose of."""

    def recreate(self) -> Pool:
        """A pool like this, on the same connections."""
        return _Borrowed(self._current)

    def status(self) -> str:
        """For people."""
        return "connections of an asyncdb pool"


class _Shared:
    """The SQLAlchemy engine of a pool: one for all its `Engine` objects, since it keeps a record for each connection.

    Threading: made in the reactor's thread, used in worker threads.
    """

    def __init__(self, driver: Driver, dialect_name: str) -> None:
        self._driver = driver
        self._current = _Current()
        self.task = Task(self._run, "Engine.run", foreign=True)
        self.engine = sqlalchemy.create_engine(
            URL.create(dialect_name.replace(".", "+")),
            module=driver.dbapi,
            pool=_Borrowed(self._current),
            hide_parameters=True,
        )
        # Not by the event "begin": with any listener on the engine, SQLAlchemy asks for listeners at every step of
        # every statement, which is a third of its own cost (20 of 65 µs for a one-row select from SQLite).
        dialect: Any = self.engine.dialect
        self._prepare_twophase, dialect.do_prepare_twophase = dialect.do_prepare_twophase, self._prepare
        self._commit_twophase, dialect.do_commit_twophase = dialect.do_commit_twophase, self._commit_prepared
        self._rollback_twophase, dialect.do_rollback_twophase = dialect.do_rollback_twophase, self._rollback_prepared
        dialect.do_begin = self._begin
        dialect.do_commit = self._commit
        self._roll_back, dialect.do_rollback = dialect.do_rollback, self._rollback
        event.listen(self.engine, "handle_error", _leave_the_others)

    def _run(self, slot: Slot, call: Call) -> Any:
        """Run the function of *call*."""
        current, driver, borrowed = self._current, self._driver, slot.connection
        current.slot, current.call, current.ending = slot, call, False
        types_before = driver.types(slot.connection)
        if slot.types is not None:
            driver.set_types(slot.connection, slot.types)
        try:
            with self.engine.connect() as connection:
                current.connection = connection
                result = call.function(connection, *call.args, **call.kwargs)
                _check_fetched(result)
                checkResult(result)
                current.ending = True
                if connection.in_transaction():  # else nothing was executed since f's last commit
                    connection.commit()
            return result
        finally:
            current.slot = current.call = current.connection = None
            if driver.turns is not None:
                driver.turns.give(borrowed)
            record = slot.extra
            if record is not None and record.dbapi_connection is None:
                slot.lost = True  # invalidated by SQLAlchemy, or by f
            if types_before is not None and not slot.lost:
                slot.types = driver.types(slot.connection)
                driver.set_types(slot.connection, types_before)

    def _begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """SQLAlchemy begins a transaction: the first of the call, or the next after one that *f* ended."""
        slot, call, connection = self._current.slot, self._current.call, self._current.connection
        if connection is not None and connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            # f has asked for it. The characteristics of a view go out with BEGIN.
            if call is not None and not call.options.plain:
                raise ValueError("isolation and readonly of using() need a transaction: AUTOCOMMIT cannot have them")
            self._driver.wait_long(dbapi_connection.dbapi_connection)
            return
        if slot is not None and call is not None:  # else SQLAlchemy looks at its first connection
            begin(self._driver, slot, call)

    def _commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        """SQLAlchemy commits: at the end, or because *f* says so, by whatever way."""
        slot, call = self._current.slot, self._current.call
        if slot is None or dbapi_connection.dbapi_connection is not slot.connection:
            dbapi_connection.commit()  # SQLAlchemy's own, when it looks at its first connection
            return
        # CommitUnknown is no error of the driver's: SQLAlchemy lets it through as it is.
        commit(self._driver, slot, call, last=self._current.ending)

    def _rollback(self, dbapi_connection: PoolProxiedConnection) -> None:
        """SQLAlchemy rolls back; *f* may go on, and write no more."""
        self._roll_back(dbapi_connection)
        if self._driver.turns is not None:
            self._driver.turns.give(dbapi_connection.dbapi_connection)

    # In two phases. PREPARE is where it is decided whether the call still may: other transactions, in other databases,
    # may rely on it from then on, and it would stay there, with its locks, if it was neither committed nor rolled back.

    def _prepare(self, connection: sqlalchemy.Connection, xid: Any) -> None:
        self._in_two_phases(partial(self._prepare_twophase, connection, xid))

    def _commit_prepared(
        self, connection: sqlalchemy.Connection, xid: Any, is_prepared: bool = True, recover: bool = False
    ) -> None:
        attempt = partial(self._commit_twophase, connection, xid, is_prepared, recover)
        self._in_two_phases(attempt, promised=is_prepared).committing = self._current.ending

    def _rollback_prepared(self, *args: Any, **kwargs: Any) -> None:
        self._rollback_twophase(*args, **kwargs)
        if self._current.call is not None:
            self._current.call.committing = False

    def _in_two_phases(self, attempt: Callable[[], object], promised: bool = False) -> Call:
        slot, call = self._current.slot, self._current.call
        assert slot is not None
        assert call is not None
        committing(self._driver, slot, call, attempt, promised=promised)
        return call


class Engine:
    """SQLAlchemy on a pool.

    Args:
        pool: a `ConnectionPool`, or a view of one, whose driver SQLAlchemy has a dialect for.
    Attributes: *pool*, the `ConnectionPool`; *dialect*, SQLAlchemy's name of it ("postgresql", "sqlite").
    Raises: ValueError: SQLAlchemy has no dialect for the pool's driver.
    Threading: every method in the pool's reactor's thread.
    """

    def __init__(self, pool: ConnectionPool | PoolView) -> None:
        self._calls = pool
        self.pool = pool = pool.pool if isinstance(pool, PoolView) else pool
        driver = pool._driver
        if driver.dialect_name is None:
            raise ValueError(f"SQLAlchemy knows no dialect for {pool.dbapiName}: use the pool itself")
        if pool._alchemy is None:
            pool._alchemy = _Shared(driver, driver.dialect_name)
        self._shared: _Shared = pool._alchemy
        self.dialect: str = self._shared.engine.dialect.name

    @classmethod
    def fromURL(cls, url: str, **options: Any) -> Engine:
        """An engine on a pool of its own, as `ConnectionPool.fromURL` makes it."""
        return cls(ConnectionPool.fromURL(url, **options))

    def run(
        self, f: Callable[Concatenate[sqlalchemy.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run *f* with a SQLAlchemy ``Connection``, in one transaction, and fire with its result.

        Args:
            f: called with the connection, *args* and *kwargs*. When it returns, what it has not committed itself is
                committed; when it raises, rolled back. It must fetch what it wants: a result still open is refused.
        Returns: Deferred firing with what *f* returned. Cancelling it: as `ConnectionPool.runInteraction`.
        Raises: TypeError, at once, for a generator or coroutine function.
        Fails with: PoolClosed, PoolOverloaded, DeadlineExceeded, CommitUnknown; an error of connecting that trying
            again would not mend, as the driver raised it; TypeError for a result that was not fetched; and whatever
            *f* raised, the driver's errors in SQLAlchemy's wrapping (`sqlalchemy.exc.DBAPIError`).
        Threading: call in the reactor's thread; *f* runs in a worker thread, in the caller's contextvars.
        """
        checkFunction(f)
        return self._calls._call(self._shared.task, f, args, kwargs)

    def using(
        self,
        *,
        timeout: float | None = None,
        isolation: str | None = None,
        readonly: bool | None = None,
        priority: Priority | None = None,
        name: str | None = None,
    ) -> Engine:
        """An engine on the same pool, whose calls have options of their own: see `ConnectionPool.using`."""
        return Engine(
            self._calls.using(timeout=timeout, isolation=isolation, readonly=readonly, priority=priority, name=name)
        )

    def close(self, deadline: float = 5.0) -> Deferred[None]:
        """Close the pool; see `ConnectionPool.close`."""
        return self.pool.close(deadline)

    async def __aenter__(self) -> Self:
        self.pool.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._calls!r}>"


def _leave_the_others(context: ExceptionContext) -> None:
    """One lost connection says nothing of the others: whether they live is found out when they are used next.

    And one is not lost because its call was abandoned, as SQLAlchemy thinks of whatever is no Exception.
    """
    context.invalidate_pool_on_disconnect = False
    if isinstance(context.original_exception, Abandoned):
        context.is_disconnect = False


def _check_fetched(result: Any) -> None:
    # Any iterator: SQLAlchemy's own, and what map(), zip() and the like would make of them, all fetch later.
    if isinstance(result, (Result, ScalarResult, MappingResult, Iterator)):
        raise TypeError(
            f"the function returned a {type(result).__name__}, which could fetch nothing any more once the transaction "
            "has ended: fetch inside, for example with .all()"
        )
