"""What debug mode says of Deferreds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest

import netcore
from netcore import defer
from netcore.defer import _debugging
from netcore.failure import Failure
from tests.support.debugging import Reports
from tests.support.guard import Logged

pytestmark = pytest.mark.usefixtures("debugging")


def only(logged: Logged) -> logging.LogRecord:
    (record,) = logged.take(ZeroDivisionError)
    return record


def in_a_thread(call: Callable[..., object], *args: Any) -> None:
    thread = Thread(target=call, args=args, name="some-worker")
    thread.start()
    thread.join()


def make() -> defer.Deferred[Any]:
    return defer.Deferred()


def fire(deferred: defer.Deferred[Any]) -> None:
    deferred.errback(ZeroDivisionError("lost"))


# Unhandled failures


def test_an_unhandled_failure_says_where_its_deferred_was_made_and_fired(logged: Logged) -> None:
    fire(make())
    record = only(logged)
    text = record.getMessage()
    assert text.startswith("Unhandled error in Deferred: ZeroDivisionError: lost\n")
    made, fired = text.split("and fired at")
    assert "in make\n    return defer.Deferred()" in made
    assert "in fire\n    deferred.errback(" in fired
    assert [frame.name for frame in record.madeAt][-2:] == [  # type: ignore[attr-defined]
        "test_an_unhandled_failure_says_where_its_deferred_was_made_and_fired",
        "make",
    ]
    assert record.firedAt[-1].line.startswith("deferred.errback")  # type: ignore[attr-defined]


def test_stacks_are_short_and_without_netcores_own_frames(logged: Logged) -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            fire(defer.maybeDeferred(make))

    deep(50)
    record = only(logged)
    for stack in (record.madeAt, record.firedAt):  # type: ignore[attr-defined]
        assert 1 < len(stack) < 10
        assert not [frame for frame in stack if "netcore/defer" in frame.filename]


def test_a_callback_that_raised_is_reported_with_who_fired(logged: Logged) -> None:
    deferred = make()
    deferred.addCallback(lambda _: 1 / 0)
    deferred.callback(None)
    del deferred
    assert "deferred.callback(None)" in only(logged).getMessage().split("and fired at")[1]


def test_a_list_is_reported_with_who_fired_its_last(logged: Logged) -> None:
    first, last = make(), make()
    both = defer.DeferredList([first, last], consumeErrors=True)
    both.addCallback(lambda _: 1 / 0)
    first.callback(1)
    last.callback(2)
    del both, first, last
    assert "last.callback(2)" in only(logged).getMessage().split("and fired at")[1]


def fire_outer(deferred: defer.Deferred[Any]) -> None:
    deferred.callback(None)


@pytest.mark.parametrize("depth", [1, 3])
def test_one_that_waited_for_others_is_reported_with_who_fired_the_last(depth: int, logged: Logged) -> None:
    inner = waiting = make()
    for _ in range(depth):
        outer = make()
        outer.addCallback(lambda _, waiting=waiting: waiting)
        fire_outer(outer)
        waiting = outer
    fire(inner)
    del inner, waiting, outer
    text = only(logged).getMessage()
    fired, waited_for = text.split("The Deferred that it waited for was fired at")
    assert "in fire_outer\n" in fired.split("and fired at")[1]
    assert "in fire\n    deferred.errback(" in waited_for


def test_one_that_waited_for_a_coroutine_is_reported_with_who_ended_that(logged: Logged) -> None:
    inner, outer = make(), make()
    outer.addCallback(lambda _, inner=inner: generator(inner))
    fire_outer(outer)
    fire(inner)
    del inner, outer
    waited_for = only(logged).getMessage().split("The Deferred that it waited for was fired at")[1]
    assert "in fire\n    deferred.errback(" in waited_for


@defer.inlineCallbacks
def generator(deferred: defer.Deferred[Any]) -> Any:
    yield deferred
    raise ZeroDivisionError("lost")


async def coroutine(deferred: defer.Deferred[Any]) -> None:
    await deferred
    raise ZeroDivisionError("lost")


@pytest.mark.parametrize("fired_before", [True, False])
@pytest.mark.parametrize("kind", ["generator", "coroutine"])
def test_a_coroutines_failure_names_the_coroutine(kind: str, fired_before: bool, logged: Logged) -> None:
    deferred = make()
    if fired_before:
        deferred.callback(None)
    started = generator(deferred) if kind == "generator" else defer.ensureDeferred(coroutine(deferred))
    if not fired_before:
        deferred.callback(None)
    del started
    text = only(logged).getMessage()
    assert f"The Deferred of the coroutine {kind} was made at" in text
    assert "and failed at" in text


def test_the_hook_gets_the_failure_as_ever(logged: Logged) -> None:
    told: list[Failure] = []
    before = defer.setUnhandledFailureHook(told.append)
    try:
        fire(make())
    finally:
        defer.setUnhandledFailureHook(before)
    only(logged)
    assert [type(failure.value) for failure in told] == [ZeroDivisionError]


def test_a_report_names_the_thread_that_fired_though_that_has_ended(logged: Logged) -> None:
    made = [make()]
    in_a_thread(lambda: fire(made[0]))
    made.clear()
    assert "and fired, in thread some-worker, at\n" in only(logged).getMessage()


def test_a_place_in_an_executors_thread_is_without_the_frames_of_concurrent_futures(logged: Logged) -> None:
    with ThreadPoolExecutor() as executor:
        executor.submit(lambda: fire(make())).result()
    record = only(logged)
    assert [frame.name.rpartition(".")[2] for frame in record.madeAt] == ["<lambda>", "make"]  # type: ignore[attr-defined]


def test_what_was_made_before_is_reported_without(not_debugging: None, logged: Logged) -> None:
    deferred = make()
    defer.setDebugging(True)
    fire(deferred)
    del deferred
    assert only(logged).getMessage() == "Unhandled error in Deferred: ZeroDivisionError: lost"


def test_a_failure_and_its_deferred_leave_no_garbage(logged: Logged) -> None:
    gc.collect()
    for _ in range(10):
        fire(make())
        generator(defer.succeed(None)).addErrback(lambda failure: None)
        waited_for = make()
        waited_for.addErrback(lambda failure: failure.getTraceback() and None)
        waiting = generator(generator(waited_for))
        waited_for.callback(None)
        waiting.addErrback(lambda failure: None)
    del waited_for, waiting
    assert gc.collect() == 0
    logged.take(ZeroDivisionError)


def test_fired_twice_says_where_it_was_fired_first() -> None:
    deferred = make()
    deferred.callback(None)
    with pytest.raises(defer.AlreadyCalledError) as caught:
        deferred.callback(None)
    text = str(caught.value)
    assert "was fired before\nIt was made at" in text
    assert "    return defer.Deferred()\nand fired at" in text
    assert text.endswith("deferred.callback(None)")


# Threads


def test_firing_in_a_thread_beside_the_global_reactor_is_reported_with_both_places(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(netcore), "reactor", object())  # getattr() would make one
    results: list[Any] = []
    for _ in range(3):
        deferred = make()
        deferred.addCallback(results.append)
        in_a_thread(lambda deferred=deferred: deferred.callback("result"))  # type: ignore[misc]
    assert results == ["result"] * 3  # it works
    (text,) = reports.texts  # once for a place
    made, fired = text.split("and fired at")
    assert "made in thread MainThread was fired in thread some-worker" in made
    assert "in make\n    return defer.Deferred()" in made
    assert 'deferred.callback("result")' in fired
    assert "callFromThread" in text
    (record,) = reports.records
    assert record.madeAt[-1].name == "make"  # type: ignore[attr-defined]
    assert record.firedAt[-1].name.endswith("<lambda>")  # type: ignore[attr-defined]


def test_reports_of_threads_that_no_function_of_the_program_runs_are_not_taken_for_the_same(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(netcore), "reactor", object())  # getattr() would make one
    for _ in range(3):
        in_a_thread(make().callback, 1)
    assert len(reports.records) == 3


def test_a_method_taken_while_debugging_was_on_reports_nothing_when_it_is_off(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(netcore), "reactor", object())  # getattr() would make one
    taken = [make().callback, make().addErrback(lambda _: None).errback]
    defer.setDebugging(False)
    in_a_thread(taken[0], None)
    in_a_thread(taken[1], OSError())
    assert reports.records == []
    assert len(_debugging.origins) == 0


def test_a_threads_own_deferreds_are_its_own(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(netcore), "reactor", object())  # getattr() would make one
    in_a_thread(lambda: make().callback(None))
    assert reports.records == []


def test_a_program_without_a_loop_may_fire_in_threads(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(netcore), "reactor", raising=False)
    deferred = make()
    in_a_thread(lambda: deferred.callback(None))
    assert reports.records == []


def test_what_was_made_where_another_loop_runs_now_is_reported_unless_that_loop_fires_it(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(vars(netcore), "reactor", raising=False)
    loop = asyncio.new_event_loop()

    async def make_one() -> defer.Deferred[Any]:
        return make()

    async def fire_one(deferred: defer.Deferred[Any]) -> None:
        deferred.callback(None)

    async def fire_one_elsewhere(deferred: defer.Deferred[Any]) -> None:
        await asyncio.to_thread(in_a_thread, asyncio.run, fire_one(deferred))

    def made_here() -> defer.Deferred[Any]:
        return loop.run_until_complete(make_one())

    in_a_thread(loop.run_until_complete, fire_one(made_here()))  # the loop has moved on to that thread
    assert reports.records == []
    loop.run_until_complete(fire_one_elsewhere(made_here()))
    assert len(reports.records) == 1
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_beside_a_reactor_that_does_not_run_a_loop_of_its_own_may_fire(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(netcore), "reactor", object())  # getattr() would make one

    async def fire_one(deferred: defer.Deferred[Any]) -> None:
        deferred.callback(None)

    in_a_thread(asyncio.run, fire_one(make()))
    assert reports.records == []


def test_what_a_thread_without_a_loop_made_may_be_fired_by_others(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(netcore), "reactor", object())  # getattr() would make one
    made: list[defer.Deferred[Any]] = []
    in_a_thread(lambda: made.append(make()))
    made[0].callback(None)
    assert reports.records == []


# Tracebacks


@defer.inlineCallbacks
def innermost(deferred: defer.Deferred[Any]) -> Any:
    yield deferred
    raise ZeroDivisionError("lost")


@defer.inlineCallbacks
def middle(inner: defer.Deferred[Any]) -> Any:
    yield inner


async def outermost(inner: defer.Deferred[Any]) -> None:
    await within(inner)


async def within(inner: defer.Deferred[Any]) -> None:
    await middle(inner)


def names_in(failure: Failure) -> list[str]:
    lines = failure.getTraceback().splitlines()
    return [line.rpartition(" in ")[2] for line in lines if line.startswith("  File ")]


def test_a_traceback_is_one_stack_outermost_first() -> None:
    deferred = make()
    seen: list[list[str]] = []
    started = defer.ensureDeferred(outermost(innermost(deferred)))
    started.addErrback(lambda failure: seen.append(names_in(failure)))
    deferred.callback(None)
    assert seen == [["outermost", "within", "middle", "innermost"]]


def test_a_failure_seen_by_an_inner_errback_has_the_functions_that_wait() -> None:
    deferred = make()
    seen: list[list[str]] = []
    inner = innermost(deferred)
    inner.addErrback(lambda failure: seen.append(names_in(failure)) or failure)
    started = defer.ensureDeferred(outermost(inner))
    started.addErrback(lambda failure: None)
    deferred.callback(None)
    assert seen == [["outermost", "within", "middle", "innermost"]]


def test_a_failure_logged_within_has_the_functions_that_wait(logged: Logged) -> None:
    deferred = make()
    inner = innermost(deferred)
    inner.addErrback(defer.logError)
    started = defer.ensureDeferred(outermost(inner))
    started.addErrback(lambda failure: None)
    deferred.callback(None)
    record = only(logged)
    assert record.exc_info is not None
    names = [frame.name for frame in traceback.extract_tb(record.exc_info[2])]
    assert names == ["outermost", "within", "middle", "innermost"]


async def gathers(inner: defer.Deferred[Any]) -> None:
    await defer.gatherResults([make(), inner], consumeErrors=True)


async def races(inner: defer.Deferred[Any]) -> None:
    await defer.race([make(), inner])


async def chains(inner: defer.Deferred[Any]) -> None:
    chained = make()
    chained.addCallback(lambda _: inner)
    chained.callback(None)
    await chained


async def awaits(inner: defer.Deferred[Any]) -> None:
    await inner


def in_a_coroutine(function: Any, inner: defer.Deferred[Any]) -> Any:
    return defer.ensureDeferred(function(inner))


def in_a_task(function: Any, inner: defer.Deferred[Any]) -> Any:
    return asyncio.get_running_loop().create_task(function(inner))


@pytest.mark.parametrize("start", [in_a_coroutine, in_a_task])
@pytest.mark.parametrize("function", [gathers, races, chains, awaits])
def test_a_failure_seen_within_has_those_that_wait_through_something_else(start: Any, function: Any) -> None:
    seen: list[list[str]] = []

    async def main() -> None:
        deferred = make()
        inner = innermost(deferred)
        inner.addErrback(lambda failure: seen.append(names_in(failure)) or failure)
        waiting = start(function, inner)
        await asyncio.sleep(0)
        deferred.callback(None)
        if function is races:
            waiting.cancel()  # it waits for more
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert seen == [[function.__name__, "innermost"]]


async def raises_again(waited_for: defer.Deferred[Any], error: BaseException) -> None:
    await waited_for
    raise error


async def waits_twice(first: defer.Deferred[Any], seen: list[list[str]]) -> None:
    try:
        await first
    except ZeroDivisionError as error:
        waited_for = make()
        again = defer.ensureDeferred(raises_again(waited_for, error))
        again.addErrback(lambda failure: seen.append(names_in(failure)) or failure)
        asyncio.get_running_loop().call_soon(waited_for.callback, None)
        await again


def test_a_function_that_waits_and_is_in_the_traceback_already_is_shown_once() -> None:
    seen: list[list[str]] = []

    async def main() -> None:
        with contextlib.suppress(ZeroDivisionError):
            await defer.ensureDeferred(waits_twice(innermost(defer.succeed(None)), seen))

    asyncio.run(main())
    assert [names.count("waits_twice") for names in seen] == [1]


def test_two_that_wait_for_each_other_are_shown_once() -> None:
    first, second = make(), make()
    first.addCallback(lambda _: second)
    second.addCallback(lambda _: first)
    first.callback(None)
    second.callback(None)
    from netcore.defer._waiting import frames_waiting_for

    assert frames_waiting_for(first) == []
    with contextlib.suppress(RuntimeError):
        first.cancel()


def test_details_can_still_be_asked_for() -> None:
    deferred = make()
    seen: list[str] = []
    inner = innermost(deferred)
    inner.addErrback(lambda failure: seen.append(failure.getTraceback(detail="verbose")))
    waiting = middle(inner)
    deferred.callback(None)
    assert "deferred = <Deferred" in seen[0]
    assert waiting.called
