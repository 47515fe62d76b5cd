"""Signals, while a reactor runs in the main thread.

SIGINT, SIGTERM and, on Windows, SIGBREAK (untried) are taken when `run` begins; SIGHUP while the application has
"reload" triggers: without any it means what it meant before, which is the end of a program started in a terminal that
is closed, and nothing under ``nohup``. SIGINT is taken only where Python's own handler stands: a debugger's, or
"ignore" as inherited, stays. What stood before is put back when `run` returns, the wake-up descriptor included.

What holds: ``_previous`` has the handlers of those signals that are taken now. It stays empty outside the main thread,
where none can be.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from typing import Any, Self

__all__ = ["RELOAD", "Signals"]

RELOAD: int | None = getattr(signal, "SIGHUP", None)  # Windows has none
_BREAK: int | None = getattr(signal, "SIGBREAK", None)  # which Windows alone has


class Signals:
    """Has *on_signal* called, from *loop*, with the number of each signal that is taken. A context manager: what was
    taken is put back at its end.

    The loop's own means are used, since they wake it: a Python-level handler alone would wait until the next event
    when the kernel delivers the signal to another thread. They are used in the loop's turns: uvloop would keep a signal
    that comes between `add_signal_handler` and its first turn to itself, until the next one.

    Args:
        enabled: whether signals are taken at all.
        reload: whether SIGHUP is taken from the beginning.
    """

    __slots__ = ("_descriptor", "_enabled", "_loop", "_previous", "_receiver", "_reload", "_taking")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_signal: Callable[[int], object], enabled: bool, reload: bool
    ) -> None:
        self._loop = loop
        self._receiver = _Receiver(on_signal)
        self._enabled = enabled and threading.current_thread() is threading.main_thread()
        self._reload = reload
        self._previous: dict[int, Any] = {}
        self._descriptor = -1
        self._taking: asyncio.Handle | None = None

    def __enter__(self) -> Self:
        if self._enabled:
            self._descriptor = signal.set_wakeup_fd(-1)
            if self._descriptor != -1:
                signal.set_wakeup_fd(self._descriptor)
            self._taking = self._loop.call_soon(self._take_all)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._enabled:
            return
        self._enabled = False
        if self._taking is not None:
            self._taking.cancel()
        self._receiver.on_signal = None
        for number in list(self._previous):
            self._put_back(number)
        if self._descriptor != -1:  # if there was none, the loop has taken its own away or still needs it
            signal.set_wakeup_fd(self._descriptor)

    def want_reload(self, wanted: bool) -> None:
        """Take SIGHUP, or put back what stood before. Call it from the loop."""
        if wanted is self._reload:
            return
        self._reload = wanted
        if not self._enabled or self._taking is not None or RELOAD is None:
            return
        if wanted:
            self._take(RELOAD)
        else:
            self._put_back(RELOAD)

    def _take_all(self) -> None:
        self._taking = None
        self._take(signal.SIGTERM)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._take(signal.SIGINT)
        if _BREAK is not None:
            self._take(_BREAK)
        if self._reload and RELOAD is not None:
            self._take(RELOAD)

    def _take(self, number: int) -> None:
        self._previous[number] = signal.getsignal(number)
        try:
            self._loop.add_signal_handler(number, self._receiver, number)
        except NotImplementedError:  # Windows (untried): the handler runs when the loop turns
            loop, receiver = self._loop, self._receiver
            signal.signal(number, lambda received, _: _later(loop, receiver, received))

    def _put_back(self, number: int) -> None:
        handler = self._previous.pop(number)
        with contextlib.suppress(NotImplementedError):
            self._loop.remove_signal_handler(number)
        if handler is not None:  # None: set by C code, which Python cannot put back
            signal.signal(number, handler)


class _Receiver:
    """What the loop is given, and may keep: uvloop removes no handler while it does not run, and goes on to call it
    for signals that somebody else handles."""

    __slots__ = ("on_signal",)

    def __init__(self, on_signal: Callable[[int], object]) -> None:
        self.on_signal: Callable[[int], object] | None = on_signal

    def __call__(self, number: int) -> None:
        if self.on_signal is not None:
            self.on_signal(number)


def _later(loop: asyncio.AbstractEventLoop, on_signal: Callable[[int], object], number: int) -> None:
    loop.call_soon_threadsafe(on_signal, number)
