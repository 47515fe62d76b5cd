"""What a reactor promises beside TCP, on every loop."""

from __future__ import annotations

import tempfile
from typing import Any

from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.protocol import ClientFactory, Factory
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.testing import contracts
from netcore.testing.contracts._recorder import OneProtocol
from tests.contract.test_streams import OverTCP
from tests.contract.worlds import Everywhere
from tests.support.certificates import HOST, client_context, server_context


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


class TLSOverUNIX(OverUNIX):
    """The same, with TLS."""

    def connect(self, server: Any, client: Any) -> Deferred[None]:
        one, other = OneProtocol(server), OneProtocol(client)
        secure = TLSMemoryBIOFactory(server_context(), False, one, self.reactor).buildProtocol(None)  # type: ignore[arg-type]
        calling = TLSMemoryBIOFactory(client_context(), True, other, self.reactor, hostname=HOST)
        layers: list[Any] = [secure, calling.buildProtocol(None)]  # type: ignore[arg-type]
        for layer, recorder in zip(layers, (server, client), strict=True):
            layer.made = recorder.made
        return super().connect(*layers)


class TestTLSOverUNIX(TLSOverUNIX, Everywhere, contracts.StreamTransportContract):
    implementation = "TLS over a UNIX socket"


class TestProducersTLSOverUNIX(TLSOverUNIX, Everywhere, contracts.ProducerContract):
    implementation = "TLS over a UNIX socket"


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
