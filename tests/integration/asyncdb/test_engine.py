"""SQLAlchemy on the pool's connections, on both databases."""

from __future__ import annotations

import datetime
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session

from asyncdb import CommitUnknown, ConnectionPool, Engine, PoolClosed
from asyncdb._core import JobState
from asyncdb._worker import Call, Slot
from asyncdb._worker._call import NOTHING
from asyncdb.testing import ScriptedDriver
from asyncdb.testing.postgres import Database
from asyncdb.transaction import Abandoned
from netcore.defer import gatherResults
from netcore.threads import deferToThread
from tests.integration.asyncdb.running import Drive
from tests.support.waiting import wait_until

metadata = sa.MetaData()
people = sa.Table(
    "people",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("facts", sa.JSON),
    sa.Column("since", sa.DateTime, default=lambda: datetime.datetime(2024, 2, 29, 12)),  # noqa: DTZ001
)


class Base(DeclarativeBase):
    metadata = metadata


class Person(Base):
    __table__ = people
    id: Mapped[int]
    name: Mapped[str]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/people.db"
    else:
        database: Database = request.getfixturevalue("database")
        yield database.url


def add(connection: sa.Connection, *names: str) -> None:
    connection.execute(sa.insert(people), [{"name": name, "facts": {"likes": [name]}} for name in names])


def names(connection: sa.Connection) -> list[str]:
    return list(connection.scalars(sa.select(people.c.name).order_by(people.c.name)))


def test_statements_types_and_defaults(drive: Drive, url: str) -> None:
    def find(connection: sa.Connection, wanted: list[str]) -> list[Any]:
        chosen = sa.select(people.c.name, people.c.facts, people.c.since).where(people.c.name.in_(wanted))
        return [tuple(row) for row in connection.execute(chosen.order_by(people.c.name)).all()]

    async def main() -> None:
        async with Engine.fromURL(url) as engine:
            await engine.run(metadata.create_all)
            await engine.run(add, "ann", "bob", "cid")
            day = datetime.datetime(2024, 2, 29, 12)  # noqa: DTZ001
            assert await engine.run(find, ["ann", "cid", "dan"]) == [
                ("ann", {"likes": ["ann"]}, day),
                ("cid", {"likes": ["cid"]}, day),
            ]
            assert await engine.run(find, []) == []
            assert engine.dialect == url.partition(":")[0]

    drive(main)


def test_an_error_rolls_back_and_the_connection_is_used_again(drive: Drive, url: str) -> None:
    def fails(connection: sa.Connection) -> None:
        add(connection, "ann")
        raise LookupError("mine")

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            with pytest.raises(LookupError, match="mine"):
                await engine.run(fails)
            await engine.run(add, "bob")
            with pytest.raises(sa.exc.IntegrityError):
                await engine.run(add, "cid", "bob")
            assert await engine.run(names) == ["bob"]

    drive(main)


def test_a_commit_in_the_middle_holds_and_the_rest_is_another_transaction(drive: Drive, url: str) -> None:
    def function(connection: sa.Connection, error: BaseException | None) -> None:
        add(connection, f"{error}, first")
        connection.commit()
        add(connection, f"{error}, second")
        if error:
            raise error

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            await engine.run(function, None)
            with pytest.raises(LookupError):
                await engine.run(function, LookupError("e"))
            assert await engine.run(names) == ["None, first", "None, second", "e, first"]

    drive(main)


def test_plain_calls_and_engine_calls_share_the_connections(drive: Drive, url: str) -> None:
    async def main() -> None:
        engine = Engine.fromURL(url, cp_max=1)
        async with engine.pool as pool:
            await engine.run(metadata.create_all)
            for number in range(3):
                await pool.runOperation(f"INSERT INTO people (name) VALUES ('p{number}')")
                await engine.run(add, f"e{number}")
                await pool.runInteraction(lambda t, n: t.execute(f"INSERT INTO people (name) VALUES ('i{n}')"), number)
            assert await pool.runQuery("SELECT count(*) FROM people") == [(9,)]
            assert pool._crew is not None
            assert len(pool._crew.core.entries) == 1

    drive(main)


def test_functions_run_side_by_side(drive: Drive, url: str) -> None:
    async def main() -> None:
        async with Engine.fromURL(url, cp_max=4) as engine:
            await engine.run(metadata.create_all)
            together = threading.Barrier(4)

            def function(connection: sa.Connection) -> None:
                together.wait(30)
                add(connection, threading.current_thread().name)

            await gatherResults([engine.run(function) for _ in range(4)])
            assert len(await engine.run(names)) == 4

    drive(main)


