"""The faulty proxy, on a fake network, in virtual time: clients and the proxy on one host, the server on another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asyncdb.testing import ReactorFaultyProxy
from asyncdb.testing._proxy._pipe import LIMIT
from netcore.endpoints import TCP4ClientEndpoint
from netcore.error import CannotListenError, ConnectionDone, ConnectionLost, ConnectionRefusedError
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, implementer
from netcore.protocol import Factory, Protocol
from netcore.testing.network import FakeNetwork

PORT = 5432


class Peer(Protocol):
    """Keeps what it hears, and when."""

    transport: Any

    def __init__(self, clock: FakeNetwork) -> None:
        self.clock = clock
        self.heard = b""
        self.times: list[float] = []
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.times.append(round(self.clock.seconds(), 3))

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.reason = reason

    def ended_by(self, kind: type[Exception]) -> bool:
        return self.reason is not None and self.reason.check(kind) is not None


class Echo(Peer):
    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


@implementer(IHalfCloseableProtocol)
class HalfClosing(Peer):
    ended = False

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass


class World:
    """A network with an echo server, and a proxy in front of it. No link takes time: what does is the proxy's doing."""

    server_class: type[Peer] = Echo

    def __init__(self, net: FakeNetwork) -> None:
        self.net = net
        self.far, self.near = net.host("10.0.0.1"), net.host("10.0.0.2")
        self.served: list[Peer] = []
        self.port = self.far.listenTCP(PORT, Factory.forProtocol(self._serve))
        self.proxy = ReactorFaultyProxy(self.near, "10.0.0.1", PORT, seed=1)
        self.proxy.start()

    def _serve(self) -> Peer:
        self.served.append(self.server_class(self.net))
        return self.served[-1]

    def connect(self, kind: type[Peer] = Peer) -> Any:
        endpoint = TCP4ClientEndpoint(self.near, self.proxy.host, self.proxy.port)
        client = self.net.runUntil(endpoint.connect(Factory.forProtocol(lambda: kind(self.net))))
        self.net.advance()
        return client

    def say(self, client: Peer, data: bytes, wait: float = 0.0) -> None:
        client.transport.write(data)
        self.net.advance(wait)


@pytest.fixture
def world() -> Iterator[World]:
    with FakeNetwork(latency=0.0) as net:
        world = World(net)
        yield world
        net.runUntil(world.proxy.stop())
        assert world.proxy.standing == 0


# ------------------------------------------------------------------------------------------------------------- no fault


def test_what_is_sent_goes_through_and_is_counted(world: World) -> None:
    one, two = world.connect(), world.connect()
    world.say(one, b"hello")
    world.say(two, b"you")
    assert (one.heard, two.heard) == (b"hello", b"you")
    proxy = world.proxy
    assert (proxy.connections, proxy.standing, proxy.bytesToServer, proxy.bytesToClient, proxy.bytesLost) == (
        *(2, 2),
        *(8, 8),
        0,
    )


def test_a_client_that_closes_closes_the_servers_connection(world: World) -> None:
    client = world.connect()
    client.transport.loseConnection()
    world.net.advance()
    assert world.served[0].ended_by(ConnectionDone)
    assert world.proxy.standing == 0


def test_one_direction_can_end_and_the_other_go_on(world: World) -> None:
    world.server_class = HalfClosing
    client = world.connect(HalfClosing)
    client.transport.loseWriteConnection()
    world.net.advance()
    (server,) = world.served
    assert isinstance(server, HalfClosing)
    assert server.ended
    world.say(server, b"still here")
    assert client.heard == b"still here"
    server.transport.loseConnection()
    world.net.advance()
    assert client.ended_by(ConnectionDone)
    assert world.proxy.standing == 0


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_passed_on_as_one(world: World, who: str) -> None:
    client = world.connect()
    (server,) = world.served
    breaks, hears = (client, server) if who == "client" else (server, client)
    breaks.transport.abortConnection()
    world.net.advance()
    assert hears.ended_by(ConnectionLost)
    assert world.proxy.standing == 0


def test_a_server_that_refuses_resets_its_clients(world: World) -> None:
    world.port.stopListening()
    client = world.connect()
    assert client.ended_by(ConnectionLost)
    assert world.proxy.standing == 0


def test_a_client_that_does_not_read_makes_the_server_wait(world: World) -> None:
    world.server_class = Peer
    client = world.connect()
    client.transport.pauseProducing()
    (server,) = world.served
    server.transport.setWriteLimits(1)
    much = b"x" * 10_000_000
    world.say(server, much)
    assert 0 < world.proxy.bytesToClient < 1_000_000  # what kernels and the proxy hold
    client.transport.resumeProducing()
    world.net.advance()
    assert client.heard == much


# ------------------------------------------------------------------------------------------------------- once, and over


def test_drop_closes_what_there_is_and_nothing_that_comes(world: World) -> None:
    one, two = world.connect(), world.connect()
    assert world.proxy.drop() == 2
    world.net.advance()
    assert all(peer.ended_by(ConnectionDone) for peer in (one, two, *world.served))
    three = world.connect()
    world.say(three, b"hello")
    assert three.heard == b"hello"


