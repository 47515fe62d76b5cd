"""What all decisions stand on: the entries and the queue, and the steps of which events are made.

Invariants:

- ``entries`` never holds more than ``cp_max``; those abandoned, whose threads may be stuck, are at most as many again.
- There is one attempt to connect at a time.
- Jobs of a lane are served first come, first served. A job leaves the queue only for an entry known good; one whose
  connection turns out suspect before anything was sent goes back to its place.
- ``_idle`` is in the order of last use: the last is reused first, so that those at the front rest, and what was not
  needed for ``cp_max_idle`` can be closed.
- An entry whose ``expires`` has passed is given no further job.
"""

from __future__ import annotations

import math
import sys
from bisect import insort
from collections.abc import Callable
from typing import Generic, TypeVar

from asyncdb._core._crowd import STALL, Crowd
from asyncdb._core._orders import Orders
from asyncdb._core._outage import Outage
from asyncdb._core._queue import JobQueue
from asyncdb._core._states import Entry, EntryEvent, EntryState, Job, JobEvent, JobState, advance, move
from asyncdb._core._tally import BATCH, Tally
from asyncdb._core._told import closed_while_queued, cut_with_another, first_line
from asyncdb._core._upkeep import Upkeep
from asyncdb._core._waits import Waits
from asyncdb.options import Options

__all__ = ["FAIL_OVER_PAUSE", "UNDER_WAY", "Ground"]

# Bound once: a global is read faster than an attribute of an enum class.
_CONNECTING, _CHECKING, _IDLE, _BUSY = (
    EntryState.CONNECTING,
    EntryState.CHECKING,
    EntryState.IDLE,
    EntryState.BUSY,
)
_LENT, _RESETTING, _ABANDONED = EntryState.LENT, EntryState.RESETTING, EntryState.ABANDONED
_RUNNING = JobState.RUNNING

# A server that refuses to write may do so on purpose: all connections are replaced for it once in so many seconds.
FAIL_OVER_PAUSE = 1.0

UNDER_WAY = (_CONNECTING, _CHECKING, _RESETTING)
_STANDING = (_CHECKING, _IDLE, _BUSY, _LENT, _RESETTING)

E = TypeVar("E", bound=Entry)
J = TypeVar("J", bound=Job)


