"""Imports and exports on real databases: what is stored, what is said of it, and how they end."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from asyncdb import CommitUnknown, PoolClosed
from asyncdb.testing.postgres import Database
from examples.finger import transfer
from examples.finger.people_csv import FileRefused, write
from examples.finger.records import FIELDS, Person, Session
from examples.finger.store import Store
from examples.finger.transfer import CHUNK, Import, Interrupted, Source, Stop, export
from netcore.reactors import Reactor
from netcore.threads import deferToThread
from tests.support.finger import with_store
from tests.support.waiting import wait_until

T = TypeVar("T")

SAMPLES = ["alice", "bjorn", "carroll"]


async def load(store: Store, data: bytes, update: bool = False, batch: int | None = None, stop: Any = None) -> str:
    """Import *data*. Returns what was said of it in the end."""
    reader, writer = os.pipe()
    try:
        stop = stop or Stop()
        importing = Import(Source(reader, stop), update, batch, stop)
        feeding = deferToThread(feed, writer, data)
        try:
            await importing.run(store, Reactor.current(), lambda: None)
        except (FileRefused, Interrupted) as error:
            return f"{error}; {importing.told(error)}"
        else:
            return importing.told()
        finally:
            os.close(reader)
            reader = -1
            await feeding
    finally:
        if reader >= 0:
            os.close(reader)


def feed(writer: int, data: bytes) -> None:
    """Write *data* to a pipe, as long as somebody reads it."""
    try:
        with os.fdopen(writer, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        pass


def crowd(count: int, **fields: str) -> list[dict[str, str]]:
    return [
        {**dict.fromkeys(FIELDS, ""), "login": f"u{number:05}", "name": f"Number {number}", **fields}
        for number in range(count)
    ]


async def logins(store: Store) -> list[str]:
    return [person.login for person in await store.everyone()]


@pytest.mark.parametrize("batch", [None, 1, 7, CHUNK, 10**9])
@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_as_many_as_there_are_are_imported(tmp_path: Path, batch: int | None, count: int) -> None:
    people = crowd(count)

    async def main(store: Store) -> None:
        told = await load(store, write(people, header=True), batch=batch)
        assert told == ("imported 1 person" if count == 1 else f"imported {count:,} people")
        assert await logins(store) == SAMPLES + [person["login"] for person in people]

    with_store(f"sqlite:///{tmp_path / 'x.sqlite3'}", main)


def test_what_was_imported_is_found_and_exported_the_same(finger_url: str, tmp_path: Path) -> None:
    people = crowd(CHUNK + 3, plan='One,\r\n"two"\n=3', office="Grünes Zimmer", project="\N{PILE OF POO} \u202e")
    data = write(people, header=True)

    async def main(store: Store) -> None:
        for login in SAMPLES:
            await store.remove(login)
        assert await load(store, data) == f"imported {len(people)} people"
        assert [person.login for person in await store.find("number 17")] == ["u00017"]
        assert await store.show("u00017") == Person(**people[17])
        assert await export(store, str(tmp_path / "out.csv"), Stop()) == len(people)
        assert (tmp_path / "out.csv").read_bytes() == data
        assert await load(store, data, update=True) == f"imported {len(people)} people, {len(people)} of them updated"
        await export(store, str(tmp_path / "again.csv"), Stop())
        assert (tmp_path / "again.csv").read_bytes() == data

    with_store(finger_url, main)


def test_all_or_nothing(finger_url: str) -> None:
    data = write(crowd(CHUNK * 2), header=True)

    async def main(store: Store) -> None:
        for last, told in (
            (b"bjorn,B,,,,\n", f"line {CHUNK * 2 + 2}: there is a 'bjorn' already; nothing is stored"),
            (b"u00000,N,,,,\n", f"line {CHUNK * 2 + 2}: there is a 'u00000' already; nothing is stored"),
            (b"new,N,,,,\nnew,N,,,,\n", f"line {CHUNK * 2 + 3}: there is a 'new' already; nothing is stored"),
            (b"bob\n", f"line {CHUNK * 2 + 2}: 1 field, where the first line names 6; nothing is stored"),
        ):
            assert await load(store, data + last) == told
        assert (await load(store, data + b"a b,N,,,,\n")).startswith(f"line {CHUNK * 2 + 2}: 'a b' is no login: ")
        assert (await load(store, b"login\n")).startswith("line 1: lacks the field 'name': ")
        assert await logins(store) == SAMPLES

    with_store(finger_url, main)


def test_batches_before_the_one_at_fault_stay_and_an_update_goes_on(finger_url: str) -> None:
    data = b"login,name\nu1,One\nu2,Two\nu3,Three\n"

    async def main(store: Store) -> None:
        told = await load(store, data + b"u4\n", batch=2)
        assert told == (
            "line 5: 1 field, where the first line names 2; 2 people, up to line 3, are stored, and nothing after it"
        )
        assert await logins(store) == [*SAMPLES, "u1", "u2"]
        assert await load(store, data + b"u4,Four\n", batch=2, update=True) == "imported 4 people, 2 of them updated"
        assert await logins(store) == [*SAMPLES, "u1", "u2", "u3", "u4"]

    with_store(finger_url, main)


def test_an_update_sets_the_fields_of_the_file_and_leaves_the_others(finger_url: str) -> None:
    async def main(store: Store) -> None:
        before = await store.show("alice")
        data = b"name,phone,login\nAlice Hargreaves,,alice\nX,1,new\nNew One,2,new\n"
        assert await load(store, data, update=True) == "imported 3 people, 2 of them updated"
        after = await store.show("alice")
        assert after == Person(
            "alice", "Alice Hargreaves", before.office, "", before.project, before.plan, before.sessions
        )
        assert before.sessions
        assert await store.show("new") == Person("new", "New One", phone="2")
        assert [person.login for person in await store.find("hargreaves")] == ["alice"]
        assert [person.login for person in await store.find("liddell")] == []
        assert [person.login for person in await store.find("x")] == []

    with_store(finger_url, main)


def test_long_plans_make_short_chunks(finger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK_SIZE", 1000)
    sizes = []
    real = transfer.store_chunk
    monkeypatch.setattr(transfer, "store_chunk", lambda *args: sizes.append(len(args[1])) or real(*args))

    async def main(store: Store) -> None:
        await load(store, write(crowd(10, plan="x" * 400), header=True))

    with_store(finger_url, main)
    assert sizes == [3, 3, 3, 1]


@pytest.mark.parametrize("batch", [None, 2])
def test_told_to_stop_while_it_waits_for_input_it_stops_and_says_what_is_stored(
    finger_url: str, batch: int | None
) -> None:
    async def main(store: Store) -> None:
        await store.install()
        stop = Stop()
        reader, writer = os.pipe()
        importing = Import(Source(reader, stop), False, batch, stop)
        os.write(writer, b"login,name\nu1,One\nu2,Two\nu3,Three\n")

        def stop_when_ready() -> None:
            if importing.stored == (batch or 0):
                stop.requested = True

        try:
            with pytest.raises(Interrupted) as caught:
                await importing.run(store, Reactor.current(), stop_when_ready)
            told = importing.told(caught.value)
        finally:
            os.close(reader)
            os.close(writer)
        if batch is None:
            assert told == "nothing is stored"
            assert await logins(store) == SAMPLES
        else:
            assert told == "2 people, up to line 3, are stored, and nothing after it"
            assert await logins(store) == [*SAMPLES, "u1", "u2"]

    with_store(finger_url, main)


def test_somebody_added_between_the_look_and_the_insertion_is_said(database: Database) -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"

    async def main(store: Store) -> None:
        await store.install()
        other = database.connect()
        try:
            with other.cursor() as cursor:
                cursor.execute("BEGIN; INSERT INTO finger_people VALUES ('u1', '', '', '', '', '')")
                importing = asyncio.ensure_future(load(store, b"login,name\nu0,Zero\nu1,One\n"))
                await deferToThread(
                    wait_until,
                    lambda: database.postgres.execute(waiting, (database.applicationName,)),
                    "the import waits for the other transaction",
                )
                cursor.execute("COMMIT")
            assert await importing == (
                "line 2: between here and line 3, somebody else has just added one of these people; nothing is stored"
            )
        finally:
            other.close()

    with_store(database.url, main)


def test_a_database_that_falls_silent_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALL", 0.3)

    async def main(store: Store) -> None:
        await store.install()
        other = database.connect()
        reader, writer = os.pipe()
        try:
            with other.cursor() as cursor:
                cursor.execute("BEGIN; LOCK TABLE finger_people")
                stop = Stop()
                importing = Import(Source(reader, stop), False, None, stop)
                os.write(writer, b"login,name\nu0,Zero\n")
                os.close(writer)
                with pytest.raises(PoolClosed) as caught:
                    await importing.run(store, Reactor.current(), lambda: None)
                assert importing.told(caught.value) == "nothing is stored"
        finally:
            os.close(reader)
            other.close()

    with_store(database.url, main)
    assert database.execute("SELECT count(*) FROM finger_people WHERE login = 'u0'") == [(0,)]


def test_what_is_not_known_is_said_to_be_so(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        importing = Import(Source(file.fileno(), Stop()), False, 500, Stop())
    importing.read = 500
    lost = CommitUnknown("the connection was lost during COMMIT")
    assert importing.told(lost) == "whether the 500 are stored is not known"
    importing.stored, importing.line, importing.read = 1000, 1001, 1500
    assert importing.told(lost) == (
        "1,000 people, up to line 1001, are stored; whether the next 500 are stored is not known"
    )


# ------------------------------------------------------------------------------------------------------------- export


def test_an_export_replaces_a_file_only_when_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "people.csv"
    target.write_text("before")
    target.chmod(0o640)
    (tmp_path / "link.csv").symlink_to(target)

    class StopsLater(Stop):
        """In the middle: after the first page, before the second."""

        checks = 0

        def check(self) -> None:
            self.checks += 1
            self.requested = self.checks > 1
            super().check()

    async def main(store: Store) -> None:
        await load(store, write(crowd(CHUNK), header=True))
        with pytest.raises(Interrupted):
            await export(store, str(target), StopsLater())
        assert target.read_text() == "before"
        assert {name for name in os.listdir(tmp_path) if "sqlite" not in name} == {"people.csv", "link.csv"}
        await export(store, str(tmp_path / "link.csv"), Stop())
        assert target.read_text().count("\n") == CHUNK + 3 + 2, "the header, and alice's plan has two lines"
        assert (tmp_path / "link.csv").is_symlink()
        assert target.stat().st_mode & 0o777 == 0o640

    with_store(f"sqlite:///{tmp_path / 'x.sqlite3'}", main)


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    async def main(store: Store) -> None:
        with pytest.raises(FileRefused, match=r"no/people\.csv: No such file or directory"):
            await export(store, str(tmp_path / "no" / "people.csv"), Stop())

    with_store(f"sqlite:///{tmp_path / 'x.sqlite3'}", main)


def test_sessions_survive_and_are_not_exported(finger_url: str, tmp_path: Path) -> None:
    session = Session("pts/9", "a.example", datetime(2026, 5, 4, tzinfo=UTC))

    async def main(store: Store) -> None:
        await store.open_session("bjorn", session)
        await export(store, str(tmp_path / "out.csv"), Stop())
        data = (tmp_path / "out.csv").read_bytes()
        assert b"pts/9" not in data
        assert await load(store, data, update=True) == "imported 3 people, 3 of them updated"
        assert (await store.show("bjorn")).sessions == (session,)

    with_store(finger_url, main)
