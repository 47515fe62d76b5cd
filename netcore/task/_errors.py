"""Why something cannot be done to a task that runs with others."""

from __future__ import annotations

__all__ = [
    "NotPaused",
    "SchedulerError",
    "SchedulerStopped",
    "TaskDone",
    "TaskFailed",
    "TaskFinished",
    "TaskStopped",
]


class SchedulerError(Exception):
    """A task, or the Cooperator, is in the wrong state for that. Never raised itself."""


class SchedulerStopped(SchedulerError):
    """The Cooperator was stopped, and its tasks with it."""


class TaskFinished(SchedulerError):
    """The task is over; `CooperativeTask.whenDone` tells with what result. Never raised itself."""


class TaskDone(TaskFinished):
    """Its iterator has come to its end."""


class TaskStopped(TaskFinished):
    """`CooperativeTask.stop` was called."""


class TaskFailed(TaskFinished):
    """Its iterator, or a Deferred that it yielded, failed."""


class NotPaused(SchedulerError):
    """`CooperativeTask.resume` was called more often than ``pause``."""
