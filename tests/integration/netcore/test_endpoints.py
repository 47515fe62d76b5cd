"""Endpoints on real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred
from netcore.endpoints import clientFromString, connectProtocol, quoteStringArgument, serverFromString
from netcore.failure import Failure
from netcore.protocol import Factory, connectionDone
from netcore.protocols.basic import LineReceiver


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
