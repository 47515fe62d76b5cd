"""Connections that need no factory of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from netcore.defer import Deferred
from netcore.error import ConnectionClosed
from netcore.failure import Failure
from netcore.interfaces import IAddress, IConnector, IDelayedCall, IProtocol
from netcore.protocol._factories import ClientFactory

__all__ = ["ClientCreator"]

C = TypeVar("C", bound=IProtocol)


class _Once(ClientFactory[Any]):
    """Hands out one protocol, and fires *connected* with it in the turn after ``connectionMade``."""

    noisy = False

    def __init__(self, reactor: Any, instance: Any) -> None:
        self._reactor = reactor
        self._instance = instance
        self._connector: IConnector | None = None
        self._telling: IDelayedCall | None = None
        self.connected: Deferred[Any] | None = Deferred(self._cancel)

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector

    def buildProtocol(self, addr: IAddress) -> Any:
        # Not at once: the protocol has no transport yet.
        self._telling = self._reactor.callLater(0, self._succeeded)
        return self._instance

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._failed(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        if not reason.check(ConnectionClosed):
            self._failed(reason)  # what ``connectionMade`` raised
        self._connector = None  # which has us

    def _succeeded(self) -> None:
        self._telling = None
        connected, self.connected = self.connected, None
        if connected is not None:
            connected.callback(self._instance)
            del connected

    def _failed(self, reason: Failure) -> None:
        self._tell_no_more()
        connected, self.connected = self.connected, None
        if connected is not None:
            connected.errback(reason)
            del connected, reason

    def _cancel(self, connected: Deferred[Any]) -> None:
        self.connected = None
        self._tell_no_more()
        if self._connector is not None:
            self._connector.disconnect()

    def _tell_no_more(self) -> None:
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.cancel()


class ClientCreator(Generic[C]):
    """Connects protocols of one class that have nothing in common, and so need no factory; endpoints
    (`netcore.endpoints`) do the same for more kinds of connections.

    Args:
        reactor: makes the connections.
        protocolClass: called for each, with *args* and *kwargs*.
    """

    def __init__(self, reactor: Any, protocolClass: Callable[..., C], *args: Any, **kwargs: Any) -> None:
        self.reactor = reactor
        self.protocolClass = protocolClass
        self.args = args
        self.kwargs = kwargs

    def _connect(self, method: str, *args: Any, **kwargs: Any) -> Deferred[C]:
        factory = _Once(self.reactor, self.protocolClass(*self.args, **self.kwargs))
        connected = factory.connected
        assert connected is not None
        getattr(self.reactor, method)(*args, factory=factory, **kwargs)
        return connected

    def connectTCP(
        self, host: str, port: int, timeout: float | None = 30, bindAddress: tuple[str, int] | None = None
    ) -> Deferred[C]:
        """Connect to *port* of *host*.

        Args: as for ``reactor.connectTCP``.
        Returns: Deferred firing with the protocol when it is connected. Cancelling it ends the attempt, or the
            connection.
        Raises: what ``reactor.connectTCP`` and the protocol's class raise.
        Fails with: `netcore.error.ConnectError`, `netcore.error.DNSLookupError`, or what ``connectionMade`` raised.
        """
        return self._connect("connectTCP", host, port, timeout=timeout, bindAddress=bindAddress)

    def connectUNIX(self, address: str, timeout: float | None = 30, checkPID: bool = False) -> Deferred[C]:
        """Connect to the UNIX socket at *address*; otherwise as `connectTCP`."""
        return self._connect("connectUNIX", address, timeout=timeout, checkPID=checkPID)

    def connectSSL(
        self,
        host: str,
        port: int,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Deferred[C]:
        """Connect to *port* of *host* with TLS; otherwise as `connectTCP`.

        Args: as for ``reactor.connectSSL``.
        """
        return self._connect(
            "connectSSL", host, port, contextFactory=contextFactory, timeout=timeout, bindAddress=bindAddress
        )
