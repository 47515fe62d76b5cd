"""`IReactorProcess`: child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred
from netcore.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from netcore.failure import Failure
from netcore.interfaces import IProcessTransport, IReactorProcess, provides
from netcore.protocol import ProcessProtocol
from netcore.testing.contracts._contract import ReactorContract, driven, raises
from netcore.testing.contracts._recorder import Event, Pull, Push

__all__ = ["ProcessContract", "ProcessRecorder"]

BIG = bytes(range(256)) * 4096  # 1 MiB: more than pipes hold


class ProcessRecorder(ProcessProtocol):
    """Notes what it is told, in order; *on_made* and *on_data* may do something about it."""

    transport: Any

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received: dict[int, bytearray] = {}
        self.lost: dict[int, Event] = {number: Event() for number in range(10)}
        self.exited, self.ended = Event(), Event()
        self.pids: list[Any] = []
        self.inside = self.told_inside = False
        self.on_made: Callable[[ProcessRecorder], object] = lambda self: None
        self.on_data: Callable[[ProcessRecorder, int, bytes], object] = lambda self, number, data: None
        self._sizes: list[tuple[int, int, Deferred[None]]] = []

    def got(self, number: int, size: int) -> Deferred[None]:
        """Fires when *size* bytes have come from the child's descriptor *number*."""
        deferred = Deferred[None]()
        self._sizes.append((number, size, deferred))
        self._look()
        return deferred

    def _look(self) -> None:
        for waiting in [each for each in self._sizes if each[1] <= len(self.received.get(each[0], b""))]:
            self._sizes.remove(waiting)
            waiting[2].callback(None)

    def _tell(self, what: str) -> None:
        self.told_inside |= self.inside
        if self.told[-1:] != [what]:
            self.told.append(what)

    def connectionMade(self) -> None:
        self._tell("made")
        self.pids.append(self.transport.pid)
        self.on_made(self)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._tell(f"data {childFD}")
        self.received.setdefault(childFD, bytearray()).extend(data)
        self.on_data(self, childFD, data)
        self._look()

    def childConnectionLost(self, childFD: int) -> None:
        self._tell(f"lost {childFD}")
        self.lost[childFD].happened(childFD)

    def processExited(self, reason: Failure) -> None:
        self._tell("exited")
        self.exited.happened(reason.value)

    def processEnded(self, reason: Failure) -> None:
        self._tell("ended")
        self.pids.append(self.transport.pid)
        self.ended.happened(reason.value)

    def do(self, method: str, *args: Any) -> None:
        """Call a method of the transport, and note whether it calls the protocol from within."""
        self.inside = True
        try:
            getattr(self.transport, method)(*args)
        finally:
            self.inside = False


