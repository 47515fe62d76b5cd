"""The finger protocol (RFC 1288) without a network: a line in, a `Query` out; records in, bytes out.

What goes out passes `encode`, which lets no control character through, whatever the database holds: a terminal obeys
some of them (RFC 1288, 3.3), and the characters that turn the direction of text can make it say something else.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC

from examples.finger.records import Person, Session

__all__ = [
    "BUSY",
    "MAX_QUERY",
    "MORE",
    "NOBODY_ON",
    "REFUSED",
    "TOO_LONG",
    "TOO_SLOW",
    "UNAVAILABLE",
    "Query",
    "clean",
    "encode",
    "long_records",
    "online_table",
    "parse",
    "short_records",
]

MAX_QUERY = 512
"""The longest line that is read, in bytes."""

REFUSED = "Finger forwarding service denied"
TOO_LONG = f"Your query is longer than {MAX_QUERY} bytes"
TOO_SLOW = "You took too long to ask"
UNAVAILABLE = "The directory is not available now; please try again later"
BUSY = "Too many are asking now; please try again later"
MORE = "There are more; please ask for a login or for more of the name"
NOBODY_ON = "No one is logged on"


# --------------------------------------------------------------------------------------------------------- bytes in


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody wants to know.

    Attributes: *name* a login or part of a name, empty for who is on; *long* for the long form; *forward* if it is
        about another host.
    """

    name: str = ""
    long: bool = False
    forward: bool = False


def parse(line: bytes) -> Query:
    """The query in *line*, which has lost its line end.

    Any line is a query: ``[/W] [name][@host]``, with blanks wherever one likes. Control characters are replaced here
    already: no one has them in a name, and PostgreSQL refuses some.

    >>> parse(b"/W alice")
    Query(name='alice', long=True, forward=False)
    """
    words = line.decode("utf-8", "replace").split()
    long = bool(words) and words[0] in {"/W", "/w"}
    name = clean(" ".join(words[1:] if long else words))
    return Query(name, long, forward="@" in name)


# --------------------------------------------------------------------------------------------------------- bytes out

# Unicode's general categories: control characters (C0, DEL, C1), format characters (those that turn the direction of
# text, and invisible ones), halves of characters, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str) -> str:
    """*text* with every unsafe character replaced; tabs become a blank.

    >>> clean("red \\x1b[31malert\\x07")
    'red ?[31malert?'
    """
    if text.isascii() and text.isprintable():
        return text
    safe = ("?" if unicodedata.category(character) in _UNSAFE else character for character in text.replace("\t", " "))
    return "".join(safe)


def encode(lines: Iterable[str]) -> bytes:
    """*lines* as they are sent: cleaned, each with a line end of its own, in UTF-8."""
    return "".join(f"{clean(line)}\r\n" for line in lines).encode()


def online_table(people: Sequence[Person]) -> Iterator[str]:
    """Who is on: a line for each session."""
    if not people:
        yield NOBODY_ON
        return
    rows = [("Login", "Name", "Line", "Idle", "Since", "From")]
    for person in people:
        rows.extend(
            (person.login, person.name, session.line, _idle(session) or "-", _since(session), session.host)
            for session in person.sessions
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def short_records(name: str, people: Sequence[Person]) -> Iterator[str]:
    """What is known about each, without project and plan. If there is nobody, that *name* is no one's."""
    return _records(name, people, _short_record)


def long_records(name: str, people: Sequence[Person]) -> Iterator[str]:
    """Everything that is known about each. If there is nobody, that *name* is no one's."""
    return _records(name, people, _long_record)


def _records(name: str, people: Sequence[Person], record: Callable[[Person], Iterator[str]]) -> Iterator[str]:
    if not people:
        yield f"{name}: no such user" if name else NOBODY_ON
    for number, person in enumerate(people):
        if number:
            yield ""
        yield from record(person)


def _short_record(person: Person) -> Iterator[str]:
    yield f"Login: {person.login:<24} Name: {person.name}"
    if person.office:
        yield f"Office: {person.office}"
    if person.phone:
        yield f"Phone: {person.phone}"
    for session in person.sessions:
        idle = _idle(session)
        yield f"On since {_since(session)} on {session.line} from {session.host}" + (f", idle {idle}" if idle else "")
    if not person.sessions:
        yield "Not logged on"


def _long_record(person: Person) -> Iterator[str]:
    yield from _short_record(person)
    yield from _text("Project", person.project)
    yield from _text("Plan", person.plan)


def _text(title: str, text: str) -> Iterator[str]:
    """A text of the user's own, which may have several lines."""
    if not text:
        yield f"No {title.lower()}"
    else:
        yield f"{title}:"
        yield from (f"  {line}" for line in text.splitlines())


def _since(session: Session) -> str:
    return f"{session.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _idle(session: Session) -> str:
    """Hours and minutes; nothing for less than a minute."""
    hours, minutes = divmod(session.idle // 60, 60)
    return f"{hours}:{minutes:02}" if hours or minutes else ""
