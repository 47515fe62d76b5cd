"""A DB-API driver without a database: the test says what each call does, and sees which calls were made.

A `ScriptedDriver` is given to a pool in place of a module. Left alone, every call succeeds and every statement gives
the rows of ``driver.rows``. Steps added with `ScriptedDriver.when` raise, block or answer instead. With
``sockets=True`` each connection has a descriptor, whose other end, the "server", can speak unasked, or go away.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["HANG", "ScriptedConnection", "ScriptedCursor", "ScriptedDriver", "Step"]

CALLS = ("connect", "cursor", "execute", "fetchall", "commit", "rollback", "close", "ping")
PING = "SELECT 1"  # what SQLAlchemy's generic dialect sends


class _Hang:
    def __repr__(self) -> str:
        return "HANG"


HANG: Any = _Hang()
"""As a step's action: block, as on a server that does not answer, until the connection is cut or killed."""


class Warning(Exception):  # PEP 249 calls it so
    """PEP 249."""


class Error(Exception):
    """PEP 249."""


class InterfaceError(Error):
    """PEP 249."""


class DatabaseError(Error):
    """PEP 249."""


class OperationalError(DatabaseError):
    """PEP 249."""


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

    def __init__(self, *, sockets: bool = False, rows: Sequence[Sequence[Any]] = ((1,),)) -> None:
        self.sockets = sockets
        self.rows = list(rows)
        self.calls: Counter[str] = Counter()
        self.statements: list[tuple[Any, ...]] = []
        self.connections: list[ScriptedConnection] = []
        self._steps: list[Step] = []
        self._lock = threading.Lock()

    def when(
        self, call: str, action: Any, *, times: int | None = None, matching: Callable[..., bool] | None = None
    ) -> Step:
        """Arrange what happens at a call. Of several steps for a call, the one added first that still applies is taken.

        Args:
            call: "connect", "cursor", "execute", "fetchall", "commit", "rollback", "close", or "ping" (the execution of
                ``SELECT 1``).
            action: an exception, or a class of one: raised. A `threading.Event` or Barrier: waited for. `HANG`: blocks
                until the connection is cut. A function: called with the call's arguments; what it returns is the
                call's result if it is not None. A list: the rows of this statement.
            times: how many calls it applies to; None: all.
            matching: given the call's arguments, says whether it applies.
        Raises: ValueError: no such call.
        """
        if call not in CALLS:
            raise ValueError(f"{call!r} is not one of {', '.join(CALLS)}")
        step = Step(call, action, times, matching)
        with self._lock:
            self._steps.append(step)
        return step

    def clear(self) -> None:
        """Forget the steps: from now on everything succeeds."""
        with self._lock:
            self._steps.clear()

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
        if isinstance(action, (threading.Event, threading.Barrier)):
            action.wait()
            return None
        if action is HANG:
            assert connection is not None, "only a connection can hang"
            connection.hang()
        return action(*args, **kwargs) if callable(action) else action


def _applies(step: Step, call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if step.call != call or (step.times is not None and step.count >= step.times):
        return False
    return step.matching is None or step.matching(*args, **kwargs)


class ScriptedConnection:
    """A connection of a `ScriptedDriver`'s.

    Attributes: *closed*, whether it was closed or found lost.
    """

    def __init__(self, driver: ScriptedDriver) -> None:
        self.driver = driver
        self.closed = False
        self._client: socket.socket | None = None
        self._server: socket.socket | None = None
        if driver.sockets:
            self._client, self._server = socket.socketpair()

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

    def rollback(self) -> None:
        """PEP 249."""
        self._happens("rollback")

    def close(self) -> None:
        """PEP 249. Closes the descriptors first, whatever the script says."""
        self.closed = True
        for end in (self._client, self._server):
            if end is not None:
                end.close()
        self.driver._happens("close", self, (), {})

    # For the test, in the part of the server.

    def kill(self) -> None:
        """The server goes away: every further call fails, and one that hangs comes back."""
        assert self._server is not None, "needs ScriptedDriver(sockets=True)"
        self._server.close()

    def say(self) -> None:
        """The server speaks unasked, as in a NOTIFY; the next ping reads it."""
        assert self._server is not None, "needs ScriptedDriver(sockets=True)"
        self._server.send(b"!")

    def hang(self) -> None:
        """Block until the connection is cut or killed.

        Raises: OperationalError, then.
        """
        assert self._client is not None, "HANG needs ScriptedDriver(sockets=True)"
        while self._client.recv(64):
            pass
        self._lose()

    def _happens(self, call: str, *args: Any, **kwargs: Any) -> Any:
        if self.closed:
            raise InterfaceError("the connection is closed")
        if self._client is not None:
            self._read()
        return self.driver._happens(call, self, args, kwargs)

    def _read(self) -> None:
        assert self._client is not None
        self._client.setblocking(False)
        try:
            if not self._client.recv(64):
                self._lose()
        except BlockingIOError:
            pass
        except ConnectionError:
            self._lose()
        finally:
            if not self.closed:
                self._client.setblocking(True)

    def _lose(self) -> None:
        self.closed = True
        for end in (self._client, self._server):
            if end is not None:
                end.close()
        raise OperationalError("the server closed the connection")


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
            return
        driver.statements.append((statement, *args))
        rows = self.connection._happens("execute", statement, *args, **kwargs)
        self._rows = driver.rows if rows is None else list(rows)
        self.description = [("column", None, None, None, None, None, None)]

    def fetchall(self) -> list[Any]:
        """PEP 249."""
        rows = self.connection._happens("fetchall")
        return list(rows if rows is not None else self._rows or [])

    def close(self) -> None:
        """PEP 249."""
