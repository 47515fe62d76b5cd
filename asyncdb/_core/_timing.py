"""What time does to the pool: calls run out of it, connections grow old, attempts take too long, and the pool ends.

Invariant: ``wake_at`` is never later than the earliest moment at which `Timed.expire` has something to do. So one timer
is enough; it is moved forward only, and what has become of its reason is found out when it fires. It is the earlier of
two: ``stall_at``, while calls are left to the threads at work (`_crowd`), and ``due_at``, for everything else.
"""

from __future__ import annotations

import math

from asyncdb._core._crowd import STALL
from asyncdb._core._ground import UNDER_WAY, E, Ground, J
from asyncdb._core._orders import Orders
from asyncdb._core._states import EntryEvent, EntryState, JobEvent, JobState, advance
from asyncdb._core._told import closed_while_running, no_connection, not_committed, not_ended
from asyncdb.errors import DeadlineExceeded

__all__ = ["CUT_AGAIN", "CUT_GRACE", "Timed"]

# How long a closing pool waits, after cutting what still ran at its deadline, for the cut threads to come back ...
CUT_GRACE = 1.0
# ... and how often it cuts again: sqlite3's interrupt() is lost on a connection that is between two statements.
CUT_AGAIN = 0.1

_CONNECTING, _CHECKING, _IDLE, _BUSY, _LENT, _RESETTING, _CLOSING = (
    EntryState.CONNECTING,
    EntryState.CHECKING,
    EntryState.IDLE,
    EntryState.BUSY,
    EntryState.LENT,
    EntryState.RESETTING,
    EntryState.CLOSING,
)
_RUNNING = JobState.RUNNING
LENT = -1  # instead of the number of a job: whoever has borrowed the connection


