"""MemoryReactor: it keeps what it is asked for, refuses what a real reactor refuses, and goes on by hand."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.defer import Deferred
from netcore.endpoints import SSL4ServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint
from netcore.error import (
    CannotListenError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NotConnectingError,
    ReactorAlreadyRunning,
    ReactorNotRunning,
    UnsupportedAddressFamily,
    UserError,
)
from netcore.failure import Failure
from netcore.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from netcore.task import react
from netcore.testing import (
    AccumulatingProtocol,
    MemoryReactor,
    MemoryReactorClock,
    RaisingMemoryReactor,
    StringTransport,
    assertNoResult,
    failureResultOf,
    successResultOf,
)
from netcore.threads import blockingCallFromThread, deferToThreadPool
from tests.support.certificates import client_context, server_context
from tests.support.guard import Logged


class Client(ClientFactory[AccumulatingProtocol]):
    """Notes what it hears."""

    noisy = False
    protocol = AccumulatingProtocol

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.again = False

    def startedConnecting(self, connector: Any) -> None:
        self.heard.append("started")

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.heard.append(reason.type)
        if self.again:
            connector.connect()

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.heard.append(reason.type)


class Server(Factory[AccumulatingProtocol]):
    noisy = False
    protocol = AccumulatingProtocol


@pytest.fixture
def memory() -> MemoryReactor:
    return MemoryReactor()


# ------------------------------------------------------------------------------------------------------------- records


def test_what_listens_is_recorded_in_twisteds_order(memory: MemoryReactor) -> None:
    server, context = Server(), server_context()
    memory.listenTCP(80, server)
    memory.listenTCP(81, server, 7, "127.0.0.1")
    memory.listenSSL(443, server, context)
    memory.listenUNIX("/run/test", server, mode=0o600, wantPID=True)
    assert memory.tcpServers == [(80, server, 50, ""), (81, server, 7, "127.0.0.1")]
    assert memory.sslServers == [(443, server, context, 50, "")]
    assert memory.unixServers == [("/run/test", server, 50, 0o600, True)]
    assert memory.tcpServers[1].interface == "127.0.0.1"
    assert server.numPorts == 4


def test_what_connects_is_recorded_in_twisteds_order(memory: MemoryReactor) -> None:
    client, context = Client(), client_context()
    memory.connectTCP("server.example", 80, client)
    memory.connectSSL("server.example", 443, client, context, 5, ("127.0.0.2", 0))
    memory.connectUNIX("/run/test", client, checkPID=True)
    assert memory.tcpClients == [("server.example", 80, client, 30, None)]
    assert memory.sslClients == [("server.example", 443, client, context, 5, ("127.0.0.2", 0))]
    assert memory.unixClients == [("/run/test", client, 30, True)]
    assert [each.getDestination() for each in memory.connectors] == [
        IPv4Address("TCP", "server.example", 80),
        IPv4Address("TCP", "server.example", 443),
        UNIXAddress("/run/test"),
    ]
    assert client.heard == ["started"] * 3


def test_a_port_has_an_address_and_can_be_closed_and_opened_again(memory: MemoryReactor) -> None:
    server = Server()
    port = memory.listenTCP(80, server)
    assert port.getHost() == IPv4Address("TCP", "0.0.0.0", 80)
    assert memory.listenTCP(80, server, interface="::").getHost() == IPv6Address("TCP", "::", 80)
    assert memory.listenUNIX("/run/test", server).getHost() == UNIXAddress("/run/test")
    with pytest.raises(RuntimeError, match="listens already"):
        port.startListening()
    closed = port.stopListening()
    assert closed is not None
    successResultOf(closed)
    assert not port.listening
    assert port.stopListening() is None
    assert server.numPorts == 2
    port.startListening()
    assert port.listening


def test_port_0_is_given_a_number_that_is_free(memory: MemoryReactor) -> None:
    one, two = (memory.listenTCP(0, Server()).getHost() for _ in range(2))
    assert one != two
    assert memory.tcpServers[0].port == 0


def test_a_port_that_is_taken_cannot_be_listened_on(memory: MemoryReactor) -> None:
    port = memory.listenTCP(80, Server())
    memory.listenUNIX("/run/test", Server())
    with pytest.raises(CannotListenError, match=r"any:80: .*in use"):
        memory.listenTCP(80, Server())
    with pytest.raises(CannotListenError, match="/run/test"):
        memory.listenUNIX("/run/test", Server())
    assert len(memory.tcpServers) == 1
    port.stopListening()
    memory.listenTCP(80, Server())


@pytest.mark.parametrize("port", [-1, 65536, "http", None, 80.5])
def test_what_is_no_port_is_refused(memory: MemoryReactor, port: Any) -> None:
    for attempt in (
        lambda: memory.listenTCP(port, Server()),
        lambda: memory.listenSSL(port, Server(), server_context()),
        lambda: memory.listenUDP(port, DatagramProtocol()),
        lambda: memory.connectTCP("server.example", port, Client()),
        lambda: memory.connectSSL("server.example", port, Client(), client_context()),
        lambda: memory.connectTCP("server.example", 80, Client(), bindAddress=("127.0.0.1", port)),
    ):
        with pytest.raises((ValueError, TypeError), match="a port is a number"):
            attempt()
    assert memory.tcpServers == memory.sslServers == memory.udpServers == memory.tcpClients == memory.sslClients == []


@pytest.mark.parametrize("wrong", [Protocol, Protocol(), None])
def test_what_is_no_factory_is_refused(memory: MemoryReactor, wrong: Any) -> None:
    for listen in (
        lambda: memory.listenTCP(80, wrong),
        lambda: memory.listenUNIX("/run/test", wrong),
        lambda: memory.adoptStreamPort(3, socket.AF_INET, wrong),
    ):
        with pytest.raises(TypeError, match=r"is no factory \(netcore.protocol.Factory is one\)"):
            listen()
    assert memory.tcpServers == memory.unixServers == memory.adoptedPorts == []


def test_a_factory_for_servers_cannot_connect(memory: MemoryReactor) -> None:
    for connect in (
        lambda: memory.connectTCP("server.example", 80, Server()),
        lambda: memory.connectSSL("server.example", 80, Server(), client_context()),
        lambda: memory.connectUNIX("/run/test", Server()),
    ):
        with pytest.raises(TypeError, match=r"no factory for clients .* has no startedConnecting"):
            connect()
    assert memory.connectors == []


def test_what_else_a_real_reactor_refuses(memory: MemoryReactor) -> None:
    wrong: Any = None
    with pytest.raises(TypeError, match="a host is a str"):
        memory.connectTCP(wrong, 80, Client())
    with pytest.raises(TypeError, match=r"no ssl\.SSLContext"):
        memory.listenSSL(443, Server(), None)
    with pytest.raises(TypeError, match=r"no ssl\.SSLContext"):
        memory.connectSSL("server.example", 443, Client(), None)
    with pytest.raises(ValueError, match="is empty"):
        memory.listenUNIX("", Server())
    with pytest.raises(ValueError, match="NUL"):
        memory.connectUNIX("/run/te\0st", Client())
    with pytest.raises(UnsupportedAddressFamily):
        memory.adoptStreamPort(3, 99, Server())
    with pytest.raises(UnsupportedAddressFamily):
        memory.adoptStreamConnection(3, 99, Server())
    with pytest.raises(UnsupportedAddressFamily):
        memory.adoptDatagramPort(3, 99, DatagramProtocol())
    with pytest.raises(ValueError, match="time limit"):
        memory.connectTCP("server.example", 80, Client(), timeout=-1)
    with pytest.raises(ValueError, match="time limit"):
        memory.connectUNIX("/run/test", Client(), timeout=float("nan"))
    with pytest.raises(ValueError, match="at least 1 byte"):
        memory.listenUDP(69, DatagramProtocol(), maxPacketSize=0)
    with pytest.raises(ValueError, match="turn"):
        memory.iterate(-1)
    with pytest.raises(ValueError, match="at least 1"):
        memory.suggestThreadPoolSize(0)
    assert memory.adoptedPorts == memory.adoptedStreamConnections == memory.connectors == []


def test_what_is_adopted_is_recorded(memory: MemoryReactor) -> None:
    server, datagrams = Server(), DatagramProtocol()
    port = memory.adoptStreamPort(3, socket.AF_INET, server)
    memory.adoptStreamConnection(4, socket.AF_UNIX, server)
    udp = memory.adoptDatagramPort(5, socket.AF_INET6, datagrams)
    assert memory.adoptedPorts == [(3, socket.AF_INET, server), (5, socket.AF_INET6, datagrams, 8192)]
    assert memory.adoptedStreamConnections == [(4, socket.AF_UNIX, server)]
    assert isinstance(port.getHost(), IPv4Address)
    assert isinstance(udp.getHost(), IPv6Address)
    assert datagrams.transport is udp


def test_a_udp_port_keeps_what_its_protocol_sends(memory: MemoryReactor) -> None:
    protocol = DatagramProtocol()
    port = memory.listenUDP(69, protocol)
    assert memory.udpServers == [(69, protocol, "", 8192)]
    protocol.transport.write(b"hello", ("192.0.2.1", 69))
    assert port.written == [(b"hello", ("192.0.2.1", 69))]
    with pytest.raises(RuntimeError, match="already"):
        memory.listenUDP(70, protocol)
    with pytest.raises(RuntimeError, match="listens already"):
        port.startListening()
    closed = port.stopListening()
    assert closed is not None
    assert protocol.transport is None
    assert port.stopListening() is None


# ------------------------------------------------------------------------------------------------------------- by hand


def test_a_connection_is_accepted_by_hand(memory: MemoryReactor) -> None:
    memory.listenTCP(80, Server())
    protocol = memory.tcpServers[0].factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 5000))
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(b"hello")
    assert protocol.data == b"hello"


def test_an_attempt_that_was_played_by_hand_can_be_made_again(memory: MemoryReactor) -> None:
    """As a factory that connects again does, after a test has called it."""
    client = Client()
    client.again = True
    connector = memory.connectTCP("server.example", 80, client)
    memory.tcpClients[0].factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
    assert client.heard == ["started", ConnectionRefusedError, "started"]
    assert connector.attempts == 2
    assert client.numPorts == 1


def test_a_connector_fails_when_told_to(memory: MemoryReactor) -> None:
    client = Client()
    connector = memory.connectTCP("server.example", 80, client)
    connector.fail()
    assert client.heard == ["started", ConnectionRefusedError]
    assert connector.state == "disconnected"
    assert client.numPorts == 0
    with pytest.raises(NotConnectingError):
        connector.fail()
    with pytest.raises(NotConnectingError):
        connector.complete(Protocol())
    with pytest.raises(NotConnectingError):
        connector.stopConnecting()
    client.again = True
    connector.connect()
    connector.fail(DNSLookupError("no such name"))
    assert client.heard[2:] == ["started", DNSLookupError, "started"]
    assert client.numPorts == 1
    connector.fail(Failure(DNSLookupError("no such name")))
    assert connector.attempts == 4


def test_stopping_tells_the_factory(memory: MemoryReactor) -> None:
    client = Client()
    connector = memory.connectTCP("server.example", 80, client)
    connector.disconnect()
    assert client.heard == ["started", UserError]
    assert connector.stoppedConnecting
    connector.disconnect()
    assert client.heard == ["started", UserError]


def test_what_startedConnecting_raises_ends_the_attempt(memory: MemoryReactor) -> None:
    client = Client()
    client.startedConnecting = lambda connector: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        memory.connectTCP("server.example", 80, client)
    assert memory.connectors[0].state == "disconnected"
    assert client.numPorts == 0


def test_a_connection_is_completed_to_a_pair_in_memory(memory: MemoryReactor) -> None:
    client = Client()
    connector = memory.connectTCP("server.example", 80, client)
    pump = connector.complete(AccumulatingProtocol())
    assert connector.state == "connected"
    assert pump.server.transport.getHost() == IPv4Address("TCP", "server.example", 80)
    assert pump.server.transport.getPeer() == pump.client.transport.getHost()
    pump.client.transport.write(b"hello")
    pump.flush()
    assert pump.server.data == b"hello"
    with pytest.raises(RuntimeError, match="is connected"):
        connector.connect()
    connector.disconnect()
    pump.flush()
    assert client.heard == ["started", ConnectionDone]
    assert pump.server.closedReason.check(ConnectionDone)
    assert connector.state == "disconnected"
    assert client.numPorts == 0
    connector.connect()
    connector.complete(AccumulatingProtocol()).server.transport.abortConnection()
    assert connector.state == "connected"


def test_a_reset_of_the_other_side_is_heard_of(memory: MemoryReactor) -> None:
    client = Client()
    pump = memory.connectUNIX("/run/test", client).complete(AccumulatingProtocol())
    assert pump.client.transport.getHost() == UNIXAddress(None)
    pump.server.transport.abortConnection()
    pump.flush()
    assert client.heard == ["started", ConnectionLost]


@pytest.mark.parametrize("unix", [False, True])
def test_a_client_finds_the_port_of_its_own_reactor(memory: MemoryReactor, unix: bool) -> None:
    connector = memory.connectUNIX("/run/test", Client()) if unix else memory.connectTCP("localhost", 80, Client())
    with pytest.raises(RuntimeError, match="nobody listens"):
        connector.complete()
    port = memory.listenUNIX("/run/test", Server()) if unix else memory.listenTCP(80, Server(), interface="127.0.0.1")
    pump = connector.complete()
    assert pump.server.factory is port.factory
    pump.client.transport.write(b"hello")
    pump.flush()
    assert pump.server.data == b"hello"


def test_who_builds_no_protocol_closes(memory: MemoryReactor) -> None:
    client, server = Client(), Server()
    server.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    memory.listenTCP(80, server)
    memory.connectTCP("localhost", 80, client).complete().flush()
    assert client.heard == ["started", ConnectionDone]
    other = AccumulatingProtocol()
    refusing = Client()
    refusing.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    memory.connectTCP("localhost", 80, refusing).complete(other).flush()
    assert other.closed
    assert refusing.heard == ["started", ConnectionDone]


def test_what_buildProtocol_raises_fails_the_attempt(memory: MemoryReactor) -> None:
    client = Client()
    client.buildProtocol = lambda addr: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        memory.connectTCP("localhost", 80, client).complete(Protocol())
    assert client.heard == ["started", ZeroDivisionError]


def test_an_attempt_may_be_stopped_in_buildProtocol(memory: MemoryReactor) -> None:
    client = Client()
    connector = memory.connectTCP("localhost", 80, client)
    client.buildProtocol = lambda addr: connector.stopConnecting()  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(RuntimeError, match="stopped in buildProtocol"):
        connector.complete(Protocol())
    assert client.heard == ["started", UserError]


# ----------------------------------------------------------------------------------------------------------- endpoints


def test_endpoints_work_on_it(memory: MemoryReactor) -> None:
    port = successResultOf(TCP4ServerEndpoint(memory, 80, interface="127.0.0.1").listen(Server()))
    assert port.getHost() == IPv4Address("TCP", "127.0.0.1", 80)
    connected = TCP4ClientEndpoint(memory, "localhost", 80).connect(Server())
    assertNoResult(connected)
    pump = memory.connectors[0].complete()
    protocol = successResultOf(connected)
    assert protocol is pump.client
    protocol.transport.write(b"hello")
    pump.flush()
    assert pump.server.data == b"hello"


def test_an_endpoint_is_played_by_hand(memory: MemoryReactor) -> None:
    connected = TCP4ClientEndpoint(memory, "localhost", 80).connect(Server())
    client = memory.tcpClients[0]
    client.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80)).makeConnection(StringTransport())
    assert isinstance(successResultOf(connected), AccumulatingProtocol)


def test_an_endpoint_fails_as_its_connector_does_and_is_cancelled(memory: MemoryReactor) -> None:
    connected = TCP4ClientEndpoint(memory, "localhost", 80).connect(Server())
    memory.connectors[0].fail()
    failureResultOf(connected, ConnectionRefusedError)
    cancelled = TCP4ClientEndpoint(memory, "localhost", 80).connect(Server())
    cancelled.cancel()
    failureResultOf(cancelled)
    assert memory.connectors[1].stoppedConnecting


def test_a_server_endpoint_with_tls_listens(memory: MemoryReactor) -> None:
    successResultOf(SSL4ServerEndpoint(memory, 443, server_context()).listen(Server()))
    assert memory.tcpServers[0].port == 443


# ---------------------------------------------------------------------------------------------------------------- life


def test_run_calls_what_waits_for_it_and_stops(memory: MemoryReactor) -> None:
    heard: list[Any] = []
    for phase in ("after", "during", "before"):
        memory.addSystemEventTrigger(phase, "startup", heard.append, f"{phase} startup")
        memory.addSystemEventTrigger(phase, "shutdown", heard.append, f"{phase} shutdown")
    memory.callWhenRunning(lambda: heard.append(memory.running))
    assert len(memory.whenRunningHooks) == 1
    assert not memory.hasRun
    memory.run()
    phases = ["before", "during", "after"]
    starting, stopping = [f"{phase} startup" for phase in phases], [f"{phase} shutdown" for phase in phases]
    assert heard == [*starting, True, *stopping]
    assert memory.hasRun
    assert memory.hasStopped
    assert not memory.running
    assert not memory.hasCrashed


def test_after_run_what_waits_for_it_is_called_at_once(memory: MemoryReactor) -> None:
    heard: list[Any] = []
    trigger = memory.callWhenRunning(heard.append, "not")
    memory.removeSystemEventTrigger(trigger)
    memory.run(installSignalHandlers=False)
    assert memory.callWhenRunning(heard.append, "now") is None
    assert heard == ["now"]


def test_stop_and_crash_within_run(memory: MemoryReactor) -> None:
    def refused() -> None:
        with pytest.raises(ReactorAlreadyRunning):
            memory.run()
        memory.stop()
        memory.running = True  # as while "before shutdown" waits
        with pytest.raises(ReactorNotRunning):
            memory.stop()

    memory.callWhenRunning(refused)
    memory.run()
    assert not memory.running
    heard: list[str] = []
    crashed = MemoryReactor()
    crashed.addSystemEventTrigger("before", "shutdown", heard.append, "shutdown")
    crashed.callWhenRunning(crashed.crash)
    crashed.run()
    assert crashed.hasCrashed
    assert heard == []


def test_stop_without_run_is_noted(memory: MemoryReactor) -> None:
    heard: list[str] = []
    memory.addSystemEventTrigger("before", "shutdown", heard.append, "shutdown")
    memory.stop()
    assert memory.hasStopped
    assert heard == []


def test_a_startup_that_waits_when_all_is_over_starts_nothing(memory: MemoryReactor) -> None:
    waiting: Deferred[None] = Deferred()
    memory.addSystemEventTrigger("before", "startup", lambda: waiting)
    memory.run()
    waiting.callback(None)
    assert not memory.running


def test_events_are_fired_and_what_waits_for_them_is_seen(memory: MemoryReactor, logged: Logged) -> None:
    heard: list[Any] = []
    memory.addSystemEventTrigger("before", "tea", heard.append, "time")
    other = memory.addSystemEventTrigger("after", "tea", heard.append, object=1)
    assert memory.triggers == {
        "before": {"tea": [(heard.append, ("time",), {})]},
        "after": {"tea": [(heard.append, (), {"object": 1})]},
    }
    memory.removeSystemEventTrigger(other)
    with pytest.raises(ValueError, match="not waiting"):
        memory.removeSystemEventTrigger(other)
    with pytest.raises(ValueError, match="phase"):
        memory.addSystemEventTrigger("within", "tea", heard.append)
    memory.addSystemEventTrigger("during", "tea", lambda: 1 / 0)
    memory.fireSystemEvent("tea")
    assert heard == ["time"]
    assert memory.triggers == {}
    assert len(logged.take(ZeroDivisionError)) == 1


def test_a_program_is_reacted(memory: MemoryReactor) -> None:
    """`netcore.task.react` is what most programs run by."""
    reactor: Any = memory

    async def main(given: Any) -> None:
        assert given is memory
        assert memory.running

    with pytest.raises(SystemExit) as ended:
        react(main, (), reactor)
    assert ended.value.code == 0
    assert memory.hasStopped


# ---------------------------------------------------------------------------------------- threads, names, descriptors


def test_calls_from_and_in_threads_are_made_at_once(memory: MemoryReactor, logged: Logged) -> None:
    heard: list[Any] = []
    memory.callFromThread(heard.append, "from")
    memory.callInThread(heard.append, "in")
    assert heard == ["from", "in"]
    assert successResultOf(deferToThreadPool(memory, memory.getThreadPool(), pow, 2, 3)) == 8
    failureResultOf(deferToThreadPool(memory, memory.getThreadPool(), lambda: 1 / 0), ZeroDivisionError)
    assert blockingCallFromThread(memory, pow, 2, 3) == 8
    memory.callFromThread(lambda: 1 / 0)
    memory.callInThread(lambda: 1 / 0)
    assert len(logged.take(ZeroDivisionError)) == 2
    wrong: Any = None
    with pytest.raises(TypeError, match="cannot be called"):
        memory.callFromThread(wrong)
    memory.suggestThreadPoolSize(1)


def test_names_are_found_at_once(memory: MemoryReactor) -> None:
    assert successResultOf(memory.resolve("server.example")) == "127.0.0.1"
    assert successResultOf(memory.resolve("192.0.2.1")) == "192.0.2.1"
    assert successResultOf(memory.resolve("")) == "0.0.0.0"
    memory.nameResolver["broken.example"] = []  # type: ignore[index]
    failureResultOf(memory.resolve("broken.example"), DNSLookupError)
    wrong: Any = 5
    with pytest.raises(TypeError):
        memory.resolve(wrong)


def test_another_resolver_is_asked(memory: MemoryReactor) -> None:
    other = MemoryReactor().nameResolver
    first = memory.installNameResolver(other)
    assert memory.nameResolver is other
    assert memory.installNameResolver(first) is other


class Watched:
    def fileno(self) -> int:
        return 99

    def doRead(self) -> None: ...
    def doWrite(self) -> None: ...


def test_descriptors_are_kept(memory: MemoryReactor) -> None:
    watched: Any = Watched()
    for _ in range(2):
        memory.addReader(watched)
        memory.addWriter(watched)
    assert memory.getReaders() == memory.getWriters() == [watched]
    assert memory.readers == {watched}
    memory.removeReader(watched)
    memory.removeReader(watched)
    assert memory.removeAll() == [watched]
    memory.removeWriter(watched)
    assert memory.getWriters() == []
    wrong: Any = object()
    with pytest.raises(TypeError, match="no reader: it has no fileno"):
        memory.addReader(wrong)
    with pytest.raises(TypeError, match="no writer"):
        memory.addWriter(wrong)


# -------------------------------------------------------------------------------------------- with a clock; raising


def test_with_a_clock_time_passes_by_hand() -> None:
    memory = MemoryReactorClock()
    heard: list[Any] = []
    memory.callLater(5, heard.append, "late")
    memory.connectTCP("server.example", 80, Client(), timeout=3)
    memory.advance(4)
    assert heard == []
    memory.iterate(1)
    assert heard == ["late"]
    assert memory.seconds() == 5
    assert memory.getDelayedCalls() == []


def test_with_a_clock_names_may_take_their_time() -> None:
    memory = MemoryReactorClock()
    memory.nameResolver["slow.example"] = [1.5, "192.0.2.1"]  # type: ignore[index]
    found = memory.resolve("slow.example")
    memory.advance(1)
    assertNoResult(found)
    memory.advance(1)
    assert successResultOf(found) == "192.0.2.1"
    assert memory.getDelayedCalls() == []


def test_what_raises_raises() -> None:
    cannot_listen, cannot_connect = CannotListenError("", 80, OSError("no")), ConnectionRefusedError()
    memory = RaisingMemoryReactor(cannot_listen, cannot_connect)
    server, client, datagrams = Server(), Client(), DatagramProtocol()
    for listen in (
        lambda: memory.listenTCP(80, server),
        lambda: memory.listenSSL(443, server, None),
        lambda: memory.listenUNIX("/run/test", server),
        lambda: memory.listenUDP(69, datagrams),
        lambda: memory.adoptStreamPort(3, socket.AF_INET, server),
    ):
        with pytest.raises(CannotListenError):
            listen()
    for connect in (
        lambda: memory.connectTCP("server.example", 80, client),
        lambda: memory.connectSSL("server.example", 443, client, None),
        lambda: memory.connectUNIX("/run/test", client),
        lambda: memory.adoptStreamConnection(3, socket.AF_INET, server),
        lambda: memory.adoptDatagramPort(3, socket.AF_INET, datagrams),
    ):
        with pytest.raises(ConnectionRefusedError):
            connect()
    assert failureResultOf(TCP4ClientEndpoint(memory, "localhost", 80).connect(server)).value is cannot_connect


def test_what_is_given_no_exception_records() -> None:
    memory = RaisingMemoryReactor(listenException=ValueError())
    memory.connectTCP("server.example", 80, Client())
    memory.connectSSL("server.example", 443, Client(), client_context())
    memory.connectUNIX("/run/test", Client())
    memory.adoptStreamConnection(3, socket.AF_INET, Server())
    memory.adoptDatagramPort(4, socket.AF_INET, DatagramProtocol())
    assert len(memory.connectors) == 3
    other = RaisingMemoryReactor()
    other.listenTCP(80, Server())
    other.listenSSL(443, Server(), server_context())
    other.listenUNIX("/run/test", Server())
    other.listenUDP(69, DatagramProtocol())
    other.adoptStreamPort(3, socket.AF_INET, Server())
    assert len(other.tcpServers) == 1
