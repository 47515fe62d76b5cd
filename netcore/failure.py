"""`Failure`: an exception as a value, to be handed from callback to callback.

A Failure holds one exception with its traceback. It keeps the traceback (and so the frames in it) alive until
`Failure.cleanFailure`; handling a failure means letting go of the Failure.

Making one stores three attributes and looks nothing up: everything else is worked out when it is asked for. No method
of it that may join a traceback returns with the Failure in a variable: that would be a cycle, which keeps all frames.
"""

from __future__ import annotations

import builtins
import copy
import linecache
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any, NoReturn, TextIO, TypeVar

__all__ = ["Failure", "NoCurrentExceptionError", "UnpicklableError"]

Y = TypeVar("Y")
S = TypeVar("S")
R = TypeVar("R")


class NoCurrentExceptionError(Exception):
    """``Failure()`` was called where no exception is being handled."""


class UnpicklableError(Exception):
    """In an unpickled Failure, in place of an exception that cannot be pickled.

    Attributes: *parents*, the dotted names of that exception's class and its bases, by which `Failure.check` still
        finds it; *message*, its text.
    """

    def __init__(self, parents: list[str], message: str) -> None:
        super().__init__(parents, message)
        self.parents = parents
        self.message = message

    def __str__(self) -> str:
        return f"{self.parents[0]}: {self.message}"


