"""The finger protocol as pure functions: every form of a query, what is told about people, and nothing that bites."""

from __future__ import annotations

import dataclasses
import random
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from examples.finger.protocol import (
    NOBODY_ON,
    Query,
    clean,
    encode,
    long_records,
    online_table,
    parse,
    short_records,
)
from examples.finger.records import Person, Session

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ALICE = Person(
    "alice",
    "Alice Liddell",
    office="Rabbit Hole 1",
    phone="1",
    project="Growing",
    plan="Tea.\nCroquet.",
    sessions=(Session("pts/0", "wonderland", NOON, idle=3725), Session("pts/1", "glass", NOON)),
)
BOB = Person("bob", "Bob")


@pytest.mark.parametrize(
    ("line", "query"),
    [
        (b"", Query()),
        (b"\r", Query()),
        (b"   \t \r", Query()),
        (b"alice\r", Query("alice")),
        (b"alice", Query("alice")),
        (b"  alice  \r", Query("alice")),
        (b"Alice  Liddell\r", Query("Alice Liddell")),
        (b"/W\r", Query(long=True)),
        (b"/W \r", Query(long=True)),  # what Debian's client sends for `finger -l @host`
        (b"/w\r", Query(long=True)),
        (b"/W alice\r", Query("alice", long=True)),
        (b"/W\talice\r", Query("alice", long=True)),
        (b"alice /W\r", Query("alice /W")),
        (b"/Walice\r", Query("/Walice")),
        (b"@\r", Query("@", forward=True)),
        (b"@other.example\r", Query("@other.example", forward=True)),
        (b"alice@other.example\r", Query("alice@other.example", forward=True)),
        (b"a@b@c\r", Query("a@b@c", forward=True)),
        (b"/W alice@other.example\r", Query("alice@other.example", long=True, forward=True)),
        ("Björn\r".encode(), Query("Björn")),
        (b"\xff\xfe\r", Query("\ufffd\ufffd")),
        (b"al\0ice\x1b[31m\r", Query("al?ice?[31m")),
    ],
)
def test_every_line_is_a_query(line: bytes, query: Query) -> None:
    assert parse(line) == query


def test_any_bytes_are_a_query_without_control_characters() -> None:
    for seed in range(3_000):
        chance = random.Random(seed)
        line = bytes(chance.choices([*range(256), *b"/W @ \r\t\0\x1b\x7f"], k=chance.randrange(40)))
        query = parse(line)
        assert isinstance(query, Query)
        assert query.forward == ("@" in query.name)
        assert clean(query.name) == query.name
        assert query.name == query.name.strip()


def test_a_short_record() -> None:
    assert list(short_records("alice", [ALICE])) == [
        "Login: alice                    Name: Alice Liddell",
        "Office: Rabbit Hole 1",
        "Phone: 1",
        "On since 2026-05-04 12:00 UTC on pts/0 from wonderland, idle 1:02",
        "On since 2026-05-04 12:00 UTC on pts/1 from glass",
    ]


def test_a_long_record_adds_project_and_plan() -> None:
    assert list(long_records("alice", [ALICE]))[5:] == ["Project:", "  Growing", "Plan:", "  Tea.", "  Croquet."]


def test_what_is_not_known_is_left_out() -> None:
    assert list(short_records("bob", [BOB])) == [
        "Login: bob                      Name: Bob",
        "Not logged on",
    ]
    assert list(long_records("bob", [BOB]))[2:] == ["No project", "No plan"]


def test_all_matches_are_shown_with_a_blank_line_between() -> None:
    shown = list(short_records("b", [BOB, ALICE]))
    assert shown[2] == ""
    assert sum(line.startswith("Login:") for line in shown) == 2


@pytest.mark.parametrize("record", [short_records, long_records])
def test_no_one_of_that_name(record: Any) -> None:
    assert list(record("zoe", [])) == ["zoe: no such user"]


def test_who_is_on() -> None:
    assert list(online_table([ALICE, BOB])) == [
        "Login  Name           Line   Idle  Since                 From",
        "alice  Alice Liddell  pts/0  1:02  2026-05-04 12:00 UTC  wonderland",
        "alice  Alice Liddell  pts/1  -     2026-05-04 12:00 UTC  glass",
    ]


def test_no_one_is_on() -> None:
    assert list(online_table([])) == [NOBODY_ON]
    assert list(long_records("", [])) == [NOBODY_ON]


def test_times_are_told_in_utc_wherever_they_come_from() -> None:
    session = Session("tty1", "here", NOON.astimezone(timezone(timedelta(hours=-7))))
    assert "since 2026-05-04 12:00 UTC" in list(short_records("a", [Person("a", "A", sessions=(session,))]))[1]


def test_lines_end_as_the_network_wants_them() -> None:
    assert encode(["one", "", "två"]) == "one\r\n\r\ntvå\r\n".encode()
    assert encode([]) == b""


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain text, Björn 🙂 \u05d0", "plain text, Björn 🙂 \u05d0"),
        ("a\tb", "a b"),
        ("\x00\x07\x08\x1b\x7f", "?????"),
        ("\x80\x85\x9b\x9f", "????"),  # C1: 9B begins commands like ESC [
        ("a\r\nb", "a??b"),
        ("\u202egnp.exe\u202c\u2066x\u2069", "?gnp.exe??x?"),  # turns the direction of text
        ("\u200b\u200f\ufeff\U000e0041", "????"),  # seen by nobody
        ("\u2028\u2029", "??"),
        ("\ud800", "?"),
    ],
)
def test_unsafe_characters_are_replaced(text: str, safe: str) -> None:
    assert clean(text) == safe
    assert encode([text]) == safe.encode() + b"\r\n"


def test_a_plan_of_several_lines_stays_several_lines() -> None:
    plan = "one\ntwo\r\nthree\u2028four\x0bfive\n\nsix"
    shown = list(long_records("x", [dataclasses.replace(BOB, plan=plan)]))
    assert shown[3:] == ["Plan:", "  one", "  two", "  three", "  four", "  five", "  ", "  six"]


def hostile_text(chance: random.Random) -> str:
    pools = [range(0x20), range(0x7F, 0xA0), range(0x2000, 0x2070), range(0xD800, 0xD810), [0xFEFF, 0xE0001], b"ab \n"]
    return "".join(chr(chance.choice(chance.choice(pools))) for _ in range(chance.randrange(20)))


def test_no_control_character_leaves_whatever_the_database_holds() -> None:
    for seed in range(2_000):
        chance = random.Random(seed)
        texts = [hostile_text(chance) for _ in range(8)]
        person = Person(*texts[:6], sessions=(Session(texts[6], texts[7], NOON, chance.randrange(10**6)),))
        for lines in (
            online_table([person]),
            short_records(texts[0], [person, person]),
            long_records(texts[0], [person]),
            short_records(texts[0], []),
        ):
            sent = encode(lines).decode()  # in strict UTF-8
            assert sent.endswith("\r\n")
            for line in sent.removesuffix("\r\n").split("\r\n"):
                assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
