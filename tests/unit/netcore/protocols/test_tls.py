"""TLS in memory: two layers, and what goes between them cut as one likes."""

from __future__ import annotations

import gc
import ssl
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IHandshakeListener, INegotiated, implementer, provides
from netcore.protocol import Factory, Protocol
from netcore.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from netcore.protocols.tls._protocol import HIGH_WATER, PIECE
from netcore.ssl import ClientTLSOptions, optionsForClientTLS, serverOptions
from netcore.task import Clock
from netcore.testing import StringTransport
from tests.support import certificates
from tests.support.certificates import HOST, client_context, server_context

DONE, LOST = Failure(ConnectionDone()), Failure(ConnectionLost())
WHOLE = 1 << 20


@implementer(IHandshakeListener)
class Speaker(Protocol):
    """Keeps what it hears."""

    transport: Any

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.told: list[str] = []
        self.reason: BaseException | None = None
        self.on_data: Callable[[bytes], object] = lambda data: None

    def connectionMade(self) -> None:
        self.told.append("made")

    def handshakeCompleted(self) -> None:
        self.told.append("secure")

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)
        self.on_data(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.told.append("lost")
        self.reason = reason.value


class Side:
    """One end: a protocol, the layer below it, and a transport that keeps what is to be sent."""

    def __init__(self, context: Any, is_client: bool, clock: Clock) -> None:
        self.protocol = Speaker()
        factory = TLSMemoryBIOFactory(
            context, is_client, OneOf(self.protocol), clock, hostname=HOST if is_client else None
        )
        self.layer: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.transport = StringTransport()

    def connect(self) -> None:
        self.layer.makeConnection(self.transport)

    def take(self) -> bytes:
        sent = self.transport.value()
        self.transport.clear()
        return sent

    def lose(self, reason: Failure = DONE) -> BaseException:
        """The connection below ends. Returns: what the protocol is told."""
        self.layer.connectionLost(reason)
        assert self.protocol.reason is not None
        return self.protocol.reason


class OneOf(Factory[Any]):
    noisy = False

    def __init__(self, protocol: Any) -> None:
        self.made = protocol

    def buildProtocol(self, addr: Any) -> Any:
        return self.made


class Pair:
    """Both ends, connected."""

    def __init__(self, server: Any = None, client: Any = None) -> None:
        self.clock = Clock()
        self.server = Side(server or server_context(), False, self.clock)
        self.client = Side(client or client_context(), True, self.clock)
        self.server.connect()
        self.client.connect()

    def move(self, size: int = WHOLE) -> None:
        """Carry everything over, in pieces of *size* bytes, until nobody has anything to say."""
        moved = True
        while moved:
            moved = False
            for one, other in ((self.client, self.server), (self.server, self.client)):
                data = one.take()
                for start in range(0, len(data), size):
                    moved = True
                    other.layer.dataReceived(data[start : start + size])
                self.clock.advance(0)


@pytest.fixture
def pair() -> Pair:
    """A pair whose handshake is through."""
    pair = Pair()
    pair.move()
    assert pair.server.protocol.told == pair.client.protocol.told == ["made", "secure"]
    return pair


def heard(side: Side) -> bytes:
    return b"".join(side.protocol.heard)


# --------------------------------------------------------------------------------------------------------- conversation


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, WHOLE])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_conversation_is_the_same_however_it_is_cut(size: int, version: ssl.TLSVersion, tmp_path: Path) -> None:
    context = serverOptions(certificates.write(tmp_path, HOST)).context
    context.maximum_version = version
    pair = Pair(context)
    pair.client.protocol.transport.write(b"from the client, early")
    pair.server.protocol.transport.write(b"from the server, early")
    pair.move(size)
    pair.client.protocol.transport.writeSequence([b"; and", b" late"])
    pair.move(size)
    pair.server.protocol.transport.write(b"x" * 40_000)
    pair.server.protocol.transport.loseConnection()
    pair.move(size)
    assert heard(pair.server) == b"from the client, early; and late"
    assert heard(pair.client) == b"from the server, early" + b"x" * 40_000
    assert pair.server.transport.disconnecting
    assert pair.client.transport.disconnecting
    assert [type(side.lose()) for side in (pair.server, pair.client)] == [ConnectionDone, ConnectionDone]


