"""Listening ports and connectors on loopback: how connections come about, or do not."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import contextvars
import errno
import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore.address import IPv4Address
from netcore.defer import Deferred
from netcore.error import (
    CannotListenError,
    ConnectBindError,
    ConnectError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    ReactorNotRunning,
    TCPTimedOutError,
    TimeoutError,
    UserError,
)
from netcore.failure import Failure
from netcore.interfaces import IConnector, IListeningPort, provides
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.transports import _stream_port
from netcore.transports.tcp import Connector, Port
from tests.support.guard import Logged

Run = Callable[..., Any]


class Server(Factory[Any]):
    """Counts what happens to it; `made` fires with the first protocol."""

    def __init__(self) -> None:
        self.started = self.stopped = 0
        self.built: list[Protocol] = []
        self.made = Deferred[Protocol]()

    def startFactory(self) -> None:
        self.started += 1

    def stopFactory(self) -> None:
        self.stopped += 1

    def buildProtocol(self, addr: Any) -> Protocol:
        factory = self

        class Made(Protocol):
            def connectionMade(self) -> None:
                factory.built.append(self)
                if not factory.made.called:
                    factory.made.callback(self)

        return Made()


class Client(ClientFactory[Any]):
    """Notes what it is told, in order; each `next` Deferred fires with the next of that."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.reasons: list[BaseException] = []
        self.protocols: list[Protocol] = []
        self.failed = Deferred[BaseException]()
        self.made = Deferred[Protocol]()
        self.lost = Deferred[BaseException]()

    def startFactory(self) -> None:
        self.told.append("start")

    def stopFactory(self) -> None:
        self.told.append("stop")

    def startedConnecting(self, connector: Any) -> None:
        self.told.append(f"connecting ({connector.state})")

    def buildProtocol(self, addr: Any) -> Any:
        self.told.append("build")
        factory = self

        class Made(Protocol):
            def connectionMade(self) -> None:
                factory.told.append("made")
                factory.protocols.append(self)
                made, factory.made = factory.made, Deferred()
                made.callback(self)

            def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
                factory.told.append("connectionLost")

        return Made()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.told.append(f"failed ({connector.state})")
        self.reasons.append(reason.value)
        if not self.failed.called:
            self.failed.callback(reason.value)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.append(f"lost ({connector.state})")
        self.reasons.append(reason.value)
        lost, self.lost = self.lost, Deferred()
        lost.callback(reason.value)


def listen(reactor: Reactor, factory: Any = None, port: int = 0, interface: str = "127.0.0.1") -> Port:
    return reactor.listenTCP(port, factory or Server(), interface=interface)


