"""Descriptors that the application looks after itself, as a reactor watches them.

What holds:

* ``_known`` has every object that is watched, or that has gone bad and will be told so in the next turn (``doomed``),
  by its identity. ``_numbers`` has those that are watched, by number and kind; the loop watches exactly these.
* Nothing is called from within `add` and `remove`. ``connectionLost`` is called once, and not if the object was removed
  first.
* Who closes a descriptor without removing it harms nobody but himself. The next file to be opened gets its number. The
  kernel knows that, but says nothing on epoll and kqueue; and a loop that is asked to watch the number anew would take
  it for the old one, and never report it. So each object is remembered with the file its number meant (`file_of`),
  and that is looked at before anything is changed; and when a transport, whose number is fresh, asks for it
  (`MakesWay`), who had it gives way. For what is noticed by neither, some are looked at every second.
* libuv, asked to watch a number that is closed, ends the process, and it is asked when the next turn begins. So uvloop,
  and any loop that is not asyncio's, watches a duplicate of ours (``own``), which nobody else can close.
* Before anything is called, poll(2) is asked how the descriptor is. The loop's word may be of a moment ago, and none
  tells a hang-up from something to read: an object that reads only what there is would be called for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Container, Iterable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.error import ConnectionDone, ConnectionFdescWentAway, ConnectionLost
from netcore.failure import Failure
from netcore.reactors._file import BROKEN, IN, OUT, condition_of, file_of, number_of
from netcore.reactors._selector import Callback, Watcher

if TYPE_CHECKING:
    from netcore.reactors._reactor import Reactor

__all__ = ["READ", "WRITE", "FDSet", "MakesWay", "Watched"]

logger = logging.getLogger("netcore.reactors")

# Every so many seconds, so many objects are asked whether they still have the descriptor they had.
LOOK_EVERY = 1.0
LOOK_AT = 256

# epoll_ctl(2) and the like: it is closed, or a file that is always ready and so cannot be waited for.
_CANNOT_BE_WATCHED = frozenset({errno.EBADF, errno.EPERM})


class Kind(NamedTuple):
    """Reading, or writing.

    Attributes: *method*, of the object, that does it; *event*, poll(2)'s.
    """

    method: str
    event: int


READ, WRITE = Kind("doRead", IN), Kind("doWrite", OUT)


class Watched:
    """An object of the application's.

    Attributes: *thing*, the object; *number*, *file*, the descriptor it had when it was added, and what that meant;
        *own*, a duplicate of that, or -1; *contexts*, what it is watched for, and the contexts that was asked for in;
        *doomed*, what will tell it that it went bad, and *reason*, why; *over*, whether it was told.
    """

    __slots__ = ("_fdset", "contexts", "doomed", "file", "number", "over", "own", "reason", "thing")

    def __init__(self, fdset: FDSet, thing: Any) -> None:
        self._fdset = fdset
        self.thing = thing
        self.number = self.own = -1
        self.file: object = None
        self.contexts: dict[Kind, Context] = {}
        self.doomed: asyncio.Handle | None = None
        self.reason: Failure | None = None
        self.over = False

    def wrong(self) -> ConnectionFdescWentAway | None:
        """What is wrong with its descriptor; None if it still has the one it had when it was added."""
        try:
            number = number_of(self.thing)
            if number != self.number:
                return ConnectionFdescWentAway(f"its fileno() was {self.number}, and is {number} now")
            if file_of(number) != self.file:
                return ConnectionFdescWentAway(f"descriptor {number} was closed, and means another file now")
        except ConnectionFdescWentAway as reason:
            return reason
        return None

    def _shut_down(self) -> None:
        """The reactor ends."""
        self._fdset.end(self, self.reason or Failure(ConnectionLost("the reactor was shut down")))


class FDSet:
    """The readers and writers of one reactor.

    Threading: the reactor's thread only.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._loop = reactor.loop
        self._watcher: Watcher = reactor._watcher
        self._duplicates = not isinstance(reactor.loop, asyncio.BaseEventLoop)
        self._known: dict[int, Watched] = {}
        self._numbers: dict[int, dict[Kind, Watched]] = {}
        self._looking: asyncio.Handle | None = None
        self._to_look_at: list[Watched] = []

    def add(self, thing: Any, kind: Kind) -> None:
        """Watch *thing* for *kind*. If it cannot be watched, it is told so in the next turn.

        Raises: TypeError, ValueError, OSError, RuntimeError: see `Descriptors.addReader`.
        """
        for method in ("fileno", kind.method):
            if not callable(getattr(thing, method, None)):
                raise TypeError(f"{thing!r} cannot be watched: it has no {method}()")
        wanted: dict[Kind, Context] = {}
        known = watched = self._known.get(id(thing))
        if watched is not None and (watched.doomed is not None or watched.wrong() is not None):
            self._forget(watched)  # and has come back, with another descriptor
            wanted, watched = watched.contexts, None
        if watched is None:
            watched = Watched(self, thing)
        elif kind in watched.contexts:
            return
        wanted.setdefault(kind, copy_context())
        try:
            if watched is not known:
                watched.number = number_of(thing)
                watched.file = file_of(watched.number)
                if self._duplicates:
                    watched.own = os.dup(watched.number)
            for each, context in wanted.items():
                self._watch(watched, each, context)
        except ConnectionFdescWentAway as reason:
            watched.contexts.update(wanted)
            self._doom(watched, reason)
        except BaseException:
            if watched is not known:
                self._forget(watched)
            raise
        self._known[id(thing)] = watched
        self._reactor._keep(watched)
        if self._looking is None:
            self._look_later()

    def remove(self, thing: Any, kind: Kind) -> None:
        """Watch *thing* for *kind* no more."""
        watched = self._known.get(id(thing))
        if watched is None or kind not in watched.contexts:
            return
        del watched.contexts[kind]
        self._unwatch(watched, kind)
        if not watched.contexts:
            self._forget(watched)

    def remove_all(self) -> list[Any]:
        """Watch nothing any more. Returns: what was watched."""
        removed = list(self._known.values())
        for watched in removed:
            self._forget(watched)
        return [watched.thing for watched in removed]

    def watched_for(self, kind: Kind) -> list[Any]:
        """What is watched for *kind*."""
        return [each.thing for each in self._known.values() if kind in each.contexts and each.doomed is None]

    def make_way(self, number: int) -> None:
        """*number* is a transport's."""
        for watched in set(self._numbers[number].values()):
            self._doom(watched, ConnectionFdescWentAway(f"descriptor {number} was closed, and is a connection's now"))

    def end(self, watched: Watched, reason: Failure, context: Context | None = None) -> None:
        """It is over with *watched*: remove it, and tell it why, in a copy of *context*, or of one it was added in."""
        if context is None:
            context = next(iter(watched.contexts.values()))
        self._forget(watched)
        again = self._known.get(id(watched.thing))
        if again is not None:  # it was removed, and added, in the callback that says now that it is over
            self._forget(again)
        if watched.over:  # a shutdown, or `dispose`, in its callback has told it
            return
        watched.over = True
        context = context.copy()  # it may be entered
        try:
            context.run(watched.thing.connectionLost, reason)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:
            context.run(log_failure, logger, Failure(), "connectionLost of %r raised", watched.thing)

    # Watching.

    def _watch(self, watched: Watched, kind: Kind, context: Context) -> None:
        """Have the loop watch *watched* for *kind*.

        Raises: ConnectionFdescWentAway: nobody can. ValueError, OSError, RuntimeError: see `Descriptors.addReader`.
        """
        number = watched.number
        for other in set(self._numbers.get(number, {}).values()) - {watched}:
            self._see(other)
        taken = self._numbers.get(number, {}).get(kind)
        if taken is not None:
            raise ValueError(f"descriptor {number} is watched for {taken.thing!r} already: remove that first")
        if not isinstance(self._reactor._watcher, MakesWay):
            self._reactor._watcher = MakesWay(self._watcher, self._numbers, self.make_way)
        add = self._watcher.add_reader if kind is READ else self._watcher.add_writer
        try:
            add(number if watched.own < 0 else watched.own, partial(self._ready, watched, kind))
        except OSError as error:
            if error.errno not in _CANNOT_BE_WATCHED:
                raise
            raise ConnectionFdescWentAway(f"descriptor {number} cannot be watched: {error}") from error
        watched.contexts[kind] = context
        self._numbers.setdefault(number, {})[kind] = watched

    def _unwatch(self, watched: Watched, *kinds: Kind) -> None:
        """Have the loop watch *watched* for none of *kinds*, by default for nothing. Does nothing if it does not."""
        slot = self._numbers.get(watched.number, {})
        for kind in kinds or (READ, WRITE):
            if slot.get(kind) is watched:
                del slot[kind]
                if not slot:
                    del self._numbers[watched.number]
                self._unwatch_number(watched, kind)
        if watched.own >= 0 and watched not in slot.values():
            os.close(watched.own)
            watched.own = -1

    def _unwatch_number(self, watched: Watched, kind: Kind) -> None:
        remove = self._watcher.remove_reader if kind is READ else self._watcher.remove_writer
        # It may be closed: asyncio asks to watch it for the other kind, and passes on what epoll says.
        with contextlib.suppress(OSError):
            remove(watched.number if watched.own < 0 else watched.own)

    def _forget(self, watched: Watched) -> None:
        """Remove it, if it is known."""
        self._unwatch(watched)
        if watched.doomed is not None:
            watched.doomed.cancel()
            watched.doomed = None
        if self._known.get(id(watched.thing)) is watched:
            del self._known[id(watched.thing)]
        self._reactor._drop(watched)
        if not self._known and self._looking is not None:
            self._looking.cancel()
            self._looking = None
            self._to_look_at.clear()

    # What went bad.

    def _see(self, watched: Watched) -> None:
        """See whether *watched* went bad."""
        reason = watched.wrong()
        if reason is not None and watched.doomed is None:
            self._doom(watched, reason)

    def _doom(self, watched: Watched, reason: ConnectionFdescWentAway) -> None:
        """*watched* went bad: remove it now, and tell it in the next turn."""
        self._unwatch(watched)
        watched.reason = Failure(reason)
        watched.doomed = self._loop.call_soon(self.end, watched, watched.reason, context=Context())

    def _look_later(self) -> None:
        self._looking = self._loop.call_later(LOOK_EVERY, self._look, context=Context())

    def _look(self) -> None:
        """See about some, of which the loop may say nothing."""
        self._look_later()
        if not self._to_look_at:
            self._to_look_at = list(self._known.values())
        for _ in range(min(LOOK_AT, len(self._to_look_at))):
            watched = self._to_look_at.pop()
            if self._known.get(id(watched.thing)) is watched:
                self._see(watched)

    # What happens.

    def _ready(self, watched: Watched, kind: Kind) -> None:
        """The loop says that the descriptor of *watched* is ready for *kind*, or in error."""
        context = watched.contexts[kind]
        reason: Exception | None = watched.wrong()
        if reason is None:
            condition = condition_of(watched.number, _events(self._numbers[watched.number]))
            if condition & BROKEN and not condition & IN:
                reason = ConnectionDone() if READ in watched.contexts else ConnectionLost()
            elif condition & kind.event:
                self._call(watched, kind, context)
        if reason is not None:
            self.end(watched, Failure(reason), context)
        self._reactor._turns.served()

    def _call(self, watched: Watched, kind: Kind, context: Context) -> None:
        failure: Failure | None = None
        try:
            reason = context.run(getattr(watched.thing, kind.method))
            if reason:
                failure = _failure_of(reason, kind)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException as error:  # CancelledError too
            failure = Failure(error)
            context.copy().run(log_failure, logger, failure, "%s of %r raised", kind.method, watched.thing)
        if failure is not None:
            self.end(watched, failure, context)
        elif self._known.get(id(watched.thing)) is watched:
            self._see(watched)  # it may have closed its descriptor


