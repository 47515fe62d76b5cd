"""Hosts, and what may come between them."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf, nan
from typing import Any

import pytest
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from netcore import _current
from netcore.defer import Deferred
from netcore.endpoints import TCP4ClientEndpoint
from netcore.error import (
    ConnectBindError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    ReactorNotRunning,
    TCPTimedOutError,
    TimeoutError,
)
from netcore.interfaces import IReactorFDSet, IReactorTCP, IReactorUDP, provides
from netcore.protocol import Factory
from netcore.task import LoopingCall, deferLater
from netcore.testing.contracts._recorder import ClientRecorder, FactoryRecorder, Recorder
from netcore.testing.network import FakeNetwork, Host, Stalled, _selector
from netcore.threadpool import ThreadPool
from netcore.threads import deferToThread, deferToThreadPool
from tests.support.guard import Logged

LATENCY = 0.25  # a number that binary fractions can hold, so that times are exact


@pytest.fixture
def net() -> Iterator[FakeNetwork]:
    with FakeNetwork(latency=LATENCY) as net:
        yield net


@pytest.fixture
def pair(net: FakeNetwork) -> tuple[Host, Host]:
    """A server that listens at port 80, and a client."""
    server, client = net.host("10.0.0.1", "2001:db8::1", name="server.example"), net.host("10.0.0.2", "2001:db8::2")
    server.listenTCP(80, FactoryRecorder(), interface="::")
    return server, client


def connected(net: FakeNetwork, server: Host, client: Host, port: int = 7) -> tuple[Recorder, Recorder, Any]:
    """The protocols of a connection, the server's first, and the client's factory."""
    servers, clients = FactoryRecorder(), ClientRecorder()
    listening = server.listenTCP(port, servers)
    client.connectTCP(server.address, port, clients)
    net.runUntil(servers.made.times())
    listening.stopListening()
    return servers.built[0], clients.built[0], clients


# --------------------------------------------------------------------------------------------------------------- hosts


def test_hosts_have_addresses_of_their_own(net: FakeNetwork) -> None:
    assert [net.host().address for _ in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert net.host("2001:DB8:0::5").address == "2001:db8::5"
    for wrong in ("10.0.0.2", "nowhere", "127.0.0.1", "0.0.0.0"):
        with pytest.raises(ValueError, match=wrong):
            net.host(wrong)


def test_a_host_has_tcp_only(net: FakeNetwork) -> None:
    host = net.host()
    assert provides(host, IReactorTCP)
    assert not provides(host, IReactorUDP)
    assert not provides(host, IReactorFDSet)
    for refused in (host.listenUDP, host.listenUNIX, host.connectUNIX, host.addReader, host.spawnProcess):
        with pytest.raises(NotImplementedError, match="TCP only"):
            refused(0, None)  # type: ignore[arg-type]


def test_they_have_what_they_declare(net: FakeNetwork) -> None:
    for each in (net, net.host()):
        declared = [interface for interface in providedBy(each) if interface.__module__.startswith("netcore.")]
        assert len(declared) >= 1
        for interface in declared:
            assert verifyObject(interface, each)


def test_each_host_has_its_own_loopback_interface(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    factory = ClientRecorder()
    client.connectTCP("127.0.0.1", 80, factory)
    assert type(net.runUntil(factory.failed.times())) is ConnectionRefusedError
    here = ClientRecorder()
    server.connectTCP("localhost", 80, here)
    made = net.runUntil(here.made.times())
    assert made.transport.getHost().host == made.transport.getPeer().host == "127.0.0.1"
    assert net.seconds() == 0  # no way is shorter


def test_over_ipv6_and_ipv4(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    for address, expected in (("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")):
        factory = ClientRecorder()
        pair[1].connectTCP(address, 80, factory)
        made = net.runUntil(factory.made.times())
        assert (made.transport.getPeer().host, made.transport.getHost().host) == (address, expected)


def test_a_host_without_an_address_of_the_kind_has_no_way(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    factory = ClientRecorder()
    net.host("10.0.0.9").connectTCP("2001:db8::1", 80, factory)
    error = net.runUntil(factory.failed.times())
    assert type(error) is NoRouteError


def test_only_own_addresses_can_be_bound(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    factory = ClientRecorder()
    pair[1].connectTCP("10.0.0.1", 80, factory, bindAddress=("10.0.0.1", 0))
    assert type(net.runUntil(factory.failed.times())) is ConnectBindError


def test_names_are_looked_up_as_the_network_has_them(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    _, client = pair
    net.name("slow.example", 2.0, "10.0.0.1")
    net.name("broken.example", socket.gaierror(socket.EAI_AGAIN, "try again"))
    assert net.runUntil(client.resolve("slow.example")) == "10.0.0.1"
    assert net.seconds() == 2
    for name in ("broken.example", "unknown.example"):
        with pytest.raises(DNSLookupError):
            net.runUntil(client.resolve(name))
    factory = ClientRecorder()
    client.connectTCP("server.example", 80, factory)
    assert net.runUntil(factory.made.times()).transport.getPeer().host == "10.0.0.1"


def test_the_host_is_the_current_reactor_of_what_it_calls(net: FakeNetwork) -> None:
    one, other = net.host(), net.host()
    seen: list[Any] = []

    class Asking(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            seen.append(_current.current_reactor())

    one.listenTCP(80, Factory.forProtocol(Asking))
    factory = ClientRecorder()
    factory.build = Asking
    other.connectTCP(one.address, 80, factory)
    net.advance(10)
    assert seen == [other, one]
    one.callLater(1, lambda: seen.append(_current.current_reactor()))
    other.callFromThread(lambda: seen.append(_current.current_reactor()))
    net.advance(1)
    assert seen[2:] == [other, one]

    async def ask() -> Any:
        return _current.current_reactor()

    assert one.runUntil(ask()) is one


def test_a_program_that_stops_has_a_shutdown(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    """Its connections are closed, and its machine refuses others."""
    server, client = pair
    at_server, at_client, _ = connected(net, server, client)
    waited = Deferred[None]()
    server.addSystemEventTrigger("before", "shutdown", lambda: waited)
    server.stop()
    with pytest.raises(ReactorNotRunning):
        server.stop()
    net.advance(1)
    assert at_server.reasons == []
    waited.callback(None)
    net.advance(1)
    assert [type(each.reasons[0]) for each in (at_server, at_client)] == [ConnectionLost, ConnectionDone]
    factory = ClientRecorder()
    client.connectTCP(server.address, 80, factory)
    assert type(net.runUntil(factory.failed.times())) is ConnectionRefusedError


def test_threads_take_no_time(net: FakeNetwork) -> None:
    host = net.host()
    host.callLater(1, print)

    async def program() -> tuple[str, float]:
        return await deferToThread(str, "done"), net.seconds()

    assert host.runUntil(program()) == ("done", 0)


def test_any_pool_of_threads_is_waited_for(net: FakeNetwork) -> None:
    """Until it has said that it has stopped."""
    host, pool = net.host(), ThreadPool(0, 2)
    pool.start()
    host.callLater(1, print)

    async def program() -> list[int]:
        return [await deferToThreadPool(host, pool, abs, -number) for number in range(3)]

    assert host.runUntil(program()) == [0, 1, 2]
    stopped = Deferred[None]()
    pool.beginStop(lambda: host.callFromThread(stopped.callback, None))
    net.runUntil(stopped)
    assert net.seconds() == 0


# ---------------------------------------------------------------------------------------------------------------- time


def test_everything_takes_its_way(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    told: list[tuple[str, float]] = []
    one, other = Recorder(), Recorder()
    for name, recorder in (("server", one), ("client", other)):
        recorder.on_made = lambda _, name=name: told.append((f"{name} made", net.seconds()))  # type: ignore[misc]
        recorder.on_data = lambda _, data, name=name: told.append((f"{name} {data.decode()}", net.seconds()))  # type: ignore[misc]
    servers, clients = FactoryRecorder(), ClientRecorder()
    servers.build, clients.build = lambda: one, lambda: other
    server.listenTCP(7, servers)
    client.connectTCP(server.address, 7, clients)
    net.advance(1)
    other.transport.write(b"question")
    net.advance(1)
    one.transport.write(b"answer")
    one.transport.loseConnection()
    net.advance(1)
    assert told == [("client made", 0.5), ("server made", 0.75), ("server question", 1.25), ("client answer", 2.25)]
    assert type(other.reasons[0]) is type(one.reasons[0]) is ConnectionDone


def test_advance_does_all_that_is_due_and_nothing_else(net: FakeNetwork) -> None:
    host = net.host()
    seen: list[str] = []

    def chain(left: int) -> None:
        seen.append(f"at once {left}")
        if left:
            host.callLater(0, chain, left - 1)

    host.callLater(5, chain, 2)
    host.callLater(5.0001, seen.append, "too late")
    net.advance(5)
    assert seen == ["at once 2", "at once 1", "at once 0"]
    assert net.seconds() == host.seconds() == net.loop.time() == 5
    net.advance()
    assert seen[3:] == []
    with pytest.raises(ValueError, match="-1"):
        net.advance(-1)


def test_the_network_is_a_clock(net: FakeNetwork) -> None:
    seen: list[float] = []
    call = LoopingCall(lambda: seen.append(net.seconds()))
    call.clock = net
    call.start(2)
    net.advance(5)
    assert seen == [0, 2, 4]
    assert len(net.getDelayedCalls()) == 1


def test_run_until_gives_results_and_errors(net: FakeNetwork) -> None:
    host = net.host()

    async def program() -> str:
        await deferLater(host, 3)
        return "done"

    assert net.runUntil(program()) == "done"
    assert net.runUntil(deferLater(host, 4, lambda: "later")) == "later"
    assert net.seconds() == 7

    async def wrong() -> None:
        raise LookupError("wrong")

    with pytest.raises(LookupError, match="wrong"):
        host.runUntil(wrong())
    task = host.createTask(program())
    assert net.runUntil(task) == "done"


def test_run_until_tells_what_will_never_happen(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    at_server, _, _ = connected(net, *pair)
    waiting = Deferred[None]()
    with pytest.raises(Stalled, match=r"(?s)nothing will ever happen.*the last that happened:.*is connected"):
        net.runUntil(waiting)
    assert net.seconds() <= 30  # the time-out of connecting, which was cancelled
    assert at_server.reasons == []  # all goes on
    call = LoopingCall(lambda: None)
    call.clock = pair[0]
    call.start(1)
    begun = net.seconds()
    with pytest.raises(Stalled, match="has no result after 60 s"):
        net.runUntil(Deferred[None](), timeout=60)
    assert net.seconds() == begun + 60


def test_a_callback_that_ends_the_program_is_let_through(net: FakeNetwork) -> None:
    host = net.host()
    host.callLater(1, exit)
    host.callLater(1, print, "still there")
    with pytest.raises(SystemExit):
        net.advance(5)
    assert net.seconds() == 1
    net.advance(4)
    assert host.getDelayedCalls() == []


def test_the_same_seed_gives_the_same_story() -> None:
    def story(seed: int) -> list[str]:
        with FakeNetwork(seed, latency=0.01, jitter=0.1, loss=0.2) as net:
            server, client = net.host(), net.host()
            at_server, at_client, _ = connected(net, server, client)
            for _ in range(20):
                at_client.transport.write(b"x" * net.random.randrange(100))
                net.advance(net.random.random())
            at_server.transport.loseConnection()
            net.advance(10)
            assert len(at_server.received) > 0
            return net.log

    assert story(1) == story(1) != story(2)


# --------------------------------------------------------------------------------------------------------------- links


def test_links_are_as_they_are_said_to_be(net: FakeNetwork) -> None:
    one, two, three = net.host(), net.host(), net.host()
    link = net.link(one, two, latency=2.0, bandwidth=1000)
    assert net.link(two, one) is link
    assert net.link(one, two, jitter=0.5).latency == 2.0
    assert net.link(one, three).latency == LATENCY
    assert "latency 2 s, jitter 0.5 s" in repr(link)
    for wrong in ({"latency": -1}, {"latency": None}, {"loss": 1.0}, {"bandwidth": 0}, {"jitter": float("nan")}):
        with pytest.raises(ValueError, match="cannot be"):
            net.link(one, two, **wrong)
        with pytest.raises(ValueError, match="cannot be"):
            FakeNetwork(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no speed"):
        net.link(one, two, speed=1)
    with pytest.raises(ValueError, match="to itself"):
        net.link(one, one)
    with pytest.raises(ValueError, match="window"):
        FakeNetwork(window=0)


def test_bandwidth_bounds_what_comes_through(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    net.link(*pair, bandwidth=1000, latency=0)
    at_server, at_client, _ = connected(net, *pair)
    begun = net.seconds()
    at_client.transport.write(bytes(5000))
    net.runUntil(at_server.got(5000))
    assert net.seconds() - begun == pytest.approx(5)


def test_the_window_bounds_what_is_on_its_way() -> None:
    """A peer that does not read stops who writes, by the producer's being paused."""
    with FakeNetwork(window=1000) as net:
        server, client = net.host(), net.host()
        at_server, at_client, _ = connected(net, server, client)
        at_server.transport.pauseProducing()
        at_client.transport.write(bytes(100_000))
        net.advance(100)
        assert at_client.transport._size == 99_000
        at_server.transport.resumeProducing()
        net.runUntil(at_server.got(100_000))
        assert max(map(len, at_server.pieces)) <= 1000


