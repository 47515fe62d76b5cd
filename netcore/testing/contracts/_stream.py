"""`ITransport` and `ITCPTransport`: connections, which of what they are made of does not matter."""

from __future__ import annotations

from typing import Any

from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.interfaces import IAddress, ITCPTransport, ITransport, provides
from netcore.testing.contracts._contract import ReactorContract, driven, raises
from netcore.testing.contracts._recorder import OneProtocol, Pull, Push, Recorder

__all__ = ["ConnectionContract", "StreamTransportContract", "TCPTransportContract"]

BIG = bytes(range(256)) * 4096 * 8  # 8 MiB: more than the buffers of a socket hold


class ConnectionContract(ReactorContract):
    """The base of contracts for stream connections. Override `makeServer` and `makeClient`, or `connect`.

    A transport that needs no reactor overrides `drive`, `turn` and `connect`.
    """

    def makeServer(self) -> Any:
        """An `IStreamServerEndpoint` on ``self.reactor``, for a place that is free."""
        raise NotImplementedError

    def makeClient(self, port: Any) -> Any:
        """An `IStreamClientEndpoint` on ``self.reactor`` that leads to *port*, an `IListeningPort` of `makeServer`."""
        raise NotImplementedError

    def connect(self, server: Any, client: Any) -> Deferred[None]:
        """Connect two protocols.

        Returns: Deferred that fires when both have had their ``connectionMade``.
        """

        async def connecting() -> None:
            port = await self.makeServer().listen(OneProtocol(server))
            await self.makeClient(port).connect(OneProtocol(client))
            await server.made.times()
            await maybeDeferred(port.stopListening)

        return ensureDeferred(connecting())

    async def pair(self, one: Recorder | None = None, other: Recorder | None = None) -> tuple[Recorder, Recorder]:
        """Two protocols that are connected."""
        pair = one or Recorder(), other or Recorder()
        await self.connect(*pair)
        return pair

    async def declares(self) -> None:
        for each in await self.pair():
            assert provides(each.transport, self.interface), f"{each.transport!r}: not {self.interface.__name__}"


