"""Debug mode with loops and threads: what holds a loop, and Deferreds in threads where they do not belong."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore import debug, defer, threads
from netcore.debug._watchdog import _Watched
from netcore.reactors import Reactor
from tests.support.debugging import Reports, switched

DEADLINE = 60.0  # far away: what is waited for takes a fraction of a second
THRESHOLD = 0.02  # seconds


@pytest.fixture
def watched() -> Iterator[None]:
    with switched(True, THRESHOLD):
        yield


def hold(came: threading.Event) -> None:
    deadline = time.monotonic() + DEADLINE
    while not came.is_set() and time.monotonic() < deadline:
        sum(range(1000))


def hold_asleep(came: threading.Event) -> None:
    came.wait(DEADLINE)


def has_beaten(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the watchdog knows *loop*, in which its first beat has come."""
    thread = next(thread for thread in threading.enumerate() if thread.name == "netcore-debug-watchdog")
    watchdog = thread._target.__self__  # type: ignore[attr-defined]
    return any(each.loop is loop and each._base for each in watchdog._watched.values())


def when_it_has_beaten(reactor: Reactor, call: Callable[[], object]) -> None:
    if has_beaten(reactor.loop):
        call()
    else:
        reactor.callLater(THRESHOLD, when_it_has_beaten, reactor, call)


def first(reports: Reports) -> str:
    record = reports.records[0]
    assert record.levelname == "WARNING"
    assert record.heldFor >= THRESHOLD  # type: ignore[attr-defined]
    return record.getMessage()


# What holds the loop


@pytest.mark.parametrize("hold", [hold, hold_asleep])
def test_a_callback_that_holds_the_loop_is_reported_while_it_does(
    hold: Callable[[threading.Event], None], reactor: Reactor, watched: None, reports: Reports
) -> None:
    def handler() -> None:
        hold(reports.came)
        seen.append(reports.came.is_set())
        reactor.stop()

    seen: list[bool] = []
    reactor.callLater(0, handler)
    reactor.run(installSignalHandlers=False)
    assert seen == [True]
    text = first(reports)
    assert text.startswith("test_a_callback_that_holds_the_loop_is_reported_while_it_does.<locals>.handler (")
    assert f"has held the loop of thread {threading.main_thread().name}" in text
    assert "    hold(reports.came)" in text
    assert "in hold" in text
    assert "netcore/reactors" not in text
    assert [frame.line for frame in reports.records[0].heldBy][:1] == ["hold(reports.came)"]  # type: ignore[attr-defined]


def test_the_first_callback_of_a_loop_is_seen_as_well(watched: None, reports: Reports) -> None:
    async def main() -> None:
        Reactor.current()
        hold(reports.came)

    asyncio.run(main())
    assert "main" in first(reports)


def test_an_attached_reactors_loop_is_watched_whatever_runs_it(watched: None, reports: Reports) -> None:
    async def main() -> None:
        has_beaten = asyncio.Event()  # a loop without frames of its own is known by its first beat
        when_it_has_beaten(Reactor.current(), has_beaten.set)
        await has_beaten.wait()
        hold(reports.came)

    loop = asyncio.new_event_loop()  # not asyncio.run(): uvloop has no frame of its own then
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    assert "main" in first(reports)


def test_a_reactor_in_another_thread_is_watched(
    new_reactor: Callable[[], Reactor], watched: None, reports: Reports
) -> None:
    reactor = new_reactor()

    def handler() -> None:
        hold(reports.came)
        reactor.stop()

    reactor.callLater(0, handler)
    thread = threading.Thread(target=reactor.run, args=(False,), name="second")
    thread.start()
    thread.join()
    assert "of thread second " in first(reports)


def test_a_coroutine_that_holds_the_loop_is_reported(run: Any, watched: None, reports: Reports) -> None:
    async def main() -> None:
        await defer.succeed(None)
        hold(reports.came)

    run(main)
    assert "main" in first(reports)


def test_a_callback_of_a_deferred_is_reported_as_what_fired_it(run: Any, watched: None, reports: Reports) -> None:
    def callback(_: object) -> None:
        hold(reports.came)

    async def main() -> None:
        defer.Deferred().addCallback(callback).callback(None)

    run(main)
    text = first(reports)
    assert "main" in text
    assert "in test_a_callback_of_a_deferred_is_reported_as_what_fired_it.<locals>.callback" in text


def test_a_function_of_the_standard_library_is_reported(reactor: Reactor, watched: None, reports: Reports) -> None:
    reports.mark = "Condition.wait"
    reactor.callLater(0, reports.came.wait, DEADLINE)
    reactor.callLater(0, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert "Condition.wait (" in first(reports)


def test_a_function_without_frames_is_reported(reactor: Reactor, watched: None, reports: Reports) -> None:
    def let_go() -> None:
        reports.came.wait(DEADLINE)
        lock.release()

    reports.mark = "DelayedCall.call"
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=let_go)
    thread.start()
    reactor.callLater(0, lock.acquire)
    reactor.callLater(0, reactor.stop)
    reactor.run(installSignalHandlers=False)
    thread.join()
    assert "DelayedCall.call (" in first(reports)


