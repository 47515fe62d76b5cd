"""The PostgreSQL that is asked: found or started as for the tests (CONTRIBUTING.md); the table has its own schema."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import make_dsn
from psycopg2.extras import execute_values

from asyncdb.testing.postgres import Unavailable, openServer
from benchmarks.people import CREATE, people

__all__ = ["Unavailable", "openServer", "table"]


@contextmanager
def table(parameters: dict[str, str]) -> Iterator[dict[str, str]]:
    """Make the table in a new schema of the server at *parameters* (libpq's); the schema is dropped afterwards.

    Raises: Unavailable: its user may not.
    Returns: parameters with which the schema is first on the search path.
    """
    schema = f"netcore_bench_{secrets.token_hex(4)}"
    options = f"{parameters.get('options', '')} -c search_path={schema}".strip()
    with closing(psycopg2.connect(make_dsn(**parameters))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            try:
                cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            except psycopg2.errors.InsufficientPrivilege as error:
                raise Unavailable(f"the user of this server needs the right to create a schema: {error}") from error
            try:
                _fill({**parameters, "options": options})
                yield {**parameters, "options": options}
            finally:
                cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def _fill(parameters: dict[str, str]) -> None:
    with closing(psycopg2.connect(make_dsn(**parameters))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(CREATE)
            execute_values(cursor, "INSERT INTO users VALUES %s", list(people()), page_size=1000)
            cursor.execute("VACUUM ANALYZE users")  # nothing is left to be tidied up or counted while it is read
