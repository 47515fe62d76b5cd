"""Many people at once: from a file into the database, and back.

An import is one transaction, unless it is told to commit after every so many people. Either way it says exactly what is
stored when it ends, however it ends. Rows are read and stored by a thread of the pool, `CHUNK` at a time, so that
neither the reactor nor the memory notices how many there are.

An export reads page by page, each with a statement of its own: there is no moment that everybody is of, but whoever was
there all the time is in it, and no lock is held while somebody reads what was written.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from io import RawIOBase
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from asyncdb import CommitUnknown, PoolClosed
from examples.finger.output import Output
from examples.finger.people_csv import FileRefused, PeopleReader, Row, write
from examples.finger.store import Store
from examples.finger.tables import InvalidLogin, check_login, name_words, people, words_of
from netcore.task import LoopingCall
from netcore.threads import deferToThread

__all__ = ["CHUNK", "STALL", "Import", "Interrupted", "Source", "Stop", "counted", "export", "pages"]

CHUNK = 500
"""How many people are stored with one statement, or exported with one. Between two the thread looks whether to stop."""
CHUNK_SIZE = 1 << 20
"""How many characters of text end a chunk before it has so many people: plans may be long."""
STALL = 60.0
"""For how many seconds the database may be silent before an import gives it up."""
TICK = 0.1


class Interrupted(Exception):
    """It was told to stop, and did."""


class Stop:
    """Whether to stop. Set by one thread, looked at by others."""

    requested = False

    def check(self) -> None:
        """Raises: Interrupted."""
        if self.requested:
            raise Interrupted("interrupted")


# ----------------------------------------------------------------------------------------------------------- import


class Source(RawIOBase):
    """A file or pipe that is read by a thread, which lets itself be stopped while it waits for more.

    Args:
        descriptor: what is read; it stays the caller's.
        stop: when to stop.
    Attributes: *position*, how many bytes were read; *size*, how many there are, None if it is no file.
    """

    def __init__(self, descriptor: int, stop: Stop) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._stop = stop
        status = os.fstat(descriptor)
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
        self.position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes and put them into *buffer*.

        Returns: how many; 0 at the end.
        Raises: Interrupted. FileRefused: it cannot be read.
        """
        self._stop.check()
        while self.size is None and not select.select([self._descriptor], [], [], TICK)[0]:
            self._stop.check()
        try:
            data = os.read(self._descriptor, len(buffer))
        except OSError as error:  # said here, where nobody takes it for the database's
            raise FileRefused(None, str(error.strerror)) from error
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


class Import:
    """People on their way from a file into the database.

    Args:
        source: the file.
        update: whether those who are there already get what the file says of them: the fields that it has; the others
            stay as they are, and so do their sessions. If not, they are an error.
        batch: after how many people to commit; None: after all.
        stop: when to stop.
    Attributes: *read*, how many people are stored or about to be; *stored*, how many are committed, up to the one in
        line *line*; *updated*, how many of those were there before.
    Threading: `run` in the reactor's thread. The figures are written by one thread and may be read by all.
    """

    def __init__(self, source: Source, update: bool, batch: int | None, stop: Stop) -> None:
        self.source = source
        self.read = self.stored = self.updated = self.line = 0
        self._update = update
        self._batch = batch
        self._stop = stop
        self._reader: PeopleReader | None = None
        self._ended = False
        self._committing = False
        self._asked_at: float | None = None  # the database, which has not answered yet

    async def run(self, store: Store, reactor: Any, draw: Callable[[], None]) -> None:
        """Do it.

        Args:
            draw: called now and then while it goes on.
        Raises: FileRefused: says what is wrong in which line. Interrupted. Whatever the database raises.
        """
        watching = LoopingCall(self._watch, store, draw)
        watching.clock = reactor
        watched = watching.start(TICK)
        try:
            while not self._ended:
                line, updated = await store.write(self._store_some)
                self._committing, self._asked_at = False, None
                self.stored, self.line, self.updated = self.read, line, self.updated + updated
        finally:
            if watching.running:
                watching.stop()
            await watched

    def told(self, error: BaseException | None = None) -> str:
        """What is stored, in words, after `run` has ended: in *error*, if it is given."""
        if error is None:
            return f"imported {counted(self.stored)}" + (f", {self.updated:,} of them updated" if self.updated else "")
        stored = f"{counted(self.stored)}, up to line {self.line}, {'is' if self.stored == 1 else 'are'} stored"
        if isinstance(error, CommitUnknown) or (isinstance(error, PoolClosed) and self._committing):
            unknown = f"whether the next {self.read - self.stored:,} are stored is not known"
            return f"{stored}; {unknown}" if self.stored else unknown.replace("next ", "")
        return f"{stored}, and nothing after it" if self.stored else "nothing is stored"

    def _watch(self, store: Store, draw: Callable[[], None]) -> None:
        asked_at = self._asked_at
        if asked_at is not None and time.monotonic() - asked_at > STALL:
            self._asked_at = None
            store.close(0)  # which fails what waits for it
        draw()

    def _store_some(self, connection: sa.Connection) -> tuple[int, int]:
        """Store a batch, or all. In a thread of the pool.

        Returns: the line of the last one, and how many were there before.
        """
        if self._reader is None:
            self._reader = PeopleReader(self.source)
        rows = islice(self._reader, self._batch)
        self.read = self.stored
        line, updated = self.line, 0
        while chunk := take_chunk(rows):
            self._stop.check()
            self._asked_at = time.monotonic()
            updated += store_chunk(connection, chunk, self._reader.fields if self._update else None)
            self._asked_at = None
            self.read += len(chunk)
            line = chunk[-1].line
        self._stop.check()
        self._ended = self._batch is None or self.read - self.stored < self._batch
        self._committing, self._asked_at = True, time.monotonic()  # that is what comes next
        return line, updated


