"""What the pool decides: a state machine without input or output, threads or a clock.

Everything that changes the state of an entry (one connection, from the attempt to make it to its end) or of a job (one
call) is in this file. Methods are events: what happened, and when (``now``). What has to be done about it comes back as
`Orders`, or is told by ``entry.state``: the thread that carries an entry does what its state asks for (connect, check,
run ``entry.job``, reset, close) and reports the next event, until the entry rests (IDLE, LENT) or is GONE.

Invariants, for whoever calls holding one lock:

- ``entries`` never holds more than ``cp_max``; those abandoned, whose threads may be stuck, are at most as many again.
- Jobs are served first come, first served. A job leaves the queue only for an entry known good; one whose connection
  turns out suspect before anything was sent goes back to its place. All jobs have the same time limit, so the order of
  the queue is the order of deadlines, and one timer for its head is enough.
- A connection that rested a moment only and a job that could have it wait side by side only while the jobs at work are
  quick (`_crowd`), and then ``wake_at`` is never later than STALL.
- An illegal event raises IllegalTransition and leaves the state as it was.
- ``wake_at`` is never later than the earliest moment at which `expire` has something to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic, TypeVar

from asyncdb._core._crowd import STALL, Crowd
from asyncdb._core._orders import Orders
from asyncdb._core._outage import Outage
from asyncdb._core._queue import JobQueue
from asyncdb._core._states import Entry, EntryEvent, EntryState, Job, JobEvent, JobState, advance, move
from asyncdb.errors import CommitUnknown, DeadlineExceeded, PoolClosed, PoolOverloaded
from asyncdb.options import Options

__all__ = ["Core"]

# How long a closing pool waits, after cutting what still ran at its deadline, for the cut threads to come back ...
CUT_GRACE = 1.0
# ... and how often it cuts again: sqlite3's interrupt() is lost on a connection that is between two statements.
CUT_AGAIN = 0.1

# Bound once: a global is read faster than an attribute of an enum class.
_CONNECTING, _CHECKING, _IDLE, _BUSY = (
    EntryState.CONNECTING,
    EntryState.CHECKING,
    EntryState.IDLE,
    EntryState.BUSY,
)
_LENT, _RESETTING, _CLOSING, _ABANDONED = (
    EntryState.LENT,
    EntryState.RESETTING,
    EntryState.CLOSING,
    EntryState.ABANDONED,
)
_RUNNING, _DONE = JobState.RUNNING, JobState.DONE

E = TypeVar("E", bound=Entry)
J = TypeVar("J", bound=Job)


class Core(Generic[E, J]):
    """The pool's decisions.

    Args:
        options: the pool's options.
        make_entry: makes an `Entry`, in state CONNECTING.
        rest: seconds at rest after which a connection is checked before it is used.
        jitter: gives a number between 0 and 1, so that many pools do not retry in step.
        redact: one line about an error of connecting, without passwords.
        crowd: when threads get in each other's way; None: never.
    """

    def __init__(
        self,
        options: Options,
        make_entry: Callable[[], E],
        rest: float,
        jitter: Callable[[], float],
        redact: Callable[[BaseException], str] | None = None,
        crowd: Crowd | None = None,
    ) -> None:
        self._redact = redact or _first_line
        self._options = options
        self._max = options.max
        self._max_waiting = options.max_waiting
        self._query_timeout = math.inf if options.query_timeout is None else options.query_timeout
        self._make_entry = make_entry
        self._rest = rest
        self._crowd = crowd

        self.entries: set[E] = set()
        self.strays: set[E] = set()  # ABANDONED; the thread has not come back yet
        self.outage = Outage(jitter, math.inf if options.timeout is None else options.timeout)
        self.wake_at = math.inf
        self.closing = False
        self.drained = False
        self.gave_up = False  # threads are stuck for good
        self._counts = [0] * len(EntryState)
        self._idle: list[E] = []  # the last is the one used last, and is reused first: the others may rest
        self.queue: JobQueue[J] = JobQueue()
        self._sequence = 0
        self._close_at = math.inf
        self._end_at = math.inf

    # ------------------------------------------------------------------------------------------------ looking at it

    def count(self, state: EntryState) -> int:
        """How many entries are in *state*."""
        return self._counts[state]

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return self.queue.alive

    @property
    def outstanding(self) -> int:
        """Calls that wait or run."""
        return self.queue.alive + self._counts[_BUSY]

    def figures(self) -> str:
        """The pool in one line, for messages."""
        count = self._counts
        name = f" {self._options.name!r}" if self._options.name else ""
        return (
            f"pool{name}: total {len(self.entries)} of {self._max}, "
            f"idle {count[_IDLE]}, busy {count[_BUSY]}, lent {count[_LENT]}, "
            f"connecting {count[_CONNECTING] + count[_CHECKING]}, waiting {self.queue.alive}"
        )

    # ---------------------------------------------------------------------------------------------------------- jobs

    def submit(self, job: J, now: float) -> Orders[E, J] | None:
        """A call was made.

        Raises: PoolClosed or PoolOverloaded; the job is then not taken in.
        """
        if self.closing:
            raise PoolClosed("the pool is closed; the call was not made")
        self._sequence = job.sequence = self._sequence + 1
        starting = now + self._query_timeout  # it cannot start earlier than now, so this is early enough
        if starting < self.wake_at:
            self.wake_at = starting
        idle, queue = self._idle, self.queue
        if idle and not queue.alive and now - idle[-1].since <= self._rest and not self._crowded(now):
            entry = idle.pop()
            self._move(entry, EntryEvent.ASSIGNED)
            self._start(entry, job, now)
            return Orders(carry=[entry])
        full = queue.alive >= self._max_waiting
        if full and not self._has_room(now):
            told = f"as many calls wait as may (cp_max_waiting={self._max_waiting}); this one was not made."
            raise PoolOverloaded(f"{told} {self.figures()}")
        queue.append(job)
        if job.deadline < self.wake_at:
            self.wake_at = job.deadline
        if not idle and len(self.entries) >= self._max:
            return None  # the usual case under load: a worker that finishes will take it
        if self._crowd is not None and queue.alive > 1 and self.wake_at <= now + STALL and not full:
            return None  # those before it are left to the threads at work, for so long
        orders: Orders[E, J] = Orders()
        if full or not self._crowded(now):
            self._match(orders, now)
        else:
            self._note(now + STALL)
        return orders

    def _has_room(self, now: float) -> bool:
        """Whether one more call than ``cp_max_waiting`` will find a connection that no one else waits for."""
        return bool(self._idle) or self.queue.alive < self._max_waiting + self._coming() or self._may_grow(now)

    def cancel(self, job: J) -> None:
        """The caller wants no result any more. A queued job is taken out; a running one is left to its thread."""
        if job.state is JobState.WAITING:
            self.queue.drop(job)
        elif job.state is JobState.RUNNING:
            advance(job, JobEvent.ABANDONED)

    # ------------------------------------------------------------------------------------- what threads report

    def connected(self, entry: E, now: float) -> Orders[E, J] | None:
        """A connection was made and prepared."""
        if entry.state is _ABANDONED:
            return None
        self._move(entry, EntryEvent.CONNECTED)
        orders: Orders[E, J] = Orders(recovered=self.outage.succeeded())
        self._settle(entry, now)
        self._match(orders, now)
        return orders

    def connect_failed(self, entry: E, error: BaseException, retryable: bool, now: float) -> Orders[E, J]:
        """A connection was not made.

        Retried while jobs wait if that can help, or if other connections live, which will serve them; else every
        waiting job hears *error*.
        """
        orders: Orders[E, J] = Orders()
        late = entry.state is _ABANDONED  # its time-out was counted already
        self._end(entry, now)
        if not late and (retryable or self._can_serve()):
            self._count_failure(error, orders, now)
        elif not late:
            self._fail_waiting(error, orders)
        self._match(orders, now)
        self._look_drained(orders, now)
        return orders

    def _can_serve(self) -> bool:
        count = self._counts
        return bool(count[_IDLE] + count[_BUSY] + count[_LENT] + count[_CHECKING] + count[_RESETTING])

    def checked(self, entry: E, now: float) -> Orders[E, J] | None:
        """The connection answered."""
        if entry.state is _ABANDONED:
            return None
        self._move(entry, EntryEvent.CHECKED)
        self._settle(entry, now)
        return None

    def finished(self, entry: E, now: float) -> Orders[E, J] | None:
        """The job ended and the connection is clean. With jobs waiting, ``entry.job`` is the next one already."""
        job = entry.job
        assert job is not None
        crowd, at_work = self._crowd, self._counts[_BUSY]
        too_many = (
            crowd is not None
            and crowd.ended(now - job.started, at_work or 1)
            and at_work > crowd.enough
            and self._crowded(now, entry)
        )
        goes_on = self.queue.alive and entry.state is _BUSY and not self.closing
        if goes_on and not too_many and job.state is _RUNNING:
            # By far the most frequent under load, on its own: what the tables say about FINISHED, HANDED_OVER and
            # STARTED, without looking it up (a third of what the worker adds to its statement).
            job.state = _DONE
            entry.job = job = self.queue.pop()
            job.state = _RUNNING
            job.started = now
            return None
        advance(job, JobEvent.FINISHED)
        entry.job = None
        if entry.state is _ABANDONED:
            return None
        if not goes_on:
            self._move(entry, EntryEvent.FINISHED)
            self._settle(entry, now)
        elif too_many:
            self._move(entry, EntryEvent.FINISHED)
            self._lay_down(entry, now)
            self._note(now + STALL)
        else:
            self._move(entry, EntryEvent.HANDED_OVER)
            self._start(entry, self.queue.pop(), now)
        return None

    def suspected(self, entry: E, now: float) -> Orders[E, J] | None:
        """Before anything was sent for its job, the connection turned out to need a check."""
        job = entry.job
        assert job is not None
        wanted = job.state is JobState.RUNNING
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
                orders.fail.append((self._mine(job), _closed_while_queued()))
            return orders
        self._check(entry, now)
        if wanted:
            self.queue.put_back(self._mine(job))
            self._note(job.deadline)
        self._match(orders, now)
        return orders

    def distrusted(self, entry: E, now: float) -> Orders[E, J] | None:
        """The job ended in an error that may have cost the connection: check it before anybody gets it."""
        job = entry.job
        assert job is not None
        advance(job, JobEvent.FINISHED)
        entry.job = None
        if entry.state is not _ABANDONED:
            self._check(entry, now)
        return None

    def lent(self, entry: E) -> bool:
        """The connection is ready for the caller of `connect()`. False: the caller is gone, and nothing has changed."""
        job = entry.job
        assert job is not None
        if entry.state is _ABANDONED or job.state is JobState.ABANDONED:
            return False
        advance(job, JobEvent.FINISHED)
        self._move(entry, EntryEvent.LENT)
        entry.job = None
        return True

    def cleaned(self, entry: E, now: float) -> Orders[E, J] | None:
        """A connection given back was reset."""
        if entry.state is not _ABANDONED:
            self._move(entry, EntryEvent.FINISHED)
            self._settle(entry, now)
        return None

    def ended(self, entry: E, now: float) -> Orders[E, J]:
        """The connection is closed: lost, retired, or no longer wanted when its thread came back."""
        orders: Orders[E, J] = Orders()
        self._end(entry, now)
        self._match(orders, now)
        self._look_drained(orders, now)
        return orders

    # ------------------------------------------------------------------------------- what the reactor's thread reports

    def returned(self, entry: E, now: float) -> Orders[E, J]:
        """A connection that was lent came back."""
        self._move(entry, EntryEvent.RETURNED)
        entry.deadline = now + self._options.connect_timeout
        self._note(entry.deadline)
        return Orders(carry=[entry])

    def forsaken(self, entry: E) -> Orders[E, J]:
        """Nobody will give back a connection that was lent, and it must not be used again."""
        self._move(entry, EntryEvent.RETIRED)
        return Orders(carry=[entry])

    def close(self, now: float, deadline: float) -> Orders[E, J]:
        """No more calls. Queued ones fail; running ones have *deadline* seconds, then their connections are cut."""
        orders: Orders[E, J] = Orders()
        self._close_at = min(self._close_at, now + deadline)
        self._note(self._close_at)
        if not self.closing:
            self.closing = True
            self._fail_waiting(None, orders)
            for entry in self._idle:
                self._move(entry, EntryEvent.RETIRED)
            orders.carry.extend(self._idle)
            self._idle.clear()
        self._look_drained(orders, now)
        return orders

    def expire(self, now: float) -> Orders[E, J]:
        """Do whatever is due. Call at ``wake_at`` or at any other time; sets ``wake_at`` anew."""
        orders: Orders[E, J] = Orders()
        self._expire_waiting(orders, now)
        for entry in list(self.entries):
            if entry.state in (_CONNECTING, _CHECKING, _RESETTING):
                # The bound on threads that may be stuck: with as many astray as there may be connections, the next one
                # keeps its place among the entries until one of them comes back.
                if entry.deadline <= now and len(self.strays) < self._max:
                    self._time_out(entry, orders, now)
            elif entry.state is _BUSY:
                self._expire_running(entry, orders, now)
        if now >= self._close_at:
            self._cut_off(orders, now)
        crowded = self._crowded(now)
        if not crowded:
            self._match(orders, now)
        self._look_drained(orders, now)
        self.wake_at = self._next_wake(now, crowded)
        return orders

    # --------------------------------------------------------------------------------------------------- inside: moves

    def _move(self, entry: E, event: EntryEvent) -> None:
        before = entry.state
        after = move(entry, event)
        self._counts[before] -= 1
        self._counts[after] += 1

    def _start(self, entry: E, job: J, now: float) -> None:
        advance(job, JobEvent.STARTED)
        job.started = now
        entry.job = job

    def _mine(self, job: Job) -> J:
        return job  # type: ignore[return-value]  # an entry holds a Job; what was put there is always a J

    def _check(self, entry: E, now: float) -> None:
        self._move(entry, EntryEvent.SUSPECTED)
        entry.deadline = now + self._options.connect_timeout
        self._note(entry.deadline)

    def _settle(self, entry: E, now: float) -> None:
        """Give an entry that has just become free its next task."""
        if self.closing:
            self._move(entry, EntryEvent.RETIRED)
        elif self.queue.alive:
            self._move(entry, EntryEvent.ASSIGNED)
            self._start(entry, self.queue.pop(), now)
        else:
            self._lay_down(entry, now)

    def _lay_down(self, entry: E, now: float) -> None:
        entry.since = now
        self._idle.append(entry)

    def _crowded(self, now: float, besides: E | None = None) -> bool:
        """Whether those at work, *besides* not counted, will sooner take what waits than another thread could."""
        crowd = self._crowd
        if crowd is None or not crowd.quick:
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

    def _end(self, entry: E, now: float) -> None:
        if entry.state is _ABANDONED:
            self._note(now)  # there is room for another stray now, and an overdue entry may be waiting for it
        self._move(entry, EntryEvent.ENDED)
        self.entries.discard(entry)
        self.strays.discard(entry)
        if entry.job is not None:
            advance(entry.job, JobEvent.FINISHED)
            entry.job = None

    def _abandon(self, entry: E) -> None:
        self._move(entry, EntryEvent.ABANDONED)
        self.entries.discard(entry)
        self.strays.add(entry)

    # --------------------------------------------------------------------------------------------- inside: the queue

    def _expire_waiting(self, orders: Orders[E, J], now: float) -> None:
        head = self.queue.head()
        if head is None or head.deadline > now:
            return
        figures = self.figures()  # as it was before the first of them left
        for job in self.queue.overdue(now):
            told = f"no connection within cp_timeout={self._options.timeout} s. {figures}"
            cause = self.outage.error
            error = DeadlineExceeded(told if cause is None else f"{told}; connecting fails: {self._redact(cause)}")
            error.__cause__ = cause
            orders.fail.append((job, error))

    def _fail_waiting(self, error: BaseException | None, orders: Orders[E, J]) -> None:
        """Fail every waiting job: with *error*, or because the pool closes."""
        orders.fail.extend((job, error or _closed_while_queued()) for job in self.queue.clear())

    # --------------------------------------------------------------------------------------- inside: connections

    def _coming(self) -> int:
        """Connections that will soon be free for whoever waits."""
        count = self._counts
        return count[_CONNECTING] + count[_CHECKING] + count[_RESETTING]

    def _may_grow(self, now: float) -> bool:
        if self.closing or len(self.entries) >= self._max:
            return False
        # While connecting fails, one attempt at a time, each after its pause.
        return not self.outage.failures or (now >= self.outage.retry_at and not self._counts[_CONNECTING])

    def _match(self, orders: Orders[E, J], now: float) -> None:
        """Bring waiting jobs and connections together: resting ones first, then new ones, one for each job."""
        idle = self._idle
        while self.queue.alive and idle:
            entry = idle[-1]
            if now - entry.since <= self._rest:
                self._move(entry, EntryEvent.ASSIGNED)
                self._start(entry, self.queue.pop(), now)
            elif self._coming() < self.queue.alive:
                self._check(entry, now)
            else:
                break
            idle.pop()
            orders.carry.append(entry)
        while self._coming() < self.queue.alive and self._may_grow(now):
            entry = self._make_entry()
            entry.deadline = now + self._options.connect_timeout
            self._note(entry.deadline)
            self._counts[_CONNECTING] += 1
            self.entries.add(entry)
            orders.carry.append(entry)

    def _count_failure(self, error: BaseException, orders: Orders[E, J], now: float) -> None:
        if self.outage.failed(error, now):
            orders.outage = error
        self._note(self.outage.retry_at)

    def _time_out(self, entry: E, orders: Orders[E, J], now: float) -> None:
        if entry.state is _CONNECTING:
            limit = self._options.connect_timeout
            self._count_failure(DeadlineExceeded(f"not connected within cp_connect_timeout={limit} s"), orders, now)
        self._abandon(entry)
        orders.cut.append(entry)

    def _expire_running(self, entry: E, orders: Orders[E, J], now: float) -> None:
        job = entry.job
        assert job is not None
        if job.state is JobState.RUNNING and now >= job.started + self._query_timeout:
            advance(job, JobEvent.ABANDONED)
            limit = self._options.query_timeout
            told = f"not ended within cp_query_timeout={limit} s; it may still take effect. {self.figures()}"
            orders.fail.append((self._mine(job), DeadlineExceeded(told)))

    # ------------------------------------------------------------------------------------------------ inside: the end

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
            job = entry.job
            if job is not None and job.state is JobState.RUNNING:
                advance(job, JobEvent.ABANDONED)
                orders.fail.append((self._mine(job), _closed_while_running(job)))
            self._abandon(entry)
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

    # ---------------------------------------------------------------------------------------------------- inside: time

    def _note(self, moment: float) -> None:
        if moment < self.wake_at:
            self.wake_at = moment

    def _next_wake(self, now: float, crowded: bool) -> float:
        if self.drained:
            return math.inf
        head = self.queue.head()
        moments = [] if head is None else [head.deadline]
        stray_room = len(self.strays) < self._max
        for entry in self.entries:
            if entry.state in (_CONNECTING, _CHECKING, _RESETTING):
                if stray_room:
                    moments.append(entry.deadline)
            elif entry.state is _BUSY and entry.job is not None and entry.job.state is JobState.RUNNING:
                moments.append(entry.job.started + self._query_timeout)
        if self.queue.alive:
            moments.append(now + self._query_timeout)  # the next of them starts at any moment
            if crowded and (self._idle or len(self.entries) < self._max):
                moments.append(now + STALL)
        if self.outage.retry_at > now:
            moments.append(self.outage.retry_at)  # waiting or not: who comes before it relies on it
        if self._end_at != math.inf:
            moments.append(min(self._end_at, now + CUT_AGAIN))
        elif self.closing:
            moments.append(self._close_at)
        return min(moments, default=math.inf)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _closed_while_queued() -> PoolClosed:
    return PoolClosed("the pool was closed while the call was queued; nothing of it was sent")


def _closed_while_running(job: Job) -> PoolClosed | CommitUnknown:
    if job.committing:
        return CommitUnknown("the pool was closed, and the connection cut, during COMMIT")
    return PoolClosed("the pool was closed while the call ran, and its connection was cut; it may have taken effect")