def test_what_comes_at_once_is_handed_over_at_once(pair: Pair) -> None:
    for number in range(10):
        pair.client.protocol.transport.write(b"%d" % number)
    pair.move()
    assert pair.server.protocol.heard == [b"0123456789"]


def test_what_is_written_while_data_is_handed_over_is_one_record(pair: Pair) -> None:
    def answer(_: bytes) -> None:
        for number in range(10):
            pair.server.protocol.transport.write(b"%d" % number)

    pair.server.protocol.on_data = answer
    pair.client.protocol.transport.write(b"?")
    pair.server.layer.dataReceived(pair.client.take())
    assert len(pair.server.transport.written) == 1
    pair.move()
    assert heard(pair.client) == b"0123456789"


def test_a_large_write_is_encrypted_in_pieces(pair: Pair) -> None:
    data = bytes(range(256)) * (3 * PIECE // 256) + b"the rest"
    pair.client.protocol.transport.write(data)
    assert len(pair.client.transport.written) == 4
    pair.move()
    assert heard(pair.server) == data


def test_data_fed_in_from_within_data_is_handed_over_afterwards(pair: Pair) -> None:
    pair.client.protocol.transport.write(b"one")
    one = pair.client.take()
    pair.client.protocol.transport.write(b"two")
    two = pair.client.take()
    seen: list[list[bytes]] = []

    def feed(data: bytes) -> None:
        if data == b"one":
            pair.server.layer.dataReceived(two)
            seen.append(list(pair.server.protocol.heard))

    pair.server.protocol.on_data = feed
    pair.server.layer.dataReceived(one)
    assert seen == [[b"one"]]
    assert pair.server.protocol.heard == [b"one", b"two"]


def test_it_seems_to_be_the_transport_below(pair: Pair) -> None:
    transport = pair.client.protocol.transport
    assert provides(transport, INegotiated)
    assert transport.getPeer() == pair.client.transport.getPeer()
    transport.setTcpNoDelay(True)
    assert pair.client.transport.getTcpNoDelay()
    with pytest.raises(AttributeError):
        _ = transport.nothingOfTheKind
    assert "TLSv1.3, open" in repr(transport)
    assert transport.logPrefix() == "Speaker (TLS)"
    with pytest.raises(RuntimeError, match="speaks TLS already"):
        transport.startTLS(client_context())


# ----------------------------------------------------------------------------------------------------------------- ends


def test_close_notify_comes_behind_what_was_written_and_is_answered(pair: Pair) -> None:
    pair.client.protocol.transport.write(b"the last")
    pair.client.protocol.transport.loseConnection()
    assert pair.client.protocol.transport.disconnecting
    assert pair.client.transport.disconnecting
    pair.client.protocol.transport.write(b"too late")
    pair.move()
    assert heard(pair.server) == b"the last"
    assert pair.server.transport.disconnecting
    assert type(pair.client.lose()) is ConnectionDone
    assert type(pair.server.lose()) is ConnectionDone


def test_a_peer_that_leaves_before_our_answer_has_ended_cleanly(pair: Pair) -> None:
    pair.client.protocol.transport.loseConnection()
    pair.server.layer.dataReceived(pair.client.take())
    assert type(pair.server.lose(LOST)) is ConnectionDone


@pytest.mark.parametrize(("unsent", "reason"), [(0, ConnectionDone), (1, ConnectionLost)])
def test_a_peer_that_leaves_before_our_close_notify_has_missed_what_was_unsent(
    pair: Pair, unsent: int, reason: type[BaseException]
) -> None:
    pair.client.transport._waiting_to_be_sent = lambda: unsent  # type: ignore[attr-defined]
    pair.client.protocol.transport.loseConnection()
    assert type(pair.client.lose(LOST)) is reason


def test_a_close_without_close_notify_is_no_clean_end(pair: Pair) -> None:
    reason = pair.server.lose()
    assert type(reason) is ConnectionLost
    assert "close_notify" in str(reason)
    assert type(pair.client.lose(LOST)) is ConnectionLost


def test_a_close_in_the_middle_of_a_record_is_none_either(pair: Pair) -> None:
    pair.client.protocol.transport.write(b"data")
    pair.client.protocol.transport.loseConnection()
    pair.server.layer.dataReceived(pair.client.take()[:-1])
    assert heard(pair.server) == b"data"
    assert type(pair.server.lose()) is ConnectionLost


@pytest.mark.parametrize("after", range(6))
def test_a_peer_that_closes_during_the_handshake(after: int) -> None:
    pair = Pair()
    hello = pair.client.take()
    pair.server.layer.dataReceived(hello[: len(hello) * after // 5])
    reason = pair.server.lose()
    assert type(reason) is ConnectionLost
    assert "during the TLS handshake" in str(reason)
    assert pair.server.protocol.told == ["made", "lost"]


def test_close_before_the_handshake_is_through_waits_for_it() -> None:
    pair = Pair()
    pair.client.protocol.transport.write(b"short")
    pair.client.protocol.transport.loseConnection()
    assert not pair.client.transport.disconnecting
    pair.move()
    assert heard(pair.server) == b"short"
    assert type(pair.server.lose()) is ConnectionDone
    assert pair.client.protocol.told == ["made"]


@pytest.mark.parametrize("secure", [True, False])
def test_a_peer_that_closes_before_we_have_said_all_has_not_heard_it(secure: bool) -> None:
    pair = Pair()
    if secure:
        pair.move()
        pair.client.protocol.transport.registerProducer(Producer(), True)
    pair.client.protocol.transport.write(b"short")
    pair.client.protocol.transport.loseConnection()
    assert type(pair.client.lose()) is ConnectionLost


def test_abort(pair: Pair) -> None:
    pair.client.protocol.transport.abortConnection()
    assert pair.client.transport.disconnected
    assert type(pair.client.lose(LOST)) is ConnectionAborted


def test_a_peer_that_never_answers_is_given_up() -> None:
    pair = Pair()
    limit = pair.client.layer.factory.handshakeTimeout
    pair.clock.advance(limit - 1)
    assert not pair.client.transport.disconnected
    pair.clock.advance(1)
    assert pair.client.transport.disconnected
    reason = pair.client.lose(LOST)
    assert type(reason) is ConnectionAborted
    assert "handshake was not through after 30 s" in str(reason)


def test_the_limit_is_of_the_handshake_only(pair: Pair) -> None:
    assert pair.clock.getDelayedCalls() == []


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.0\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000])
@pytest.mark.parametrize("size", [1, WHOLE])
def test_garbage_in_place_of_a_handshake_ends_with_what_is_wrong(garbage: bytes, size: int) -> None:
    pair = Pair()
    for start in range(0, len(garbage), size):
        pair.server.layer.dataReceived(garbage[start : start + size])
    assert pair.server.transport.disconnecting
    assert isinstance(pair.server.lose(), ssl.SSLError)


def test_garbage_in_a_conversation_ends_it_and_the_peer_is_told(pair: Pair) -> None:
    pair.client.protocol.transport.write(b"right")
    pair.server.layer.dataReceived(pair.client.take() + b"and this is wrong, is it not?")
    assert pair.server.protocol.heard == [b"right"]
    assert pair.server.transport.disconnecting
    pair.client.layer.dataReceived(pair.server.take())  # the alert
    assert isinstance(pair.client.lose(), ssl.SSLError)
    assert isinstance(pair.server.lose(), ssl.SSLError)


@pytest.mark.parametrize("position", range(0, 60, 3))
def test_a_flipped_bit_is_noticed(pair: Pair, position: int) -> None:
    pair.client.protocol.transport.write(b"nobody may change any of this, and go unnoticed")
    record = bytearray(pair.client.take())
    record[position] ^= 4
    pair.server.layer.dataReceived(bytes(record) + b"\0" * 70_000)  # the length may have grown
    assert pair.server.protocol.heard == []
    assert isinstance(pair.server.lose(), ssl.SSLError)


def test_a_server_that_is_somebody_else_is_refused() -> None:
    pair = Pair(client=ClientTLSOptions("somebody.else", client_context()))
    pair.move()
    assert pair.client.protocol.told == ["made"]
    reason = pair.client.lose()
    assert isinstance(reason, ssl.SSLCertVerificationError)
    assert "somebody.else" in str(reason)
    assert isinstance(pair.server.lose(), ssl.SSLError)


def test_a_server_that_nobody_vouches_for_is_refused() -> None:
    pair = Pair(client=optionsForClientTLS(HOST))
    pair.move()
    assert isinstance(pair.client.lose(), ssl.SSLCertVerificationError)


def test_a_client_that_does_not_know_whom_it_calls_is_told_what_to_do() -> None:
    layer = TLSMemoryBIOProtocol(TLSMemoryBIOFactory(client_context(), True, OneOf(Speaker()), Clock()), Speaker())
    with pytest.raises(ValueError, match="optionsForClientTLS"):
        layer.makeConnection(StringTransport())


@pytest.mark.parametrize("wrong", [None, object(), "context"])
def test_what_is_no_context_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="serverOptions"):
        TLSMemoryBIOFactory(wrong, False, OneOf(Speaker()))


