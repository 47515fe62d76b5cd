"""`VirtualTime`: a pool's time-outs, pauses and ages, tested without waiting."""

from __future__ import annotations

from collections.abc import Awaitable
from types import ModuleType
from typing import Any, Self, TypeVar

from asyncdb.adbapi import ConnectionPool
from asyncdb.testing._scripted import ScriptedDriver
from netcore.testing.network import FakeNetwork

__all__ = ["VirtualTime"]

T = TypeVar("T")


class VirtualTime:
    """A reactor whose clock moves when the test says so, and pools on it. A context manager: `close` at its end.

    >>> from asyncdb.testing import HANG, ScriptedDriver
    >>> from netcore.testing import failureResultOf
    >>> driver = ScriptedDriver(interruptible=True)
    >>> with VirtualTime() as time:
    ...     pool = time.pool(driver, cp_timeout=60)
    ...     _ = driver.when("execute", HANG, times=1)
    ...     asked = pool.runQuery("SELECT a")
    ...     time.advance(60)
    ...     print(failureResultOf(asked).type.__name__, time.runUntil(pool.runQuery("SELECT b")))
    DeadlineExceeded [(1,)]

    The pools' threads are real ones. No time passes while one of them works; one that blocks in a step of a
    `ScriptedDriver` does not work, and time goes on without it. So when `advance` or `settle` returns, every thread is
    idle or blocks in a step, and everything has happened that is to happen until then.

    Attributes: *network*, the `netcore.testing.network.FakeNetwork` beneath; *reactor*, a host of it.
    Threading: one thread, in which no other event loop runs.
    """

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.reactor = self.network.host()
        self._pools: list[ConnectionPool] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def pool(self, driver: str | ModuleType | Any, *args: Any, **kwargs: Any) -> ConnectionPool:
        """A pool on the reactor, which is closed with it; see `ConnectionPool`. (SQLite's drivers work, too; one that
        waits for a network would have time wait.)"""
        pool = ConnectionPool(driver, *args, cp_reactor=self.reactor, **kwargs)
        self._pools.append(pool)
        return pool

    def seconds(self) -> float:
        """The clock; it begins at 0."""
        return self.network.seconds()

    def settle(self) -> None:
        """Let everything happen that is to happen now. Returns when every thread has come to rest."""
        self.network.advance()

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass, and all happen that is due until then, each at its time.

        Raises: ValueError: *seconds* is negative, infinite or NaN. netcore.testing.network.Stalled: a thread has worked
            for a minute of real time.
        """
        self.network.advance(seconds)

    def runUntil(self, awaitable: Awaitable[T], timeout: float = 86400.0) -> T:
        """Let time pass until *awaitable*, a Deferred or a coroutine, has a result.

        Args:
            timeout: virtual seconds.
        Returns: the result.
        Raises: what it failed with. netcore.testing.network.Stalled: it will never have one.
        """
        return self.reactor.runUntil(awaitable, timeout)

    def close(self) -> None:
        """Let go of what blocks in scripted steps, close the pools, and end what runs."""
        pools, self._pools = self._pools, []
        try:
            for pool in pools:
                if isinstance(pool.dbapi, ScriptedDriver):
                    pool.dbapi.release()
            for pool in pools:
                self.runUntil(pool.close(0))
        finally:
            self.network.close()
