"""The watcher of uvloop's loops: that a descriptor in error is reported again and again, as everywhere else.

When epoll says that a descriptor is in error (a connection was reset, a datagram refused), libuv stops watching it, and
uvloop calls its reader once more and never again. If there is something to be read before the error, that is what the
one call gets: a peer that says a word and resets the connection within one turn of ours would leave us with a
connection that never ends, and one refused datagram a port that is deaf from then on.

So an epoll of our own looks out for errors, and for nothing else, on every descriptor that has a reader, and uvloop
looks out for that epoll: as long as a descriptor is in error, its reader is given to uvloop anew in each turn. It costs
nothing while bytes come and go, and one system call when a reader is added or removed.

An error that the reader's one call has taken away (as ``recv`` does) is not seen by that. Who gets one and wants to
hear more asks for it again, with `add_reader`.

What holds: the epoll is open exactly while there are readers, so nobody need close it; a number is registered in it
exactly while it has a reader. (A writer is called once as well, and finds in that call that it cannot send.)
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable
from typing import Any

__all__ = ["UvloopWatcher", "is_uvloop"]

Callback = Callable[[], object]


def is_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether *loop* is uvloop's, and errors can be looked out for here."""
    return type(loop).__module__.partition(".")[0] == "uvloop" and hasattr(select, "epoll")


class UvloopWatcher:
    """Watches descriptors by *loop*; see `netcore.reactors._selector.Watcher`.

    Threading: the loop's thread only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: dict[int, Callback] = {}
        self._errors: Any = None  # a select.epoll, which not every platform has
        self.add_writer = loop.add_writer
        self.remove_writer = loop.remove_writer

    def add_reader(self, fd: int, callback: Callback, /) -> None:
        """Call *callback*, and none given before, while *fd* is readable or in error.

        Raises: OSError: *fd* cannot be watched. RuntimeError: the loop is closed.
        """
        if fd in self._readers:
            self._loop.remove_reader(fd)  # else a descriptor that libuv has given up stays so
            self._readers[fd] = callback
            self._loop.add_reader(fd, callback)
            with contextlib.suppress(FileExistsError):  # it is there, unless the number is another file's by now
                self._errors.register(fd, 0)
            return
        self._readers[fd] = callback
        try:
            if self._errors is None:
                self._errors = select.epoll()
                self._loop.add_reader(self._errors.fileno(), self._some_are_in_error)
            self._errors.register(fd, 0)  # EPOLLERR and EPOLLHUP are always reported: epoll_ctl(2)
            self._loop.add_reader(fd, callback)
        except BaseException:
            self._forget(fd)
            raise

    def remove_reader(self, fd: int, /) -> bool:
        """Do so no more. Returns: whether there was one."""
        self._forget(fd)
        return self._loop.remove_reader(fd)

    def let_go(self) -> None:
        """Watch nothing any more, but take nothing out of the epoll: since fork(2) it may be another process's too."""
        self._readers.clear()
        self._close()

    def _forget(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            try:
                if self._errors is not None:
                    self._errors.unregister(fd)
            except OSError:
                pass  # it was closed behind our back, and the kernel has forgotten it; or it never was in it
            if not self._readers:
                self._close()

    def _close(self) -> None:
        if self._errors is not None:
            self._loop.remove_reader(self._errors.fileno())
            self._errors.close()
            self._errors = None

    def _some_are_in_error(self) -> None:
        # Not at once: libuv drops the events of this turn for what is added anew in it.
        self._loop.call_soon(self._watch_again)

    def _watch_again(self) -> None:
        for fd, _ in () if self._errors is None else self._errors.poll(0):
            callback = self._readers.get(fd)
            if callback is not None:
                self.add_reader(fd, callback)
