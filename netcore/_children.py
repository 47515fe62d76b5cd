"""What runs in a scope: `Children`, started together, and so ended together. No event loop is needed here.

States: OPEN while children may be started; CANCELLING from `Children.cancel` on, or from the first failure; ENDED. What
holds:

* A child is in ``running`` from before its first step until nothing of it is left, its Deferred's callbacks included:
  so those may start further children.
* Each child is cancelled at most once by the scope. A cancellation that somebody asked for is no error; every other
  failure is, and is in ``errors`` once, even if several children brought the same exception.
* A child is cancelled as an asyncio Task is: `asyncio.CancelledError` is raised where it waits. netcore's own is an
  ordinary Exception, which a loop with ``except Exception`` would take for one more thing to log, and go on.
* A failure that is in ``errors`` is told by the scope. The child's Deferred holds it as `Told`, unreported.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from enum import Enum
from threading import Lock, get_ident
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from netcore._current import current_reactor
from netcore._log import log_failure
from netcore.defer import CancelledError, Deferred, ensureDeferred
from netcore.defer._chain import PENDING, RUNNING, CancellingWaiter, Chain
from netcore.defer._driver import CoroutineDriver
from netcore.defer._unhandled import Told
from netcore.threads import deferToThreadPool

if TYPE_CHECKING:
    from netcore._owner import ScopeOwner
    from netcore.interfaces import IDelayedCall

__all__ = ["TRANSITIONS", "Children", "Event", "Job", "Refused", "State", "is_cancellation", "refuse"]

logger = logging.getLogger("netcore.scope")


class State(Enum):
    """Where a scope's children are. (The values complete "the scope …".)"""

    OPEN = "takes children"
    CANCELLING = "is being cancelled"
    ENDED = "has ended"


class Event(Enum):
    """What happens to them."""

    CANCEL = "cancel"
    END = "end"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.OPEN, Event.CANCEL): State.CANCELLING,
    (State.CANCELLING, Event.CANCEL): State.CANCELLING,
    (State.ENDED, Event.CANCEL): State.ENDED,
    (State.OPEN, Event.END): State.ENDED,
    (State.CANCELLING, Event.END): State.ENDED,
}


class Refused(RuntimeError):
    """A child came too late: *children*, which it was for, are being cancelled."""

    def __init__(self, message: str, children: Children | None) -> None:
        super().__init__(message)
        self.children = children


def refuse(awaitable: Any, message: str, children: Children | None = None) -> Refused:
    """The error to be raised instead of starting *awaitable*, which nobody will await any more."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()
    return Refused(message, children)


def is_cancellation(error: BaseException) -> bool:
    """Whether *error* says, in either world's terms, that what was waited for was cancelled."""
    return isinstance(error, (asyncio.CancelledError, CancelledError))


class _Listener(Protocol):
    """Who has the children: the scope."""

    def _children_cancelled(self, children: Children) -> None:
        """They have just been cancelled, if need be for the first of ``children.errors``."""

    def _children_idle(self, children: Children) -> None:
        """The last one that ran has ended."""


