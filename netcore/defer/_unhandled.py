"""Failures that nobody handles are reported, not lost.

A Deferred that ends with a failure holds an `Unhandled`. Whoever takes the failure away disarms it; if instead the last
reference to the Deferred goes, the `Unhandled` goes with it and reports: on CPython at once.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

from netcore._log import log_failure
from netcore.failure import Failure

__all__ = ["Unhandled", "setUnhandledFailureHook"]

logger = logging.getLogger("netcore.defer")

_unhandled_hook: Callable[[Failure], object] | None = None


def setUnhandledFailureHook(hook: Callable[[Failure], object] | None) -> Callable[[Failure], object] | None:
    """Have *hook* called, after the log record, with every failure that nobody handled.

    Args:
        hook: called in whatever thread dropped the failure's last reference; None takes the hook away.
    Returns: the hook that was set before, or None.
    """
    global _unhandled_hook
    previous, _unhandled_hook = _unhandled_hook, hook
    return previous


class Unhandled:
    """Holds a failure that no errback has seen yet, and reports it when the last reference to it goes."""

    __slots__ = ("failure",)

    def __init__(self, failure: Failure) -> None:
        self.failure: Failure | None = failure

    def __del__(self) -> None:
        failure = self.failure
        if failure is None:
            return
        try:
            told = failure.type.__qualname__, failure.getErrorMessage()
            log_failure(logger, failure, "Unhandled error in Deferred: %s: %s", *told)
            if _unhandled_hook is not None:
                _unhandled_hook(failure)
        except Exception:  # the interpreter may be half torn down, a handler or the hook may be broken
            warnings.warn(f"an unhandled failure could not be reported: {failure!r}", RuntimeWarning, stacklevel=1)
