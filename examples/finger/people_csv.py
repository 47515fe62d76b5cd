"""People as comma-separated values (RFC 4180): bytes in, rows out, and back. No database.

The first line names the fields, in any order; *login* and *name* must be among them. Text is UTF-8, with or without a
byte order mark. Nothing is added or taken away from what a field says, not even where a spreadsheet would take it for a
formula: what `write` has written, `PeopleReader` reads back the same.

Whatever the input is, a row needs no more memory than `MAX_LINE` and csv's own limit for a field (131,072 characters)
allow, and an error says in which line it is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from examples.finger.records import FIELDS

__all__ = ["MAX_LINE", "FileRefused", "PeopleReader", "Row", "write"]

MAX_LINE = 1 << 20
"""The longest line that is read, in characters. One without an end must not fill the memory."""

REQUIRED = ("login", "name")


class FileRefused(ValueError):
    """What was read cannot be imported.

    Attributes: *line*, where, from 1; None: all of it.
    """

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line is not None else reason)
        self.line = line


class Row(NamedTuple):
    """Somebody, as the file has them: *line*, where it begins; *values*, for each of FIELDS."""

    line: int
    values: dict[str, str]


class PeopleReader:
    """Reads people. An iterator of rows, which reads no further than it must.

    Args:
        file: bytes; one with a method ``readinto`` that blocks, such as an open file.
    Attributes: *fields*, those that the file has, in its order.
    Raises: FileRefused: its first line is no header; says why. Iterating raises it for other lines.
    """

    def __init__(self, file: io.RawIOBase | io.BufferedIOBase | BinaryIO) -> None:
        # surrogateescape, because an error of the decoder could not say in which line it is.
        buffered = io.BufferedReader(file) if isinstance(file, io.RawIOBase) else file
        self._text = io.TextIOWrapper(buffered, "utf-8-sig", "surrogateescape", newline="")
        self._rows = csv.reader(self._lines(), strict=True)
        self._begins = 1
        header = self._next()
        if header is None:
            raise FileRefused(None, f"is empty: the first line names the fields ({', '.join(FIELDS)})")
        self.fields = _fields(header)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        row = self._next()
        if row is None:
            raise StopIteration
        if len(row) != len(self.fields):
            told = "1 field" if len(row) == 1 else f"{len(row)} fields"
            raise FileRefused(self._begins, f"{told}, where the first line names {len(self.fields)}")
        values = dict.fromkeys(FIELDS, "")
        values.update(zip(self.fields, row, strict=True))
        return Row(self._begins, values)

    def _next(self) -> list[str] | None:
        """The next row that is not an empty line; None at the end."""
        while True:
            self._begins = self._rows.line_num + 1
            try:
                row = next(self._rows, None)
            except csv.Error as error:
                raise FileRefused(self._begins, _explained(error)) from None
            if row is None:
                return None
            if row:
                self._check(row)
                return row

    def _check(self, row: Sequence[str]) -> None:
        for text in row:
            if text.isascii():
                if "\0" in text:
                    raise FileRefused(self._begins, "a NUL character, which cannot be stored")
                continue
            try:
                text.encode()
            except UnicodeEncodeError as error:
                byte = ord(text[error.start]) & 0xFF
                raise FileRefused(self._begins, f"not UTF-8: byte 0x{byte:02x} in {text[:40]!a}") from None
            if "\0" in text:
                raise FileRefused(self._begins, "a NUL character, which cannot be stored")

    def _lines(self) -> Iterator[str]:
        number = 0
        while line := self._text.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and line[-1] not in "\r\n":
                raise FileRefused(number, f"longer than {MAX_LINE:,} characters")
            yield line


def _fields(header: Sequence[str]) -> tuple[str, ...]:
    fields = tuple(name.strip().lower() for name in header)
    known = f"the fields are {', '.join(FIELDS)}"
    for name, said in zip(fields, header, strict=True):
        if name not in FIELDS:
            raise FileRefused(1, f"there is no field {said!r}: {known}")
        if fields.count(name) > 1:
            raise FileRefused(1, f"names the field {name!r} twice")
    for name in REQUIRED:
        if name not in fields:
            raise FileRefused(1, f"lacks the field {name!r}: {known}")
    return fields


def _explained(error: csv.Error) -> str:
    said = str(error)
    if "field larger than" in said:
        return f"a field is longer than {csv.field_size_limit():,} characters: is a closing quote missing?"
    if "unexpected end of data" in said:
        return "a quoted field has no closing quote"
    return said


def write(people: Iterable[dict[str, str]], header: bool = False) -> bytes:
    """*people* as lines, each ending in CR LF; the first names the fields if *header*.

    Raises: FileRefused: somebody's text is not UTF-8, and could not be read again.
    """
    people = list(people)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    if header:
        writer.writerow(FIELDS)
    writer.writerows([person[name] for name in FIELDS] for person in people)
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError:
        raise FileRefused(None, _no_text(people)) from None


def _no_text(people: Sequence[dict[str, str]]) -> str:
    for person in people:
        for name in FIELDS:
            if any("\ud800" <= character <= "\udfff" for character in person[name]):
                return f"the {name} of {person['login']!a} is not UTF-8: remove them, or mend it in the database"
    raise AssertionError("everything is UTF-8")
