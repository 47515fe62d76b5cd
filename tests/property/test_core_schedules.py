"""Random schedules of the pool's core: calls of every kind, losses, hangs, outages, cancels and closing, in real order.

Beside `test_core_model`, where anything may happen at any time: here things take their time and the timer fires when
it was asked to, so that what is promised in seconds can be seen, too. What the core does is held against a `World`.
"""

from __future__ import annotations

import heapq
import math
import os
import random
from collections.abc import Callable

import pytest

from asyncdb._core import Crowd, Entry, EntryState, Job, JobState, QuickCalls, SharedProcessors
from asyncdb._core._crowd import STALL
from asyncdb._core._states import NORMAL
from asyncdb.options import Options
from tests.property.core_books import ROUNDING, UNDER_WAY, Call
from tests.property.core_world import World

SCHEDULES = int(os.environ.get("ASYNCDB_CORE_SCHEDULES", "40"))
"""For each kind of crowd. Some ten thousand are worth their time when the core was changed."""

REST = 0.5
KINDS = ("plain", "plain", "lends", "lends", "fails", "doubtful", "loses", "stops", "reads", "soils", "hangs")


class Simulation:
    """A world, all of whose choices come from *seed*."""

    def __init__(self, seed: int, crowd: Crowd | None) -> None:
        self.random = pick = random.Random(seed)
        most = pick.choice([1, 2, 3, 5, 8])
        self.options = Options(
            min=pick.randrange(most + 1),
            max=most,
            max_waiting=pick.choice([0, 1, 5, 10_000]),
            max_waiting_per_caller=pick.choice([None, None, 1, 3]),
            timeout=pick.choice([None, None, 0.02, 30.0]),
            wait_timeout=pick.choice([None, 0.05, 30.0]),
            connect_timeout=pick.choice([0.05, 10.0]),
            check_timeout=pick.choice([0.05, 2.0]),
            keepalive=pick.choice([None, 0.1, 5.0]),
            max_idle=pick.choice([None, 0.05, 600.0]),
            max_lifetime=pick.choice([None, 0.03, 3600.0]),
            leak_after=pick.choice([None, None, 0.01]),
        )
        rest = pick.choice([math.inf, REST, 0.003])
        again = pick.choice([None, 0.01, 0.25])
        self.world = World(self.options, rest, pick.random, crowd, again)
        self.crowd = crowd
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.planned = 0
        self.minds: dict[Entry, tuple[EntryState, Job | None]] = {}  # what the thread of each is at
        self.up = True
        self.trouble = pick.choice([0.0, 0.0, 0.05, 0.3])  # how likely things go wrong
        self.quick = pick.choice([1.0, 0.95, 0.5])  # how likely a call is
        self.alike = pick.choice([0.0, 0.9, 1.0])  # how likely one has no priority, no name and no limit of its own
        self.shares = pick.choice([0.0, 0.5, 1.0])  # how likely a transaction stays open for others
        self.beside: tuple[Call | None, float] = (None, 0.0)  # the first that waits, and since when it could be served

    def after(self, delay: float, event: Callable[[], None]) -> None:
        self.planned += 1
        heapq.heappush(self.events, (self.world.now + delay, self.planned, event))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # Threads.

    def attend(self) -> None:
        """Threads go to work on what was ordered."""
        doing = self.world.doing
        for entry in [entry for entry in self.minds if entry not in doing]:
            del self.minds[entry]
        for entry, state in doing.items():
            mind = self.minds.get(entry)
            if mind is None or mind[0] is not state or mind[1] is not entry.job:
                self.minds[entry] = (state, entry.job)
                self.begin(entry, state)
        for entry in self.world.take_cut():
            if not self.chance(0.02):  # else the thread is stuck for good
                self.after(self.random.uniform(0.0, 0.01), self.coming(entry, cut=True))
        for entry in self.world.take_interrupted():
            if self.chance(0.8):
                self.after(self.random.uniform(0.0, 0.002), self.coming(entry, cut=False))

    def begin(self, entry: Entry, state: EntryState) -> None:
        if state is EntryState.BUSY:
            call = self.world.call_of(entry)
            if entry in self.world.rested and self.chance(self.trouble):
                self.after(1e-6, self.coming(entry, suspect=True))
            elif call.kind != "hangs":
                self.after(call.took, self.coming(entry))
        elif state not in UNDER_WAY or not self.chance(self.trouble / 3):  # else it hangs, until it is cut
            self.after(self.random.uniform(0.0, 0.004), self.coming(entry))

    def coming(self, entry: Entry, cut: bool = False, suspect: bool = False) -> Callable[[], None]:
        mind = self.minds.get(entry)

        def come() -> None:
            if mind is not None and self.minds.get(entry) is mind:
                del self.minds[entry]
                self.come(entry, mind[0], cut, suspect)

        return come

    def come(self, entry: Entry, state: EntryState, cut: bool, suspect: bool) -> None:
        """A thread is through with *entry*, which it found in *state*."""
        world, bad = self.world, cut or not self.up or self.chance(self.trouble)
        if state is EntryState.CONNECTING:
            if bad:
                world.connect_failed(entry, retryable=not self.chance(0.1))
            else:
                world.connected(entry)
        elif state is EntryState.CHECKING:
            if bad:
                world.lost(entry, "check")
            else:
                world.checked(entry)
        elif state is EntryState.RESETTING:
            if bad:
                world.lost(entry, "unclean")
            else:
                world.cleaned(entry, self.chance(0.5))
        elif state is EntryState.BUSY:
            self.come_from(entry, world.call_of(entry), cut, suspect)
        else:
            world.ended(entry)

    def come_from(self, entry: Entry, call: Call, cut: bool, suspect: bool) -> None:
        world, kind = self.world, call.kind
        if kind == "plain" and not (cut or suspect) and self.chance(self.shares) and world.share(entry, _may_join):
            return  # the next one is begun
        if entry.held and kind == "plain" and not cut and self.chance(self.trouble):
            world.undone(entry, own=True)
            return
        if entry.held:
            (world.undone if cut or self.chance(self.trouble) else world.committed)(entry)
        if cut:
            world.lost(entry, "lost")
        elif suspect:
            world.suspected(entry)
        elif kind == "lends" and world.lent(entry):
            self.after(self.random.choice([0.0, 0.001, 0.05]), lambda: self.give_back(entry))
        elif kind in ("loses", "stops", "reads", "soils"):
            world.lost(entry, {"loses": "lost", "stops": "shutdown", "reads": "readonly", "soils": "unclean"}[kind])
        else:
            world.ran(entry, {"fails": "failed", "hangs": "failed", "doubtful": "distrusted"}.get(kind, "finished"))

    def give_back(self, entry: Entry) -> None:
        if entry.state is EntryState.LENT:
            if self.chance(self.trouble):
                self.world.forsake(entry)
            else:
                self.world.give_back(entry)

    # Callers.

    def submit(self) -> None:
        kind, took, pick = "plain", self.random.uniform(1e-6, 20e-6), self.random.choice
        if not self.chance(self.quick):
            kind, took = pick(KINDS), pick([1e-6, 1e-4, 0.0025, 0.05])
        lane, caller = pick([0, 1, 1, 1, 2]), pick([None, None, "a", "b"])
        timeout = None if self.chance(0.8) else pick([0.001, 0.05, math.inf])
        if self.chance(self.alike):
            lane, caller, timeout = NORMAL, None, None
        call = Call(lane, caller, kind, took)
        if self.world.submit(call, timeout):
            if self.chance(0.1 if kind != "hangs" else 0.7):
                self.after(pick([0.0, 1e-5, 0.003, 0.06]), lambda: self.world.cancel(call))
            if self.chance(0.05):
                self.after(took / 2, lambda: self.commit(call))

    def commit(self, call: Call) -> None:
        call.committing = call.state is JobState.RUNNING

    # One schedule.

    def plan(self) -> None:
        """When calls are made, and what happens besides."""
        pick, when = self.random, 0.0
        for _ in range(pick.choice([3, 30, 100])):
            when += pick.choice([0.0, 0.0, 0.0, 1e-6, 1e-5, 1e-3, 0.02])
            self.after(when, self.submit)
        if self.chance(0.3):
            down = pick.uniform(0.0, when)
            self.after(down, self.go_down)
            self.after(down + pick.choice([0.01, 0.3, 3.0]), self.come_up)
        for _ in range(pick.choice([0, 0, 10])):
            self.after(pick.uniform(0.0, when), self.world.expire)  # a timer that comes too early
        for event in (self.world.warm, self.world.evict_all, self.stand_still):
            if self.chance(0.3):
                self.after(pick.uniform(0.0, when), event)
        if self.chance(0.3):
            deadline = pick.choice([0.0, 0.01, 5.0])
            self.after(pick.uniform(0.0, 1.2 * when), lambda: self.world.close(deadline))

    def go_down(self) -> None:
        self.up = False
        for entry in self.world.core.entries:
            if entry.state is EntryState.BUSY:
                self.world.call_of(entry).kind = "loses"

    def come_up(self) -> None:
        self.up = True

    def stand_still(self) -> None:
        self.world.suspend()
        self.after(self.random.choice([0.0, 0.01, 1.0]), self.world.resume)

    def look(self) -> None:
        """Nobody waits long who could be served."""
        world = self.world
        head = next((lane[0] for lane in world.lanes if lane), None)
        if not world.could_serve():
            self.beside = (None, 0.0)
        elif self.beside[0] is not head:
            self.beside = (head, world.now)
        assert self.beside[0] is None or world.now <= self.beside[1] + 2 * STALL + ROUNDING, "left waiting"

    def go(self) -> None:
        self.plan()
        world, turns = self.world, 0
        end = world.now + 60.0
        while (self.events or (world.calls and world.core.wake_at != math.inf)) and world.now < end:
            turns += 1
            assert turns < 50_000, "it never comes to rest"
            upcoming = self.events[0][0] if self.events else math.inf
            if world.core.wake_at <= upcoming:
                world.now = max(world.now, world.core.wake_at)
                world.run_timer()
            else:
                world.now, _, event = heapq.heappop(self.events)
                event()
            self.attend()
            self.look()
        for call in [call for call in world.calls if call.kind == "hangs"]:
            world.cancel(call)
        world.finish()


