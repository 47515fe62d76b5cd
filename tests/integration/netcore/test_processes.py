"""Child processes, beside what is asked of every reactor (`netcore.testing.contracts.ProcessContract`)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import Deferred, gatherResults
from netcore.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from netcore.protocol import ProcessProtocol
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.testing.contracts._processes import ProcessRecorder
from netcore.testing.contracts._recorder import Pull, Push
from tests.integration.netcore.conftest import Run, run_in
from tests.support.waiting import wait_until


def shell(reactor: Any, command: str, protocol: Any = None, **arguments: Any) -> Any:
    protocol = protocol or ProcessRecorder()
    environment = {"PATH": os.defpath}
    reactor.spawnProcess(protocol, "/bin/sh", ["sh", "-c", command], **{"env": environment, **arguments})
    return protocol


def is_there(pid: int) -> bool:
    """Whether the process exists, as a zombie at least."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ------------------------------------------------------------------------------------------------- how it is waited for


@pytest.fixture
def without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.mark.usefixtures("without_pidfd")
class TestWithoutPidfd:
    def test_a_thread_waits(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            children = [shell(reactor, f"exit {number}") for number in range(5)]
            for number, child in enumerate(children):
                error = await child.ended.times()
                assert error.exitCode == number
                assert not is_there(child.pids[0])

        run(main)

    def test_signals_go_to_none_that_has_ended(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            child = shell(reactor, "echo ready; exec cat")
            await child.got(1, 6)
            child.transport.signalProcess("TERM")
            error = await child.ended.times()
            assert error.signal == signal.SIGTERM
            child = shell(reactor, "exit 0", childFDs={1: "r"})
            process = child.transport
            wait_until(
                lambda: process._child._reaped, "the thread has waited for it"
            )  # and the reactor not heard of it
            with pytest.raises(ProcessExitedAlready):
                process.signalProcess("KILL")
            await child.ended.times()

        run(main)

    def test_a_process_that_outlives_the_reactor_is_waited_for(self, new_reactor: Callable[[], Reactor]) -> None:
        check_outliving(new_reactor())


def test_another_thread_may_run_the_reactor() -> None:
    """There are no signal handlers in it."""
    ended: list[Any] = []

    def in_thread() -> None:
        reactor = Reactor()

        async def main() -> None:
            child = shell(reactor, "cat; exit 4")
            child.transport.write(b"heard")
            child.transport.closeStdin()
            ended.append((await child.ended.times()).exitCode)
            ended.append(bytes(child.received[1]))

        run_in(reactor, main)
        reactor.dispose()

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert ended == [4, b"heard"]


def test_two_reactors_have_children_of_their_own() -> None:
    results: dict[int, list[int]] = {}
    together = threading.Barrier(2)

    def in_thread(base: int) -> None:
        reactor = Reactor()

        async def main() -> None:
            together.wait()
            children = [shell(reactor, f"exit {base + number}") for number in range(10)]
            results[base] = [(await child.ended.times()).exitCode for child in children]

        run_in(reactor, main)
        reactor.dispose()

    threads = [threading.Thread(target=in_thread, args=(base,)) for base in (100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {base: [base + number for number in range(10)] for base in (100, 200)}


def test_a_status_that_somebody_took_away_is_said_to_be_lost(
    reactor: Reactor, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        child = shell(reactor, "exit 3", childFDs={})
        os.waitpid(child.pids[0], 0)  # noqa: ASYNC222
        error = await child.ended.times()
        assert type(error) is ProcessTerminated
        assert (error.exitCode, error.signal, error.status) == (None, None, None)
        assert "waited for it" in str(error)

    run(main)
    assert "its status is lost" in caplog.text


def test_ignored_sigchld_takes_statuses_away(reactor: Reactor, run: Run) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    async def main() -> None:
        error = await shell(reactor, "exit 3").ended.times()
        assert (error.exitCode, error.status) == (None, None)

    try:
        run(main)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_asyncios_own_subprocesses_work_beside_it(reactor: Reactor, run: Run) -> None:
    """In a program of asyncio's, whose loop the reactor is attached to."""

    async def main() -> None:
        attached = Reactor.current()
        theirs = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 6")
        ours = [shell(attached, f"exit {number}") for number in range(5)]
        assert await theirs.wait() == 6
        assert [(await child.ended.times()).exitCode for child in ours] == list(range(5))

    asyncio.run(main())


# ---------------------------------------------------------------------------------------------- the end of the reactor


def check_outliving(reactor: Reactor) -> None:
    child = ProcessRecorder()
    watched: list[int] = []

    def begin() -> None:
        shell(reactor, "trap '' PIPE HUP; read line <&3; exit 3", child, childFDs={0: "w", 1: "r", 2: "r", 3: holds})
        child.transport.write(b"never read")
        reactor.stop()

    holds, release = os.pipe()
    before = set(os.listdir("/proc/self/fd"))
    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    os.close(holds)
    reactor.dispose()
    pid = child.pids[0]
    watched += [int(name) for name in os.listdir("/proc/self/fd") if name not in before]
    assert watched == []
    assert child.told == ["made", "lost 0", "lost 1", "lost 2"]
    assert is_there(pid)
    os.close(release)
    wait_until(lambda: not is_there(pid), "the child has ended, and is waited for")


def test_a_process_may_outlive_the_reactor(new_reactor: Callable[[], Reactor]) -> None:
    """Its pipes are closed, no descriptor is left here, and no zombie in the end."""
    check_outliving(new_reactor())


def test_a_reactor_that_runs_again_hears_of_it(reactor: Reactor, run: Run) -> None:
    child = ProcessRecorder()
    holds, release = os.pipe()

    def begin() -> None:
        shell(reactor, "read line <&3; exit 3", child, childFDs={0: "w", 1: "r", 2: "r", 3: holds})
        reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    assert child.told == ["made", "lost 0", "lost 1", "lost 2"]
    os.close(release)
    os.close(holds)

    async def main() -> None:
        error = await child.ended.times()
        assert error.exitCode == 3

    run(main)
    assert child.told[-2:] == ["exited", "ended"]


def test_one_that_has_ended_already_is_waited_for_when_the_reactor_is_disposed_of(reactor: Reactor) -> None:
    child = ProcessRecorder()

    def begin() -> None:
        shell(reactor, "exit 0", child)
        os.waitid(os.P_PID, child.pids[0], os.WEXITED | os.WNOWAIT)
        reactor.crash()

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    assert not is_there(child.pids[0])


def test_at_the_interpreters_end_nothing_is_waited_for() -> None:
    """The global reactor's children go on."""
    program = """
import os
from netcore import reactor
from netcore.protocol import ProcessProtocol
reactor.callWhenRunning(reactor.crash)
reactor.run()
command = ["sh", "-c", "trap '' HUP; read line <&3"]
process = reactor.spawnProcess(ProcessProtocol(), "/bin/sh", command, childFDs={3: 0})
print(process.pid)
"""
    holds, release = os.pipe()
    done = subprocess.run([sys.executable, "-c", program], stdin=holds, capture_output=True, text=True, check=True)
    os.close(holds)
    assert done.stderr == ""
    pid = int(done.stdout)
    assert is_there(pid)
    os.close(release)


# ------------------------------------------------------------------------------------------------- what it begins with


def test_it_may_be_another_user(reactor: Reactor, run: Run) -> None:
    """In that user's groups, and in none of ours; whoever is not root is refused."""

    async def main() -> None:
        command = "id -u; id -g; id -G"
        if os.geteuid() != 0:
            with pytest.raises(PermissionError):
                shell(reactor, command, uid=0, gid=0)
            return
        for arguments in ({}, {"usePTY": True}, {"childFDs": {1: "r", 3: "r"}}):
            child = shell(reactor, command, uid=65534, gid=65534, path="/", **arguments)
            await child.ended.times()
            assert child.received[1].split() == [b"65534"] * 3

    run(main)


def test_what_is_open_here_is_not_open_there(reactor: Reactor, run: Run) -> None:
    """Though it can be inherited."""
    reads, writes = os.pipe()
    os.set_inheritable(writes, True)

    async def main() -> None:
        for arguments in (
            {},
            {"usePTY": True},
            {"childFDs": {1: "r", 5: "r"}},
            {"childFDs": {1: "r", 5: "r"}, "path": "/"},
        ):
            child = shell(reactor, f"test -e /proc/self/fd/{writes} || echo no", **arguments)
            await child.ended.times()
            assert child.received[1].strip() == b"no"

    try:
        run(main)
    finally:
        os.close(reads)
        os.close(writes)


def test_descriptors_may_trade_their_numbers(reactor: Reactor, run: Run) -> None:
    """Also below those that the program is started with."""
    pipes = [os.pipe() for _ in range(2)]
    (one, _), (other, _) = pipes

    async def main() -> None:
        for path in (None, "/"):
            for (_, write), text in zip(pipes, (b"one\n", b"other\n"), strict=True):
                os.write(write, text)
            child = shell(
                reactor,
                f"echo $(head -n 1 /proc/self/fd/{one}) $(head -n 1 /proc/self/fd/{other})",
                childFDs={1: "r", one: other, other: one},
                path=path,
            )
            await child.ended.times()
            assert child.received[1] == b"other one\n"

    try:
        run(main)
    finally:
        for pipe in pipes:
            os.close(pipe[0])
            os.close(pipe[1])


def test_a_program_is_looked_for_on_the_path_it_is_given(reactor: Reactor, run: Run, tmp_path: Any) -> None:
    program = tmp_path / "program-of-ours"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)

    async def main() -> None:
        child = ProcessRecorder()
        reactor.spawnProcess(child, "program-of-ours", env={"PATH": f"/nonexistent:{tmp_path}"})
        await child.ended.times()
        assert child.received == {1: b"found\n"}
        child = ProcessRecorder()
        reactor.spawnProcess(child, "true")
        assert type(await child.ended.times()) is ProcessDone

    run(main)


def test_a_descriptor_that_the_loop_cannot_watch_is_refused() -> None:
    reactor = Reactor("select")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(1030)]
    try:
        for arguments in ({}, {"usePTY": True}):
            with pytest.raises(OSError, match="cannot watch"):
                shell(reactor, "true", **arguments)
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        reactor.dispose()


# ------------------------------------------------------------------------------------------------------------ terminals


def test_a_shell_on_a_terminal_is_talked_with(reactor: Reactor, run: Run) -> None:
    """With job control, which needs a controlling terminal."""

    async def main() -> None:
        child = ProcessRecorder()
        environment = {"PS1": "ready> ", "TERM": "dumb", "PATH": os.defpath, "HOME": "/nonexistent"}
        command = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
        reactor.spawnProcess(child, "/bin/bash", command, environment, usePTY=True)
        child.transport.write(b"stty rows 33 cols 99\nstty size\njobs; sleep 100 &\nkill %1; wait\nexit 7\n")
        error = await child.ended.times()
        assert error.exitCode == 7
        text = bytes(child.received[1])
        assert b"33 99" in text
        assert b"no job control" not in text
        assert b"Terminated" in text

    run(main)


# ----------------------------------------------------------------------------------------------------------------- many


class Stranger(ProcessProtocol):
    """A child whose doings were chosen at random, and what is to come of them."""

    def __init__(self, random: random.Random) -> None:
        self.out = self.err = 0
        self.code: int | None = random.randrange(256)
        self.signal: int | None = None
        self.want_out, self.want_err = random.choice([0, 1, 5000, 100_000]), random.choice([0, 0, 3, 70_000])
        self.command = f"head -c {self.want_out} /dev/zero; head -c {self.want_err} /dev/zero >&2; "
        end = random.randrange(4)
        if end == 0:
            self.code, self.signal = None, random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
            self.command += f"kill -{int(self.signal)} $$"
        elif end == 1:  # what it leaves holds the pipes for a while
            self.command += f"(head -c 10 /dev/zero; exit 1) & exit {self.code}"
            self.want_out += 10
        elif end == 2:
            self.command = f"exec <&-; {self.command} exit {self.code}"
        else:
            self.command += f"exit {self.code}"
        self.ended = Deferred[None]()

    def outReceived(self, data: bytes) -> None:
        self.out += len(data)

    def errReceived(self, data: bytes) -> None:
        self.err += len(data)

    def processEnded(self, reason: Any) -> None:
        assert (self.out, self.err) == (self.want_out, self.want_err)
        assert (reason.value.exitCode, reason.value.signal) == (self.code, self.signal)
        self.ended.callback(None)


def test_many_of_all_kinds_are_told_apart(reactor: Reactor, run: Run) -> None:
    """Every output whole, every status right, no zombie, no descriptor."""
    chosen = random.Random(6)
    pids: list[int] = []

    async def one_after_the_other(count: int) -> None:
        for _ in range(count):
            child = shell(reactor, (stranger := Stranger(chosen)).command, stranger)
            pids.append(child.transport.pid)
            await child.ended

    async def main() -> None:
        await gatherResults([Deferred.fromCoroutine(one_after_the_other(8)) for _ in range(8)])

    run(main)
    gc.collect()
    assert len(pids) == 64
    assert not any(map(is_there, pids))
    assert not reactor._open


def test_a_terminal_takes_producers_and_is_paused(reactor: Reactor, run: Run) -> None:
    """As pipes do."""

    async def main() -> None:
        child = shell(reactor, "stty -echo raw; echo ready; head -c 11", usePTY=True)
        process = child.transport
        await child.got(1, len("ready\n"))
        process.pauseProducing()
        process.registerProducer(Pull(process, [b"some ", b"more "]), False)
        process.writeSequence([b"."])
        for _ in range(10):
            await deferLater(reactor, 0)
        assert b"some" not in child.received[1]
        process.resumeProducing()
        await child.ended.times()
        assert sorted(child.received[1].partition(b"ready")[2].lstrip(b"\r\n")) == sorted(b"some more .")
        late = Push()
        process.registerProducer(late, True)
        process.unregisterProducer()
        assert late.told == ["stop"]

    run(main)


def test_a_terminal_has_no_parts(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        child = shell(reactor, "read line; exit 3", usePTY=True)
        process = child.transport
        for method, arguments in (("writeToChild", (0, b"x")), ("closeChildFD", (0,))):
            with pytest.raises(NotImplementedError):
                getattr(process, method)(*arguments)
        process.closeStdin()
        process.closeStdout()
        process.closeStderr()
        process.write(b"\n")
        assert (await child.ended.times()).exitCode == 3
        process.write(b"into the void")
        process.loseConnection()

    run(main)


def test_raising_upon_what_comes_from_a_terminal_hangs_up(reactor: Reactor, run: Run, logged: Any) -> None:
    async def main() -> None:
        child = ProcessRecorder()
        child.on_data = lambda *args: 1 / 0
        shell(reactor, "echo out; exec cat", child, usePTY=True)
        assert (await child.ended.times()).signal == signal.SIGHUP
        assert len(logged.take(ZeroDivisionError)) == 1

    run(main)


def test_the_end_of_the_reactor_hangs_up(reactor: Reactor) -> None:
    child = ProcessRecorder()
    reactor.callWhenRunning(lambda: (shell(reactor, "exec cat", child, usePTY=True), reactor.stop()))
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    wait_until(lambda: not is_there(child.pids[0]), "it has ended, and is waited for")


@pytest.mark.parametrize("method", ["pauseProducing", "resumeProducing", "stopProducing"])
def test_a_producer_that_raises_loses_its_pipe(reactor: Reactor, run: Run, logged: Any, method: str) -> None:
    async def main() -> None:
        producer = Push()
        setattr(producer, method, lambda: 1 / 0)
        child = shell(reactor, "exec cat >/dev/null")
        child.transport.registerProducer(producer, True)
        child.transport.write(bytes(1_000_000))
        if method == "stopProducing":
            child.transport.signalProcess("KILL")
        await child.ended.times()
        assert len(logged.take(ZeroDivisionError)) == 1
        assert "lost 0" in child.told

    run(main)


def test_they_say_what_they_are(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        child = shell(reactor, "exit 3")
        process = child.transport
        assert repr(process).startswith(f"<Process '/bin/sh', pid {process.pid}; protocol ")
        assert (repr(process.getPeer()), repr(process.getHost())) == (
            f"<process {process.pid}>",
            f"<process {os.getpid()}>",
        )
        with pytest.raises(TypeError):
            process.signalProcess(None)
        with pytest.raises(OSError, match="Invalid argument"):
            process.signalProcess(12345)
        process.stopProducing()
        assert process.disconnecting
        await child.ended.times()
        assert repr(process) == "<Process '/bin/sh', ended, status 768; protocol None>"

    run(main)


def test_what_goes_wrong_in_the_child_is_raised(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python runs there."""

    def refuse(*args: Any) -> None:
        raise OSError("refused")

    before = set(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="could not be set up"):
        patch.setattr(os, "dup2", refuse)
        shell(reactor, "exit 0", path="/", childFDs={5: "r"})
    assert set(os.listdir("/proc/self/fd")) == before
    assert not reactor._open


def test_without_descriptors_it_is_refused(reactor: Reactor) -> None:
    """And nothing is left."""
    before = set(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    pids: list[int] = []
    for spare in range(12):
        for arguments in ({}, {"usePTY": True}, {"childFDs": {5: "r", 6: "w"}}, {"childFDs": {5: "r"}, "path": "/"}):
            with contextlib.suppress(OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + spare, hard))
                try:
                    process: Any = reactor.spawnProcess(ProcessProtocol(), "/bin/true", **arguments)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                pids.append(process.pid)
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    reactor.dispose()
    assert set(os.listdir("/proc/self/fd")) - before == set()
    assert pids
    assert not any(map(is_there, pids))


def test_pipes_that_the_loop_cannot_watch_are_closed(
    reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may watch only so many (epoll(7)); the process is heard of to its end, by a thread."""

    def refuse(*args: Any) -> None:
        raise OSError("no space left")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(reactor, "_watcher", Refusing(reactor._watcher))
            children = [shell(reactor, "cat; exit 3"), shell(reactor, "exec cat", usePTY=True)]
        assert (await children[0].ended.times()).exitCode == 3
        assert (await children[1].ended.times()).signal == signal.SIGHUP

    class Refusing:
        def __init__(self, watcher: Any) -> None:
            self.add_writer, self.add_reader = watcher.add_writer, refuse
            self.remove_writer, self.remove_reader = watcher.remove_writer, watcher.remove_reader

    run(main)


def test_a_forked_copy_of_the_reactor_leaves_our_children_alone(reactor: Reactor, run: Run) -> None:
    program = """
import os, sys, warnings
from netcore.protocol import ProcessProtocol
from netcore.reactors import Reactor
class Child(ProcessProtocol):
    def processEnded(self, reason):
        print(reason.value.exitCode, flush=True)
        reactor.stop()
reactor = Reactor("poll")
def begin():
    process = reactor.spawnProcess(Child(), "/bin/sh", ["sh", "-c", "read line; exit 3"])
    if not os.fork():
        process._child.leave()
        os._exit(0)
    os.wait()
    process.write(b"\\n")
reactor.callWhenRunning(begin)
reactor.run()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("3\n", "")
