"""TLS on top of endpoints. They hold what they were given and open nothing before ``listen`` or ``connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netcore.defer import Deferred
from netcore.endpoints._tcp import TCP4ClientEndpoint, TCP4ServerEndpoint
from netcore.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    implementer,
)
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.ssl import check_context_factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from netcore.endpoints._tcp import Binding
    from netcore.interfaces import IReactorTime

__all__ = ["SSL4ClientEndpoint", "SSL4ServerEndpoint", "wrapClientTLS", "wrapServerTLS"]


class _Secure:
    """TLS over *below*.

    Args:
        hostname: what *contexts* do not say, perhaps: the name that a server's certificate must be for.
    Raises: TypeError: *contexts* is no context factory.
    """

    def __init__(self, contexts: Any, below: Any, clock: Any, hostname: str | None = None) -> None:
        check_context_factory(contexts)
        self._contexts = contexts
        self._below = below
        self._clock = clock
        self._hostname = hostname

    def __repr__(self) -> str:
        return f"<TLS over {self._below!r}>"

    def _layer(self, isClient: bool, factory: IProtocolFactory) -> TLSMemoryBIOFactory:
        return TLSMemoryBIOFactory(self._contexts, isClient, factory, self._clock, hostname=self._hostname)


@implementer(IStreamServerEndpoint)
class _SecureServer(_Secure):
    """An endpoint to listen at, with TLS on top."""

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen there, with protocols from *protocolFactory*.

        Returns: Deferred firing with the port.
        Fails with: what the endpoint below fails with.
        """
        return self._below.listen(self._layer(False, protocolFactory))  # type: ignore[no-any-return]

    def over(self, wrap: Callable[[IStreamServerEndpoint], IStreamServerEndpoint]) -> _SecureServer:
        """The same, with *wrap*'s between TLS and what is below."""
        return _SecureServer(self._contexts, wrap(self._below), self._clock)


@implementer(IStreamClientEndpoint)
class _SecureClient(_Secure):
    """An endpoint to connect to, with TLS on top."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect there, once.

        Returns: Deferred firing with the protocol when its ``connectionMade`` has been called; the handshake comes
            after that (`IHandshakeListener`). Cancelling it ends the attempt.
        Fails with: what the endpoint below fails with.
        """
        connecting: Deferred[Any] = self._below.connect(self._layer(True, protocolFactory))
        return connecting.addCallback(lambda layer: layer.wrappedProtocol)


class SSL4ServerEndpoint(_SecureServer):
    """A TCP port to listen on, over IPv4, with TLS.

    Args:
        reactor, port, backlog, interface: as for `TCP4ServerEndpoint`.
        sslContextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
            `netcore.ssl.serverOptions`.
    Raises: TypeError: *sslContextFactory* is none.
    """

    def __init__(
        self, reactor: IReactorTCP, port: int, sslContextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> None:
        super().__init__(sslContextFactory, TCP4ServerEndpoint(reactor, port, backlog, interface), reactor)


class SSL4ClientEndpoint(_SecureClient):
    """A TLS server to connect to, over TCP and IPv4.

    Args:
        reactor, host, port, timeout, bindAddress: as for `TCP4ClientEndpoint`.
        sslContextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
            `netcore.ssl.optionsForClientTLS`. If it names no server, that is *host*.
    Raises: TypeError: *sslContextFactory* is none.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        sslContextFactory: Any,
        timeout: float | None = 30,
        bindAddress: Binding | None = None,
    ) -> None:
        below = TCP4ClientEndpoint(reactor, host, port, timeout, bindAddress)
        super().__init__(sslContextFactory, below, reactor, host)


def wrapClientTLS(
    connectionCreator: Any, wrappedEndpoint: IStreamClientEndpoint, clock: IReactorTime | None = None
) -> IStreamClientEndpoint:
    """*wrappedEndpoint* with TLS on top.

    Args:
        connectionCreator: a context factory, as a rule `netcore.ssl.optionsForClientTLS`.
        clock: for the handshake's time limit; default: this thread's reactor.
    Raises: TypeError: *connectionCreator* is none.
    """
    return _SecureClient(connectionCreator, wrappedEndpoint, clock)


def wrapServerTLS(
    connectionCreator: Any, wrappedEndpoint: IStreamServerEndpoint, clock: IReactorTime | None = None
) -> IStreamServerEndpoint:
    """*wrappedEndpoint* with TLS on top.

    Args:
        connectionCreator: a context factory, as a rule `netcore.ssl.serverOptions`.
        clock: for the handshake's time limit; default: this thread's reactor.
    Raises: TypeError: *connectionCreator* is none.
    """
    return _SecureServer(connectionCreator, wrappedEndpoint, clock)
