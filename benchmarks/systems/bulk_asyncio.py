"""asyncio: an `asyncio.Protocol` that writes until ``pause_writing``, over the default loop or uvloop's."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.systems.base import AsyncioProgram
from benchmarks.systems.bulk import ASK, message
from benchmarks.systems.certificates import server_context

TEXT = message(16 * 1024)


class Bulk(asyncio.Protocol):
    """Sends as many messages as it is asked for."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._paused = False
        self._left = 0
        self._asked = b""

    def data_received(self, data: bytes) -> None:
        self._asked += data
        if len(self._asked) == ASK:
            self._left, self._asked = int.from_bytes(self._asked, "big"), b""
            self._write()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write()

    def _write(self) -> None:
        while self._left and not self._paused:
            self._left -= 1
            self._transport.write(TEXT)


class Server(AsyncioProgram):
    """Listens on a free port of loopback; with TLS, if it is to be *secure*."""

    def __init__(self, loop: str = "asyncio", secure: bool = False) -> None:
        super().__init__(loop)
        self._context = server_context() if secure else None

    async def open(self, stack: AsyncExitStack) -> None:
        listening = self.loop.create_server(Bulk, "127.0.0.1", 0, ssl=self._context)
        server = await stack.enter_async_context(await listening)
        self._port = server.sockets[0].getsockname()[1]

    def start(self) -> dict[str, int]:
        super().start()
        return {"port": self._port}
