"""The protocols, the producer and the datagram transport that tests can put at one end."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.address import IPv4Address
from netcore.defer import Deferred
from netcore.error import ConnectionDone, InvalidAddressError
from netcore.failure import Failure
from netcore.protocol import ServerFactory
from netcore.task import Clock
from netcore.testing import (
    AccumulatingProtocol,
    FakeDatagramTransport,
    LineSendingProtocol,
    NonStreamingProducer,
    StringTransport,
    StringTransportWithDisconnection,
    assertNoResult,
    connectedPair,
    successResultOf,
    waitUntilAllDisconnected,
)


def test_accumulating_protocol_keeps_all_it_is_told() -> None:
    protocol = AccumulatingProtocol()
    protocol.closedDeferred = closed = Deferred()
    assert (protocol.made, protocol.closed) == (0, 0)
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(b"one")
    protocol.dataReceived(b"two")
    assert (protocol.made, protocol.data) == (1, b"onetwo")
    assertNoResult(closed)
    reason = Failure(ConnectionDone())
    protocol.connectionLost(reason)
    assert (protocol.closed, protocol.closedReason) == (1, reason)
    successResultOf(closed)


def test_accumulating_protocol_tells_its_factory_once() -> None:
    factory: Any = ServerFactory.forProtocol(AccumulatingProtocol)
    factory.protocolConnectionMade = made = Deferred()
    protocol = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 80))
    protocol.makeConnection(StringTransport())
    assert successResultOf(made) is protocol
    assert factory.protocolConnectionMade is None
    factory.buildProtocol(None).makeConnection(StringTransport())


def test_lines_are_sent_at_once_or_after_the_first() -> None:
    pair = connectedPair(LineSendingProtocol([b"one", b"two"], start=False), LineSendingProtocol([b"three"]))
    pair.flush()
    assert pair.server.response == [b"three"]
    assert pair.client.response == [b"one", b"two"]
    pair.client.transport.loseConnection()
    pair.flush()
    assert pair.server.lostConn
    assert pair.client.lostConn


def test_the_pull_producer_writes_ten_times() -> None:
    transport = StringTransport()
    producer = NonStreamingProducer(transport)
    transport.registerProducer(producer, False)
    while transport.producer is not None:
        assertNoResult(producer.result)
        producer.resumeProducing()
    assert transport.value() == b"0123456789"
    assert producer.stopped
    successResultOf(producer.result)
    with pytest.raises(RuntimeError, match="after it had ended"):
        producer.resumeProducing()
    with pytest.raises(RuntimeError, match="not to be paused"):
        producer.pauseProducing()
    producer.stopProducing()


def test_the_pull_producer_can_be_stopped() -> None:
    producer = NonStreamingProducer(StringTransport())
    producer.resumeProducing()
    producer.stopProducing()
    assert (producer.counter, producer.stopped) == (1, True)
    successResultOf(producer.result)


def test_a_wait_for_the_end_of_connections() -> None:
    clock = Clock()
    protocols = [AccumulatingProtocol() for _ in range(2)]
    for protocol in protocols:
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
    ended = waitUntilAllDisconnected(clock, protocols)
    protocols[0].transport.loseConnection()
    clock.advance(1)
    assertNoResult(ended)
    protocols[1].transport.loseConnection()
    clock.advance(1)
    successResultOf(ended)
    assert clock.getDelayedCalls() == []
    successResultOf(waitUntilAllDisconnected(clock, protocols))


def test_the_wait_can_be_cancelled() -> None:
    clock = Clock()
    protocol = AccumulatingProtocol()
    protocol.makeConnection(StringTransport())
    waiting = waitUntilAllDisconnected(clock, [protocol])
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    assert clock.getDelayedCalls() == []


def test_datagrams_are_kept() -> None:
    transport = FakeDatagramTransport()
    transport.write(b"one")
    transport.write(bytearray(b"two"), ("192.0.2.1", 69))
    transport.writeSequence([b"th", b"ree"], ("2001:db8::1", 69))
    assert transport.written == [
        (b"one", transport.noAddr),
        (b"two", ("192.0.2.1", 69)),
        (b"three", ("2001:db8::1", 69)),
    ]
    wrong: Any = "text"
    with pytest.raises(TypeError, match="writes bytes"):
        transport.write(wrong)
    with pytest.raises(InvalidAddressError, match="look the name up"):
        transport.write(b"four", ("server.example", 69))


def test_a_datagram_transport_is_connected_once() -> None:
    transport = FakeDatagramTransport()
    with pytest.raises(InvalidAddressError):
        transport.connect("server.example", 69)
    with pytest.raises(ValueError, match="port"):
        transport.connect("192.0.2.1", 65536)
    transport.connect("192.0.2.1", 69)
    assert transport.connectedAddr == ("192.0.2.1", 69)
    with pytest.raises(RuntimeError, match="connected already"):
        transport.connect("192.0.2.2", 69)
    assert transport.getHost() == IPv4Address("UDP", "10.0.0.1", 12345)
    assert transport.stopListening() is None
    assert not transport.getBroadcastAllowed()
    transport.setBroadcastAllowed(True)
    assert transport.getBroadcastAllowed()
