"""The lives of an entry (one connection) and of a job (one call): tables of transitions, and what runs them.

An illegal event raises IllegalTransition and leaves the state as it was. What an event means, and when it happens, is
the business of `_decide`; which state follows is written here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum

__all__ = [
    "ENTRY_TABLE",
    "JOB_TABLE",
    "Entry",
    "EntryEvent",
    "EntryState",
    "IllegalTransition",
    "Job",
    "JobEvent",
    "JobState",
    "advance",
    "move",
]


class EntryState(IntEnum):
    """Where a connection is in its life. An IntEnum, because its members index lists on the hot path."""

    CONNECTING = 0
    CHECKING = 1
    """A thread pings it: it rested long, or its socket had something to say."""
    IDLE = 2
    BUSY = 3
    LENT = 4
    """Checked out by `connect()`; no thread carries it."""
    RESETTING = 5
    """Given back; a thread rolls back what was left open."""
    CLOSING = 6
    ABANDONED = 7
    """Counts no longer: its thread took too long or was cut. What the thread brings back is closed."""
    GONE = 8


class EntryEvent(IntEnum):
    """What happens to a connection."""

    CONNECTED = 0
    ASSIGNED = 1
    HANDED_OVER = 2
    """Ended one job and took the next."""
    FINISHED = 3
    SUSPECTED = 4
    CHECKED = 5
    LENT = 6
    RETURNED = 7
    RETIRED = 8
    ENDED = 9
    """The connection was closed, or never came about."""
    ABANDONED = 10


ENTRY_TABLE: Mapping[EntryState, Mapping[EntryEvent, EntryState]] = {
    EntryState.CONNECTING: {
        EntryEvent.CONNECTED: EntryState.IDLE,
        EntryEvent.ENDED: EntryState.GONE,
        EntryEvent.ABANDONED: EntryState.ABANDONED,
    },
    EntryState.CHECKING: {
        EntryEvent.CHECKED: EntryState.IDLE,
        EntryEvent.ENDED: EntryState.GONE,
        EntryEvent.ABANDONED: EntryState.ABANDONED,
    },
    EntryState.IDLE: {
        EntryEvent.ASSIGNED: EntryState.BUSY,
        EntryEvent.SUSPECTED: EntryState.CHECKING,
        EntryEvent.RETIRED: EntryState.CLOSING,
    },
    EntryState.BUSY: {
        EntryEvent.HANDED_OVER: EntryState.BUSY,
        EntryEvent.FINISHED: EntryState.IDLE,
        EntryEvent.SUSPECTED: EntryState.CHECKING,
        EntryEvent.LENT: EntryState.LENT,
        EntryEvent.ENDED: EntryState.GONE,
        EntryEvent.ABANDONED: EntryState.ABANDONED,
    },
    EntryState.LENT: {
        EntryEvent.RETURNED: EntryState.RESETTING,
        EntryEvent.RETIRED: EntryState.CLOSING,
    },
    EntryState.RESETTING: {
        EntryEvent.FINISHED: EntryState.IDLE,
        EntryEvent.ENDED: EntryState.GONE,
        EntryEvent.ABANDONED: EntryState.ABANDONED,
    },
    EntryState.CLOSING: {
        EntryEvent.ENDED: EntryState.GONE,
        EntryEvent.ABANDONED: EntryState.ABANDONED,
    },
    EntryState.ABANDONED: {
        EntryEvent.ENDED: EntryState.GONE,
    },
    EntryState.GONE: {},
}


class JobState(IntEnum):
    """Where a call is in its life."""

    WAITING = 0
    RUNNING = 1
    ABANDONED = 2
    """Its caller has been answered (cancelled, too late, pool closed); its entry returns when its statement ended."""
    DONE = 3


class JobEvent(IntEnum):
    """What happens to a call."""

    STARTED = 0
    REQUEUED = 1
    FINISHED = 2
    DROPPED = 3
    ABANDONED = 4


JOB_TABLE: Mapping[JobState, Mapping[JobEvent, JobState]] = {
    JobState.WAITING: {
        JobEvent.STARTED: JobState.RUNNING,
        JobEvent.DROPPED: JobState.DONE,
    },
    JobState.RUNNING: {
        JobEvent.REQUEUED: JobState.WAITING,
        JobEvent.FINISHED: JobState.DONE,
        JobEvent.ABANDONED: JobState.ABANDONED,
    },
    JobState.ABANDONED: {
        JobEvent.REQUEUED: JobState.DONE,  # nobody waits for it any more, and nothing was sent
        JobEvent.FINISHED: JobState.DONE,
    },
    JobState.DONE: {},
}

# The tables as lists of lists: two indexings on the hot path instead of two hashings of enum members.
_ENTRY_NEXT = [[ENTRY_TABLE[state].get(event) for event in EntryEvent] for state in EntryState]
_JOB_NEXT = [[JOB_TABLE[state].get(event) for event in JobEvent] for state in JobState]


class IllegalTransition(AssertionError):
    """An event that cannot happen in this state: a mistake in asyncdb. Nothing was changed."""


def move(entry: Entry, event: EntryEvent) -> EntryState:
    """Take *entry* to the state that follows on *event*, and return that state.

    Raises: IllegalTransition; *entry* stays as it was.
    """
    target = _ENTRY_NEXT[entry.state][event]
    if target is None:
        raise IllegalTransition(f"{event.name} for a connection in state {entry.state.name}")
    entry.state = target
    return target


def advance(job: Job, event: JobEvent) -> None:
    """The same for a job.

    Raises: IllegalTransition; *job* stays as it was.
    """
    target = _JOB_NEXT[job.state][event]
    if target is None:
        raise IllegalTransition(f"{event.name} for a call in state {job.state.name}")
    job.state = target


class Job:
    """One call. *deadline*: when it must have got a connection."""

    __slots__ = ("committing", "deadline", "sequence", "started", "state")

    def __init__(self, deadline: float = math.inf) -> None:
        self.state: JobState = JobState.WAITING
        self.deadline = deadline
        self.sequence = 0
        self.started = 0.0
        self.committing = False  # set by the thread just before COMMIT: from then on the outcome is not ours to know


class Entry:
    """One connection, from the attempt to make it to its end."""

    __slots__ = ("deadline", "job", "since", "state")

    def __init__(self) -> None:
        self.state: EntryState = EntryState.CONNECTING
        self.job: Job | None = None
        self.since = 0.0  # at rest since
        self.deadline = math.inf  # of connecting, checking or resetting
