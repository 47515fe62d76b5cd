"""TLS: connections that are encrypted, from the beginning or from some moment on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._network import IConnector, IListeningPort
from netcore.interfaces._protocol import IProtocolFactory
from netcore.interfaces._transport import ITCPTransport

if TYPE_CHECKING:
    import ssl

    from netcore.ssl import Certificate

__all__ = ["IHandshakeListener", "INegotiated", "IReactorSSL", "ISSLTransport", "ITLSTransport"]


class ISSLTransport(ITCPTransport, Interface):
    """A connection that is encrypted."""

    def getPeerCertificate(self) -> Certificate | None:
        """The peer's certificate; None if it has shown none, or none yet."""


class INegotiated(ISSLTransport, Interface):
    """A connection on which both sides have agreed what to speak (ALPN, RFC 7301)."""

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What was agreed; None: nothing, or not yet."""


class ITLSTransport(ITCPTransport, Interface):
    """A connection that can begin to be encrypted in the middle."""

    def startTLS(self, contextFactory: ssl.SSLContext | Any, normal: bool = True) -> None:
        """Speak TLS from here on, in both directions. What was written before is sent as it was.

        Args:
            contextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one (`netcore.ssl` has
                some).
            normal: who connected is TLS's client, who accepted its server; if false, the other way round.
        Raises: RuntimeError: it speaks TLS already. ValueError, ssl.SSLError: the context cannot be used.
        """


class IHandshakeListener(Interface):
    """A protocol that wants to know when its connection is secure."""

    def handshakeCompleted(self) -> None:
        """The handshake has succeeded: `ISSLTransport.getPeerCertificate` and `INegotiated.negotiatedProtocol` can be
        asked."""


class IReactorSSL(Interface):
    """Listens and connects with TLS from the first byte on."""

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: IProtocolFactory,
        contextFactory: ssl.SSLContext | Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """As ``connectTCP``, with TLS, whose client this is.

        Args:
            contextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
                `netcore.ssl.optionsForClientTLS`. If it names no host, *host* is the one whose certificate is expected.
        """
        ...

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: ssl.SSLContext | Any,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """As ``listenTCP``, with TLS, whose server this is.

        Args:
            contextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
                `netcore.ssl.serverOptions`.
        """
        ...
