"""Threads beside a server on the same machine: when they push nobody aside."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asyncdb import ConnectionPool
from asyncdb._core._crowd import SAMPLE
from asyncdb._worker import _manners, _steps
from asyncdb._worker._crew import Crew
from asyncdb._worker._manners import IDLE, PERIOD, POLITE, USUAL, Manners
from asyncdb.testing import ScriptedDriver
from tests.property.crew_worlds import TurnHost

PROCESSORS = 4
IDLE_SCHEDULING = 5  # SCHED_IDLE


class Thread:
    """One that does what the test says, and waits in between."""

    def __init__(self, machine: Machine, executor: ThreadPoolExecutor) -> None:
        self.machine = machine
        self.executor = executor
        self.ident: int = self.do(threading.get_ident)

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.executor.submit(function, *args).result()

    def look(self) -> None:
        self.do(self.machine.manners.look, self.machine.now)

    @property
    def policy(self) -> int:
        return self.machine.policies.get(self.ident, USUAL)


class Machine:
    """A machine whose processors are as idle as the test says, and the manners of a pool on it."""

    def __init__(self, threads: ExitStack) -> None:
        self.now = 0.0
        self.up = 1000.0
        self.idle = 2000.0
        self.read = 0
        self.broken: Exception | None = None  # what reading comes to
        self.forbidden: Exception | None = None  # what setting comes to
        self.policies: dict[int, int] = {}
        self.asked: list[int] = []  # the threads that asked for theirs
        self.calls: list[tuple[int, int]] = []  # to set a policy: which thread, and which one
        self._threads = threads
        self.manners = Manners(self._idle_time, self._get, self._set, PROCESSORS)
        self.manners.beside(True)

    def thread(self) -> Thread:
        return Thread(self, self._threads.enter_context(ThreadPoolExecutor(1)))

    def wait(self, seconds: float, share: float) -> None:
        """Let time pass, in which *share* of all processors' time is idle."""
        self.now += seconds
        self.up += seconds
        self.idle += share * seconds * PROCESSORS

    def _idle_time(self) -> tuple[float, float]:
        self.read += 1
        if self.broken is not None:
            raise self.broken
        return self.up, self.idle

    def _get(self) -> int:
        self.asked.append(threading.get_ident())
        return self.policies.get(threading.get_ident(), USUAL)

    def _set(self, policy: int) -> None:
        self.calls.append((threading.get_ident(), policy))
        if self.forbidden is not None:
            raise self.forbidden
        self.policies[threading.get_ident()] = policy


@pytest.fixture
def machine() -> Iterator[Machine]:
    with ExitStack() as threads:
        yield Machine(threads)


def make_polite(machine: Machine, *threads: Thread) -> None:
    threads[0].look()
    machine.wait(PERIOD, share=0.5)
    for thread in threads:
        thread.look()
        assert thread.policy == POLITE


def test_on_an_idle_machine_each_thread_becomes_polite_once(machine: Machine) -> None:
    one, other = machine.thread(), machine.thread()
    one.look()
    machine.wait(PERIOD, share=0.5)
    one.look()
    other.look()
    for _ in range(3):
        machine.wait(PERIOD, share=0.5)
        one.look()
        other.look()
    assert machine.calls == [(one.ident, POLITE), (other.ident, POLITE)]


def test_the_first_reading_alone_says_nothing(machine: Machine) -> None:
    thread = machine.thread()
    machine.wait(1000.0, share=1.0)
    thread.look()
    machine.wait(0.9 * PERIOD, share=1.0)
    thread.look()
    assert (machine.read, machine.calls) == (1, [])


def test_when_the_machine_has_become_busy_each_thread_goes_back_once(machine: Machine) -> None:
    one, other = machine.thread(), machine.thread()
    make_polite(machine, one, other)
    machine.calls.clear()
    for _ in range(3):
        machine.wait(PERIOD, share=0.0)
        one.look()
        other.look()
    assert machine.calls == [(one.ident, USUAL), (other.ident, USUAL)]
    machine.wait(PERIOD, share=0.5)
    one.look()
    assert (one.policy, other.policy) == (POLITE, USUAL)