class Ground(Generic[E, J]):
    """The pool's entries and jobs.

    Args:
        options: the pool's options.
        make_entry: makes an `Entry`, in state CONNECTING.
        rest: seconds after its last answer from which on a connection is checked before it is used.
        jitter: gives a number between 0 and 1, so that many pools do not retry in step.
        redact: one line about an error of connecting, without passwords.
        crowd: when threads get in each other's way; None: never.
        again: seconds after which a statement is interrupted once more, if it has not stopped; None: the driver cannot
            interrupt one.
    """

    __slots__ = (
        "_again",
        "_check_timeout",
        "_close_at",
        "_counts",
        "_crowd",
        "_end_at",
        "_held_up",
        "_idle",
        "_keeps",
        "_leak_after",
        "_make_entry",
        "_max",
        "_max_of_caller",
        "_max_waiting",
        "_min",
        "_no_fail_over_before",
        "_options",
        "_patience",
        "_ran",
        "_ready_wanted",
        "_redact",
        "_rest",
        "_sequence",
        "_slow",
        "_soonest",
        "_timeout",
        "_upkeep",
        "_usual",
        "_wait_timeout",
        "_waited",
        "_waits",
        "_warmed",
        "closing",
        "drained",
        "due_at",
        "entries",
        "gave_up",
        "outage",
        "plenty",
        "queue",
        "stall_at",
        "strays",
        "suspended",
        "tally",
    )

    def __init__(
        self,
        options: Options,
        make_entry: Callable[[], E],
        rest: float,
        jitter: Callable[[], float],
        redact: Callable[[BaseException], str] | None = None,
        crowd: Crowd | None = None,
        again: float | None = None,
    ) -> None:
        self._redact = redact or first_line
        self._options = options
        self._min, self._max = options.min, options.max
        self._max_waiting = options.max_waiting
        most = options.max_waiting_per_caller
        self._max_of_caller = math.inf if most is None else most
        self._check_timeout = options.check_timeout
        self._leak_after = math.inf if options.leak_after is None else options.leak_after
        self._timeout = math.inf if options.timeout is None else options.timeout
        self._wait_timeout = math.inf if options.wait_timeout is None else options.wait_timeout
        self._patience = min(self._timeout, self._wait_timeout)  # of a call with no limit of its own
        self._soonest = min(self._patience, self._leak_after)
        self._make_entry = make_entry
        # Finite, so that one that may be lost, proven minus infinity ago, is checked whatever the rest.
        self._rest = min(rest, sys.float_info.max)
        self._crowd = crowd
        self._again = again
        self._slow = math.inf if options.slow_query is None else options.slow_query

        self.entries: set[E] = set()
        self.strays: set[E] = set()  # ABANDONED; the thread has not come back yet
        self.outage = Outage(jitter, min(self._wait_timeout, self._timeout))
        self.tally = Tally()
        self.due_at = math.inf
        self.stall_at = math.inf
        self.plenty = self._max  # more jobs than that wait: each thread at work will find one
        self.suspended = False
        self.closing = False
        self.drained = False
        self.gave_up = False  # threads are stuck for good
        self.queue: JobQueue[J] = JobQueue()
        self._held_up = False  # suspended or closing: nobody is given a connection
        self._warmed = False  # cp_min connections are to stand, wanted or not ...
        self._keeps = False  # ... and it makes sense to try
        self._ready_wanted = False
        self._counts = [0] * len(EntryState)
        self._idle: list[E] = []
        self._waits: Waits[J] = Waits()
        self._usual = self._waits.usual  # these three for the hot path
        self._ran, self._waited = self.tally.run_time.recent, self.tally.wait_time.recent
        self._upkeep = Upkeep(options, jitter)
        self._sequence = 0
        self._no_fail_over_before = -math.inf
        self._close_at = math.inf
        self._end_at = math.inf

    # ------------------------------------------------------------------------------------------------ looking at it

    def count(self, state: EntryState) -> int:
        """How many entries are in *state*."""
        return self._counts[state]

    @property
    def wake_at(self) -> float:
        """When to call `expire`, at the latest."""
        return min(self.due_at, self.stall_at)

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return self.queue.alive

    @property
    def submitted(self) -> int:
        """Calls that were made and not refused."""
        return self._sequence

    @property
    def outstanding(self) -> int:
        """Calls that wait or run."""
        return self.queue.alive + self._counts[_BUSY]

    @property
    def in_use(self) -> int:
        """Connections that run a call, are lent, or are rolled back after they were."""
        return self._counts[_BUSY] + self._counts[_LENT] + self._counts[_RESETTING]

    def figures(self) -> str:
        """The pool in one line, for messages."""
        count = self._counts
        name = f" {self._options.name!r}" if self._options.name else ""
        suspended = ", suspended" if self.suspended else ""
        return (
            f"pool{name}: total {len(self.entries)} of {self._max}, "
            f"idle {count[_IDLE]}, busy {count[_BUSY]}, lent {count[_LENT]}, "
            f"connecting {count[_CONNECTING] + count[_CHECKING]}, waiting {self.queue.alive}{suspended}"
        )

    # --------------------------------------------------------------------------------------------------------- moves

    def _move(self, entry: E, event: EntryEvent) -> None:
        before = entry.state
        after = move(entry, event)
        self._counts[before] -= 1
        self._counts[after] += 1

    def _mine(self, job: Job) -> J:
        return job  # type: ignore[return-value]  # an entry holds a Job; what was put there is always a J

    def _take(self) -> J:
        """The job whose turn it is, out of the queue."""
        job = self.queue.pop()
        usual = self._usual
        if usual and usual[0] is not job:
            self._waits.tidy(self.queue.alive)
        if usual and usual[0] is job:
            usual.popleft()
        return job

    def _start(self, entry: E, job: J, now: float) -> None:
        advance(job, JobEvent.STARTED)
        job.started = now
        entry.job = job

    def _drop(self, job: J) -> None:
        """*job*, which waits, waits no longer."""
        self.queue.drop(job)
        self._waits.tidy(self.queue.alive)

    def _check(self, entry: E, now: float) -> None:
        self._move(entry, EntryEvent.SUSPECTED)
        self.tally.checks += 1
        entry.deadline = now + self._check_timeout
        self._note(entry.deadline)

    def _settle(self, entry: E, now: float) -> None:
        """Give an entry that has just become free, and is in state IDLE, its next task."""
        if self.closing or now >= entry.expires:
            self._retire(entry)
        elif self.queue.alive and not self.suspended:
            self._move(entry, EntryEvent.ASSIGNED)
            self._start(entry, self._take(), now)
        else:
            self._lay_down(entry)

    def _lay_down(self, entry: E) -> None:
        """It rests: among the others, in the order of last use."""
        if not self.queue.alive:
            self._waits.clear()
        idle = self._idle
        if idle and idle[-1].since > entry.since:
            insort(idle, entry, key=_since)
        else:
            idle.append(entry)
        moment = self._upkeep.next(entry, self._spare())
        if moment < self.due_at:
            self.due_at = moment

    def _retire(self, entry: E) -> None:
        """It rests no longer, and is closed."""
        if not self.closing:
            self.tally.evictions[entry.reason] += 1
        self._move(entry, EntryEvent.RETIRED)

    def _end(self, entry: E, now: float) -> None:
        if entry.state is _ABANDONED:
            self._note(now)  # there is room for another stray now, and an overdue entry may be waiting for it
        self._move(entry, EntryEvent.ENDED)
        self.entries.discard(entry)
        self.strays.discard(entry)
        if entry.job is not None:
            advance(entry.job, JobEvent.FINISHED)
            entry.job = None

    def _room_astray(self) -> bool:
        """Whether one more thread may be stuck."""
        return len(self.strays) < self._max

    def _abandon(self, entry: E, reason: str) -> None:
        if entry.state is not _CONNECTING and not self.closing:
            self.tally.evictions[reason] += 1
        self._move(entry, EntryEvent.ABANDONED)
        self.entries.discard(entry)
        self.strays.add(entry)

    # ------------------------------------------------------------------------------------------------------ distrust

    def _suspect_all(self) -> None:
        """A connection was lost, and its neighbours may be: each is checked before its next use."""
        for entry in self.entries:
            if entry.state is not _BUSY:  # which proves itself by ending its job
                entry.proven = -math.inf
            if entry.state is _IDLE:
                self._note(self._upkeep.next(entry, self._spare()))  # ``cp_keepalive`` may ask it sooner now

    def _replace_all(self, reason: str, orders: Orders[E, J]) -> None:
        """Each connection is closed as soon as it is free; those that are, now."""
        for entry in self.entries:
            entry.expires, entry.reason = -math.inf, reason
        self._drop_idle(orders)

    def _drop_idle(self, orders: Orders[E, J]) -> None:
        for entry in self._idle:
            self._retire(entry)
        orders.carry.extend(self._idle)
        self._idle.clear()

    def _drop_suspects(self, orders: Orders[E, J], now: float) -> None:
        """One of those at rest did not answer, and took ``cp_check_timeout`` for it: those that have not answered since
        it was asked would take as long, one after the other."""
        suspects = [entry for entry in self._idle if entry.proven <= now - self._check_timeout]
        for entry in suspects:
            self._idle.remove(entry)
            entry.reason = "check"
            self._retire(entry)
        orders.carry.extend(suspects)

    # ---------------------------------------------------------------------------------------------------- the queue

    def _fail_waiting(self, error: BaseException | None, orders: Orders[E, J]) -> None:
        """Fail every waiting job: with *error*, or because the pool closes."""
        jobs = self.queue.clear()
        if error is None:
            self.tally.closed_waiting += len(jobs)
        orders.fail.extend((job, error or closed_while_queued()) for job in jobs)
        self._waits.clear()

    # -------------------------------------------------------------------------------------------------------- sizing

    def _coming(self, now: float, states: tuple[EntryState, ...] = UNDER_WAY) -> int:
        """Connections that will soon be free for whoever waits.

        Not those that take too long already, and keep their place only because as many threads are stuck as may be.
        """
        coming = sum(self._counts[state] for state in states)
        if not coming or self._room_astray():
            return coming
        return sum(entry.state in states and entry.deadline > now for entry in self.entries)

    def _standing(self) -> int:
        """Connections there are."""
        return sum(self._counts[state] for state in _STANDING)

    def _spare(self) -> bool:
        """Whether there are more connections than there must be."""
        return len(self.entries) - self._counts[EntryState.CLOSING] > self._min

    def _has_room(self, now: float) -> bool:
        """Whether one more call than ``cp_max_waiting`` will find a connection that no one else waits for."""
        if self._held_up:
            return False
        count = self._counts
        more = self._max - len(self.entries) + count[EntryState.CLOSING]
        if self.outage.failures:  # for one that waits there will be an attempt
            more = min(more, 1 - count[_CONNECTING])
        return bool(self._idle) or self.queue.alive < self._max_waiting + self._coming(now) + more

    def _wants_more(self, now: float) -> bool:
        return self._coming(now) < self.queue.alive or (self._keeps and len(self.entries) < self._min)

    def _may_grow(self, now: float) -> bool:
        """One attempt at a time: what it brings, or a connection that is free before, serves who waits longest."""
        if self._held_up or len(self.entries) >= self._max or self._counts[_CONNECTING]:
            return False
        return not self.outage.failures or now >= self.outage.retry_at

    def _match(self, orders: Orders[E, J], now: float) -> None:
        """Bring waiting jobs and connections together: resting ones first, then a new one."""
        if self._held_up:
            return
        if self._idle and self.queue.alive:
            self._use_idle(orders, now)
        if self._wants_more(now) and self._may_grow(now):
            self._grow(orders, now)

    def _use_idle(self, orders: Orders[E, J], now: float) -> None:
        """Jobs wait, and connections rest: those known good are given one each, then others are checked for the rest.

        Others are checked though a new one is being made: that takes longer.
        """
        idle, queue = self._idle, self.queue
        for entry in reversed(idle.copy()):
            if not queue.alive:
                return
            if now >= entry.expires:
                self._retire(entry)
            elif now - entry.proven <= self._rest:
                self._move(entry, EntryEvent.ASSIGNED)
                self._start(entry, self._take(), now)
            else:
                continue
            idle.remove(entry)
            orders.carry.append(entry)
        while idle and self._coming(now, (_CHECKING, _RESETTING)) < queue.alive:
            entry = idle.pop()
            self._check(entry, now)
            orders.carry.append(entry)

    def _grow(self, orders: Orders[E, J], now: float) -> None:
        entry = self._make_entry()
        entry.since = now
        entry.deadline = now + self._options.connect_timeout
        self._note(entry.deadline)
        self._counts[_CONNECTING] += 1
        self.entries.add(entry)
        orders.carry.append(entry)

    def _crowded(self, now: float, besides: E | None = None) -> bool:
        """Whether those at work, *besides* not counted, will sooner take what waits than another thread could."""
        crowd = self._crowd
        if crowd is None or not crowd.tight:
            return False
        more = self._counts[_BUSY] - crowd.enough - (besides is not None)  # those who need not be quick
        if more < 0:
            return False
        for entry in self.entries:
            if entry is not besides and entry.state is _BUSY:
                job = entry.job
                if job is not None and now - job.started >= STALL:
                    more -= 1
        return more >= 0

    def _look_at_times(self, took: float, now: float) -> None:
        """One of `SAMPLE` calls has ended, and took so long."""
        if len(self._waited) >= BATCH:
            self.tally.run_time.count()
            self.tally.wait_time.count()
        crowd = self._crowd
        if crowd is not None:
            crowd.ended(took, self._counts[_BUSY] or 1, now)
            self.plenty = min(crowd.enough, self._max) if crowd.tight else self._max

    # ---------------------------------------------------------------------------------------------------------- time

    def _note(self, moment: float) -> None:
        if moment < self.due_at:
            self.due_at = moment

    def _look_drained(self, orders: Orders[E, J], now: float) -> None:
        """If the pool is closing: whether that has come to its end."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------- a job that nobody waits for

    def _give_up(self, entry: E, job: Job, orders: Orders[E, J], now: float) -> None:
        """The caller of *job*, which runs, has been answered: have the statement stopped.

        It comes back, is proven clean and used again; or it does not within ``cp_check_timeout``, and is cut. A COMMIT
        is left alone until then.
        """
        advance(job, JobEvent.ABANDONED)
        entry.again = math.inf
        if job.committing:
            entry.deadline = now + self._check_timeout
        elif self._again is None:
            entry.deadline = now
            self._cut_loose(entry, orders)
        else:
            entry.deadline = now + self._check_timeout
            self._interrupt(entry, job, orders, now, self._again)
        self._note(min(entry.deadline, entry.again))

    def _interrupt(self, entry: E, job: Job, orders: Orders[E, J], now: float, again: float) -> None:
        job.interrupted = True
        self.tally.interrupts += 1
        entry.again = now + again
        orders.interrupt.append(entry)

    def _cut_loose(self, entry: E, orders: Orders[E, J]) -> None:
        """Do without an entry whose statement does not stop, if there may be one more thread that is stuck."""
        if self._room_astray():
            for job in entry.held:
                if job.state is _RUNNING:
                    advance(job, JobEvent.ABANDONED)
                    self.tally.failed += 1
                    orders.fail.append((self._mine(job), cut_with_another()))
            self._abandon(entry, "cancelled")
            orders.cut.append(entry)


def _since(entry: Entry) -> float:
    return entry.since
