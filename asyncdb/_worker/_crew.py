"""Carries out what the core decides: the threads, the one timer, and the way to the host.

A crew is one life of a pool. What its threads do with connections is in `_steps`, where the invariants are too; here is
what happens in the host's thread, and what an order of the core's means.

A process that was forked has the crew's memory, but none of its threads, and its connections belong to the parent: a
crew that finds itself there is *inherited*, does nothing any more, and is kept for good, because what Python frees says
goodbye to a server that still talks to the parent.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, cast
from weakref import WeakSet

from asyncdb._core import EntryState, JobState, Orders
from asyncdb._worker._call import NOTHING, Call, Slot
from asyncdb._worker._delivery import Delivery
from asyncdb._worker._log import Log
from asyncdb._worker._reports import ask_origin, log_held, take_stats
from asyncdb._worker._together import Together
from asyncdb.dialect import Driver
from asyncdb.errors import AsyncdbError, PoolClosed
from asyncdb.hosts import NOWHERE, Host, Timer
from asyncdb.options import Options
from asyncdb.stats import PoolStats
from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.threadpool import ThreadPool

__all__ = ["Crew"]

log = Log("asyncdb.pool")

# How long the end of the host waits for threads to close connections. Those left are daemons.
PATIENCE = 1.0
# How long the end of the host waits for calls that are on their way.
DRAIN = 5.0

_crews: WeakSet[Crew] = WeakSet()
_inherited: list[Crew] = []


class Crew(Together):
    """One life of a pool, from its start to its close.

    Args:
        options: the pool's.
        driver: the driver, with its connect arguments.
        host: where Deferreds are fired.
        name: of the pool.
        undelivered: called, in the host's thread, with a connection whose borrower had gone when it came.
    Threading: methods without an underscore in the host's thread; ``_carry_out`` in any.
    """

    __slots__ = (
        "__weakref__",
        "_forget_shutdown",
        "_make_deferred",
        "_options",
        "_threads",
        "_timer",
        "_when_ended",
        "_when_idle",
        "_when_quiet",
        "_when_ready",
        "ended",
        "host",
        "inherited",
        "loop",
    )

    def __init__(
        self, options: Options, driver: Driver, host: Host, name: str, undelivered: Callable[[Any], object]
    ) -> None:
        super().__init__(options, driver, host, name)
        self.host = host
        self._options = options
        self._make_deferred = host.makeDeferred
        self.loop = host.loop  # where calls may be made
        self.inherited = False
        # As many threads as entries may need, as many again as may be stuck with abandoned ones, and as many as both
        # together for interrupting: so the stuck ones never starve the others, and there is a bound. A thread is
        # started only when there is work and none is idle.
        self._threads = ThreadPool(0, 4 * options.max, name)
        self._threads.start()
        self._delivery = Delivery(host, name, undelivered, self._after_delivery)
        self._timer: Timer | None = None
        self._armed_for = math.inf
        self._when_idle: list[Deferred[None]] = []
        self._when_quiet: list[Deferred[bool]] = []
        self._when_ready: dict[Deferred[None], Timer | None] = {}
        self._when_ended: list[Deferred[None]] = []
        self.ended = False
        self._forget_shutdown = host.atShutdown(self._drain, self.end_now)
        _crews.add(self)

    # ------------------------------------------------------------------------------------- calls, in the host's thread

    def submit(self, call: Call) -> Deferred[Any]:
        """Have *call* made.

        Raises: PoolClosed, PoolOverloaded.
        """
        if self._leak_after is not None and call.task.foreign:
            call.origin = ask_origin()
        # Before it is submitted: a thread may end it before this one goes on.
        call.deferred = deferred = self._make_deferred(call)
        core = self.core
        try:
            # Not acquire() and release(): between acquire() and its `try` a signal handler of the main thread can raise
            # (KeyboardInterrupt), and the lock would be held for ever.
            with self._lock:
                orders = core.submit(call, self._seconds(), call.options.timeout)
                due_at = core.due_at
        except AsyncdbError:
            call.deferred = None  # else the two keep each other, and refusing must cost nothing
            raise
        if orders is not None:
            self._carry_out(orders)
            self._arm_if_needed()
        elif due_at < self._armed_for:
            self._arm()
        return deferred

    def cancel(self, call: Call) -> None:
        """The caller of *call* wants no result: it is taken out of the queue, or interrupted."""
        with self._lock:
            orders = self.core.cancel(call, self._seconds())
        if orders is not None:
            self._carry_out(orders)
            self._arm_if_needed()
        self._look_idle()

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

    def is_foreign(self, slot: Slot) -> bool:
        """Whether *slot* was lent by another crew, and still is: before this process was forked."""
        return slot.state is EntryState.LENT and slot not in self.core.entries

    def reclaim(self, slot: Slot, cursors: Collection[Any]) -> None:
        """The borrower of *slot* has dropped it without giving it back; *cursors* are what may still be in use of it.

        Threading: any thread, as the garbage collector likes.
        """
        if self.inherited:
            return
        self._delivery.wake(partial(self._reclaim, slot, cursors))

    def _reclaim(self, slot: Slot, cursors: Collection[Any]) -> None:
        if slot.state is not EntryState.LENT:
            return
        place = f". It was taken here:\n{''.join(slot.origin.format())}" if slot.origin else ""
        log.tell(
            logging.WARNING, "pool %s: a connection was dropped without disconnect(): taken back%s", self._name, place
        )
        if not cursors:
            self.take_back(slot)
            return
        with self._lock:
            orders = self.core.forsaken(slot)
        self._carry_out(orders)

    # ---------------------------------------------------------------------------- the pool itself, in the host's thread

    def ready(self, timeout: float) -> Deferred[None]:
        """Fires when ``cp_min`` connections stand; fails with the reason, or when that has taken *timeout* seconds.

        Raises: PoolClosed.
        """
        self._check_open()
        done: Deferred[None] = Deferred(self._forget_ready)
        timer = None if timeout == math.inf else self.host.callLater(timeout, self._overdue, done, timeout)
        self._when_ready[done] = timer
        with self._lock:
            orders = self.core.warm(self._seconds())
        self._carry_out(orders)
        self._arm_if_needed()
        return done

    def _check_open(self) -> None:
        if self.core.closing:
            raise PoolClosed("the pool is closed")

    def _forget_ready(self, done: Deferred[None]) -> None:
        timer = self._when_ready.pop(done, None)
        if timer is not None:
            _cancel_timer(None, timer)

    def _overdue(self, done: Deferred[None], waited: float) -> None:
        self._forget_ready(done)
        done.errback(Failure(self.core.not_ready(waited)))

    def _tell_ready(self, reason: BaseException | None) -> None:
        for done in list(self._when_ready):
            if done not in self._when_ready:
                continue  # cancelled, by who was told before
            self._forget_ready(done)
            if reason is None:
                done.callback(None)
            else:
                done.errback(Failure(reason))

    def suspend(self) -> Deferred[bool]:
        """Give nobody a connection until `resume`. Fires when none is in use; with False if it was resumed before.

        Raises: PoolClosed.
        """
        self._check_open()
        done: Deferred[bool] = Deferred()
        with self._lock:
            self.core.suspend()
        self._when_quiet.append(done)
        self._tell_quiet()
        return done

    def resume(self) -> None:
        """Go on."""
        with self._lock:
            orders = self.core.resume(self._seconds())
        self._carry_out(orders)
        self._arm_if_needed()
        waiting, self._when_quiet = self._when_quiet, []
        for done in waiting:
            done.callback(False)

    def _tell_quiet(self) -> None:
        if self.core.in_use:
            return
        waiting, self._when_quiet = self._when_quiet, []
        for done in waiting:
            done.callback(True)

    def evict_all(self) -> None:
        """Replace every connection: those at rest now, those in use when they are free."""
        with self._lock:
            orders = self.core.evict_all(self._seconds())
        self._carry_out(orders)
        self._arm_if_needed()

    def stats(self) -> PoolStats:
        """How it stands."""
        with self._lock:
            return take_stats(self._name, self.core, self._options, self.ended, self._driver.redact)

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
        self._tell_ready(_closed_before())
        return done

    def _drain(self) -> Deferred[None]:
        """The host is about to end: fires when no call waits or runs, or when that has taken too long."""
        done: Deferred[None] = Deferred()
        if not self.inherited and (self.core.outstanding or self._delivery.results):
            self._when_idle.append(done)
            timer = self.host.callLater(DRAIN, self._tell_idle)
            done.addCallback(_cancel_timer, timer)
        else:
            done.callback(None)
        return done

    def _look_idle(self) -> None:
        """After whatever may have ended the last call."""
        if self._when_idle and not self.core.outstanding and not self._delivery.results:
            self._tell_idle()
        if self._when_quiet:
            self._tell_quiet()

    def _after_delivery(self) -> None:
        """The host came for results. As long as it comes by itself, stalled calls are looked for each time."""
        if self.core.stall_at != math.inf and not self.ended:
            with self._lock:
                orders = self.core.expire(self._seconds())
            self._carry_out(orders)
            self._arm_if_needed()
        self._look_idle()

    def _look_ended(self) -> None:
        if self._when_idle or self._when_quiet:
            self._delivery.wake(self._look_idle)

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
        self._tell_ready(_closed_before())
        quiet, self._when_quiet = self._when_quiet, []
        for quieted in quiet:
            quieted.callback(True)
        self._driver.dispose()
        waiting, self._when_ended = self._when_ended, []
        for done in waiting:
            done.callback(None)

    # ----------------------------------------------------------------------------------- time, in the host's thread

    def _arm_if_needed(self) -> None:
        if self._wake_at() < self._armed_for:
            self._arm()

    def _arm(self) -> None:
        if self.core.drained:
            return
        wake_at = self._wake_at()
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
        if self.inherited:
            return
        self._timer = None
        self._armed_for = math.inf
        with self._lock:
            orders = self.core.expire(self._seconds())
        self._carry_out(orders)
        self._arm_if_needed()
        self._look_idle()

    # -------------------------------------------------------------------------------------------- orders, any thread

    def _carry_out(self, orders: Orders[Slot, Call]) -> None:
        for failed, reason in orders.fail:  # before cutting, which makes the same calls fail in the driver's words
            self._delivery.post(failed, Failure(reason))
        for slot in orders.interrupt:
            self._send_interrupt(slot)
        for slot in orders.cut:
            self._cut(slot)
        # Before the next attempt is begun, which may end before this thread goes on: told in the other order, the end
        # of an outage would be taken for its beginning.
        if orders.outage is not None:
            told = self._driver.redact(orders.outage)
            log.tell(logging.WARNING, "pool %s cannot connect, and tries again while calls wait: %s", self._name, told)
            self._tell_outage(orders.outage)
        if orders.recovered:
            log.tell(logging.INFO, "pool %s: connected again, after %d failures", self._name, orders.recovered)
            self._tell_outage(None)
        for slot in orders.carry:
            self._have_carried(slot)
        for slot in orders.held:
            log_held(self._name, slot, self._leak_after or 0.0)
        if orders.ready or orders.unready is not None:
            self._delivery.wake(partial(self._tell_ready, orders.unready))
        if orders.drained:
            self._delivery.wake(self._on_drained)

    def _have_carried(self, slot: Slot) -> None:
        try:
            self._threads.callInThread(self._carry, slot)
        except RuntimeError as error:  # the system has no more threads to give, or the pool ends
            self._strand(slot, error)

    def _cut(self, slot: Slot) -> None:
        with self._lock:
            if slot.cuttable:
                self._driver.cut(slot.connection)
            parked, slot.parked = slot.parked, False
        self._post_returned(slot)
        if (
            parked
        ):  # no thread is inside the driver with it: it need not be stuck for as long as the interrupting one is
            self._have_carried(slot)

    def _send_interrupt(self, slot: Slot) -> None:
        with self._lock:
            job, connection = slot.job, slot.connection
            # A moment later it may have come back, and be somebody else's: then there is nothing to interrupt.
            if slot.interrupting or not slot.cuttable or slot.state is not EntryState.BUSY:
                return
            if job is None or not job.interrupted or job.committing or self._interrupters >= 2 * self._options.max:
                return
            # Dirty even if the statement has ended: what comes late hits whatever is sent next.
            slot.interrupting = slot.dirty = True
            self._interrupters += 1
        try:
            self._threads.callInThread(self._interrupt, slot, connection)
        except RuntimeError as error:  # the system has no more threads to give: it is tried again, and cut at last
            log.tell(logging.ERROR, "pool %s has no thread to interrupt a call: %s", self._name, error)
            self._interrupted(slot)

    def _tell_outage(self, error: BaseException | None) -> None:
        if self._options.on_outage is not None:
            self._delivery.wake(partial(self._call_hook, self._options.on_outage, error))

    def _call_hook(self, hook: Callable[[BaseException | None], object], error: BaseException | None) -> None:
        try:
            hook(error)
        except Exception:
            log.tell(logging.ERROR, "pool %s: cp_on_outage failed", self._name, exc_info=True)

    def _strand(self, slot: Slot, error: Exception) -> None:
        """There is no thread for *slot*: do without it."""
        log.tell(logging.ERROR, "pool %s has no thread for a connection: %s", self._name, error)
        call = slot.job
        self._shut(slot)
        if slot.state is EntryState.CONNECTING:
            self._failed_to_connect(slot, error, True)
        else:
            self._tell(self.core.ended, slot)
        if call is not None:
            self._delivery.post(cast("Call", call), Failure(error))


def _closed_before() -> PoolClosed:
    return PoolClosed("the pool was closed before it was ready")


def _cancel_timer(result: Any, timer: Timer) -> Any:
    if timer.active():
        timer.cancel()
    return result


def _in_child() -> None:
    """This process was forked."""
    for crew in list(_crews):
        crew.inherited = crew.ended = True
        crew.loop = NOWHERE
        _inherited.append(crew)
    _crews.clear()


if hasattr(os, "register_at_fork"):  # where there is no fork, nothing is inherited
    os.register_at_fork(after_in_child=_in_child)