class Children:
    """What runs in a scope.

    Attributes: *running*, in the order they were started; *errors*, what they failed with, in the order it happened;
        *why*, they were cancelled.
    """

    __slots__ = ("__weakref__", "errors", "gone", "listener", "owner", "running", "state", "thread", "why")

    def __init__(self, listener: _Listener, owner: ScopeOwner | None) -> None:
        self.listener = listener
        self.owner = owner
        self.running: dict[Child, None] = {}
        self.errors: list[BaseException] = []
        self.state = State.OPEN
        self.why = ""
        self.thread = get_ident()
        self.gone: list[Deferred[None]] = []  # who waits for the end, on behalf of the owner
        if owner is not None:
            owner._tie(self)

    def start(self, awaitable: Any) -> Deferred[Any]:
        """Begin *awaitable*. Returns: Deferred firing with its result."""
        if not isinstance(awaitable, CoroutineType):
            awaitable = _wait(ensureDeferred(awaitable))  # a coroutine hears of what other threads fire in its own
        return Child(self).begin(awaitable)

    def start_job(self, job: Job, limit: float) -> Deferred[Any]:
        """Have *job* done in a thread. Returns: Deferred firing with its result."""
        return ThreadChild(self, job, limit).begin_job()

    def check_thread(self, awaitable: Any = None) -> None:
        """Raises: RuntimeError: this is another thread than theirs; *awaitable* will not be started."""
        if self.thread != get_ident():
            advice = "use it through reactor.callFromThread()"
            raise refuse(awaitable, f"the scope belongs to another thread: {advice}")

    def note(self, error: BaseException) -> None:
        """*error* is one of the errors."""
        for known in self.errors:
            if known is error:
                return
        self.errors.append(error)

    def cancel_for_error(self) -> None:
        """Something failed: cancel what runs."""
        self.cancel("another part of its scope failed")

    def cancel(self, *message: Any) -> None:
        """Cancel what runs; once."""
        if self.state is not State.OPEN:
            return
        self._move(Event.CANCEL)
        self.why = str(message[0]) if message else "it was cancelled from outside"
        for child in list(self.running):
            if child in self.running:  # else another one's end has ended it
                child.cancel(message)
        self.listener._children_cancelled(self)

    def owner_ended(self, why: str) -> Deferred[None] | None:
        """Cancel what runs. Returns: Deferred firing when the scope has ended; None: it has."""
        self.cancel(why)
        if self.state is State.ENDED:
            return None
        self.gone.append(Deferred())
        return self.gone[-1]

    def close(self) -> None:
        """There will be no more."""
        self._move(Event.END)
        if self.owner is not None:
            self.owner._untie(self)
            self.owner = None
        gone, self.gone = self.gone, []
        for deferred in gone:
            if not deferred.called:
                deferred.callback(None)

    def ended(self, child: Child) -> None:
        """*child* has."""
        if child in self.running:  # else it was given up
            del self.running[child]
            self.settle()

    def settle(self) -> None:
        """Tell the listener if nothing runs."""
        if not self.running and self.state is not State.ENDED:
            self.listener._children_idle(self)

    def _move(self, event: Event) -> None:
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            raise RuntimeError(f"{event.value}: the scope {self.state.value}")
        self.state = after


async def _wait(deferred: Deferred[Any]) -> Any:
    return await deferred