def test_results_that_were_not_fetched_are_refused(drive: Drive, url: str) -> None:
    def cursor(connection: sa.Connection) -> Any:
        return connection.execute(sa.select(people))

    def scalars(connection: sa.Connection) -> Any:
        return connection.scalars(sa.select(people.c.name))

    def mappings(connection: sa.Connection) -> Any:
        return connection.execute(sa.select(people)).mappings()

    def lazy(connection: sa.Connection) -> Any:
        return (row for row in connection.execute(sa.select(people)))

    def generator(connection: sa.Connection) -> Any:
        yield from connection.execute(sa.select(people))

    async def coroutine(connection: sa.Connection) -> None: ...

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            for function in (cursor, scalars, mappings, lazy):
                with pytest.raises(TypeError, match=r"fetch inside, for example with \.all\(\)"):
                    await engine.run(function)
            for refused in (generator, coroutine):
                with pytest.raises(TypeError, match="generator or coroutine function"):
                    engine.run(refused)

    drive(main)


def test_an_orm_session(drive: Drive, url: str) -> None:
    def function(connection: sa.Connection) -> list[str]:
        with Session(connection) as session:
            session.add(Person(name="ann"))
            session.flush()
            found = [person.name for person in session.scalars(sa.select(Person))]
            session.commit()
        return found

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            assert await engine.run(function) == ["ann"]
            assert await engine.run(names) == ["ann"]

    drive(main)


def test_a_savepoint(drive: Drive, url: str) -> None:
    def function(connection: sa.Connection) -> None:
        add(connection, "ann")
        try:
            with connection.begin_nested():
                add(connection, "bob", "ann")
        except sa.exc.IntegrityError:
            pass
        add(connection, "cid")

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            await engine.run(function)
            assert await engine.run(names) == ["ann", "cid"]

    drive(main)


def test_a_connection_that_the_function_invalidates_is_replaced(drive: Drive, url: str) -> None:
    def invalidate(connection: sa.Connection) -> None:
        connection.execute(sa.select(1))
        connection.invalidate()

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            with pytest.raises(sa.exc.SQLAlchemyError):
                await engine.run(invalidate)
            assert await engine.run(names) == []

    drive(main)


def test_a_closed_engine_says_so(drive: Drive, url: str) -> None:
    async def main() -> None:
        engine = Engine.fromURL(url)
        await engine.run(metadata.create_all)
        await engine.close()
        with pytest.raises(PoolClosed):
            await engine.run(names)

    drive(main)


def test_terminated_backends_are_replaced_one_by_one(drive: Drive, database: Database) -> None:
    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=3) as engine:
            await engine.run(metadata.create_all)
            together = threading.Barrier(3)
            await gatherResults(
                [engine.run(lambda c: c.execute(sa.select(1)).all() and together.wait(30)) for _ in range(3)]
            )
            await deferToThread(database.terminateBackends)
            assert await gatherResults([engine.run(names) for _ in range(9)]) == [[]] * 9

            killed: list[int] = []

            def dies(connection: sa.Connection) -> None:
                (pid,) = connection.scalars(sa.text("SELECT pg_backend_pid()"))
                killed.append(pid)
                database.execute("SELECT pg_terminate_backend(%s)", (pid,))
                connection.execute(sa.select(1))

            before = set(database.backends())
            with pytest.raises(sa.exc.DBAPIError) as caught:
                await engine.run(dies)
            assert caught.value.connection_invalidated
            await deferToThread(wait_until, lambda: killed[0] not in database.backends(), "the backend is gone")
            assert before - set(killed) <= set(database.backends())  # the others live
            assert await gatherResults([engine.run(names) for _ in range(9)]) == [[]] * 9

    drive(main)


def test_a_connection_lost_at_commit_is_reported_as_not_known(drive: Drive, database: Database) -> None:
    def dies(connection: sa.Connection) -> None:
        add(connection, "ann")
        (pid,) = connection.scalars(sa.text("SELECT pg_backend_pid()"))
        database.execute("SELECT pg_terminate_backend(%s)", (pid,))

    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            with pytest.raises(CommitUnknown):
                await engine.run(dies)
            assert await engine.run(names) == []

    drive(main)


