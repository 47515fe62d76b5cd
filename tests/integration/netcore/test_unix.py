"""UNIX stream sockets: how ports, files, locks and connections come about, and what is left of them."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from netcore import debug
from netcore.address import PeerCredentials, UNIXAddress
from netcore.defer import Deferred
from netcore.error import (
    BadFileError,
    CannotListenError,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
    UserError,
)
from netcore.interfaces import (
    IConnector,
    IConsumer,
    IListeningPort,
    IPushProducer,
    IReactorUNIX,
    IUNIXTransport,
    provides,
)
from netcore.protocol import Factory
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.transports import unix
from tests.integration.netcore.unix_peers import Client, Maker, Net, Plain, Receiver, pipe_with
from tests.support.guard import Logged

Run = Callable[..., Any]
DEAD = str((1 << 31) - 1)  # more than any process's number
BIG = bytes(range(256)) * 4096 * 8


@pytest.fixture
def path(unix_place: str) -> str:
    return f"{unix_place}/socket"


@pytest.fixture
def net(reactor: Reactor, path: str) -> Iterator[Net]:
    net = Net(reactor, path)
    yield net
    net.close()


def left(path: str) -> list[str]:
    """The files beside *path*, and that itself."""
    return sorted(os.listdir(os.path.dirname(path)))


def leave_socket(path: str) -> None:
    """Make a socket file that nobody listens at."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


def leave_file(path: str) -> None:
    """Make a file that is no socket."""
    with open(path, "w", encoding="ascii"):
        pass


class QuietFactory(Factory[Any]):
    noisy = False


