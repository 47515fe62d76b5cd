"""Driver facts that need no database server."""

from __future__ import annotations

import os
import socket
import sqlite3
import traceback
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy.dialects.mysql.mysqldb import MySQLDialect_mysqldb

from asyncdb import dialect
from asyncdb.dialect import Driver
from asyncdb.dialect._generic import is_near, same_machine, watch
from asyncdb.errors import MissingDriver
from asyncdb.options import Options
from asyncdb.testing import ScriptedDriver


def loaded(name: str, *args: Any, **kwargs: Any) -> Driver:
    driver = dialect.load(name)
    driver.set_arguments(args, kwargs, Options(connect_timeout=7.5))
    return driver


# ------------------------------------------------------------------------------------------------------- names and URLs


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(dialect.importlib, "import_module", not_there)
    with pytest.raises(MissingDriver, match=r"pip install 'netcore-asyncdb\[postgres\]'") as caught:
        dialect.load("psycopg2")
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == "psycopg2"
    with pytest.raises(MissingDriver, match=r"netcore-asyncdb\[postgres\]"):
        dialect.from_url("postgresql://db/people")
    with pytest.raises(MissingDriver, match="pip install 'pymysql'"):
        dialect.from_url("mysql://db/people")


def test_a_driver_whose_own_import_fails_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'zlib'", name="zlib")

    monkeypatch.setattr(dialect.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError) as caught:
        dialect.load("psycopg2")
    assert not isinstance(caught.value, MissingDriver)


def test_a_postgresql_url_means_psycopg2() -> None:
    name, args, kwargs = dialect.from_url("postgresql://ann:s%40fe@db:5433/people?sslmode=require")
    assert (name, args) == ("psycopg2", ())
    assert kwargs == {
        "user": "ann",
        "password": "s@fe",
        "host": "db",
        "port": 5433,
        "dbname": "people",
        "sslmode": "require",
    }
    assert dialect.from_url("postgres://db/people")[0] == "psycopg2"
    assert dialect.from_url("postgresql+psycopg2://db/people")[0] == "psycopg2"


def test_sqlite_urls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert dialect.from_url("sqlite:////var/people.db")[:2] == ("sqlite3", ("/var/people.db",))
    assert dialect.from_url("sqlite:///people.db")[1] == (str(tmp_path / "people.db"),)
    name, args, kwargs = dialect.from_url("sqlite://")
    assert (name, args, kwargs) == ("sqlite3", (":memory:",), {})
    assert dialect.from_url("sqlite:///people.db?timeout=2")[2] == {"timeout": 2.0}


def test_a_url_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mongodb:// URLs \(known: mysql://, postgresql://, sqlite://\)"):
        dialect.from_url("mongodb://db/people")


def test_an_unknown_module_gets_the_generic_facts() -> None:
    module = ScriptedDriver()
    driver = dialect.load("scripted", module)
    assert type(driver) is Driver
    assert driver.dialect_name is None
    assert driver.is_retryable(module.OperationalError())
    assert driver.is_retryable(ConnectionRefusedError())
    assert not driver.is_retryable(module.ProgrammingError())
    assert not driver.is_retryable(TypeError())
    connection = module.connect()
    assert not driver.is_disconnect(module.OperationalError("gone?"), connection)
    assert driver.is_doubtful(module.OperationalError("gone?"))
    connection.close()
    assert driver.is_disconnect(module.OperationalError("gone?"), connection)
    assert not driver.may_autocommit(connection)


def test_a_dialect_that_trips_over_an_error_knows_nothing_of_the_connection() -> None:
    """As MySQL's do, over an error that a program has made itself."""
    module: Any = ScriptedDriver()
    module.InternalError = module.InterfaceError
    driver = Driver(module, MySQLDialect_mysqldb(dbapi=module))
    assert driver.eviction(module.OperationalError(), module.connect()) == "lost"
    assert driver.eviction(module.OperationalError(1), module.connect()) is None


def test_an_error_that_cannot_be_shown_has_its_name_told() -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert dialect.load("scripted", ScriptedDriver()).redact(Unshowable()) == "Unshowable"


