"""System events: phases, order, failures, Deferreds that are waited for."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import Deferred, fail, succeed
from netcore.reactors._triggers import SystemEvents
from tests.support.guard import Logged


@pytest.fixture
def events() -> SystemEvents:
    return SystemEvents()


def note(called: list[str], name: str, result: Any = None) -> Callable[[], Any]:
    def trigger() -> Any:
        called.append(name)
        return result

    return trigger


def test_phases_come_in_their_order_and_triggers_in_theirs(events: SystemEvents) -> None:
    called: list[str] = []
    for phase in ("after", "before", "during"):
        for number in (1, 2):
            events.add(phase, "shutdown", note(called, f"{phase} {number}"), (), {})
    events.fire("shutdown")
    assert called == ["before 1", "before 2", "during 1", "during 2", "after 1", "after 2"]


def test_arguments_are_passed_on(events: SystemEvents) -> None:
    got: list[Any] = []
    events.add("during", "x", lambda *a, **kw: got.append((a, kw)), (1,), {"b": 2})
    events.fire("x")
    assert got == [((1,), {"b": 2})]


def test_each_trigger_is_called_once(events: SystemEvents) -> None:
    called: list[str] = []
    events.add("during", "x", note(called, "a"), (), {})
    events.fire("x")
    events.fire("x")
    assert called == ["a"]


def test_events_are_apart(events: SystemEvents) -> None:
    called: list[str] = []
    events.add("during", "startup", note(called, "startup"), (), {})
    events.fire("shutdown")
    assert called == []


def test_before_waits_for_all_its_deferreds(events: SystemEvents) -> None:
    called: list[str] = []
    first, second = Deferred[None](), Deferred[None]()
    events.add("before", "x", note(called, "before", first), (), {})
    events.add("before", "x", note(called, "before", second), (), {})
    events.add("before", "x", note(called, "before", succeed(None)), (), {})
    events.add("during", "x", note(called, "during"), (), {})
    events.fire("x", done=lambda: called.append("done"))
    assert called == ["before"] * 3
    second.callback(None)
    assert called == ["before"] * 3
    first.callback(None)
    assert called == ["before"] * 3 + ["during", "done"]


def test_a_coroutine_function_is_waited_for(events: SystemEvents) -> None:
    called: list[str] = []
    gate = Deferred[None]()

    async def before() -> None:
        await gate
        called.append("before")

    events.add("before", "x", before, (), {})
    events.add("during", "x", note(called, "during"), (), {})
    events.fire("x")
    assert called == []
    gate.callback(None)
    assert called == ["before", "during"]


def test_during_and_after_do_not_wait(events: SystemEvents) -> None:
    called: list[str] = []
    events.add("during", "x", note(called, "during", Deferred()), (), {})
    events.add("after", "x", note(called, "after", Deferred()), (), {})
    events.fire("x", done=lambda: called.append("done"))
    assert called == ["during", "after", "done"]


def test_failures_are_logged_and_the_rest_still_run(events: SystemEvents, logged: Logged) -> None:
    called: list[str] = []

    def broken() -> None:
        raise LookupError("broken trigger")

    for phase in ("before", "during", "after"):
        events.add(phase, "x", broken, (), {})
        events.add(phase, "x", note(called, phase), (), {})
    events.add("before", "x", note(called, "failing", fail(KeyError("k"))), (), {})
    events.fire("x")
    assert called == ["before", "failing", "during", "after"]
    records = logged.take(LookupError)
    assert [record.name for record in records] == ["netcore.reactors"] * 4  # KeyError is a LookupError
    assert "broken" in records[0].getMessage()
    assert records[0].failure.check(LookupError)  # type: ignore[attr-defined]


def test_a_trigger_added_in_its_phase_still_runs(events: SystemEvents) -> None:
    called: list[str] = []
    for phase in ("before", "during", "after"):
        events.add(phase, "x", lambda p=phase: events.add(p, "x", note(called, p), (), {}), (), {})
    events.fire("x")
    assert called == ["before", "during", "after"]


def test_a_removed_trigger_is_not_called(events: SystemEvents) -> None:
    called: list[str] = []
    trigger = events.add("during", "x", note(called, "a"), (), {})
    events.remove(trigger)
    events.fire("x")
    assert called == []


def test_removing_what_does_not_wait_is_refused(events: SystemEvents) -> None:
    trigger = events.add("during", "x", print, (), {})
    events.remove(trigger)
    with pytest.raises(ValueError, match="not waiting"):
        events.remove(trigger)
    with pytest.raises(TypeError):
        events.remove("during x")


def test_an_unknown_phase_is_refused(events: SystemEvents) -> None:
    with pytest.raises(ValueError, match="before, during, after"):
        events.add("meanwhile", "x", print, (), {})


def test_what_cannot_be_called_is_refused(events: SystemEvents) -> None:
    with pytest.raises(TypeError, match="None cannot be called"):
        events.add("before", "shutdown", None, (), {})  # type: ignore[arg-type]
    assert not events.has("shutdown")


def test_hooks_come_first_in_during_and_between_during_and_after(events: SystemEvents) -> None:
    called: list[str] = []
    go_on: list[Callable[[], None]] = []
    for phase in ("before", "during", "after"):
        events.add(phase, "x", note(called, phase), (), {})
    events.fire("x", first=lambda: called.append("first"), settle=go_on.append, done=lambda: called.append("done"))
    assert called == ["before", "first", "during"]
    go_on[0]()
    assert called == ["before", "first", "during", "after", "done"]


def test_what_is_abandoned_goes_no_further(events: SystemEvents) -> None:
    called: list[str] = []
    waiting = Deferred[None]()
    events.add("before", "x", note(called, "before", waiting), (), {})
    events.add("during", "x", note(called, "during"), (), {})
    events.fire("x", done=lambda: called.append("done"))
    events.abandon()
    waiting.callback(None)
    assert called == ["before"]


def test_a_trigger_runs_in_the_context_it_was_added_in(events: SystemEvents) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def add() -> None:
        variable.set("set")
        events.add("during", "x", lambda: seen.append(variable.get()), (), {})

    contextvars.copy_context().run(add)
    events.fire("x")
    assert seen == ["set"]


def test_clear_forgets_all(events: SystemEvents) -> None:
    called: list[str] = []
    events.add("during", "x", note(called, "a"), (), {})
    events.clear()
    events.fire("x")
    assert called == []
