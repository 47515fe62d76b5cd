"""The lives of connections and connectors, as data: states, events, and which event leads from where to where."""

from __future__ import annotations

from enum import Enum

__all__ = [
    "CONNECTOR_TRANSITIONS",
    "PIPE_TRANSITIONS",
    "STREAM_TRANSITIONS",
    "ConnectorEvent",
    "ConnectorState",
    "PipeEvent",
    "PipeState",
    "StreamEvent",
    "StreamState",
]


class StreamState(Enum):
    """Where a connection is in its life. "Ended" is one direction of it, "closed" is both."""

    OPEN = "open"
    READ_ENDED = "open for writing: the peer has sent its last"
    WRITE_ENDING = "open for reading: what was written is being sent, the last"
    WRITE_ENDED = "open for reading: the last is sent"
    BOTH_ENDING = "closing: the peer has sent its last, ours is being sent"
    CLOSING = "closing: what was written is being sent"
    DRAINING = "closing: all is sent, waiting for the peer to close"
    CLOSED = "closed"


class StreamEvent(Enum):
    """What moves a connection from state to state."""

    LOSE = "loseConnection()"
    LOSE_WRITE = "loseWriteConnection()"
    PEER_ENDED = "the peer has sent its last, and the protocol goes on"
    SENT_LAST = "the last is sent, and the peer was told so"
    FLUSHED = "all is sent, and the peer has sent more"
    END = "the socket is closed"


# A pair that is not here cannot happen.
STREAM_TRANSITIONS: dict[tuple[StreamState, StreamEvent], StreamState] = {
    (StreamState.OPEN, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.OPEN, StreamEvent.LOSE_WRITE): StreamState.WRITE_ENDING,
    (StreamState.OPEN, StreamEvent.PEER_ENDED): StreamState.READ_ENDED,
    (StreamState.OPEN, StreamEvent.END): StreamState.CLOSED,
    (StreamState.READ_ENDED, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.READ_ENDED, StreamEvent.LOSE_WRITE): StreamState.BOTH_ENDING,
    (StreamState.READ_ENDED, StreamEvent.END): StreamState.CLOSED,
    (StreamState.WRITE_ENDING, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.WRITE_ENDING, StreamEvent.LOSE_WRITE): StreamState.WRITE_ENDING,
    (StreamState.WRITE_ENDING, StreamEvent.PEER_ENDED): StreamState.BOTH_ENDING,
    (StreamState.WRITE_ENDING, StreamEvent.SENT_LAST): StreamState.WRITE_ENDED,
    (StreamState.WRITE_ENDING, StreamEvent.END): StreamState.CLOSED,
    (StreamState.WRITE_ENDED, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.WRITE_ENDED, StreamEvent.LOSE_WRITE): StreamState.WRITE_ENDED,
    (StreamState.WRITE_ENDED, StreamEvent.PEER_ENDED): StreamState.CLOSING,
    (StreamState.WRITE_ENDED, StreamEvent.END): StreamState.CLOSED,
    (StreamState.BOTH_ENDING, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.BOTH_ENDING, StreamEvent.LOSE_WRITE): StreamState.BOTH_ENDING,
    (StreamState.BOTH_ENDING, StreamEvent.SENT_LAST): StreamState.CLOSING,
    (StreamState.BOTH_ENDING, StreamEvent.END): StreamState.CLOSED,
    (StreamState.CLOSING, StreamEvent.LOSE): StreamState.CLOSING,
    (StreamState.CLOSING, StreamEvent.LOSE_WRITE): StreamState.CLOSING,
    (StreamState.CLOSING, StreamEvent.FLUSHED): StreamState.DRAINING,
    (StreamState.CLOSING, StreamEvent.END): StreamState.CLOSED,
    (StreamState.DRAINING, StreamEvent.LOSE): StreamState.DRAINING,
    (StreamState.DRAINING, StreamEvent.LOSE_WRITE): StreamState.DRAINING,
    (StreamState.DRAINING, StreamEvent.END): StreamState.CLOSED,
    (StreamState.CLOSED, StreamEvent.LOSE): StreamState.CLOSED,
    (StreamState.CLOSED, StreamEvent.LOSE_WRITE): StreamState.CLOSED,
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


class PipeState(Enum):
    """Where one direction of a pipe, a terminal or a file is in its life."""

    OPEN = "open"
    ENDING = "ending: what was written is being sent"
    CLOSED = "closed"


class PipeEvent(Enum):
    """What moves it."""

    LOSE = "lose()"
    END = "the descriptor is closed"


# A pair that is not here cannot happen.
PIPE_TRANSITIONS: dict[tuple[PipeState, PipeEvent], PipeState] = {
    (PipeState.OPEN, PipeEvent.LOSE): PipeState.ENDING,
    (PipeState.OPEN, PipeEvent.END): PipeState.CLOSED,
    (PipeState.ENDING, PipeEvent.LOSE): PipeState.ENDING,
    (PipeState.ENDING, PipeEvent.END): PipeState.CLOSED,
    (PipeState.CLOSED, PipeEvent.LOSE): PipeState.CLOSED,
    (PipeState.CLOSED, PipeEvent.END): PipeState.CLOSED,
}
