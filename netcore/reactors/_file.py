"""What an application's descriptor is: a number, an open file, and how that is."""

from __future__ import annotations

import os
import select
import stat
from typing import Any

from netcore.error import ConnectionFdescWentAway

__all__ = ["BROKEN", "IN", "OUT", "condition_of", "file_of", "number_of"]

# poll(2)'s events, as Linux numbers them: Windows has none of it, but reading and writing need a name there too.
IN, OUT = getattr(select, "POLLIN", 1), getattr(select, "POLLOUT", 4)
BROKEN = getattr(select, "POLLHUP", 16) | getattr(select, "POLLERR", 8)
INVALID = getattr(select, "POLLNVAL", 32)


def number_of(thing: Any) -> int:
    """The descriptor of *thing*.

    Raises: ConnectionFdescWentAway: it has none.
    """
    try:
        number = thing.fileno()
    except Exception as error:  # ValueError, of a file object that is closed
        raise ConnectionFdescWentAway(f"its fileno() raised {error!r}") from error
    if not isinstance(number, int) or number < 0:
        raise ConnectionFdescWentAway(f"its fileno() is {number!r}")
    return number


def file_of(number: int) -> object:
    """What tells the file that is open as *number* from another one, later, with the same number.

    Raises: ConnectionFdescWentAway: there is none, or it is one that nobody can wait for.
    """
    if os.name != "posix":
        return None
    try:
        status = os.fstat(number)
    except OSError as error:
        raise ConnectionFdescWentAway(f"descriptor {number} is closed") from error
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        raise ConnectionFdescWentAway(
            f"descriptor {number} is a file on disk, which is always ready, so that there is nothing to wait for: read "
            "it at once, or in a thread (deferToThread)"
        )
    return status.st_dev, status.st_ino


def condition_of(number: int, wanted: int) -> int:
    """What poll(2) says of *number*, which is open, when it is asked for the events *wanted*."""
    if not hasattr(select, "poll"):
        return wanted
    poll = select.poll()
    poll.register(number, wanted)
    found = poll.poll(0)
    if not found:
        return 0
    condition: int = found[0][1]
    return wanted if condition & INVALID else condition  # it is open, so it is a device that poll(2) refuses (macOS)
