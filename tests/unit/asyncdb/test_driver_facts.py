"""What the drivers say of errors, interrupts, options of calls, and connect arguments that change."""

from __future__ import annotations

import inspect
import math
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
import sqlalchemy.exc

from asyncdb import ConnectArgumentsFailed, dialect
from asyncdb.dialect import Driver, causes
from asyncdb.dialect._cancel import Canceller
from asyncdb.options import CallOptions, Options
from asyncdb.testing import ScriptedDriver


def loaded(name: str, *args: Any, connargs: Any = None, **kwargs: Any) -> Driver:
    driver = dialect.load(name)
    driver.set_arguments(args, kwargs, Options(connargs=connargs))
    return driver


class Server:
    """A psycopg2 connection, as far as it says anything about the server."""

    def __init__(self, *, closed: int = 0, readonly: bool | None = None, **parameters: str) -> None:
        self.closed = closed
        self.readonly = readonly
        self.autocommit = False
        self.isolation_level = self.deferrable = None
        self.parameters = parameters

    def get_parameter_status(self, name: str) -> str | None:
        return self.parameters.get(name)


class Coded(psycopg2.OperationalError):
    """An error with a SQLSTATE, which psycopg2 lets no one else set."""

    def __init__(self, code: str) -> None:
        super().__init__(f"SQLSTATE {code}")
        self.code = code

    @property
    def pgcode(self) -> str:  # type: ignore[override]
        return self.code


PRIMARY = {"in_hot_standby": "off", "default_transaction_read_only": "off"}
STANDBY = {"in_hot_standby": "on", "default_transaction_read_only": "off"}


# ------------------------------------------------------------------------------------------------------------- eviction


@pytest.mark.parametrize("code", ["57P01", "57P02", "57P03", "57P04", "57P05"])
def test_a_server_that_ends_sessions_costs_the_connection(code: str) -> None:
    driver = dialect.load("psycopg2")
    assert driver.eviction(Coded(code), Server(closed=2)) == "shutdown"
    assert driver.eviction(Coded(code), Server(**PRIMARY)) == "shutdown"


def test_a_lost_connection_is_lost_whatever_the_function_made_of_the_error() -> None:
    driver = dialect.load("psycopg2")
    assert driver.eviction(LookupError(), Server(closed=2)) == "lost"
    gone = psycopg2.OperationalError("server closed the connection unexpectedly")
    assert driver.eviction(gone, Server()) == "lost"
    for error in (LookupError(), sqlalchemy.exc.OperationalError("SELECT 1", None, gone)):
        error.__cause__ = gone
        assert driver.eviction(error, Server()) == "lost"


@pytest.mark.parametrize("code", ["57014", "40001", "23505", "08P01"])
def test_other_errors_cost_no_connection(code: str) -> None:
    assert dialect.load("psycopg2").eviction(Coded(code), Server(**PRIMARY)) is None


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (Server(**STANDBY), "readonly"),  # a primary that became a standby
        (Server(), "readonly"),  # before PostgreSQL 14 nothing is told: in doubt, a connection is cheap
        (Server(readonly=False, **STANDBY), "readonly"),
        (Server(readonly=True, **STANDBY), None),  # asked for in the session, or by using(readonly=True)
        (Server(**PRIMARY), None),  # asked for by SQL, in this transaction
        (Server(**{**PRIMARY, "default_transaction_read_only": "on"}), "readonly"),  # since it was connected
    ],
)
def test_a_refused_write_evicts_unless_somebody_asked_for_that(server: Any, reason: str | None) -> None:
    assert dialect.load("psycopg2").eviction(Coded("25006"), server) == reason


def test_a_transaction_that_shall_write_and_cannot_begin_on_a_standby_evicts() -> None:
    driver = dialect.load("psycopg2")
    assert driver.eviction(Coded("0A000"), Server(readonly=False, **STANDBY)) == "readonly"
    assert driver.eviction(Coded("0A000"), Server(readonly=False, **PRIMARY)) is None
    assert driver.eviction(Coded("0A000"), Server(**STANDBY)) is None