def test_reset_resets_what_there_is_and_nothing_that_comes(world: World) -> None:
    one = world.connect()
    assert world.proxy.reset() == 1
    world.proxy.heal()  # before the connection is gone
    world.net.advance()
    assert all(peer.ended_by(ConnectionLost) for peer in (one, *world.served))
    two = world.connect()
    world.say(two, b"hello")
    assert two.heard == b"hello"
    assert len(world.served) == 2


def test_refused_is_who_comes_until_it_heals_at_the_same_port(world: World) -> None:
    one, port = world.connect(), world.proxy.port
    world.proxy.refuse()
    world.proxy.refuse()  # it does
    with pytest.raises(ConnectionRefusedError):
        world.connect()
    world.say(one, b"hello")
    assert one.heard == b"hello"
    world.proxy.heal("refuse")
    assert world.proxy.port == port
    world.connect()
    assert world.proxy.connections == 2


# ------------------------------------------------------------------------------------------------------- the black hole


def test_a_black_hole_holds_what_is_sent_until_it_heals(world: World) -> None:
    client = world.connect()
    world.proxy.blackHole()
    world.say(client, b"are you there?", wait=3600)
    assert client.heard == b""
    assert client.reason is None
    world.proxy.heal()
    world.net.advance()
    assert client.heard == b"are you there?"
    assert world.proxy.bytesLost == 0


def test_who_closes_behind_a_black_hole_is_heard_when_it_heals(world: World) -> None:
    one, two = world.connect(), world.connect()
    world.proxy.blackHole()
    one.transport.loseConnection()
    two.transport.abortConnection()
    world.net.advance(3600)
    assert [server.reason for server in world.served] == [None, None]
    world.proxy.heal()
    world.net.advance()
    assert world.served[0].ended_by(ConnectionDone)
    assert world.served[1].ended_by(ConnectionLost)


def test_a_connection_made_to_a_black_hole_is_silent_and_made_when_it_heals(world: World) -> None:
    world.proxy.blackHole()
    client = world.connect()
    world.say(client, b"hello", wait=3600)
    assert (client.heard, client.reason, world.served) == (b"", None, [])
    world.proxy.heal()
    world.net.advance()
    assert client.heard == b"hello"


def test_a_black_hole_that_loses_resets_what_has_a_gap_when_it_heals(world: World) -> None:
    talked, silent, closed = world.connect(), world.connect(), world.connect()
    world.proxy.blackHole(loses=True)
    world.say(talked, b"hello", wait=3600)
    closed.transport.loseConnection()
    world.net.advance(3600)
    assert [server.reason for server in world.served] == [None, None, None]
    assert world.proxy.bytesLost == 5
    world.proxy.heal()
    world.net.advance()
    assert talked.ended_by(ConnectionLost)
    assert [server.ended_by(ConnectionLost) for server in world.served] == [True, False, True]
    world.say(silent, b"hello")
    assert silent.heard == b"hello"


def test_a_black_hole_that_loses_takes_all_that_is_sent(world: World) -> None:
    client = world.connect()
    world.proxy.blackHole(loses=True)
    world.say(client, b"x" * 10_000_000)
    assert world.proxy.bytesLost == 10_000_000


def test_one_that_came_and_went_in_a_black_hole_is_nothing_to_the_server(world: World) -> None:
    world.proxy.blackHole(loses=True)
    client = world.connect()
    client.transport.abortConnection()
    world.net.advance()
    world.proxy.heal()
    world.net.advance()
    assert world.served == []
    assert world.proxy.standing == 0


def test_a_black_hole_can_be_one_way(world: World) -> None:
    client = world.connect()
    world.proxy.blackHole("toClient")
    world.say(client, b"hello")
    assert world.served[0].heard == b"hello"
    assert client.heard == b""
    world.proxy.heal("blackHole")
    world.net.advance()
    assert client.heard == b"hello"


def test_a_fault_can_be_for_those_that_exist_or_for_those_that_come(world: World) -> None:
    one = world.connect()
    world.proxy.blackHole(connections="existing")
    two = world.connect()
    world.say(one, b"hello")
    world.say(two, b"hello")
    assert (one.heard, two.heard) == (b"", b"hello")
    world.proxy.heal()
    world.proxy.blackHole(connections="new")
    three = world.connect()
    world.say(three, b"hello")
    assert (one.heard, three.heard) == (b"hello", b"")


# --------------------------------------------------------------------------------------------------- delays, in seconds


def test_latency_delays_everything_in_its_order(world: World) -> None:
    client = world.connect()
    world.proxy.latency(0.5)
    world.proxy.latency(0.25, direction="toClient")
    world.say(client, b"a", wait=0.1)
    world.say(client, b"b")
    client.transport.loseWriteConnection()
    world.net.advance(10)
    assert world.served[0].times == [0.5, 0.6]
    assert client.times == [0.75, 0.85]


