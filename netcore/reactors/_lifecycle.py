"""The life of a reactor, as data.

A reactor of one's own: IDLE → STARTING → RUNNING → STOPPING → ENDING → IDLE, as often as one likes; `crash` goes
straight to ENDING. In between, `iterate` goes IDLE → ITERATING → IDLE. One attached to a loop that runs by other means:
ATTACHED → DETACHING when that loop's program ends. Both end in DISPOSED. An event that has no place in a state raises
and leaves the state as it was; `move` is the only thing that changes it.
"""

from __future__ import annotations

from enum import Enum

from netcore.error import ReactorAlreadyRunning, ReactorNotRunning

__all__ = ["TRANSITIONS", "Event", "Lifecycle", "State"]


class State(Enum):
    """Where a reactor is in its life. (The values complete "the reactor …".)"""

    IDLE = "is not running"
    ITERATING = "is in the middle of iterate()"
    STARTING = "is starting"
    RUNNING = "is running"
    STOPPING = "is stopping"
    ENDING = "is about to return from run()"
    ATTACHED = "is attached to an asyncio loop that others run"
    DETACHING = "is being shut down with the asyncio loop it is attached to"
    DISPOSED = "has been disposed of"


class Event(Enum):
    """What happens to a reactor."""

    RUN = "run()"
    ITERATE = "iterate()"
    STARTED = "startup reached its second phase"
    STOP = "stop()"
    CRASH = "crash()"
    ENDED = "the loop stopped turning"
    ATTACH = "attach to a running loop"
    DETACH = "the loop it is attached to ends"
    DISPOSE = "dispose()"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.RUN): State.STARTING,
    (State.IDLE, Event.ITERATE): State.ITERATING,
    (State.ITERATING, Event.ENDED): State.IDLE,
    (State.IDLE, Event.ATTACH): State.ATTACHED,
    (State.IDLE, Event.DISPOSE): State.DISPOSED,
    (State.STARTING, Event.STARTED): State.RUNNING,
    (State.STARTING, Event.STOP): State.STOPPING,
    (State.STARTING, Event.CRASH): State.ENDING,
    (State.STARTING, Event.ENDED): State.IDLE,
    (State.RUNNING, Event.STOP): State.STOPPING,
    (State.RUNNING, Event.CRASH): State.ENDING,
    (State.RUNNING, Event.ENDED): State.IDLE,
    # A "before startup" trigger's Deferred may fire only after stop() or crash().
    (State.STOPPING, Event.STARTED): State.STOPPING,
    (State.STOPPING, Event.CRASH): State.ENDING,
    (State.STOPPING, Event.ENDED): State.IDLE,
    (State.ENDING, Event.STARTED): State.ENDING,
    (State.ENDING, Event.CRASH): State.ENDING,
    (State.ENDING, Event.ENDED): State.IDLE,
    (State.ATTACHED, Event.DETACH): State.DETACHING,
    (State.ATTACHED, Event.DISPOSE): State.DISPOSED,
    (State.DETACHING, Event.DISPOSE): State.DISPOSED,
    (State.DISPOSED, Event.DISPOSE): State.DISPOSED,
}

_ADVICE = {
    (State.ATTACHED, Event.RUN): ": it turns whenever that loop does",
    (State.ATTACHED, Event.ITERATE): ": it turns whenever that loop does",
    (State.RUNNING, Event.ITERATE): ": run() turns the loop until stop()",
    (State.ATTACHED, Event.STOP): ": it ends when that loop's program does",
    (State.ATTACHED, Event.CRASH): ": it ends when that loop's program does",
    (State.DISPOSED, Event.RUN): ": make a new Reactor()",
    (State.DISPOSED, Event.ITERATE): ": make a new Reactor()",
    (State.RUNNING, Event.DISPOSE): ": stop() it, and dispose of it when run() has returned",
}


class Lifecycle:
    """The state of one reactor."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.IDLE

    def move(self, event: Event) -> None:
        """*event* happened.

        Raises: ReactorNotRunning, ReactorAlreadyRunning: it cannot, in this state.
        """
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            raise self.refusal(event)
        self.state = after

    def refusal(self, event: Event) -> ReactorNotRunning | ReactorAlreadyRunning:
        """The error that says why *event* cannot happen now."""
        text = f"{event.value} is not possible: the reactor {self.state.value}{_ADVICE.get((self.state, event), '')}"
        if self.state is not State.DISPOSED and event in (Event.RUN, Event.ITERATE, Event.ATTACH, Event.DISPOSE):
            return ReactorAlreadyRunning(text)
        return ReactorNotRunning(text)
