"""psycopg2: what SQLAlchemy's dialect does not say about it.

Facts this rests on, each tried out: ``autocommit`` and the session characteristics are flags of the client as long as
they are set outside a transaction while autocommit is off, so that switching costs no round trip; characteristics set
that way (``set_session(readonly=True)``, an isolation level) go out with BEGIN, and so do not hold in autocommit;
a shut-down socket makes a blocked libpq call come back at once.

``connection.cancel()`` makes a connection of its own, waits for the server to close it, and keeps the interpreter to
itself meanwhile: with a server that does not answer, the whole process stands still, the reactor included. So `_cancel`
asks libpq itself.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy.engine.interfaces import Dialect

from asyncdb.dialect._cancel import Canceller
from asyncdb.dialect._generic import PLAIN, Driver, as_text, causes
from asyncdb.options import CallOptions, Options

__all__ = ["Psycopg2Driver"]

# libpq: PQTRANS_IDLE. 4 (unknown) is a connection that is lost, which counts as not being in a transaction.
_AT_REST = (0, 4)
_FAILED = 3  # PQTRANS_INERROR
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SHUTDOWN = "57P"
_READ_ONLY = "25006"
_UNSUPPORTED = "0A000"
# "Statement completion unknown", "transaction resolution unknown": others that speak PostgreSQL's protocol send them.
_UNKNOWN = ("40003", "08007")
_HINT = (
    "runQuery and runOperation send one statement in autocommit: use runInteraction for what needs a transaction, or "
    "give the pool cp_autocommit=False"
)
_MALFORMED = (
    "invalid dsn. It has the form \"host=... user=... password='...' dbname=...\", with ' and \\ in a value written as "
    "\\' and \\\\, or the form postgresql://user:password@host:port/name, with / @ : and % in user and password "
    "written as %2F %40 %3A %25"
)


class Psycopg2Driver(Driver):
    """psycopg2."""

    can_interrupt = True
    interrupt_again = 0.05  # a cancel costs a connection and a process of the server's
    closes_anywhere = True

    def __init__(self, dbapi: ModuleType | Any, dialect: Dialect | None = None) -> None:
        super().__init__(dbapi, dialect)
        self._connect_timeout = 2
        self._make_canceller = Canceller.maker(dbapi)
        self._cancellers: WeakKeyDictionary[Any, Callable[[], None]] = WeakKeyDictionary()
        self._readonly: WeakSet[Any] = WeakSet()  # connections that were made read-only by the server, or cp_openfun

    def set_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options) -> None:
        # libpq takes whole seconds; the pool's own limit is exact and holds in any case, but a libpq that gives up by
        # itself gives its thread back.
        self._connect_timeout = max(2, math.ceil(options.connect_timeout))
        super().set_arguments(args, kwargs, options)

    def _complete(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], tuple[str, ...]]:
        args, arguments, secrets = super()._complete(args, kwargs)
        parsed = self._parse(dsn := _dsn(args, arguments)) or {}
        if args and "dsn" in arguments:  # which cp_connargs gave in place of the first
            args = args[1:]
        secrets = (*(as_text(secret) for secret in (dsn, parsed.get("password")) if secret), *secrets)
        if "connect_timeout" not in {**parsed, **arguments} and "PGCONNECT_TIMEOUT" not in os.environ:
            arguments["connect_timeout"] = self._connect_timeout
        return args, arguments, secrets

    def _open(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        # libpq's own message repeats parts of the DSN, of the password too, and may be of a class that is tried again.
        if self._parse(_dsn(args, kwargs)) is None:
            raise self.dbapi.ProgrammingError(_MALFORMED)
        return super()._open(args, kwargs)

    def _parse(self, dsn: Any) -> dict[str, str] | None:
        """What *dsn* says, if there is one; None: it is malformed."""
        try:
            parsed: dict[str, str] = dict(self.dbapi.extensions.parse_dsn(dsn)) if dsn else {}
        except self.dbapi.Error:
            return None
        return parsed if _is_plausible(parsed) else None

    def prepare(self, connection: Any) -> None:
        if connection.autocommit:  # by cp_openfun; when to be in a transaction is the pool's to say
            connection.autocommit = False
        if self._make_canceller is not None:
            self._cancellers[connection] = self._make_canceller(connection)
        if _reported(connection, "default_transaction_read_only"):
            self._readonly.add(connection)

    def may_autocommit(self, connection: Any) -> bool:
        return self.session(connection) == (None, None, None)

    def autocommit(self, connection: Any) -> None:
        if not connection.autocommit:
            connection.autocommit = True

    def check_call_options(self, options: CallOptions) -> None:
        pass  # it has all of SQL's

    def begin(self, connection: Any, options: CallOptions = PLAIN) -> None:
        if connection.autocommit:
            connection.autocommit = False
        # Flags of the client's, which go out with BEGIN; `restore` sets them back.
        if options.isolation is not None:
            connection.isolation_level = options.isolation
        if options.readonly is not None:
            connection.readonly = options.readonly

    def check_commit(self, connection: Any) -> None:
        # The server answers COMMIT of a failed transaction with ROLLBACK, and psycopg2 does not say so.
        if connection.get_transaction_status() == _FAILED:
            raise self.dbapi.errors.InFailedSqlTransaction(
                "a statement of this transaction failed and the error was caught: nothing can be committed. "
                "Let it out, or use a SAVEPOINT"
            )

    def commit(self, connection: Any) -> None:
        self.check_commit(connection)
        connection.commit()
        if self.in_transaction(connection):  # begun by a statement in autocommit, of which commit() knows nothing
            with connection.cursor() as cursor:
                cursor.execute("COMMIT")

    def rollback(self, connection: Any) -> None:
        connection.rollback()
        if self.in_transaction(connection):  # begun by a statement in autocommit, of which rollback() knows nothing
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")

    def in_transaction(self, connection: Any) -> bool:
        return connection.get_transaction_status() not in _AT_REST

    left_open = in_transaction

    def status(self, connection: Any) -> Callable[[], object]:
        return connection.get_transaction_status  # type: ignore[no-any-return]  # 0 is idle

    def keeps(self, connection: Any, cursor: Any) -> bool:
        own = self.dbapi.extensions  # classes of somebody else's may count on a new one, or remember things
        return type(cursor) is own.cursor and type(connection) is own.connection

    def lend(self, connection: Any, options: CallOptions = PLAIN) -> None:
        self.begin(connection, options)

    def session(self, connection: Any) -> tuple[object, object, object]:
        return (connection.isolation_level, connection.readonly, connection.deferrable)

    def restore(self, connection: Any, session: tuple[object, object, object]) -> None:
        if self.session(connection) != session:
            # With autocommit on these are round trips, and must be: what was set that way is set in the server.
            connection.isolation_level, connection.readonly, connection.deferrable = session

    def types(self, connection: Any) -> dict[Any, Any] | None:
        return dict(connection.string_types)

    def set_types(self, connection: Any, types: Mapping[Any, Any] | None) -> None:
        connection.string_types.clear()
        connection.string_types.update(types or {})

    # Health

    def eviction(self, error: BaseException, connection: Any) -> str | None:
        codes = [getattr(cause, "pgcode", None) or "" for cause in causes(error)]
        if any(code.startswith(_SHUTDOWN) for code in codes):
            return "shutdown"
        if self._refuses_writes(codes, connection):
            return "readonly"
        return super().eviction(error, connection)

    def _refuses_writes(self, codes: Collection[str], connection: Any) -> bool:
        """Whether the server takes no writes, as far as what it has said unasked tells (it does from PostgreSQL 14)."""
        if connection.closed:
            return False
        standby = _reported(connection, "in_hot_standby")
        if _UNSUPPORTED in codes and connection.readonly is False:
            return standby is True  # BEGIN READ WRITE
        if _READ_ONLY not in codes or connection.readonly:
            return False
        if standby is not False:
            return True
        # No standby. Then somebody has asked, for this transaction (BEGIN READ ONLY), or for all: for these, it was
        # the server or the user from the beginning, and a new connection would be the same; or it was somebody since.
        return bool(_reported(connection, "default_transaction_read_only")) and connection not in self._readonly

    def is_unknown(self, error: BaseException, connection: Any) -> bool:
        return getattr(error, "pgcode", None) in _UNKNOWN or super().is_unknown(error, connection)

    def interrupt(self, connection: Any) -> None:
        cancel = self._cancellers.get(connection)
        try:
            (connection.cancel if cancel is None else cancel)()
        except self.error:
            pass  # it is closed, or has no session yet

    def is_interruption(self, error: BaseException) -> bool:
        return isinstance(error, self.dbapi.extensions.QueryCanceledError)

    def explain(self, error: BaseException) -> None:
        if isinstance(error, self.dbapi.errors.NoActiveSqlTransaction):
            error.add_note(_HINT)


def _reported(connection: Any, name: str) -> bool | None:
    """What the server has said of its parameter *name*, without asking it again; None: nothing."""
    value = connection.get_parameter_status(name)
    return None if value is None else value == "on"


def _dsn(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return kwargs.get("dsn", args[0] if args else None)


def _is_plausible(parsed: Mapping[str, str]) -> bool:
    """A "/" or "@" in a password makes a port or a host of a part of it, which parse_dsn does not mind.

    What begins with "/" or "@" is the name of a socket (libpq's documentation, 34.1.2).
    """
    hosts, ports = (parsed.get(name, "").split(",") for name in ("host", "port"))
    named = (host for host in hosts if not host.startswith(("/", "@")))
    return all(port.strip().isdecimal() for port in ports if port) and not any("@" in host for host in named)
