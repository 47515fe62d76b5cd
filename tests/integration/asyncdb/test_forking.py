"""Processes that are forked while a pool is at work: each of the two has connections of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asyncdb.testing.postgres import Database
from tests.support.process import Spawn

# From Python 3.12 on, a fork in a process with threads is warned of: rightly, but people do it, and so do we here.
FLAGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")

BEGINNING = """
import asyncio, multiprocessing, os, sys, threading
from asyncdb import ConnectionPool, NotCheckedOut
from netcore.defer import ensureDeferred
from netcore.reactors import Reactor

name, database = sys.argv[1:]
pool = ConnectionPool(name, database, cp_max=2, cp_min=0)
WHO = "SELECT pg_backend_pid()" if name == "psycopg2" else "SELECT 0"
inside, go_on = threading.Event(), threading.Event()

def say(*words):
    print(*words, flush=True)

def stay(connection):
    cursor = connection.cursor()
    cursor.execute(WHO)
    (who,), = cursor.fetchall()
    inside.set()
    go_on.wait(30)
    cursor.execute(WHO)
    assert cursor.fetchall() == [(who,)]
    return who

async def before():
    # Two connections: one at rest, one at work when the process forks.
    busy = pool.runWithConnection(stay)
    while not inside.is_set():
        await pool.runQuery(WHO)
    (resting,), = await pool.runQuery(WHO)
    return busy, resting

async def after(busy, resting):
    # The parent's connections are what they were.
    (found,), = await pool.runQuery(WHO)
    assert found == resting
    go_on.set()
    assert await busy == found or name == "psycopg2"
    assert pool.stats().connected == 2
    await pool.close()
    say("parent: all is well")

async def in_child(others):
    assert pool.stats().state == "not started", pool
    (mine,), = await pool.runQuery(WHO)
    assert name != "psycopg2" or mine != others
    assert pool.stats().connected == 1
    await pool.close()
    say("child: all is well")

def wait_for(pid):
    assert os.waitpid(pid, 0)[1] == 0

def forked(function):
    # Fork; call *function* in the child, which then ends. Returns the child's number.
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        function()
        status = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        os._exit(status)
"""

IN_ASYNCIO = """
async def main():
    busy, resting = await before()
    wait_for(forked(lambda: None))
    wait_for(forked(lambda: asyncio.run(in_child(resting))))
    for use in (lambda: None, lambda: asyncio.run(in_child(resting))):
        child = multiprocessing.get_context("fork").Process(target=use)
        child.start()
        child.join()
        assert child.exitcode == 0
    await after(busy, resting)

asyncio.run(main())
"""


@pytest.fixture(params=["sqlite3", "psycopg2"])
def arguments(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The driver, and what it connects to."""
    if request.param == "sqlite3":
        return "sqlite3", str(tmp_path / "x.db")
    database: Database = request.getfixturevalue("database")
    return "psycopg2", database.dsn


def output(spawn: Spawn, source: str, arguments: tuple[str, str]) -> str:
    program = spawn(sys.executable, *FLAGS, "-c", BEGINNING + source, *arguments)
    assert program.wait() == 0, program.output
    return program.output


def test_a_child_has_connections_of_its_own_or_ends_in_silence_and_the_parents_stay(
    spawn: Spawn, arguments: tuple[str, str]
) -> None:
    """By fork and by multiprocessing; the children run loops of their own, for asyncio's does not outlive a fork."""
    told = output(spawn, IN_ASYNCIO, arguments)
    assert told == "child: all is well\nchild: all is well\nparent: all is well\n"


LENT = """
async def use(lent):
    for _ in range(2):
        try:
            pool.disconnect(lent)
        except NotCheckedOut as error:
            assert "forked" in str(error), error
        else:
            raise AssertionError
        await pool.runQuery(WHO)
    assert pool.stats().lent == 0
    await pool.close()
    say("child: all is well")

async def main():
    lent = await pool.connect()
    cursor = lent.cursor()
    cursor.execute(WHO)
    who = cursor.fetchall()
    wait_for(forked(lambda: asyncio.run(use(lent))))
    cursor.execute(WHO)
    assert cursor.fetchall() == who
    await pool.disconnect(lent)
    await pool.close()
    say("parent: all is well")

asyncio.run(main())
"""


def test_a_child_cannot_give_back_what_its_parent_has_borrowed(spawn: Spawn, arguments: tuple[str, str]) -> None:
    assert output(spawn, LENT, arguments) == "child: all is well\nparent: all is well\n"