def test_the_generic_ping_is_sqlalchemys_and_good_sql_replaces_it() -> None:
    module = ScriptedDriver()
    driver = dialect.load("scripted", module)
    connection = module.connect()
    driver.ping(connection, None)
    assert module.calls["ping"] == 1
    driver.ping(connection, "select 2")
    assert module.statements == [("select 2",)]


# ---------------------------------------------------------------------------------------------------------- descriptors


def test_watching_a_descriptor() -> None:
    here, there = socket.socketpair()
    with here, there:
        readable = watch(here.fileno())
        assert not readable()
        there.send(b"x")
        assert readable()
        here.recv(1)
        assert not readable()
        there.close()
        assert readable()


def test_a_socket_of_this_machine_is_near() -> None:
    here, there = socket.socketpair()
    with here, there, socket.create_server(("127.0.0.1", 0)) as server:
        assert is_near(here.fileno())
        with socket.create_connection(server.getsockname()) as client:
            assert is_near(client.fileno())
        assert not is_near(server.fileno())  # it is connected to nobody
    assert not is_near(here.fileno())


def test_what_is_no_socket_is_not_near_and_costs_no_descriptor() -> None:
    here, there = os.pipe()
    try:
        after = os.dup(here)
        os.close(after)
        assert not is_near(here)
        assert os.dup(here) == after  # the next free number, as before
    finally:
        for descriptor in (here, there, after):
            os.close(descriptor)


@pytest.mark.parametrize(
    ("there", "near"),
    [("10.0.0.1", True), ("10.0.0.2", False), ("127.0.0.7", True), ("::1", True), ("fe80::1%eth0", False)],
)
def test_which_addresses_are_near(there: str, near: bool) -> None:
    family = socket.AF_INET6 if ":" in there else socket.AF_INET
    assert same_machine(family, ("10.0.0.1", 40_000), (there, 5432)) is near


def test_of_what_is_neither_tcp_nor_a_unix_socket_nobody_knows() -> None:
    assert same_machine(socket.AF_UNIX, "", "/run/postgresql/.s.PGSQL.5432")
    assert not same_machine(40, (3, 40_000), (2, 5432))  # AF_VSOCK on Linux


def test_a_driver_sees_by_its_descriptor_whether_a_server_is_near() -> None:
    for sockets in (True, False):
        module = ScriptedDriver(sockets=sockets)
        connection = module.connect()
        assert dialect.load("scripted", module).is_near(connection) is sockets
        connection.close()


def test_cutting_brings_back_a_blocked_reader() -> None:
    module = ScriptedDriver(sockets=True)
    driver = dialect.load("scripted", module)
    connection = module.connect()
    driver.cut(connection)
    with pytest.raises(module.OperationalError):
        connection.hang()
    driver.cut(connection)  # closed by now: nothing happens


# ------------------------------------------------------------------------------------------------------------- psycopg2


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)


@pytest.mark.usefixtures("no_environment")
def test_libpq_is_told_the_connect_timeout() -> None:
    assert loaded("psycopg2", "dbname=x").kwargs == {"connect_timeout": 8}
    assert loaded("psycopg2", host="db", application_name="mine").kwargs == {
        "host": "db",
        "application_name": "mine",
        "connect_timeout": 8,
    }


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("dbname=x connect_timeout=3",), {}),
        (("postgresql://db/x?connect_timeout=3",), {}),
        ((), {"dsn": "connect_timeout=3"}),
        ((), {"connect_timeout": 3}),
    ],
)
def test_a_connect_timeout_of_the_users_stays(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert loaded("psycopg2", *args, **kwargs).kwargs == kwargs


def test_a_connect_timeout_from_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "3")
    assert loaded("psycopg2", "dbname=x").kwargs == {}


def test_which_psycopg2_errors_a_retry_may_mend() -> None:
    driver = dialect.load("psycopg2")
    assert driver.is_retryable(psycopg2.OperationalError("could not connect to server"))
    assert not driver.is_retryable(psycopg2.ProgrammingError('invalid dsn: missing "=" after "x"'))


def test_what_sqlalchemy_knows_of_lost_psycopg2_connections() -> None:
    driver = dialect.load("psycopg2")

    class Standing:
        closed = 0

    class Closed:
        closed = 2

    lost = psycopg2.OperationalError("server closed the connection unexpectedly\nThis probably means ...")
    assert driver.is_disconnect(lost, Standing())
    assert driver.is_disconnect(psycopg2.OperationalError("whatever it says"), Closed())
    assert not driver.is_disconnect(psycopg2.errors.UniqueViolation("duplicate key"), Standing())
    assert not driver.is_doubtful(psycopg2.OperationalError("canceling statement due to lock timeout"))


