"""Descriptors over UNIX sockets, both ways: what they come with, who gets them, and that none is left over."""

from __future__ import annotations

import contextvars
import errno
import fcntl
import logging
import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost, FileDescriptorOverrun
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.transports import _descriptors, _unix_connection
from netcore.transports._stream import READ_MORE
from tests.integration.netcore.unix_peers import Net, Plain, Receiver, contents, pipe_with
from tests.support.guard import Logged

Run = Callable[..., Any]
BIG = bytes(range(256)) * 4096 * 2  # 2 MiB: more than the socket buffers hold


@pytest.fixture
def net(reactor: Reactor, unix_place: str) -> Iterator[Net]:
    net = Net(reactor, f"{unix_place}/socket")
    yield net
    net.close()


def send(transport: Any, content: bytes) -> None:
    """Send a pipe with *content* in it, and let go of it at once."""
    descriptor = pipe_with(content)
    transport.sendFileDescriptor(descriptor)
    os.close(descriptor)


class TestSending:
    def test_a_descriptor_comes_with_the_next_byte_and_may_be_closed_at_once(self, net: Net, run: Run) -> None:
        async def main() -> None:
            server, client = await net.both(Receiver(), Plain())
            client.transport.write(b"before")
            send(client.transport, b"first")
            client.transport.write(b"after")
            await server.got(11)
            assert server.received == b"beforeafter"
            assert server.contents() == [b"first"]

        run(main)

    @pytest.mark.parametrize("written_first", [True, False])
    def test_the_order_of_the_two_calls_in_one_callback_does_not_matter(
        self, net: Net, run: Run, written_first: bool
    ) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            if written_first:
                ours.transport.write(b"x")
            send(ours.transport, b"in it")
            if not written_first:
                ours.transport.write(b"x")
            await deferLater(net.reactor, 0)
            data, descriptors = peer.receive_with_descriptors(10)
            assert data == b"x"
            assert contents(descriptors) == [b"in it"]

        run(main)

    def test_without_a_byte_it_waits_for_one(self, net: Net, run: Run) -> None:
        async def main() -> None:
            server, client = await net.both(Receiver(), Plain())
            send(client.transport, b"late")
            for _ in range(5):
                await deferLater(net.reactor, 0)
            assert server.told == []
            client.transport.write(b"x")
            await server.got(1)
            assert server.told == ["descriptor", b"x"]
            assert server.contents() == [b"late"]

        run(main)

    def test_they_keep_their_places_in_much_that_the_peer_is_slow_to_read(self, net: Net, run: Run) -> None:
        async def main() -> None:
            server, client = await net.both(Receiver(), Plain())
            at: list[int] = []
            server.on_descriptor = lambda receiver: at.append(len(receiver.received))
            for number in range(3):
                send(client.transport, b"%d" % number)
                client.transport.write(BIG)
            client.transport.write(b"end")
            await server.got(3 * len(BIG) + 3)
            assert server.received == 3 * BIG + b"end"
            assert server.contents() == [b"0", b"1", b"2"]
            # Never later than the byte they go with; and no more before than what was read together with that.
            assert all(0 <= number * len(BIG) - place <= READ_MORE for number, place in enumerate(at))
            assert client.transport._outgoing is None

        run(main)

    def test_several_hundred_go_with_few_bytes(self, net: Net, run: Run) -> None:
        async def main() -> None:
            server, client = await net.both(Receiver(), Plain())
            descriptor = pipe_with(b"")
            for _ in range(300):
                client.transport.sendFileDescriptor(descriptor)
            client.transport.write(b"xy")
            os.close(descriptor)
            await server.got(2)
            assert server.told.count("descriptor") == 300
            server.contents()

        run(main)

    @pytest.mark.parametrize("descriptor", [-1, 1 << 20])
    def test_what_is_no_descriptor_is_refused_at_once_and_does_no_harm(
        self, net: Net, run: Run, descriptor: int
    ) -> None:
        async def main() -> None:
            server, client = await net.both(Receiver(), Plain())
            with pytest.raises(OSError, match=f"{descriptor} is no open descriptor") as caught:
                client.transport.sendFileDescriptor(descriptor)
            assert caught.value.errno == errno.EBADF
            with pytest.raises(TypeError):
                client.transport.sendFileDescriptor("1")
            client.transport.write(b"fine")
            client.transport.loseConnection()
            assert type(await server.lost) is ConnectionDone
            assert server.received == b"fine"
            assert type(await client.lost) is ConnectionDone

        run(main)

    def test_without_a_descriptor_for_the_copy_it_is_refused_at_once(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            with only_so_many_descriptors(0), pytest.raises(OSError, match="Too many open files"):
                ours.transport.sendFileDescriptor(0)
            ours.transport.loseConnection()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_one_that_is_left_over_at_the_end_is_an_error(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.write(b"all of this")
            await peer.receive(11)
            send(ours.transport, b"")
            ours.transport.loseConnection()
            assert type(await ours.lost) is FileDescriptorOverrun
            ours.transport.sendFileDescriptor(0)  # as with write(), too late is no error
            assert await peer.receive(1) == b""

        run(main)

    def test_those_that_wait_are_closed_when_the_connection_is_aborted(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            send(ours.transport, b"")
            ours.transport.write(b"x")
            ours.transport.abortConnection()
            assert type(await ours.lost) is ConnectionAborted
            assert await peer.receive(1) == b""

        run(main)  # the guard looks for descriptors

    def test_a_peer_that_has_gone_is_a_lost_connection(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.pauseProducing()
            peer.sock.close()
            send(ours.transport, b"")
            ours.transport.write(b"x")
            assert type(await ours.lost) is ConnectionLost

        run(main)

    def test_shutdown_sends_those_that_can_be_sent(self, net: Net, run: Run) -> None:
        async def main() -> Any:
            ours, peer = await net.connect()
            send(ours.transport, b"at the end")
            ours.transport.write(b"x")
            ours.transport.loseConnection()
            net.reactor.callLater(0, ours.transport._shut_down)
            await ours.lost
            return peer

        data, descriptors = run(main).receive_with_descriptors(10)
        assert data == b"x"
        assert contents(descriptors) == [b"at the end"]

    def test_a_streaming_producer_is_paused_when_many_wait_and_resumed_when_they_are_sent(
        self, net: Net, run: Run
    ) -> None:
        class Producer:
            def __init__(self) -> None:
                self.told: list[str] = []

            def pauseProducing(self) -> None:
                self.told.append("pause")

            def resumeProducing(self) -> None:
                self.told.append("resume")
                net.reactor.callLater(0, client.transport.unregisterProducer)

            def stopProducing(self) -> None:
                pass

        async def main() -> None:
            nonlocal client
            server, client = await net.both(Receiver(), Plain())
            producer = Producer()
            client.transport.registerProducer(producer, True)
            descriptor = pipe_with(b"")
            for _ in range(_unix_connection.HIGH_WATER + 10):
                client.transport.sendFileDescriptor(descriptor)
            os.close(descriptor)
            assert producer.told == ["pause"]
            client.transport.write(b"x")
            await server.got(1)
            assert producer.told == ["pause", "resume"]
            server.contents()

        client: Any = None
        run(main)

    @pytest.mark.parametrize("where", ["on_data", "on_made"])
    def test_a_producer_that_many_pause_in_a_callback_goes_on_although_nothing_was_written(
        self, net: Net, run: Run, where: str
    ) -> None:
        """Else all wait for each other: they for a byte, the byte for the producer, and that for them to be sent."""

        class Producer:
            def __init__(self, transport: Any) -> None:
                self.transport = transport

            def pauseProducing(self) -> None:
                pass

            def resumeProducing(self) -> None:
                self.transport.write(b"x")
                self.transport.unregisterProducer()

            def stopProducing(self) -> None:
                pass

        def send_many(protocol: Any) -> None:
            protocol.transport.registerProducer(Producer(protocol.transport), True)
            for _ in range(_unix_connection.HIGH_WATER + 1):
                send(protocol.transport, b"")

        async def main() -> None:
            client = Plain()
            setattr(client, where, send_many)
            server, _ = await net.both(Receiver(), client)
            server.transport.write(b"go")
            await server.got(1)
            assert len(server.contents()) == _unix_connection.HIGH_WATER + 1

        run(main)


class TestReceiving:
    def test_descriptors_come_before_their_bytes_in_order_and_are_not_inherited(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            descriptors = [pipe_with(b"%d" % number) for number in range(5)]
            peer.send(b"bytes", descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            await ours.got(5)
            assert ours.told == ["descriptor"] * 5 + [b"bytes"]
            assert all(fcntl.fcntl(each, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for each in ours.descriptors)
            assert ours.contents() == [b"0", b"1", b"2", b"3", b"4"]

        run(main)

    def test_they_are_not_inherited_where_the_kernel_does_not_see_to_it(
        self, net: Net, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            peer.send(b"x", [0, 0])
            await ours.got(1)
            assert [os.get_inheritable(each) for each in ours.descriptors] == [False, False]
            ours.contents()

        monkeypatch.setattr(_descriptors, "_CLOSE_ON_EXEC", 0)
        run(main)

    def test_a_protocol_that_takes_none_gets_the_bytes_and_the_log_says_so_once(
        self, net: Net, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            ours, peer = await net.connect(Plain())
            for number in range(3):
                peer.send(b"bytes", [peer.sock.fileno(), 0])
                await ours.got(5 * (number + 1))
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone  # a copy of the socket would keep it open

        with caplog.at_level(logging.WARNING, "netcore.transports"):
            run(main)
        (record,) = [each for each in caplog.records if "takes none" in each.getMessage()]
        assert record.levelno == logging.WARNING

    def test_the_protocol_may_be_replaced_by_one_that_takes_them(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect(Plain())
            other = Receiver()
            ours.transport.protocol = other
            descriptor = pipe_with(b"for the other")
            peer.send(b"x", [descriptor])
            os.close(descriptor)
            await other.got(1)
            assert other.contents() == [b"for the other"]

        run(main)

    def test_raising_loses_the_connection_and_closes_the_rest(self, net: Net, run: Run, logged: Logged) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.on_descriptor = lambda receiver: 1 / 0
            descriptors = [pipe_with(b"%d" % number) for number in range(3)]
            peer.send(b"bytes", descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            assert type(await ours.lost) is ZeroDivisionError
            assert ours.told == ["descriptor", "lost"]
            assert ours.contents() == [b"0"]

        run(main)
        (record,) = logged.take(ZeroDivisionError)
        assert "fileDescriptorReceived" in record.getMessage()

    @pytest.mark.parametrize("end", ["loseConnection", "abortConnection"])
    def test_closing_there_closes_the_rest_and_drops_the_bytes(self, net: Net, run: Run, end: str) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.on_descriptor = lambda receiver: getattr(receiver.transport, end)()
            peer.send(b"bytes", [0, 0, 0])
            await ours.lost
            assert ours.told == ["descriptor", "lost"]
            ours.contents()

        run(main)

    def test_pausing_there_still_gives_the_bytes_that_came_along(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.on_descriptor = lambda receiver: receiver.transport.pauseProducing()
            peer.send(b"bytes", [0])
            await ours.got(5)
            peer.send(b"more")
            for _ in range(5):
                await deferLater(net.reactor, 0)
            assert ours.told == ["descriptor", b"bytes"]
            ours.contents()

        run(main)

    def test_what_is_written_there_is_sent(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.on_descriptor = lambda receiver: receiver.transport.write(b"thanks")
            peer.send(b"x", [0])
            assert await peer.receive(6) == b"thanks"
            ours.contents()

        run(main)

    def test_those_that_come_while_closing_are_closed(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            peer.send(b"unread", [peer.sock.fileno()])
            ours.transport.loseConnection()
            assert await peer.receive(1) == b""
            peer.send(b"late", [peer.sock.fileno()])
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone
            assert ours.told == ["lost"]

        run(main)

    def test_those_that_came_before_the_peer_broke_off_are_heard_when_sending_fails(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.pauseProducing()
            descriptor = pipe_with(b"the last")
            peer.send(b"bye", [descriptor])
            os.close(descriptor)
            peer.sock.close()
            ours.transport.resumeProducing()
            ours.transport.write(b"x")
            ours.transport._flush()
            assert type(await ours.lost) is ConnectionLost
            assert ours.told == ["descriptor", b"bye", "lost"]
            assert ours.contents() == [b"the last"]

        run(main)

    def test_it_is_called_in_the_connections_context(self, net: Net, run: Run) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        seen: list[str] = []

        async def main() -> None:
            ours = Receiver()
            ours.on_made = lambda receiver: variable.set("set when made")
            ours.on_descriptor = lambda receiver: seen.append(variable.get())
            _, peer = await net.connect(ours)
            peer.send(b"x", [0])
            await ours.got(1)
            ours.contents()

        run(main)
        assert seen == ["set when made"]

    def test_when_some_are_lost_for_want_of_descriptors_the_connection_is(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            peer.send(b"two of them", [0, 0])
            with only_so_many_descriptors(1):
                reason = await ours.lost
            assert isinstance(reason, ConnectionLost)
            assert "Too many open files" in str(reason)
            assert ours.told == ["lost"]

        run(main)

    def test_keyboard_interrupt_there_leaves_the_loop_and_loses_the_connection(self, net: Net, run: Run) -> None:
        def interrupt(receiver: Receiver) -> None:
            raise KeyboardInterrupt

        async def main() -> None:
            _, peer = await net.connect(ours)
            ours.on_descriptor = interrupt
            peer.send(b"x", [0, 0])
            seen.append(await ours.lost)

        ours = Receiver()
        seen: list[BaseException] = []
        with pytest.raises(KeyboardInterrupt):
            run(main)
        while not seen:  # uvloop takes another turn before it stops
            net.reactor.run(installSignalHandlers=False)  # what run() began ends it
        assert [type(each) for each in seen] == [KeyboardInterrupt]
        assert ours.told == ["descriptor", "lost"]
        ours.contents()


class only_so_many_descriptors:
    """In it this process can have *more* descriptors than it has, and no more."""

    def __init__(self, more: int) -> None:
        self.more = more

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = [os.dup(0) for _ in range(self.more + 1)]
        for descriptor in free:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], self.before[1]))

    def __exit__(self, *exc_info: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self.before)


def test_sockets_themselves_can_be_sent(net: Net, run: Run) -> None:
    async def main() -> None:
        server, client = await net.both(Receiver(), Plain())
        left, right = socket.socketpair()
        with left, right:
            client.transport.sendFileDescriptor(right.fileno())
            client.transport.write(b"x")
            await server.got(1)
            with socket.socket(fileno=server.descriptors[0]) as received:
                received.sendall(b"over the copy")
                assert left.recv(100) == b"over the copy"

    run(main)
