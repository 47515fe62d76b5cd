"""`Host`: a machine on the fake network, with a reactor."""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

from zope.interface import classImplementsOnly

from netcore._timers import DelayedCall
from netcore.interfaces import (
    IAddress,
    IHostResolution,
    IProtocolFactory,
    IReactorCore,
    IReactorPluggableNameResolver,
    IReactorPluggableResolver,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IResolutionReceiver,
    implementer,
)
from netcore.reactors import Reactor
from netcore.reactors._lifecycle import Event, State
from netcore.testing.network._loop import addresses_literal, current_host
from netcore.testing.network._socket import FakeSocket
from netcore.transports.tcp import Connector, Port

if TYPE_CHECKING:
    from netcore.testing.network._network import FakeNetwork

__all__ = ["Host"]

P = ParamSpec("P")
T = TypeVar("T")
Name = tuple[Any, ...]

_EPHEMERAL = 32768  # ip(7), ip_local_port_range
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def _on_host(method: Callable[Concatenate[Host, P], T]) -> Callable[Concatenate[Host, P], T]:
    """Have the context that *method* captures say that it is the host's."""

    @functools.wraps(method)
    def call(self: Host, /, *args: P.args, **kwargs: P.kwargs) -> T:
        token = current_host.set(self)
        try:
            return method(self, *args, **kwargs)
        finally:
            current_host.reset(token)

    return call


class _NoSpare:
    """A host does not run out of descriptors."""

    def hold(self) -> None: ...
    def release(self) -> None: ...
    def refill(self) -> None: ...
    def lend(self) -> bool:
        return False


