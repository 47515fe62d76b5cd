"""`ITransport` and `ITCPTransport`: connections, which of what they are made of does not matter."""

from __future__ import annotations

from typing import Any

from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.interfaces import IAddress, ITCPTransport, ITransport, provides
from netcore.testing.contracts._connection import BIG, ConnectionContract
from netcore.testing.contracts._contract import driven, raises
from netcore.testing.contracts._producers import ProducerContract
from netcore.testing.contracts._recorder import Push, Recorder

__all__ = ["StreamTransportContract", "TCPTransportContract"]


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


class TCPTransportContract(StreamTransportContract, ProducerContract):
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
