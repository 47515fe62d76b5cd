"""Long work in small pieces: iterators that take turns, a piece of each at a time, and let the loop turn in between.

What holds: a task that can go on, and only such a one, is runnable; each of those stands once in the queue of its
Cooperator. (Those that cannot go on any more may still stand there, until their turn comes.) While a Cooperator runs
and has a runnable task, there is one call of the scheduler's to come.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from netcore._current import current_reactor
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import Deferred
from netcore.error import ReactorNotRunning
from netcore.failure import Failure
from netcore.task._errors import NotPaused, SchedulerError, SchedulerStopped, TaskDone, TaskFailed, TaskStopped

__all__ = ["CooperativeTask", "Cooperator", "coiterate", "cooperate"]

logger = logging.getLogger("netcore.task")

SLICE = 0.01
"""Seconds that the tasks of a Cooperator have in one turn of the loop, by default. As in Twisted."""

I = TypeVar("I", bound="Iterator[Any]")  # noqa: E741


class CooperativeTask(Generic[I]):
    """One iterator, as a task. `Cooperator.cooperate` makes it.

    Each piece runs in the context in which the task was made.
    """

    def __init__(self, iterator: I, cooperator: Cooperator) -> None:
        self._iterator = iterator
        self._cooperator = cooperator
        self._context = copy_context()
        self._pauses = 0
        self._waits = False  # for a Deferred that it yielded
        self._queued = False
        self._finished: SchedulerError | None = None
        self._result: I | Failure = iterator
        self._waiting: list[Deferred[I]] = []
        cooperator._begins(self)

    def whenDone(self) -> Deferred[I]:
        """The end of the task.

        Returns: Deferred firing with the iterator when that has come to its end.
        Fails with: what the iterator raised, or a Deferred that it yielded failed with. TaskStopped: `stop` was called.
            SchedulerStopped: the Cooperator was stopped.
        """
        done: Deferred[I] = Deferred()
        if self._finished is None:
            self._waiting.append(done)
        elif isinstance(self._result, Failure):
            done.errback(self._result)
        else:
            done.callback(self._result)
        return done

    def pause(self) -> None:
        """Go on no more until `resume` has been called as often as this.

        Raises: TaskDone, TaskStopped, TaskFailed, SchedulerStopped: it is over.
        """
        self._check_finished()
        self._pauses += 1

    def resume(self) -> None:
        """Go on.

        Raises: NotPaused.
        """
        if self._pauses == 0:
            raise NotPaused(f"{self!r} is not paused: resume() once for each pause()")
        self._pauses -= 1
        if self._runnable:
            self._cooperator._may_go_on(self)

    def stop(self) -> None:
        """Give it up: the rest of the iterator is not run.

        Raises: TaskDone, TaskStopped, TaskFailed, SchedulerStopped: it is over.
        """
        self._check_finished()
        self._finish(TaskStopped("stop() was called"), Failure(TaskStopped("stop() was called")))

    @property
    def _runnable(self) -> bool:
        return self._pauses == 0 and not self._waits and self._finished is None

    def _check_finished(self) -> None:
        if self._finished is not None:
            raise type(self._finished)(*self._finished.args)  # a new one: its traceback would grow with each

    def _work(self) -> None:
        """Do one piece."""
        try:
            yielded = self._context.run(next, self._iterator)
        except StopIteration:
            self._finish(TaskDone("its iterator has come to its end"), self._iterator)
        except BaseException as error:
            self._finish(TaskFailed("its iterator raised"), Failure(error))
            del self  # which has the failure, in whose traceback this frame is
            if isinstance(error, ENDS_THE_PROGRAM):
                raise
        else:
            if isinstance(yielded, Deferred):
                self._waits = True
                yielded.addCallbacks(self._waited, self._waited_in_vain)
            del yielded  # this frame may be in a traceback that it holds

    def _waited(self, _: object) -> None:
        self._waits = False
        if self._runnable:
            self._cooperator._may_go_on(self)

    def _waited_in_vain(self, failure: Failure) -> None:
        if self._finished is None:
            self._finish(TaskFailed("a Deferred that its iterator yielded failed"), failure)
        del failure  # as in `_work`

    def _scheduler_stopped(self) -> None:
        self._finish(
            SchedulerStopped("its Cooperator was stopped"), Failure(SchedulerStopped("its Cooperator was stopped"))
        )

    def _finish(self, how: SchedulerError, result: I | Failure) -> None:
        if self._finished is not None:  # stopped from within, and nobody hears of what came then
            if isinstance(how, TaskFailed):
                log_failure(logger, cast("Failure", result), "%r, when it was over already, raised", self)
            return
        self._finished = how
        self._result = result
        self._cooperator._is_over(self)
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if isinstance(result, Failure):
                done.errback(result)
            else:
                done.callback(result)
            del done  # as in `_work`
        del result

    def __repr__(self) -> str:
        state = "runs" if self._runnable else "paused" if self._finished is None else type(self._finished).__name__
        return f"<CooperativeTask of {self._iterator!r}: {state}>"


class _Slice:
    """Says when the time of the tasks is up, in one turn of the loop."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SLICE

    def __call__(self) -> bool:
        return time.monotonic() >= self._end


