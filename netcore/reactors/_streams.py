"""The part of a reactor that has to do with stream connections."""

from __future__ import annotations

from netcore.interfaces import IProtocolFactory
from netcore.reactors._part import Part
from netcore.transports.tcp import Connector, Port

__all__ = ["Streams"]


class Streams(Part):
    """`IReactorTCP`."""

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> Port:
        """Accept connections on *port* (0: any free one), for protocols from *factory*.

        Args:
            backlog: how many connections the kernel keeps until they are accepted (listen(2)).
            interface: a local IPv4 or IPv6 address; "" is every IPv4 address, "::" every IPv6 one, and the IPv4 ones
                too where the system says so (Linux does, ipv6(7)).
        Raises: netcore.error.CannotListenError. ValueError: *port* is not from 0 to 65535.
        """
        self._require_usable()
        listening = Port(self._whole, port, factory, backlog, interface)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """Connect to *host* (a name or an address) on *port*; *factory* (a ClientFactory) hears how it goes.

        A name is looked up in the thread pool, and its addresses are tried in the order the system gives them in.

        Args:
            timeout: seconds for the whole attempt, looking up the name included; None waits as long as the kernel does.
            bindAddress: local (host, port) to connect from.
        Raises: ValueError: a port is not from 0 to 65535.
        """
        self._require_usable()
        connector = Connector(self._whole, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector
