"""Doing things later, again, a piece at a time, or as a whole program: `deferLater`, `LoopingCall`, `cooperate`,
`react`, and `Clock` to test such with.

Everything here takes time from an `IReactorTime`: the current reactor, unless another, such as a `Clock`, is given.
"""

from netcore.task._clock import Clock
from netcore.task._cooperate import CooperativeTask, Cooperator, coiterate, cooperate
from netcore.task._errors import (
    NotPaused,
    SchedulerError,
    SchedulerStopped,
    TaskDone,
    TaskFailed,
    TaskFinished,
    TaskStopped,
)
from netcore.task._later import deferLater
from netcore.task._looping import LoopingCall
from netcore.task._react import react

__all__ = [
    "Clock",
    "CooperativeTask",
    "Cooperator",
    "LoopingCall",
    "NotPaused",
    "SchedulerError",
    "SchedulerStopped",
    "TaskDone",
    "TaskFailed",
    "TaskFinished",
    "TaskStopped",
    "coiterate",
    "cooperate",
    "deferLater",
    "react",
]
