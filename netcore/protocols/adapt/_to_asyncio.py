"""A protocol of netcore's on a connection of asyncio's.

`NetcoreProtocol` is what asyncio's transport talks to, `NetcoreTransport` what netcore's protocol does. What holds:

- ``connectionLost`` comes exactly once, last, and never from within a call that the protocol makes: asyncio calls
  ``connection_lost`` in a turn of its own.
- asyncio's transport is closed when `NetcoreTransport.loseConnection` was called and no producer is registered; its
  pauses are passed on to the producer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from netcore.error import ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IHandshakeListener, IProtocol, IProtocolFactory
from netcore.protocols.adapt._netcore_transport import NetcoreTransport, half_closeable, transport_for

__all__ = ["NetcoreProtocol", "toAsyncio"]

N = TypeVar("N", bound=IProtocol)


class NetcoreProtocol(asyncio.Protocol, Generic[N]):
    """Drives a protocol of netcore's from a connection of asyncio's.

    Args:
        factory: builds it, when the connection stands.
    Attributes: *protocol*, what it has built; None before, and if it has built none.
    """

    protocol: N = None  # type: ignore[assignment]  # there once ``create_connection`` has returned

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory: Any = factory
        self._transport: NetcoreTransport | None = None
        self._started = False  # the factory, with this connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Builds the protocol and tells it ``makeConnection``."""
        ours = self._transport = transport_for(transport, self)
        try:
            self._factory.doStart()
            self._started = True
            protocol = self._factory.buildProtocol(ours.getPeer())
            if protocol is None:
                ours.loseConnection()
                return
            self.protocol = protocol
            protocol.makeConnection(ours)
            if not ours._reading:  # uvloop begins to read when this returns, whoever has paused
                asyncio.get_running_loop().call_soon(ours._pause_again)
            if ours.TLS:
                listener = cast("Any", IHandshakeListener)(protocol, None)
                if listener is not None:
                    listener.handshakeCompleted()
        except BaseException:
            ours._abort_with(Failure())
            raise

    def data_received(self, data: bytes) -> None:
        """Tells it ``dataReceived``."""
        transport = self._transport
        if transport is not None and not transport.disconnecting:
            transport._tell(self.protocol.dataReceived, data)

    def eof_received(self) -> bool:
        """Tells it ``readConnectionLost``, if it goes on with one direction; else the connection is closed."""
        transport = self._transport
        if transport is None or transport.disconnecting or transport.TLS:
            return False
        half = half_closeable(self.protocol)
        if half is None:
            return False
        transport._read_ended = True
        transport._tell(half.readConnectionLost)
        return not (transport._told_write_ended or transport.asyncioTransport.is_closing())

    def pause_writing(self) -> None:
        """Pauses a producer."""
        if self._transport is not None:
            self._transport._pause()

    def resume_writing(self) -> None:
        """Goes on with it."""
        if self._transport is not None:
            self._transport._resume()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tells it ``connectionLost``."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport._adapter = None  # which has it
        transport.disconnecting = True
        reason = transport._error
        if reason is None:
            reason = Failure(_reason(exc))
        transport._error = None
        producer, transport._producer = transport._producer, None
        try:
            transport._end_scopes()
            if producer is not None:
                producer.stopProducing()
        finally:
            try:
                if self.protocol is not None:
                    self.protocol.connectionLost(reason)
            finally:
                del reason
                if self._started:
                    self._factory.doStop()


def _reason(error: BaseException | None) -> BaseException:
    """What netcore's protocols expect for *error*, asyncio's."""
    if error is None or getattr(error, "reason", None) == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
        return ConnectionDone()  # the peer was still sending when we had closed: that is no error of anybody's
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return ConnectionLost(error)
    return error


def toAsyncio(factory: IProtocolFactory) -> Callable[[], NetcoreProtocol[Any]]:
    """What ``loop.create_server`` and ``loop.create_connection`` take, with the protocols of *factory*.

    >>> import asyncio
    >>> from netcore.protocol import Factory, Protocol
    >>> class Echo(Protocol):
    ...     def dataReceived(self, data):
    ...         self.transport.write(data)
    ...         self.transport.loseConnection()
    >>> async def main():
    ...     loop = asyncio.get_running_loop()
    ...     server = await loop.create_server(toAsyncio(Factory.forProtocol(Echo)), "127.0.0.1", 0)
    ...     reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    ...     writer.write(b"hello")
    ...     print(await reader.read())
    ...     writer.close()
    ...     await writer.wait_closed()
    ...     server.close()
    >>> asyncio.run(main())
    b'hello'

    ``create_connection`` gives a `NetcoreProtocol` back, whose *protocol* is the one that was built.

    Args:
        factory: is started (``doStart``) with each connection, and stopped with its end: ``startFactory`` is called
            for the first of those that stand at one time, ``stopFactory`` after the last. What a ClientFactory hears
            of connectors it does not hear.
    Raises: TypeError: *factory* is none.
    """
    if not callable(getattr(factory, "buildProtocol", None)):
        raise TypeError(f"{factory!r} is no factory; Factory.forProtocol makes one out of a protocol's class")
    return lambda: NetcoreProtocol(factory)
