"""A pool's core and the world around it: callers, threads and a clock, with books of their own.

What is done to the core goes through a `World`. It keeps, in plain lists and written without a look at how the core
does it, who waits and in which order, which thread carries which connection, who was answered, and since when things
are as they are. After every event, what the core has done is held against these books.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from asyncdb._core import Core, Crowd, Entry, EntryState, Job, JobState, Orders
from asyncdb._core._crowd import STALL
from asyncdb._core._ground import FAIL_OVER_PAUSE
from asyncdb._core._queue import SPARE as LANE_SPARE
from asyncdb._core._queue import TURNS
from asyncdb._core._states import NORMAL
from asyncdb._core._timing import CUT_AGAIN
from asyncdb._core._waits import SPARE as WAITS_SPARE
from asyncdb.errors import PoolClosed, PoolOverloaded
from asyncdb.options import PRIORITIES, Options

__all__ = ["CARRIED", "UNDER_WAY", "Call", "World"]

S = EntryState
UNDER_WAY = (S.CONNECTING, S.CHECKING, S.RESETTING)
STANDING = (S.CHECKING, S.IDLE, S.BUSY, S.LENT, S.RESETTING)
CARRIED = (S.CONNECTING, S.CHECKING, S.BUSY, S.RESETTING, S.CLOSING, S.ABANDONED)
"""States in which a thread has something to do."""
ROUNDING = 1e-9


class Call(Job):
    """A call. *answers*: how often its caller was answered. The rest is for whoever drives the world."""

    __slots__ = ("answers", "kind", "took")

    def __init__(self, lane: int = NORMAL, caller: str | None = None, kind: str = "plain", took: float = 0.0) -> None:
        super().__init__(lane, caller)
        self.answers = 0
        self.kind = kind
        self.took = took


class World:
    """A core and what is around it.

    Args: as for `Core`.
    Attributes: *now*; *doing*, what the thread of each entry that is carried believes to do.
    """

    def __init__(
        self,
        options: Options,
        rest: float = 0.5,
        jitter: Callable[[], float] = lambda: 0.5,
        crowd: Crowd | None = None,
        again: float | None = 0.25,
    ) -> None:
        self.options = options
        self.rest = rest
        self.crowd = crowd
        self.again = again
        self.now = 100.0
        self.core: Core[Entry, Call] = Core(options, self._make, rest, jitter, crowd=crowd, again=again)
        self.calls: list[Call] = []  # those not over yet
        self.lanes: list[list[Call]] = [[] for _ in PRIORITIES]
        self.overtaking = 0  # how many were served, one after another, before others in a lower lane
        self.since_lower = TURNS  # how many were served since one of a lower lane was served before a higher one
        self.ever: list[Entry] = []  # all that were made, and are not gone
        self.doing: dict[Entry, EntryState] = {}
        self.states: dict[Entry, EntryState] = {}
        self.began: dict[Entry, float] = {}  # when its state began
        self.used: dict[Entry, float] = {}
        self.answered: dict[Entry, float] = {}
        self.held_by: dict[Entry, Call] = {}
        self.told: dict[Entry, object] = {}  # the holder that was told of
        self.interrupted: dict[Entry, float] = {}  # when last; until it has been checked
        self.given_up: dict[Entry, float] = {}  # since when nobody waits for what it runs
        self.doomed: set[Entry] = set()
        self.rested: set[Entry] = set()  # whose first call since they rested may turn out not to be sent
        self.no_fail_over_before = -math.inf
        self.warmed = self.keeps = self.wants_ready = self.suspended = False
        self.close_at = math.inf
        self.drained = 0
        self.evicted = 0
        self._cut: list[Entry] = []
        self._interrupted: list[Entry] = []

    # -------------------------------------------------------------------------------------------------------- callers

    def submit(self, call: Call, timeout: float | None = None) -> bool:
        """Somebody makes *call*. Returns whether it was taken in."""
        core, before, mine = self.core, self.waiting, self._waiting_of(call.caller)
        cap = self.options.max_waiting_per_caller
        full = before >= self.options.max_waiting
        try:
            orders = core.submit(call, self.now, timeout)
        except PoolClosed:
            assert core.closing
            return False
        except PoolOverloaded as error:
            if "of '" in str(error).partition(";")[0]:
                assert cap is not None
                assert mine >= cap
            else:
                assert full
                assert not self._fit() or self.suspended, "refused beside a connection at rest"
                taken = len(core.entries) - self.count(S.CLOSING)
                # The attempt that there is may be stuck, and as many threads besides as may be: then there is no other.
                stuck = bool(core.outage.failures) and self.count(S.CONNECTING) > 0
                assert before or self.suspended or ((taken >= self.options.max or stuck) and not self._coming()), (
                    "refused for ever"
                )
            self._check()
            return False
        assert not core.closing
        self.calls.append(call)
        self.lanes[call.lane].append(call)
        quick = next((e for e in orders.carry if e.job is call), None) if orders is not None else None
        if quick is None:
            assert cap is None or call.caller is None or mine < cap, "more of one caller wait than may"
        self._follow(orders)
        if call.state is JobState.WAITING and full:
            room = self.options.max - len(core.entries) + self.count(S.CLOSING)
            assert self.waiting <= max(before, self.options.max_waiting + self._coming() + room), "more wait than may"
        return True

    def cancel(self, call: Call) -> None:
        """The caller of *call* wants nothing any more."""
        if call.answers:  # the answer is on its way to him
            assert self.core.cancel(call, self.now) is None
            self._check()
            return
        if call.state is JobState.WAITING:
            self.lanes[call.lane].remove(call)
        orders = self.core.cancel(call, self.now)
        self._answer(call)
        self._follow(orders)

    def give_back(self, entry: Entry) -> None:
        """A connection that was lent comes back."""
        self.used[entry] = self.now
        self._follow(self.core.returned(entry, self.now))

    def forsake(self, entry: Entry) -> None:
        """Its borrower has dropped it."""
        self._follow(self.core.forsaken(entry))

    # ------------------------------------------------------------------------------------------------- the pool itself

    def warm(self) -> None:
        """Somebody asks for `ready`."""
        self.warmed = self.keeps = self.wants_ready = True
        self._follow(self.core.warm(self.now))

    def suspend(self) -> None:
        """The pool is suspended."""
        self.suspended = True
        self.core.suspend()
        self._check()

    def resume(self) -> None:
        """It goes on."""
        self.suspended = False
        self._follow(self.core.resume(self.now))

    def evict_all(self) -> None:
        """All connections are to be replaced."""
        self.doomed.update(self.core.entries)
        self._follow(self.core.evict_all(self.now))

    def close(self, deadline: float) -> None:
        """The pool closes."""
        self.close_at = min(self.close_at, self.now + deadline)
        self._follow(self.core.close(self.now, deadline))

    # -------------------------------------------------------------------------------------------------------- threads

    def connected(self, entry: Entry) -> None:
        """Its thread has a connection."""
        if entry.state is not S.ABANDONED:
            self.used[entry] = self.answered[entry] = self.now
            self.keeps = self.warmed
        self._report(entry, self.core.connected)

    def connect_failed(self, entry: Entry, retryable: bool) -> None:
        """Its thread has none."""
        if entry.state is not S.ABANDONED and not retryable and not self._standing():
            self.keeps = False
        self._report(entry, lambda e, now: self.core.connect_failed(e, OSError("refused"), retryable, now))

    def checked(self, entry: Entry) -> None:
        """It answered, and is clean."""
        if entry.state is not S.ABANDONED:
            self.answered[entry] = self.now
            self.interrupted.pop(entry, None)
        self._report(entry, self.core.checked)

    def suspected(self, entry: Entry) -> None:
        """Before anything was sent, there was reason for a check."""
        call = self.call_of(entry)
        if call.state is JobState.RUNNING and not self.core.closing:
            lane = self.lanes[call.lane]
            lane.append(call)
            lane.sort(key=lambda one: one.sequence)
        self._report(entry, self.core.suspected)

    def all_suspected(self, order: Callable[[Entry], object]) -> None:
        """The server has gone, which every connection shows that has rested, one after another."""
        busy = [entry for entry, state in self.doing.items() if state is entry.state is S.BUSY and entry in self.rested]
        for entry in sorted(busy, key=order):  # type: ignore[arg-type]
            if entry in self.rested and entry.state is S.BUSY and not self.call_of(entry).committing:
                self.suspected(entry)

    def ran(self, entry: Entry, event: str) -> None:
        """Its call has "finished", "failed" or was "distrusted"."""
        if entry.state is not S.ABANDONED:
            self.used[entry] = self.now
            if event != "distrusted":
                self.answered[entry] = self.now
        call = self.call_of(entry)
        if call.state is JobState.RUNNING:
            self._answer(call)
        self._report(entry, self._finish if event == "finished" else getattr(self.core, event))

    def _finish(self, entry: Entry, now: float) -> Orders[Entry, Call] | None:
        """As its thread does: it looks first whether it is the usual case."""
        if not self.core.hand_over(entry, now):
            return self.core.finished(entry, now)
        assert entry.state is S.BUSY
        assert self.call_of(entry).started == now
        return None

    def lent(self, entry: Entry) -> bool:
        """Its call asked for the connection. Returns whether there is somebody to have it."""
        call = self.call_of(entry)
        was, thread = call.state, self.doing.pop(entry)
        lent = self.core.lent(entry, self.now)
        if lent:
            self._answer(call)
        else:
            assert was is JobState.ABANDONED or entry.state is S.ABANDONED
            self.doing[entry] = thread
        self._follow(None)
        return lent

    def cleaned(self, entry: Entry, answered: bool) -> None:
        """It was reset."""
        if entry.state is not S.ABANDONED and answered:
            self.answered[entry] = self.now
        self._report(entry, lambda e, now: self.core.cleaned(e, now, answered))

    def lost(self, entry: Entry, reason: str) -> None:
        """It was closed, for *reason*."""
        if entry.state is not S.ABANDONED and reason == "readonly":
            if self.now >= self.no_fail_over_before:
                self.no_fail_over_before = self.now + FAIL_OVER_PAUSE
                self.doomed.update(self.core.entries)
        elif entry.state is not S.ABANDONED and reason != "unclean":
            for other in self.core.entries:
                if other.state is not S.BUSY:
                    self.answered[other] = -math.inf
        self._answer_for(entry)
        self._report(entry, lambda e, now: self.core.lost(e, reason, now))

    def ended(self, entry: Entry) -> None:
        """It was closed, as it was to be."""
        self._answer_for(entry)
        self._report(entry, self.core.ended)

    def _answer_for(self, entry: Entry) -> None:
        if entry.job is not None and entry.job.state is JobState.RUNNING:
            self._answer(self.call_of(entry))

    def _report(self, entry: Entry, event: Callable[[Entry, float], Orders[Entry, Call] | None]) -> None:
        del self.doing[entry]
        orders = event(entry, self.now)
        if entry.state in CARRIED:
            self.doing[entry] = S.CLOSING if entry.state is S.ABANDONED else entry.state
        self._follow(orders, entry)

    # ----------------------------------------------------------------------------------------------------------- time

    def expire(self) -> None:
        """The timer fires, as it was asked to or at any other time."""
        before = self._picture()
        self._follow(self.core.expire(self.now))
        assert self.core.wake_at > self.now or self._picture() != before, "asks to be woken and has nothing to do"

    def run_timer(self) -> None:
        """It fires for as long as it is asked to do so at once."""
        for _ in range(20):
            if self.core.wake_at > self.now:
                return
            self.expire()
        raise AssertionError("it asks to be woken again and again")

    def _picture(self) -> object:
        core = self.core
        states = [core.count(state) for state in S]
        did = core.tally.interrupts, core.tally.leaks, len(core.strays), core.gave_up, self.close_at < self.now
        return states, core.waiting, core.outage.failures, core.drained, len(self.ever), did

    # ------------------------------------------------------------------------------------------------ looking at things

    def take_cut(self) -> list[Entry]:
        """Those that were cut since this was asked before."""
        taken, self._cut = self._cut, []
        return taken

    def take_interrupted(self) -> list[Entry]:
        """The same of those that were interrupted."""
        taken, self._interrupted = self._interrupted, []
        return taken

    @property
    def waiting(self) -> int:
        """How many calls wait, by our books."""
        return sum(map(len, self.lanes))

    def count(self, state: EntryState) -> int:
        """How many entries are in *state*."""
        return sum(entry.state is state for entry in self.core.entries)

    def call_of(self, entry: Entry) -> Call:
        """What it runs."""
        assert isinstance(entry.job, Call)
        return entry.job

    def fit(self, entry: Entry) -> bool:
        """Whether it could be used without being asked."""
        proven = self.answered[entry]
        known = proven != -math.inf and self.now - proven <= self.rest
        return known and self.now < entry.expires and entry not in self.doomed

    def _fit(self) -> list[Entry]:
        return [entry for entry in self.core.entries if entry.state is S.IDLE and self.fit(entry)]

    def _coming(self) -> int:
        """What takes too long is counted on as long as one more thread may be stuck, since it is then done without."""
        room = len(self.core.strays) < self.options.max
        return sum(entry.state in UNDER_WAY and (room or entry.deadline > self.now) for entry in self.core.entries)

    def _standing(self) -> int:
        return sum(entry.state in STANDING for entry in self.core.entries)

    def _waiting_of(self, caller: str | None) -> int:
        return sum(call.caller == caller for lane in self.lanes for call in lane)

    def crowded(self) -> bool:
        """Whether there are enough at work that are expected to make room."""
        if self.crowd is None or not self.crowd.tight:
            return False
        busy = [entry for entry in self.core.entries if entry.state is S.BUSY]
        return sum(self.now - self.call_of(entry).started < STALL for entry in busy) >= self.crowd.enough

    def _may_grow(self) -> bool:
        core = self.core
        if core.closing or self.suspended or len(core.entries) >= self.options.max or self.count(S.CONNECTING):
            return False
        return self._coming() < self.waiting or (self.keeps and len(core.entries) < self.options.min)

    def could_serve(self) -> bool:
        """Whether something could be done at once for somebody who waits."""
        if not self.waiting or self.suspended or self.core.closing:
            return False
        resting = [entry for entry in self.core.entries if entry.state is S.IDLE]
        checks = self.count(S.CHECKING) + self.count(S.RESETTING)
        return bool(self._fit() or (resting and checks < self.waiting) or (self._may_grow() and not self._pausing()))

    def _pausing(self) -> bool:
        return self.core.outage.failures > 0

    # ---------------------------------------------------------------------------------------------- what the core does

    def _make(self) -> Entry:
        """The core makes one more. Called in the middle of an event."""
        core = self.core
        assert not core.closing
        assert not self.suspended, "connects though it is suspended"
        assert len(core.entries) < self.options.max
        assert not core.count(S.CONNECTING), "two attempts at a time"
        assert not core.outage.failures or self.now >= core.outage.retry_at, "an attempt within the pause"
        entry = Entry()
        self.ever.append(entry)
        return entry

    def _answer(self, call: Call) -> None:
        call.answers += 1
        assert call.answers == 1, "answered twice"

    def _follow(self, orders: Orders[Entry, Call] | None, own: Entry | None = None) -> None:
        """An event has happened, of whose thread *own* is: keep the books, and see whether all is well."""
        orders = orders or Orders()
        for call, _ in orders.fail:
            self._answer(call)
            if call in self.lanes[call.lane]:
                self.lanes[call.lane].remove(call)
        for entry in [own, *orders.carry] if own is not None else orders.carry:
            if entry.state is S.BUSY and entry.job is not self.held_by.get(entry):
                self._start(entry, self.call_of(entry))
                self.rested.discard(entry)
        self.rested.update(orders.carry)
        for entry in orders.carry:
            assert entry not in self.doing, "two threads for one connection"
            assert entry.state in CARRIED
            self.doing[entry] = entry.state
        self._cut += orders.cut
        self._interrupted += orders.interrupt
        for entry in orders.interrupt:
            job = self.call_of(entry)
            assert job.state is JobState.ABANDONED, "somebody waits for what is interrupted"
            assert not job.committing, "a commit is interrupted"
            assert entry.state is S.BUSY or entry in orders.cut  # at the end of the pool, both
            assert self.again is not None
            self.interrupted[entry] = self.now
        for entry in orders.held:
            holder = entry.job or "borrower"
            assert self.told.get(entry) is not holder, "told twice"
            self.told[entry] = holder
        if orders.ready or orders.unready is not None:
            assert self.wants_ready
            assert not orders.ready or self._standing() >= self.options.min
            self.wants_ready = False
        self.drained += orders.drained
        self._check()

    def _start(self, entry: Entry, call: Call) -> None:
        """*call* was given to *entry*."""
        assert not self.suspended, "started though the pool is suspended"
        assert not self.core.closing
        assert entry not in self.doomed, "one that is to be replaced was used again"
        assert self.now < entry.expires, "one that is too old was used again"
        assert entry not in self.interrupted, "one whose statement was interrupted was used unchecked"
        assert self.now < call.patience or self.now - call.patience < ROUNDING or self.core.wake_at <= self.now
        waiting = [lane for lane in self.lanes if lane]
        lane = self.lanes[call.lane]
        assert lane, "served though it did not wait"
        assert lane[0] is call, "out of turn in its lane"
        if lane is waiting[0]:
            self.overtaking = self.overtaking + 1 if len(waiting) > 1 else 0
            self.since_lower += 1
            assert self.overtaking < TURNS, "a lower lane starves"
        else:
            assert self.since_lower >= TURNS - 1, "a higher lane was left waiting"
            assert call.sequence == min(lower[0].sequence for lower in waiting[1:])
            self.overtaking = self.since_lower = 0
        lane.pop(0)

    # ------------------------------------------------------------------------------------------------ what has to hold

    def _check(self) -> None:
        if sum(map(bool, self.lanes)) < 2:
            self.overtaking = 0
        self._look_at_entries()
        self._look_at_calls()
        self._look_at_the_pool()
        due = self.due()
        assert self.core.wake_at <= max(self.now, due) + ROUNDING or self.core.drained, "wakes too late"

    def _look_at_entries(self) -> None:
        core, states = self.core, self.states
        assert len(core.entries) <= self.options.max
        assert len(core.strays) <= self.options.max * (1 + core.closing)
        counts = Counter(entry.state for entry in core.entries)
        for state in S:
            if state < S.ABANDONED:
                assert core.count(state) == counts[state], state.name
        assert counts[S.CONNECTING] <= 1
        for entry in self.ever:
            state, before = entry.state, states.get(entry)
            assert (entry in core.entries) == (state < S.ABANDONED), "a connection was lost"
            assert (entry in core.strays) == (state is S.ABANDONED) or core.gave_up, "a connection was lost"
            assert (entry in self.doing) == (state in CARRIED), "carried by nobody, or by somebody for nothing"
            job = entry.job
            assert (job is not None) == (state is S.BUSY) or state is S.ABANDONED
            if state is not before or job is not self.held_by.get(entry):
                self.began[entry] = self.now
                self.given_up.pop(entry, None)
                if state is S.LENT:
                    self.told.pop(entry, None)
                if state > S.RESETTING and (before in STANDING or (before is S.CONNECTING and state is S.CLOSING)):
                    self.evicted += not core.closing
                states[entry] = state
            if job is None:
                self.held_by.pop(entry, None)
            else:
                self.held_by[entry] = self.call_of(entry)
                if job.state is JobState.ABANDONED:
                    self.given_up.setdefault(entry, self.now)
            if entry in self.interrupted:
                assert state in (S.BUSY, S.CHECKING, S.ABANDONED, S.GONE) or core.closing
                assert state is not S.BUSY or (job is not None and job.interrupted)
            if entry in self.doomed:
                assert state is not S.IDLE, "one that is to be replaced rests"
        idle = list(core._idle)
        assert set(idle) == {entry for entry in core.entries if entry.state is S.IDLE}
        assert [self.used[entry] for entry in idle] == sorted(self.used[entry] for entry in idle)
        if not core.closing:
            assert core.tally.evictions.total() == self.evicted
        if len(self.ever) > 3 * self.options.max + 8:
            gone = {entry for entry in self.ever if entry.state is S.GONE}
            self.ever = [entry for entry in self.ever if entry not in gone]
            for book in (states, self.began, self.used, self.answered, self.told, self.interrupted, self.given_up):
                for entry in gone & book.keys():
                    del book[entry]  # type: ignore[attr-defined]
            self.doomed -= gone
            self.rested -= gone

    def _look_at_calls(self) -> None:
        running = [entry.job for entry in self.ever if entry.job is not None]
        assert len(running) == len(set(running)), "one call on two connections"
        for call in self.calls:
            state = call.state
            assert (state is JobState.WAITING) == (call in self.lanes[call.lane]), "a waiter was lost"
            assert (state in (JobState.RUNNING, JobState.ABANDONED)) == (call in running), "a call was lost"
            assert call.answers == (state in (JobState.ABANDONED, JobState.DONE)), "answered at the wrong time"
        self.calls = [call for call in self.calls if call.state is not JobState.DONE]
        assert self.core.waiting == self.waiting
        queue, waits = self.core.queue, self.core._waits
        assert queue.others == self.waiting - len(self.lanes[NORMAL])
        assert len(waits.usual) + len(waits._others) <= 4 * self.options.max_waiting + 2 * WAITS_SPARE
        assert sum(map(len, queue._lanes)) <= len(PRIORITIES) * (2 * self.options.max_waiting + LANE_SPARE)
        assert sum(queue._callers.values()) == sum(call.caller is not None for lane in self.lanes for call in lane)

    def _look_at_the_pool(self) -> None:
        core = self.core
        if self.wants_ready:
            assert self._standing() < self.options.min, "ready, and nobody was told"
        if core.closing:
            assert not self.waiting
            assert self.drained == core.drained
            assert self.drained or core.entries or core.strays or core.wake_at <= self.now
            return
        if self.could_serve() and core.wake_at > self.now:
            assert self.crowd is not None, "left waiting beside a connection that could serve"
            assert core.wake_at <= self.now + STALL + ROUNDING

    def due(self) -> float:
        """The earliest moment at which there is something to do."""
        core, options = self.core, self.options
        room_astray = len(core.strays) < options.max
        leak_after = math.inf if options.leak_after is None else options.leak_after
        spare = len(core.entries) - self.count(S.CLOSING) > options.min
        moments = [call.patience for lane in self.lanes for call in lane]
        for entry in core.entries:
            state, began = entry.state, self.began[entry]
            if state in UNDER_WAY and room_astray:
                moments.append(began + (options.connect_timeout if state is S.CONNECTING else options.check_timeout))
            elif state is S.BUSY:
                call = self.call_of(entry)
                if entry not in self.given_up:
                    moments.append(call.deadline)
                else:
                    if room_astray:
                        moments.append(self.given_up[entry] + (options.check_timeout if self._stops(call) else 0.0))
                    if entry in self.interrupted and self.again is not None:
                        moments.append(self.interrupted[entry] + self.again)
                if self.told.get(entry) is not call:
                    moments.append(call.started + leak_after)
            elif state is S.LENT and entry not in self.told:
                moments.append(began + leak_after)
            elif state is S.IDLE:
                moments.append(entry.expires)
                if spare:
                    moments.append(self.used[entry] + entry.idle_limit)
                if options.keepalive is not None:
                    moments.append(max(self.used[entry], self.answered[entry]) + options.keepalive)
        if self._may_grow() and self._pausing() and not self.crowded():
            moments.append(max(core.outage.retry_at, self.now + (0.0 if self.crowd is None else STALL)))
        if self.could_serve():
            moments.append(self.now + STALL)
        if core.closing and not core.drained:
            ending = core._end_at != math.inf
            moments.append(min(core._end_at, self.now + CUT_AGAIN) if ending else self.close_at)
        return min(moments, default=math.inf)

    def _stops(self, call: Call) -> bool:
        return call.committing or self.again is not None

    # -------------------------------------------------------------------------------------------------------- the end

    def finish(self) -> None:
        """All goes well from here on: every call ends, and then the pool."""
        if self.suspended:
            self.resume()
        for _ in range(100_000):
            if not self._step():
                break
        assert not self.waiting, "never served"
        assert not self.calls, "never answered"
        if not self.core.closing:
            self.close(5.0)
        while not self.core.drained:
            if not self._step():
                self.now = self.core.wake_at
                self.expire()
        while self._step():
            pass
        assert self.drained == 1
        assert all(entry.state is S.GONE for entry in self.ever)

    def _step(self) -> bool:
        """Somebody does what is to be done. Returns whether there was anything."""
        for entry, state in list(self.doing.items()):
            self.work(entry, state, 0)
            return True
        for entry in list(self.core.entries):
            if entry.state is S.LENT:
                self.give_back(entry)
                return True
        if self.waiting or (self.core.closing and self.core.wake_at <= self.now):
            assert self.core.wake_at != math.inf, "waits for nothing"
            self.now = max(self.now, self.core.wake_at)
            self.expire()
            return True
        return False

    def work(self, entry: Entry, state: EntryState, outcome: int) -> None:
        """The thread that believes *entry* to be in *state* has done what that asks for. *outcome* 0: well."""
        choices: list[tuple[Any, ...]] = WORK[state]
        if state is S.BUSY:
            call = self.call_of(entry)
            if call.committing or entry not in self.rested:
                choices = [choice for choice in choices if choice[0] != "suspected"]
        name, *arguments = choices[outcome % len(choices)]
        if name == "lent":
            if call.committing or self.lent(entry):
                return
            name, arguments = "ran", ["finished"]
        getattr(self, name)(entry, *arguments)


WORK: dict[EntryState, list[tuple[Any, ...]]] = {
    S.CONNECTING: [("connected",), ("connect_failed", True), ("connect_failed", False)],
    S.CHECKING: [("checked",), ("lost", "check")],
    S.RESETTING: [("cleaned", True), ("cleaned", False), ("lost", "unclean")],
    S.CLOSING: [("ended",)],
    S.BUSY: [
        ("ran", "finished"),
        ("ran", "failed"),
        ("ran", "distrusted"),
        ("suspected",),
        ("lent",),
        ("lost", "lost"),
        ("lost", "shutdown"),
        ("lost", "readonly"),
        ("lost", "unclean"),
    ],
}
"""What may become of the work of a thread, by the state in which it found its entry."""
