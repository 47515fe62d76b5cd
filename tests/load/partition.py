"""A network that swallows what is sent, and a pool behind it: how late queries fail, how soon service is back, and how
long the reactor's longest turn was.

    python -m tests.load.partition --clients 50 --seconds 10

Clients ask one question after the other, each within a second, through a proxy in front of a throw-away PostgreSQL. The
proxy becomes a black hole, in both of its ways (what is sent is held; what is sent is lost), and is healed; becomes one
again, and the pool is closed in it; and the server is restarted. It prints a table for each: the latest failure after
its deadline, the time until service was back, and the longest turn in processor time of the reactor's thread. The exit
status is 1 if something was told a second too late, or a turn took more than 20 ms.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from asyncdb import ConnectionPool, DeadlineExceeded, PoolClosed
from asyncdb.testing import FaultyProxy
from asyncdb.testing.postgres import Database, openOwnServer
from netcore.defer import Deferred, ensureDeferred, gatherResults
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.threads import deferToThread
from tests.load.running import run
from tests.support.clients import name_of
from tests.support.turns import timed

LONGEST_TURN = 0.020
TOO_LATE = 1.0


class Asking:
    """Clients with a deadline for each question.

    Attributes: *told*, how often they were told what; *latest*, by how many seconds the latest failure was too late.
    """

    def __init__(self, pool: ConnectionPool, clients: int, deadline: float) -> None:
        self._pool = pool.using(timeout=deadline)
        self._deadline = deadline
        self._running = True
        self.told: Counter[str] = Counter()
        self.latest = 0.0
        self._answered: Deferred[None] | None = None
        self.done = gatherResults([ensureDeferred(self._ask(number)) for number in range(clients)])

    async def _ask(self, number: int) -> None:
        while self._running:
            began = time.monotonic()
            try:
                rows = await self._pool.runQuery("SELECT %s, pg_sleep(0.001)", (number,))
                self.told["right" if rows[0][0] == number else "wrong"] += 1
            except Exception as error:
                self.told[name_of(error)] += 1
                if isinstance(error, DeadlineExceeded):
                    self.latest = max(self.latest, time.monotonic() - began - self._deadline)
                if isinstance(error, PoolClosed):
                    return
            else:
                if self._answered is not None:
                    done, self._answered = self._answered, None
                    done.callback(None)
            await deferLater(None, 0.001, lambda: None)

    async def answered(self) -> None:
        """Wait for the next right answer."""
        self._answered = done = Deferred()
        await done

    async def stop(self) -> None:
        """Let them come to an end."""
        self._running = False
        await self.done


class Experiment:
    """The server, the proxy, the pool, and what was measured."""

    def __init__(self, database: Database, proxy: FaultyProxy, arguments: argparse.Namespace) -> None:
        self._database = database
        self._proxy = proxy
        self._arguments = arguments
        self._rows: list[tuple[str, ...]] = []
        self.failed = False

    async def run(self) -> None:
        """All of it, one after the other."""
        for loses in (False, True):
            await self._partition("held" if not loses else "lost", loses)
        await self._close_in_it()
        await self._restart()
        print("\n| what happened | told | latest failure after its deadline | service back after | longest turn, CPU |")
        print("|---|---|---|---|---|")
        for row in self._rows:
            print(f"| {' | '.join(row)} |")

    def _pool(self) -> ConnectionPool:
        address = self._database.through(self._proxy.host, self._proxy.port)
        return ConnectionPool("psycopg2", address.dsn, cp_max=self._arguments.connections, cp_name="partition")

    async def _partition(self, name: str, loses: bool) -> None:
        pool = self._pool()
        with timed(Reactor.current().loop) as turns:
            asking = Asking(pool, self._arguments.clients, self._arguments.deadline)
            await deferLater(None, 1.0, lambda: None)
            await deferToThread(self._proxy.blackHole, loses=loses)
            await deferLater(None, self._arguments.seconds, lambda: None)
            await deferToThread(self._proxy.heal)
            healed = time.monotonic()
            await asking.answered()
            back = time.monotonic() - healed
            await asking.stop()
            self._note(f"black hole, what is sent is {name}", asking, f"{back:.3f} s", turns.longest)
        await pool.close()

    async def _close_in_it(self) -> None:
        pool = self._pool()
        with timed(Reactor.current().loop) as turns:
            asking = Asking(pool, self._arguments.clients, self._arguments.deadline)
            await deferLater(None, 1.0, lambda: None)
            await deferToThread(self._proxy.blackHole)
            await deferLater(None, 0.5, lambda: None)
            began = time.monotonic()
            await pool.close(2.0)
            took = time.monotonic() - began
            await asking.done
            self._note("close(2.0) in a black hole", asking, f"(closed after {took:.3f} s)", turns.longest)
        await deferToThread(self._proxy.heal)

    async def _restart(self) -> None:
        pool = self._pool()
        with timed(Reactor.current().loop) as turns:
            asking = Asking(pool, self._arguments.clients, self._arguments.deadline)
            await deferLater(None, 1.0, lambda: None)
            await deferToThread(self._database.postgres.stop)
            await deferLater(None, self._arguments.seconds / 4, lambda: None)
            await deferToThread(self._database.postgres.start)
            began = time.monotonic()
            await asking.answered()
            back = time.monotonic() - began
            await asking.stop()
            self._note("the server is restarted", asking, f"{back:.3f} s", turns.longest)
        await pool.close()

    def _note(self, what: str, asking: Asking, back: str, longest: float) -> None:
        told = ", ".join(f"{count} {name}" for name, count in sorted(asking.told.items()))
        self._rows.append((what, told, f"{asking.latest * 1e3:.1f} ms", back, f"{longest * 1e3:.1f} ms"))
        self.failed |= asking.latest > TOO_LATE or longest > LONGEST_TURN or asking.told["wrong"] > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--connections", type=int, default=8, help="cp_max")
    parser.add_argument("--deadline", type=float, default=1.0, help="of each question, in seconds")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the black hole lasts")
    arguments = parser.parse_args()
    with openOwnServer() as postgres, Database(postgres) as database, FaultyProxy(*database.server) as proxy:
        experiment = Experiment(database, proxy, arguments)
        run(experiment.run)
    return int(experiment.failed)


if __name__ == "__main__":
    sys.exit(main())
