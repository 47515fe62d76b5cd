"""Protocol and the factories."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from netcore.address import IPv4Address
from netcore.error import ConnectionDone
from netcore.protocol import BaseProtocol, ClientFactory, Factory, Protocol, ServerFactory, connectionDone
from netcore.testing import StringTransport

ADDRESS = IPv4Address("TCP", "192.0.2.1", 1079)
FACTORIES = [Factory, ServerFactory, ClientFactory]


class Counting(Factory[Any]):
    noisy = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.events: list[str] = []
        self.args, self.kwargs = args, kwargs

    def startFactory(self) -> None:
        self.events.append(f"start at {self.numPorts}")

    def stopFactory(self) -> None:
        self.events.append(f"stop at {self.numPorts}")


@pytest.mark.parametrize("kind", [BaseProtocol, Protocol])
def test_make_connection_sets_the_transport_then_calls_connection_made(kind: type[Any]) -> None:
    class Greeter(kind):  # type: ignore[misc]
        def connectionMade(self) -> None:
            assert self.connected
            self.transport.write(b"hello")

    protocol, transport = Greeter(), StringTransport()
    assert protocol.transport is None
    assert not protocol.connected
    protocol.makeConnection(transport)
    assert protocol.transport is transport
    assert transport.value() == b"hello"


def test_a_protocol_that_overrides_nothing_takes_everything() -> None:
    protocol = Protocol()
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(b"anything")
    protocol.connectionLost()
    assert protocol.connected, "as in Twisted it says that the connection was made, not that it stands"


def test_the_reason_by_default_is_a_clean_close() -> None:
    reasons = []

    class Ending(Protocol):
        def connectionLost(self, reason: Any = connectionDone) -> None:
            reasons.append(reason)

    Ending().connectionLost()
    assert reasons[0].check(ConnectionDone)


def test_log_prefix_is_the_name_of_the_class() -> None:
    class Finger(Protocol):
        pass

    assert Finger().logPrefix() == "Finger"
    assert Counting().logPrefix() == "Counting"


@pytest.mark.parametrize("kind", FACTORIES)
def test_build_protocol_makes_one_and_says_who_made_it(kind: type[Any]) -> None:
    class Greeting(kind):  # type: ignore[misc]
        protocol = Protocol

    factory = Greeting()
    first, second = factory.buildProtocol(ADDRESS), factory.buildProtocol(ADDRESS)
    assert type(first) is Protocol
    assert first is not second
    assert first.factory is factory


@pytest.mark.parametrize("kind", FACTORIES)
def test_for_protocol_makes_a_factory_of_that_kind(kind: type[Any]) -> None:
    factory = kind.forProtocol(Protocol)
    assert type(factory) is kind
    assert isinstance(factory.buildProtocol(ADDRESS), Protocol)
    assert kind.protocol is None


def test_for_protocol_passes_arguments_on() -> None:
    factory = Counting.forProtocol(Protocol, 1, two=2)
    assert (factory.args, factory.kwargs) == ((1,), {"two": 2})


def test_a_factory_without_protocol_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="set its `protocol`, or override buildProtocol"):
        Factory().buildProtocol(ADDRESS)


def test_the_first_user_starts_a_factory_and_the_last_one_stops_it() -> None:
    factory = Counting()
    factory.doStart()
    factory.doStart()
    factory.doStop()
    assert factory.events == ["start at 0"]
    assert factory.numPorts == 1
    factory.doStop()
    assert factory.events == ["start at 0", "stop at 0"]
    factory.doStart()
    assert factory.events[2:] == ["start at 0"]


def test_stopping_once_too_often_is_ignored() -> None:
    factory = Counting()
    factory.doStop()
    assert factory.numPorts == 0
    assert factory.events == []


@pytest.mark.parametrize("noisy", [True, False])
def test_only_a_noisy_factory_logs_its_start_and_stop(noisy: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="netcore.protocol")
    factory = Factory[Any]()
    factory.noisy = noisy
    factory.doStart()
    factory.doStop()
    told = [record.getMessage().split(" <")[0] for record in caplog.records]
    assert told == (["Starting factory", "Stopping factory"] if noisy else [])


def test_a_client_factory_hears_of_attempts_and_ignores_them() -> None:
    factory, connector = ClientFactory[Any](), object()
    factory.startedConnecting(connector)
    factory.clientConnectionFailed(connector, connectionDone)
    factory.clientConnectionLost(connector, connectionDone)
