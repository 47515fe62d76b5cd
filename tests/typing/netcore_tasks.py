"""What a type checker knows of tasks that take turns; see `netcore_deferreds`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from netcore.defer import Deferred
from netcore.task import CooperativeTask, Cooperator


def work() -> Iterator[Deferred[int] | None]:
    yield None


def check() -> None:
    """No step is taken: what types are is known before."""
    steps: list[object] = []
    cooperator = Cooperator(scheduler=steps.append)
    task = cooperator.cooperate(work())
    assert_type(task, CooperativeTask[Iterator[Deferred[int] | None]])
    assert_type(task.whenDone(), Deferred[Iterator[Deferred[int] | None]])
    assert_type(cooperator.coiterate(work()), Deferred[Iterator[Deferred[int] | None]])
