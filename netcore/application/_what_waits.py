"""SIGUSR1 prints what waits, and ends nothing, under ``netcore run``.

The handler stands from before the application's file is executed. It prints nothing itself: it may interrupt the main
thread anywhere, within a lock that looking through threads and reactors needs. It has the reactor print, in a turn of
its loop: so a loop that is held by a callback prints when that returns, and while the file is executed, or services are
started, the signal is kept until the loop runs. (Whichever thread the kernel gives the signal to, the loop wakes: for
SIGINT and SIGTERM its own means are in use, and they wake it for every signal.) Afterwards the signal is ignored, to
the end of the process: a loop's own way to put things back would let it kill, for a moment.

A handler of the application's own is left alone, as is a signal that the command was started to ignore.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

from netcore.debug import printPending
from netcore.error import ReactorNotRunning
from netcore.failure import Failure
from netcore.interfaces import IReactorFromThreads

__all__ = ["Printer", "printing_what_waits"]

log = logging.getLogger("netcore.application")


@contextlib.contextmanager
def printing_what_waits() -> Iterator[Printer]:
    """In the main thread, have SIGUSR1 print what waits, as soon as `Printer.serve` says where; where there is no such
    signal, nothing does."""
    printer = Printer()
    number = getattr(signal, "SIGUSR1", None)
    if (
        number is None
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(number) is not signal.SIG_DFL
    ):
        yield printer
        return
    handler = printer.signalled
    signal.signal(number, handler)
    try:
        yield printer
    finally:
        if signal.getsignal(number) is handler:
            signal.signal(number, signal.SIG_IGN)


class Printer:
    """Hears the signal, and has it answered."""

    def __init__(self) -> None:
        self._reactor: IReactorFromThreads | None = None
        self._asked = False

    def serve(self, reactor: IReactorFromThreads) -> None:
        """Print in turns of *reactor* from now on; also what was asked for before."""
        self._reactor = reactor
        if self._asked:
            self._ask(reactor)

    def signalled(self, *_: object) -> None:
        """The handler."""
        if self._asked:  # what is printed then is newer than this
            return
        self._asked = True
        if self._reactor is not None:
            self._ask(self._reactor)

    def _ask(self, reactor: IReactorFromThreads) -> None:
        with contextlib.suppress(ReactorNotRunning):  # it was disposed of
            reactor.callFromThread(self._print)

    def _print(self) -> None:
        self._asked = False
        try:
            printPending()
        except Exception:  # standard error is closed, say
            log.error("what waits could not be printed: %s", Failure().getErrorMessage())