@pytest.fixture
def refusing() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class TestListening:
    def test_the_host_has_the_port_that_was_given(self, reactor: Reactor) -> None:
        port = listen(reactor)
        assert provides(port, IListeningPort)
        host = port.getHost()
        assert host == IPv4Address("TCP", "127.0.0.1", host.port)
        assert host.port > 0
        assert f"127.0.0.1:{host.port}, open" in repr(port)
        port.stopListening()
        assert "closed" in repr(port)

    def test_every_ipv6_interface_is_every_ipv4_one_too_if_the_system_says_so(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            with socket.socket(socket.AF_INET6) as usual:  # Linux: bindv6only of ipv6(7), usually 0
                six_only = usual.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            server = Server()
            port = listen(reactor, server, interface="::").getHost().port
            if six_only:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port))
                return
            with socket.create_connection(("127.0.0.1", port)):
                assert (await server.made).transport.getPeer().host == "::ffff:127.0.0.1"

        run(main)

    def test_a_port_can_listen_again(self, reactor: Reactor) -> None:
        port = listen(reactor)
        with pytest.raises(RuntimeError, match="listens already"):
            port.startListening()
        port.stopListening()
        port.startListening()
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            pass
        port.stopListening()

    def test_a_port_that_never_listened_has_no_host(self, reactor: Reactor) -> None:
        with pytest.raises(RuntimeError, match="never listened"):
            Port(reactor, 0, Server()).getHost()

    def test_a_factory_that_refuses_to_start_leaves_nothing_open(self, reactor: Reactor) -> None:
        class Refuses(Server):
            def startFactory(self) -> None:
                raise LookupError

        with pytest.raises(LookupError):
            listen(reactor, Refuses())
        assert reactor._open == {}

    def test_a_factory_that_raises_is_logged_and_the_port_goes_on(
        self, reactor: Reactor, run: Run, logged: Logged
    ) -> None:
        server = Server()
        build = server.buildProtocol

        def raise_once(addr: Any) -> Protocol:
            server.buildProtocol = build  # type: ignore[method-assign]
            raise LookupError("in buildProtocol")

        server.buildProtocol = raise_once  # type: ignore[method-assign]

        async def main() -> None:
            port = listen(reactor, server).getHost().port
            client = Client()
            reactor.connectTCP("127.0.0.1", port, client)
            await client.lost
            reactor.connectTCP("127.0.0.1", port, Client())
            await server.made

        run(main)
        (record,) = logged.take(LookupError)
        assert "buildProtocol" in record.getMessage()

    def test_an_os_error_of_the_factory_is_logged_too(self, reactor: Reactor, run: Run, logged: Logged) -> None:
        server = Server()

        def refuse(addr: Any) -> Protocol:
            raise FileNotFoundError("in buildProtocol")

        server.buildProtocol = refuse  # type: ignore[method-assign]

        async def main() -> None:
            client = Client()
            lost = client.lost
            reactor.connectTCP("127.0.0.1", listen(reactor, server).getHost().port, client)
            await lost

        run(main)
        assert len(logged.take(FileNotFoundError)) == 1

    @pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
    def test_a_factory_that_raises_at_the_end_keeps_nothing_else_open(
        self, new_reactor: Callable[[], Reactor], logged: Logged, kind: type[BaseException]
    ) -> None:
        def stop() -> None:
            raise kind

        reactor = new_reactor()
        servers = [Server() for _ in range(3)]
        for server in servers[:2]:
            server.doStop = stop  # type: ignore[method-assign]
        for server in servers:
            listen(reactor, server)
        reactor.dispose()
        assert reactor._open == {}
        assert servers[2].stopped == 1
        assert len(logged.take(kind)) == 2

    def test_many_connections_are_accepted_in_one_turn_but_not_without_bound(
        self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_stream_port, "ACCEPT_AT_ONCE", 3)
        server = Server()

        async def main() -> None:
            port = listen(reactor, server)
            peers = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(7)]
            port._accept()
            assert len(server.built) == 3
            port._accept()
            port._accept()
            assert len(server.built) == 7
            for peer in peers:
                peer.close()

        run(main)

    def test_the_first_connection_may_close_the_port(self, reactor: Reactor, run: Run) -> None:
        server = Server()

        async def main() -> None:
            port = listen(reactor, server)
            peers = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(3)]
            server.made.addCallback(lambda made: port.stopListening())
            await deferLater(reactor, 0.001)
            assert len(server.built) == 1
            for peer in peers:
                peer.close()

        run(main)


class Accepting:
    """A listening socket that fails as it is told."""

    def __init__(self, sock: socket.socket, errors: list[int]) -> None:
        self.sock = sock
        self.errors = errors
        self.accepted = 0

    def accept(self) -> Any:
        self.accepted += 1
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self.sock.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


@contextlib.contextmanager
def no_descriptors(resource: Any) -> Iterator[None]:
    """The process has no descriptor left."""
    spare: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                spare.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in spare:
            os.close(number)


