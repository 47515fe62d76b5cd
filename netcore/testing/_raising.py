"""A `MemoryReactor` that refuses: how code takes it that there is no port, or no connection, can be tried."""

from __future__ import annotations

from typing import Any

from netcore.testing._datagrams import MemoryDatagramPort
from netcore.testing._memory import MemoryReactor
from netcore.testing._recorded import MemoryConnector, MemoryPort

__all__ = ["RaisingMemoryReactor"]


class RaisingMemoryReactor(MemoryReactor):
    """A `MemoryReactor` that cannot listen, or cannot connect.

    Args:
        listenException: raised by all that listens; None: it is recorded.
        connectException: raised by all that connects, `adoptStreamConnection` and `adoptDatagramPort`; None: it is
            recorded.
    """

    def __init__(self, listenException: Exception | None = None, connectException: Exception | None = None) -> None:
        super().__init__()
        self._listen_error = listenException
        self._connect_error = connectException

    def _refuse(self, error: Exception | None) -> None:
        if error is not None:
            raise error

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> MemoryPort:
        """Raises: *listenException*."""
        self._refuse(self._listen_error)
        return super().listenTCP(port, factory, backlog, interface)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> MemoryConnector:
        """Raises: *connectException*."""
        self._refuse(self._connect_error)
        return super().connectTCP(host, port, factory, timeout, bindAddress)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> MemoryPort:
        """Raises: *listenException*."""
        self._refuse(self._listen_error)
        return super().listenSSL(port, factory, contextFactory, backlog, interface)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> MemoryConnector:
        """Raises: *connectException*."""
        self._refuse(self._connect_error)
        return super().connectSSL(host, port, factory, contextFactory, timeout, bindAddress)

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> MemoryPort:
        """Raises: *listenException*."""
        self._refuse(self._listen_error)
        return super().listenUNIX(address, factory, backlog, mode, wantPID)

    def connectUNIX(
        self, address: str, factory: Any, timeout: float | None = 30, checkPID: bool = False
    ) -> MemoryConnector:
        """Raises: *connectException*."""
        self._refuse(self._connect_error)
        return super().connectUNIX(address, factory, timeout, checkPID)

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> MemoryDatagramPort:
        """Raises: *listenException*."""
        self._refuse(self._listen_error)
        return super().listenUDP(port, protocol, interface, maxPacketSize)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> MemoryPort:
        """Raises: *listenException*."""
        self._refuse(self._listen_error)
        return super().adoptStreamPort(fileDescriptor, addressFamily, factory)

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        """Raises: *connectException*."""
        self._refuse(self._connect_error)
        super().adoptStreamConnection(fileDescriptor, addressFamily, factory)

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192
    ) -> MemoryDatagramPort:
        """Raises: *connectException*."""
        self._refuse(self._connect_error)
        return super().adoptDatagramPort(fileDescriptor, addressFamily, protocol, maxPacketSize)
