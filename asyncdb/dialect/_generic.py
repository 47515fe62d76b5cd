"""What the pool has to know of a driver, and the answers for a DB-API module that nobody has told us about.

The facts come from SQLAlchemy's dialects wherever a dialect knows them: which error means a lost connection, how to
ping, how a URL becomes connect arguments. What is here besides is what no dialect says: how to begin a transaction
without the driver's implicit one, which descriptor to watch, how to cut a connection a thread is blocked in.

Invariants: a driver object holds no connection of the pool's; all that is said of one is asked of the connection
itself. Unless a docstring says otherwise, methods block and are called in worker threads.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, cast

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import Dialect

from asyncdb.options import Options

__all__ = ["Driver", "watch"]

# A connection used within this time is not pinged before it is used again (HikariCP's aliveBypassWindow).
REST = 0.5


class Driver:
    """A DB-API module. This class assumes only what PEP 249 promises: connections with implicit transactions.

    Args:
        dbapi: the module, or an object that has what such a module has.
        dialect: SQLAlchemy's for it; None: a generic one.
    Attributes: *args* and *kwargs*, what ``dbapi.connect`` is called with; *dialect_name* as SQLAlchemy registers it,
        None for the generic one.
    """

    rest = REST
    """Seconds at rest after which a connection is pinged before use."""
    closes_anywhere = False
    """Whether a connection may be closed while another thread is inside a call on it."""
    by_hand = False
    """Whether transactions are begun here, because the driver would not begin them where it should; an open cursor then
    keeps its locks when the transaction has ended."""

    quick = 50e-6
    """The seconds for each call, over all threads, below which threads get in each other's way ..."""
    enough = 2
    """... and how many at work are then all there should be. Measured: `asyncdb._core._crowd`."""

    def __init__(self, dbapi: ModuleType | Any, dialect: Dialect | None = None) -> None:
        self.dbapi: Any = dbapi
        self.dialect: Dialect = dialect if dialect is not None else DefaultDialect(dbapi=self.dbapi)
        self.dialect_name: str | None = None if dialect is None else f"{dialect.name}.{dialect.driver}"
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self._distrusts_errors = dialect is None
        self.error: type[Exception] = getattr(dbapi, "Error", Exception)
        self.secrets: tuple[str, ...] = ()  # what must not be logged, even if the driver's errors repeat it
        # The errors that connecting may end in because of the network or the server, rather than the program.
        self.unreachable: tuple[type[BaseException], ...] = (
            *(getattr(dbapi, name) for name in ("OperationalError", "InterfaceError") if hasattr(dbapi, name)),
            OSError,
        )

    # Making and ending connections

    def set_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options) -> None:
        """Take the arguments for ``dbapi.connect``, and check and complete them. Does not block.

        Raises: ValueError: an argument that cannot work in a pool; says what to write instead.
        """
        self.args, self.kwargs = args, dict(kwargs)
        self.secrets = tuple(str(kwargs[name]) for name in ("password", "passwd", "dsn") if kwargs.get(name))
        if options.good_sql is not None:
            self.rest = min(self.rest, REST)

    def connect(self) -> Any:
        """A new connection."""
        return self.dbapi.connect(*self.args, **self.kwargs)

    def is_retryable(self, error: BaseException) -> bool:
        """Whether trying again may help after connecting ended in *error*."""
        return isinstance(error, self.unreachable)

    def redact(self, error: BaseException) -> str:
        """The first line of *error*, for logs and messages, without passwords and DSNs."""
        text = str(error).strip().partition("\n")[0]
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return f"{type(error).__name__}: {text}"

    def prepare(self, connection: Any) -> None:
        """Make a new connection fit for the pool; ``cp_openfun`` has seen it, and is committed."""

    def close(self, connection: Any) -> None:
        """Close *connection*. What that raises does not matter: it is on its way out."""
        try:
            connection.close()
        except Exception:  # lost connections raise here, each driver its own
            pass

    def dispose(self) -> None:
        """The pool has closed: give back what `connect` has kept."""

    # Transactions

    def may_autocommit(self, connection: Any) -> bool:
        """Whether one statement in autocommit means the same as in a transaction of its own."""
        return False

    def autocommit(self, connection: Any) -> None:
        """Let statements commit by themselves; called only where `may_autocommit`, outside a transaction."""
        raise NotImplementedError

    def begin(self, connection: Any) -> None:
        """Begin a transaction."""

    def go_on(self, connection: Any) -> None:
        """The user's function committed or rolled back: begin the transaction for what it does next."""

    def check_commit(self, connection: Any) -> None:
        """Raises: the driver's error if COMMIT would seem to succeed and commit nothing."""

    def commit(self, connection: Any) -> None:
        """End the transaction. Raises: the driver's error if nothing was committed."""
        connection.commit()

    def rollback(self, connection: Any) -> None:
        """Undo the transaction."""
        connection.rollback()

    def in_transaction(self, connection: Any) -> bool:
        """Whether one is open. True where the driver cannot say: a rollback too many does no harm."""
        return True

    def left_open(self, connection: Any) -> bool:
        """The same after a call that ended well. False where the driver cannot say: it has just committed."""
        return False

    def lend(self, connection: Any) -> None:
        """Give *connection* the driver's usual ways, for a caller that checks it out."""

    def session(self, connection: Any) -> object:
        """What a user's function may have set for the session, to be given back to `restore`."""
        return None

    def restore(self, connection: Any, session: Any) -> None:
        """Set back what a user's function changed; outside a transaction."""

    def types(self, connection: Any) -> dict[Any, Any] | None:
        """The types registered on *connection* alone; None where a driver has no such thing."""
        return None

    def set_types(self, connection: Any, types: Mapping[Any, Any] | None) -> None:
        """Register *types*, and no others, on *connection*."""

    # Health

    def ping(self, connection: Any, sql: str | None) -> None:
        """Have the database answer, with *sql* or in the driver's own way.

        Raises: what the driver raises if it does not answer.
        """
        if sql is None:
            self.dialect.do_ping(connection)
        else:
            cursor = connection.cursor()
            try:
                cursor.execute(sql)
            finally:
                cursor.close()
        if self.in_transaction(connection):
            self.rollback(connection)

    def is_disconnect(self, error: BaseException, connection: Any) -> bool:
        """Whether *error*, raised by a call on *connection*, means that the connection is lost."""
        if getattr(connection, "closed", False):
            return True
        if not isinstance(error, self.error):
            return False
        return self.dialect.is_disconnect(cast("Any", error), connection, None)

    can_interrupt = False
    interrupt_again = 0.1

    def interrupt(self, connection: Any) -> None:
        raise NotImplementedError

    def prove(self, connection: Any) -> None:
        if self.in_transaction(connection):
            self.rollback(connection)
        self.ping(connection, None)

    def eviction(self, error: BaseException, connection: Any, options: Any) -> str | None:
        return "lost" if self.is_disconnect(error, connection) else None

    def is_doubtful(self, error: BaseException) -> bool:
        """Whether *error* may mean that the connection is lost, with a driver nobody has told us about."""
        return self._distrusts_errors and isinstance(error, self.unreachable)

    def look(self, connection: Any) -> Callable[[], object] | None:
        """A function that tells, without blocking, whether the server has said something unasked; None if it cannot."""
        descriptor = _descriptor(connection)
        return None if descriptor is None else watch(descriptor)

    def cut(self, connection: Any) -> None:
        """Make a thread that is blocked in a call on *connection* come back with an error. The connection is then lost.

        Threading: the reactor's; does not block. Where a driver has nothing to cut by, nothing happens.
        """
        descriptor = _descriptor(connection)
        if descriptor is not None:
            shut_down(descriptor)

    def explain(self, error: BaseException) -> None:
        """Add a note to *error*, raised by a statement in autocommit, if that was the reason."""


def watch(descriptor: int) -> Callable[[], object]:
    """A function that tells whether *descriptor* can be read, or is at its end, now. 0.8 µs with poll(2)."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([descriptor], [], [], 0)[0]  # Windows


def shut_down(descriptor: int) -> None:
    """Shut the socket down, both ways: whoever is blocked in reading it gets an end of file."""
    try:
        sock = socket.socket(fileno=socket.dup(descriptor))
    except OSError:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other side was faster
    finally:
        sock.close()


def _descriptor(connection: Any) -> int | None:
    try:
        descriptor = connection.fileno()
    except Exception:  # no such method, or the driver's error for a closed connection
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None
