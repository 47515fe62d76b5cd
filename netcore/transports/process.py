"""Child processes, as a reactor starts them: with pipes, `Process`, or on a pseudo-terminal, `PTYProcess`.

What holds:

* The protocol hears, in this order: ``makeConnection``, from within ``spawnProcess``; then ``childDataReceived``,
  ``childConnectionLost`` and ``processExited``, from the loop, as it happens; ``processEnded`` when the process has
  ended and all its pipes are closed. Never is it called from within a call that it makes itself.
* A process that was started is waited for, whatever becomes of its protocol, its pipes or the reactor (`_child`).
* When the reactor shuts down, the pipes are closed, and the process goes on if it likes: it is not ours to end. If the
  reactor runs again, the protocol still hears of its end.
* What a callback raises is logged; if it was ``childDataReceived``, that pipe is closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from netcore._bytes import as_bytes
from netcore.interfaces import IConsumer, IProcessTransport, IPushProducer, implementer
from netcore.reactors._select import too_large
from netcore.transports._pipes import PipeReader, PipeWriter
from netcore.transports._process_base import ProcessTransport
from netcore.transports._spawn import Program, spawn

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["PIPES", "PTYProcess", "Process"]

PIPES: Mapping[int, int | str] = {0: "w", 1: "r", 2: "r"}  # a child's descriptors, unless something else is asked for


@implementer(IProcessTransport, IConsumer, IPushProducer)
class Process(ProcessTransport):
    """A child process with pipes. As a consumer it is its standard input; as a producer, all that it writes.

    Args:
        childFDs: see `IReactorProcess.spawnProcess`.
    Attributes: *pipes*, the numbers of its descriptors that pipes lead to, and their readers and writers.
    Threading: the reactor's thread only.
    """

    def __init__(
        self, reactor: Reactor, proto: Any, program: Program, childFDs: Mapping[int, int | str] | None = None
    ) -> None:
        super().__init__(reactor, proto, program)
        self._wanted = _checked(PIPES if childFDs is None else childFDs)
        self.pipes: dict[int, PipeReader | PipeWriter] = {}

    def start(self) -> None:
        """Run the program. Raises: OSError: it cannot be."""
        ours: dict[int, int] = {}
        theirs: list[int] = []
        descriptors: dict[int, int] = {}
        try:
            for there, what in self._wanted.items():
                if isinstance(what, int):
                    os.fstat(what)  # is it open?
                    descriptors[there] = what
                    continue
                one, other = os.pipe()
                ours[there], descriptors[there] = (one, other) if what == "r" else (other, one)
                theirs.append(descriptors[there])
                if ours[there] >= self._reactor._descriptors_below:
                    raise too_large(ours[there])
                os.set_blocking(ours[there], False)
            pid = spawn(self._program, descriptors)
        except BaseException:
            for number in ours.values():
                os.close(number)
            raise
        finally:
            for number in theirs:
                os.close(number)
        for there, number in ours.items():
            self._begin(there, number)
        self._runs(pid)

    def _begin(self, there: int, number: int) -> None:
        pipe: PipeReader | PipeWriter
        if self._wanted[there] == "r":
            pipe = PipeReader(
                self._reactor, number, lambda data: self._received(there, data), lambda error: self._lost(there)
            )
        else:
            pipe = PipeWriter(self._reactor, number, self._context, lambda error: self._lost(there), self)
        self.pipes[there] = pipe
        try:
            if isinstance(pipe, PipeReader):
                pipe.resume()
            else:
                pipe.look_for_the_reader()
        except OSError:  # epoll_ctl(2): no memory, or a user's limit
            pipe.close()
            self._loop.call_soon(self._lost, there)

    def _received(self, there: int, data: bytes) -> None:
        if not self._tell(self.proto.childDataReceived, there, data):
            self.closeChildFD(there)

    def _lost(self, there: int) -> None:
        if self.pipes.pop(there, None) is not None:
            self._tell(self.proto.childConnectionLost, there)
            self._see_whether_it_is_over()

    def _pipes_open(self) -> bool:
        return bool(self.pipes)

    def _let_go_of_pipes(self) -> None:
        for there, pipe in list(self.pipes.items()):
            if isinstance(pipe, PipeWriter):
                pipe.write_at_once()
            pipe.close()
            self._lost(there)

    # Writing

    def write(self, data: bytes) -> None:
        """Write *data* to its standard input; dropped if there is none, or it is closing.

        Raises: TypeError: *data* is not bytes-like.
        """
        data = as_bytes(data)
        stdin = self.pipes.get(0)
        if isinstance(stdin, PipeWriter):
            stdin.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write all pieces of *data* to its standard input.

        Raises: TypeError: one is not bytes-like.
        """
        self.write(b"".join(data))

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write *data* to its descriptor *childFD*.

        Raises: KeyError: no pipe that is written to leads there (any more). TypeError: *data* is not bytes-like.
        """
        pipe = self.pipes[childFD]
        if not isinstance(pipe, PipeWriter):
            raise KeyError(childFD)
        pipe.write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*, which writes to its standard input: an `IPushProducer` if *streaming*, else
        an `IPullProducer`. It is told to stop at once if there is no such pipe, or it is closing.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        stdin = self.pipes.get(0)
        if isinstance(stdin, PipeWriter):
            stdin.registerProducer(producer, streaming)
        else:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished. A `closeStdin` that waited for it takes effect."""
        stdin = self.pipes.get(0)
        if isinstance(stdin, PipeWriter):
            stdin.unregisterProducer()

    # Reading

    def pauseProducing(self) -> None:
        """Read nothing more of what it writes: it will find that it cannot write."""
        for pipe in self.pipes.values():
            if isinstance(pipe, PipeReader):
                pipe.pause()

    def resumeProducing(self) -> None:
        """Read again."""
        for pipe in self.pipes.values():
            if isinstance(pipe, PipeReader):
                pipe.resume()

    # Closing

    def closeChildFD(self, descriptor: int) -> None:
        """Close the pipe at its *descriptor*, if there is one: what it writes there is not heard of any more; what was
        written for it is written first. The protocol's ``childConnectionLost`` follows."""
        pipe = self.pipes.get(descriptor)
        if isinstance(pipe, PipeWriter):
            pipe.lose()
        elif pipe is not None and not pipe.closed:
            pipe.close()
            self._loop.call_soon(self._lost, descriptor)

    def closeStdin(self) -> None:
        """Close its standard input, once everything written so far is in the pipe, and a registered producer has
        finished."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """Read its standard output no more."""
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        """Read its standard error no more."""
        self.closeChildFD(2)

    def loseConnection(self) -> None:
        """Close its standard input, output and error. Most programs end upon that, sooner or later; `signalProcess` is
        for those that do not."""
        self.disconnecting = True
        for descriptor in (0, 2, 1):
            self.closeChildFD(descriptor)


@implementer(IProcessTransport, IConsumer, IPushProducer)
class PTYProcess(ProcessTransport):
    """A child process in a session of its own, on a pseudo-terminal that is its standard streams.

    What it writes is ``childDataReceived`` with a *childFD* of 1; there is no ``childConnectionLost``.

    Args:
        usePTY: True; or (master, slave, name of the slave), which was opened before. The master is the transport's
            then, and closed by it; the slave is the caller's.
    Threading: the reactor's thread only.
    """

    def __init__(self, reactor: Reactor, proto: Any, program: Program, usePTY: Any = True) -> None:
        super().__init__(reactor, proto, program)
        self._given = usePTY if isinstance(usePTY, (tuple, list)) else None
        self._reader: PipeReader | None = None
        self._writer: PipeWriter | None = None

    def start(self) -> None:
        """Run the program. Raises: OSError: it cannot be."""
        master, slave = os.openpty() if self._given is None else self._given[:2]
        copy = -1
        try:
            if master >= self._reactor._descriptors_below:
                raise too_large(master)
            os.set_blocking(master, False)
            copy = os.dup(master)
            pid = spawn(self._program, {}, slave)
        except BaseException:
            if copy >= 0:
                os.close(copy)
            if self._given is None:
                os.close(master)
            raise
        finally:
            if self._given is None:
                os.close(slave)
        # Two descriptors, so that each end of the conversation can be closed by itself. Both are non-blocking.
        self._reader = PipeReader(self._reactor, master, self._received, self._lost)
        self._writer = PipeWriter(self._reactor, copy, self._context, self._write_ended, self)
        try:
            self._reader.resume()
        except OSError as error:
            self._loop.call_soon(self._lost, error)
        self._runs(pid)

    def _received(self, data: bytes) -> None:
        if not self._tell(self.proto.childDataReceived, 1, data):
            self._lost(None)

    def _write_ended(self, error: OSError | None) -> None:
        if error is None or self.disconnecting:  # else there may be something left to read
            self._lost(error)

    def _lost(self, error: OSError | None) -> None:
        if self._reader is not None and self._writer is not None:
            reader, writer, self._reader, self._writer = self._reader, self._writer, None, None
            reader.close()
            writer.close()
            self._see_whether_it_is_over()

    def _pipes_open(self) -> bool:
        return self._reader is not None

    def _let_go_of_pipes(self) -> None:
        if self._writer is not None:
            self._writer.write_at_once()
        self._lost(None)

    def write(self, data: bytes) -> None:
        """Type *data* on its terminal; dropped if that is closing.

        Raises: TypeError: *data* is not bytes-like.
        """
        data = as_bytes(data)
        if self._writer is not None:
            self._writer.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Type all pieces of *data*.

        Raises: TypeError: one is not bytes-like.
        """
        self.write(b"".join(data))

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Raises: NotImplementedError: a terminal has no such parts; use `write`."""
        raise NotImplementedError("a process on a terminal has no pipes: write() is what types there")

    def closeChildFD(self, descriptor: int) -> None:
        """Raises: NotImplementedError: a terminal has no such parts; use `loseConnection`."""
        raise NotImplementedError("a process on a terminal has no pipes: loseConnection() hangs up")

    def closeStdin(self) -> None:
        """Does nothing: it would take the terminal away. The end of what is typed is an EOT, ``write(b"\\x04")``."""

    def closeStdout(self) -> None:
        """Does nothing: it would take the terminal away."""

    def closeStderr(self) -> None:
        """Does nothing: it would take the terminal away."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*, which types: an `IPushProducer` if *streaming*, else an `IPullProducer`.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        if self._writer is not None:
            self._writer.registerProducer(producer, streaming)
        else:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished. A `loseConnection` that waited for it takes effect."""
        if self._writer is not None:
            self._writer.unregisterProducer()

    def pauseProducing(self) -> None:
        """Read nothing more of what it writes: it will find that it cannot write."""
        if self._reader is not None:
            self._reader.pause()

    def resumeProducing(self) -> None:
        """Read again."""
        if self._reader is not None and not self.disconnecting:
            self._reader.resume()

    def loseConnection(self) -> None:
        """Hang up, once everything written so far is typed: the process gets SIGHUP, whose default is to end it."""
        if self._reader is not None and self._writer is not None and not self.disconnecting:
            self._reader.pause()
            self._writer.lose()
        self.disconnecting = True


def _checked(childFDs: Mapping[int, int | str]) -> Mapping[int, int | str]:
    """Raises: ValueError, TypeError: it is no mapping of a child's descriptors."""
    for there, what in childFDs.items():
        numbers = [each for each in (there, what) if isinstance(each, int)]
        if there not in numbers or (what not in numbers and what not in {"r", "w"}):
            raise TypeError(f'childFDs maps numbers to "r", "w" or numbers, not {there!r} to {what!r}')
        if min(numbers) < 0:
            raise ValueError(f"descriptors are numbers from 0 on, not {min(numbers)}")
    return dict(childFDs)
