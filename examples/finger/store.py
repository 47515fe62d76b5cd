"""`Store`: the people, asked for without blocking.

What `tables` does with a connection is done in the threads of a pool. What writes has a transaction of its own. What
reads runs in autocommit: to PostgreSQL that is one round trip instead of three, and on SQLite, where a transaction of
the pool's takes the write lock, readers do not wait for each other.

The tables install themselves: each call makes sure of them until one has succeeded, and again after one that failed, so
that a service may be started before its database, and outlives one that is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from asyncdb import AsyncdbError, Engine
from examples.finger import tables
from examples.finger.limits import DEFAULT, Limits
from examples.finger.records import Person, Session
from netcore.defer import Deferred, ensureDeferred

__all__ = ["Store"]

P = ParamSpec("P")
T = TypeVar("T")

# A host that vanishes says nothing. With a statement under way TCP would repeat it for a quarter of an hour, and with
# none wait for ever, and for as long a connection of the pool's would be lost to it. A server that is merely stopped,
# or slow, acknowledges all the same and is not mistaken for one that has gone. (Names and meanings are libpq's; where
# the system has no such option, libpq ignores it.)
KEEPALIVE = {
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,  # milliseconds
}


class Store:
    """The people, through a pool of database connections.

    Args:
        engine: its pool; closed by `close`.
    Attributes: *outages*, what calls fail with that had no answer from the database; the driver's own errors are those
        of connecting.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.outages: tuple[type[Exception], ...] = (AsyncdbError, DBAPIError, OSError, engine.pool.dbapi.Error)
        self._installed = False

    @classmethod
    def fromURL(cls, url: str, limits: Limits = DEFAULT, patient: bool = False) -> Store:
        """A store in the database that *url* names.

        Args:
            limits: how long its calls may wait and run, and how many may wait. The bounds hold in the database too, as
                far as it lets itself be told: a statement nobody waits for any more must not keep its connection.
            patient: calls may run as long as they need, and wait for a lock as long as sqlite3 lets them.
        Raises: ValueError, ImportError: there cannot be such a store.
        """
        options: dict[str, Any] = {
            "cp_wait_timeout": limits.wait,
            "cp_connect_timeout": limits.connect,
            "cp_check_timeout": limits.connect,
            "cp_max_waiting": limits.clients,
        }
        if not patient:
            options["cp_timeout"] = limits.wait + limits.run
        kind, _, driver = url.partition(":")[0].partition("+")
        if kind in {"postgresql", "postgres"} and driver in {"", "psycopg2", "psycopg"}:
            options.update(KEEPALIVE)
            if not patient:
                milliseconds = int(limits.run * 1000)
                options["cp_openfun"] = lambda connection: bound_statements(connection, milliseconds)
        elif kind == "sqlite":
            options["cp_openfun"] = read_any_text
            if not patient:
                options["timeout"] = limits.run  # sqlite3's name for how long it waits for a lock
        return cls(Engine.fromURL(url, **options))

    def install(self) -> Deferred[None]:
        """Create the tables, with some sample people in them, if there are none."""
        return ensureDeferred(self._install())

    def find(self, name: str) -> Deferred[list[Person]]:
        """Those who have *name* as login, or all words of *name* in theirs, ignoring case; in the order of logins."""
        return self.read(tables.find, name)

    def online(self) -> Deferred[list[Person]]:
        """Those with open sessions, in the order of logins."""
        return self.read(tables.online)

    def everyone(self) -> Deferred[list[Person]]:
        """All people, in the order of logins."""
        return self.read(tables.load)

    def show(self, login: str) -> Deferred[Person]:
        """The one with that login.

        Fails with: UnknownLogin.
        """
        return self.read(tables.show, login)

    def add(self, person: Person) -> Deferred[None]:
        """Add *person*, with the sessions.

        Fails with: InvalidLogin, LoginTaken.
        """
        return self.write(tables.add, person)

    def remove(self, login: str) -> Deferred[None]:
        """Remove the one with that login.

        Fails with: UnknownLogin.
        """
        return self.write(tables.remove, login)

    def open_session(self, login: str, session: Session) -> Deferred[None]:
        """Somebody logs on.

        Fails with: UnknownLogin; LineTaken: there is a session of theirs on that line.
        """
        return self.write(tables.open_session, login, session)

    def close_sessions(self, login: str, line: str | None = None) -> Deferred[None]:
        """Somebody logs off: from *line*, or from all.

        Fails with: UnknownLogin; NotOn: they are not on.
        """
        return self.write(tables.close_sessions, login, line)

    def close(self, deadline: float = 5.0) -> Deferred[None]:
        """Close the database connections; after *deadline* seconds those too that are still at work."""
        return self.engine.close(deadline)

    def read(
        self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run *function*, which reads with one statement."""
        return ensureDeferred(self._installed_and(in_autocommit, function, args, kwargs))

    def write(
        self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run *function* in a transaction."""
        return ensureDeferred(self._installed_and(function, *args, **kwargs))

    async def _installed_and(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if not self._installed:
            await self._install()
        try:
            return await self.engine.run(function, *args, **kwargs)
        except DBAPIError:
            self._installed = False  # the tables may be what is missing: the next call makes sure of them again
            raise

    async def _install(self) -> None:
        # Looking takes no lock, and is all there is to do but once.
        if not await self.engine.run(in_autocommit, tables.installed):
            try:
                await self.engine.run(tables.install)
            except DBAPIError:
                # Two servers may start at once, and PostgreSQL lets one of them fail for it. Then the tables are there.
                await self.engine.run(tables.install)
        self._installed = True


def bound_statements(connection: Any, milliseconds: int) -> None:
    """Have PostgreSQL itself end what takes longer, on a new DB-API connection.

    Without it, statements that wait for a lock would keep all connections until it is released, long after those who
    asked have been told that there is no answer.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {milliseconds}")


def read_any_text(connection: Any) -> None:
    """Have sqlite3 read text that is not UTF-8, which SQLite stores as it comes, on a new DB-API connection.

    Without it, whoever else is in the same answer could not be found either. A byte that is none of a character's comes
    as half of one (PEP 383): `clean` replaces it, and it can not be stored again unnoticed.
    """
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")


def in_autocommit(
    connection: sa.Connection, function: Callable[..., T], args: tuple[Any, ...] = (), kwargs: Any = None
) -> T:
    """Run *function* without a transaction."""
    return function(connection.execution_options(isolation_level="AUTOCOMMIT"), *args, **(kwargs or {}))
