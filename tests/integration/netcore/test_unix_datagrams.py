"""Datagrams between UNIX sockets: paths and names, modes, and peers that are gone."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netcore.address import UNIXAddress
from netcore.error import CannotListenError, ConnectError, ConnectionRefusedError, MessageLengthError, NotListeningError
from netcore.reactors import Reactor
from netcore.task import deferLater
from tests.integration.netcore.datagrams import ConnectedRecorder, Recorder
from tests.support.guard import Logged

Run = Callable[..., Any]
ABSTRACT = [f"\0netcore-test-{os.getpid()}"] if sys.platform == "linux" else []


exists = os.path.exists


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "here")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[socket.socket]:
    """A bare socket, bound to a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "peer"))
        sock.settimeout(20)
        yield sock


def test_datagrams_go_there_and_back(run: Run, reactor: Reactor, path: str, peer: socket.socket) -> None:
    async def main() -> None:
        server = Recorder()
        server.on_datagram = lambda self, datagram, addr: self.transport.write(datagram.upper(), addr)
        port = reactor.listenUNIXDatagram(path, server)
        assert server.transport is port
        assert port.getHost() == UNIXAddress(path)
        assert repr(port).startswith(f"<UNIX datagram port {path!r}, open")
        for datagram in (b"hello", b"", b"end"):
            peer.sendto(datagram, path)
        name = peer.getsockname()
        assert await server.count(3) == [(b"hello", name), (b"", name), (b"end", name)]
        assert [peer.recv(100) for _ in range(3)] == [b"HELLO", b"", b"END"]

    run(main)


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_paths_may_be_bytes(run: Run, reactor: Reactor, path: str, kind: Callable[[str], Any]) -> None:
    async def main() -> None:
        server, client = Recorder(), ConnectedRecorder()
        reactor.listenUNIXDatagram(kind(path), server)
        connected = reactor.connectUNIXDatagram(kind(path), client, bindAddress=kind(path + ".client"))
        assert connected.getPeer() == UNIXAddress(path)
        connected.write(b"x")
        assert await server.count(1) == [(b"x", path + ".client")]
        server.transport.write(b"y", kind(path + ".client"))
        assert await client.count(2) == ["started", b"y"]

    run(main)


@pytest.mark.parametrize("name", ABSTRACT)
def test_abstract_names(run: Run, reactor: Reactor, name: str) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        port = reactor.listenUNIXDatagram(name, server)
        assert port.getHost() == UNIXAddress(name)
        ours = reactor.listenUNIXDatagram(name + "-client", client)
        ours.write(b"hello", name)
        encoded = os.fsencode(name)
        assert await server.count(1) == [(b"hello", encoded + b"-client")]
        port.write(b"answer", server.told[0][1])
        assert await client.count(1) == [(b"answer", encoded)]

    run(main)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_port_without_a_name_can_send(run: Run, reactor: Reactor, path: str, nothing: str | None) -> None:
    async def main() -> None:
        server = Recorder()
        reactor.listenUNIXDatagram(path, server)
        nameless = reactor.listenUNIXDatagram(nothing, Recorder())
        assert nameless.getHost() == UNIXAddress(None)
        nameless.write(b"from nobody", path)
        assert await server.count(1) == [(b"from nobody", None)]

    run(main)


# ------------------------------------------------------------------------------------------------------------ the file


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_file_has_the_mode_asked_for(reactor: Reactor, path: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        reactor.listenUNIXDatagram(path, Recorder())
        reactor.listenUNIXDatagram(path + ".private", Recorder(), mode=0o600)
        reactor.connectUNIXDatagram(path, ConnectedRecorder(), mode=0o620, bindAddress=path + ".client")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(os.stat(path + suffix).st_mode) for suffix in ("", ".private", ".client")]
    assert modes == [0o666, 0o600, 0o620]


