"""Connections whose traffic is written down, to find out what goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from netcore.interfaces import IProtocol, IProtocolFactory, implementer
from netcore.protocols.policies._wrapping import ProtocolWrapper, WrappingFactory

if TYPE_CHECKING:
    from netcore.failure import Failure
    from netcore.interfaces import IAddress

__all__ = ["SpewingFactory", "SpewingProtocol", "TrafficLoggingFactory", "TrafficLoggingProtocol"]

log = logging.getLogger("netcore.protocols")

ELIDED = "<... elided>"


class SpewingProtocol(ProtocolWrapper):
    """Logs what is received and written, at level INFO (``netcore.protocols``)."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived."""
        log.info("Received: %r", data)
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        """Send *data*."""
        log.info("Sending: %r", data)
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*."""
        self.write(b"".join(data))


@implementer(IProtocolFactory)
class SpewingFactory(WrappingFactory):
    """Logs what its connections receive and write."""

    protocol: Any = SpewingProtocol


class TrafficLoggingProtocol(ProtocolWrapper):
    """Writes into a file what is received (``C``) and sent (``S``, ``SV`` for several pieces), with the number of the
    connection.

    Args:
        factory, wrappedProtocol: as for `ProtocolWrapper`.
        logfile: open for writing text; closed with the connection.
        lengthLimit: characters of a piece of data that are written at most; None: all. (The words for what is left out
            are twelve of them.)
        number: the connection's.
    """

    def __init__(
        self,
        factory: Any,
        wrappedProtocol: IProtocol,
        logfile: IO[str],
        lengthLimit: int | None = None,
        number: int = 0,
    ) -> None:
        super().__init__(factory, wrappedProtocol)
        self.logfile: IO[str] | None = logfile
        self.lengthLimit = lengthLimit
        self._number = number

    def _log(self, line: str) -> None:
        if self.logfile is not None:
            self.logfile.write(line + "\n")
            self.logfile.flush()

    def _shown(self, data: bytes) -> str:
        limit = self.lengthLimit
        if limit is None or len(data) <= limit:
            return repr(data)
        return repr(data[: max(0, limit - len(ELIDED))]) + ELIDED

    def connectionMade(self) -> None:
        """The connection stands."""
        self._log("*")

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived."""
        self._log(f"C {self._number}: {self._shown(data)}")
        super().dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection has gone."""
        try:
            self._log(f"C {self._number}: {reason!r}")  # which a full disk refuses
        finally:
            try:
                super().connectionLost(reason)
            finally:
                self._close()
                del reason  # as there

    def _never_connected(self) -> None:
        self._close()
        super()._never_connected()

    def _close(self) -> None:
        logfile, self.logfile = self.logfile, None
        if logfile is not None:
            logfile.close()

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self._log(f"S {self._number}: {self._shown(data)}")
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*."""
        pieces = list(data)
        self._log(f"SV {self._number}: [{', '.join(map(self._shown, pieces))}]")
        super().writeSequence(pieces)

    def loseConnection(self) -> None:
        """Close the connection."""
        self._log(f"S {self._number}: *")
        super().loseConnection()


@implementer(IProtocolFactory)
class TrafficLoggingFactory(WrappingFactory):
    """Writes what its connections receive and send into files, one for each. It waits for the disk.

    Args:
        wrappedFactory: builds the protocols.
        logfilePrefix: the files' names without ``-1``, ``-2``, ...
        lengthLimit: see `TrafficLoggingProtocol`.
    """

    protocol: Any = TrafficLoggingProtocol
    _counter = 0

    def __init__(self, wrappedFactory: IProtocolFactory, logfilePrefix: str, lengthLimit: int | None = None) -> None:
        super().__init__(wrappedFactory)
        self.logfilePrefix = logfilePrefix
        self.lengthLimit = lengthLimit

    def open(self, name: str) -> IO[str]:
        """The file of that name, new. Override it for files elsewhere.

        Raises: OSError.
        """
        return open(name, "w", encoding="utf-8")

    def buildProtocol(self, addr: IAddress) -> Any:
        """A wrapper for what the factory above builds; None if it builds nothing.

        Raises: OSError: the file cannot be opened.
        """
        wrapped = self.wrappedFactory.buildProtocol(addr)
        if wrapped is None:
            return None
        self._counter += 1
        logfile = self.open(f"{self.logfilePrefix}-{self._counter}")
        return self.protocol(self, wrapped, logfile, self.lengthLimit, self._counter)

    def resetCounter(self) -> None:
        """Begin to count anew: files are overwritten."""
        self._counter = 0
