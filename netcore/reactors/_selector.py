"""A selector for asyncio's loops that calls the readers and writers of transports itself.

asyncio makes an object of every event, looks up its key, queues a Handle, and enters a context to call it: an eighth of
what an echoed message costs (decision 0013 has the figures). Here one epoll watches two kinds of descriptors:

* *asyncio's*, registered by the loop: its own wake-up, ``loop.add_reader``, asyncio's transports. `select` reports each
  of their events, as any selector does.
* *ours*, from `add_reader` and `add_writer`. All their events of a turn are reported as one: this selector's own
  descriptor is readable. The loop's reader for that, `_dispatch`, goes through them.

So nothing is called from within `select`, and a turn takes one system call and one Handle. (An epoll of our own that
the loop watches needs no selector, but a second system call each turn: 29 % more for a single connection.)

What holds:

* A number is in ``_keys`` (asyncio's) or in ``_readers`` and ``_writers`` (ours), never in both kinds.
* The kernel watches a number exactly while it is in one of them, for all that is wanted of it; except for the epoll's
  own, which is a key that nothing is watched for.
* Who is called is who is registered then, not when the kernel reported the event: what was removed is not called.
* ``_new`` are the descriptors of ours that are watched only since the kernel reported ``_events``. An event there is of
  a file that had the number before: "writable", to a socket that is still connecting, would mean connected.
* ``_doubtful`` are numbers that were closed before they were to be watched no more. The kernel forgets those by itself,
  unless somebody else has the same file open (dup(2), fork(2)): then it goes on reporting them, for ever, and nothing
  takes them out of this epoll.
* Events may be dropped, since the kernel reports what still holds again. That becomes of the rest when a callback
  raises KeyboardInterrupt or SystemExit, which leave the loop. Edges, which it reports once, are asked for again.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Any, Protocol

from netcore._log import ENDS_THE_PROGRAM
from netcore.reactors._uvloop import UvloopWatcher, is_uvloop

__all__ = ["DirectSelector", "Watcher", "direct_loop", "watcher_of"]

Callback = Callable[[], object]

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_WATCHER = "_netcore_watcher"


class Watcher(Protocol):
    """What transports have their descriptors watched by: a `DirectSelector`, a `UvloopWatcher`, or an asyncio loop
    itself.

    Each callback is called in every turn that finds *fd* ready, or in error. *fd* is removed before it is closed.
    """

    def add_reader(self, fd: int, callback: Callback, /) -> object:
        """Call *callback*, and none given before, while *fd* is readable."""

    def remove_reader(self, fd: int, /) -> object:
        """Do so no more. Does nothing if there is no reader."""

    def add_writer(self, fd: int, callback: Callback, /) -> object:
        """Call *callback*, and none given before, while *fd* is writable."""

    def remove_writer(self, fd: int, /) -> object:
        """Do so no more. Does nothing if there is no writer."""


def direct_loop() -> asyncio.SelectorEventLoop:
    """A new loop on a `DirectSelector`, which `watcher_of` finds."""
    selector = DirectSelector()
    loop = asyncio.SelectorEventLoop(selector)
    selector.serve(loop)
    setattr(loop, _WATCHER, selector)
    return loop


def watcher_of(loop: asyncio.AbstractEventLoop) -> Watcher:
    """What transports on *loop* use: the shortest way there is."""
    watcher: Watcher | None = getattr(loop, _WATCHER, None)
    if watcher is None and is_uvloop(loop):
        watcher = UvloopWatcher(loop)
        setattr(loop, _WATCHER, watcher)
    return loop if watcher is None else watcher


class DirectSelector(selectors.BaseSelector):
    """An epoll for one loop of asyncio's, with readers and writers beside the loop's own.

    What one of those raises goes to the loop's exception handler, as for ``loop.add_reader``, and the others are called
    all the same. They share one Handle; so they run in an empty context (contextvars), not in that of `add_reader`, and
    asyncio's debug mode, when one is slow, tells of the Handle only.

    Threading: the loop's thread only.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._own = self._epoll.fileno()
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._map = _Keys(self._keys)
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._at_close: dict[int, Callback] = {}
        self._events: Sequence[tuple[int, int]] = ()
        self._new: set[int] = set()
        self._doubtful: set[int] = set()
        self._report: Callable[[dict[str, Any]], None] = _nobody

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have *loop*, which was made on this selector, call the readers and writers."""
        self._report = loop.call_exception_handler
        Context().run(loop.add_reader, self._own, self._dispatch)

    # What transports use: see `Watcher`.

    def add_reader(self, fd: int, callback: Callback, /) -> None:
        """Call *callback*, and none given before, while *fd* is readable.

        Raises: OSError: *fd* cannot be watched. RuntimeError: the loop is closed.
        """
        if fd not in self._readers:
            self._watch_more(fd, select.EPOLLIN, fd in self._writers)
        self._readers[fd] = callback

    def add_edge_reader(self, fd: int, callback: Callback, at_close: Callback, /) -> None:
        """Call *callback* each time *fd*, which is not watched yet, becomes readable, until `remove_reader`.

        Args:
            at_close: called if the loop is closed before that, to close *fd*.
        Raises: OSError: *fd* cannot be watched. RuntimeError: the loop is closed.
        """
        self._watch_more(fd, select.EPOLLIN | select.EPOLLET, False)
        self._readers[fd] = callback
        self._at_close[fd] = at_close

    def remove_reader(self, fd: int, /) -> bool:
        """Do so no more. Returns: whether there was one."""
        if self._readers.pop(fd, None) is None:
            return False
        self._at_close.pop(fd, None)
        self._watch_less(fd, select.EPOLLOUT, fd in self._writers)
        return True

    def add_writer(self, fd: int, callback: Callback, /) -> None:
        """Call *callback*, and none given before, while *fd* is writable.

        Raises: OSError: *fd* cannot be watched. RuntimeError: the loop is closed.
        """
        if fd not in self._writers:
            self._watch_more(fd, select.EPOLLOUT, fd in self._readers)
        self._writers[fd] = callback

    def remove_writer(self, fd: int, /) -> bool:
        """Do so no more. Returns: whether there was one."""
        if self._writers.pop(fd, None) is None:
            return False
        self._watch_less(fd, select.EPOLLIN, fd in self._readers)
        return True

    def _watch_more(self, fd: int, mask: int, ours: bool) -> None:
        """Watch *fd* for *mask* too."""
        if self._epoll.closed:
            raise RuntimeError("the event loop is closed: it watches nothing any more")
        if ours:
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
        else:
            self._epoll.register(fd, mask)
            self._new.add(fd)
            # The kernel did not know it: a key would be of a file that asyncio's user closed without removing it.
            self._keys.pop(fd, None)

    def _watch_less(self, fd: int, mask: int, ours: bool) -> None:
        """Watch *fd* for *mask* only, if it is still ours, else not at all."""
        try:
            if ours:
                self._epoll.modify(fd, mask)
            else:
                self._epoll.unregister(fd)
        except OSError:
            self._doubtful.add(fd)  # it was closed first
        except ValueError:
            pass  # `let_go` was called

    def _dispatch(self) -> None:
        """Call those whom the events of this turn concern."""
        events, self._events = self._events, ()
        readers, new, readable = self._readers, self._new, select.EPOLLIN
        try:
            for fd, event in events:
                if event == readable:  # by far the most frequent: without a call in between
                    reader = readers.get(fd)
                    if reader is not None and fd not in new:
                        try:
                            reader()
                        except ENDS_THE_PROGRAM:
                            raise
                        except BaseException as error:  # CancelledError too
                            self._raised(reader, error)
                    elif fd in self._doubtful:
                        self._renew()
                else:  # an error, or a hang-up, concerns both
                    if fd in self._doubtful:
                        self._renew()
                    if event & ~select.EPOLLOUT:
                        self._call(readers, fd)
                    if event & ~select.EPOLLIN:
                        self._call(self._writers, fd)
        except BaseException:  # it leaves the loop, and the rest is dropped
            self._ask_again()
            raise

    def _call(self, callbacks: dict[int, Callback], fd: int) -> None:
        callback = callbacks.get(fd)
        if callback is not None and fd not in self._new:
            try:
                callback()
            except ENDS_THE_PROGRAM:
                raise
            except BaseException as error:
                self._raised(callback, error)

    def _renew(self) -> None:
        """Doubtful numbers are reported: watch all others with a new epoll, under the number of this one."""
        fresh = select.epoll()
        self._doubtful.clear()
        masks = {key.fd: _mask(key.events) for key in self._keys.values() if key.fd != self._own}
        for table, mask in ((self._readers, select.EPOLLIN), (self._writers, select.EPOLLOUT)):
            for fd in table:
                masks[fd] = masks.get(fd, 0) | mask | (select.EPOLLET if fd in self._at_close else 0)
        for fd, mask in masks.items():
            try:
                fresh.register(fd, mask)
            except OSError:
                self._doubtful.add(fd)  # closed, and not removed yet
        os.dup2(fresh.fileno(), self._own, inheritable=False)
        fresh.close()

    def _ask_again(self) -> None:
        """Have the edges that were dropped reported again; others too, which does no harm."""
        for fd in self._at_close:
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLET)

    def _raised(self, callback: Callback, error: BaseException) -> None:
        self._report({"message": f"Exception in callback {callback!r}", "exception": error})

    # What the loop uses: see `selectors.BaseSelector`.

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, *timeout* seconds at most: each of asyncio's, and one for all of ours."""
        if self._events:  # the loop was left before `_dispatch` had its turn
            self._events = ()
            self._ask_again()
        try:
            events = self._poll(timeout if timeout is None or timeout > 0 else 0)
        except BaseException:  # a signal handler's, when there were events already
            self._ask_again()
            raise
        if self._new:
            self._new.clear()
        keys = self._keys
        ready = []
        for fd, event in events:
            key = keys.get(fd)
            if key is not None:
                kinds = (_READ if event & ~select.EPOLLOUT else 0) | (_WRITE if event & ~select.EPOLLIN else 0)
                ready.append((key, kinds & key.events))
        if len(ready) != len(events) and self._own in keys:
            self._events = events
            ready.append((keys[self._own], _READ))
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch *fileobj*.

        Raises: ValueError: it has no descriptor, or *events* are none. KeyError: it is watched already. OSError: it
            cannot be watched.
        """
        if not events or events & ~(_READ | _WRITE):
            raise ValueError(f"to be watched for: EVENT_READ, EVENT_WRITE or both, not {events!r}")
        key = selectors.SelectorKey(fileobj, self._map.descriptor_of(fileobj), events, data)
        if key.fd in self._keys:
            raise KeyError(f"{fileobj!r} is registered already")
        if key.fd != self._own:
            self._epoll.register(key.fd, _mask(events))
            # The kernel did not know it: ours would be of a file that an application closed without removing it.
            self._readers.pop(key.fd, None)
            self._writers.pop(key.fd, None)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watch *fileobj* no more. Raises: KeyError: it was not watched."""
        key = self._map[fileobj]
        del self._keys[key.fd]
        if key.fd != self._own:
            try:
                self._epoll.unregister(key.fd)
            except OSError:  # as in `_watch_less`
                self._doubtful.add(key.fd)
            except ValueError:
                pass
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch *fileobj* for other *events*, or with other *data*. Raises: KeyError: it was not watched."""
        key = self._map[fileobj]
        if events != key.events and key.fd != self._own:
            self._epoll.modify(key.fd, _mask(events))
        self._keys[key.fd] = key = key._replace(events=events, data=data)
        return key

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What the loop has registered."""
        return self._map

    def let_go(self) -> None:
        """Watch nothing any more, but take nothing out of the epoll: since fork(2) it may be another process's too."""
        self._epoll.close()

    def close(self) -> None:
        """Let go of everything."""
        for at_close in list(self._at_close.values()):
            at_close()
        self._epoll.close()
        for table in (self._keys, self._readers, self._writers):
            table.clear()
        self._events = ()
        self._report = _nobody


class _Keys(Mapping[Any, selectors.SelectorKey]):
    """A selector's keys, by descriptor or by the object that has it."""

    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def descriptor_of(self, fileobj: Any) -> int:
        """The number that *fileobj* is, has, or had before it was closed.

        Raises: ValueError: none of that.
        """
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if isinstance(number, int) and number >= 0:
            return number
        for key in self._keys.values():
            if key.fileobj is fileobj:
                return key.fd
        raise ValueError(f"{fileobj!r} is closed, or never was a descriptor")

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._keys.get(self.descriptor_of(fileobj))
        if key is None:
            raise KeyError(f"{fileobj!r} is not registered")
        return key

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _mask(events: int) -> int:
    return (select.EPOLLIN if events & _READ else 0) | (select.EPOLLOUT if events & _WRITE else 0)


def _nobody(context: dict[str, Any]) -> None:
    """The loop is not made yet, or is closed: nothing is called then."""
