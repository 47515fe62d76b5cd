"""People as comma-separated values: every form of a file, and what is said of one that is none."""

from __future__ import annotations

import io

import pytest

from examples.finger.people_csv import MAX_LINE, FileRefused, PeopleReader, Row, write
from examples.finger.records import FIELDS


class Trickle(io.RawIOBase):
    """Bytes that come one at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._left = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        byte, self._left = self._left[:1], self._left[1:]
        buffer[: len(byte)] = byte
        return len(byte)


def rows(data: bytes) -> list[Row]:
    read = list(PeopleReader(io.BytesIO(data)))
    assert list(PeopleReader(Trickle(data))) == read
    return read


def person(login: str, name: str, **others: str) -> dict[str, str]:
    return {**dict.fromkeys(FIELDS, ""), "login": login, "name": name, **others}


BOB = person("bob", "Bob")


@pytest.mark.parametrize(
    ("data", "people"),
    [
        (b"login,name\n", []),
        (b"login,name", []),
        (b"login,name\r\nbob,Bob\r\n", [BOB]),
        (b"login,name\nbob,Bob", [BOB]),
        (b"login,name\rbob,Bob\r", [BOB]),
        (b"\xef\xbb\xbflogin,name\nbob,Bob\n", [BOB]),
        (b"\n\nlogin,name\n\nbob,Bob\n\n", [BOB]),
        (b"name,login\nBob,bob\n", [BOB]),
        (b' Login ,"NAME"\nbob,Bob\n', [BOB]),
        (b"plan,login,name\nTea.,bob,Bob\n", [person("bob", "Bob", plan="Tea.")]),
        (
            b'login,name,plan\nbob,Bob,"Tea.\r\n""Then"", more\n"\n',
            [person("bob", "Bob", plan='Tea.\r\n"Then", more\n')],
        ),
        ("login,name\nbob,Bjørn Ågård\n".encode(), [person("bob", "Bjørn Ågård")]),
        (b"login,name,office\nbob,=1+1, 7 \n", [person("bob", "=1+1", office=" 7 ")]),
        (b"login,name\nbob,\n", [person("bob", "")]),
    ],
)
def test_people_are_read(data: bytes, people: list[dict[str, str]]) -> None:
    assert [row.values for row in rows(data)] == people


def test_each_row_knows_the_line_where_it_begins() -> None:
    read = rows(b'login,name,plan\na,A,"1\n2\n3"\n\nb,B,\nc,C,x\n')
    assert [(row.line, row.values["login"]) for row in read] == [(2, "a"), (6, "b"), (7, "c")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty: the first line names the fields (login, name, office, phone, project, plan)"),
        (b"\n\n", "is empty: the first line names the fields (login, name, office, phone, project, plan)"),
        (
            b"login,name,colour\n",
            "line 1: there is no field 'colour': the fields are login, name, office, phone, project, plan",
        ),
        (b"bob,Bob\n", "line 1: there is no field 'bob': the fields are login, name, office, phone, project, plan"),
        (
            b"login;name\n",
            "line 1: there is no field 'login;name': the fields are login, name, office, phone, project, plan",
        ),
        (b"login,name,Login\n", "line 1: names the field 'login' twice"),
        (b"login,plan\n", "line 1: lacks the field 'name': the fields are login, name, office, phone, project, plan"),
        (b"name\n", "line 1: lacks the field 'login': the fields are login, name, office, phone, project, plan"),
        (b"login,name\nbob,Bob\nann\n", "line 3: 1 field, where the first line names 2"),
        (b"login,name\nbob,Bob,,\n", "line 2: 4 fields, where the first line names 2"),
        (b'login,name\n\nbob,"Bob\nann,Ann\n', "line 3: a quoted field has no closing quote"),
        (b'login,name\nbob,"Bob"by\n', "line 2: ',' expected after '\"'"),
        (b"login,name\nbob,Bob\nann,\xe9lodie\n", "line 3: not UTF-8: byte 0xe9 in '\\udce9lodie'"),
        (b"login,name\nbob,B\0b\n", "line 2: a NUL character, which cannot be stored"),
        ("login,name\nbob,Bø\0b\n".encode(), "line 2: a NUL character, which cannot be stored"),
        (
            b'login,name\nbob,Bob\nann,"' + b"x\n" * 70_000,
            "line 3: a field is longer than 131,072 characters: is a closing quote missing?",
        ),
        (b"login,name\nbob,Bob\n" + b"x," * MAX_LINE, "line 3: longer than 1,048,576 characters"),
    ],
)
def test_what_is_no_list_of_people_is_refused_with_its_line(data: bytes, told: str) -> None:
    with pytest.raises(FileRefused) as caught:
        list(PeopleReader(io.BytesIO(data)))
    assert str(caught.value) == told


def test_rows_before_one_that_is_refused_are_read() -> None:
    reader = PeopleReader(io.BytesIO(b"login,name\nbob,Bob\nann\n"))
    assert next(reader).values == BOB
    with pytest.raises(FileRefused, match="line 3"):
        next(reader)


def test_no_more_is_read_than_a_row_needs() -> None:
    """So that the memory stays flat, and what comes through a pipe is stored when it is there."""
    source = Trickle(b"login,name\r\nbob,Bob\r\nann,Ann\r\n")
    reader = PeopleReader(source)
    assert next(reader).values == BOB
    assert source._left.endswith(b"ann,Ann\r\n")


def test_people_are_written_as_rfc_4180_has_it() -> None:
    assert write([], header=True) == b"login,name,office,phone,project,plan\r\n"
    said = person("bob", 'Bob, "the" é', plan="one\ntwo")
    assert write([said]) == 'bob,"Bob, ""the"" é",,,,"one\ntwo"\r\n'.encode()


def test_what_could_not_be_read_again_is_not_written() -> None:
    """Bytes in the database that are not UTF-8, as `read_any_text` hands them out."""
    with pytest.raises(
        FileRefused, match=r"^the office of 'bob' is not UTF-8: remove them, or mend it in the database$"
    ):
        write([person("ann", "Ann"), person("bob", "Bob", office="B\udcff")])
