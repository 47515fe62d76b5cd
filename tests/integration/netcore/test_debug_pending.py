"""What `pending` says of reactors, threads and asyncio's tasks; and of nothing when all of it is over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import netcore
from netcore import debug, protocol, task
from netcore.reactors import Reactor
from netcore.threadpool import _Worker
from tests.support.debugging import switched
from tests.support.network import free_port

DEADLINE = 60.0


@pytest.fixture(params=[True, False], ids=["on", "off"])
def on(request: pytest.FixtureRequest) -> Any:
    with switched(request.param):
        yield request.param


def found(kind: str, mark: str) -> list[debug.Pending]:
    return [each for each in debug.pending(kind) if mark in each.what]


def check_place(each: debug.Pending, on: bool, line: str) -> None:
    """*each* was made at *line*, if debugging is on; and says so."""
    if on:
        assert each.madeAt is not None
        assert line in (each.madeAt[-1].line or "")
        assert each.age is not None
        assert f"    {each.madeAt[-1].line}" in str(each)
    else:
        assert each.madeAt is None
        assert each.age is None
        assert "before debugging was on" not in str(each)


def some_timer() -> None:
    """Is called later."""


def test_timers(on: bool, reactor: Reactor) -> None:
    call = reactor.callLater(1000, some_timer)
    (waiting,) = found("timer", "some_timer")
    check_place(waiting, on, "call = reactor.callLater(1000, some_timer)")
    call.cancel()
    assert found("timer", "some_timer") == []


def test_a_timer_of_a_loopingcall_says_what_is_called(on: bool, reactor: Reactor) -> None:
    looping = task.LoopingCall(some_timer)
    looping.clock = reactor
    stopped = looping.start(1000, now=False)
    (waiting,) = found("timer", "some_timer")
    assert waiting.what.startswith("<LoopingCall of some_timer every 1000 s, running>, by <DelayedCall")
    check_place(waiting, on, "stopped = looping.start(1000, now=False)")
    looping.stop()
    assert stopped.called


def some_job(begun: threading.Event, over: threading.Event) -> None:
    begun.set()
    over.wait(DEADLINE)


def queued_job() -> None:
    """Waits for a thread."""


def test_jobs_running_and_queued(on: bool, run: Any, reactor: Reactor) -> None:
    begun, over = threading.Event(), threading.Event()

    async def main() -> None:
        reactor.suggestThreadPoolSize(1)
        reactor.callInThread(some_job, begun, over)
        reactor.callInThread(queued_job)
        await asyncio.to_thread(begun.wait, DEADLINE)
        (running,) = found("job", "some_job")
        check_place(running, on, "reactor.callInThread(some_job, begun, over)")
        assert "runs in thread netcore-pool-reactor-1" in running.what
        assert "over.wait(DEADLINE)" in str(running)
        (queued,) = found("job", "queued_job")
        check_place(queued, on, "reactor.callInThread(queued_job)")
        assert "queued in <ThreadPool reactor" in queued.what
        over.set()

    run(main)
    assert found("job", "_job") == []


def test_a_job_of_a_scope_has_the_name_of_what_was_asked_for(on: bool, run: Any) -> None:
    begun, over = threading.Event(), threading.Event()

    async def main() -> None:
        async with netcore.scope() as scope:
            scope.deferToThread(some_job, begun, over)
            await asyncio.to_thread(begun.wait, DEADLINE)
            (running,) = found("job", "some_job()")
            check_place(running, on, "scope.deferToThread(some_job, begun, over)")
            over.set()

    run(main)


def test_jobs_of_a_pool_that_has_not_started(on: bool, reactor: Reactor) -> None:
    reactor.callInThread(queued_job)
    (queued,) = found("job", "queued_job")
    check_place(queued, on, "reactor.callInThread(queued_job)")


def test_a_job_that_was_handed_to_a_thread_which_has_not_begun_it(on: bool, run: Any, reactor: Reactor) -> None:
    handed, go_on = threading.Event(), threading.Event()

    class Held(_Worker):
        """Takes its time."""

        def run(self) -> None:
            handed.set()
            go_on.wait(DEADLINE)
            super().run()

    async def main() -> None:
        monkeypatch.setattr("netcore.threadpool._Worker", Held)
        reactor.callInThread(queued_job)
        assert handed.wait(DEADLINE)
        (waiting,) = found("job", "queued_job")
        check_place(waiting, on, "reactor.callInThread(queued_job)")
        go_on.set()

    with pytest.MonkeyPatch.context() as monkeypatch:
        run(main)
    assert found("job", "queued_job") == []


class Quiet(protocol.Protocol):
    """Says nothing."""


class Telling(protocol.Factory):
    """Tells of its one connection."""

    def __init__(self) -> None:
        self.connected = asyncio.get_running_loop().create_future()

    def buildProtocol(self, addr: Any) -> Any:
        self.connected.get_loop().call_soon(self.connected.set_result, None)
        return Quiet()


class TellingClient(Telling, protocol.ClientFactory):
    """The same, of a connection that it makes."""


def test_ports_connectors_and_connections(on: bool, run: Any, reactor: Reactor) -> None:
    async def main() -> None:
        server, client = Telling(), TellingClient()
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        number = port.getHost().port
        connector = reactor.connectTCP("127.0.0.1", number, client)

        (listening,) = found("port", f"127.0.0.1:{number}")
        check_place(listening, on, "port = reactor.listenTCP(0")
        (connecting,) = found("connector", f"127.0.0.1:{number}")
        check_place(connecting, on, "connector = reactor.connectTCP(")

        await server.connected
        await client.connected
        assert found("connector", f"127.0.0.1:{number}") == []
        (accepted,) = found("connection", f"connection 127.0.0.1:{number} to")
        check_place(accepted, on, "port = reactor.listenTCP(0")
        (made,) = found("connection", f" to 127.0.0.1:{number},")
        check_place(made, on, "connector = reactor.connectTCP(")
        connector.disconnect()
        port.stopListening()

    run(main)
    for kind in ("port", "connector", "connection"):
        assert found(kind, "127.0.0.1") == []


def test_ports_for_datagrams(on: bool, run: Any, reactor: Reactor, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        port = reactor.listenUDP(0, protocol.DatagramProtocol(), interface="127.0.0.1")
        group = reactor.listenMulticast(0, protocol.DatagramProtocol(), interface="127.0.0.2")
        server = reactor.listenUNIXDatagram(path, protocol.DatagramProtocol())
        client = reactor.connectUNIXDatagram(path, protocol.ConnectedDatagramProtocol())
        for mark, line in (
            (f"UDP port 127.0.0.1:{port.getHost().port}, open", "port = reactor.listenUDP(0"),
            (f"UDP port 127.0.0.2:{group.getHost().port}, open", "group = reactor.listenMulticast(0"),
            (f"UNIX datagram port '{path}', open", "server = reactor.listenUNIXDatagram(path"),
            (f"UNIX datagram port None to '{path}', open", "client = reactor.connectUNIXDatagram(path"),
        ):
            (listening,) = found("port", mark)
            check_place(listening, on, line)
        for each in (port, group, server, client):
            each.stopListening()

    run(main)
    assert found("port", "") == []


def test_a_connector_that_is_done_does_not_wait(on: bool, run: Any, reactor: Reactor) -> None:
    async def main() -> None:
        failed = asyncio.get_running_loop().create_future()

        class Failing(protocol.ClientFactory):
            def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
                failed.set_result(None)

        reactor.connectTCP("127.0.0.1", free_port(), Failing())
        await failed
        assert found("connector", "127.0.0.1") == []

    run(main)


class Ends:
    """Two ends of something, which are watched, and never ready."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number

    def doRead(self) -> None:
        """Is not called."""

    def doWrite(self) -> None:
        """Is not called."""

    def connectionLost(self, reason: Any) -> None:
        """Is called if it went bad."""

    def logPrefix(self) -> str:
        return "Ends"

    def __repr__(self) -> str:
        return "<some ends>"


