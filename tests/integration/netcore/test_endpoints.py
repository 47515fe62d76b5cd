"""Endpoints on real sockets."""

from __future__ import annotations

import gc
import os
import socket
import stat
import weakref
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import CancelledError, Deferred
from netcore.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverFromString,
    wrapClientTLS,
    wrapServerTLS,
)
from netcore.error import BadFileError, ConnectError, ConnectionRefusedError
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol, connectionDone
from netcore.protocols.basic import LineReceiver
from netcore.resolver import DictResolver
from netcore.ssl import ClientTLSOptions
from netcore.task import deferLater
from tests.support import certificates
from tests.unit.netcore.protocols.haproxy import headers


class Echo(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class EchoFactory(Factory[Any]):
    noisy = False
    protocol = Echo


class Client(LineReceiver):
    def __init__(self) -> None:
        self.line: Deferred[bytes] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.line.callback(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


async def echoed(reactor: Any, server: str, host: str) -> bytes:
    """Have a line echoed by *server*, reached at *host*."""
    port = await serverFromString(reactor, server).listen(EchoFactory())
    client = Client()
    endpoint = clientFromString(reactor, f"tcp:{quoteStringArgument(host)}:{port.getHost().port}")
    assert await connectProtocol(endpoint, client) is client
    client.sendLine(b"hello")
    line = await client.line
    client.transport.loseConnection()
    await client.lost
    await port.stopListening()
    return line


@pytest.mark.parametrize(
    ("server", "host"),
    [("tcp:0:interface=127.0.0.1", "127.0.0.1"), ("tcp:0:interface=127.0.0.1", "localhost"), ("tcp:0", "127.0.0.1")],
)
def test_a_line_there_and_back(run: Any, reactor: Any, server: str, host: str) -> None:
    assert run(echoed, reactor, server, host) == b"hello"


def test_a_line_there_and_back_over_ipv6(run: Any, reactor: Any) -> None:
    assert run(echoed, reactor, r"tcp6:0:interface=\:\:1", "::1") == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_cancelled_attempt_ends_and_leaves_nothing(run: Any, reactor: Any, host: str) -> None:
    class Never(Factory[Any]):
        noisy = False
        built = 0

        def buildProtocol(self, addr: Any) -> Any:
            self.built += 1

    async def main() -> None:
        port: Any = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(EchoFactory())
        factory = Never()
        connecting = clientFromString(reactor, f"tcp:{host}:{port.getHost().port}").connect(factory)
        connecting.cancel()
        with pytest.raises(CancelledError):
            await connecting
        assert factory.built == 0
        assert factory.numPorts == 0
        await port.stopListening()

    run(main)


def test_the_transport_knows_the_protocol_itself(run: Any, reactor: Any) -> None:
    """What stood between them while connecting has stepped aside."""

    async def main() -> None:
        port: Any = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(EchoFactory())
        client = Client()
        await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}"), client)
        transport: Any = client.transport
        assert transport.protocol is client
        transport.abortConnection()
        await client.lost
        await port.stopListening()

    run(main)


def test_a_line_there_and_back_over_a_unix_socket(run: Any, reactor: Any, unix_place: str) -> None:
    async def main() -> None:
        path = f"{unix_place}/socket"
        port = await serverFromString(reactor, f"unix:{path}:mode=600").listen(EchoFactory())
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        client = Client()
        await connectProtocol(clientFromString(reactor, f"unix:{path}:lockfile=1"), client)
        client.sendLine(b"hello")
        assert await client.line == b"hello"
        client.transport.loseConnection()
        await client.lost
        await port.stopListening()
        assert os.listdir(unix_place) == []
        with pytest.raises(BadFileError):
            await connectProtocol(clientFromString(reactor, f"unix:{path}:lockfile=1"), Client())

    run(main)


def test_a_line_there_and_back_over_a_socket_that_was_open(run: Any, reactor: Any) -> None:
    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        number = listening.getsockname()[1]
        port = await serverFromString(reactor, f"fd:{listening.detach()}").listen(EchoFactory())
        client = Client()
        await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{number}"), client)
        client.sendLine(b"hello")
        assert await client.line == b"hello"
        client.transport.loseConnection()
        await client.lost
        await port.stopListening()

    run(main)


class Greeter(Protocol):
    """Says who has come, and closes."""

    def connectionMade(self) -> None:
        self.transport.write(f"{self.transport.getPeer()}".encode())
        self.transport.loseConnection()


class Hearing(Protocol):
    def __init__(self, says: bytes = b"") -> None:
        self.says, self.heard, self.lost = says, b"", Deferred[bytes]()

    def connectionMade(self) -> None:
        self.transport.write(self.says)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(self.heard)


def test_behind_a_proxy_a_service_sees_its_clients(run: Any, reactor: Any, unix_place: str) -> None:
    """Over each kind of socket."""

    async def main() -> None:
        greeters = Factory[Any].forProtocol(Greeter)
        greeters.noisy = False
        for server in ("tcp:0:interface=127.0.0.1", f"unix:{unix_place}/socket"):
            port: Any = await serverFromString(reactor, f"haproxy:{server}").listen(greeters)
            where = port.getHost()
            client = f"tcp:127.0.0.1:{where.port}" if server.startswith("tcp") else f"unix:{unix_place}/socket"
            for header in (headers.V1_IPV4, headers.V2_IPV6):
                hearing = Hearing(header)
                await connectProtocol(clientFromString(reactor, client), hearing)
                assert (b"127.0.0.9" if header is headers.V1_IPV4 else b"'::1', port=42960") in await hearing.lost
            refused = Hearing(b"GET / HTTP/1.1\r\n\r\n")
            await connectProtocol(clientFromString(reactor, client), refused)
            assert await refused.lost == b""
            await port.stopListening()

    run(main)


class FromProxy(Factory[Any]):
    """Of a client that a proxy passes on: says a header, and then TLS."""

    noisy = False

    def __init__(self, factory: Any) -> None:
        self.factory = factory

    def buildProtocol(self, addr: Any) -> Any:
        layer = self.factory.buildProtocol(addr)
        make = layer.makeConnection

        def makeConnection(transport: Any) -> None:
            transport.write(headers.V2_IPV4)
            make(transport)

        layer.makeConnection = makeConnection
        return layer


class ThroughProxy:
    """A client endpoint behind a proxy."""

    def __init__(self, endpoint: Any) -> None:
        self.endpoint = endpoint

    def connect(self, factory: Any) -> Any:
        return self.endpoint.connect(FromProxy(factory))


def test_tls_that_a_proxy_passes_on(run: Any, reactor: Any, tmp_path: Any) -> None:
    """Its header comes before the handshake."""
    certificate = certificates.write(tmp_path, certificates.HOST)

    async def main() -> None:
        greeters = Factory[Any].forProtocol(Greeter)
        greeters.noisy = False
        text = f"haproxy:ssl:0:privateKey={certificate}:interface=127.0.0.1"
        port: Any = await serverFromString(reactor, text).listen(greeters)
        hearing = Hearing()
        below: Any = ThroughProxy(clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}"))
        options = ClientTLSOptions(certificates.HOST, certificates.client_context())
        await connectProtocol(wrapClientTLS(options, below, reactor), hearing)
        assert b"host='127.0.0.9', port=42073" in await hearing.lost
        await port.stopListening()

    run(main)


def test_tls_over_a_unix_socket_from_strings(run: Any, reactor: Any, unix_place: str, tmp_path: Any) -> None:
    roots = certificates.write_authority(tmp_path)

    async def main() -> None:
        greeters = Factory[Any].forProtocol(Greeter)
        greeters.noisy = False
        path = f"{unix_place}/socket"
        endpoint = wrapServerTLS(certificates.server_context(), serverFromString(reactor, f"unix:{path}"), reactor)
        port: Any = await endpoint.listen(greeters)
        hearing = Hearing()
        text = f"wrap:hostname={certificates.HOST}:trustRoots={roots}:unix:{path}"
        assert await connectProtocol(clientFromString(reactor, text), hearing) is hearing
        assert await hearing.lost == b"UNIXAddress(None)"
        await port.stopListening()

    run(main)


@pytest.mark.parametrize(("kind", "type_of"), [(TCP4ClientEndpoint, IPv4Address), (TCP6ClientEndpoint, IPv6Address)])
def test_one_family_only(run: Any, reactor: Any, kind: Any, type_of: Any) -> None:
    """Of a name that has addresses of both, whichever comes first."""

    async def main() -> None:
        reactor.installNameResolver(DictResolver({"both.example": ["::1", "127.0.0.1", "::1"]}))
        for interface in ("127.0.0.1", "::1"):
            text = f"{'tcp6' if ':' in interface else 'tcp'}:0:interface={quoteStringArgument(interface)}"
            port: Any = await serverFromString(reactor, text).listen(EchoFactory())
            number, client = port.getHost().port, Client()
            if type(port.getHost()) is type_of:
                await connectProtocol(kind(reactor, "both.example", number), client)
                assert type(client.transport.getPeer()) is type_of
                client.transport.loseConnection()
                await client.lost
            else:
                with pytest.raises(ConnectionRefusedError):
                    await connectProtocol(kind(reactor, "both.example", number), client)
            either = Client()
            await connectProtocol(HostnameEndpoint(reactor, "both.example", number), either)
            either.transport.loseConnection()
            await either.lost
            await port.stopListening()

    run(main)


def test_tls_that_a_service_behind_a_proxy_begins_itself(run: Any, reactor: Any) -> None:
    """Even if the client's first record came with the header."""

    class Starting(Protocol):
        def connectionMade(self) -> None:
            self.transport.startTLS(certificates.server_context())
            self.transport.write(f"{self.transport.getPeer()}".encode())
            self.transport.loseConnection()

    async def main() -> None:
        starting = Factory[Any].forProtocol(Starting)
        starting.noisy = False
        port: Any = await serverFromString(reactor, "haproxy:tcp:0:interface=127.0.0.1").listen(starting)
        hearing = Hearing()
        below: Any = ThroughProxy(clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}"))
        options = ClientTLSOptions(certificates.HOST, certificates.client_context())
        await connectProtocol(wrapClientTLS(options, below, reactor), hearing)
        assert b"host='127.0.0.9', port=42073" in await hearing.lost
        await port.stopListening()

    run(main)


def test_who_is_not_trusted_is_cut_off(run: Any, reactor: Any) -> None:
    async def main() -> None:
        greeters = Factory[Any].forProtocol(Greeter)
        greeters.noisy = False
        endpoint = serverFromString(reactor, "haproxy:trusted=192.0.2.0/24:tcp:0:interface=127.0.0.1")
        port: Any = await endpoint.listen(greeters)
        hearing = Hearing(headers.V1_IPV4)
        try:
            await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}"), hearing)
        except ConnectError:
            pass  # it was so soon that the connection never stood
        else:
            assert await hearing.lost == b""
        assert port.factory.refused == 1
        await port.stopListening()

    run(main)


def test_connections_behind_a_proxy_are_let_go_of_without_the_garbage_collector(run: Any, reactor: Any) -> None:
    async def main() -> None:
        alive: list[Any] = []

        class Watched(Greeter):
            def __init__(self) -> None:
                alive.append(weakref.ref(self))

        watched = Factory[Any].forProtocol(Watched)
        watched.noisy = False
        port: Any = await serverFromString(reactor, "haproxy:tcp:0:interface=127.0.0.1").listen(watched)
        build = port.factory.buildProtocol

        def buildProtocol(addr: Any) -> Any:
            wrapper = build(addr)
            alive.append(weakref.ref(wrapper))
            return wrapper

        port.factory.buildProtocol = buildProtocol
        for header in (headers.V1_IPV4, headers.V2_TLS, b"nonsense"):
            hearing = Hearing(header)
            await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}"), hearing)
            await hearing.lost
        await port.stopListening()
        assert len(alive) == 5
        for _ in range(1_000):  # turns until our side has noticed the end, too
            if any(each() is not None for each in alive):
                await deferLater(reactor, 0)
        assert [each() for each in alive] == [None] * 5

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()
