"""Failures that nobody handles are reported, not lost.

A Deferred that ends with a failure holds an `Unhandled`. Whoever takes the failure away disarms it; if instead the last
reference to the Deferred goes, the `Unhandled` goes with it and reports: on CPython at once. What is held until the
interpreter ends is reported then, last of what `atexit` calls.

Where the Deferred came from, which debug mode knows, has to be asked for when the failure is stored: when the report is
due, the Deferred is gone.
"""

from __future__ import annotations

import atexit
import gc
import logging
import warnings
from collections.abc import Callable
from typing import Any

from netcore._log import log_failure
from netcore.failure import Failure

__all__ = ["Origin", "Told", "Unhandled", "setUnhandledFailureHook", "set_origin_of"]

logger = logging.getLogger("netcore.defer")

_unhandled_hook: Callable[[Failure], object] | None = None


class Origin:
    """Where a Deferred came from."""

    __slots__ = ()

    def text(self, failure: Failure) -> str:
        """As lines that go on from the message of a report of *failure*."""
        raise NotImplementedError

    def attributes(self) -> dict[str, Any]:
        """As attributes of the record."""
        raise NotImplementedError


_origin_of: Callable[[Any], Origin | None] | None = None


def set_origin_of(origin_of: Callable[[Any], Origin | None] | None) -> None:
    """Have *origin_of* asked for the origin of each Deferred that fails; None: nobody knows."""
    global _origin_of
    _origin_of = origin_of


def setUnhandledFailureHook(hook: Callable[[Failure], object] | None) -> Callable[[Failure], object] | None:
    """Have *hook* called, after the log record, with every failure that nobody handled.

    The record is of level ERROR, on the logger ``netcore.defer``, with the Failure as its attribute ``failure``. In
    debug mode (`netcore.debug`) its text says where the Deferred was made and where it was fired, and its attributes
    ``madeAt`` and ``firedAt`` have that as `traceback.StackSummary`.

    Args:
        hook: called in whatever thread dropped the failure's last reference; what it raises is logged. None takes the
            hook away.
    Returns: the hook that was set before, or None.
    """
    global _unhandled_hook
    previous, _unhandled_hook = _unhandled_hook, hook
    return previous


class Told(Failure):
    """A failure that somebody else tells of: if nobody handles it, that is no news."""

    __slots__ = ()


class Unhandled:
    """Holds a failure of *deferred* that no errback has seen yet, and reports it when the last reference to it goes."""

    __slots__ = ("failure", "origin")

    def __init__(self, failure: Failure, deferred: Any) -> None:
        self.failure: Failure | None = failure
        self.origin = None if _origin_of is None else _origin_of(deferred)

    def __del__(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None and not isinstance(failure, Told):
            _report(failure, self.origin)


def _report(failure: Failure, origin: Origin | None) -> None:
    """Whatever goes wrong here is nobody's to catch: it is told, and keeps nothing else from being told."""
    where, more = "", {}
    try:
        if origin is not None:
            where, more = origin.text(failure), origin.attributes()
        what = failure.type.__qualname__, failure.getErrorMessage()
        log_failure(logger, failure, "Unhandled error in Deferred: %s: %s%s", *what, where, extra=more)
    except BaseException as error:  # a handler or filter is broken, or the interpreter half torn down
        _warn("an unhandled failure could not be logged", error, failure)
    hook = _unhandled_hook
    if hook is None:
        return
    try:
        hook(failure)
    except BaseException as error:
        try:
            told = "%r, the hook for unhandled failures, raised when it was given %r"
            log_failure(logger, Failure(error), told, hook, failure)
        except BaseException as again:
            _warn("the hook for unhandled failures raised, which could not be logged", again, Failure(error))


def _warn(what: str, error: BaseException, failure: Failure) -> None:
    """Tell of *failure* in the last way there is."""
    try:
        text = failure.getTraceback()
    except BaseException:  # at the end of the interpreter
        text = repr(failure)
    # With a registry of its own: Python shows a warning once for each, and two failures may have the same text.
    warnings.warn_explicit(f"{what}, because of {error!r}:\n{text}", RuntimeWarning, __file__, 0, registry={})


@atexit.register
def _report_those_that_are_left() -> None:
    """Report the failures whose Deferreds something holds to the end.

    Their turn would come when the interpreter is half torn down, and nothing can be logged any more (on Python 3.13).
    """
    for thing in gc.get_objects():
        if type(thing) is Unhandled:
            failure = thing.failure
            if failure is not None and not isinstance(failure, Told):
                thing.failure = Told(failure)
                _report(failure, thing.origin)
