"""SIGINT and SIGTERM, while a reactor runs in the main thread.

SIGINT is taken only where Python's own handler stands: a debugger's, or "ignore" as inherited from ``nohup``, stays.
What stood before is put back when the reactor's `run` returns, the wake-up descriptor included.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["handling"]


@contextlib.contextmanager
def handling(loop: asyncio.AbstractEventLoop, on_signal: Callable[[int], object]) -> Iterator[None]:
    """Have *on_signal* called, from *loop*, with the number of each SIGINT and SIGTERM; in the main thread, else do
    nothing.

    The loop's own means are used, since they wake it: a Python-level handler alone would wait until the next event
    when the kernel delivers the signal to another thread. They are used in the loop's first turn: uvloop would keep a
    signal that comes between `add_signal_handler` and that turn to itself, until the next one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        wanted.append(signal.SIGINT)
    previous: dict[signal.Signals, Any] = {}
    previous_descriptor = signal.set_wakeup_fd(-1)
    if previous_descriptor != -1:
        signal.set_wakeup_fd(previous_descriptor)
    receiver = _Receiver(on_signal)

    def take() -> None:
        for number in wanted:
            previous[number] = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, receiver, number)
            except NotImplementedError:  # Windows (untried): the handler runs when the loop turns
                signal.signal(number, lambda received, _: _later(loop, receiver, received))

    taking = loop.call_soon(take)
    try:
        yield
    finally:
        taking.cancel()
        receiver.on_signal = None
        for number, handler in previous.items():
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            if handler is not None:  # None: set by C code, which Python cannot put back
                signal.signal(number, handler)
        if previous_descriptor != -1:  # if there was none, the loop has taken its own away or still needs it
            signal.set_wakeup_fd(previous_descriptor)


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
