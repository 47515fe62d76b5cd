"""`Address`: one place to connect to."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn

__all__ = ["Address"]


class Address:
    """One place to connect to, in the forms that drivers and libraries want.

    Args:
        parameters: libpq's.
    Attributes: *connectArgs*, keyword arguments of ``psycopg2.connect``.
    Threading: everything blocks, in any thread.
    """

    def __init__(self, parameters: dict[str, str]) -> None:
        self.connectArgs = dict(parameters)

    @property
    def dsn(self) -> str:
        """libpq's keywords and values."""
        dsn: str = make_dsn(**self.connectArgs)
        return dsn

    @property
    def url(self) -> str:
        """postgresql://user:password@host:port/database?..."""
        rest = dict(self.connectArgs)
        user, password = quote(rest.pop("user", ""), safe=""), quote(rest.pop("password", ""), safe="")
        host, port, name = rest.pop("host", ""), rest.pop("port", ""), quote(rest.pop("dbname", ""), safe="")
        if host.startswith("/"):  # the folder of a socket
            rest["host"], host = host, ""
        credentials = f"{user}:{password}@" if password else f"{user}@" if user else ""
        query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
        return f"postgresql://{credentials}{host}{f':{port}' if port else ''}/{name}{query}"

    @property
    def server(self) -> tuple[str, int | None]:
        """Where it listens, as `asyncdb.testing.FaultyProxy` takes it: host and port, or a UNIX socket and None."""
        host, port = self.connectArgs.get("host", "localhost"), self.connectArgs.get("port", "5432")
        return (f"{host}/.s.PGSQL.{port}", None) if host.startswith("/") else (host, int(port))

    def through(self, host: str, port: int) -> Address:
        """The same place by way of another address, that of a proxy."""
        return Address({**self.connectArgs, "host": host, "port": str(port)})

    def connect(self) -> Connection:
        """A connection of the test's own, in autocommit. The test closes it.

        Raises: psycopg2.OperationalError: nobody answers there.
        """
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        return connection

    def execute(self, statement: str | sql.Composable, parameters: object = None) -> list[tuple[Any, ...]]:
        """Run one statement on a connection that is opened and closed for it, and return its rows if it has any.

        Raises: what psycopg2 raises.
        """
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)  # type: ignore[arg-type]  # the stubs know no plain object
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()
