"""`IReactorUNIX`, `IUNIXTransport` and `IReactorUNIXDatagram`: sockets in the file system."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from netcore.address import UNIXAddress
from netcore.defer import maybeDeferred
from netcore.error import CannotListenError, ConnectError, ConnectionDone, UserError
from netcore.interfaces import (
    IConnector,
    IFileDescriptorReceiver,
    IListeningPort,
    IReactorUNIX,
    IReactorUNIXDatagram,
    IUNIXTransport,
    implementer,
    provides,
)
from netcore.protocol import ConnectedDatagramProtocol
from netcore.testing.contracts._contract import ReactorContract, driven, raises
from netcore.testing.contracts._datagrams import DatagramRecorder
from netcore.testing.contracts._recorder import ClientRecorder, Event, FactoryRecorder, Recorder

__all__ = ["ReactorUNIXContract", "ReactorUNIXDatagramContract"]


@implementer(IFileDescriptorReceiver)
class Receiver(Recorder):
    """Notes the descriptors that arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptors = Event()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.descriptors.happened(descriptor)


class _InAFolder(ReactorContract):
    """Each test has a folder of its own."""

    def setup_method(self) -> None:
        """Begin a test."""
        super().setup_method()
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)

    def teardown_method(self) -> None:
        """End a test: the reactors go first."""
        try:
            super().teardown_method()
        finally:
            self._folder.cleanup()

    def path(self, name: str = "socket") -> str:
        """A path that is free."""
        return str(self.folder / name)


class ReactorUNIXContract(_InAFolder):
    """`IReactorUNIX`, and the `IUNIXTransport` it gives. Override `makeReactor`."""

    interface = IReactorUNIX

    @driven
    async def test_bytes_go_both_ways(self) -> None:
        """The factory of the client hears of everything, as over TCP."""
        server, client = FactoryRecorder(), ClientRecorder()
        port = self.reactor.listenUNIX(self.path(), server)
        assert provides(port, IListeningPort)
        assert port.getHost() == UNIXAddress(self.path())
        connector = self.reactor.connectUNIX(self.path(), client)
        assert provides(connector, IConnector)
        assert connector.getDestination() == UNIXAddress(self.path())
        made, accepted = await client.made.times(), await server.made.times()
        assert all(provides(each.transport, IUNIXTransport) for each in (made, accepted))
        made.transport.write(b"question")
        await accepted.got(8)
        accepted.transport.write(b"answer")
        await made.got(6)
        made.transport.loseConnection()
        assert type(await client.lost.times()) is ConnectionDone
        await self.settle()
        assert client.told == ["start", "connecting", "build", "made", "connectionLost", "lost", "stop"]

    @driven
    async def test_a_place_that_is_taken_is_refused(self) -> None:
        """By a port, or a file."""
        self.reactor.listenUNIX(self.path(), FactoryRecorder())
        (self.folder / "file").write_text("mine")
        for taken in ("socket", "file"):
            with raises(CannotListenError):
                self.reactor.listenUNIX(self.path(taken), FactoryRecorder())
        assert (self.folder / "file").read_text() == "mine"

    @driven
    async def test_stop_listening_takes_the_socket_away(self) -> None:
        """Another may listen in its place."""
        for _ in range(2):
            port = self.reactor.listenUNIX(self.path(), FactoryRecorder())
            await maybeDeferred(port.stopListening)
            await maybeDeferred(port.stopListening)
            assert os.listdir(self.folder) == []

    @driven
    async def test_the_mode_says_who_may_connect(self) -> None:
        """Everybody, if nothing is said."""
        for mode in (None, 0o600, 0o660):
            options = {} if mode is None else {"mode": mode}
            port = self.reactor.listenUNIX(self.path(), FactoryRecorder(), **options)
            assert stat.S_IMODE(os.stat(self.path()).st_mode) == (mode or 0o666)
            await maybeDeferred(port.stopListening)

    @driven
    async def test_where_nobody_listens_it_fails(self) -> None:
        """There is no socket, or nobody behind it."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(self.path("left behind"))
        for name in ("nothing", "left behind"):
            client = ClientRecorder()
            self.reactor.connectUNIX(self.path(name), client)
            assert isinstance(await client.failed.times(), ConnectError)

    @driven
    async def test_an_attempt_can_be_stopped(self) -> None:
        """The reason says that it was."""
        self.reactor.listenUNIX(self.path(), FactoryRecorder())
        client = ClientRecorder()
        self.reactor.connectUNIX(self.path(), client).stopConnecting()
        assert type(await client.failed.times()) is UserError

    @driven
    async def test_what_a_process_that_has_ended_left_behind_is_taken_over(self) -> None:
        """Its lock file says who that was. What is in use is not taken."""
        os.symlink(str(ended_process()), self.path() + ".lock")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(self.path())
        server, client = FactoryRecorder(), ClientRecorder()
        port = self.reactor.listenUNIX(self.path(), server, wantPID=True)
        self.reactor.connectUNIX(self.path(), client, checkPID=True)
        await server.made.times()
        with raises(CannotListenError):
            self.reactor.listenUNIX(self.path(), FactoryRecorder(), wantPID=True)
        await maybeDeferred(port.stopListening)
        assert os.listdir(self.folder) == []

    @driven
    async def test_without_a_process_checking_fails(self) -> None:
        """Although somebody listens."""
        self.reactor.listenUNIX(self.path(), FactoryRecorder())
        client = ClientRecorder()
        self.reactor.connectUNIX(self.path(), client, checkPID=True)
        assert isinstance(await client.failed.times(), ConnectError)

    @driven
    async def test_descriptors_travel_with_bytes(self) -> None:
        """They are the receiver's, and lead to the same file, in the order they were sent."""
        server, client = FactoryRecorder(), ClientRecorder()
        server.build = Receiver
        self.reactor.listenUNIX(self.path(), server)
        self.reactor.connectUNIX(self.path(), client)
        sender, receiver = await client.made.times(), await server.made.times()
        files = [os.open(self.folder / name, os.O_RDWR | os.O_CREAT) for name in ("one", "two")]
        try:
            for file in files:
                sender.transport.sendFileDescriptor(file)
                sender.transport.write(b"x")
            await receiver.got(2)
            await receiver.descriptors.times(2)
            sent = [os.fstat(file).st_ino for file in files]
            assert [os.fstat(each).st_ino for each in receiver.descriptors.values] == sent
        finally:
            for each in (*files, *receiver.descriptors.values):
                os.close(each)


