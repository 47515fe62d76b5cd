"""Child processes: what starts them, what hears of them, and what stands for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._transport import ITransport

if TYPE_CHECKING:
    from netcore.failure import Failure

__all__ = ["IProcessProtocol", "IProcessTransport", "IReactorProcess"]


class IReactorProcess(Interface):
    """Child processes."""

    def spawnProcess(
        self,
        processProtocol: Any,
        executable: str | bytes,
        args: Sequence[str | bytes] = (),
        env: Mapping[Any, Any] | None = None,
        path: str | bytes | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = False,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> IProcessTransport:
        """Run the program *executable* in a process of its own.

        Args:
            processProtocol: an `IProcessProtocol`, which hears of it.
            args: what the program is called with, its own name first.
            env: its whole environment; None: this process's. Left out: an empty one.
            path: the directory it begins in; None: this process's.
            uid, gid: the user and the group it runs as; for root only.
            usePTY: True: its standard streams are a pseudo-terminal of its own. (master, slave, name of the slave): one
                that was opened before.
            childFDs: what its descriptors are, by their numbers there, and it has no others. "r": a pipe that is read
                here. "w": a pipe that is written to here. A number: this descriptor here. None: {0: "w", 1: "r", 2:
                "r"}.
        Returns: the process.
        Raises: OSError: it cannot be started.
        """
        ...


class IProcessProtocol(Interface):
    """What hears of a child process. All is called in the reactor's thread, in this order: `makeConnection` once;
    `childDataReceived` and `childConnectionLost`, and `processExited`, as it happens; `processEnded` once, last."""

    def makeConnection(self, transport: Any) -> None:
        """*transport*, the process, an `IProcessTransport`, runs."""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """The child has written *data*, cut anywhere, to its descriptor *childFD*."""

    def childConnectionLost(self, childFD: int) -> None:
        """The pipe at the child's descriptor *childFD* is closed, by either side."""

    def processExited(self, reason: Failure) -> None:
        """The process has ended; its pipes may be open still, if it has left them to another one.

        Args:
            reason: wraps `netcore.error.ProcessDone` or `netcore.error.ProcessTerminated`.
        """

    def processEnded(self, reason: Failure) -> None:
        """The process has ended, and all its pipes are closed.

        Args:
            reason: as for `processExited`.
        """


class IProcessTransport(ITransport, Interface):
    """A child process. What an `ITransport` writes goes to its standard input.

    Threading: every method in the reactor's thread.
    """

    pid: int | None
    """Its number, until its end is known; then None."""

    def closeStdin(self) -> None:
        """Close its standard input, once everything written so far is in the pipe."""

    def closeStdout(self) -> None:
        """Read its standard output no more."""

    def closeStderr(self) -> None:
        """Read its standard error no more."""

    def closeChildFD(self, descriptor: int) -> None:
        """Close the pipe at its *descriptor*; one that is written to, once everything written so far is in it."""

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write *data* to its descriptor *childFD*.

        Raises: KeyError: there is no pipe to be written to.
        """

    def loseConnection(self) -> None:
        """`closeStdin`, `closeStdout` and `closeStderr`. It is for the program to end upon that."""

    def signalProcess(self, signalID: str | int) -> None:
        """Send it a signal.

        Args:
            signalID: "KILL", "TERM", "INT" and the like, or a number.
        Raises: netcore.error.ProcessExitedAlready. ValueError: there is no such signal.
        """

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write all pieces of *data* to its standard input."""
