"""What a worker thread reports of calls that share a transaction (`asyncdb._core._sharing`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from asyncdb._core import EntryState
from asyncdb._worker._call import Call, Slot
from asyncdb._worker._reports import log_slow
from asyncdb._worker._steps import Steps
from asyncdb.errors import CommitUnknown
from netcore.failure import Failure

__all__ = ["Together", "Undone"]


class Undone(BaseException):
    """Nothing is left of what a call has done, and no fault of its own is known: it is to be made again, alone."""


class Together(Steps):
    """The steps of calls that share a transaction.

    Threading: in worker threads.
    """

    __slots__ = ()

    def following(self) -> Call | None:
        """The call that waits longest, most likely: another thread may take it."""
        waiting = self.core.queue.normal
        try:
            return waiting[0] if waiting else None
        except IndexError:
            return None

    def share(self, slot: Slot, joins: Callable[[Call], object]) -> bool:
        """The statement of *slot*'s call was executed: is the next call to be part of its transaction?

        Args:
            joins: asked under the lock.
        Returns: True: it is *slot*'s call now, and the one before it is held.
        """
        with self._lock:
            return self.core.share(slot, self._seconds(), joins)

    def committed(self, slot: Slot, results: Sequence[tuple[Call, Any]]) -> None:
        """The calls that *slot* holds have ended: those of *results*."""
        with self._lock:
            now = self._seconds()
            self.core.committed(slot, now)
        for call, value in results:
            self._delivery.post(call, value, True)
            took = now - call.started
            if took >= self._slow:
                log_slow(self._name, call, took, None, self._log_parameters)

    def unknown(self, slot: Slot, told: str) -> None:
        """Whether the calls that *slot* holds are committed is not known: they fail with CommitUnknown."""
        held = [cast("Call", job) for job in slot.held]
        with self._lock:
            self.core.tally.failed += len(held)
            self.core.committed(slot, self._seconds())
        for call in held:
            self._delivery.post(call, Failure(CommitUnknown(told)))

    def undone(self, slot: Slot, own: bool = False) -> EntryState:
        """Nothing is left of what the calls that *slot* holds have done: each is to be made again, alone.

        Args:
            own: *slot*'s call, too.
        Returns: the state to go on with.
        """
        for job in (*slot.held, slot.job) if own else slot.held:
            call = cast("Call", job)
            call.task = call.task.alone or call.task
        return self._tell(lambda slot, now: self.core.undone(slot, now, own), slot)

    def _failed(self, slot: Slot, call: Call, error: BaseException) -> EntryState:
        if isinstance(error, Undone):
            return self.undone(slot, own=True)
        return super()._failed(slot, call, error)