def ended_process() -> int:
    """The number of a process that there is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def connected_recorder() -> Any:
    """A `DatagramRecorder` of the class that connected ports want."""
    kind: Any = ConnectedDatagramProtocol
    return type("ConnectedRecorder", (DatagramRecorder, kind), {})()


class ReactorUNIXDatagramContract(_InAFolder):
    """`IReactorUNIXDatagram`. Override `makeReactor`."""

    interface = IReactorUNIXDatagram

    @driven
    async def test_datagrams_come_whole_and_say_from_whom(self) -> None:
        """They can be answered by who is called; an empty one is one."""
        server, client = DatagramRecorder(), connected_recorder()
        port = self.reactor.listenUNIXDatagram(self.path(), server)
        assert provides(port, IListeningPort)
        assert port.getHost() == UNIXAddress(self.path())
        self.reactor.connectUNIXDatagram(self.path(), client, bindAddress=self.path("client"))
        assert client.transport.getPeer() == UNIXAddress(self.path())
        for number, data in enumerate((b"hello", b"", b"x" * 1000), 1):
            client.transport.write(data)
            got, sender = await server.received.times(number)
            assert (got, os.fsencode(sender)) == (data, os.fsencode(self.path("client")))
            server.transport.write(data, sender)
            assert (await client.received.times(number))[0] == data

    @driven
    async def test_a_place_that_is_taken_is_refused(self) -> None:
        """The protocol is not told anything."""
        self.reactor.listenUNIXDatagram(self.path(), DatagramRecorder())
        protocol = DatagramRecorder()
        with raises(CannotListenError):
            self.reactor.listenUNIXDatagram(self.path(), protocol)
        assert protocol.told == []

    @driven
    async def test_stop_listening_takes_the_socket_away(self) -> None:
        """And tells the protocol, once."""
        protocol = DatagramRecorder()
        port = self.reactor.listenUNIXDatagram(self.path(), protocol)
        await maybeDeferred(port.stopListening)
        await maybeDeferred(port.stopListening)
        assert protocol.told == ["start", "stop"]
        assert os.listdir(self.folder) == []

    @driven
    async def test_where_nobody_is_the_protocol_hears_of_it(self) -> None:
        """Its ``connectionFailed``."""
        protocol = connected_recorder()
        self.reactor.connectUNIXDatagram(self.path(), protocol)
        assert isinstance(await protocol.failed.times(), ConnectError)

    @driven
    async def test_what_a_protocol_raises_is_logged_and_the_port_goes_on(self) -> None:
        """One mistake costs one datagram."""
        server, client = DatagramRecorder(), connected_recorder()

        def once(data: bytes) -> None:
            if len(server.received.values) == 1:
                raise ZeroDivisionError

        server.on_data = once
        self.reactor.listenUNIXDatagram(self.path(), server)
        self.reactor.connectUNIXDatagram(self.path(), client)
        for number in (1, 2):
            client.transport.write(b"x")
            await server.received.times(number)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
