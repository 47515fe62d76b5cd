"""`IConsumer` and `IPushProducer`: a connection that is told, and tells others, to stop for a while."""

from __future__ import annotations

from netcore.error import ConnectionDone
from netcore.interfaces import IConsumer, IPushProducer, provides
from netcore.testing.contracts._connection import BIG, ConnectionContract
from netcore.testing.contracts._contract import driven, raises
from netcore.testing.contracts._recorder import Pull, Push, Recorder

__all__ = ["ProducerContract"]


class ProducerContract(ConnectionContract):
    """A connection as a consumer of what is to be sent (`IConsumer`), and a producer of what is received
    (`IPushProducer`). Override as the base says.
    """

    interface = IConsumer

    async def declares(self) -> None:
        await super().declares()
        for each in await self.pair():
            assert provides(each.transport, IPushProducer), f"{each.transport!r}: not IPushProducer"

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
