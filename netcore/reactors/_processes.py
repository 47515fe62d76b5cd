"""The part of a reactor that starts child processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from netcore.reactors._part import Part
from netcore.transports._spawn import Program
from netcore.transports.process import Process, PTYProcess

__all__ = ["Processes"]

_EMPTY: Mapping[Any, Any] = MappingProxyType({})


class Processes(Part):
    """`IReactorProcess`. Written for POSIX systems."""

    def spawnProcess(
        self,
        processProtocol: Any,
        executable: str | bytes,
        args: Sequence[str | bytes] = (),
        env: Mapping[Any, Any] | None = _EMPTY,
        path: str | bytes | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = False,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> Process | PTYProcess:
        """Run the program *executable* in a process of its own.

        It is waited for by a pidfd, or by a thread where there is none: nothing needs SIGCHLD, in any thread. It may
        outlive the reactor, whose shutdown closes its pipes.

        Args:
            processProtocol: a `netcore.protocol.ProcessProtocol`, say, which hears of it.
            executable: its file. A name without a slash is looked for on the PATH of *env*, if that has one, or else of
                this process.
            args: what the program is called with, its own name first; empty: only that, *executable*.
            env: its whole environment; None: this process's. By default it is empty.
            path: the directory it begins in; None: this process's.
            uid, gid: the user and the group it runs as, with the groups of that user. For root only.
            usePTY: True: it has a session of its own, and a pseudo-terminal that is its standard streams. (master,
                slave, name of the slave), as `os.openpty` and `os.ttyname` give them: that one; the master is closed by
                the transport.
            childFDs: what its descriptors are, by their numbers there, and it has no others. "r": a pipe that is read
                here. "w": a pipe that is written to here. A number: a copy of this descriptor. By default 0 is "w", 1
                and 2 are "r".
        Returns: the process, an `IProcessTransport`. The protocol's ``makeConnection`` has been called.
        Raises: OSError: it cannot be started, or the program not executed. ValueError, TypeError: an argument can be
            none.
        """
        self._require_usable()
        program = Program.checked(executable, args, env, path, uid, gid)
        process: Process | PTYProcess
        if usePTY:
            if childFDs is not None:
                raise ValueError("with usePTY the standard streams are a terminal: there can be no childFDs")
            process = PTYProcess(self._whole, processProtocol, program, usePTY)
        else:
            process = Process(self._whole, processProtocol, program, childFDs)
        process.start()
        return process
