"""Several jobs in one transaction: of databases that let one write at a time, and take long to commit.

The thread that has executed one job's statement asks for the next (`Sharing.share`), and executes it in the same
transaction. The jobs before it are *held*: their outcome is that of the COMMIT, which `Sharing.committed` reports, or
`Sharing.undone`, if nothing of them is left.

Invariants:

- A held job is RUNNING, or ABANDONED, and ``committing``. Its caller may give it up, or its deadline may: that
  interrupts nothing, since ``entry.job`` is the only one whose statement runs.
- What is undone goes back to its place in the queue, unless its caller was answered. It has had its connection in time:
  from then on only its deadline counts.
- An entry reports the end of its own job (`Core.finished`, `Core.failed`, `Core.lost`) with none held.
"""

from __future__ import annotations

from collections.abc import Callable

from asyncdb._core._ground import E, J
from asyncdb._core._orders import Orders
from asyncdb._core._states import EntryEvent, EntryState, JobEvent, JobState, advance, illegal
from asyncdb._core._timing import Timed
from asyncdb._core._told import closed_and_undone

__all__ = ["Sharing"]

_BUSY = EntryState.BUSY
_WAITING, _RUNNING = JobState.WAITING, JobState.RUNNING


class Sharing(Timed[E, J]):
    """A pool whose jobs may share a transaction."""

    __slots__ = ()

    def share(self, entry: E, now: float, joins: Callable[[J], object]) -> bool:
        """The statement of the job was executed. Is the job that waits longest to be executed in its transaction?

        Args:
            joins: whether that may be.
        Returns: True: the job is held, and ``entry.job`` is the next one. False: nothing has changed.
        """
        job, queue = entry.job, self.queue
        if job is None or job.state is not _RUNNING or now >= entry.expires:  # only who is BUSY has one that is RUNNING
            return False
        if not queue.alive or queue.others or self._held_up:
            return False
        following = queue.normal[0]
        if following.state is not _WAITING or not joins(following):
            return False
        entry.held.append(job)
        self._start(entry, self._take(), now)
        return True

    def committed(self, entry: E, now: float) -> None:
        """The transaction is committed. The held jobs have ended; ``entry.job`` has yet to be reported."""
        held = entry.held
        if not held:
            raise illegal("committed", entry)
        began = held[0].started
        for each in held:
            self._ran.append(now - each.started)
            self._waited.append(each.started - each.submitted)
            advance(each, JobEvent.FINISHED)
        self._look_at_times((now - began) / (len(held) + 1), now)
        held.clear()

    def undone(self, entry: E, now: float, own: bool = False) -> Orders[E, J]:
        """The transaction has come to nothing: the held jobs have yet to be done.

        Args:
            own: ``entry.job``, too. The entry is then free, and takes the first of them most likely.
        """
        job = entry.job
        if not entry.held or job is None:
            raise illegal("undone", entry)
        orders: Orders[E, J] = Orders()
        for each in reversed((*entry.held, job) if own else entry.held):
            self._put_back(self._mine(each), orders, now)
        entry.held.clear()
        if own:
            entry.job = None
            if entry.state is _BUSY:
                entry.since = entry.proven = now
                if job.interrupted and not self.closing:  # a moment ago: it has not hit anything yet
                    self._check(entry, now)
                else:
                    self._move(entry, EntryEvent.FINISHED)
                    self._settle(entry, now)
        self._match(orders, now)
        return orders

    def _put_back(self, job: J, orders: Orders[E, J], now: float) -> None:
        wanted = job.state is _RUNNING
        job.committing = False
        advance(job, JobEvent.REQUEUED)
        if not wanted:
            return
        if self.closing:
            advance(job, JobEvent.DROPPED)
            self.tally.closed_waiting += 1
            orders.fail.append((job, closed_and_undone()))
            return
        job.patience = job.deadline  # it had its connection in time
        self._waits.forget(job)  # which may have left it among those whose patience ends in their order
        self.queue.put_back(job)
        self._waits.add(job, self.queue.alive)
        self._note(min(job.patience, now + self._leak_after))  # it may start now, and be held for long
