"""The lives of an entry (one connection) and of a job (one call): tables of transitions, and what runs them.

An illegal event raises IllegalTransition and leaves the state as it was. What an event means, and when it happens, is
the business of `_decide`; which state follows is written here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum

from asyncdb.options import PRIORITIES

__all__ = [
    "ENTRY_TABLE",
    "JOB_TABLE",
    "NORMAL",
    "Entry",
    "EntryEvent",
    "EntryState",
    "IllegalTransition",
    "Job",
    "JobEvent",
    "JobState",
    "advance",
    "illegal",
    "move",
]


NORMAL = PRIORITIES.index("normal")
"""The lane of calls that ask for no other."""


class EntryState(IntEnum):
    """Where a connection is in its life. An IntEnum, because its members index lists on the hot path."""

    CONNECTING = 0
    CHECKING = 1
    """A thread pings it: it rested long, its socket had something to say, or its last statement was interrupted."""
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


def illegal(event: str, entry: Entry) -> IllegalTransition:
    """The error for *event*, which does not go with what *entry* does."""
    return IllegalTransition(f"{event} for a connection in state {entry.state.name}")


def move(entry: Entry, event: EntryEvent) -> EntryState:
    """Take *entry* to the state that follows on *event*, and return that state.

    Raises: IllegalTransition; *entry* stays as it was.
    """
    target = _ENTRY_NEXT[entry.state][event]
    if target is None:
        raise illegal(event.name, entry)
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
    """One call.

    Attributes: *submitted* and *started*, when; *patience*, when it must have got a connection, and *deadline*, when it
        must have ended; *lane*, the index of its priority; *caller*, a name or None; *committing*, set by the thread
        just before COMMIT: from then on the outcome is not ours to know; *interrupted*, whether its statement was told
        to stop.
    """

    __slots__ = (
        "caller",
        "committing",
        "deadline",
        "interrupted",
        "lane",
        "patience",
        "sequence",
        "started",
        "state",
        "submitted",
    )

    def __init__(self, lane: int = NORMAL, caller: str | None = None) -> None:
        self.state: JobState = JobState.WAITING
        self.lane = lane
        self.caller = caller
        self.sequence = 0
        self.submitted = 0.0
        self.started = 0.0
        self.patience = math.inf
        self.deadline = math.inf
        self.committing = False
        self.interrupted = False


class Entry:
    """One connection, from the attempt to make it to its end.

    Attributes: *job*, the one that it runs, and *held*, those whose statements were executed in the same transaction,
        which is not committed; *since*, when it was last used, lent or begun to be made; *proven*, when it last was
        known to answer, minus infinity if there is doubt; *deadline*, of connecting, checking or resetting, or of
        coming back from a job that nobody waits for; *again*, when such a job is interrupted once more; *expires*, when
        its life ends, minus infinity if it is to be replaced as soon as it is free, and *reason*, why; *idle_limit*,
        seconds it may rest; *reported*, the sequence number of the job that was reported for holding it (-1: whoever
        borrowed it; 0: none).
    """

    __slots__ = (
        "again",
        "deadline",
        "expires",
        "held",
        "idle_limit",
        "job",
        "proven",
        "reason",
        "reported",
        "since",
        "state",
    )

    def __init__(self) -> None:
        self.state: EntryState = EntryState.CONNECTING
        self.job: Job | None = None
        self.held: list[Job] = []
        self.since = 0.0
        self.proven = -math.inf
        self.deadline = math.inf
        self.again = math.inf
        self.expires = math.inf
        self.reason = ""
        self.idle_limit = math.inf
        self.reported = 0