def test_a_session_that_was_read_only_from_the_start_is_kept() -> None:
    driver = dialect.load("psycopg2")
    driver._make_canceller = None  # type: ignore[attr-defined]  # it needs a real connection
    connection = Server(**{**PRIMARY, "default_transaction_read_only": "on"})
    driver.prepare(connection)
    assert driver.eviction(Coded("25006"), connection) is None


def test_the_generic_driver_knows_lost_connections_only() -> None:
    module = ScriptedDriver()
    driver = dialect.load("scripted", module)
    connection = module.connect()
    assert driver.eviction(module.OperationalError("what may that be"), connection) is None
    connection.close()
    assert driver.eviction(module.OperationalError("what may that be"), connection) == "lost"


def test_what_others_report_of_an_unknown_outcome() -> None:
    driver = dialect.load("psycopg2")
    assert driver.is_unknown(Coded("40003"), Server())
    assert driver.is_unknown(Coded("40001"), Server(closed=2))
    assert not driver.is_unknown(Coded("40001"), Server())


def test_causes_are_followed_and_end() -> None:
    first, second, third = LookupError(), ValueError(), TypeError()
    first.__cause__, second.__context__ = second, third
    assert list(causes(first)) == [first, second, third]
    second.__suppress_context__ = True
    assert list(causes(first)) == [first, second]
    third.__context__ = third  # a cycle, of which there should be none
    assert len(list(causes(third))) == 8


# ----------------------------------------------------------------------------------------------------- interrupt, prove


class Interruptible(Driver):
    def is_interruption(self, error: BaseException) -> bool:
        return "canceling" in str(error)


def proven(*steps: tuple[str, Any, int]) -> tuple[ScriptedDriver, Driver]:
    module = ScriptedDriver()
    for call, action, times in steps:
        module.when(call, action, times=times)
    driver = Interruptible(module)
    driver.prove(module.connect())
    return module, driver


def test_proving_rolls_back_and_asks() -> None:
    module, _ = proven()
    assert module.calls["rollback"] >= 1
    assert module.calls["ping"] == 1


def test_an_interrupt_that_came_late_may_hit_the_proof() -> None:
    late = ScriptedDriver.OperationalError("canceling statement")
    assert proven(("ping", late, 2))[0].calls["ping"] == 3
    assert proven(("rollback", late, 1))[0].calls["ping"] == 1


def test_what_is_interrupted_again_and_again_is_not_proven() -> None:
    with pytest.raises(ScriptedDriver.OperationalError, match="canceling"):
        proven(("ping", ScriptedDriver.OperationalError("canceling statement"), 100))


def test_a_connection_that_does_not_answer_is_not_proven() -> None:
    module = ScriptedDriver()
    step = module.when("ping", module.OperationalError("gone"))
    with pytest.raises(module.OperationalError, match="gone"):
        Interruptible(module).prove(module.connect())
    assert step.count == 1


def test_which_drivers_can_interrupt() -> None:
    assert dialect.load("psycopg2").can_interrupt
    assert dialect.load("sqlite3").can_interrupt
    generic = dialect.load("scripted", ScriptedDriver())
    assert not generic.can_interrupt
    generic.interrupt(None)
    assert not generic.is_interruption(LookupError())


def test_a_psycopg2_without_a_libpq_to_be_found_uses_its_own_method() -> None:
    assert Canceller.maker(SimpleNamespace()) is None
    assert Canceller.maker(SimpleNamespace(_psycopg=SimpleNamespace(__file__="/nowhere.so"))) is None
    driver = dialect.load("psycopg2")
    cancelled: list[str] = []

    class Connection(Server):
        def cancel(self) -> None:
            cancelled.append("cancel")
            raise psycopg2.InterfaceError("connection already closed")

    driver.interrupt(Connection())
    assert cancelled == ["cancel"]


