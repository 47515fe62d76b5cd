"""SIGUSR1 prints what waits, while ``netcore run`` serves.

The loop's own means take the signal: they wake a loop that sleeps, whichever thread the kernel gives the signal to.
They are used in a turn of the loop, for what uvloop does before its first (see `netcore.reactors._signals`, whose rules
for what is put back hold here too). A loop that is held by a callback prints when that returns.

A handler of the application's own is left alone, as is a signal that it was started to ignore.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

from netcore.debug import printPending
from netcore.failure import Failure
from netcore.reactors import Reactor

__all__ = ["printing_what_waits"]

log = logging.getLogger("netcore.application")


@contextlib.contextmanager
def printing_what_waits(reactor: Reactor) -> Iterator[None]:
    """While *reactor* runs, in the main thread, SIGUSR1 prints what waits; where there is no such signal, nothing
    does."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    wakes = signal.set_wakeup_fd(-1)
    if wakes != -1:
        signal.set_wakeup_fd(wakes)
    printer = _Printer()
    trigger = reactor.callWhenRunning(printer.take, reactor, number)
    try:
        yield
    finally:
        printer.stopped = True
        if printer.handler is not None and signal.getsignal(number) is printer.handler:
            with contextlib.suppress(NotImplementedError):
                reactor.loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            if wakes != -1:
                signal.set_wakeup_fd(wakes)
        if trigger is not None:
            with contextlib.suppress(ValueError):  # it was called
                reactor.removeSystemEventTrigger(trigger)


class _Printer:
    """What the loop calls. uvloop removes no handler while it does not run."""

    stopped = False
    handler: Any = None  # of the process, which the loop has set

    def take(self, reactor: Reactor, number: signal.Signals) -> None:
        """Take the signal, unless somebody else has."""
        if signal.getsignal(number) is signal.SIG_DFL:
            with contextlib.suppress(NotImplementedError):  # Windows, which has no SIGUSR1 in the first place
                reactor.loop.add_signal_handler(number, self.print)
                self.handler = signal.getsignal(number)

    def print(self) -> None:
        """Print."""
        if self.stopped:
            return
        try:
            printPending()
        except Exception:  # standard error is closed, say
            log.error("what waits could not be printed: %s", Failure().getErrorMessage())