class StreamTransportContract(ConnectionContract):
    """`ITransport`, over a stream. Override as the base says."""

    interface = ITransport

    @driven
    async def test_bytes_go_both_ways(self) -> None:
        """To the other side, and not back."""
        one, other = await self.pair()
        one.transport.write(b"from one")
        other.transport.write(b"from the other")
        await one.got(14)
        await other.got(8)
        assert one.received == b"from the other"
        assert other.received == b"from one"

    @driven
    async def test_a_large_write_arrives_whole_and_in_order(self) -> None:
        """Also if more is written behind it."""
        one, other = await self.pair()
        one.transport.write(BIG)
        one.transport.write(b"after it")
        one.transport.writeSequence([b" and", b"", b" after that"])
        await other.got(len(BIG) + 23)
        assert other.received == BIG + b"after it and after that"

    @driven
    async def test_many_small_writes_arrive_in_order(self) -> None:
        """None is lost."""
        one, other = await self.pair()
        pieces = [b"%d," % number for number in range(10_000)]
        for piece in pieces:
            one.transport.write(piece)
        expected = b"".join(pieces)
        await other.got(len(expected))
        assert other.received == expected

    @driven
    async def test_both_sides_may_write_much_at_once(self) -> None:
        """Neither waits for the other to have finished."""
        pair = await self.pair()
        for each in pair:
            each.transport.write(BIG)
        for each in pair:
            await each.got(len(BIG))
            assert each.received == BIG

    @driven
    async def test_writing_nothing_sends_nothing(self) -> None:
        """No piece of data is empty."""
        one, other = await self.pair()
        one.transport.write(b"")
        one.transport.writeSequence([])
        one.transport.write(b"x")
        await other.got(1)
        assert other.pieces == [b"x"]

    @driven
    async def test_what_is_written_when_the_connection_is_made_is_sent(self) -> None:
        """By either side."""
        one, other = Recorder(), Recorder()
        for each in (one, other):
            each.on_made = lambda recorder: recorder.transport.write(b"hello")
        await self.connect(one, other)
        for each in (one, other):
            await each.got(5)

    @driven
    async def test_a_protocol_is_told_of_things_in_their_order(self) -> None:
        """Made, data, lost; the last once."""
        one, other = await self.pair()
        one.transport.write(b"x")
        one.transport.loseConnection()
        await other.lost.times()
        await one.lost.times()
        await self.settle()
        assert other.told == ["made", "data", "lost"]
        assert one.told == ["made", "lost"]
        assert len(one.reasons) == len(other.reasons) == 1

    @driven
    async def test_what_is_not_bytes_is_refused(self) -> None:
        """At once, and the connection does not suffer."""
        one, other = await self.pair()
        wrong: Any
        for wrong in ("text", 1, None):
            with raises(TypeError):
                one.transport.write(wrong)
            with raises(TypeError):
                one.transport.writeSequence([wrong])
        one.transport.write(b"x")
        await other.got(1)
        assert other.received == b"x"

    @driven
    async def test_what_is_changed_after_it_was_written_is_sent_as_it_was(self) -> None:
        """A buffer may be used again at once."""
        one, other = await self.pair()
        data = bytearray(b"abc")
        one.transport.write(data)
        data[:] = b"xyz"
        await other.got(3)
        assert other.received == b"abc"

    @driven
    async def test_each_side_knows_both_addresses(self) -> None:
        """Also when the connection has gone."""
        one, other = await self.pair()
        ends = one.transport, other.transport
        for _ in range(2):
            assert ends[0].getHost() == ends[1].getPeer()
            assert ends[0].getPeer() == ends[1].getHost()
            assert all(provides(end.getPeer(), IAddress) and provides(end.getHost(), IAddress) for end in ends)
            ends[0].loseConnection()
            await one.lost.times()
            await other.lost.times()

    @driven
    async def test_lose_connection_sends_what_was_written_first(self) -> None:
        """Both sides then end cleanly, and no protocol is called from within its own call."""
        one, other = await self.pair()
        transport = one.transport
        assert not transport.disconnecting
        one.do("write", BIG)
        one.do("loseConnection")
        assert transport.disconnecting
        one.do("loseConnection")
        assert type(await one.lost.times()) is ConnectionDone
        assert type(await other.lost.times()) is ConnectionDone
        assert other.received == BIG
        assert not one.told_inside

    @driven
    async def test_what_is_written_after_lose_connection_is_dropped(self) -> None:
        """Silently; also long after."""
        one, other = await self.pair()
        transport = one.transport
        transport.write(b"before")
        transport.loseConnection()
        transport.write(b"after")
        transport.writeSequence([b"after"])
        await other.lost.times()
        await one.lost.times()
        assert other.received == b"before"
        transport.write(b"long after")
        transport.loseConnection()
        await self.settle()
        assert len(one.reasons) == 1

    @driven
    async def test_a_connection_may_be_lost_when_it_is_made(self) -> None:
        """What was written before is sent."""

        def leave(recorder: Recorder) -> None:
            recorder.transport.write(b"bye")
            recorder.do("loseConnection")

        one, other = Recorder(), Recorder()
        one.on_made = leave
        await self.connect(one, other)
        assert type(await one.lost.times()) is ConnectionDone
        assert type(await other.lost.times()) is ConnectionDone
        assert other.received == b"bye"
        assert not one.told_inside

    @driven
    async def test_both_sides_may_close_at_once(self) -> None:
        """Neither calls that an error, if it had said everything. (Who had not may hear that it was not sent.)"""
        one, other = await self.pair()
        for each in (one, other):
            each.transport.loseConnection()
        assert type(await one.lost.times()) is ConnectionDone
        assert type(await other.lost.times()) is ConnectionDone

    @driven
    async def test_a_protocol_that_raises_loses_its_connection_with_that(self) -> None:
        """It is logged, the other side hears of the end, and other connections go on."""

        def wrong(recorder: Recorder, data: bytes) -> None:
            raise LookupError("in dataReceived")

        one, other = await self.pair()
        bystander, its_peer = await self.pair()
        one.on_data = wrong
        other.transport.write(b"x")
        assert type(await one.lost.times()) is LookupError
        assert isinstance(await other.lost.times(), ConnectionDone | ConnectionLost)
        its_peer.transport.write(b"still here")
        await bystander.got(10)
        assert bystander.reasons == its_peer.reasons == []
        assert len(self.flushLoggedErrors(LookupError)) == 1


