"""Turns: one at a time, in the order in which they came."""

from __future__ import annotations

import sys
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
        self._thread = threading.Thread(target=self._run, daemon=True)  # so that a failure ends
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


class Meddling:
    """A lock, and what happens just before it is released or entered, and just after it was released: once each."""

    def __init__(
        self,
        lock: threading.Lock,
        before: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self._lock = lock
        self._before, self._after = [before], [after]
        self.acquire = lock.acquire
        self.released = 0

    def release(self) -> None:
        self._happen(self._before)
        self._lock.release()
        self.released += 1
        self._happen(self._after)

    def __enter__(self) -> None:
        self._happen(self._before)
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    @staticmethod
    def _happen(what: list[Callable[[], object]]) -> None:
        while what:
            what.pop()()


def test_who_comes_while_the_turn_is_given_up_gets_it() -> None:
    turns = Turns()
    came: list[Thread] = []
    turns._turn = Meddling(turns._turn, lambda: came.append(Thread(turns)))  # type: ignore[assignment]
    assert turns.take(turns, 0.0, lambda: False)
    turns.give(turns)
    (waiter,) = came
    assert waiter.got.wait(LONG)
    assert waiter.taken
    assert not turns.take_free(turns)
    waiter.end()
    assert turns.take_free(turns)


def test_a_turn_that_was_given_up_before_one_began_to_wait_is_taken() -> None:
    turns = Turns()
    assert turns.take_free(turns)
    turns._lock = Meddling(turns._lock, lambda: turns.give(turns))  # type: ignore[assignment]
    mine = object()
    assert turns.take(mine, 0.0, lambda: False)
    assert not turns.take_free(turns)
    turns.give(mine)
    assert turns.take_free(turns)


def test_when_who_waited_leaves_while_the_turn_is_given_it_is_free() -> None:
    turns = Turns()
    assert turns.take_free(turns)
    wanted = threading.Event()
    wanted.set()
    leaver = Thread(turns, wanted=wanted.is_set)

    def leave() -> None:
        wanted.clear()
        leaver.got.wait(LONG)

    turns._lock = Meddling(turns._lock, leave)  # type: ignore[assignment]
    turns.give(turns)
    assert leaver.taken is False
    assert turns.take_free(turns)
    leaver.end()


def test_the_turn_goes_from_hand_to_hand_and_is_not_given_up_between() -> None:
    turns = Turns()
    meddling = Meddling(turns._turn)
    turns._turn = meddling  # type: ignore[assignment]
    first = Thread(turns)
    second = Thread(turns)
    first.end()
    assert second.got.wait(LONG)
    assert meddling.released == 0
    second.end()
    assert meddling.released == 1


def test_who_overtakes_one_who_begins_to_wait_has_the_turn_alone_and_gives_it_to_that() -> None:
    turns = Turns()
    came: list[Thread] = []
    mine = object()
    meddling = Meddling(turns._turn, lambda: came.append(Thread(turns)), lambda: turns.take_free(mine))
    turns._turn = meddling  # type: ignore[assignment]
    assert turns.take_free(turns)
    turns.give(turns)
    (waiter,) = came
    assert turns.take_free(mine)  # it is still its own
    assert not waiter.got.is_set()
    turns.give(mine)
    assert waiter.got.wait(LONG)
    assert not turns.take_free(mine)
    waiter.end()
    assert turns.take_free(mine)


def test_who_is_given_the_turn_as_it_stops_waiting_has_it() -> None:
    turns = Turns()
    assert turns.take_free(turns)
    mine = object()

    def unwanted() -> bool:
        turns._lock = Meddling(turns._lock, lambda: turns.give(turns))  # type: ignore[assignment]
        return False

    assert turns.take(mine, LONG, unwanted)
    assert not turns.take_free(turns)
    turns.give(mine)
    assert turns.take_free(turns)


def test_when_who_waited_leaves_as_the_turn_has_been_given_up_it_is_free() -> None:
    turns = Turns()
    wanted = threading.Event()
    wanted.set()
    came: list[Thread] = []

    def leave() -> None:
        wanted.clear()
        came[0].got.wait(LONG)

    def come() -> None:
        came.append(Thread(turns, wanted=wanted.is_set))
        turns._lock = Meddling(turns._lock, leave)  # type: ignore[assignment]

    turns._turn = Meddling(turns._turn, come)  # type: ignore[assignment]
    assert turns.take_free(turns)
    turns.give(turns)
    assert came[0].taken is False
    assert turns.take_free(turns)
    came[0].end()


def test_of_many_threads_one_has_the_turn_and_each_gets_its() -> None:
    turns, inside, most = Turns(), 0, 0

    def work() -> None:
        nonlocal inside, most
        mine = object()
        for _ in range(300):
            assert turns.take_free(mine) or turns.take(mine, LONG, lambda: True)
            inside += 1
            most = max(most, inside)
            inside -= 1
            turns.give(mine)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert most == 1
    assert turns.take_free(turns)
    assert not turns._waiting
