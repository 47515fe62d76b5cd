"""DatagramProtocol and ConnectedDatagramProtocol."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from netcore.error import ConnectError
from netcore.failure import Failure
from netcore.interfaces import ILoggingContext, provides
from netcore.protocol import ConnectedDatagramProtocol, DatagramProtocol

BOTH = pytest.mark.parametrize("kind", [DatagramProtocol, ConnectedDatagramProtocol])


def noting(kind: type[Any]) -> Any:
    class Noting(kind):  # type: ignore[misc]
        noisy = False

        def __init__(self) -> None:
            self.told: list[Any] = []

        def startProtocol(self) -> None:
            self.told.append(("start", self.transport, self.numPorts))

        def stopProtocol(self) -> None:
            self.told.append(("stop", self.transport, self.numPorts))

    return Noting()


@BOTH
def test_a_port_starts_and_stops_it(kind: type[Any]) -> None:
    protocol, transport = noting(kind), object()
    protocol.makeConnection(transport)
    assert (protocol.transport, protocol.numPorts) == (transport, 1)
    protocol.doStop()
    assert (protocol.transport, protocol.numPorts) == (None, 0)
    assert protocol.told == [("start", transport, 0), ("stop", None, 0)]
    protocol.doStop()
    assert len(protocol.told) == 2, "one too many"
    protocol.makeConnection(transport)
    assert len(protocol.told) == 3


def test_it_has_one_transport_at_a_time() -> None:
    protocol, transport = noting(DatagramProtocol), object()
    protocol.makeConnection(transport)
    with pytest.raises(RuntimeError, match="each port needs one of its own"):
        protocol.makeConnection(object())
    assert (protocol.transport, protocol.numPorts, len(protocol.told)) == (transport, 1, 1)


def test_what_cannot_start_has_no_transport() -> None:
    class Broken(DatagramProtocol):
        def startProtocol(self) -> None:
            raise ZeroDivisionError

    protocol = Broken()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            protocol.makeConnection(object())
        assert (protocol.transport, protocol.numPorts) == (None, 0)


@BOTH
def test_it_says_when_it_starts_and_stops_if_noisy(kind: type[Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "netcore.protocol"):
        for noisy in (True, False):
            protocol = kind()
            protocol.noisy = noisy
            protocol.makeConnection(object())
            protocol.doStop()
    told = [record.getMessage().partition(" <")[0] for record in caplog.records]
    assert told == ["Starting protocol", "Stopping protocol"]


def test_what_is_not_overridden_does_nothing() -> None:
    protocol, connected = DatagramProtocol(), ConnectedDatagramProtocol()
    protocol.datagramReceived(b"x", ("192.0.2.1", 79))
    protocol.connectionRefused()
    connected.datagramReceived(b"x")
    connected.connectionRefused()
    connected.connectionFailed(Failure(ConnectError()))


@BOTH
def test_its_name_in_logs_is_its_class(kind: type[Any]) -> None:
    assert kind().logPrefix() == kind.__name__
    assert provides(kind(), ILoggingContext)
