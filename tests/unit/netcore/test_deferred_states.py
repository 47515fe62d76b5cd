"""The Deferred's state machine, walked through for every pair of state and event."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from netcore.defer import AlreadyCalledError, CancelledError, Deferred
from netcore.defer._chain import CHAINED, FAILED, FIRED, PENDING, RUNNING
from netcore.failure import Failure

NAMES = {PENDING: "pending", FIRED: "fired", FAILED: "failed", RUNNING: "running", CHAINED: "chained"}


class Case:
    """A Deferred brought into a state, with what it waits for and what its last callback saw."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.inner: Deferred[Any] = Deferred()
        self.deferred: Deferred[Any] = Deferred()

    def saw(self) -> list[Any]:
        return [f.type if isinstance(f, Failure) else f for f in self.seen]

    def drain(self) -> None:
        """Let go of what the case left unfinished, so that nothing is reported as unhandled."""
        self.deferred.addErrback(lambda failure: None)
        while self.deferred.paused:
            self.deferred.unpause()
        if not self.deferred.called:
            self.deferred.callback(None)
        if not self.inner.called:
            self.inner.callback(None)


def pending(case: Case) -> None: ...


def pending_paused(case: Case) -> None:
    case.deferred.pause()


def fired(case: Case) -> None:
    case.deferred.callback("value")


def failed(case: Case) -> None:
    case.deferred.errback(KeyError("failed"))


def fired_paused(case: Case) -> None:
    case.deferred.pause()
    case.deferred.callback("value")


def chained(case: Case) -> None:
    case.deferred.addCallback(lambda result: case.inner)
    case.deferred.callback("value")


def chained_paused(case: Case) -> None:
    chained(case)
    case.deferred.pause()


def cancelled(case: Case) -> None:
    case.deferred.cancel()  # without a canceller: one more result may come, and is dropped


STATES: dict[str, Callable[[Case], None]] = {
    "pending": pending,
    "pending, paused": pending_paused,
    "fired": fired,
    "failed": failed,
    "fired, paused": fired_paused,
    "chained": chained,
    "chained, paused": chained_paused,
    "cancelled": cancelled,
}

EVENTS: dict[str, Callable[[Case], object]] = {
    "callback": lambda case: case.deferred.callback("late"),
    "errback": lambda case: case.deferred.errback(ZeroDivisionError()),
    "addBoth": lambda case: case.deferred.addBoth(case.seen.append),
    "pause": lambda case: case.deferred.pause(),
    "unpause": lambda case: case.deferred.unpause(),
    "cancel": lambda case: case.deferred.cancel(),
    "inner fires": lambda case: case.inner.callback("inner"),
}

