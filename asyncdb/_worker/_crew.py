"""Carries out what the core decides: the one lock, the threads, and the one timer.

A thread *carries* a slot (an entry with its connection): it does what the slot's state asks for, reports the outcome
to the core, and goes on with whatever state that left the slot in, until it rests. So a worker that ends a job takes
the next one along with the same connection, in the same short critical section, and never waits for the reactor in
between.

Invariants:

- Every event reaches ``core`` under ``_lock``. Nothing under it blocks, calls foreign code or fires a Deferred.
- A slot is carried by at most one thread. The state a thread goes on with is read in the critical section that made it:
  a moment later another thread may have been given the slot.
- The pool closes a connection only after ``cuttable`` was taken away under the lock: a descriptor number that is cut
  can not be somebody else's already.
- A connection in a borrower's hands is closed by the pool only if the driver stands that while another thread is inside
  a call on it. Else it is cut and let go: `disconnect` or the garbage collector closes it.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, cast

from asyncdb._core import Core, Crowd, EntryState, JobState, Orders
from asyncdb._worker._call import NOTHING, Call, Slot
from asyncdb._worker._delivery import Delivery
from asyncdb.dialect import Driver
from asyncdb.errors import AsyncdbError
from asyncdb.hosts import NOWHERE, Host, Timer
from asyncdb.options import Options
from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.threadpool import ThreadPool

__all__ = ["Crew"]

logger = logging.getLogger("asyncdb.pool")

# How long the end of the host waits for threads to close connections. Those left are daemons.
PATIENCE = 1.0
# A call that took less comes of a load of quick ones, whose results may wait for each other (see `_delivery`).
QUICK = 0.001
# How long the end of the host waits for calls that are on their way.
DRAIN = 5.0


_BUSY = EntryState.BUSY  # a global is read faster than an attribute of an enum class


class Crew:
    """One life of a pool, from its start to its close.

    Args:
        options: the pool's.
        driver: the driver, with its connect arguments.
        host: where Deferreds are fired.
        name: of the pool.
        undelivered: called, in the host's thread, with a connection whose borrower had gone when it came.
    Threading: methods without an underscore in the host's thread; ``_carry`` and what it calls in worker threads;
        ``_carry_out`` in any.
    """

    def __init__(
        self, options: Options, driver: Driver, host: Host, name: str, undelivered: Callable[[Any], object]
    ) -> None:
        self.host = host
        self._driver = driver
        self._good_sql = options.good_sql
        self._autocommit = options.autocommit
        self._timeout = math.inf if options.timeout is None else options.timeout
        self._openfun = options.openfun
        self._noise = logging.INFO if options.noisy else logging.DEBUG
        self._name = name
        self._seconds = host.seconds
        self._make_deferred = host.makeDeferred
        self.loop = host.loop  # where calls may be made
        self._lock = lock = threading.Lock()
        self._acquire, self._release = lock.acquire, lock.release  # half the cost of `with`; for worker threads
        crowd = Crowd(driver.quick, driver.enough)
        self.core: Core[Slot, Call] = Core(options, Slot, driver.rest, random.random, driver.redact, crowd)
        self._few = options.max  # with no more calls waiting, a thread may soon have none
        # As many threads as entries may need, and as many again as may be stuck with abandoned ones: so the stuck ones
        # never starve the others, and there is a bound. A thread is started only when there is work and none is idle.
        self._threads = ThreadPool(0, 2 * options.max, name)
        self._threads.start()
        self._delivery = Delivery(host, name, undelivered, self._look_idle)
        self._timer: Timer | None = None
        self._armed_for = math.inf
        self._when_idle: list[Deferred[None]] = []
        self._when_ended: list[Deferred[None]] = []
        self.ended = False
        self._steps: list[Callable[[Slot], EntryState] | None] = [None] * len(EntryState)
        self._steps[EntryState.CONNECTING] = self._connect
        self._steps[EntryState.CHECKING] = self._check
        self._steps[EntryState.BUSY] = self._run
        self._steps[EntryState.RESETTING] = self._reset
        self._steps[EntryState.CLOSING] = self._end
        self._steps[EntryState.ABANDONED] = self._end
        self._forget_shutdown = host.atShutdown(self._drain, self.end_now)

    # ------------------------------------------------------------------------------------- calls, in the host's thread

    def submit(self, call: Call) -> Deferred[Any]:
        """Have *call* made.

        Raises: PoolClosed, PoolOverloaded.
        """
        # Before it is submitted: a thread may end it before this one goes on.
        call.deferred = deferred = self._make_deferred(call)
        core = self.core
        try:
            # Not acquire() and release(): between acquire() and its `try` a signal handler of the main thread can raise
            # (KeyboardInterrupt), and the lock would be held for ever.
            with self._lock:
                now = self._seconds()
                call.deadline = now + self._timeout
                orders = core.submit(call, now)
                wake_at = core.wake_at
        except AsyncdbError:
            call.deferred = None  # else the two keep each other, and refusing must cost nothing
            raise
        if orders is not None:
            self._carry_out(orders)
        if wake_at < self._armed_for:
            self._arm()
        return deferred

    def cancel(self, call: Call) -> bool:
        """The caller of *call* wants no result. Returns whether it was still in the queue: then it will not run."""
        with self._lock:
            queued = call.state is JobState.WAITING
            self.core.cancel(call)
        self._look_idle()
        return queued

    def take_back(self, slot: Slot) -> Deferred[None] | None:
        """A connection that was lent is given back. Fires when it is reset; None: the pool closed it meanwhile."""
        call = Call(self, NOTHING, None, (), {})
        call.state = JobState.DONE  # no job: only a way for the result to come back
        with self._lock:
            if slot.state is not EntryState.LENT:
                return None
            slot.returning = call
            slot.borrowed = False
            orders = self.core.returned(slot, self._seconds())
        call.deferred = deferred = self.host.makeDeferred(call)
        self._carry_out(orders)
        self._arm_if_needed()
        return deferred

    def reclaim(self, slot: Slot, cursors: Collection[Any]) -> None:
        """The borrower of *slot* has dropped it without giving it back; *cursors* are what may still be in use of it.

        Threading: any thread, as the garbage collector likes.
        """
        self._delivery.wake(partial(self._reclaim, slot, cursors))

    def _reclaim(self, slot: Slot, cursors: Collection[Any]) -> None:
        if slot.state is not EntryState.LENT:
            return
        logger.warning("pool %s: a connection was dropped without disconnect(): taken back", self._name)
        if not cursors:
            self.take_back(slot)
            return
        with self._lock:
            orders = self.core.forsaken(slot)
        self._carry_out(orders)

    # --------------------------------------------------------------------------------- the end, in the host's thread

    def close(self, deadline: float) -> Deferred[None]:
        """No more calls. Fires when every connection is closed, or cut at the deadline."""
        done: Deferred[None] = Deferred()
        if self.ended:
            done.callback(None)
            return done
        self._when_ended.append(done)
        with self._lock:
            orders = self.core.close(self._seconds(), deadline)
        self._carry_out(orders)
        self._arm_if_needed()
        return done

    def _drain(self) -> Deferred[None]:
        """The host is about to end: fires when no call waits or runs, or when that has taken too long."""
        done: Deferred[None] = Deferred()
        if self.core.outstanding or self._delivery.results:
            self._when_idle.append(done)
            timer = self.host.callLater(DRAIN, self._tell_idle)
            done.addCallback(_cancel_timer, timer)
        else:
            done.callback(None)
        return done

    def _look_idle(self) -> None:
        if self._when_idle and not self.core.outstanding and not self._delivery.results:
            self._tell_idle()

    def _tell_idle(self) -> None:
        waiting, self._when_idle = self._when_idle, []
        for done in waiting:
            done.callback(None)

    def end_now(self) -> None:
        """The host ends, or is gone: cut what still runs, fail what waits, and let the threads close connections.

        Blocks for PATIENCE seconds at most: the host will not come back to us.
        """
        if self.ended:
            return
        with self._lock:
            now = self._seconds()
            closing = self.core.close(now, 0.0)
            cutting = self.core.expire(now)
        self._carry_out(closing)
        self._carry_out(cutting)
        self._threads.stop(PATIENCE)
        self._finish()

    def _on_drained(self) -> None:
        """Every connection is closed or given up. The threads have nothing left to do, or are stuck."""
        if self.ended:
            return
        self._disarm()
        self._threads.beginStop(self._on_stopped)
        if self._threads.threads and not self.core.gave_up:
            self._timer = self.host.callLater(PATIENCE, self._finish)
        else:
            self._finish()

    def _on_stopped(self) -> None:
        self._delivery.wake(self._finish)

    def _finish(self) -> None:
        if self.ended:
            return
        self.ended = True
        self.loop = NOWHERE
        self._disarm()
        self._forget_shutdown()
        self._delivery.end()
        self._tell_idle()
        self._driver.dispose()
        waiting, self._when_ended = self._when_ended, []
        for done in waiting:
            done.callback(None)

    # ----------------------------------------------------------------------------------- time, in the host's thread

    def _arm_if_needed(self) -> None:
        if self.core.wake_at < self._armed_for:
            self._arm()

    def _arm(self) -> None:
        if self.core.drained:
            return
        wake_at = self.core.wake_at
        self._disarm()
        if wake_at != math.inf:
            self._armed_for = wake_at
            self._timer = self.host.callLater(max(0.0, wake_at - self._seconds()), self._on_timer)

    def _disarm(self) -> None:
        if self._timer is not None:
            _cancel_timer(None, self._timer)
            self._timer = None
        self._armed_for = math.inf

    def _on_timer(self) -> None:
        self._timer = None
        self._armed_for = math.inf
        with self._lock:
            orders = self.core.expire(self._seconds())
        self._carry_out(orders)
        self._arm_if_needed()

    # -------------------------------------------------------------------------------------------- orders, any thread

    def _carry_out(self, orders: Orders[Slot, Call]) -> None:
        for failed, reason in orders.fail:  # before cutting, which makes the same calls fail in the driver's words
            self._delivery.post(failed, Failure(reason))
        for slot in orders.cut:
            with self._lock:
                if slot.cuttable:
                    self._driver.cut(slot.connection)
            self._post_returned(slot)
        for slot in orders.carry:
            try:
                self._threads.callInThread(self._carry, slot)
            except RuntimeError as error:  # the system has no more threads to give, or the pool ends
                self._strand(slot, error)
        if orders.outage is not None:
            told = self._driver.redact(orders.outage)
            logger.warning("pool %s cannot connect, and tries again while calls wait: %s", self._name, told)
        if orders.recovered:
            logger.info("pool %s: connected again, after %d failures", self._name, orders.recovered)
        if orders.drained:
            self._delivery.wake(self._on_drained)

    def _strand(self, slot: Slot, error: Exception) -> None:
        """There is no thread for *slot*: do without it."""
        logger.error("pool %s has no thread for a connection: %s", self._name, error)
        call = slot.job
        self._shut(slot)
        if slot.state is EntryState.CONNECTING:
            self._failed_to_connect(slot, error, True)
        else:
            self._tell(self.core.ended, slot)
        if call is not None:
            self._delivery.post(cast("Call", call), Failure(error))

    # ------------------------------------------------------------------------------------------ work, in worker threads

    def _carry(self, slot: Slot) -> None:
        """Do what *slot* needs until it needs no thread."""
        state = self._look(slot, slot.state)
        while (step := self._steps[state]) is not None:
            state = step(slot)

    def _tell(self, event: Callable[[Slot, float], Orders[Slot, Call] | None], slot: Slot) -> EntryState:
        """Report *event* to the core. Returns the state to go on with."""
        with self._lock:
            orders = event(slot, self._seconds())
            state = slot.state
            wake_at = self.core.wake_at
        if orders is not None:
            self._carry_out(orders)
        if wake_at < self._armed_for:
            self._delivery.wake(self._arm)
        return state

    def _look(self, slot: Slot, state: EntryState) -> EntryState:
        """Before the first call on a connection that rested: has the server gone, or said something?

        Not between calls that follow each other: the last answer is microseconds old, and looking costs a release of
        the interpreter lock, with eight threads waiting for it (25 % of the throughput).
        """
        if state is EntryState.BUSY and slot.look is not None and slot.look():
            return self._tell(self.core.suspected, slot)
        return state

    def _run(self, slot: Slot) -> EntryState:
        """BUSY: run the call, and those that are handed over to the thread after it."""
        call: Any
        value: Any
        acquire, release, seconds = self._acquire, self._release, self._seconds
        finished, queue = self.core.finished, self.core.queue
        post, left_open = self._delivery.post, self._driver.left_open
        while True:
            call = slot.job
            task = call.task
            try:
                value = call.context.run(task.run, slot, call)
            except StopIteration as stopped:  # which no coroutine can let out, and no asyncio Future can hold
                error = RuntimeError(f"the function raised {stopped!r}")
                error.__cause__ = _without_first_frame(stopped)
                return self._failed(slot, call, error)
            except BaseException as error:  # whatever user's code raises is the result of its call
                return self._failed(slot, call, _without_first_frame(error))
            if task.lends:
                with self._lock:
                    slot.borrowed = lent = self.core.lent(slot)
                if lent:
                    post(call, value)
                    return EntryState.LENT
                value._detach()  # nobody may give back, by it or by dropping it, what is somebody else's soon
                value = None
            if (task.foreign or left_open(slot.connection)) and not self._tidy(slot, call):
                return self._lose(slot, call, value)
            acquire()  # to report this one and take the next: the one place where workers meet
            try:
                now = seconds()
                finished(slot, now)
                state = slot.state
            finally:
                release()
            post(call, value, queue.alive > self._few and now - call.started < QUICK)
            if state is not _BUSY:
                break
            call = value = None  # the next one may take its time, and this is over
        if state is EntryState.IDLE and self.core.wake_at < self._armed_for:
            self._delivery.wake(self._arm)
        return state

    def _failed(self, slot: Slot, call: Call, error: BaseException) -> EntryState:
        driver = self._driver
        lost = driver.is_disconnect(error, slot.connection) or not self._tidy(slot, call)
        failure = Failure(error)
        if lost:
            return self._lose(slot, call, failure)
        state = self._tell(self.core.distrusted if driver.is_doubtful(error) else self.core.finished, slot)
        self._delivery.post(call, failure)
        return state

    def _tidy(self, slot: Slot, call: Call | None) -> bool:
        """Leave the connection as a call should find it. Returns whether that worked."""
        connection, driver = slot.connection, self._driver
        if slot.lost:
            return False
        try:
            if driver.in_transaction(connection):
                driver.rollback(connection)
            if call is None or call.task.foreign:
                driver.restore(connection, slot.session)
        except Exception as error:
            if not driver.is_disconnect(error, connection):
                logger.warning("pool %s: rolling back failed, the connection is closed: %s", self._name, error)
            return False
        return True

    def _lose(self, slot: Slot, call: Call, value: Any) -> EntryState:
        """The connection is of no use any more; *value* is what the call came to."""
        logger.log(self._noise, "pool %s: a connection was lost", self._name)
        self._shut(slot)
        state = self._tell(self.core.ended, slot)
        self._delivery.post(call, value)
        return state

    def _connect(self, slot: Slot) -> EntryState:
        """CONNECTING."""
        driver = self._driver
        try:
            connection = driver.connect()
        except BaseException as error:
            # Without its traceback: the frames hold the connect arguments.
            return self._failed_to_connect(slot, error.with_traceback(None), driver.is_retryable(error))
        with self._lock:
            slot.connection, slot.cuttable = connection, True
        opened = self._openfun is None
        try:
            if self._openfun is not None:
                self._openfun(connection)
                opened = True
            if driver.left_open(connection):
                driver.commit(connection)
            driver.prepare(connection)
            slot.session = driver.session(connection)
            slot.plain = self._autocommit and driver.may_autocommit(connection)
            slot.look = driver.look(connection)
        except BaseException as error:
            # A mistake in cp_openfun is not mended by trying again, whatever class its error has.
            retryable = driver.is_disconnect(error, connection) or (opened and driver.is_retryable(error))
            self._shut(slot)
            return self._failed_to_connect(slot, _without_first_frame(error), retryable)
        logger.log(self._noise, "pool %s: connected", self._name)
        return self._tell(self.core.connected, slot)

    def _failed_to_connect(self, slot: Slot, error: BaseException, retryable: bool) -> EntryState:
        return self._tell(lambda slot, now: self.core.connect_failed(slot, error, retryable, now), slot)

    def _check(self, slot: Slot) -> EntryState:
        """CHECKING."""
        try:
            self._driver.ping(slot.connection, self._good_sql)
        except Exception as error:
            logger.log(self._noise, "pool %s: a connection was lost: %s", self._name, self._driver.redact(error))
            return self._end(slot)
        return self._tell(self.core.checked, slot)

    def _reset(self, slot: Slot) -> EntryState:
        """RESETTING."""
        state = self._tell(self.core.cleaned, slot) if self._tidy(slot, None) else self._end(slot)
        self._post_returned(slot)
        return self._look(slot, state)

    def _post_returned(self, slot: Slot) -> None:
        with self._lock:  # a thread that took too long, and the one that gave it up
            call, slot.returning = slot.returning, None
        if call is not None:
            self._delivery.post(call, None)

    def _end(self, slot: Slot) -> EntryState:
        """CLOSING, ABANDONED, and whatever else ends with closing the connection."""
        self._shut(slot)
        return self._tell(self.core.ended, slot)

    def _shut(self, slot: Slot) -> None:
        with self._lock:
            connection, slot.connection, slot.cuttable = slot.connection, None, False
        slot.look = slot.extra = None
        if connection is not None and (self._driver.closes_anywhere or not slot.borrowed):
            self._driver.close(connection)


def _without_first_frame(error: BaseException) -> BaseException:
    """Ours, whose local variables would be kept alive with the error."""
    traceback = error.__traceback__
    return error.with_traceback(traceback and traceback.tb_next)


def _cancel_timer(result: Any, timer: Timer) -> Any:
    if timer.active():
        timer.cancel()
    return result