@pytest.mark.parametrize(("share", "policy"), [(1.1 * IDLE, POLITE), (0.9 * IDLE, USUAL)])
def test_the_share_is_that_of_all_processors(machine: Machine, share: float, policy: int) -> None:
    thread = machine.thread()
    thread.look()
    machine.wait(PERIOD, share)
    thread.look()
    assert thread.policy == policy


def test_a_busy_machine_costs_no_call(machine: Machine) -> None:
    thread = machine.thread()
    for _ in range(3):
        thread.look()
        machine.wait(PERIOD, share=0.0)
    assert machine.calls == []
    assert machine.asked == [thread.ident]


def test_one_thread_reads_in_each_period(machine: Machine) -> None:
    one, other = machine.thread(), machine.thread()
    for _ in range(8):
        one.look()
        other.look()
        machine.wait(PERIOD / 4, share=0.5)
    assert machine.read == 2


def test_after_a_long_pause_all_of_it_is_one_period(machine: Machine) -> None:
    thread = machine.thread()
    make_polite(machine, thread)
    machine.wait(100 * PERIOD, share=0.9 * IDLE)
    machine.wait(PERIOD, share=0.9 * IDLE)
    thread.look()
    assert thread.policy == USUAL
    assert machine.read == 3


@pytest.mark.parametrize("passed", [0.0, 0.01, -5.0])
def test_a_period_of_no_length_or_less_changes_nothing(machine: Machine, passed: float) -> None:
    thread = machine.thread()
    make_polite(machine, thread)
    machine.up += passed
    machine.now += PERIOD
    thread.look()
    assert thread.policy == POLITE
    machine.wait(PERIOD, share=0.0)
    thread.look()
    assert thread.policy == USUAL  # the next is counted from there


def test_of_two_that_read_in_the_same_moment_the_second_learns_nothing(machine: Machine) -> None:
    one, other = machine.thread(), machine.thread()
    one.look()
    machine.wait(PERIOD, share=0.5)
    read = machine.manners._idle_time

    def read_meanwhile() -> tuple[float, float]:
        machine.manners._idle_time = read
        machine.manners._due = machine.now  # as the other saw it, before this one claimed the period
        other.look()
        return read()

    machine.manners._idle_time = read_meanwhile
    one.look()
    assert machine.read == 3
    assert (one.policy, other.policy) == (POLITE, POLITE)


def test_a_thread_that_has_a_policy_is_left_alone_for_good(machine: Machine) -> None:
    one, other = machine.thread(), machine.thread()
    machine.policies[one.ident] = IDLE_SCHEDULING
    make_polite(machine, other)
    for share in (0.5, 0.0, 0.5):
        one.look()
        machine.wait(PERIOD, share)
    machine.policies[one.ident] = USUAL
    one.look()
    assert one.policy == USUAL
    assert machine.asked.count(one.ident) == 1


def test_a_program_that_is_polite_altogether_stays_so(machine: Machine) -> None:
    thread = machine.thread()
    machine.policies[thread.ident] = POLITE  # before the pool has done anything
    for share in (0.5, 0.0, 0.5, 0.0):
        thread.look()
        machine.wait(PERIOD, share)
    assert machine.calls == []


def test_a_policy_that_was_changed_since_is_left_alone(machine: Machine) -> None:
    one, other = machine.thread(), machine.thread()
    other.look()
    make_polite(machine, one)
    machine.policies.update({one.ident: IDLE_SCHEDULING, other.ident: POLITE})
    for share in (0.0, 0.5, 0.0):
        machine.wait(PERIOD, share)
        one.look()
        other.look()
    assert (one.policy, other.policy) == (IDLE_SCHEDULING, POLITE)
    assert machine.calls == [(one.ident, POLITE)]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_thread_that_a_polite_one_has_started_is_one_of_ours(machine: Machine, share: float) -> None:
    one, other = machine.thread(), machine.thread()
    make_polite(machine, one)
    machine.policies[other.ident] = POLITE  # policies are inherited
    machine.wait(PERIOD, share)
    other.look()
    machine.wait(PERIOD, share=0.0)
    other.look()
    assert other.policy == USUAL
    assert machine.calls[1:] == [(other.ident, USUAL)]


