"""What a worker thread reports of calls that share a transaction (`asyncdb._core._sharing`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from asyncdb._worker._call import Call, Slot
from asyncdb._worker._reports import log_slow
from asyncdb._worker._steps import Steps

__all__ = ["Together"]


class Together(Steps):
    """The steps of calls that share a transaction.

    Threading: in worker threads.
    """

    __slots__ = ()

    def share(self, slot: Slot, joins: Callable[[Call], object]) -> bool:
        """The statement of *slot*'s call was executed: is the next call to be part of its transaction?

        Returns: True: it is *slot*'s call now, and the one before it is held.
        """
        with self._lock:
            return self.core.share(slot, self._seconds(), joins)

    def committed(self, slot: Slot, results: Sequence[tuple[Call, Any, float]], alone: float) -> None:
        """The calls that *slot* holds have ended: those of *results*, each with its result and what it took.

        Args:
            alone: the seconds that one of them would have taken in a transaction of its own.
        """
        with self._lock:
            self.core.committed(slot, alone, self._seconds())
        for call, value, took in results:
            self._delivery.post(call, value, True)
            if took >= self._slow:
                log_slow(self._name, call, took, None, self._log_parameters)

    def undone(self, slot: Slot) -> None:
        """Nothing is left of what the calls that *slot* holds have done: each is to be done again, alone."""
        with self._lock:
            for held in slot.held:
                call = cast("Call", held)
                call.task = call.task.alone or call.task
            orders = self.core.undone(slot, self._seconds())
        self._carry_out(orders)
        if self._wake_at() < self._armed_for:
            self._delivery.wake(self._arm)
        self._look_ended()