class ProcessContract(ReactorContract):
    """`IReactorProcess`, on a POSIX system with a shell in ``/bin/sh``. Override `makeReactor`."""

    interface = IReactorProcess

    def run_shell(self, command: str, protocol: ProcessRecorder | None = None, **arguments: Any) -> ProcessRecorder:
        """Have a shell run *command*."""
        protocol = protocol or ProcessRecorder()
        process = self.reactor.spawnProcess(
            protocol, "/bin/sh", ["sh", "-c", command], **{"env": {"PATH": os.defpath}, **arguments}
        )
        assert process is protocol.transport
        return protocol

    # What is told, and in which order

    @driven
    async def test_what_it_writes_is_heard_and_how_it_ends(self) -> None:
        """Its exit comes at any time; the end is the last."""
        child = self.run_shell("echo out; echo err >&2; exit 3")
        assert provides(child.transport, IProcessTransport)
        assert child.told == ["made"]
        error = await child.ended.times()
        assert child.received == {1: b"out\n", 2: b"err\n"}
        assert type(error) is ProcessTerminated
        assert (error.exitCode, error.signal, error.status) == (3, None, 3 << 8)
        assert child.told[0] == "made"
        assert child.told[-1] == "ended"
        assert {*child.told} == {"made", "data 1", "data 2", "lost 0", "lost 1", "lost 2", "exited", "ended"}
        assert child.exited.values == child.ended.values == [error]

    @driven
    async def test_exit_code_0_is_a_clean_end(self) -> None:
        """Its number is known until then."""
        child = self.run_shell("exit 0")
        error = await child.ended.times()
        assert type(error) is ProcessDone
        assert (error.exitCode, error.signal, error.status) == (0, None, 0)
        number, after = child.pids
        assert number > 0
        assert after is None

    @driven
    async def test_it_is_waited_for(self) -> None:
        """There is no zombie."""
        child = self.run_shell("exit 0")
        await child.ended.times()
        with raises(ChildProcessError):
            os.waitpid(child.pids[0], os.WNOHANG)  # noqa: ASYNC222

    @driven
    async def test_nobody_elses_child_is_waited_for(self) -> None:
        """Its status is there for whoever started it."""
        other = subprocess.Popen(["/bin/sh", "-c", "exit 5"])  # noqa: ASYNC220  # that is what it is about
        children = [self.run_shell("exit 0") for _ in range(3)]
        for child in children:
            await child.ended.times()
        await self.settle()
        assert other.wait() == 5

    @driven
    async def test_a_signal_ends_it(self) -> None:
        """The reason says which."""
        child = self.run_shell("kill -9 $$")
        error = await child.ended.times()
        assert type(error) is ProcessTerminated
        assert (error.exitCode, error.signal, error.status) == (None, 9, 9)

    @driven
    async def test_its_exit_may_come_before_its_end(self) -> None:
        """If it leaves its pipes to another process, which goes on."""
        child = self.run_shell("cat /dev/zero >&3 & echo $!; exit 0", childFDs={1: "r", 3: "r"})
        await child.got(1, 1)
        assert type(await child.exited.times()) is ProcessDone
        await self.settle()
        assert child.ended.values == []
        os.kill(int(child.received[1]), signal.SIGKILL)
        assert type(await child.ended.times()) is ProcessDone

    @driven
    async def test_it_may_close_its_standard_input_early(self) -> None:
        """That is heard at once, though nobody writes."""
        child = self.run_shell("exec <&-; read line <&3", childFDs={0: "w", 1: "r", 2: "r", 3: "w"})
        await child.lost[0].times()
        assert child.told == ["made", "lost 0"]
        child.transport.write(b"into the void")
        child.transport.writeToChild(3, b"go on\n")
        assert type(await child.ended.times()) is ProcessDone

    # What is asked for

    @driven
    async def test_its_environment_is_the_one_that_is_given(self) -> None:
        """Nothing else is in it. None is this process's."""
        outputs = []
        os.environ["NETCORE_CONTRACT"] = "inherited"
        try:
            for env in ({}, {"NETCORE_CONTRACT": "given", b"B": b"\xff"}, None):
                child = ProcessRecorder()
                self.reactor.spawnProcess(child, "/usr/bin/env", ["env"], env)
                await child.ended.times()
                outputs.append({*bytes(child.received.get(1, b"")).splitlines()})
        finally:
            del os.environ["NETCORE_CONTRACT"]
        assert outputs[:2] == [set(), {b"NETCORE_CONTRACT=given", b"B=\xff"}]
        assert b"NETCORE_CONTRACT=inherited" in outputs[2]

    @driven
    async def test_its_environment_is_empty_if_none_is_given(self) -> None:
        """As in Twisted."""
        child = ProcessRecorder()
        self.reactor.spawnProcess(child, "/usr/bin/env", ["env"])
        await child.ended.times()
        assert child.received == {}

    @driven
    async def test_its_arguments_are_handed_over_as_they_are(self) -> None:
        """Text is encoded as file names are."""
        child = ProcessRecorder()
        script = 'printf "%s|" "$0" "$@"'
        self.reactor.spawnProcess(child, b"/bin/sh", ["sh", "-c", script, "name", "a b", b"\xff", "", "é", "$HOME"])
        await child.ended.times()
        assert child.received[1] == b"name|a b|\xff||" + os.fsencode("é") + b"|$HOME|"

    @driven
    async def test_it_begins_in_the_directory_that_is_asked_for(self) -> None:
        """With other descriptors, too."""
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            for childFDs in (None, {1: "r", 7: "r"}):
                child = self.run_shell("pwd", path=folder, childFDs=childFDs)
                await child.ended.times()
                assert child.received[1] == os.fsencode(folder) + b"\n"

    @driven
    async def test_a_program_that_is_not_there_is_refused(self) -> None:
        """At once, and the protocol hears nothing."""
        child = ProcessRecorder()
        for executable, arguments in (
            ("/nonexistent/program", {}),
            ("nonexistent-program", {}),
            ("/", {}),
            ("/bin/sh", {"path": "/nonexistent"}),
            ("/nonexistent/program", {"childFDs": {3: "r"}}),
            ("/nonexistent/program", {"childFDs": {3: "r"}, "path": "/"}),
            ("/nonexistent/program", {"usePTY": True}),
            ("/bin/sh", {"childFDs": {0: 99999}}),
        ):
            with raises(OSError):
                self.reactor.spawnProcess(child, executable, ["program"], **arguments)
        await self.settle()
        assert child.told == []

    @driven
    async def test_what_makes_no_sense_is_refused(self) -> None:
        """At once."""
        child = ProcessRecorder()
        for arguments in (
            {"args": "a string"},
            {"args": ["sh", 1]},
            {"args": ["a\0b"]},
            {"env": {"a=b": "c"}},
            {"env": {"a": 1}},
            {"uid": "root"},
            {"childFDs": {0: "x"}},
            {"childFDs": {-1: "r"}},
            {"childFDs": {"0": "r"}},
            {"childFDs": {1: "r"}, "usePTY": True},
        ):
            with raises(TypeError, ValueError):
                self.reactor.spawnProcess(child, "/bin/sh", **arguments)
        assert child.told == []

    # Descriptors

    @driven
    async def test_descriptors_are_mapped_as_asked_for(self) -> None:
        """Both ways, under any number; and there are no others."""
        child = self.run_shell(
            "cat <&4 >&3; cat <&0 >&5; ls /proc/self/fd 2>/dev/null | wc -w; exit 0",
            childFDs={0: "w", 1: "r", 2: 2, 3: "r", 4: "w", 5: "r"},
        )
        child.transport.writeToChild(4, b"four")
        child.transport.closeChildFD(4)
        child.transport.writeToChild(0, b"ze")
        child.transport.write(b"ro")
        child.transport.closeStdin()
        await child.ended.times()
        # 0 to 5, and the directory that is listed; the shell may add one to save where it was.
        assert int(child.received.pop(1)) in {0, 6, 7, 8}
        assert child.received == {3: b"four", 5: b"zero"}
        assert [number for number in range(6) if child.lost[number].values] == [0, 1, 3, 4, 5]

    @driven
    async def test_a_descriptor_of_this_process_can_be_handed_over(self) -> None:
        """It stays open here."""
        with tempfile.TemporaryFile() as file:
            child = self.run_shell(
                "echo out; echo three >&3", childFDs={0: 0, 1: file.fileno(), 2: 1, 3: file.fileno()}
            )
            await child.ended.times()
            file.seek(0)
            assert file.read() == b"out\nthree\n"
        assert child.told == ["made", "exited", "ended"]

    @driven
    async def test_where_no_pipe_is_nothing_can_be_written(self) -> None:
        """By number that is an error; standard input may be gone."""
        child = self.run_shell("cat", childFDs={0: "w", 1: "r"})
        for number in (1, 2, 7):
            with raises(KeyError):
                child.transport.writeToChild(number, b"x")
        child.transport.closeStdin()
        await child.ended.times()
        child.transport.write(b"x")
        child.transport.closeStdin()
        child.transport.closeChildFD(7)
        child.transport.loseConnection()
        await self.settle()
        assert child.told[-1] == "ended"

    # Writing and reading

    @driven
    async def test_much_goes_in_and_comes_out_whole(self) -> None:
        """What is written before its input is closed; nothing after."""
        child = self.run_shell("cat")
        child.transport.writeSequence([BIG[:1000], bytearray(BIG[1000:2000])])
        child.do("write", BIG[2000:])
        child.do("closeStdin")
        child.transport.write(b"dropped")
        assert type(await child.ended.times()) is ProcessDone
        assert child.received[1] == BIG
        assert not child.told_inside
        with raises(TypeError):
            child.transport.write("text")

    @driven
    async def test_what_floods_its_standard_error_is_heard_whole(self) -> None:
        """Beside its standard output."""
        child = self.run_shell("head -c 1000000 /dev/zero >&2; echo done")
        await child.ended.times()
        assert len(child.received[2]) == 1000000
        assert child.received[1] == b"done\n"

    @driven
    async def test_paused_it_is_not_read(self) -> None:
        """Until it is resumed; then nothing is missing."""
        child = ProcessRecorder()
        child.on_data = lambda self, number, data: self.transport.pauseProducing()
        self.run_shell("head -c 1000000 /dev/zero", child)
        await child.got(1, 1)
        await self.settle()
        before = len(child.received[1])
        await self.settle()
        assert len(child.received[1]) == before < 1000000
        child.on_data = lambda self, number, data: None
        child.transport.resumeProducing()
        await child.ended.times()
        assert len(child.received[1]) == 1000000

    @driven
    async def test_a_producer_on_its_input_is_paused_and_resumed(self) -> None:
        """As the child reads. Closing the input waits for it."""
        child, producer = self.run_shell("read line; cat"), Push()
        child.transport.registerProducer(producer, True)
        with raises(RuntimeError):
            child.transport.registerProducer(Push(), True)
        child.transport.write(BIG)
        assert producer.told == ["pause"]
        child.transport.closeStdin()
        await producer.resumed.times()
        child.transport.write(b"the last")
        child.transport.unregisterProducer()
        await child.ended.times()
        assert child.received[1] == (BIG + b"the last").partition(b"\n")[2]

    @driven
    async def test_a_producer_on_its_input_is_asked_for_more(self) -> None:
        """Until it has no more."""
        child = self.run_shell("cat")
        pieces = [BIG[:100000], b"and", b" more"]
        child.transport.registerProducer(Pull(child.transport, [*pieces]), False)
        child.transport.closeStdin()
        await child.ended.times()
        assert child.received[1] == b"".join(pieces)

    @driven
    async def test_a_producer_is_told_to_stop_when_nobody_reads(self) -> None:
        """When the child ends; or at once, if it has no standard input."""
        child, producers = self.run_shell("exit 0"), [Push() for _ in range(3)]
        child.transport.registerProducer(producers[0], True)
        await child.ended.times()
        child.transport.registerProducer(producers[1], True)
        other = self.run_shell("exit 0", childFDs={1: "r"})
        other.transport.registerProducer(producers[2], True)
        await other.ended.times()
        assert [producer.told for producer in producers] == [["stop"]] * 3

    # Ending it

    @driven
    async def test_signals_are_sent_by_name_and_by_number(self) -> None:
        """None to one that has ended, or that does not exist."""
        for name, number in (("KILL", 9), ("TERM", 15), ("SIGINT", 2), (15, 15), ("HUP", 1)):
            child = self.run_shell("echo ready; exec cat")
            await child.got(1, 6)
            with raises(ValueError):
                child.transport.signalProcess("NONSENSE")
            child.transport.signalProcess(name)
            error = await child.ended.times()
            assert error.signal == number
            with raises(ProcessExitedAlready):
                child.transport.signalProcess(name)

    @driven
    async def test_it_may_be_stopped_and_go_on(self) -> None:
        """That is no end."""
        child = self.run_shell("echo ready; cat")
        await child.got(1, 6)
        child.transport.signalProcess("STOP")
        child.transport.write(b"heard")
        child.transport.closeStdin()
        await self.settle()
        assert child.exited.values == []
        child.transport.signalProcess("CONT")
        assert type(await child.ended.times()) is ProcessDone
        assert child.received[1] == b"ready\nheard"

    @driven
    async def test_losing_the_connection_closes_its_pipes(self) -> None:
        """Those of its standard streams; it ends as it likes."""
        child = self.run_shell("cat; read line <&3; exit 4", childFDs={0: "w", 1: "r", 2: "r", 3: "w"})
        child.do("loseConnection")
        for number in (0, 1, 2):
            await child.lost[number].times()
        assert child.exited.values == []
        child.transport.writeToChild(3, b"\n")
        error = await child.ended.times()
        assert error.exitCode == 4
        assert not child.told_inside

    @driven
    async def test_output_can_be_refused(self) -> None:
        """A child that writes where nobody reads gets SIGPIPE, though Python ignores that."""
        child = self.run_shell("read line; echo x; echo y; exit 0")
        child.do("closeStdout")
        await child.lost[1].times()
        child.transport.write(b"\n")
        error = await child.ended.times()
        assert error.signal == signal.SIGPIPE
        assert not child.told_inside
        assert child.received == {}

    @driven
    async def test_what_callbacks_raise_is_logged(self) -> None:
        """What raised upon data hears no more from there; the process is heard of to its end."""
        child = ProcessRecorder()
        child.on_data = lambda self, number, data: 1 / 0
        self.run_shell("echo out; read line; exit 0", child)
        await child.lost[1].times()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        child.transport.write(b"\n")
        assert type(await child.ended.times()) is ProcessDone

    @driven
    async def test_raising_when_it_is_made_ends_it(self) -> None:
        """Its pipes are closed, that is."""
        child = ProcessRecorder()
        child.on_made = lambda self: 1 / 0
        self.run_shell("cat", child)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        await child.ended.times()

    # Terminals

    @driven
    async def test_it_may_have_a_terminal_of_its_own(self) -> None:
        """Which controls it; what it writes there comes from descriptor 1."""
        for path in (None, "/"):
            child = self.run_shell(
                "stty -echo; test -t 0 && test -t 1 && test -t 2 && echo ready;"
                " read line; echo $line >/dev/tty; exit 3",
                usePTY=True,
                path=path,
            )
            await child.got(1, len("ready\r\n"))
            child.transport.write(b"typed\n")
            error = await child.ended.times()
            assert error.exitCode == 3
            assert child.received == {1: b"ready\r\ntyped\r\n"}
            assert {*child.told} == {"made", "data 1", "exited", "ended"}
            assert child.told[-1] == "ended"

    @driven
    async def test_a_terminal_can_be_hung_up(self) -> None:
        """What runs there gets SIGHUP."""
        child = self.run_shell("echo ready; exec cat", usePTY=True)
        await child.got(1, len("ready\r\n"))
        child.do("loseConnection")
        error = await child.ended.times()
        assert error.signal == signal.SIGHUP
        assert not child.told_inside

    @driven
    async def test_a_terminal_may_be_brought_along(self) -> None:
        """The slave stays its owner's."""
        import fcntl
        import struct
        import termios

        master, slave = os.openpty()
        try:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            child = self.run_shell("stty size", usePTY=(master, slave, os.ttyname(slave)))
            await child.exited.times()
        finally:
            os.close(slave)
        await child.ended.times()
        assert child.received == {1: b"24 80\r\n"}

    # Many

    @driven
    async def test_many_at_a_time_are_told_apart(self) -> None:
        """Every output whole, every status right."""
        children = [self.run_shell(f"head -c {number * 999} /dev/zero; exit {number}") for number in range(20)]
        for number, child in enumerate(children):
            error = await child.ended.times()
            assert error.exitCode == number
            assert len(child.received.get(1, b"")) == number * 999
