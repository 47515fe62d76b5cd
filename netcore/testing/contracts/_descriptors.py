"""`IReactorFDSet`: descriptors that the application looks after itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from netcore.failure import Failure
from netcore.interfaces import IReactorFDSet, IReadWriteDescriptor, implementer
from netcore.testing.contracts._contract import ReactorContract, driven
from netcore.testing.contracts._recorder import Event

__all__ = ["ReactorFDSetContract"]


@implementer(IReadWriteDescriptor)
class Descriptor:
    """Counts what it is told; *on_read* and *on_write* may do something about it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reads = self.writes = 0
        self.lost = Event()
        self.on_read: Callable[[], Any] = lambda: None
        self.on_write: Callable[[], Any] = lambda: None

    def logPrefix(self) -> str:
        return "descriptor"

    def fileno(self) -> int:
        return self.sock.fileno()

    def doRead(self) -> Any:
        self.reads += 1
        return self.on_read()

    def doWrite(self) -> Any:
        self.writes += 1
        return self.on_write()

    def connectionLost(self, reason: Failure) -> None:
        self.lost.happened(reason.value)


class ReactorFDSetContract(ReactorContract):
    """`IReactorFDSet`. Override `makeReactor`."""

    interface = IReactorFDSet

    def setup_method(self) -> None:
        """Begin a test."""
        super().setup_method()
        self._sockets: list[socket.socket] = []

    def teardown_method(self) -> None:
        """End a test: its reactors go first, and then the sockets they may have watched."""
        super().teardown_method()
        for sock in self._sockets:
            sock.close()

    def pair(self) -> tuple[Descriptor, socket.socket]:
        """A descriptor that can be written to, and the other end."""
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        self._sockets += ends
        return Descriptor(ends[0]), ends[1]

    def watched(self, descriptor: Descriptor) -> tuple[bool, bool]:
        """Whether the reactor knows it, as a reader and as a writer."""
        return descriptor in self.reactor.getReaders(), descriptor in self.reactor.getWriters()

    @driven
    async def test_a_reader_is_called_while_there_is_something_to_read(self) -> None:
        """Again and again, until it has read it."""
        ours, peer = self.pair()
        got: list[bytes] = []
        ours.on_read = lambda: got.append(ours.sock.recv(1))
        self.reactor.addReader(ours)
        await self.settle()
        assert ours.reads == 0
        peer.send(b"abc")
        await self.settle()
        assert got == [b"a", b"b", b"c"]
        self.reactor.removeReader(ours)

    @driven
    async def test_a_writer_is_called_while_there_is_room(self) -> None:
        """Until it is removed."""
        ours, _ = self.pair()
        self.reactor.addWriter(ours)
        await self.settle()
        assert ours.writes > 1
        self.reactor.removeWriter(ours)
        before = ours.writes
        await self.settle()
        assert ours.writes == before

    @driven
    async def test_one_descriptor_may_be_both(self) -> None:
        """Removing it as the one leaves it as the other."""
        ours, peer = self.pair()
        self.reactor.addReader(ours)
        self.reactor.addWriter(ours)
        assert self.watched(ours) == (True, True)
        self.reactor.removeWriter(ours)
        assert self.watched(ours) == (True, False)
        ours.on_read = lambda: ours.sock.recv(10) and None
        peer.send(b"x")
        await self.settle()
        assert (ours.reads, ours.writes) == (1, 0)
        self.reactor.removeReader(ours)
        assert self.watched(ours) == (False, False)

    @driven
    async def test_adding_twice_is_adding_once(self) -> None:
        """And removing what is not there does nothing."""
        ours, peer = self.pair()
        self.reactor.removeReader(ours)
        self.reactor.removeWriter(ours)
        for _ in range(2):
            self.reactor.addReader(ours)
        assert self.reactor.getReaders().count(ours) == 1
        self.reactor.removeReader(ours)
        peer.send(b"x")
        await self.settle()
        assert ours.reads == 0

    @driven
    async def test_a_reader_may_remove_itself(self) -> None:
        """From within its ``doRead``."""
        ours, peer = self.pair()
        ours.on_read = lambda: self.reactor.removeReader(ours)
        self.reactor.addReader(ours)
        peer.send(b"x")
        await self.settle()
        assert ours.reads == 1
        assert ours.lost.values == []

    @driven
    async def test_all_can_be_removed(self) -> None:
        """Each is given back once."""
        descriptors = [self.pair()[0] for _ in range(3)]
        for each in descriptors:
            self.reactor.addReader(each)
        self.reactor.addWriter(descriptors[0])
        removed = self.reactor.removeAll()
        assert [removed.count(each) for each in descriptors] == [1, 1, 1]
        assert not any(any(self.watched(each)) for each in descriptors)
        assert self.reactor.removeAll() == []

    @driven
    async def test_what_do_read_or_do_write_returns_is_why_it_is_lost(self) -> None:
        """It has been removed by then."""
        for name in ("on_read", "on_write"):
            ours, peer = self.pair()
            reason = LookupError("no more")
            setattr(ours, name, lambda reason=reason: reason)
            self.reactor.addReader(ours)
            if name == "on_write":
                self.reactor.addWriter(ours)
            else:
                peer.send(b"x")
            assert await ours.lost.times() is reason
            assert self.watched(ours) == (False, False)
            await self.settle()
            assert len(ours.lost.values) == 1

    @driven
    async def test_what_do_read_raises_is_why_it_is_lost(self) -> None:
        """It is logged, and others go on."""
        ours, peer = self.pair()
        other, its_peer = self.pair()
        ours.on_read = lambda: 1 / 0
        other.on_read = lambda: other.sock.recv(10) and None
        self.reactor.addReader(ours)
        self.reactor.addReader(other)
        peer.send(b"x")
        its_peer.send(b"x")
        assert type(await ours.lost.times()) is ZeroDivisionError
        await self.settle()
        assert self.watched(ours) == (False, False)
        assert (ours.reads, other.reads) == (1, 1)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        self.reactor.removeReader(other)

    @driven
    async def test_the_end_of_the_other_side_is_something_to_read(self) -> None:
        """Reading says what it is."""
        ours, peer = self.pair()
        got: list[bytes] = []

        def read() -> Any:
            got.append(ours.sock.recv(10))
            return None if got[-1] else LookupError("the end")

        ours.on_read = read
        self.reactor.addReader(ours)
        peer.send(b"last words")
        peer.close()
        await ours.lost.times()
        assert got[-1] == b""
        assert b"".join(got) == b"last words"
