"""Protocols for datagrams that note what happens to them, for tests that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.protocol import ConnectedDatagramProtocol, DatagramProtocol


class _Notes:
    """What happened, in order."""

    noisy = False

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.transports: list[Any] = []
        self.inside = False  # a call of the transport's that the test makes
        self._waiting: list[tuple[int, Deferred[list[Any]]]] = []

    def note(self, what: Any) -> None:
        assert not self.inside, f"{what!r} came from within a call"
        self.told.append(what)
        self.wake()

    def wake(self) -> None:
        for waiting in [each for each in self._waiting if each[0] <= len(self.told)]:
            self._waiting.remove(waiting)
            waiting[1].callback(self.told)

    def count(self, number: int) -> Deferred[list[Any]]:
        """Fires, with all of them, when that many things have happened."""
        deferred = Deferred[list[Any]]()
        self._waiting.append((number, deferred))
        if len(self.told) >= number:
            self._waiting.pop()
            deferred.callback(self.told)
        return deferred

    def do(self, transport: Any, method: str, *args: Any) -> Any:
        """Call a method of *transport*, from within which nothing may be told."""
        self.inside = True
        try:
            return getattr(transport, method)(*args)
        finally:
            self.inside = False


class Recorder(_Notes, DatagramProtocol):
    """*on_start* and *on_datagram* may do something about what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.on_start: Callable[[Recorder], object] = lambda self: None
        self.on_datagram: Callable[[Recorder, bytes, Any], object] = lambda self, datagram, addr: None

    def startProtocol(self) -> None:
        self.on_start(self)

    def stopProtocol(self) -> None:
        assert self.transport is None
        self.note("stopped")

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.told.append((datagram, addr))
        try:
            self.on_datagram(self, datagram, addr)
        finally:
            self.wake()

    def connectionRefused(self) -> None:
        self.note("refused")


class ConnectedRecorder(_Notes, ConnectedDatagramProtocol):
    """The same, with one peer."""

    def startProtocol(self) -> None:
        self.note("started")

    def stopProtocol(self) -> None:
        assert self.transport is None
        self.note("stopped")

    def datagramReceived(self, datagram: bytes) -> None:  # type: ignore[override]
        self.note(datagram)

    def connectionRefused(self) -> None:
        self.note("refused")

    def connectionFailed(self, failure: Failure) -> None:
        self.note(failure.value)
