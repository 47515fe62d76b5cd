"""A protocol of asyncio's on a connection of netcore's.

`AsyncioProtocol` is what the connection talks to, `AsyncioTransport` what asyncio's protocol does. What holds:

- asyncio's protocol hears ``connection_made`` once, when there is something to talk over: with TLS, that is after the
  handshake. It hears ``connection_lost`` once if it heard that, and nothing afterwards.
- As a producer, the transport's ``pause_writing`` and ``resume_writing``, it is registered with the connection until
  it closes: a connection waits for its producer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from netcore.failure import Failure
from netcore.interfaces import IAddress, IHalfCloseableProtocol, IHandshakeListener, INegotiated, implementer, provides
from netcore.protocol import ClientFactory, Protocol, connectionDone
from netcore.protocols.adapt._asyncio_transport import AsyncioTransport

__all__ = ["AsyncioProtocol", "fromAsyncio"]

A = TypeVar("A", bound=asyncio.BaseProtocol)


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class AsyncioProtocol(Protocol, Generic[A]):
    """Drives *protocol*, an `asyncio.Protocol` or `asyncio.BufferedProtocol`, from a connection of netcore's.

    Attributes: *protocol*, the one that was given; *asyncioTransport*, what it talks to, None until there is one.
    """

    asyncioTransport: AsyncioTransport = None  # type: ignore[assignment]  # as `transport`

    def __init__(self, protocol: A) -> None:
        self.protocol = protocol

    def logPrefix(self) -> str:
        """The name of the class of asyncio's protocol."""
        return type(self.protocol).__name__

    def connectionMade(self) -> None:
        """Tells it ``connection_made``; with TLS, `handshakeCompleted` does."""
        self.asyncioTransport = AsyncioTransport(self.transport, self.protocol)
        if not provides(self.transport, INegotiated):
            self.asyncioTransport._connection_made()

    def handshakeCompleted(self) -> None:
        """Tells it ``connection_made``."""
        self.asyncioTransport._connection_made()

    def dataReceived(self, data: bytes) -> None:
        """Tells it ``data_received``, or fills its buffer."""
        self.asyncioTransport._deliver(data)

    def readConnectionLost(self) -> None:
        """Tells it ``eof_received``; unless that returns true, the connection is closed."""
        self.asyncioTransport._peer_ended()

    def writeConnectionLost(self) -> None:
        """There is nothing that asyncio would say."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tells it ``connection_lost``: with None for a clean end, or one that it asked for."""
        self.asyncioTransport._connection_lost(reason)


class _AsyncioFactory(ClientFactory[AsyncioProtocol[A]], Generic[A]):
    noisy = False

    def __init__(self, make: Callable[[], A]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress) -> AsyncioProtocol[A]:
        built = AsyncioProtocol(self._make())
        built.factory = self
        return built


def fromAsyncio(protocolFactory: Callable[[], A]) -> ClientFactory[AsyncioProtocol[A]]:
    """A factory whose connections are those of asyncio's protocols: give it to an endpoint, or a reactor.

    >>> import asyncio
    >>> from netcore.testing import StringTransport
    >>> class Echo(asyncio.Protocol):
    ...     def connection_made(self, transport):
    ...         self.transport = transport
    ...     def data_received(self, data):
    ...         self.transport.write(data)
    >>> protocol = fromAsyncio(Echo).buildProtocol(None)
    >>> protocol.makeConnection(StringTransport())
    >>> protocol.dataReceived(b"hello")
    >>> protocol.transport.value()
    b'hello'

    Args:
        protocolFactory: what ``loop.create_server`` takes: called once for each connection, and returns an
            `asyncio.Protocol` or `asyncio.BufferedProtocol`.
    Returns: a factory that builds an `AsyncioProtocol` for each.
    Raises: TypeError: *protocolFactory* cannot be called.
    """
    if not callable(protocolFactory):
        raise TypeError(f"what is called for each connection, such as a protocol's class, is not {protocolFactory!r}")
    return _AsyncioFactory(protocolFactory)
