"""Stream sockets that somebody else has opened, and where a port can listen."""

from __future__ import annotations

import contextvars
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import Deferred
from netcore.error import (
    CannotListenError,
    ConnectionDone,
    ReactorNotRunning,
    UnsupportedAddressFamily,
    UnsupportedSocketType,
)
from netcore.protocol import Factory
from netcore.reactors import Reactor
from netcore.transports.tcp import Port
from tests.integration.netcore.tcp_peers import Peer, Recorder
from tests.support.guard import Logged

Run = Callable[..., Any]


class Server(Factory[Any]):
    """Builds recorders; `made` fires with the first, *peers* has what it was asked for."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.peers: list[Any] = []
        self.made = Deferred[Recorder]()

    def startFactory(self) -> None:
        self.heard.append("start")

    def stopFactory(self) -> None:
        self.heard.append("stop")

    def buildProtocol(self, addr: Any) -> Recorder:
        self.peers.append(addr)
        recorder = Recorder()
        recorder.on_made = lambda made: None if self.made.called else self.made.callback(made)
        return recorder


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"]
)
class TestPorts:
    def test_a_listening_socket_is_gone_on_with(self, reactor: Reactor, run: Run, family: int, host: str) -> None:
        server = Server()

        async def main() -> None:
            with socket.create_server((host, 0), family=family) as listening:
                name = listening.getsockname()
                port = reactor.adoptStreamPort(listening.fileno(), family, server)
            assert isinstance(port, Port)
            assert (port.getHost().host, port.getHost().port) == name[:2]
            assert (port.interface, port.port) == name[:2]
            assert server.heard == ["start"]
            with socket.create_connection(name[:2]) as sock:
                made = await server.made
                assert server.peers[0].port == sock.getsockname()[1]
                sock.sendall(b"x")
                await made.got(1)
                await port.stopListening()
                assert server.heard == ["start", "stop"]

        run(main)

    def test_the_callers_socket_stays_as_it_was(self, reactor: Reactor, run: Run, family: int, host: str) -> None:
        async def main() -> None:
            with socket.create_server((host, 0), family=family) as listening:
                port = reactor.adoptStreamPort(listening.fileno(), family, Server())
                await port.stopListening()
                again = Server()
                port = reactor.adoptStreamPort(listening.fileno(), family, again)
                with socket.create_connection(listening.getsockname()[:2]):
                    await again.made

        run(main)

    def test_what_waited_before_is_accepted(self, reactor: Reactor, run: Run, family: int, host: str) -> None:
        server = Server()

        async def main() -> None:
            with (
                socket.create_server((host, 0), family=family) as listening,
                socket.create_connection(listening.getsockname()[:2]),
            ):
                reactor.adoptStreamPort(listening.fileno(), family, server)
                await server.made

        run(main)

    def test_once_stopped_it_listens_there_again_by_itself(
        self, reactor: Reactor, run: Run, family: int, host: str
    ) -> None:
        server = Server()

        async def main() -> None:
            with socket.create_server((host, 0), family=family) as listening:
                port = reactor.adoptStreamPort(listening.fileno(), family, server)
                await port.stopListening()
                with pytest.raises(CannotListenError):
                    port.startListening()
            port.startListening()
            where = port.getHost()
            with socket.create_connection((where.host, where.port)):
                await server.made

        run(main)

    def test_a_connection_is_gone_on_with(self, reactor: Reactor, run: Run, family: int, host: str) -> None:
        server = Server()
        variable = contextvars.ContextVar("variable", default="unset")

        async def main() -> None:
            with socket.create_server((host, 0), family=family) as listening:
                sock = socket.create_connection(listening.getsockname()[:2])
                peer = Peer(reactor, listening.accept()[0])
            peer.sock.setblocking(False)
            variable.set("when adopted")
            transport = reactor.adoptStreamConnection(sock.fileno(), family, server)
            variable.set("later")
            ours = await server.made
            assert ours.transport is transport
            kind = IPv4Address if family == socket.AF_INET else IPv6Address
            assert server.peers == [ours.transport.getPeer()] == [kind("TCP", *peer.sock.getsockname())]
            assert ours.transport.getHost() == kind("TCP", *sock.getsockname())
            sock.close()  # the transport has its own
            seen: list[str] = []
            ours.on_data = lambda recorder, data: seen.append(variable.get())
            await peer.send(b"question")
            await ours.got(8)
            assert seen == ["when adopted"]
            ours.transport.write(b"answer")
            assert await peer.receive() == b"answer"
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone
            assert server.heard == []  # doStart and doStop are for ports and connectors

        run(main)


class TestRefusals:
    @pytest.fixture(params=["adoptStreamPort", "adoptStreamConnection"])
    def adopt(self, request: pytest.FixtureRequest, reactor: Reactor) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(reactor, request.param)
        return method

    def refused(self, reactor: Reactor, kind: type[Exception], adopt: Callable[..., Any], *args: Any) -> Exception:
        before = os.listdir("/proc/self/fd")
        server = Server()
        with pytest.raises(kind) as caught:
            adopt(*args, server)
        assert os.listdir("/proc/self/fd") == before
        assert (server.heard, server.peers, reactor._open) == ([], [], {})
        return caught.value

    @pytest.mark.parametrize("family", [-1, 12345])
    def test_a_family_that_is_not_for_here(self, reactor: Reactor, adopt: Callable[..., Any], family: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            error = self.refused(reactor, UnsupportedAddressFamily, adopt, listening.fileno(), family)
        assert "AF_INET, AF_INET6, AF_UNIX" in str(error)

    def test_a_family_that_is_not_the_sockets(self, reactor: Reactor, adopt: Callable[..., Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            error = self.refused(reactor, UnsupportedAddressFamily, adopt, listening.fileno(), socket.AF_INET6)
        assert "AF_INET" in str(error)

    def test_datagrams(self, reactor: Reactor, adopt: Callable[..., Any]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            self.refused(reactor, UnsupportedSocketType, adopt, datagrams.fileno(), socket.AF_INET)

    def test_what_is_no_socket(self, reactor: Reactor, adopt: Callable[..., Any]) -> None:
        with open(os.devnull) as file:
            error = self.refused(reactor, OSError, adopt, file.fileno(), socket.AF_INET)
        assert getattr(error, "errno", None) == errno.ENOTSOCK

    def test_what_is_closed(self, reactor: Reactor, adopt: Callable[..., Any]) -> None:
        with socket.socket() as sock:
            number = sock.fileno()
        error = self.refused(reactor, OSError, adopt, number, socket.AF_INET)
        assert getattr(error, "errno", None) == errno.EBADF

    def test_a_port_that_does_not_listen(self, reactor: Reactor) -> None:
        with socket.socket() as sock:
            error = self.refused(reactor, OSError, reactor.adoptStreamPort, sock.fileno(), socket.AF_INET)
        assert "does not listen" in str(error)

    def test_a_connection_that_does_not_stand(self, reactor: Reactor) -> None:
        with socket.socket() as sock:
            error = self.refused(reactor, OSError, reactor.adoptStreamConnection, sock.fileno(), socket.AF_INET)
        assert getattr(error, "errno", None) == errno.ENOTCONN

    def test_a_reactor_that_is_disposed_of(self, reactor: Reactor, adopt: Callable[..., Any]) -> None:
        reactor.dispose()
        with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(ReactorNotRunning):
            adopt(listening.fileno(), socket.AF_INET, Server())

    def test_a_port_whose_factory_does_not_start_leaves_nothing_open(self, reactor: Reactor) -> None:
        class Refuses(Server):
            def startFactory(self) -> None:
                raise LookupError

        with socket.create_server(("127.0.0.1", 0)) as listening:
            before = os.listdir("/proc/self/fd")
            with pytest.raises(LookupError):
                reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, Refuses())
            assert os.listdir("/proc/self/fd") == before

    @pytest.mark.parametrize("how", ["None", "LookupError"])
    def test_a_connection_that_the_factory_declines(self, reactor: Reactor, how: str) -> None:
        class Declines(Server):
            def buildProtocol(self, addr: Any) -> Any:
                if how != "None":
                    raise LookupError

        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            socket.create_connection(listening.getsockname()) as sock,
        ):
            before = os.listdir("/proc/self/fd")
            if how == "None":
                assert reactor.adoptStreamConnection(sock.fileno(), socket.AF_INET, Declines()) is None
            else:
                with pytest.raises(LookupError):
                    reactor.adoptStreamConnection(sock.fileno(), socket.AF_INET, Declines())
            assert os.listdir("/proc/self/fd") == before
            peer, _ = listening.accept()
            sock.sendall(b"still the caller's")
            assert peer.recv(100) == b"still the caller's"
            peer.close()

    def test_a_connection_whose_protocol_raises_is_lost_with_that(
        self, reactor: Reactor, run: Run, logged: Logged
    ) -> None:
        def raises(recorder: Recorder) -> None:
            raise LookupError("in connectionMade")

        async def main() -> None:
            ours, server = Recorder(), Server()
            ours.on_made = raises
            server.buildProtocol = lambda addr: ours  # type: ignore[method-assign]
            with (
                socket.create_server(("127.0.0.1", 0)) as listening,
                socket.create_connection(listening.getsockname()) as sock,
            ):
                reactor.adoptStreamConnection(sock.fileno(), socket.AF_INET, server)
                assert type(await ours.lost) is LookupError

        run(main)
        assert len(logged.take(LookupError)) == 1


class TestWhereToListen:
    def test_an_address_with_a_scope_is_bound_with_it(self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
        """No machine is sure to have a link-local address: only what is asked of the kernel can be seen here."""
        index = socket.if_nametoindex("lo")
        bound: list[Any] = []

        class Socket(socket.socket):
            def bind(self, address: Any) -> None:
                bound.append((self.family, address))
                super().bind(("::1", 0))

        monkeypatch.setattr(socket, "socket", Socket)
        port = reactor.listenTCP(0, Server(), interface="fe80::1%lo")
        assert bound == [(socket.AF_INET6, ("fe80::1", 0, 0, index))]
        port.stopListening()

    def test_an_ipv4_address_written_as_an_ipv6_one(self, reactor: Reactor, run: Run) -> None:
        server = Server()

        async def main() -> None:
            port = reactor.listenTCP(0, server, interface="::ffff:127.0.0.1")
            assert port.getHost() == IPv6Address("TCP", "::ffff:127.0.0.1", port.getHost().port)
            with socket.create_connection(("127.0.0.1", port.getHost().port)):
                await server.made
            assert server.peers[0].host == "::ffff:127.0.0.1"

        run(main)

    def test_a_name_of_this_machine(self, reactor: Reactor) -> None:
        assert reactor.listenTCP(0, Server(), interface="localhost").getHost().host == "127.0.0.1"

    def test_no_more_wait_than_the_backlog_says(self, reactor: Reactor) -> None:
        port = reactor.listenTCP(0, Server(), backlog=1, interface="127.0.0.1").getHost().port
        socks = [socket.socket() for _ in range(6)]
        try:
            made = 0
            for sock in socks:  # nothing is accepted, since the reactor does not run
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
            for sock in socks:
                try:
                    sock.getpeername()
                    made += 1
                except OSError:
                    pass
            assert 1 <= made < 6
        finally:
            for sock in socks:
                sock.close()

    def test_several_listen_at_one_address_if_all_say_so(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            servers = [Server(), Server()]
            first = reactor.listenTCP(0, servers[0], interface="127.0.0.1", reusePort=True)
            number = first.getHost().port
            second = reactor.listenTCP(number, servers[1], interface="127.0.0.1", reusePort=True)
            with pytest.raises(CannotListenError):
                reactor.listenTCP(number, Server(), interface="127.0.0.1")
            await first.stopListening()
            with socket.create_connection(("127.0.0.1", number)):
                await servers[1].made
            assert servers[0].peers == []
            await second.stopListening()

        run(main)

    def test_alone_is_the_default(self, reactor: Reactor) -> None:
        number = reactor.listenTCP(0, Server(), interface="127.0.0.1").getHost().port
        with pytest.raises(CannotListenError):
            reactor.listenTCP(number, Server(), interface="127.0.0.1", reusePort=True)

    def test_where_there_is_no_such_thing_it_is_refused(
        self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(socket, "SO_REUSEPORT")
        with pytest.raises(CannotListenError, match="no SO_REUSEPORT"):
            reactor.listenTCP(0, Server(), interface="127.0.0.1", reusePort=True)


class Unwatchable:
    """A watcher that cannot take a connection, as epoll without memory."""

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.watcher, name)


def test_a_connection_that_cannot_be_watched_is_lost_and_the_port_goes_on(
    reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()

    async def main() -> None:
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            with monkeypatch.context() as patch:
                patch.setattr(reactor, "_watcher", Unwatchable(reactor._watcher))
                ours = await server.made
                await ours.lost
            assert isinstance(ours.reasons[0].args[0], OSError)
        server.made = Deferred()
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            await server.made

    run(main)


def test_nothing_is_watched_of_a_port_that_cannot_be(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reactor, "_watcher", Unwatchable(reactor._watcher))
        with pytest.raises(OSError, match="No space left"):
            reactor.listenTCP(0, Server(), interface="127.0.0.1")
    assert reactor._open == {}
    assert reactor._spare._held is None
