"""A DB-API driver without a database: the test says what each call does, and sees which calls were made.

A `ScriptedDriver` is given to a pool in place of a module. Left alone, every call succeeds and every statement gives
the rows of ``driver.rows``. Steps added with `ScriptedDriver.when` raise, block or answer instead. With
``sockets=True`` each connection has a descriptor, whose other end, the "server", can speak unasked, or go away. With
``interruptible=True`` a pool can interrupt what blocks, and see whether a transaction is open, as with psycopg2;
without, it knows as little of this driver as of any that it has never heard of.

A thread that blocks in a step does not hold up virtual time (`netcore.testing.network`).
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from asyncdb.dialect import Driver
from netcore.testing.network import heldUp

__all__ = ["HANG", "ScriptedConnection", "ScriptedCursor", "ScriptedDialect", "ScriptedDriver", "Step"]

CALLS = ("connect", "cursor", "execute", "fetchall", "commit", "rollback", "close", "ping", "interrupt")
PING = "SELECT 1"  # what SQLAlchemy's generic dialect sends


class _Hang:
    def __repr__(self) -> str:
        return "HANG"


HANG: Any = _Hang()
"""As a step's action: block, as on a server that does not answer, until interrupted, cut or killed."""

# Seconds between two looks of a thread that blocks. There is nothing to wait on for an Event and a socket together.
STEP = 0.005


class Warning(Exception):  # PEP 249 calls it so
    """PEP 249."""


class Error(Exception):
    """PEP 249.

    Attributes: *pgcode*, a SQLSTATE, as psycopg2's errors have one.
    """

    def __init__(self, *args: Any, pgcode: str | None = None) -> None:
        super().__init__(*args)
        self.pgcode = pgcode


class InterfaceError(Error):
    """PEP 249."""


class DatabaseError(Error):
    """PEP 249."""


class OperationalError(DatabaseError):
    """PEP 249."""


class QueryCanceled(OperationalError):
    """What an interrupted call ends in. psycopg2's name for it."""

    def __init__(self, *args: Any, pgcode: str | None = "57014") -> None:
        super().__init__(*(args or ("canceling statement due to user request",)), pgcode=pgcode)


class ProgrammingError(DatabaseError):
    """PEP 249."""


class IntegrityError(DatabaseError):
    """PEP 249."""


class Step:
    """One thing a test has arranged.

    Attributes: *reached*, an event set when a call comes here for the first time; *count*, how many came.
    """

    def __init__(self, call: str, action: Any, times: int | None, matching: Callable[..., bool] | None) -> None:
        self.call = call
        self.action = action
        self.times = times
        self.matching = matching
        self.reached = threading.Event()
        self.count = 0


