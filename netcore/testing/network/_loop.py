"""`VirtualLoop`: an asyncio event loop whose time is virtual."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple, Unpack

from netcore.reactors._reactor import live
from netcore.testing.network._selector import VirtualSelector
from netcore.threadpool import _jobs

if TYPE_CHECKING:
    from netcore.testing.network._host import Host

__all__ = ["VirtualLoop", "current_host", "heldUp"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

current_host: ContextVar[Host | None] = ContextVar("current_host", default=None)

_held_up: dict[object, Callable[[], object]] = {}  # threads that wait for what the test alone brings about


@contextmanager
def heldUp(stillWaits: Callable[[], object]) -> Iterator[None]:
    """Within, the calling thread waits for something that only the test, or time, brings about: so time does not wait
    for the thread, as it does for others that work, while *stillWaits()* is true.

    *stillWaits* is asked in another thread. It has to be false as soon as what is waited for is there, and not only
    when the thread has noticed: else time may pass before the thread goes on.

    Threading: a thread that does a job of a `netcore.threadpool.ThreadPool`, or of the loop's executor.
    """
    key = object()
    _held_up[key] = stillWaits
    try:
        yield
    finally:
        del _held_up[key]


class VirtualLoop(BaseSelectorEventLoop):
    """An asyncio event loop that does not wait: when nothing is left to be done, its clock goes on to what comes next.

    So an hour of ``asyncio.sleep``, of time-outs or of a reactor's timers takes as long as what is done in it, and
    everything happens in the same order each time. Its clock begins at 0. When nothing will ever happen it raises
    `Stalled` instead of hanging.

    >>> async def main():
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> with asyncio.Runner(loop_factory=VirtualLoop) as runner:
    ...     runner.run(main())
    3600.0

    ``Reactor(VirtualLoop())`` is a reactor in virtual time. Time stands still while jobs are done in threads, of the
    loop's ``run_in_executor`` or of any `netcore.threadpool.ThreadPool`. Only ``loop.time()`` and ``reactor.seconds()``
    are virtual, not `time.time` and its like. Real descriptors, signals and child processes cannot be waited for; for
    connections see `FakeNetwork`, which makes a loop of its own.
    """

    _netcore_virtual = True  # for reactors: `netcore.reactors._loops`

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        self._jobs = 0  # in executors
        self._attached: Any = None
        super().__init__(self._virtual)
        self._virtual.next_timer = self._next_timer
        self._virtual.stop = self.stop
        self._virtual.at_work = self._threads_work

    def time(self) -> float:
        """The virtual clock, in seconds."""
        return self._virtual.now

    def _next_timer(self) -> float | None:
        scheduled = self._scheduled  # type: ignore[attr-defined]  # those cancelled at its head were just taken out
        return float(scheduled[0].when()) if scheduled else None

    @property
    def _clock_resolution(self) -> float:
        """asyncio makes calls that are due before the end of this. The least there is: else a timer would come before
        its time, find that it is early, and ask again in vain, since no time passes."""
        return math.ulp(self._virtual.now)

    @_clock_resolution.setter
    def _clock_resolution(self, value: float) -> None:
        pass  # what asyncio thinks of the real clock

    @property
    def _netcore_reactor(self) -> Any:
        """Which reactor is the current one: that of the host whose program makes the call (`netcore._current`)."""
        host = current_host.get()
        return host if host is not None and host.loop is self else self._attached

    @_netcore_reactor.setter
    def _netcore_reactor(self, reactor: Any) -> None:
        self._attached = reactor

    # Threads. Nothing is to be waited for but them: there is no need of a socket to wake by.

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self._virtual.wake()

    def _threads_work(self) -> bool:
        if self._jobs == 0 and threading.active_count() == 1:
            return False
        waiting = sum(reactor._owed for reactor in live() if reactor.loop is self)  # threads, for what it is to do
        jobs = self._jobs + _jobs()  # before it is asked who is held up: who ends meanwhile counts as working, then
        return jobs > waiting + sum(1 for still_waits in list(_held_up.values()) if still_waits())

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """See `asyncio.loop.run_in_executor`. No time passes while *func* runs."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, _: object) -> None:
        self._jobs -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        """See `asyncio.loop.shutdown_default_executor`."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jobs -= 1

    # Connections: through the host whose program asks for them.

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """The addresses of a name, by the host's resolver; see `asyncio.loop.getaddrinfo`.

        Raises: socket.gaierror: none is known.
        """
        return await _host("look up a name")._addresses(host, port, family)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """The address itself, as text."""
        return str(sockaddr[0]), str(sockaddr[1])

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """See `asyncio.loop.sock_connect`.

        Raises: RuntimeError: *sock* is a real one, by which the real network would be reached.
        """
        self._virtual.require_fake(sock)
        await super().sock_connect(sock, address)

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        family: int = 0,
        sock: Any = None,
        local_addr: tuple[str, int] | None = None,
        ssl: Any = None,
        server_hostname: str | None = None,
        proto: int = 0,
        flags: int = 0,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
        **options: Any,
    ) -> Any:
        """See `asyncio.loop.create_connection`; the addresses of a name are tried one after the other."""
        made = None
        if sock is None:
            sock = made = await self._connected(host, port, family, local_addr)
            if ssl and server_hostname is None:
                server_hostname = host
        try:
            return await super().create_connection(
                protocol_factory, sock=sock, ssl=ssl, server_hostname=server_hostname, **options
            )
        except BaseException:
            if made is not None:
                made.close()
            raise

    async def _connected(self, host: Any, port: Any, family: int, local: tuple[str, int] | None) -> Any:
        here = _host("connect")
        error: OSError | None = None
        for number, _, _, _, address in await here._addresses(host or "127.0.0.1", port, family):
            sock = here._new_socket(number)
            try:
                if local is not None:
                    sock.bind(local)
                await self.sock_connect(sock, address)
                return sock
            except OSError as refusal:
                error = error or refusal
                sock.close()
            except BaseException:
                sock.close()
                raise
        assert error is not None
        try:
            raise error
        finally:
            del error  # which has this frame in its traceback

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        family: int = 0,
        sock: Any = None,
        flags: int = 0,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        **options: Any,
    ) -> asyncio.Server:
        """See `asyncio.loop.create_server`; *host* is one address of the host, or None for all of them,
        of *family* (IPv4 if that is not given)."""
        if sock is None:
            here = _host("listen")
            if host is not None and not isinstance(host, str):
                raise TypeError(f"one address can be listened on, or all (None), not {host!r}")
            every = "::" if family == socket.AF_INET6 else "0.0.0.0"
            found = await here._addresses(host or every, port or 0, family)
            sock = here._new_socket(found[0][0])
            try:
                sock.bind(found[0][4])
            except BaseException:
                sock.close()
                raise
        return await super().create_server(protocol_factory, sock=sock, **options)

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> NoReturn:
        """Raises: NotImplementedError."""
        raise NotImplementedError("the fake network has TCP only: test a DatagramProtocol without a network")


def _host(what: str) -> Any:
    host = current_host.get()
    if host is None:
        raise RuntimeError(
            f"to {what}, a coroutine has to run on a host of a FakeNetwork: start it with "
            "host.runUntil(coroutine) or host.createTask(coroutine)"
        )
    return host


def addresses_literal(host: str, port: int, family: int) -> list[Any]:
    """What `socket.getaddrinfo` makes of an address; empty if it is a name. Never blocks."""
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except (socket.gaierror, ValueError):
        return []