def test_a_factory_that_gives_no_context_is_refused() -> None:
    class Wrong:
        def getContext(self) -> Any:
            return None

    protocol = Speaker()
    layer: Any = TLSMemoryBIOFactory(Wrong(), False, OneOf(protocol), Clock()).buildProtocol(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"no ssl\.SSLContext"):
        layer.makeConnection(StringTransport())
    layer.connectionLost(LOST)
    assert protocol.told == [], "who never heard of a connection does not lose it"


def test_a_connection_that_ends_within_its_data_has_nothing_more_to_say(pair: Pair) -> None:
    """As when a callback disposes of an attached reactor, after startTLS, and TLS was about to answer something."""
    layer = pair.server.layer

    def end(_: bytes) -> None:
        layer._outgoing.write(b"an answer of TLS's own")
        layer.connectionLost(DONE)
        layer.transport = None

    pair.server.protocol.on_data = end
    pair.client.protocol.transport.write(b"data")
    layer.dataReceived(pair.client.take())
    assert pair.server.protocol.told == ["made", "secure", "lost"]


def test_nothing_happens_after_the_end(pair: Pair) -> None:
    pair.client.lose()
    transport = pair.client.layer
    transport.write(b"x")
    transport.loseConnection()
    transport.abortConnection()
    transport.pauseProducing()
    transport.resumeProducing()
    transport.dataReceived(b"x")
    assert pair.client.transport.value() == b""
    assert pair.client.protocol.told == ["made", "secure", "lost"]


