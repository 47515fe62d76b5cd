"""`Failure`: an exception as a value, to be handed from callback to callback.

A Failure holds one exception with its traceback. It keeps the traceback (and so the frames in it) alive until
`Failure.cleanFailure`; handling a failure means letting go of the Failure.
"""

from __future__ import annotations

import builtins
import linecache
import sys
import traceback
from collections.abc import Callable, Generator
from types import TracebackType
from typing import NoReturn, TextIO, TypeVar

__all__ = ["Failure", "NoCurrentExceptionError"]

Y = TypeVar("Y")
S = TypeVar("S")
R = TypeVar("R")


class NoCurrentExceptionError(Exception):
    """``Failure()`` was called where no exception is being handled."""


class _Special:
    """Base of `Failure` and Deferred: one isinstance tells a callback's ordinary result from what needs care (−10
    %)."""

    __slots__ = ()


class Failure(_Special):
    """An exception, caught, and where it was raised.

    Args:
        exc_value: the exception; by default the one being handled.
        exc_type, exc_tb: its class and traceback, by default the exception's own.
    Attributes: *value* the exception, *type* its class, *tb* its traceback or None.
    Raises: NoCurrentExceptionError: no exception given, and none is being handled.
    """

    __slots__ = ("__weakref__", "tb", "type", "value")

    value: BaseException
    type: builtins.type[BaseException]
    tb: TracebackType | None

    def __init__(
        self,
        exc_value: BaseException | None = None,
        exc_type: builtins.type[BaseException] | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        if exc_value is None:
            exc_value = sys.exc_info()[1]
            if exc_value is None:
                raise NoCurrentExceptionError("Failure() needs an exception: pass one, or call it in an except block")
        self.value = exc_value
        self.type = exc_type or exc_value.__class__
        self.tb = exc_tb if exc_tb is not None else exc_value.__traceback__

    def check(self, *errorTypes: builtins.type[BaseException] | str) -> builtins.type[BaseException] | str | None:
        """The first of *errorTypes* that the exception is an instance of, or None.

        Args:
            errorTypes: exception classes, or their dotted names.
        """
        for error in errorTypes:
            if isinstance(error, str):
                if any(f"{cls.__module__}.{cls.__qualname__}" == error for cls in self.type.__mro__):
                    return error
            elif issubclass(self.type, error):
                return error
        return None

    def trap(self, *errorTypes: builtins.type[BaseException] | str) -> builtins.type[BaseException] | str:
        """As `check`, but what is none of *errorTypes* is raised again: an errback lets pass what it does not
        expect."""
        found = self.check(*errorTypes)
        if found is not None:
            return found
        value, tb = self.value, self.tb
        try:
            raise value.with_traceback(tb)
        finally:
            del self, value, tb  # this frame joins the traceback: it must not hold the Failure (a cycle)

    def raiseException(self) -> NoReturn:
        """Raise the exception, with the traceback it had."""
        value, tb = self.value, self.tb
        try:
            raise value.with_traceback(tb)
        finally:
            del self, value, tb  # as in trap

    def throwExceptionIntoGenerator(self, g: Generator[Y, S, R]) -> Y:
        """Raise the exception where *g* stands; returns what *g* yields next."""
        return g.throw(self.value.with_traceback(self.tb))

    def getTracebackObject(self) -> TracebackType | None:
        """The traceback, or None if it was never raised or `cleanFailure` dropped it."""
        return self.tb

    def getErrorMessage(self) -> str:
        """The exception's text."""
        return str(self.value)

    def getBriefTraceback(self) -> str:
        """The traceback, one line a frame."""
        return self.getTraceback(detail="brief")

    def getTraceback(self, elideFrameworkCode: bool = False, detail: str = "default") -> str:
        """The traceback as text.

        Args:
            elideFrameworkCode: leave out frames of netcore's own code.
            detail: "default" as Python prints it, "brief" with one line a frame, "verbose" with local variables.
        Raises: ValueError: another *detail*.
        """
        if detail not in ("default", "brief", "verbose"):
            raise ValueError(f'detail must be "default", "brief" or "verbose", not {detail!r}')
        told = traceback.TracebackException(self.type, self.value, self.tb, capture_locals=detail == "verbose")
        if elideFrameworkCode:
            told.stack = traceback.StackSummary.from_list(
                [frame for frame in told.stack if not frame.filename.startswith(_HOME)]
            )
        if detail == "brief":
            frames = "".join(f"{frame.filename}:{frame.lineno}:{frame.name}\n" for frame in told.stack)
            return f"Traceback: {self.type.__module__}.{self.type.__qualname__}: {self.getErrorMessage()}\n{frames}"
        linecache.checkcache()
        return "".join(told.format())

    def printTraceback(
        self, file: TextIO | None = None, elideFrameworkCode: bool = False, detail: str = "default"
    ) -> None:
        """Write `getTraceback` to *file* (default: standard error)."""
        print(self.getTraceback(elideFrameworkCode, detail), end="", file=file or sys.stderr)

    def cleanFailure(self) -> None:
        """Let go of the traceback, and so of every frame and local variable in it."""
        self.value.__traceback__ = None
        self.tb = None

    def __repr__(self) -> str:
        return f"<Failure {self.type.__module__}.{self.type.__qualname__}: {self.getErrorMessage()}>"

    def __reduce__(self) -> tuple[Callable[..., Failure], tuple[BaseException]]:
        """Pickled without the traceback, which cannot be."""
        return (Failure, (self.value,))


_HOME = __file__.rpartition("failure")[0]
