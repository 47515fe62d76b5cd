"""`asyncio.timeout` and `TaskGroup` in netcore's coroutines: they end what they are around, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from netcore import defer
from netcore.defer import Deferred, ensureDeferred, inlineCallbacks
from netcore.failure import Failure
from tests.integration.netcore.worlds import Run, everywhere, in_asyncio, turns

SOON = 0.001


def a_future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def a_coroutine() -> Deferred[Any]:
    """The Deferred of one that waits."""

    async def waits() -> None:
        await Deferred[None]()

    return ensureDeferred(waits())


# What never comes, of each world.
every_never = pytest.mark.parametrize("never", [Deferred, a_future, a_coroutine])
Never = Callable[[], Any]


def was_cancelled(waited: Any) -> bool:
    return waited.called if isinstance(waited, Deferred) else waited.cancelled()


# ------------------------------------------------------------------------------------------------------------ time-outs


@everywhere
@every_never
def test_a_timeout_that_expires_cancels_what_is_waited_for(run: Run, never: Never) -> None:
    async def main() -> None:
        waited = never()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON) as timeout:
                await waited
        assert timeout.expired()
        assert was_cancelled(waited)
        await turns()  # the coroutine goes on as if nothing had been

    run(main)


@everywhere
def test_a_timeout_that_does_not_expire_changes_nothing(run: Run) -> None:
    async def main() -> None:
        async with asyncio.timeout(60) as timeout:
            assert await defer.succeed("there") == "there"
            await turns()
        assert not timeout.expired()
        timeout_handler: Any = timeout._timeout_handler  # type: ignore[attr-defined]
        assert timeout_handler is None or timeout_handler.cancelled(), "nothing comes of it later"

    run(main)


@everywhere
@every_never
@pytest.mark.parametrize("which", ["inner", "outer"])
def test_of_nested_timeouts_the_one_that_expires_raises(run: Run, never: Never, which: str) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON if which == "outer" else 10) as outer:
                try:
                    async with asyncio.timeout(SOON if which == "inner" else 10) as inner:
                        await never()
                except TimeoutError:
                    assert which == "inner"
                    await turns()  # not cancelled any more
                    raise
        assert (inner.expired(), outer.expired()) == (which == "inner", which == "outer")

    run(main)


@everywhere
@every_never
def test_a_timeout_can_be_put_off_and_brought_forward(run: Run, never: Never) -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(0) as timeout:
            timeout.reschedule(None)
            await asyncio.sleep(SOON)
        assert not timeout.expired()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as timeout:
                timeout.reschedule(now() + SOON)
                await never()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(now() + 10) as timeout:
                asyncio.get_running_loop().call_soon(timeout.reschedule, now())
                await never()

    run(main)


@everywhere
@every_never
def test_cancelling_from_outside_is_no_timeout(run: Run, never: Never) -> None:
    async def main() -> None:
        expired: list[bool] = []

        async def waits(waited: Any) -> None:
            try:
                async with asyncio.timeout(10) as timeout:
                    await waited
            finally:
                expired.append(timeout.expired())

        waited = never()
        d = ensureDeferred(waits(waited))
        failures: list[Failure] = []
        ended = asyncio.Event()
        d.addErrback(failures.append).addBoth(lambda _: ended.set())
        await turns()
        d.cancel()
        await ended.wait()
        assert [failure.type for failure in failures] == [defer.CancelledError]
        assert expired == [False]
        assert was_cancelled(waited)

    run(main)


@everywhere
@every_never
def test_a_timeout_in_one_coroutine_does_not_cancel_another(run: Run, never: Never) -> None:
    async def main() -> None:
        gate: Deferred[str] = Deferred()
        others: list[Any] = []

        async def hurried() -> None:
            async with asyncio.timeout(SOON):
                await never()

        async def patient() -> str:
            others.append(asyncio.current_task())
            async with asyncio.timeout(10):
                return await gate

        waiting = ensureDeferred(patient())
        task = asyncio.create_task(patient())
        await turns()
        with pytest.raises(TimeoutError):
            await ensureDeferred(hurried())
        assert [other.cancelling() for other in others] == [0, 0]
        assert not waiting.called
        gate.addCallback(lambda result: result)
        gate.callback("result")
        assert sorted([str(await waiting), str(await task)]) == ["None", "result"]  # one takes it away, as always

    run(main)


def test_a_timeout_in_a_coroutine_does_not_cancel_the_task_that_began_it() -> None:
    async def main() -> None:
        outer = asyncio.current_task()
        assert outer is not None

        async def hurried() -> None:
            async with asyncio.timeout(SOON):
                await Deferred[None]()

        begun = ensureDeferred(hurried())  # the time-out is entered while the Task runs
        assert asyncio.current_task() is outer
        await asyncio.sleep(0.005)
        assert outer.cancelling() == 0
        with pytest.raises(TimeoutError):
            await begun

    in_asyncio(main)


@everywhere
def test_a_timeout_of_the_task_around_and_one_of_the_coroutine_keep_apart(run: Run) -> None:
    async def main() -> None:
        async def inner() -> str:
            try:
                async with asyncio.timeout(SOON):
                    await Deferred[None]()
            except TimeoutError:
                return "the coroutine's"
            raise AssertionError("it did not expire")

        async def task() -> str:
            async with asyncio.timeout(10):
                return await ensureDeferred(inner())

        assert await asyncio.create_task(task()) == "the coroutine's"

        async def slow() -> None:
            async with asyncio.timeout(10) as timeout:
                try:
                    await Deferred[None]()
                finally:
                    expired.append(timeout.expired())

        expired: list[bool] = []

        async def hurried() -> None:
            async with asyncio.timeout(SOON):
                await ensureDeferred(slow())

        with pytest.raises(TimeoutError):
            await asyncio.create_task(hurried())
        assert expired == [False]

    run(main)


@everywhere
def test_a_generator_yields_a_coroutine_that_has_a_timeout(run: Run) -> None:
    async def main() -> None:
        async def hurried() -> None:
            async with asyncio.timeout(SOON):
                await Deferred[None]()

        @inlineCallbacks
        def generator() -> Any:
            try:
                yield hurried()
            except TimeoutError:
                return "expired"

        assert await generator() == "expired"

    run(main)


@everywhere
@every_never
def test_wait_for_that_expires_cancels_what_it_waits_for(run: Run, never: Never) -> None:
    async def main() -> None:
        waited = never()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waited, SOON)
        assert was_cancelled(waited)
        await turns()

    run(main)


# ------------------------------------------------------------------------------------------------------------ TaskGroup


async def waits(waited: Any) -> Any:
    return await waited


@everywhere
def test_a_group_waits_for_its_children(run: Run) -> None:
    async def main() -> None:
        first, second = Deferred[str](), Deferred[str]()
        async with asyncio.TaskGroup() as group:
            children = [group.create_task(waits(d)) for d in (first, second)]
            await turns()
            second.callback("b")
            asyncio.get_running_loop().call_soon(first.callback, "a")  # after the body has ended
        assert [child.result() for child in children] == ["a", "b"]

    run(main)


@everywhere
@every_never
@pytest.mark.parametrize("where", ["the body waits", "the body has ended"])
def test_a_child_that_fails_cancels_the_others_and_the_body(run: Run, never: Never, where: str) -> None:
    async def has_children() -> int:
        others, own = never(), never()

        async def fails() -> None:
            await turns()
            raise KeyError("child")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits(others))
                group.create_task(fails())
                if where == "the body waits":
                    await own
                    pytest.fail("the body was not cancelled")
        assert [repr(error) for error in caught.value.exceptions] == ["KeyError('child')"]
        assert was_cancelled(others)
        assert was_cancelled(own) == (where == "the body waits")
        await turns()  # the coroutine goes on as if nothing had been
        task: Any = asyncio.current_task()
        return task.cancelling()  # type: ignore[no-any-return]

    async def main() -> None:
        in_a_task = await asyncio.create_task(has_children())
        assert await has_children() == in_a_task  # not 0 in each version of Python

    run(main)


@everywhere
@every_never
def test_a_body_that_fails_cancels_the_children(run: Run, never: Never) -> None:
    async def main() -> None:
        waited = never()
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits(waited))
                await turns()
                raise KeyError("body")
        assert [repr(error) for error in caught.value.exceptions] == ["KeyError('body')"]
        assert was_cancelled(waited)

    run(main)


@everywhere
@every_never
@pytest.mark.parametrize("where", ["the body waits", "the body has ended"])
def test_cancelling_the_coroutine_cancels_the_children(run: Run, never: Never, where: str) -> None:
    async def main() -> None:
        waited = never()
        own = a_future()

        async def has_children() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits(waited))
                if where == "the body waits":
                    await own

        d = ensureDeferred(has_children())
        await turns()

        async def task() -> None:
            await d

        around = asyncio.create_task(task())
        await turns()
        around.cancel("closing time")
        with pytest.raises(asyncio.CancelledError) as caught:
            await around
        assert caught.value.args == ("closing time",)
        assert was_cancelled(waited)

    run(main)


@everywhere
def test_a_body_whose_deferred_is_cancelled_cancels_the_children_and_says_so_in_a_group(run: Run) -> None:
    """To the group, a Deferred's CancelledError is an error of the body (docs/adr/0014)."""

    async def main() -> None:
        waited, own = Deferred[None](), Deferred[None]()

        async def has_children() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits(waited))
                await own

        d = ensureDeferred(has_children())
        await turns()
        d.cancel()
        with pytest.raises(ExceptionGroup) as caught:
            await d
        assert [type(error) for error in caught.value.exceptions] == [defer.CancelledError]
        assert waited.called

    run(main)