@pytest.fixture
def ends() -> Any:
    reading, writing = os.pipe()
    yield Ends(reading)
    for each in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(each)


def test_readers_and_writers(on: bool, reactor: Reactor, ends: Ends) -> None:
    reactor.addReader(ends)
    reactor.addWriter(ends)
    reactor.addReader(ends)  # it is one already
    text = f"<some ends>, descriptor {ends.number}"
    (reader,) = found("reader", text)
    check_place(reader, on, "reactor.addReader(ends)")
    assert "one already" not in str(reader)
    (writer,) = found("writer", text)
    check_place(writer, on, "reactor.addWriter(ends)")
    reactor.removeReader(ends)
    assert found("reader", "some ends") == []
    assert len(found("writer", "some ends")) == 1
    reactor.addReader(ends)  # again
    (reader,) = found("reader", text)
    check_place(reader, on, "reactor.addReader(ends)  # again")
    reactor.removeAll()
    assert [each for each in debug.pending("reader", "writer") if "some ends" in each.what] == []


def test_a_descriptor_that_went_bad_does_not_wait(on: bool, reactor: Reactor, ends: Ends) -> None:
    reactor.addReader(ends)
    os.close(ends.number)
    ends.number = -1
    reactor.addReader(ends)  # is found out
    assert found("reader", "some ends") == []
    reactor.removeReader(ends)


