"""The books that the world around a pool's core keeps of it, and what has to hold by them.

They say, in plain lists and written without a look at how the core does it, who waits and in which order, which thread
carries which connection, who was answered, and since when things are as they are. What may happen is the world's
(`core_world`), which notes here what it has done to the core; what the core then orders is followed (`_follow`), and
all is looked at (`_check`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from asyncdb._core import Core, Crowd, Entry, EntryState, Job, JobState, Orders
from asyncdb._core._crowd import STALL
from asyncdb._core._queue import SPARE as LANE_SPARE
from asyncdb._core._queue import TURNS
from asyncdb._core._states import NORMAL
from asyncdb._core._timing import CUT_AGAIN
from asyncdb._core._waits import SPARE as WAITS_SPARE
from asyncdb.options import PRIORITIES, Options

__all__ = ["CARRIED", "ROUNDING", "UNDER_WAY", "Books", "Call"]

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


class Connection(Entry):
    """An entry that has the same place in a set each time: else what happens would depend on addresses in memory."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __hash__(self) -> int:
        return self.number


class Books:
    """A core, and what is known of it.

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
        self.made = 0
        self._cut: list[Entry] = []
        self._interrupted: list[Entry] = []

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
        self.made += 1
        entry = Connection(self.made)
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
        if not self.waiting:
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
            if entry.held:
                assert state in (S.BUSY, S.ABANDONED)
                assert all(held.committing for held in entry.held), "somebody is told that nothing has happened"
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
        running = [job for entry in self.ever for job in (*entry.held, entry.job) if job is not None]
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
                moments += [held.deadline for held in entry.held if held.state is JobState.RUNNING]
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
