"""asyncio: an `asyncio.Protocol` on `create_server`, over the default loop or uvloop's, with their own transports.

Protocols, not streams, because they are what both recommend where speed matters.

asyncio reads into 256 KiB. glibc's malloc maps such a block anew for every read (2 page faults, and 21 µs instead of 5
per message here) until the first one is freed whole, which a connection's end does; from then on it takes them from its
heap. What is measured is what a server that has seen a connection end does: calibration has.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.systems.base import AsyncioProgram
from benchmarks.systems.certificates import server_context


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    def connection_made(self, transport: Any) -> None:  # uvloop's are no subclasses of asyncio's
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Server(AsyncioProgram):
    """Listens on a free port of loopback; with TLS, if it is to be *secure*."""

    def __init__(self, loop: str = "asyncio", secure: bool = False) -> None:
        super().__init__(loop)
        self._context = server_context() if secure else None

    async def open(self, stack: AsyncExitStack) -> None:
        listening = self.loop.create_server(Echo, "127.0.0.1", 0, ssl=self._context)
        server = await stack.enter_async_context(await listening)
        self._port = server.sockets[0].getsockname()[1]

    def start(self) -> dict[str, int]:
        super().start()
        return {"port": self._port}
