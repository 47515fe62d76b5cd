"""The reactor's life: every event in every state."""

from __future__ import annotations

import pytest

from netcore.error import ReactorAlreadyRunning, ReactorNotRunning
from netcore.reactors._lifecycle import TRANSITIONS, Event, Lifecycle, State

I, T, S, R, P, E, A, D, X = (  # noqa: E741
    State.IDLE,
    State.ITERATING,
    State.STARTING,
    State.RUNNING,
    State.STOPPING,
    State.ENDING,
    State.ATTACHED,
    State.DETACHING,
    State.DISPOSED,
)
RUNS, NOT = ReactorAlreadyRunning, ReactorNotRunning

EXPECTED: dict[Event, tuple[object, ...]] = {
    #               IDLE  ITERATING  STARTING  RUNNING  STOPPING  ENDING  ATTACHED  DETACHING  DISPOSED
    Event.RUN:     (S,    RUNS,      RUNS,     RUNS,    RUNS,     RUNS,   RUNS,     RUNS,      NOT),
    Event.ITERATE: (T,    RUNS,      RUNS,     RUNS,    RUNS,     RUNS,   RUNS,     RUNS,      NOT),
    Event.STARTED: (NOT,  NOT,       R,        NOT,     P,        E,      NOT,      NOT,       NOT),
    Event.STOP:    (NOT,  NOT,       P,        P,       NOT,      NOT,    NOT,      NOT,       NOT),
    Event.CRASH:   (NOT,  NOT,       E,        E,       E,        E,      NOT,      NOT,       NOT),
    Event.ENDED:   (NOT,  I,         I,        I,       I,        I,      NOT,      NOT,       NOT),
    Event.ATTACH:  (A,    RUNS,      RUNS,     RUNS,    RUNS,     RUNS,   RUNS,     RUNS,      NOT),
    Event.DETACH:  (NOT,  NOT,       NOT,      NOT,     NOT,      NOT,    D,        NOT,       NOT),
    Event.DISPOSE: (X,    RUNS,      RUNS,     RUNS,    RUNS,     RUNS,   X,        X,         X),
}  # fmt: skip


@pytest.mark.parametrize("event", list(Event))
@pytest.mark.parametrize("state", list(State))
def test_every_event_in_every_state(state: State, event: Event) -> None:
    life = Lifecycle()
    life.state = state
    expected = EXPECTED[event][list(State).index(state)]
    if isinstance(expected, State):
        life.move(event)
        assert life.state is expected
    else:
        with pytest.raises(expected) as caught:  # type: ignore[call-overload]
            life.move(event)
        assert life.state is state
        assert state.value in str(caught.value)


def test_the_table_holds_nothing_else() -> None:
    allowed = sum(isinstance(outcome, State) for row in EXPECTED.values() for outcome in row)
    assert len(TRANSITIONS) == allowed


def test_a_refusal_says_what_to_do_instead() -> None:
    life = Lifecycle()
    life.state = State.ATTACHED
    assert "ends when that loop's program does" in str(life.refusal(Event.STOP))
    life.state = State.DISPOSED
    assert "make a new Reactor()" in str(life.refusal(Event.RUN))