class Child(CancellingWaiter):
    """One that runs, and the canceller of the Deferred that stands for it.

    Attributes: *deferred*, that one, until it is fired; *work*, the coroutine's own, None before its first step is done
        and after the last; *asked*, somebody asked for it to be cancelled, with *message*.
    """

    __slots__ = ("asked", "children", "deferred", "message", "work")

    def __init__(self, children: Children) -> None:
        self.children = children
        self.asked = False
        self.message: tuple[Any, ...] = ()
        self.work: Deferred[Any] | None = None
        canceller: Any = self
        self.deferred: Deferred[Any] | None = Deferred(canceller)
        children.running[self] = None

    def begin(self, coroutine: Any) -> Deferred[Any]:
        """Run *coroutine* until it first waits."""
        deferred = self.deferred
        assert deferred is not None
        self.work = work = ensureDeferred(coroutine)
        if self.asked:  # in that first step
            self._withdraw(work)
        self._wait_for(work)
        return deferred

    def _wait_for(self, work: Deferred[Any]) -> None:
        # As two entries, and without a call from one Deferred to the next: those run in one loop, however many children
        # wait for each other, and between the two run the callbacks of this child's own Deferred.
        work._add(self)
        work.addBoth(self._done)

    def cancel(self, message: tuple[Any, ...]) -> None:
        """Cancel it."""
        self.asked = True
        self.message = message
        if self.work is not None:
            self._withdraw(self.work)

    def pass_on_cancel(self, message: tuple[Any, ...]) -> None:
        """Its Deferred was cancelled."""
        self.cancel(message)

    def _withdraw(self, work: Deferred[Any]) -> None:
        driver: Any = work._canceller
        if not isinstance(driver, CoroutineDriver):  # it has ended
            return
        loop = asyncio._get_running_loop()
        if loop is not None and isinstance(driver.waiting, Deferred) and driver.waiting._state == RUNNING:
            # That one runs its callbacks, further up the stack. They may give it another one to wait for, which would
            # outlive the scope if this one gave up now.
            loop.call_soon(self._withdraw, work)
            return
        if driver.task is not None:
            driver.task.cancel(*self.message)
        else:  # the same, where no loop has run to go on with it later
            driver.withdraw(self.message)
            driver.go_on()

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        """The coroutine has ended with *result*, or the thread's job."""
        self.work = None
        if failed:
            if not self.asked or not self._was_cancelled(result.value):
                self.children.note(result.value)
            result = Told(result)
        deferred = self._let_go()
        return None if deferred is None else deferred._resume(source, result, failed)

    def _done(self, result: Any) -> None:
        """The callbacks of its Deferred have run, too."""
        if self.children.errors:  # not before: nothing holds the failure any more that others' frames could hold
            self.children.cancel_for_error()
        self.children.ended(self)

    def _was_cancelled(self, error: BaseException) -> bool:
        late = isinstance(error, Refused) and error.children is self.children
        return late or is_cancellation(error)  # several Deferreds as one: the driver has found out whether that was it

    def _let_go(self) -> Deferred[Any] | None:
        """Its Deferred, to be fired; None: it has been. From now on neither refers to the other: a failure's frames
        may refer to this."""
        deferred, self.deferred = self.deferred, None
        if deferred is None:
            return None
        deferred._canceller = None
        return deferred if deferred._state == PENDING else None  # somebody else may have fired it


class Job:
    """A call that a thread makes, unless it was taken back before."""

    __slots__ = ("_args", "_function", "_kwargs", "_token")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._token = Lock()

    def take(self) -> bool:
        """Whether it is the caller's, to be made or taken back: the first one's of all threads."""
        return self._token.acquire(blocking=False)

    def __call__(self) -> Any:
        return self._function(*self._args, **self._kwargs) if self.take() else None

    def __repr__(self) -> str:
        return repr(self._function)


class ThreadChild(Child):
    """A job in a thread: cancelled, it is not waited for by those who have its Deferred, but still by the scope."""

    __slots__ = ("job", "limit", "overdue", "reactor")

    def __init__(self, children: Children, job: Job, limit: float) -> None:
        self.reactor = current_reactor()  # first: it may raise
        super().__init__(children)
        self.job = job
        self.limit = limit
        self.overdue: IDelayedCall | None = None

    def begin_job(self) -> Deferred[Any]:
        """Have the job done."""
        deferred = self.deferred
        assert deferred is not None
        self.work = deferToThreadPool(self.reactor, self.reactor.getThreadPool(), self.job)
        self._wait_for(self.work)
        return deferred

    def cancel(self, message: tuple[Any, ...]) -> None:
        """Drop the result; go without the job if it has not begun, or when it has taken too long."""
        if self.asked or self.work is None:
            return
        self.asked = True
        deferred = self._let_go()
        if deferred is not None:
            deferred.errback(Told(CancelledError(*message)))
            del deferred  # see "no cycles" in `defer._chain`
        if self.job.take():
            self._leave()
        else:
            self.overdue = self.reactor.callLater(self.limit, self._give_up)

    def _leave(self) -> None:
        """Nobody waits for the thread any more."""
        self.work = None
        self.children.ended(self)

    def _give_up(self) -> None:
        told = "%r, called in a thread, still runs %g s after it was cancelled: its scope goes on without it"
        logger.warning(told, self.job, self.limit)
        self._leave()

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        if self.work is not None:
            if self.overdue is not None:
                self.overdue.cancel()
            return super()._resume(source, result, failed)
        if failed:
            told = "%r, called in a thread, raised when its scope had gone on without it"
            log_failure(logger, result, told, self.job)
        return None
