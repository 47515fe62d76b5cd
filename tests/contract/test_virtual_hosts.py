"""What a host of a fake network promises: the same as every reactor, as far as it has the same to offer."""

from __future__ import annotations

from typing import Any

from netcore.defer import Deferred
from netcore.endpoints import SSL4ClientEndpoint, SSL4ServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint
from netcore.ssl import ClientTLSOptions
from netcore.task import deferLater
from netcore.testing import contracts
from tests.contract.worlds import OnFakeNetwork
from tests.support.certificates import HOST, client_context, server_context


class Between:
    """Places on one host, for clients on another: what one says reaches the other after a while."""

    net: Any
    reactor: Any
    other: Any

    def makeServer(self) -> Any:
        return TCP4ServerEndpoint(self.reactor, 0, interface=self.reactor.address)

    def makeServerAt(self, port: Any) -> Any:
        return TCP4ServerEndpoint(self.reactor, port.getHost().port, interface=self.reactor.address)

    def makeClient(self, port: Any) -> Any:
        return TCP4ClientEndpoint(self.other, port.getHost().host, port.getHost().port)

    def turn(self) -> Deferred[None]:
        return deferLater(self.reactor, 0.01)  # there and back, and more


class BetweenWithTLS(Between):
    """The same, with TLS."""

    def makeServer(self) -> Any:
        return SSL4ServerEndpoint(self.reactor, 0, server_context(), interface=self.reactor.address)

    def makeServerAt(self, port: Any) -> Any:
        number = port.getHost().port
        return SSL4ServerEndpoint(self.reactor, number, server_context(), interface=self.reactor.address)

    def makeClient(self, port: Any) -> Any:
        return SSL4ClientEndpoint(
            self.other, port.getHost().host, port.getHost().port, ClientTLSOptions(HOST, client_context())
        )


class TestTime(OnFakeNetwork, contracts.ReactorTimeContract):
    pass


class TestEvents(OnFakeNetwork, contracts.ReactorEventsContract):
    pass


class TestResolver(OnFakeNetwork, contracts.ReactorPluggableResolverContract):
    pass


class TestNameResolver(OnFakeNetwork, contracts.ReactorPluggableNameResolverContract):
    pass


class TestTCP(OnFakeNetwork, contracts.ReactorTCPContract):
    pass


class TestNamesWithSeveralAddresses(OnFakeNetwork, contracts.HappyEyeballsContract):
    pass


class TestConnections(Between, OnFakeNetwork, contracts.TCPTransportContract):
    implementation = "a TCP connection"


class TestHalfClose(Between, OnFakeNetwork, contracts.HalfCloseContract):
    implementation = "a TCP connection"


class TestTLS(BetweenWithTLS, OnFakeNetwork, contracts.TCPTransportContract):
    implementation = "TLS over TCP"


class TestTCP4Server(Between, OnFakeNetwork, contracts.StreamServerEndpointContract):
    implementation = "TCP4ServerEndpoint"


class TestTCP4Client(Between, OnFakeNetwork, contracts.StreamClientEndpointContract):
    implementation = "TCP4ClientEndpoint"


class TestSSL4Client(BetweenWithTLS, OnFakeNetwork, contracts.StreamClientEndpointContract):
    implementation = "SSL4ClientEndpoint"
