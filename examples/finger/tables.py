"""The people in the database: SQLAlchemy Core tables and statements, the same for SQLite and PostgreSQL.

Functions take a ``Connection`` and are ordinary blocking code. Each that reads does so with a single statement, so that
what it returns is of one moment even without a transaction.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from examples.finger.records import FIELDS, Person, Session

__all__ = [
    "MOST_FOUND",
    "InvalidLogin",
    "LineTaken",
    "LoginTaken",
    "NotOn",
    "Refusal",
    "UnknownLogin",
    "add",
    "check_login",
    "close_sessions",
    "find",
    "install",
    "installed",
    "load",
    "metadata",
    "name_words",
    "online",
    "open_session",
    "people",
    "remove",
    "show",
    "words_of",
]

MOST_FOUND = 100
"""How many people an answer is about. Half of a town may share a word of the name: the memory of a service that holds
answers for thousands of clients must not depend on that."""

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


class Refusal(Exception):
    """What was asked for cannot be done. The message says why, in a line; nothing was changed."""


class InvalidLogin(Refusal, ValueError):
    """A login has 1 to 32 letters, digits, dots, underscores and dashes, and begins with a letter or digit."""


class LoginTaken(Refusal, ValueError):
    """Somebody else has that login."""


class UnknownLogin(Refusal, LookupError):
    """Nobody has that login."""


class LineTaken(Refusal, ValueError):
    """That login has a session on that line already."""


class NotOn(Refusal, LookupError):
    """That login has no such session."""


def installed(connection: sa.Connection) -> bool:
    """Whether all tables are there."""
    inspector = sa.inspect(connection)
    return all(inspector.has_table(name) for name in metadata.tables)


def install(connection: sa.Connection) -> None:
    """Create the tables that are missing; if nobody's was there, with the sample people.

    Raises: sqlalchemy.exc.DBAPIError: on PostgreSQL, another has created them meanwhile.
    """
    first = not sa.inspect(connection).has_table(people.name)
    if first:
        people.create(connection)  # which fails if it is there by now: the samples are for whoever creates it
    metadata.create_all(connection)
    for person in samples(datetime.now(UTC)) if first else ():
        add(connection, person)


def find(connection: sa.Connection, name: str) -> list[Person]:
    """Those called *name*: by login exactly, or by all its words. More than MOST_FOUND only say that there are more."""
    words = words_of(name)
    by_words = (
        sa.select(name_words.c.login)
        .where(name_words.c.word.in_(words))
        .group_by(name_words.c.login)
        .having(sa.func.count() == len(words))
    )
    # A union, because for "login = ... OR login IN (...)" PostgreSQL reads the whole table: 35 ms, with 100,000 people.
    named = sa.union(sa.select(sa.literal(name).label("login")), by_words).subquery()
    # Two more, because *name* itself need not be anybody's login. If it is, it comes first.
    first = sa.select(named.c.login).order_by(named.c.login != name, named.c.login).limit(MOST_FOUND + 2)
    return load(connection, people.c.login.in_(first))


def online(connection: sa.Connection) -> list[Person]:
    """Those with open sessions. More than MOST_FOUND only say that there are more."""
    first = sa.select(sessions.c.login).distinct().order_by(sessions.c.login).limit(MOST_FOUND + 1)
    return load(connection, people.c.login.in_(first))


def show(connection: sa.Connection, login: str) -> Person:
    """The one with that login."""
    for person in load(connection, people.c.login == login):
        return person
    raise UnknownLogin(f"there is no {login!r}")


def load(connection: sa.Connection, condition: sa.ColumnElement[bool] | None = None) -> list[Person]:
    """Those for whom *condition* holds, with their sessions, in the order of logins."""
    rows = connection.execute(
        sa.select(people, sessions.c.line, sessions.c.host, sessions.c.since, sessions.c.idle)
        .join_from(people, sessions, isouter=True)
        .where(sa.true() if condition is None else condition)
        .order_by(sessions.c.since, sessions.c.id)
    )
    found: dict[str, tuple[dict[str, str], list[Session]]] = {}
    for row in rows.mappings():
        _, opened = found.setdefault(row["login"], ({name: row[name] for name in FIELDS}, []))
        if row["line"] is not None:
            since = row["since"] if row["since"].tzinfo else row["since"].replace(tzinfo=UTC)  # SQLite keeps no zone
            opened.append(Session(row["line"], row["host"], since, row["idle"]))
    # Sorted here, because databases disagree about the order of text.
    return [Person(**fields, sessions=tuple(opened)) for _, (fields, opened) in sorted(found.items())]


def add(connection: sa.Connection, person: Person) -> None:
    """Add *person*."""
    check_login(person.login)
    row = {name: getattr(person, name) for name in FIELDS}
    try:
        connection.execute(people.insert(), row)
    except IntegrityError:
        raise LoginTaken(f"there is a {person.login!r} already") from None
    _insert(connection, name_words, ({"login": person.login, "word": word} for word in words_of(person.name)))
    _insert(connection, sessions, (_session_row(person.login, session) for session in person.sessions))


def remove(connection: sa.Connection, login: str) -> None:
    """Remove the one with that login."""
    for table in (sessions, name_words):  # SQLite leaves ON DELETE CASCADE undone unless told otherwise
        connection.execute(table.delete().where(table.c.login == login))
    if not connection.execute(people.delete().where(people.c.login == login)).rowcount:
        raise UnknownLogin(f"there is no {login!r}")


def open_session(connection: sa.Connection, login: str, session: Session) -> None:
    """Open a session."""
    _hold(connection, login)
    theirs = sa.select(sessions.c.id).where(sessions.c.login == login, sessions.c.line == session.line)
    if connection.execute(theirs).first() is not None:
        raise LineTaken(f"{login!r} is on {session.line} already")
    connection.execute(sessions.insert(), _session_row(login, session))


def close_sessions(connection: sa.Connection, login: str, line: str | None) -> None:
    """Close the session on *line*, or all."""
    _hold(connection, login)
    closing = sessions.delete().where(sessions.c.login == login)
    if line is not None:
        closing = closing.where(sessions.c.line == line)
    if not connection.execute(closing).rowcount:
        raise NotOn(f"{login!r} is not on" + ("" if line is None else f" {line}"))


def _hold(connection: sa.Connection, login: str) -> None:
    """Keep others from changing the sessions of *login* until the transaction ends, which on SQLite they cannot."""
    if connection.execute(sa.select(people.c.login).where(people.c.login == login).with_for_update()).first() is None:
        raise UnknownLogin(f"there is no {login!r}")


def _session_row(login: str, session: Session) -> dict[str, Any]:
    since = session.since.astimezone(UTC)
    return {"login": login, "line": session.line, "host": session.host, "since": since, "idle": session.idle}


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    if many := list(rows):
        connection.execute(table.insert(), many)


def check_login(login: str) -> None:
    """Raises: InvalidLogin: *login* could not be asked for."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", login):
        raise InvalidLogin(f"{login!r} is no login: {InvalidLogin.__doc__}")


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
