"""A slot (an entry with its connection) and a call (a job with what it does and who waits for it)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncdb._core import Entry, Job, JobState
from netcore.defer import Deferred

if TYPE_CHECKING:
    from asyncdb._worker._crew import Crew

__all__ = ["NOTHING", "Call", "Slot", "Task"]
_WAITING = JobState.WAITING  # a global is read faster than an attribute of an enum class


class Slot(Entry):
    """An entry with its connection. What is here is the carrying thread's own, ``cuttable`` excepted."""

    __slots__ = (
        "borrowed",
        "connection",
        "cuttable",
        "extra",
        "look",
        "lost",
        "plain",
        "returning",
        "session",
        "types",
    )

    def __init__(self) -> None:
        super().__init__()
        self.connection: Any = None
        self.cuttable = False
        self.look: Callable[[], object] | None = None  # has the server said something unasked?
        self.plain = False  # a statement may run in autocommit
        self.lost = False  # found out by a task
        self.session: object = None  # as it was after connecting
        self.returning: Call | None = None  # who waits for it to be reset
        self.borrowed = False  # lent, and not given back: its borrower may be inside a call on it
        self.extra: Any = None  # the engine's
        self.types: Any = None  # those that the engine has registered


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of call.

    Attributes:
        run: called with the slot and the call, in a worker thread, in the context that the call was made in.
        foreign: the user's code gets at the connection, and may leave anything behind on it.
        lends: it asks for the connection itself.
    """

    run: Callable[[Slot, Call], Any]
    foreign: bool = False
    lends: bool = False


class Call(Job):
    """A job with what it does and who waits for it. It is the canceller of its own Deferred."""

    __slots__ = ("args", "context", "crew", "deferred", "function", "kwargs", "task")

    def __init__(self, crew: Crew, task: Task, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Job's slots too, since calling its __init__ costs a fifth of this; those set on submission are left out.
        self.state: JobState = _WAITING
        self.committing = False
        self.crew = crew
        self.task = task
        self.function: Any = function
        self.args = args
        self.kwargs = kwargs
        self.context: Context = copy_context()
        self.deferred: Deferred[Any] | None = None

    def __call__(self, deferred: Deferred[Any]) -> None:
        """The caller cancels."""
        self.deferred = None
        if self.crew.cancel(self):
            # It may stay in the queue a while, and shall keep nothing alive.
            self.task, self.function, self.args, self.kwargs = NOTHING, None, (), {}


NOTHING = Task(lambda slot, call: None)
"""The task of a call that will not be run, or of what is no call at all."""
