"""The people in the database: SQLAlchemy Core tables and statements, the same for SQLite and PostgreSQL.

Functions that take a ``Connection`` are ordinary blocking code. `Store` has them run in the pool's threads, each in a
transaction of its own, and returns Deferreds.

The tables install themselves: each call makes sure of them until one has succeeded, and again after one that failed, so
that a service may be started before its database, and outlives one that is replaced.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from asyncdb import Engine
from examples.finger.records import Person, Session
from netcore.defer import Deferred, ensureDeferred

__all__ = ["InvalidLogin", "LoginTaken", "Store", "UnknownLogin"]

P = ParamSpec("P")
T = TypeVar("T")

metadata = sa.MetaData()

people = sa.Table(
    "finger_people",
    metadata,
    sa.Column("login", sa.String(32), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("office", sa.Text, nullable=False),
    sa.Column("phone", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
)

# The words of everybody's name, as `words_of` makes them: found through an index, and by the same rule everywhere
# (SQLite's own lower() knows only ASCII).
name_words = sa.Table(
    "finger_name_words",
    metadata,
    sa.Column("word", sa.Text, primary_key=True),
    sa.Column("login", sa.ForeignKey(people.c.login, ondelete="CASCADE"), primary_key=True),
)

sessions = sa.Table(
    "finger_sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("login", sa.ForeignKey(people.c.login, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("line", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("idle", sa.Integer, nullable=False),
)


class InvalidLogin(ValueError):
    """A login has 1 to 32 letters, digits, dots, underscores and dashes, and begins with a letter or digit."""


class LoginTaken(ValueError):
    """Somebody else has that login."""


class UnknownLogin(LookupError):
    """Nobody has that login."""


class Store:
    """The people, through a pool of database connections.

    Args:
        engine: its pool; closed by `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._installed = False

    @classmethod
    def fromURL(cls, url: str) -> Store:
        """A store in the database that *url* names, which answers within seconds or says that it cannot."""
        return cls(Engine.fromURL(url, cp_timeout=3, cp_connect_timeout=3, cp_query_timeout=5))

    def install(self) -> Deferred[None]:
        """Create the tables, with some sample people in them, if there are none."""
        return self._run(lambda connection: None)

    def find(self, name: str) -> Deferred[list[Person]]:
        """Those who have *name* as login, or all words of *name* in theirs, ignoring case; in the order of logins."""
        return self._run(find, name)

    def online(self) -> Deferred[list[Person]]:
        """Those with open sessions, in the order of logins."""
        return self._run(online)

    def everyone(self) -> Deferred[list[Person]]:
        """All people, in the order of logins."""
        return self._run(load)

    def show(self, login: str) -> Deferred[Person]:
        """The one with that login.

        Fails with: UnknownLogin.
        """
        return self._run(show, login)

    def add(self, person: Person) -> Deferred[None]:
        """Add *person*, with the sessions.

        Fails with: InvalidLogin, LoginTaken.
        """
        return self._run(add, person)

    def remove(self, login: str) -> Deferred[None]:
        """Remove the one with that login.

        Fails with: UnknownLogin.
        """
        return self._run(remove, login)

    def close(self) -> Deferred[None]:
        """Close the database connections."""
        return self.engine.close()

    def _run(
        self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        return ensureDeferred(self._installed_and(function, *args, **kwargs))

    async def _installed_and(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if not self._installed:
            try:
                await self.engine.run(install)
            except DBAPIError:
                # Two servers may start at once, and PostgreSQL lets one of them fail for it. Then the tables are there.
                await self.engine.run(install)
            self._installed = True
        try:
            return await self.engine.run(function, *args, **kwargs)
        except DBAPIError:
            self._installed = False  # the tables may be what is missing: the next call makes sure of them again
            raise


# ------------------------------------------------------------------------------- what runs in a thread of the pool


def install(connection: sa.Connection) -> None:
    """Create the tables that are missing; if nobody's was there, with the sample people."""
    first = not sa.inspect(connection).has_table(people.name)
    metadata.create_all(connection)
    for person in samples(datetime.now(UTC)) if first else ():
        add(connection, person)


def find(connection: sa.Connection, name: str) -> list[Person]:
    """Those called *name*: by login exactly, or by all its words."""
    words = words_of(name)
    by_words = (
        sa.select(name_words.c.login)
        .where(name_words.c.word.in_(words))
        .group_by(name_words.c.login)
        .having(sa.func.count() == len(words))
    )
    return load(connection, sa.or_(people.c.login == name, people.c.login.in_(by_words)))


def online(connection: sa.Connection) -> list[Person]:
    """Those with open sessions."""
    return load(connection, people.c.login.in_(sa.select(sessions.c.login)))


def show(connection: sa.Connection, login: str) -> Person:
    """The one with that login."""
    for person in load(connection, people.c.login == login):
        return person
    raise UnknownLogin(f"there is no {login!r}")


def load(connection: sa.Connection, condition: sa.ColumnElement[bool] | None = None) -> list[Person]:
    """Those for whom *condition* holds, with their sessions, in the order of logins."""
    condition = sa.true() if condition is None else condition
    chosen = sa.select(people).where(condition)
    opened: dict[str, list[Session]] = {}
    theirs = sa.select(sessions).join(people).where(condition).order_by(sessions.c.since, sessions.c.id)
    for row in connection.execute(theirs):
        since = row.since if row.since.tzinfo else row.since.replace(tzinfo=UTC)  # SQLite keeps no time zone
        opened.setdefault(row.login, []).append(Session(row.line, row.host, since, row.idle))
    found = [
        Person(**row, sessions=tuple(opened.get(row["login"], ()))) for row in connection.execute(chosen).mappings()
    ]
    return sorted(found, key=lambda person: person.login)  # here, because databases disagree about the order of text


def add(connection: sa.Connection, person: Person) -> None:
    """Add *person*."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", person.login):
        raise InvalidLogin(f"{person.login!r} is no login: {InvalidLogin.__doc__}")
    row = {name: getattr(person, name) for name in people.c.keys()}  # noqa: SIM118 - columns, not a dict
    try:
        connection.execute(people.insert(), row)
    except IntegrityError:
        raise LoginTaken(f"there is a {person.login!r} already") from None
    _insert(connection, name_words, ({"login": person.login, "word": word} for word in words_of(person.name)))
    _insert(
        connection,
        sessions,
        (
            {
                "login": person.login,
                "line": session.line,
                "host": session.host,
                "since": session.since.astimezone(UTC),
                "idle": session.idle,
            }
            for session in person.sessions
        ),
    )


def remove(connection: sa.Connection, login: str) -> None:
    """Remove the one with that login."""
    for table in (sessions, name_words):  # SQLite leaves ON DELETE CASCADE undone unless told otherwise
        connection.execute(table.delete().where(table.c.login == login))
    if not connection.execute(people.delete().where(people.c.login == login)).rowcount:
        raise UnknownLogin(f"there is no {login!r}")


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    if many := list(rows):
        connection.execute(table.insert(), many)


def words_of(name: str) -> Sequence[str]:
    """The different words of *name*, in the one form that is the same however they are written."""
    return sorted(set(unicodedata.normalize("NFKC", name).casefold().split()))


def samples(now: datetime) -> list[Person]:
    """The people of a new installation."""

    def earlier(minutes: int) -> datetime:
        return now.replace(microsecond=0) - timedelta(minutes=minutes)

    return [
        Person(
            "alice",
            "Alice Liddell",
            office="Rabbit Hole 1",
            phone="+44 1865 1",
            project="Growing and shrinking",
            plan="Back before tea.\nAfter that: a game of croquet.",
            sessions=(
                Session("pts/0", "wonderland.example", earlier(190), idle=720),
                Session("pts/3", "looking-glass.example", earlier(25)),
            ),
        ),
        Person("bjorn", "Björn Åkesson", office="Fjord 3", plan="Bygga en båt."),
        Person(
            "carroll",
            "Lewis Carroll",
            office="Tom Quad 7",
            project="Symbolic logic",
            sessions=(Session("tty1", "oxford.example", earlier(3000), idle=9000),),
        ),
    ]