def test_lost_packets_arrive_the_later(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    at_server, at_client, _ = connected(net, *pair)
    net.link(*pair, loss=0.5)
    begun = net.seconds()
    for number in range(100):
        at_client.transport.write(b"%d," % number)
        net.advance()
    net.runUntil(at_server.got(290))
    assert at_server.received == b"".join(b"%d," % number for number in range(100))
    assert net.seconds() - begun > LATENCY + 0.2


# ----------------------------------------------------------------------------------------------------------- partition


def test_what_is_sent_into_a_partition_arrives_when_that_is_healed(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    at_server, at_client, _ = connected(net, server, client)
    at_client.transport.write(b"on its way,")
    net.advance()
    net.partition(server, client)
    at_client.transport.write(b"behind it")
    at_client.transport.loseConnection()
    net.advance(600)
    assert at_server.received == b""
    assert at_server.reasons == []
    net.heal()
    net.advance(LATENCY)
    assert at_server.received == b"on its way,behind it"
    net.advance(1)
    assert type(at_server.reasons[0]) is ConnectionDone


def test_a_partition_that_lasts_ends_who_sends(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    """Who does not, hears nothing, until he sends something to the one that has given up."""
    server, client = pair
    at_server, at_client, _ = connected(net, server, client)
    net.partition(server)
    at_client.transport.write(b"hello")
    net.advance(920)
    assert at_client.reasons == []
    net.advance(10)
    assert type(at_client.reasons[0]) is ConnectionLost
    assert at_client.reasons[0].args[0].errno == errno.ETIMEDOUT
    net.advance(86400)
    net.heal(server, client)
    net.advance(1)
    assert at_server.reasons == []
    at_server.transport.write(b"anybody there?")
    net.advance(1)
    assert type(at_server.reasons[0]) is ConnectionLost


def test_a_partition_may_end_in_resets(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    bystander = net.host()
    at_server, at_client, _ = connected(net, server, client)
    untouched, _, _ = connected(net, server, bystander, port=8)
    net.partition([server], [client])
    net.heal(reset=True)
    net.advance()
    assert [type(each.reasons[0]) for each in (at_server, at_client)] == [ConnectionLost, ConnectionLost]
    assert untouched.reasons == []


def test_connecting_through_a_partition_is_tried_again(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    """By TCP, after 1, 3 and 7 seconds."""
    server, client = pair
    net.partition(server, client)
    factory = ClientRecorder()
    client.connectTCP(server.address, 80, factory)
    net.advance(5)
    net.heal()
    net.runUntil(factory.made.times())
    assert net.seconds() == 7 + 2 * LATENCY


def test_connecting_to_nobody_times_out(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    _, client = pair
    mine, kernels = ClientRecorder(), ClientRecorder()
    client.connectTCP("10.9.9.9", 80, mine)
    assert type(net.runUntil(mine.failed.times())) is TimeoutError
    assert net.seconds() == 30
    client.connectTCP("10.9.9.9", 80, kernels, timeout=None)
    assert type(net.runUntil(kernels.failed.times())) is TCPTimedOutError
    assert net.seconds() == 30 + 127
    assert any("to an address that no host has" in line for line in net.log)


def test_hosts_of_another_network_are_refused(net: FakeNetwork) -> None:
    with FakeNetwork() as other, pytest.raises(ValueError, match="no running host of this network"):
        net.partition(net.host(), other.host())


def test_half_open_connections_are_forgotten(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    """The client's answer never comes: the place in the queue is free again."""
    server, client = pair
    server.listenTCP(7, FactoryRecorder(), backlog=0)
    factory = ClientRecorder()
    client.connectTCP(server.address, 7, factory)
    net.advance(LATENCY)
    net.partition(server, client)
    net.runUntil(factory.failed.times())
    net.advance(64)
    net.heal()
    again = ClientRecorder()
    client.connectTCP(server.address, 7, again)
    begun = net.seconds()
    net.runUntil(again.made.times())
    assert net.seconds() - begun == 2 * LATENCY


def test_an_answer_that_was_lost_is_given_again(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    servers, factory = FactoryRecorder(), ClientRecorder()
    server.listenTCP(7, servers)
    client.connectTCP(server.address, 7, factory)
    net.advance(LATENCY)
    net.partition(server, client)
    net.advance(2)
    net.heal()
    net.runUntil(factory.made.times())
    assert net.seconds() == 3 + 2 * LATENCY
    net.runUntil(servers.made.times())
    assert len(net.connections()) == len(servers.built) == 1


def test_a_trigger_has_its_host_for_the_current_reactor(net: FakeNetwork) -> None:
    """Whoever added it."""
    host, seen = net.host(), []
    host.addSystemEventTrigger("during", "shutdown", lambda: seen.append(_current.current_reactor()))
    host.stop()
    net.advance()
    assert seen == [host]


def test_a_client_that_leaves_while_it_is_answered_is_forgotten(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    servers, factory = FactoryRecorder(), ClientRecorder()
    server.listenTCP(7, servers, backlog=0)
    connector = client.connectTCP(server.address, 7, factory)
    net.advance(LATENCY)
    connector.stopConnecting()
    net.advance(10)
    assert servers.built == []
    client.connectTCP(server.address, 7, factory)
    net.runUntil(servers.made.times())


# --------------------------------------------------------------------------------------------- ports, and single faults


def test_a_port_may_be_made_to_refuse_or_to_ignore(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    standing, _, _ = connected(net, server, client)

    def outcome() -> Any:
        factory = ClientRecorder()
        connector = client.connectTCP(server.address, 80, factory, timeout=10)
        net.advance(11)
        connector.disconnect()
        return type(factory.reasons[0]) if factory.reasons else "made"

    net.refuse(server, 80)
    assert outcome() is ConnectionRefusedError
    net.ignore(server.address, 80)
    assert outcome() is TimeoutError
    net.accept(server, 80)
    assert outcome() == "made"
    assert standing.reasons == []


def test_a_connection_may_be_reset_from_in_between(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    at_server, at_client, factory = connected(net, server, client)
    bystander, _, _ = connected(net, server, net.host(), port=8)
    at_server.transport.write(b"before,")
    net.advance(LATENCY)
    (connection,) = net.connections(client, server)
    assert connection.server == ("10.0.0.1", 7)
    assert connection.client[0] == "10.0.0.2"
    assert len(net.connections()) == len(net.connections(server)) == 2
    assert "10.0.0.1:7" in repr(connection)
    connection.reset()
    net.advance()
    assert at_client.received == b"before,"
    for each in (at_server, at_client):
        assert type(each.reasons[0]) is ConnectionLost
        assert each.reasons[0].args[0].errno == errno.ECONNRESET
    assert factory.told[-1] == "stop"
    assert bystander.reasons == []
    assert len(net.connections()) == 1
    connection.reset()  # once more does nothing


def test_a_connection_may_fall_silent(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    at_server, at_client, _ = connected(net, *pair)
    net.connections()[0].silence()
    at_client.transport.write(b"x")
    net.advance(900)
    assert at_client.reasons == at_server.reasons == []
    net.advance(100)
    assert type(at_client.reasons[0]) is ConnectionLost
    assert at_server.reasons == []
    other, _, _ = connected(net, *pair, port=8)
    assert other.reasons == []


def test_abort_is_a_reset_for_the_peer(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    at_server, at_client, _ = connected(net, *pair)
    at_client.transport.abortConnection()
    net.advance()
    assert type(at_client.reasons[0]) is ConnectionAborted
    assert at_server.reasons == []
    net.advance(LATENCY)
    assert type(at_server.reasons[0]) is ConnectionLost


def test_a_reset_into_a_partition_is_lost(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    """The peer hears of it when it sends something."""
    at_server, at_client, _ = connected(net, *pair)
    at_client.transport.write(b"never sent again")
    net.advance()
    net.partition(*pair)
    at_client.transport.abortConnection()
    net.advance(10)
    net.heal()
    net.advance(10)
    assert at_server.told == ["made"]
    at_server.transport.write(b"hello?")
    net.advance(1)
    assert type(at_server.reasons[0]) is ConnectionLost


def test_a_crash_is_silent(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    """Nothing of it is heard, on either side, before the machine is there again."""
    server, client = pair
    at_server, at_client, _ = connected(net, server, client)
    called: list[int] = []
    server.callLater(1, called.append, 1)
    net.crash(server)
    with pytest.raises(ValueError, match="no running host"):
        net.crash(server)
    at_client.transport.write(b"are you there?")
    net.advance(10)
    assert called == at_server.reasons == at_client.reasons == []
    assert server.disposed
    again = net.host(server.address)
    net.advance(1)
    assert type(at_client.reasons[0]) is ConnectionLost
    assert at_server.reasons == []
    connected(net, again, client)


# ----------------------------------------------------------------------------------------------------------- endpoints


def test_an_endpoint_may_be_cancelled_on_the_way(net: FakeNetwork, pair: tuple[Host, Host]) -> None:
    server, client = pair
    connecting = TCP4ClientEndpoint(client, server.address, 80).connect(ClientRecorder())
    net.advance(LATENCY)
    failed = connecting.addErrback(lambda failure: "cancelled")
    connecting.cancel()
    assert net.runUntil(failed) == "cancelled"
    net.advance(10)
    assert net.connections() == []


# ----------------------------------------------------------------------------------------------------------------- end


def test_the_end_of_the_network_is_the_end_of_all() -> None:
    with FakeNetwork() as net:
        server, client = net.host(), net.host()
        at_server, at_client, factory = connected(net, server, client)
        net.host().callLater(5, print)
    assert [len(each.reasons) for each in (at_server, at_client)] == [1, 1]
    assert factory.told[-1] == "stop"
    assert server.disposed
    net.close()
    with pytest.raises(ReactorNotRunning):
        server.callLater(0, print)


def test_a_host_that_is_about_to_stop_does_not_hold_up_the_end() -> None:
    with FakeNetwork() as net:
        host = net.host()
        host.addSystemEventTrigger("before", "shutdown", Deferred[None])
        host.stop()
        net.advance(1)
    assert host.disposed


@pytest.mark.parametrize("call", [FakeNetwork.close, FakeNetwork.advance, lambda net: net.runUntil(Deferred())])
def test_what_runs_on_it_lets_no_time_pass(net: FakeNetwork, call: Callable[[FakeNetwork], object]) -> None:
    refused: list[Exception] = []

    def program() -> None:
        with pytest.raises(RuntimeError, match="time passes already") as caught:
            call(net)
        refused.append(caught.value)

    net.host().callLater(1, program)
    net.callLater(100, refused.clear)
    net.advance(5)  # and no longer, for that
    assert (len(refused), net.seconds()) == (1, 5)


def test_a_network_is_not_used_within_another_loop(net: FakeNetwork) -> None:
    async def test() -> None:
        net.advance(1)

    with pytest.raises(RuntimeError, match="ordinary function"):
        asyncio.run(test())


def test_a_real_socket_reaches_nobody(net: FakeNetwork) -> None:
    """Libraries make some for themselves: no packet is to leave this machine, or to arrive."""
    connects: list[object] = []

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            connects.append(address)
            raise BlockingIOError(errno.EINPROGRESS, "under way")

    async def program() -> None:
        with Socket() as sock:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("10.0.0.1", 80))

    with pytest.raises(RuntimeError, match="is a real descriptor"):
        net.host("10.0.0.1").runUntil(program())
    assert connects == []


def test_a_coroutine_that_does_not_end_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def program() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(5)

    net = FakeNetwork()
    net.host().createTask(program())
    net.advance(1)
    with pytest.raises(Stalled, match="no result after 86400 s"):
        net.close()
    assert net.loop.is_closed()
    del net
    gc.collect()
    assert "Task was destroyed but it is pending!" in caplog.text


def test_a_thread_that_does_not_end_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_selector, "_PATIENCE", 0.0)
    end = threading.Event()
    net = FakeNetwork()
    try:
        net.host().createTask(asyncio.to_thread(end.wait))
        for _ in range(2):
            with pytest.raises(Stalled, match="a thread has worked for 0 real seconds"):
                net.advance(1)
        with pytest.raises(Stalled, match="a thread has worked for 0 real seconds"):
            net.close()
        assert net.loop.is_closed()
    finally:
        end.set()
    del net
    gc.collect()


def test_a_closed_network_takes_no_more_hosts() -> None:
    with FakeNetwork() as net:
        pass
    with pytest.raises(RuntimeError, match="is closed"):
        net.host()


def test_times_that_cannot_be_are_refused(net: FakeNetwork) -> None:
    for seconds in (-1.0, inf, nan):
        with pytest.raises(ValueError, match="seconds can pass"):
            net.advance(seconds)
    for seconds in (-1.0, nan):
        with pytest.raises(ValueError, match="0 or more seconds"):
            net.runUntil(Deferred(), timeout=seconds)


def test_what_a_callback_raises_is_logged(net: FakeNetwork, logged: Logged) -> None:
    net.host().callLater(1, lambda: 1 / 0)
    net.callLater(1, lambda: 1 / 0)
    net.advance(1)
    assert len(logged.take(ZeroDivisionError)) == 2