VALUES = [number * 7919 % 1000003 for number in range(1000003)]  # no prime's multiples are in order
MOST_CALLS = 20  # on a busy machine the watching thread may come when the callback after has begun


def sort() -> None:
    """Hold the loop and the GIL."""
    sorted(VALUES)


def test_a_c_function_that_keeps_the_gil_is_reported_with_who_called_it(
    reactor: Reactor, watched: None, reports: Reports
) -> None:
    calls: list[bool] = []

    def handler() -> None:
        calls.append(reports.came.is_set())
        if calls[-1] or len(calls) > MOST_CALLS:
            reactor.stop()
        else:
            reactor.callLater(0, handler)
            sort()

    when_it_has_beaten(reactor, lambda: reactor.callLater(0, handler))
    reactor.run(installSignalHandlers=False)
    text = first(reports)
    assert text.startswith("test_a_c_function_that_keeps_the_gil_is_reported_with_who_called_it.<locals>.handler (")
    assert "    sorted(VALUES)" in text
    assert "a C function, which has just returned" in text


def test_one_that_no_function_of_the_program_called_is_reported_too(
    reactor: Reactor, watched: None, reports: Reports
) -> None:
    reports.mark = "C function"

    def again(calls: int) -> None:
        if reports.came.is_set() or calls > MOST_CALLS:
            reactor.stop()
        else:
            reactor.callLater(0, sorted, VALUES)
            reactor.callLater(0, again, calls + 1)

    when_it_has_beaten(reactor, lambda: again(0))
    reactor.run(installSignalHandlers=False)
    assert "a C function, which has just returned" in first(reports)


def test_one_that_has_ended_when_it_can_be_looked_at_is_reported_without_a_place(
    reactor: Reactor, reports: Reports
) -> None:
    reports.mark = ""
    _Watched(threading.get_ident(), reactor.loop, THRESHOLD)._report(0.5, (), unseen=True)
    assert "was held for 0.500 s at least, by a C function" in first(reports)
    assert "no callback stands there any more" in first(reports)
    assert list(reports.records[0].heldBy) == []  # type: ignore[attr-defined]


