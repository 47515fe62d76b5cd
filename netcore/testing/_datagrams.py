"""A transport for datagrams that keeps what is written to it, and the port that a `MemoryReactor` makes of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from netcore.address import IPv4Address
from netcore.defer import Deferred, succeed
from netcore.error import InvalidAddressError
from netcore.interfaces import IAddress, IListeningPort, IUDPTransport, implementer
from netcore.testing._transport import check_bytes
from netcore.transports._sockets import check_port

__all__ = ["FakeDatagramTransport", "MemoryDatagramPort"]


@implementer(IUDPTransport)
class FakeDatagramTransport:
    """Stands in for a UDP port: keeps what a protocol sends.

    Attributes: *written*, a list of (packet, addr), with `noAddr` where no address was given; *connectedAddr*, what
        `connect` was given, or None.
    """

    noAddr = None
    """What stands for no address in *written*."""
    connectedAddr: tuple[str, int] | None = None

    _broadcast = False

    def __init__(self) -> None:
        self.written: list[tuple[bytes, tuple[str, int] | None]] = []
        self._host: IAddress = IPv4Address("UDP", "10.0.0.1", 12345)

    def write(self, packet: bytes, addr: tuple[str, int] | None = noAddr) -> None:
        """Keep *packet*, and where it was to go.

        Raises: TypeError: it is not bytes-like. netcore.error.InvalidAddressError: *addr* is no literal address.
        """
        check_bytes(packet)
        if addr is not None:
            _check_literal(addr[0])
        self.written.append((bytes(packet), addr))

    def writeSequence(self, seq: Iterable[bytes], addr: tuple[str, int] | None = noAddr) -> None:
        """Keep all pieces of *seq*, as one datagram."""
        self.write(b"".join(seq), addr)

    def connect(self, host: str, port: int) -> None:
        """Keep where to.

        Raises: netcore.error.InvalidAddressError: a name. ValueError: *port* is not from 0 to 65535. RuntimeError: it
            is connected already.
        """
        _check_literal(host)
        check_port(port)
        if self.connectedAddr is not None:
            raise RuntimeError(f"{self!r} is connected already, to {self.connectedAddr}")
        self.connectedAddr = host, port

    def getHost(self) -> IAddress:
        """The address it is bound to, which is made up."""
        return self._host

    def stopListening(self) -> Deferred[None] | None:
        """Returns: None: there is nothing to close."""
        return None

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Remember *enabled*."""
        self._broadcast = bool(enabled)

    def getBroadcastAllowed(self) -> bool:
        """What was set."""
        return self._broadcast


@implementer(IListeningPort)
class MemoryDatagramPort(FakeDatagramTransport):
    """A UDP port of a `MemoryReactor`: the test calls the protocol's ``datagramReceived``.

    Attributes: *protocol*, as asked for; *listening*, whether it does.
    """

    listening = False

    def __init__(self, host: IAddress, protocol: Any, maxPacketSize: int) -> None:
        if maxPacketSize < 1:
            raise ValueError(f"a packet has at least 1 byte, not {maxPacketSize!r}")
        super().__init__()
        self._host = host
        self.protocol = protocol

    def startListening(self) -> None:
        """Be the protocol's transport.

        Raises: RuntimeError: it is, or another port is. What ``startProtocol`` raises.
        """
        if self.listening:
            raise RuntimeError(f"{self!r} listens already")
        self.protocol.makeConnection(self)
        self.listening = True

    def stopListening(self) -> Deferred[None] | None:
        """Close: the protocol's ``stopProtocol`` is called.

        Returns: a Deferred, which has fired; None if it was closed.
        """
        if not self.listening:
            return None
        self.listening = False
        self.protocol.doStop()
        return succeed(None)

    def __repr__(self) -> str:
        return f"<MemoryDatagramPort at {self._host}, {'listening' if self.listening else 'closed'}>"


def _check_literal(host: str) -> None:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise InvalidAddressError(host, "is not an IPv4 or IPv6 address: look the name up first") from None
