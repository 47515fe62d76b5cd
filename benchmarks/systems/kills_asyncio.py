"""A pool in an asyncio program whose connections are killed."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from concurrent.futures import Future
from typing import Any

from benchmarks.systems.base import AsyncioProgram
from benchmarks.systems.kills_base import Asked


class InAsyncio(Asked, AsyncioProgram):
    """One that is asked by Tasks."""

    def __init__(self) -> None:
        Asked.__init__(self)
        AsyncioProgram.__init__(self)

    @abstractmethod
    async def fetch(self, sql: str) -> Any:
        """The first column of the first row."""

    def submit(self, sql: str) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(self.fetch(sql), self.loop)