class Host(Reactor):
    """A machine on a `FakeNetwork`, made by `FakeNetwork.host`, and the reactor of the program that it runs.

    It is netcore's own reactor with its own transports, on the network's clock and sockets: timers, connections with
    and without TLS, endpoints, services and threads work on it as on any. It runs whenever the network does
    (`FakeNetwork.advance`, `FakeNetwork.runUntil`, `runUntil`). It has TCP only.

    In code that it calls, and in coroutines that were started by `createTask` or `runUntil`, it is the current reactor,
    and asyncio's ``loop.create_connection``, ``open_connection``, ``start_server`` and the like are its.

    Attributes: *network*; *address*, its first; *addresses*.
    """

    network: FakeNetwork
    address: str
    addresses: tuple[str, ...]

    def __init__(self, network: FakeNetwork, addresses: tuple[str, ...]) -> None:
        self.network = network
        self._fabric = network._fabric
        self.addresses = addresses
        self.address = addresses[0] if addresses else ""
        self._ports: dict[int, dict[FakeSocket, None]] = {}
        self._listening: dict[int, dict[FakeSocket, None]] = {}
        self._next_port = _EPHEMERAL
        self._set_up(network.loop, owns_loop=False)
        self._spare: Any = _NoSpare()
        self._names = network.names
        self._life.move(Event.ATTACH)
        self.running = True
        self._turns.begin()
        self._pool.start()

    @_on_host
    def createTask(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin *coroutine* as a program of this host, in an asyncio Task, as soon as time passes.

        Returns: the Task, which can be awaited, `FakeNetwork.runUntil` it has a result, and cancelled.
        """
        return self.loop.create_task(coroutine)

    def runUntil(self, awaitable: Awaitable[T], timeout: float = 86400.0) -> T:
        """As `FakeNetwork.runUntil`; if *awaitable* is a coroutine, it is a program of this host."""
        return self.network._run_until(awaitable, timeout, self.createTask)

    def stop(self) -> None:
        """End the program: "shutdown" is fired, then connections are closed. (The machine stays: it refuses
        connections.)

        Raises: ReactorNotRunning: it has ended.
        """
        if self._life.state is not State.ATTACHED or self._ending:
            raise self._life.refusal(Event.STOP)
        self._ending = self.loop.create_task(self._detach())

    _ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Host {', '.join(self.addresses)}>"

    def _lose_power(self) -> None:
        """All is gone, and nobody hears of it."""
        self._open.clear()
        if self._life.state is not State.DISPOSED:
            self._turns.hold()
            self._events.clear()
            self._release()

    # A reactor's, where it matters that what is called later is called on this host.

    @_on_host
    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> DelayedCall:
        """See `Reactor.callLater`."""
        return super().callLater(delay, callable, *args, **kwargs)

    @_on_host
    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """See `Reactor.callFromThread`."""
        super().callFromThread(callable, *args, **kwargs)

    @_on_host
    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> object:
        """See `Reactor.addSystemEventTrigger`."""
        return super().addSystemEventTrigger(phase, eventType, callable, *args, **kwargs)

    @_on_host
    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "", *, reusePort: bool = False
    ) -> Port:
        """See `Reactor.listenTCP`."""
        return super().listenTCP(port, factory, backlog, interface, reusePort=reusePort)

    @_on_host
    def connectTCP(
        self,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """See `Reactor.connectTCP`."""
        return super().connectTCP(host, port, factory, timeout, bindAddress)

    # What would need real descriptors.

    def _tcp_only(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("a host of the fake network has TCP only")

    listenUDP = listenMulticast = listenUNIX = connectUNIX = listenUNIXDatagram = connectUNIXDatagram = _tcp_only
    adoptStreamPort = adoptStreamConnection = adoptDatagramPort = addReader = addWriter = spawnProcess = _tcp_only

    # Its sockets.

    def _new_socket(self, family: int) -> Any:
        return FakeSocket(self, family)

    def _bind(self, sock: FakeSocket, name: Name) -> Name:
        """Give *sock* a local address. Raises: OSError."""
        host, port = name[0] or "0.0.0.0", name[1]
        if host not in _ANY and not self._has(host):
            raise OSError(errno.EADDRNOTAVAIL, f"{host} is no address of {self!r}")
        if port and self._taken(sock, host, port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        port = port or self._free_port()
        self._ports.setdefault(port, {})[sock] = None
        return _name(host, port)

    def _unbind(self, sock: FakeSocket) -> None:
        for table in (self._ports, self._listening):
            at_port = table.get(sock.local_port)
            if at_port is not None and sock in at_port:
                del at_port[sock]
                if not at_port:
                    del table[sock.local_port]

    def _listen(self, sock: FakeSocket) -> None:
        host, port = sock.getsockname()[:2]
        if self._taken(sock, host, port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._listening.setdefault(port, {})[sock] = None

    def _taken(self, sock: FakeSocket, host: str, port: int) -> bool:
        """Whether another socket listens there, and the two do not share."""
        option = socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", -1)
        for other in self._listening.get(port, ()):
            if sock.getsockopt(*option) and other.getsockopt(*option):
                continue
            if other.answers(host) or (host in _ANY and (host == "::" or ":" not in other.getsockname()[0])):
                return True
        return False

    def _free_port(self) -> int:
        for _ in range(65536 - _EPHEMERAL):
            port = self._next_port
            self._next_port = port + 1 if port < 65535 else _EPHEMERAL
            if port not in self._ports and port not in self._listening:
                return port
        raise OSError(errno.EADDRNOTAVAIL, "no port is free")

    def _listener(self, address: str, port: int) -> FakeSocket | None:
        """Who answers at *address* and *port*; of several, one that has room."""
        answering = [sock for sock in self._listening.get(port, ()) if sock.answers(address)]
        return next((sock for sock in answering if sock.has_room()), answering[0] if answering else None)

    def _route(self, sock: FakeSocket, address: Name) -> tuple[Name, Name]:
        """The two ends of a connection of *sock* to *address*. Raises: OSError: there is no way."""
        target = _ANY.get(address[0], address[0]) or "127.0.0.1"
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        if sock.family != family:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        host, port = sock.getsockname()[:2]
        if host in _ANY:
            if self._has(target):
                host = target
            else:
                own = [each for each in self.addresses if (":" in each) is (":" in target)]
                if not own:
                    raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
                host = own[0]
        if not port:
            port = self._free_port()
        self._unbind(sock)
        self._ports.setdefault(port, {})[sock] = None
        return _name(host, port), _name(target, address[1])

    def _has(self, address: str) -> bool:
        """Whether *address* leads to this host, from here."""
        return address in self.addresses or address == "::1" or address.startswith("127.")

    # For asyncio.

    async def _addresses(self, host: str, port: int, family: int = 0) -> list[Any]:
        """What getaddrinfo(3) would say, as the host's resolver has it. Raises: socket.gaierror."""
        found = addresses_literal(host, port, family)
        if not found:
            search = _Search()
            self.nameResolver.resolveHostName(search, host, port)
            for address in await search.found:
                found += addresses_literal(address.host, address.port, family)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is not known: net.name({host!r}, address) makes it so")
        return found


# Not those of a Reactor that it refuses.
classImplementsOnly(
    Host,
    *(IReactorCore, IReactorTime, IReactorThreads, IReactorTCP, IReactorSSL),
    *(IReactorPluggableResolver, IReactorPluggableNameResolver),
)


@implementer(IResolutionReceiver)
class _Search:
    """Waits for all that is found of a name."""

    def __init__(self) -> None:
        self.found: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._all: list[Any] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None: ...

    def addressResolved(self, address: IAddress) -> None:
        self._all.append(address)

    def resolutionComplete(self) -> None:
        if not self.found.done():
            self.found.set_result(self._all)


def _name(host: str, port: int) -> Name:
    return (host, port, 0, 0) if ":" in host else (host, port)


def checked_address(address: str) -> str:
    """*address*, as it is usually written.

    Raises: ValueError: it is none, or one that every host has.
    """
    found = ipaddress.ip_address(address)
    if found.is_loopback or found.is_unspecified:
        raise ValueError(f"{address} is no address to be reached by: every host has it for itself")
    return str(found)