class TestListening:
    def test_a_port_has_its_path_and_a_file_until_it_is_closed(self, reactor: Reactor, path: str) -> None:
        port = reactor.listenUNIX(path, QuietFactory())
        assert verifyObject(IListeningPort, port)
        assert verifyObject(IReactorUNIX, reactor)
        assert port.getHost() == UNIXAddress(path)
        assert repr(port).startswith(f"<UNIX port '{path}', open")
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        assert port.stopListening() is not None
        assert left(path) == []
        assert "closed" in repr(port)
        assert port.stopListening() is None
        port.startListening()
        assert left(path) == ["socket"]
        port.stopListening()

    def test_bytes_are_as_good_as_text(self, reactor: Reactor, path: str) -> None:
        port = reactor.listenUNIX(path.encode(), QuietFactory())
        assert port.getHost() == UNIXAddress(path)
        port.stopListening()

    @pytest.mark.parametrize("mode", [0o600, 0o666, 0o750])
    def test_the_mode_is_set_whatever_the_umask(self, reactor: Reactor, path: str, mode: int) -> None:
        umask = os.umask(0o077)
        try:
            port = reactor.listenUNIX(path, QuietFactory(), mode=mode)
        finally:
            os.umask(umask)
        assert stat.S_IMODE(os.stat(path).st_mode) == mode
        port.stopListening()

    def test_nobody_connects_before_the_mode_is_set(
        self, reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers: list[int] = []
        chmod = os.chmod

        def connect_and_chmod(file: Any, mode: int) -> None:
            with socket.socket(socket.AF_UNIX) as sock:
                answers.append(sock.connect_ex(path))
            chmod(file, mode)

        monkeypatch.setattr(os, "chmod", connect_and_chmod)
        reactor.listenUNIX(path, QuietFactory(), mode=0o600).stopListening()
        assert answers == [errno.ECONNREFUSED]

    def test_a_mode_that_is_none_leaves_nothing_behind(self, reactor: Reactor, path: str) -> None:
        mode: Any = "rw"
        with pytest.raises(TypeError):
            reactor.listenUNIX(path, QuietFactory(), mode=mode, wantPID=True)
        assert left(path) == []

    @pytest.mark.parametrize("there", ["socket", "file", "live socket"])
    def test_what_is_there_already_is_refused_and_stays(self, reactor: Reactor, path: str, there: str) -> None:
        other = None
        if there == "file":
            leave_file(path)
        elif there == "socket":
            leave_socket(path)
        else:
            other = reactor.listenUNIX(path, QuietFactory())
        for want in (False, True):
            with pytest.raises(CannotListenError, match="remove the file") as caught:
                reactor.listenUNIX(path, QuietFactory(), wantPID=want)
            assert caught.value.port == path
            assert caught.value.socketError.errno == errno.EADDRINUSE
            assert left(path) == ["socket"]
        if other is not None:
            other.stopListening()

    @pytest.mark.parametrize(("name", "number"), [("no/such/directory", errno.ENOENT), ("x" * 200, errno.ENAMETOOLONG)])
    def test_a_path_that_cannot_be_is_refused_with_the_reason(
        self, reactor: Reactor, unix_place: str, name: str, number: int
    ) -> None:
        with pytest.raises(CannotListenError) as caught:
            reactor.listenUNIX(f"{unix_place}/{name}", QuietFactory())
        assert caught.value.socketError.errno == number
        assert os.listdir(unix_place) == []

    def test_a_path_that_is_too_long_says_what_is_allowed(self, reactor: Reactor) -> None:
        with pytest.raises(CannotListenError, match=r"has 201 bytes.*107"):
            reactor.listenUNIX("/" + "x" * 200, QuietFactory())

    @pytest.mark.parametrize("address", ["", b"", "/a\0b"])
    def test_what_can_be_no_address_is_refused_at_once(self, reactor: Reactor, address: Any) -> None:
        with pytest.raises(ValueError):
            reactor.listenUNIX(address, QuietFactory())
        with pytest.raises(ValueError):
            reactor.connectUNIX(address, Client())

    def test_an_abstract_name_has_no_lock_file(self, reactor: Reactor) -> None:
        with pytest.raises(ValueError, match="wantPID"):
            reactor.listenUNIX("\0name", QuietFactory(), wantPID=True)
        with pytest.raises(ValueError, match="checkPID"):
            reactor.connectUNIX("\0name", Client(), checkPID=True)

    def test_without_unix_sockets_the_reason_is_said(
        self, reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(socket, "AF_UNIX")
        with pytest.raises(RuntimeError, match="no UNIX sockets"):
            reactor.listenUNIX(path, QuietFactory())

    def test_other_systems_than_linux_have_no_abstract_names(
        self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.platform", "darwin")
        with pytest.raises(ValueError, match="Linux only"):
            reactor.listenUNIX("\0name", QuietFactory())

    def test_a_file_that_somebody_else_has_put_there_stays(
        self, reactor: Reactor, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = reactor.listenUNIX(path, QuietFactory())
        os.unlink(path)
        leave_socket(path)
        with caplog.at_level(logging.WARNING, "netcore.transports"):
            port.stopListening()
        assert left(path) == ["socket"]
        assert "not the file it made" in caplog.text

    def test_a_file_that_has_gone_is_no_error(self, reactor: Reactor, path: str) -> None:
        port = reactor.listenUNIX(path, QuietFactory())
        os.unlink(path)
        port.stopListening()

    def test_a_file_that_cannot_be_removed_stays_and_the_port_is_closed(
        self, reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def unlink(file: Any) -> None:
            raise PermissionError(errno.EACCES, "not allowed")

        port = reactor.listenUNIX(path, QuietFactory())
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "netcore.transports"):
            patch.setattr(os, "unlink", unlink)
            port.stopListening()
        assert "not allowed" in caplog.text
        assert left(path) == ["socket"]

    def test_the_file_is_found_again_from_another_directory(
        self, reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(os.path.dirname(path))
        port = reactor.listenUNIX("socket", QuietFactory(), wantPID=True)
        assert port.getHost().name == b"socket"
        monkeypatch.chdir("/")
        port.stopListening()
        assert left(path) == []

    def test_a_process_that_was_forked_leaves_file_and_lock_to_its_parent(
        self, reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = reactor.listenUNIX(path, QuietFactory(), wantPID=True)
        monkeypatch.setattr(os, "getpid", lambda: 1)
        port.stopListening()
        assert left(path) == ["socket", "socket.lock"]

    def test_the_reactor_closes_its_ports(self, path: str, run: Run, reactor: Reactor) -> None:
        async def main() -> None:
            reactor.listenUNIX(path, QuietFactory(), wantPID=True)

        run(main)
        assert left(path) == []

    def test_a_factory_that_does_not_start_leaves_nothing_behind(self, reactor: Reactor, path: str) -> None:
        class Failing(QuietFactory):
            def startFactory(self) -> None:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            reactor.listenUNIX(path, Failing(), wantPID=True)
        assert left(path) == []


class TestLocks:
    def test_the_lock_is_held_while_it_listens(self, reactor: Reactor, path: str) -> None:
        port = reactor.listenUNIX(path, QuietFactory(), wantPID=True)
        assert os.readlink(f"{path}.lock") == str(os.getpid())
        assert left(path) == ["socket", "socket.lock"]
        port.stopListening()
        assert left(path) == []
        port.startListening()
        assert left(path) == ["socket", "socket.lock"]
        port.stopListening()

    @pytest.mark.parametrize("holder", ["this process", "another"])
    def test_a_lock_that_a_live_process_holds_is_refused(self, reactor: Reactor, path: str, holder: str) -> None:
        os.symlink(str(os.getpid() if holder == "this process" else os.getppid()), f"{path}.lock")
        leave_socket(path)
        with pytest.raises(CannotListenError, match="holds the lock"):
            reactor.listenUNIX(path, QuietFactory(), wantPID=True)
        assert left(path) == ["socket", "socket.lock"]

    def test_what_a_dead_process_left_is_taken_over(self, reactor: Reactor, path: str) -> None:
        os.symlink(DEAD, f"{path}.lock")
        leave_socket(path)
        port = reactor.listenUNIX(path, QuietFactory(), wantPID=True)
        assert os.readlink(f"{path}.lock") == str(os.getpid())
        port.stopListening()
        assert left(path) == []

    def test_only_the_lock_may_be_left(self, reactor: Reactor, path: str) -> None:
        os.symlink(DEAD, f"{path}.lock")
        reactor.listenUNIX(path, QuietFactory(), wantPID=True).stopListening()
        assert left(path) == []

    def test_a_takeover_removes_sockets_only(self, reactor: Reactor, path: str) -> None:
        os.symlink(DEAD, f"{path}.lock")
        leave_file(path)
        with pytest.raises(CannotListenError):
            reactor.listenUNIX(path, QuietFactory(), wantPID=True)
        assert left(path) == ["socket"]

    def test_what_is_no_lock_is_refused(self, reactor: Reactor, path: str) -> None:
        leave_file(f"{path}.lock")
        with pytest.raises(CannotListenError, match="is no lock"):
            reactor.listenUNIX(path, QuietFactory(), wantPID=True)
        assert left(path) == ["socket.lock"]

    def test_a_lock_that_somebody_else_has_taken_is_left_to_him(
        self, reactor: Reactor, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = reactor.listenUNIX(path, QuietFactory(), wantPID=True)
        os.unlink(f"{path}.lock")
        os.symlink(str(os.getppid()), f"{path}.lock")
        with caplog.at_level(logging.WARNING, "netcore.transports"):
            port.stopListening()
        assert left(path) == ["socket.lock"]
        assert "lock stays" in caplog.text


class TestConnecting:
    def test_both_sides_know_the_addresses(self, net: Net, path: str, run: Run, reactor: Reactor) -> None:
        async def main() -> None:
            accepted, factory = Maker(Plain()), Client()
            port = reactor.listenUNIX(path, accepted)
            connector = reactor.connectUNIX(path, factory)
            assert verifyObject(IConnector, connector)
            assert connector.state == "connecting"
            assert connector.getDestination() == UNIXAddress(path)
            client = await factory.made
            client.transport.write(b"x")
            server = accepted.built
            await server.got(1)
            assert accepted.peers == [UNIXAddress(None)]
            assert factory.peers == [UNIXAddress(path)]
            assert server.transport.getPeer() == UNIXAddress(None)
            assert server.transport.getHost() == UNIXAddress(path)
            assert client.transport.getPeer() == UNIXAddress(path)
            assert client.transport.getHost() == UNIXAddress(None)
            assert f"UNIX connection at '{path}', open" in repr(server.transport)
            assert f"UNIX connection to '{path}', open" in repr(client.transport)
            assert connector.transport is client.transport
            connector.disconnect()
            assert type(await factory.lost) is ConnectionDone
            assert type(await server.lost) is ConnectionDone
            port.stopListening()

        run(main)

    def test_abstract_names_need_no_file(self, unix_place: str, run: Run, reactor: Reactor) -> None:
        name = f"\0{unix_place}"

        async def main() -> None:
            accepted, factory = Maker(Plain()), Client()
            port = reactor.listenUNIX(name, accepted, mode=0o600)
            assert repr(port).startswith(f"<UNIX port '@{unix_place}', open")
            assert port.getHost() == UNIXAddress(name)
            reactor.connectUNIX(name, factory)
            client = await factory.made
            assert client.transport.getPeer() == UNIXAddress(name)
            client.transport.write(b"x")
            await accepted.built.got(1)
            port.stopListening()

        run(main)
        assert os.listdir(unix_place) == []

    @pytest.mark.parametrize(
        ("there", "kind", "number"),
        [
            ("nothing", ConnectError, errno.ENOENT),
            ("file", ConnectionRefusedError, errno.ECONNREFUSED),
            ("socket", ConnectionRefusedError, errno.ECONNREFUSED),
        ],
    )
    def test_where_nobody_listens_the_reason_is_said(
        self, path: str, run: Run, reactor: Reactor, there: str, kind: type[ConnectError], number: int
    ) -> None:
        async def main() -> None:
            if there == "file":
                leave_file(path)
            elif there == "socket":
                leave_socket(path)
            factory = Client()
            connector = reactor.connectUNIX(path, factory)
            with pytest.raises(ConnectError, match=path) as caught:
                await factory.made
            assert type(caught.value) is kind
            assert isinstance(caught.value.osError, OSError)
            assert caught.value.osError.errno == number
            assert connector.state == "disconnected"

        run(main)

    def test_a_path_that_is_too_long_is_an_error_at_once(self, run: Run, reactor: Reactor) -> None:
        async def main() -> None:
            factory = Client()
            reactor.connectUNIX("/" + "x" * 200, factory)
            with pytest.raises(ConnectError, match="has 201 bytes"):
                await factory.made

        run(main)

    def test_check_pid_fails_if_nobody_holds_the_lock(self, path: str, run: Run, reactor: Reactor) -> None:
        async def main() -> None:
            port = reactor.listenUNIX(path, Maker(Plain()))
            for lock in (None, DEAD, "no number"):
                if lock is not None:
                    os.symlink(lock, f"{path}.lock")
                factory = Client()
                reactor.connectUNIX(path, factory, checkPID=True)
                with pytest.raises(BadFileError):
                    await factory.made
                if lock is not None:
                    os.unlink(f"{path}.lock")
            port.stopListening()

        run(main)

    def test_check_pid_connects_if_somebody_does(self, path: str, run: Run, reactor: Reactor) -> None:
        async def main() -> None:
            port = reactor.listenUNIX(path, Maker(Plain()), wantPID=True)
            factory = Client()
            reactor.connectUNIX(path, factory, checkPID=True)
            await factory.made
            port.stopListening()

        run(main)

    def test_a_port_that_is_slow_to_accept_is_tried_again(self, path: str, run: Run, reactor: Reactor) -> None:
        async def main() -> None:
            with crowded(path) as server:
                factory = Client()
                connector = reactor.connectUNIX(path, factory)
                while connector._wait == unix.FIRST_PAUSE:
                    await deferLater(reactor, 0)
                first, _ = server.accept()
                await factory.made
                second, _ = server.accept()
                factory.built.transport.write(b"hello")
                second.setblocking(False)
                assert await reactor.loop.sock_recv(second, 5) == b"hello"
                first.close()
                second.close()

        run(main)

    @pytest.mark.parametrize(
        ("end", "kind"), [("timeout", TimeoutError), ("stopConnecting", UserError), ("shutdown", ConnectError)]
    )
    def test_waiting_for_one_that_does_not_accept_ends(
        self, path: str, run: Run, reactor: Reactor, end: str, kind: type[ConnectError]
    ) -> None:
        async def main() -> None:
            with crowded(path):
                factory = Client()
                connector = reactor.connectUNIX(path, factory, timeout=0.02 if end == "timeout" else 30)
                while connector._again is None and connector.state == "connecting":
                    await deferLater(reactor, 0)
                if end == "stopConnecting":
                    connector.stopConnecting()
                elif end == "shutdown":
                    connector._shut_down()
                with pytest.raises(kind) as caught:
                    await factory.made
                assert type(caught.value) is kind

        run(main)

    def test_without_descriptors_the_attempt_fails(
        self, path: str, run: Run, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            def none(*args: Any) -> None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

            factory = Client()
            reactor.connectUNIX(path, factory)
            with monkeypatch.context() as patch:
                patch.setattr(unix.socket, "socket", none)
                with pytest.raises(ConnectError, match="Too many open files"):
                    await factory.made

        run(main)

    def test_a_connector_connects_again(self, path: str, run: Run, reactor: Reactor) -> None:
        async def main() -> None:
            factory = Client()
            connector = reactor.connectUNIX(path, factory)
            with pytest.raises(ConnectError):
                await factory.made
            port = reactor.listenUNIX(path, Maker(Plain()))
            factory.made = Deferred()
            connector.connect()
            await factory.made
            port.stopListening()

        run(main)


class crowded:
    """A bare socket that listens at *path*, where as many as may wait to be accepted."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> socket.socket:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen(0)
        self.waiting = socket.socket(socket.AF_UNIX)
        self.waiting.connect(self.path)
        return self.server

    def __exit__(self, *exc_info: object) -> None:
        self.server.close()
        self.waiting.close()


class TestConnections:
    def test_they_provide_what_they_declare(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            for interface in (IUNIXTransport, IConsumer, IPushProducer):
                assert provides(ours.transport, interface)
                assert verifyObject(interface, ours.transport)

        run(main)

    def test_much_goes_both_ways(self, net: Net, run: Run) -> None:
        async def main() -> None:
            server, client = await net.both(Plain(), Plain())
            server.transport.write(BIG)
            client.transport.write(BIG)
            await server.got(len(BIG))
            await client.got(len(BIG))
            assert server.received == client.received == BIG

        run(main)

    def test_the_kernel_says_who_the_peer_is(self, net: Net, run: Run) -> None:
        async def main() -> None:
            server, client = await net.both(Plain(), Plain())
            us = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
            assert server.transport.getPeerCredentials() == us
            assert client.transport.getPeerCredentials() == us
            client.transport.abortConnection()
            with pytest.raises(RuntimeError, match="while it stands"):
                client.transport.getPeerCredentials()
            await client.lost

        run(main)

    def test_options_of_tcp_may_be_set_in_vain(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            ours.transport.setTcpNoDelay(True)
            ours.transport.setTcpKeepAlive(True)
            assert ours.transport.getTcpNoDelay() is False
            assert ours.transport.getTcpKeepAlive() is False

        run(main)

    def test_lose_connection_sends_all_first(self, net: Net, run: Run) -> None:
        async def main() -> None:
            server, client = await net.both(Plain(), Plain())
            server.transport.write(BIG)
            server.transport.loseConnection()
            assert type(await client.lost) is ConnectionDone
            assert client.received == BIG
            assert type(await server.lost) is ConnectionDone

        run(main)

    def test_the_last_bytes_arrive_although_the_peers_lie_unread(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.pauseProducing()
            peer.send(b"unread")
            ours.transport.write(b"the last")
            ours.transport.loseConnection()
            assert await peer.receive(100) == b"the last"
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_abort_connection_drops_what_was_not_sent(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.write(BIG)
            await deferLater(net.reactor, 0)
            ours.transport.abortConnection()
            assert ours.told == []
            assert type(await ours.lost) is ConnectionAborted
            assert len(await peer.receive(len(BIG))) < len(BIG)

        run(main)

    def test_a_peer_that_stops_reading_is_cut_off(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            ours.transport.lingerLimit = 0.02
            ours.transport.write(BIG)
            ours.transport.loseConnection()
            reason = await ours.lost
            assert isinstance(reason, ConnectionAborted)
            assert "did not read" in str(reason)

        run(main)

    def test_a_peer_that_leaves_bytes_of_ours_unread_is_a_lost_connection(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.write(b"unread")
            await deferLater(net.reactor, 0)
            peer.sock.close()
            assert type(await ours.lost) is ConnectionLost

        run(main)

    def test_a_protocol_that_raises_loses_its_connection(self, net: Net, run: Run, logged: Logged) -> None:
        async def main() -> None:
            server, client = await net.both(Plain(), Plain())
            server.on_data = lambda protocol: 1 / 0
            client.transport.write(b"x")
            assert type(await server.lost) is ZeroDivisionError
            await client.lost

        run(main)
        assert len(logged.take(ZeroDivisionError)) == 1


def test_pending_shows_ports_connections_and_connectors(net: Net, path: str, run: Run, reactor: Reactor) -> None:
    def found(kind: str) -> list[str]:
        return [each.what for each in debug.pending(kind) if path in each.what]

    async def main() -> None:
        port = reactor.listenUNIX(path, Maker(Plain()))
        assert len(found("port")) == 1
        factory = Client()
        reactor.connectUNIX(path, factory)
        assert len(found("connector")) == 1
        client = await factory.made
        client.transport.write(b"x")
        await port.factory.built.got(1)  # type: ignore[attr-defined]
        assert len(found("connection")) == 2
        assert found("connector") == []
        port.stopListening()
        client.transport.loseConnection()
        await client.lost
        await port.factory.built.lost  # type: ignore[attr-defined]
        assert found("connection") == found("port") == []

    run(main)


def test_attached_to_asyncio_all_of_it_works(path: str) -> None:
    async def main() -> None:
        reactor = Reactor.current()
        accepted, factory = Maker(Receiver()), Client()
        port = reactor.listenUNIX(path, accepted, wantPID=True)
        reactor.connectUNIX(path, factory, checkPID=True)
        client = await factory.made
        descriptor = pipe_with(b"in it")
        client.transport.sendFileDescriptor(descriptor)
        os.close(descriptor)
        client.transport.write(b"x")
        server: Any = accepted.built
        await server.got(1)
        assert server.contents() == [b"in it"]
        client.transport.loseConnection()
        await server.lost
        assert port.getHost() == UNIXAddress(path)  # it is closed when the program ends

    asyncio.run(main())
    assert left(path) == []


class TestAdopting:
    """Sockets that somebody else has opened."""

    def test_a_listening_socket_is_gone_on_with_and_its_file_stays(
        self, reactor: Reactor, run: Run, unix_place: str
    ) -> None:
        path = f"{unix_place}/socket"

        async def main() -> None:
            with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as peer:
                listening.bind(path)
                listening.listen()
                peer.connect(path)
                server, made = Plain(), Deferred[None]()
                server.on_made = lambda _: made.callback(None)
                port = reactor.adoptStreamPort(listening.fileno(), socket.AF_UNIX, Maker(server))
                assert port.getHost() == UNIXAddress(path)
                await made
                peer.send(b"hello")
                await server.got(5)
                await port.stopListening()

        run(main)
        assert os.path.exists(path)

    def test_a_connection_is_gone_on_with(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours, peer = socket.socketpair(socket.AF_UNIX)
            with ours, peer:
                server = Receiver()
                reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Maker(server))
                socket.send_fds(peer, [b"hello"], [peer.fileno()])
                await server.got(5)
                assert server.told == ["descriptor", b"hello"]
                os.close(server.descriptors[0])
                server.transport.loseConnection()
                await server.lost
                ours.close()
                assert peer.recv(1) == b""

        run(main)

    def test_a_socket_that_does_not_listen_is_refused(self, reactor: Reactor, unix_place: str) -> None:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"{unix_place}/socket")
            with pytest.raises(OSError, match="does not listen"):
                reactor.adoptStreamPort(bound.fileno(), socket.AF_UNIX, Maker(Plain()))
