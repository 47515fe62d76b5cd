"""Debugging on, and off."""

from __future__ import annotations

import math
import threading

from netcore.debug import _made
from netcore.debug._watchdog import Watchdog
from netcore.defer import setDebugging

__all__ = ["disable", "enable", "isEnabled"]

_lock = threading.RLock()
_watchdog: Watchdog | None = None


def enable(slowCallback: float = 0.1) -> None:
    """Switch debugging on. Switched on already, it takes the new *slowCallback*.

    A process that was forked from this one looks for slow callbacks when it has called this itself: threads are not
    inherited.

    Args:
        slowCallback: a callback that holds its loop for more than this many seconds is reported; `math.inf`: none is.
    Raises: ValueError: *slowCallback* is not more than 0.
    Threading: any thread.
    """
    global _watchdog
    if not slowCallback > 0:  # so put, NaN is refused as well
        raise ValueError(f"slowCallback is a number of seconds, more than 0, not {slowCallback!r}")
    with _lock:
        setDebugging(True)
        _made.PATCHES.apply()
        _end_watchdog()
        if slowCallback < math.inf:
            _watchdog = Watchdog(slowCallback)
            _watchdog.start()


def disable() -> None:
    """Switch debugging off, that of `defer.setDebugging` included. What was remembered is forgotten.

    Threading: any thread.
    """
    with _lock:
        _end_watchdog()
        _made.PATCHES.undo()
        _made.forget()
        setDebugging(False)


def isEnabled() -> bool:
    """Whether debugging is switched on."""
    return _made.PATCHES.applied


def _end_watchdog() -> None:
    global _watchdog
    watchdog, _watchdog = _watchdog, None
    if watchdog is not None:
        watchdog.end()
