"""Endpoints of UNIX sockets. They hold what they were given and open nothing before ``listen`` or ``connect``."""

from __future__ import annotations

from typing import Any

from netcore.defer import Deferred
from netcore.endpoints._connect import Attempt
from netcore.endpoints._listen import listening
from netcore.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorUNIX,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    implementer,
)

__all__ = ["UNIXClientEndpoint", "UNIXServerEndpoint"]


@implementer(IStreamServerEndpoint)
class UNIXServerEndpoint:
    """A path to listen at.

    Args:
        reactor: what listens.
        address: the path; on Linux, one that begins with a NUL is an abstract name.
        backlog: how many connections the kernel keeps until they are accepted (listen(2)).
        mode: of the socket file: who may connect.
        wantPID: hold a lock file beside it while listening, and replace the socket that a process which has ended left
            there.
    """

    def __init__(
        self, reactor: IReactorUNIX, address: str, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._backlog = backlog
        self._mode = mode
        self._want_pid = bool(wantPID)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address!r} mode={self._mode:o} lockfile={self._want_pid:d}>"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen there, with protocols from *protocolFactory*.

        Returns: Deferred that has fired already, with the port.
        Fails with: netcore.error.CannotListenError. ValueError: the path is none, or *wantPID* with an abstract name.
        """
        return listening(
            self._reactor.listenUNIX,
            self._address,
            protocolFactory,
            backlog=self._backlog,
            mode=self._mode,
            wantPID=self._want_pid,
        )


@implementer(IStreamClientEndpoint)
class UNIXClientEndpoint:
    """A path to connect to.

    Args:
        reactor: what connects.
        path: the path; on Linux, one that begins with a NUL is an abstract name.
        timeout: seconds for one attempt; None: any number.
        checkPID: fail at once if nobody holds the lock file beside it.
    """

    def __init__(self, reactor: IReactorUNIX, path: str, timeout: float | None = 30, checkPID: bool = False) -> None:
        self._reactor = reactor
        self._path = path
        self._timeout = timeout
        self._check_pid = bool(checkPID)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r} timeout={self._timeout} lockfile={self._check_pid:d}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect there, once.

        Returns: Deferred firing with the protocol when its ``connectionMade`` has been called. Cancelling it ends the
            attempt.
        Fails with: netcore.error.ConnectError. netcore.error.NoProtocol: *protocolFactory* built none. Whatever
            building the protocol raised. ValueError: the path is none, or *checkPID* with an abstract name.
        """
        return Attempt.make(
            protocolFactory,
            lambda factory: self._reactor.connectUNIX(
                self._path, factory, timeout=self._timeout, checkPID=self._check_pid
            ),
        )
