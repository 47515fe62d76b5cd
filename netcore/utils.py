"""The output, or the exit code, of a program, as a Deferred. Its standard input is empty, unless something is given.

Cancelling one of these Deferreds kills the process. All that it writes is kept in memory: for more than that, and for a
conversation, there is ``reactor.spawnProcess``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from netcore._current import current_reactor
from netcore.defer import Deferred
from netcore.error import ProcessExitedAlready, ProcessTerminated
from netcore.failure import Failure
from netcore.protocol import ProcessProtocol

__all__ = ["getProcessOutput", "getProcessOutputAndValue", "getProcessValue"]

_EMPTY: Mapping[Any, Any] = MappingProxyType({})


def getProcessOutput(
    executable: str | bytes,
    args: Sequence[str | bytes] = (),
    env: Mapping[Any, Any] | None = _EMPTY,
    path: str | bytes | None = None,
    reactor: Any = None,
    errortoo: bool = False,
) -> Deferred[bytes]:
    """Run a program, and collect what it writes to its standard output; its exit code does not matter.

    Args:
        args: without the program's name.
        env, path: see ``reactor.spawnProcess``.
        reactor: by default this thread's, else ``netcore.reactor``.
        errortoo: collect its standard error, too, in between.
    Returns: Deferred firing with the output when the process has ended and its pipes are closed.
    Raises: OSError: it cannot be started.
    Fails with: OSError: it has written to its standard error, without *errortoo*; its attribute *processEnded* is a
        Deferred that fires with None when the process has ended.
    """
    collect = _Output(bool(errortoo))
    return collect.run(reactor, executable, args, env, path)


def getProcessOutputAndValue(
    executable: str | bytes,
    args: Sequence[str | bytes] = (),
    env: Mapping[Any, Any] | None = _EMPTY,
    path: str | bytes | None = None,
    reactor: Any = None,
    stdinBytes: bytes | None = None,
) -> Deferred[tuple[bytes, bytes, int]]:
    """Run a program, and collect all that it writes, and its exit code.

    Args:
        args: without the program's name.
        env, path: see ``reactor.spawnProcess``.
        reactor: by default this thread's, else ``netcore.reactor``.
        stdinBytes: what it is given to read.
    Returns: Deferred firing with (standard output, standard error, exit code).
    Raises: OSError: it cannot be started.
    Fails with: netcore.error.ProcessTerminated: a signal ended it. It can be taken apart, as Twisted's tuple can:
        ``out, err, signal = failure.value``.
    """
    collect = _OutputAndValue(stdinBytes)
    return collect.run(reactor, executable, args, env, path)


def getProcessValue(
    executable: str | bytes,
    args: Sequence[str | bytes] = (),
    env: Mapping[Any, Any] | None = _EMPTY,
    path: str | bytes | None = None,
    reactor: Any = None,
) -> Deferred[int | None]:
    """Run a program; what it writes is dropped.

    Args:
        args: without the program's name.
        env, path: see ``reactor.spawnProcess``.
        reactor: by default this thread's, else ``netcore.reactor``.
    Returns: Deferred firing with its exit code; None: a signal ended it.
    Raises: OSError: it cannot be started.
    """
    return _Value().run(reactor, executable, args, env, path)


class _Signalled(ProcessTerminated):
    """The process has ended by a signal; *out* and *err* are what it wrote."""

    def __init__(self, out: bytes, err: bytes, why: ProcessTerminated) -> None:
        super().__init__(None, why.signal, why.status)
        self.out = out
        self.err = err

    def __iter__(self) -> Iterator[Any]:
        return iter((self.out, self.err, self.signal))


class _UnexpectedErrorOutput(OSError):
    """The process has written to its standard error. Attributes: *processEnded*, fires when it has ended."""

    def __init__(self, text: bytes, processEnded: Deferred[None]) -> None:
        super().__init__(f"it wrote to its standard error: {text!r}")
        self.processEnded = processEnded


class _Collecting(ProcessProtocol):
    """Fires *result* once, when the process has ended or before."""

    def __init__(self) -> None:
        self.result: Deferred[Any] | None = Deferred(self._cancel)

    def run(
        self,
        reactor: Any,
        executable: Any,
        args: Sequence[Any],
        env: Mapping[Any, Any] | None,
        path: Any,
    ) -> Deferred[Any]:
        """Begin. Returns: Deferred firing with the result."""
        result = self.result
        assert result is not None
        spawn: Callable[..., Any] = (reactor or current_reactor()).spawnProcess
        if isinstance(args, (str, bytes)):
            raise TypeError(f"args is a sequence of str or bytes, one for each argument, not {args!r}")
        spawn(self, executable, [executable, *args], env, path)
        return result

    def _cancel(self, result: Deferred[Any]) -> None:
        self.result = None
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass
        self.transport.loseConnection()  # another process may have its pipes

    def connectionMade(self) -> None:
        self.transport.closeStdin()  # nobody will say any more

    def fire(self, value: Any) -> None:
        """Fire with *value*, unless that was done before, or is not wanted any more."""
        result, self.result = self.result, None
        if result is not None:
            result.callback(value)
            del result, value  # this frame may be in the traceback of what its callbacks raise


class _Output(_Collecting):
    def __init__(self, errortoo: bool) -> None:
        super().__init__()
        self._errortoo = errortoo
        self._pieces: list[bytes] = []
        self._ended: Deferred[None] | None = None

    def outReceived(self, data: bytes) -> None:
        self._pieces.append(data)

    def errReceived(self, data: bytes) -> None:
        if self._errortoo:
            self._pieces.append(data)
        elif self.result is not None:
            self._ended = Deferred()
            self.fire(Failure(_UnexpectedErrorOutput(data, self._ended)))
            self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        self.fire(b"".join(self._pieces))
        if self._ended is not None:
            self._ended.callback(None)


class _OutputAndValue(_Collecting):
    def __init__(self, given: bytes | None) -> None:
        super().__init__()
        self._given = given
        self._out: list[bytes] = []
        self._err: list[bytes] = []

    def connectionMade(self) -> None:
        if self._given:
            self.transport.write(self._given)
        self._given = None
        super().connectionMade()

    def outReceived(self, data: bytes) -> None:
        self._out.append(data)

    def errReceived(self, data: bytes) -> None:
        self._err.append(data)

    def processEnded(self, reason: Failure) -> None:
        why: Any = reason.value
        out, err = b"".join(self._out), b"".join(self._err)
        if isinstance(why, ProcessTerminated) and why.exitCode is None:
            self.fire(Failure(_Signalled(out, err, why)))
        else:
            self.fire((out, err, why.exitCode))


class _Value(_Collecting):
    def processEnded(self, reason: Failure) -> None:
        why: Any = reason.value
        self.fire(why.exitCode)
