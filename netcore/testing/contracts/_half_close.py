"""`IHalfCloseableProtocol`: connections of which one direction ends before the other."""

from __future__ import annotations

from netcore.error import ConnectionDone
from netcore.interfaces import IHalfCloseableProtocol, implementer
from netcore.testing.contracts._connection import BIG, ConnectionContract
from netcore.testing.contracts._contract import driven
from netcore.testing.contracts._recorder import Push, Recorder

__all__ = ["HalfCloseContract"]


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """Notes which direction has ended."""

    def readConnectionLost(self) -> None:
        self._tell("read lost")

    def writeConnectionLost(self) -> None:
        self._tell("write lost")


class HalfCloseContract(ConnectionContract):
    """What a transport with ``loseWriteConnection`` does for an `IHalfCloseableProtocol`. Override as the base says."""

    interface = IHalfCloseableProtocol

    async def declares(self) -> None:
        one, _ = await self.pair()
        assert callable(one.transport.loseWriteConnection)

    @driven
    async def test_a_question_can_be_ended_and_the_answer_heard(self) -> None:
        """Each side says when it has no more to say; then the connection is over, cleanly."""
        one, other = await self.pair(HalfRecorder(), HalfRecorder())
        one.do("write", BIG)
        one.do("loseWriteConnection")
        one.do("write", b"dropped")
        await other.got(len(BIG))
        await self.settle()
        assert other.told == ["made", "data", "read lost"]
        assert one.told == ["made", "write lost"]
        other.transport.write(b"answer")
        await one.got(6)
        other.do("loseWriteConnection")
        assert type(await one.lost.times()) is ConnectionDone
        assert type(await other.lost.times()) is ConnectionDone
        assert len(other.received) == len(BIG)
        assert not one.told_inside
        assert not other.told_inside

    @driven
    async def test_half_open_it_can_be_closed(self) -> None:
        """By the side that may still write: that ends both."""
        one, other = await self.pair(HalfRecorder(), HalfRecorder())
        one.transport.loseWriteConnection()
        await self.settle()
        other.transport.write(b"bye")
        other.transport.loseConnection()
        assert type(await one.lost.times()) is ConnectionDone
        assert type(await other.lost.times()) is ConnectionDone
        assert one.received == b"bye"

    @driven
    async def test_half_open_the_side_that_has_said_its_last_may_leave(self) -> None:
        """The other one learns of it when it does, too."""
        one, other = await self.pair(HalfRecorder(), HalfRecorder())
        one.transport.loseWriteConnection()
        await self.settle()
        one.transport.loseConnection()
        assert type(await one.lost.times()) is ConnectionDone
        other.transport.loseConnection()
        assert type(await other.lost.times()) is ConnectionDone

    @driven
    async def test_a_protocol_that_knows_nothing_of_it_is_closed(self) -> None:
        """When its peer has sent its last."""
        one, other = await self.pair(HalfRecorder(), Recorder())
        one.transport.write(b"question")
        one.transport.loseWriteConnection()
        assert type(await other.lost.times()) is ConnectionDone
        assert other.received == b"question"
        assert type(await one.lost.times()) is ConnectionDone

    @driven
    async def test_it_may_be_asked_for_again(self) -> None:
        """That does nothing; nor does it in a connection that has gone."""
        one, other = await self.pair(HalfRecorder(), HalfRecorder())
        transport = one.transport
        transport.loseWriteConnection()
        transport.loseWriteConnection()
        await self.settle()
        assert one.told == ["made", "write lost"]
        other.transport.loseConnection()
        await one.lost.times()
        transport.loseWriteConnection()
        await self.settle()
        assert len(one.reasons) == 1

    @driven
    async def test_a_producer_is_waited_for(self) -> None:
        """It may write until it is unregistered."""
        one, other = await self.pair(HalfRecorder(), HalfRecorder())
        one.transport.registerProducer(Push(), True)
        one.transport.loseWriteConnection()
        one.transport.write(b"from the producer")
        await other.got(17)
        await self.settle()
        assert other.told == ["made", "data"]
        one.transport.unregisterProducer()
        await self.settle()
        assert other.told == ["made", "data", "read lost"]
        assert one.told == ["made", "write lost"]
