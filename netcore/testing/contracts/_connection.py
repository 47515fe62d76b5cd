"""What contracts for stream connections have in common: two protocols that are connected."""

from __future__ import annotations

from typing import Any

from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.interfaces import provides
from netcore.testing.contracts._contract import ReactorContract
from netcore.testing.contracts._recorder import OneProtocol, Recorder

__all__ = ["BIG", "ConnectionContract"]

BIG = bytes(range(256)) * 4096 * 8  # 8 MiB: more than the buffers of a socket hold


class ConnectionContract(ReactorContract):
    """The base of contracts for stream connections. Override `makeServer` and `makeClient`, or `connect`.

    A transport that needs no reactor overrides `drive`, `turn` and `connect`.
    """

    def makeServer(self) -> Any:
        """An `IStreamServerEndpoint` on ``self.reactor``, for a place that is free."""
        raise NotImplementedError

    def makeClient(self, port: Any) -> Any:
        """An `IStreamClientEndpoint` on ``self.reactor`` that leads to *port*, an `IListeningPort` of `makeServer`."""
        raise NotImplementedError

    def connect(self, server: Any, client: Any) -> Deferred[None]:
        """Connect two protocols.

        Returns: Deferred that fires when both have had their ``connectionMade``.
        """

        async def connecting() -> None:
            port = await self.makeServer().listen(OneProtocol(server))
            await self.makeClient(port).connect(OneProtocol(client))
            await server.made.times()
            await maybeDeferred(port.stopListening)

        return ensureDeferred(connecting())

    async def pair(self, one: Recorder | None = None, other: Recorder | None = None) -> tuple[Recorder, Recorder]:
        """Two protocols that are connected."""
        pair = one or Recorder(), other or Recorder()
        await self.connect(*pair)
        return pair

    async def declares(self) -> None:
        for each in await self.pair():
            assert provides(each.transport, self.interface), f"{each.transport!r}: not {self.interface.__name__}"
