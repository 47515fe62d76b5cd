"""What worker threads do: the steps of a slot's life, from connecting to closing.

A thread *carries* a slot (an entry with its connection): it does what the slot's state asks for, reports the outcome
to the core, and goes on with whatever state that left the slot in, until it rests. So a worker that ends a job takes
the next one along with the same connection, in the same short critical section, and never waits for the reactor in
between.

Invariants:

- Every event reaches ``core`` under ``_lock``. Nothing under it blocks, calls foreign code or fires a Deferred.
- A slot is carried by at most one thread. The state a thread goes on with is read in the critical section that made it:
  a moment later another thread may have been given the slot.
- An interrupt is sent only to a slot that was BUSY, with a call that nobody waits for, in the critical section that set
  ``interrupting``. While that is set, no other call gets the connection and nobody closes it: who would, leaves it to
  the interrupting thread (``parked``, ``doomed``). So an interrupt can hit no statement but the one it was meant for,
  the rollback after it, and the ping that proves that it is over.
- The pool closes a connection only after ``cuttable`` was taken away under the lock: a descriptor number that is cut
  can not be somebody else's already.
- A connection in a borrower's hands is closed by the pool only if the driver stands that while another thread is inside
  a call on it. Else it is cut and let go: `disconnect` or the garbage collector closes it.
"""

from __future__ import annotations

import logging
import math
import os
import random
from collections.abc import Callable
from threading import get_ident
from time import monotonic, thread_time
from typing import Any

from asyncdb._core import Core, Crowd, EntryState, JobState, Orders, QuickCalls, SharedProcessors
from asyncdb._worker._call import Call, Slot, no_status
from asyncdb._worker._delivery import Delivery
from asyncdb._worker._log import Log
from asyncdb._worker._manners import Manners
from asyncdb._worker._reports import log_slow
from asyncdb._worker._yields import make_lock
from asyncdb.dialect import Driver
from asyncdb.hosts import Host
from asyncdb.options import Options
from netcore.failure import Failure

__all__ = ["Steps"]

log = Log("asyncdb.pool")

_BUSY = EntryState.BUSY  # a global is read faster than an attribute of an enum class


