"""The errors of Deferreds."""

from __future__ import annotations

import builtins
import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netcore.failure import Failure

__all__ = [
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "CancelledError",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
]


class AlreadyCalledError(Exception):
    """A Deferred was fired twice. You did it: each has one result."""


class CancelledError(Exception):
    """A Deferred was cancelled before it had a result."""


class TimeoutError(builtins.TimeoutError):
    """A Deferred had no result in the time allowed. ``except TimeoutError`` with Python's own name catches it.

    Args: nothing; the seconds that were allowed, and of what there was no result; or whatever else Python's own takes:
        a text, or `errno.ETIMEDOUT` and what `OSError` has beside it.
    Attributes: *timeout*, those seconds, or None.
    """

    def __init__(self, *args: Any) -> None:
        self.timeout: float | None = None
        self._tells_time = not args or (len(args) <= 2 and _is_time(*args))
        if self._tells_time:
            super().__init__()  # OSError would take the seconds for an errno
            self.args = args
            self.timeout = args[0] if args else None
        else:
            super().__init__(*args)

    def __str__(self) -> str:
        if not self._tells_time:
            return super().__str__()
        told = f"no result within {self.timeout:g} s" if self.timeout is not None else "no result in time"
        what = self.args[1] if len(self.args) == 2 else "Deferred"
        return told if what == "Deferred" else f"{what}: {told}"


def _is_time(seconds: object, what: object = "Deferred") -> bool:
    """Whether these, given to `TimeoutError`, are the time that was allowed: not a text, nor an errno and its text."""
    if not isinstance(what, str) or isinstance(seconds, bool):
        return False
    if isinstance(seconds, int) and seconds == errno.ETIMEDOUT:  # the one that Python makes a TimeoutError of
        return what == "Deferred"
    return seconds is None or isinstance(seconds, (int, float))


class NotACoroutineError(TypeError):
    """Something else than a coroutine or Deferred was given where one is needed."""


class FirstError(Exception):
    """The first failure of a DeferredList: *subFailure*, of the Deferred at place *index*."""

    def __init__(self, failure: Failure, index: int) -> None:
        super().__init__(failure, index)
        self.subFailure = failure
        self.index = index
        self.__cause__ = failure.value  # so that a report has its traceback, where nobody else tells of it

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"


class FailureGroup(Exception):
    """All Deferreds of a race failed: with *failures*, in the order in which they were given."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        told = "; ".join(f"{failure.type.__qualname__}: {failure.getErrorMessage()}" for failure in self.failures)
        return f"all {len(self.failures)} failed: {told}"


class QueueOverflow(Exception):
    """A DeferredQueue was given an item when it held *size* already. Try again when somebody has taken one."""


class QueueUnderflow(Exception):
    """An item was asked of a DeferredQueue for which *backlog* others wait already. Try again when something was
    put into it."""


class AlreadyTryingToLockError(Exception):
    """``deferUntilLocked`` was called on a DeferredFilesystemLock that is being waited for. You did it: wait for the
    first Deferred, or use a second DeferredFilesystemLock of that name."""