def test_each_that_holds_is_reported_once(reactor: Reactor, watched: None, reports: Reports) -> None:
    def handler() -> None:
        hold(reports.came)
        first = len(reports.records)
        for _ in range(5):  # it goes on, for as long as a few more looks
            looked = threading.Event()
            threading.Timer(THRESHOLD, looked.set).start()
            looked.wait(DEADLINE)
        counts.append(len(reports.records) - first)
        reports.came.clear()

    counts: list[int] = []
    reactor.callLater(0, handler)
    reactor.callLater(0, handler)
    reactor.callLater(0, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert counts == [0, 0]
    assert len(reports.records) == 2


class Local:
    """Says in which thread it was finalised."""

    def __init__(self, said: list[int]) -> None:
        self.said = said

    def __del__(self) -> None:
        self.said.append(threading.get_ident())


def test_what_a_callback_held_is_finalised_in_the_loops_thread(
    new_reactor: Callable[[], Reactor], watched: None, reports: Reports
) -> None:
    reactor = new_reactor()
    said: list[int] = []

    def inner() -> None:
        local = Local(said)
        hold(reports.came)
        del local.said[:]

    def handler() -> None:
        inner()

    def later() -> None:
        if said:
            reactor.stop()
        else:
            reactor.callLater(0.001, later)

    reactor.callLater(0, handler)
    reactor.callLater(0, later)
    reactor.run(installSignalHandlers=False)
    assert said == [threading.get_ident()]


def test_an_idle_loop_is_not_reported_however_long_it_sleeps(
    new_reactor: Callable[[], Reactor], not_debugging: None, reports: Reports
) -> None:
    reports.mark = ""
    reactor = new_reactor()
    running, beaten = threading.Event(), threading.Event()
    reactor.callWhenRunning(running.set)
    thread = threading.Thread(target=reactor.run, args=(False,))
    thread.start()
    assert running.wait(DEADLINE)
    assert thread.ident is not None
    watched = _Watched(thread.ident, reactor.loop, THRESHOLD)
    watched.post()
    reactor.callFromThread(beaten.set)
    assert beaten.wait(DEADLINE)
    for second in range(100):
        watched.look(float(second), float(second))
    reactor.callFromThread(reactor.stop)
    thread.join()
    assert reports.records == []


def test_a_loop_that_was_left_is_forgotten(watched: None, reports: Reports) -> None:
    async def main() -> int:
        Reactor.current()
        hold(reports.came)
        return threading.get_ident()

    thread = asyncio.run(main())
    from netcore.debug import _switch

    watchdog = _switch._watchdog
    assert watchdog is not None
    watchdog._look(time.monotonic())
    assert thread not in watchdog._watched


def test_a_handler_of_the_report_may_switch_debugging_off(reactor: Reactor, watched: None, reports: Reports) -> None:
    emit = reports.emit

    def switch_off(record: Any) -> None:
        debug.disable()
        emit(record)

    reports.emit = switch_off  # type: ignore[method-assign]

    def handler() -> None:
        hold(reports.came)
        reactor.stop()

    reactor.callLater(0, handler)
    reactor.run(installSignalHandlers=False)
    assert not debug.isEnabled()


# Threads


def test_the_tutorials_way_to_fire_from_a_thread_is_reported(run: Any, debugging: None, reports: Reports) -> None:
    def work(done: Callable[[str], object]) -> None:
        done("result")

    async def main() -> str:
        deferred: defer.Deferred[str] = defer.Deferred()
        Reactor.current().callInThread(work, deferred.callback)
        return await deferred

    assert run(main) == "result"
    (text,) = reports.texts
    assert f"made in thread {threading.main_thread().name} was fired in thread netcore-pool-" in text
    made, fired = text.split("and fired at")
    assert "deferred: defer.Deferred[str] = defer.Deferred()" in made
    assert 'done("result")' in fired


def test_one_that_is_itself_the_job_was_fired_where_that_was_asked_for(
    run: Any, debugging: None, reports: Reports
) -> None:
    def ask_for_another(deferred: defer.Deferred[str]) -> None:
        Reactor.current().callInThread(deferred.callback, "result")

    async def main() -> list[str]:
        first, second = defer.Deferred[str](), defer.Deferred[str]()
        Reactor.current().callInThread(first.callback, "result")
        ask_for_another(second)
        return [await first, await second]

    run(main)
    texts = [text.split("and fired by the call of it that was asked for at")[1] for text in reports.texts]
    assert len(texts) == 2
    assert any('Reactor.current().callInThread(first.callback, "result")' in text for text in texts)
    assert any('Reactor.current().callInThread(deferred.callback, "result")' in text for text in texts)


def test_in_asyncio_too_without_any_reactor(debugging: None, reports: Reports) -> None:
    async def main() -> str:
        deferred: defer.Deferred[str] = defer.Deferred()
        thread = threading.Thread(target=deferred.callback, args=("result",))
        thread.start()
        result = await deferred
        thread.join()
        return result

    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(main())))  # not the main one
    thread.start()
    thread.join()
    assert results == ["result"]
    assert len(reports.records) == 1


def test_one_fired_by_another_is_fired_where_that_is(run: Any, debugging: None, reports: Reports) -> None:
    def work(first: defer.Deferred[str]) -> None:
        first.callback("result")

    async def main() -> str:
        second: defer.Deferred[str] = defer.Deferred()
        await asyncio.to_thread(lambda: work(defer.Deferred[str]().chainDeferred(second)))
        return await second

    assert run(main) == "result"
    (text,) = reports.texts  # the first belongs to the thread that fires it
    made, fired = text.split("and fired at")
    assert "second: defer.Deferred[str] = defer.Deferred()" in made
    assert 'first.callback("result")' in fired


def test_correct_ways_are_not_reported(
    run: Any, reactor: Reactor, new_reactor: Callable[[], Reactor], debugging: None, reports: Reports
) -> None:
    before: defer.Deferred[str] = defer.Deferred()  # before the reactor runs

    def work(deferred: defer.Deferred[str]) -> None:
        reactor.callFromThread(deferred.callback, "called back")

    def own() -> str:
        deferred: defer.Deferred[str] = defer.Deferred()
        deferred.callback("own")
        return str(deferred.result)

    async def called() -> str:
        return await threads.deferToThread(lambda: "blocking")

    def wait() -> str:
        return threads.blockingCallFromThread(reactor, called)

    async def main() -> list[Any]:
        deferred: defer.Deferred[str] = defer.Deferred()
        reactor.callInThread(work, deferred)
        reactor.callInThread(work, before)
        return [
            await deferred,
            await before,
            await threads.deferToThread(own),
            await threads.deferToThread(wait),
            await asyncio.to_thread(own),
        ]

    assert run(main) == ["called back", "called back", "own", "blocking", "own"]
    assert reports.records == []


def test_cancelling_in_a_foreign_thread_is_firing_there(run: Any, debugging: None, reports: Reports) -> None:
    async def main() -> None:
        deferred: defer.Deferred[str] = defer.Deferred()
        deferred.addErrback(lambda failure: None)
        await asyncio.to_thread(deferred.cancel)

    run(main)
    assert len(reports.records) == 1
