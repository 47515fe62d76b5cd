"""Where threads meet, for tests: with `hook` set, a crew that is made then calls it at each such place.

Everything that two threads of a crew share, they share under its lock, or hand over by waking the host. A hook that
gives up the processor there, at random, brings about orders of events that otherwise come once in a million calls.
Without a hook nothing is in the way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["hook", "hooked", "make_lock"]

F = TypeVar("F", bound=Callable[..., Any])

hook: Callable[[str], object] | None = None
"""Called with the name of the place."""


class _Yielding:
    def __init__(self, hook: Callable[[str], object]) -> None:
        self._hook = hook
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._hook("acquire")
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()
        self._hook("release")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def make_lock() -> threading.Lock:
    """A lock for a crew."""
    return threading.Lock() if hook is None else cast("threading.Lock", _Yielding(hook))


def hooked(function: F, place: str) -> F:
    """*function*, with the hook called before it and after it."""
    if hook is None:
        return function
    called = hook

    def wrapper(*args: Any) -> Any:
        called(f"before {place}")
        try:
            return function(*args)
        finally:
            called(f"after {place}")

    return wrapper  # type: ignore[return-value]
