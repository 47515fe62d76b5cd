"""What transports have their descriptors watched by: one contract, on our selector, asyncio's own and uvloop's.

And what our selector promises beyond it: that it is a selector like any other to asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import selectors
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from netcore.reactors import Reactor
from netcore.reactors._selector import DirectSelector, Watcher, direct_loop, watcher_of
from netcore.reactors._uvloop import UvloopWatcher
from tests.support.guard import _open_descriptors

Call = Callable[[], object]
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "direct": direct_loop,
    "asyncio": lambda: asyncio.SelectorEventLoop(selectors.DefaultSelector()),
    "select": lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()),
    "uvloop": uvloop.new_event_loop,
}
TURNS = 5  # more than any event takes to come through


class Bench:
    """A loop, its watcher, and sockets to watch.

    Attributes: *calls*, what was called; *told*, what the loop's exception handler heard.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.watcher: Watcher = watcher_of(loop)
        self.calls: list[str] = []
        self.told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: self.told.append(context))
        self._sockets: list[socket.socket] = []

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Two ends, of which the first is watched."""
        pair = socket.socketpair()
        for end in pair:
            end.setblocking(False)
        self._sockets += pair
        return pair

    def connected(self) -> tuple[socket.socket, socket.socket]:
        """Two ends of a TCP connection, of which the first is watched."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            peer = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        ours.setblocking(False)
        self._sockets += [ours, peer]
        return ours, peer

    def readable(self) -> socket.socket:
        ours, peer = self.pair()
        peer.send(b"x")
        return ours

    def note(self, what: str, then: Call = lambda: None) -> Call:
        def callback() -> None:
            self.calls.append(what)
            then()

        return callback

    def turns(self, number: int = TURNS) -> None:
        async def take() -> None:
            for _ in range(number):
                await asyncio.sleep(0)

        self.loop.run_until_complete(take())

    def close(self) -> None:
        for sock in self._sockets:
            if sock.fileno() != -1:
                self.watcher.remove_reader(sock.fileno())
                self.watcher.remove_writer(sock.fileno())
                sock.close()
        self.loop.close()