class MakesWay:
    """The reactor's watcher, from the first descriptor of the application's on: see the head of this file.

    Args:
        watcher: the loop's.
        numbers: those that the application has watched.
        make_way: takes one of them from it.
    """

    def __init__(self, watcher: Watcher, numbers: Container[int], make_way: Callable[[int], None]) -> None:
        self._watcher = watcher
        self._numbers = numbers
        self._make_way = make_way
        self.remove_reader = watcher.remove_reader
        self.remove_writer = watcher.remove_writer

    def add_reader(self, fd: int, callback: Callback, /) -> None:
        """See `Watcher`."""
        if fd in self._numbers:
            self._make_way(fd)
        self._watcher.add_reader(fd, callback)

    def add_writer(self, fd: int, callback: Callback, /) -> None:
        """See `Watcher`."""
        if fd in self._numbers:
            self._make_way(fd)
        self._watcher.add_writer(fd, callback)


def _events(kinds: Iterable[Kind]) -> int:
    events = 0
    for kind in kinds:
        events |= kind.event
    return events


def _failure_of(reason: Any, kind: Kind) -> Failure:
    """What ends an object whose method returned *reason*.

    Raises: TypeError: it should not have.
    """
    if isinstance(reason, Failure):
        return reason
    if isinstance(reason, type) and issubclass(reason, BaseException):
        reason = reason()
    if not isinstance(reason, BaseException):
        raise TypeError(f"{kind.method} returned {reason!r}: it returns None, or the exception that ends it")
    return Failure(reason)
