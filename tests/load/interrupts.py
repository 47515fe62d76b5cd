"""How soon a database has stopped working on what nobody waits for any more.

    python -m tests.load.interrupts --times 100

PostgreSQL: from `Deferred.cancel()` of ``SELECT pg_sleep(60)`` until pg_stat_activity, asked all the time by another
connection, says that its backend is idle. SQLite: from the cancel of a recursive query without end until the same
connection has served the next query. It prints how long that took. The exit status is 1 if any took more than 100 ms,
or a connection was lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from asyncdb import ConnectionPool
from asyncdb.testing.postgres import Database, openOwnServer
from netcore.defer import CancelledError
from netcore.threads import deferToThread
from tests.load.running import run

LIMIT = 0.1
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(begun()) FROM n"


async def cancelled(call: Any) -> None:
    """Cancel *call*, which runs."""
    call.cancel()
    try:
        await call
    except CancelledError:
        return
    raise AssertionError("it had ended by itself")


async def postgres_took(database: Database, times: int) -> list[float]:
    """The seconds for each of *times* statements."""
    took = []
    connection = database.postgres.connect()
    cursor = connection.cursor()

    def until(state: str, pid: int) -> float:
        while True:
            cursor.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (pid,))
            if cursor.fetchall() == [(state,)]:
                return time.monotonic()

    async with ConnectionPool("psycopg2", database.dsn, cp_max=1) as pool:
        ((pid,),) = await pool.runQuery("SELECT pg_backend_pid()")
        for _ in range(times):
            call = pool.runQuery("SELECT pg_sleep(60)")
            await deferToThread(until, "active", pid)
            began = time.monotonic()
            await cancelled(call)
            took.append(await deferToThread(until, "idle", pid) - began)
            assert await pool.runQuery("SELECT pg_backend_pid()") == [(pid,)], "another connection"
    connection.close()
    return took


async def sqlite_took(folder: str, times: int) -> list[float]:
    """The seconds for each of *times* statements."""
    begun = threading.Event()
    took = []

    def openfun(connection: Any) -> None:
        connection.create_function("begun", 0, begun.set)

    async with ConnectionPool("sqlite3", str(Path(folder) / "db"), cp_max=1, cp_openfun=openfun) as pool:
        for _ in range(times):
            begun.clear()
            call = pool.runQuery(ENDLESS)
            await deferToThread(begun.wait)
            began = time.monotonic()
            await cancelled(call)
            assert await pool.runQuery("SELECT 1") == [(1,)]
            took.append(time.monotonic() - began)
        assert pool.stats().connected == 1, "another connection"
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    arguments = parser.parse_args()
    worst = 0.0
    with openOwnServer() as postgres, Database(postgres) as database, tempfile.TemporaryDirectory() as folder:
        print("| database | times | p50 | p99 | longest |\n|---|---|---|---|---|")
        for name, took in (
            (f"PostgreSQL {postgres.version}", run(lambda: postgres_took(database, arguments.times))),
            ("SQLite", run(lambda: sqlite_took(folder, arguments.times))),
        ):
            took.sort()
            median, late = took[len(took) // 2], took[(len(took) * 99 - 1) // 100]
            cells = (name, str(len(took)), *(f"{seconds * 1e3:.1f} ms" for seconds in (median, late, took[-1])))
            print(f"| {' | '.join(cells)} |")
            worst = max(worst, took[-1])
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