class TestOutOfResources:
    """With the spare descriptor gone too; with it, see test_refusing."""

    @pytest.fixture(autouse=True)
    def no_spare(self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reactor._spare, "refill", lambda: None)

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL])
    def test_accepting_pauses_and_logs_once_in_an_outage(
        self, reactor: Reactor, run: Run, logged: Logged, number: int
    ) -> None:
        server = Server()

        async def main() -> None:
            port = listen(reactor, server)
            port.acceptPause = 0.001
            port._socket = accepting = Accepting(port._socket, [number] * 3)  # type: ignore[assignment,arg-type]
            peer = socket.create_connection(("127.0.0.1", port.getHost().port))
            await server.made
            # Three failures, each followed by a pause, then one success and the end of the queue.
            assert 4 <= accepting.accepted <= 5
            port._socket.errors = [number]  # type: ignore[union-attr]
            other = socket.create_connection(("127.0.0.1", port.getHost().port))
            while len(server.built) < 2:
                await deferLater(reactor, 0.001)
            peer.close()
            other.close()

        run(main)
        records = logged.take()
        assert len(records) == 2  # one for each outage
        assert "tries again" in records[0].getMessage()

    def test_while_it_pauses_it_does_not_spin(self, reactor: Reactor, run: Run, logged: Logged) -> None:
        async def main() -> None:
            port = listen(reactor)
            port.acceptPause = 1000.0
            port._socket = accepting = Accepting(port._socket, [errno.EMFILE])  # type: ignore[assignment,arg-type]
            with socket.create_connection(("127.0.0.1", port.getHost().port)):
                for _ in range(100):
                    await deferLater(reactor, 0)
                assert accepting.accepted == 1
            await port.stopListening()  # which cancels the pause
            assert not any("resume_accepting" in repr(call) for call in reactor.getDelayedCalls())

        run(main)
        assert len(logged.take()) == 1

    def test_a_connection_that_went_before_it_was_accepted_is_passed_over(self, reactor: Reactor, run: Run) -> None:
        server = Server()

        async def main() -> None:
            port = listen(reactor, server)
            port._socket = Accepting(port._socket, [errno.ECONNABORTED, errno.EPERM])  # type: ignore[assignment,arg-type]
            with socket.create_connection(("127.0.0.1", port.getHost().port)):
                await server.made

        run(main)

    def test_with_no_descriptors_left_it_recovers(self, reactor: Reactor, run: Run, logged: Logged) -> None:
        resource = pytest.importorskip("resource")
        server = Server()

        async def main() -> None:
            port = listen(reactor, server)
            port.acceptPause = 0.001
            with socket.socket() as peer:
                with no_descriptors(resource):
                    peer.connect(("127.0.0.1", port.getHost().port))
                    await deferLater(reactor, 0.01)
                    assert server.built == []
                await server.made

        run(main)
        (record,) = logged.take()
        assert "out of resources" in record.getMessage()

    def test_with_no_descriptors_left_it_tries_once_in_each_pause(
        self, reactor: Reactor, run: Run, logged: Logged
    ) -> None:
        """A real outage: the kernel says that the socket is readable all the while."""
        resource = pytest.importorskip("resource")
        server = Server()

        async def main() -> None:
            port = listen(reactor, server)
            port.acceptPause = 1000.0
            port._socket = accepting = Accepting(port._socket, [])  # type: ignore[assignment,arg-type]
            with socket.socket() as peer:
                with no_descriptors(resource):
                    peer.connect(("127.0.0.1", port.getHost().port))
                    for tries in range(1, 4):
                        while port._pause is None:
                            await deferLater(reactor, 0)
                        for _ in range(100):
                            await deferLater(reactor, 0)
                        assert accepting.accepted == tries
                        port._pause.reset(0)
                        await deferLater(reactor, 0)
                    while port._pause is None:
                        await deferLater(reactor, 0)
                port._pause.reset(0)
                await server.made

        run(main)
        assert len(logged.take()) == 1


