"""sqlite3: how a library that is one file and one thread at a time is used from a pool.

- Every connection has ``isolation_level=None``, and transactions are begun here: ``BEGIN IMMEDIATE`` takes the write
  lock at the start, where waiting for it is possible. A transaction that reads first and then wants to write cannot
  wait: it fails with "database is locked" at once if another has written meanwhile.
- ``:memory:`` is private to one connection. The pool names one that its connections share, through the memdb VFS:
  unlike the shared cache it honours the busy time-out. It lives as long as any connection: an anchor is kept until the
  pool closes.
- A connection is used by one thread at a time, but not always by the same: ``check_same_thread`` must be off.
- A connection must not be closed while another thread is inside a call on it: that frees memory in use. `interrupt()`
  is the one call that may come from elsewhere.
- `interrupt()` ends a statement that runs, but not one that waits for a lock, and is lost on an idle connection. So
  waiting is done in slices: a connection's own busy time-out is `SLICE`, and what failed for that reason is repeated
  (`asyncdb._commit`) for as long as the user's ``timeout``. That is exactly safe for BEGIN, for COMMIT, and for one
  statement in autocommit. Where user's statements may have to wait within a function, the connection has all of the
  ``timeout`` (`wait_long`), until `restore`.
- From Python 3.12 on, a connection's ``autocommit`` decides who begins transactions. The pool's way is the old one,
  `LEGACY_TRANSACTION_CONTROL`; with another, `commit()` may do nothing, or leave the next transaction open.
- There is no server to lose: no ping, no descriptor to watch.
"""

from __future__ import annotations

import math
import os
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy.engine.interfaces import Dialect

from asyncdb.dialect._generic import PLAIN, Driver
from asyncdb.dialect._turns import Turns
from asyncdb.options import CallOptions, Options

__all__ = ["SqliteDriver"]

SLICE = 0.05
"""Seconds: how soon a call that waits for a lock notices that its caller has gone."""

# sqlite3.connect's parameters in order: more than one positional argument is deprecated from Python 3.13 on.
_PARAMETERS = (
    "database",
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "factory",
    "cached_statements",
    "uri",
)
_MEMDB_SINCE = (3, 36, 0)  # https://www.sqlite.org/releaselog/3_36_0.html: names beginning with "/" are shared
# https://www.sqlite.org/rescode.html; extended codes carry these in their low byte
_BUSY = 5
_READONLY = 8
_INTERRUPT = 9
# Statements that write; those that begin with one of these letters do not. (WITH may: it then waits as SQLite does.)
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER)\b", re.IGNORECASE)
_SHARED = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_DEFERRED = (
    "SELECT count(*) FROM (SELECT sql FROM sqlite_master UNION ALL SELECT sql FROM sqlite_temp_master) "
    "WHERE instr(upper(sql), 'DEFERRED')"
)
_WRITES_USUALLY = frozenset(("INSERT", "UPDATE", "DELETE"))  # a quarter of the time of the expression
_READS = frozenset("SsVvWwPpEe")
# Statements that do the same in a transaction. Not VACUUM, PRAGMA, ATTACH, BEGIN and their like.
_REPEATABLE = re.compile(
    r"\s*(SELECT|VALUES|WITH|INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|REINDEX|ANALYZE)\b", re.IGNORECASE
)


_in_transaction = attrgetter("in_transaction")  # no function of Python's, unlike the method: see `Core.hand_over`


