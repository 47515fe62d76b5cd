"""What child processes have in common, be it with pipes or on a terminal: their life, as it is told to their
protocols."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from netcore.failure import Failure
from netcore.interfaces import IAddress, implementer
from netcore.transports._child import Child, signal_number
from netcore.transports._spawn import Program

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["ProcessTransport"]

logger = logging.getLogger("netcore.transports")


@implementer(IAddress)
class _Address:
    """One end of a conversation with a child process."""

    def __init__(self, pid: int | None) -> None:
        self.pid = pid

    def __repr__(self) -> str:
        return f"<process {self.pid}>"


class ProcessTransport:
    """What the two kinds have in common. Inherit from it, and say in `_pipes_open` and `_let_go_of_pipes` what holds.

    Attributes: *pid*, until its end is known; *status*, then, as waitpid(2) gave it, before that -1; *proto*, the
        protocol, until its ``processEnded``; *disconnecting*, whether `loseConnection` was called.
    Threading: the reactor's thread only.
    """

    pid: int | None = None
    status: int | None = -1
    disconnecting = False

    def __init__(self, reactor: Reactor, proto: Any, program: Program) -> None:
        self.proto: Any = proto
        self._reactor = reactor
        self._loop = reactor.loop
        self._program = program
        self._context: Context = copy_context()
        self._child: Child | None = None
        self._reason: Failure | None = None

    # Its life

    def _runs(self, pid: int) -> None:
        """It has been started: watch it, and tell the protocol."""
        self.pid = pid
        self._child = Child(self._reactor, pid, self._exited)
        self._reactor._keep(self)
        self._child.watch()
        if not self._tell(self.proto.makeConnection, self):
            self.loseConnection()

    def _exited(self, status: int | None) -> None:
        if status is None:
            error: Exception = ProcessTerminated()
        elif os.WIFSIGNALED(status):
            error = ProcessTerminated(signal=os.WTERMSIG(status), status=status)
        elif os.WEXITSTATUS(status):
            error = ProcessTerminated(exitCode=os.WEXITSTATUS(status), status=status)
        else:
            error = ProcessDone(status)
        self.pid, self.status = None, status
        self._reason = Failure(error)
        self._tell(self.proto.processExited, self._reason)
        self._see_whether_it_is_over()

    def _see_whether_it_is_over(self) -> None:
        if self._reason is None or self._pipes_open() or self.proto is None:
            return
        self._reactor._drop(self)
        proto, self.proto = self.proto, None  # lets go of each other, without the garbage collector
        self._tell(proto.processEnded, self._reason)

    def _shut_down(self) -> None:
        """The reactor ends. The process need not."""
        self._reactor._drop(self)
        self._context = self._context.copy()  # it may be entered: an attached reactor disposed of in a callback
        self._let_go_of_pipes()
        assert self._child is not None
        self._child.leave()
        self._see_whether_it_is_over()

    def _pipes_open(self) -> bool:
        raise NotImplementedError

    def _let_go_of_pipes(self) -> None:
        raise NotImplementedError

    def loseConnection(self) -> None:
        """See `IProcessTransport`."""
        raise NotImplementedError

    def _tell(self, callback: Callable[..., object], *args: Any) -> bool:
        """Call the protocol. Returns: whether it has raised nothing."""
        try:
            self._context.run(callback, *args)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException as error:
            told = (logger, Failure(error), "%s of %r raised")
            name = getattr(callback, "__name__", callback)
            self._context.copy().run(log_failure, *told, name, getattr(callback, "__self__", None))
            return False
        return True

    # What both can do

    def signalProcess(self, signalID: str | int) -> None:
        """Send it a signal.

        Args:
            signalID: "KILL", "TERM", "INT", "HUP", "STOP" and whatever else there is, with "SIG" before it or without;
                or a number.
        Raises: netcore.error.ProcessExitedAlready. ValueError: there is no signal of that name. TypeError: it is
            neither a name nor a number. OSError: there is none of that number, or the process has become another
            user's.
        """
        number = signal_number(signalID)
        if self._child is None or self.pid is None:
            raise ProcessExitedAlready
        self._child.send_signal(number)

    def stopProducing(self) -> None:
        """As `loseConnection`."""
        self.loseConnection()

    def getHost(self) -> IAddress:
        """This process."""
        return _Address(os.getpid())

    def getPeer(self) -> IAddress:
        """The child."""
        return _Address(self.pid)

    def __repr__(self) -> str:
        name = os.fsdecode(self._program.executable)
        how = f"pid {self.pid}" if self.pid is not None else f"ended, status {self.status}"
        return f"<{type(self).__name__} {name!r}, {how}; protocol {self.proto!r}>"
