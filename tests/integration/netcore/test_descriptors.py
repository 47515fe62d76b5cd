"""`IReactorFDSet`: descriptors that an application looks after itself, good and bad ones."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from netcore.error import ConnectionDone, ConnectionFdescWentAway, ConnectionLost, ReactorNotRunning
from netcore.failure import Failure
from netcore.interfaces import IReactorFDSet, provides
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.reactors import Reactor, _fdset
from tests.support.guard import Logged

TURNS = 20


class Watched:
    """Something with a descriptor.

    Attributes: *calls*, the names of what was called; *lost*, the reasons.
    """

    def __init__(self, descriptor: Any, read: Callable[[], Any] = lambda: None) -> None:
        self.descriptor = descriptor
        self.read = read
        self.write: Callable[[], Any] = lambda: None
        self.calls: list[str] = []
        self.lost: list[BaseException] = []

    def fileno(self) -> int:
        return self.descriptor if isinstance(self.descriptor, int) else self.descriptor.fileno()

    def doRead(self) -> Any:
        self.calls.append("read")
        return self.read()

    def doWrite(self) -> Any:
        self.calls.append("write")
        return self.write()

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason.value)

    def logPrefix(self) -> str:
        return "Watched"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends, the first of which is watched."""
    ours, peer = socket.socketpair()
    for end in (ours, peer):
        end.setblocking(False)
    yield ours, peer
    ours.close()
    peer.close()


def turns(reactor: Reactor, number: int = TURNS) -> None:
    for _ in range(number):
        reactor.iterate()


def until(reactor: Reactor, done: Callable[[], object]) -> None:
    for _ in range(2000):
        if done():
            return
        reactor.iterate(0.001)
    raise AssertionError("not done in 2000 turns")


Pair = tuple[socket.socket, socket.socket]


def test_it_is_declared(reactor: Reactor) -> None:
    assert provides(reactor, IReactorFDSet)