class Steps:
    """The steps, over a core and a lock.

    Threading: in worker threads.
    """

    __slots__ = (
        "_acquire",
        "_armed_for",
        "_autocommit",
        "_crowd",
        "_delivery",
        "_driver",
        "_good_sql",
        "_interrupters",
        "_leak_after",
        "_lock",
        "_log_parameters",
        "_manners",
        "_name",
        "_near",
        "_noise",
        "_openfun",
        "_release",
        "_seconds",
        "_slow",
        "_steps",
        "core",
    )

    _delivery: Delivery
    _armed_for: float

    def __init__(self, options: Options, driver: Driver, host: Host, name: str) -> None:
        self._driver = driver
        self._name = name
        self._good_sql = options.good_sql
        self._autocommit = options.autocommit
        self._openfun = options.openfun
        self._noise = logging.INFO if options.noisy else logging.DEBUG
        self._slow = math.inf if options.slow_query is None else options.slow_query
        self._log_parameters = options.log_parameters
        self._leak_after = options.leak_after
        self._seconds = host.seconds
        self._lock = lock = make_lock()
        self._acquire, self._release = lock.acquire, lock.release  # half the cost of `with`; for worker threads
        crowd: Crowd
        self._near: SharedProcessors | None = None
        if driver.quick is not None:
            crowd = QuickCalls(driver.quick, 1)
        else:
            # Two at least, so that one has the interpreter while the server computes for another.
            crowd = self._near = SharedProcessors(_processor_time, max(2, _count_processors()))
        self._crowd = crowd
        self._manners = Manners()
        again = driver.interrupt_again if driver.can_interrupt else None
        self.core: Core[Slot, Call] = Core(options, Slot, driver.rest, random.random, driver.redact, crowd, again)
        self._interrupters = 0  # threads that tell a statement to stop
        self._steps: list[Callable[[Slot], EntryState | None] | None] = [None] * len(EntryState)
        self._steps[EntryState.CONNECTING] = self._connect
        self._steps[EntryState.CHECKING] = self._check
        self._steps[EntryState.BUSY] = self._run
        self._steps[EntryState.RESETTING] = self._reset
        self._steps[EntryState.CLOSING] = self._end
        self._steps[EntryState.ABANDONED] = self._end

    # What the crew does with it.

    def _carry_out(self, orders: Orders[Slot, Call]) -> None:
        raise NotImplementedError

    def _arm(self) -> None:
        raise NotImplementedError

    def _look_ended(self) -> None:
        raise NotImplementedError

    def _wake_at(self) -> float:
        """When the core is to be called. Who comes for results looks for stalled calls, too: that needs no timer."""
        return self.core.due_at if self._delivery.coming else self.core.wake_at

    # Carrying.

    def _carry(self, slot: Slot) -> None:
        """Do what *slot* needs until it needs no thread."""
        state: EntryState | None = self._look(slot, slot.state)
        while state is not None and (step := self._steps[state]) is not None:
            state = step(slot)

    def _tell(self, event: Callable[[Slot, float], Orders[Slot, Call] | None], slot: Slot) -> EntryState:
        """Report *event* to the core. Returns the state to go on with."""
        with self._lock:
            orders = event(slot, self._seconds())
            state = slot.state
        if orders is not None:
            self._carry_out(orders)
        if self._wake_at() < self._armed_for:
            self._delivery.wake(self._arm)
        self._look_ended()
        return state

    def _look(self, slot: Slot, state: EntryState) -> EntryState:
        """Before the first call on a connection that rested: has the server gone, or said something?

        Not between calls that follow each other: the last answer is microseconds old, and looking costs a release of
        the interpreter lock, with eight threads waiting for it (25 % of the throughput).
        """
        if state is EntryState.BUSY and slot.look is not None and slot.look():
            return self._tell(self.core.suspected, slot)
        return state

    # BUSY.

    def _run(self, slot: Slot) -> EntryState:
        """Run the call, and those that are handed over to the thread after it."""
        call: Any
        value: Any
        acquire, release, seconds = self._acquire, self._release, self._seconds
        core, queue = self.core, self.core.queue
        hand_over, finished = core.hand_over, core.finished
        delivery, slow, manners = self._delivery, self._slow, self._manners
        post, results = delivery.post, delivery.results
        if manners.watching:
            manners.look(seconds())
        while True:
            call = slot.job
            task = call.task
            if task.foreign:
                slot.cursor = None
            try:
                value = call.context.run(task.run, slot, call) if task.inside else task.run(slot, call)
            except StopIteration as stopped:  # which no coroutine can let out, and no asyncio Future can hold
                error = RuntimeError(f"the function raised {stopped!r}")
                error.__cause__ = _without_first_frame(stopped)
                call = slot.job
                return self._failed(slot, call, error)
            except BaseException as error:  # whatever user's code raises is the result of its call
                call = slot.job
                return self._failed(slot, call, _without_first_frame(error))
            call = slot.job  # another, if calls shared a transaction: those before it are reported
            if task.lends:
                slot.origin = call.origin
                with self._lock:
                    slot.borrowed = lent = self.core.lent(slot, seconds())
                if lent:
                    post(call, value)
                    if self._wake_at() < self._armed_for:
                        self._delivery.wake(self._arm)
                    return EntryState.LENT
                value._detach()  # nobody may give back, by it or by dropping it, what is somebody else's soon
                return self._not_lent(slot, call)
            if task.foreign or slot.status():
                if call.interrupted:
                    slot.dirty = True  # cleaned when the interrupt is over, which would hit what is done now
                elif not self._tidy(slot, call):
                    return self._lose(slot, call, value, "unclean")
            acquire()  # to report this one and take the next: the one place where workers meet
            try:
                now = seconds()
                state = _BUSY
                handed_over = hand_over(slot, now)
                if not handed_over:
                    finished(slot, now)
                    state = slot.state
                    if state is not _BUSY:
                        slot.cursor = None
            finally:
                release()
            if handed_over:
                results.append((call, value))  # what `Delivery.post` does where there is plenty to do
                if not delivery.expected:
                    delivery.send_for(True)
            else:
                took = now - call.started
                post(call, value, queue.alive > core.plenty)
                if took >= slow:
                    log_slow(self._name, call, took, None, self._log_parameters)
                if state is not _BUSY:
                    break
                if manners.watching:  # as long as calls wait, the thread stays here; one of `SAMPLE` comes this way
                    manners.look(now)
            call = value = None  # the next one may take its time, and this is over
        if self._wake_at() < self._armed_for:
            self._delivery.wake(self._arm)
        return state

    def _failed(self, slot: Slot, call: Call, error: BaseException) -> EntryState:
        slot.cursor = None
        driver = self._driver
        took = self._seconds() - call.started
        if took >= self._slow:
            log_slow(self._name, call, took, error, self._log_parameters)
        reason = "lost" if slot.lost else driver.eviction(error, slot.connection)
        if reason == "readonly":
            with self._lock:
                reason = reason if self.core.worth_replacing(slot, self._seconds()) else None
        if reason is None and call.interrupted:
            slot.dirty = True
        elif reason is None and not self._tidy(slot, call):
            reason = "unclean"
        # Else whoever gave it up answers, perhaps a moment later, and in other words.
        wanted = call.state is not JobState.ABANDONED
        if reason is not None:
            state = self._evict(slot, reason)
        else:
            state = self._tell(self.core.distrusted if driver.is_doubtful(error) else self.core.failed, slot)
        if wanted:
            self._delivery.post(call, Failure(error))
        return state

    def _not_lent(self, slot: Slot, call: Call) -> EntryState:
        """The borrower has gone; whoever gave the call up answers it."""
        if call.interrupted:
            slot.dirty = True
        elif not self._tidy(slot, call):
            return self._evict(slot, "unclean")
        return self._tell(self.core.finished, slot)

    def _tidy(self, slot: Slot, call: Call | None) -> bool:
        """Leave the connection as a call should find it. Returns whether that worked."""
        connection, driver = slot.connection, self._driver
        if slot.lost:
            return False
        try:
            if driver.in_transaction(connection):
                driver.rollback(connection)
            if call is None or call.task.foreign or not call.options.plain:
                driver.restore(connection, slot.session)
        except Exception as error:
            if driver.is_disconnect(error, connection):
                return False
            if slot.dirty:  # an interrupt has hit this: it is done again when that is over
                return True
            log.tell(logging.WARNING, "pool %s: rolling back failed, the connection is closed: %s", self._name, error)
            return False
        return True

    def _lose(self, slot: Slot, call: Call, value: Any, reason: str) -> EntryState:
        """The connection is of no use any more; *value* is what the call came to."""
        state = self._evict(slot, reason)
        self._delivery.post(call, value)
        return state

    def _evict(self, slot: Slot, reason: str) -> EntryState:
        log.tell(self._noise, "pool %s: a connection was closed (%s)", self._name, reason)
        self._shut(slot)
        return self._tell(lambda slot, now: self.core.lost(slot, reason, now), slot)

    # CONNECTING.

    def _connect(self, slot: Slot) -> EntryState:
        driver = self._driver
        try:
            connection = driver.connect()
        except BaseException as error:
            # Without its traceback: the frames hold the connect arguments.
            return self._failed_to_connect(slot, error.with_traceback(None), driver.is_retryable(error))
        with self._lock:
            slot.connection, slot.cuttable = connection, True
            late = slot.state is not EntryState.CONNECTING
        if late:  # nobody would cut it any more, should it hang in what follows
            return slot.state
        opened = self._openfun is None
        try:
            if self._openfun is not None:
                self._openfun(connection)
                opened = True
            if driver.left_open(connection):
                driver.commit(connection)
            driver.prepare(connection)
            slot.session = driver.session(connection)
            slot.may_autocommit = self._autocommit and driver.may_autocommit(connection)
            slot.look = driver.look(connection)
            slot.status = driver.status(connection)
            if self._near is not None:
                self._near.near = near = self._seconds is monotonic and driver.is_near(connection)
                self._manners.beside(near)
        except BaseException as error:
            # A mistake in cp_openfun is not mended by trying again, whatever class its error has.
            retryable = driver.is_disconnect(error, connection) or (opened and driver.is_retryable(error))
            self._shut(slot)
            return self._failed_to_connect(slot, _without_first_frame(error), retryable)
        log.tell(self._noise, "pool %s: connected", self._name)
        return self._tell(self.core.connected, slot)

    def _failed_to_connect(self, slot: Slot, error: BaseException, retryable: bool) -> EntryState:
        return self._tell(lambda slot, now: self.core.connect_failed(slot, error, retryable, now), slot)

    # CHECKING.

    def _check(self, slot: Slot) -> EntryState | None:
        with self._lock:
            slot.parked = slot.interrupting
            if slot.parked:
                return None
        driver, connection = self._driver, slot.connection
        try:
            if slot.dirty:
                driver.prove(connection)
                driver.restore(connection, slot.session)
                slot.dirty = False
            else:
                driver.ping(connection, self._good_sql)
        except Exception as error:
            log.tell(self._noise, "pool %s: a connection did not answer: %s", self._name, driver.redact(error))
            return self._evict(slot, "check")
        return self._tell(self.core.checked, slot)

    def _interrupt(self, slot: Slot, connection: Any) -> None:
        """Tell the statement on *connection* to stop. In a thread of its own: that may block for long."""
        try:
            self._driver.interrupt(connection)
        except Exception as error:  # the statement goes on; it is told again, and cut at last
            log.tell(self._noise, "pool %s: interrupting failed: %s", self._name, self._driver.redact(error))
        self._interrupted(slot)

    def _interrupted(self, slot: Slot) -> None:
        with self._lock:
            slot.interrupting = False
            self._interrupters -= 1
            parked, slot.parked = slot.parked, False
            doomed, slot.doomed = slot.doomed, None
        if doomed is not None:
            self._driver.close(doomed)
        if parked:
            self._carry(slot)

    # RESETTING.

    def _reset(self, slot: Slot) -> EntryState:
        connection, driver = slot.connection, self._driver
        try:
            left_open = driver.left_open(connection)
        except Exception:  # it is lost, which `_tidy` finds out too
            left_open = False
        if left_open:
            self._report_left_open(slot)
        if self._tidy(slot, None):
            state = self._tell(lambda slot, now: self.core.cleaned(slot, now, left_open), slot)
        else:
            state = self._evict(slot, "unclean")
        self._post_returned(slot)
        return self._look(slot, state)

    def _report_left_open(self, slot: Slot) -> None:
        with self._lock:
            self.core.tally.left_open += 1
        if self._leak_after is not None:
            place = "".join(slot.origin.format()) if slot.origin else ""
            told = "pool %s: a connection came back in a transaction, which is rolled back. It was taken here:\n%s"
            log.tell(logging.WARNING, told, self._name, place)

    def _post_returned(self, slot: Slot) -> None:
        with self._lock:  # a thread that took too long, and the one that gave it up
            call, slot.returning = slot.returning, None
        if call is not None:
            self._delivery.post(call, None)

    # CLOSING, ABANDONED, and whatever else ends with closing the connection.

    def _end(self, slot: Slot) -> EntryState:
        self._shut(slot)
        return self._tell(self.core.ended, slot)

    def _shut(self, slot: Slot) -> None:
        with self._lock:
            connection, slot.connection, slot.cuttable = slot.connection, None, False
            if slot.interrupting:
                slot.doomed, connection = connection, None
        slot.look = slot.extra = slot.cursor = None
        slot.status = no_status
        if connection is not None and (self._driver.closes_anywhere or not slot.borrowed):
            self._driver.close(connection)


def _processor_time() -> tuple[int, float]:
    """Which thread this is, and the seconds of processor time that it has used."""
    return get_ident(), thread_time()


def _count_processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _without_first_frame(error: BaseException) -> BaseException:
    """Ours, whose local variables would be kept alive with the error."""
    traceback = error.__traceback__
    return error.with_traceback(traceback and traceback.tb_next)