def test_a_statement_that_needs_a_transaction_gets_a_hint() -> None:
    driver = dialect.load("psycopg2")
    error = psycopg2.errors.NoActiveSqlTransaction("LOCK TABLE can only be used in transaction blocks")
    driver.explain(error)
    (note,) = error.__notes__
    assert "runInteraction" in note
    assert "cp_autocommit=False" in note


# -------------------------------------------------------------------------------------------------------------- sqlite3


def test_sqlite_arguments_are_completed() -> None:
    driver = loaded("sqlite3", "people.db", 2.0)
    assert driver.args == ()
    assert driver.kwargs == {
        "database": "people.db",
        "timeout": 2.0,
        "check_same_thread": False,
        "isolation_level": None,
    }
    assert driver.rest == float("inf")


@pytest.mark.parametrize(
    ("args", "kwargs", "match"),
    [
        (("p.db",), {"check_same_thread": True}, "Leave it out"),
        (("p.db", 5, 0, None, True), {}, "Leave it out"),
        (("p.db",), {"autocommit": False}, "cp_autocommit"),
        (("p.db",), {"isolation_level": "SERIALIZABLE"}, "DEFERRED, IMMEDIATE or EXCLUSIVE"),
    ],
)
def test_sqlite_arguments_that_cannot_work_are_refused(args: Any, kwargs: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        loaded("sqlite3", *args, **kwargs)


@pytest.mark.parametrize(
    ("database", "uri", "private"),
    [
        (":memory:", False, True),
        ("", False, True),
        ("file::memory:", True, True),
        ("file::memory:?mode=memory", True, True),
        ("file:x?mode=memory", True, True),
        ("file:", True, True),
        ("file::memory:", False, False),  # a file of that name
        ("file:x?mode=memory&cache=shared", True, False),
        ("file:/x?vfs=memdb", True, False),
        ("file:people.db?mode=ro", True, False),
        ("people.db", False, False),
    ],
)
def test_a_private_database_becomes_one_that_the_pool_shares(database: str, uri: bool, private: bool) -> None:
    named = loaded("sqlite3", database, uri=uri).kwargs["database"]
    assert (named != database) is private
    if private:
        assert named.startswith("file:/asyncdb-")
        assert named.endswith("?vfs=memdb")


def test_an_old_sqlite_has_no_shared_memory_database(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = dialect.load("sqlite3")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 35, 5))
    with pytest.raises(ValueError, match=r"needs SQLite 3\.36"):
        driver.set_arguments((":memory:",), {}, Options())


def test_a_memory_database_lives_until_the_driver_is_disposed_of() -> None:
    driver = loaded("sqlite3", ":memory:")
    first = driver.connect()
    first.execute("CREATE TABLE t (x)")
    driver.close(first)
    second = driver.connect()
    assert second.execute("SELECT * FROM t").fetchall() == []
    driver.close(second)
    driver.dispose()
    third = driver.connect()
    assert third.execute("SELECT * FROM sqlite_master").fetchall() == []
    driver.close(third)
    driver.dispose()


def test_sqlite_transactions(tmp_path: Path) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"))
    connection = driver.connect()
    other = sqlite3.connect(tmp_path / "p.db", timeout=0)
    driver.begin(connection)
    assert driver.in_transaction(connection)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("CREATE TABLE t (x)")
    driver.rollback(connection)
    assert not driver.in_transaction(connection)
    driver.commit(connection)  # nothing to commit: nothing happens
    driver.go_on(connection)
    other.execute("CREATE TABLE t (x)")  # no lock before there is something to write
    driver.rollback(connection)
    driver.close(connection)
    other.close()


def test_a_connection_that_must_not_write_can_begin(tmp_path: Path) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"))
    connection = driver.connect()
    connection.execute("PRAGMA query_only = 1")
    driver.begin(connection)
    assert driver.in_transaction(connection)
    driver.rollback(connection)
    driver.close(connection)