def test_what_libpq_cannot_reach_is_no_error_of_the_interrupts() -> None:
    class Library:
        def PQgetCancel(self, pointer: int) -> int:
            return pointer

        def PQfreeCancel(self, handle: int) -> None:
            pass

        def PQcancel(self, handle: int, message: Any, size: int) -> int:
            message.value = b"connection refused\n"
            return 0

    canceller = Canceller(Library(), psycopg2.OperationalError, SimpleNamespace(pgconn_ptr=7))
    with pytest.raises(psycopg2.OperationalError, match=r"^connection refused$"):
        canceller()
    with pytest.raises(psycopg2.OperationalError, match="nothing to cancel"):
        Canceller(Library(), psycopg2.OperationalError, SimpleNamespace(pgconn_ptr=0))
    driver, connection = dialect.load("psycopg2"), Server()
    driver._cancellers[connection] = canceller  # type: ignore[attr-defined]
    driver.interrupt(connection)


# ----------------------------------------------------------------------------------------------------- options of calls


@pytest.mark.parametrize("options", [{"isolation": "SERIALIZABLE"}, {"readonly": True}, {"readonly": False}])
def test_a_driver_nobody_told_us_about_has_no_characteristics(options: Any) -> None:
    generic = dialect.load("scripted", ScriptedDriver())
    with pytest.raises(ValueError, match="in cp_openfun"):
        generic.check_call_options(CallOptions(**options))
    generic.check_call_options(CallOptions(timeout=1, priority="high", name="report"))
    dialect.load("psycopg2").check_call_options(CallOptions(**options))
    dialect.load("sqlite3").check_call_options(CallOptions(**options))


def test_sqlite_is_serializable_only() -> None:
    with pytest.raises(ValueError, match="not READ COMMITTED: leave isolation out"):
        dialect.load("sqlite3").check_call_options(CallOptions(isolation="read committed"))


def test_characteristics_of_psycopg2_are_flags_that_restore_takes_off() -> None:
    driver, connection = dialect.load("psycopg2"), Server()
    connection.autocommit = True
    session = driver.session(connection)
    driver.begin(connection, CallOptions(isolation="repeatable read", readonly=True))
    assert (connection.autocommit, connection.isolation_level, connection.readonly) == (False, "REPEATABLE READ", True)
    driver.restore(connection, session)
    assert (connection.isolation_level, connection.readonly) == (None, None)


def pragma(connection: Any, name: str) -> int:
    ((value,),) = connection.execute(f"PRAGMA {name}").fetchall()
    return int(value)


@pytest.mark.parametrize("query_only", [0, 1])
@pytest.mark.parametrize("readonly", [None, True, False])
@pytest.mark.parametrize("lend", [True, False])
def test_reading_only_on_sqlite_ends_with_the_call(
    tmp_path: Path, query_only: int, readonly: bool | None, lend: bool
) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"))
    connection = driver.connect()
    connection.execute(f"PRAGMA query_only = {query_only}")
    connection.row_factory = lambda cursor, row: {"a": row[0]}  # by cp_openfun, as the PRAGMA
    driver.prepare(connection)
    session = driver.session(connection)
    (driver.lend if lend else driver.begin)(connection, CallOptions(readonly=readonly))
    connection.row_factory = None
    assert pragma(connection, "query_only") == (query_only if readonly is None else readonly)
    driver.rollback(connection)
    driver.restore(connection, session)
    connection.row_factory = None
    assert pragma(connection, "query_only") == query_only
    driver.close(connection)