def _may_join(call: Call) -> bool:
    return call.kind in ("plain", "fails", "hangs")


def simulate(seed: int, enough: int | None, shared: bool = False) -> None:
    crowd: Crowd | None = None
    if shared:
        assert enough is not None
        crowd = busy_now_and_then(seed, enough)
    elif enough is not None:
        crowd = QuickCalls(50e-6, enough)
    simulation = Simulation(seed, crowd)
    try:
        simulation.go()
    except Exception as error:
        world = simulation.world
        error.add_note(f"seed {seed}, enough {enough}, at {world.now}: {world.core.figures()}")
        raise


def busy_now_and_then(seed: int, enough: int) -> Crowd:
    pick = random.Random(seed)
    crowd = SharedProcessors(lambda: (0, pick.choice([0.0, 1e9])), enough)  # used nothing, or all of the time
    crowd.near = True
    return crowd


@pytest.mark.parametrize("enough", [1, 3])
def test_so_it_is_beside_a_local_server(enough: int) -> None:
    for seed in range(SCHEDULES):
        simulate(seed, enough, shared=True)


@pytest.mark.parametrize("enough", [None, 1, 3])
def test_whatever_happens_every_call_is_served_in_turn_and_in_time(enough: int | None) -> None:
    for seed in range(SCHEDULES):
        simulate(seed, enough)
