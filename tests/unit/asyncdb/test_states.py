"""The two tables, every pair of state and event: what is in the table happens, everything else is refused."""

from __future__ import annotations

import pytest

from asyncdb._core import (
    ENTRY_TABLE,
    JOB_TABLE,
    Entry,
    EntryEvent,
    EntryState,
    IllegalTransition,
    Job,
    JobEvent,
    JobState,
)
from asyncdb._core._states import advance, move

S, V = EntryState, EntryEvent

# Written out a second time, on purpose: a change of the table is a change of the design, and shall be made twice.
ENTRY_MOVES = {
    (S.CONNECTING, V.CONNECTED): S.IDLE,
    (S.CONNECTING, V.ENDED): S.GONE,
    (S.CONNECTING, V.ABANDONED): S.ABANDONED,
    (S.CHECKING, V.CHECKED): S.IDLE,
    (S.CHECKING, V.ENDED): S.GONE,
    (S.CHECKING, V.ABANDONED): S.ABANDONED,
    (S.IDLE, V.ASSIGNED): S.BUSY,
    (S.IDLE, V.SUSPECTED): S.CHECKING,
    (S.IDLE, V.RETIRED): S.CLOSING,
    (S.BUSY, V.HANDED_OVER): S.BUSY,
    (S.BUSY, V.FINISHED): S.IDLE,
    (S.BUSY, V.SUSPECTED): S.CHECKING,
    (S.BUSY, V.LENT): S.LENT,
    (S.BUSY, V.ENDED): S.GONE,
    (S.BUSY, V.ABANDONED): S.ABANDONED,
    (S.LENT, V.RETURNED): S.RESETTING,
    (S.LENT, V.RETIRED): S.CLOSING,
    (S.RESETTING, V.FINISHED): S.IDLE,
    (S.RESETTING, V.ENDED): S.GONE,
    (S.RESETTING, V.ABANDONED): S.ABANDONED,
    (S.CLOSING, V.ENDED): S.GONE,
    (S.CLOSING, V.ABANDONED): S.ABANDONED,
    (S.ABANDONED, V.ENDED): S.GONE,
}
JOB_MOVES = {
    (JobState.WAITING, JobEvent.STARTED): JobState.RUNNING,
    (JobState.WAITING, JobEvent.DROPPED): JobState.DONE,
    (JobState.RUNNING, JobEvent.REQUEUED): JobState.WAITING,
    (JobState.RUNNING, JobEvent.FINISHED): JobState.DONE,
    (JobState.RUNNING, JobEvent.ABANDONED): JobState.ABANDONED,
    (JobState.ABANDONED, JobEvent.REQUEUED): JobState.DONE,
    (JobState.ABANDONED, JobEvent.FINISHED): JobState.DONE,
}


@pytest.mark.parametrize("state", EntryState)
@pytest.mark.parametrize("event", EntryEvent)
def test_every_entry_state_and_event(state: EntryState, event: EntryEvent) -> None:
    entry = Entry()
    entry.state = state
    target = ENTRY_MOVES.get((state, event))
    if target is None:
        with pytest.raises(IllegalTransition, match=f"{event.name}.*{state.name}"):
            move(entry, event)
        assert entry.state is state
    else:
        assert move(entry, event) is target
        assert entry.state is target


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("event", JobEvent)
def test_every_job_state_and_event(state: JobState, event: JobEvent) -> None:
    job = Job()
    job.state = state
    target = JOB_MOVES.get((state, event))
    if target is None:
        with pytest.raises(IllegalTransition, match=f"{event.name}.*{state.name}"):
            advance(job, event)
        assert job.state is state
    else:
        advance(job, event)
        assert job.state is target


def test_the_tables_name_every_state() -> None:
    assert set(ENTRY_TABLE) == set(EntryState)
    assert set(JOB_TABLE) == set(JobState)


def test_every_state_but_the_last_can_be_left_and_every_state_but_the_first_reached() -> None:
    assert all(ENTRY_TABLE[state] for state in EntryState if state is not EntryState.GONE)
    reached = {target for moves in ENTRY_TABLE.values() for target in moves.values()}
    assert reached == set(EntryState) - {EntryState.CONNECTING}
