"""Endpoints with TLS. They hold what they were given and open nothing before ``listen`` or ``connect``."""

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
    from netcore.interfaces import IReactorTime

__all__ = ["SSL4ClientEndpoint", "SSL4ServerEndpoint", "wrapClientTLS"]


@implementer(IStreamServerEndpoint)
class SSL4ServerEndpoint:
    """A TCP port to listen on, over IPv4, with TLS.

    Args:
        reactor: what listens.
        port: its number; 0 for any that is free.
        sslContextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
            `netcore.ssl.serverOptions`.
        backlog, interface: as for `TCP4ServerEndpoint`.
    Raises: TypeError: *sslContextFactory* is none.
    """

    def __init__(
        self, reactor: IReactorTCP, port: int, sslContextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> None:
        check_context_factory(sslContextFactory)
        self._reactor: Any = reactor
        self._contexts = sslContextFactory
        self._below = TCP4ServerEndpoint(reactor, port, backlog, interface)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._contexts!r} over {self._below!r}>"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen there, with protocols from *protocolFactory*.

        Returns: Deferred that has fired already, with the port.
        Fails with: netcore.error.CannotListenError.
        """
        return self._below.listen(TLSMemoryBIOFactory(self._contexts, False, protocolFactory, self._reactor))


@implementer(IStreamClientEndpoint)
class _SecureClient:
    """An endpoint to connect to, with TLS on top."""

    def __init__(
        self, below: IStreamClientEndpoint, contexts: Any, hostname: str | None, clock: IReactorTime | None
    ) -> None:
        check_context_factory(contexts)
        self._below = below
        self._contexts = contexts
        self._hostname = hostname
        self._clock = clock

    def __repr__(self) -> str:
        return f"<TLS over {self._below!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect there, once.

        Returns: Deferred firing with the protocol when its ``connectionMade`` has been called; the handshake comes
            after that (`IHandshakeListener`). Cancelling it ends the attempt.
        Fails with: what the endpoint below fails with.
        """
        factory = TLSMemoryBIOFactory(self._contexts, True, protocolFactory, self._clock, hostname=self._hostname)
        return self._below.connect(factory).addCallback(lambda layer: layer.wrappedProtocol)


class SSL4ClientEndpoint(_SecureClient):
    """A TLS server to connect to, over TCP.

    Args:
        reactor: what connects.
        host: the server's name or address.
        port: the number of its port.
        sslContextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one; as a rule
            `netcore.ssl.optionsForClientTLS`. If it names no server, that is *host*.
        timeout, bindAddress: as for `TCP4ClientEndpoint`.
    Raises: TypeError: *sslContextFactory* is none.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        sslContextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | str | None = None,
    ) -> None:
        clock: Any = reactor
        super().__init__(TCP4ClientEndpoint(reactor, host, port, timeout, bindAddress), sslContextFactory, host, clock)


def wrapClientTLS(
    connectionCreator: Any, wrappedEndpoint: IStreamClientEndpoint, clock: IReactorTime | None = None
) -> IStreamClientEndpoint:
    """*wrappedEndpoint* with TLS on top.

    Args:
        connectionCreator: a context factory, as a rule `netcore.ssl.optionsForClientTLS`.
        clock: for the handshake's time limit; default: this thread's reactor.
    Raises: TypeError: *connectionCreator* is none.
    """
    return _SecureClient(wrappedEndpoint, connectionCreator, None, clock)
