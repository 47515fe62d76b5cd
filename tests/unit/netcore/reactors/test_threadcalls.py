"""The queue of calls from threads, without threads: when it wakes, what a drain does."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest

from netcore.reactors._threadcalls import ThreadCalls
from tests.support.guard import Logged


class Calls:
    def __init__(self) -> None:
        self.woken = 0
        self.made: list[Any] = []
        self.queue = ThreadCalls(self.wake)

    def wake(self) -> None:
        self.woken += 1

    def add(self, name: Any) -> None:
        self.queue.add(self.made.append, (name,), {})


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_many_calls_wake_once(calls: Calls) -> None:
    for number in range(1000):
        calls.add(number)
    assert calls.woken == 1
    calls.queue.drain()
    assert calls.made == list(range(1000))
    calls.add("next")
    assert calls.woken == 2


def test_what_cannot_be_called_is_refused(calls: Calls) -> None:
    with pytest.raises(TypeError, match="None cannot be called"):
        calls.queue.add(None, (), {})  # type: ignore[arg-type]
    assert calls.woken == 0
    calls.queue.drain()


def test_a_drain_is_bounded_by_what_was_there(calls: Calls) -> None:
    def again() -> None:
        calls.made.append("again")
        calls.queue.add(again, (), {})

    calls.queue.add(again, (), {})
    calls.queue.drain()
    assert calls.made == ["again"]
    assert calls.woken == 2
    calls.queue.drain()
    assert calls.made == ["again"] * 2


def test_an_exception_is_logged_and_the_rest_still_run(calls: Calls, logged: Logged) -> None:
    calls.queue.add(lambda: 1 / 0, (), {})
    calls.add("rest")
    calls.queue.drain()
    assert calls.made == ["rest"]
    (record,) = logged.take(ZeroDivisionError)
    assert record.name == "netcore.reactors"
    assert record.failure.check(ZeroDivisionError)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_escapes_and_the_rest_waits(calls: Calls, kind: type[BaseException]) -> None:
    def end() -> None:
        raise kind

    calls.queue.add(end, (), {})
    calls.add("rest")
    with pytest.raises(kind):
        calls.queue.drain()
    assert calls.made == []
    assert calls.woken == 2
    calls.queue.drain()
    assert calls.made == ["rest"]


def test_each_call_runs_in_its_own_context(calls: Calls) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    def add(value: str) -> None:
        variable.set(value)
        calls.queue.add(lambda: calls.made.append(variable.get()), (), {})

    contextvars.copy_context().run(add, "one")
    contextvars.copy_context().run(add, "two")
    calls.queue.drain()
    assert calls.made == ["one", "two"]


def test_clear_forgets_them_and_the_wake_up(calls: Calls) -> None:
    calls.add("a")
    calls.queue.clear()
    calls.add("b")  # the wake-up for "a" may have been ignored
    assert calls.woken == 2
    calls.queue.drain()
    assert calls.made == ["b"]


def test_a_call_may_clear_those_after_it(calls: Calls) -> None:
    calls.queue.add(calls.queue.clear, (), {})
    calls.add("a")
    calls.queue.drain()
    assert calls.made == []


def test_a_call_that_cannot_wake_is_refused_and_so_is_the_next(calls: Calls) -> None:
    def refuse() -> None:
        raise LookupError

    queue = ThreadCalls(refuse)
    for _ in range(3):
        with pytest.raises(LookupError):
            queue.add(calls.made.append, ("x",), {})
    queue.drain()
    assert calls.made == []


def test_an_interrupted_wake_up_is_made_up_for_if_others_rely_on_it() -> None:
    """KeyboardInterrupt in one thread, while another has queued a call and seen that somebody wakes the loop."""
    woken: list[str] = []
    made: list[str] = []

    def wake() -> None:
        woken.append("attempt")
        if len(woken) == 1:
            queue.add(made.append, ("another thread's",), {})
            raise KeyboardInterrupt

    queue = ThreadCalls(wake)
    with pytest.raises(KeyboardInterrupt):
        queue.add(made.append, ("the interrupted thread's",), {})
    assert len(woken) == 2
    queue.drain()
    assert made == ["another thread's"]