class _TracebackThere(Exception):
    """The cause of an unpickled Failure's exception: the text of the traceback it had where it was pickled."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Special:
    """Base of `Failure` and Deferred: one isinstance tells a callback's ordinary result from what needs care (−10
    %)."""

    __slots__ = ()


class Failure(_Special):
    """An exception, caught, and where it was raised.

    Args:
        exc_value: the exception (or a Failure, of which this becomes a copy); by default the one being handled.
        exc_type, exc_tb: its class and traceback, by default the exception's own.
        captureVars: nothing needs to be asked for: local variables can be shown until `cleanFailure`.
    Attributes: *value* the exception, *type* its class, *tb* its traceback or None.
    Raises: NoCurrentExceptionError: no exception given, and none is being handled. TypeError: *exc_value* is none.
    """

    __slots__ = ("__weakref__", "_text", "tb", "type", "value")

    value: BaseException
    type: builtins.type[BaseException]
    tb: TracebackType | None
    _text: traceback.TracebackException  # set by cleanFailure

    def __init__(
        self,
        exc_value: BaseException | Failure | None = None,
        exc_type: builtins.type[BaseException] | None = None,
        exc_tb: TracebackType | None = None,
        captureVars: bool = False,
    ) -> None:
        if exc_value is None:
            exc_value = sys.exc_info()[1]
            if exc_value is None:
                raise NoCurrentExceptionError("Failure() needs an exception: pass one, or call it in an except block")
        try:
            self.tb = exc_tb if exc_tb is not None else exc_value.__traceback__  # type: ignore[union-attr]
        except AttributeError:  # looking before costs 10 % of all this
            if not isinstance(exc_value, Failure):
                raise _no_exception(exc_value) from None
            self.tb = exc_value.tb
            exc_type = exc_type or exc_value.type
            exc_value = exc_value.value
        kind: Any = exc_value.__class__
        if kind is type:  # a class has a __traceback__, too
            raise _no_exception(exc_value)
        self.value = exc_value  # type: ignore[assignment]
        self.type = exc_type or kind

    # Asking what it is

    def check(self, *errorTypes: builtins.type[BaseException] | str) -> builtins.type[BaseException] | str | None:
        """The first of *errorTypes* that the exception is an instance of, or None.

        Args:
            errorTypes: exception classes, or their dotted names.
        """
        for error in errorTypes:
            if isinstance(error, str):
                if error in self.parents:
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

    @property
    def parents(self) -> list[str]:
        """The dotted names of the exception's class and all its bases."""
        names = [_name_of(kind) for kind in self.type.__mro__]
        return [*self.value.parents, *names] if isinstance(self.value, UnpicklableError) else names

    @property
    def frames(self) -> list[tuple[str, str, int, tuple[()], tuple[()]]]:
        """The traceback, outermost first: ``(function, file, line, (), ())`` for each frame. The last two are empty,
        where Twisted has variables; those can be read from *tb*."""
        return [(frame.name, frame.filename, frame.lineno or 0, (), ()) for frame in self._as_text().stack]

    def getTracebackObject(self) -> TracebackType | None:
        """The traceback, or None if it was never raised or `cleanFailure` dropped it."""
        return self.tb

    def getErrorMessage(self) -> str:
        """The exception's text, and if its ``__str__`` raises, a text that says so."""
        try:
            return str(self.value)
        except Exception as error:
            return f"<{_name_of(self.type)}, whose __str__ raised {_name_of(error.__class__)}>"

    # Raising it

    def raiseException(self) -> NoReturn:
        """Raise the exception, with the traceback it had."""
        value, tb = self.value, self.tb
        try:
            raise value.with_traceback(tb)
        finally:
            del self, value, tb  # as in trap

    def throwExceptionIntoGenerator(self, g: Generator[Y, S, R]) -> Y:
        """Raise the exception where *g* stands; returns what *g* yields next."""
        value, tb = self.value, self.tb
        try:
            return g.throw(value.with_traceback(tb))
        finally:
            del self, value, tb, g  # as in trap

    # Showing it

    def getTraceback(self, elideFrameworkCode: bool = False, detail: str = "default") -> str:
        """The traceback as text, with causes, notes and the exceptions of a group.

        Args:
            elideFrameworkCode: leave out frames of netcore's own code.
            detail: "default" as Python prints it, "brief" with one line a frame and nothing else, "verbose" with local
                variables, as long as there are frames that have them.
        Raises: ValueError: another *detail*.
        """
        return self._traceback(elideFrameworkCode, detail)

    def _traceback(self, elide: bool, detail: str, keep_some: bool = False) -> str:
        """The same; with *keep_some*, a stack that has frames of netcore's only keeps them."""
        if detail not in ("default", "brief", "verbose"):
            raise ValueError(f'detail must be "default", "brief" or "verbose", not {detail!r}')
        text = self._as_text(variables=detail == "verbose")
        if elide:
            if text is getattr(self, "_text", None):
                text = _copied(text)
            _leave_out_our_frames(text, keep_some)
        if detail == "brief":
            frames = "".join(f"{frame.filename}:{frame.lineno}:{frame.name}\n" for frame in text.stack)
            return f"Traceback: {_name_of(self.type)}: {self.getErrorMessage()}\n{frames}"
        return "".join(text.format())

    def getBriefTraceback(self) -> str:
        """The traceback, one line a frame."""
        return self.getTraceback(detail="brief")

    def printTraceback(
        self, file: TextIO | None = None, elideFrameworkCode: bool = False, detail: str = "default"
    ) -> None:
        """Write `getTraceback` to *file* (default: standard error)."""
        print(self.getTraceback(elideFrameworkCode, detail), end="", file=sys.stderr if file is None else file)

    def printBriefTraceback(self, file: TextIO | None = None, elideFrameworkCode: bool = False) -> None:
        """`printTraceback` with one line a frame."""
        self.printTraceback(file, elideFrameworkCode, "brief")

    def printDetailedTraceback(self, file: TextIO | None = None, elideFrameworkCode: bool = False) -> None:
        """`printTraceback` with local variables."""
        self.printTraceback(file, elideFrameworkCode, "verbose")

    def __repr__(self) -> str:
        return f"<Failure {_name_of(self.type)}: {self.getErrorMessage()}>"

    def _as_text(self, variables: bool = False) -> traceback.TracebackException:
        kept: traceback.TracebackException | None = getattr(self, "_text", None)
        if kept is not None:
            return kept
        linecache.checkcache()
        try:
            return traceback.TracebackException(self.type, self.value, self.tb, capture_locals=variables)
        except Exception:  # before Python 3.13: a variable whose __repr__ raises
            text = traceback.TracebackException(self.type, self.value, self.tb)
            for frame, (at, _) in zip(text.stack, traceback.walk_tb(self.tb), strict=False):
                frame.locals = {name: _repr(value) for name, value in at.f_locals.items()}
            return text

    # Keeping it

    def cleanFailure(self) -> None:
        """Let go of the traceback, those of causes and of a group's exceptions, and so of every frame and local
        variable in them. Their text stays: `getTraceback` and *frames* tell what they told."""
        self._text = self._as_text()
        self.tb = None
        for error in list(_with_all_behind(self.value)):
            error.__traceback__ = None

    def __copy__(self) -> Failure:
        other = Failure(self.value, self.type, self.tb)
        if hasattr(self, "_text"):
            other._text = self._text
        return other

    def __reduce__(self) -> tuple[Callable[..., Failure], tuple[BaseException, str]]:
        """Pickled with the exception and the *text* of the traceback, which is the exception's cause in the copy.

        A failure that crosses to another process must arrive: an exception that cannot be pickled, or not unpickled, is
        replaced by an `UnpicklableError`.
        """
        value = self.value
        try:
            if not isinstance(pickle.loads(pickle.dumps(value)), BaseException):
                raise TypeError("unpickled as something else")
        except Exception:
            value = UnpicklableError([*self.parents], self.getErrorMessage())
        if self._as_text().stack:
            return (_unpickled, (value, self.getTraceback()))
        there = self.value.__cause__
        return (_unpickled, (value, there.args[0] if isinstance(there, _TracebackThere) else ""))


