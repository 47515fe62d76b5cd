"""ReconnectingClientFactory: again and again, later and later, until it is told to stop, as in Twisted."""

from __future__ import annotations

import logging
import math
import random
from typing import Any

import pytest
from twisted.internet import protocol as theirs
from twisted.internet.error import NotConnectingError as TheirNotConnectingError
from twisted.internet.task import Clock as TheirClock

from netcore.error import ConnectError, ConnectionLost, NotConnectingError
from netcore.failure import Failure
from netcore.protocol import Protocol, ReconnectingClientFactory
from netcore.task import Clock

FAILED = Failure(ConnectError())
LOST = Failure(ConnectionLost())


class Connector:
    """Writes down what it is told."""

    not_connecting: Any = NotConnectingError

    def __init__(self, connecting: bool = False) -> None:
        self.told: list[str] = []
        self.connecting = connecting

    def connect(self) -> None:
        self.told.append("connect")

    def stopConnecting(self) -> None:
        if not self.connecting:
            raise self.not_connecting
        self.told.append("stop")


def even(kind: Any = ReconnectingClientFactory, clock: Any = None, **settings: Any) -> Any:
    """A factory without jitter."""
    factory = kind()
    factory.clock = clock if clock is not None else Clock()
    factory.jitter = 0
    factory.noisy = False
    for name, value in settings.items():
        setattr(factory, name, value)
    return factory


def delays(factory: Any, connector: Any, times: int) -> list[float]:
    """How long the factory waits after each of so many failures."""
    waited = []
    for _ in range(times):
        before = factory.clock.seconds()
        factory.clientConnectionFailed(connector, FAILED)
        (call,) = factory.clock.getDelayedCalls()
        waited.append(call.getTime() - before)
        count = len(connector.told)
        factory.clock.advance(waited[-1])
        assert connector.told[count:] == ["connect"]
        assert factory.clock.getDelayedCalls() == []
    return waited


def test_delays_grow_up_to_the_longest() -> None:
    assert delays(even(factor=2, maxDelay=20), Connector(), 7) == [1, 2, 4, 8, 16, 20, 20]
    assert delays(even(maxDelay=0.5), Connector(), 2) == [0.5, 0.5]


def test_delays_are_twisteds() -> None:
    class TheirConnector(Connector):
        not_connecting = TheirNotConnectingError

    ours = delays(even(), Connector(), 12)
    there = delays(even(theirs.ReconnectingClientFactory, TheirClock()), TheirConnector(), 12)
    assert ours == pytest.approx(there)
    assert ours[:3] == pytest.approx([1, math.e, math.e**2])
    assert ours[-1] == 3600


def test_a_connection_that_was_lost_is_made_again() -> None:
    factory, connector = even(factor=2), Connector()
    factory.clientConnectionLost(connector, LOST)
    factory.clock.advance(0.75)
    assert connector.told == []
    factory.clock.advance(0.25)
    assert connector.told == ["connect"]


def test_reset_delay_begins_anew() -> None:
    factory, connector = even(factor=2, initialDelay=3), Connector()
    delays(factory, connector, 3)
    assert factory.retries == 3
    factory.resetDelay()
    assert factory.retries == 0
    assert delays(factory, connector, 2) == [3, 6]


def test_jitter_spreads_the_delays() -> None:
    random.seed(7)
    waited = []
    for _ in range(300):
        factory = even(jitter=0.5, delay=4.0)
        waited += delays(factory, Connector(), 1)
    assert all(each > 0 for each in waited)
    assert 3.5 < sum(waited) / 300 < 4.5
    assert 1.5 < math.sqrt(sum((each - 4) ** 2 for each in waited) / 300) < 2.5
    assert len(set(waited)) > 290


def test_much_jitter_makes_no_negative_delay() -> None:
    random.seed(1)
    delays(even(jitter=3.0, maxDelay=10), Connector(), 300)


