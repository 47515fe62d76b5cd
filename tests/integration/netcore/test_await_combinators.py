"""Every way an asyncio Task has to wait, on a Deferred, in every situation.

Each case is run twice: on a Deferred, and on asyncio's own Future, behind an ``__await__`` as a Deferred is. Both must
do what the table says; so no line of it is there because a Deferred happens to do it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from itertools import product
from typing import Any, NamedTuple

import anyio
import pytest

from netcore import defer
from netcore.defer import Deferred, ensureDeferred
from tests.integration.netcore.worlds import in_asyncio, turns

# ------------------------------------------------------------------------------------------------- what is waited for


class AFuture:
    """A Future that is awaited as any object is."""

    def __init__(self) -> None:
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.awaited = False

    def to_be_awaited(self) -> Any:
        return self

    def __await__(self) -> Generator[Any, Any, str]:
        self.awaited = True
        return (yield from self.future)

    def fire(self) -> None:
        self.future.set_result("result")

    def fail(self) -> None:
        self.future.set_exception(KeyError("failure"))

    def cancel(self) -> None:
        self.future.cancel("unwanted")

    def was_cancelled(self) -> bool:
        return self.future.cancelled()


class Noticed(Deferred[str]):
    awaited = False

    def __await__(self) -> Generator[Any, Any, str]:
        self.awaited = True
        return super().__await__()


class ADeferred:
    """A Deferred that says whether it was awaited, and cancelled."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.deferred = Noticed(self.asked.append)

    @property
    def awaited(self) -> bool:
        return self.deferred.awaited

    def to_be_awaited(self) -> Any:
        return self.deferred

    def fire(self) -> None:
        self.deferred.callback("result")

    def fail(self) -> None:
        self.deferred.errback(KeyError("failure"))

    def cancel(self) -> None:
        self.deferred.errback(defer.CancelledError("unwanted"))

    def was_cancelled(self) -> bool:
        return bool(self.asked)


Source = AFuture | ADeferred
Awaited = Any  # what `to_be_awaited` of one of them returns

# -------------------------------------------------------------------------------------------------------- ways to wait


async def awaits(awaited: Awaited) -> str:
    return await awaited  # type: ignore[no-any-return]


async def by_await(awaited: Awaited, seconds: float | None) -> str:
    async with asyncio.timeout(seconds):
        return await awaits(awaited)


async def by_ensure_future(awaited: Awaited, seconds: float | None) -> str:
    async with asyncio.timeout(seconds):
        return await asyncio.ensure_future(awaited)


async def by_gather(awaited: Awaited, seconds: float | None) -> str:
    async with asyncio.timeout(seconds):
        (result,) = await asyncio.gather(awaited)
        return result  # type: ignore[no-any-return]


async def by_collecting_gather(awaited: Awaited, seconds: float | None) -> str:
    async with asyncio.timeout(seconds):
        (result,) = await asyncio.gather(awaited, return_exceptions=True)
    if isinstance(result, BaseException):
        raise result
    return result  # type: ignore[no-any-return]


def by_wait(return_when: str) -> Callable[[Awaited, float | None], Coroutine[Any, Any, str]]:
    async def by_wait(awaited: Awaited, seconds: float | None) -> str:
        task = asyncio.ensure_future(awaited)
        done, pending = await asyncio.wait([task], timeout=seconds, return_when=return_when)
        if pending:
            raise TimeoutError
        assert done == {task}
        return await task

    return by_wait


async def by_wait_for(awaited: Awaited, seconds: float | None) -> str:
    return await asyncio.wait_for(awaited, seconds)


async def by_timeout_at(awaited: Awaited, seconds: float | None) -> str:
    now = asyncio.get_running_loop().time()
    async with asyncio.timeout_at(None if seconds is None else now + seconds):
        return await awaits(awaited)


async def by_shield(awaited: Awaited, seconds: float | None) -> str:
    async with asyncio.timeout(seconds):
        return await asyncio.shield(awaited)  # type: ignore[no-any-return]


async def by_as_completed(awaited: Awaited, seconds: float | None) -> str:
    (first,) = asyncio.as_completed([awaited], timeout=seconds)
    return await first


async def by_taskgroup(awaited: Awaited, seconds: float | None) -> str:
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        task = group.create_task(awaits(awaited))
    return task.result()


async def by_fail_after(awaited: Awaited, seconds: float | None) -> str:
    with anyio.fail_after(seconds):
        return await awaits(awaited)


async def by_move_on_after(awaited: Awaited, seconds: float | None) -> str:
    with anyio.move_on_after(seconds):
        return await awaits(awaited)
    raise TimeoutError


async def by_anyio_group(awaited: Awaited, seconds: float | None) -> str:
    results: list[str] = []

    async def child() -> None:
        results.append(await awaits(awaited))

    with anyio.fail_after(seconds):
        async with anyio.create_task_group() as group:
            group.start_soon(child)
    return results[0] if results else "nothing"


