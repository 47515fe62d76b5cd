"""Protocols, factories and producers that note what happens to them, and Deferreds to wait for it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.protocol import ClientFactory, Factory, Protocol

__all__ = ["ClientRecorder", "FactoryRecorder", "OneProtocol", "Pull", "Push", "Recorder"]


class Event:
    """Something that happens again and again."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._waiting: list[tuple[int, Deferred[Any]]] = []

    def happened(self, value: Any = None) -> None:
        """It has happened."""
        self.values.append(value)
        due = [each for each in self._waiting if each[0] <= len(self.values)]
        self._waiting = [each for each in self._waiting if each not in due]
        for count, deferred in due:
            deferred.callback(self.values[count - 1])

    def times(self, count: int = 1) -> Deferred[Any]:
        """Fires when it has happened *count* times in all, with the value of the last of them."""
        deferred = Deferred[Any]()
        if count <= len(self.values):
            deferred.callback(self.values[count - 1])
        else:
            self._waiting.append((count, deferred))
        return deferred


class Recorder(Protocol):
    """Notes what it is told; *on_made* and *on_data* may do something about it."""

    transport: Any

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received = bytearray()
        self.pieces: list[bytes] = []
        self.reasons: list[BaseException] = []
        self.made, self.lost = Event(), Event()
        self.inside = False
        self.told_inside = False
        self.on_made: Callable[[Recorder], object] = lambda self: None
        self.on_data: Callable[[Recorder, bytes], object] = lambda self, data: None
        self._sizes: list[tuple[int, Deferred[None]]] = []

    def got(self, size: int) -> Deferred[None]:
        """Fires when *size* bytes have come."""
        deferred = Deferred[None]()
        self._sizes.append((size, deferred))
        self._look()
        return deferred

    def _look(self) -> None:
        for waiting in [waiting for waiting in self._sizes if waiting[0] <= len(self.received)]:
            self._sizes.remove(waiting)
            waiting[1].callback(None)

    def _tell(self, what: str) -> None:
        self.told_inside |= self.inside
        if self.told[-1:] != [what]:
            self.told.append(what)

    def connectionMade(self) -> None:
        self._tell("made")
        self.on_made(self)
        self.made.happened(self)

    def dataReceived(self, data: bytes) -> None:
        self._tell("data")
        self.received += data
        self.pieces.append(data)
        self.on_data(self, data)
        self._look()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._tell("lost")
        self.reasons.append(reason.value)
        self.lost.happened(reason.value)

    def do(self, method: str, *args: Any) -> None:
        """Call a method of the transport, and note whether it calls the protocol from within."""
        self.inside = True
        try:
            getattr(self.transport, method)(*args)
        finally:
            self.inside = False


class OneProtocol(Factory[Any]):
    """A factory for *made*, whoever connects."""

    noisy = False

    def __init__(self, made: Any) -> None:
        self.made = made

    def buildProtocol(self, addr: Any) -> Any:
        return self.made


class _Recording:
    """What the factories below have in common: *told*, and what they have built."""

    noisy = False

    def __init__(self) -> None:
        self.told: list[str] = []
        self.built: list[Recorder] = []
        self.made = Event()
        self.started = self.stopped = 0
        self.build: Callable[[], Any] = Recorder

    def startFactory(self) -> None:
        self.started += 1
        self.told.append("start")

    def stopFactory(self) -> None:
        self.stopped += 1
        self.told.append("stop")

    def buildProtocol(self, addr: Any) -> Any:
        self.told.append("build")
        self.addr = addr
        protocol = self.build()
        if protocol is not None:
            self.built.append(protocol)
            protocol.made.times().addCallback(self._is_made)
        return protocol

    def _is_made(self, protocol: Recorder) -> None:
        self.told.append("made")
        protocol.lost.times().addCallback(lambda _: self.told.append("connectionLost"))
        self.made.happened(protocol)


class FactoryRecorder(_Recording, Factory[Any]):
    """Notes what it is told, in order."""


class ClientRecorder(_Recording, ClientFactory[Any]):
    """Notes what it is told, in order; *reasons*, why attempts failed and connections were lost."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[BaseException] = []
        self.failed, self.lost = Event(), Event()
        self.on_failed: Callable[[Any], object] = lambda connector: None
        self.on_lost: Callable[[Any], object] = lambda connector: None

    def startedConnecting(self, connector: Any) -> None:
        self.told.append("connecting")

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.told.append("failed")
        self.reasons.append(reason.value)
        self.on_failed(connector)
        self.failed.happened(reason.value)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.append("lost")
        self.reasons.append(reason.value)
        self.on_lost(connector)
        self.lost.happened(reason.value)


class Push:
    """A streaming producer that notes what it is told, and writes when asked to by hand."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.paused, self.resumed = Event(), Event()

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.paused.happened()

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.resumed.happened()

    def stopProducing(self) -> None:
        self.told.append("stop")


class Pull:
    """Writes one piece each time it is asked, until there are no more."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces
        self.stopped = False

    def resumeProducing(self) -> None:
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True