def test_where_it_is_forbidden_it_is_never_tried_again(machine: Machine) -> None:
    thread = machine.thread()
    machine.forbidden = PermissionError("no")
    thread.look()
    machine.wait(PERIOD, share=0.5)
    watching = [machine.manners.watching]
    thread.look()
    watching.append(machine.manners.watching)
    machine.manners.beside(True)  # the next connection
    watching.append(machine.manners.watching)
    assert watching == [True, False, False]  # nobody has to look any more
    assert machine.calls == [(thread.ident, POLITE)]


def test_where_there_are_no_policies_nothing_fails(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "SCHED_BATCH", raising=False)
    machine.manners._get_policy = _manners._policy
    machine.thread().look()
    assert not machine.manners.watching
    assert machine.calls == []


@pytest.mark.parametrize(("mode", "filtered"), [("0", False), ("1", True), ("2", True), (None, False)])
def test_where_system_calls_are_filtered_none_is_tried(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None, filtered: bool
) -> None:
    """The filter may end the process."""
    status = tmp_path / "status"
    status.write_text("Name:\tpython\n" + ("" if mode is None else f"Seccomp:\t{mode}\n") + "Seccomp_filters:\t3\n")
    monkeypatch.setattr(_manners, "open", lambda name, **options: status.open(**options), raising=False)
    monkeypatch.setattr(os, "SCHED_BATCH", POLITE, raising=False)
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: USUAL, raising=False)
    assert _manners._is_filtered() == filtered
    thread = machine.thread()
    machine.manners._get_policy = _manners._policy
    thread.look()
    machine.wait(PERIOD, share=0.5)
    thread.look()
    assert machine.calls == ([] if filtered else [(thread.ident, POLITE)])
    assert machine.manners.watching != filtered


def test_one_that_may_not_keeps_no_other_from_going_back(machine: Machine) -> None:
    thread, other = machine.thread(), machine.thread()
    make_polite(machine, thread)
    machine.forbidden = PermissionError("no")
    other.look()
    machine.forbidden = None
    machine.wait(PERIOD, share=0.0)
    assert machine.manners.watching
    thread.look()
    other.look()
    assert (thread.policy, other.policy) == (USUAL, USUAL)
    assert machine.calls == [(thread.ident, POLITE), (other.ident, POLITE), (thread.ident, USUAL)]


@pytest.mark.parametrize("error", [FileNotFoundError("/proc/uptime"), ValueError("not a number")])
def test_what_can_not_be_read_is_never_read_again_and_nobody_stays_polite(machine: Machine, error: Exception) -> None:
    thread = machine.thread()
    make_polite(machine, thread)
    machine.broken = error
    for _ in range(3):
        machine.wait(PERIOD, share=0.5)
        thread.look()
    assert machine.read == 3
    assert thread.policy == USUAL


def test_the_idle_time_is_read_as_linux_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "uptime"
    names: list[str] = []

    def opened(name: str, **options: Any) -> Any:
        names.append(name)
        return file.open(**options)

    monkeypatch.setattr(_manners, "open", opened, raising=False)
    file.write_text("350735.47 234388.90\n")
    assert _manners._read_idle_time() == (350735.47, 234388.90)
    file.write_text("soon\n")
    with pytest.raises(ValueError):
        _manners._read_idle_time()
    assert names == ["/proc/uptime"] * 2


def test_nobody_has_to_look_until_a_server_is_near() -> None:
    manners = Manners()
    assert not manners.watching
    manners.beside(False)
    assert not manners.watching
    manners.beside(True)
    assert manners.watching


def test_when_the_server_is_elsewhere_now_threads_go_back(machine: Machine) -> None:
    one, other = machine.thread(), machine.thread()
    make_polite(machine, one, other)
    machine.manners.beside(False)
    assert machine.manners.watching  # else they would never know
    machine.wait(PERIOD, share=0.5)
    one.look()
    other.look()
    assert (one.policy, other.policy) == (USUAL, USUAL)
    machine.manners.beside(True)
    machine.wait(PERIOD, share=0.5)
    one.look()
    assert one.policy == POLITE


# The real thing.


def can_be_polite() -> bool:
    def attempt() -> bool:
        try:
            if _manners._is_filtered():
                return False  # it might end the tests
            for policy in (os.SCHED_BATCH, os.SCHED_OTHER):
                os.sched_setscheduler(0, policy, os.sched_param(0))
        except (AttributeError, OSError):
            return False
        return True

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(attempt).result()