def test_sqlite_lends_with_implicit_transactions_and_takes_them_back() -> None:
    driver = loaded("sqlite3", ":memory:", isolation_level="exclusive")
    connection = driver.connect()
    connection.execute("CREATE TABLE t (x)")
    session = driver.session(connection)
    driver.lend(connection)
    connection.execute("INSERT INTO t VALUES (1)")
    assert driver.in_transaction(connection)
    driver.rollback(connection)
    driver.restore(connection, session)
    connection.execute("INSERT INTO t VALUES (1)")
    assert not driver.in_transaction(connection)
    driver.close(connection)
    driver.dispose()


def test_interrupting_a_closed_sqlite_connection_does_nothing() -> None:
    driver = loaded("sqlite3", ":memory:")
    connection = driver.connect()
    driver.close(connection)
    driver.cut(connection)
    driver.dispose()


def test_only_a_connection_that_must_not_write_begins_without_the_lock(tmp_path: Path) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"), timeout=0)
    connection, holder = driver.connect(), driver.connect()
    driver.begin(holder)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        driver.begin(connection)
    assert not driver.in_transaction(connection)
    driver.rollback(holder)
    driver.close(connection)
    driver.close(holder)


def test_nothing_to_commit_is_not_committed() -> None:
    class Connection:
        in_transaction = False
        autocommit = getattr(sqlite3, "LEGACY_TRANSACTION_CONTROL", None)

        def commit(self) -> None:
            raise AssertionError

    dialect.load("sqlite3").commit(Connection())


@pytest.mark.parametrize("database", [b":memory:", b"", Path(":memory:")])
def test_a_private_database_may_be_named_by_bytes_or_a_path(database: Any) -> None:
    assert loaded("sqlite3", database).kwargs["database"].startswith("file:/asyncdb-")


def test_a_memdb_name_without_a_slash_is_private_too() -> None:
    assert loaded("sqlite3", "file:x?vfs=memdb", uri=True).kwargs["database"].startswith("file:/asyncdb-")


@pytest.mark.parametrize(
    "dsn",
    [
        "host=db password=ge heim",
        "host=db password='geheim",
        "postgresql://ann:ge/heim@db:5432/x",
        "postgresql://ann:ge@heim@db:5432/x",
        "postgresql://ann:ge%zzheim@db:5432/x",
        b"host=db password=ge heim",
    ],
)
def test_a_malformed_dsn_is_neither_tried_again_nor_repeated(dsn: str | bytes) -> None:
    driver = loaded("psycopg2", dsn)
    with pytest.raises(psycopg2.ProgrammingError, match="invalid dsn") as caught:
        driver.connect()
    assert not driver.is_retryable(caught.value)
    assert "heim" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    "dsn", ["postgresql://ann:geheim@db:5432,db2:5433/x", "host=a,@b,/c@d port=',5432 ,5433'", "host=@run password=a@b"]
)
def test_a_dsn_may_name_many_hosts_and_sockets(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, heard = loaded("psycopg2", dsn), []
    monkeypatch.setattr(psycopg2, "connect", lambda *args, **kwargs: heard.append(args))
    driver.connect()
    assert heard == [(dsn,)]


@pytest.mark.parametrize("dsn", ["host=db password=geheim", "postgresql://ann:geheim@db/x"])
def test_passwords_and_dsns_are_taken_out_of_messages(dsn: str) -> None:
    driver = loaded("psycopg2", dsn)
    told = driver.redact(psycopg2.OperationalError(f"cannot use {dsn}: geheim\nhere: geheim"))
    assert told == "OperationalError: cannot use ***: ***"


@pytest.mark.parametrize("url", ["nonsense", "postgresql://ann:ge/heim@host:port/x"])
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="not a database URL") as caught:
        dialect.from_url(url)
    assert "heim" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_dsn_or_password_in_bytes_is_taken_out_of_messages_too() -> None:
    driver = dialect.load("psycopg2")
    driver.set_arguments((), {"dsn": b"host=localhost password=geheim", "password": b"eins"}, Options())
    assert driver.redact(psycopg2.OperationalError("geheim, eins")) == "OperationalError: ***, ***"
    told = driver.redact(psycopg2.OperationalError("cannot use host=localhost password=geheim"))
    assert told == "OperationalError: cannot use ***"
