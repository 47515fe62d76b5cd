"""`netcore.stdio.StandardIO`, or what does the same: a connection over two descriptors of this program."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import Any

from netcore.error import ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import ITransport, provides
from netcore.stdio import StandardIO
from netcore.testing.contracts._contract import ReactorContract, driven, raises
from netcore.testing.contracts._half_close import HalfRecorder
from netcore.testing.contracts._recorder import Pull, Push, Recorder

__all__ = ["StandardIOContract"]

BIG = bytes(range(256)) * 4096  # 1 MiB: more than pipes hold


class StandardIOContract(ReactorContract):
    """`ITransport` over standard streams, on a POSIX system. Override `makeReactor`, and `makeTransport` if it is not
    netcore's."""

    interface = ITransport

    def makeTransport(self, protocol: Any, stdin: int, stdout: int) -> Any:
        """A transport on ``self.reactor`` for *protocol*, over two descriptors, which it leaves open."""
        return StandardIO(protocol, stdin, stdout, self.reactor)

    async def declares(self) -> None:
        self.over_pipes()
        assert provides(self.recorder.transport, self.interface)

    def setup_method(self) -> None:
        """Begin a test."""
        super().setup_method()
        self._descriptors: list[int] = []

    def teardown_method(self) -> None:
        """End a test: its reactors go first, and then the descriptors they may have watched."""
        super().teardown_method()
        while self._descriptors:
            os.close(self._descriptors.pop())

    def close(self, number: int) -> None:
        """Close a descriptor of the test's."""
        self._descriptors.remove(number)
        os.close(number)

    def over_pipes(self, recorder: Any = None) -> tuple[Any, int, int]:
        """A protocol over two pipes. Returns: it, and where its peer writes, and reads."""
        stdin, writes = os.pipe()
        reads, stdout = os.pipe()
        self._descriptors += [stdin, writes, reads, stdout]
        self.stdin, self.stdout = stdin, stdout
        self.recorder = recorder or Recorder()
        self.makeTransport(self.recorder, stdin, stdout)
        return self.recorder, writes, reads

    def over_sockets(self, recorder: Any = None) -> tuple[Any, socket.socket]:
        """A protocol whose input and output are one socket. Returns: it, and its peer's."""
        ours, peer = socket.socketpair()
        number = ours.detach()
        self._descriptors.append(number)
        self.recorder = recorder or Recorder()
        self.makeTransport(self.recorder, number, number)
        return self.recorder, peer

    def nothing(self) -> int:
        """A descriptor of ``/dev/null``."""
        self._descriptors.append(os.open("/dev/null", os.O_RDWR))
        return self._descriptors[-1]

    def reading(self, number: int) -> Recorder:
        """A protocol of the peer's, that reads a pipe to its end."""
        reader = Recorder()
        StandardIO(HalfReader(reader), number, self.nothing(), self.reactor)
        return reader

    # Talking

    @driven
    async def test_it_reads_and_writes(self) -> None:
        """From the one, to the other."""
        recorder, writes, reads = self.over_pipes()
        assert recorder.told == ["made"]
        os.write(writes, b"question")
        await recorder.got(8)
        recorder.transport.write(b"an")
        recorder.transport.writeSequence([b"sw", bytearray(b"er")])
        await self.settle()
        assert os.read(reads, 100) == b"answer"
        with raises(TypeError):
            recorder.transport.write("text")

    @driven
    async def test_one_socket_may_be_both(self) -> None:
        """As for programs that inetd starts."""
        recorder, peer = self.over_sockets()
        with peer:
            peer.send(b"question")
            await recorder.got(8)
            recorder.transport.write(b"answer")
            recorder.transport.loseConnection()
            assert type(await recorder.lost.times()) is ConnectionDone
            assert peer.recv(100) == b"answer"
            assert peer.recv(100) == b""

    @driven
    async def test_a_terminal_may_be_both(self) -> None:
        """What is typed comes line by line."""
        master, slave = os.openpty()
        self._descriptors += [master, slave]
        self.recorder = recorder = Recorder()
        self.makeTransport(recorder, slave, slave)
        os.write(master, b"typed\n")
        await recorder.got(6)
        assert recorder.received == b"typed\n"
        recorder.transport.write(b"shown\n")
        user = self.reading(master)
        await user.got(len("typed\r\nshown\r\n"))
        assert user.received == b"typed\r\nshown\r\n"
        os.write(master, b"\x04")  # the end, as it is typed
        assert type(await recorder.lost.times()) is ConnectionDone

    @driven
    async def test_files_may_be_both(self) -> None:
        """Though nobody can wait for them."""
        recorder = Recorder()
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            source.write(BIG)
            source.seek(0)
            recorder.on_data = lambda self, data: self.transport.write(data)
            self.makeTransport(recorder, source.fileno(), target.fileno())
            assert type(await recorder.lost.times()) is ConnectionDone
            target.seek(0)
            assert target.read() == BIG
        assert recorder.received == BIG

    @driven
    async def test_there_may_be_nothing_at_either_side(self) -> None:
        """``/dev/null``."""
        recorder = Recorder()
        self.makeTransport(recorder, self.nothing(), self.nothing())
        recorder.transport.write(BIG)
        assert type(await recorder.lost.times()) is ConnectionDone
        assert recorder.told == ["made", "lost"]

    # How it ends

    @driven
    async def test_the_end_of_the_input_is_the_end(self) -> None:
        """Once what was written has been read. Cleanly."""
        recorder, writes, reads = self.over_pipes()
        os.write(writes, b"question")
        recorder.transport.write(BIG)
        self.close(writes)
        peer = self.reading(reads)
        assert type(await recorder.lost.times()) is ConnectionDone
        self.close(self.stdout)
        await peer.lost.times()
        assert peer.received == BIG
        assert recorder.told == ["made", "data", "lost"]

    @driven
    async def test_losing_the_connection_sends_what_was_written(self) -> None:
        """And drops what is written afterwards; more is not read."""
        recorder, writes, reads = self.over_pipes()
        recorder.do("write", BIG)
        recorder.do("loseConnection")
        recorder.transport.write(b"dropped")
        recorder.transport.resumeProducing()
        os.write(writes, b"not heard")
        assert recorder.transport.disconnecting
        peer = self.reading(reads)
        assert type(await recorder.lost.times()) is ConnectionDone
        self.close(self.stdout)
        await peer.lost.times()
        assert peer.received == BIG
        assert recorder.told == ["made", "lost"]
        assert not recorder.told_inside

    @driven
    async def test_that_nobody_reads_any_more_is_heard_at_once(self) -> None:
        """Without writing. That is no clean end."""
        recorder, _, reads = self.over_pipes()
        self.close(reads)
        assert type(await recorder.lost.times()) is ConnectionLost

    @driven
    async def test_a_protocol_may_go_on_when_its_input_has_ended(self) -> None:
        """If it says so, until it has ended its output, too."""
        recorder, writes, reads = self.over_pipes(HalfRecorder())
        os.write(writes, b"question")
        self.close(writes)
        await recorder.got(8)
        await self.settle()
        assert recorder.told == ["made", "data", "read lost"]
        recorder.transport.write(b"answer")
        recorder.do("loseWriteConnection")
        assert type(await recorder.lost.times()) is ConnectionDone
        assert os.read(reads, 100) == b"answer"
        assert recorder.told == ["made", "data", "read lost", "write lost", "lost"]
        assert not recorder.told_inside

    @driven
    async def test_a_protocol_may_go_on_when_it_has_ended_its_output(self) -> None:
        """Until its input has ended, too."""
        recorder, writes, _ = self.over_pipes(HalfRecorder())
        recorder.transport.loseWriteConnection()
        recorder.transport.loseWriteConnection()
        await self.settle()
        assert recorder.told == ["made", "write lost"]
        os.write(writes, b"heard")
        await recorder.got(5)
        self.close(writes)
        assert type(await recorder.lost.times()) is ConnectionDone
        assert recorder.told == ["made", "write lost", "data", "read lost", "lost"]

    @driven
    async def test_a_protocol_may_go_on_when_nobody_reads_its_output(self) -> None:
        """If it says so; it may be closed in that state."""
        recorder, writes, reads = self.over_pipes(HalfRecorder())
        self.close(reads)
        await self.settle()
        assert recorder.told == ["made", "write lost"]
        recorder.transport.write(b"into the void")
        os.write(writes, b"heard")
        await recorder.got(5)
        recorder.do("loseConnection")
        assert type(await recorder.lost.times()) is ConnectionDone
        assert not recorder.told_inside

    @driven
    async def test_the_end_of_the_output_is_sent_on_a_socket(self) -> None:
        """Its peer hears that no more comes, and may still write."""
        recorder, peer = self.over_sockets(HalfRecorder())
        with peer:
            recorder.transport.write(b"last")
            recorder.transport.loseWriteConnection()
            await self.settle()
            assert peer.recv(100) == b"last"
            assert peer.recv(100) == b""
            peer.send(b"heard")
            await recorder.got(5)

    @driven
    async def test_the_descriptors_stay_as_they_were(self) -> None:
        """Open, and blocking, if they were."""
        recorder, _, reads = self.over_pipes()
        os.set_blocking(reads, False)
        recorder.transport.loseConnection()
        await recorder.lost.times()
        assert os.get_blocking(self.stdin)
        assert os.get_blocking(self.stdout)
        with raises(BlockingIOError):  # and no end of file
            os.read(reads, 1)
        os.set_blocking(self.stdin, False)
        again = Recorder()
        self.makeTransport(again, self.stdin, self.stdout)
        again.transport.loseConnection()
        await again.lost.times()
        assert not os.get_blocking(self.stdin)

    @driven
    async def test_a_descriptor_that_is_closed_is_refused(self) -> None:
        """Nothing is left as it should not be."""
        stdin, writes = os.pipe()
        self._descriptors += [stdin, writes]
        recorder = Recorder()
        with raises(OSError):
            self.makeTransport(recorder, stdin, 99999)
        assert os.get_blocking(stdin)
        assert recorder.told == []

    @driven
    async def test_what_the_protocol_raises_ends_it(self) -> None:
        """It is logged, and the reason."""
        recorder, writes, _ = self.over_pipes()
        recorder.on_data = lambda self, data: 1 / 0
        os.write(writes, b"x")
        assert type(await recorder.lost.times()) is ZeroDivisionError
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    @driven
    async def test_what_the_protocol_raises_upon_a_file_ends_it(self) -> None:
        """Nothing more is read of that."""
        recorder = Recorder()
        recorder.on_data = lambda self, data: 1 / 0
        with tempfile.TemporaryFile() as source:
            source.write(BIG)
            source.seek(0)
            self.makeTransport(recorder, source.fileno(), self.nothing())
            assert type(await recorder.lost.times()) is ZeroDivisionError
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert len(recorder.pieces) == 1

    # Producers

    @driven
    async def test_paused_it_does_not_read(self) -> None:
        """Pipes and files alike."""
        with tempfile.TemporaryFile() as source:
            source.write(BIG)
            source.seek(0)
            recorder = Recorder()
            recorder.on_data = lambda self, data: self.transport.pauseProducing()
            self.makeTransport(recorder, source.fileno(), self.nothing())
            await recorder.got(1)
            await self.settle()
            assert len(recorder.pieces) == 1
            recorder.on_data = lambda self, data: None
            recorder.transport.resumeProducing()
            await recorder.lost.times()
            assert recorder.received == BIG
        recorder, writes, _ = self.over_pipes()
        recorder.transport.pauseProducing()
        os.write(writes, b"waits")
        await self.settle()
        assert recorder.received == b""
        recorder.transport.resumeProducing()
        await recorder.got(5)

    @driven
    async def test_a_producer_is_paused_and_resumed(self) -> None:
        """As the peer reads. The end waits for it."""
        recorder, _, reads = self.over_pipes()
        producer = Push()
        recorder.transport.registerProducer(producer, True)
        recorder.transport.write(BIG)
        assert producer.told == ["pause"]
        recorder.transport.loseConnection()
        peer = self.reading(reads)
        await producer.resumed.times()
        recorder.transport.write(b"the last")
        recorder.transport.unregisterProducer()
        await recorder.lost.times()
        self.close(self.stdout)
        await peer.lost.times()
        assert peer.received == BIG + b"the last"
        assert producer.told == ["pause", "resume"]

    @driven
    async def test_a_producer_is_asked_for_more(self) -> None:
        """Until it has no more; the next one, when all has gone, is told to stop."""
        recorder, _, reads = self.over_pipes()
        pieces = [b"some", b"and", b"more"]
        recorder.transport.registerProducer(Pull(recorder.transport, [*pieces]), False)
        recorder.transport.loseConnection()
        transport, late = recorder.transport, Push()
        await recorder.lost.times()
        assert os.read(reads, 100) == b"".join(pieces)
        transport.registerProducer(late, True)
        assert late.told == ["stop"]


class HalfReader(HalfRecorder):
    """Tells *reader* what it reads, and when that has ended."""

    def __init__(self, reader: Recorder) -> None:
        super().__init__()
        self.reader = reader

    def dataReceived(self, data: bytes) -> None:
        self.reader.dataReceived(data)

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reader.connectionLost(reason)