class TestWatching:
    def test_a_reader_is_called_while_there_is_something_to_read(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        got: list[bytes] = []
        thing = Watched(ours, lambda: got.append(ours.recv(1)))
        reactor.addReader(thing)
        turns(reactor)
        assert got == []
        peer.send(b"ab")
        turns(reactor)
        assert got == [b"a", b"b"]
        reactor.removeReader(thing)
        peer.send(b"c")
        turns(reactor)
        assert got == [b"a", b"b"]
        assert thing.lost == []

    def test_a_writer_is_called_while_there_is_room(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        thing = Watched(ours)
        thing.write = lambda: reactor.removeWriter(thing)
        with pytest.raises(BlockingIOError):
            while True:
                ours.send(bytes(4096))
        reactor.addWriter(thing)
        turns(reactor)
        assert thing.calls == []
        with pytest.raises(BlockingIOError):
            while True:
                peer.recv(65536)
        turns(reactor)
        assert thing.calls == ["write"]

    def test_one_object_may_be_both(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        peer.send(b"x")
        thing = Watched(ours)
        thing.write = lambda: reactor.removeWriter(thing)
        thing.read = lambda: reactor.removeReader(thing)
        reactor.addReader(thing)
        reactor.addWriter(thing)
        assert reactor.getReaders() == reactor.getWriters() == [thing]
        turns(reactor)
        assert sorted(thing.calls) == ["read", "write"]
        assert reactor.getReaders() == reactor.getWriters() == []

    def test_two_objects_may_share_a_descriptor(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        peer.send(b"x")
        reader = Watched(ours, lambda: reactor.removeReader(reader))
        writer = Watched(ours)
        writer.write = lambda: reactor.removeWriter(writer)
        reactor.addReader(reader)
        reactor.addWriter(writer)
        turns(reactor)
        assert (reader.calls, writer.calls) == (["read"], ["write"])

    def test_adding_twice_is_adding_once(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        peer.send(b"x")
        thing = Watched(ours, lambda: ours.recv(1) and None)
        reactor.addReader(thing)
        reactor.addReader(thing)
        assert reactor.getReaders() == [thing]
        turns(reactor)
        assert thing.calls == ["read"]
        reactor.removeReader(thing)
        assert reactor.getReaders() == []

    def test_removing_what_was_not_added_does_nothing(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0])
        reactor.removeReader(thing)
        reactor.addReader(thing)
        reactor.removeWriter(thing)
        assert reactor.getReaders() == [thing]
        reactor.removeReader(thing)
        reactor.removeReader(thing)

    def test_one_removed_by_another_of_the_same_turn_is_not_called(self, reactor: Reactor, pair: Pair) -> None:
        pair[0].send(b"x")
        pair[1].send(b"x")
        first, second = Watched(pair[0]), Watched(pair[1])
        first.read = lambda: reactor.removeReader(second)
        second.read = lambda: reactor.removeReader(first)
        reactor.addReader(first)
        reactor.addReader(second)
        for _ in range(100):
            if first.calls or second.calls:
                break
            reactor.iterate()
        assert sorted([bool(first.calls), bool(second.calls)]) == [False, True]
        reactor.removeAll()

    def test_callbacks_run_in_the_context_of_their_add(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        variable: ContextVar[str] = ContextVar("variable", default="unset")
        seen: list[str] = []

        class Noting(Watched):
            def doRead(self) -> Any:
                seen.append(variable.get())
                reactor.removeReader(self)

            def doWrite(self) -> Any:
                seen.append(variable.get())
                return ConnectionDone()

            def connectionLost(self, reason: Failure) -> None:
                seen.append(variable.get())

        thing = Noting(ours)
        peer.send(b"x")
        variable.set("reader's")
        reactor.addReader(thing)
        variable.set("writer's")
        reactor.addWriter(thing)
        variable.set("unset")
        turns(reactor)
        assert sorted(seen) == ["reader's", "writer's", "writer's"]

    def test_they_are_watched_in_run_and_after_a_crash_too(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        thing = Watched(ours)

        def read() -> None:
            ours.recv(1)
            reactor.crash()

        thing.read = read
        reactor.addReader(thing)
        for _ in range(2):
            peer.send(b"x")
            reactor.run(installSignalHandlers=False)
        assert thing.calls == ["read", "read"]
        assert thing.lost == []
        reactor.removeReader(thing)

    def test_they_are_watched_in_an_asyncio_program(self, pair: Pair) -> None:
        ours, peer = pair

        async def main() -> None:
            reactor = Reactor.current()
            done = asyncio.Event()
            thing = Watched(ours, lambda: done.set() or ConnectionDone())
            reactor.addReader(thing)
            peer.send(b"x")
            async with asyncio.timeout(20):
                await done.wait()
            assert [type(reason) for reason in thing.lost] == [ConnectionDone]

        asyncio.run(main())


class TestRemoveAll:
    def test_it_removes_and_returns_each_once(self, reactor: Reactor, pair: Pair) -> None:
        both, reader = Watched(pair[0]), Watched(pair[1])
        reactor.addReader(both)
        reactor.addWriter(both)
        reactor.addReader(reader)
        assert sorted(map(id, reactor.removeAll())) == sorted([id(both), id(reader)])
        assert reactor.removeAll() == reactor.getReaders() == reactor.getWriters() == []
        turns(reactor)
        assert both.calls == both.lost == reader.lost == []

    def test_it_leaves_netcores_own_alone(self, reactor: Reactor, pair: Pair) -> None:
        got: list[bytes] = []

        class Server(Protocol):
            def dataReceived(self, data: bytes) -> None:
                got.append(data)

        port = reactor.listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")
        reactor.addReader(Watched(pair[0]))
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as peer:
            turns(reactor, 5)
            assert reactor.getReaders() == [*reactor.removeAll()]
            peer.send(b"x")
            reactor.callFromThread(got.append, b"from a thread")
            until(reactor, lambda: len(got) == 2)
        assert sorted(got) == [b"from a thread", b"x"]


class TestWhatEndsThem:
    @pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionDone, Failure(ConnectionDone())])
    def test_an_exception_that_is_returned(self, reactor: Reactor, pair: Pair, reason: Any) -> None:
        ours, peer = pair
        peer.send(b"x")
        thing = Watched(ours, lambda: reason)
        reactor.addReader(thing)
        reactor.addWriter(thing)
        turns(reactor)
        assert thing.calls.count("read") == 1
        assert [type(reason) for reason in thing.lost] == [ConnectionDone]
        assert reactor.getReaders() == reactor.getWriters() == []

    def test_an_exception_that_is_raised_is_logged_too(self, reactor: Reactor, pair: Pair, logged: Logged) -> None:
        ours, peer = pair
        peer.send(b"x")
        thing = Watched(ours, lambda: 1 / 0)
        other = Watched(peer)
        other.write = lambda: reactor.removeWriter(other)
        reactor.addReader(thing)
        reactor.addWriter(other)
        turns(reactor)
        assert thing.calls == ["read"]
        assert [type(reason) for reason in thing.lost] == [ZeroDivisionError]
        assert other.calls == ["write"]
        assert len(logged.take(ZeroDivisionError)) == 1

    def test_what_is_no_exception_is_a_mistake(self, reactor: Reactor, pair: Pair, logged: Logged) -> None:
        thing = Watched(pair[0])
        thing.write = lambda: "enough"
        reactor.addWriter(thing)
        turns(reactor)
        assert thing.calls == ["write"]
        assert "doWrite returned 'enough'" in str(thing.lost[0])
        assert len(logged.take(TypeError)) == 1

    def test_what_connection_lost_raises_is_logged(self, reactor: Reactor, pair: Pair, logged: Logged) -> None:
        class Bad(Watched):
            def connectionLost(self, reason: Failure) -> None:
                super().connectionLost(reason)
                raise LookupError("no good")

        thing = Bad(pair[0])
        thing.write = ConnectionDone
        reactor.addWriter(thing)
        turns(reactor)
        assert len(thing.lost) == 1
        assert len(logged.take(LookupError)) == 1

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_what_ends_the_program_escapes_and_it_stays(
        self, reactor: Reactor, pair: Pair, kind: type[BaseException]
    ) -> None:
        thing = Watched(pair[0])

        def leave() -> None:
            thing.write = lambda: reactor.removeWriter(thing)
            raise kind

        thing.write = leave
        reactor.addWriter(thing)
        with pytest.raises(kind):
            turns(reactor)
        turns(reactor)
        assert thing.calls == ["write", "write"]
        assert thing.lost == []

    def test_one_that_removes_itself_and_returns_an_exception_is_still_told(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0])
        thing.write = lambda: reactor.removeWriter(thing) or ConnectionDone()
        reactor.addWriter(thing)
        turns(reactor)
        assert thing.calls == ["write"]
        assert len(thing.lost) == 1

    def test_the_end_of_the_reactor(self, reactor: Reactor, pair: Pair) -> None:
        thing, other = Watched(pair[0]), Watched(pair[1])
        reactor.addReader(thing)
        reactor.callWhenRunning(reactor.stop)
        reactor.run(installSignalHandlers=False)
        assert [type(reason) for reason in thing.lost] == [ConnectionLost]
        assert reactor.getReaders() == []
        reactor.addReader(other)
        reactor.dispose()
        assert [type(reason) for reason in other.lost] == [ConnectionLost]
        assert reactor.getReaders() == reactor.removeAll() == []
        reactor.removeReader(other)
        with pytest.raises(ReactorNotRunning, match="disposed of"):
            reactor.addReader(thing)

    def test_an_end_in_its_own_callback_is_told_once(self, pair: Pair) -> None:
        thing = Watched(pair[0])

        async def main() -> None:
            reactor = Reactor.current()
            done = asyncio.Event()

            def write() -> ConnectionDone:
                done.set()
                reactor.dispose()
                return ConnectionDone()

            thing.write = write
            reactor.addWriter(thing)
            async with asyncio.timeout(20):
                await done.wait()

        asyncio.run(main())
        assert [type(reason) for reason in thing.lost] == [ConnectionLost]


class TestBadArguments:
    def test_what_cannot_be_read_is_refused(self, reactor: Reactor, pair: Pair) -> None:
        for wrong in (3, None, pair[0]):
            with pytest.raises(TypeError, match="it has no"):
                reactor.addReader(wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="it has no"):
                reactor.addWriter(wrong)  # type: ignore[arg-type]

    def test_a_second_reader_of_a_descriptor_is_refused(self, reactor: Reactor, pair: Pair) -> None:
        first, second = Watched(pair[0]), Watched(pair[0])
        reactor.addReader(first)
        with pytest.raises(ValueError, match="remove that first"):
            reactor.addReader(second)
        assert reactor.getReaders() == [first]
        reactor.addWriter(second)
        with pytest.raises(ValueError, match="remove that first"):
            reactor.addReader(second)
        assert reactor.getWriters() == [second]
        reactor.removeReader(first)
        reactor.addReader(second)
        assert reactor.getReaders() == [second]
        assert reactor.removeAll() == [second]


class TestBadDescriptors:
    """Each is told once, removed, and never called again; what is called meanwhile is counted, in so many turns."""

    def gone(self, reactor: Reactor, thing: Watched, kind: type[BaseException] = ConnectionFdescWentAway) -> str:
        until(reactor, lambda: thing.lost)
        turns(reactor)
        (reason,) = thing.lost
        assert type(reason) is kind
        assert thing.calls == []
        assert reactor.getReaders() == reactor.getWriters() == []
        assert not reactor._open
        return str(reason)

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_fdset, "LOOK_EVERY", 0.005)

    @pytest.mark.parametrize("add", ["addReader", "addWriter"])
    def test_one_that_has_no_number(self, reactor: Reactor, add: str) -> None:
        thing = Watched(-1)
        getattr(reactor, add)(thing)
        assert thing.lost == []  # not from within
        assert reactor.getReaders() == reactor.getWriters() == []
        assert "fileno() is -1" in self.gone(reactor, thing)

    def test_one_whose_file_object_is_closed(self, reactor: Reactor) -> None:
        reader, writer = os.pipe()
        os.close(writer)
        file = os.fdopen(reader)
        file.close()
        thing = Watched(file)
        reactor.addReader(thing)
        assert "closed file" in self.gone(reactor, thing)

    def test_one_that_is_closed_already(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0].fileno())
        pair[0].close()
        reactor.addReader(thing)
        assert "is closed" in self.gone(reactor, thing)

    @pytest.mark.parametrize("path", ["file", "folder"])
    def test_a_file_on_disk(self, reactor: Reactor, path: str) -> None:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
            number = os.open(folder, os.O_RDONLY) if path == "folder" else os.dup(file.fileno())
            thing = Watched(number)
            reactor.addReader(thing)
            reactor.addWriter(thing)
            assert "always ready" in self.gone(reactor, thing)
            os.close(number)

    def test_a_device_that_cannot_be_waited_for(self, reactor: Reactor, loop_name: str) -> None:
        """epoll refuses it; select(2) and poll(2) take it, and find it always ready."""
        number = os.open(os.devnull, os.O_RDONLY)
        thing = Watched(number)
        reactor.addReader(thing)
        if loop_name in ("select", "poll"):
            turns(reactor)
            assert len(thing.calls) == TURNS
            reactor.removeReader(thing)
        else:
            assert "cannot be watched" in self.gone(reactor, thing)
        os.close(number)

    def test_what_has_the_number_of_one_that_could_not_be_watched_can_be(self, reactor: Reactor, pair: Pair) -> None:
        number = os.open(os.devnull, os.O_RDONLY)
        refused = Watched(number)
        reactor.addReader(refused)
        reactor.removeAll()
        os.dup2(pair[0].fileno(), number)
        thing = Watched(number, ConnectionDone)
        reactor.addReader(thing)
        pair[1].send(b"x")
        turns(reactor)
        assert thing.calls == ["read"]
        assert refused.lost == []
        os.close(number)

    @pytest.mark.parametrize("add", ["addReader", "addWriter"])
    def test_one_that_is_closed_behind_our_back(self, reactor: Reactor, pair: Pair, add: str) -> None:
        thing = Watched(pair[0].fileno())
        if add == "addWriter":
            with pytest.raises(BlockingIOError):
                while True:
                    pair[0].send(bytes(4096))
        getattr(reactor, add)(thing)
        turns(reactor, 3)
        pair[0].close()
        assert "closed" in self.gone(reactor, thing)  # uvloop opens files of its own when it is run

    def test_one_that_is_closed_while_others_have_the_file_open(
        self, reactor: Reactor, pair: Pair, loop_name: str
    ) -> None:
        """Which epoll goes on reporting."""
        shared = pair[0].dup()
        thing = Watched(pair[0].fileno())
        reactor.addReader(thing)
        turns(reactor, 3)
        pair[0].close()
        pair[1].send(b"x")
        assert "closed" in self.gone(reactor, thing)
        if loop_name != "uvloop":
            assert reactor.loop._selector.select(0) == []  # type: ignore[attr-defined]
        shared.close()

    def test_one_whose_number_is_another_files_now(self, reactor: Reactor, pair: Pair) -> None:
        number = os.dup(pair[0].fileno())
        thing = Watched(number)
        reactor.addReader(thing)
        turns(reactor, 3)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            os.dup2(other.fileno(), number)
        assert "another file now" in self.gone(reactor, thing)
        os.close(number)

    def test_one_whose_fileno_changes(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0])
        reactor.addReader(thing)
        thing.descriptor = pair[1]
        assert "and is" in self.gone(reactor, thing)
        other = Watched(pair[0])
        reactor.addReader(other)
        other.descriptor = -1
        assert "fileno() is -1" in self.gone(reactor, other)

    def test_one_that_closes_itself_when_it_is_called(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = pair
        thing = Watched(ours, ours.close)
        reactor.addReader(thing)
        peer.send(b"x")
        until(reactor, lambda: thing.lost)
        assert thing.calls == ["read"]
        thing.calls.clear()
        self.gone(reactor, thing)

    def test_a_reader_of_which_the_other_side_hung_up(self, reactor: Reactor) -> None:
        ours, peer = os.pipe()
        thing = Watched(ours)
        reactor.addReader(thing)
        turns(reactor, 3)
        os.close(peer)
        self.gone(reactor, thing, ConnectionDone)
        os.close(ours)

    def test_what_was_written_before_it_hung_up_is_read_first(self, reactor: Reactor) -> None:
        ours, peer = os.pipe()
        os.write(peer, b"ab")
        os.close(peer)
        got: list[bytes] = []
        thing = Watched(ours, lambda: got.append(os.read(ours, 1)))
        reactor.addReader(thing)
        until(reactor, lambda: thing.lost)
        assert got == [b"a", b"b"]
        thing.calls.clear()
        self.gone(reactor, thing, ConnectionDone)
        os.close(ours)

    def test_a_writer_that_nobody_reads(self, reactor: Reactor) -> None:
        peer, ours = os.pipe()
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(ours, bytes(4096))
        thing = Watched(ours)
        reactor.addWriter(thing)
        turns(reactor, 3)
        os.close(peer)
        self.gone(reactor, thing, ConnectionLost)
        os.close(ours)

    def test_a_writer_of_which_the_other_side_hung_up(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0])
        pair[1].close()
        reactor.addWriter(thing)
        self.gone(reactor, thing, ConnectionLost)

    def test_one_that_is_removed_before_it_is_told_is_not(self, reactor: Reactor) -> None:
        thing = Watched(-1)
        reactor.addReader(thing)
        reactor.addWriter(thing)
        reactor.removeReader(thing)
        reactor.removeWriter(thing)
        turns(reactor)
        assert thing.lost == []
        assert not reactor._open

    def test_one_that_is_good_again_before_it_is_told_is_watched(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(-1, lambda: reactor.removeReader(thing))
        thing.write = lambda: reactor.removeWriter(thing)
        reactor.addReader(thing)
        thing.descriptor = pair[0]
        pair[1].send(b"x")
        reactor.addWriter(thing)
        turns(reactor)
        assert sorted(thing.calls) == ["read", "write"]
        assert thing.lost == []

    def test_one_that_the_reactors_end_comes_upon_is_told_what_it_is(self, reactor: Reactor) -> None:
        thing = Watched(-1)
        reactor.addReader(thing)
        reactor.dispose()
        assert [type(reason) for reason in thing.lost] == [ConnectionFdescWentAway]

    # What a mistake must not do to others. On uvloop it must not end the process.

    @pytest.mark.parametrize("remove", ["removeReader", "removeWriter"])
    def test_one_that_is_closed_and_removed_half(self, reactor: Reactor, pair: Pair, remove: str) -> None:
        thing = Watched(pair[0].fileno())
        reactor.addReader(thing)
        reactor.addWriter(thing)
        thing.write = thing.calls.clear
        turns(reactor, 3)
        pair[0].close()
        getattr(reactor, remove)(thing)
        self.gone(reactor, thing)

    def test_one_that_is_closed_and_removed_half_in_an_asyncio_program(self, pair: Pair) -> None:
        """On the selector that asyncio makes, which would tell the kernel."""
        thing = Watched(pair[0].fileno())

        async def main() -> None:
            reactor = Reactor.current()
            reactor.addReader(thing)
            reactor.addWriter(thing)
            pair[0].close()
            reactor.removeReader(thing)
            async with asyncio.timeout(20):
                while not thing.lost:  # noqa: ASYNC110 - it is told in the next turn
                    await asyncio.sleep(0)

        asyncio.run(main())
        assert [type(reason) for reason in thing.lost] == [ConnectionFdescWentAway]
        assert thing.calls == []

    def test_one_that_is_closed_first_and_removed_then_is_told_nothing(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0])
        reactor.addReader(thing)
        reactor.addWriter(thing)
        pair[0].close()
        reactor.removeReader(thing)
        reactor.removeWriter(thing)
        turns(reactor)
        assert thing.lost == []
        assert not reactor._open

    def test_one_that_is_closed_and_added_as_the_other_too(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0].fileno())
        reactor.addReader(thing)
        turns(reactor, 3)
        pair[0].close()
        reactor.addWriter(thing)
        self.gone(reactor, thing)

    def test_one_that_comes_back_with_another_descriptor(self, reactor: Reactor, pair: Pair) -> None:
        ours, peer = socket.socketpair()
        thing = Watched(ours, lambda: pair[0].recv(1) and None)
        reactor.addReader(thing)
        turns(reactor, 3)
        ours.close()
        peer.close()
        thing.descriptor = pair[0]
        reactor.addReader(thing)
        pair[1].send(b"x")
        turns(reactor)
        assert thing.calls == ["read"]
        assert thing.lost == []
        assert reactor.removeAll() == [thing]

    def test_one_that_is_closed_in_the_turn_that_added_it(self, reactor: Reactor, pair: Pair) -> None:
        thing = Watched(pair[0].fileno())

        def add() -> None:
            reactor.addReader(thing)
            reactor.addWriter(thing)
            pair[0].close()

        reactor.callWhenRunning(reactor.callLater, 0.001, add)
        reactor.callWhenRunning(reactor.callLater, 0.05, reactor.crash)
        reactor.run(installSignalHandlers=False)
        self.gone(reactor, thing)

    def test_another_reader_takes_over_the_number(self, reactor: Reactor, pair: Pair) -> None:
        number = os.dup(pair[0].fileno())
        gone, thing = Watched(number), Watched(number, ConnectionDone)
        reactor.addReader(gone)
        turns(reactor, 3)
        ours, peer = socket.socketpair()
        os.dup2(ours.fileno(), number)
        reactor.addReader(thing)
        peer.send(b"x")
        turns(reactor)
        assert thing.calls == ["read"]
        assert [type(reason) for reason in gone.lost] == [ConnectionFdescWentAway]
        os.close(number)
        ours.close()
        peer.close()

    def test_a_connection_takes_over_the_number(self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_fdset, "LOOK_EVERY", 1000)  # not because somebody looked in time
        got: list[bytes] = []

        class Server(Protocol):
            def dataReceived(self, data: bytes) -> None:
                got.append(data)
                self.transport.loseConnection()

        port = reactor.listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")
        peers = [socket.socket() for _ in range(3)]
        things = []
        for _ in range(6):  # more than both ends of a connection need: the lowest free number is given out first
            ours, peer = socket.socketpair()
            things.append(Watched(fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 0)))
            reactor.addReader(things[-1])
            reactor.addWriter(things[-1])
            things[-1].write = lambda: None
            ours.close()
            peer.close()
        for thing in things:
            os.close(thing.descriptor)
        for peer in peers:
            peer.connect(("127.0.0.1", port.getHost().port))
            peer.send(b"x")
        factory = ClientFactory.forProtocol(Protocol)
        connector = reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
        until(reactor, lambda: len(got) == 3 and connector.state == "connected")
        connector.disconnect()
        until(reactor, lambda: connector.state == "disconnected")
        for peer in peers:
            peer.close()
        assert any(thing.lost for thing in things)
        reactor.removeAll()

    @pytest.mark.parametrize("name", ["asyncio", "uvloop"])
    def test_asyncio_takes_over_the_number(self, name: str, pair: Pair) -> None:
        """On the others there is one table, asyncio's, and no telling whose a reader in it is."""
        reactor = Reactor(name)
        number = os.dup(pair[0].fileno())
        thing = Watched(number)
        reactor.addReader(thing)
        turns(reactor, 3)
        os.dup2(pair[1].fileno(), number)
        pair[0].send(b"x")
        seen: list[int] = []
        reactor.loop.add_reader(number, seen.append, number)
        until(reactor, lambda: thing.lost)
        seen.clear()
        until(reactor, lambda: seen)
        reactor.loop.remove_reader(number)
        reactor.dispose()
        os.close(number)


def test_looking_ends_with_the_last_descriptor(reactor: Reactor, pair: Pair) -> None:
    thing = Watched(pair[0])
    reactor.addReader(thing)
    assert reactor._fdset._looking is not None
    reactor.removeReader(thing)
    assert reactor._fdset._looking is None


def test_many_are_looked_at_in_turn(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fdset, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(_fdset, "LOOK_AT", 2)
    pairs = [socket.socketpair() for _ in range(7)]
    things = [Watched(ours.fileno()) for ours, _ in pairs]
    for thing in things:
        reactor.addReader(thing)
    turns(reactor, 3)
    for ours, peer in pairs:
        ours.close()
        peer.close()
    until(reactor, lambda: all(thing.lost for thing in things))
    assert [len(thing.lost) for thing in things] == [1] * 7
