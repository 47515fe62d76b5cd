"""What the pool decides: a state machine without input or output, threads or a clock.

Everything that changes the state of an entry (one connection, from the attempt to make it to its end) or of a job (one
call) happens here, in four layers: `_ground` has the steps, `_timing` what time brings about, `_sharing` what becomes
of jobs in one transaction, and this file the events that callers and threads report. Methods are events: what happened,
and when (``now``). What has to be done about it comes back as `Orders`, or is told by ``entry.state``: the thread that
carries an entry does what its state asks for (connect, check, run ``entry.job``, reset, close) and reports the next
event, until the entry rests (IDLE, LENT) or is GONE.

Invariants, for whoever calls holding one lock, besides those of the layers below:

- A connection that rested a moment only and a job that could have it wait side by side only while there are enough
  threads at work (`_crowd`), and then ``stall_at`` is never later than STALL.
- A connection whose statement was interrupted is checked before anybody else gets it.
- An illegal event raises IllegalTransition and leaves the state as it was.
"""

from __future__ import annotations

import math

from asyncdb._core._crowd import SAMPLE, STALL
from asyncdb._core._ground import FAIL_OVER_PAUSE, E, J
from asyncdb._core._orders import Orders
from asyncdb._core._sharing import Sharing
from asyncdb._core._states import NORMAL, EntryEvent, EntryState, JobEvent, JobState, advance, illegal
from asyncdb._core._told import closed_while_queued, not_ready, overloaded, overloaded_by
from asyncdb.errors import DeadlineExceeded, PoolClosed

__all__ = ["Core"]

# Bound once: a global is read faster than an attribute of an enum class.
_BUSY, _ABANDONED = EntryState.BUSY, EntryState.ABANDONED
_WAITING, _RUNNING, _DONE = JobState.WAITING, JobState.RUNNING, JobState.DONE
_LOSABLE = (_BUSY, EntryState.CHECKING, EntryState.RESETTING)
_NEVER = math.inf


