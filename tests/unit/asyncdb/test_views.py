"""Views of a pool: their options. What calls through them do is in tests/integration/."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asyncdb import ConnectionPool, Engine, NotCheckedOut, PoolView
from asyncdb.options import CallOptions
from asyncdb.testing import ScriptedDriver


def test_a_view_has_the_options_given_and_inherits_the_others() -> None:
    pool = ConnectionPool("psycopg2", "dbname=x")
    reports = pool.using(timeout=60, readonly=True, priority="low", name="reports")
    assert isinstance(reports, PoolView)
    assert reports.pool is pool
    assert reports.options == CallOptions(timeout=60, readonly=True, priority="low", name="reports")
    exact = reports.using(isolation="repeatable read", timeout=math.inf)
    assert exact.options == CallOptions(
        timeout=math.inf, isolation="REPEATABLE READ", readonly=True, priority="low", name="reports"
    )
    assert exact.using(priority="normal", readonly=False).options.priority == "normal"
    assert reports.options.isolation is None  # a view never changes
    assert "readonly=True, priority='low', name='reports'" in repr(reports)
    assert "as it is" in repr(pool.using())


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"timeout": 0}, ValueError, "timeout must be more than 0"),
        ({"timeout": "1"}, TypeError, "timeout must be a number"),
        ({"isolation": "SNAPSHOT"}, ValueError, "READ UNCOMMITTED, READ COMMITTED"),
        ({"isolation": 3}, TypeError, "READ UNCOMMITTED, READ COMMITTED"),
        ({"readonly": "yes"}, TypeError, "readonly must be True, False"),
        ({"priority": "urgent"}, ValueError, "high, normal, low"),
        ({"name": ""}, TypeError, "name must be a string"),
    ],
)
def test_wrong_options_are_refused_at_once(options: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        ConnectionPool("psycopg2", "dbname=x").using(**options)


def test_what_the_driver_does_not_have_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="leave isolation out"):
        ConnectionPool("sqlite3", ":memory:").using(isolation="READ COMMITTED")
    pool = ConnectionPool(ScriptedDriver())
    with pytest.raises(ValueError, match="cp_openfun"):
        pool.using(readonly=True)
    with pytest.raises(ValueError, match="cp_openfun"):
        pool.using(timeout=1).using(isolation="SERIALIZABLE")


def test_readonly_may_be_written_as_a_number() -> None:
    assert CallOptions(readonly=1).readonly is True  # type: ignore[arg-type]
    assert CallOptions(readonly=0).readonly is False  # type: ignore[arg-type]


def test_functions_that_could_not_run_are_refused_through_a_view_too() -> None:
    view = ConnectionPool(ScriptedDriver()).using(timeout=1)

    async def coroutine(transaction: Any) -> None: ...

    for method in (view.runInteraction, view.runWithConnection):
        with pytest.raises(TypeError, match="Pass a plain function"):
            method(coroutine)
    with pytest.raises(NotCheckedOut):
        view.disconnect(None)  # type: ignore[arg-type]


def test_an_engine_has_views_too() -> None:
    engine = Engine(ConnectionPool("sqlite3", ":memory:"))
    reader = engine.using(readonly=True).using(priority="low")
    assert isinstance(reader, Engine)
    assert reader.pool is engine.pool
    assert reader._shared is engine._shared
    assert "readonly=True, priority='low'" in repr(reader)
    assert Engine(engine.pool.using(timeout=1)).pool is engine.pool
