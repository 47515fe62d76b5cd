"""What connections and endpoints promise, on every loop and in memory."""

from __future__ import annotations

from typing import Any

from netcore.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint
from netcore.testing import contracts
from tests.contract.worlds import Everywhere, OnPump


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