def _no_exception(given: object) -> TypeError:
    return TypeError(f"Failure() takes an exception, not {given!r}")


def _unpickled(value: BaseException, text: str) -> Failure:
    if text:
        value.__cause__ = _TracebackThere(text)
    return Failure(value)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return "<its repr() failed>"


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _with_all_behind(error: BaseException) -> Iterator[BaseException]:
    """*error*, its causes and contexts, and those of a group's exceptions, each once."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        left += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions


def _with_all_in_it(text: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """*text*, its causes and contexts, and those of a group's exceptions, each once."""
    seen: set[int] = set()
    left: list[Any] = [text]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        left += (each.__cause__, each.__context__, *(each.exceptions or ()))


def _copied(text: traceback.TracebackException) -> traceback.TracebackException:
    """A copy of *text* and of all in it. (`copy.deepcopy` would need a stack for hundreds of causes in a row.)"""
    copies = {id(each): copy.copy(each) for each in _with_all_in_it(text)}
    for each in copies.values():
        each.__cause__ = each.__cause__ and copies[id(each.__cause__)]
        each.__context__ = each.__context__ and copies[id(each.__context__)]
        each.exceptions = each.exceptions and [copies[id(one)] for one in each.exceptions]
    return copies[id(text)]


def _leave_out_our_frames(text: traceback.TracebackException, keep_some: bool) -> None:
    for each in _with_all_in_it(text):
        mine = [frame for frame in each.stack if not _is_ours(frame.filename)]
        if mine or not keep_some:
            each.stack = traceback.StackSummary.from_list(mine)


def _text_without_our_frames(error: BaseException, tb: TracebackType | None) -> str | None:
    """The text of *error* with the traceback *tb*, and of its causes, contexts and members without our frames; None if
    they have none. The exceptions stay as they are: somebody else may hold them, and be about to show them."""
    behind = [each for each in _with_all_behind(error) if each is not error]
    if all(_without_our_frames(each.__traceback__) is each.__traceback__ for each in behind):
        return None
    text = traceback.TracebackException(type(error), error, tb)
    _leave_out_our_frames(text, keep_some=True)
    return "".join(text.format()).removesuffix("\n")


_HOME = os.path.dirname(__file__) + os.sep
_TESTING = os.path.join(_HOME, "testing", "")


def _is_ours(filename: str) -> bool:
    """Whether code of *filename* is netcore's machinery. What netcore.testing does is done for a user's test."""
    return filename.startswith(_HOME) and not filename.startswith(_TESTING)


def _without_our_frames(tb: TracebackType | None) -> TracebackType | None:
    """A new traceback of the frames of *tb* that are not netcore's own, or *tb* itself if all are, or none.

    *tb* stays as it is: somebody else may be about to show it.
    """
    kept: list[TracebackType] = []
    length = 0
    link = tb
    while link is not None:
        length += 1
        if not _is_ours(link.tb_frame.f_code.co_filename):
            kept.append(link)
        link = link.tb_next
    if not kept or len(kept) == length:
        return tb
    cleaned: TracebackType | None = None
    for link in reversed(kept):
        cleaned = TracebackType(cleaned, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return cleaned
