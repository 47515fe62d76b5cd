"""The fixtures, as a project sees it that has nothing of this one's but the package."""

from __future__ import annotations

import importlib
import sys

import pytest

from asyncdb.errors import MissingDriver
from asyncdb.testing import fixtures
from asyncdb.testing.postgres import Postgres, Unavailable

CONFTEST = 'pytest_plugins = ["asyncdb.testing.fixtures"]'


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    monkeypatch.delenv("ASYNCDB_TEST_POSTGRES", raising=False)
    return pytester


def test_each_test_has_a_place_of_its_own(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    monkeypatch.setenv("ASYNCDB_TEST_DSN", postgres.dsn)
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def database_of_mine(database):
            database.execute("CREATE TABLE people (login text)")
            return database

        @pytest.mark.parametrize("login", ["ann", "ben"])
        def test_it(database_of_mine, login, postgres):
            assert not postgres.ours
            database_of_mine.execute("INSERT INTO people VALUES (%s)", (login,))
            assert database_of_mine.execute("SELECT login FROM people") == [(login,)]
        """
    )
    result = project.runpytest_subprocess()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"PostgreSQL {postgres.version}, from ASYNCDB_TEST_DSN*"])
    left = postgres.execute("SELECT 1 FROM information_schema.tables WHERE table_name = 'people'")
    assert left == []


def test_that_there_is_no_server_fails_the_tests_that_ask() -> None:
    def unavailable() -> Postgres:
        raise Unavailable("none here, and this is what you can do")

    with pytest.raises(pytest.fail.Exception, match="this is what you can do"):
        fixtures._opened(unavailable)


def test_without_psycopg2_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    monkeypatch.delitem(sys.modules, "asyncdb.testing.postgres")
    with pytest.raises(MissingDriver, match=r"pip install 'netcore-asyncdb\[testing\]'"):
        importlib.import_module("asyncdb.testing.postgres")
