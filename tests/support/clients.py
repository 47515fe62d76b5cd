"""Clients that read and write through a pool for as long as they are let, and count what they are told.

A client makes one call after the other: a read, whose answer shows whether it is the one to this question, or a
transaction of the ledger. What fails is counted by what the caller was told; it is not tried again, and the client goes
on.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import Any

import psycopg2

from asyncdb import AsyncdbError, CommitUnknown, ConnectionPool
from netcore.defer import Deferred, ensureDeferred, gatherResults
from netcore.reactors import Reactor
from tests.support.ledger import ACCOUNTS, FRESH, Dirty, Ledger, Outcome, move

__all__ = ["Clients", "Tally", "name_of"]


@dataclasses.dataclass
class Tally:
    """What clients were told, in one time span.

    Attributes: *right*, answers that were right; *failed*, errors by name; *wrong*, what was wrong, in words.
    """

    right: int = 0
    failed: Counter[str] = dataclasses.field(default_factory=Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)


def name_of(error: BaseException) -> str:
    """The class of *error*, with PostgreSQL's code for it."""
    code = getattr(error, "pgcode", None)
    return f"{type(error).__name__}{f' ({code})' if code else ''}"


class Clients:
    """So many clients of *pool*, which write into *ledger*.

    Args:
        writes: which part of the calls are transactions.
        pause: seconds that a client rests between two calls.
    Attributes: *tally*, that of now: `turn` begins another.
    Threading: the reactor's thread.
    """

    def __init__(
        self, pool: ConnectionPool, ledger: Ledger, count: int, seed: int = 1, writes: float = 0.4, pause: float = 0.0
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._chance = random.Random(seed)
        self._writes = writes
        self._pause = pause
        self._number = 0
        self._running = True
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._since = [0] * count  # right answers of each client since `each` was last asked
        self._everyone: Deferred[None] | None = None
        self.tally = Tally()
        self._done: Deferred[list[None]] = gatherResults(
            [ensureDeferred(self._client(index)) for index in range(count)]
        )

    async def more(self, count: int) -> None:
        """Wait until there were *count* right answers more."""
        done: Deferred[None] = Deferred()
        self._waiting.append((self.tally.right + count, done))
        await done

    async def each(self) -> None:
        """Wait until each client has had a right answer to something it asks from now on."""
        # The first answer may be to a question that was asked before.
        self._since = [-1] * len(self._since)
        done: Deferred[None] = Deferred()
        self._everyone = done
        await done

    def turn(self) -> Tally:
        """Begin another tally. Returns that of the time before. Nobody may be waiting for `more`."""
        assert not self._waiting
        before, self.tally = self.tally, Tally()
        return before

    async def stop(self) -> None:
        """No more calls; wait for those that were made."""
        self._running = False
        await self._done

    async def _client(self, index: int) -> None:
        reactor = Reactor.current()
        while self._running:
            self._number += 1
            told = await self._call(self._number)
            if told is None:
                self.tally.right += 1
                self._look(index)
            elif isinstance(told, str):
                self.tally.wrong.append(told)
            else:
                self.tally.failed[name_of(told)] += 1
            # A pool that refuses answers at once: others shall have their turn.
            await _after(reactor, 0.001 if isinstance(told, Exception) else self._pause)

    async def _call(self, number: int) -> Exception | str | None:
        """Make one call. Returns None if it went well, an error, or what is wrong."""
        writes = self._chance.random() < self._writes
        try:
            if not writes:
                rows = await self._pool.runQuery(f"{FRESH}, %s", (number,))
                return None if rows[0][2] == number and not rows[0][0] and rows[0][1] is None else f"{number}: {rows}"
            source, target = self._chance.sample(range(ACCOUNTS), 2)
            answer = await self._pool.runInteraction(move, number, source, target, self._chance.randrange(1, 50))
        except Exception as error:
            if writes:
                unknown = isinstance(error, CommitUnknown)
                self._ledger.told(number, Outcome.UNKNOWN if unknown else Outcome.NOT_DONE)
            if isinstance(error, Dirty) or not isinstance(error, (AsyncdbError, psycopg2.Error)):
                return f"{number}: {error!r}"
            return error.with_traceback(None)
        self._ledger.told(number, Outcome.DONE)
        return None if answer == number else f"{number}: {answer!r}"

    def _look(self, index: int) -> None:
        while self._waiting and self.tally.right >= self._waiting[0][0]:
            self._waiting.pop(0)[1].callback(None)
        self._since[index] += 1
        if self._everyone is not None and min(self._since) > 0:
            done, self._everyone = self._everyone, None
            done.callback(None)


def _after(reactor: Any, seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done
