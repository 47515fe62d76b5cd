"""Standard streams and programs as peers: what is not to be asked of every transport, and the endpoints."""

from __future__ import annotations

import logging
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netcore.endpoints import (
    ProcessEndpoint,
    StandardErrorBehavior,
    clientFromString,
    connectProtocol,
)
from netcore.error import ConnectionDone, ConnectionLost, NoProtocol, ProcessTerminated
from netcore.interfaces import ITransport, provides
from netcore.protocol import Factory
from netcore.reactors import Reactor
from netcore.stdio import StandardIO
from netcore.task import deferLater
from netcore.testing.contracts._recorder import FactoryRecorder, Recorder
from tests.integration.netcore.conftest import Run, run_in

SHELL = ["sh", "-c"]

UPPER = """
import os, sys
from netcore import reactor
from netcore.application import strports
from netcore.protocol import Factory, Protocol

class Upper(Protocol):
    def dataReceived(self, data):
        self.transport.write(data.upper())
    def connectionLost(self, reason):
        print(type(reason.value).__name__, [os.get_blocking(number) for number in (0, 1)], file=sys.stderr, flush=True)
        reactor.stop()

service = strports.service("stdio:", Factory.forProtocol(Upper))
service.startService()
reactor.run()
"""


def program(text: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, **options)


# ------------------------------------------------------------------------------------------------------ StandardIO


def test_a_program_between_two_pipes() -> None:
    with program(UPPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        out, err = started.communicate(b"shout " * 100_000, timeout=60)
    assert out == b"SHOUT " * 100_000
    assert err == b"ConnectionDone [True, True]\n"


def test_a_program_between_two_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"shout " * 100_000)
    with source.open("rb") as stdin, target.open("wb") as stdout, program(UPPER, stdin=stdin, stdout=stdout) as started:
        _, err = started.communicate(timeout=60)
    assert target.read_bytes() == b"SHOUT " * 100_000
    assert err == b"ConnectionDone [True, True]\n"


