"""What connections and endpoints promise, on every loop and in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from netcore.endpoints import (
    HostnameEndpoint,
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from netcore.protocols.haproxy import HAProxyWrappingFactory
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.ssl import ClientTLSOptions
from netcore.task import Clock
from netcore.testing import contracts
from netcore.testing.contracts._recorder import OneProtocol
from tests.contract.worlds import Everywhere, OnPump
from tests.support.certificates import HOST, client_context, server_context


class OverTCP:
    """Places on the loopback interface."""

    reactor: Any

    def makeServer(self) -> Any:
        return TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")

    def makeServerAt(self, port: Any) -> Any:
        return TCP4ServerEndpoint(self.reactor, port.getHost().port, interface="127.0.0.1")

    def makeClient(self, port: Any) -> Any:
        return TCP4ClientEndpoint(self.reactor, port.getHost().host, port.getHost().port)


class OverTCP6(OverTCP):
    """The same, with IPv6."""

    def makeServer(self) -> Any:
        return TCP6ServerEndpoint(self.reactor, 0, interface="::1")

    def makeServerAt(self, port: Any) -> Any:
        return TCP6ServerEndpoint(self.reactor, port.getHost().port, interface="::1")


class TestInMemory(OnPump, contracts.TCPTransportContract):
    pass


class TestOverTCP(OverTCP, Everywhere, contracts.TCPTransportContract):
    implementation = "a TCP connection"


class TestTCP4Server(OverTCP, Everywhere, contracts.StreamServerEndpointContract):
    implementation = "TCP4ServerEndpoint"


class TestTCP6Server(OverTCP6, Everywhere, contracts.StreamServerEndpointContract):
    implementation = "TCP6ServerEndpoint"


class TestTCP4Client(OverTCP, Everywhere, contracts.StreamClientEndpointContract):
    implementation = "TCP4ClientEndpoint"


class OverTLS(OverTCP):
    """The same, with TLS."""

    def makeServer(self) -> Any:
        return SSL4ServerEndpoint(self.reactor, 0, server_context(), interface="127.0.0.1")

    def makeServerAt(self, port: Any) -> Any:
        return SSL4ServerEndpoint(self.reactor, port.getHost().port, server_context(), interface="127.0.0.1")

    def makeClient(self, port: Any) -> Any:
        return SSL4ClientEndpoint(self.reactor, port.getHost().host, port.getHost().port, client_context())


class TestOverTLS(OverTLS, Everywhere, contracts.TCPTransportContract):
    implementation = "TLS over TCP"


class TestStartTLS(OverTCP, Everywhere, contracts.TCPTransportContract):
    implementation = "a TCP connection after startTLS"

    def connect(self, server: Any, client: Any) -> Any:
        for recorder, context in ((server, server_context()), (client, ClientTLSOptions(HOST, client_context()))):
            before = recorder.connectionMade

            def begin(recorder: Any = recorder, context: Any = context, before: Any = before) -> None:
                recorder.transport.startTLS(context)
                before()

            recorder.connectionMade = begin
        return super().connect(server, client)


class TestTLSInMemory(OnPump, contracts.TCPTransportContract):
    implementation = "TLS in memory"

    def connect(self, server: Any, client: Any) -> Any:
        one = TLSMemoryBIOFactory(server_context(), False, OneProtocol(server), self.clock)
        other = TLSMemoryBIOFactory(client_context(), True, OneProtocol(client), self.clock, hostname=HOST)
        return super().connect(one.buildProtocol(None), other.buildProtocol(None))

    def begin(self) -> None:
        super().begin()
        self.clock = Clock()

    def move(self) -> bool:
        due = [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]
        self.clock.advance(0)
        return super().move() or bool(due)


class TestSSL4Server(OverTLS, Everywhere, contracts.StreamServerEndpointContract):
    implementation = "SSL4ServerEndpoint"


class TestSSL4Client(OverTLS, Everywhere, contracts.StreamClientEndpointContract):
    implementation = "SSL4ClientEndpoint"


class TestHostname(OverTCP, Everywhere, contracts.StreamClientEndpointContract):
    implementation = "HostnameEndpoint"

    def makeClient(self, port: Any) -> Any:
        return HostnameEndpoint(self.reactor, "localhost", port.getHost().port)


class AtPaths:
    """Paths in a folder of the test's own."""

    reactor: Any
    folder: str
    count = 0

    @pytest.fixture(autouse=True)
    def _folder(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="nc") as self.folder:
            yield

    def makeServer(self) -> Any:
        self.count += 1
        return UNIXServerEndpoint(self.reactor, f"{self.folder}/{self.count}")

    def makeServerAt(self, port: Any) -> Any:
        return UNIXServerEndpoint(self.reactor, os.fsdecode(port.getHost().name))

    def makeClient(self, port: Any) -> Any:
        return UNIXClientEndpoint(self.reactor, os.fsdecode(port.getHost().name))


class TestUNIXServer(AtPaths, Everywhere, contracts.StreamServerEndpointContract):
    implementation = "UNIXServerEndpoint"


class TestUNIXClient(AtPaths, Everywhere, contracts.StreamClientEndpointContract):
    implementation = "UNIXClientEndpoint"


class TestProxied(OnPump, contracts.TCPTransportContract):
    implementation = "a connection behind a PROXY header"

    def connect(self, server: Any, client: Any) -> Any:
        service = HAProxyWrappingFactory(OneProtocol(server), trusted=["any"], clock=Clock())
        made = client.makeConnection

        def makeConnection(transport: Any) -> None:
            transport.write(b"PROXY UNKNOWN\r\n")
            made(transport)

        client.makeConnection = makeConnection
        connected = super().connect(service.buildProtocol(None), client)  # type: ignore[arg-type]
        return connected.addCallback(lambda _: self.move())
