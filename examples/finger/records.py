"""What the service knows: people, and the sessions they have open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["FIELDS", "Person", "Session"]

FIELDS = ("login", "name", "office", "phone", "project", "plan")
"""What a person has, sessions excepted: the columns of tables and files."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody at a terminal.

    Attributes: *line* the terminal, *host* where it stands, *since* when it began, *idle* for how many seconds it has
        been silent.
    """

    line: str
    host: str
    since: datetime
    idle: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account. All texts are as the database has them, and may hold any character."""

    login: str
    name: str
    office: str = ""
    phone: str = ""
    project: str = ""
    plan: str = ""
    sessions: tuple[Session, ...] = ()