def test_a_program_whose_reader_goes() -> None:
    with program(UPPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdin is not None
        started.stdin.write(b"shout")
        started.stdin.flush()
        assert os.read(started.stdout.fileno(), 100) == b"SHOUT"
        started.stdout.close()
        _, err = started.communicate(timeout=60)
    assert err == b"ConnectionLost [True, True]\n"


def test_a_program_on_a_terminal() -> None:
    """Whose blocking mode is as it was, for the shell that goes on with it."""
    master, slave = pty.openpty()
    try:
        with program(UPPER, stdin=slave, stdout=slave) as started:
            os.write(master, b"shout\n")
            seen = b""
            while b"SHOUT" not in seen:
                seen += os.read(master, 100)
            os.write(master, b"\x04")
            _, err = started.communicate(timeout=60)
        assert os.get_blocking(slave)
    finally:
        os.close(master)
        os.close(slave)
    assert err == b"ConnectionDone [True, True]\n"


def test_the_end_of_the_reactor_ends_it(reactor: Reactor) -> None:
    """What the kernel takes is still written, and descriptors are as they were."""
    stdin, writes = os.pipe()
    reads, stdout = os.pipe()
    recorder = Recorder()

    def begin() -> None:
        StandardIO(recorder, stdin, stdout, reactor).write(b"last words")
        reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    assert [type(reason) for reason in recorder.reasons] == [ConnectionLost]
    assert os.read(reads, 100) == b"last words"
    assert os.get_blocking(stdin)
    assert os.get_blocking(stdout)
    for number in (stdin, writes, reads, stdout):
        os.close(number)


# ------------------------------------------------------------------------------------------------------- endpoints


def connected(reactor: Reactor, command: str, **arguments: Any) -> Any:
    return connectProtocol(ProcessEndpoint(reactor, "/bin/sh", [*SHELL, command], **arguments), Recorder())


def test_a_program_may_be_the_peer(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        recorder = await connected(reactor, "cat", env=None)
        assert provides(recorder.transport, ITransport)
        recorder.transport.write(b"hel")
        recorder.transport.writeSequence([b"l", b"o"])
        await recorder.got(5)
        assert not recorder.transport.disconnecting
        recorder.transport.loseConnection()
        assert recorder.transport.disconnecting
        assert type(await recorder.lost.times()) is ConnectionDone
        assert recorder.told == ["made", "data", "lost"]

    run(main)


def test_a_program_that_fails_says_so_in_the_end(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        recorder = await connected(reactor, "echo out; exit 3")
        error = await recorder.lost.times()
        assert type(error) is ProcessTerminated
        assert error.exitCode == 3
        assert recorder.received == b"out\n"

    run(main)


@pytest.mark.parametrize("behavior", StandardErrorBehavior)
def test_what_it_writes_to_its_standard_error(
    reactor: Reactor, run: Run, caplog: pytest.LogCaptureFixture, behavior: StandardErrorBehavior
) -> None:
    async def main() -> None:
        recorder = await connected(reactor, "echo trouble >&2", errFlag=behavior)
        await recorder.lost.times()
        assert recorder.received == b""

    with caplog.at_level(logging.WARNING):
        run(main)
    assert ("trouble" in caplog.text) is (behavior is StandardErrorBehavior.LOG)


def test_the_factory_is_in_use_while_the_program_runs(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        factory = FactoryRecorder()
        endpoint = ProcessEndpoint(reactor, "/bin/cat")
        one, two = await endpoint.connect(factory), await endpoint.connect(factory)
        assert factory.told[0] == "start"
        for recorder in (one, two):
            recorder.transport.loseConnection()
            await recorder.lost.times()
        await deferLater(reactor, 0)
        assert factory.numPorts == 0
        assert (factory.started, factory.stopped) == (1, 1)

    run(main)


def test_a_program_that_is_not_there(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await connectProtocol(ProcessEndpoint(reactor, "/nonexistent/program"), Recorder())
        factory = Factory[Any]()
        factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        with pytest.raises(NoProtocol):
            await ProcessEndpoint(reactor, "/bin/true").connect(factory)
        assert factory.numPorts == 0

    run(main)


def test_what_the_protocol_raises_ends_the_connection(reactor: Reactor, run: Run, logged: Any) -> None:
    async def main() -> None:
        for attribute in ("on_made", "on_data"):
            recorder = Recorder()
            setattr(recorder, attribute, lambda *args: 1 / 0)
            endpoint = ProcessEndpoint(reactor, "/bin/sh", [*SHELL, "echo out; cat"], {"PATH": os.defpath})
            await connectProtocol(endpoint, recorder)
            assert type(await recorder.lost.times()) is ZeroDivisionError
            assert len(logged.take(ZeroDivisionError)) == 1

    run(main)


def test_a_program_from_a_string(reactor: Reactor, run: Run) -> None:
    """With this program's environment."""

    async def main() -> None:
        recorder = await connectProtocol(clientFromString(reactor, "process:printf:%s|:a:b"), Recorder())
        await recorder.lost.times()
        assert recorder.received == b"a|b|"

    run(main)


def test_a_service_on_the_standard_streams_can_be_stopped() -> None:
    text = UPPER.replace("reactor.run()", "reactor.callWhenRunning(service.stopService)\nreactor.run()")
    with program(text, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stderr is not None
        assert started.stderr.read() == b"ConnectionDone [True, True]\n"


def test_streams_that_are_closed_are_a_failure(reactor: Reactor) -> None:
    text = """
import os
from netcore import reactor
from netcore.endpoints import serverFromString
from netcore.protocol import Factory, Protocol
factory = Factory.forProtocol(Protocol)
os.close(0)
def failed(failure):
    os.write(1, f"{failure.type.__name__} {factory.numPorts}".encode())
serverFromString(reactor, "stdio:").listen(factory).addErrback(failed)
"""
    with program(text, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        out, err = started.communicate(timeout=60)
    assert (out, err) == (b"OSError 0", b"")


def test_two_programs_of_ours_talk(reactor: Reactor) -> None:
    """One with its streams, the other with the program."""

    async def main() -> None:
        command = [sys.executable, "-c", UPPER]
        endpoint = ProcessEndpoint(reactor, sys.executable, command, None, childFDs={0: "w", 1: "r", 2: null})
        recorder = await connectProtocol(endpoint, Recorder())
        recorder.transport.write(b"shout")
        await recorder.got(5)
        assert recorder.received == b"SHOUT"
        recorder.transport.loseConnection()
        await recorder.lost.times()

    null = os.open("/dev/null", os.O_WRONLY)
    try:
        run_in(reactor, main)
    finally:
        os.close(null)


def test_it_says_what_it_is(reactor: Reactor, run: Run, logged: Any) -> None:
    """And what its protocol raises in the end is logged."""
    null = os.open("/dev/null", os.O_RDWR)

    class Failing(Recorder):
        def connectionLost(self, reason: Any) -> None:
            super().connectionLost(reason)
            raise ZeroDivisionError

    async def main() -> None:
        recorder = Failing()
        transport = StandardIO(recorder, null, null, reactor)
        assert repr(transport).startswith(f"<standard streams {null} and {null}, open; protocol ")
        assert {repr(transport.getHost()), repr(transport.getPeer())} == {f"<descriptor {null}>"}
        transport.stopProducing()
        transport.stopProducing()
        assert ", ending; " in repr(transport)
        assert type(await recorder.lost.times()) is ConnectionDone
        await deferLater(reactor, 0)
        assert ", ended; " in repr(transport)
        transport.loseConnection()
        transport.unregisterProducer()
        assert len(logged.take(ZeroDivisionError)) == 1

    run(main)
    os.close(null)


def test_streams_that_the_loop_cannot_watch_are_refused() -> None:
    """Nothing is left as it should not be."""
    reactor = Reactor("select")
    stdin, writes = os.pipe()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(1030)]
    try:
        with pytest.raises(OSError, match="cannot watch"):
            StandardIO(Recorder(), stdin, writes, reactor)
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        reactor.dispose()
    assert os.get_blocking(stdin)
    os.close(stdin)
    os.close(writes)


def test_a_pipe_that_is_open_both_ways_may_be_the_output(reactor: Reactor, run: Run, tmp_path: Path) -> None:
    """That there is something to read in it is not the end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    both = os.open(fifo, os.O_RDWR)
    stdin, writes = os.pipe()

    async def main() -> None:
        recorder = Recorder()
        StandardIO(recorder, stdin, both, reactor)
        os.write(both, b"x")
        for _ in range(5):
            await deferLater(reactor, 0)
        recorder.transport.write(b"yz")
        for _ in range(5):
            await deferLater(reactor, 0)
        assert os.read(both, 10) == b"xyz"
        assert recorder.told == ["made"]
        recorder.transport.loseConnection()
        await recorder.lost.times()

    run(main)
    for number in (both, stdin, writes):
        os.close(number)