def take_chunk(rows: Iterator[Row]) -> list[Row]:
    """The next rows, at most so many and so much as are stored together.

    Raises: FileRefused.
    """
    chunk: list[Row] = []
    size = 0
    for row in islice(rows, CHUNK):
        try:
            check_login(row.values["login"])
        except InvalidLogin as error:
            raise FileRefused(row.line, str(error)) from None
        chunk.append(row)
        size += sum(map(len, row.values.values()))
        if size >= CHUNK_SIZE:
            break
    return chunk


def store_chunk(connection: sa.Connection, rows: Sequence[Row], update: Sequence[str] | None) -> int:
    """Store *rows*.

    Args:
        update: the fields to set for those who are there already; None: nobody may be.
    Returns: how many were there already.
    Raises: FileRefused: somebody is, or is in the file twice.
    """
    last = {row.values["login"]: row for row in rows}
    known = set(connection.scalars(sa.select(people.c.login).where(people.c.login.in_(last))))
    statement: Any = people.insert()
    if update is None:
        seen = set(known)
        for row in rows:
            if (login := row.values["login"]) in seen:
                raise FileRefused(row.line, f"there is a {login!r} already")
            seen.add(login)
    else:
        dialect: Any = {"postgresql": postgresql, "sqlite": sqlite}[connection.dialect.name]
        statement = dialect.insert(people)
        new = {field: statement.excluded[field] for field in update if field != "login"}
        statement = statement.on_conflict_do_update(index_elements=[people.c.login], set_=new)
        connection.execute(name_words.delete().where(name_words.c.login.in_(known)))
    try:
        connection.execute(statement, [row.values for row in last.values()])
    except IntegrityError:
        told = "between here and line {}, somebody else has just added one of these people"
        raise FileRefused(rows[0].line, told.format(rows[-1].line)) from None
    words = [{"login": login, "word": word} for login, row in last.items() for word in words_of(row.values["name"])]
    if words:
        connection.execute(name_words.insert(), words)
    return len(rows) - len(last.keys() - known)


def counted(count: int) -> str:
    """So many people, in words."""
    return "1 person" if count == 1 else f"{count:,} people"


# ----------------------------------------------------------------------------------------------------------- export


async def pages(store: Store) -> AsyncIterator[list[dict[str, str]]]:
    """Everybody, without sessions, some at a time, in the database's order of logins."""
    last = ""
    while page := await store.read(page_after, last):
        yield page
        last = page[-1]["login"]


def page_after(connection: sa.Connection, login: str) -> list[dict[str, str]]:
    """The next people after *login*. One more request finds the place through the index, however many came before."""
    chosen = sa.select(people).where(people.c.login > login).order_by(people.c.login).limit(CHUNK)
    return [dict(row) for row in connection.execute(chosen).mappings()]


async def export(store: Store, path: str, stop: Stop) -> int:
    """Write everybody to the file *path*; see `Output`.

    Returns: how many people it has.
    Raises: Interrupted. FileRefused: it cannot be written; says why. Whatever the database raises.
    """
    output = Output(path)
    name = "the standard output" if path == "-" else path
    count = 0
    try:
        await _blocking(name, output.open)
        await _blocking(name, output.write, write([], header=True))
        async for page in pages(store):
            stop.check()
            await _blocking(name, output.write, write(page))
            count += len(page)
        stop.check()
        await _blocking(name, output.finish)
    finally:
        output.discard()
    return count


async def _blocking(name: str, function: Callable[..., None], *args: Any) -> None:
    try:
        await deferToThread(function, *args)
    except OSError as error:  # said here, where nobody takes it for the database's
        raise FileRefused(None, f"{name}: {error.strerror}") from error
