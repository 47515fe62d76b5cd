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
    when the kernel delivers the signal to another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        wanted.append(signal.SIGINT)
    previous: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in wanted}
    previous_descriptor = signal.set_wakeup_fd(-1)
    if previous_descriptor != -1:
        signal.set_wakeup_fd(previous_descriptor)
    try:
        for number in wanted:
            try:
                loop.add_signal_handler(number, on_signal, number)
            except NotImplementedError:  # Windows (untried): the handler runs when the loop turns
                signal.signal(number, lambda received, _: _later(loop, on_signal, received))
        yield
    finally:
        for number in wanted:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            if previous[number] is not None:  # None: set by C code, which Python cannot put back
                signal.signal(number, previous[number])
        if previous_descriptor != -1:  # if there was none, the loop has taken its own away or still needs it
            signal.set_wakeup_fd(previous_descriptor)


def _later(loop: asyncio.AbstractEventLoop, on_signal: Callable[[int], object], number: int) -> None:
    loop.call_soon_threadsafe(on_signal, number)