class TestConnecting:
    def test_the_factory_hears_of_everything_in_order(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            client = Client()
            port = listen(reactor).getHost().port
            made = client.made
            connector = reactor.connectTCP("127.0.0.1", port, client)
            assert provides(connector, IConnector)
            assert client.told == ["start", "connecting (connecting)"]
            await made
            assert connector.state == "connected"
            assert connector.transport is client.protocols[0].transport
            assert connector.getDestination() == IPv4Address("TCP", "127.0.0.1", port)
            assert client.protocols[0].transport.getPeer() == connector.getDestination()
            lost = client.lost
            connector.disconnect()
            assert type(await lost) is ConnectionDone
            assert connector.transport is None
            await deferLater(reactor, 0)
            assert client.told[2:] == ["build", "made", "connectionLost", "lost (disconnected)", "stop"]
            connector.disconnect()  # nothing to do

        run(main)

    def test_stopping_while_the_kernel_connects(self, reactor: Reactor, run: Run, full_port: int) -> None:
        async def main() -> None:
            client = Client()
            connector = reactor.connectTCP("127.0.0.1", full_port, client)
            await deferLater(reactor, 0.001)
            assert len(connector._dials) == 1
            connector.stopConnecting()
            assert type(client.reasons[0]) is UserError
            assert connector._dials == {}

        run(main)

    def test_it_times_out(self, reactor: Reactor, run: Run, full_port: int) -> None:
        async def main() -> None:
            client = Client()
            reactor.connectTCP("127.0.0.1", full_port, client, timeout=0.01)
            error = await client.failed
            assert type(error) is TimeoutError
            assert "0.01 s" in str(error)
            assert Failure(error).check(UserError) is UserError  # its base, as in Twisted

        run(main)

    def test_the_time_limit_covers_the_lookup(
        self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on = threading.Event()
        lookups = look_up(monkeypatch, lambda host: go_on.wait(20) and [])

        async def main() -> None:
            client = Client()
            reactor.connectTCP("slow.example", 79, client, timeout=0.01)
            assert type(await client.failed) is TimeoutError
            go_on.set()
            await deferLater(reactor, 0.001)
            assert len(client.reasons) == 1

        run(main)
        assert lookups == ["slow.example"]

    def test_without_a_limit_there_is_no_timer(self, reactor: Reactor) -> None:
        connector = reactor.connectTCP("127.0.0.1", 9, Client(), timeout=None)
        assert len(reactor.getDelayedCalls()) == 1  # its first step
        connector.stopConnecting()
        assert reactor.getDelayedCalls() == []

    def test_a_factory_that_raises_fails(self, reactor: Reactor, run: Run, logged: Logged) -> None:
        async def main() -> None:
            client = Client()
            client.buildProtocol = lambda addr: 1 / 0  # type: ignore[method-assign]
            reactor.connectTCP("127.0.0.1", listen(reactor).getHost().port, client)
            assert type(await client.failed) is ZeroDivisionError

        run(main)
        assert len(logged.take(ZeroDivisionError)) == 1

    @pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
    def test_a_factory_that_raises_when_told_is_logged(
        self, reactor: Reactor, run: Run, refusing: int, logged: Logged, kind: type[BaseException]
    ) -> None:
        class Raises(Client):
            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                super().clientConnectionFailed(connector, reason)
                raise kind("in clientConnectionFailed")

            def stopFactory(self) -> None:
                super().stopFactory()
                raise kind("in stopFactory")

        async def main() -> None:
            client = Raises()
            reactor.connectTCP("127.0.0.1", refusing, client)
            await client.failed
            await deferLater(reactor, 0)
            assert client.told[-1] == "stop"

        run(main)
        assert len(logged.take(kind)) == 2

    def test_a_factory_that_refuses_to_start_leaves_nothing_behind(self, reactor: Reactor, run: Run) -> None:
        """And may be asked again."""

        class Refuses(Client):
            refuses = True

            def startFactory(self) -> None:
                if self.refuses:
                    raise LookupError("in startFactory")
                super().startFactory()

        client = Refuses()
        connector = Connector(reactor, "127.0.0.1", 9, client, 1000, None)
        for _ in range(2):
            with pytest.raises(LookupError):
                connector.connect()
            assert connector.state == "disconnected"
            assert reactor._open == {}
            assert reactor.getDelayedCalls() == []
            assert client.told == []
        client.refuses = False
        connector.connect()
        connector.stopConnecting()
        assert [type(reason) for reason in client.reasons] == [UserError]

    def test_what_cannot_be_a_time_limit_is_refused(self, reactor: Reactor, run: Run) -> None:
        """The factory, which is not started, hears of nothing, now or later."""
        client = Client()

        async def main() -> None:
            for seconds in (-1, math.nan):
                with pytest.raises(ValueError, match=f"not {seconds}"):
                    reactor.connectTCP("127.0.0.1", 9, client, timeout=seconds)
            assert reactor.getDelayedCalls() == []
            assert reactor._open == {}

        run(main)
        assert client.told == []

    def test_a_factory_that_connects_again_when_the_reactor_is_disposed_of(
        self, reactor: Reactor, full_port: int, logged: Logged
    ) -> None:
        """It is too late for that, and the factory is stopped all the same."""

        class Stubborn(Client):
            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                super().clientConnectionFailed(connector, reason)
                connector.connect()

        client = Stubborn()
        connector = reactor.connectTCP("127.0.0.1", full_port, client)
        reactor.dispose()
        assert connector.state == "disconnected"
        assert client.told[-1] == "stop"
        assert client.told.count("stop") == 1
        assert len(logged.take(ReactorNotRunning)) == 1

    def test_a_factory_that_refuses_to_begin_leaves_nothing_behind(self, reactor: Reactor) -> None:
        class Raises(Client):
            def startedConnecting(self, connector: Any) -> None:
                raise LookupError("in startedConnecting")

        client = Raises()
        with pytest.raises(LookupError):
            reactor.connectTCP("127.0.0.1", 9, client)
        assert reactor._open == {}
        assert reactor.getDelayedCalls() == []
        assert client.told == ["start", "stop"]

    def test_stopping_in_build_protocol(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            client = Client()

            def build(addr: Any) -> Any:
                connector.stopConnecting()
                return Protocol()

            client.buildProtocol = build  # type: ignore[method-assign]
            connector = reactor.connectTCP("127.0.0.1", listen(reactor).getHost().port, client)
            assert type(await client.failed) is UserError
            assert connector.state == "disconnected"

        run(main)

    def test_a_local_address_that_is_not_ours_is_refused(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            client = Client()
            reactor.connectTCP("127.0.0.1", 9, client, bindAddress=("192.0.2.1", 0))
            error = await client.failed
            assert type(error) is ConnectBindError
            assert "192.0.2.1" in str(error)

        run(main)

    def test_callbacks_run_in_the_context_of_the_call(self, reactor: Reactor, run: Run) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        seen: list[str] = []

        class Looks(Client):
            def buildProtocol(self, addr: Any) -> Any:
                seen.append(variable.get())
                variable.set("changed")
                return super().buildProtocol(addr)

            def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
                seen.append(variable.get())
                super().clientConnectionLost(connector, reason)

        async def main() -> None:
            client = Looks()
            made, lost = client.made, client.lost
            made.addCallback(lambda protocol: protocol.transport.loseConnection())
            variable.set("caller's")
            reactor.connectTCP("127.0.0.1", listen(reactor).getHost().port, client)
            variable.set("changed since")
            await lost

        run(main)
        assert seen == ["caller's", "caller's"]

    def test_what_they_raise_is_logged_in_the_context_of_the_call(
        self, reactor: Reactor, run: Run, logged: Logged, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Programs mark their records with what they keep in the context."""
        variable = contextvars.ContextVar("variable", default="unset")
        marks: dict[str, str] = {}

        def mark(record: logging.LogRecord) -> bool:
            if record.exc_info:
                marks[str(record.exc_info[1])] = variable.get()
            return True

        monkeypatch.setattr(logging.getLogger("netcore.transports"), "filters", [mark])

        class Fails(Protocol):
            def __init__(self, what: str) -> None:
                self.what = what

            def dataReceived(self, data: bytes) -> None:
                raise LookupError(f"{self.what}'s dataReceived")

            def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
                raise LookupError(f"{self.what}'s connectionLost")

        def refuse(what: str) -> None:
            raise LookupError(f"{what}'s buildProtocol")

        class Speaks(Client):
            def buildProtocol(self, addr: Any) -> Any:
                self.made.callback(None)
                return Fails("client")

            def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
                self.lost.callback(reason.value)
                raise LookupError("clientConnectionLost")

        async def main() -> None:
            server, deaf = Server(), Server()
            server.buildProtocol = lambda addr: Fails("server")  # type: ignore[method-assign,assignment,return-value]
            deaf.buildProtocol = lambda addr: refuse("server")  # type: ignore[method-assign,assignment,return-value]
            variable.set("listener's")
            talks, breaks = listen(reactor, server).getHost().port, listen(reactor, deaf).getHost().port
            variable.set("caller's")
            client, builds, broken = Speaks(), Client(), Client()
            builds.buildProtocol = lambda addr: refuse("client")  # type: ignore[method-assign,assignment]
            connector = reactor.connectTCP("127.0.0.1", talks, client)
            reactor.connectTCP("127.0.0.1", talks, builds)
            reactor.connectTCP("127.0.0.1", breaks, broken)
            variable.set("changed since")
            await client.made
            await deferLater(reactor, 0)
            assert connector.transport is not None
            connector.transport.write(b"x")
            for over in (client.lost, builds.failed, broken.lost):
                await over

        run(main)
        logged.take(LookupError)
        assert marks == {
            "server's buildProtocol": "listener's",
            "server's dataReceived": "listener's",
            "server's connectionLost": "listener's",
            "client's buildProtocol": "caller's",
            "client's connectionLost": "caller's",
            "clientConnectionLost": "caller's",
        }

    @pytest.mark.parametrize("number", [-1, 65536, 70_000, 1 << 40])
    def test_what_is_no_port_number_is_refused(self, reactor: Reactor, number: int) -> None:
        """It was another port's: getaddrinfo() takes the last 16 bits."""
        client = Client()
        with pytest.raises(ValueError, match=f"from 0 to 65535, not {number}"):
            reactor.connectTCP("127.0.0.1", number, client)
        with pytest.raises(ValueError, match=f"from 0 to 65535, not {number}"):
            reactor.connectTCP("127.0.0.1", 9, client, bindAddress=("127.0.0.1", number))
        with pytest.raises(ValueError, match=f"from 0 to 65535, not {number}"):
            reactor.listenTCP(number, Server())
        assert client.told == []
        assert reactor._open == {}

    @pytest.mark.parametrize("port", ["http", "80", 80.0, None])
    def test_what_is_no_number_is_no_port(self, reactor: Reactor, port: Any) -> None:
        """Names of services are for `socket.getservbyname`."""
        client = Client()
        with pytest.raises(TypeError, match=f"a port is a number from 0 to 65535, not {port!r}"):
            reactor.connectTCP("127.0.0.1", port, client)
        with pytest.raises(TypeError, match="a port is a number"):
            reactor.connectTCP("127.0.0.1", 9, client, bindAddress=("127.0.0.1", port))
        with pytest.raises(TypeError, match="a port is a number"):
            reactor.listenTCP(port, Server())
        assert client.told == []

    def test_a_local_name_that_can_be_none_fails(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            client = Client()
            reactor.connectTCP("127.0.0.1", 9, client, bindAddress=("a" * 70 + ".example", 0))
            assert isinstance(await client.failed, ConnectError)

        run(main)

    @pytest.mark.parametrize("where", ["connectionLost", "clientConnectionLost"])
    def test_what_raises_when_a_connection_is_lost_is_logged_and_nothing_else_suffers(
        self, reactor: Reactor, run: Run, logged: Logged, where: str
    ) -> None:
        async def main() -> None:
            server, client, other = Server(), Client(), Client()
            port = listen(reactor, server).getHost().port
            other_made, made, lost = other.made, client.made, client.lost
            reactor.connectTCP("127.0.0.1", port, other)
            await other_made
            accepted = await server.made
            connector = reactor.connectTCP("127.0.0.1", port, client)
            protocol = await made
            raising: Any = protocol if where == "connectionLost" else client
            told = getattr(raising, where)

            def raises(*args: Any) -> None:
                told(*args)
                raise LookupError(f"in {where}")

            setattr(raising, where, raises)
            protocol.transport.loseConnection()
            await lost
            await deferLater(reactor, 0)
            assert client.told[-3:] == ["connectionLost", "lost (disconnected)", "stop"]
            assert connector.transport is None
            assert connector not in reactor._open
            # The other connection, the port and the connector itself go on.
            got = Deferred[bytes]()
            other.protocols[0].dataReceived = got.callback  # type: ignore[method-assign]
            accepted.transport.write(b"still here")
            assert await got == b"still here"
            made = client.made
            connector.connect()
            await made

        run(main)
        # The new protocol is not the one that raises; the factory is, and raises again when the reactor ends.
        assert len(logged.take(LookupError)) == (1 if where == "connectionLost" else 2)

    def test_repr_says_where_to_and_how(self, reactor: Reactor) -> None:
        connector = reactor.connectTCP("127.0.0.1", 9, Client())
        assert "to 127.0.0.1:9, connecting" in repr(connector)
        connector.stopConnecting()


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops what asks for a connection, and connecting takes its time."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting: list[socket.socket] = []
        for _ in range(50):
            sock = socket.socket()
            sock.settimeout(0.05)
            waiting.append(sock)
            try:
                sock.connect(address)
            except builtins.TimeoutError:
                break
        yield address[1]
        for sock in waiting:
            sock.close()


def look_up(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Any]) -> list[str]:
    """Have names looked up by *answer*; returns the names looked up."""
    names: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, flags: int = 0, **kwargs: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, *args, flags=flags, **kwargs)
        assert threading.current_thread() is not threading.main_thread()
        names.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer(host)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


class TestNames:
    def test_a_name_is_looked_up_in_a_thread(self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        names = look_up(monkeypatch, lambda host: ["127.0.0.1"])

        async def main() -> None:
            client = Client()
            made = client.made
            port = listen(reactor).getHost().port
            connector = reactor.connectTCP("finger.example", port, client)
            protocol = await made
            assert protocol.transport.getPeer() == IPv4Address("TCP", "127.0.0.1", port)
            assert connector.getDestination() == IPv4Address("TCP", "finger.example", port)

        run(main)
        assert names == ["finger.example"]

    def test_an_address_is_never_looked_up(self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        names = look_up(monkeypatch, lambda host: [])

        async def main() -> None:
            for interface in ("127.0.0.1", "::1"):
                client = Client()
                made = client.made
                reactor.connectTCP(interface, listen(reactor, interface=interface).getHost().port, client)
                await made

        run(main)
        assert names == []

    def test_the_addresses_of_a_name_are_tried_in_order(
        self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_up(monkeypatch, lambda host: ["127.0.0.3", "127.0.0.2", "127.0.0.1"])

        async def main() -> None:
            client = Client()
            made = client.made
            port = listen(reactor, interface="127.0.0.2").getHost().port
            reactor.connectTCP("several.example", port, client)
            protocol = await made
            assert protocol.transport.getPeer() == IPv4Address("TCP", "127.0.0.2", port)
            assert client.reasons == []

        run(main)

    def test_if_none_answers_the_last_error_is_the_reason(
        self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch, refusing: int
    ) -> None:
        look_up(monkeypatch, lambda host: ["127.0.0.3", "127.0.0.2"])

        async def main() -> None:
            client = Client()
            reactor.connectTCP("several.example", refusing, client)
            assert type(await client.failed) is ConnectionRefusedError

        run(main)

    def test_a_name_without_addresses_fails(self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        look_up(monkeypatch, lambda host: [])

        async def main() -> None:
            client = Client()
            reactor.connectTCP("nobody.example", 79, client)
            error = await client.failed
            assert type(error) is DNSLookupError
            assert "nobody.example" in str(error)

        run(main)

    def test_a_name_that_is_not_known_fails(self, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(host: str) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        look_up(monkeypatch, unknown)

        async def main() -> None:
            client = Client()
            reactor.connectTCP("unknown.example", 79, client)
            error = await client.failed
            assert type(error) is DNSLookupError
            assert "unknown.example" in str(error)
            assert isinstance(error.__cause__, socket.gaierror)

        run(main)

    def test_a_stopped_pool_cannot_look_up(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            reactor.getThreadPool().beginStop()
            client = Client()
            reactor.connectTCP("name.example", 79, client)
            assert "stopped" in str(await client.failed)

        run(main)

    def test_connecting_while_it_shuts_down_fails(self, reactor: Reactor) -> None:
        client = Client()
        reactor.addSystemEventTrigger("during", "shutdown", reactor.connectTCP, "127.0.0.1", 9, client)
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        assert type(client.reasons[0]) is ConnectError


@pytest.mark.parametrize("number", [errno.ETIMEDOUT])
def test_the_kernels_time_limit_is_told_apart_from_ours(
    reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(socket.socket, "connect_ex", lambda self, address: number)

    async def main() -> None:
        client = Client()
        reactor.connectTCP("127.0.0.1", 9, client)
        error = await client.failed
        assert type(error) is TCPTimedOutError
        assert error.osError.errno == number

    run(main)


def test_connector_can_be_made_by_hand(reactor: Reactor) -> None:
    connector = Connector(reactor, "127.0.0.1", 9, Client(), None, None)
    assert connector.state == "disconnected"
    connector.disconnect()


@pytest.mark.parametrize("interface", ["a\0b", "\udcff", "no such address"])
def test_an_interface_that_cannot_be_one_is_refused(reactor: Reactor, interface: str) -> None:
    with pytest.raises(CannotListenError):
        reactor.listenTCP(0, Factory(), interface=interface)
    assert reactor.getDelayedCalls() == []
