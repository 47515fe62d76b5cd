"""`Engine`: SQLAlchemy Core, and the ORM, on a `ConnectionPool`'s connections.

A function runs in a worker thread with a SQLAlchemy ``Connection`` over the DB-API connection that the pool has given
the call. One SQLAlchemy engine is shared by all of them, so that statements are compiled once and the dialect asks the
server what it is once. Its pool, `_Borrowed`, owns nothing: "checking out" gives the record of the connection that the
thread works with, "checking in" changes nothing.

Invariants: SQLAlchemy never closes a connection without the pool learning of it: an invalidated record is seen when the
function ends, and the connection counts as lost. It opens none either.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, Result, ScalarResult
from sqlalchemy.engine.result import MappingResult
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolProxiedConnection

from asyncdb._worker import Call, Slot
from asyncdb.adbapi import ConnectionPool
from asyncdb.errors import CommitUnknown
from asyncdb.transaction import checkFunction, checkResult
from netcore.defer import Deferred

__all__ = ["Engine"]

T = TypeVar("T")
P = ParamSpec("P")


class _Current(threading.local):
    """The slot that this thread works with, while it runs a function of an engine's."""

    slot: Slot | None = None
    connection: sqlalchemy.Connection | None = None


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
        return cast("ConnectionPoolEntry", slot.extra)

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


class Engine:
    """SQLAlchemy on a pool.

    Args:
        pool: a `ConnectionPool` whose driver SQLAlchemy has a dialect for.
    Attributes: *pool*; *dialect*, SQLAlchemy's name of it ("postgresql", "sqlite").
    Raises: ValueError: SQLAlchemy has no dialect for the pool's driver.
    Threading: every method in the pool's reactor's thread.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        driver = pool._driver
        if driver.dialect_name is None:
            raise ValueError(f"SQLAlchemy knows no dialect for {pool.dbapiName}: use the pool itself")
        self._driver = driver
        self._current = _Current()
        kind = driver.dialect_name.replace(".", "+")
        self._engine = sqlalchemy.create_engine(
            URL.create(kind), module=driver.dbapi, pool=_Borrowed(self._current), hide_parameters=True
        )
        self.dialect: str = self._engine.dialect.name
        # Not by the event "begin": with any listener on the engine, SQLAlchemy asks for listeners at every step of
        # every statement, which is a third of its own cost (20 of 65 µs for a one-row select from SQLite).
        self._engine.dialect.do_begin = self._begin  # type: ignore[method-assign]
        event.listen(self._engine, "handle_error", _leave_the_others)

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
        Fails with: PoolClosed, PoolOverloaded, DeadlineExceeded, CommitUnknown; TypeError for a result that was not
            fetched; and whatever *f* raised, the driver's errors in SQLAlchemy's wrapping
        (`sqlalchemy.exc.DBAPIError`). Threading: call in the reactor's thread; *f* runs in a worker thread, in the
        caller's contextvars.
        """
        checkFunction(f)
        return self.pool._call(self._run, f, args, kwargs, True)

    def close(self, deadline: float = 5.0) -> Deferred[None]:
        """Close the pool; see `ConnectionPool.close`."""
        return self.pool.close(deadline)

    async def __aenter__(self) -> Self:
        self.pool.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.pool!r}>"

    # In worker threads.

    def _begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """SQLAlchemy begins a transaction: the first of the call, or the next after one that *f* ended."""
        connection = self._current.connection
        if connection is not None and connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return  # f has asked for it
        self._driver.begin(dbapi_connection.dbapi_connection)

    def _run(self, slot: Slot, call: Call) -> Any:
        self._current.slot = slot
        try:
            with self._engine.connect() as connection:
                self._current.connection = connection
                result = call.function(connection, *call.args, **call.kwargs)
                _check_fetched(result)
                checkResult(result)
                self._commit(connection, slot, call)
            return result
        finally:
            self._current.slot = self._current.connection = None
            record = slot.extra
            if record is not None and record.dbapi_connection is None:
                slot.lost = True  # invalidated by SQLAlchemy, or by f

    def _commit(self, connection: sqlalchemy.Connection, slot: Slot, call: Call) -> None:
        if not connection.in_transaction():
            return  # nothing was executed since f's last commit
        self._driver.check_commit(slot.connection)
        call.committing = True
        try:
            connection.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                slot.lost = True
                raise CommitUnknown(f"the connection was lost during COMMIT: {error.orig}") from error
            raise


def _leave_the_others(context: ExceptionContext) -> None:
    """One lost connection says nothing of the others: whether they live is found out when they are used next."""
    context.invalidate_pool_on_disconnect = False


def _check_fetched(result: Any) -> None:
    if isinstance(result, (Result, ScalarResult, MappingResult)) or inspect.isgenerator(result):
        raise TypeError(
            f"the function returned a {type(result).__name__}, which could fetch nothing any more once the transaction "
            "has ended: fetch inside, for example with .all()"
        )
