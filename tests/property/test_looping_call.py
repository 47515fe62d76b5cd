"""LoopingCall beside Twisted's: the same calls at the same moments, with the same counts."""

from __future__ import annotations

import random
import sys
from types import ModuleType
from typing import Any

import pytest
from twisted.internet import defer as their_defer
from twisted.internet import task as their_task

from netcore import defer, task

# Moments that floats hold exactly: beside others, Twisted's leaves out calls now and then that come when a sum of
# intervals is a hair before the moment it should be.
AMOUNTS = [0, 0.125, 0.25, 0.5, 1, 1, 1, 2, 3]


def run(seed: int, task: Any, defer: Any) -> list[Any]:
    """A random program on *task* and *defer*, and what happened."""
    choose = random.Random(seed)
    clock = task.Clock()
    happened: list[Any] = []
    waiting: list[Any] = []
    loop: Any = None

    def call(*count: int) -> Any:
        happened.append((clock.seconds(), *count))
        what = choose.random()
        if what < 0.3:
            waiting.append(defer.Deferred())
            return waiting[-1]
        if what < 0.4:
            clock.rightNow += choose.choice([1, 2, 3.5])  # it takes that long
        elif what < 0.45 and loop.running:
            loop.stop()
        elif what > 0.97:
            raise ValueError
        return None

    for _ in range(40):
        what = choose.random()
        running = loop is not None and loop.running
        if not running and not waiting and what < 0.7:
            loop = task.LoopingCall.withCount(call) if choose.random() < 0.7 else task.LoopingCall(call)
            loop.clock = clock
            started = loop.start(choose.choice([0, 0.5, 1, 2]), choose.random() < 0.5)
            started.addBoth(lambda result: happened.append(type(result).__name__))
        elif what < 0.45 and waiting:
            waiting.pop(0).callback(None)
        elif what < 0.55 and running and not waiting:  # while a call is being made, Twisted's does nothing
            loop.reset()
        elif what < 0.6 and running:
            loop.stop()
        else:
            clock.advance(choose.choice(AMOUNTS))
        happened.append(bool(loop is not None and loop.running))
    return happened


@pytest.mark.parametrize("part", range(4))
def test_what_happens_is_the_same(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which Twisted's LoopingCall would make, and nobody takes back.
    monkeypatch.setitem(sys.modules, "twisted.internet.reactor", ModuleType("reactor"))
    for seed in range(150 * part, 150 * part + 150):
        assert run(seed, task, defer) == run(seed, their_task, their_defer), f"seed {seed}"
