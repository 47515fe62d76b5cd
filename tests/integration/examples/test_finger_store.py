"""The people in real databases: the same answers from SQLite and from PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy.exc import DBAPIError

from examples.finger.records import Person, Session
from examples.finger.store import InvalidLogin, LoginTaken, Store, UnknownLogin, metadata, words_of

T = TypeVar("T")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'finger.sqlite3'}"
    database: Any = request.getfixturevalue("database")
    return database.url


def with_store(url: str, main: Callable[[Store], Awaitable[T]]) -> T:
    """What *main* returns when it was given a store, which is closed afterwards."""

    async def run() -> T:
        store = Store.fromURL(url)
        try:
            return await main(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def logins(found: Awaitable[list[Person]]) -> list[str]:
    return [person.login for person in await found]


def test_sample_people_are_installed_on_first_use_and_only_then(url: str) -> None:
    async def first(store: Store) -> list[str]:
        found = await logins(store.everyone())
        await store.remove("bjorn")
        return found

    async def second(store: Store) -> list[str]:
        await store.install()
        return await logins(store.everyone())

    assert with_store(url, first) == ["alice", "bjorn", "carroll"]
    assert with_store(url, second) == ["alice", "carroll"]


def test_two_servers_may_start_at_once(url: str) -> None:
    start = threading.Barrier(4)
    outcomes: list[Any] = []

    def server() -> None:
        async def main(store: Store) -> list[str]:
            start.wait(20)
            await store.install()
            return await logins(store.everyone())

        try:
            outcomes.append(with_store(url, main))
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=server) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [["alice", "bjorn", "carroll"]] * 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alice", ["alice"]),
        ("ALICE", ["alice"]),  # not the login, but a word of the name
        ("liddell", ["alice"]),
        ("alice liddell", ["alice"]),
        ("Liddell ALICE", ["alice"]),
        ("alice carroll", []),
        ("carroll", ["carroll"]),
        ("ÅKESSON", ["bjorn"]),
        ("A\u030akesson", ["bjorn"]),  # the same letter, written as two characters
        ("bjorn", ["bjorn"]),
        ("BJORN", []),  # neither a login nor a word of a name
        ("lid", []),
        ("%", []),
        ("' OR 1=1 --", []),
        ("x" * 512, []),
    ],
)
def test_people_are_found_by_login_and_by_words_of_their_name(url: str, name: str, expected: list[str]) -> None:
    assert with_store(url, lambda store: logins(store.find(name))) == expected


def test_all_matches_are_found(url: str) -> None:
    async def main(store: Store) -> list[str]:
        await store.add(Person("lewis", "Somebody Else"))
        await store.add(Person("zz", "Jerry LEWIS lewis"))
        return await logins(store.find("lewis"))

    assert with_store(url, main) == ["carroll", "lewis", "zz"]


def test_what_is_stored_comes_back(url: str) -> None:
    began = datetime(2026, 5, 4, 12, 0, tzinfo=timezone(timedelta(hours=-7)))
    person = Person(
        "zoe.x_1-2",
        "Zoë \u05d0 🙂 \x1b[31m",
        office="o",
        phone="p",
        project="q",
        plan="r\ns\r\n\x07",
        sessions=(Session("pts/1", "a.example", began, 60), Session("pts/2", "b.example", began, 0)),
    )

    async def main(store: Store) -> Person:
        await store.add(person)
        return await store.show(person.login)

    shown = with_store(url, main)
    assert shown == person
    assert all(session.since.tzinfo is not None for session in shown.sessions)
    assert shown.sessions[0].since == datetime(2026, 5, 4, 19, 0, tzinfo=UTC)


def test_who_is_on(url: str) -> None:
    assert with_store(url, lambda store: logins(store.online())) == ["alice", "carroll"]


def test_a_login_is_taken_once(url: str) -> None:
    async def main(store: Store) -> list[str]:
        with pytest.raises(LoginTaken, match="'alice'"):
            await store.add(Person("alice", "Another Alice"))
        return await logins(store.find("another"))

    assert with_store(url, main) == []


@pytest.mark.parametrize("login", ["", "a b", "a@b", "-a", ".a", "a/W", "x" * 33, "é", "a\n", "\x1b"])
def test_a_login_that_could_not_be_asked_for_is_refused(url: str, login: str) -> None:
    async def main(store: Store) -> None:
        with pytest.raises(InvalidLogin):
            await store.add(Person(login, "Name"))

    with_store(url, main)


def test_removing_takes_everything_along(url: str) -> None:
    async def main(store: Store) -> list[list[str]]:
        await store.remove("alice")
        with pytest.raises(UnknownLogin, match="'alice'"):
            await store.remove("alice")
        with pytest.raises(UnknownLogin, match="'alice'"):
            await store.show("alice")
        await store.add(Person("alice", "New Person"))
        return [await logins(store.find("liddell")), await logins(store.online()), await logins(store.find("new"))]

    assert with_store(url, main) == [[], ["carroll"], ["alice"]]


def test_words_are_the_same_however_they_are_written() -> None:
    assert words_of("Åke  ÅKE \ufb01n A\u030ake") == ["fin", "åke"]
    assert words_of("") == []


def test_tables_that_have_gone_are_installed_again(url: str) -> None:
    async def main(store: Store) -> list[str]:
        await store.install()
        await store.engine.run(metadata.drop_all)
        with pytest.raises(DBAPIError):
            await store.everyone()
        return await logins(store.everyone())

    assert with_store(url, main) == ["alice", "bjorn", "carroll"]
