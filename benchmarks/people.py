"""The table that is asked: users(name primary key, full_name, plan, visits), 10,000 rows, and the questions about it.

Every system is asked the same questions in the same order, and has to give the answers kept here.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

ROWS = 10_000
SEED = 20_000

CREATE = (
    "CREATE TABLE users (name text PRIMARY KEY, full_name text NOT NULL, plan text NOT NULL,"
    " visits integer NOT NULL DEFAULT 0)"
)
# Each with its placeholder, which is the driver's. An update is answered as a select is, and leaves a trace.
SELECT = "SELECT full_name, plan FROM users WHERE name = {}"
UPDATE = "UPDATE users SET visits = visits + 1 WHERE name = {} RETURNING full_name, plan"
# What SQLite's documentation recommends in WAL mode. Its default waits for the disk at each commit, and so would all.
SYNCHRONOUS = "PRAGMA synchronous=NORMAL"
PLACEHOLDERS = {"sqlite3": "?", "psycopg2": "%s"}

Rows = list[tuple[str, str]]
Question = tuple[str, Rows]


class WrongAnswer(Exception):
    """A system answered something else than what is in the table, or not as often as it was asked."""


def statement(driver: str, update: bool = False) -> str:
    """The statement that every question is asked by, for a DB-API driver."""
    return (UPDATE if update else SELECT).format(PLACEHOLDERS[driver])


def relax(connection: Any) -> None:
    """Let an SQLite connection, or one that wraps it, commit without waiting for the disk: for ``cp_openfun``."""
    connection.cursor().execute(SYNCHRONOUS).close()


def people() -> Iterator[tuple[str, str, str]]:
    """The rows of the table."""
    for number in range(1, ROWS + 1):
        yield f"u{number}", f"User Number {number}", f"Plan {number}: to answer within a millisecond."


def _shuffled() -> list[Question]:
    """Each name once, with the rows that answer it, in an order that no cache or index can guess."""
    found = [(name, [(full_name, plan)]) for name, full_name, plan in people()]
    random.Random(SEED).shuffle(found)
    return found


QUESTIONS = _shuffled()


def questions(count: int) -> Iterator[Question]:
    """The first *count* questions; after all 10,000 the first again.

    Threading: `next` in any thread. It is C throughout, so the GIL makes each step atomic: a generator would raise.
    """
    return itertools.islice(itertools.cycle(QUESTIONS), count)


def check(rows: Rows, expected: Rows, name: str = "") -> None:
    """Raises: WrongAnswer: *rows* are not those *expected*."""
    if rows != expected:
        raise WrongAnswer(f"asked for {name or expected!r}, got {rows!r}")


def fill_sqlite(path: Path) -> None:
    """Make the table in a new SQLite file, in WAL mode, which stays with the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(CREATE)
        connection.executemany("INSERT INTO users (name, full_name, plan) VALUES (?, ?, ?)", people())
        connection.commit()


def visits(path: Path) -> int:
    """How many updates the table in an SQLite file has seen."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT sum(visits) FROM users").fetchone()[0])
