"""TCP endpoints. They hold what they were given and open nothing before ``listen`` or ``connect``."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import Deferred
from netcore.endpoints._connect import Attempt
from netcore.endpoints._listen import listening
from netcore.interfaces import (
    IConnector,
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    implementer,
)

__all__ = [
    "HostnameEndpoint",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TCP6ClientEndpoint",
    "TCP6ServerEndpoint",
]

Binding = tuple[str | bytes, int] | str | bytes


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
        return listening(
            self._reactor.listenTCP, self._port, protocolFactory, backlog=self._backlog, interface=self._interface
        )


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
class _TCPClientEndpoint:
    """What TCP endpoints to connect to have in common."""

    _address_types: tuple[type[IPv4Address | IPv6Address], ...] | None = None

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        timeout: float | None = 30,
        bindAddress: Binding | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._bind = None if bindAddress is None else _binding(bindAddress)

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
            connector = self._reactor.connectTCP(
                self._host, self._port, factory, timeout=self._timeout, bindAddress=self._bind
            )
            self._set_up(connector)
            return connector

        return Attempt.make(protocolFactory, attempt)

    def _set_up(self, connector: Any) -> None:
        """Tell *connector*, which does not begin within this call, more than there are arguments of ``connectTCP``."""
        if self._address_types is not None:
            connector.addressTypes = self._address_types


def _binding(address: Binding) -> tuple[str, int]:
    host, port = (address, 0) if isinstance(address, str | bytes) else address
    return os.fsdecode(host), port


class TCP4ClientEndpoint(_TCPClientEndpoint):
    """A TCP server to connect to, over IPv4.

    Args:
        reactor: what connects.
        host: the server's name, whose IPv4 addresses are tried one after the other, or its address. (An IPv6 address is
            connected to as it is.)
        port: the number of its port.
        timeout: seconds for one attempt, looking up the name included; None: as long as the kernel tries.
        bindAddress: local (host, port) to connect from, or only the host.
    """

    _address_types = (IPv4Address,)


class TCP6ClientEndpoint(_TCPClientEndpoint):
    """A TCP server to connect to, over IPv6.

    Args: as for `TCP4ClientEndpoint`, with IPv4 and IPv6 exchanged.
    """

    _address_types = (IPv6Address,)


class HostnameEndpoint(_TCPClientEndpoint):
    """A TCP server to connect to by its name, over IPv6 or IPv4, whichever stands first.

    The name's addresses are tried as RFC 8305 has it ("happy eyeballs"): one after the other, the families by turns,
    the next as soon as one fails, and after *attemptDelay* in any case.

    Args:
        reactor: what connects.
        host: the server's name, or its address.
        port: the number of its port.
        timeout: seconds for the whole attempt, looking up the name included; None: as long as the kernel tries.
        bindAddress: local (host, port) to connect from, or only the host: an address, of whose family alone addresses
            are tried.
        attemptDelay: seconds; None: 0.25, as RFC 8305 recommends.
    Raises: ValueError: *attemptDelay* is no time. UnicodeDecodeError: *host*, as bytes, is not of ASCII.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str | bytes,
        port: int,
        timeout: float | None = 30,
        bindAddress: Binding | None = None,
        attemptDelay: float | None = None,
    ) -> None:
        if attemptDelay is not None and not attemptDelay >= 0:
            raise ValueError(f"attemptDelay is a number of seconds, not {attemptDelay!r}")
        super().__init__(reactor, host.decode("ascii") if isinstance(host, bytes) else host, port, timeout, bindAddress)
        self._attempt_delay = attemptDelay

    def _set_up(self, connector: Any) -> None:
        if self._attempt_delay is not None:
            connector.attemptDelay = self._attempt_delay
