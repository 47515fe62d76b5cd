"""Cooperator and its tasks, with a scheduler that the test works off and steps that end by count."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any
from weakref import ref

import pytest

import netcore
from netcore.defer import Deferred
from netcore.error import ReactorNotRunning
from netcore.failure import Failure
from netcore.task import (
    Clock,
    CooperativeTask,
    Cooperator,
    NotPaused,
    SchedulerError,
    SchedulerStopped,
    TaskDone,
    TaskFailed,
    TaskFinished,
    TaskStopped,
    coiterate,
    cooperate,
)
from netcore.task import _cooperate as module


class World:
    """A Cooperator whose steps are *pieces* long and are taken by `step`."""

    def __init__(self, pieces: int = 1, **options: Any) -> None:
        self.clock = Clock()
        self.pieces = pieces
        self.done: list[str] = []
        self.cooperator = Cooperator(self.predicate, lambda step: self.clock.callLater(0, step), **options)

    def predicate(self) -> Callable[[], bool]:
        left = self.pieces

        def over() -> bool:
            nonlocal left
            left -= 1
            return left == 0

        return over

    def work(self, name: str, pieces: int = 1000) -> Iterator[None]:
        for _ in range(pieces):
            self.done.append(name)
            yield

    def step(self) -> None:
        """One turn of the loop: only what was to come before it."""
        for call in self.clock.getDelayedCalls():
            self.clock._timers.take(self.clock.rightNow)
            call.call()

    @property
    def waits(self) -> int:
        return len(self.clock.getDelayedCalls())


def outcome(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


def test_tasks_take_turns_and_a_step_ends_when_the_predicate_says_so() -> None:
    world = World(pieces=5)
    for name in "abc":
        world.cooperator.cooperate(world.work(name))
    assert world.done == []
    world.step()
    assert "".join(world.done) == "abcab"
    world.step()
    assert "".join(world.done) == "abcabcabca"  # it goes on where it was


def test_turns_are_fair_with_tasks_that_come_and_go() -> None:
    world = World(pieces=1)
    tasks = {name: world.cooperator.cooperate(world.work(name)) for name in "abcd"}
    for step in range(400):
        world.step()
        if step == 100:
            tasks["d"].pause()
        if step == 200:
            tasks["d"].resume()
            tasks["e"] = world.cooperator.cooperate(world.work("e"))
    counts = {name: world.done.count(name) for name in "abc"}
    assert max(counts.values()) - min(counts.values()) <= 1
    latest = world.done[-200:]
    assert {latest.count(name) for name in "abcde"} <= {39, 40, 41}


def test_a_thousand_tasks_cost_a_thousand_pieces_per_round() -> None:
    """However many there are, or are paused: none is looked at twice."""
    world = World(pieces=1000)
    tasks = [world.cooperator.cooperate(world.work(str(number))) for number in range(2000)]
    for task in tasks[::2]:
        task.pause()
    world.step()
    assert len(world.done) == len(set(world.done)) == 1000
    assert len(world.cooperator._queue) == 1000


def test_a_task_fires_with_its_iterator_and_leaves_no_timer() -> None:
    world = World()
    iterator = world.work("a", 2)
    task = world.cooperator.cooperate(iterator)
    done = [outcome(task.whenDone()), outcome(task.whenDone())]
    for _ in range(3):
        world.step()
    assert done == [[iterator], [iterator]] == [outcome(task.whenDone())] * 2
    assert world.waits == 0
    for call in (task.pause, task.stop):
        with pytest.raises(TaskDone):
            call()
    assert "TaskDone" in repr(task)


def test_an_iterator_that_raises_fails_its_task_and_no_other() -> None:
    world = World(pieces=3)
    bad = world.cooperator.cooperate(iter(lambda: 1 // 0, None))
    good = world.cooperator.cooperate(world.work("good", 1))
    failed, done = outcome(bad.whenDone()), outcome(good.whenDone())
    world.step()
    assert isinstance(failed[0], ZeroDivisionError)
    assert len(done) == 1
    for call in (bad.pause, bad.stop):
        with pytest.raises(TaskFailed):
            call()
    assert isinstance(outcome(bad.whenDone())[0], ZeroDivisionError)


def test_what_ends_the_program_ends_the_task_and_leaves_the_others() -> None:
    def interrupted() -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    world = World(pieces=2)
    task = world.cooperator.cooperate(interrupted())
    failed = outcome(task.whenDone())
    world.cooperator.cooperate(world.work("a"))
    with pytest.raises(KeyboardInterrupt):
        world.step()
    assert isinstance(failed[0], KeyboardInterrupt)
    world.step()
    assert world.done == ["a", "a"]


def test_what_a_task_that_is_over_raises_does_not_grow() -> None:
    task = World().cooperator.cooperate(iter([None]))
    task.whenDone().addErrback(lambda failure: failure.trap(TaskStopped))
    task.stop()
    errors = []
    for _ in range(3):
        with pytest.raises(TaskStopped) as raised:
            task.pause()
        errors.append(len(raised.traceback))
    assert errors == [errors[0]] * 3


def test_a_task_that_failed_waits_for_no_garbage_collector() -> None:
    def fails() -> Iterator[None]:
        raise ZeroDivisionError
        yield

    world = World()
    gc.collect()
    gc.disable()
    try:
        task = world.cooperator.cooperate(fails())
        task.whenDone().addErrback(lambda failure: failure.trap(ZeroDivisionError)).addCallback(lambda _: None)
        world.step()
        left = ref(task)
        del task
        assert left() is None
    finally:
        gc.enable()


def test_pauses_are_counted() -> None:
    world = World()
    task = world.cooperator.cooperate(world.work("a"))
    task.pause()
    task.pause()
    task.resume()
    world.step()
    assert world.done == []
    assert world.waits == 0
    task.resume()
    world.step()
    assert world.done == ["a"]
    with pytest.raises(NotPaused):
        task.resume()
    assert "runs" in repr(task)


def test_a_task_may_pause_resume_and_stop_itself() -> None:
    world = World()
    task: CooperativeTask[Any]

    def work() -> Iterator[None]:
        task.pause()
        task.resume()
        yield
        task.pause()
        world.done.append("paused")
        yield
        world.done.append("stopped")
        task.stop()
        yield
        world.done.append("never")

    task = world.cooperator.cooperate(work())
    stopped = outcome(task.whenDone())
    for _ in range(4):
        world.step()
    assert world.done == ["paused"]
    task.resume()
    world.step()
    assert world.done == ["paused", "stopped"]
    assert isinstance(stopped[0], TaskStopped)
    assert world.waits == 0


@pytest.mark.parametrize("raises", [False, True])
def test_what_an_iterator_that_has_stopped_itself_does_then(raises: bool, logged: Any) -> None:
    world = World()
    task: CooperativeTask[Any]

    def work() -> Iterator[None]:
        task.stop()
        if raises:
            raise ZeroDivisionError
        return
        yield

    task = world.cooperator.cooperate(work())
    stopped = outcome(task.whenDone())
    world.step()
    assert isinstance(stopped[0], TaskStopped)
    if raises:
        logged.take(ZeroDivisionError)


def test_a_stopped_task_fails_and_runs_no_more() -> None:
    world = World()
    task = world.cooperator.cooperate(world.work("a"))
    done = outcome(task.whenDone())
    task.pause()
    task.stop()
    assert isinstance(done[0], TaskStopped)
    task.resume()
    for call in (task.pause, task.stop):
        with pytest.raises(TaskStopped):
            call()
    with pytest.raises(NotPaused):
        task.resume()
    assert isinstance(outcome(task.whenDone())[0], TaskStopped)
    world.step()
    assert world.done == []


def test_a_deferred_is_waited_for() -> None:
    world = World()
    waited: Deferred[None] = Deferred()

    def work() -> Iterator[Any]:
        yield waited
        world.done.append("a")
        yield Deferred().callback(None)

    task = world.cooperator.cooperate(work())
    done = outcome(task.whenDone())
    world.step()
    assert world.waits == 0
    with pytest.raises(NotPaused):  # to wait is no pause that one could end
        task.resume()
    task.pause()
    waited.callback(None)
    world.step()
    assert world.done == []
    task.resume()
    for _ in range(3):
        world.step()
    assert world.done == ["a"]
    assert len(done) == 1


def test_a_deferred_that_fails_fails_the_task() -> None:
    world = World()
    waited: Deferred[None] = Deferred()
    task = world.cooperator.cooperate(iter([waited]))
    done = outcome(task.whenDone())
    world.step()
    waited.errback(Failure(ZeroDivisionError()))
    assert isinstance(done[0], ZeroDivisionError)
    with pytest.raises(TaskFailed):
        task.stop()


@pytest.mark.parametrize("fails", [False, True])
def test_a_deferred_that_fires_after_the_task_was_stopped_is_nobodys(fails: bool) -> None:
    world = World()
    waited: Deferred[None] = Deferred()
    task = world.cooperator.cooperate(iter([waited]))
    world.step()
    done = outcome(task.whenDone())
    task.stop()
    if fails:
        waited.errback(Failure(ZeroDivisionError()))
    else:
        waited.callback(None)
    assert isinstance(done[0], TaskStopped)
    assert world.waits == 0


def test_a_cooperator_that_is_not_started_waits_for_that() -> None:
    world = World(started=False)
    assert not world.cooperator.running
    world.cooperator.cooperate(world.work("a"))
    assert world.waits == 0
    world.cooperator.start()
    world.cooperator.start()
    assert world.cooperator.running
    assert world.waits == 1
    world.step()
    assert world.done == ["a"]


def test_stopping_fails_all_that_are_not_over_paused_or_not() -> None:
    world = World()
    tasks = [world.cooperator.cooperate(world.work(name)) for name in "abc"]
    waits = world.cooperator.cooperate(iter([Deferred()]))
    tasks[1].pause()
    for _ in range(4):
        world.step()
    done = [outcome(task.whenDone()) for task in (*tasks, waits)]
    world.cooperator.stop()
    assert not world.cooperator.running
    assert [type(error) for (error,) in done] == [SchedulerStopped] * 4
    assert world.waits == 0
    with pytest.raises(SchedulerStopped):
        tasks[0].stop()
    late = outcome(world.cooperator.coiterate(world.work("late")))
    assert isinstance(late[0], SchedulerStopped)
    before = list(world.done)
    world.cooperator.start()
    world.cooperator.cooperate(world.work("new"))
    world.step()
    assert world.done == [*before, "new"]


def test_who_hears_of_the_stop_may_start_it_again_with_other_tasks() -> None:
    world = World()

    def again(_: Failure) -> None:
        world.cooperator.start()
        world.cooperator.cooperate(world.work("new"))

    world.cooperator.coiterate(world.work("a")).addErrback(again)
    other = outcome(world.cooperator.coiterate(world.work("b")))
    world.cooperator.stop()
    assert isinstance(other[0], SchedulerStopped)
    for _ in range(3):
        world.step()
    assert world.done == ["new"] * 3


def test_a_scheduler_that_raises_is_asked_again() -> None:
    world = World()
    schedule, world.cooperator._schedule = world.cooperator._schedule, lambda step: 1 // 0
    with pytest.raises(ZeroDivisionError):
        world.cooperator.cooperate(world.work("a"))
    world.cooperator._schedule = schedule
    world.cooperator.cooperate(world.work("b"))
    world.step()
    world.step()
    assert world.done == ["a", "b"]


def test_a_task_may_stop_its_cooperator() -> None:
    world = World(pieces=10)

    def work() -> Iterator[None]:
        world.cooperator.stop()
        yield

    done = outcome(world.cooperator.coiterate(work()))
    world.cooperator.coiterate(world.work("other")).addErrback(lambda failure: failure.trap(SchedulerStopped))
    world.step()
    assert isinstance(done[0], SchedulerStopped)
    assert world.done == []
    assert world.waits == 0


def test_a_scheduler_may_return_nothing_and_call_when_all_is_over() -> None:
    steps: list[Any] = []
    cooperator = Cooperator(scheduler=steps.append)
    task = cooperator.cooperate(iter([None]))
    task.whenDone().addErrback(lambda failure: failure.trap(TaskStopped))
    task.stop()
    cooperator.stop()
    for step in steps:
        step()
    cooperator.start()
    assert len(steps) == 1


def test_a_step_that_was_cancelled_by_others_is_asked_for_again() -> None:
    world = World()
    task = world.cooperator.cooperate(world.work("a"))
    for call in world.clock.getDelayedCalls():  # as a reactor does that is disposed of
        call.cancel()
    world.cooperator.cooperate(world.work("b"))
    world.step()
    assert world.done == ["a"]
    for call in world.clock.getDelayedCalls():
        call.cancel()
    done = outcome(task.whenDone())
    world.cooperator.stop()
    assert isinstance(done[0], SchedulerStopped)


def test_what_is_yielded_by_one_that_was_stopped_from_within_may_still_fail() -> None:
    world = World()
    task: CooperativeTask[Any]
    waited: Deferred[None] = Deferred()

    def work() -> Iterator[Any]:
        task.stop()
        yield waited

    task = world.cooperator.cooperate(work())
    stopped = outcome(task.whenDone())
    world.step()
    waited.errback(Failure(ZeroDivisionError()))
    assert isinstance(stopped[0], TaskStopped)
    assert "TaskStopped" in repr(task)


def test_a_predicate_that_raises_stops_nothing_for_good() -> None:
    world = World()
    world.cooperator.cooperate(world.work("a"))
    world.cooperator._predicate = lambda: 1 // 0  # type: ignore[assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        world.step()
    world.cooperator._predicate = world.predicate
    world.step()
    assert world.done == ["a"]


def test_each_task_runs_in_the_context_it_was_made_in() -> None:
    who: ContextVar[str] = ContextVar("who")
    world = World(pieces=6)

    def work() -> Iterator[None]:
        while True:
            world.done.append(who.get())
            who.set(who.get() + "+")
            yield

    for name in "ab":
        token = who.set(name)
        world.cooperator.cooperate(work())
        who.reset(token)
    world.step()
    assert world.done == ["a", "b", "a+", "b+", "a++", "b++"]


def test_coiterate_fires_the_deferred_it_is_given() -> None:
    world = World()
    given: Deferred[Any] = Deferred()
    iterator = world.work("a", 0)
    assert world.cooperator.coiterate(iterator, given) is given
    done = outcome(given)
    world.step()
    assert done == [iterator]


@pytest.mark.parametrize("wrong", [[1, 2], 3, None])
def test_what_is_no_iterator_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="made of an iterator"):
        Cooperator(scheduler=print).cooperate(wrong)


def test_by_default_a_step_lasts_for_a_hundredth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    world = World()

    def work() -> Iterator[None]:
        nonlocal now
        while True:
            now += 0.003
            world.done.append("a")
            yield

    world.cooperator._predicate = module._Slice
    world.cooperator.cooperate(work())
    world.step()
    assert len(world.done) == 4


def test_the_shared_one_is_the_current_reactors(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Clock(), Clock()
    monkeypatch.setitem(vars(netcore), "reactor", first)
    one = outcome(coiterate(iter([None])))
    monkeypatch.setitem(vars(netcore), "reactor", second)
    task = cooperate(iter([None]))
    assert len(first.getDelayedCalls()) == len(second.getDelayedCalls()) == 1
    first.advance(0)
    assert len(one) == 1
    assert task._finished is None
    second.advance(0)
    assert task._finished is not None
    known = len(module._cooperators)
    monkeypatch.undo()
    del second
    gc.collect()  # a Clock has its queue, which has it
    assert len(module._cooperators) < known  # it keeps no reactor alive
    with pytest.raises(ReactorNotRunning):
        task._cooperator.cooperate(iter([None]))


def test_the_errors_have_the_bases_they_are_caught_by() -> None:
    for error in (TaskDone, TaskStopped, TaskFailed):
        assert issubclass(error, TaskFinished)
    for error in (TaskFinished, SchedulerStopped, NotPaused):
        assert issubclass(error, SchedulerError)
