"""Random programs of time-outs, groups, shields and cancels do in netcore's coroutines what they do in Tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcore.defer import Deferred, ensureDeferred
from tests.integration.netcore.worlds import in_asyncio, turns

REST = 60  # turns of the loop, after which what needs nobody has come to rest

# A program is a tree of what its coroutine does, and what is done to it from outside whenever it has come to rest.
Node = tuple[Any, ...]

_leaves = st.sampled_from([("wait",), ("wait",), ("turn",), ("raise",), ("cancels itself",), ("uncancels",)])


def _grown(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.tuples(st.just("sequence"), several),
        st.tuples(st.just("timeout"), inner),
        st.tuples(st.just("group"), several, inner),
        st.tuples(st.sampled_from(["shield", "catches", "gather", "wait_for"]), inner),
        st.tuples(st.just("finally"), inner, inner),
    )


_trees = st.recursive(_leaves, _grown, max_leaves=8)
_actions = st.lists(
    st.tuples(st.sampled_from(["fire", "fail", "cancel", "cancel", "expire", "expire", "late"]), st.integers(0, 3)),
    max_size=6,
)


def told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"group of {sorted(told(one) for one in error.exceptions)}"
    return f"{type(error).__name__}{error.args if isinstance(error, asyncio.CancelledError) else ''}"


class Run:
    """One run of *tree*. *log*: what each part of it, which are concurrent, saw; (0,) is the coroutine's own."""

    def __init__(self, tree: Node, never: Any) -> None:
        self.tree = tree
        self.never = never
        self.log: dict[tuple[int, ...], list[str]] = defaultdict(list)
        self.waits: list[Any] = []
        self.timeouts: list[asyncio.Timeout] = []
        self.task: Any = None

    async def main(self) -> None:
        self.task = asyncio.current_task()
        await self.run(self.tree, (0,))
        await asyncio.sleep(0)  # hears of what it was cancelled for last

    async def run(self, node: Node, part: tuple[int, ...]) -> None:
        log = self.log[part]
        name, *rest = node
        log.append(name)
        try:
            await getattr(self, name.replace(" ", "_"))(part, *rest)
        except BaseException as error:
            log.append(f"{name}: {told(error)}")
            raise
        log.append(f"{name}: done")

    async def wait(self, part: tuple[int, ...]) -> None:
        waited = self.never()
        self.waits.append(waited)
        await waited

    async def turn(self, part: tuple[int, ...]) -> None:
        await asyncio.sleep(0)

    async def cancels_itself(self, part: tuple[int, ...]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("by itself")

    async def uncancels(self, part: tuple[int, ...]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.log[part].append(f"cancelling {task.uncancel()}")

    async def sequence(self, part: tuple[int, ...], nodes: tuple[Node, ...]) -> None:
        for node in nodes:
            await self.run(node, part)

    async def timeout(self, part: tuple[int, ...], node: Node) -> None:
        async with asyncio.timeout(None) as timeout:
            self.timeouts.append(timeout)
            try:
                await self.run(node, part)
            finally:
                self.timeouts.remove(timeout)

    async def group(self, part: tuple[int, ...], children: tuple[Node, ...], node: Node) -> None:
        async with asyncio.TaskGroup() as group:
            for number, child in enumerate(children):
                group.create_task(self.child(child, (*part, len(self.log[part]), number)))
            await self.run(node, part)

    async def child(self, node: Node, part: tuple[int, ...]) -> None:
        # netcore's coroutine goes on at once where a Task takes a turn of the loop: a race with children has two ends.
        await turns(6)
        await self.run(node, part)

    async def shield(self, part: tuple[int, ...], node: Node) -> None:
        await asyncio.shield(self.run(node, (*part, len(self.log[part]))))

    async def gather(self, part: tuple[int, ...], node: Node) -> None:
        await asyncio.gather(self.run(node, (*part, len(self.log[part]))), asyncio.sleep(0))

    async def wait_for(self, part: tuple[int, ...], node: Node) -> None:
        await asyncio.wait_for(self.run(node, (*part, len(self.log[part]))), 60)

    async def catches(self, part: tuple[int, ...], node: Node) -> None:
        try:
            await self.run(node, part)
        except (asyncio.CancelledError, KeyError, TimeoutError, BaseExceptionGroup):
            pass

    async def finally_(self, part: tuple[int, ...], node: Node, last: Node) -> None:
        try:
            await self.run(node, part)
        finally:
            await self.run(last, part)

    async def raise_(self, part: tuple[int, ...]) -> None:
        raise KeyError

    # From outside

    def act(self, action: str, number: int) -> None:
        pending = [one for one in self.waits if not (one.called if isinstance(one, Deferred) else one.done())]
        if action == "cancel":
            self.task.cancel(f"message {number}")
        elif action == "expire" and self.timeouts:
            with contextlib.suppress(RuntimeError):  # it expires already
                self.timeouts[number % len(self.timeouts)].reschedule(0)
        elif action == "late" and pending and self.never is a_future:  # between the result and the next step
            fire(pending[number % len(pending)])
            self.task.cancel("late")
        elif action in ("fire", "fail") and pending:
            fire(pending[number % len(pending)], failed=action == "fail")

    def let_go(self) -> None:
        for one in list(self.waits):  # firing one may go on to the next
            if not (one.called if isinstance(one, Deferred) else one.done()):
                fire(one)


setattr(Run, "finally", Run.finally_)
setattr(Run, "raise", Run.raise_)


def fire(waited: Any, failed: bool = False) -> None:
    if isinstance(waited, Deferred):
        waited.errback(KeyError()) if failed else waited.callback(None)
    elif failed:
        waited.set_exception(KeyError())
    else:
        waited.set_result(None)


async def outcome(run: Run, actions: list[tuple[str, int]], by_netcore: bool) -> Any:
    """What the coroutine saw, how it ended, and how often it is still cancelled."""

    async def follow() -> None:
        await ensureDeferred(run.main())

    around = asyncio.create_task(follow() if by_netcore else run.main())
    for action in actions:
        await turns(REST)
        if around.done():
            break
        run.act(*action)
    while not around.done():
        await turns(REST)
        run.let_go()
    await turns(REST)
    try:
        ended = str(around.result())
    except BaseException as error:
        ended = told(error)
    run.let_go()
    await turns(REST)
    return run.log[0,], ended, run.task.cancelling()


def a_future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("never", [a_future, Deferred])
@settings(max_examples=150, deadline=None)
@given(tree=_trees, actions=_actions)
def test_a_program_does_in_a_coroutine_what_it_does_in_a_task(
    never: Any, tree: Node, actions: list[tuple[str, int]]
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # what a shield has let go
        in_a_task = await outcome(Run(tree, never), actions, by_netcore=False)
        assert await outcome(Run(tree, never), actions, by_netcore=True) == in_a_task

    in_asyncio(main)