def test_jitter_keeps_the_order_and_follows_the_seed() -> None:
    def run(seed: int) -> tuple[bytes, list[float]]:
        with FakeNetwork(latency=0.0) as net:
            world = World(net)
            world.proxy = ReactorFaultyProxy(world.near, "10.0.0.1", PORT, seed=seed)
            world.proxy.start()
            client = world.connect()
            world.proxy.latency(0.1, jitter=0.2, direction="toServer")
            for number in range(10):
                world.say(client, b"%d" % number, wait=0.05)
            net.advance(10)
            assert world.served[0].heard == b"0123456789"
            return client.heard, client.times

    assert run(1) == run(1)
    assert run(1)[1] != run(2)[1]


def test_what_is_delayed_when_it_heals_arrives_at_once(world: World) -> None:
    client = world.connect()
    world.proxy.latency(60)
    world.say(client, b"hello")
    world.proxy.heal("latency")
    world.net.advance()
    assert client.heard == b"hello"
    assert client.times == [0.0]


def test_what_is_delayed_when_a_black_hole_opens_is_held_or_lost(world: World) -> None:
    client = world.connect()
    world.proxy.latency(1, direction="toServer")
    world.say(client, b"held")
    world.proxy.blackHole()
    world.net.advance(10)
    assert world.served[0].heard == b""
    world.proxy.heal("blackHole")
    world.net.advance()
    assert world.served[0].heard == b"held"
    world.say(client, b"lost")
    world.proxy.blackHole(loses=True)
    world.net.advance(10)
    assert world.proxy.bytesLost == 4


def test_what_is_delayed_takes_bounded_room(world: World) -> None:
    client = world.connect()
    world.proxy.latency(60, direction="toServer")
    world.say(client, b"x" * 10_000_000)
    (link,) = world.proxy._running().links
    assert LIMIT <= link.pipes["toServer"]._queued <= 2 * LIMIT
    world.proxy.heal()
    world.net.advance()
    assert world.served[0].heard == b"x" * 10_000_000


def test_throttled_bytes_trickle(world: World) -> None:
    world.server_class = Peer
    client = world.connect()
    world.proxy.throttle(1000)
    world.say(client, b"x" * 5000, wait=1.01)
    (server,) = world.served
    assert len(server.heard) == 1000
    world.net.advance(4.0)
    assert len(server.heard) == 5000
    assert len(server.times) == 100


def test_closing_a_proxy_leaves_nothing_that_was_delayed(world: World) -> None:
    client = world.connect()
    world.proxy.latency(60)
    world.proxy.throttle(10)
    world.say(client, b"hello")
    world.net.runUntil(world.proxy.stop())
    assert world.near.getDelayedCalls() == []
    assert client.ended_by(ConnectionLost)
    with pytest.raises(ConnectionRefusedError):
        world.connect()


# ----------------------------------------------------------------------------------------------------------- truncating


@pytest.mark.parametrize(("how", "reason"), [("reset", ConnectionLost), ("close", ConnectionDone)])
def test_truncated_is_what_is_longer(world: World, how: Any, reason: type[Exception]) -> None:
    client = world.connect()
    world.proxy.truncate(3, how)
    world.say(client, b"hello")
    assert client.heard == b"hel"
    assert client.ended_by(reason)
    assert world.served[0].reason is not None
    assert world.proxy.bytesLost == 2


def test_truncated_to_nothing_is_the_next_answer(world: World) -> None:
    client = world.connect()
    world.proxy.truncate(0)
    assert client.reason is None
    world.say(client, b"commit")
    assert world.served[0].heard == b"commit"
    assert client.heard == b""
    assert client.ended_by(ConnectionLost)


def test_each_connection_has_its_own_number_of_bytes_and_healing_ends_it(world: World) -> None:
    one, two = world.connect(), world.connect()
    world.proxy.truncate(3, direction="toServer")
    three = world.connect()
    world.say(one, b"ab")
    world.say(two, b"ab")
    world.say(three, b"abc")
    assert [peer.reason is None for peer in (one, two, three)] == [True, True, False]
    world.say(two, b"c")
    assert two.reason is not None
    world.proxy.heal("truncate")
    world.say(one, b"cdef")
    assert one.heard == b"abcdef"


# --------------------------------------------------------------------------------------------------------------- misuse


def test_wrong_arguments_are_refused(world: World) -> None:
    proxy: Any = world.proxy
    for call, told in (
        (lambda: proxy.blackHole("up"), '"both", "toServer" or "toClient"'),
        (lambda: proxy.blackHole(connections="some"), '"all", "existing" or "new"'),
        (lambda: proxy.latency(-1), "latency must be"),
        (lambda: proxy.latency(1, float("nan")), "jitter must be"),
        (lambda: proxy.throttle(0), r"blackHole\(\)"),
        (lambda: proxy.truncate(-1), "after must be"),
        (lambda: proxy.truncate(1, "fin"), '"reset" or "close"'),
        (lambda: proxy.heal("everything"), "refuse, blackHole, latency"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
    with pytest.raises(RuntimeError, match="listens already"):
        proxy.start()
    with pytest.raises(CannotListenError):
        ReactorFaultyProxy(world.near, "10.0.0.1", PORT, listenPort=proxy.port).start()
    with pytest.raises(RuntimeError, match="does not run"):
        ReactorFaultyProxy(world.near, "10.0.0.1", PORT).drop()
