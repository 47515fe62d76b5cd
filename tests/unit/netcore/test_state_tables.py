"""The lives of connections, pipes, connectors and thread pools: every event in every state."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from netcore import threadpool
from netcore.threadpool import ThreadPool
from netcore.transports._pipes import PipeWriter
from netcore.transports._states import (
    CONNECTOR_TRANSITIONS,
    PIPE_TRANSITIONS,
    STREAM_TRANSITIONS,
    ConnectorEvent,
    ConnectorState,
    PipeEvent,
    PipeState,
    StreamEvent,
    StreamState,
)
from netcore.transports._stream import StreamTransport
from netcore.transports.tcp import Connector

OPEN, R_ENDED, W_ENDING, W_ENDED, ENDING, CLOSING, DRAINING, CLOSED = StreamState  # R and W: one direction
DISCONNECTED, CONNECTING, CONNECTED = ConnectorState
P_OPEN, P_ENDING, P_CLOSED = PipeState
NEW, STARTED, STOPPING, STOPPED = threadpool._State
REFUSED = None

STREAM: dict[Enum, tuple[Any, ...]] = {
    #                        OPEN      R_ENDED  W_ENDING  W_ENDED  ENDING   CLOSING   DRAINING  CLOSED
    StreamEvent.LOSE:       (CLOSING,  CLOSING, CLOSING,  CLOSING, CLOSING, CLOSING,  DRAINING, CLOSED),
    StreamEvent.LOSE_WRITE: (W_ENDING, ENDING,  W_ENDING, W_ENDED, ENDING,  CLOSING,  DRAINING, CLOSED),
    StreamEvent.PEER_ENDED: (R_ENDED,  REFUSED, ENDING,   CLOSING, REFUSED, REFUSED,  REFUSED,  REFUSED),
    StreamEvent.SENT_LAST:  (REFUSED,  REFUSED, W_ENDED,  REFUSED, CLOSING, REFUSED,  REFUSED,  REFUSED),
    StreamEvent.FLUSHED:    (REFUSED,  REFUSED, REFUSED,  REFUSED, REFUSED, DRAINING, REFUSED,  REFUSED),
    StreamEvent.END:        (CLOSED,   CLOSED,  CLOSED,   CLOSED,  CLOSED,  CLOSED,   CLOSED,   CLOSED),
}  # fmt: skip
CONNECTOR: dict[Enum, tuple[Any, ...]] = {
    #                        DISCONNECTED  CONNECTING    CONNECTED
    ConnectorEvent.CONNECT: (CONNECTING,   REFUSED,      REFUSED),
    ConnectorEvent.FAILED:  (REFUSED,      DISCONNECTED, REFUSED),
    ConnectorEvent.MADE:    (REFUSED,      CONNECTED,    REFUSED),
    ConnectorEvent.LOST:    (REFUSED,      REFUSED,      DISCONNECTED),
}  # fmt: skip
PIPE: dict[Enum, tuple[Any, ...]] = {
    #                P_OPEN    P_ENDING  P_CLOSED
    PipeEvent.LOSE: (P_ENDING, P_ENDING, P_CLOSED),
    PipeEvent.END:  (P_CLOSED, P_CLOSED, P_CLOSED),
}  # fmt: skip
POOL: dict[Enum, tuple[Any, ...]] = {
    #                         NEW       STARTED   STOPPING  STOPPED
    threadpool._Event.START: (STARTED,  STARTED,  REFUSED,  REFUSED),
    threadpool._Event.STOP:  (STOPPING, STOPPING, STOPPING, STOPPED),
    threadpool._Event.ENDED: (REFUSED,  REFUSED,  STOPPED,  REFUSED),
}  # fmt: skip


def bare(cls: type[Any], **attributes: Any) -> Any:
    """An object of *cls* that has a state and nothing else."""
    made = cls.__new__(cls)
    made.__dict__.update(attributes)
    return made


def connector() -> Any:
    return bare(Connector, host="example.net", port=79, factory=None)


MACHINES = [
    (lambda: bare(StreamTransport), StreamState, STREAM, STREAM_TRANSITIONS),
    (lambda: bare(PipeWriter), PipeState, PIPE, PIPE_TRANSITIONS),
    (connector, ConnectorState, CONNECTOR, CONNECTOR_TRANSITIONS),
    (ThreadPool, threadpool._State, POOL, threadpool._TRANSITIONS),
]
CASES = [
    pytest.param(make, state, event, expected, id=f"{type(state).__name__}-{state.name}-{event.name}")
    for make, states, table, _ in MACHINES
    for event, row in table.items()
    for state, expected in zip(states, row, strict=True)
]


@pytest.mark.parametrize(("make", "state", "event", "expected"), CASES)
def test_every_event_in_every_state(make: Any, state: Enum, event: Enum, expected: Enum | None) -> None:
    thing = make()
    thing._state = state
    if expected is REFUSED:
        with pytest.raises(RuntimeError) as caught:
            thing._move(event)
        assert thing._state is state
        assert state.value in str(caught.value)
    else:
        thing._move(event)
        assert thing._state is expected


@pytest.mark.parametrize(("make", "states", "table", "transitions"), MACHINES)
def test_the_tables_hold_nothing_else(make: Any, states: type[Enum], table: Any, transitions: Any) -> None:
    assert len(transitions) == sum(expected is not REFUSED for row in table.values() for expected in row)