def test_a_descriptor_that_came_back_keeps_its_place(on: bool, reactor: Reactor, ends: Ends) -> None:
    reactor.addReader(ends)  # at first
    other = os.pipe()
    os.dup2(other[0], ends.number)  # the same number, and another file
    reactor.addWriter(ends)  # then
    (reader,) = found("reader", "some ends")
    check_place(reader, on, "reactor.addReader(ends)  # at first")
    (writer,) = found("writer", "some ends")
    check_place(writer, on, "reactor.addWriter(ends)  # then")
    reactor.removeAll()
    for each in other:
        os.close(each)


async def some_task(never: asyncio.Future[None]) -> None:
    await never  # here it stands


def test_asyncio_tasks_of_an_attached_loop(on: bool) -> None:
    async def main() -> None:
        Reactor.current()
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(some_task(never), name="mine")
        await asyncio.sleep(0)
        (waiting,) = found("task", "mine, some_task()")
        assert (waiting.waitsAt[-1].line or "").endswith("# here it stands")
        assert "before debugging was on" not in str(waiting)
        never.set_result(None)
        await task
        assert found("task", "mine") == []
        asking = asyncio.current_task()
        assert asking is not None
        assert found("task", asking.get_name()) == []  # it asks

    asyncio.run(main())


def test_other_threads_may_ask(on: bool, run: Any, reactor: Reactor) -> None:
    async def main() -> None:
        call = reactor.callLater(1000, some_timer)
        assert len(await asyncio.to_thread(found, "timer", "some_timer")) == 1
        assert "some_timer" in str(await asyncio.to_thread(debug.pending))
        call.cancel()

    run(main)


def test_child_processes(on: bool, run: Any, reactor: Reactor) -> None:
    class Child(protocol.ProcessProtocol):
        def __init__(self) -> None:
            self.ended = netcore.defer.Deferred[None]()

        def processEnded(self, reason: Any) -> None:
            self.ended.callback(None)

    async def main() -> None:
        process = reactor.spawnProcess(child := Child(), "/bin/cat")
        (waiting,) = found("process", "/bin/cat")
        assert f"pid {process.pid}" in waiting.what
        check_place(waiting, on, 'process = reactor.spawnProcess(child := Child(), "/bin/cat")')
        process.loseConnection()
        await child.ended
        assert found("process", "/bin/cat") == []

    run(main)
