"""Driver facts: which DB-API module a name or URL means, and what the pool has to know of it.

`load` takes a module's name, or the module; `from_url` takes SQLAlchemy's URLs. psycopg2 and sqlite3 are known well;
for other modules with a dialect in SQLAlchemy its facts are used and transactions are left to PEP 249's ways; for any
other module `Driver` assumes as little as possible.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import ArgumentError

from asyncdb.dialect._generic import PLAIN, Driver, causes
from asyncdb.dialect._psycopg2 import Psycopg2Driver
from asyncdb.dialect._sqlite import SqliteDriver
from asyncdb.errors import MissingDriver

__all__ = ["PLAIN", "Driver", "causes", "from_url", "load"]

# DB-API modules and SQLAlchemy's dialects for them.
_DIALECTS = {
    "MySQLdb": "mysql.mysqldb",
    "mariadb": "mariadb.mariadbconnector",
    "mysql.connector": "mysql.mysqlconnector",
    "oracledb": "oracle.oracledb",
    "pg8000": "postgresql.pg8000",
    "psycopg": "postgresql.psycopg",
    "psycopg2": "postgresql.psycopg2",
    "pymssql": "mssql.pymssql",
    "pymysql": "mysql.pymysql",
    "pysqlite3": "sqlite.pysqlite",
    "pysqlite3.dbapi2": "sqlite.pysqlite",
    "sqlite3": "sqlite.pysqlite",
    "sqlite3.dbapi2": "sqlite.pysqlite",
}
_DRIVERS: dict[str, Callable[[Any, Dialect], Driver]] = {
    "postgresql.psycopg2": Psycopg2Driver,
    "sqlite.pysqlite": SqliteDriver,
}
# What a URL that names no driver means. SQLAlchemy's own choice for the first is psycopg 3, from 2.1 on.
_URL_DRIVERS = {"postgresql": "psycopg2", "postgres": "psycopg2", "mysql": "pymysql", "sqlite": "pysqlite"}
_OWN = "__asyncdb_driver__"
_INSTALL = {"psycopg2": "netcore-asyncdb[postgres]"}


def load(name: str, dbapi: Any = None) -> Driver:
    """The facts about the DB-API module *name*, which is imported unless it is given.

    A module, or an object in the place of one, may bring its own: ``__asyncdb_driver__``, called with the module,
    returns a `Driver`.

    Raises: MissingDriver: it is not installed; says what to install.
    """
    if dbapi is None:
        dbapi = _import(name)
    own: Callable[[Any], Driver] | None = getattr(dbapi, _OWN, None)
    if own is not None:
        return own(dbapi)
    dialect_name = _DIALECTS.get(name)
    if dialect_name is None:
        return Driver(dbapi)
    dialect: Dialect = registry.load(dialect_name)(dbapi=dbapi)
    return _DRIVERS.get(dialect_name, Driver)(dbapi, dialect)


def from_url(text: str | URL) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """The DB-API module that a URL means, and the arguments for its ``connect``.

    Raises: MissingDriver: the module is not installed. ValueError: no such kind of URL.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # whose messages repeat parts of the text, of the password too
        raise ValueError(
            "not a database URL: it has the form kind://user:password@host:port/name, with / @ : and % in user and "
            "password written as %2F %40 %3A %25"
        ) from None
    kind, _, driver = url.drivername.partition("+")
    driver = driver or _URL_DRIVERS.get(kind, "")
    kind = "postgresql" if kind == "postgres" else kind
    name = next((name for name, dialect in _DIALECTS.items() if dialect == f"{kind}.{driver}"), None)
    if name is None:
        known = ", ".join(sorted(f"{kind}://" for kind in _URL_DRIVERS if kind != "postgres"))
        raise ValueError(f"no DB-API driver is known for {url.drivername}:// URLs (known: {known})")
    if driver == "pysqlite":
        name = "sqlite3"
    dialect: Dialect = registry.load(f"{kind}.{driver}")(dbapi=_import(name))
    args, kwargs = dialect.create_connect_args(url)
    if driver == "pysqlite" and "check_same_thread" not in url.query:
        kwargs.pop("check_same_thread", None)  # the dialect's wish for its own pools, not the user's
    return name, tuple(args), dict(kwargs)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # it is there, but something it needs is not
        install = _INSTALL.get(name, name.partition(".")[0])
        raise MissingDriver(
            f"the database driver {name} is not installed: pip install '{install}'", name=error.name
        ) from None
