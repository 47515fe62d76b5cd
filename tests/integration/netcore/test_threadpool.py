"""ThreadPool with real threads, which meet on events and barriers."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from netcore.failure import Failure
from netcore.threadpool import ThreadPool
from tests.support.guard import Logged

WAIT = 20.0


@pytest.fixture
def new_pool() -> Iterator[Callable[..., ThreadPool]]:
    made: list[ThreadPool] = []

    def new_pool(*args: Any, **kwargs: Any) -> ThreadPool:
        made.append(ThreadPool(*args, **kwargs))
        return made[-1]

    yield new_pool
    for pool in made:
        pool.stop(WAIT)


class Gate:
    """A job that says when it has begun and waits until it may go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.go_on.wait(WAIT)


def result_of(pool: ThreadPool, func: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    results: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    pool.callInThreadWithCallback(lambda success, result: results.put((success, result)), func, *args)
    return results.get(timeout=WAIT)


def test_a_job_runs_in_another_thread_with_its_arguments(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 1)
    pool.start()
    assert result_of(pool, lambda *a: (threading.get_ident() != here, a), 1, 2) == (True, (True, (1, 2)))


here = threading.get_ident()


def test_on_result_is_called_in_the_worker(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 1)
    pool.start()
    seen: SimpleQueue[int] = SimpleQueue()
    pool.callInThreadWithCallback(lambda success, result: seen.put(threading.get_ident() - result), threading.get_ident)
    assert seen.get(timeout=WAIT) == 0


@pytest.mark.parametrize("kind", [LookupError, SystemExit, KeyboardInterrupt])
def test_on_result_gets_the_failure(new_pool: Callable[..., ThreadPool], kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("x")

    pool = new_pool(0, 1)
    pool.start()
    success, failure = result_of(pool, fail)
    assert not success
    assert isinstance(failure, Failure)
    assert failure.check(kind)
    assert result_of(pool, int) == (True, 0)  # the thread is none the worse


def test_without_on_result_a_failure_is_logged(new_pool: Callable[..., ThreadPool], logged: Logged) -> None:
    pool = new_pool(0, 1)
    pool.start()
    pool.callInThread(lambda: 1 / 0)
    pool.stop(WAIT)
    (record,) = logged.take(ZeroDivisionError)
    assert record.name == "netcore.threadpool"
    assert record.failure.check(ZeroDivisionError)  # type: ignore[attr-defined]


def test_what_on_result_raises_is_logged(new_pool: Callable[..., ThreadPool], logged: Logged) -> None:
    pool = new_pool(0, 1)
    pool.start()
    pool.callInThreadWithCallback(lambda success, result: 1 / 0, int)
    assert result_of(pool, int) == (True, 0)
    assert len(logged.take(ZeroDivisionError)) == 1


def test_start_makes_the_minimum_of_threads(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(2, 3, name="few")
    assert (pool.min, pool.max, pool.name, pool.started, pool.joined, pool.threads) == (2, 3, "few", False, False, [])
    pool.start()
    assert pool.started
    assert len(pool.threads) == 2
    assert all(thread.daemon and "few" in thread.name for thread in pool.threads)


def test_threads_are_started_only_when_none_is_idle(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 5)
    pool.start()
    assert pool.threads == []
    for _ in range(20):
        done = threading.Event()
        pool.callInThread(done.set)
        assert done.wait(WAIT)
        # The thread says that it is idle a moment after the job is done.
        while not pool._idle:
            pass
    assert len(pool.threads) == 1
    gates = [Gate() for _ in range(5)]
    for gate in gates:
        pool.callInThread(gate)
    for gate in gates:
        assert gate.begun.wait(WAIT)
    assert len(pool.threads) == 5
    for gate in gates:
        gate.go_on.set()


def test_beyond_the_maximum_jobs_wait_in_order(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 1)
    pool.start()
    gate = Gate()
    seen: list[int] = []
    pool.callInThread(gate)
    for number in range(10):
        pool.callInThread(seen.append, number)
    assert gate.begun.wait(WAIT)
    assert len(pool.threads) == 1
    assert seen == []
    gate.go_on.set()
    pool.stop(WAIT)
    assert seen == list(range(10))


def test_jobs_asked_for_before_start_run_after_it(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 2)
    barrier = threading.Barrier(3)
    for _ in range(2):
        pool.callInThread(barrier.wait, WAIT)
    assert pool.threads == []
    pool.start()
    barrier.wait(WAIT)


def test_stop_waits_for_what_was_asked_for(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 2)
    pool.start()
    seen: list[int] = []
    for number in range(100):
        pool.callInThread(seen.append, number)
    pool.stop()
    assert sorted(seen) == list(range(100))
    assert pool.joined
    assert not pool.started
    assert pool.threads == []


def test_a_stopped_pool_refuses_and_stays_stopped(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 1)
    pool.start()
    pool.stop()
    pool.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        pool.callInThread(print)
    with pytest.raises(RuntimeError, match="cannot start"):
        pool.start()


def test_stop_gives_up_after_its_timeout(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 1)
    pool.start()
    gate = Gate()
    pool.callInThread(gate)
    assert gate.begun.wait(WAIT)
    pool.stop(0.01)
    assert len(pool.threads) == 1
    gate.go_on.set()


def test_stop_in_a_thread_of_the_pool_is_refused(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 1)
    pool.start()
    success, failure = result_of(pool, pool.stop)
    assert not success
    assert "would wait for itself" in failure.getErrorMessage()


def test_begin_stop_does_not_wait_and_tells_when_all_have_ended(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 3)
    pool.start()
    gates = [Gate() for _ in range(2)]
    for gate in gates:
        pool.callInThread(gate)
        assert gate.begun.wait(WAIT)
    ended = threading.Event()
    pool.beginStop(ended.set)
    gates[0].go_on.set()
    assert not ended.is_set()
    gates[1].go_on.set()
    assert ended.wait(WAIT)
    assert pool.threads == []


def test_begin_stop_tells_at_once_if_there_are_no_threads(new_pool: Callable[..., ThreadPool]) -> None:
    for start in (False, True):
        pool = new_pool(0, 3)
        if start:
            pool.start()
        told: list[str] = []
        pool.beginStop(lambda told=told: told.append("first"))
        pool.beginStop(lambda told=told: told.append("second"))
        assert told == ["first", "second"]


def test_idle_threads_are_waited_for_too(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(3, 3)
    pool.start()
    threads = list(pool.threads)
    ended = threading.Event()
    pool.beginStop(ended.set)
    assert ended.wait(WAIT)
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()


def test_a_listener_that_raises_is_logged(new_pool: Callable[..., ThreadPool], logged: Logged) -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    for listener in (lambda: 1 / 0, cancelled):
        new_pool(0, 1).beginStop(listener)
    assert len(logged.take(ZeroDivisionError)) == 1
    assert len(logged.take(asyncio.CancelledError)) == 1


def test_the_size_can_be_adjusted_both_ways(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 1)
    pool.start()
    gates = [Gate() for _ in range(4)]
    for gate in gates:
        pool.callInThread(gate)
    assert gates[0].begun.wait(WAIT)
    pool.adjustPoolsize(maxthreads=4)
    for gate in gates:
        assert gate.begun.wait(WAIT)
    assert len(pool.threads) == 4
    threads = list(pool.threads)
    pool.adjustPoolsize(0, 2)
    for gate in gates:
        gate.go_on.set()
    while len(pool.threads) > 2:
        pass
    assert sum(thread not in pool.threads for thread in threads) == 2
    barrier = threading.Barrier(3)
    for _ in range(2):
        pool.callInThread(barrier.wait, WAIT)
    barrier.wait(WAIT)
    pool.adjustPoolsize(3, 3)
    assert len(pool.threads) == 3


def test_idle_threads_beyond_a_new_maximum_end(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(4, 4)
    pool.start()
    threads = list(pool.threads)
    pool.adjustPoolsize(0, 1)
    while len(pool.threads) > 1:
        pass
    assert result_of(pool, int) == (True, 0)
    pool.stop()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()


@pytest.mark.parametrize(("least", "most"), [(-1, 1), (3, 2), (0, 0)])
def test_sizes_that_make_no_sense_are_refused(new_pool: Callable[..., ThreadPool], least: int, most: int) -> None:
    with pytest.raises(ValueError, match="minthreads"):
        ThreadPool(least, most)
    pool = new_pool(0, 5)
    with pytest.raises(ValueError, match="minthreads"):
        pool.adjustPoolsize(least, most)
    assert (pool.min, pool.max) == (0, 5)


def test_no_job_is_lost_when_many_threads_ask(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(0, 4)
    pool.start()
    done: SimpleQueue[int] = SimpleQueue()
    barrier = threading.Barrier(4)

    def ask(base: int) -> None:
        barrier.wait(WAIT)
        for number in range(2000):
            pool.callInThread(done.put, base + number)

    askers = [threading.Thread(target=ask, args=(10_000 * number,)) for number in range(4)]
    for asker in askers:
        asker.start()
    got = [done.get(timeout=WAIT) for _ in range(8000)]
    for asker in askers:
        asker.join()
    assert len(set(got)) == 8000
    assert len(pool.threads) <= 4


def test_each_job_has_a_copy_of_its_callers_context(new_pool: Callable[..., ThreadPool]) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    pool = new_pool(0, 2)
    pool.start()
    seen: SimpleQueue[tuple[str, str]] = SimpleQueue()
    barrier = threading.Barrier(2)

    def job() -> str:
        before = variable.get()
        variable.set("changed in the job")
        barrier.wait(WAIT)  # both are inside at once: one Context for both would raise
        return before

    variable.set("caller's")
    for _ in range(2):
        pool.callInThreadWithCallback(lambda success, result: seen.put((result, variable.get())), job)
    assert [seen.get(timeout=WAIT) for _ in range(2)] == [("caller's", "changed in the job")] * 2
    assert variable.get() == "caller's"


def test_an_idle_thread_keeps_nothing_alive(new_pool: Callable[..., ThreadPool]) -> None:
    class Held:
        pass

    pool = new_pool(0, 1)
    pool.start()
    held = Held()
    reference = weakref.ref(held)
    results: SimpleQueue[Any] = SimpleQueue()
    pool.callInThreadWithCallback(lambda success, result: results.put(success), lambda held: held, held)
    assert results.get(timeout=WAIT) is True
    del held
    assert result_of(pool, int) == (True, 0)  # the job before is over and done with
    gc.collect()
    assert reference() is None


class Wake:
    """A worker's lock that says when the worker has come to wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.waits = threading.Event()

    def acquire(self) -> None:
        self.waits.set()
        self.lock.acquire()

    def release(self) -> None:
        self.lock.release()


def test_an_idle_thread_keeps_nothing_of_its_last_job_alive(new_pool: Callable[..., ThreadPool]) -> None:
    class Held:
        pass

    pool = new_pool(0, 1)
    pool.start()
    wake = Wake()

    def job(held: Held) -> None:
        threading.current_thread().wake = wake  # type: ignore[attr-defined]

    held = Held()
    reference = weakref.ref(held)
    gc.disable()
    try:
        pool.callInThread(job, held)
        del held
        assert wake.waits.wait(WAIT)
        assert reference() is None
    finally:
        gc.enable()


def test_a_failed_job_makes_no_reference_cycle(new_pool: Callable[..., ThreadPool]) -> None:
    class Error(Exception):
        pass

    pool = new_pool(0, 1)
    pool.start()
    references: SimpleQueue[weakref.ref[Error]] = SimpleQueue()

    def fail() -> None:
        raise Error

    gc.disable()
    try:
        pool.callInThreadWithCallback(lambda success, result: references.put(weakref.ref(result.value)), fail)
        reference = references.get(timeout=WAIT)
        assert result_of(pool, int) == (True, 0)
        assert reference() is None
    finally:
        gc.enable()


def test_a_job_survives_a_system_without_threads_to_give(
    new_pool: Callable[..., ThreadPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = new_pool(0, 2)
    pool.start()
    gate = Gate()
    pool.callInThread(gate)
    assert gate.begun.wait(WAIT)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        pool.callInThread(done.set)  # waits for the thread there is
        with pytest.raises(RuntimeError, match="can't start"):
            new_pool(1, 1).start()
    gate.go_on.set()
    assert done.wait(WAIT)


def test_a_system_with_fewer_threads_than_the_minimum_starts_those_it_has(
    new_pool: Callable[..., ThreadPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    given = 1
    asked = 0

    def start_some(self: threading.Thread) -> None:
        nonlocal asked
        asked += 1
        assert asked < 100, "it asks for ever"
        if asked > given:
            raise RuntimeError("can't start new thread")
        start(self)

    gate = Gate()
    seen: list[int] = []
    pool = new_pool(3, 3)
    pool.callInThread(gate)
    for number in range(5):
        pool.callInThread(seen.append, number)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start_some)
            pool.start()
            assert len(pool.threads) == 1
            assert gate.begun.wait(WAIT)
            pool.callInThread(seen.append, 5)  # still none: it waits behind the others
            assert len(pool.threads) == 1
    finally:
        gate.go_on.set()
    pool.stop(WAIT)
    assert seen == list(range(6))


def test_threads_that_were_not_to_be_had_are_asked_for_again(
    new_pool: Callable[..., ThreadPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = new_pool(0, 3)
    seen: list[str] = []
    pool.callInThread(seen.append, "first")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            pool.start()
        with pytest.raises(RuntimeError, match="can't start"):
            pool.callInThread(seen.append, "refused")
    barrier = threading.Barrier(2)
    pool.callInThread(barrier.wait, WAIT)
    barrier.wait(WAIT)
    pool.stop(WAIT)
    assert seen == ["first"]


def test_dump_stats_logs_how_busy_it_is(new_pool: Callable[..., ThreadPool], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "netcore.threadpool")
    pool = new_pool(1, 1, "stats")
    gate = Gate()
    pool.start()
    pool.callInThread(gate)
    pool.callInThread(list)
    assert gate.begun.wait(WAIT)
    pool.dumpStats()
    gate.go_on.set()
    pool.stop(WAIT)
    pool.dumpStats()
    first, second = caplog.messages
    assert "1 threads of 1, 0 idle, 1 jobs waiting" in first
    assert first.endswith("at work: netcore-pool-stats-1")
    assert "0 threads of 1" in second
    assert second.endswith("at work: none")


def test_repr_says_how_busy_it_is(new_pool: Callable[..., ThreadPool]) -> None:
    pool = new_pool(1, 2, name="mine")
    assert "mine not started: 0 threads of 2" in repr(pool)
