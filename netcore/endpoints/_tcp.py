"""TCP endpoints. They hold what they were given and open nothing before ``listen`` or ``connect``."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from netcore.defer import Deferred, fail, succeed
from netcore.endpoints._connect import Attempt
from netcore.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    implementer,
)

if TYPE_CHECKING:
    from netcore.interfaces import IConnector

__all__ = ["TCP4ClientEndpoint", "TCP4ServerEndpoint", "TCP6ServerEndpoint"]


@implementer(IStreamServerEndpoint)
class TCP4ServerEndpoint:
    """A TCP port to listen on, over IPv4.

    Args:
        reactor: what listens.
        port: its number; 0 for any that is free.
        backlog: how many connections the kernel keeps until they are accepted (listen(2)).
        interface: a local address to listen on; "" for all.
    """

    def __init__(self, reactor: IReactorTCP, port: int, backlog: int = 50, interface: str = "") -> None:
        self._reactor = reactor
        self._port = port
        self._backlog = backlog
        self._interface = interface

    def __repr__(self) -> str:
        return f"<{type(self).__name__} port={self._port} interface={self._interface!r} backlog={self._backlog}>"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen there, with protocols from *protocolFactory*.

        Returns: Deferred that has fired already, with the port.
        Fails with: netcore.error.CannotListenError.
        """
        try:
            port = self._reactor.listenTCP(
                self._port, protocolFactory, backlog=self._backlog, interface=self._interface
            )
        except Exception as error:
            return fail(error)
        return succeed(port)


@implementer(IStreamServerEndpoint)
class TCP6ServerEndpoint(TCP4ServerEndpoint):
    """A TCP port to listen on, over IPv6; by default on all addresses.

    Args: as for `TCP4ServerEndpoint`; *interface* is an IPv6 address.
    Raises: ValueError: it is not.
    """

    def __init__(self, reactor: IReactorTCP, port: int, backlog: int = 50, interface: str = "::") -> None:
        interface = interface or "::"
        try:
            ipaddress.IPv6Address(interface.partition("%")[0])
        except ValueError:
            raise ValueError(f"{interface!r} is no IPv6 address to listen on") from None
        super().__init__(reactor, port, backlog, interface)


@implementer(IStreamClientEndpoint)
class TCP4ClientEndpoint:
    """A TCP server to connect to: an address, or a name, whose addresses are tried as `IReactorTCP.connectTCP` does.

    Args:
        reactor: what connects.
        host: the server's name or address.
        port: the number of its port.
        timeout: seconds for one attempt, looking up the name included; None: as long as the kernel tries.
        bindAddress: local (host, port) to connect from, or only the host.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | str | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._bind = (bindAddress, 0) if isinstance(bindAddress, str) else bindAddress

    def __repr__(self) -> str:
        return f"<{type(self).__name__} host={self._host!r} port={self._port} timeout={self._timeout}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect there, once.

        Returns: Deferred firing with the protocol when its ``connectionMade`` has been called. Cancelling it ends the
            attempt.
        Fails with:
            netcore.error.ConnectError, DNSLookupError: there is no connection.
            netcore.error.NoProtocol: *protocolFactory* built none.
            whatever building the protocol raised.
        """

        def attempt(factory: Attempt) -> IConnector:
            return self._reactor.connectTCP(
                self._host, self._port, factory, timeout=self._timeout, bindAddress=self._bind
            )

        return Attempt.make(protocolFactory, attempt)
