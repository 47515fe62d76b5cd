"""TCP connections over loopback: reading, writing, producers, and every way to end.

The peer is a bare socket, used through the same loop, so that each side's acts come in the order the test says.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from netcore.address import IPv4Address
from netcore.defer import Deferred, ensureDeferred
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.protocol import ClientFactory, Factory
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.transports import _stream
from netcore.transports._states import StreamEvent
from netcore.transports.tcp import Connection
from tests.integration.netcore.tcp_peers import BIG, Instead, Net, Peer, Recorder
from tests.support.guard import Logged

Run = Callable[..., Any]


@pytest.fixture
def net(reactor: Reactor) -> Any:
    net = Net(reactor)
    yield net
    net.close()


Scenario = Callable[[], Awaitable[None]]


class TestReadingAndWriting:
    def test_a_large_piece_after_a_small_one_is_not_copied(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            sends: list[list[bytes]] = []
            sock = Instead.of(ours.transport, sendmsg=lambda pieces: sends.append(pieces) or sock.sendmsg(pieces))
            ours.transport.write(b"header")
            ours.transport.write(BIG)
            assert await peer.receive_all(6 + len(BIG)) == b"header" + BIG
            assert sends[0][0] == b"header"
            assert sends[0][1] is BIG

        run(main)

    def test_what_one_callback_writes_leaves_in_one_piece(self, net: Net, run: Run) -> None:
        sends: list[bytes] = []

        def answer(recorder: Recorder, data: bytes) -> None:
            if not sends:
                sock = Instead.of(recorder.transport, send=lambda data: sends.append(bytes(data)) or sock.send(data))
            for _ in range(3):
                recorder.transport.write(b"piece ")

        async def main() -> None:
            ours = Recorder()
            ours.on_data = answer
            _, peer = await net.connect(ours)
            await peer.send(b"x")
            assert await peer.receive() == b"piece piece piece "
            assert sends == [b"piece piece piece "]
            ours.transport.write(b"a")
            ours.transport.write(b"b")
            assert await peer.receive() == b"ab"
            assert sends[1:] == [b"ab"]

        run(main)

    def test_no_more_than_a_buffer_is_read_at_once(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            await peer.send(BIG)
            await ours.got(len(BIG))
            assert bytes(ours.received) == BIG
            assert max(map(len, ours.pieces)) <= _stream.READ_MORE

        run(main)

    def test_what_is_changed_after_it_was_written_is_sent_as_it_was(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            data = bytearray(b"abc")
            ours.transport.write(data)  # type: ignore[arg-type]
            data[:] = b"xyz"
            ours.transport.write(memoryview(b"def"))  # type: ignore[arg-type]
            assert await peer.receive_all(6) == b"abcdef"

        run(main)

    def test_pausing_in_connection_made_and_in_data_received_works(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            ours.on_data = lambda recorder, data: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"x" * 200_000)
            ours.transport.resumeProducing()
            await ours.got(1)
            for _ in range(20):
                await deferLater(reactor, 0)
            assert len(ours.pieces) == 1

        run(main)

    def test_the_protocol_may_be_replaced(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            other = Recorder()
            ours.transport.protocol = other
            await peer.send(b"x")
            await other.got(1)
            assert ours.received == b""

        run(main)

    def test_each_connection_has_a_context_of_its_own(self, net: Net, run: Run) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        seen: list[str] = []

        def look(recorder: Recorder, data: bytes = b"") -> None:
            seen.append(variable.get())
            variable.set(f"changed by {data.decode() or 'made'}")

        async def main() -> None:
            for _ in range(2):
                ours = Recorder()
                ours.on_made = look
                ours.on_data = look
                _, peer = await net.connect(ours, prepare=lambda: variable.set("set at listen") and None)
                variable.set("changed since")
                await peer.send(b"data")
                await ours.got(4)
                lost = ours.lost.addCallback(lambda reason: seen.append(variable.get()))
                peer.sock.close()
                await lost

        run(main)
        assert seen == ["set at listen", "changed by made", "changed by data"] * 2


class TestAddressesAndOptions:
    def test_peer_and_host_are_the_sockets(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            assert ours.transport.getPeer() == IPv4Address("TCP", *peer.sock.getsockname())
            assert ours.transport.getHost() == IPv4Address("TCP", *peer.sock.getpeername())
            peer.sock.close()
            await ours.lost
            assert ours.transport.getHost().host == "127.0.0.1"

        run(main)

    def test_options_can_be_asked_for_and_set(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            transport = ours.transport
            assert transport.getTcpNoDelay() is False
            assert transport.getTcpKeepAlive() is False
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
            assert transport.getTcpNoDelay() is True
            assert transport.getTcpKeepAlive() is True
            transport.setTcpNoDelay(False)
            assert transport.getTcpNoDelay() is False
            transport.abortConnection()
            transport.setTcpNoDelay(True)  # as with write(), too late is no error
            assert transport.getTcpNoDelay() is False

        run(main)

    def test_repr_says_who_and_how(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            assert "TCP connection 127.0.0.1:" in repr(ours.transport)
            assert "open" in repr(ours.transport)
            assert "Recorder" in repr(ours.transport)

        run(main)


class TestClosing:
    def test_nothing_is_received_after_lose_connection(self, net: Net, run: Run) -> None:
        def lose(recorder: Recorder, data: bytes) -> None:
            recorder.do("write", b"bye")
            recorder.do("loseConnection")

        async def main() -> None:
            ours = Recorder()
            ours.on_data = lose
            _, peer = await net.connect(ours)
            await peer.send(b"x" * 500_000)
            assert await peer.receive_all() == b"bye"
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone
            assert len(ours.pieces) == 1
            assert not ours.lost_inside

        run(main)

    def test_a_reset_is_not(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            peer.reset()
            reason = await ours.lost
            assert type(reason) is ConnectionLost
            assert reason.args[0].errno == errno.ECONNRESET
            assert "reset" in str(reason)

        run(main)

    def test_abort_resets_and_says_so(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.do("write", BIG)
            ours.do("abortConnection")
            ours.do("abortConnection")
            ours.do("loseConnection")
            ours.do("write", b"x")
            assert type(await ours.lost) is ConnectionAborted
            assert not ours.lost_inside
            assert len(ours.reasons) == 1
            with pytest.raises(ConnectionResetError):
                await peer.receive_all()

        run(main)

    def test_abort_while_closing_does_not_wait(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.write(BIG)
            ours.transport.loseConnection()
            ours.transport.abortConnection()
            assert type(await ours.lost) is ConnectionAborted
            with pytest.raises(ConnectionResetError):
                await peer.receive_all()

        run(main)

    def test_a_descriptor_is_free_for_the_next_at_once(self, net: Net, run: Run) -> None:
        """The loop was told before the number was reused, else the next owner would never be heard of."""

        async def main() -> None:
            numbers = set()
            for _ in range(5):
                ours, peer = await net.connect()
                numbers.add(ours.transport._descriptor)
                await peer.send(b"x")
                await ours.got(1)
                ours.transport.abortConnection()
                assert type(await ours.lost) is ConnectionAborted
                peer.sock.close()
            assert len(numbers) < 5

        run(main)


class TestPoliteness:
    """What becomes of our last words when the peer is still talking, or has stopped listening."""

    def test_an_answer_survives_a_peer_that_is_still_sending(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"x" * 100_000)  # lies in our receive queue, unread
            ours.transport.write(b"the answer")
            ours.transport.loseConnection()
            assert await peer.receive_all() == b"the answer"  # and no ConnectionResetError
            await peer.send(b"x" * 3_000_000)  # all of that is read and dropped
            assert ours.reasons == []
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone
            assert ours.received == b""

        run(main)

    def test_a_peer_that_never_closes_is_cut_off(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"unread")
            ours.transport.lingerLimit = 0.01
            ours.transport.loseConnection()
            reason = await ours.lost
            assert type(reason) is ConnectionAborted
            assert "did not close for 0.01 s" in str(reason)

        run(main)

    def test_a_peer_that_never_reads_is_cut_off(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.lingerLimit = 0.01
            ours.transport.write(BIG)
            ours.transport.loseConnection()
            reason = await ours.lost
            assert type(reason) is ConnectionAborted
            assert "did not read for 0.01 s" in str(reason)
            with pytest.raises(ConnectionResetError):
                await peer.receive_all()

        run(main)

    def test_the_limit_holds_if_it_had_stopped_reading_before(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            ours.transport.lingerLimit = 0.01
            ours.transport.write(BIG)
            await deferLater(reactor, 0.01)
            ours.transport.loseConnection()
            assert type(await ours.lost) is ConnectionAborted

        run(main)

    def test_a_slow_reader_is_given_its_time(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            ours.transport.write(BIG)
            ours.transport.loseConnection()
            got = 0
            expired = 0
            while piece := await peer.receive(1 << 20):
                got += len(piece)
                if ours.transport._linger is not None and ours.transport._progress:
                    ours.transport._linger.cancel()
                    ours.transport._lingered()  # the limit has passed, but not without progress
                    expired += 1
            assert got == len(BIG)
            assert expired > 0
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_a_peer_that_resets_when_all_is_done_does_no_harm(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"unread")
            ours.transport.write(b"x")
            ours.transport.loseConnection()
            assert await peer.receive_all() == b"x"
            peer.reset()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_a_peer_that_closes_as_we_do_is_a_clean_end(self, net: Net, reactor: Reactor, run: Run) -> None:
        """Both sides speak and close at once: what each finds unread makes its kernel reset the connection."""

        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.pauseProducing()
            await peer.send(b"unread")
            peer.reset()
            await deferLater(reactor, 0)
            ours.transport.loseConnection()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_two_protocols_that_speak_and_close_at_once_end_cleanly(self, reactor: Reactor, run: Run) -> None:
        def speak(recorder: Recorder) -> None:
            recorder.transport.write(b"hello and goodbye")
            recorder.transport.loseConnection()

        def recorders() -> tuple[Recorder, Recorder]:
            pair = Recorder(), Recorder()
            for recorder in pair:
                recorder.on_made = speak
            return pair

        async def main() -> None:
            for _ in range(10):
                server, client = recorders()
                servers, clients = Factory[Any](), ClientFactory[Any]()
                servers.buildProtocol = lambda addr, server=server: server  # type: ignore[method-assign,misc]
                clients.buildProtocol = lambda addr, client=client: client  # type: ignore[method-assign,misc]
                port = reactor.listenTCP(0, servers, interface="127.0.0.1")
                reactor.connectTCP("127.0.0.1", port.getHost().port, clients)
                assert [type(await each.lost) for each in (server, client)] == [ConnectionDone] * 2
                port.stopListening()

        run(main)

    def test_a_child_that_inherited_the_socket_does_not_keep_it_open(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            child = os.dup(ours.transport._descriptor)
            ours.transport.loseConnection()
            try:
                assert await peer.receive_all() == b""
            finally:
                os.close(child)

        run(main)

    def test_a_closed_connection_leaves_no_timer(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.write(BIG)
            ours.transport.loseConnection()
            await peer.receive_all()
            await ours.lost
            assert not any("linger" in repr(call) for call in reactor.getDelayedCalls())

        run(main)


class TestBrokenConnections:
    def test_what_came_before_a_reset_is_heard_although_sending_fails(
        self, net: Net, reactor: Reactor, run: Run
    ) -> None:
        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"413 too large" * 1_000)
            peer.reset()
            await deferLater(reactor, 0.001)
            ours.transport._reading = True  # reads, but has not had its turn yet
            ours.do("write", b"more of the request")
            assert not ours.lost_inside
            reason = await ours.lost
            ours.transport._reading = False
            assert type(reason) is ConnectionLost
            assert bytes(ours.received) == b"413 too large" * 1_000
            assert not ours.lost_inside

        run(main)

    def test_all_that_came_before_a_reset_is_heard_in_as_many_reads_as_it_takes(
        self, net: Net, reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_stream, "READ_SIZE", 1_000)

        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"413 too large" * 1_000)
            peer.reset()
            await deferLater(reactor, 0.001)
            ours.transport._reading = True  # reads, but has not had its turn yet
            ours.transport.write(b"more of the request")
            assert type(await ours.lost) is ConnectionLost
            ours.transport._reading = False
            assert [len(piece) for piece in ours.pieces] == [1_000] * 13

        run(main)

    def test_a_reset_while_a_large_write_is_under_way(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.write(BIG)
            assert await peer.receive()
            peer.reset()
            assert type(await ours.lost) is ConnectionLost

        run(main)

    def test_a_reset_while_closing(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.write(BIG)
            ours.transport.loseConnection()
            assert await peer.receive()
            peer.reset()
            reason = await ours.lost
            assert type(reason) is ConnectionLost
            assert isinstance(reason.args[0], OSError)

        run(main)

    def test_a_producer_that_cannot_be_stopped_keeps_nobody_from_hearing_of_the_end(
        self, net: Net, run: Run, logged: Logged
    ) -> None:
        """A pull producer of which only `resumeProducing` was written."""

        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.registerProducer(object(), True)
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone

        run(main)
        (record,) = logged.take(AttributeError)
        assert "stopProducing of" in record.getMessage()

    @pytest.mark.parametrize("where", ["on_made", "on_data"])
    def test_a_protocol_that_raises_loses_its_connection_and_nobody_else_notices(
        self, net: Net, run: Run, logged: Logged, where: str
    ) -> None:
        def raises(*args: object) -> None:
            raise LookupError("in the protocol")

        async def main() -> None:
            other, other_peer = await net.connect()
            ours = Recorder()
            setattr(ours, where, raises)
            _, peer = await net.connect(ours)
            if where == "on_data":
                await peer.send(b"x")
            reason = await ours.lost
            assert type(reason) is LookupError
            assert await peer.receive_all() == b""
            await other_peer.send(b"still here")
            await other.got(10)
            assert other.reasons == []

        run(main)
        (record,) = logged.take(LookupError)
        assert record.name == "netcore.transports"
        assert record.failure.check(LookupError)  # type: ignore[attr-defined]
        assert "Recorder" in record.getMessage()

    def test_a_protocol_that_raises_in_connection_lost_is_logged_and_nobody_else_notices(
        self, net: Net, reactor: Reactor, run: Run, logged: Logged
    ) -> None:
        async def main() -> None:
            other, other_peer = await net.connect()
            ours, peer = await net.connect()
            transport = ours.transport
            lost = Deferred[None]()
            producer = Push()
            transport.registerProducer(producer, True)

            def raises(reason: Failure) -> None:
                lost.callback(None)
                raise LookupError("in connectionLost")

            ours.connectionLost = raises  # type: ignore[method-assign]
            peer.sock.close()
            await lost
            await deferLater(reactor, 0)
            assert producer.told == ["stop"]
            assert not transport.connected
            assert transport not in reactor._open
            await other_peer.send(b"still here")
            await other.got(10)
            assert other.reasons == []

        run(main)
        assert len(logged.take(LookupError)) == 1

    @pytest.mark.parametrize("where", ["on_made", "on_data"])
    def test_what_ends_the_program_escapes_and_the_connection_goes_on(
        self, net: Net, reactor: Reactor, run: Run, where: str
    ) -> None:
        def end(recorder: Recorder, data: bytes = b"") -> None:
            recorder.on_data = lambda recorder, data: None
            recorder.transport.write(b"written before")
            raise KeyboardInterrupt

        ours = Recorder()
        setattr(ours, where, end)
        peers: list[Peer] = []

        async def main() -> None:
            _, peer = await net.connect(ours)
            peers.append(peer)
            await peer.send(b"x")
            await Deferred()

        async def rest() -> None:
            assert await net.peers[0].receive_all(14) == b"written before"
            ours.transport.write(b"after")
            assert await net.peers[0].receive() == b"after"

        with pytest.raises(KeyboardInterrupt):
            run(main)
        for call in reactor.getDelayedCalls():
            call.cancel()
        run(rest)


class Push:
    """A streaming producer that writes when told, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.resumed = Deferred[None]()

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")
        resumed, self.resumed = self.resumed, Deferred()
        resumed.callback(None)

    def stopProducing(self) -> None:
        self.told.append("stop")