async def by_netcore(awaited: Awaited, seconds: float | None) -> str:
    async with asyncio.timeout(seconds):
        return await ensureDeferred(awaits(awaited))


class Way(NamedTuple):
    """A way to wait, and whether the one who waits cancels what it waits for when it is itself cancelled."""

    wait: Callable[[Awaited, float | None], Coroutine[Any, Any, str]]
    cancels: bool = True


WAYS = {
    "await": Way(by_await),
    "ensure_future": Way(by_ensure_future),
    "gather": Way(by_gather),
    "gather, return_exceptions": Way(by_collecting_gather),
    "wait, ALL_COMPLETED": Way(by_wait(asyncio.ALL_COMPLETED), cancels=False),
    "wait, FIRST_COMPLETED": Way(by_wait(asyncio.FIRST_COMPLETED), cancels=False),
    "wait, FIRST_EXCEPTION": Way(by_wait(asyncio.FIRST_EXCEPTION), cancels=False),
    "wait_for": Way(by_wait_for),
    "timeout_at": Way(by_timeout_at),
    "shield": Way(by_shield, cancels=False),
    "as_completed": Way(by_as_completed, cancels=False),
    "TaskGroup": Way(by_taskgroup),
    "anyio.fail_after": Way(by_fail_after),
    "anyio.move_on_after": Way(by_move_on_after),
    "anyio task group": Way(by_anyio_group),
    "netcore's coroutine": Way(by_netcore),
}

if sys.version_info >= (3, 13):

    async def by_async_as_completed(awaited: Awaited, seconds: float | None) -> str:
        async for first in asyncio.as_completed([awaited], timeout=seconds):
            return await first  # type: ignore[no-any-return]
        raise AssertionError("it was not completed")

    WAYS["async as_completed"] = Way(by_async_as_completed, cancels=False)

# ---------------------------------------------------------------------------------------------------------- situations


class Case(NamedTuple):
    source: Source
    task: asyncio.Task[str]


# Situation -> what is done before somebody waits; while somebody does; what comes of it.
SITUATIONS: dict[str, tuple[Callable[[Source], object], Callable[[Case], object], str]] = {
    "the result is there": (lambda source: source.fire(), lambda case: None, "result"),
    "the failure is there": (lambda source: source.fail(), lambda case: None, "KeyError(failure)"),
    "it is cancelled already": (lambda source: source.cancel(), lambda case: None, "CancelledError(unwanted)"),
    "the result comes": (lambda source: None, lambda case: case.source.fire(), "result"),
    "the failure comes": (lambda source: None, lambda case: case.source.fail(), "KeyError(failure)"),
    "it is cancelled": (lambda source: None, lambda case: case.source.cancel(), "CancelledError(unwanted)"),
    "the Task is cancelled": (lambda source: None, lambda case: case.task.cancel("enough"), "CancelledError(enough)"),
    "time is up": (lambda source: None, lambda case: None, "TimeoutError()"),
}

GIVING_UP = ("the Task is cancelled", "time is up")  # where the one who waits gives up

# Where it is not that, because the way to wait has its own idea.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("gather, return_exceptions", "it is cancelled already"): "CancelledError()",  # loses a Task's message
    ("gather, return_exceptions", "it is cancelled"): "CancelledError()",
    ("shield", "it is cancelled already"): "CancelledError()",  # so does this
    ("shield", "it is cancelled"): "CancelledError()",
    ("TaskGroup", "the failure is there"): "group of KeyError(failure)",
    ("TaskGroup", "the failure comes"): "group of KeyError(failure)",
    ("anyio task group", "the failure is there"): "group of KeyError(failure)",
    ("anyio task group", "the failure comes"): "group of KeyError(failure)",
    ("anyio task group", "it is cancelled already"): "nothing",  # a child that was cancelled is no error
    ("anyio task group", "it is cancelled"): "nothing",
}

# And the one case where a Future is better off. shield() gives back what is done, and so keeps its message; the eager
# Task around a cancelled Deferred is not done yet, since that says how it ended to who drives the coroutine.
A_FUTURE_KEEPS_ITS_MESSAGE = ("shield", "it is cancelled already", "eager tasks")


def told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"group of {' and '.join(told(one) for one in error.exceptions)}"
    if isinstance(error, TimeoutError):
        return "TimeoutError()"  # some add a message
    return f"{type(error).__name__}({', '.join(str(arg) for arg in error.args)})"


async def outcome(source: Source, way: Way, situation: str) -> str:
    """What comes of waiting for *source*."""
    before, meanwhile, _ = SITUATIONS[situation]
    before(source)
    task = asyncio.create_task(way.wait(source.to_be_awaited(), 0.001 if situation == "time is up" else None))
    await turns()
    meanwhile(Case(source, task))
    await asyncio.wait([task])
    # On a machine that is busy the time may be up before anybody has waited.
    given_up = situation in GIVING_UP and way.cancels and source.awaited
    if situation in GIVING_UP:
        assert source.was_cancelled() == given_up
    if situation in GIVING_UP and not given_up:
        source.fire()  # the Tasks that asyncio has made inside go on waiting, and have to end
        await turns()
    try:
        return task.result()
    except BaseException as error:
        return told(error)