class TCPTransportContract(StreamTransportContract):
    """`ITCPTransport`: also a consumer, a producer, and something with a reset. Override as the base says."""

    interface = ITCPTransport

    @driven
    async def test_abort_drops_what_was_written_and_says_so(self) -> None:
        """The other side hears that the end was not a clean one."""
        one, other = await self.pair()
        transport = one.transport
        other.transport.pauseProducing()
        one.do("write", BIG)
        one.do("abortConnection")
        assert transport.disconnecting
        one.do("abortConnection")
        one.do("loseConnection")
        one.do("write", b"x")
        assert type(await one.lost.times()) is ConnectionAborted
        other.transport.resumeProducing()
        assert type(await other.lost.times()) is ConnectionLost
        await self.settle()
        assert not one.told_inside
        assert len(one.reasons) == 1
        assert len(other.received) < len(BIG)

    @driven
    async def test_abort_does_not_wait_for_a_close_under_way(self) -> None:
        """That is what it is for."""
        one, other = await self.pair()
        other.transport.pauseProducing()
        one.transport.write(BIG)
        one.transport.loseConnection()
        await self.settle()
        one.transport.abortConnection()
        assert type(await one.lost.times()) is ConnectionAborted
        other.transport.resumeProducing()
        assert type(await other.lost.times()) is ConnectionLost

    @driven
    async def test_a_closed_connection_ignores_everything(self) -> None:
        """A producer that comes now is told to stop."""
        one, other = await self.pair()
        transport = one.transport
        other.transport.loseConnection()
        await one.lost.times()
        for method in (
            "loseConnection",
            "abortConnection",
            "pauseProducing",
            "resumeProducing",
            "stopProducing",
            "unregisterProducer",
        ):
            getattr(transport, method)()
        producer = Push()
        transport.registerProducer(producer, True)
        assert producer.told == ["stop"]
        await self.settle()
        assert len(one.reasons) == 1

    @driven
    async def test_options_can_be_asked_for_and_set(self) -> None:
        """And taken back."""
        one, _ = await self.pair()
        for name in ("TcpNoDelay", "TcpKeepAlive"):
            ask, put = getattr(one.transport, f"get{name}"), getattr(one.transport, f"set{name}")
            assert not ask()
            put(True)
            assert ask()
            put(False)
            assert not ask()

    # As the producer of what is received.

    @driven
    async def test_pausing_stops_reading_and_resuming_goes_on(self) -> None:
        """Nothing is lost meanwhile."""
        one, other = await self.pair()
        one.transport.pauseProducing()
        one.transport.pauseProducing()
        other.transport.write(b"data")
        await self.settle()
        assert one.received == b""
        one.transport.resumeProducing()
        one.transport.resumeProducing()
        await one.got(4)
        assert one.received == b"data"

    @driven
    async def test_pausing_works_when_the_connection_is_made(self) -> None:
        """Before anything was read."""
        one, other = Recorder(), Recorder()
        one.on_made = lambda recorder: recorder.transport.pauseProducing()
        await self.connect(one, other)
        other.transport.write(b"data")
        await self.settle()
        assert one.received == b""
        one.transport.resumeProducing()
        await one.got(4)

    @driven
    async def test_a_peer_that_does_not_read_is_waited_for(self) -> None:
        """What is written to it is kept, and comes when it reads again."""
        one, other = await self.pair()
        other.transport.pauseProducing()
        one.transport.write(BIG)
        await self.settle()
        assert other.received == b""
        other.transport.resumeProducing()
        await other.got(len(BIG))

    @driven
    async def test_stop_producing_is_lose_connection(self) -> None:
        """What was written is sent."""
        one, other = await self.pair()
        one.transport.write(b"x")
        one.transport.stopProducing()
        assert type(await one.lost.times()) is ConnectionDone
        await other.lost.times()
        assert other.received == b"x"

    # As the consumer of what is to be sent.

    @driven
    async def test_a_push_producer_is_paused_and_resumed(self) -> None:
        """Paused when too much waits, resumed when that is sent, and left alone in between."""
        one, other = await self.pair()
        producer = Push()
        one.transport.registerProducer(producer, True)
        one.transport.write(b"x")
        assert producer.told == []
        one.transport.write(BIG)
        one.transport.write(b"x")
        assert producer.told == ["pause"]
        await other.got(len(BIG) + 2)
        await producer.resumed.times()
        await self.settle()
        assert producer.told == ["pause", "resume"]
        one.transport.unregisterProducer()

    @driven
    async def test_a_push_producer_that_writes_when_resumed_sends_everything(self) -> None:
        """It is paused again and again."""
        one, other = await self.pair()
        transport = one.transport
        pauses = 0

        class Endless(Push):
            left = 100
            is_paused = False

            def pauseProducing(self) -> None:
                nonlocal pauses
                pauses += 1
                self.is_paused = True

            def resumeProducing(self) -> None:
                self.is_paused = False
                while not self.is_paused and self.left:
                    self.left -= 1
                    transport.write(b"x" * 50_000)
                if not self.left:
                    transport.unregisterProducer()
                    transport.loseConnection()

        producer = Endless()
        transport.registerProducer(producer, True)
        producer.resumeProducing()
        assert producer.left > 0
        await other.lost.times()
        assert len(other.received) == 100 * 50_000
        assert pauses > 1

    @driven
    async def test_lose_connection_waits_for_the_producer(self) -> None:
        """Which may go on writing until it is unregistered; nobody may, after that."""
        one, other = await self.pair()
        one.transport.registerProducer(Push(), True)
        one.transport.loseConnection()
        one.transport.write(b"from the producer")
        await other.got(17)
        await self.settle()
        assert one.reasons == other.reasons == []
        one.transport.unregisterProducer()
        one.transport.write(b"after it")
        assert type(await one.lost.times()) is ConnectionDone
        await other.lost.times()
        assert other.received == b"from the producer"

    @driven
    async def test_a_pull_producer_is_asked_each_time_its_piece_is_sent(self) -> None:
        """At once for the first, and until it is unregistered."""
        one, other = await self.pair()
        pieces = [b"%06d" % number * 10_000 for number in range(20)]
        expected = b"".join(pieces)
        one.transport.registerProducer(Pull(one.transport, pieces), False)
        assert len(pieces) == 19
        one.transport.loseConnection()
        await other.lost.times()
        assert other.received == expected

    @driven
    async def test_a_pull_producer_may_be_registered_when_the_connection_is_made(self) -> None:
        """Before anything was written."""
        one, other = Recorder(), Recorder()
        pieces = [b"a", b"b", b"c"]
        one.on_made = lambda recorder: recorder.transport.registerProducer(Pull(recorder.transport, pieces), False)
        await self.connect(one, other)
        await other.got(3)
        assert other.received == b"abc"

    @driven
    async def test_a_producer_is_told_to_stop_when_the_connection_is_lost(self) -> None:
        """Once."""
        one, other = await self.pair()
        producer = Push()
        one.transport.registerProducer(producer, True)
        other.transport.loseConnection()
        await one.lost.times()
        await self.settle()
        assert producer.told == ["stop"]

    @driven
    async def test_a_producer_that_comes_too_late_is_told_to_stop(self) -> None:
        """The connection is being closed."""
        one, _ = await self.pair()
        one.transport.loseConnection()
        producer = Push()
        one.transport.registerProducer(producer, True)
        assert producer.told == ["stop"]
        await one.lost.times()
        assert producer.told == ["stop"]

    @driven
    async def test_two_producers_are_one_too_many(self) -> None:
        """The second may come when the first was unregistered."""
        one, _ = await self.pair()
        one.transport.registerProducer(Push(), True)
        with raises(RuntimeError):
            one.transport.registerProducer(Push(), True)
        one.transport.unregisterProducer()
        one.transport.registerProducer(Push(), True)
        one.transport.unregisterProducer()

    @driven
    async def test_one_connection_can_produce_for_another(self) -> None:
        """A proxy: it pauses the sender while its reader is slow, and everything arrives."""
        source, sender = await self.pair()
        sink, reader = await self.pair()
        source.on_data = lambda recorder, data: sink.transport.write(data)
        sink.transport.registerProducer(source.transport, True)
        reader.transport.pauseProducing()
        sender.transport.write(BIG)
        await self.settle()
        reader.transport.resumeProducing()
        await reader.got(len(BIG))
        assert reader.received == BIG
        sink.transport.unregisterProducer()