def test_sqlite_waits_in_slices_except_for_users_statements(tmp_path: Path) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"), timeout=3)
    connection = driver.connect()
    assert pragma(connection, "busy_timeout") == 3000  # for cp_openfun
    driver.prepare(connection)
    session = driver.session(connection)
    assert (pragma(connection, "busy_timeout"), driver.busy_timeout) == (50, 3.0)
    driver.begin(connection)
    assert pragma(connection, "busy_timeout") == 50  # it has its lock
    driver.rollback(connection)
    for users in (driver.go_on, driver.lend, lambda c: driver.begin(c, CallOptions(readonly=True))):
        users(connection)
        assert pragma(connection, "busy_timeout") == 3000
        driver.rollback(connection)
        driver.restore(connection, session)
        assert pragma(connection, "busy_timeout") == 50
    driver.close(connection)


def test_a_deferred_begin_leaves_the_waiting_to_the_statements(tmp_path: Path) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"), isolation_level="deferred")
    connection = driver.connect()
    driver.prepare(connection)
    driver.begin(connection)
    assert pragma(connection, "busy_timeout") == 5000
    driver.close(connection)


@pytest.mark.parametrize(("timeout", "slices"), [(0, (0, 0.0)), (0.02, (20, 0.02)), (7, (50, 7.0))])
def test_openfun_may_say_how_long_sqlite_waits(tmp_path: Path, timeout: float, slices: Any) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"))
    connection = driver.connect()
    connection.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")
    driver.prepare(connection)
    assert (pragma(connection, "busy_timeout"), driver.busy_timeout) == slices
    driver.close(connection)


def test_what_a_busy_sqlite_says_and_what_it_does_not(tmp_path: Path) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"), timeout=0)
    connection, holder = driver.connect(), driver.connect()
    driver.begin(holder)
    with pytest.raises(sqlite3.OperationalError) as caught:
        driver.begin(connection)
    assert driver.is_busy(caught.value)
    assert not driver.is_interruption(caught.value)
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("nonsense")
    assert not driver.is_busy(caught.value)
    assert not driver.is_busy(LookupError())
    driver.close(holder)
    driver.close(connection)


@pytest.mark.parametrize(
    ("statement", "may"),
    [
        ("INSERT INTO t VALUES (1)", True),
        ("  \n select 1", True),
        ("with x as (select 1) delete from t", True),
        ("VACUUM", False),
        ("PRAGMA journal_mode = wal", False),
        ("BEGIN", False),
        ("inserted", False),
        ("-- why\nINSERT INTO t VALUES (1)", False),  # waits longer, all the same
        (None, False),
    ],
)
def test_which_statements_are_repeated_in_a_transaction(tmp_path: Path, statement: Any, may: bool) -> None:
    driver = loaded("sqlite3", str(tmp_path / "p.db"))
    connection = driver.connect()
    assert driver.begin_again(connection, statement) is may
    assert driver.in_transaction(connection) is may
    driver.close(connection)
    assert not dialect.load("scripted", ScriptedDriver()).begin_again(None, statement)


# --------------------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("name", "options", "rest"),
    [
        ("psycopg2", Options(), 0.5),
        ("psycopg2", Options(check_after=7), 7),
        ("psycopg2", Options(check_after=None, good_sql="SELECT 2"), math.inf),
        ("sqlite3", Options(), math.inf),
        ("sqlite3", Options(good_sql="SELECT 2"), 0.5),
        ("sqlite3", Options(good_sql="SELECT 2", check_after=7), 7),
    ],
)
def test_when_a_connection_at_rest_is_checked(name: str, options: Options, rest: float) -> None:
    driver = dialect.load(name)
    driver.set_arguments((), {"database": "x"}, options)
    assert driver.rest == rest


# ------------------------------------------------------------------------------------------------------------- connargs


def test_connect_arguments_are_asked_for_each_time() -> None:
    module, passwords = ScriptedDriver(), iter(["one", "two"])
    heard: list[Any] = []
    module.when("connect", lambda *args, **kwargs: heard.append((args, kwargs)))
    driver = Driver(module)
    options = Options(connargs=lambda: {"password": next(passwords)})
    driver.set_arguments(("db",), {"user": "ann", "password": "zero"}, options)
    driver.connect()
    driver.connect()
    assert heard == [(("db",), {"user": "ann", "password": word}) for word in ("one", "two")]
    told = driver.redact(module.OperationalError("zero, one and two are wrong"))
    assert told == "OperationalError: ***, *** and *** are wrong"


