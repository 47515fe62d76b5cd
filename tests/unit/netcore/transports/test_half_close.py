"""One direction of a connection that ends before the other, over a socket that is told what to say."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol
from netcore.transports._states import StreamState
from netcore.transports._stream import StreamTransport
from tests.support.guard import Logged
from tests.unit.netcore.transports.fakes import FakeReactor, HalfCloseable, Producer, Recorder, Socket, connected

OPEN, READ_ENDED, WRITE_ENDING, WRITE_ENDED, BOTH_ENDING, CLOSING, DRAINING, CLOSED = StreamState


class Side:
    """A transport with a half-closeable protocol, or an ordinary one, and what it stands on."""

    def __init__(self, protocol: Recorder | None = None) -> None:
        self.reactor, self.sock = FakeReactor(), Socket()
        self.protocol = protocol if protocol is not None else HalfCloseable()
        self.transport: StreamTransport = connected(self.reactor, self.sock, self.protocol)
        self.turn = self.reactor.turn

    @property
    def heard(self) -> list[str]:
        return self.protocol.heard

    @property
    def reasons(self) -> list[type[BaseException]]:
        return [type(reason) for reason in self.protocol.reasons]

    def peer_ends(self) -> None:
        self.sock.received.append(b"")
        self.reactor.readable()

    def stuck(self) -> None:
        """Something is written that the kernel does not take."""
        self.sock.answers.append(BlockingIOError(errno.EAGAIN, "no room"))
        self.transport.write(b"stuck")
        self.turn()


def to_state(state: StreamState, side: Side) -> None:
    """Bring *side* there."""
    if state in {WRITE_ENDING, BOTH_ENDING}:
        side.stuck()
    if state in {READ_ENDED, BOTH_ENDING}:
        side.peer_ends()
    if state in {WRITE_ENDING, WRITE_ENDED, BOTH_ENDING}:
        side.transport.loseWriteConnection()
    if state is CLOSING:
        side.stuck()
        side.transport.loseConnection()
    if state is DRAINING:
        side.sock.received.append(b"unread")
        side.transport.loseConnection()
    side.turn()
    assert side.transport._state is state


ALIVE = [OPEN, READ_ENDED, WRITE_ENDING, WRITE_ENDED, BOTH_ENDING, CLOSING, DRAINING]


class TestOurHalf:
    def test_it_ends_when_all_is_sent_and_not_from_within_the_call(self) -> None:
        side = Side()
        side.transport.write(b"last words")
        side.transport.loseWriteConnection()
        assert (side.sock.sent, side.heard) == ([], [])
        side.turn()
        assert side.sock.taken == b"last words"
        assert side.sock.shut == [socket.SHUT_WR]
        assert side.heard == ["write lost"]
        assert not side.transport.disconnecting
        assert side.transport.connected

    def test_it_waits_for_a_kernel_that_has_no_room(self) -> None:
        side = Side()
        side.sock.answers.append(3)
        side.transport.write(b"last words")
        side.transport.loseWriteConnection()
        side.turn()
        assert (side.sock.shut, side.heard, side.reactor.lingering) == ([], [], 0)
        side.reactor.writable()
        assert side.sock.taken == b"last words"
        assert side.sock.shut == [socket.SHUT_WR]
        assert side.heard == ["write lost"]
        assert side.reactor.writer is None

    def test_reading_goes_on(self) -> None:
        side = Side()
        to_state(WRITE_ENDED, side)
        for word in ("one", "two"):
            side.sock.received.append(word.encode())
            side.reactor.readable()
        assert side.heard == ["write lost", "one", "two"]
        side.transport.pauseProducing()
        assert side.reactor.reader is None
        side.transport.resumeProducing()
        assert side.reactor.reader is not None

    def test_what_is_written_afterwards_is_dropped(self) -> None:
        side = Side()
        side.protocol.on["write lost"] = lambda: side.transport.write(b"later")
        side.transport.write(b"before")
        side.transport.loseWriteConnection()
        side.transport.write(b"after")
        side.turn()
        side.transport.writeSequence([b"long", b"after"])
        side.turn()
        assert side.sock.sent == [b"before"]

    def test_asked_again_it_does_nothing(self) -> None:
        side = Side()
        for _ in range(2):
            side.transport.loseWriteConnection()
            side.transport.loseWriteConnection()
            side.turn()
        assert side.sock.shut == [socket.SHUT_WR]
        assert side.heard == ["write lost"]

    def test_asked_in_a_callback_it_waits_for_that_to_return(self) -> None:
        side = Side()

        def answer() -> None:
            side.transport.write(b"answer")
            side.transport.loseWriteConnection()
            assert side.heard == ["question"]

        side.protocol.on["question"] = answer
        side.sock.received.append(b"question")
        side.reactor.readable()
        assert side.sock.taken == b"answer"
        assert side.heard == ["question", "write lost"]

    def test_an_ordinary_protocol_hears_nothing_of_it(self) -> None:
        side = Side(Recorder())
        side.transport.loseWriteConnection()
        side.turn()
        assert side.sock.shut == [socket.SHUT_WR]
        assert side.heard == []
        side.sock.received.append(b"still reading")
        side.reactor.readable()
        assert side.heard == ["still reading"]

    def test_it_makes_no_difference_that_the_peer_was_quicker(self) -> None:
        side = Side()

        def gone(how: int) -> None:
            raise OSError(errno.ENOTCONN, "not connected")

        side.sock.shutdown = gone  # type: ignore[method-assign]
        side.transport.loseWriteConnection()
        side.turn()
        assert side.heard == ["write lost"]
        side.sock.received.append(ConnectionResetError(errno.ECONNRESET, "reset"))
        side.reactor.readable()
        assert side.reasons == [ConnectionLost]

    def test_what_cannot_be_sent_loses_the_connection(self) -> None:
        side = Side()
        side.sock.answers.append(BrokenPipeError(errno.EPIPE, "broken"))
        side.transport.write(b"last words")
        side.transport.loseWriteConnection()
        side.turn()
        assert side.heard == ["lost"]
        assert side.reasons == [ConnectionLost]

    def test_in_the_protocols_own_context(self) -> None:
        side = Side()
        entered: list[bool] = []

        def look() -> None:
            with pytest.raises(RuntimeError, match="already entered"):
                side.transport._context.run(int)
            entered.append(True)

        side.protocol.on = {"write lost": look, "read lost": look}
        side.transport.loseWriteConnection()
        side.turn()
        side.peer_ends()
        assert entered == [True, True]


class TestThePeersHalf:
    def test_a_half_closeable_protocol_hears_of_it_once_and_goes_on_writing(self) -> None:
        side = Side()
        side.peer_ends()
        assert side.heard == ["read lost"]
        assert side.reactor.reader is None
        side.transport.write(b"still here")
        side.turn()
        side.transport.write(b" and here")
        side.turn()
        assert side.sock.taken == b"still here and here"
        assert side.reasons == []

    def test_what_was_waiting_is_sent(self) -> None:
        side = Side()
        side.stuck()
        side.peer_ends()
        side.reactor.writable()
        assert side.sock.taken == b"stuck"
        assert side.heard == ["read lost"]

    def test_what_it_writes_then_leaves_when_it_returns(self) -> None:
        side = Side()
        side.protocol.on["read lost"] = lambda: side.transport.write(b"answer")
        side.peer_ends()
        assert side.sock.taken == b"answer"

    @pytest.mark.parametrize("calls", [["resumeProducing"], ["pauseProducing", "resumeProducing"]])
    def test_reading_does_not_begin_again(self, calls: list[str]) -> None:
        side = Side()
        side.peer_ends()
        for call in calls:
            getattr(side.transport, call)()
        assert side.reactor.reader is None

    @pytest.mark.parametrize("state", [OPEN, WRITE_ENDING, WRITE_ENDED])
    def test_an_ordinary_protocol_is_closed(self, state: StreamState) -> None:
        side = Side(Recorder())
        to_state(state, side)
        side.peer_ends()
        assert side.heard == ["lost"]
        assert side.reasons == [ConnectionDone]
        assert side.sock.closed

    def test_the_protocol_of_that_moment_is_asked(self) -> None:
        side = Side(Recorder())
        side.transport.protocol = other = HalfCloseable()
        side.peer_ends()
        assert (side.heard, other.heard) == ([], ["read lost"])

    def test_an_adapter_will_do(self) -> None:
        from zope.interface import adapter, declarations, interface

        side, half = Side(Recorder()), HalfCloseable()
        registry = adapter.AdapterRegistry()
        wanted = [declarations.implementedBy(Recorder)]
        registry.register(wanted, IHalfCloseableProtocol, "", lambda protocol: half)  # type: ignore[arg-type]

        def look_up(iface: object, candidate: object) -> object:
            make = registry.lookup1(declarations.providedBy(candidate), iface, "")  # type: ignore[arg-type]
            return make(candidate) if make is not None else None

        interface.adapter_hooks.append(look_up)
        try:
            side.peer_ends()
        finally:
            interface.adapter_hooks.remove(look_up)
        assert half.heard == ["read lost"]
        assert side.reasons == []


class TestBothHalves:
    @pytest.mark.parametrize("order", [["we", "peer"], ["peer", "we"]])
    def test_when_both_have_ended_the_connection_is_closed(self, order: list[str]) -> None:
        side = Side()
        for who in order:
            assert side.reasons == []
            if who == "we":
                side.transport.loseWriteConnection()
                side.turn()
            else:
                side.peer_ends()
        assert side.heard == [{"we": "write lost", "peer": "read lost"}[who] for who in order] + ["lost"]
        assert side.reasons == [ConnectionDone]
        assert side.sock.closed
        assert not side.sock.reset

    def test_both_at_once(self) -> None:
        side = Side()
        side.transport.loseWriteConnection()
        side.peer_ends()  # before the loop's next turn
        side.turn()
        assert side.heard == ["read lost", "write lost", "lost"]
        assert side.reasons == [ConnectionDone]

    def test_ours_in_the_callback_about_the_peers(self) -> None:
        side = Side()
        side.protocol.on["read lost"] = side.transport.loseWriteConnection
        side.peer_ends()
        assert side.heard == ["read lost", "write lost", "lost"]
        assert side.reasons == [ConnectionDone]

    @pytest.mark.parametrize("first", ["ours", "the peer's"])
    def test_a_peer_that_does_not_read_our_last_is_cut_off(self, first: str) -> None:
        side = Side()
        if first == "ours":
            to_state(WRITE_ENDING, side)
            side.peer_ends()
        else:
            to_state(BOTH_ENDING, side)
        assert side.transport._state is BOTH_ENDING
        assert side.reactor.lingering == 1
        side.transport._lingered()
        assert side.reasons == [ConnectionAborted]
        assert side.sock.reset

    def test_one_that_reads_it_slowly_is_not(self) -> None:
        side = Side()
        to_state(BOTH_ENDING, side)
        side.sock.answers.append(2)
        side.reactor.writable()
        side.transport._lingered()
        assert side.reasons == []
        side.reactor.writable()
        assert side.heard == ["read lost", "write lost", "lost"]
        assert side.reactor.lingering == 1  # the one that `_lingered` was called for by hand

    @pytest.mark.parametrize("state", [OPEN, READ_ENDED, WRITE_ENDING, WRITE_ENDED])
    def test_while_one_is_open_there_is_no_limit(self, state: StreamState) -> None:
        side = Side()
        to_state(state, side)
        assert side.reactor.lingering == 0


class TestClosing:
    @pytest.mark.parametrize("state", ALIVE)
    def test_lose_connection_closes_from_every_state(self, state: StreamState) -> None:
        side = Side()
        to_state(state, side)
        told = [each for each in side.heard if each != "lost"]
        side.transport.loseConnection()
        assert side.transport.disconnecting
        assert side.reactor.lingering == (state in {WRITE_ENDING, BOTH_ENDING, CLOSING, DRAINING})
        side.sock.received.append(b"")
        side.turn()
        if side.reactor.writer is not None:
            side.reactor.writable()
        if state is DRAINING:
            side.reactor.readable()
        assert side.heard == [*told, "lost"]
        assert side.reasons == [ConnectionDone]
        assert side.sock.taken == (b"stuck" if state in {WRITE_ENDING, BOTH_ENDING, CLOSING} else b"")
        assert side.reactor.lingering == 0

    @pytest.mark.parametrize("half", ["read lost", "write lost"])
    def test_lose_connection_in_the_callback_about_a_half(self, half: str) -> None:
        side = Side()
        side.protocol.on[half] = side.transport.loseConnection
        if half == "read lost":
            side.peer_ends()
        else:
            side.transport.loseWriteConnection()
            side.turn()
        assert side.heard == [half, "lost"]
        assert side.reasons == [ConnectionDone]

    def test_what_lies_unread_is_drained_although_our_half_has_ended(self) -> None:
        side = Side()
        to_state(WRITE_ENDED, side)
        side.transport.pauseProducing()
        side.sock.received.append(b"unread")
        side.transport.loseConnection()
        side.turn()
        assert side.transport._state is DRAINING
        assert side.heard == ["write lost"]
        side.peer_ends()
        assert side.heard == ["write lost", "lost"]
        assert side.reasons == [ConnectionDone]

    def test_lose_connection_before_our_half_has_ended_is_a_full_close(self) -> None:
        side = Side()
        side.transport.write(b"last words")
        side.transport.loseWriteConnection()
        side.transport.loseConnection()
        side.turn()
        assert side.sock.taken == b"last words"
        assert side.heard == ["lost"]

    @pytest.mark.parametrize("state", [CLOSING, DRAINING, CLOSED])
    def test_lose_write_connection_is_too_late_then(self, state: StreamState) -> None:
        side = Side()
        if state is CLOSED:
            side.transport.abortConnection()
        else:
            to_state(state, side)
        side.transport.loseWriteConnection()
        assert side.transport._state is state

    @pytest.mark.parametrize("state", ALIVE)
    def test_abort_resets_in_every_state(self, state: StreamState) -> None:
        side = Side()
        to_state(state, side)
        before = list(side.heard)
        side.transport.abortConnection()
        side.transport.abortConnection()
        side.transport.loseWriteConnection()
        side.transport.loseConnection()
        assert side.heard == before
        side.turn()
        assert side.heard == [*before, "lost"]
        assert side.reasons == [ConnectionAborted]
        assert side.sock.reset
        assert side.reactor.lingering == 0
        assert side.reactor.reader is side.reactor.writer is None

    @pytest.mark.parametrize("state", ALIVE)
    def test_the_reactors_shutdown_tells_a_clean_end_from_another(self, state: StreamState) -> None:
        side = Side()
        to_state(state, side)
        side.transport._shut_down()
        clean = state in {BOTH_ENDING, CLOSING, DRAINING}
        assert side.reasons == [ConnectionDone if clean else ConnectionLost]
        assert side.heard[-1:] == ["lost"]


class TestProducers:
    def test_a_push_producer_may_write_until_it_has_finished(self) -> None:
        side, producer = Side(), Producer()
        side.transport.registerProducer(producer, True)
        side.transport.loseWriteConnection()
        side.transport.write(b"the producer's")
        side.turn()
        assert side.sock.taken == b"the producer's"
        assert side.sock.shut == []
        side.transport.unregisterProducer()
        side.transport.write(b"too late")
        side.turn()
        assert side.sock.taken == b"the producer's"
        assert side.heard == ["write lost"]
        assert producer.heard == []

    def test_a_pull_producer_is_asked_until_it_has_finished(self) -> None:
        side = Side()
        pieces = [b"a", b"b", b"c"]

        class Pull(Producer):
            def resumeProducing(self) -> None:
                if pieces:
                    side.transport.write(pieces.pop(0))
                else:
                    side.transport.unregisterProducer()

        side.transport.registerProducer(Pull(), False)
        side.transport.loseWriteConnection()
        side.turn()
        while side.reactor.writer is not None:
            side.reactor.writable()
        assert side.sock.taken == b"abc"
        assert side.heard == ["write lost"]

    @pytest.mark.parametrize("streaming", [True, False])
    @pytest.mark.parametrize("state", [WRITE_ENDING, WRITE_ENDED, BOTH_ENDING, CLOSING, DRAINING])
    def test_one_that_comes_too_late_is_told_to_stop(self, state: StreamState, streaming: bool) -> None:
        side, producer = Side(), Producer()
        to_state(state, side)
        side.transport.registerProducer(producer, streaming)
        assert producer.heard == ["stop"]
        side.transport.registerProducer(Producer(), streaming)  # and is not kept
        side.transport.abortConnection()
        side.turn()
        assert producer.heard == ["stop"]

    def test_the_peers_end_does_not_concern_it(self) -> None:
        side, producer = Side(), Producer()
        side.peer_ends()
        side.transport.registerProducer(producer, False)
        assert producer.heard == ["resume"]
        side.transport.unregisterProducer()

    @pytest.mark.parametrize("state", [READ_ENDED, WRITE_ENDING, BOTH_ENDING])
    def test_a_registered_one_is_told_to_stop_when_the_connection_is_lost(self, state: StreamState) -> None:
        side, producer = Side(), Producer()
        side.transport.registerProducer(producer, True)
        to_state(state, side)
        side.transport.abortConnection()
        side.turn()
        assert producer.heard == ["stop"]


class TestWhatRaises:
    def by_half(self, half: str, raised: BaseException) -> tuple[Side, Callable[[], None]]:
        """A side whose protocol raises *raised* in the callback about *half*, and what leads to that."""
        side = Side()

        def raises() -> None:
            raise raised

        side.protocol.on[half] = raises
        if half == "read lost":
            return side, side.peer_ends
        side.transport.loseWriteConnection()
        return side, side.turn

    @pytest.mark.parametrize("half", ["read lost", "write lost"])
    def test_it_loses_the_connection_with_that(self, half: str, logged: Logged) -> None:
        side, act = self.by_half(half, LookupError("in the protocol"))
        act()
        assert side.heard == [half, "lost"]
        assert side.reasons == [LookupError]
        assert side.sock.closed
        (record,) = logged.take(LookupError)
        assert "ConnectionLost of" in record.getMessage()

    @pytest.mark.parametrize("half", ["read lost", "write lost"])
    def test_so_does_asking_whether_it_is_half_closeable(self, half: str, logged: Logged) -> None:
        side = Side()

        class Asked:
            def __conform__(self, interface: object) -> object:
                raise LookupError("in the adapter")

            def connectionLost(self, reason: Failure) -> None:
                side.protocol.connectionLost(reason)

        side.transport.protocol = Asked()
        if half == "read lost":
            side.peer_ends()
        else:
            side.transport.loseWriteConnection()
            side.turn()
        assert side.reasons == [LookupError]
        assert len(logged.take(LookupError)) == 1

    @pytest.mark.parametrize("half", ["read lost", "write lost"])
    def test_what_ends_the_program_escapes_and_the_connection_goes_on(self, half: str) -> None:
        side, act = self.by_half(half, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            act()
        side.turn()
        assert side.heard == [half]
        side.protocol.on.clear()
        if half == "read lost":
            side.transport.loseWriteConnection()
            side.turn()
        else:
            side.peer_ends()
        assert len(side.heard) == 3
        assert side.reasons == [ConnectionDone]

    @pytest.mark.parametrize("half", ["read lost", "write lost"])
    def test_it_ends_all_the_same_if_that_was_the_second_half(self, half: str) -> None:
        side, act = self.by_half(half, KeyboardInterrupt())
        if half == "read lost":
            side.transport.loseWriteConnection()
            side.turn()
        else:
            side.peer_ends()
        with pytest.raises(KeyboardInterrupt):
            act()
        side.turn()
        assert side.reasons == [ConnectionDone]

    def test_what_it_raises_after_aborting_is_not_the_reason(self, logged: Logged) -> None:
        side = Side()

        def abort_and_raise() -> None:
            side.transport.abortConnection()
            raise LookupError("too late")

        side.protocol.on["read lost"] = abort_and_raise
        side.peer_ends()
        side.turn()
        assert side.heard == ["read lost", "lost"]
        assert side.reasons == [ConnectionAborted]
        assert len(logged.take(LookupError)) == 1