class Pull:
    """Writes one piece each time it is asked, until there are no more."""

    def __init__(self, transport: Connection, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces
        self.stopped = False

    def resumeProducing(self) -> None:
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True


class TestProducers:
    def test_a_push_producer_is_paused_at_the_high_watermark_and_resumed_when_all_is_sent(
        self, net: Net, run: Run
    ) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            producer = Push()
            ours.transport.registerProducer(producer, True)
            ours.transport.write(b"x" * _stream.HIGH_WATER)
            assert producer.told == []
            resumed = producer.resumed
            ours.transport.write(BIG)
            ours.transport.write(b"x")
            assert producer.told == ["pause"]
            received = await peer.receive_all(_stream.HIGH_WATER + len(BIG) + 1)
            await resumed
            assert len(received) == _stream.HIGH_WATER + len(BIG) + 1
            assert producer.told == ["pause", "resume"]
            ours.transport.unregisterProducer()

        run(main)

    def test_a_silent_producer_is_not_the_peers_fault(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.registerProducer(Push(), True)
            ours.transport.write(BIG)
            ours.transport.loseConnection()
            await peer.receive_all(len(BIG))
            await deferLater(reactor, 0)
            for _ in range(3):
                assert ours.transport._linger is not None
                ours.transport._linger.cancel()
                ours.transport._lingered()  # the limit has passed
            assert ours.reasons == []
            ours.transport.unregisterProducer()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_a_pull_producer_may_write_later(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            asked = 0

            class Later:
                def resumeProducing(self) -> None:
                    nonlocal asked
                    asked += 1
                    if asked < 4:
                        reactor.callLater(0, ours.transport.write, b"x")
                    else:
                        ours.transport.unregisterProducer()
                        ours.transport.loseConnection()

                def stopProducing(self) -> None: ...

            ours.transport.registerProducer(Later(), False)
            assert await peer.receive_all() == b"xxx"
            assert asked == 4

        run(main)

    def test_a_producer_that_raises_loses_the_connection(self, net: Net, run: Run, logged: Logged) -> None:
        class Broken(Push):
            def resumeProducing(self) -> None:
                raise LookupError("in the producer")

        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.registerProducer(Broken(), True)
            ours.transport.write(BIG)
            await peer.receive_all(len(BIG))
            assert type(await ours.lost) is LookupError

        run(main)
        assert len(logged.take(LookupError)) == 1

    def test_one_connection_can_produce_for_another(self, net: Net, run: Run) -> None:
        """A proxy: a slow reader on one side pauses the sender on the other, and nothing piles up in between."""

        async def main() -> None:
            source, sender = await net.connect()
            sink, reader = await net.connect()
            source.on_data = lambda recorder, data: sink.transport.write(data)
            sink.transport.registerProducer(source.transport, True)
            sending = asyncio.ensure_future(sender.send(BIG))
            got = 0
            while got < len(BIG):
                got += len(await reader.receive(1 << 18))
                assert sink.transport._size <= _stream.HIGH_WATER + _stream.READ_MORE
            await sending
            sink.transport.unregisterProducer()

        run(main)


class TestAtTheEdges:
    """What a loop or kernel does rarely, done to a connection by hand."""

    def test_a_false_alarm_is_no_data(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport._on_readable()
            assert ours.pieces == []
            await peer.send(b"x")
            await ours.got(1)

        run(main)

    def test_a_false_alarm_while_draining_is_no_end(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"unread")
            ours.transport.loseConnection()
            assert await peer.receive() == b""
            ours.transport._drain()
            assert ours.reasons == []
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS])
    def test_a_kernel_without_room_is_asked_again(self, net: Net, run: Run, number: int) -> None:
        async def main() -> None:
            ours, peer = await net.connect()

            def full(data: Any) -> int:
                ours.transport._socket = sock
                raise OSError(number, "no room")

            sock = Instead.of(ours.transport, send=full)
            ours.transport.write(b"first ")
            ours.transport.write(b"second")
            assert await peer.receive_all(12) == b"first second"

        run(main)

    def test_a_broken_peek_before_closing_does_no_harm(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()

            def broken(size: int) -> bytes:
                raise ConnectionResetError(errno.ECONNRESET, "reset")

            Instead.of(ours.transport, recv=broken)
            ours.transport.loseConnection()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_what_raises_while_the_last_bytes_are_heard_is_the_reason(
        self, net: Net, reactor: Reactor, run: Run, logged: Logged
    ) -> None:
        def raises(recorder: Recorder, data: bytes) -> None:
            raise LookupError("at the end")

        async def main() -> None:
            ours = Recorder()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            ours.on_data = raises
            _, peer = await net.connect(ours)
            await peer.send(b"last words")
            peer.reset()
            await deferLater(reactor, 0.001)
            ours.transport._reading = True  # reads, but has not had its turn yet
            ours.transport.write(b"x")
            reason = await ours.lost
            ours.transport._reading = False
            assert type(reason) is LookupError

        run(main)
        assert len(logged.take(LookupError)) == 1

    @pytest.mark.parametrize("closing", [True, False])
    def test_shutdown_tells_a_clean_end_from_another(self, net: Net, reactor: Reactor, run: Run, closing: bool) -> None:
        ours = Recorder()

        async def main() -> None:
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"unread")
            if closing:
                ours.transport.loseConnection()
                assert await peer.receive() == b""  # all is sent: it waits for the peer to close

        run(main)
        assert [type(reason) for reason in ours.reasons] == [ConnectionDone if closing else ConnectionLost]

    def test_a_shutdown_that_could_not_send_everything_is_no_clean_end(self, net: Net, run: Run) -> None:
        def broken(data: Any) -> int:
            raise BrokenPipeError(errno.EPIPE, "broken")

        async def main() -> None:
            ours, _ = await net.connect()
            Instead.of(ours.transport, send=broken)
            ours.transport.write(b"x")
            ours.transport.loseConnection()
            ours.transport._shut_down()
            assert type(await ours.lost) is ConnectionLost

        run(main)

    def test_an_abort_right_before_shutdown_is_reported_once(self, net: Net, reactor: Reactor) -> None:
        ours = Recorder()

        async def connect() -> None:
            await net.connect(ours)
            reactor.crash()

        reactor.callWhenRunning(lambda: ensureDeferred(connect()) and None)
        reactor.run()
        ours.transport.abortConnection()
        assert ours.reasons == []
        reactor.dispose()
        assert [type(reason) for reason in ours.reasons] == [ConnectionAborted]

    def test_an_impossible_event_is_refused(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, _ = await net.connect()
            with pytest.raises(RuntimeError, match="cannot happen to a connection that is open"):
                ours.transport._move(StreamEvent.FLUSHED)

        run(main)
