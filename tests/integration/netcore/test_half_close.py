"""Connections of which one direction ends before the other, over loopback, and bounds on what waits to be sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore.defer import Deferred
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.interfaces import IHalfCloseableProtocol, implementer
from netcore.protocol import ClientFactory, Factory
from netcore.reactors import Reactor
from netcore.task import deferLater
from tests.integration.netcore.tcp_peers import BIG, Net, Recorder
from tests.support.guard import Logged

Run = Callable[..., Any]


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """*read_lost* and *write_lost* fire; *on_read_lost* may do something about it; *heard* has the order."""

    def __init__(self) -> None:
        super().__init__()
        self.read_lost = Deferred[None]()
        self.write_lost = Deferred[None]()
        self.heard: list[str] = []
        self.on_read_lost: Callable[[], object] = lambda: None
        self.lost.addCallback(lambda reason: self.heard.append("lost") or reason)

    def readConnectionLost(self) -> None:
        self.lost_inside |= self.inside
        self.heard.append("read lost")
        self.on_read_lost()
        self.read_lost.callback(None)

    def writeConnectionLost(self) -> None:
        self.lost_inside |= self.inside
        self.heard.append("write lost")
        self.write_lost.callback(None)


@pytest.fixture
def net(reactor: Reactor) -> Iterator[Net]:
    net = Net(reactor)
    yield net
    net.close()


class TestHalfClose:
    def test_the_peer_hears_our_end_and_goes_on(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            ours.do("write", BIG)
            ours.do("loseWriteConnection")
            ours.do("write", b"dropped")
            assert await peer.receive_all() == BIG
            await ours.write_lost
            await peer.send(b"answer")
            await ours.got(6)
            assert ours.reasons == []
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone
            assert ours.heard == ["write lost", "read lost", "lost"]
            assert not ours.lost_inside

        run(main)

    def test_an_ordinary_protocol_can_end_its_half_too(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.do("write", b"question")
            ours.do("loseWriteConnection")
            assert await peer.receive_all() == b"question"
            await peer.send(b"answer")
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone
            assert ours.received == b"answer"

        run(main)

    def test_the_peers_end_leaves_us_writing(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            await peer.send(b"question")
            peer.sock.shutdown(socket.SHUT_WR)
            await ours.read_lost
            assert ours.received == b"question"
            ours.transport.resumeProducing()
            for _ in range(20):  # the loop does not spin on the end, and does not tell it again
                await deferLater(reactor, 0)
            ours.transport.write(BIG)
            assert await peer.receive_all(len(BIG)) == BIG
            assert ours.heard == ["read lost"]
            ours.transport.loseConnection()
            assert await peer.receive_all() == b""
            assert type(await ours.lost) is ConnectionDone
            assert ours.heard == ["read lost", "lost"]

        run(main)

    def test_the_end_is_not_noticed_while_reading_is_paused(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            ours.transport.pauseProducing()
            peer.sock.shutdown(socket.SHUT_WR)
            for _ in range(20):
                await deferLater(reactor, 0)
            assert ours.heard == []
            ours.transport.resumeProducing()
            await ours.read_lost

        run(main)

    def test_an_answer_at_the_peers_end_leaves_whole(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()

            def answer() -> None:
                ours.do("write", BIG)
                ours.do("loseWriteConnection")

            ours.on_read_lost = answer
            _, peer = await net.connect(ours)
            await peer.send(b"question")
            peer.sock.shutdown(socket.SHUT_WR)
            assert await peer.receive_all() == BIG
            assert type(await ours.lost) is ConnectionDone
            assert ours.heard == ["read lost", "write lost", "lost"]
            assert not ours.lost_inside

        run(main)

    def test_two_that_end_their_halves_at_once_close_cleanly(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            sides = HalfCloseable(), HalfCloseable()
            for side in sides:
                side.on_made = lambda recorder: (
                    recorder.transport.write(b"all I have"),
                    recorder.transport.loseWriteConnection(),
                )
            servers, clients = Factory[Any](), ClientFactory[Any]()
            servers.buildProtocol = lambda addr: sides[0]  # type: ignore[method-assign,assignment]
            clients.buildProtocol = lambda addr: sides[1]  # type: ignore[method-assign,assignment]
            port = reactor.listenTCP(0, servers, interface="127.0.0.1")
            reactor.connectTCP("127.0.0.1", port.getHost().port, clients)
            for side in sides:
                assert type(await side.lost) is ConnectionDone
                assert side.received == b"all I have"
                assert sorted(side.heard) == ["lost", "read lost", "write lost"]
                assert side.heard[-1] == "lost"

        run(main)

    def test_a_reset_after_our_end_is_no_clean_end(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            ours.transport.loseWriteConnection()
            await ours.write_lost
            peer.reset()
            assert type(await ours.lost) is ConnectionLost
            assert ours.heard == ["write lost", "lost"]

        run(main)

    def test_a_reset_after_the_peers_end_is_noticed_when_we_write(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            peer.sock.shutdown(socket.SHUT_WR)
            await ours.read_lost
            peer.reset()
            ours.transport.write(b"x")
            assert type(await ours.lost) is ConnectionLost
            assert ours.heard == ["read lost", "lost"]

        run(main)

    def test_a_reset_while_our_last_is_being_sent_loses_the_connection(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            ours.transport.write(BIG)
            ours.transport.loseWriteConnection()
            await peer.receive()
            peer.reset()
            assert type(await ours.lost) is ConnectionLost
            assert ours.heard == ["lost"]

        run(main)

    @pytest.mark.parametrize("half", ["peer", "ours"])
    def test_abort_resets_a_half_closed_connection(self, net: Net, run: Run, half: str) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            if half == "ours":
                ours.transport.loseWriteConnection()
                await ours.write_lost
            else:
                peer.sock.shutdown(socket.SHUT_WR)
                await ours.read_lost
            ours.do("abortConnection")
            assert type(await ours.lost) is ConnectionAborted
            assert not ours.lost_inside
            with pytest.raises(OSError, match=r"reset|Broken pipe"):
                while True:
                    assert await peer.receive() == b""  # our end, where it came before the reset
                    await peer.send(b"x")

        run(main)

    def test_what_lies_unread_when_both_close_does_not_destroy_our_last_words(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            ours.on_made = lambda recorder: recorder.transport.pauseProducing()
            _, peer = await net.connect(ours)
            await peer.send(b"x" * 100_000)
            ours.transport.write(b"the answer")
            ours.transport.loseWriteConnection()
            await ours.write_lost
            ours.transport.loseConnection()
            assert await peer.receive_all() == b"the answer"
            await peer.send(b"x" * 1_000_000)
            assert ours.reasons == []
            peer.sock.close()
            assert type(await ours.lost) is ConnectionDone

        run(main)

    def test_a_peer_that_never_reads_our_last_is_cut_off(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours = HalfCloseable()
            _, peer = await net.connect(ours)
            ours.transport.lingerLimit = 0.01
            ours.transport.write(BIG)
            ours.transport.loseWriteConnection()
            peer.sock.shutdown(socket.SHUT_WR)
            reason = await ours.lost
            assert type(reason) is ConnectionAborted
            assert "did not read for 0.01 s" in str(reason)
            assert ours.heard == ["read lost", "lost"]

        run(main)

    @pytest.mark.parametrize("half", ["readConnectionLost", "writeConnectionLost"])
    def test_what_a_callback_raises_costs_that_connection_and_no_other(
        self, net: Net, run: Run, logged: Logged, half: str
    ) -> None:
        def raises() -> None:
            raise LookupError(f"in {half}")

        async def main() -> None:
            ours, other = HalfCloseable(), HalfCloseable()
            setattr(ours, half, raises)
            _, peer = await net.connect(ours)
            _, other_peer = await net.connect(other)
            if half == "readConnectionLost":
                peer.sock.shutdown(socket.SHUT_WR)
            else:
                ours.transport.loseWriteConnection()
            assert type(await ours.lost) is LookupError
            assert await peer.receive_all() == b""
            await other_peer.send(b"x")
            await other.got(1)

        run(main)
        assert len(logged.take(LookupError)) == 1

    def test_shutdown_closes_what_is_half_closed(self, net: Net, run: Run) -> None:
        sides = HalfCloseable(), HalfCloseable()

        async def main() -> None:
            (_, peer), _ = [await net.connect(side) for side in sides]
            peer.sock.shutdown(socket.SHUT_WR)
            sides[1].transport.loseWriteConnection()
            await sides[0].read_lost
            await sides[1].write_lost

        run(main)
        assert [type(reason) for side in sides for reason in side.reasons] == [ConnectionLost, ConnectionLost]

    def test_a_descriptor_is_free_for_the_next_at_once(self, net: Net, run: Run) -> None:
        """A half-closed one is watched for nothing, or for one direction: the loop must not know it any more."""

        async def main() -> None:
            numbers = set()
            for turn in range(6):
                ours = HalfCloseable()
                _, peer = await net.connect(ours)
                numbers.add(ours.transport._descriptor)
                await peer.send(b"x")
                await ours.got(1)
                if turn % 2:
                    peer.sock.shutdown(socket.SHUT_WR)
                    await ours.read_lost
                else:
                    ours.transport.loseWriteConnection()
                    await ours.write_lost
                ours.transport.abortConnection()
                await ours.lost
                peer.sock.close()
            assert len(numbers) < 6

        run(main)


def test_it_all_works_inside_an_asyncio_program() -> None:
    async def main() -> None:
        ours = HalfCloseable()
        net = Net(Reactor.current())
        _, peer = await net.connect(ours)
        peer.sock.shutdown(socket.SHUT_WR)
        await ours.read_lost
        ours.transport.setWriteLimits(1000, 500)
        ours.transport.write(BIG)
        ours.transport.loseWriteConnection()
        assert await peer.receive_all() == BIG
        assert type(await ours.lost) is ConnectionDone
        assert ours.heard == ["read lost", "write lost", "lost"]
        net.close()

    asyncio.run(main())


class TestWriteLimits:
    def test_a_producer_keeps_what_waits_between_the_limits(self, net: Net, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            ours.transport.setWriteLimits(200_000, 100_000, maximum=300_000)
            waiting: list[int] = []
            left = 60

            class Producer:
                paused = False

                def pauseProducing(self) -> None:
                    self.paused = True

                def resumeProducing(self) -> None:
                    nonlocal left
                    self.paused = False
                    waiting.append(ours.transport._size)
                    while not self.paused and left:
                        left -= 1
                        ours.transport.write(b"x" * 50_000)
                    if not left:
                        ours.transport.unregisterProducer()
                        ours.transport.loseConnection()

                def stopProducing(self) -> None:
                    raise AssertionError("it has finished")

            producer = Producer()
            ours.transport.registerProducer(producer, True)
            producer.resumeProducing()
            assert len(await peer.receive_all()) == 60 * 50_000
            assert type(await ours.lost) is ConnectionDone
            assert len(waiting) > 1
            assert max(waiting) <= 100_000

        run(main)

    def test_a_peer_that_does_not_read_cannot_make_memory_fill_up(self, net: Net, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            ours, peer = await net.connect()
            ours.transport.setWriteLimits(maximum=1_000_000)
            written = 0
            while not ours.transport.disconnecting:
                ours.do("write", b"x" * 100_000)
                written += 100_000
                assert ours.transport._size <= 1_000_000
                await deferLater(reactor, 0)
            reason = await ours.lost
            assert type(reason) is ConnectionAborted
            assert "at most 1000000 may (setWriteLimits)" in str(reason)
            assert not ours.lost_inside
            assert written > 1_000_000
            with pytest.raises(ConnectionResetError):
                await peer.receive_all()

        run(main)
