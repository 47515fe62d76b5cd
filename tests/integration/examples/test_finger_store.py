"""The people in real databases: the same answers from SQLite and from PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from examples.finger.limits import Limits
from examples.finger.protocol import clean
from examples.finger.records import FIELDS, Person, Session
from examples.finger.store import KEEPALIVE, Store
from examples.finger.tables import (
    MOST_FOUND,
    InvalidLogin,
    LineTaken,
    LoginTaken,
    NotOn,
    UnknownLogin,
    find,
    metadata,
    name_words,
    online,
    people,
    words_of,
)
from netcore.defer import DeferredList
from tests.support.finger import with_store

T = TypeVar("T")


async def logins(found: Awaitable[list[Person]]) -> list[str]:
    return [person.login for person in await found]


def test_sample_people_are_installed_on_first_use_and_only_then(finger_url: str) -> None:
    async def first(store: Store) -> list[str]:
        found = await logins(store.everyone())
        await store.remove("bjorn")
        return found

    async def second(store: Store) -> list[str]:
        await store.install()
        return await logins(store.everyone())

    assert with_store(finger_url, first) == ["alice", "bjorn", "carroll"]
    assert with_store(finger_url, second) == ["alice", "carroll"]


def test_two_servers_may_start_at_once(finger_url: str) -> None:
    start = threading.Barrier(4)
    outcomes: list[Any] = []

    def server() -> None:
        async def main(store: Store) -> list[str]:
            start.wait(20)
            await store.install()
            return await logins(store.everyone())

        try:
            outcomes.append(with_store(finger_url, main))
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=server) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [["alice", "bjorn", "carroll"]] * 4


def test_another_server_may_install_between_looking_and_creating(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL; on SQLite who has begun to install has the write lock."""
    inspect, url = sa.inspect, database.url
    others: list[threading.Thread] = []

    class LateInspector:
        """No table is there when it first looks, and all are when its answer arrives."""

        def __init__(self, connection: sa.Connection) -> None:
            self._inspector = inspect(connection)

        def has_table(self, name: str) -> bool:
            found = self._inspector.has_table(name)
            if not found and not others:
                others.append(threading.Thread(target=with_store, args=(url, Store.install)))
                others[0].start()
                others[0].join()
            return found

    async def main(store: Store) -> list[str]:
        monkeypatch.setattr("examples.finger.tables.installed", lambda connection: False)
        monkeypatch.setattr("examples.finger.tables.sa.inspect", LateInspector)
        await store.install()
        return await logins(store.everyone())

    assert with_store(url, main) == ["alice", "bjorn", "carroll"]
    assert others, "somebody came between"


def test_text_that_is_not_utf_8_spoils_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "finger.sqlite3"

    async def main(store: Store) -> list[str]:
        await store.install()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE finger_people SET name = CAST(x'41ff42' AS TEXT) WHERE login = 'alice'")
        people = [*await store.everyone(), await store.show("alice")]
        return [clean(person.name) for person in people]

    assert with_store(f"sqlite:///{path}", main) == ["A?B", "Björn Åkesson", "Lewis Carroll", "A?B"]


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
def test_people_are_found_by_login_and_by_words_of_their_name(finger_url: str, name: str, expected: list[str]) -> None:
    assert with_store(finger_url, lambda store: logins(store.find(name))) == expected


def test_all_matches_are_found(finger_url: str) -> None:
    async def main(store: Store) -> list[str]:
        await store.add(Person("lewis", "Somebody Else"))
        await store.add(Person("zz", "Jerry LEWIS lewis"))
        return await logins(store.find("lewis"))

    assert with_store(finger_url, main) == ["carroll", "lewis", "zz"]


def test_of_too_many_the_first_are_found_and_the_one_of_that_login(finger_url: str) -> None:
    async def main(store: Store) -> None:
        session = Session("pts/0", "a.example", datetime(2026, 5, 4, tzinfo=UTC))
        crowd = [f"p{number:03}" for number in range(MOST_FOUND)]
        for login in crowd:
            await store.add(Person(login, "Same Name", sessions=(session,)))
        assert await logins(store.find("same name")) == crowd
        await store.add(Person("same", "Same Name"))
        found = await logins(store.find("same"))
        assert "same" in found
        assert len(found) > MOST_FOUND, "so that one sees that there are more"
        assert len(await store.online()) == MOST_FOUND + 1, "alice, carroll, and these"

    with_store(finger_url, main)


@pytest.mark.parametrize("name", ["user00077", "number77", "people"])
def test_no_search_reads_the_whole_table_of_people(database: Any, name: str) -> None:
    async def main(store: Store) -> None:
        await store.install()
        for begin in range(0, 20_000, 1_000):  # none of which takes long
            await store.write(fill, range(begin, begin + 1_000))
        await store.write(analyze)
        for function, arguments in ((find, (name,)), (online, ())):
            plan = await store.write(explained, function, *arguments)
            assert "Seq Scan on finger_people" not in plan, plan

    with_store(database.url, main)


def fill(connection: sa.Connection, numbers: range) -> None:
    connection.execute(
        people.insert(),
        [dict.fromkeys(FIELDS, "") | {"login": f"user{number:05}"} for number in numbers],
    )
    words = [
        {"login": f"user{number:05}", "word": word}
        for number in numbers
        for word in (f"number{number}", *(["people"] if number % 4 == 0 else []))
    ]
    connection.execute(name_words.insert(), words)


