"""What can go wrong in the pool itself, each as a class of its own: who caused it, what to do, whether a retry is safe.

What the database says (a syntax error, a violated constraint, a serialization failure) is none of these: it reaches the
caller as the driver's own exception. "A retry is safe" below means: nothing of the failed call has reached the
database, so that calling again cannot do it twice.
"""

from __future__ import annotations

__all__ = [
    "AsyncdbError",
    "CommitUnknown",
    "ConnectArgumentsFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "MissingDriver",
    "NotCheckedOut",
    "PoolClosed",
    "PoolOverloaded",
    "WrongThread",
]


class AsyncdbError(Exception):
    """Base of everything asyncdb itself raises."""


class PoolOverloaded(AsyncdbError):
    """``cp_max_waiting`` calls wait already. Cause: more load than the database takes.

    Do: shed load, or slow down whoever makes it. A retry is safe, later.
    """


class PoolClosed(AsyncdbError):
    """The pool is closed, or was closed before the call could end. Cause: the program itself.

    Do: nothing, or find out who still calls. A retry is safe for a call that was still queued (the message says so).
    One that was cut off while it ran may have taken effect.
    """


class DeadlineExceeded(AsyncdbError, TimeoutError):
    """A call did not get a connection within ``cp_wait_timeout``, or did not end within its ``cp_timeout``.

    The message says which, and how the pool's connections were occupied; where connecting failed, the last error of it
    is the ``__cause__``. A retry is safe if the call was still waiting (the message says that nothing was sent). What
    ran was interrupted: a transaction is not committed, a statement in autocommit may have taken effect.
    """


class CommitUnknown(AsyncdbError):
    """The transaction may have been committed, or not. Cause: during COMMIT the connection was lost, or the caller
    cancelled, or the time was over; or before one that several calls share, on SQLite; or that one failed.

    Do: look in the database for what the transaction would have written. A retry is not safe without that. Where the
    connection was lost, the driver's error is the ``__cause__``.
    """


class ConnectionLost(AsyncdbError):
    """adbapi's name, for programs that have ``except adbapi.ConnectionLost``. Nothing raises it.

    adbapi raises it, with ``cp_reconnect``, where a dead connection shows only when a call was sent on it. Here such a
    connection is replaced before; one lost in the middle of a call fails it with the driver's own error, and one lost
    during COMMIT with `CommitUnknown`, which is no ConnectionLost because trying again is not safe then.
    """


class ConnectArgumentsFailed(AsyncdbError):
    """The function given as ``cp_connargs`` raised; its error is the ``__cause__``. Cause: wherever it asks.

    Counts as a failure to connect, which is tried again while calls wait: those see it as the cause of their
    `DeadlineExceeded`. A retry is safe.
    """


class MissingDriver(AsyncdbError, ImportError):
    """The DB-API module is not installed. The message says what to install."""


class NotCheckedOut(AsyncdbError, ValueError):
    """``disconnect()`` was given what this pool's ``connect()`` did not hand out, or what was given back before.

    Cause: the program. Nothing was changed.
    """


class WrongThread(AsyncdbError, RuntimeError):
    """The pool was used in another thread than its reactor's. Cause: the program. Nothing was done; a retry is safe.

    Do: call it through ``reactor.callFromThread`` or ``netcore.threads.blockingCallFromThread``.
    """
