"""Whatever happens to the pool's core, in whatever order: no connection, no call and no answer is lost (`World`)."""

from __future__ import annotations

import math
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from asyncdb._core import EntryState, JobState, QuickCalls
from asyncdb._core._states import NORMAL
from asyncdb.options import Options
from tests.property.core_books import Call
from tests.property.core_world import World

EXAMPLES = int(os.environ.get("ASYNCDB_CORE_EXAMPLES", "60"))
"""Of some steps each. When the core was changed, ten thousand are worth their time (``-o faulthandler_timeout=0``)."""
STEPS = 50

seconds = st.sampled_from([0.0, 1e-5, 0.001, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0, 100.0])
numbers = st.integers(0, 15)


class Machine(RuleBasedStateMachine):
    """All that can happen."""

    world: World
    alike: bool  # of many calls at a time, none has a priority, a name or a limit of its own

    @initialize(
        most=st.sampled_from([1, 1, 2, 3]),
        least=st.integers(0, 3),
        max_waiting=st.sampled_from([0, 1, 4, 100]),
        per_caller=st.sampled_from([None, None, 1, 2]),
        timeout=st.sampled_from([None, 3.0]),
        wait_timeout=st.sampled_from([None, 1.0, 30.0]),
        limits=st.sampled_from([(None, None, None), (10.0, 40.0, 3.0), (2.0, 3.0, None), (None, 5.0, 0.5)]),
        check_timeout=st.sampled_from([0.5, 2.0]),
        leak_after=st.sampled_from([None, None, 1.0]),
        rest=st.sampled_from([0.0, 0.5, math.inf]),
        enough=st.sampled_from([None, None, None, 1, 2]),
        again=st.sampled_from([None, 0.1, 0.25]),
        alike=st.booleans(),
    )
    def begin(
        self,
        most: int,
        least: int,
        max_waiting: int,
        per_caller: int | None,
        timeout: float | None,
        wait_timeout: float | None,
        limits: tuple[float | None, float | None, float | None],
        check_timeout: float,
        leak_after: float | None,
        rest: float,
        enough: int | None,
        again: float | None,
        alike: bool,
    ) -> None:
        self.alike = alike
        max_idle, max_lifetime, keepalive = limits
        options = Options(
            min=min(least, most),
            max=most,
            max_waiting=max_waiting,
            max_waiting_per_caller=per_caller,
            timeout=timeout,
            wait_timeout=wait_timeout,
            connect_timeout=1.0,
            check_timeout=check_timeout,
            max_idle=max_idle,
            max_lifetime=max_lifetime,
            keepalive=keepalive,
            leak_after=leak_after,
        )
        self.world = World(options, rest, crowd=None if enough is None else QuickCalls(0.01, enough), again=again)

    @rule(
        lane=st.sampled_from([0, 1, 1, 1, 2]),
        caller=st.sampled_from([None, None, "a", "b"]),
        timeout=st.sampled_from([None, None, 0.5, 10.0, math.inf]),
        count=st.sampled_from([1, 1, 2, 9]),
    )
    def submit(self, lane: int, caller: str | None, timeout: float | None, count: int) -> None:
        if count > 1 and self.alike:
            lane, caller, timeout = NORMAL, None, None
        for _ in range(count):
            self.world.submit(Call(lane, caller), timeout)

    @precondition(lambda self: self.world.calls)
    @rule(which=numbers)
    def cancel(self, which: int) -> None:
        calls = self.world.calls
        self.world.cancel(calls[which % len(calls)])

    @precondition(lambda self: self.world.doing)
    @rule(which=numbers, outcome=numbers, well=st.booleans())
    def work(self, which: int, outcome: int, well: bool) -> None:
        world = self.world
        entry = list(world.doing)[which % len(world.doing)]
        world.work(entry, world.doing[entry], 0 if well else outcome)

    @precondition(lambda self: self.world.doing)
    @rule(count=numbers)
    def work_well(self, count: int) -> None:
        world = self.world
        for _ in range(count):
            for entry, state in list(world.doing.items()):
                if world.doing.get(entry) is state:
                    world.work(entry, state, 0)

    @precondition(lambda self: self.world.core.count(EntryState.BUSY) > 1)
    @rule(key=numbers)
    def all_suspected(self, key: int) -> None:
        self.world.all_suspected(lambda entry: (entry.job.sequence + 7) * (key + 1) % 5 if entry.job else 0)

    @precondition(lambda self: any(call.state is JobState.RUNNING for call in self.world.calls))
    @rule(which=numbers)
    def commit(self, which: int) -> None:
        running = [call for call in self.world.calls if call.state is JobState.RUNNING]
        running[which % len(running)].committing = True

    @rule(which=numbers, count=st.sampled_from([1, 2, 9]), lane=st.sampled_from([1, 1, 2]), all_join=st.booleans())
    def share(self, which: int, count: int, lane: int, all_join: bool) -> None:
        world = self.world
        if not world.waiting:
            world.submit(Call())
        for entry, state in list(world.doing.items()):
            if state is not EntryState.BUSY and world.doing.get(entry) is state:
                world.work(entry, state, 0)
        busy = [entry for entry, state in world.doing.items() if state is entry.state is EntryState.BUSY]
        for _ in range(count if busy else 0):
            if not world.waiting:
                world.submit(Call(lane))
            world.share(busy[which % len(busy)], lambda call: all_join or call.sequence % 2)

    @precondition(lambda self: any(entry.held for entry in self.world.ever))
    @rule()
    def undo(self) -> None:
        self.world.undone(next(entry for entry in self.world.ever if entry.held))

    @precondition(lambda self: self.world.core.count(EntryState.LENT))
    @rule(well=st.booleans())
    def give_back(self, well: bool) -> None:
        entry = next(entry for entry in self.world.core.entries if entry.state is EntryState.LENT)
        if well:
            self.world.give_back(entry)
        else:
            self.world.forsake(entry)

    @precondition(lambda self: self.world.core.wake_at != math.inf)
    @rule(times=st.sampled_from([1, 1, 4]))
    def wake(self, times: int) -> None:
        world = self.world
        for _ in range(times):
            if world.core.wake_at != math.inf:
                world.now = max(world.now, world.core.wake_at)
                world.run_timer()

    @rule(passing=seconds, timer=st.booleans())
    def wait(self, passing: float, timer: bool) -> None:
        self.world.now += passing
        if timer:
            self.world.run_timer()

    @rule()
    def wake_too_early(self) -> None:
        self.world.expire()

    @rule()
    def warm(self) -> None:
        self.world.warm()

    @rule()
    def suspend(self) -> None:
        self.world.suspend()

    @precondition(lambda self: self.world.suspended)
    @rule()
    def resume(self) -> None:
        self.world.resume()

    @rule()
    def evict_all(self) -> None:
        self.world.evict_all()

    @rule(deadline=st.sampled_from([None] * 9 + [0.0, 1.0, 5.0]))
    def close(self, deadline: float | None) -> None:
        if deadline is not None:  # else all examples would be of pools that close
            self.world.close(deadline)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish()


def test_no_order_of_events_loses_a_connection_a_call_or_an_answer() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