def analyze(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ANALYZE finger_people, finger_name_words, finger_sessions")


def explained(connection: sa.Connection, function: Callable[..., Any], *args: Any) -> str:
    """How PostgreSQL would do what *function* asks of it."""
    plans: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        cursor.execute(f"EXPLAIN {statement}", parameters)
        plans.append("\n".join(line for (line,) in cursor.fetchall()))

    sa.event.listen(connection, "before_cursor_execute", explain)
    function(connection, *args)
    sa.event.remove(connection, "before_cursor_execute", explain)
    return "\n".join(plans)


def test_what_is_stored_comes_back(finger_url: str) -> None:
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

    shown = with_store(finger_url, main)
    assert shown == person
    assert all(session.since.tzinfo is not None for session in shown.sessions)
    assert shown.sessions[0].since == datetime(2026, 5, 4, 19, 0, tzinfo=UTC)


def test_who_is_on(finger_url: str) -> None:
    assert with_store(finger_url, lambda store: logins(store.online())) == ["alice", "carroll"]


def test_a_login_is_taken_once(finger_url: str) -> None:
    async def main(store: Store) -> list[str]:
        with pytest.raises(LoginTaken, match="'alice'"):
            await store.add(Person("alice", "Another Alice"))
        return await logins(store.find("another"))

    assert with_store(finger_url, main) == []


@pytest.mark.parametrize("login", ["", "a b", "a@b", "-a", ".a", "a/W", "x" * 33, "é", "a\n", "\x1b"])
def test_a_login_that_could_not_be_asked_for_is_refused(finger_url: str, login: str) -> None:
    async def main(store: Store) -> None:
        with pytest.raises(InvalidLogin):
            await store.add(Person(login, "Name"))

    with_store(finger_url, main)


def test_removing_takes_everything_along(finger_url: str) -> None:
    async def main(store: Store) -> list[list[str]]:
        await store.remove("alice")
        with pytest.raises(UnknownLogin, match="'alice'"):
            await store.remove("alice")
        with pytest.raises(UnknownLogin, match="'alice'"):
            await store.show("alice")
        await store.add(Person("alice", "New Person"))
        return [await logins(store.find("liddell")), await logins(store.online()), await logins(store.find("new"))]

    assert with_store(finger_url, main) == [[], ["carroll"], ["alice"]]


def test_words_are_the_same_however_they_are_written() -> None:
    assert words_of("Åke  ÅKE \ufb01n A\u030ake") == ["fin", "åke"]
    assert words_of("") == []


def test_sessions_are_opened_and_closed(finger_url: str) -> None:
    began = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    first, second = Session("pts/0", "a.example", began), Session("pts/1", "b.example", began, idle=90)

    async def main(store: Store) -> None:
        await store.open_session("bjorn", first)
        await store.open_session("bjorn", second)
        assert (await store.show("bjorn")).sessions == (first, second)
        assert await logins(store.online()) == ["alice", "bjorn", "carroll"]
        with pytest.raises(LineTaken, match=r"'bjorn' is on pts/1 already"):
            await store.open_session("bjorn", second)
        await store.close_sessions("bjorn", "pts/0")
        assert (await store.show("bjorn")).sessions == (second,)
        with pytest.raises(NotOn, match=r"'bjorn' is not on pts/0"):
            await store.close_sessions("bjorn", "pts/0")
        await store.open_session("bjorn", first)
        await store.close_sessions("bjorn")
        assert (await store.show("bjorn")).sessions == ()
        with pytest.raises(NotOn, match=r"'bjorn' is not on$"):
            await store.close_sessions("bjorn")
        assert await logins(store.online()) == ["alice", "carroll"]

    with_store(finger_url, main)


def test_who_is_not_there_cannot_log_on_or_off(finger_url: str) -> None:
    async def main(store: Store) -> None:
        with pytest.raises(UnknownLogin, match="there is no 'nobody'"):
            await store.open_session("nobody", Session("pts/0", "a.example", datetime(2026, 5, 4, tzinfo=UTC)))
        with pytest.raises(UnknownLogin, match="there is no 'nobody'"):
            await store.close_sessions("nobody")

    with_store(finger_url, main)


def test_of_many_who_log_on_to_one_line_at_once_one_does(finger_url: str) -> None:
    async def main(store: Store) -> int:
        session = Session("pts/7", "a.example", datetime(2026, 5, 4, tzinfo=UTC))
        outcomes = await DeferredList([store.open_session("bjorn", session) for _ in range(8)], consumeErrors=True)
        assert {type(failure.value) for success, failure in outcomes if not success} == {LineTaken}
        return sum(success for success, _ in outcomes)

    assert with_store(finger_url, main) == 1


@pytest.mark.parametrize(("patient", "timeout"), [(False, "600ms"), (True, "0")])
def test_postgresql_is_told_how_long_statements_and_silent_hosts_are_waited_for(
    database: Any, patient: bool, timeout: str
) -> None:
    def look(connection: sa.Connection) -> tuple[Any, dict[str, str]]:
        driver: Any = connection.connection.driver_connection
        return connection.scalar(sa.text("SHOW statement_timeout")), driver.info.dsn_parameters

    async def main() -> tuple[Any, dict[str, str]]:
        store = Store.fromURL(database.url, Limits(answer_within=2), patient)
        try:
            return await store.read(look)
        finally:
            await store.close()

    told, parameters = asyncio.run(main())
    assert told == timeout
    assert parameters.items() >= {name: str(value) for name, value in KEEPALIVE.items()}.items()


def test_tables_that_have_gone_are_installed_again(finger_url: str) -> None:
    async def main(store: Store) -> list[str]:
        await store.install()
        await store.engine.run(metadata.drop_all)
        with pytest.raises(DBAPIError):
            await store.everyone()
        return await logins(store.everyone())

    assert with_store(finger_url, main) == ["alice", "bjorn", "carroll"]
