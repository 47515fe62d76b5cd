"""`IReactorSocket`: sockets that somebody else has opened."""

from __future__ import annotations

import os
import socket
from typing import Any

from netcore.defer import maybeDeferred
from netcore.error import UnsupportedAddressFamily, UnsupportedSocketType
from netcore.interfaces import IListeningPort, IReactorSocket, provides
from netcore.testing.contracts._contract import ReactorContract, driven, raises
from netcore.testing.contracts._datagrams import DatagramRecorder
from netcore.testing.contracts._recorder import FactoryRecorder, OneProtocol, Recorder

__all__ = ["ReactorSocketContract"]

HERE = "127.0.0.1"


class ReactorSocketContract(ReactorContract):
    """`IReactorSocket`. Override `makeReactor`."""

    interface = IReactorSocket

    def is_open(self, sock: socket.socket) -> bool:
        """Whether the caller's descriptor is as it was: open."""
        return os.fstat(sock.fileno()).st_ino != 0

    @driven
    async def test_a_socket_that_listens_goes_on(self) -> None:
        """Through a copy of the descriptor: the caller closes its own, at once or later."""
        server, peer = FactoryRecorder(), Recorder()
        with socket.create_server((HERE, 0)) as sock:
            name = sock.getsockname()
            port = self.reactor.adoptStreamPort(sock.fileno(), socket.AF_INET, server)
            assert self.is_open(sock)
        assert (port.getHost().host, port.getHost().port) == name
        assert provides(port, IListeningPort)
        with socket.create_connection(name) as client:
            self.reactor.adoptStreamConnection(client.fileno(), socket.AF_INET, OneProtocol(peer))
        accepted = await server.made.times()
        accepted.transport.write(b"hello")
        await peer.got(5)
        peer.transport.write(b"and back")
        await accepted.got(8)
        await maybeDeferred(port.stopListening)
        assert server.told[0] == "start"
        assert server.told[-1] == "stop"

    @driven
    async def test_stopping_leaves_the_callers_socket_alone(self) -> None:
        """It still listens."""
        with socket.create_server((HERE, 0)) as sock:
            port = self.reactor.adoptStreamPort(sock.fileno(), socket.AF_INET, FactoryRecorder())
            await maybeDeferred(port.stopListening)
            assert self.is_open(sock)
            with socket.create_connection(sock.getsockname()):
                pass

    @driven
    async def test_a_socket_that_is_bound_goes_on(self) -> None:
        """Datagrams come, and leave from where it was bound."""
        protocol = DatagramRecorder()
        with socket.socket(type=socket.SOCK_DGRAM) as sock, socket.socket(type=socket.SOCK_DGRAM) as peer:
            sock.bind((HERE, 0))
            peer.bind((HERE, 0))
            name = sock.getsockname()
            port = self.reactor.adoptDatagramPort(sock.fileno(), socket.AF_INET, protocol)
            assert self.is_open(sock)
            peer.sendto(b"hello", name)
            assert await protocol.received.times() == (b"hello", peer.getsockname())
        await maybeDeferred(port.stopListening)
        assert protocol.told == ["start", "stop"]

    @driven
    async def test_a_family_that_cannot_be_used_is_refused(self) -> None:
        """At once, and nothing is kept."""
        wrong: Any = 12345
        with socket.create_server((HERE, 0)) as sock:
            with raises(UnsupportedAddressFamily):
                self.reactor.adoptStreamPort(sock.fileno(), wrong, FactoryRecorder())
            with raises(UnsupportedAddressFamily):
                self.reactor.adoptStreamConnection(sock.fileno(), wrong, FactoryRecorder())
            with raises(UnsupportedAddressFamily):
                self.reactor.adoptDatagramPort(sock.fileno(), wrong, DatagramRecorder())

    @driven
    async def test_a_type_that_cannot_be_used_is_refused(self) -> None:
        """A datagram socket is no stream, nor the other way round."""
        with socket.create_server((HERE, 0)) as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            with raises(UnsupportedSocketType):
                self.reactor.adoptStreamPort(datagrams.fileno(), socket.AF_INET, FactoryRecorder())
            with raises(UnsupportedSocketType):
                self.reactor.adoptStreamConnection(datagrams.fileno(), socket.AF_INET, FactoryRecorder())
            with raises(UnsupportedSocketType):
                self.reactor.adoptDatagramPort(stream.fileno(), socket.AF_INET, DatagramRecorder())
