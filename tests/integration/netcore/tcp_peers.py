"""TCP connections over loopback between protocols of ours and bare sockets.

The bare socket is used through the same loop, so that each side's acts come in the order the test says.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol
from netcore.reactors import Reactor
from netcore.transports.tcp import Connection

BIG = bytes(range(256)) * 4096 * 8  # 8 MiB: more than the socket buffers hold


class Recorder(Protocol):
    """Notes what happens to it; *on_data* and *on_made* may do something about it."""

    transport: Connection  # type: ignore[assignment]

    def __init__(self) -> None:
        self.received = bytearray()
        self.pieces: list[bytes] = []
        self.reasons: list[BaseException] = []
        self.lost = Deferred[BaseException]()
        self.inside = False
        self.lost_inside = False
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self.on_made: Callable[[Recorder], object] = lambda self: None
        self.on_data: Callable[[Recorder, bytes], object] = lambda self, data: None

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
        self.received += data
        self.pieces.append(data)
        self.on_data(self, data)
        self._look()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost_inside |= self.inside
        self.reasons.append(reason.value)
        if not self.lost.called:
            self.lost.callback(reason.value)

    def do(self, method: str, *args: Any) -> None:
        """Call a method of the transport, and note whether connectionLost came from within."""
        self.inside = True
        getattr(self.transport, method)(*args)
        self.inside = False


class Instead:
    """In place of a transport's socket: *methods* are called instead of the socket's own.

    ``Instead.of(transport, send=full)`` puts one in.
    """

    def __init__(self, sock: Any, methods: dict[str, Callable[..., Any]]) -> None:
        self.__dict__.update(methods)
        self.sock = sock

    @classmethod
    def of(cls, transport: Any, **methods: Callable[..., Any]) -> Any:
        """Returns: the socket it stands for."""
        sock = transport._socket
        transport._socket = cls(sock, methods)
        return sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Peer:
    """A bare socket on the other side."""

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        self.loop = reactor.loop
        self.sock = sock

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    async def receive(self, size: int = 65536) -> bytes:
        return await self.loop.sock_recv(self.sock, size)

    async def receive_all(self, size: int | None = None) -> bytes:
        """Everything until the connection ends, or *size* bytes."""
        got = bytearray()
        while size is None or len(got) < size:
            piece = await self.receive()
            if not piece:
                break
            got += piece
        return bytes(got)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Net:
    """Connections between protocols of ours and bare sockets."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.peers: list[Peer] = []

    async def connect(
        self, protocol: Recorder | None = None, interface: str = "127.0.0.1", prepare: Callable[[], None] = lambda: None
    ) -> tuple[Recorder, Peer]:
        protocol = protocol or Recorder()
        made = Deferred[None]()
        on_made = protocol.on_made

        def on_made_too(recorder: Recorder) -> None:
            reactor_soon = self.reactor.callLater
            reactor_soon(0, made.callback, None)
            on_made(recorder)

        protocol.on_made = on_made_too
        factory = Factory[Any]()
        factory.buildProtocol = lambda addr: protocol  # type: ignore[method-assign,assignment]
        prepare()
        port = self.reactor.listenTCP(0, factory, interface=interface)
        sock = socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET)
        sock.setblocking(False)
        self.peers.append(Peer(self.reactor, sock))
        await self.reactor.loop.sock_connect(sock, (interface, port.getHost().port))
        await made
        port.stopListening()
        return protocol, self.peers[-1]

    def close(self) -> None:
        for peer in self.peers:
            peer.sock.close()