def test_nobody_else_may_send_before_the_mode_is_set(
    reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    chmod = os.chmod

    def watched(target: Any, mode: int) -> None:
        seen.append(stat.S_IMODE(os.stat(target).st_mode))
        chmod(target, mode)

    monkeypatch.setattr(os, "chmod", watched)
    before = os.umask(0)
    try:
        reactor.listenUNIXDatagram(path, Recorder(), mode=0o600)
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_the_file_is_taken_away_at_the_end(run: Run, reactor: Reactor, path: str) -> None:
    async def main() -> None:
        server, client = Recorder(), ConnectedRecorder()
        port = reactor.listenUNIXDatagram(path, server)
        connected = reactor.connectUNIXDatagram(path, client, bindAddress=path + ".client")
        for each in (connected, port):
            stopped = each.stopListening()
            assert stopped is not None
            await stopped
        assert (server.told, client.told) == (["stopped"], ["started", "stopped"])
        assert not exists(path)
        assert not exists(path + ".client")
        port.startListening()
        assert exists(path)

    run(main)
    reactor.dispose()
    assert not exists(path)


def test_the_file_is_found_again_from_another_directory(
    run: Run, reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.chdir(os.path.dirname(path))
        port = reactor.listenUNIXDatagram("here", Recorder())
        assert port.getHost() == UNIXAddress("here")
        monkeypatch.chdir("/")
        stopped = port.stopListening()
        assert stopped is not None
        await stopped
        assert not exists(path)

    run(main)


def test_a_file_that_is_another_is_left_alone(run: Run, reactor: Reactor, path: str) -> None:
    async def main() -> None:
        moved = reactor.listenUNIXDatagram(path, Recorder())
        os.rename(path, path + ".moved")
        os.rename(other, path)
        removed = reactor.listenUNIXDatagram(path + ".removed", Recorder())
        os.unlink(path + ".removed")
        for each in (moved, removed):
            stopped = each.stopListening()
            assert stopped is not None
            await stopped

    other = path + ".other"
    Path(other).write_text("somebody else's")
    run(main)
    assert Path(path).read_text() == "somebody else's"


def test_a_forked_process_leaves_the_file(reactor: Reactor, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reactor.listenUNIXDatagram(path, Recorder())
    monkeypatch.setattr(os, "getpid", lambda: -1)
    reactor.dispose()
    assert exists(path)


def test_what_is_there_already_is_not_taken_over(reactor: Reactor, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
    recorder = Recorder()
    with pytest.raises(CannotListenError) as raised:
        reactor.listenUNIXDatagram(path, recorder)
    assert raised.value.port == path
    assert exists(path)
    assert recorder.told == []
    with pytest.raises(CannotListenError):
        reactor.listenUNIXDatagram(path + "/nowhere", Recorder())
    with pytest.raises(CannotListenError, match="too long"):
        reactor.listenUNIXDatagram(path + "x" * 200, Recorder())


def test_what_start_protocol_raises_leaves_no_file(reactor: Reactor, path: str) -> None:
    recorder = Recorder()
    recorder.on_start = lambda self: 1 / 0
    with pytest.raises(ZeroDivisionError):
        reactor.listenUNIXDatagram(path, recorder)
    assert not exists(path)


# ----------------------------------------------------------------------------------------------------------- writing


def test_what_cannot_be_sent(run: Run, reactor: Reactor, path: str) -> None:
    async def main() -> None:
        port = reactor.listenUNIXDatagram(path, Recorder())
        with pytest.raises(FileNotFoundError):
            port.write(b"x", path + ".nobody")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path + ".left")
        with pytest.raises(OSError, match="refused"):
            port.write(b"x", path + ".left")
        with pytest.raises(MessageLengthError, match="100000000 bytes"):
            port.write(bytes(100_000_000), path)
        stopped = port.stopListening()
        assert stopped is not None
        await stopped
        with pytest.raises(NotListeningError):
            port.write(b"x", path)

    run(main)


def test_what_a_receiver_has_no_room_for_is_dropped(run: Run, reactor: Reactor, path: str, peer: socket.socket) -> None:
    async def main() -> None:
        name = peer.getsockname()
        port = reactor.listenUNIXDatagram(path, Recorder())
        connected = reactor.connectUNIXDatagram(name, ConnectedRecorder())
        datagram = bytes(4096)
        sent = 0
        peer.setblocking(False)
        for _ in range(2000):  # more than any receive buffer holds
            port.write(datagram, name)
            connected.write(datagram)
            sent += 2
        received = 0
        try:
            while peer.recv(5000):
                received += 1
        except BlockingIOError:
            pass
        assert 0 < received < sent
        port.write(b"room again", name)
        assert peer.recv(100) == b"room again"

    run(main)


# ---------------------------------------------------------------------------------------------------------- connected


def test_a_connected_port_talks_with_its_peer(run: Run, reactor: Reactor, path: str, peer: socket.socket) -> None:
    async def main() -> None:
        client = ConnectedRecorder()
        port = reactor.connectUNIXDatagram(peer.getsockname(), client, maxPacketSize=4, bindAddress=path)
        assert client.transport is port
        assert (port.getHost(), port.getPeer()) == (UNIXAddress(path), UNIXAddress(peer.getsockname()))
        port.write(b"question")
        assert peer.recvfrom(100) == (b"question", path)
        for datagram in (b"", b"answer"):
            peer.sendto(datagram, path)
        assert await client.count(3) == ["started", b"", b"answ"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger, pytest.raises(PermissionError):
            stranger.sendto(b"x", path)

    run(main)


def test_a_peer_that_has_gone_refuses_and_the_port_goes_on(
    run: Run, reactor: Reactor, path: str, peer: socket.socket
) -> None:
    async def main() -> None:
        client = ConnectedRecorder()
        port = reactor.connectUNIXDatagram(peer.getsockname(), client, bindAddress=path)
        peer.close()
        for round in range(1, 4):
            client.do(port, "write", b"anybody?")
            client.do(port, "write", b"anybody?")
            assert (await client.count(1 + round))[1:] == ["refused"] * round
        stopped = client.do(port, "stopListening")
        client.do(port, "write", b"the last")
        await stopped
        assert client.told[-2:] == ["refused", "stopped"]

    run(main)


def test_a_peer_that_connects_elsewhere_is_told(run: Run, reactor: Reactor, path: str, peer: socket.socket) -> None:
    """The kernel's words for that are those for a connection that was reset."""

    async def main() -> None:
        client = ConnectedRecorder()
        reactor.connectUNIXDatagram(peer.getsockname(), client, bindAddress=path)
        peer.connect(path)
        client.transport.write(b"lost, since it is not read before that")
        reactor.listenUNIXDatagram(path + ".other", Recorder())
        peer.connect(path + ".other")
        assert await client.count(2) == ["started", "refused"]
        await deferLater(reactor, 0)  # else what comes now is read together with that
        peer.connect(path)
        peer.send(b"back again")
        assert await client.count(3) == ["started", "refused", b"back again"]

    run(main)


def test_what_fails_is_told_to_the_protocol(reactor: Reactor, path: str, logged: Logged) -> None:
    nobody, left, taken, wrong = (ConnectedRecorder() for _ in range(4))
    reactor.connectUNIXDatagram(path, nobody, bindAddress=path + ".client")
    assert [type(each) for each in nobody.told] == [ConnectError]
    assert isinstance(nobody.told[0].osError, FileNotFoundError)
    assert not exists(path + ".client")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
    port = reactor.connectUNIXDatagram(path, left)
    assert [type(each) for each in left.told] == [ConnectionRefusedError]
    assert (left.transport, port.stopListening()) == (None, None)
    with pytest.raises(NotListeningError):
        port.write(b"x")

    reactor.connectUNIXDatagram(path, taken, bindAddress=path)
    assert [type(each) for each in taken.told] == [CannotListenError]
    assert exists(path)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(path + ".stream")
        reactor.connectUNIXDatagram(path + ".stream", wrong)
    assert [type(each) for each in wrong.told] == [ConnectError]
    assert reactor._open == {}

    class Broken(ConnectedRecorder):
        def connectionFailed(self, failure: Any) -> None:
            raise ZeroDivisionError

    reactor.connectUNIXDatagram(path, Broken())
    (record,) = logged.take(ZeroDivisionError)
    assert "connectionFailed of " in record.getMessage()


def test_what_start_protocol_raises_is_no_failed_connection(reactor: Reactor, path: str, peer: socket.socket) -> None:
    class Broken(ConnectedRecorder):
        def startProtocol(self) -> None:
            raise ZeroDivisionError

    broken = Broken()
    with pytest.raises(ZeroDivisionError):
        reactor.connectUNIXDatagram(peer.getsockname(), broken, bindAddress=path)
    assert broken.told == []
    assert not exists(path)


def test_a_port_that_failed_may_be_tried_again(run: Run, reactor: Reactor, path: str) -> None:
    async def main() -> None:
        client, server = ConnectedRecorder(), Recorder()
        port = reactor.connectUNIXDatagram(path, client)
        reactor.listenUNIXDatagram(path, server)
        port.startListening()
        port.write(b"now")
        assert await server.count(1) == [(b"now", None)]
        assert client.told[1:] == ["started"]

    run(main)


def test_bad_arguments_raise_at_once(reactor: Reactor, path: str) -> None:
    protocol: Any = Recorder()
    with pytest.raises(TypeError, match="ConnectedDatagramProtocol"):
        reactor.connectUNIXDatagram(path, protocol)
    with pytest.raises(ValueError, match="maxPacketSize"):
        reactor.listenUNIXDatagram(path, protocol, maxPacketSize=0)
    nowhere: Any = None
    with pytest.raises(TypeError):
        reactor.connectUNIXDatagram(nowhere, ConnectedRecorder(), bindAddress=path)
    assert not exists(path)
    assert reactor._open == {}


def test_a_name_that_can_be_none_is_refused_at_once(reactor: Reactor, path: str) -> None:
    """The system would take what comes before the NUL."""
    short, server = Recorder(), Recorder()
    reactor.listenUNIXDatagram(path, short)
    port = reactor.listenUNIXDatagram(None, server)
    for wrong in (path + "\0x", os.fsencode(path) + b"\0x"):
        with pytest.raises(ValueError, match="NUL"):
            reactor.connectUNIXDatagram(wrong, ConnectedRecorder())
        with pytest.raises(ValueError, match="NUL"):
            port.write(b"x", wrong)
    for name in (path + ".none\0x", os.fsencode(path) + b".none\0x"):
        with pytest.raises(ValueError, match="NUL"):
            reactor.listenUNIXDatagram(name, Recorder())
        with pytest.raises(ValueError, match="NUL"):
            reactor.connectUNIXDatagram(path, ConnectedRecorder(), bindAddress=name)
    with pytest.raises(ValueError, match="empty"):
        reactor.connectUNIXDatagram("", ConnectedRecorder())
    with pytest.raises(ValueError, match="empty"):
        port.write(b"x", "")
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_the_end_of_the_reactor_closes_ports(reactor: Reactor, path: str) -> None:
    server, client = Recorder(), ConnectedRecorder()

    def begin() -> None:
        reactor.listenUNIXDatagram(path, server)
        reactor.connectUNIXDatagram(path, client)
        reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    assert server.told == ["stopped"]
    assert client.told == ["started", "stopped"]
    assert not exists(path)