@pytest.mark.parametrize("wrong", ["handshake", "record"])
def test_what_has_failed_is_let_go_of_without_the_garbage_collector(wrong: str) -> None:
    pair = Pair()
    if wrong == "record":
        pair.move()
    pair.server.layer.dataReceived(b"this is wrong, is it not?")
    told = pair.server.layer.factory.told
    assert isinstance(pair.server.lose(Failure(ConnectionDone())), ssl.SSLError)
    pair.server.protocol.reason = None
    gone = weakref.ref(pair.server.layer)
    gc.disable()
    try:
        del pair
        assert gone() is None
    finally:
        gc.enable()
    assert not told


def test_what_fails_in_a_scope_after_the_end_changes_nothing(pair: Pair) -> None:
    pair.client.lose()
    pair.client.layer._child_failed(LOST)
    assert pair.client.layer._reason is None


# ------------------------------------------------------------------------------------------------------ what was agreed


def test_what_is_to_be_spoken_is_agreed(tmp_path: Path) -> None:
    server = serverOptions(certificates.write(tmp_path, HOST), acceptableProtocols=[b"h2", b"http/1.1"])
    roots = certificates.write_authority(tmp_path)
    pair = Pair(server, optionsForClientTLS(HOST, roots, acceptableProtocols=[b"http/1.1", b"spdy/3"]))
    assert pair.client.layer.negotiatedProtocol is None
    pair.move()
    assert pair.client.layer.negotiatedProtocol == pair.server.layer.negotiatedProtocol == b"http/1.1"


