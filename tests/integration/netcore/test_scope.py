"""Scopes that are entered: in asyncio Tasks, in netcore's coroutines, with threads, on real connections."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

import netcore
from netcore import defer
from netcore.application.service import Service
from netcore.defer import Deferred, ensureDeferred
from netcore.error import ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.reactors import Reactor
from tests.integration.netcore.worlds import Run, in_asyncio, in_netcore_in_asyncio, in_reactor, turns
from tests.support.guard import Logged

everywhere = pytest.mark.parametrize("run", [in_asyncio, in_reactor, in_netcore_in_asyncio])
SOON = 0.001
WAIT = 20.0


async def value(result: Any) -> Any:
    await asyncio.sleep(SOON)
    return result


async def error(raised: BaseException) -> Any:
    await asyncio.sleep(SOON)
    raise raised


class Forever:
    """Waits in vain, and notes how that ends."""

    def __init__(self) -> None:
        self.ended: list[tuple[Any, ...]] = []

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as raised:
            self.ended.append((type(raised), *raised.args))
            raise


class Stubborn:
    """Takes no notice of being cancelled, and ends when it is released."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.error = error

    async def run(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.release.wait()
        if self.error is not None:
            raise self.error
        return "in its own time"


def kinds(group: BaseExceptionGroup[Any]) -> list[type[BaseException]]:
    return [type(each) for each in group.exceptions]


CANCELLED_BY_ERROR = (asyncio.CancelledError, "another part of its scope failed")

# ----------------------------------------------------------------------------------------------------------- in general


@everywhere
def test_at_the_exit_all_have_ended_and_their_results_are_there(run: Run) -> None:
    async def main() -> None:
        fired: Deferred[str] = Deferred()
        async with netcore.scope() as s:
            of_coroutine = s.start(value("coroutine"))
            of_deferred = s.start(fired)
            of_task = s.start(asyncio.create_task(value("task")))
            of_thread = s.deferToThread(lambda first, second: first + second, "thr", second="ead")
            asyncio.get_running_loop().call_later(SOON, fired.callback, "deferred")
        assert not s.cancelled
        results = [await each for each in (of_coroutine, of_deferred, of_task, of_thread)]
        assert results == ["coroutine", "deferred", "task", "thread"]

    run(main)


@everywhere
def test_an_empty_scope_and_one_whose_children_end_in_the_body(run: Run) -> None:
    async def main() -> None:
        async with netcore.scope():
            pass
        async with netcore.scope() as s:
            assert await s.start(value(1)) == 1
            assert await s.start(value(2)) == 2

    run(main)


@everywhere
def test_children_start_children_even_when_the_body_has_ended(run: Run) -> None:
    async def main() -> None:
        ended: list[int] = []

        async def child(left: int) -> None:
            await asyncio.sleep(0)
            if left:
                s.start(child(left - 1))
            ended.append(left)

        async with netcore.scope() as s:
            s.start(child(5))
        assert ended == [5, 4, 3, 2, 1, 0]

    run(main)


@everywhere
def test_callbacks_of_a_childs_deferred_start_children(run: Run) -> None:
    async def main() -> None:
        ended: list[str] = []
        async with netcore.scope() as s:
            s.start(value("first")).addCallback(lambda _: s.start(value("second"))).addCallback(ended.append)
        assert ended == ["second"]

    run(main)


@everywhere
def test_starting_after_the_end_is_refused(run: Run) -> None:
    async def main() -> None:
        async with netcore.scope() as s:
            pass
        with pytest.raises(RuntimeError, match="has ended"):
            s.start(value(1))
        with pytest.raises(RuntimeError, match="has ended"):
            s.deferToThread(print)
        s.cancel()
        assert not s.cancelled

    run(main)


@everywhere
def test_a_scope_is_entered_once(run: Run) -> None:
    async def main() -> None:
        async with netcore.scope() as s:
            with pytest.raises(RuntimeError, match="entered once"):
                async with s:
                    raise AssertionError("not reached")

    run(main)


def test_entering_outside_of_coroutines_is_refused() -> None:
    async def main() -> None:
        failed: list[BaseException] = []

        def step() -> None:
            entering = netcore.scope().__aenter__()
            try:
                entering.send(None)
            except RuntimeError as refused:
                failed.append(refused)

        asyncio.get_running_loop().call_soon(step)
        await turns()
        assert "asyncio Task or in a coroutine that netcore drives" in str(failed[0])

    in_asyncio(main)


@everywhere
def test_another_thread_is_refused(run: Run) -> None:
    async def main() -> None:
        async with netcore.scope() as s:

            def elsewhere() -> None:
                for call in (lambda: s.start(value(1)), lambda: s.deferToThread(print), s.cancel):
                    with pytest.raises(RuntimeError, match="callFromThread"):
                        call()

            await s.deferToThread(elsewhere)

    run(main)


@everywhere
def test_a_deferred_that_another_thread_fires_is_a_child(run: Run) -> None:
    async def main() -> None:
        here = threading.get_ident()
        fired: Deferred[str] = Deferred()
        heard: list[Any] = []
        async with netcore.scope() as s:
            s.start(fired).addCallback(lambda result: heard.append((result, threading.get_ident() == here)))
            s.deferToThread(fired.callback, "from a thread")
        assert heard == [("from a thread", True)]

    run(main)


# --------------------------------------------------------------------------------------------------------------- errors


@everywhere
def test_when_a_child_fails_the_others_and_the_body_are_cancelled(run: Run) -> None:
    async def main() -> None:
        other, body = Forever(), Forever()
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(error(ValueError("first")))
                s.start(other.run())
                await body.run()
        assert [repr(each) for each in caught.value.exceptions] == ["ValueError('first')"]
        assert other.ended == body.ended == [CANCELLED_BY_ERROR]
        assert s.cancelled
        await turns()  # and it goes on, not cancelled any more

    run(main)


@everywhere
@pytest.mark.parametrize("waits", ["a Deferred", "a future", "a child"])
def test_the_body_is_cancelled_whatever_it_waits_for(run: Run, waits: str) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(error(ValueError()))
                if waits == "a Deferred":
                    await Deferred[None]()
                elif waits == "a future":
                    await asyncio.get_running_loop().create_future()
                else:
                    await s.start(Deferred())
        assert kinds(caught.value) == [ValueError]
        await turns()

    run(main)


@everywhere
def test_a_child_that_fails_at_once_does_not_leave_a_cancellation_behind(run: Run) -> None:
    async def fails() -> None:
        raise ValueError

    async def main() -> None:
        for body_waits in (False, True):
            with pytest.raises(ExceptionGroup):
                async with netcore.scope() as s:
                    s.start(fails())
                    if body_waits:
                        await asyncio.sleep(WAIT)
            await turns()
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    run(main)


@everywhere
def test_all_errors_are_raised_in_the_order_they_happened(run: Run) -> None:
    async def main() -> None:
        stubborn = Stubborn(KeyError("child"))
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(stubborn.run())
                s.start(error(ValueError("first")))
                try:
                    await asyncio.sleep(WAIT)
                finally:
                    asyncio.get_running_loop().call_soon(stubborn.release.set)
                    raise LookupError("body")
        assert kinds(caught.value) == [ValueError, LookupError, KeyError]

    run(main)


@everywhere
def test_an_error_of_the_body_cancels_the_children(run: Run) -> None:
    async def main() -> None:
        child = Forever()
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(child.run())
                await asyncio.sleep(0)
                raise ValueError("body")
        assert kinds(caught.value) == [ValueError]
        assert child.ended == [CANCELLED_BY_ERROR]

    run(main)


@everywhere
def test_the_error_of_a_child_that_the_body_waits_for_is_raised_once(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                await s.start(error(ValueError()))
        assert kinds(caught.value) == [ValueError]

    run(main)


@everywhere
def test_a_child_that_comes_too_late_is_no_error_of_the_body(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(defer.fail(ValueError()))
                s.start(value(1))  # is closed, not begun
        assert kinds(caught.value) == [ValueError]

    run(main)


@everywhere
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_raised_as_it_is(run: Run, kind: type[BaseException], logged: Logged) -> None:
    async def main() -> None:
        child = Forever()
        with pytest.raises(kind) as caught:
            async with netcore.scope() as s:
                s.start(child.run())
                s.start(defer.fail(kind("the end")))
                try:
                    await asyncio.sleep(WAIT)
                finally:
                    raise ValueError
        assert caught.value.args == ("the end",)
        assert child.ended == [CANCELLED_BY_ERROR]
        with pytest.raises(kind):  # of the body
            async with netcore.scope():
                raise kind

    run(main)
    (record,) = logged.take(ExceptionGroup)
    assert kinds(record.failure.value) == [ValueError]


@everywhere
def test_another_baseexception_makes_a_baseexceptiongroup(run: Run) -> None:
    class Odd(BaseException):
        pass

    async def main() -> None:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(defer.fail(Odd()))
        assert not isinstance(caught.value, ExceptionGroup)
        assert kinds(caught.value) == [Odd]

    run(main)


@everywhere
def test_nested_scopes_raise_nested_groups(run: Run) -> None:
    async def main() -> None:
        child = Forever()
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as outer:
                outer.start(child.run())
                async with netcore.scope() as inner:
                    inner.start(error(ValueError()))
        (group,) = caught.value.exceptions
        assert isinstance(group, ExceptionGroup)
        assert kinds(group) == [ValueError]
        assert child.ended == [CANCELLED_BY_ERROR]

    run(main)


@everywhere
def test_an_outer_scope_that_fails_cancels_the_inner_one(run: Run) -> None:
    async def main() -> None:
        child = Forever()
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as outer:
                outer.start(error(ValueError()))
                async with netcore.scope() as inner:
                    inner.start(child.run())
        assert kinds(caught.value) == [ValueError]
        assert child.ended == [CANCELLED_BY_ERROR]
        await turns()

    run(main)


@everywhere
def test_a_failure_that_was_handled_is_still_the_scopes(run: Run) -> None:
    async def main() -> None:
        seen: list[Failure] = []
        with pytest.raises(ExceptionGroup):
            async with netcore.scope() as s:
                s.start(error(ValueError())).addErrback(seen.append)
        assert [failure.type for failure in seen] == [ValueError]

    run(main)


@everywhere
def test_the_errors_raised_keep_no_frames_alive(run: Run) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def main() -> None:
        try:
            async with netcore.scope() as s:
                s.start(fails())
                await Deferred[None]()
        except* ValueError:
            pass
        del s

    async def collected() -> list[Any]:
        await main()
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await main()
            gc.collect()
            return [each for each in gc.garbage if isinstance(each, (netcore.Scope, ValueError, BaseExceptionGroup))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    assert run(collected) == []


# ------------------------------------------------------------------------------------------------------ cancel() within


@everywhere
def test_cancel_ends_children_and_body_without_an_error(run: Run) -> None:
    async def main() -> None:
        child, body = Forever(), Forever()
        async with netcore.scope() as s:
            s.start(child.run())
            s.start(value(1)).addCallback(lambda _: s.cancel())
            await body.run()
        assert child.ended == body.ended == [(asyncio.CancelledError, "its scope was cancelled")]
        assert s.cancelled
        await turns()

    run(main)


@everywhere
def test_cancel_by_the_body_itself(run: Run) -> None:
    async def main() -> None:
        child = Forever()
        async with netcore.scope() as s:
            s.start(child.run())
            s.cancel()
            with pytest.raises(RuntimeError, match="its scope was cancelled"):
                s.start(child.run())
        assert len(child.ended) == 1
        async with netcore.scope() as s:
            s.cancel()
            await asyncio.sleep(WAIT)
        await turns()

    run(main)


@everywhere
@pytest.mark.parametrize("first_waits", [False, True])
def test_a_child_that_cancels_its_own_scope_hears_of_it_at_its_next_wait(run: Run, first_waits: bool) -> None:
    async def main() -> None:
        waits = Forever()

        async def cancels() -> None:
            if first_waits:
                await value(1)
            s.cancel()
            await waits.run()

        async with netcore.scope() as s:
            s.start(cancels())
        assert waits.ended == [(asyncio.CancelledError, "its scope was cancelled")]

    run(main)


@everywhere
def test_a_deferred_that_runs_its_callbacks_when_it_is_cancelled_is_cancelled_after_them(run: Run) -> None:
    async def main() -> None:
        child = Forever()
        given: Deferred[None] = Deferred()

        def cancels_and_goes_on(_: None) -> Deferred[None]:
            s.cancel()
            return ensureDeferred(child.run())

        async with netcore.scope() as s:
            s.start(given.addCallback(cancels_and_goes_on))
            given.callback(None)
        assert [each[0] for each in child.ended] == [asyncio.CancelledError]

    run(main)


@everywhere
def test_cancel_before_the_scope_is_entered(run: Run) -> None:
    async def main() -> None:
        s = netcore.scope()
        s.cancel()
        async with s:
            await asyncio.sleep(WAIT)
        assert s.cancelled

    run(main)


@everywhere
def test_errors_after_cancel_are_raised(run: Run) -> None:
    async def main() -> None:
        stubborn = Stubborn(KeyError())
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(stubborn.run())
                await asyncio.sleep(0)
                s.cancel()
                stubborn.release.set()
        assert kinds(caught.value) == [KeyError]

    run(main)


@everywhere
def test_a_child_that_catches_every_exception_is_cancelled_nevertheless(run: Run) -> None:
    async def main() -> None:
        async def polls() -> None:
            while True:
                try:
                    await Deferred[None]()
                except Exception:
                    raise AssertionError("netcore's CancelledError would end up here, and the loop go on") from None

        async with netcore.scope() as s:
            s.start(polls())
            s.cancel()

    run(main)


@everywhere
def test_asyncios_structures_in_children_are_cancelled_with_them(run: Run) -> None:
    async def main() -> None:
        inner = Forever()

        async def groups() -> None:
            async with asyncio.timeout(WAIT), asyncio.TaskGroup() as group:
                group.create_task(inner.run())
                await Deferred[None]()

        async with netcore.scope() as s:
            s.start(groups())
            await turns()
            s.cancel()
        assert [each[0] for each in inner.ended] == [asyncio.CancelledError]

    run(main)


# --------------------------------------------------------------------------------------------------------- from outside


class Cancelled:
    """What runs a scope and can be cancelled from outside: a Task, or the Deferred of a netcore coroutine."""

    def __init__(self, world: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.world = world
        self.message: tuple[str, ...] = ("from outside",) if world != "Deferred" else ()
        self.running: Any = asyncio.create_task(coroutine) if world == "Task" else ensureDeferred(coroutine)
        if world == "Deferred in a Task":
            self.running = asyncio.create_task(self.wait(self.running))

    @staticmethod
    async def wait(deferred: Deferred[Any]) -> Any:
        return await deferred

    def cancel(self) -> None:
        self.running.cancel(*self.message)

    async def end(self) -> Any:
        """How it ended: its result or exception."""
        try:
            return await self.running
        except BaseException as raised:
            return raised


every_outside = pytest.mark.parametrize("world", ["Task", "Deferred", "Deferred in a Task"])


@every_outside
@pytest.mark.parametrize("where", ["in the body", "at the exit"])
def test_cancelling_from_outside_cancels_the_children_and_goes_on(world: str, where: str) -> None:
    async def main() -> None:
        child, after = Forever(), []

        async def scoped() -> None:
            async with netcore.scope() as s:
                s.start(child.run())
                if where == "in the body":
                    await Deferred[None]()
            after.append("not reached")

        outer = Cancelled(world, scoped())
        await turns()
        outer.cancel()
        ended = await outer.end()
        assert isinstance(ended, (asyncio.CancelledError, defer.CancelledError))
        assert ended.args == outer.message
        assert child.ended == [(asyncio.CancelledError, *outer.message)]
        assert after == []

    in_asyncio(main)


@every_outside
def test_cancelled_from_outside_it_waits_for_a_child_that_takes_its_time(world: str) -> None:
    async def main() -> None:
        stubborn = Stubborn()
        ended: list[str] = []

        async def scoped() -> None:
            try:
                async with netcore.scope() as s:
                    s.start(stubborn.run())
            finally:
                ended.append("left")

        outer = Cancelled(world, scoped())
        await turns()
        outer.cancel()
        await stubborn.cancelled.wait()
        await turns()
        if world != "Deferred in a Task":  # there the Task is told at once
            outer.cancel()  # a second time
            await turns()
        assert ended == []
        stubborn.release.set()
        assert isinstance(await outer.end(), (asyncio.CancelledError, defer.CancelledError))
        await turns()
        assert ended == ["left"]

    in_asyncio(main)


@every_outside
def test_errors_win_over_cancelling_from_outside(world: str) -> None:
    async def main() -> None:
        stubborn = Stubborn(KeyError())
        stubborn.release.set()
        groups: list[Any] = []

        async def scoped() -> None:
            try:
                async with netcore.scope() as s:
                    s.start(stubborn.run())
            except ExceptionGroup as group:
                groups.append(kinds(group))
            await turns()  # a Task hears of the cancelling here
            groups.append("went on")

        outer = Cancelled(world, scoped())
        await turns()
        outer.cancel()
        ended = await outer.end()
        await turns()
        assert groups[0] == [KeyError]
        if world == "Task":
            later = sys.version_info >= (3, 13)
            assert isinstance(ended, asyncio.CancelledError) is later
            assert (groups[-1] == "went on") is not later

    in_asyncio(main)


@every_outside
def test_cancelling_from_outside_a_scope_that_is_being_cancelled_goes_on(world: str) -> None:
    async def main() -> None:
        stubborn = Stubborn()

        async def scoped() -> str:
            async with netcore.scope() as s:
                s.start(stubborn.run())
                s.cancel()
            return "went on"

        outer = Cancelled(world, scoped())
        await turns()
        outer.cancel()
        await turns()
        stubborn.release.set()
        ended = await outer.end()
        assert isinstance(ended, (asyncio.CancelledError, defer.CancelledError))
        assert ended.args == outer.message

    in_asyncio(main)


async def wait_for_a_child(s: netcore.Scope) -> None:
    await s.start(Forever().run())


async def wait_for_a_deferred(s: netcore.Scope) -> None:
    await Deferred[None]()


async def wait_in_asyncio(s: netcore.Scope) -> None:
    await asyncio.sleep(WAIT)


every_wait = pytest.mark.parametrize("wait", [wait_for_a_child, wait_for_a_deferred, wait_in_asyncio])


@every_outside
@every_wait
@pytest.mark.parametrize("scope_first", [True, False], ids=["the scope first", "the outside first"])
def test_cancelling_from_outside_in_the_turn_in_which_the_scope_is_cancelled_goes_on(
    wait: Any, scope_first: bool, world: str
) -> None:
    async def main() -> None:
        scopes: list[netcore.Scope] = []

        async def scoped() -> str:
            async with netcore.scope() as s:
                scopes.append(s)
                await wait(s)
            return "went on"

        outer = Cancelled(world, scoped())
        await turns()
        if scope_first:
            scopes[0].cancel()
            outer.cancel()
        else:
            outer.cancel()
            scopes[0].cancel()
        assert isinstance(await outer.end(), (asyncio.CancelledError, defer.CancelledError))

    in_asyncio(main)


@everywhere
@every_wait
def test_cancelling_the_scope_alone_is_no_error_whatever_the_body_waits_for(wait: Any, run: Run) -> None:
    async def main() -> None:
        async with netcore.scope() as s:
            asyncio.get_running_loop().call_soon(s.cancel)
            await wait(s)

    run(main)


@pytest.mark.parametrize("run", [in_reactor, in_netcore_in_asyncio])
def test_a_deferred_that_others_cancel_is_not_the_scopes_doing(run: Run) -> None:
    async def main() -> None:
        cancelled: Deferred[None] = Deferred()
        with pytest.raises(defer.CancelledError):
            async with netcore.scope() as s:
                s.cancel()
                cancelled.cancel()
                await cancelled

    run(main)


@everywhere
def test_a_timeout_around_a_scope_ends_it(run: Run) -> None:
    async def main() -> None:
        child = Forever()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON), netcore.scope() as s:
                s.start(child.run())
        assert [each[0] for each in child.ended] == [asyncio.CancelledError]
        await turns()

    run(main)


@everywhere
def test_a_timeout_in_the_body_ends_what_it_is_around(run: Run) -> None:
    async def main() -> None:
        async with netcore.scope() as s:
            d = s.start(value(1))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await Deferred[None]()
            assert await d == 1
        assert not s.cancelled

    run(main)


@everywhere
def test_a_scope_in_a_taskgroup_in_a_scope(run: Run) -> None:
    async def main() -> None:
        child = Forever()

        async def inner() -> None:
            async with netcore.scope() as s:
                s.start(child.run())

        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s, asyncio.TaskGroup() as group:
                group.create_task(inner())
                s.start(error(ValueError()))
        assert kinds(caught.value) == [ValueError]
        assert [each[0] for each in child.ended] == [asyncio.CancelledError]

    run(main)


def test_a_coroutine_that_is_closed_lets_go_of_its_scope(logged: Logged) -> None:
    async def main() -> None:
        stubborn = Stubborn(KeyError())
        scopes: list[netcore.Scope] = []

        async def scoped() -> None:
            async with netcore.scope() as s:
                scopes.append(s)
                s.start(stubborn.run())
                await asyncio.sleep(WAIT)

        coroutine = scoped()
        coroutine.send(None)
        await turns()
        coroutine.close()
        await stubborn.cancelled.wait()
        with pytest.raises(RuntimeError, match="has ended"):
            scopes[0].start(value(1))
        stubborn.release.set()
        await turns()

    in_asyncio(main)
    assert len(logged.take(ExceptionGroup)) == 1


# -------------------------------------------------------------------------------------------------------------- threads


class Block:
    """A job that ends when it is told to."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.begun = asyncio.Event()
        self.release = threading.Event()
        self.error = error
        self.loop = asyncio.get_running_loop()

    def __call__(self) -> str:
        self.loop.call_soon_threadsafe(self.begun.set)
        self.release.wait(WAIT)
        if self.error is not None:
            raise self.error
        return "result"


@everywhere
def test_the_scope_waits_for_a_thread_that_it_cannot_stop(run: Run) -> None:
    async def main() -> None:
        job = Block()
        notes: list[str] = []
        async with netcore.scope() as s:
            d = s.deferToThread(job)
            await job.begun.wait()
            d.addErrback(lambda failure: notes.append(failure.type.__name__))
            s.cancel()
            assert notes == ["CancelledError"]  # whoever waits for it need not wait any more
            asyncio.get_running_loop().call_later(SOON, job.release.set)
        assert job.release.is_set()

    run(main)


@everywhere
def test_a_thread_that_ends_in_time_is_not_waited_for_any_longer(run: Run) -> None:
    async def main() -> None:
        begun, over = threading.Event(), threading.Event()

        def job() -> None:
            begun.set()
            over.wait(WAIT)

        async with netcore.scope() as s:
            s.deferToThread(job)
            await asyncio.to_thread(begun.wait, WAIT)
            s.cancel()
            (waiting,) = [call for call in Reactor.current().getDelayedCalls() if "_give_up" in repr(call)]
            over.set()
        assert not waiting.active()

    run(main)


@everywhere
def test_an_error_in_a_thread_is_the_scopes_even_if_it_was_cancelled(run: Run) -> None:
    async def main() -> None:
        job = Block(KeyError())
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.deferToThread(job)
                await job.begun.wait()
                s.cancel()
                job.release.set()
        assert kinds(caught.value) == [KeyError]

    run(main)


@everywhere
def test_an_error_in_a_thread_cancels_the_others(run: Run) -> None:
    async def main() -> None:
        child, job = Forever(), Block(KeyError())
        job.release.set()
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.start(child.run())
                s.deferToThread(job)
        assert kinds(caught.value) == [KeyError]
        assert child.ended == [CANCELLED_BY_ERROR]

    run(main)


@everywhere
def test_a_job_that_has_not_begun_is_never_made(run: Run) -> None:
    async def main() -> None:
        pool = Reactor.current().getThreadPool()
        pool.adjustPoolsize(0, 1)
        job = Block()
        made: list[int] = []
        async with netcore.scope() as s:
            s.deferToThread(job)
            await job.begun.wait()
            async with netcore.scope() as inner:
                d = inner.deferToThread(made.append, 1)
                e = inner.deferToThread(made.append, 2)
                e.cancel()
                inner.cancel()
            job.release.set()
        await s_ended(pool)
        assert made == []
        assert [type(each.result.value) for each in (d, e)] == [defer.CancelledError] * 2

    async def s_ended(pool: Any) -> None:
        done: Deferred[bool] = Deferred()
        reactor = Reactor.current()
        pool.callInThread(lambda: reactor.callFromThread(done.callback, True))  # behind those that were taken back
        await done

    run(main)


@everywhere
@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_that_hangs_is_left_behind_with_a_warning(
    run: Run, fails: bool, logged: Logged, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        job = Block(KeyError() if fails else None)
        async with netcore.scope() as s:
            s.threadLimit = SOON
            s.deferToThread(job)
            await job.begun.wait()
            s.cancel()
        assert not job.release.is_set()
        job.release.set()
        ended: Deferred[None] = Deferred()
        reactor = Reactor.current()
        reactor.getThreadPool().adjustPoolsize(0, 1)
        reactor.callInThread(lambda: reactor.callFromThread(ended.callback, None))
        await ended
        await turns()

    with caplog.at_level(logging.WARNING, "netcore.scope"):
        run(main)
    assert [record.levelname for record in caplog.records][:1] == ["WARNING"]
    assert "its scope goes on without it" in caplog.messages[0]
    assert len(logged.take(KeyError)) == fails


@everywhere
def test_cancelling_a_jobs_deferred_leaves_the_others_alone(run: Run) -> None:
    async def main() -> None:
        job = Block()
        async with netcore.scope() as s:
            d, other = s.deferToThread(job), s.start(value(1))
            await job.begun.wait()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await d
            job.release.set()
            assert await other == 1
        assert not s.cancelled

    run(main)


@everywhere
def test_a_job_that_returns_a_coroutine_is_refused(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with netcore.scope() as s:
                s.deferToThread(value, 1)
        assert "function value" in str(caught.value.exceptions[0])

    run(main)


# --------------------------------------------------------------------------------------------------------------- owners


class Server(Protocol):
    def __init__(self) -> None:
        self.lost: Deferred[BaseException] = Deferred()
        self.made: Deferred[None] = Deferred()
        self.notes: list[Any] = []

    def connectionMade(self) -> None:
        self.scope = netcore.scope(self)
        self.made.callback(None)

    def connectionLost(self, reason: Failure = Failure(ConnectionLost())) -> None:  # noqa: B008  # it is a constant
        self.notes.append("lost")
        self.lost.callback(reason.value)


class Connected:
    """Two protocols on a connection over loopback."""

    async def __aenter__(self) -> tuple[Server, Server]:
        reactor = Reactor.current()
        self.server, self.client = Server(), Server()
        self.port = reactor.listenTCP(0, Factory.forProtocol(lambda: self.server), interface="127.0.0.1")
        factory = ClientFactory[Any].forProtocol(lambda: self.client)
        self.connector = reactor.connectTCP("127.0.0.1", self.port.getHost().port, factory)
        await self.server.made
        await self.client.made
        return self.server, self.client

    async def __aexit__(self, *_: object) -> None:
        self.client.transport.abortConnection()
        for each in (self.server, self.client):
            if not each.lost.called:
                await each.lost
        stopping = self.port.stopListening()
        if stopping is not None:
            await stopping


@everywhere
def test_losing_a_connection_cancels_children_and_body(run: Run) -> None:
    async def main() -> None:
        async with Connected() as (server, client):
            child, tied, body = Forever(), Forever(), Forever()
            server.scope.start(tied.run())
            client.transport.loseConnection()
            async with netcore.scope(server.transport) as s:
                s.start(child.run())
                await body.run()
            assert s.cancelled
            assert child.ended == tied.ended == body.ended == [(asyncio.CancelledError, "its connection was lost")]
            async with netcore.scope(server) as late:
                with pytest.raises(RuntimeError, match="its connection was lost"):
                    late.start(child.run())
                await asyncio.sleep(WAIT)
            assert late.cancelled
            assert not server.transport._tied  # type: ignore[attr-defined]

    run(main)


@everywhere
def test_children_of_a_connection_are_cancelled_before_connectionlost(run: Run) -> None:
    async def main() -> None:
        async with Connected() as (server, client):
            told: Deferred[None] = Deferred(lambda _: server.notes.append("cancelled"))
            server.scope.start(told)
            client.transport.loseConnection()
            assert isinstance(await server.lost, ConnectionDone)
            assert server.notes == ["cancelled", "lost"]

    run(main)


@everywhere
@pytest.mark.parametrize("at_once", [False, True])
def test_a_connection_is_lost_with_what_failed_in_its_scope(run: Run, logged: Logged, at_once: bool) -> None:
    async def main() -> None:
        async with Connected() as (server, _):
            other = Forever()
            server.scope.start(other.run())
            server.scope.start(defer.fail(ValueError()) if at_once else error(ValueError()))
            assert server.notes == []
            reason = await server.lost
            assert isinstance(reason, ExceptionGroup)
            assert kinds(reason) == [ValueError]
            await turns()
            assert other.ended == [CANCELLED_BY_ERROR]

    run(main)
    assert len(logged.take(ExceptionGroup)) == 1


@everywhere
def test_an_error_of_an_entered_scope_is_raised_and_the_connection_stays(run: Run) -> None:
    async def main() -> None:
        async with Connected() as (server, _):
            with pytest.raises(ExceptionGroup):
                async with netcore.scope(server) as s:
                    s.start(error(ValueError()))
            await turns()
            assert server.notes == []

    run(main)


@everywhere
def test_stopping_a_service_waits_for_children_and_bodies(run: Run) -> None:
    async def main() -> None:
        service = Service()
        service.startService()
        stubborn, child, body = Stubborn(), Forever(), Forever()
        notes: list[str] = []

        async def scoped() -> None:
            async with netcore.scope(service) as s:
                s.start(child.run())
                await body.run()
            notes.append("left")

        d = ensureDeferred(scoped())
        netcore.scope(service).start(stubborn.run())
        await turns()
        stopping = service.stopService()
        assert stopping is not None
        stopping.addCallback(lambda _: notes.append("stopped"))
        await d
        assert child.ended == body.ended == [(asyncio.CancelledError, "its service was stopped")]
        assert notes == ["left"]
        stubborn.release.set()
        await stopping
        assert notes == ["left", "stopped"]

    run(main)


@everywhere
def test_a_body_may_stop_its_own_service(run: Run) -> None:
    async def main() -> None:
        service = Service()
        service.startService()
        async with netcore.scope(service) as s:
            stopping = service.stopService()
            assert stopping is not None
            stopping.addErrback(lambda failure: failure.trap(defer.CancelledError))
            await stopping
        assert s.cancelled
        assert not service._tied

    run(main)


@everywhere
def test_a_child_that_stops_its_own_service_does_not_wait_for_itself(run: Run) -> None:
    async def main() -> None:
        service = Service()
        service.startService()

        async def stops() -> None:
            stopping = service.stopService()
            if stopping is not None:
                await stopping

        async with netcore.scope(service) as s:
            s.start(stops())
        assert s.cancelled

    run(main)
