"""Listening services in a running reactor."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.application import service, strports
from netcore.defer import Deferred
from netcore.endpoints import clientFromString, connectProtocol
from netcore.error import CannotListenError, ConnectionRefusedError
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol, connectionDone
from netcore.protocols.basic import LineReceiver
from tests.support.network import free_port


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


def test_it_listens_between_start_and_stop_again_and_again(run: Any, reactor: Any) -> None:
    async def main() -> None:
        number = free_port()
        listener = strports.service(f"tcp:{number}:interface=127.0.0.1", EchoFactory(), reactor=reactor)
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{number}")
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await connectProtocol(endpoint, Protocol())
            listener.startService()
            client = await connectProtocol(endpoint, Client())
            client.sendLine(b"hello")
            assert await client.line == b"hello"
            client.transport.loseConnection()
            await client.lost
            await listener.stopService()

    run(main)


def test_connections_outlive_the_service_that_accepted_them(run: Any, reactor: Any) -> None:
    async def main() -> None:
        number = free_port()
        listener = strports.service(f"tcp:{number}:interface=127.0.0.1", EchoFactory(), reactor=reactor)
        listener.startService()
        client = await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{number}"), Client())
        await listener.stopService()
        client.sendLine(b"still there?")
        assert await client.line == b"still there?"
        client.transport.loseConnection()
        await client.lost

    run(main)


def test_a_port_in_use_keeps_the_application_from_starting(run: Any, reactor: Any) -> None:
    async def main() -> None:
        application = service.Application("test")
        number = free_port()
        for _ in range(2):
            description = f"tcp:{number}:interface=127.0.0.1"
            strports.service(description, EchoFactory(), reactor=reactor).setServiceParent(application)
        with pytest.raises(CannotListenError):
            application.privilegedStartService()
        await application.stopService()

    run(main)


def test_strports_finds_the_reactor_that_runs(run: Any, reactor: Any) -> None:
    async def main() -> None:
        port: Any = strports.listen("tcp:0:interface=127.0.0.1", EchoFactory())
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
        client = await connectProtocol(endpoint, Client())
        client.transport.loseConnection()
        await client.lost
        await port.stopListening()

    run(main)
