"""What a reactor promises beside TCP, on every loop."""

from __future__ import annotations

import tempfile
from typing import Any

from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.protocol import ClientFactory, Factory
from netcore.testing import contracts
from tests.contract.test_streams import OverTCP
from tests.contract.worlds import Everywhere


class OverUNIX:
    """Paths that are free."""

    reactor: Any

    def connect(self, server: Any, client: Any) -> Deferred[None]:
        servers, clients = Factory[Any](), ClientFactory[Any]()
        servers.buildProtocol = lambda addr: server  # type: ignore[method-assign]
        clients.buildProtocol = lambda addr: client  # type: ignore[method-assign]

        async def connecting() -> None:
            with tempfile.TemporaryDirectory() as folder:
                port = self.reactor.listenUNIX(f"{folder}/socket", servers)
                self.reactor.connectUNIX(f"{folder}/socket", clients)
                for each in (server, client):
                    await each.made.times()
                await maybeDeferred(port.stopListening)

        return ensureDeferred(connecting())


class TestOverUNIX(OverUNIX, Everywhere, contracts.StreamTransportContract):
    implementation = "a UNIX connection"


class TestProducersOverUNIX(OverUNIX, Everywhere, contracts.ProducerContract):
    implementation = "a UNIX connection"


class TestHalfCloseOverUNIX(OverUNIX, Everywhere, contracts.HalfCloseContract):
    implementation = "a UNIX connection"


class TestHalfClose(OverTCP, Everywhere, contracts.HalfCloseContract):
    implementation = "a TCP connection"


class TestSockets(Everywhere, contracts.ReactorSocketContract):
    pass


class TestUDP(Everywhere, contracts.ReactorUDPContract):
    pass


class TestMulticast(Everywhere, contracts.ReactorMulticastContract):
    pass


class TestUNIX(Everywhere, contracts.ReactorUNIXContract):
    pass


class TestUNIXDatagrams(Everywhere, contracts.ReactorUNIXDatagramContract):
    pass


class TestFDSet(Everywhere, contracts.ReactorFDSetContract):
    pass


class TestResolver(Everywhere, contracts.ReactorPluggableResolverContract):
    pass


class TestNameResolver(Everywhere, contracts.ReactorPluggableNameResolverContract):
    pass