@pytest.mark.skipif(not can_be_polite(), reason="this system has no such policy, or does not give it")
def test_a_real_thread_alone_becomes_polite_and_goes_back(machine: Machine) -> None:
    assert (os.SCHED_OTHER, os.SCHED_BATCH) == (USUAL, POLITE)
    machine.manners._get_policy, machine.manners._set_policy = _manners._policy, _manners._choose
    thread = machine.thread()
    here = os.sched_getscheduler(0)
    thread.do(os.sched_setscheduler, 0, os.SCHED_OTHER, os.sched_param(0))
    thread.look()
    seen = []
    for share in (0.5, 0.0, 0.5):
        machine.wait(PERIOD, share)
        thread.look()
        seen.append(thread.do(os.sched_getscheduler, 0))
    assert seen == [os.SCHED_BATCH, os.SCHED_OTHER, os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == here
    assert machine.manners.watching


@pytest.mark.skipif(not Path("/proc/uptime").exists(), reason="this system does not tell its idle time so")
def test_the_real_idle_time_is_a_time() -> None:
    up, idle = _manners._read_idle_time()
    assert up > 0
    assert idle >= 0


# In a pool.


class Load:
    """Calls that one worker makes one after another, in the test's thread, each in an eighth of a period."""

    def __init__(self, machine: Machine, share: float, count: int) -> None:
        self.machine = machine
        self.host = TurnHost()
        driver = ScriptedDriver()
        self.pool: Any = ConnectionPool(driver, cp_max=1, cp_min=0)
        self.pool._tasks.prepare()
        pool = self.pool
        facts: Any = pool._driver
        facts.is_near = lambda connection: True
        self.crew = pool._crew = Crew(pool._options, facts, self.host, "load", pool.disconnect)
        self.threads: deque[Callable[[], object]] = deque()
        threads: Any = self.crew._threads
        threads.callInThread = lambda function, *args: self.threads.append(partial(function, *args))
        machine.manners.watching = False  # until a connection shows that it is of use
        self.crew._manners = machine.manners
        self.polite: list[bool] = []  # at each call
        self.share = share
        driver.when("execute", self._execute)
        self.submit(count)

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.pool.runQuery("SELECT people")

    def _execute(self, *args: Any) -> None:
        self.polite.append(self.machine.policies.get(threading.get_ident()) == POLITE)
        self.host.clock.advance(PERIOD / 8)
        self.machine.wait(PERIOD / 8, self.share)

    def work(self) -> None:
        """Do what the worker has to do."""
        while self.threads:
            self.threads.popleft()()

    def end(self) -> None:
        self.crew.end_now()


@pytest.fixture
def loaded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Load]]:
    loads: list[Load] = []

    def load(share: float, count: int, real: bool = True) -> Load:
        made = Load(machine, share, count)
        loads.append(made)
        if real:
            monkeypatch.setattr(_steps, "monotonic", made.host.seconds)
        return made

    yield load
    for made in loads:
        made.end()


def test_a_pools_thread_becomes_polite_and_goes_back_while_calls_wait_without_a_pause(
    loaded: Callable[..., Load],
) -> None:
    load = loaded(share=0.5, count=8 * SAMPLE)
    load.work()
    assert not load.polite[0]
    assert load.polite[3 * SAMPLE :] == [True] * (5 * SAMPLE)
    load.share = 0.0
    load.submit(8 * SAMPLE)
    load.work()
    assert load.polite[8 * SAMPLE]
    assert load.polite[11 * SAMPLE :] == [False] * (5 * SAMPLE)


def test_a_pools_thread_that_makes_one_call_at_a_time_becomes_polite(loaded: Callable[..., Load]) -> None:
    load = loaded(share=0.5, count=1)
    for _ in range(29):
        load.work()
        load.submit(1)
    load.work()
    assert load.polite == [False] * 8 + [True] * 22


def test_a_pool_with_a_clock_of_its_own_takes_no_heed(machine: Machine, loaded: Callable[..., Load]) -> None:
    load = loaded(share=0.5, count=4 * SAMPLE, real=False)
    load.work()
    assert not any(load.polite)
    assert machine.read == 0