@everywhere
def test_a_timeout_around_a_group_cancels_its_children(run: Run) -> None:
    async def main() -> None:
        waited = Deferred[None](), a_future()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
                for one in waited:
                    group.create_task(waits(one))
                await Deferred[None]()
        assert all(was_cancelled(one) for one in waited)

    run(main)


@everywhere
def test_groups_of_two_coroutines_keep_apart(run: Run) -> None:
    async def main() -> None:
        gate: Deferred[str] = Deferred()

        async def good() -> Any:
            async with asyncio.TaskGroup() as group:
                child = group.create_task(waits(gate))
            return child.result()

        async def bad() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits(defer.fail(KeyError())))
                await Deferred[None]()

        both = ensureDeferred(good()), ensureDeferred(bad())
        with pytest.raises(ExceptionGroup):
            await both[1]
        assert not gate.called
        gate.callback("result")
        assert await both[0] == "result"

    run(main)


# ------------------------------------------------------------------------------------------------------------- the rest


@everywhere
def test_one_that_is_cancelled_while_it_runs_and_waits_no_more_ends_cancelled(run: Run) -> None:
    """As a Task does: tests/property has the rest of what the two have in common."""

    async def cancels_itself() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("unheard")
        return "result"

    async def main() -> None:
        for awaited in asyncio.create_task(cancels_itself()), ensureDeferred(cancels_itself()):
            with pytest.raises((asyncio.CancelledError, defer.CancelledError)) as caught:
                await awaited
            assert caught.value.args == ("unheard",)

    run(main)
