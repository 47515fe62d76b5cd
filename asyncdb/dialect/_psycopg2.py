"""psycopg2: what SQLAlchemy's dialect does not say about it.

Facts this rests on, each tried out: ``autocommit`` and the session characteristics are flags of the client as long as
they are set outside a transaction while autocommit is off, so that switching costs no round trip; characteristics set
that way (``set_session(readonly=True)``, an isolation level) go out with BEGIN, and so do not hold in autocommit;
``cancel()`` makes a connection of its own and blocks; a shut-down socket makes a blocked libpq call come back at once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from asyncdb.dialect._generic import Driver
from asyncdb.options import Options

__all__ = ["Psycopg2Driver"]

# libpq: PQTRANS_IDLE. 4 (unknown) is a connection that is lost, which counts as not being in a transaction.
_AT_REST = (0, 4)
_FAILED = 3  # PQTRANS_INERROR
_HINT = (
    "runQuery and runOperation send one statement in autocommit: use runInteraction for what needs a transaction, or "
    "give the pool cp_autocommit=False"
)


class Psycopg2Driver(Driver):
    """psycopg2."""

    closes_anywhere = True
    _malformed = False

    def set_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options) -> None:
        super().set_arguments(args, kwargs, options)
        dsn = self.kwargs.get("dsn", self.args[0] if self.args else None)
        parsed = self._parse(dsn) if dsn else {}
        self.secrets = (*(text for text in (dsn, parsed.get("password")) if text), *self.secrets)
        if "connect_timeout" not in {**parsed, **self.kwargs} and "PGCONNECT_TIMEOUT" not in os.environ:
            # libpq takes whole seconds; the pool's own limit is exact and holds in any case, but a libpq that gives
            # up by itself gives its thread back.
            self.kwargs["connect_timeout"] = max(2, math.ceil(options.connect_timeout))

    def _parse(self, dsn: str) -> dict[str, str]:
        try:
            parsed = dict(self.dbapi.extensions.parse_dsn(dsn))
        except self.dbapi.Error:  # connecting will say what is wrong with it
            parsed = {"port": "unknown"}
        # A "/" or "@" in a password takes the rest of a URL for something else, which parse_dsn does not mind.
        self._malformed = not all(port.isdecimal() for port in parsed.get("port", "").split(",") if port)
        return parsed

    def is_retryable(self, error: BaseException) -> bool:
        return not self._malformed and super().is_retryable(error)

    def prepare(self, connection: Any) -> None:
        if connection.autocommit:  # by cp_openfun; when to be in a transaction is the pool's to say
            connection.autocommit = False

    def may_autocommit(self, connection: Any) -> bool:
        return self.session(connection) == (None, None, None)

    def autocommit(self, connection: Any) -> None:
        if not connection.autocommit:
            connection.autocommit = True

    def begin(self, connection: Any) -> None:
        if connection.autocommit:
            connection.autocommit = False

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

    def lend(self, connection: Any) -> None:
        self.begin(connection)

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

    def explain(self, error: BaseException) -> None:
        if isinstance(error, self.dbapi.errors.NoActiveSqlTransaction):
            error.add_note(_HINT)
