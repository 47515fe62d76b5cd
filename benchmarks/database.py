"""The PostgreSQL that is asked: found or started as for the tests (CONTRIBUTING.md); the table has its own schema."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2.errors
from psycopg2 import sql
from psycopg2.extras import execute_values

from asyncdb.testing.postgres import Address, Postgres, Unavailable, openServer
from benchmarks.people import CREATE, people

__all__ = ["Unavailable", "openServer", "server", "table"]

SPARE = 20  # connections: those that the server keeps for its administrator, and ours


@contextmanager
def server(connections: int) -> Iterator[Postgres]:
    """A PostgreSQL that takes so many connections. One that is not ours takes as many as it does.

    Raises: Unavailable.
    """
    wanted = connections + SPARE
    with closing(openServer()) as found:
        if found.ours and int(found.execute("SHOW max_connections")[0][0]) < wanted:
            found.execute("ALTER SYSTEM SET max_connections = %s", (wanted,))
            found.restart()
        yield found


@contextmanager
def table(server: Postgres) -> Iterator[dict[str, str]]:
    """Make the table in a new schema of *server*; the schema is dropped afterwards.

    Raises: Unavailable: its user may not.
    Returns: parameters (libpq's) with which the schema is first on the search path.
    """
    schema = f"netcore_bench_{secrets.token_hex(4)}"
    name = sql.Identifier(schema)
    options = f"{server.connectArgs.get('options', '')} -c search_path={schema}".strip()
    parameters = {**server.connectArgs, "options": options}
    try:
        server.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    except psycopg2.errors.InsufficientPrivilege as error:
        raise Unavailable(f"the user of this server needs the right to create a schema: {error}") from error
    try:
        _fill(Address(parameters))
        yield parameters
    finally:
        server.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))


def _fill(address: Address) -> None:
    rows = list(people())
    with closing(address.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(CREATE)
        execute_values(cursor, "INSERT INTO users (name, full_name, plan) VALUES %s", rows, page_size=1000)
        cursor.execute("VACUUM ANALYZE users")  # nothing is left to be tidied up or counted while it is read