class Timed(Ground[E, J]):
    """A pool for which time passes."""

    __slots__ = ()

    def expire(self, now: float) -> Orders[E, J]:
        """Do whatever is due. Call at ``wake_at`` or at any other time; sets ``wake_at`` anew."""
        orders: Orders[E, J] = Orders()
        if now < self.due_at and self._crowded(now):
            self.stall_at = self._next_stall(now)
            return orders
        self._expire_waiting(orders, now)
        for entry in list(self.entries):
            state = entry.state
            if state in UNDER_WAY:
                # The bound on threads that may be stuck: with as many astray as there may be connections, the next one
                # keeps its place among the entries until one of them comes back.
                if entry.deadline <= now and self._room_astray():
                    self._time_out(entry, orders, now)
            elif state is _BUSY:
                self._expire_running(entry, orders, now)
            elif state is _LENT:
                self._look_held(entry, LENT, entry.since, orders, now)
        if self._idle:
            self._look_after_idle(orders, now)
        if now >= self._close_at:
            self._cut_off(orders, now)
        crowded = self._crowded(now)
        if not crowded:
            self._match(orders, now)
        elif self._keeps and len(self.entries) < self._min and self._may_grow(now):
            self._grow(orders, now)
        self._look_drained(orders, now)
        self.due_at = self._next_due(now)
        self.stall_at = self._next_stall(now) if crowded else math.inf
        return orders

    def _next_stall(self, now: float) -> float:
        """When to look again whether those at work make room. Called while they do."""
        waited_for = self.queue.alive and (self._idle or len(self.entries) < self._max)
        return now + STALL if waited_for else math.inf

    def _next_due(self, now: float) -> float:
        if self.drained:
            return math.inf
        moments = [self._waits.earliest()]
        room_astray = self._room_astray()
        spare = self._spare()
        for entry in self.entries:
            state, job = entry.state, entry.job
            if state in UNDER_WAY:
                if room_astray or entry.deadline > now:  # from then on nobody counts on it
                    moments.append(entry.deadline)
            elif state is _BUSY and job is not None:
                if job.state is _RUNNING:
                    moments.append(job.deadline)
                else:
                    moments.append(entry.again)
                    if room_astray:
                        moments.append(entry.deadline)
                moments.extend(held.deadline for held in entry.held if held.state is _RUNNING)
                if entry.reported != job.sequence:
                    moments.append(job.started + self._leak_after)
            elif state is _LENT and entry.reported != LENT:
                moments.append(entry.since + self._leak_after)
            elif state is _IDLE:
                moments.append(self._upkeep.next(entry, spare))
        if self.queue.alive:
            moments.append(now + self._leak_after)  # the next of them starts at any moment
        if self.outage.retry_at > now:
            moments.append(self.outage.retry_at)  # waiting or not: who comes before it relies on it
        if self._end_at != math.inf:
            moments.append(min(self._end_at, now + CUT_AGAIN))
        elif self.closing:
            moments.append(self._close_at)
        return min(moments)

    # --------------------------------------------------------------------------------------------------------- calls

    def _expire_waiting(self, orders: Orders[E, J], now: float) -> None:
        if self._waits.earliest() > now:
            return
        figures = self.figures()  # as it was before the first of them left
        for job in self._waits.overdue(now):
            self._drop(job)
            self.tally.wait_timeouts += 1
            orders.fail.append((job, no_connection(job, figures, self.outage.error, self._redact)))

    def _expire_running(self, entry: E, orders: Orders[E, J], now: float) -> None:
        job = entry.job
        assert job is not None
        if job.state is not _RUNNING:
            if now >= entry.deadline and self._room_astray():
                self._cut_loose(entry, orders)
            elif now >= entry.again and self._again is not None:
                self._interrupt(entry, job, orders, now, self._again)
        elif now >= job.deadline:
            self.tally.timeouts += 1
            figures = self.figures()
            self._give_up(entry, job, orders, now)  # first: whoever begins to commit now sees that it is too late
            orders.fail.append((self._mine(job), not_ended(job, figures)))
        for held in entry.held:
            if held.state is _RUNNING and now >= held.deadline:
                self.tally.timeouts += 1
                advance(held, JobEvent.ABANDONED)
                orders.fail.append((self._mine(held), not_committed(held)))
        if entry.state is _BUSY:
            self._look_held(entry, job.sequence, job.started, orders, now)

    def _look_held(self, entry: E, holder: int, since: float, orders: Orders[E, J], now: float) -> None:
        if entry.reported != holder and now >= since + self._leak_after:
            entry.reported = holder
            self.tally.leaks += 1
            orders.held.append(entry)

    # --------------------------------------------------------------------------------------------------- connections

    def _time_out(self, entry: E, orders: Orders[E, J], now: float) -> None:
        state = entry.state
        if state is _CONNECTING:
            limit = self._options.connect_timeout
            self._count_failure(
                DeadlineExceeded(f"not connected within cp_connect_timeout={limit} s"), entry, orders, now
            )
        self._abandon(entry, "check" if state is _CHECKING else "unclean")
        orders.cut.append(entry)
        if state is _CHECKING:
            self._drop_suspects(orders, now)

    def _count_failure(self, error: BaseException, entry: E, orders: Orders[E, J], now: float) -> None:
        self.tally.connect_failures += 1
        if self.closing:
            return  # nobody will try again
        if self.outage.failed(error, now, entry.since):
            orders.outage = error
        self._note(self.outage.retry_at)

    def _look_after_idle(self, orders: Orders[E, J], now: float) -> None:
        """Close what is too old or not needed, the longest unused first; ask the others now and then."""
        for entry in list(self._idle):
            if self._upkeep.ends(entry, now, self._spare()):
                self._idle.remove(entry)
                self._retire(entry)
                orders.carry.append(entry)
            elif self._upkeep.wants_check(entry, now):
                self._idle.remove(entry)
                self._check(entry, now)
                orders.carry.append(entry)

    # -------------------------------------------------------------------------------------------------------- the end

    def close(self, now: float, deadline: float) -> Orders[E, J]:
        """No more calls. Queued ones fail; running ones have *deadline* seconds, then their connections are cut."""
        orders: Orders[E, J] = Orders()
        self._close_at = min(self._close_at, now + deadline)
        self._note(self._close_at)
        if not self.closing:
            self.closing = self._held_up = True
            self._fail_waiting(None, orders)
            self._drop_idle(orders)
        self._look_drained(orders, now)
        return orders

    def _cut_off(self, orders: Orders[E, J], now: float) -> None:
        """The deadline of `close` has passed."""
        if self._end_at == math.inf:
            self._end_at = now + CUT_GRACE
        ending = now >= self._end_at
        for entry in list(self.entries):
            if entry.state is _LENT:
                self._move(entry, EntryEvent.RETIRED)  # nobody's thread carries it, so one of ours closes it
                orders.carry.append(entry)
                orders.cut.append(entry)
                continue
            if entry.state is _CLOSING and not ending:
                continue
            for job in (*entry.held, entry.job):
                if job is not None and job.state is _RUNNING:
                    advance(job, JobEvent.ABANDONED)
                    orders.fail.append((self._mine(job), closed_while_running(job)))
            self._abandon(entry, "closed")
        orders.cut.extend(self.strays)
        if ending and self.strays:
            self.gave_up = True  # whoever has not come back by now is not waited for
            self.strays.clear()

    def _look_drained(self, orders: Orders[E, J], now: float) -> None:
        if not self.closing or self.drained or self.entries:
            return
        if not self.strays:
            self.drained = orders.drained = True
        elif self._end_at == math.inf:
            # Only threads are left that were given up before: no reason to wait for them until the deadline.
            self._close_at = now
            self._end_at = now + CUT_GRACE
            self._note(now)