class Core(Sharing[E, J]):
    """The pool's decisions. Arguments: `Ground`'s."""

    __slots__ = ()

    # ---------------------------------------------------------------------------------------------- callers: their jobs

    def submit(self, job: J, now: float, timeout: float | None = None) -> Orders[E, J] | None:
        """A call was made.

        Args:
            timeout: seconds until it must have ended; None: the pool's.
        Raises: PoolClosed or PoolOverloaded; the job is then not taken in.
        """
        if timeout is None:
            limit, patience = self._timeout, self._patience
        else:
            limit, patience = timeout, min(timeout, self._wait_timeout)
        job.submitted = now
        job.deadline = _NEVER if limit == _NEVER else now + limit  # one infinity for all
        job.patience = now + patience
        idle, queue, usual = self._idle, self.queue, self._usual
        if (
            timeout is None
            and usual
            and 0 < queue.alive < self._max_waiting
            and job.caller is None
            and job.lane == NORMAL
            and (self.stall_at <= now + STALL or not (idle or len(self.entries) < self._max))
        ):
            # The usual case under load: what is below, without what comes to nothing. Others wait, so the pool is not
            # closing; and no thread is to be had. The first of *usual*, dead or alive, came before this one, and with
            # the same limits: ``due_at`` is early enough for it, and so for this one.
            self._sequence = job.sequence = self._sequence + 1
            queue.normal.append(job)
            queue.alive += 1
            usual.append(job)
            return None
        if self.closing:
            raise PoolClosed("the pool is closed; the call was not made")
        if idle and not queue.alive and not self._held_up:
            entry = idle[-1]
            if now - entry.proven <= self._rest and now < entry.expires and not self._crowded(now):
                idle.pop()
                self._sequence = job.sequence = self._sequence + 1
                self._move(entry, EntryEvent.ASSIGNED)
                self._start(entry, job, now)
                self._note(min(job.deadline, now + self._leak_after))
                return Orders(carry=[entry])
        full = queue.alive >= self._max_waiting
        if full and not self._has_room(now):
            self.tally.refused += 1
            raise overloaded(self._max_waiting, self.figures())
        if job.caller is not None and queue.waiting_of(job.caller) >= self._max_of_caller:
            self.tally.refused += 1
            raise overloaded_by(job.caller, self._options.max_waiting_per_caller, self.figures())
        self._sequence = job.sequence = self._sequence + 1
        queue.append(job)
        if timeout is None:
            usual.append(job)
            soonest = now + self._soonest
        else:
            self._waits.add(job, queue.alive)
            soonest = now + min(patience, self._leak_after)
        if soonest < self.due_at:  # it cannot start earlier than now: for telling of a leak, that is early enough
            self.due_at = soonest
        if self._held_up or (not idle and (len(self.entries) >= self._max)):
            return None  # the usual case under load: a worker that finishes will take it
        if queue.alive > 1 and self.stall_at <= now + STALL and not full:
            return None  # those before it are left to the threads at work, for so long
        orders: Orders[E, J] = Orders()
        if full or not self._crowded(now):
            self._match(orders, now)
        else:
            self.stall_at = now + STALL
        return orders

    def cancel(self, job: J, now: float) -> Orders[E, J] | None:
        """The caller wants no result any more. A queued job is taken out; a running one is interrupted."""
        if job.state is JobState.WAITING:
            self.tally.cancelled += 1
            self._drop(job)
            return None
        if job.state is not _RUNNING:
            return None
        self.tally.cancelled += 1
        orders: Orders[E, J] = Orders()
        entry = next((entry for entry in self.entries if entry.job is job), None)
        if entry is None:  # its entry was given up, for another reason
            advance(job, JobEvent.ABANDONED)
        else:
            self._give_up(entry, job, orders, now)
        return orders

    # ---------------------------------------------------------------------------------------- callers: the pool itself

    def warm(self, now: float) -> Orders[E, J]:
        """From now on ``cp_min`` connections are to stand; whoever asks wants to know when they do."""
        orders: Orders[E, J] = Orders()
        self._warmed = self._keeps = self._ready_wanted = True
        self._match(orders, now)
        self._look_ready(orders)
        return orders

    def not_ready(self, waited: float) -> DeadlineExceeded:
        """What to tell whoever has waited for that long enough."""
        return not_ready(self._min, waited, self.figures(), self.outage.error, self._redact)

    def suspend(self) -> None:
        """Nobody is given a connection until `resume`; what runs ends. No attempt to connect is begun."""
        self.suspended = self._held_up = True

    def resume(self, now: float) -> Orders[E, J]:
        """Calls are served again."""
        orders: Orders[E, J] = Orders()
        self.suspended, self._held_up = False, self.closing
        self._match(orders, now)
        return orders

    def evict_all(self, now: float) -> Orders[E, J]:
        """Each connection there is, is replaced: those at rest now, the others when they are free."""
        orders: Orders[E, J] = Orders()
        self._replace_all("evicted", orders)
        self._match(orders, now)
        return orders

    # --------------------------------------------------------------------------------------- what threads report: ends

    def hand_over(self, entry: E, now: float) -> bool:
        """The job ended and the connection is clean: what `finished` would do, in the usual case under load.

        By far the most frequent, and therefore on its own: more jobs wait than threads are at work, and nothing else is
        to be thought of. Then ``entry.job`` is the next one, and nobody needs to hear soon.
        Returns: False: it is another case, and nothing was done; report it as `finished`.
        """
        # No more functions than these, and nothing that is seldom: caches are cold in worker threads, and each function
        # costs what its own steps do not.
        job, queue, plenty, waited = entry.job, self.queue, self.plenty, self._waited
        if queue.alive <= plenty or self._counts[_BUSY] > plenty or queue.others or queue.passed_over or self._held_up:
            return False
        # Only who is BUSY has a job that is RUNNING.
        if job is None or job.state is not _RUNNING or now >= entry.expires or entry.held:
            return False
        started = job.started
        took = now - started
        jobs, usual = queue.normal, self._usual
        following = jobs[0]
        if following.state is not _WAITING or following.caller is not None or not (usual and usual[0] is following):
            return False
        if took >= self._slow or len(waited) % SAMPLE == SAMPLE - 1:  # to be logged, or looked at
            return False
        self._ran.append(took)
        waited.append(started - job.submitted)
        # What the tables say about FINISHED, HANDED_OVER and STARTED, without looking it up.
        job.state = _DONE
        jobs.popleft()
        queue.alive -= 1
        usual.popleft()
        entry.job = following
        following.state = _RUNNING
        following.started = now
        return True

    def finished(self, entry: E, now: float) -> Orders[E, J] | None:
        """The job ended and the connection is clean. With jobs waiting, ``entry.job`` is the next one already."""
        job = entry.job
        if job is None or entry.held:
            raise illegal("finished", entry)
        took = now - job.started
        waited = self._waited
        self._ran.append(took)
        waited.append(job.started - job.submitted)
        if not len(waited) % SAMPLE:  # of those that end here: sequence numbers may be in step with kinds of calls
            self._look_at_times(took, now)
        crowd = self._crowd
        too_many = (
            crowd is not None and crowd.tight and self._counts[_BUSY] > crowd.enough and self._crowded(now, entry)
        )
        goes_on = self.queue.alive and now < entry.expires and entry.state is _BUSY and not self._held_up
        advance(job, JobEvent.FINISHED)
        entry.job = None
        if entry.state is _ABANDONED:
            return None
        entry.since = entry.proven = now
        if job.interrupted and not self.closing:
            self._check(entry, now)
        elif not goes_on:
            self._move(entry, EntryEvent.FINISHED)
            self._settle(entry, now)
        elif too_many:
            self._move(entry, EntryEvent.FINISHED)
            self._lay_down(entry)
            self.stall_at = min(self.stall_at, now + STALL)
        else:
            self._move(entry, EntryEvent.HANDED_OVER)
            self._start(entry, self._take(), now)
        return None

    def failed(self, entry: E, now: float) -> Orders[E, J] | None:
        """The job ended in an error that says nothing against the connection, which is clean."""
        orders = self.finished(entry, now)
        self.tally.failed += 1
        return orders

    def distrusted(self, entry: E, now: float) -> Orders[E, J] | None:
        """The job ended in an error that may have cost the connection: check it before anybody gets it."""
        job = entry.job
        if job is None or entry.held:
            raise illegal("distrusted", entry)
        self.tally.failed += 1
        advance(job, JobEvent.FINISHED)
        entry.job = None
        entry.since = now
        if entry.state is not _ABANDONED:
            self._check(entry, now)
        return None

    def lost(self, entry: E, reason: str, now: float) -> Orders[E, J]:
        """The connection was closed, because of what its job, its check or its reset ended in.

        Args:
            reason: "lost", "shutdown", "check": others may be lost as well. "readonly": they all are of no use.
                "unclean": it is the only one.
        """
        late = entry.state is _ABANDONED  # its loss was counted already
        if entry.held or (not late and entry.state not in _LOSABLE):
            raise illegal("lost", entry)
        orders: Orders[E, J] = Orders()
        if not late:
            if not self.closing:
                self.tally.evictions[reason] += 1
            if reason == "readonly":
                if now >= self._no_fail_over_before:
                    self._no_fail_over_before = now + FAIL_OVER_PAUSE
                    self._replace_all(reason, orders)
            elif reason != "unclean":
                self._suspect_all()
        if entry.job is not None:
            self.tally.failed += 1
        self._ended(entry, orders, now)
        return orders

    def worth_replacing(self, entry: E, now: float) -> bool:
        """Whether to report *entry*, whose server has refused to write, as lost: a new connection may find another.

        Not again and again: the server may refuse on purpose, or for long, and serves those who read.
        """
        return now >= self._no_fail_over_before or now >= entry.expires

    def ended(self, entry: E, now: float) -> Orders[E, J]:
        """The connection is closed: retired, or no longer wanted when its thread came back."""
        if entry.held:
            raise illegal("ended", entry)
        orders: Orders[E, J] = Orders()
        self._ended(entry, orders, now)
        return orders

    def _ended(self, entry: E, orders: Orders[E, J], now: float) -> None:
        self._end(entry, now)
        self._match(orders, now)
        self._look_drained(orders, now)

    # ------------------------------------------------------------------------------- what threads report: beginnings

    def connected(self, entry: E, now: float) -> Orders[E, J] | None:
        """A connection was made and prepared."""
        if entry.state is _ABANDONED:
            return None
        self._move(entry, EntryEvent.CONNECTED)
        self.tally.connected += 1
        self._keeps = self._warmed
        self._upkeep.begin(entry, now)
        entry.since = entry.proven = now
        orders: Orders[E, J] = Orders(recovered=self.outage.succeeded())
        self._settle(entry, now)
        self._match(orders, now)
        self._look_ready(orders)  # last: it, or one that was too old, may have had to be replaced already
        return orders

    def connect_failed(self, entry: E, error: BaseException, retryable: bool, now: float) -> Orders[E, J]:
        """A connection was not made.

        Retried while jobs wait if that can help, or if other connections live, which will serve them; else every
        waiting job hears *error*.
        """
        late = entry.state is _ABANDONED  # its time-out was counted already
        if not late and entry.state is not EntryState.CONNECTING:
            raise illegal("connect_failed", entry)
        orders: Orders[E, J] = Orders()
        self._end(entry, now)
        if not late and (retryable or self._standing()):
            self._count_failure(error, entry, orders, now)
        elif not late:
            self.tally.connect_failures += 1
            self._keeps = False  # no attempt mends it: until somebody who waits got through, or asks anew
            self._fail_waiting(error, orders)
        if not late and not retryable and self._ready_wanted:
            self._ready_wanted = False
            orders.unready = error
        self._match(orders, now)
        self._look_drained(orders, now)
        return orders

    def checked(self, entry: E, now: float) -> Orders[E, J] | None:
        """The connection answered, and is clean."""
        if entry.state is _ABANDONED:
            return None
        self._move(entry, EntryEvent.CHECKED)
        entry.proven = now
        return self._freed(entry, now)

    def suspected(self, entry: E, now: float) -> Orders[E, J] | None:
        """Before anything was sent for its job, the connection turned out to need a check."""
        job = entry.job
        if job is None or entry.held:
            raise illegal("suspected", entry)
        wanted = job.state is _RUNNING
        advance(job, JobEvent.REQUEUED)
        entry.job = None
        if entry.state is _ABANDONED:
            return None
        orders: Orders[E, J] = Orders()
        if self.closing:
            self._move(entry, EntryEvent.FINISHED)
            self._settle(entry, now)
            if wanted:
                advance(job, JobEvent.DROPPED)
                self.tally.closed_waiting += 1
                orders.fail.append((self._mine(job), closed_while_queued()))
            return orders
        self._check(entry, now)
        if wanted:
            mine = self._mine(job)
            self.queue.put_back(mine)
            self._waits.add(mine, self.queue.alive)
            self._note(min(job.patience, now + self._leak_after))  # it may start now, and be held for long
        self._match(orders, now)
        return orders

    # ------------------------------------------------------------------------------------------ connections for longer

    def lent(self, entry: E, now: float) -> bool:
        """The connection is ready for the caller of `connect()`. False: the caller is gone, and nothing has changed."""
        job = entry.job
        if job is None or entry.held:
            raise illegal("lent", entry)
        if entry.state is _ABANDONED or job.state is JobState.ABANDONED:
            return False
        advance(job, JobEvent.FINISHED)
        self._move(entry, EntryEvent.LENT)
        self.tally.loans += 1
        entry.job = None
        entry.since, entry.reported = now, 0
        self._note(now + self._leak_after)
        return True

    def returned(self, entry: E, now: float) -> Orders[E, J]:
        """A connection that was lent came back."""
        self._move(entry, EntryEvent.RETURNED)
        entry.since = now
        entry.deadline = now + self._check_timeout
        self._note(entry.deadline)
        return Orders(carry=[entry])

    def forsaken(self, entry: E) -> Orders[E, J]:
        """Nobody will give back a connection that was lent, and it must not be used again."""
        if entry.state is not EntryState.LENT:
            raise illegal("forsaken", entry)
        entry.reason = "unclean"
        self._retire(entry)
        return Orders(carry=[entry])

    def cleaned(self, entry: E, now: float, answered: bool) -> Orders[E, J] | None:
        """A connection given back was reset. *answered*: for that the server had to be asked."""
        if entry.state is _ABANDONED:
            return None
        if entry.state is not EntryState.RESETTING:
            raise illegal("cleaned", entry)
        self._move(entry, EntryEvent.FINISHED)
        if answered:
            entry.proven = now
        return self._freed(entry, now)

    def _freed(self, entry: E, now: float) -> Orders[E, J] | None:
        """An entry that somebody may have counted on is free."""
        self._settle(entry, now)
        if not self.queue.alive or entry.state is not EntryState.CLOSING:
            return None
        orders: Orders[E, J] = Orders()
        self._match(orders, now)  # it had to be replaced: who waits needs another one
        return orders

    def _look_ready(self, orders: Orders[E, J]) -> None:
        if self._ready_wanted and self._standing() >= self._min:
            self._ready_wanted = False
            orders.ready = True
