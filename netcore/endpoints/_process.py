"""The endpoint of a program that is started for each connection, and is its peer."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import Deferred, fail, succeed
from netcore.error import ConnectionDone, NoProtocol, ProcessDone
from netcore.failure import Failure
from netcore.interfaces import (
    IAddress,
    IConsumer,
    IProcessTransport,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorProcess,
    IStreamClientEndpoint,
    ITransport,
    implementer,
)
from netcore.protocol import ProcessProtocol

__all__ = ["ProcessEndpoint", "StandardErrorBehavior"]

logger = logging.getLogger("netcore.endpoints")

_EMPTY: Mapping[Any, Any] = MappingProxyType({})


class StandardErrorBehavior(enum.Enum):
    """What becomes of what the program writes to its standard error."""

    LOG = "it is logged"
    DROP = "it is dropped"


@implementer(IStreamClientEndpoint)
class ProcessEndpoint:
    """A program, as a place to connect to: its standard input and output are the connection.

    Args:
        reactor: what starts it.
        executable, args, env, path, uid, gid, usePTY, childFDs: see ``reactor.spawnProcess``.
        errFlag: what becomes of what it writes to its standard error.
    """

    def __init__(
        self,
        reactor: IReactorProcess,
        executable: str | bytes,
        args: Sequence[str | bytes] = (),
        env: Mapping[Any, Any] | None = _EMPTY,
        path: str | bytes | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = False,
        childFDs: Mapping[int, int | str] | None = None,
        errFlag: StandardErrorBehavior = StandardErrorBehavior.LOG,
    ) -> None:
        self._reactor = reactor
        self._executable = executable
        self._args = args
        self._env = env
        self._path = path
        self._uid = uid
        self._gid = gid
        self._usePTY = usePTY
        self._childFDs = childFDs
        self._errFlag = errFlag

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._executable!r} args={list(self._args)!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Start the program.

        The protocol's ``connectionLost`` comes when it has ended and its pipes are closed: with
        `netcore.error.ConnectionDone`, or, if it has ended otherwise than with exit code 0,
        `netcore.error.ProcessTerminated`. ``loseConnection`` closes its pipes, upon which it is to end.

        Returns: Deferred that has fired already, with the protocol.
        Fails with: OSError: it cannot be started. netcore.error.NoProtocol: *protocolFactory* built none. Whatever
            building it raised.
        """
        try:
            protocolFactory.doStart()
            try:
                return succeed(self._start(protocolFactory))
            except BaseException:
                protocolFactory.doStop()
                raise
        except Exception as error:
            return fail(error)

    def _start(self, factory: IProtocolFactory) -> Any:
        protocol = factory.buildProtocol(_Address(self._executable))
        if protocol is None:
            raise NoProtocol(f"{factory!r} built no protocol for {self!r}")
        self._reactor.spawnProcess(
            _Between(protocol, factory, self._executable, self._errFlag),
            self._executable,
            self._args,
            self._env,
            self._path,
            self._uid,
            self._gid,
            self._usePTY,
            self._childFDs,
        )
        return protocol


@implementer(IAddress)
class _Address:
    """A program."""

    def __init__(self, executable: str | bytes) -> None:
        self.executable = executable

    def __repr__(self) -> str:
        return f"<program {self.executable!r}>"


@implementer(ITransport, IConsumer, IPushProducer)
class _Transport:
    """The connection to a program, as *protocol* sees it. What is not here is the process's."""

    def __init__(self, process: Any, protocol: IProtocol, executable: str | bytes) -> None:
        self.process: IProcessTransport = process
        self.protocol: Any = protocol
        self._executable = executable
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        self.process.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.process.writeSequence(data)

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.process.loseConnection()

    def stopProducing(self) -> None:
        self.loseConnection()

    def getPeer(self) -> IAddress:
        return _Address(self._executable)

    def getHost(self) -> IAddress:
        return self.process.getHost()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.process, name)

    def __repr__(self) -> str:
        return f"<connection to {self.process!r}>"


class _Between(ProcessProtocol):
    """Tells *protocol* of the process what a connection would tell it."""

    def __init__(
        self,
        protocol: IProtocol,
        factory: IProtocolFactory,
        executable: str | bytes,
        errors: StandardErrorBehavior,
    ) -> None:
        self._protocol = protocol
        self._factory = factory
        self._executable = executable
        self._errors = errors
        self._raised: Failure | None = None

    def makeConnection(self, transport: Any) -> None:
        """The process runs."""
        self.connected = 1
        self.transport = transport
        connection: Any = _Transport(transport, self._protocol, self._executable)
        self._tell(self._protocol.makeConnection, connection)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It has written something."""
        if childFD == 1 and self._raised is None:
            self._tell(self._protocol.dataReceived, data)
        elif childFD == 2 and self._errors is StandardErrorBehavior.LOG:
            logger.warning("program %r has written to its standard error: %r", self._executable, data)

    def processEnded(self, reason: Failure) -> None:
        """It has ended."""
        if self._raised is not None:
            reason = self._raised
        elif reason.check(ProcessDone):
            reason = Failure(ConnectionDone())
        try:
            self._protocol.connectionLost(reason)
        finally:
            self._factory.doStop()

    def _tell(self, callback: Callable[..., object], argument: Any) -> None:
        """Call the protocol: what it raises is logged, and the connection's end."""
        try:
            callback(argument)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:
            self._raised = Failure()
            told = (self._raised, "%s of %r raised: its connection is closed")
            log_failure(logger, *told, getattr(callback, "__name__", callback), self._protocol)
            self.transport.loseConnection()
