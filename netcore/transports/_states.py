"""The lives of connections and connectors, as data: states, events, and which event leads from where to where."""

from __future__ import annotations

from enum import Enum

__all__ = [
    "CONNECTOR_TRANSITIONS",
    "STREAM_TRANSITIONS",
    "ConnectorEvent",
    "ConnectorState",
    "StreamEvent",
    "StreamState",
]


class StreamState(Enum):
    """Where a connection is in its life."""

    OPEN = "open"
    CLOSING = "closing: what was written is being sent"
    DRAINING = "closing: all is sent, waiting for the peer to close"
    CLOSED = "closed"


class StreamEvent(Enum):
    """What moves a connection from state to state."""

    LOSE = "loseConnection()"
    FLUSHED = "all is sent, and the peer has sent more"
    END = "the socket is closed"


# A pair that is not here cannot happen.
STREAM_TRANSITIONS: dict[tuple[StreamState, StreamEvent], StreamState] = {
    (StreamState.OPEN, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.OPEN, StreamEvent.END): StreamState.CLOSED,
    (StreamState.CLOSING, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.CLOSING, StreamEvent.FLUSHED): StreamState.DRAINING,
    (StreamState.CLOSING, StreamEvent.END): StreamState.CLOSED,
    (StreamState.DRAINING, StreamEvent.LOSE): StreamState.DRAINING,
    (StreamState.DRAINING, StreamEvent.END): StreamState.CLOSED,
    (StreamState.CLOSED, StreamEvent.LOSE): StreamState.CLOSED,
    (StreamState.CLOSED, StreamEvent.END): StreamState.CLOSED,
}


class ConnectorState(Enum):
    """Where a connector is in its life."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"


class ConnectorEvent(Enum):
    """What moves it."""

    CONNECT = "connect()"
    FAILED = "the attempt failed"
    MADE = "the connection was made"
    LOST = "the connection was lost"


# A pair that is not here is refused.
CONNECTOR_TRANSITIONS: dict[tuple[ConnectorState, ConnectorEvent], ConnectorState] = {
    (ConnectorState.DISCONNECTED, ConnectorEvent.CONNECT): ConnectorState.CONNECTING,
    (ConnectorState.CONNECTING, ConnectorEvent.FAILED): ConnectorState.DISCONNECTED,
    (ConnectorState.CONNECTING, ConnectorEvent.MADE): ConnectorState.CONNECTED,
    (ConnectorState.CONNECTED, ConnectorEvent.LOST): ConnectorState.DISCONNECTED,
}
