"""Polling for what has no event to wait on, and ports that nobody will take meanwhile."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["free_port", "has_ended", "wait_until"]

T = TypeVar("T")

_STEP = 0.005  # what is polled for (a server's start, a backend's end) takes milliseconds: finer only burns processor

# Below those that Linux gives to who asks for any (from 32,768 on), and each process begins elsewhere: what was free a
# moment ago is free still, whatever another run of the tests does.
_numbers = itertools.count(os.getpid() * 97)


def wait_until(condition: Callable[[], T], what: str, timeout: float = 10.0) -> T:
    """Call *condition* until it returns something true, and return that.

    For states of other processes and of the kernel only. Threads of this process meet on events and barriers.

    Raises: TimeoutError, naming *what*, if it is not so after *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain until {what}")
        time.sleep(_STEP)
    return result


def has_ended(pid: int) -> bool:
    """Whether a process that is not our child has ended; a zombie that nobody has collected has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def free_port() -> int:
    """The number of a port of the loopback interface that is free; another one each time."""
    while True:
        port = 10_000 + next(_numbers) % 22_000
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