def _soon(step: Callable[[], None]) -> Any:
    return current_reactor().callLater(0, step)


class Cooperator:
    """Has iterators take turns, a piece of each at a time: what they do up to one ``yield``. An iterator that yields a
    Deferred has its next turn when that has fired.

    Several Cooperators know nothing of each other: use `cooperate`, which has one for all, unless there is a reason.

    Args:
        terminationPredicateFactory: called at the beginning of each step; what it returns is called after each piece,
            and says whether the step is over, and the loop's turn. By default that is so after a hundredth of a second.
        scheduler: called with a function that is to be called later, which takes the next step; by default by this
            thread's reactor, in its next turn. May return something with a ``cancel()``.
        started: whether tasks run at once, or when `start` is called.

    >>> from netcore.task import Clock
    >>> def count(name, numbers):
    ...     for number in range(numbers):
    ...         print(name, number)
    ...         yield
    >>> clock = Clock()
    >>> cooperator = Cooperator(scheduler=lambda step: clock.callLater(0, step))
    >>> tasks = [cooperator.cooperate(count("a", 2)), cooperator.cooperate(count("b", 1))]
    >>> clock.advance(0)
    a 0
    b 0
    a 1
    """

    def __init__(
        self,
        terminationPredicateFactory: Callable[[], Callable[[], bool]] = _Slice,
        scheduler: Callable[[Callable[[], None]], Any] = _soon,
        started: bool = True,
    ) -> None:
        self._predicate = terminationPredicateFactory
        self._schedule = scheduler
        self._started = started
        self._stopped = False
        self._tasks: dict[CooperativeTask[Any], None] = {}  # that are not over
        self._queue: deque[CooperativeTask[Any]] = deque()
        self._step_call: Any = None  # what the scheduler returned
        self._scheduled = False
        self._stepping = False

    def cooperate(self, iterator: I) -> CooperativeTask[I]:
        """Have *iterator* take part.

        Returns: its task, which may be paused, stopped and waited for. It runs later, never within this call.
        Raises: TypeError: it is no iterator.
        """
        if not isinstance(iterator, Iterator):
            raise TypeError(f"a task is made of an iterator, such as a generator or iter(...), not {iterator!r}")
        return CooperativeTask(iterator, self)

    def coiterate(self, iterator: I, doneDeferred: Deferred[I] | None = None) -> Deferred[I]:
        """`cooperate`, for those who only want to know when it is done.

        Args:
            doneDeferred: what to fire in place of a new Deferred.
        Returns: *doneDeferred*, or a Deferred: what `CooperativeTask.whenDone` returns.
        Raises: TypeError: *iterator* is none.
        """
        done = self.cooperate(iterator).whenDone()
        if doneDeferred is None:
            return done
        done.chainDeferred(doneDeferred)
        return doneDeferred

    def start(self) -> None:
        """Run the tasks; also after `stop`."""
        self._started = True
        self._stopped = False
        self._reschedule()

    def stop(self) -> None:
        """Run no more. The tasks are over, those that are paused too: they fail with `SchedulerStopped`, as do those
        that come before it is started again."""
        self._stopped = True
        self._unschedule()  # first: those who hear that their tasks are over may start it again, with others
        for task in list(self._tasks):
            if task._finished is None:
                task._scheduler_stopped()

    @property
    def running(self) -> bool:
        """Whether it runs tasks, if there are any."""
        return self._started and not self._stopped

    # What tasks tell.

    def _begins(self, task: CooperativeTask[Any]) -> None:
        if self._stopped:
            task._scheduler_stopped()
        else:
            self._tasks[task] = None
            self._may_go_on(task)

    def _may_go_on(self, task: CooperativeTask[Any]) -> None:
        if not task._queued:
            task._queued = True
            self._queue.append(task)
        self._reschedule()

    def _is_over(self, task: CooperativeTask[Any]) -> None:
        self._tasks.pop(task, None)
        if not self._tasks:
            self._unschedule()

    # Steps.

    def _step(self) -> None:
        self._step_call = None
        self._scheduled = False
        if self._stopped:
            return
        self._stepping = True
        try:
            over = self._predicate()
            while self._queue:
                task = self._queue.popleft()
                task._queued = False
                if not task._runnable:
                    continue
                task._work()
                if task._runnable:
                    self._may_go_on(task)
                del task  # its frames may hold this one
                if over() or self._stopped:
                    break
        finally:
            self._stepping = False
            self._reschedule()

    def _reschedule(self) -> None:
        if self.running and self._queue and not self._stepping and not self._is_scheduled():
            self._scheduled = True
            try:
                self._step_call = self._schedule(self._step)
            except BaseException:
                self._scheduled = False  # whoever comes next asks again
                raise

    def _unschedule(self) -> None:
        """There is nothing to be done: no timer is left behind."""
        self._queue.clear()
        if self._is_scheduled() and hasattr(self._step_call, "cancel"):
            self._scheduled = False
            self._step_call.cancel()
        self._step_call = None

    def _is_scheduled(self) -> bool:
        """Whether a step is to come. A reactor that is disposed of cancels its timers."""
        active = getattr(self._step_call, "active", None)
        return self._scheduled and (active is None or active())


