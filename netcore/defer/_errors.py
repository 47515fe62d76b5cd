"""The errors of Deferreds."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netcore.failure import Failure

__all__ = ["AlreadyCalledError", "CancelledError", "FirstError", "NotACoroutineError", "TimeoutError"]


class AlreadyCalledError(Exception):
    """A Deferred was fired twice. You did it: each has one result."""


class CancelledError(Exception):
    """A Deferred was cancelled before it had a result."""


class TimeoutError(builtins.TimeoutError):
    """A Deferred had no result in the time allowed by ``addTimeout``. ``except TimeoutError`` with Python's own name
    catches it."""

    def __init__(self, timeout: float | None = None, what: str = "Deferred") -> None:
        super().__init__(timeout, what)
        self.timeout = timeout

    def __str__(self) -> str:
        return f"no result within {self.timeout} s" if self.timeout is not None else "no result in time"


class NotACoroutineError(TypeError):
    """Something else than a coroutine or Deferred was given where one is needed."""


class FirstError(Exception):
    """The first failure of a DeferredList: *subFailure*, of the Deferred at place *index*."""

    def __init__(self, failure: Failure, index: int) -> None:
        super().__init__(failure, index)
        self.subFailure = failure
        self.index = index

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"
