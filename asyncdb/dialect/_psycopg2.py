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

    def set_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options) -> None:
        super().set_arguments(args, kwargs, options)
        if not self._says_connect_timeout():
            # libpq takes whole seconds; the pool's own limit is exact and holds in any case, but a libpq that gives
            # up by itself gives its thread back.
            self.kwargs["connect_timeout"] = max(2, math.ceil(options.connect_timeout))

    def _says_connect_timeout(self) -> bool:
        if "connect_timeout" in self.kwargs or "PGCONNECT_TIMEOUT" in os.environ:
            return True
        dsn = self.kwargs.get("dsn", self.args[0] if self.args else None)
        if not dsn:
            return False
        try:
            return "connect_timeout" in self.dbapi.extensions.parse_dsn(dsn)
        except self.dbapi.Error:
            return True  # connecting will say what is wrong with it

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
            self.begin(connection)  # with autocommit on, each of these would be a round trip
            connection.isolation_level, connection.readonly, connection.deferrable = session

    def explain(self, error: BaseException) -> None:
        if isinstance(error, self.dbapi.errors.NoActiveSqlTransaction):
            error.add_note(_HINT)