_cooperators: WeakKeyDictionary[Any, Cooperator] = WeakKeyDictionary()


def _shared() -> Cooperator:
    """That of the current reactor, which it does not keep alive."""
    reactor = current_reactor()
    shared = _cooperators.get(reactor)
    if shared is None:
        known = ref(reactor)

        def soon(step: Callable[[], None]) -> Any:
            reactor = known()
            if reactor is None:
                raise ReactorNotRunning("the reactor that the task belongs to is gone")
            return reactor.callLater(0, step)

        shared = _cooperators[reactor] = Cooperator(scheduler=soon)
    return shared


def cooperate(iterator: I) -> CooperativeTask[I]:
    """Have *iterator* take turns with all others that were given to this or `coiterate` and are not through; a piece of
    it is what it does up to one ``yield``. In between, the loop turns. One that yields a Deferred has its next turn
    when that has fired.

    Returns: its task, which may be paused, stopped and waited for. It runs later, never within this call.
    Raises: TypeError: it is no iterator.
    Threading: the reactor's thread only; each reactor has its own tasks.
    """
    return _shared().cooperate(iterator)


def coiterate(iterator: I) -> Deferred[I]:
    """`cooperate`, for those who only want to know when it is done.

    Returns: Deferred firing with *iterator* when that has come to its end.
    Raises: TypeError: *iterator* is none.
    Fails with: what it raised, or a Deferred that it yielded failed with.
    Threading: the reactor's thread only.
    """
    return _shared().coiterate(iterator)