def test_nothing_is_agreed_where_nobody_asks(pair: Pair) -> None:
    assert pair.client.layer.negotiatedProtocol is None


def test_the_servers_certificate(pair: Pair) -> None:
    certificate = pair.client.layer.getPeerCertificate()
    assert ("DNS", "localhost") in certificate.names
    assert ("IP Address", "127.0.0.1") in certificate.names
    assert certificate.notBefore < certificate.notAfter
    assert ssl.PEM_cert_to_DER_cert(certificate.pem()) == certificate.der
    assert dict(certificate.issuer)["organizationName"].startswith("trustme")
    assert pair.server.layer.getPeerCertificate() is None
    with pytest.raises(AttributeError):
        certificate.der = b""


def test_a_certificate_that_was_not_verified_is_read_all_the_same() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    pair = Pair(client=context)
    assert pair.client.layer.getPeerCertificate() is None
    pair.move()
    assert ("DNS", "localhost") in pair.client.layer.getPeerCertificate().names


def test_a_client_shows_its_certificate_where_it_is_asked_for(tmp_path: Path) -> None:
    roots = certificates.write_authority(tmp_path)
    server = serverOptions(certificates.write(tmp_path, HOST), clientRoots=roots)
    client = certificates.write(tmp_path, "me.example.org")
    pair = Pair(server, optionsForClientTLS(HOST, roots, client))
    pair.move()
    pair.client.protocol.transport.write(b"hello")
    pair.move()
    assert heard(pair.server) == b"hello"
    assert pair.server.layer.getPeerCertificate().names == (("DNS", "me.example.org"),)


def test_a_client_without_one_is_refused(tmp_path: Path) -> None:
    roots = certificates.write_authority(tmp_path)
    pair = Pair(serverOptions(certificates.write(tmp_path, HOST), clientRoots=roots), optionsForClientTLS(HOST, roots))
    pair.move()
    assert isinstance(pair.server.lose(), ssl.SSLError)
    assert isinstance(pair.client.lose(), ssl.SSLError)


# ------------------------------------------------------------------------------------------------------------ producers


class Producer:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


def test_a_push_producer_is_paused_while_much_waits_for_the_handshake() -> None:
    pair = Pair()
    producer = Producer()
    transport = pair.client.protocol.transport
    transport.registerProducer(producer, True)
    transport.write(b"x" * HIGH_WATER)
    assert producer.told == []
    transport.write(b"x")
    assert producer.told == ["pause"]
    pair.move()
    assert producer.told == ["pause", "resume"]
    assert len(heard(pair.server)) == HIGH_WATER + 1


def test_it_stays_paused_if_the_transport_has_too_much_by_then() -> None:
    pair = Pair()
    producer = Producer()
    transport = pair.client.protocol.transport
    transport.registerProducer(producer, True)
    transport.write(b"x" * (HIGH_WATER + 1))
    take = pair.client.transport.write

    def write(data: bytes) -> None:
        take(data)
        if len(data) > HIGH_WATER:
            pair.client.transport.producer.pauseProducing()

    pair.client.transport.write = write  # type: ignore[method-assign]
    pair.move()
    assert producer.told == ["pause"]
    pair.client.transport.producer.resumeProducing()
    assert producer.told == ["pause", "resume"]


def test_a_pull_producer_is_asked_once_before_the_handshake_is_through() -> None:
    pair = Pair()
    producer = Producer()
    pair.client.protocol.transport.registerProducer(producer, False)
    assert producer.told == ["resume"]
    assert pair.client.transport.producer is None
    pair.move()
    pair.client.transport.producer.resumeProducing()  # as it is registered
    assert producer.told == ["resume"]
    pair.client.transport.producer.resumeProducing()
    assert producer.told == ["resume", "resume"]


def test_a_producer_that_is_held_back_is_told_of_the_end() -> None:
    pair = Pair()
    producer = Producer()
    pair.client.protocol.transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="is registered"):
        pair.client.protocol.transport.registerProducer(Producer(), True)
    pair.client.lose()
    assert producer.told == ["stop"]


