"""Statements of several calls in one transaction: COMMIT is most of what a short write to SQLite costs.

A call that writes by one statement in autocommit, and finds others waiting when its turn to write has come, begins a
transaction. Those that wait, in their order, are executed in it as long as they are of its kind, and one COMMIT ends
it: then all have their results. Each sees what it would have seen alone, one after another.

Invariants:

- No call has its result before the COMMIT. If that fails, nothing of it has happened: each call is made again, alone
  (`Together.undone`), and its outcome is its own.
- A statement's error is its own call's only: SQLite undoes the one statement. Where it has undone the whole transaction
  (``ON CONFLICT ROLLBACK``, an interrupt, a full disk), those before it are made again.
- Those before it wait for a statement, so only texts join that were quick when they were last executed: within `QUICK`.
  A text that is not known is executed first in a transaction, where nobody waits for it but those in the queue.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncdb._commit import Abandoned, patiently
from asyncdb._core import Job, JobState
from asyncdb._worker import Call, Slot
from asyncdb.dialect import Driver

if TYPE_CHECKING:
    from asyncdb._worker._crew import Crew

__all__ = ["SharedCommits"]

QUICK = 0.001
"""Seconds: a statement that takes longer is executed in a transaction of its own."""
LONGEST = 0.002
"""Seconds after which none joins a transaction any more."""
MOST = 64
"""Statements in one transaction."""
REMEMBERED = 256
"""Texts, at most: a program may put values into them."""

_ABANDONED = JobState.ABANDONED


class SharedCommits:
    """Runs calls whose turn to write has come.

    Args:
        driver: whose `begin_shared` begins a transaction.
    Threading: any worker thread, one at a time: whoever has the turn.
    """

    __slots__ = ("_driver", "_quick")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._quick: set[str] = set()  # texts

    def begins(self, slot: Slot, call: Call) -> bool:
        """Begin a transaction for *call*, if others may join it, or if nobody knows yet whether it is quick.

        Returns: whether one was begun: then `run` must follow.
        """
        waiting = call.crew.core.queue.normal
        if not waiting or call.task.part is None:
            return False
        try:
            wanted = call.args[0] not in self._quick or self._joins(waiting[0])
        except IndexError:  # another thread was faster
            return False
        return wanted and self._driver.begin_shared(slot.connection)

    def _joins(self, call: Call) -> bool:
        args = call.args
        return call.task.part is not None and bool(args) and type(args[0]) is str and args[0] in self._quick

    def run(self, slot: Slot, call: Any) -> Any:
        """Execute the statement of *call* in the transaction that has begun, and those that join it, and commit.

        Returns: the result of the call that is *slot*'s then. Raises: what its statement raises. In either case none
            is held any more.
        """
        driver, crew = self._driver, call.crew
        share, seconds = crew.share, crew.host.seconds
        done: list[tuple[Call, Any, float]] = []
        opened = began = seconds()
        try:
            while True:
                value = call.context.run(call.task.part, slot, call)
                now = seconds()
                took, began = now - began, now
                self._learn(call, took)
                call.committing = True
                if call.state is _ABANDONED:
                    call.committing = False
                    raise Abandoned  # after an interrupt that may yet come, and hit the COMMIT
                if took > QUICK or now - opened > LONGEST or len(done) == MOST - 1 or not share(slot, self._joins):
                    break
                done.append((call, value, took))
                call = slot.job
        except BaseException as error:
            self._end(slot, crew, done, opened, undo=isinstance(error, Abandoned))
            raise
        try:
            patiently(driver, call, partial(driver.commit, slot.connection))
        except BaseException as error:
            self._end(slot, crew, done, opened, undo=True)
            call.committing = False
            if call.state is _ABANDONED:
                raise Abandoned from None
            if not done or driver.is_busy(error):
                raise
            return call.task.alone.run(slot, call)  # it may be another's fault
        if done:
            crew.committed(slot, done, (began - opened) / (len(done) + 1) + seconds() - began)
        return value

    def _learn(self, call: Call, took: float) -> None:
        text, quick = call.args[0], self._quick
        if took > QUICK:
            quick.discard(text)
        elif text not in quick:
            if len(quick) >= REMEMBERED:
                quick.clear()
            quick.add(text)

    def _end(self, slot: Slot, crew: Crew, done: list[tuple[Call, Any, float]], opened: float, undo: bool) -> None:
        """The call that is *slot*'s has failed. What is *done* stays, unless it is to be undone, or is already."""
        driver, connection = self._driver, slot.connection
        try:
            if not driver.in_transaction(connection):
                undo = True
            elif undo:
                driver.rollback(connection)
            else:
                # With what a statement has done before it failed (INSERT OR FAIL), as in autocommit.
                patiently(driver, Job(), partial(driver.commit, connection))
        except Exception:
            undo = True
            with suppress(Exception):  # the worker tries it again, and else gives the connection up
                driver.rollback(connection)
        if not done:
            return
        if undo:
            crew.undone(slot)
        else:
            crew.committed(slot, done, (crew.host.seconds() - opened) / (len(done) + 1))