def test_after_the_last_retry_it_gives_up() -> None:
    factory, connector = even(maxRetries=2), Connector()
    delays(factory, connector, 2)
    factory.clientConnectionFailed(connector, FAILED)
    assert factory.clock.getDelayedCalls() == []
    factory.resetDelay()
    delays(factory, connector, 2)


def test_no_retry_at_all() -> None:
    factory = even(maxRetries=0)
    factory.clientConnectionFailed(Connector(), FAILED)
    assert factory.clock.getDelayedCalls() == []


def test_stop_trying_cancels_what_waits() -> None:
    factory, connector = even(), Connector()
    factory.clientConnectionFailed(connector, FAILED)
    factory.stopTrying()
    assert factory.clock.getDelayedCalls() == []
    factory.clientConnectionFailed(connector, FAILED)
    factory.clientConnectionLost(connector, LOST)
    factory.retry(connector)
    assert factory.clock.getDelayedCalls() == []
    assert connector.told == []
    factory.stopTrying()


def test_stop_trying_ends_an_attempt_under_way_even_the_first() -> None:
    factory, connector = even(), Connector(connecting=True)
    factory.startedConnecting(connector)
    factory.stopTrying()
    assert connector.told == ["stop"]


def test_stop_trying_before_anything_was_tried() -> None:
    factory = even()
    factory.stopTrying()
    assert not factory.continueTrying


def test_it_goes_on_when_told_to() -> None:
    factory, connector = even(), Connector()
    factory.stopTrying()
    factory.continueTrying = 1
    factory.retry(connector)
    assert len(factory.clock.getDelayedCalls()) == 1


@pytest.mark.parametrize("kind", [ReconnectingClientFactory, theirs.ReconnectingClientFactory])
def test_reset_delay_undoes_stop_trying(kind: Any) -> None:
    factory, connector = even(kind, Clock()), Connector()
    factory.stopTrying()
    factory.resetDelay()
    factory.clientConnectionLost(connector, LOST)
    assert len(factory.clock.getDelayedCalls()) == 1


def test_connecting_by_hand_replaces_the_one_that_waits() -> None:
    factory, connector, other = even(factor=2), Connector(), Connector()
    factory.clientConnectionFailed(other, FAILED)
    factory.clientConnectionFailed(connector, FAILED)
    factory.startedConnecting(connector)
    assert [call.getTime() for call in factory.clock.getDelayedCalls()] == [1], "the other one's"


def test_retry_without_any_connector_is_refused() -> None:
    with pytest.raises(ValueError, match="no connector yet"):
        even().retry()


def test_a_retry_by_hand_replaces_the_one_that_waits() -> None:
    factory, connector = even(factor=2), Connector()
    factory.clientConnectionFailed(connector, FAILED)
    factory.retry()
    assert [call.getTime() for call in factory.clock.getDelayedCalls()] == [2]
    factory.clock.advance(2)
    assert connector.told == ["connect"]


def test_two_connectors_wait_each_for_itself() -> None:
    factory, one, other = even(factor=2), Connector(), Connector()
    factory.clientConnectionFailed(one, FAILED)
    factory.clientConnectionFailed(other, FAILED)
    factory.clock.advance(2)
    assert one.told == other.told == ["connect"]
    factory.clientConnectionFailed(one, FAILED)
    factory.clientConnectionFailed(other, FAILED)
    factory.stopTrying()
    assert factory.clock.getDelayedCalls() == []


def test_it_says_what_it_does_if_it_is_noisy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="netcore.protocol")
    factory, connector = even(maxRetries=1, noisy=True), Connector()
    factory.clientConnectionFailed(connector, FAILED)
    factory.clientConnectionFailed(connector, FAILED)
    factory.stopTrying()
    factory.retry(connector)
    assert "will try again in 1 seconds" in caplog.text
    assert "gives up after 1 retries" in caplog.text
    assert "it was stopped" in caplog.text


def test_it_builds_protocols_as_any_factory() -> None:
    factory = ReconnectingClientFactory[Protocol].forProtocol(Protocol)
    built = factory.buildProtocol(None)  # type: ignore[arg-type]
    assert built is not None
    assert built.factory is factory