def test_the_end_waits_for_a_producer(pair: Pair) -> None:
    transport = pair.client.protocol.transport
    transport.registerProducer(Producer(), True)
    transport.loseConnection()
    transport.write(b"its last")
    assert not pair.client.transport.disconnecting
    transport.unregisterProducer()
    assert pair.client.transport.disconnecting
    pair.move()
    assert heard(pair.server) == b"its last"


def test_a_producer_that_begins_while_data_is_handed_over_hears_when_to_pause(pair: Pair) -> None:
    producer = Producer()
    transport = pair.server.protocol.transport
    transport.registerProducer(producer, True)
    take = pair.server.transport.write

    def write(data: bytes) -> None:
        take(data)
        if len(pair.server.transport.value()) > HIGH_WATER:
            producer.pauseProducing()

    pair.server.transport.write = write  # type: ignore[method-assign]

    def produce(_: bytes) -> None:
        for _ in range(100):
            if "pause" in producer.told:
                break
            transport.write(b"x" * 5_000)

    pair.server.protocol.on_data = produce
    pair.client.protocol.transport.write(b"go")
    pair.move()
    assert producer.told == ["pause"]
    assert HIGH_WATER < len(heard(pair.client)) < 2 * HIGH_WATER


def test_what_has_come_waits_while_the_protocol_has_paused(pair: Pair) -> None:
    pair.server.protocol.on_data = lambda data: pair.server.protocol.transport.pauseProducing()
    pair.client.protocol.transport.write(b"one")
    one = pair.client.take()
    pair.client.protocol.transport.write(b"two")
    pair.server.layer.dataReceived(one)
    assert pair.server.transport.producerState == "paused"
    pair.server.layer.dataReceived(pair.client.take())
    assert pair.server.protocol.heard == [b"one"]
    pair.server.protocol.transport.resumeProducing()
    assert pair.server.protocol.heard == [b"one"]
    pair.clock.advance(0)
    assert pair.server.protocol.heard == [b"one", b"two"]


def test_who_has_paused_does_not_hear_of_the_end_before_resuming(pair: Pair) -> None:
    server = pair.server.protocol
    server.on_data = lambda data: server.transport.pauseProducing()
    pair.client.protocol.transport.write(b"one")
    pair.client.protocol.transport.loseConnection()
    pair.server.layer.dataReceived(pair.client.take())
    assert server.heard == [b"one"]
    assert not server.transport.disconnecting
    server.transport.resumeProducing()
    pair.clock.advance(0)
    assert server.transport.disconnecting
    assert type(pair.server.lose()) is ConnectionDone


def test_a_close_while_paused_does_not_wait_for_the_peer(pair: Pair) -> None:
    server = pair.server.protocol

    def close(data: bytes) -> None:
        server.transport.pauseProducing()
        server.transport.loseConnection()

    server.on_data = close
    pair.client.protocol.transport.write(b"one")
    pair.client.protocol.transport.loseConnection()
    pair.server.layer.dataReceived(pair.client.take())
    assert pair.server.transport.disconnecting


@pytest.mark.parametrize("first", ["the peer", "we"])
def test_the_peers_end_is_noticed_while_a_producer_delays_ours_though_we_had_paused(pair: Pair, first: str) -> None:
    server, producer = pair.server.protocol, Producer()
    server.transport.registerProducer(producer, True)
    server.transport.pauseProducing()
    if first == "we":
        server.transport.loseConnection()
        pair.clock.advance(0)
        assert pair.server.transport.producerState == "producing"
    pair.client.protocol.transport.loseConnection()
    pair.server.layer.dataReceived(pair.client.take())
    server.transport.loseConnection()
    pair.clock.advance(0)
    assert producer.told == ["stop"]
    assert pair.server.transport.disconnecting


def test_the_transport_goes_on_only_behind_what_it_has_brought(pair: Pair) -> None:
    """Its end would come first, else."""
    server = pair.server.protocol
    server.transport.pauseProducing()
    pair.client.protocol.transport.write(b"one")
    pair.server.layer.dataReceived(pair.client.take())
    server.transport.resumeProducing()
    assert pair.server.transport.producerState == "paused"
    pair.clock.advance(0)
    assert server.heard == [b"one"]
    assert pair.server.transport.producerState == "producing"


