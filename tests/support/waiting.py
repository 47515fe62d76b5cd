"""The one place in the tests that sleeps: polling for what has no event to wait on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_STEP = 0.005  # what is polled for (a server's start, a backend's end) takes milliseconds: finer only burns processor


def wait_until(condition: Callable[[], T], what: str, timeout: float = 10.0) -> T:
    """Call *condition* until it returns something true, and return that.

    For states of other processes and of the kernel only. Threads of this process meet on events and barriers.

    Raises: AssertionError, naming *what*, if it is not so after *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain until {what}")
        time.sleep(_STEP)
    return result


def has_ended(pid: int) -> bool:
    """Whether a process that is not our child has ended; a zombie that nobody has collected has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
