"""Hundreds of clients that hold their connections and do next to nothing, against a service with the default limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from netcore.address import IPv4Address
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol, connectionDone
from netcore.protocols.basic import LineReceiver
from netcore.protocols.limits import ListenerLimits
from netcore.task import Clock
from netcore.testing import IOPump, MemoryTransport, StringTransport

SLOW = 300
LIMITS = ListenerLimits()
ANSWER = b"x" * 100_000 + b"\r\n"


class Service(LineReceiver):
    """A line is answered with a long one."""

    transport: Any

    def lineReceived(self, line: bytes) -> None:
        self.transport.write(ANSWER)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.ended[getattr(reason.value, "limit", None)] += 1


class Attack:
    """Slow clients, in memory; they read only what the test pumps."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.limits = ListenerLimits()
        above: Any = Factory.forProtocol(Service)
        above.ended = self.ended = Counter()
        self.factory = self.limits.wrapFactory(above, self.clock)
        self.pumps: list[IOPump] = []

    def come(self, number: int) -> None:
        peer = IPv4Address("TCP", f"198.51.{number // 250}.{number % 250}", 50000)
        host = IPv4Address("TCP", "192.0.2.1", 79)
        wrapper = self.factory.buildProtocol(peer)
        server, client = MemoryTransport(wrapper, host, peer), MemoryTransport(Protocol(), peer, host)
        wrapper.makeConnection(server)
        client.protocol.makeConnection(client)
        self.pumps.append(IOPump(server, client))

    def all_say(self, data: bytes) -> None:
        """They send, and do not read."""
        for pump in self.pumps:
            if pump.serverTransport.connected and not pump.serverTransport.disconnecting:
                pump.serverTransport._deliver(data)

    def pass_second(self) -> None:
        self.clock.advance(1)
        for pump in self.pumps:
            if pump.serverTransport.disconnecting:
                pump.flush()

    def an_honest_one_is_served(self) -> bool:
        transport = StringTransport()
        wrapper = self.factory.buildProtocol(transport.getPeer())
        wrapper.makeConnection(transport)
        wrapper.dataReceived(b"who\r\n")
        wrapper.connectionLost(connectionDone)
        return transport.value() == ANSWER

    @property
    def standing(self) -> int:
        return sum(pump.serverTransport.connected for pump in self.pumps)


def nothing(attack: Attack, second: int) -> None:
    """Say nothing at all."""


def a_byte_now_and_then(attack: Attack, second: int) -> None:
    if second % 5 == 0:
        attack.all_say(b"x")


def a_byte_each_second(attack: Attack, second: int) -> None:
    attack.all_say(b"x")


def questions_whose_answers_are_not_read(attack: Attack, second: int) -> None:
    if second % 5 == 0:
        attack.all_say(b"who\r\n")


@pytest.mark.parametrize(
    ("behaviour", "limit", "seconds"),
    [
        (nothing, "firstByte", LIMITS.firstByte),
        (a_byte_now_and_then, "minimumRate", LIMITS.rateWindow),
        (a_byte_each_second, "minimumRate", LIMITS.rateWindow),
        (questions_whose_answers_are_not_read, "minimumRate", LIMITS.rateWindow),
    ],
)
def test_all_are_closed_in_time_and_honest_clients_are_served_meanwhile(
    behaviour: Callable[[Attack, int], None], limit: str, seconds: float
) -> None:
    attack = Attack()
    for number in range(SLOW):
        attack.come(number)
    for second in range(int(seconds)):
        assert attack.standing == SLOW
        behaviour(attack, second)
        assert attack.an_honest_one_is_served()
        assert len(attack.clock.getDelayedCalls()) <= SLOW, "one timer for each"
        attack.pass_second()
    assert attack.standing == 0
    assert attack.ended.pop(None) == int(seconds), "the honest ones"
    assert attack.ended == {limit: SLOW}
    counters = attack.limits.counters()
    assert (counters.current, counters.peers, counters.peak) == (0, 0, SLOW + 1)
    assert attack.clock.getDelayedCalls() == []


def test_what_waits_for_one_that_does_not_read_is_bounded() -> None:
    attack = Attack()
    attack.come(0)
    server = attack.pumps[0].serverTransport
    most = 0
    while not server.disconnecting:
        attack.all_say(b"who\r\n")
        most = max(most, len(server._queue))
    assert most <= (LIMITS.buffer or 0)
    attack.pass_second()
    assert attack.ended == {"buffer": 1}
    assert attack.clock.getDelayedCalls() == []


def test_one_peer_alone_cannot_take_all_the_room() -> None:
    clock, limits = Clock(), ListenerLimits()
    factory = limits.wrapFactory(Factory.forProtocol(Protocol), clock)
    peer = IPv4Address("TCP", "198.51.100.1", 1)
    for _ in range(1000):
        protocol = factory.buildProtocol(peer)
        if protocol is not None:
            protocol.makeConnection(StringTransport(peerAddress=peer))
    assert limits.counters().current == limits.connectionsPerPeer == len(clock.getDelayedCalls())
    assert factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)) is not None