def test_what_the_protocol_raises_after_it_has_resumed_ends_the_connection(pair: Pair) -> None:
    server = pair.server.protocol
    server.transport.pauseProducing()
    pair.client.protocol.transport.write(b"one")
    pair.server.layer.dataReceived(pair.client.take())
    server.transport.resumeProducing()

    def fail(data: bytes) -> None:
        raise KeyError("one")

    server.on_data = fail
    with pytest.raises(KeyError):
        pair.clock.advance(0)
    assert pair.server.transport.disconnected
    assert isinstance(pair.server.lose(LOST), KeyError)


# ---------------------------------------------------------------------------------------------- peers that mean no good


def test_nothing_is_kept_that_comes_while_the_connection_closes(pair: Pair) -> None:
    pair.server.protocol.transport.loseConnection()
    for _ in range(10):
        pair.server.layer.dataReceived(b"x" * 1000)
    assert pair.server.layer._incoming.pending == 0


def test_nothing_is_kept_that_comes_while_a_producer_delays_the_end() -> None:
    pair = Pair()
    server = pair.server.protocol
    server.transport.registerProducer(Producer(), True)
    server.transport.pauseProducing()
    server.transport.loseConnection()
    pair.move()
    for _ in range(10):
        pair.client.protocol.transport.write(b"x" * 1000)
        pair.move()
    assert server.heard == []
    assert pair.server.layer._incoming.pending == 0
    server.transport.unregisterProducer()
    assert pair.server.transport.disconnecting


@pytest.mark.parametrize("reads", [True, False])
def test_a_peer_that_asks_for_new_keys_has_to_read_them(pair: Pair, reads: bool) -> None:
    layer, transport = pair.server.layer, pair.server.transport
    transport._waiting_to_be_sent = lambda: 0 if reads else len(transport.value())  # type: ignore[attr-defined]
    tls = layer._tls

    class Answers:
        """To each record, as to KeyUpdate, which Python's `ssl` cannot send."""

        def pending(self) -> int:
            return 0

        def read(self, size: int) -> bytes:
            layer._incoming.read()
            layer._outgoing.write(b"x" * 1000)
            raise ssl.SSLWantReadError

        def __getattr__(self, name: str) -> Any:
            return getattr(tls, name)

    layer._tls = Answers()
    for _ in range(100):
        layer.dataReceived(b"x")
    assert transport.disconnected is not reads
    if not reads:
        assert len(transport.value()) < HIGH_WATER + 2000
        reason = pair.server.lose(LOST)
        assert type(reason) is ConnectionAborted
        assert "KeyUpdate" in str(reason)


class Busy:
    """*tls*, in the middle of a second handshake while *busy* (TLS 1.2, where the context allows it)."""

    def __init__(self, tls: Any) -> None:
        self.tls = tls
        self.busy = True

    def write(self, data: bytes) -> int:
        if self.busy:
            raise ssl.SSLWantReadError
        return int(self.tls.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tls, name)


def test_what_is_written_during_a_second_handshake_waits_for_that(pair: Pair) -> None:
    layer = pair.client.layer
    layer._tls = busy = Busy(layer._tls)
    layer.write(b"one")
    layer.write(b"x" * (PIECE + 1))
    layer.loseConnection()
    assert not pair.client.transport.disconnecting
    busy.busy = False
    pair.server.protocol.transport.write(b"whatever ends it")
    pair.move()
    assert heard(pair.server) == b"one" + b"x" * (PIECE + 1)
    assert type(pair.client.lose()) is ConnectionDone


def test_another_protocol_may_be_put_in_place(pair: Pair) -> None:
    other = Speaker()
    transport = pair.server.protocol.transport
    assert transport.protocol is pair.server.protocol
    transport.protocol = other
    pair.client.protocol.transport.write(b"hello")
    pair.move()
    assert pair.server.protocol.heard == []
    assert other.heard == [b"hello"]
