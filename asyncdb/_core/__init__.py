"""The pure core of the pool: what it decides (`_decide`), and the states behind the decisions (`_states`). Private."""

from asyncdb._core._crowd import Crowd, QuickCalls, SharedProcessors
from asyncdb._core._decide import Core
from asyncdb._core._orders import Orders
from asyncdb._core._states import (
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

__all__ = [
    "ENTRY_TABLE",
    "JOB_TABLE",
    "Core",
    "Crowd",
    "Entry",
    "EntryEvent",
    "EntryState",
    "IllegalTransition",
    "Job",
    "JobEvent",
    "JobState",
    "Orders",
    "QuickCalls",
    "SharedProcessors",
]