@pytest.fixture(params=LOOPS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(LOOPS[request.param]())
    yield bench
    bench.close()


@pytest.fixture
def direct() -> Iterator[Bench]:
    bench = Bench(direct_loop())
    assert isinstance(bench.watcher, DirectSelector)
    yield bench
    bench.close()


class TestEveryWatcher:
    def test_a_reader_is_called_while_there_is_something_to_read(self, bench: Bench) -> None:
        ours, peer = bench.pair()
        peer.send(b"abc")
        bench.watcher.add_reader(ours.fileno(), lambda: bench.calls.append(ours.recv(1).decode()))
        bench.turns(10)
        assert bench.calls == ["a", "b", "c"]

    def test_a_writer_is_called_while_there_is_room(self, bench: Bench) -> None:
        ours, peer = bench.pair()
        with pytest.raises(BlockingIOError):
            while True:
                ours.send(bytes(4096))
        number = ours.fileno()
        bench.watcher.add_writer(number, bench.note("room", lambda: bench.watcher.remove_writer(number)))
        bench.turns()
        assert bench.calls == []
        with pytest.raises(BlockingIOError):
            while True:
                peer.recv(65536)
        bench.turns()
        assert bench.calls == ["room"]

    def test_one_descriptor_can_have_both(self, bench: Bench) -> None:
        ours = bench.readable()
        number = ours.fileno()
        watcher = bench.watcher
        watcher.add_writer(number, bench.note("write", lambda: watcher.remove_writer(number)))
        watcher.add_reader(number, bench.note("read", lambda: watcher.remove_reader(number)))
        bench.turns()
        assert sorted(bench.calls) == ["read", "write"]
        watcher.add_reader(number, bench.note("read again", lambda: watcher.remove_reader(number)))
        bench.turns()
        assert bench.calls[2:] == ["read again"]

    def test_one_added_again_replaces_the_other(self, bench: Bench) -> None:
        number = bench.readable().fileno()
        bench.watcher.add_reader(number, bench.note("first"))
        bench.watcher.add_reader(number, bench.note("second", lambda: bench.watcher.remove_reader(number)))
        bench.turns()
        assert bench.calls == ["second"]

    def test_removing_what_is_not_there_does_nothing(self, bench: Bench) -> None:
        ours = bench.readable()
        bench.watcher.remove_reader(ours.fileno())
        bench.watcher.remove_writer(ours.fileno())
        bench.watcher.add_reader(ours.fileno(), bench.note("read", lambda: ours.recv(1)))
        bench.watcher.remove_writer(ours.fileno())
        bench.turns()
        assert bench.calls == ["read"]

    def test_one_removed_by_another_of_the_same_turn_is_not_called(self, bench: Bench) -> None:
        first, second = bench.readable().fileno(), bench.readable().fileno()
        bench.watcher.add_reader(first, bench.note("called", lambda: bench.watcher.remove_reader(second)))
        bench.watcher.add_reader(second, bench.note("called", lambda: bench.watcher.remove_reader(first)))
        bench.turns(1)
        bench.watcher.remove_reader(first)
        bench.watcher.remove_reader(second)
        assert set(bench.calls) <= {"called"}
        bench.calls.clear()
        bench.turns()
        assert bench.calls == []

    def test_a_number_in_use_again_in_the_same_turn_is_not_called_for_the_one_before(self, bench: Bench) -> None:
        """Of two readable sockets, the first to be called closes the other and takes its number for one that is not."""
        first, second = bench.readable(), bench.readable()

        def renew(other: socket.socket) -> None:
            number = other.fileno()
            bench.watcher.remove_reader(first.fileno())
            bench.watcher.remove_reader(second.fileno())
            fresh, _ = bench.pair()
            os.dup2(fresh.fileno(), number)
            bench.watcher.add_reader(number, bench.note("for the one before"))

        bench.watcher.add_reader(first.fileno(), bench.note("called", lambda: renew(second)))
        bench.watcher.add_reader(second.fileno(), bench.note("called", lambda: renew(first)))
        bench.turns()
        assert bench.calls == ["called"]

    def test_a_socket_closed_in_its_own_callback_is_over(self, bench: Bench) -> None:
        ours = bench.readable()

        def close() -> None:
            bench.watcher.remove_reader(ours.fileno())
            bench.watcher.remove_writer(ours.fileno())
            ours.close()

        bench.watcher.add_reader(ours.fileno(), bench.note("called", close))
        bench.watcher.add_writer(ours.fileno(), bench.note("called", close))
        bench.turns()
        assert bench.calls == ["called"]

    def test_the_peers_end_is_told_to_reader_and_writer(self, bench: Bench) -> None:
        ours, peer = bench.pair()
        number, watcher = ours.fileno(), bench.watcher
        peer.close()
        watcher.add_reader(number, bench.note("read", lambda: watcher.remove_reader(number)))
        watcher.add_writer(number, bench.note("write", lambda: watcher.remove_writer(number)))
        bench.turns()
        assert sorted(bench.calls) == ["read", "write"]

    @pytest.mark.parametrize("added", ["before", "after"])
    def test_what_came_before_a_reset_is_read_and_then_the_reset(self, bench: Bench, added: str) -> None:
        """Both are there in one turn."""
        ours, peer = bench.connected()
        number = ours.fileno()

        def read() -> None:
            try:
                bench.calls.append(ours.recv(1).decode())
            except ConnectionResetError:
                bench.calls.append("reset")
                bench.watcher.remove_reader(number)

        if added == "before":
            bench.watcher.add_reader(number, read)
            bench.turns()
        peer.send(b"abc")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        if added == "after":
            bench.watcher.add_reader(number, read)
        bench.turns(20)
        assert bench.calls == ["a", "b", "c", "reset"]

    def test_a_reader_that_took_an_error_away_hears_more_if_it_is_added_again(self, bench: Bench) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as peer, socket.socket(type=socket.SOCK_DGRAM) as ours:
            peer.bind(("127.0.0.1", 0))
            address = peer.getsockname()
            ours.setblocking(False)
            ours.connect(address)

            def read() -> None:
                try:
                    bench.calls.append(ours.recv(10).decode())
                except ConnectionRefusedError:
                    bench.calls.append("refused")
                    bench.watcher.add_reader(ours.fileno(), read)

            bench.watcher.add_reader(ours.fileno(), read)
            peer.close()
            for _ in range(2):
                ours.send(b"x")
                bench.turns()
            with socket.socket(type=socket.SOCK_DGRAM) as again:
                again.bind(address)
                again.sendto(b"hello", ours.getsockname())
                bench.turns()
            bench.watcher.remove_reader(ours.fileno())
        assert bench.calls == ["refused", "refused", "hello"]

    def test_the_end_of_a_pipe_is_told_to_its_reader(self, bench: Bench) -> None:
        """Of which the kernel says only that the other side hung up, not that there is something to read."""
        ours, peer = os.pipe()
        bench.watcher.add_reader(ours, bench.note("end", lambda: bench.watcher.remove_reader(ours)))
        bench.turns()
        assert bench.calls == []
        os.close(peer)
        bench.turns()
        os.close(ours)
        assert bench.calls == ["end"]

    def test_the_end_of_a_pipe_is_told_to_its_writer(self, bench: Bench) -> None:
        """Of which the kernel says only that there is an error, not that there is room."""
        peer, ours = os.pipe()
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(ours, bytes(4096))
        bench.watcher.add_writer(ours, bench.note("end", lambda: bench.watcher.remove_writer(ours)))
        bench.turns()
        assert bench.calls == []
        os.close(peer)
        bench.turns()
        os.close(ours)
        assert bench.calls == ["end"]

    def test_what_one_raises_is_told_to_the_loop_and_the_others_are_called(self, bench: Bench) -> None:
        bad, good = bench.readable(), bench.readable()
        error = ValueError("no good")

        def fail() -> None:
            bad.recv(1)
            raise error

        bench.watcher.add_reader(bad.fileno(), fail)
        bench.watcher.add_reader(good.fileno(), bench.note("good", lambda: good.recv(1)))
        bench.turns()
        assert bench.calls == ["good"]
        assert [context["exception"] for context in bench.told] == [error]
        assert "Exception in callback" in bench.told[0]["message"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_what_ends_the_program_escapes_and_no_event_is_lost(self, bench: Bench, error: type[BaseException]) -> None:
        def read(sock: socket.socket) -> None:
            with contextlib.suppress(BlockingIOError):  # asyncio calls those that were left again, for one event
                sock.recv(1)
                bench.calls.append("read")
                if len(bench.calls) == 1:
                    raise error

        for sock in [bench.readable() for _ in range(3)]:
            bench.watcher.add_reader(sock.fileno(), partial(read, sock))
        with pytest.raises(error):
            bench.loop.run_forever()
        bench.turns()
        assert bench.calls == ["read"] * 3
        assert bench.told == []

    def test_a_loop_that_is_stopped_in_a_callback_loses_no_event(self, bench: Bench) -> None:
        def read(sock: socket.socket) -> None:
            sock.recv(1)
            bench.calls.append("read")
            if len(bench.calls) == 1:
                bench.loop.stop()

        for sock in [bench.readable() for _ in range(3)]:
            bench.watcher.add_reader(sock.fileno(), partial(read, sock))
        bench.loop.run_forever()
        bench.turns()
        assert bench.calls == ["read"] * 3

    def test_one_removed_before_closing_does_not_come_back_through_a_child_that_has_it_open(self, bench: Bench) -> None:
        ours, peer = bench.pair()
        number = ours.fileno()
        child = os.dup(number)
        try:
            bench.watcher.add_reader(number, bench.note("the one before"))
            bench.watcher.remove_reader(number)
            ours.close()
            peer.send(b"x")
            fresh, other = bench.pair()
            assert fresh.fileno() == number
            bench.watcher.add_reader(number, bench.note("the new one", lambda: fresh.recv(1)))
            bench.turns()
            assert bench.calls == []
            other.send(b"x")
            bench.turns()
            assert bench.calls == ["the new one"]
        finally:
            os.close(child)

    def test_one_that_waits_is_woken(self, bench: Bench) -> None:
        ours, peer = bench.pair()
        bench.watcher.add_reader(ours.fileno(), bench.note("read", lambda: (ours.recv(1), bench.loop.stop())))
        waker = threading.Thread(target=lambda: bench.loop.call_soon_threadsafe(peer.send, b"x"))
        bench.loop.call_soon(waker.start)
        bench.loop.run_forever()
        waker.join()
        assert bench.calls == ["read"]

    def test_what_a_callback_does_to_its_context_stays_in_the_loop(self, bench: Bench) -> None:
        variable = ContextVar("variable", default="unset")
        ours = bench.readable()
        bench.watcher.add_reader(ours.fileno(), bench.note("read", lambda: (ours.recv(1), variable.set("set"))))
        bench.turns()
        assert (bench.calls, variable.get()) == (["read"], "unset")

    def test_a_closed_loop_lets_everything_be_removed(self, bench: Bench) -> None:
        number = bench.readable().fileno()
        bench.watcher.add_reader(number, bench.note("read"))
        bench.watcher.remove_reader(number)
        bench.loop.close()
        bench.watcher.remove_reader(number)
        bench.watcher.remove_writer(number)
        with pytest.raises(RuntimeError, match="closed"):
            bench.watcher.add_reader(number, bench.note("read"))


class TestUvloopsWatcher:
    @pytest.fixture
    def uv(self) -> Iterator[Bench]:
        bench = Bench(uvloop.new_event_loop())
        assert isinstance(bench.watcher, UvloopWatcher)
        yield bench
        bench.close()

    def test_a_loop_has_one(self, uv: Bench) -> None:
        assert watcher_of(uv.loop) is uv.watcher

    def test_it_holds_a_descriptor_only_while_there_are_readers(self, uv: Bench) -> None:
        ours, other = uv.readable(), uv.readable()
        before = _open_descriptors()
        uv.watcher.add_reader(ours.fileno(), uv.note("ours"))
        uv.watcher.add_reader(other.fileno(), uv.note("other"))
        assert len(_open_descriptors()) == len(before) + 1
        uv.watcher.remove_reader(ours.fileno())
        uv.watcher.remove_reader(other.fileno())
        assert _open_descriptors() == before

    def test_what_cannot_be_watched_leaves_nothing_behind(self, uv: Bench, tmp_path: Path) -> None:
        with (tmp_path / "regular").open("w") as file:
            before = _open_descriptors()
            with pytest.raises(OSError):
                uv.watcher.add_reader(file.fileno(), uv.note("never"))
            assert _open_descriptors() == before

    def test_an_end_that_nobody_reads_costs_no_turns(self, uv: Bench) -> None:
        ours, peer = uv.connected()
        uv.watcher.add_reader(ours.fileno(), uv.note("called", lambda: uv.watcher.remove_reader(ours.fileno())))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        uv.turns(20)
        assert uv.calls == ["called"]
        assert uv.watcher._errors is None  # type: ignore[attr-defined]

    def test_letting_go_leaves_the_epoll_as_it_is(self, uv: Bench) -> None:
        """Of two processes that share it, the first ends: the second is still told of errors."""
        ours, peer = uv.connected()
        uv.watcher.add_reader(ours.fileno(), uv.note("called"))
        watcher: Any = uv.watcher
        shared = select.epoll.fromfd(os.dup(watcher._errors.fileno()))
        watcher.let_go()
        watcher.let_go()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert [number for number, _ in shared.poll(0)] == [ours.fileno()]
        shared.close()


class TestOurSelector:
    def test_it_is_found_by_the_reactors_of_its_loop(self, direct: Bench) -> None:
        reactor = Reactor(direct.loop)
        assert reactor._watcher is direct.watcher
        reactor.dispose()

        async def attach() -> Watcher:
            return Reactor.current()._watcher

        assert direct.loop.run_until_complete(attach()) is direct.watcher

    def test_any_other_loop_of_asyncios_is_its_own_watcher(self) -> None:
        loop = LOOPS["asyncio"]()
        assert watcher_of(loop) is loop
        loop.close()

    def test_callbacks_run_in_nobodys_context(self) -> None:
        """They share a Handle: it must not be that of whoever made the loop, by chance."""
        variable = ContextVar("variable", default="unset")
        variable.set("where the loop was made")
        bench = Bench(direct_loop())
        ours = bench.readable()
        bench.watcher.add_reader(ours.fileno(), lambda: bench.calls.append(f"{variable.get()} {ours.recv(1)!r}"))
        bench.turns()
        bench.close()
        assert bench.calls == ["unset b'x'"]

    def test_a_turn_finishes_although_the_loop_is_stopped_in_it(self, direct: Bench) -> None:
        for sock in [direct.readable() for _ in range(3)]:
            direct.watcher.add_reader(sock.fileno(), direct.note("read", direct.loop.stop))
        direct.loop.run_forever()
        assert direct.calls == ["read"] * 3

    def test_every_event_of_a_turn_is_told_although_one_raises(self, direct: Bench) -> None:
        def fail() -> None:
            direct.calls.append("failed")
            raise ValueError

        for sock in [direct.readable() for _ in range(3)]:
            direct.watcher.add_reader(sock.fileno(), fail)
        direct.loop.call_soon(direct.loop.stop)
        direct.loop.run_forever()
        assert direct.calls == ["failed"] * 3
        assert len(direct.told) == 3

    def test_a_regular_file_is_refused_and_leaves_nothing_behind(self, direct: Bench, tmp_path: Path) -> None:
        with open(tmp_path / "file", "wb") as file:
            for add in (direct.watcher.add_reader, direct.watcher.add_writer):
                with pytest.raises(PermissionError):
                    add(file.fileno(), print)
            with pytest.raises(PermissionError):
                direct.loop.add_reader(file, print)
            assert not direct.watcher.remove_reader(file.fileno())
            assert not direct.watcher.remove_writer(file.fileno())
            assert not direct.loop.remove_reader(file)

    def test_a_number_that_asyncio_was_not_told_is_free_can_be_watched(self, direct: Bench) -> None:
        """On the selector of asyncio, adding it fails."""
        ours, _ = direct.pair()
        number = ours.fileno()
        direct.loop.add_reader(number, direct.note("the one before"))
        ours.close()
        fresh = direct.readable()
        assert fresh.fileno() == number
        direct.watcher.add_reader(number, direct.note("the new one", lambda: fresh.recv(1)))
        direct.turns()
        assert not direct.loop.remove_reader(number)
        assert direct.calls == ["the new one"]

    def test_asyncios_own_readers_and_writers_work_beside_ours(self, direct: Bench) -> None:
        theirs, ours = direct.readable(), direct.readable()
        direct.loop.add_reader(theirs, direct.note("theirs", lambda: theirs.recv(1)))
        direct.loop.add_writer(theirs, direct.note("room", lambda: direct.loop.remove_writer(theirs)))
        direct.watcher.add_reader(ours.fileno(), direct.note("ours", lambda: ours.recv(1)))
        direct.turns()
        assert sorted(direct.calls) == ["ours", "room", "theirs"]
        assert direct.loop.remove_reader(theirs)
        assert not direct.loop.remove_reader(theirs)

    def test_asyncios_streams_and_processes_work_on_it(self, direct: Bench) -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read())
            writer.close()

        async def main() -> tuple[bytes, bytes]:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            async with server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(bytes(1_000_000))
                writer.write_eof()
                answer = await reader.read()
                writer.close()
                await writer.wait_closed()
            program = "import sys; sys.stdout.write(sys.stdin.read().upper())"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate(b"text")
            return answer, out

        with asyncio.Runner(loop_factory=direct_loop) as runner:
            assert runner.run(main()) == (bytes(1_000_000), b"TEXT")

    def test_debug_mode_tells_of_a_slow_turn(self, direct: Bench, caplog: pytest.LogCaptureFixture) -> None:
        ours = direct.readable()
        direct.loop.set_debug(True)
        direct.loop.slow_callback_duration = 0.0
        direct.watcher.add_reader(ours.fileno(), lambda: ours.recv(1))
        direct.turns()
        assert any("DirectSelector._dispatch" in record.getMessage() for record in caplog.records)

    def test_a_closed_loop_has_given_everything_back(self) -> None:
        before = _open_descriptors()
        loop = direct_loop()
        loop.close()
        loop.close()
        assert _open_descriptors() == before


@pytest.fixture(params=[DirectSelector, selectors.EpollSelector])
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.BaseSelector]:
    selector = request.param()
    yield selector
    selector.close()