def test_a_function_for_connect_arguments_that_fails_is_tried_again() -> None:
    def fails() -> Mapping[str, Any]:
        raise LookupError("geheim")

    driver = Driver(ScriptedDriver())
    driver.set_arguments((), {}, Options(connargs=fails))
    with pytest.raises(ConnectArgumentsFailed, match=r"^cp_connargs raised LookupError$") as caught:
        driver.connect()
    assert isinstance(caught.value.__cause__, LookupError)
    assert driver.is_retryable(caught.value)


@pytest.mark.parametrize(
    ("returned", "match"),
    [
        (None, "mapping of keyword arguments for connect, not a NoneType"),
        ([("a", 1)], "not a list"),
        ({"cp_max": 3}, "not 'cp_max'"),
        ({1: 2}, "not 1"),
    ],
)
def test_connect_arguments_that_are_none_are_refused(returned: Any, match: str) -> None:
    driver = Driver(ScriptedDriver())
    driver.set_arguments((), {}, Options(connargs=lambda: returned))
    with pytest.raises(TypeError, match=match) as caught:
        driver.connect()
    assert not driver.is_retryable(caught.value)


def test_a_coroutine_for_connect_arguments_is_refused_and_closed() -> None:
    async def ask() -> dict[str, Any]:
        return {}

    given = ask()
    driver = Driver(ScriptedDriver())
    driver.set_arguments((), {}, Options(connargs=lambda: given))  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="not a coroutine"):
        driver.connect()
    assert inspect.getcoroutinestate(given) == inspect.CORO_CLOSED


def test_a_dsn_that_changes_is_completed_and_kept_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    dsns = iter(["host=one password=eins", "host=two password=zwei connect_timeout=3", "password=zwei drei"])
    driver = loaded("psycopg2", "host=none", connargs=lambda: {"dsn": next(dsns)}, user="ann")
    heard: list[Any] = []
    monkeypatch.setattr(psycopg2, "connect", lambda *args, **kwargs: heard.append((args, kwargs)))
    driver.connect()
    driver.connect()
    assert heard == [
        ((), {"user": "ann", "dsn": "host=one password=eins", "connect_timeout": 10}),
        ((), {"user": "ann", "dsn": "host=two password=zwei connect_timeout=3"}),
    ]
    assert driver.redact(LookupError("eins zwei")) == "LookupError: *** ***"
    with pytest.raises(psycopg2.ProgrammingError, match="invalid dsn") as caught:
        driver.connect()
    assert not driver.is_retryable(caught.value)
    assert "drei" not in str(caught.value)


def test_sqlite_arguments_that_change_are_checked_too() -> None:
    given: dict[str, Any] = {}
    driver = loaded("sqlite3", ":memory:", connargs=lambda: given)
    first, second = driver.connect(), driver.connect()
    first.execute("CREATE TABLE t (x)")
    assert second.execute("SELECT * FROM t").fetchall() == []  # the same database
    given["check_same_thread"] = True
    with pytest.raises(ValueError, match="Leave it out"):
        driver.connect()
    for connection in (first, second):
        driver.close(connection)
    driver.dispose()


def test_only_the_last_passwords_are_kept_to_be_taken_out() -> None:
    number = iter(range(1000))
    driver = Driver(ScriptedDriver())
    driver.set_arguments((), {}, Options(connargs=lambda: {"password": f"<{next(number)}>"}))
    for _ in range(1000):
        driver.connect()
    assert len(driver._recent) == 8
    assert driver.redact(LookupError("<999> <0>")) == "LookupError: *** <0>"
