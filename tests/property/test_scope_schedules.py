"""Whatever its children and its body do, in whatever order: nothing outlives a scope, and each error is told once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netcore
from netcore import defer
from netcore.defer import Deferred, ensureDeferred
from tests.integration.netcore.worlds import Run, in_asyncio, in_netcore_in_asyncio, in_reactor

PATIENCE = 12  # turns, after which the scope is cancelled: some wait for ever


@dataclass(frozen=True)
class Child:
    """What one does: it waits for some turns of the loop (None: for ever), and ends.

    Attributes: *ignores*, cancelled the first time, it goes on for so many turns; *starts*, before it waits.
    """

    turns: int | None
    fails: bool
    ignores: int | None
    as_deferred: bool
    starts: tuple[Child, ...] = ()


turns = st.integers(0, 4)
leaves = st.builds(Child, st.none() | turns, st.booleans(), st.none() | turns, st.booleans())
children = st.recursive(
    leaves,
    lambda inner: st.builds(
        Child,
        st.none() | turns,
        st.booleans(),
        st.none() | turns,
        st.booleans(),
        st.lists(inner, max_size=2).map(tuple),
    ),
    max_leaves=6,
)


@dataclass(frozen=True)
class Schedule:
    """A scope's children, what its body does, and when it is cancelled, from within and from outside."""

    children: tuple[Child, ...]
    body: Child
    inside: int | None
    outside: int | None


schedules = st.builds(
    Schedule,
    st.lists(children, max_size=5).map(tuple),
    leaves,
    st.none() | st.integers(0, 6),
    st.none() | st.integers(1, 6),
)


class Boom(Exception):
    """What fails, fails with one of its own."""


async def after(turns: int | None) -> None:
    if turns is None:
        await Deferred[None]()
    for _ in range(turns or 0):
        await asyncio.sleep(0)


@dataclass
class Happened:
    """What a run has led to."""

    running: int = 0
    errors: list[Boom] = field(default_factory=list)
    cancelled: int = 0
    started: list[Deferred[Any]] = field(default_factory=list)

    async def act(self, scope: netcore.Scope, spec: Child) -> str:
        self.running += 1
        try:
            for inner in spec.starts:
                self.start(scope, inner)
            try:
                await after(spec.turns)
            except (asyncio.CancelledError, defer.CancelledError):
                self.cancelled += 1
                if spec.ignores is None:
                    raise
                await after(spec.ignores)
            if spec.fails:
                self.errors.append(Boom())
                raise self.errors[-1]
            return "done"
        finally:
            self.running -= 1

    def start(self, scope: netcore.Scope, spec: Child) -> None:
        if spec.as_deferred:
            begin: Deferred[None] = Deferred()
            self.started.append(scope.start(begin.addCallback(lambda _: ensureDeferred(self.act(scope, spec)))))
            begin.callback(None)
        else:
            self.started.append(scope.start(self.act(scope, spec)))


async def play(schedule: Schedule) -> tuple[Happened, BaseException | None, netcore.Scope]:
    happened = Happened()
    scope = netcore.scope()
    left: list[int] = []

    async def scoped() -> None:
        try:
            async with scope:
                for spec in schedule.children:
                    happened.start(scope, spec)
                await happened.act(scope, schedule.body)
        finally:
            left.append(happened.running)

    running = ensureDeferred(scoped()) if schedule.body.as_deferred else asyncio.ensure_future(scoped())
    for turn in range(PATIENCE):
        if turn == schedule.inside:
            scope.cancel()
        if turn == schedule.outside:
            running.cancel()
        await asyncio.sleep(0)
    scope.cancel()
    for _ in range(PATIENCE * 5):
        await asyncio.sleep(0)
    assert left, f"{running!r} hangs"
    try:
        await running
    except BaseException as raised:
        ended: BaseException | None = raised
    else:
        ended = None
    assert left == [0], "something outlived the scope"
    return happened, ended, scope


def check(schedule: Schedule, happened: Happened, ended: BaseException | None, scope: netcore.Scope) -> None:
    assert happened.running == 0
    assert all(deferred.called for deferred in happened.started)
    if happened.errors:
        assert isinstance(ended, (ExceptionGroup, asyncio.CancelledError)), ended
        if isinstance(ended, ExceptionGroup):
            assert sorted(map(id, ended.exceptions)) == sorted(map(id, happened.errors))
        assert scope.cancelled
    elif ended is not None:
        assert isinstance(ended, (asyncio.CancelledError, defer.CancelledError)), ended
        assert schedule.outside is not None
    if happened.cancelled and schedule.outside is None:
        assert scope.cancelled, "something was cancelled for no reason"


@pytest.mark.parametrize("run", [in_asyncio, in_reactor, in_netcore_in_asyncio])
@settings(max_examples=150, deadline=None)
@given(schedule=schedules)
def test_a_scope_keeps_its_promise(run: Run, schedule: Schedule) -> None:
    async def main() -> None:
        check(schedule, *await play(schedule))

    run(main)
