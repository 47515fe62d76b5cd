"""The errors of Deferreds."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    """A Deferred had no result in the time allowed. ``except TimeoutError`` with Python's own name catches it."""

    def __init__(self, timeout: float | None = None, what: str = "Deferred") -> None:
        super().__init__(timeout, what)
        self.timeout = timeout

    def __str__(self) -> str:
        told = f"no result within {self.timeout} s" if self.timeout is not None else "no result in time"
        return told if self.args[1] == "Deferred" else f"{self.args[1]}: {told}"


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
