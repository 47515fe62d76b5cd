"""Random schedules of the pool's core: calls of every kind, losses, outages, cancels and closing, on a fake clock.

The simulation plays the threads, the database and the callers; what the core does is held, after every event, against
what its callers were promised and against a second reckoning of what is due when.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from asyncdb._core import Core, Crowd, Entry, EntryState, Job, JobState, Orders
from asyncdb._core._crowd import STALL
from asyncdb._core._decide import CUT_AGAIN
from asyncdb.errors import PoolClosed, PoolOverloaded
from asyncdb.options import Options

SCHEDULES = 200
"""For each kind of crowd. A hundred times as many, with other seeds, are worth their time when the core was changed."""

REST = 0.5
UNDER_WAY = (EntryState.CONNECTING, EntryState.CHECKING, EntryState.RESETTING)
ROUNDING = 1e-9


class Call(Job):
    """A call, and how it will go. *answers*: how often its caller was answered."""

    __slots__ = ("answers", "kind", "took", "wanted")

    def __init__(self, deadline: float, kind: str, took: float) -> None:
        super().__init__(deadline)
        self.kind = kind
        self.took = took
        self.wanted = True
        self.answers = 0


class Simulation:
    """A core and its surroundings, all of whose choices come from *seed*."""

    def __init__(self, seed: int, crowd: Crowd | None) -> None:
        self.random = pick = random.Random(seed)
        self.options = Options(
            min=0,
            max=pick.choice([1, 2, 3, 5, 8]),
            max_waiting=pick.choice([0, 1, 5, 10_000]),
            timeout=pick.choice([None, 0.05, 30.0]),
            connect_timeout=pick.choice([0.05, 10.0]),
            query_timeout=pick.choice([None, None, 0.02]),
        )
        rest = pick.choice([math.inf, REST, 0.003])
        self.core: Core[Entry, Call] = Core(self.options, Entry, rest, pick.random, crowd=crowd)
        self.rest = rest
        self.crowd = crowd
        self.now = 100.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.made = 0
        self.calls: list[Call] = []
        self.started: set[Call] = set()
        self.up = True
        self.trouble = pick.choice([0.0, 0.0, 0.05, 0.3])  # how likely things go wrong
        self.quick = pick.choice([1.0, 0.95, 0.5])  # how likely a call is
        self.beside: tuple[Call | None, float] = (None, 0.0)  # the head of the queue, and since when it could be served
        self.idle_turns = 0

    # The surroundings.

    def after(self, delay: float, event: Callable[[], None]) -> None:
        self.made += 1
        heapq.heappush(self.events, (self.now + delay, self.made, event))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def do(self, orders: Orders[Entry, Call] | None) -> None:
        if orders is None:
            return
        for call, _ in orders.fail:
            self.answer(call)
        for entry in orders.cut:
            self.after(self.random.uniform(0.0, 0.01), lambda entry=entry: self.came_back(entry))  # type: ignore[misc]
        for entry in orders.carry:
            self.carry(entry, rested=True)

    def answer(self, call: Call) -> None:
        call.answers += call.wanted
        call.wanted = False

    def carry(self, entry: Entry, rested: bool = False) -> None:
        """A thread goes on with *entry*."""
        state, soon = entry.state, self.random.uniform(0.0, 0.004)
        if state in UNDER_WAY:
            if self.chance(self.trouble / 3):
                return  # it hangs, until it is cut
            step = {
                EntryState.CONNECTING: self.connect,
                EntryState.CHECKING: self.check,
                EntryState.RESETTING: self.reset,
            }
            self.after(soon, lambda: step[state](entry))
        elif state is EntryState.BUSY:
            call = self.call_of(entry)
            if rested and self.chance(self.trouble):
                self.after(1e-6, lambda: self.step(entry, self.core.suspected))
            else:
                self.after(call.took, lambda: self.run(entry, call))
        elif state in (EntryState.CLOSING, EntryState.ABANDONED):
            self.after(soon, lambda: self.came_back(entry))

    def call_of(self, entry: Entry) -> Call:
        assert isinstance(entry.job, Call)
        return entry.job

    def step(self, entry: Entry, event: Callable[[Entry, float], Orders[Entry, Call] | None]) -> None:
        """A thread reports, and goes on with what is asked for."""
        if entry.state is EntryState.GONE:
            return
        orders = event(entry, self.now)
        self.carry(entry)
        self.do(orders)

    def came_back(self, entry: Entry) -> None:
        if entry.state in (EntryState.CLOSING, EntryState.ABANDONED):
            call = entry.job
            self.do(self.core.ended(entry, self.now))
            if isinstance(call, Call):
                self.answer(call)

    def connect(self, entry: Entry) -> None:
        if entry.state is EntryState.GONE:
            return
        if self.up and not self.chance(self.trouble):
            self.step(entry, self.core.connected)
        else:
            self.do(self.core.connect_failed(entry, OSError("refused"), not self.chance(0.1), self.now))

    def check(self, entry: Entry) -> None:
        if entry.state is not EntryState.GONE:
            self.step(entry, self.core.ended if self.chance(self.trouble) else self.core.checked)

    def reset(self, entry: Entry) -> None:
        if entry.state is not EntryState.GONE:
            self.step(entry, self.core.ended if self.chance(self.trouble) else self.core.cleaned)

    def run(self, entry: Entry, call: Call) -> None:
        """The call of a thread has ended."""
        if entry.state is EntryState.GONE:
            return
        if call.kind == "lends" and self.core.lent(entry):
            self.answer(call)
            self.after(self.random.choice([0.0, 0.001, 0.05]), lambda: self.give_back(entry))
            return
        event: Any = self.core.finished
        if call.kind == "loses":
            event = self.core.ended
        elif call.kind == "doubtful":
            event = self.core.distrusted
        self.step(entry, event)
        self.answer(call)

    def give_back(self, entry: Entry) -> None:
        if entry.state is EntryState.LENT:
            self.do(self.core.forsaken(entry) if self.chance(self.trouble) else self.core.returned(entry, self.now))

    # The callers.

    def submit(self) -> None:
        kind, took = "plain", self.random.uniform(1e-6, 20e-6)
        if not self.chance(self.quick):
            kind = self.random.choice(["plain", "plain", "lends", "lends", "loses", "doubtful"])
            took = self.random.choice([1e-6, 1e-4, 0.0025, 0.05])
        timeout = self.options.timeout
        call = Call(math.inf if timeout is None else self.now + timeout, kind, took)
        could, before = self.could_serve(), self.core.waiting
        try:
            orders = self.core.submit(call, self.now)
        except PoolOverloaded:
            assert not could or self.core.waiting >= self.options.max_waiting
            assert not self.resting(), "refused beside a connection at rest"
            return
        except PoolClosed:
            assert self.core.closing
            return
        assert self.core.waiting <= max(before, self.options.max_waiting + self.coming()), "more wait than may"
        self.calls.append(call)
        self.do(orders)
        if self.chance(0.05):
            self.after(self.random.choice([0.0, 1e-5, 0.003]), lambda: self.cancel(call))

    def cancel(self, call: Call) -> None:
        if call.wanted:
            self.core.cancel(call)
            self.answer(call)

    def expire(self) -> None:
        before = self.picture()
        orders = self.core.expire(self.now)
        self.do(orders)
        if self.picture() == before and not orders.fail and not self.crowded():
            assert self.core.wake_at > self.now
            soon = self.core.wake_at <= self.now + STALL + ROUNDING
            self.idle_turns = self.idle_turns + 1 if soon else 0
            assert self.idle_turns < 10, "asks to be woken again and again, and has nothing to do"

    def picture(self) -> object:
        states = [self.core.count(state) for state in EntryState]
        return states, self.core.waiting, self.core.outage.failures, self.core.drained, self.core.gave_up, self.made

    # What must hold.

    def resting(self) -> list[Entry]:
        return [e for e in self.core.entries if e.state is EntryState.IDLE and self.now - e.since <= self.rest]

    def coming(self) -> int:
        return sum(entry.state in UNDER_WAY for entry in self.core.entries)

    def may_grow(self) -> bool:
        return (
            not self.core.closing
            and not self.core.outage.failures
            and len(self.core.entries) < self.options.max
            and self.coming() < self.core.waiting
        )

    def could_serve(self) -> bool:
        """Whether something more could be done for the head of the queue."""
        return bool(self.core.waiting and (self.resting() or self.may_grow()))

    def crowded(self) -> bool:
        """Whether there are enough at work that are expected to make room."""
        if self.crowd is None or not self.crowd.quick:
            return False
        busy = [e for e in self.core.entries if e.state is EntryState.BUSY]
        return sum(self.now - self.call_of(e).started < STALL for e in busy) >= self.crowd.enough

    def due(self) -> float:
        """The earliest moment at which `expire` has something to do."""
        core = self.core
        moments = [core.queue.head().deadline] if core.waiting else []  # type: ignore[union-attr]
        if len(core.strays) < self.options.max:
            moments += [e.deadline for e in core.entries if e.state in UNDER_WAY]
        query_timeout = self.options.query_timeout
        if query_timeout is not None:
            running = [self.call_of(e) for e in core.entries if e.state is EntryState.BUSY]
            moments += [call.started + query_timeout for call in running if call.state is JobState.RUNNING]
        connecting = core.count(EntryState.CONNECTING)
        room = len(core.entries) < self.options.max and self.coming() < core.waiting
        if core.waiting and core.outage.failures and room and not connecting and not core.closing:
            moments.append(max(core.outage.retry_at, self.now + (0.0 if self.crowd is None else STALL)))
        if self.could_serve():
            moments.append(self.now + STALL)
        if core.closing and not core.drained:
            ending = core._end_at != math.inf
            moments.append(min(core._end_at, self.now + CUT_AGAIN) if ending else core._close_at)
        return max(self.now, min(moments, default=math.inf))

    def check_all(self) -> None:
        core, most = self.core, self.options.max
        assert len(core.entries) <= most
        assert len(core.strays) <= 2 * most
        states = Counter(entry.state for entry in core.entries)
        for state in EntryState:
            if state not in (EntryState.ABANDONED, EntryState.GONE):
                assert core.count(state) == states[state], state.name
        assert {e for e in core.entries if e.state is EntryState.IDLE} == set(core._idle)
        waiting = [call for call in self.calls if call.state is JobState.WAITING]
        assert core.waiting == len(waiting)
        running = [e.job for e in core.entries | core.strays if e.job is not None]
        assert len(running) == len(set(running)), "one call on two connections"
        fresh = [call for call in self.calls if call.state is JobState.RUNNING and call not in self.started]
        if fresh and waiting:
            assert max(call.sequence for call in fresh) < min(call.sequence for call in waiting), "out of turn"
        self.started.difference_update(waiting)  # those that were put back
        self.started.update(fresh)
        self.calls = [call for call in self.calls if call.state is not JobState.DONE or call.wanted]
        assert core.wake_at <= self.due() + ROUNDING, "something is due before it asks to be woken"
        head = core.queue.head()
        if not self.could_serve():
            self.beside = (None, 0.0)
        elif self.beside[0] is not head:
            self.beside = (head, self.now)
        assert self.now <= self.beside[1] + 2 * STALL + ROUNDING or self.beside[0] is None, "left waiting"
        if self.crowd is None:
            assert not self.could_serve()

    # One schedule.

    def plan(self) -> None:
        """When calls are made, and what happens besides."""
        pick, when = self.random, 0.0
        for _ in range(pick.choice([3, 30, 150])):
            when += pick.choice([0.0, 0.0, 0.0, 1e-6, 1e-5, 1e-3, 0.02])
            self.after(when, self.submit)
        if self.chance(0.3):
            down = pick.uniform(0.0, when)
            self.after(down, self.go_down)
            self.after(down + pick.choice([0.01, 0.3, 3.0]), self.come_up)
        for _ in range(pick.choice([0, 0, 10])):
            self.after(pick.uniform(0.0, when), self.expire)  # a timer that comes too early
        if self.chance(0.3):
            deadline = pick.choice([0.0, 0.01, 5.0])
            self.after(pick.uniform(0.0, 1.2 * when), lambda: self.do(self.core.close(self.now, deadline)))

    def go_down(self) -> None:
        self.up = False
        for entry in self.core.entries:
            if entry.state is EntryState.BUSY:
                self.call_of(entry).kind = "loses"

    def come_up(self) -> None:
        self.up = True

    def go(self) -> None:
        self.plan()
        turns = 0
        while self.events or self.core.wake_at != math.inf:
            turns += 1
            assert turns < 20_000, "it never comes to rest"
            upcoming = self.events[0][0] if self.events else math.inf
            if self.core.wake_at <= upcoming:
                self.now = max(self.now, self.core.wake_at)
                self.expire()
            else:
                self.now, _, event = heapq.heappop(self.events)
                event()
                self.idle_turns = 0
            self.check_all()
        assert not self.core.outstanding
        assert not self.calls, "never answered"
        if self.core.closing:
            assert self.core.drained


def crowd_of(enough: int | None) -> Crowd | None:
    return None if enough is None else Crowd(50e-6, enough)


def simulate(seed: int, enough: int | None) -> None:
    simulation = Simulation(seed, crowd_of(enough))
    try:
        simulation.go()
    except Exception as error:
        error.add_note(f"seed {seed}, enough {enough}, at {simulation.now}: {simulation.core.figures()}")
        raise


@pytest.mark.parametrize("enough", [None, 1, 3])
def test_whatever_happens_every_call_is_served_in_turn_and_in_time(enough: int | None) -> None:
    for seed in range(SCHEDULES):
        simulate(seed, enough)
