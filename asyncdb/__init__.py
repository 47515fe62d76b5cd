"""Asynchronous access to any DB-API driver, in the manner of Twisted's adbapi.

- `asyncdb.adbapi`: `ConnectionPool`, with what it hands to functions, `Connection` and `Transaction`.
- `asyncdb.engine`: `Engine`, SQLAlchemy's Core and ORM on the same pool.
- `asyncdb.errors`: what can go wrong in the pool; these and the two classes above can be imported from here too.
- `asyncdb.options`: what the ``cp_`` options mean.
- `asyncdb.stats`: what `ConnectionPool.stats` gives.
- `asyncdb.testing`: for tests: a scripted driver, virtual time, a throw-away PostgreSQL, a network that fails.

It runs on netcore's reactor or inside an asyncio program.
"""

from asyncdb.adbapi import ConnectionPool, PoolView
from asyncdb.engine import Engine
from asyncdb.errors import (
    AsyncdbError,
    CommitUnknown,
    ConnectArgumentsFailed,
    ConnectionLost,
    DeadlineExceeded,
    MissingDriver,
    NotCheckedOut,
    PoolClosed,
    PoolOverloaded,
    WrongThread,
)

__all__ = [
    "AsyncdbError",
    "CommitUnknown",
    "ConnectArgumentsFailed",
    "ConnectionLost",
    "ConnectionPool",
    "DeadlineExceeded",
    "Engine",
    "MissingDriver",
    "NotCheckedOut",
    "PoolClosed",
    "PoolOverloaded",
    "PoolView",
    "WrongThread",
]
