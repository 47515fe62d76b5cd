"""The life of a `ClientService` as data: states, events, and which event leads from where to where, and what is done
then. The machine that runs it is in `_client`.

There is one attempt to connect at a time, which becomes the connection if it succeeds, and no other begins before
nothing is left of it: all states but STOPPED and WAITING have one, and only `Event.ENDED`, its last, leads from there
to STOPPED, WAITING, or the next attempt. That is why there are never two connections, and since WAITING is between any
two attempts of a service that runs, never a busy loop.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["TRANSITIONS", "Action", "Event", "State"]


class State(Enum):
    """Where the service is in its life."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    PREPARING = "connected, and being prepared"
    CONNECTED = "connected"
    CLOSING = "failed to connect, and what stands of the attempt is being closed"
    WAITING = "waiting before the next attempt"
    STOPPING = "stopping"
    RESTARTING = "stopping, in order to start again"


class Event(Enum):
    """What moves it."""

    START = "startService()"
    STOP = "stopService()"
    MADE = "the connection stands"
    FAILED = "the attempt failed"
    PREPARED = "prepareConnection succeeded"
    REJECTED = "prepareConnection failed"
    ENDED = "nothing is left of the attempt and its connection"
    DUE = "it is time for the next attempt"


class Action(Enum):
    """What is done on the way. Each is a method of the machine."""

    CONNECT = "begin an attempt"
    PREPARE = "call prepareConnection"
    LEAVE = "end the attempt or its connection"
    WAIT = "set the timer for the next attempt"
    WAIT_NO_MORE = "cancel that"
    GIVE = "give the connection to those who wait for one"
    COUNT = "tell a failure to those who wait for no more of them"
    DISAPPOINT = "fail all who wait for a connection"
    TELL_STOPPED = "fire what stopService returned"


_S, _E, _A = State, Event, Action

# A pair that is not here cannot happen: an attempt that was told to end reports nothing but ENDED, and a service that
# runs is not started.
TRANSITIONS: dict[tuple[State, Event], tuple[State, tuple[Action, ...]]] = {
    (_S.STOPPED, _E.START): (_S.CONNECTING, (_A.CONNECT,)),
    (_S.STOPPED, _E.STOP): (_S.STOPPED, (_A.DISAPPOINT, _A.TELL_STOPPED)),
    (_S.CONNECTING, _E.STOP): (_S.STOPPING, (_A.DISAPPOINT, _A.LEAVE)),
    (_S.CONNECTING, _E.MADE): (_S.PREPARING, (_A.PREPARE,)),
    (_S.CONNECTING, _E.FAILED): (_S.CLOSING, (_A.COUNT, _A.LEAVE)),
    (_S.CONNECTING, _E.ENDED): (_S.WAITING, (_A.COUNT, _A.WAIT)),  # it was lost before it was looked at
    (_S.PREPARING, _E.STOP): (_S.STOPPING, (_A.DISAPPOINT, _A.LEAVE)),
    (_S.PREPARING, _E.PREPARED): (_S.CONNECTED, (_A.GIVE,)),
    (_S.PREPARING, _E.REJECTED): (_S.CLOSING, (_A.COUNT, _A.LEAVE)),
    (_S.PREPARING, _E.ENDED): (_S.WAITING, (_A.COUNT, _A.WAIT)),
    (_S.CONNECTED, _E.STOP): (_S.STOPPING, (_A.LEAVE,)),
    (_S.CONNECTED, _E.ENDED): (_S.WAITING, (_A.WAIT,)),
    (_S.CLOSING, _E.STOP): (_S.STOPPING, (_A.DISAPPOINT,)),
    (_S.CLOSING, _E.ENDED): (_S.WAITING, (_A.WAIT,)),
    (_S.WAITING, _E.STOP): (_S.STOPPED, (_A.WAIT_NO_MORE, _A.DISAPPOINT, _A.TELL_STOPPED)),
    (_S.WAITING, _E.DUE): (_S.CONNECTING, (_A.CONNECT,)),
    (_S.STOPPING, _E.START): (_S.RESTARTING, ()),
    (_S.STOPPING, _E.STOP): (_S.STOPPING, ()),
    (_S.STOPPING, _E.ENDED): (_S.STOPPED, (_A.DISAPPOINT, _A.TELL_STOPPED)),
    (_S.RESTARTING, _E.STOP): (_S.STOPPING, (_A.DISAPPOINT,)),
    (_S.RESTARTING, _E.ENDED): (_S.CONNECTING, (_A.TELL_STOPPED, _A.CONNECT)),
}