def test_a_failed_transaction_is_not_reported_as_committed(drive: Drive, database: Database) -> None:
    def careless(connection: sa.Connection) -> None:
        add(connection, "ann")
        try:
            connection.execute(sa.text("SELECT 1/0"))
        except sa.exc.DBAPIError:
            pass

    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            with pytest.raises(Exception, match="nothing can be committed"):
                await engine.run(careless)
            assert await engine.run(names) == []

    drive(main)


def test_isolation_and_autocommit_by_execution_option_end_with_the_call(drive: Drive, database: Database) -> None:
    def shown(connection: sa.Connection, level: str | None) -> Any:
        if level is not None:
            connection = connection.execution_options(isolation_level=level)
        if level == "AUTOCOMMIT":
            connection.execute(sa.text("VACUUM"))
        return connection.scalar(sa.text("SHOW transaction_isolation"))

    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=1) as engine:
            assert await engine.run(shown, "SERIALIZABLE") == "serializable"
            assert await engine.run(shown, None) == "read committed"
            assert await engine.run(shown, "AUTOCOMMIT") == "read committed"
            assert await engine.run(shown, None) == "read committed"
            await engine.pool.runOperation("VACUUM")  # still in autocommit

    drive(main)


def test_sqlite_takes_the_write_lock_at_the_beginning(drive: Drive, tmp_path: Path) -> None:
    def raise_by_one(connection: sa.Connection) -> None:
        before = connection.scalar(sa.text("SELECT x FROM t"))
        connection.execute(sa.text("UPDATE t SET x = :x"), {"x": before + 1})

    async def main() -> None:
        async with Engine.fromURL(f"sqlite:///{tmp_path}/x.db", timeout=30, cp_max=4) as engine:
            await engine.pool.runOperation("CREATE TABLE t (x INTEGER)")
            await engine.pool.runOperation("INSERT INTO t VALUES (0)")
            await gatherResults([engine.run(raise_by_one) for _ in range(40)])
            assert await engine.pool.runQuery("SELECT x FROM t") == [(40,)]

    drive(main)


def test_a_memory_database(drive: Drive) -> None:
    async def main() -> None:
        async with Engine.fromURL("sqlite://", cp_max=3) as engine:
            await engine.run(metadata.create_all)
            await gatherResults([engine.run(add, f"n{number}") for number in range(10)])
            assert len(await engine.run(names)) == 10

    drive(main)


def test_a_driver_without_a_dialect_is_refused() -> None:
    with pytest.raises(ValueError, match="SQLAlchemy knows no dialect for ScriptedDriver"):
        Engine(ConnectionPool(ScriptedDriver()))


# ------------------------------------------------------------------------------------------ commits by f, and checkouts


def _commit(connection: sa.Connection) -> None:
    _insert_and_fail(connection)
    connection.commit()


def _begin(connection: sa.Connection) -> None:
    with connection.begin():
        _insert_and_fail(connection)


def _session(connection: sa.Connection) -> None:
    with Session(connection) as session:
        _insert_and_fail(session)
        session.commit()


def _insert_and_fail(connection: Any) -> None:
    connection.execute(sa.insert(people), [{"name": "ann", "facts": {}}])
    try:
        connection.execute(sa.text("SELECT nonsense"))
    except sa.exc.DBAPIError:
        pass


@pytest.mark.parametrize("function", [_commit, _begin, _session])
def test_a_commit_of_the_functions_own_in_a_failed_transaction_fails(
    drive: Drive, database: Database, function: Any
) -> None:
    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            with pytest.raises(Exception, match="nothing can be committed"):
                await engine.run(function)
            assert await engine.run(names) == []

    drive(main)