class ScriptedDriver:
    """A DB-API module that does what the test says.

    Args:
        sockets: give each connection a descriptor.
        rows: what ``fetchall`` gives, unless a step says otherwise.
        interruptible: have pools know it well, by a `ScriptedDialect`; else as little as any module that is unknown.
    Attributes: *calls*, a Counter of the calls made, by name; *statements*, those executed, in order, with their
        arguments; *connections*, every one made, in order; *rows*.
    Threading: everything in any thread.
    """

    apilevel = "2.0"
    threadsafety = 1
    paramstyle = "qmark"

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    OperationalError = OperationalError
    ProgrammingError = ProgrammingError
    IntegrityError = IntegrityError
    QueryCanceled = QueryCanceled

    def __init__(
        self, *, sockets: bool = False, rows: Sequence[Sequence[Any]] = ((1,),), interruptible: bool = False
    ) -> None:
        self.sockets = sockets
        self.__asyncdb_driver__ = ScriptedDialect if interruptible else None
        self.rows = list(rows)
        self.calls: Counter[str] = Counter()
        self.statements: list[tuple[Any, ...]] = []
        self.connections: list[ScriptedConnection] = []
        self._steps: list[Step] = []
        self._arranged: list[Step] = []  # those that were cleared, too: threads may be in them still
        self._lock = threading.Lock()

    def when(
        self, call: str, action: Any, *, times: int | None = None, matching: Callable[..., bool] | None = None
    ) -> Step:
        """Arrange what happens at a call. Of several steps for a call, the one added first that still applies is taken.

        Args:
            call: "connect", "cursor", "execute", "fetchall", "commit", "rollback", "close", "ping" (the execution of
                ``SELECT 1``), or "interrupt".
            action: an exception, or a class of one: raised (with ``pgcode="57P01"`` it has a SQLSTATE). `HANG`: blocks
                until the connection is interrupted, cut or killed. A `threading.Event`: waited for, whatever becomes of
                the connection, unless it is interrupted. A Barrier: waited for. A function: called with the call's
                arguments; what it returns is the call's result if it is not None. A list: the rows of this statement.
            times: how many calls it applies to; None: all.
            matching: given the call's arguments, says whether it applies.
        Raises: ValueError: no such call; or one that cannot hang, as there is nothing that could be cut.
        """
        if call not in CALLS:
            raise ValueError(f"{call!r} is not one of {', '.join(CALLS)}")
        if call in ("connect", "interrupt") and action is HANG:
            raise ValueError(f"{call} uses no connection that could be cut: let it wait for a threading.Event")
        step = Step(call, action, times, matching)
        with self._lock:
            self._steps.append(step)
            self._arranged.append(step)
        return step

    def clear(self) -> None:
        """Forget the steps: from now on everything succeeds."""
        with self._lock:
            self._steps.clear()

    def release(self) -> None:
        """Let go of every thread: forget the steps, set their Events, break their Barriers, kill what hangs."""
        with self._lock:
            self._steps.clear()
            arranged, self._arranged = self._arranged, []
        for step in arranged:
            if isinstance(step.action, threading.Event):
                step.action.set()
            elif isinstance(step.action, threading.Barrier):
                step.action.abort()
        for connection in list(self.connections):
            if connection.blocks:
                connection.kill()

    def connect(self, *args: Any, **kwargs: Any) -> ScriptedConnection:
        """PEP 249."""
        made = self._happens("connect", None, args, kwargs)
        connection = made if isinstance(made, ScriptedConnection) else ScriptedConnection(self)
        with self._lock:
            self.connections.append(connection)
        return connection

    def _happens(
        self, call: str, connection: ScriptedConnection | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with self._lock:
            self.calls[call] += 1
            step = next((step for step in self._steps if _applies(step, call, args, kwargs)), None)
            if step is not None:
                step.count += 1
        if step is None:
            return None
        step.reached.set()
        action = step.action
        if isinstance(action, BaseException) or (isinstance(action, type) and issubclass(action, BaseException)):
            raise action
        if action is HANG:
            assert connection is not None  # `when` has seen to it
            connection.hang()
        if isinstance(action, threading.Event):
            if connection is not None:
                connection._wait(action)
            else:
                with heldUp(lambda: not action.is_set()):
                    action.wait()
            return None
        if isinstance(action, threading.Barrier):
            with heldUp(lambda: action.n_waiting):  # 0 from the moment that it lets through
                action.wait()
            return None
        return action(*args, **kwargs) if callable(action) else action


def _applies(step: Step, call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if step.call != call or (step.times is not None and step.count >= step.times):
        return False
    return step.matching is None or step.matching(*args, **kwargs)


class ScriptedConnection:
    """A connection of a `ScriptedDriver`'s.

    Attributes: *closed*, whether it was closed or found lost; *in_transaction*, whether something was executed since
        the last commit or rollback; *blocks*, whether a call on it blocks in a step.
    """

    def __init__(self, driver: ScriptedDriver) -> None:
        self.driver = driver
        self.closed = False
        self.in_transaction = False
        self.blocks = False
        self._killed = False
        self._interrupted = False
        self._lock = threading.Lock()
        self._client: socket.socket | None = None
        self._server: socket.socket | None = None
        if driver.sockets:
            self._client, self._server = socket.socketpair()
            self._client.setblocking(False)

    def fileno(self) -> int:
        """The descriptor.

        Raises: InterfaceError: it has none.
        """
        if self._client is None or self.closed:
            raise InterfaceError("this connection has no descriptor")
        return self._client.fileno()

    def cursor(self) -> ScriptedCursor:
        """PEP 249."""
        self._happens("cursor")
        return ScriptedCursor(self)

    def commit(self) -> None:
        """PEP 249."""
        self._happens("commit")
        self.in_transaction = False

    def rollback(self) -> None:
        """PEP 249."""
        self._happens("rollback")
        self.in_transaction = False

    def close(self) -> None:
        """PEP 249. Closes the descriptors first, whatever the script says."""
        self._shut()
        self.driver._happens("close", self, (), {})

    def interrupt(self) -> None:
        """Have the call that blocks in a step raise QueryCanceled. Where none does, nothing happens: it came too late.

        Threading: any thread, as no other method.
        """
        self.driver._happens("interrupt", None, (self,), {})
        with self._lock:
            self._interrupted = self.blocks

    # For the test, in the part of the server.

    def kill(self) -> None:
        """The server goes away: every further call fails, and one that hangs comes back."""
        self._killed = True
        if self._server is not None:
            self._server.close()

    def say(self) -> None:
        """The server speaks unasked, as in a NOTIFY; the next call reads it."""
        assert self._server is not None, "needs ScriptedDriver(sockets=True)"
        self._server.send(b"!")

    def hang(self) -> NoReturn:
        """Block, as `HANG` does.

        Raises: QueryCanceled: interrupted. OperationalError: cut or killed.
        """
        if self._block(self._has_ended, time.sleep):
            raise QueryCanceled
        self._lose()

    # Inside.

    def _happens(self, call: str, *args: Any, **kwargs: Any) -> Any:
        if self.closed:
            raise InterfaceError("the connection is closed")
        if self._has_ended():
            self._lose()
        return self.driver._happens(call, self, args, kwargs)

    def _wait(self, event: threading.Event) -> None:
        """Block until *event* is set. Raises: QueryCanceled: interrupted before."""
        if self._block(event.is_set, event.wait) and not event.is_set():
            raise QueryCanceled

    def _block(self, over: Callable[[], bool], pause: Callable[[float], object]) -> bool:
        """Block until *over* says so, or interrupted. Returns whether it was interrupted."""

        def waits() -> bool:
            return not (self._interrupted or over())

        with self._lock:
            self.blocks, self._interrupted = True, False
        with heldUp(waits):
            while waits():
                pause(STEP)
        with self._lock:
            self.blocks = False
            return self._interrupted

    def _has_ended(self) -> bool:
        """Whether the connection was closed, cut or killed. Reads what the server has said unasked."""
        if self.closed or self._killed or self._client is None:
            return self.closed or self._killed
        try:
            while data := self._client.recv(64):
                del data
        except BlockingIOError:
            return False
        except OSError:  # closed, or broken
            pass
        return True

    def _lose(self) -> NoReturn:
        self._shut()
        raise OperationalError("the server closed the connection")

    def _shut(self) -> None:
        self.closed = True
        for end in (self._client, self._server):
            if end is not None:
                end.close()


class ScriptedCursor:
    """A cursor of a `ScriptedDriver`'s."""

    def __init__(self, connection: ScriptedConnection) -> None:
        self.connection = connection
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self._rows: list[Any] | None = None

    def execute(self, statement: Any, *args: Any, **kwargs: Any) -> None:
        """PEP 249."""
        driver = self.connection.driver
        if statement == PING:
            self.connection._happens("ping")
            self.connection.in_transaction = True
            return
        driver.statements.append((statement, *args))
        self.connection.in_transaction = True  # whatever comes of it
        rows = self.connection._happens("execute", statement, *args, **kwargs)
        self._rows = driver.rows if rows is None else list(rows)
        self.description = [("column", None, None, None, None, None, None)]

    def fetchall(self) -> list[Any]:
        """PEP 249."""
        rows = self.connection._happens("fetchall")
        return list(rows if rows is not None else self._rows or [])

    def close(self) -> None:
        """PEP 249."""


class ScriptedDialect(Driver):
    """What a pool knows of a `ScriptedDriver` that is interruptible: as much as of psycopg2."""

    can_interrupt = True

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection.in_transaction)

    left_open = in_transaction

    def interrupt(self, connection: Any) -> None:
        connection.interrupt()

    def eviction(self, error: BaseException, connection: Any) -> str | None:
        code = getattr(error, "pgcode", None) or ""
        known = "shutdown" if code.startswith("57P") else "readonly" if code == "25006" else None
        return super().eviction(error, connection) or known

    def is_doubtful(self, error: BaseException) -> bool:
        return False  # `ScriptedConnection.closed` tells

    def is_interruption(self, error: BaseException) -> bool:
        return isinstance(error, QueryCanceled)

    def cut(self, connection: Any) -> None:
        connection.kill()
