"""Protocols of child processes."""

from __future__ import annotations

from netcore.failure import Failure
from netcore.interfaces import IProcessProtocol, IProcessTransport, implementer
from netcore.protocol._stream import BaseProtocol

__all__ = ["ProcessProtocol"]


@implementer(IProcessProtocol)
class ProcessProtocol(BaseProtocol):
    """What is done with a child process: inherit from this, override what you need.

    Attributes: *transport*, the process (`IProcessTransport`), None until it runs.
    """

    transport: IProcessTransport = None  # type: ignore[assignment]  # as for others

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """The child has written *data*: calls `outReceived` if that was to its standard output, `errReceived` if to its
        standard error. What this raises is logged, and ends that pipe."""
        if childFD == 1:
            self.outReceived(data)
        elif childFD == 2:
            self.errReceived(data)

    def outReceived(self, data: bytes) -> None:
        """Bytes came from its standard output, cut anywhere."""

    def errReceived(self, data: bytes) -> None:
        """Bytes came from its standard error, cut anywhere."""

    def childConnectionLost(self, childFD: int) -> None:
        """The pipe at the child's descriptor *childFD* is closed: calls `inConnectionLost`, `outConnectionLost` or
        `errConnectionLost`."""
        if childFD == 0:
            self.inConnectionLost()
        elif childFD == 1:
            self.outConnectionLost()
        elif childFD == 2:
            self.errConnectionLost()

    def inConnectionLost(self) -> None:
        """Its standard input is closed: it does not read it any more, or `transport.closeStdin` was called."""

    def outConnectionLost(self) -> None:
        """Its standard output is closed: nothing more comes."""

    def errConnectionLost(self) -> None:
        """Its standard error is closed: nothing more comes."""

    def processExited(self, reason: Failure) -> None:
        """The process has ended. What it wrote last may still come; and a process that it has started may go on, with
        its pipes.

        Args:
            reason: wraps `netcore.error.ProcessDone`, if the exit code is 0, else `netcore.error.ProcessTerminated`.
        """

    def processEnded(self, reason: Failure) -> None:
        """The process has ended, and all its pipes are closed: the last that is heard of it.

        Args:
            reason: as for `processExited`.
        """
