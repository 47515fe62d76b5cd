"""`Postgres`, a server as its administrator sees it, and `Database`, a fresh place in it."""

from __future__ import annotations

import itertools
import os
from typing import Self

from psycopg2 import sql

from asyncdb.testing._waiting import wait_until
from asyncdb.testing.postgres import _sources
from asyncdb.testing.postgres._address import Address
from asyncdb.testing.postgres._local import START_TIMEOUT

__all__ = ["Database", "Postgres", "openOwnServer", "openServer"]

_numbers = itertools.count(1)


class Postgres(Address):
    """A server, as its administrator sees it. A context manager: `close` at its end.

    What breaks it raises RuntimeError if it is not ours to break (``ASYNCDB_TEST_DSN``), and `mend` undoes it all.

    Attributes: *version*; *description*, where it came from; *ours*, whether it may be broken.
    """

    def __init__(self, server: _sources.Server) -> None:
        super().__init__(server.parameters)
        self._server = server
        self.version = str(self.execute("SHOW server_version")[0][0]).split()[0]
        self.description = f"PostgreSQL {self.version}, from {server.description}"
        self.ours = server.ours

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and remove what it has written. One that is not ours goes on."""
        self._server.close()

    def backends(self, applicationName: str) -> list[int]:
        """The process numbers of the backends whose client calls itself so."""
        rows = self.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", (applicationName,))
        return [pid for (pid,) in rows]

    def terminateBackends(self, applicationName: str) -> int:
        """pg_terminate_backend for each of them; returns how many there were, when they are gone."""
        doomed = self.backends(applicationName)
        self.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (doomed,))
        wait_until(lambda: not set(doomed) & set(self.backends(applicationName)), "terminated backends are gone")
        return len(doomed)

    def stop(self) -> None:
        """Stop the server, ending its backends. Does nothing if it is stopped."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, at the same address; returns when it answers. Raises: RuntimeError: it runs."""
        self._server.start()

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL to all its processes, as the kernel does when memory ends. Until `start`.

        What was committed in the last second is lost with it, unless a CHECKPOINT came after it.

        Raises: RuntimeError: it does not run. So does `pause`.
        """
        self._server.kill()

    def pause(self) -> None:
        """Stop all its processes where they stand: connections stay, and nothing answers. Until `resume`."""
        self._server.pause()

    def resume(self) -> None:
        """Let them go on."""
        self._server.resume()

    def demote(self) -> None:
        """Restart it as a standby that has lost its primary: it reads, and refuses writes with SQLSTATE 25006.

        Until `promote`.
        """
        self._server.demote()

    def promote(self) -> None:
        """Make a standby a primary again; its connections stay, and may write. Returns when they may."""
        self._require_ours()
        if self._is_standby():
            self.execute("SELECT pg_promote(true, %s)", (int(START_TIMEOUT),))

    def setReadOnly(self, readOnly: bool) -> None:
        """Have transactions be read-only unless they say otherwise, those of connections that stand too.

        As managed servers do whose disk is full. Returns when it is in force. A connection that is busy meanwhile
        learns of it with its next transaction.
        """
        self._require_ours()
        value = "on" if readOnly else "off"
        self.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        self.execute("SELECT pg_reload_conf()")
        shown = [(value,)]  # to one that has just connected: the others have had the same signal
        wait_until(lambda: self.execute("SHOW default_transaction_read_only") == shown, "the setting is in force")

    def mend(self) -> None:
        """Let it go on, start it, promote it, let it write: whatever it needs."""
        self._server.mend()
        self.promote()
        if self.execute("SHOW default_transaction_read_only") != [("off",)]:
            self.setReadOnly(False)

    def _is_standby(self) -> bool:
        return self.execute("SELECT pg_is_in_recovery()") == [(True,)]

    def _require_ours(self) -> None:
        if not self.ours:
            raise RuntimeError(_sources.NOT_OURS)


class Database(Address):
    """A place of a test's own: an empty schema, first on the search path of those who connect here.

    (A database of its own would take twenty times as long to make, and more rights.) A context manager: `create` at
    its beginning, `drop` at its end.

    Args:
        postgres: where.
    Attributes: *postgres*; *schema*, its name; *applicationName*, what those who connect here call themselves.
    """

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.schema = self.applicationName = f"test_{os.getpid()}_{next(_numbers)}"
        options = f"{postgres.connectArgs.get('options', '')} -c search_path={self.schema}".strip()
        super().__init__({**postgres.connectArgs, "options": options, "application_name": self.applicationName})

    def __enter__(self) -> Self:
        self.create()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.drop()

    def create(self) -> None:
        """Make it."""
        self.postgres.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.schema)))

    def drop(self) -> None:
        """Remove it, with all that is in it; connections to it that are left are ended."""
        self.terminateBackends()  # one that a failed test left would hold its locks
        self.postgres.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self.schema)))

    def backends(self) -> list[int]:
        """The process numbers of the backends that serve connections made here."""
        return self.postgres.backends(self.applicationName)

    def terminateBackends(self) -> int:
        """End them all, as an administrator would; returns how many there were, when they are gone."""
        return self.postgres.terminateBackends(self.applicationName)


def openServer() -> Postgres:
    """Find or start a PostgreSQL; `asyncdb.testing.postgres` says where. Close it.

    Raises: Unavailable: there is none; says what to do. Or ``ASYNCDB_TEST_DSN`` is set, and does not answer.
    """
    return _opened(_sources.open_server())


def openOwnServer() -> Postgres:
    """Start a PostgreSQL that may be broken, although another one is named (``ASYNCDB_TEST_DSN``). Close it.

    Raises: Unavailable: there is nothing to start; says what to do.
    """
    return _opened(_sources.open_own_server())


def _opened(server: _sources.Server) -> Postgres:
    try:
        return Postgres(server)
    except BaseException:
        server.close()
        raise
