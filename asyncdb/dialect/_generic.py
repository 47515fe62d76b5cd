"""What the pool has to know of a driver, and the answers for a DB-API module that nobody has told us about.

The facts come from SQLAlchemy's dialects wherever a dialect knows them: which error means a lost connection, how to
ping, how a URL becomes connect arguments. What is here besides is what no dialect says: how to begin a transaction
without the driver's implicit one, which descriptor to watch, how to cut a connection a thread is blocked in.

Invariants: a driver object holds no connection of the pool's; all that is said of one is asked of the connection
itself. Unless a docstring says otherwise, methods block and are called in worker threads.
"""

from __future__ import annotations

import inspect
import math
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from types import ModuleType
from typing import Any, cast

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import Dialect

from asyncdb.dialect._turns import Turns
from asyncdb.errors import ConnectArgumentsFailed
from asyncdb.options import CallOptions, Options

__all__ = ["PLAIN", "Driver", "as_text", "causes", "watch"]

PLAIN = CallOptions()
"""The options of a call for which nobody has set any."""

# How often one after another a late interrupt may hit what `Driver.prove` does. It has ended when that is called: of
# the driver's making there can be one, of other people's (pg_cancel_backend, statement_timeout) any number.
PROOFS = 4
_SECRET = ("password", "passwd", "dsn")
# How far the causes of an error are followed.
DEPTH = 8
# The passwords of so many attempts to connect are remembered, to be taken out of messages.
REMEMBERED = 8