class SqliteDriver(Driver):
    """sqlite3, or a module that is a newer build of it (pysqlite3)."""

    can_interrupt = True
    interrupt_again = 0.02
    by_hand = True
    quick = 100e-6  # what takes longer is work of SQLite's own, which several processors can share

    def __init__(self, dbapi: ModuleType | Any, dialect: Dialect | None = None) -> None:
        super().__init__(dbapi, dialect)
        self.turns = self._turns = Turns()
        self._begin = "BEGIN IMMEDIATE"
        self._deferred = False  # it takes no lock: the user's statements do
        self._lent_level: str | None = ""
        self._control: int | None = getattr(dbapi, "LEGACY_TRANSACTION_CONTROL", None)
        self._memory: str | None = None  # the name of the database that the pool's connections share
        self._altered: set[int] = set()  # by id: connections whose PRAGMAs are not those of the pool's now
        # By id, of each connection: the versions of its schemas, and whether there are constraints that are deferred.
        self._deferring: dict[int, tuple[tuple[int, int], bool]] = {}
        self._anchor: Any = None
        self._anchor_lock = threading.Lock()

    # Making and ending connections

    def set_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options) -> None:
        super().set_arguments(args, kwargs, options)
        if options.good_sql is None:
            self.rest = math.inf  # there is no server to lose

    def _complete(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], tuple[str, ...]]:
        if len(args) > len(_PARAMETERS):
            raise ValueError(f"sqlite3 takes at most {len(_PARAMETERS)} positional arguments: use keywords")
        arguments = {**dict(zip(_PARAMETERS, args, strict=False)), **kwargs}
        if arguments.get("check_same_thread", False):
            raise ValueError(
                "check_same_thread=True cannot work: the pool's connections move between its threads (one at a time). "
                "Leave it out"
            )
        if "autocommit" in arguments:
            raise ValueError("the pool begins and ends transactions itself: use cp_autocommit instead of autocommit")
        level = arguments.get("isolation_level") or ""
        if not isinstance(level, str) or level.upper() not in ("", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"):
            raise ValueError(f"isolation_level must be DEFERRED, IMMEDIATE or EXCLUSIVE, or be left out, not {level!r}")
        if arguments.get("isolation_level", "") is None:
            self._lent_level = None
        elif level:
            self._begin, self._lent_level = f"BEGIN {level.upper()}", level
            self._deferred = level.upper() == "DEFERRED"
        if _asked(arguments.get("database"), bool(arguments.get("uri")))[1].get("mode") == "ro":
            self._deferred = True  # BEGIN IMMEDIATE succeeds there
        arguments.update(check_same_thread=False, isolation_level=None)
        if _is_private(arguments.get("database"), bool(arguments.get("uri"))):
            if self.dbapi.sqlite_version_info < _MEMDB_SINCE:
                raise ValueError(
                    f"a pool on an in-memory database needs SQLite 3.36, not {self.dbapi.sqlite_version}: use a file"
                )
            if self._memory is None:
                self._memory = f"file:/asyncdb-{uuid.uuid4().hex}?vfs=memdb"
            arguments.update(database=self._memory, uri=True)
        return super()._complete((), arguments)

    def _open(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if self._memory is not None:
            with self._anchor_lock:
                if self._anchor is None:
                    self._anchor = super()._open(args, kwargs)
        return super()._open(args, kwargs)

    def dispose(self) -> None:
        with self._anchor_lock:
            anchor, self._anchor = self._anchor, None
        if anchor is not None:
            self.close(anchor)

    def prepare(self, connection: Any) -> None:
        self._take_control(connection)
        if connection.isolation_level is not None:  # by cp_openfun
            connection.isolation_level = None
        self.busy_timeout = _value_of(connection, "busy_timeout") / 1000
        self.busy_slice = min(self.busy_timeout, SLICE)
        self._set_busy_timeout(connection, self.busy_slice)

    def close(self, connection: Any) -> None:
        self._altered.discard(id(connection))
        self._deferring.pop(id(connection), None)
        super().close(connection)

    def _take_control(self, connection: Any) -> None:
        """``autocommit`` back to the pool's way, if a user's function set it. What is open stays open."""
        if self._control is not None and connection.autocommit != self._control:
            connection.autocommit = self._control

    # Transactions

    def may_autocommit(self, connection: Any) -> bool:
        return True

    def autocommit(self, connection: Any) -> None:
        pass  # it always is, between BEGIN and COMMIT excepted

    def check_call_options(self, options: CallOptions) -> None:
        if options.isolation not in (None, "SERIALIZABLE"):
            raise ValueError(f"SQLite's transactions are SERIALIZABLE, not {options.isolation}: leave isolation out")

    def begin(self, connection: Any, options: CallOptions = PLAIN) -> None:
        if options.readonly is not None:
            self._set_query_only(connection, options.readonly)
        if not options.readonly:
            try:
                connection.execute(self._begin)
            except self.error as error:
                # A connection with PRAGMA query_only refuses the write lock; reading needs none.
                if _code(error) != _READONLY:
                    raise
            else:
                if self._deferred:
                    self._turns.give(connection)
                    self.wait_long(connection)
                return
        self.go_on(connection)

    def may_share(self, statement: str) -> bool:
        return _SHARED.match(statement) is not None

    def begin_shared(self, connection: Any) -> bool:
        if self._deferred:
            return False
        try:
            if self._has_attached(connection) or self._defers_constraints(connection):
                return False
            connection.execute("BEGIN IMMEDIATE")
        except self.error:  # a lock is missing, or it may only read: the statement by itself will wait, or say so
            return False
        return True

    def _has_attached(self, connection: Any) -> bool:
        """Whether there are files whose locks BEGIN would take besides."""
        ((count,),) = _ask(connection, "SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')")
        return bool(count)

    def _defers_constraints(self, connection: Any) -> bool:
        """Whether a foreign key may be violated until COMMIT: by one call, and mended by another."""
        ((enforced,),) = _ask(connection, "PRAGMA foreign_keys")
        if not enforced:
            return False
        ((version,),) = _ask(connection, "PRAGMA schema_version")
        ((own,),) = _ask(connection, "PRAGMA temp.schema_version")
        known = self._deferring.get(id(connection))
        if known is None or known[0] != (version, own):
            ((found,),) = _ask(connection, _DEFERRED)
            self._deferring[id(connection)] = known = (version, own), bool(found)
        return known[1]

    def go_on(self, connection: Any) -> None:
        # Deferred: taking the lock at once would keep every other writer out while the function does something else,
        # and could fail where the function has asked for nothing but a commit, which succeeded.
        self._turns.give(connection)
        connection.execute("BEGIN")
        self.wait_long(connection)

    def is_busy(self, error: BaseException) -> bool:
        return isinstance(error, self.error) and _code(error) == _BUSY

    def writes(self, statement: object) -> bool:
        if not isinstance(statement, str) or statement[:1] in _READS:
            return False
        return statement[:6] in _WRITES_USUALLY or _WRITES.match(statement) is not None

    def begin_again(self, connection: Any, statement: object) -> bool:
        if not isinstance(statement, str) or _REPEATABLE.match(statement) is None:
            return False
        connection.execute("BEGIN")
        return True

    def wait_long(self, connection: Any) -> None:
        if self.busy_timeout > self.busy_slice:
            self._altered.add(id(connection))
            self._set_busy_timeout(connection, self.busy_timeout)

    def commit(self, connection: Any) -> None:
        self._take_control(connection)
        if connection.in_transaction:  # else the function has said COMMIT itself
            connection.commit()
            if connection.in_transaction:
                raise self.dbapi.OperationalError("the transaction is still open after commit(): nothing is committed")

    def rollback(self, connection: Any) -> None:
        self._take_control(connection)
        connection.rollback()

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection.in_transaction)

    left_open = in_transaction

    def status(self, connection: Any) -> Callable[[], object]:
        return partial(_in_transaction, connection)

    def keeps(self, connection: Any, cursor: Any) -> bool:
        own = self.dbapi  # classes of somebody else's may count on a new one, or remember things
        return type(cursor) is own.Cursor and type(connection) is own.Connection

    def lend(self, connection: Any, options: CallOptions = PLAIN) -> None:
        if options.readonly is not None:
            self._set_query_only(connection, options.readonly)
        self.wait_long(connection)
        connection.isolation_level = self._lent_level

    def session(self, connection: Any) -> object:
        return (connection.row_factory, connection.text_factory, _value_of(connection, "query_only"))

    def restore(self, connection: Any, session: Any) -> None:
        connection.row_factory, connection.text_factory, query_only = session
        self._take_control(connection)
        if connection.isolation_level is not None:
            connection.isolation_level = None  # commits, so only outside a transaction
        if id(connection) in self._altered:
            connection.execute(f"PRAGMA query_only = {query_only}")
            self._set_busy_timeout(connection, self.busy_slice)
            self._altered.discard(id(connection))

    # PRAGMAs. They take some 2 µs each, so that those that nobody has changed are not set back.

    def _set_query_only(self, connection: Any, on: bool) -> None:
        self._altered.add(id(connection))
        connection.execute(f"PRAGMA query_only = {on:d}")

    def _set_busy_timeout(self, connection: Any, seconds: float) -> None:
        connection.execute(f"PRAGMA busy_timeout = {math.ceil(seconds * 1000)}")

    # Health

    def is_disconnect(self, error: BaseException, connection: Any) -> bool:
        return isinstance(error, self.error) and self.dialect.is_disconnect(error, connection, None)  # type: ignore[arg-type]

    def interrupt(self, connection: Any) -> None:
        try:
            connection.interrupt()
        except self.error:
            pass  # closed meanwhile

    cut = interrupt

    def is_interruption(self, error: BaseException) -> bool:
        return isinstance(error, self.error) and _code(error) == _INTERRUPT


def _value_of(connection: Any, pragma: str) -> int:
    ((value,),) = _ask(connection, f"PRAGMA {pragma}")
    return int(value)


def _ask(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None  # cp_openfun may have set one
    try:
        rows: list[tuple[Any, ...]] = cursor.execute(sql).fetchall()
    finally:
        cursor.close()
    return rows


def _code(error: BaseException) -> int:
    """SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _asked(database: Any, uri: bool) -> tuple[str, dict[str, str]]:
    """The file's name, and what a URI asks for besides."""
    if not isinstance(database, (str, bytes, os.PathLike)):
        return "unknown", {}
    database = os.fsdecode(database)
    if not uri or not database.startswith("file:"):
        return database, {}
    name, _, query = database.removeprefix("file:").partition("#")[0].partition("?")
    return name, dict(parse_qsl(query))


def _is_private(database: Any, uri: bool) -> bool:
    """Whether each connection to *database* would get a database of its own."""
    name, asked = _asked(database, uri)
    if asked.get("vfs") == "memdb":
        return not name.startswith("/")
    if asked.get("cache") == "shared":
        return False
    return name in ("", ":memory:") or asked.get("mode") == "memory"