class TestItIsASelector:
    """What `selectors` promises, of ours and of the one it stands in for."""

    def test_registered_modified_unregistered(self, selector: selectors.BaseSelector) -> None:
        ours, peer = socket.socketpair()
        with ours, peer:
            key = selector.register(ours, selectors.EVENT_WRITE, "data")
            assert key == (ours, ours.fileno(), selectors.EVENT_WRITE, "data")
            assert selector.get_key(ours) is selector.get_key(ours.fileno()) is selector.get_map()[ours]
            assert selector.select() == [(key, selectors.EVENT_WRITE)]
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            key = selector.modify(ours.fileno(), both, "other")
            assert (key.events, key.data) == (both, "other")
            peer.send(b"x")
            assert selector.select() == [(key, both)]
            key = selector.modify(ours, selectors.EVENT_READ, "third")
            assert selector.select(-1) == [(key, selectors.EVENT_READ)]
            assert selector.unregister(ours) == key
            assert selector.select(0) == []
            assert list(selector.get_map()) == []

    def test_one_closed_first_can_be_unregistered(self, selector: selectors.BaseSelector) -> None:
        ours, peer = socket.socketpair()
        key = selector.register(ours, selectors.EVENT_READ)
        ours.close()
        peer.close()
        assert selector.get_map().get(ours) == key
        assert selector.unregister(ours) == key
        assert len(selector.get_map()) == 0

    def test_what_cannot_be_is_refused(self, selector: selectors.BaseSelector) -> None:
        ours, peer = socket.socketpair()
        with peer:
            for events in (0, 4):
                with pytest.raises(ValueError):
                    selector.register(ours, events)
            selector.register(ours, selectors.EVENT_READ)
            with pytest.raises(KeyError):
                selector.register(ours, selectors.EVENT_READ)
            for act in (selector.unregister, selector.get_key, lambda sock: selector.modify(sock, 1)):
                with pytest.raises(KeyError):
                    act(peer)
            assert selector.get_map().get(peer) is None
            selector.unregister(ours)
            ours.close()
            for wrong in (ours, -1):
                with pytest.raises(ValueError):
                    selector.register(wrong, selectors.EVENT_READ)
