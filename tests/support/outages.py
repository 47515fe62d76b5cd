"""What happens to databases while clients read and write: each outage with its beginning, its end, and what the
clients were told meanwhile.

An outage has three spans: *begins*, *lasts*, *ends*; the last until each client has had a right answer again. What was
committed must be there and nothing else, whatever happened: the server's crash, too. So the sessions have
``synchronous_commit`` on, which the throw-away server has not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import psycopg2
from psycopg2 import sql

from asyncdb import ConnectionPool
from asyncdb.testing.postgres import Address, Database
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.threads import deferToThread
from tests.support.clients import Clients, Tally
from tests.support.ledger import Findings, Ledger

__all__ = ["OUTAGES", "READ_ONLY", "Course", "Scene", "through"]

READ_ONLY = "ReadOnlySqlTransaction (25006)"


@dataclasses.dataclass
class Course:
    """How an outage went.

    Attributes: *lasted*, seconds; *recovery*, seconds from its end until each client had a right answer; *tally*, what
        clients were told from its beginning until then; *right_meanwhile*, how many of the right answers came while it
        lasted; *connect_failures*, *checks*, *evictions*, of the pool in that time; *findings*, of the ledger.
    """

    lasted: float
    recovery: float
    tally: Tally
    right_meanwhile: int
    connect_failures: int
    checks: int
    evictions: Counter[str]
    findings: Findings

    @property
    def wrong(self) -> int:
        """How many wrong results there were."""
        return len(self.tally.wrong) + self.findings.wrong


class Scene:
    """A database, a role whose password and limits are its own, a pool of it, and clients.

    Args:
        database: in a server that may be broken; fresh.
        clients: how many.
        connections: ``cp_max``.
        pause: seconds that a client rests between two calls.
        hold: seconds that an outage lasts at least.
    """

    def __init__(
        self, database: Database, clients: int = 8, connections: int = 4, pause: float = 0.002, hold: float = 0.0
    ) -> None:
        self.database = database
        self.postgres = database.postgres
        self.role = database.schema
        self.hold = hold
        self.known_password = secrets.token_hex(8)  # what the application knows
        self._connections = connections
        self._count = clients
        self._pause = pause
        options = f"{database.connectArgs['options']} -c synchronous_commit=on"
        self.address = Address({**database.connectArgs, "user": self.role, "options": options})
        self.others: list[Any] = []  # connections of other programs
        self.ledger = Ledger(database)

    @contextlib.asynccontextmanager
    async def played(self) -> AsyncIterator[Scene]:
        """The clients are at it."""
        await deferToThread(self._build)
        arguments = {**self.address.connectArgs, "cp_connargs": lambda: {"password": self.known_password}}
        self.pool = ConnectionPool(
            "psycopg2", cp_name=self.role, cp_max=self._connections, cp_min=self._connections, **arguments
        )
        try:
            await self.pool.ready()
            self.clients = Clients(self.pool, self.ledger, self._count, pause=self._pause)
            await self.clients.each()
            yield self
            await self.clients.stop()
        finally:
            await self.pool.close()
            await deferToThread(self._clear)

    def _build(self) -> None:
        self.ledger.create()
        with self._admin() as run:
            run("CREATE ROLE {role} LOGIN PASSWORD {password}", password=sql.Literal(self.known_password))
            run("GRANT USAGE ON SCHEMA {role} TO {role}")
            run("GRANT ALL ON ALL TABLES IN SCHEMA {role} TO {role}")
            run("CHECKPOINT")

    def _clear(self) -> None:
        self.leave()
        with self._admin() as run:
            run("DROP OWNED BY {role}")
            run("DROP ROLE {role}")

    @contextlib.contextmanager
    def _admin(self) -> Iterator[Callable[..., None]]:
        connection = self.database.connect()

        def run(statement: str, **parts: sql.Composable) -> None:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL(statement).format(role=sql.Identifier(self.role), **parts))

        try:
            yield run
        finally:
            connection.close()

    # What is done to it, in a thread.

    def rotate(self) -> str:
        """Give the role another password. Returns it: the application does not know it yet."""
        password = secrets.token_hex(8)
        with self._admin() as run:
            run("ALTER ROLE {role} PASSWORD {password}", password=sql.Literal(password))
        return password

    def limit(self, connections: int) -> None:
        """Let the role have so many connections; -1: any number."""
        with self._admin() as run:
            run("ALTER ROLE {role} CONNECTION LIMIT {limit}", limit=sql.Literal(connections))

    def crowd_out(self) -> None:
        """Other programs take every connection that is free, and end one of the pool's for the last."""
        while True:
            try:
                self.others.append(psycopg2.connect(self.address.dsn, password=self.known_password))
            except psycopg2.OperationalError as error:
                if "too many" not in str(error) and "remaining connection slots" not in str(error):
                    raise
                if self.pool.stats().outage is not None:
                    return
                self.end_one()

    def leave(self) -> None:
        """Other programs go."""
        while self.others:
            self.others.pop().close()

    def end_one(self, count: int = 1) -> None:
        """End some of the pool's backends."""
        self.database.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = %s "
            "AND usename = %s ORDER BY backend_start LIMIT %s) AS doomed",
            (self.database.applicationName, self.role, count),
        )

    # Waiting, in the reactor's thread.

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until *condition* holds."""
        reactor = Reactor.current()
        while not condition():
            await deferLater(reactor, 0.005, lambda: None)

    async def cut_off(self) -> None:
        """Wait until the pool has noticed that it cannot connect."""
        await self.until(lambda: self.pool.stats().outage is not None)

    async def refused(self) -> None:
        """Wait until some have been told that nothing may be written, and others have read."""
        before = self.clients.tally.right
        await self.until(lambda: self.clients.tally.failed[READ_ONLY] >= 3 and self.clients.tally.right >= before + 20)


@dataclasses.dataclass
class Outage:
    """What happens.

    Attributes: *begin*, in a thread; *shows*, waits until it has been felt; *end*, in a thread, given what *begin*
        returned; *after*, the same in the reactor's thread.
    """

    begin: Callable[[Scene], Any]
    shows: Callable[[Scene], Awaitable[None]]
    end: Callable[[Scene, Any], object]
    after: Callable[[Scene, Any], Awaitable[None]] | None = None


def _rotate(scene: Scene) -> str:
    password = scene.rotate()
    scene.end_one()  # to be replaced: which needs the password
    return password


async def _learn(scene: Scene, password: str) -> None:
    """The application is given the password, and replaces the connections it has in the same moment."""
    await scene.until(lambda: not scene.pool.stats().connecting)  # with the old one; it would be replaced, too
    scene.pool.evictAll()
    scene.known_password = password


def _limit(scene: Scene) -> None:
    scene.limit(2)
    scene.end_one(2)


async def _serves_on(scene: Scene) -> None:
    await scene.cut_off()
    await scene.clients.more(20)


OUTAGES: dict[str, Outage] = {
    "restart": Outage(lambda scene: scene.postgres.stop(), Scene.cut_off, lambda scene, begun: scene.postgres.start()),
    "crash": Outage(lambda scene: scene.postgres.kill(), Scene.cut_off, lambda scene, begun: scene.postgres.start()),
    "read-only": Outage(
        lambda scene: scene.postgres.setReadOnly(True),
        Scene.refused,
        lambda scene, begun: scene.postgres.setReadOnly(False),
    ),
    "standby": Outage(
        lambda scene: scene.postgres.demote(), Scene.refused, lambda scene, begun: scene.postgres.promote()
    ),
    "password": Outage(_rotate, _serves_on, lambda scene, begun: None, _learn),
    "role limit": Outage(_limit, _serves_on, lambda scene, begun: scene.limit(-1)),
    "max_connections": Outage(Scene.crowd_out, _serves_on, lambda scene, begun: scene.leave()),
}


async def through(scene: Scene, name: str) -> Course:
    """Take *scene* through the outage *name*, until each client has had a right answer afterwards; stop the clients."""
    outage, reactor = OUTAGES[name], Reactor.current()
    scene.clients.turn()
    before = scene.pool.stats()
    began = time.monotonic()
    begun = await deferToThread(outage.begin, scene)
    await outage.shows(scene)
    if (rest := began + scene.hold - time.monotonic()) > 0:
        await deferLater(reactor, rest, lambda: None)
    lasted, right_meanwhile = time.monotonic() - began, scene.clients.tally.right
    await deferToThread(outage.end, scene, begun)
    if outage.after is not None:
        await outage.after(scene, begun)
    over = time.monotonic()
    await scene.clients.each()
    recovery = time.monotonic() - over
    tally, after = scene.clients.turn(), scene.pool.stats()
    await scene.clients.stop()
    return Course(
        lasted=lasted,
        recovery=recovery,
        tally=tally,
        right_meanwhile=right_meanwhile,
        connect_failures=after.connectFailures - before.connectFailures,
        checks=after.checks - before.checks,
        evictions=Counter(after.evictions) - Counter(before.evictions),
        findings=await deferToThread(scene.ledger.audit),
    )
