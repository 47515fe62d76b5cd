"""ClientCreator: a Deferred for each connection, which fires once, and can be cancelled at any time."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred
from netcore.error import ConnectError, ConnectionDone, UserError
from netcore.failure import Failure
from netcore.protocol import ClientCreator, Protocol
from netcore.task import Clock
from netcore.testing import StringTransport

ADDRESS: Any = None


class Mine(Protocol):
    def __init__(self, name: str = "", *, size: int = 0) -> None:
        self.name, self.size = name, size


class Reactor(Clock):
    """Keeps what it is asked for; the test plays the network. It is its own connector."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Any, ...]] = []
        self.disconnected = 0
        self.factory: Any = None

    def connectTCP(self, host: str, port: int, factory: Any, timeout: Any = 30, bindAddress: Any = None) -> Any:
        return self._connect(factory, "tcp", host, port, timeout, bindAddress)

    def connectUNIX(self, address: str, factory: Any, timeout: Any = 30, checkPID: bool = False) -> Any:
        return self._connect(factory, "unix", address, timeout, checkPID)

    def connectSSL(
        self, host: str, port: int, factory: Any, contextFactory: Any, timeout: Any = 30, bindAddress: Any = None
    ) -> Any:
        return self._connect(factory, "ssl", host, port, contextFactory, timeout, bindAddress)

    def _connect(self, factory: Any, *asked: Any) -> Any:
        self.asked.append(asked)
        self.factory = factory
        factory.startedConnecting(self)
        return self

    def disconnect(self) -> None:
        self.disconnected += 1
        self.factory.clientConnectionFailed(self, Failure(UserError()))

    def make(self) -> Any:
        """The connection stands."""
        protocol = self.factory.buildProtocol(ADDRESS)
        protocol.makeConnection(StringTransport())
        return protocol


def outcome(deferred: Deferred[Any]) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(lambda result: results.append(result.value if isinstance(result, Failure) else result))
    return results


def begin() -> tuple[Reactor, Deferred[Mine], list[Any]]:
    reactor = Reactor()
    connected = ClientCreator(reactor, Mine, "it", size=3).connectTCP("host", 7)
    return reactor, connected, outcome(connected)


def test_the_protocol_is_made_with_its_arguments_and_told_of_when_connected() -> None:
    reactor, _, results = begin()
    protocol = reactor.make()
    assert results == []
    reactor.advance(0)
    assert results == [protocol]
    assert type(protocol) is Mine
    assert (protocol.name, protocol.size) == ("it", 3)
    assert protocol.connected


def test_every_way_passes_on_what_it_is_given() -> None:
    reactor = Reactor()
    creator = ClientCreator(reactor, Mine)
    context = object()
    creator.connectTCP("host", 7)
    creator.connectTCP("host", 7, 5, ("me", 8))
    creator.connectTCP("host", 7, timeout=None, bindAddress=("me", 8))
    creator.connectUNIX("/socket")
    creator.connectUNIX("/socket", 5, checkPID=True)
    creator.connectSSL("host", 7, context)
    creator.connectSSL("host", 7, context, 5, ("me", 8))
    assert reactor.asked == [
        ("tcp", "host", 7, 30, None),
        ("tcp", "host", 7, 5, ("me", 8)),
        ("tcp", "host", 7, None, ("me", 8)),
        ("unix", "/socket", 30, False),
        ("unix", "/socket", 5, True),
        ("ssl", "host", 7, context, 30, None),
        ("ssl", "host", 7, context, 5, ("me", 8)),
    ]


def test_a_failure_is_told() -> None:
    reactor, _, results = begin()
    reactor.factory.clientConnectionFailed(reactor, Failure(ConnectError()))
    assert [type(each) for each in results] == [ConnectError]
    assert reactor.getDelayedCalls() == []


def test_what_connection_made_raises_is_told() -> None:
    reactor, _, results = begin()
    reactor.make()
    reactor.factory.clientConnectionLost(reactor, Failure(KeyError("raised")))
    reactor.advance(0)
    assert [type(each) for each in results] == [KeyError]


def test_a_connection_that_is_over_at_once_was_one() -> None:
    reactor, _, results = begin()
    protocol = reactor.make()
    reactor.factory.clientConnectionLost(reactor, Failure(ConnectionDone()))
    reactor.advance(0)
    assert results == [protocol]


def test_cancelling_ends_the_attempt() -> None:
    reactor, connected, results = begin()
    connected.cancel()
    assert [type(each) for each in results] == [CancelledError]
    assert reactor.disconnected == 1


def test_cancelling_before_it_was_told_ends_the_connection() -> None:
    reactor, connected, results = begin()
    reactor.make()
    connected.cancel()
    reactor.advance(0)
    assert [type(each) for each in results] == [CancelledError]
    assert reactor.disconnected == 1
    assert reactor.getDelayedCalls() == []


def test_cancelling_afterwards_does_nothing() -> None:
    reactor, connected, results = begin()
    reactor.make()
    reactor.advance(0)
    connected.cancel()
    assert reactor.disconnected == 0
    assert len(results) == 1


def test_what_the_class_or_the_reactor_raises_is_raised() -> None:
    def refuse() -> Mine:
        raise KeyError

    with pytest.raises(KeyError):
        ClientCreator(Reactor(), refuse).connectTCP("host", 7)
    with pytest.raises(AttributeError, match="connectTCP"):
        ClientCreator(Clock(), Mine).connectTCP("host", 7)