class Driver:
    """A DB-API module. This class assumes only what PEP 249 promises: connections with implicit transactions.

    Args:
        dbapi: the module, or an object that has what such a module has.
        dialect: SQLAlchemy's for it; None: a generic one.
    Attributes: *args* and *kwargs*, what ``dbapi.connect`` is called with; *dialect_name* as SQLAlchemy registers it,
        None for the generic one.
    """

    rest = 0.5
    """Seconds at rest after which a connection is pinged before use: ``cp_check_after``."""
    can_interrupt = False
    """Whether `interrupt` ends a statement that runs. Where it does not, only cutting the connection does."""
    interrupt_again = 0.1
    """Seconds after which an interrupt is repeated while the statement has not ended: one that comes before the
    database has begun it is lost."""
    turns: Turns | None = None
    """Which connection's turn it is to write, where only one can. `begin` and `go_on` give it on where they take no
    lock."""

    def writes(self, statement: object) -> bool:
        """Whether one *statement* in autocommit needs a turn. Only asked where there are any."""
        return True

    busy_timeout = 0.0
    """Seconds that may be waited for a lock in all, where `is_busy` says that only a part of them was waited ..."""
    busy_slice = 0.0
    """... and how long that part is."""
    closes_anywhere = False
    """Whether a connection may be closed while another thread is inside a call on it."""
    by_hand = False
    """Whether transactions are begun here, because the driver would not begin them where it should; an open cursor then
    keeps its locks when the transaction has ended."""

    quick: float | None = None
    """Of a database in this process: the seconds for each call, over all threads, below which two threads at work are
    slower than one. None: it is in another."""

    def __init__(self, dbapi: ModuleType | Any, dialect: Dialect | None = None) -> None:
        self.dbapi: Any = dbapi
        self.dialect: Dialect = dialect if dialect is not None else DefaultDialect(dbapi=self.dbapi)
        self.dialect_name: str | None = None if dialect is None else f"{dialect.name}.{dialect.driver}"
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self._connargs: Callable[[], Mapping[str, Any]] | None = None
        self._given: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self._distrusts_errors = dialect is None
        self.error: type[Exception] = getattr(dbapi, "Error", Exception)
        self.secrets: tuple[str, ...] = ()  # what must not be logged, even if the driver's errors repeat it
        self._recent: deque[tuple[str, ...]] = deque(maxlen=REMEMBERED)  # the same of what ``cp_connargs`` gave
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
        self.rest = math.inf if options.check_after is None else options.check_after
        self._given = args, dict(kwargs)
        self._connargs = options.connargs
        self.args, self.kwargs, self.secrets = self._complete(args, self._given[1])

    def _complete(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], tuple[str, ...]]:
        """The arguments for one connection, checked and completed, and what of them must not be logged."""
        return args, dict(kwargs), tuple(as_text(kwargs[name]) for name in _SECRET if kwargs.get(name))

    def connect(self) -> Any:
        """A new connection.

        Raises: ConnectArgumentsFailed: ``cp_connargs`` raised. TypeError: it returned no mapping. ValueError: one that
            cannot work. And whatever the driver raises.
        """
        if self._connargs is None:
            return self._open(self.args, self.kwargs)
        args, kwargs, secrets = self._complete(self._given[0], {**self._given[1], **self._renew(self._connargs)})
        if secrets not in self._recent:
            self._recent.append(secrets)
        return self._open(args, kwargs)

    def _open(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return self.dbapi.connect(*args, **kwargs)

    def _renew(self, connargs: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        try:
            renewed: object = connargs()
        except Exception as error:
            raise ConnectArgumentsFailed(f"cp_connargs raised {type(error).__name__}") from error
        if inspect.iscoroutine(renewed):
            renewed.close()  # else Python warns, some time later, that it was never awaited
        if not isinstance(renewed, Mapping):
            raise TypeError(
                f"cp_connargs must return a mapping of keyword arguments for connect, not a {type(renewed).__name__}"
            )
        for name in renewed:
            if not isinstance(name, str) or name.startswith("cp_"):
                raise TypeError(f"cp_connargs must return keyword arguments for the driver's connect, not {name!r}")
        return renewed

    def is_retryable(self, error: BaseException) -> bool:
        """Whether trying again may help after connecting ended in *error*."""
        return isinstance(error, (*self.unreachable, ConnectArgumentsFailed))

    def redact(self, error: BaseException) -> str:
        """The first line of *error*, for logs and messages, without passwords and DSNs."""
        try:
            text = str(error).strip().partition("\n")[0]
        except Exception:  # it may be any, from cp_openfun
            return type(error).__name__
        for secret in (*self.secrets, *(secret for recent in tuple(self._recent) for secret in recent)):
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

    def check_call_options(self, options: CallOptions) -> None:
        """Raises: ValueError: transactions of this driver cannot have what *options* ask for. Threading: any."""
        for name in ("isolation", "readonly"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"{name} is not known to work with {getattr(self.dbapi, '__name__', 'this driver')}: set it by "
                    "SQL, in the function that you give to runInteraction, or for all connections in cp_openfun"
                )

    def begin(self, connection: Any, options: CallOptions = PLAIN) -> None:
        """Begin a transaction with the characteristics that *options* ask for. `restore` takes them off again."""

    def may_share(self, statement: str) -> bool:
        """Whether *statement*, which needs a turn, comes to the same beside those of other calls in a transaction."""
        return False

    def begin_shared(self, connection: Any) -> bool:
        """Begin a transaction for such statements. It has the lock that they need.

        Returns: False: none was begun, as it could make a difference on *connection*, or cannot be had at once.
        """
        return False

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

    def status(self, connection: Any) -> Callable[[], object]:
        """What `left_open` says of *connection*, as a function that is called after each of its calls."""
        return partial(self.left_open, connection)

    def keeps(self, connection: Any, cursor: Any) -> bool:
        """Whether *cursor*, after a statement that has given all of its rows, is as good for the next as a new one."""
        return False

    def is_busy(self, error: BaseException) -> bool:
        """Whether *error* means that a lock was not to be had within `busy_slice`, that nothing else is wrong, and that
        nothing was done: it may be tried again."""
        return False

    def begin_again(self, connection: Any, statement: object) -> bool:
        """*statement*, in autocommit, failed as `is_busy` says: begin a transaction to repeat it in.

        Returns: False: it cannot be in one, and none was begun.
        """
        return False

    def wait_long(self, connection: Any) -> None:
        """Have the driver wait for locks for all of `busy_timeout`, until `restore`: user's statements come."""

    def lend(self, connection: Any, options: CallOptions = PLAIN) -> None:
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
        try:
            return self.dialect.is_disconnect(cast("Any", error), connection, None)
        except Exception:  # some read args[0] of an error that somebody raised without any: nothing is known then
            return True

    def is_unknown(self, error: BaseException, connection: Any) -> bool:
        """Whether *error*, raised by COMMIT, leaves open whether anything was committed."""
        return self.is_disconnect(error, connection) or self.is_doubtful(error)

    def eviction(self, error: BaseException, connection: Any) -> str | None:
        """Why *connection* must not be used again after a call on it ended in *error*. None: it may.

        Returns: "lost"; "shutdown": the server ends, or ends the session; "readonly": it takes no writes any more,
            though nobody has asked for that.
        """
        return "lost" if any(self.is_disconnect(cause, connection) for cause in causes(error)) else None

    def is_doubtful(self, error: BaseException) -> bool:
        """Whether *error* may mean that the connection is lost, with a driver nobody has told us about."""
        return self._distrusts_errors and isinstance(error, self.unreachable)

    def look(self, connection: Any) -> Callable[[], object] | None:
        """A function that tells, without blocking, whether the server has said something unasked; None if it cannot."""
        descriptor = _descriptor(connection)
        return None if descriptor is None else watch(descriptor)

    def is_near(self, connection: Any) -> bool:
        """Whether the server is on this machine, and needs its processors. False where that cannot be seen."""
        descriptor = _descriptor(connection)
        return descriptor is not None and is_near(descriptor)

    def interrupt(self, connection: Any) -> None:
        """Have the database end the statement that runs on *connection*, if one runs. Its thread then gets an error.

        A failure to do so is silent: whoever calls this sees whether the statement ends, and calls again.

        Threading: any thread but the reactor's, and not two at once for one connection. It may block for as long as
            the network does, and must not run any more when *connection* is proven or closed.
        """

    def is_interruption(self, error: BaseException) -> bool:
        """Whether *error* is what a statement that was interrupted ends in."""
        return False

    def prove(self, connection: Any) -> None:
        """After an interrupt: undo what is open, and have the database answer, so that no interrupt can hit the next.

        An interrupt that came late may hit this, and is then spent. Session settings are left to `restore`.

        Raises: what the driver raises where *connection* is of no use any more.
        """
        for attempt in range(PROOFS):
            try:
                if self.in_transaction(connection):
                    self.rollback(connection)
                self.ping(connection, None)
                return
            except Exception as error:
                if attempt == PROOFS - 1 or not self.is_interruption(error):
                    raise

    def cut(self, connection: Any) -> None:
        """Make a thread that is blocked in a call on *connection* come back with an error. The connection is then lost.

        Threading: the reactor's; does not block. Where a driver has nothing to cut by, nothing happens.
        """
        descriptor = _descriptor(connection)
        if descriptor is not None:
            shut_down(descriptor)

    def explain(self, error: BaseException) -> None:
        """Add a note to *error*, raised by a statement in autocommit, if that was the reason."""


def as_text(secret: object) -> str:
    """*secret* as a message would have it."""
    return secret.decode(errors="replace") if isinstance(secret, (bytes, bytearray)) else str(secret)


def causes(error: BaseException) -> Iterator[BaseException]:
    """*error* and what it came from: what SQLAlchemy wraps, and what a user's function has made another error of."""
    following: BaseException | None = error
    for _ in range(DEPTH):
        if following is None:
            return
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def watch(descriptor: int) -> Callable[[], object]:
    """A function that tells whether *descriptor* can be read, or is at its end, now. 0.8 µs with poll(2)."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([descriptor], [], [], 0)[0]  # Windows


def shut_down(descriptor: int) -> None:
    """Shut the socket down, both ways: whoever is blocked in reading it gets an end of file."""
    sock = _socket_of(descriptor)
    if sock is None:
        return
    with sock:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster


def _socket_of(descriptor: int) -> socket.socket | None:
    """A socket of our own for *descriptor*; None if it is closed, or something else."""
    try:
        own = socket.dup(descriptor)
    except OSError:
        return None
    try:
        return socket.socket(fileno=own)
    except OSError:
        socket.close(own)
        return None


def is_near(descriptor: int) -> bool:
    """Whether the socket's other end is on this machine. False for one that is closed."""
    sock = _socket_of(descriptor)
    if sock is None:
        return False
    with sock:
        try:
            return same_machine(sock.family, sock.getsockname(), sock.getpeername())
        except OSError:
            return False


def same_machine(family: int, here: Any, there: Any) -> bool:
    """Whether the two ends of a connection, as `socket.getsockname` gives them, are surely on one machine."""
    if family in (socket.AF_INET, socket.AF_INET6):
        return bool(here[0] == there[0] or ip_address(there[0]).is_loopback)
    return family == getattr(socket, "AF_UNIX", None)  # which Windows has not; others may lead anywhere (vsock(7))


def _descriptor(connection: Any) -> int | None:
    try:
        descriptor = connection.fileno()
    except Exception:  # no such method, or the driver's error for a closed connection
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None
