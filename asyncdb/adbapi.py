"""`ConnectionPool`: queries through any DB-API driver, from a reactor or an asyncio program, without blocking it.

The surface is that of Twisted's adbapi. A pool is a description (driver, connect arguments, options) until it is first
used; then it binds to its reactor and is one *crew*: threads, connections and the core that decides. Closing ends the
crew. A crew that ended with its reactor, rather than by `close`, makes room for another when the pool is next used on a
reactor that runs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, Self

from asyncdb import dialect
from asyncdb._tasks import Tasks
from asyncdb._worker import Call, Crew, Task
from asyncdb.dialect import PLAIN
from asyncdb.errors import ConnectionLost, NotCheckedOut, PoolClosed, PoolOverloaded
from asyncdb.hosts import Host, find
from asyncdb.options import CallOptions, Options
from asyncdb.stats import Histogram, PoolStats
from asyncdb.transaction import Connection, Transaction
from asyncdb.views import Calls, PoolView
from netcore.defer import Deferred, fail, succeed

__all__ = ["Connection", "ConnectionLost", "ConnectionPool", "PoolView", "Transaction"]

_running_loop = asyncio._get_running_loop  # None where none runs


class ConnectionPool(Calls):
    """A pool of DB-API connections, used by threads of its own.

    Nothing needs to be started: connections are made when calls wait for them. ``async with pool:`` closes it at the
    end; otherwise it closes itself when its reactor, or the asyncio program, ends. Close a pool that is not needed any
    more: dropping it closes nothing, since its reactor keeps it.

    What a function sets for the session by SQL (``SET``, ``PRAGMA``, temporary tables) stays on that connection and is
    seen by whoever gets it next: use ``SET LOCAL``, or *cp_openfun* for what all connections are to have. An SQLite
    database in memory is empty again after its pool was closed.

    Args:
        dbapiName: the name of a DB-API module, or the module.
        connargs, connkw: for the module's ``connect``; keywords that begin with ``cp_`` are options of the pool
            (`asyncdb.options.Options`).
    Attributes: *connectionFactory* and *transactionFactory*, the classes of what functions are given: set them, before
        the first call or in a subclass, to subclasses of `Connection` and `Transaction`. *dbapi* the module,
        *dbapiName* its name, *connargs*, *connkw*.
    Raises: MissingDriver: no such module. TypeError, ValueError: wrong options; says what to write instead.
    Threading: every method in the reactor's thread.
    """

    connectionFactory: Callable[[ConnectionPool], Connection] = Connection
    transactionFactory: Callable[[ConnectionPool, Connection], Any] = Transaction

    def __init__(self, dbapiName: str | ModuleType | Any, *connargs: Any, **connkw: Any) -> None:
        self._options, self.connkw = Options.fromKeywords(connkw)
        self.connargs = connargs
        if isinstance(dbapiName, str):
            self.dbapiName = dbapiName
            self._driver = dialect.load(dbapiName)
        else:
            self.dbapiName = getattr(dbapiName, "__name__", type(dbapiName).__name__)
            self._driver = dialect.load(self.dbapiName, dbapiName)
        self.dbapi = self._driver.dbapi
        self._driver.set_arguments(connargs, self.connkw, self._options)
        self._tasks = Tasks(self, self._driver)
        self._transactions = Tasks(self, self._driver, plain=False)
        self._crew: Crew | None = None
        self._closed = False
        self._alchemy: Any = None  # the engine module's

    @classmethod
    def fromURL(cls, url: str, **options: Any) -> Self:
        """A pool for the database that *url* names.

        Args:
            url: SQLAlchemy's form: ``postgresql://user:password@host:port/name`` (psycopg2),
                ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite://`` (in memory).
            options: ``cp_`` options, and further arguments for the driver's ``connect``.
        Raises: as the class does; ValueError: no driver is known for such a URL.
        """
        name, args, kwargs = dialect.from_url(url)
        return cls(name, *args, **{**kwargs, **options})

    # What it is.

    @property
    def options(self) -> Options:
        """How it behaves."""
        return self._options

    @property
    def min(self) -> int:
        """``cp_min``."""
        return self._options.min

    @property
    def max(self) -> int:
        """``cp_max``."""
        return self._options.max

    @property
    def name(self) -> str | None:
        """``cp_name``."""
        return self._options.name

    @property
    def noisy(self) -> bool:
        """``cp_noisy``."""
        return self._options.noisy

    @property
    def running(self) -> bool:
        """Whether it has been started, by `start` or by its first use, and neither it nor its loop was closed."""
        crew = self._crew
        return crew is not None and not (crew.core.closing or crew.inherited or crew.host.isGone())

    def __repr__(self) -> str:
        crew = self._own_crew()
        if crew is None:
            state = "closed" if self._closed else "not started"
        else:
            state = "closed" if crew.ended else crew.core.figures()
        return f"<{type(self).__name__} {self.name or self.dbapiName}: {state}>"

    # Its life.

    def start(self) -> None:
        """Bind to the reactor now, rather than at first use; or open a closed pool again. Does nothing if it runs.

        Raises: PoolClosed: it is still closing; wait for what `close` returned. WrongThread.
        """
        if self.running:
            return
        crew = self._own_crew()
        if crew is not None and crew.host.isGone():
            crew.end_now()
        if crew is not None and not crew.ended:
            raise PoolClosed("the pool is still closing: wait for close() before start()")
        self._closed = False
        self._begin(find(self._options.reactor))

    def close(self, deadline: float = 5.0) -> Deferred[None]:
        """Take no more calls, fail those that are queued, let those that run finish, and close the connections.

        Args:
            deadline: seconds that running calls may take; their connections are cut then, and they fail.
        Returns: Deferred firing when all that has happened; at the latest a second after the deadline. Closing again
            returns another one for the same end.
        Raises: ValueError: a deadline that is none. WrongThread.
        Fails with: nothing. Queued and cut calls fail with PoolClosed, one cut in its commit with CommitUnknown.
        Threading: never blocks, unless its loop was closed meanwhile: then for a second at most.
        """
        given: object = deadline
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < math.inf:
            raise ValueError(f"deadline must be a number of seconds, 0 or more, not {deadline!r}")
        crew = self._own_crew()
        if crew is not None and crew.host.isGone():
            crew.end_now()
        elif crew is not None:
            crew.host.checkThread()
        self._closed = True
        return succeed(None) if crew is None else crew.close(deadline)

    def ready(self, timeout: float | None = None) -> Deferred[None]:
        """Open ``cp_min`` connections, and from now on replace those that are lost, wanted or not.

        Args:
            timeout: seconds that may take; None: ``cp_wait_timeout``.
        Returns: Deferred firing when they stand; connecting is tried again until then. Cancelling it: nobody is told;
            connections are opened all the same.
        Raises: ValueError: a time-out that is none. WrongThread.
        Fails with: DeadlineExceeded, whose ``__cause__`` is the last error of connecting; the driver's error, if trying
            again would not mend it; PoolClosed.
        """
        given: object = timeout
        if timeout is None:
            timeout = math.inf if self._options.wait_timeout is None else self._options.wait_timeout
        elif isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
            raise ValueError(f"timeout must be a number of seconds above 0, or None, not {given!r}")
        try:
            return self._here().ready(timeout)
        except PoolClosed as error:
            return fail(error.with_traceback(None))

    def suspend(self) -> Deferred[bool]:
        """Give no call a connection until `resume`: calls wait, within their time limits and ``cp_max_waiting``.

        What runs goes on to its end. For a fail-over or a change of the schema.

        Returns: Deferred firing with True when no call runs and no connection is lent any more; with False if `resume`
            came first.
        Raises: WrongThread.
        Fails with: PoolClosed.
        """
        try:
            return self._here().suspend()
        except PoolClosed as error:
            return fail(error.with_traceback(None))

    def resume(self) -> None:
        """Serve calls again. Does nothing if the pool is not suspended.

        Raises: WrongThread.
        """
        crew = self._own_crew()
        if crew is not None and not crew.host.isGone():
            crew.host.checkThread()
            crew.resume()

    def evictAll(self) -> None:
        """Replace all connections, after a change of credentials or a fail-over.

        Those at rest are closed now, those in use when their call ends or they are given back; new ones are opened as
        they are needed.

        Raises: WrongThread.
        """
        crew = self._own_crew()
        if crew is not None and not crew.host.isGone():
            crew.host.checkThread()
            crew.evict_all()

    def stats(self) -> PoolStats:
        """A snapshot of how the pool stands and what it has done.

        Threading: any thread.
        """
        crew = self._own_crew()
        if crew is not None:
            return crew.stats()
        name, state, none = self.name or self.dbapiName, "closed" if self._closed else "not started", Histogram(())
        return PoolStats(name=name, state=state, max=self.max, min=self.min, evictions={}, waitTime=none, runTime=none)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # Calls: `Calls` has the others.

    def disconnect(self, conn: Connection) -> Deferred[None]:
        given: object = conn
        slot = given._slot if isinstance(given, Connection) else None
        if slot is None or conn._pool is not self or conn._call is not None or self._crew is None:
            raise NotCheckedOut(f"{conn!r} is not checked out from {self!r}: give back what connect() fired with, once")
        crew = self._own_crew()
        if crew is None or crew.is_foreign(slot):
            raise NotCheckedOut(f"{conn!r} belongs to the process that this one was forked from: leave it alone here")
        crew.host.checkThread()
        connection = conn._connection
        conn._detach()
        given_back = crew.take_back(slot)
        if given_back is None:  # the pool closed meanwhile, and could not close what you had
            self._driver.close(connection)
        return given_back or succeed(None)

    # Inside.

    def _seen(self) -> tuple[CallOptions, ConnectionPool]:
        return PLAIN, self

    def _call(
        self,
        task: Task,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions = PLAIN,
    ) -> Deferred[Any]:
        crew = self._crew
        try:
            if crew is None or _running_loop() is not crew.loop:  # else it is here, and takes calls
                crew = self._here()
            return crew.submit(Call(crew, task, function, args, kwargs, options))
        except (PoolClosed, PoolOverloaded) as error:
            return fail(error.with_traceback(None))

    def _own_crew(self) -> Crew | None:
        """The crew, unless it is that of the process which this one was forked from: then this one has none yet."""
        if self._crew is not None and self._crew.inherited:
            self._crew = None
        return self._crew

    def _here(self) -> Crew:
        """The crew, if this is its thread and its host is not gone; else a new one."""
        crew = self._own_crew()
        if crew is None or crew.ended or crew.host.isGone():
            return self._open()
        crew.host.checkThread()
        return crew

    def _open(self) -> Crew:
        """The crew for a call when there is none, or one that ended."""
        if self._crew is not None:
            self._crew.end_now()  # if its loop was closed with no word to anybody
        if self._closed:
            raise PoolClosed("the pool is closed; the call was not made")
        host = find(self._options.reactor)
        if self._crew is not None and not host.isRunning():
            raise PoolClosed("the pool was closed with its reactor; the call was not made")
        return self._begin(host)

    def _begin(self, host: Host) -> Crew:
        host.checkThread()
        self._tasks.prepare()
        self._transactions.prepare()
        name = self.name or self.dbapiName
        self._crew = Crew(self._options, self._driver, host, name, self.disconnect)
        return self._crew