FACTORIES: dict[str, Any] = {"tasks": None}

if sys.version_info >= (3, 12):

    class Eager:
        """`asyncio.eager_task_factory`, for uvloop 0.23 too: it hands over what that takes only from 3.13.3 on."""

        __code__ = asyncio.eager_task_factory.__code__  # anyio knows it by this, and takes what it makes from the other
        __closure__ = asyncio.eager_task_factory.__closure__

        def __call__(self, loop: Any, coroutine: Any, eager_start: bool | None = None, **options: Any) -> Any:
            return asyncio.eager_task_factory(loop, coroutine, **options)

    FACTORIES["eager tasks"] = Eager()


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize(("way", "situation"), list(product(WAYS, SITUATIONS)))
def test_a_deferred_is_waited_for_as_a_future_is(way: str, situation: str, factory: str) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(FACTORIES[factory])
        expected = EXCEPTIONS.get((way, situation), SITUATIONS[situation][2])
        assert await outcome(ADeferred(), WAYS[way], situation) == expected
        if (way, situation, factory) == A_FUTURE_KEEPS_ITS_MESSAGE:
            expected = "CancelledError(unwanted)"
        assert await outcome(AFuture(), WAYS[way], situation) == expected, "so the table is wrong"

    in_asyncio(main)


# --------------------------------------------------------------------------------------------------------- of several


def three() -> list[Deferred[str]]:
    return [Deferred() for _ in range(3)]


def test_gather_gives_the_results_in_the_order_asked_for() -> None:
    async def main() -> None:
        waited = three()
        gathered = asyncio.gather(*waited, return_exceptions=True)
        await turns()
        waited[2].callback("c")
        waited[1].errback(KeyError("b"))
        waited[0].callback("a")
        first, second, third = await gathered
        assert (first, type(second), third) == ("a", KeyError, "c")

    in_asyncio(main)


def test_gather_that_fails_leaves_the_others_and_one_that_is_cancelled_cancels_them() -> None:
    async def main() -> None:
        waited = three()
        gathered = asyncio.gather(*waited)
        await turns()
        waited[1].errback(KeyError("b"))
        with pytest.raises(KeyError):
            await gathered
        assert [d.called for d in waited] == [False, True, False]
        waited[0].callback("a")
        waited[2].callback("c")

        waited = three()
        gathered = asyncio.gather(*waited)
        await turns()
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        assert [d.called for d in waited] == [True, True, True]

    in_asyncio(main)


@pytest.mark.parametrize(
    ("return_when", "done_after"),
    [(asyncio.FIRST_COMPLETED, 1), (asyncio.FIRST_EXCEPTION, 2), (asyncio.ALL_COMPLETED, 3)],
)
def test_wait_returns_when_it_was_told_to(return_when: str, done_after: int) -> None:
    async def main() -> None:
        waited = three()
        tasks = [asyncio.ensure_future(d) for d in waited]
        waiting = asyncio.create_task(asyncio.wait(tasks, return_when=return_when))
        outcomes = [lambda: waited[1].callback("b"), lambda: waited[0].errback(KeyError()), waited[2].cancel]
        for count, fire in enumerate(outcomes, start=1):
            await turns()
            assert waiting.done() == (count > done_after)
            if count == done_after + 1:
                done, pending = waiting.result()
                assert (len(done), len(pending)) == (done_after, 3 - done_after)
            fire()
        await waiting
        await asyncio.gather(*tasks, return_exceptions=True)

    in_asyncio(main)


def test_as_completed_gives_them_in_the_order_they_are_fired() -> None:
    async def main() -> None:
        waited = three()
        seen: list[Any] = []

        async def collect() -> None:
            for one in asyncio.as_completed(waited):
                try:
                    seen.append(await one)
                except KeyError:
                    seen.append(KeyError)

        collecting = asyncio.create_task(collect())
        for index in (1, 2, 0):
            await turns()
            if index == 2:
                waited[index].errback(KeyError())
            else:
                waited[index].callback(str(index))
        await collecting
        assert seen == ["1", KeyError, "0"]

    in_asyncio(main)


@pytest.mark.parametrize("group", [asyncio.TaskGroup, anyio.create_task_group])
def test_a_child_that_fails_cancels_what_the_others_wait_for(group: Any) -> None:
    async def main() -> None:
        waited = three()
        with pytest.raises(ExceptionGroup) as caught:
            async with group() as children:
                start = getattr(children, "create_task", None) or (lambda one: children.start_soon(lambda: one))
                for d in waited:
                    start(awaits(d))
                await turns()
                waited[1].errback(KeyError("b"))
        assert [type(error) for error in caught.value.exceptions] == [KeyError]
        assert all(d.called for d in waited)

    in_asyncio(main)
