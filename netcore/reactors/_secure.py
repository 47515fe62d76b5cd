"""The part of a reactor that has to do with TLS."""

from __future__ import annotations

from typing import Any

from netcore.interfaces import IProtocolFactory
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.reactors._streams import Streams
from netcore.transports.tcp import Connector, Port

__all__ = ["Secure"]


class Secure(Streams):
    """`IReactorSSL`."""

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Port:
        """Accept connections on *port* with TLS, for protocols from *factory*.

        Args:
            contextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
                `netcore.ssl.serverOptions`.
            backlog, interface: as for `listenTCP`.
        Raises: as `listenTCP`. TypeError: *contextFactory* is none.
        """
        secure = TLSMemoryBIOFactory(contextFactory, False, factory, self._whole)
        return self.listenTCP(port, secure, backlog, interface)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """Connect to *host* on *port* with TLS; *factory* (a ClientFactory) hears how it goes.

        Args:
            contextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
                `netcore.ssl.optionsForClientTLS`. If it names no server, that is *host*.
            timeout, bindAddress: as for `connectTCP`; *timeout* ends before the handshake, which has its own
                (`TLSMemoryBIOFactory`).
        Raises: as `connectTCP`. TypeError: *contextFactory* is none.
        """
        secure = TLSMemoryBIOFactory(contextFactory, True, factory, self._whole, hostname=host)
        return self.connectTCP(host, port, secure, timeout, bindAddress)
