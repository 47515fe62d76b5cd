"""What select(2) cannot do, made bearable: `asyncio` finds out within ``select``, in every turn, where nobody can say
who asked for it.

* A number from FD_SETSIZE on fits into none of its sets (on Windows, where they hold numbers of any size, it is how
  many there are that counts). It is refused when it is added.
* A descriptor that was closed without being removed makes the whole call fail. Whoever is watched under it is told that
  it is ready, and finds that it is not.
"""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import sys
from typing import Any

from netcore.reactors._selector import Callback, Watcher

__all__ = ["Bounded", "SelectSelector", "limit_of", "too_large"]

# FD_SETSIZE of Linux, the BSDs and macOS, compiled into Python.
_LIMIT = 1024 if os.name == "posix" else sys.maxsize


def limit_of(loop: asyncio.AbstractEventLoop) -> int:
    """What the numbers of descriptors that *loop* can watch are smaller than."""
    return _LIMIT if isinstance(getattr(loop, "_selector", None), selectors.SelectSelector) else sys.maxsize


def too_large(number: int) -> OSError:
    """What is raised for a descriptor that cannot be watched. EMFILE: so many are open already."""
    return OSError(
        errno.EMFILE,
        f"the select loop cannot watch descriptor {number}, only numbers below {_LIMIT}: for more connections take "
        "another loop, such as 'asyncio', 'poll' or 'uvloop' (netcore.reactors.install, NETCORE_REACTOR)",
    )


class SelectSelector(selectors.SelectSelector):
    """asyncio's selector over select(2), which lives with what would make it fail."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch *fileobj*. Raises: OSError: its number is too large. And as `selectors.BaseSelector.register`."""
        key = super().register(fileobj, events, data)
        if key.fd >= _LIMIT:
            self.unregister(fileobj)
            raise too_large(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, *timeout* seconds at most."""
        try:
            return super().select(timeout)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return [(key, key.events) for key in self.get_map().values() if _is_closed(key.fd)]


class Bounded:
    """What transports have their descriptors watched by on a loop over select(2)."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.remove_reader = watcher.remove_reader
        self.remove_writer = watcher.remove_writer

    def add_reader(self, fd: int, callback: Callback, /) -> None:
        """See `Watcher`. Raises: OSError: *fd* is too large."""
        if fd >= _LIMIT:
            raise too_large(fd)
        self._watcher.add_reader(fd, callback)

    def add_writer(self, fd: int, callback: Callback, /) -> None:
        """See `Watcher`. Raises: OSError: *fd* is too large."""
        if fd >= _LIMIT:
            raise too_large(fd)
        self._watcher.add_writer(fd, callback)


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False
