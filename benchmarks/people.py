"""The table that is read: users(name primary key, full_name, plan), 10,000 rows, and the questions asked about it.

Every system is asked the same questions in the same order, and has to give the answers kept here.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

ROWS = 10_000
SEED = 20_000

CREATE = "CREATE TABLE users (name text PRIMARY KEY, full_name text NOT NULL, plan text NOT NULL)"
SELECT = "SELECT full_name, plan FROM users WHERE name = "  # and the driver's placeholder

Rows = list[tuple[str, str]]
Question = tuple[str, Rows]


class WrongAnswer(Exception):
    """A system answered something else than what is in the table, or not as often as it was asked."""


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
        connection.executemany("INSERT INTO users VALUES (?, ?, ?)", people())
        connection.commit()