@pytest.mark.parametrize("way", ["commit", "begin", "session"])
def test_a_connection_lost_in_a_commit_of_the_functions_own_is_reported_as_not_known(
    drive: Drive, database: Database, way: str
) -> None:
    def cut(connection: Any) -> None:
        (pid,) = connection.scalars(sa.text("SELECT pg_backend_pid()"))
        database.execute("SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: pid not in database.backends(), "the backend is gone")

    def function(connection: sa.Connection) -> None:
        if way == "commit":
            cut(connection)
            connection.commit()
        elif way == "begin":
            with connection.begin():
                cut(connection)
        else:
            with Session(connection) as session:
                cut(session)
                session.commit()

    async def main() -> None:
        async with Engine.fromURL(database.url, cp_max=1) as engine:
            with pytest.raises(CommitUnknown):
                await engine.run(function)
            assert await engine.run(lambda c: c.scalar(sa.select(1))) == 1

    drive(main)


def test_in_two_phases_a_call_is_refused_the_first_and_may_end_what_is_prepared() -> None:
    shared = Engine(ConnectionPool("sqlite3", ":memory:"))._shared
    current, call, phases = shared._current, Call(cast("Any", None), NOTHING, None, (), {}), list[str]()
    current.slot, current.call = Slot(), call
    shared._prepare_twophase = lambda *args: phases.append("prepare")
    shared._commit_twophase = lambda *args: phases.append("commit")
    shared._rollback_twophase = lambda *args: phases.append("rollback")
    dialect, connection = shared.engine.dialect, cast("Any", None)
    dialect.do_prepare_twophase(connection, "x")
    assert call.committing  # who cancels now must not be told that nothing happens
    call.state = JobState.ABANDONED
    dialect.do_commit_twophase(connection, "x")
    assert not call.committing
    dialect.do_rollback_twophase(connection, "x")
    with pytest.raises(Abandoned):
        dialect.do_prepare_twophase(connection, "x")
    assert not call.committing
    assert phases == ["prepare", "commit", "rollback"]


def test_a_connection_lost_in_the_second_phase_is_reported_as_not_known(drive: Drive, url: str) -> None:
    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            gone: Exception = (
                sqlite3.ProgrammingError("Cannot operate on a closed database.")
                if engine.dialect == "sqlite"
                else psycopg2.OperationalError("server closed the connection unexpectedly")
            )
            lost = sa.exc.OperationalError("COMMIT PREPARED", None, gone)
            refused = sa.exc.OperationalError("COMMIT PREPARED", None, Exception("refused"))
            for error, kind in ((lost, CommitUnknown), (refused, sa.exc.OperationalError)):

                def second_phase(*args: Any, error: sa.exc.DBAPIError = error) -> None:
                    assert engine._shared._current.call is not None
                    assert engine._shared._current.call.committing
                    raise error from error.orig

                engine._shared._commit_twophase = second_phase
                with pytest.raises(kind):
                    await engine.run(lambda c: c.engine.dialect.do_commit_twophase(c, "x"))

    drive(main)


@pytest.mark.parametrize(
    "second",
    [
        lambda c: c.engine.connect(),
        lambda c: metadata.create_all(c.engine),
        lambda c: Session(c.engine).execute(sa.select(1)),
    ],
)
def test_a_second_checkout_inside_a_function_is_refused(drive: Drive, url: str, second: Any) -> None:
    def function(connection: sa.Connection) -> None:
        add(connection, "outer")
        with pytest.raises(RuntimeError, match="use the connection you were given"):
            second(connection)
        raise LookupError

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            for _ in range(2):
                with pytest.raises(LookupError):
                    await engine.run(function)
            assert await engine.run(names) == []

    drive(main)


def test_types_of_plain_queries_do_not_depend_on_the_engine(drive: Drive, database: Database) -> None:
    query = "SELECT '7a2b0f00-0000-4000-8000-000000000000'::uuid"

    async def main() -> None:
        async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
            for engine in (Engine(pool), Engine(pool)):
                ((before,),) = await pool.runQuery(query)
                found = await engine.run(lambda c: c.scalar(sa.text(query)))
                ((after,),) = await pool.runQuery(query)
                assert (type(before), type(found).__name__, type(after)) == (str, "UUID", str)
                assert await engine.run(lambda c: sa.inspect(c).get_table_names()) == []

    drive(main)


def test_the_engines_of_a_pool_share_what_sqlalchemy_knows(drive: Drive, url: str) -> None:
    async def main() -> None:
        async with Engine.fromURL(url) as engine:
            assert Engine(engine.pool)._shared is engine._shared

    drive(main)


def test_iterators_over_results_are_refused(drive: Drive, url: str) -> None:
    def mapped(connection: sa.Connection) -> Any:
        return map(str, connection.scalars(sa.select(people.c.name)))

    def iterated(connection: sa.Connection) -> Any:
        return iter(connection.execute(sa.select(people)))

    async def main() -> None:
        async with Engine.fromURL(url, cp_max=1) as engine:
            await engine.run(metadata.create_all)
            for function in (mapped, iterated):
                with pytest.raises(TypeError, match="fetch inside"):
                    await engine.run(function)

    drive(main)