# (state, event) -> what the event raises or the state after it; how often it is then paused; what a callback added by
# the event (or, where that is later, one added afterwards) sees.
TABLE: dict[tuple[str, str], tuple[Any, int, list[Any]]] = {
    ("pending", "callback"): (FIRED, 0, ["late"]),
    ("pending", "errback"): (FAILED, 0, [ZeroDivisionError]),
    ("pending", "addBoth"): (PENDING, 0, []),
    ("pending", "pause"): (PENDING, 1, []),
    ("pending", "unpause"): (RuntimeError, 0, []),
    ("pending", "cancel"): (FAILED, 0, [CancelledError]),
    ("pending", "inner fires"): (PENDING, 0, []),
    ("pending, paused", "callback"): (FIRED, 1, []),
    ("pending, paused", "errback"): (FAILED, 1, []),
    ("pending, paused", "addBoth"): (PENDING, 1, []),
    ("pending, paused", "pause"): (PENDING, 2, []),
    ("pending, paused", "unpause"): (PENDING, 0, []),
    ("pending, paused", "cancel"): (FAILED, 1, []),
    ("pending, paused", "inner fires"): (PENDING, 1, []),
    ("fired", "callback"): (AlreadyCalledError, 0, ["value"]),
    ("fired", "errback"): (AlreadyCalledError, 0, ["value"]),
    ("fired", "addBoth"): (FIRED, 0, ["value"]),
    ("fired", "pause"): (FIRED, 1, []),
    ("fired", "unpause"): (RuntimeError, 0, ["value"]),
    ("fired", "cancel"): (FIRED, 0, ["value"]),
    ("fired", "inner fires"): (FIRED, 0, ["value"]),
    ("failed", "callback"): (AlreadyCalledError, 0, [KeyError]),
    ("failed", "errback"): (AlreadyCalledError, 0, [KeyError]),
    ("failed", "addBoth"): (FIRED, 0, [KeyError]),
    ("failed", "pause"): (FAILED, 1, []),
    ("failed", "unpause"): (RuntimeError, 0, [KeyError]),
    ("failed", "cancel"): (FAILED, 0, [KeyError]),
    ("failed", "inner fires"): (FAILED, 0, [KeyError]),
    ("fired, paused", "callback"): (AlreadyCalledError, 1, []),
    ("fired, paused", "errback"): (AlreadyCalledError, 1, []),
    ("fired, paused", "addBoth"): (FIRED, 1, []),
    ("fired, paused", "pause"): (FIRED, 2, []),
    ("fired, paused", "unpause"): (FIRED, 0, ["value"]),
    ("fired, paused", "cancel"): (FIRED, 1, []),
    ("fired, paused", "inner fires"): (FIRED, 1, []),
    ("chained", "callback"): (AlreadyCalledError, 0, []),
    ("chained", "errback"): (AlreadyCalledError, 0, []),
    ("chained", "addBoth"): (CHAINED, 0, []),
    ("chained", "pause"): (CHAINED, 1, []),
    ("chained", "unpause"): (RuntimeError, 0, []),
    ("chained", "cancel"): (FAILED, 0, [CancelledError]),
    ("chained", "inner fires"): (FIRED, 0, ["inner"]),
    ("chained, paused", "callback"): (AlreadyCalledError, 1, []),
    ("chained, paused", "errback"): (AlreadyCalledError, 1, []),
    ("chained, paused", "addBoth"): (CHAINED, 1, []),
    ("chained, paused", "pause"): (CHAINED, 2, []),
    ("chained, paused", "unpause"): (CHAINED, 0, []),
    ("chained, paused", "cancel"): (FAILED, 1, []),
    ("chained, paused", "inner fires"): (FIRED, 1, []),
    ("cancelled", "callback"): (FAILED, 0, [CancelledError]),
    ("cancelled", "errback"): (FAILED, 0, [CancelledError]),
    ("cancelled", "addBoth"): (FIRED, 0, [CancelledError]),
    ("cancelled", "pause"): (FAILED, 1, []),
    ("cancelled", "unpause"): (RuntimeError, 0, [CancelledError]),
    ("cancelled", "cancel"): (FAILED, 0, [CancelledError]),
    ("cancelled", "inner fires"): (FAILED, 0, [CancelledError]),
}


def test_the_table_has_every_pair_of_state_and_event() -> None:
    assert set(TABLE) == set(product(STATES, EVENTS))


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
def test_every_event_in_every_state_does_what_the_table_says(state: str, event: str) -> None:
    expected, paused, seen = TABLE[state, event]
    case = Case()
    STATES[state](case)
    before = case.deferred._state
    if isinstance(expected, type):
        with pytest.raises(expected):
            EVENTS[event](case)
        assert case.deferred._state == before, "a refused event leaves the state as it was"
    else:
        EVENTS[event](case)
        assert NAMES[case.deferred._state] == NAMES[expected]
    assert case.deferred.paused == paused
    if event != "addBoth":
        case.deferred.addBoth(case.seen.append)
    assert case.saw() == seen
    case.drain()


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_from_within_a_running_callback(event: str) -> None:
    """RUNNING can only be met from inside a callback; what is added there runs after it, in the same turn."""
    case = Case()
    told: list[object] = []

    def inside(result: object) -> str:
        assert case.deferred._state == RUNNING
        try:
            EVENTS[event](case)
        except (AlreadyCalledError, RuntimeError) as error:
            told.append(type(error))
        assert case.deferred._state == RUNNING
        return "inside"

    case.deferred.addCallback(inside)
    case.deferred.callback("value")
    assert case.deferred._state == FIRED
    refused = {"callback": AlreadyCalledError, "errback": AlreadyCalledError, "unpause": RuntimeError}
    assert told == ([refused[event]] if event in refused else [])
    assert case.deferred.paused == (1 if event == "pause" else 0)
    assert case.saw() == (["inside"] if event == "addBoth" else [])
    case.drain()


def test_a_cancelled_deferred_drops_one_result_and_refuses_the_next() -> None:
    d: Deferred[str] = Deferred()
    seen: list[Any] = []
    d.addErrback(seen.append)
    d.cancel()
    d.callback("too late")
    with pytest.raises(AlreadyCalledError):
        d.callback("twice")
    assert [failure.type for failure in seen] == [CancelledError]
