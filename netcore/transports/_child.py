"""A child process, from its start until its end is known: waited for, and sent signals.

What holds:

* Nobody but this waits for the child, and this waits for no other one: there is no handler for SIGCHLD, and no
  waitpid(2) for "any". So a number in here is the child's own until `_reap` has said so: a signal never goes to a
  stranger.
* Where there is a pidfd (Linux 5.3), the loop watches it. Where there is none, or the loop cannot watch it, a thread
  waits until the child has ended, and only then takes its status away, under ``_lock``, which senders of signals hold
  too.
* When the reactor ends before the child does, the thread does the same. So no zombie is left behind, and no descriptor.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netcore.error import ProcessExitedAlready, ReactorNotRunning

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Child", "signal_number"]

logger = logging.getLogger("netcore.transports")


def signal_number(name: str | int) -> int:
    """The number of the signal *name*, "KILL" or "SIGKILL" or a number.

    Raises: ValueError: there is no such signal. TypeError: it is neither.
    """
    if isinstance(name, int):
        return int(name)
    if not isinstance(name, str):
        raise TypeError(f'a signal is a name, such as "TERM", or a number, not {name!r}')
    found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(found, signal.Signals):
        raise ValueError(f'there is no signal {name!r} here: "TERM", "KILL", "INT", "HUP" and the like, or a number')
    return int(found)


class Child:
    """The process *pid*, which was started by this one.

    Args:
        on_exit: called in the reactor's thread, from the loop, with the status that waitpid(2) gave: None if somebody
            else has taken that away.
    Threading: the reactor's thread.
    """

    def __init__(self, reactor: Reactor, pid: int, on_exit: Callable[[int | None], object]) -> None:
        self._reactor = reactor
        self.pid = pid
        self._on_exit = on_exit
        self._lock = threading.Lock()
        self._reaped = False
        self._reported = False
        self._status: int | None = None
        self._pidfd = -1
        self._parent = os.getpid()

    def watch(self) -> None:
        """Wait for its end."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
            self._reactor._watcher.add_reader(self._pidfd, self._look)
        except (AttributeError, OSError):
            self._close()
            self._wait_in_thread()

    def send_signal(self, number: int) -> None:
        """Raises: ProcessExitedAlready. OSError."""
        with self._lock:
            if self._reaped:
                raise ProcessExitedAlready
            try:
                if self._pidfd >= 0 and hasattr(signal, "pidfd_send_signal"):
                    signal.pidfd_send_signal(self._pidfd, number)
                else:
                    os.kill(self.pid, number)
            except ProcessLookupError:  # somebody else has waited for it
                raise ProcessExitedAlready from None

    def leave(self) -> None:
        """The reactor ends, maybe before the child."""
        if self._pidfd >= 0:
            self._reactor._watcher.remove_reader(self._pidfd)
            self._close()
            if self._parent != os.getpid():
                return  # a copy of the reactor, in a process that was forked: it is not that one's child
            if self._reap():
                self._report_later()
            else:
                self._wait_in_thread()

    def _close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _look(self) -> None:
        """It has ended."""
        if self._reap():
            self._reactor._watcher.remove_reader(self._pidfd)
            self._close()
            self._report()

    def _reap(self) -> bool:
        """Take its status, if it has ended. Returns: whether that is done.

        Threading: any thread.
        """
        with self._lock:
            if not self._reaped:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:
                    logger.warning(
                        "something else in this program has waited for process %d: its status is lost", self.pid
                    )
                    self._reaped = True
                else:
                    if pid:
                        self._reaped = True
                        self._status = status
            return self._reaped

    def _report(self) -> None:
        if not self._reported:
            self._reported = True
            self._on_exit(self._status)

    def _report_later(self) -> None:
        try:
            self._reactor.callFromThread(self._report)
        except ReactorNotRunning:  # nobody is left to be told
            pass

    # In a thread

    def _wait_in_thread(self) -> None:
        name = f"waits for process {self.pid}"
        try:
            threading.Thread(target=self._wait, name=name, daemon=True).start()
        except RuntimeError:  # the interpreter is ending: whatever becomes of the child, init(1) waits for it
            pass

    def _wait(self) -> None:
        _until_ended(self.pid)
        self._reap()
        self._report_later()


def _until_ended(pid: int) -> None:
    """Wait until the child *pid* has ended, and leave it for waitpid(2)."""
    if hasattr(os, "waitid"):
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass
        return
    kernel: Any = select  # kqueue(2): macOS, where Python has no waitid
    queue = kernel.kqueue()
    try:
        event = kernel.kevent(pid, kernel.KQ_FILTER_PROC, kernel.KQ_EV_ADD, kernel.KQ_NOTE_EXIT)
        queue.control([event], 1, None)
    except ProcessLookupError:  # it is a zombie already
        pass
    finally:
        queue.close()
