"""Statements of several calls in one transaction: COMMIT is most of what a short write to SQLite costs.

A call that writes by one statement in autocommit, and finds others waiting when its turn to write has come, begins a
transaction. Those that wait are executed in it, in their order, as long as they are of its kind, and one COMMIT ends
it: then all have their results.

Invariants:

- No call has its result before the COMMIT. If nothing comes of that, all go back to the queue, and each is made again
  in a transaction of its own (`Together.undone`), so that its outcome is its own.
- A statement's error is its own call's only: SQLite undoes the one statement, and the others are committed. Where it
  has undone the whole transaction (``ON CONFLICT ROLLBACK``, an interrupt, a full disk), those before it are made
  again, and so is this one, if anybody waits for it: what it met may never come to be.
- Those before it wait for a statement, so only texts join that were quick when they were last executed: within `QUICK`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from asyncdb._commit import Abandoned, patiently
from asyncdb._core import JobState
from asyncdb._worker import Call, Slot, Undone
from asyncdb.dialect import Driver
from asyncdb.errors import CommitUnknown

__all__ = ["SharedCommits"]

QUICK = 0.001
"""Seconds: others wait for statements whose text took no longer the last time."""
LONGEST = 0.002
"""Seconds after which none joins a transaction any more."""
MOST = 64
"""Statements in one transaction."""
REMEMBERED = 256
"""Texts, at most, and only those that are no longer than ..."""
LONGEST_TEXT = 2000
"""... so many characters: a program may put values into them, and there would be no end to them."""

_ABANDONED = JobState.ABANDONED


class SharedCommits:
    """Runs calls whose turn to write has come.

    Args:
        driver: whose `begin_shared` begins a transaction.
    Threading: worker threads, each with its turn.
    """

    __slots__ = ("_driver", "_quick")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._quick: dict[str, bool] = {}  # by text. False: it was not, and perhaps because of its COMMIT

    def run(self, slot: Slot, call: Call, alone: Callable[..., Any]) -> Any:
        """Run *call*: together with those that wait, if they may join it, else *alone*.

        Returns: the result of the call that is *slot*'s then. Raises: what its statement raises. In either case none
            is held any more.
        """
        quick = self._quick.get(call.args[0])
        if quick is None:
            return self._run_alone(slot, call, alone)
        following = call.crew.following()
        if (
            following is not None
            and (not quick or self._joins(following))
            and self._driver.begin_shared(slot.connection)
        ):
            return self._run_together(slot, call)
        return call.context.run(alone, slot, call)

    def _run_alone(self, slot: Slot, call: Call, alone: Callable[..., Any]) -> Any:
        seconds, text = call.crew.host.seconds, call.args[0]
        began = seconds()
        value = call.context.run(alone, slot, call)
        if type(text) is str and len(text) <= LONGEST_TEXT and self._driver.may_share(text):
            if len(self._quick) >= REMEMBERED:
                self._quick.clear()
            self._quick[text] = seconds() - began <= QUICK
        return value

    def _joins(self, call: Call) -> bool:
        args = call.args
        return call.task.part is not None and bool(args) and type(args[0]) is str and self._quick.get(args[0], False)

    def _run_together(self, slot: Slot, call: Any) -> Any:
        """In the transaction that has begun."""
        crew = call.crew
        share, seconds = crew.share, crew.host.seconds
        done: list[tuple[Call, Any]] = []
        opened = began = seconds()
        try:
            while True:
                value = call.context.run(call.task.part, slot, call)
                now = seconds()
                quick = self._quick[call.args[0]] = now - began <= QUICK
                call.committing = True
                if call.state is _ABANDONED:
                    raise Abandoned
                if not quick or now - opened > LONGEST or len(done) == MOST - 1 or not share(slot, self._joins):
                    break
                done.append((call, value))
                call, began = slot.job, now
        except BaseException:
            if seconds() - began > QUICK:
                self._quick[call.args[0]] = False
            if self._end_failed(slot, call, done):
                raise Undone from None
            raise
        self._commit(slot, call, done)
        if done:
            crew.committed(slot, done)
        return value

    def _end_failed(self, slot: Slot, call: Call, done: list[tuple[Call, Any]]) -> bool:
        """The statement of *call* has failed: end the transaction, with what was done before it if that is possible.

        Returns: whether *call* is to be made again as well.
        """
        driver, connection, crew = self._driver, slot.connection, call.crew
        call.committing = True  # from here on no interrupt is sent
        again = bool(done)
        if not self._is_open(connection):
            self._quick.pop(call.args[0], None)  # it has undone all, and would again
        elif call.state is not _ABANDONED:  # else an interrupt may be on its way
            # With what the statement has done before it failed (INSERT OR FAIL), as in autocommit. Once: nobody waits
            # for a lock because of it.
            try:
                driver.commit(connection)
            except BaseException as error:
                again = self._refused(slot, call, error)
            else:
                again = False
                if done:
                    crew.committed(slot, done)
        call.committing = False
        done.clear()  # this is in the error's traceback, and that is none of the others' business
        if not self._undo(connection) or call.state is _ABANDONED:
            if slot.held:
                crew.undone(slot)
            return False
        return again

    def _commit(self, slot: Slot, call: Call, done: list[tuple[Call, Any]]) -> None:
        """Raises: Undone: nothing of the transaction is left. Else what the driver raises for *call*."""
        driver, connection, shared = self._driver, slot.connection, bool(done)
        try:
            patiently(driver, call, partial(driver.commit, connection))
        except BaseException as error:
            done.clear()
            undone, again = self._is_open(connection), self._refused(slot, call, error)
            clean = self._undo(connection)
            if shared and not undone:
                raise CommitUnknown(_refusal(error)) from error
            call.committing = False
            if again and clean and not driver.is_busy(error):
                raise Undone from None
            if again:  # but without this one, which has waited for a lock as long as it may, or has a stuck transaction
                call.crew.undone(slot)
            raise
        assert driver.turns is not None
        driver.turns.give(connection)

    def _refused(self, slot: Slot, call: Call, error: BaseException) -> bool:
        """COMMIT has failed with *error*. Returns: whether there are others which are certainly not committed."""
        if slot.held and not self._is_open(slot.connection):
            call.crew.unknown(slot, _refusal(error))
        return bool(slot.held)

    def _is_open(self, connection: Any) -> bool:
        """Whether a transaction is: then nothing of it is committed."""
        with suppress(BaseException):
            return self._driver.in_transaction(connection)
        return False

    def _undo(self, connection: Any) -> bool:
        """Returns: whether no transaction is open."""
        with suppress(BaseException):  # the worker tries it again, and else gives the connection up
            if self._driver.in_transaction(connection):
                self._driver.rollback(connection)
            return True
        return False


def _refusal(error: BaseException) -> str:
    return f"COMMIT of a transaction that several calls shared failed: {str(error).strip()}"
