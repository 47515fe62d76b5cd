"""`FaultyProxy`, with a reactor in a thread of its own, and `ReactorFaultyProxy`, on a reactor of the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from asyncdb.testing._proxy._faults import Faults
from asyncdb.testing._proxy._switchboard import Switchboard
from asyncdb.testing._waiting import free_port
from netcore.defer import Deferred, succeed
from netcore.reactors import Reactor
from netcore.threads import blockingCallFromThread

__all__ = ["FaultyProxy", "ReactorFaultyProxy"]

T = TypeVar("T")

LOOPBACK = "127.0.0.1"


class _Counting(Faults):
    """A proxy's address, and what has gone through it."""

    _board: Switchboard | None = None

    def __init__(self, host: str, port: int | None, listenPort: int, seed: int) -> None:
        self._target = (host, port)
        self._listen_port = listenPort
        self._seed = seed
        self.host = LOOPBACK

    @property
    def port(self) -> int:
        """Where it listens; the same as long as it lives."""
        return self._running().port

    @property
    def connections(self) -> int:
        """How many connections it has taken so far."""
        return self._running().accepted

    @property
    def standing(self) -> int:
        """How many connections there are."""
        return len(self._running().links)

    @property
    def bytesToServer(self) -> int:
        """How many bytes it has passed on to the server."""
        return self._running().tallies["toServer"].passed

    @property
    def bytesToClient(self) -> int:
        """How many bytes it has passed on to clients."""
        return self._running().tallies["toClient"].passed

    @property
    def bytesLost(self) -> int:
        """How many bytes it has taken and not passed on: by ``blackHole(loses=True)`` and `truncate`."""
        return sum(tally.lost for tally in self._running().tallies.values())

    def _running(self) -> Switchboard:
        if self._board is None:
            raise RuntimeError(f"this {type(self).__name__} does not run: use it in its with block")
        return self._board


class ReactorFaultyProxy(_Counting):
    """A TCP proxy that fails as networks do, on a reactor of the test's, a fake network's host too.

        async with ReactorFaultyProxy(reactor, "127.0.0.1", 5432) as proxy:
            proxy.latency(0.5)
            await connect("127.0.0.1", proxy.port)

    What it can do is told by `Faults`. With a reactor in virtual time delays take no time.

    Args:
        reactor: where it lives.
        host, port: of the server; a path and None: its UNIX socket.
        listenPort: the number of its port, on the loopback interface; 0: one that is free.
        interface: where to listen instead.
        seed: of what is left to chance.
    Attributes: *host*, the interface; see `port` and what it counts.
    Threading: the reactor's thread.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int | None = None,
        *,
        listenPort: int = 0,
        interface: str = LOOPBACK,
        seed: int = 0,
    ) -> None:
        super().__init__(host, port, listenPort, seed)
        self._reactor = reactor
        self.host = interface

    def start(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError: the port is taken. RuntimeError: it runs.
        """
        if self._board is not None:
            raise RuntimeError("this proxy listens already")
        board = Switchboard(self._reactor, *self._target, self._seed)
        # A port below those that are given to who asks for any: it must be free still when `refuse` ends.
        board.listen(self.host, self._listen_port or free_port())
        self._board = board

    def stop(self) -> Deferred[None]:
        """Listen no more, and reset the connections there are. What was counted stays.

        Returns: a Deferred that fires when they are gone.
        """
        return self._board.close() if self._board is not None else succeed(None)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def _call(self, function: Callable[[Switchboard], T]) -> T:
        return function(self._running())


class FaultyProxy(_Counting):
    """A TCP proxy that fails as networks do, with a reactor in a thread of its own: for programs that block, too.

        with FaultyProxy("127.0.0.1", 5432) as proxy:
            connection = psycopg2.connect(host=proxy.host, port=proxy.port, ...)
            proxy.blackHole()

    What it can do is told by `Faults`; each method has taken effect when it returns.

    Args:
        host, port: of the server; a path and None: its UNIX socket.
        listenPort: the number of its port, on the loopback interface; 0: one that is free.
        seed: of what is left to chance.
    Attributes: *host*, 127.0.0.1; see `port` and what it counts.
    Threading: any thread.
    """

    def __init__(self, host: str, port: int | None = None, *, listenPort: int = 0, seed: int = 0) -> None:
        super().__init__(host, port, listenPort, seed)
        self._reactor: Reactor | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError: the port is taken. RuntimeError: it runs.
        """
        if self._thread is not None:
            raise RuntimeError("this proxy listens already")
        begun = threading.Event()
        failures: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._run, args=(begun, failures), name=f"faulty-proxy-{self._target}", daemon=True
        )
        self._thread.start()
        begun.wait()
        if failures:
            self._join()
            raise failures[0]

    def stop(self) -> None:
        """Listen no more, and reset the connections there are. Does nothing if it does not run. What was counted
        stays."""
        if self._thread is not None and self._reactor is not None:
            blockingCallFromThread(self._reactor, self._running().close)
            self._reactor.callFromThread(self._reactor.stop)
            self._join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _join(self) -> None:
        thread, self._thread, self._reactor = self._thread, None, None
        if thread is not None:
            thread.join()

    def _run(self, begun: threading.Event, failures: list[BaseException]) -> None:
        try:
            reactor = Reactor()
        except BaseException as error:
            failures.append(error)
            begun.set()
            return

        def listen() -> None:
            proxy = ReactorFaultyProxy(reactor, *self._target, listenPort=self._listen_port, seed=self._seed)
            try:
                proxy.start()
                self._board, self._reactor = proxy._board, reactor
            except BaseException as error:
                failures.append(error)
                reactor.stop()
            begun.set()

        reactor.callWhenRunning(listen)
        try:
            reactor.run(installSignalHandlers=False)
        finally:
            reactor.dispose()

    def _call(self, function: Callable[[Switchboard], T]) -> T:
        if self._reactor is None:
            raise RuntimeError("this proxy does not run: use it in its with block")
        return blockingCallFromThread(self._reactor, function, self._running())
