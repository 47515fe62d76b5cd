"""Turns: one at a time, in the order in which they came."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from asyncdb.dialect._turns import SLICE, Turns

LONG = 60.0


class Thread:
    """A thread that takes a turn, and gives it when it is told to."""

    def __init__(self, turns: Turns, seconds: float = LONG, wanted: Callable[[], bool] = lambda: True) -> None:
        self.got = threading.Event()
        self.may_give = threading.Event()
        self.taken: bool | None = None
        self._turns, self._seconds, self._wanted = turns, seconds, wanted
        self._thread = threading.Thread(target=self._run)
        before = len(turns._waiting)
        self._thread.start()
        while not self.got.is_set() and len(turns._waiting) == before and self._thread.is_alive():
            pass  # until it waits, or has its turn

    def _run(self) -> None:
        self.taken = self._turns.take(self, self._seconds, self._wanted)
        self.got.set()
        if self.taken:
            self.may_give.wait()
            self._turns.give(self)

    def end(self) -> None:
        self.may_give.set()
        self._thread.join()


def test_a_turn_is_got_at_once_and_again_when_it_was_given() -> None:
    turns = Turns()
    for _ in range(3):
        assert turns.take(turns, 0.0, lambda: False)
        turns.give(turns)


def test_who_came_first_is_served_first_and_nobody_who_comes_later_before() -> None:
    turns = Turns()
    first = Thread(turns)
    others = [Thread(turns) for _ in range(3)]
    for before, after in zip([first, *others], others, strict=False):
        assert not after.got.is_set()
        before.may_give.set()
        assert after.got.wait(LONG)
    for thread in (first, *others):
        assert thread.taken
        thread.end()
    assert turns.take(turns, 0.0, lambda: False)


@pytest.mark.parametrize("why", ["not wanted", "too late"])
def test_who_waits_for_nothing_any_more_leaves_the_others_their_turns(why: str) -> None:
    turns = Turns()
    holder = Thread(turns)
    leaver = Thread(turns, SLICE / 2 if why == "too late" else LONG, lambda: why == "too late")
    stayer = Thread(turns)
    assert leaver.got.wait(LONG)
    assert leaver.taken is False
    leaver.end()
    holder.end()
    assert stayer.got.wait(LONG)
    assert stayer.taken
    stayer.end()
    assert turns.take(turns, 0.0, lambda: False)


def test_a_turn_is_kept_by_who_has_it_and_given_by_nobody_else() -> None:
    turns = Turns()
    mine, other = object(), object()
    assert turns.take(mine, 0.0, lambda: False)
    assert turns.take(mine, 0.0, lambda: False)
    turns.give(other)
    assert not turns.take(other, 0.0, lambda: False)
    turns.give(mine)
    turns.give(mine)
    assert turns.take(other, 0.0, lambda: False)
