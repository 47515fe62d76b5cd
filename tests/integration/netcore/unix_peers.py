"""Connections over UNIX sockets between protocols of ours and bare sockets, each through the same loop."""

from __future__ import annotations

import array
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.interfaces import IFileDescriptorReceiver, implementer
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.reactors import Reactor
from netcore.transports.unix import Connection


class Plain(Protocol):
    """Notes what happens to it, in order; takes no descriptors."""

    transport: Connection  # type: ignore[assignment]

    def __init__(self) -> None:
        self.told: list[bytes | str] = []
        self.lost = Deferred[BaseException]()
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self.on_made: Callable[[Any], object] = lambda self: None
        self.on_data: Callable[[Any], object] = lambda self: None

    @property
    def received(self) -> bytes:
        return b"".join(each for each in self.told if isinstance(each, bytes))

    def got(self, size: int) -> Deferred[None]:
        """Fires when *size* bytes have come."""
        deferred = Deferred[None]()
        self._waiting.append((size, deferred))
        self._look()
        return deferred

    def _look(self) -> None:
        for size, deferred in [waiting for waiting in self._waiting if waiting[0] <= len(self.received)]:
            self._waiting.remove((size, deferred))
            deferred.callback(None)

    def connectionMade(self) -> None:
        self.on_made(self)

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)
        self.on_data(self)
        self._look()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.told.append("lost")
        self.lost.callback(reason.value)


@implementer(IFileDescriptorReceiver)
class Receiver(Plain):
    """Takes descriptors, and closes what is left of them."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptors: list[int] = []
        self.on_descriptor: Callable[[Any], object] = lambda self: None

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.told.append("descriptor")
        self.descriptors.append(descriptor)
        self.on_descriptor(self)

    def contents(self) -> list[bytes]:
        """What the descriptors have in them; they are closed."""
        descriptors, self.descriptors = self.descriptors, []
        return contents(descriptors)


class Maker(Factory[Any]):
    """Builds *protocol*, once, and notes for whom."""

    noisy = False

    def __init__(self, protocol: Plain) -> None:
        self.built = protocol
        self.peers: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.peers.append(addr)
        return self.built


class Client(ClientFactory[Any]):
    """Builds *protocol*; `made` fires with it, or with why not, `lost` when the connection has gone."""

    noisy = False

    def __init__(self, protocol: Plain | None = None) -> None:
        self.built = protocol or Plain()
        self.made = Deferred[Any]()
        self.lost = Deferred[BaseException]()
        self.peers: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.peers.append(addr)
        made, on_made = self.made, self.built.on_made

        def on_made_too(protocol: Any) -> None:
            on_made(protocol)
            protocol.transport._reactor.callLater(0, made.callback, protocol)

        self.built.on_made = on_made_too
        return self.built

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.made.errback(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.lost.callback(reason.value)


class Peer:
    """A bare socket on the other side."""

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        self.loop = reactor.loop
        self.sock = sock

    async def receive(self, size: int) -> bytes:
        """So many bytes, or all until the connection ends."""
        got = b""
        while len(got) < size and (piece := await self.loop.sock_recv(self.sock, size - len(got))):
            got += piece
        return got

    def receive_with_descriptors(self, size: int) -> tuple[bytes, list[int]]:
        """What is there."""
        data, ancillary, _, _ = self.sock.recvmsg(size, socket.CMSG_SPACE(253 * 4))
        numbers = array.array("i")
        for _, _, content in ancillary:
            numbers.frombytes(content)
        return data, numbers.tolist()

    def send(self, data: bytes, descriptors: list[int] | None = None) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        assert self.sock.sendmsg([data], ancillary) == len(data)


class Net:
    """Makes connections at *path*, and closes what is left of the other side."""

    def __init__(self, reactor: Reactor, path: str) -> None:
        self.reactor = reactor
        self.path = path
        self.peers: list[Peer] = []

    async def connect(self, protocol: Any = None) -> tuple[Any, Peer]:
        """A connection that a bare socket has made."""
        protocol = protocol or Receiver()
        made = Deferred[None]()
        on_made = protocol.on_made

        def on_made_too(protocol: Any) -> None:
            self.reactor.callLater(0, made.callback, None)
            on_made(protocol)

        protocol.on_made = on_made_too
        port = self.reactor.listenUNIX(self.path, Maker(protocol))
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        self.peers.append(Peer(self.reactor, sock))
        sock.connect(self.path)
        await made
        port.stopListening()
        return protocol, self.peers[-1]

    async def both(self, server: Plain, client: Plain) -> tuple[Any, Any]:
        """Two protocols of ours, connected."""
        port = self.reactor.listenUNIX(self.path, Maker(server))
        factory = Client(client)
        self.reactor.connectUNIX(self.path, factory)
        await factory.made
        if server.transport is None:
            met = Deferred[None]()
            server.on_made = lambda protocol: self.reactor.callLater(0, met.callback, None)
            await met
        port.stopListening()
        return server, client

    def close(self) -> None:
        for peer in self.peers:
            peer.sock.close()


def pipe_with(content: bytes) -> int:
    """The reading end of a pipe that has *content* in it and nothing more to come."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def contents(descriptors: list[int]) -> list[bytes]:
    """What these pipes have in them; and close them. (Nothing is read of other files.)"""
    found = []
    for descriptor in descriptors:
        found.append(os.read(descriptor, 100) if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else b"")
        os.close(descriptor)
    return found
