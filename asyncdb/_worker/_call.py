"""A slot (an entry with its connection) and a call (a job with what it does and who waits for it)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from traceback import StackSummary
from typing import TYPE_CHECKING, Any

from asyncdb._core import Entry, Job, JobState
from asyncdb.dialect import PLAIN
from asyncdb.errors import CommitUnknown
from asyncdb.options import PRIORITIES, CallOptions
from netcore.defer import Deferred

if TYPE_CHECKING:
    from asyncdb._worker._crew import Crew

__all__ = ["NOTHING", "Call", "Slot", "Task", "no_status"]

_WAITING = JobState.WAITING  # a global is read faster than an attribute of an enum class


def no_status() -> None:
    """Of a slot without a connection."""


NO_KEYWORDS: dict[str, Any] = {}
"""Of calls without: shared, so never changed."""


class Slot(Entry):
    """An entry with its connection.

    What is here is the carrying thread's own, except, under the crew's lock: *cuttable*; *interrupting*, a thread tells
    its statement to stop; *parked*, its carrier has left it to that thread; *doomed*, the connection which that thread
    is to close.
    """

    __slots__ = (
        "borrowed",
        "connection",
        "cursor",
        "cuttable",
        "dirty",
        "doomed",
        "extra",
        "interrupting",
        "look",
        "lost",
        "may_autocommit",
        "origin",
        "parked",
        "returning",
        "session",
        "status",
        "types",
    )

    def __init__(self) -> None:
        super().__init__()
        self.connection: Any = None
        self.cuttable = False
        self.interrupting = False
        self.parked = False
        self.doomed: Any = None
        self.dirty = False  # an interrupted call may have left anything behind
        self.look: Callable[[], object] | None = None  # has the server said something unasked?
        self.status: Callable[[], object] = no_status  # false: no transaction is open
        self.cursor: Any = None  # that of the query before, as good as new
        self.may_autocommit = False  # a call of one statement needs no transaction
        self.lost = False  # found out by a task
        self.session: object = None  # as it was after connecting
        self.returning: Call | None = None  # who waits for it to be reset
        self.borrowed = False  # lent, and not given back: its borrower may be inside a call on it
        self.origin: StackSummary | None = None  # of the borrower
        self.extra: Any = None  # the engine's
        self.types: Any = None  # those that the engine has registered


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of call.

    Args:
        run: called with the slot and the call, in a worker thread.
        inside: in the context that the call was made in; else *run* enters that by itself, and leaves it again before
            the call has ended.
        name: the method that makes such calls.
        foreign: the user's code gets at the connection, and may leave anything behind on it.
        lends: it asks for the connection itself, and is *foreign* too.
        part: what it does in a transaction that it shares with other calls, called in its context; None: it shares
            none.
        alone: the same task, which shares none.
    """

    run: Callable[[Slot, Call], Any]
    name: str = ""
    foreign: bool = False
    lends: bool = False
    inside: bool = True
    part: Callable[[Slot, Call], Any] | None = None
    alone: Task | None = None

    def __post_init__(self) -> None:
        if self.lends and not self.foreign:
            raise ValueError("a task that lends its connection leaves it to foreign code: say foreign=True, too")


class Call(Job):
    """A job with what it does and who waits for it. It is the canceller of its own Deferred."""

    __slots__ = ("args", "context", "crew", "deferred", "function", "kwargs", "options", "origin", "task")

    def __init__(
        self,
        crew: Crew,
        task: Task,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions = PLAIN,
    ) -> None:
        # Job's slots too, since calling its __init__ costs a fifth of this; those set on submission are left out.
        self.state: JobState = _WAITING
        self.committing = False
        self.interrupted = False
        if options is PLAIN:
            self.lane, self.caller = 1, None
        else:
            self.lane, self.caller = PRIORITIES.index(options.priority), options.name
        self.options = options
        self.crew = crew
        self.task = task
        self.function: Any = function
        self.args: tuple[Any, ...] = args
        self.kwargs = kwargs or NO_KEYWORDS  # an empty dict of its own would be a tenth of what a queued call takes
        self.context: Context = copy_context()
        self.deferred: Deferred[Any] | None = None
        self.origin: StackSummary | None = None  # where it was made, if that may be asked for

    def __call__(self, deferred: Deferred[Any]) -> None:
        """The caller cancels."""
        self.deferred = None
        queued = self.state is _WAITING  # may have changed a moment later: then it holds on to its arguments, no more
        self.crew.cancel(self)
        if self.committing:
            # Looked at after the state was changed: a thread that says so later looks at the state before it commits.
            # It may have done all of it since this call was seen in the queue.
            told = "cancelled during COMMIT, or before one that it shares with others; that is left to end by itself"
            deferred.errback(CommitUnknown(told))
        elif queued and self.state is JobState.DONE and not self.task.lends:  # which may have been lent by now
            # It may stay in the queue a while, and shall keep nothing alive.
            self.task, self.function, self.args, self.kwargs = NOTHING, None, (), {}


NOTHING = Task(lambda slot, call: None)
"""The task of a call that will not be run, or of what is no call at all."""
