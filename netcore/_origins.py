"""Where things were made: what debug mode remembers, and how it is remembered and told.

Nothing here is called unless somebody switched debugging on.

A *stack* is kept as plain tuples, since one is taken for every Deferred and hardly one is ever shown; source lines are
looked up when it is. It has the program's own frames: those of netcore and of the machinery beneath (asyncio,
threading) say the same in every stack.

In a thread's job that is no function of the program's (``reactor.callInThread(deferred.callback, 1)``) there is none.
So `jobs` has where those that run were asked for.

`Origins` keeps a record for an object without touching it: by ``id``, with a weak reference whose end takes the record
away. A WeakKeyDictionary would call ``__hash__`` and ``__eq__``, which a subclass may have given another meaning.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import selectors
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Generic, TypeVar

from netcore.failure import _is_ours

__all__ = ["Made", "Origins", "Patches", "Stack", "is_machinery", "jobs", "place", "stack_here", "summary", "text_of"]

R = TypeVar("R")

Stack = tuple[tuple[str, int, str], ...]  # (file, line, function), outermost first

DEPTH = 6  # frames of a stack that are kept: enough to see how one came there

_BENEATH = frozenset({selectors.__file__, threading.__file__, "<frozen runpy>", "<frozen importlib._bootstrap>"})
_PACKAGES_BENEATH = tuple(package.__path__[0] + os.sep for package in (asyncio, concurrent.futures))
_UVLOOP = os.sep + "uvloop" + os.sep

_RUNS_A_LOOP = frozenset({"BaseEventLoop.run_forever", "Reactor.run", "Runner.run"})

_machinery: dict[str, bool] = {}  # by file: looking is much cheaper than asking


def is_machinery(filename: str) -> bool:
    """Whether code of *filename* is netcore's own, or the machinery beneath it."""
    known = _machinery.get(filename)
    if known is None:
        known = _machinery[filename] = (
            _is_ours(filename) or filename.startswith(_PACKAGES_BENEATH) or filename in _BENEATH or _UVLOOP in filename
        )
    return known


def place(frame: FrameType) -> tuple[str, int, str]:
    """Where *frame* stands."""
    code = frame.f_code
    return code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname


def stack_here() -> Stack:
    """The program's frames that led to the caller, the last `DEPTH` of them. Those beneath the loop did not: in a
    callback that is netcore's own there are none."""
    found: list[tuple[str, int, str]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(found) < DEPTH:
        code = frame.f_code
        if not is_machinery(code.co_filename):
            found.append(place(frame))
        elif code.co_qualname in _RUNS_A_LOOP:
            break
        frame = frame.f_back
    found.reverse()
    return tuple(found)


class Made:
    """Where something was made or asked for, and when."""

    __slots__ = ("since", "stack")

    def __init__(self) -> None:
        self.stack = stack_here()
        self.since = time.monotonic()


jobs: dict[int, Made] = {}  # by thread: of the one that runs there


def summary(stack: Stack) -> traceback.StackSummary:
    """*stack* as the standard library has it."""
    frames = [traceback.FrameSummary(file, line, function, lookup_line=False) for file, line, function in stack]
    return traceback.StackSummary.from_list(frames)


def text_of(stack: Sequence[Any]) -> str:
    """*stack*, of either kind, as text like that of a traceback, without a newline at its end."""
    if not stack:
        return "  (no line of the program's own: the event loop or a thread called netcore)"
    frames = stack if isinstance(stack, traceback.StackSummary) else summary(tuple(stack))
    return "".join(frames.format()).rstrip("\n")


class Origins(Generic[R]):
    """Records of objects, each as long as its object lives.

    Threading: any thread.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], R]] = {}

    def put(self, thing: Any, record: R) -> None:
        """Remember *record* of *thing*."""
        key = id(thing)
        known = self._known

        def forget(reference: weakref.ref[Any]) -> None:
            entry = known.get(key)
            if entry is not None and entry[0] is reference:
                del known[key]

        known[key] = weakref.ref(thing, forget), record

    def get(self, thing: Any) -> R | None:
        """What is remembered of *thing*, or None."""
        entry = self._known.get(id(thing))
        return entry[1] if entry is not None and entry[0]() is thing else None

    def things(self) -> list[Any]:
        """The objects that something is remembered of."""
        return [thing for reference, _ in list(self._known.values()) if (thing := reference()) is not None]

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)


class Patches:
    """Methods and functions that are replaced while debugging is on.

    Args:
        table: what is replaced: ``(class or module, name, wrapper)``; *wrapper* is given the original and returns what
            takes its place.
    Threading: the caller holds a lock.
    """

    def __init__(self, table: Sequence[tuple[Any, str, Callable[[Any], Any]]]) -> None:
        self.table = table
        self._originals: list[tuple[Any, str, Any]] = []

    @property
    def applied(self) -> bool:
        """Whether they are in their places."""
        return bool(self._originals)

    def apply(self) -> None:
        """Put them in their places, if they are not."""
        if self.applied:
            return
        try:
            for owner, name, wrapper in self.table:
                original = vars(owner)[name]
                replacement = wrapper(original)
                for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
                    setattr(replacement, attribute, getattr(original, attribute))
                replacement.__wrapped__ = original
                setattr(owner, name, replacement)
                self._originals.append((owner, name, original))
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Put the originals back."""
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)
