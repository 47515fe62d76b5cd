"""`FakeNetwork`: hosts, the links between them, and the time in which everything happens."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Self, TypeVar

from netcore._timers import DelayedCall
from netcore.interfaces import IReactorTime, implementer
from netcore.reactors import _loops
from netcore.resolver import DictResolver
from netcore.testing.network._fabric import IGNORE, REFUSE, Fabric
from netcore.testing.network._host import Host, checked_address
from netcore.testing.network._loop import VirtualLoop
from netcore.testing.network._selector import Stalled
from netcore.testing.network._wire import Connection, Link

__all__ = ["FakeNetwork"]

T = TypeVar("T")
Hosts = Host | Iterable[Host]

_LONGEST = 86400.0  # seconds that are waited for something, if nothing else is said


@implementer(IReactorTime)
class FakeNetwork:
    """Hosts that are connected by TCP, in memory and in virtual time. A context manager: `close` at its end.

    >>> from netcore.protocol import Factory, Protocol
    >>> from netcore.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
    >>> class Echo(Protocol):
    ...     def dataReceived(self, data):
    ...         self.transport.write(data)
    >>> class Client(Protocol):
    ...     def dataReceived(self, data):
    ...         print(data, self.factory.reactor.seconds())
    >>> with FakeNetwork(latency=0.05) as net:
    ...     server, client = net.host("10.0.0.1", name="db.example"), net.host("10.0.0.2")
    ...     _ = TCP4ServerEndpoint(server, 7).listen(Factory.forProtocol(Echo))
    ...     factory = Factory.forProtocol(Client)
    ...     factory.reactor = client
    ...     protocol = net.runUntil(TCP4ClientEndpoint(client, "db.example", 7).connect(factory))
    ...     protocol.transport.write(b"hello")
    ...     net.advance(1)
    b'hello' 0.2

    A connection takes two latencies, and a question and its answer two more. Coroutines for asyncio run on the same
    hosts, links and clock:

    >>> import asyncio
    >>> async def serve():
    ...     await asyncio.start_server(lambda reader, writer: writer.close(), port=80)
    >>> async def ask():
    ...     reader, writer = await asyncio.open_connection("10.0.0.1", 80)
    ...     try:
    ...         return await reader.read()
    ...     finally:
    ...         writer.close()
    >>> with FakeNetwork() as net:
    ...     server, client = net.host("10.0.0.1"), net.host("10.0.0.2")
    ...     server.runUntil(serve())
    ...     net.partition(server, client)
    ...     _ = net.callLater(2, net.heal)
    ...     client.runUntil(ask())
    ...     print(round(net.seconds(), 3))
    b''
    3.004

    Everything that happens depends on *seed* and on what the test does, and on nothing else. The sockets behave as
    Linux's do: what is behind a partition is silent, and comes through when that is healed, or is given up after
    *givesUp* seconds; see `netcore.testing.network` for more.

    Args:
        seed: of `random`.
        latency, jitter, loss, bandwidth: of all links that `link` is told nothing else of; see there.
        window: how many bytes are on their way, or wait to be read, in each direction of a connection at most.
        givesUp: seconds after which a connection fails that nothing comes through. (tcp(7), tcp_retries2: Linux's.)
    Attributes: *loop*, the `VirtualLoop` that everything runs on; *names*, the `netcore.resolver.DictResolver` that all
        hosts ask.
    Raises: ValueError: a number that cannot be.
    Threading: one thread.
    """

    loop: VirtualLoop
    names: DictResolver

    def __init__(
        self,
        seed: int = 0,
        *,
        latency: float = 0.001,
        jitter: float = 0.0,
        loss: float = 0.0,
        bandwidth: float | None = None,
        window: int = 128 * 1024,
        givesUp: float = 924.6,
    ) -> None:
        if not (window >= 1 and givesUp > 0):
            raise ValueError(f"a window of {window!r} bytes, given up after {givesUp!r} s: nothing would get through")
        conditions = {"latency": latency, "jitter": jitter, "loss": loss, "bandwidth": bandwidth}
        self.names = DictResolver({"localhost": "127.0.0.1"}, self)
        self.loop = VirtualLoop()
        try:
            self._clock = self.loop._virtual
            self._fabric = Fabric(self._clock, seed, conditions, window, givesUp)
        except BaseException:
            self.loop.close()
            raise
        self._clock.story = self._fabric.story
        self._hosts: list[Host] = []
        self._own = Host(self, ())  # the network's own timers are its

    @property
    def random(self) -> random.Random:
        """What the network decides chances by; for what a test leaves to chance too."""
        return self._fabric.random

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything: what runs on all hosts (protocols hear ``connectionLost``), coroutines, the loop.

        Raises: RuntimeError: called by something that runs on it. Stalled: a coroutine goes on though it was cancelled.
        """
        self._require_standing_still()
        if self.loop.is_closed():
            return
        try:
            for host in [*self._hosts, self._own]:
                host._release()
            # Not cancelled if it does not end: asyncio would wait for the threads of its executor, for real.
            winding_up = self.loop.create_task(self._wind_up())
            self._run_task(winding_up, _LONGEST, winding_up)
            winding_up.result()
            for sock in list(self._clock.sockets.values()):
                sock.close()
        finally:
            self._hosts.clear()
            self._fabric.hosts.clear()
            self.loop.close()

    async def _wind_up(self) -> None:
        await _loops.end_tasks(self.loop)
        transports: Any = self.loop._transports  # type: ignore[attr-defined]  # asyncio's, by descriptor
        for transport in list(transports.values()):
            transport.abort()
        await asyncio.sleep(0)

    # Hosts and names.

    def host(self, *addresses: str, name: str | None = None) -> Host:
        """Add a machine, one that runs.

        Args:
            addresses: its IPv4 and IPv6 addresses; none: one that is free, of 10.0.0.0/8.
            name: what all hosts can look it up by.
        Raises: ValueError: what is no address, or a running host's. RuntimeError: the network is closed.
        """
        if self.loop.is_closed():
            raise RuntimeError("the network is closed: what was to be tested has to be so before")
        hosts = self._fabric.hosts
        if not addresses:
            number = 1
            while (free := f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}") in hosts:
                number += 1
            addresses = (free,)
        addresses = tuple(checked_address(each) for each in addresses)
        for each in addresses:
            if each in hosts:
                raise ValueError(f"{each} is the address of {hosts[each]!r}")
        host = Host(self, addresses)
        self._hosts.append(host)
        hosts.update(dict.fromkeys(addresses, host))
        if name is not None:
            self.name(name, *addresses)
        self._fabric.send_again()  # it may have been there before a crash
        return host

    def name(self, name: str, *addresses: str | Host | float | Exception) -> None:
        """Have *name* looked up to *addresses*. Numbers among them are seconds that the look-up takes; an exception
        ends it, as its error; none: it finds nothing. It may be given others later."""
        self.names[name] = [each.address if isinstance(each, Host) else each for each in addresses]

    def crash(self, host: Host) -> None:
        """Have *host* lose its power: nobody is told, neither what runs on it nor its peers, who hear silence. What it
        was to call later is not called; coroutines in asyncio Tasks are not ended, but hear of no connection any more.

        ``net.host(address)`` starts it again, empty; what its peers send over old connections is answered by a reset
        then.

        Raises: ValueError: it does not run.
        """
        self._require(host)
        self._fabric.tell(f"{host.address} crashes")
        for sock in list(self._clock.sockets.values()):
            if sock._host is host:
                sock.vanish()
        for address in host.addresses:
            del self._fabric.hosts[address]
        self._hosts.remove(host)
        host._lose_power()

    # Links.

    def link(self, one: Host, other: Host, **conditions: float | None) -> Link:
        """Say how the way between two hosts is; what is not named stays as it was.

        Args:
            latency: seconds that everything takes from one to the other.
            jitter: up to so many seconds more, by chance. (The bytes of a connection stay in order.)
            loss: from 0 to 1, how probable it is that a packet is lost; it arrives the later, when TCP sends it again.
            bandwidth: bytes per second, in each direction of each connection; None: any number.
        Returns: the `Link`.
        Raises: ValueError: a number that cannot be, or the same host twice. TypeError: an unknown name.
        """
        if one is other:
            raise ValueError(f"there is no link from {one!r} to itself: no time passes there")
        link = self._fabric.link(one.address, other.address)
        link._change(conditions)
        return link

    def partition(self, one: Hosts, other: Hosts | None = None) -> None:
        """Let nothing through between the hosts in *one* and those in *other* (None: all others there are now). What is
        sent meanwhile waits for `heal`, or is given up; TCP tries again to connect after 1, 3, 7, ... s.

        Raises: ValueError: one does not run.
        """
        for pair in self._pairs(one, other):
            self._fabric.link(*pair).up = False
            self._fabric.tell("{} and {} are cut off from each other".format(*pair))

    def heal(self, one: Hosts | None = None, other: Hosts | None = None, *, reset: bool = False) -> None:
        """Undo `partition`, between the hosts in *one* and those in *other*; without any: everywhere.

        Args:
            reset: whether the connections that were cut off are reset, as by a router that has forgotten them.
        Raises: ValueError: one does not run.
        """
        fabric = self._fabric
        pairs = list(fabric.links) if one is None else self._pairs(one, other)
        mended = [link for link in (fabric.link(*pair) for pair in pairs) if not link.up]
        for link in mended:
            link.up = True
        if mended:
            fabric.tell("the network is mended")
        for wire in list(fabric.wires):
            if reset and wire.link in mended:
                wire.reset()
        fabric.send_again()

    def refuse(self, host: Host | str, port: int) -> None:
        """Refuse connections to *host* (or an address) at *port*, whoever listens there, until `accept`. Those that
        stand, stay."""
        self._rule(host, port, REFUSE, "refused")

    def ignore(self, host: Host | str, port: int) -> None:
        """Answer nobody who wants to connect to *host* at *port*, until `accept`: it is a black hole."""
        self._rule(host, port, IGNORE, "ignored")

    def accept(self, host: Host | str, port: int) -> None:
        """Undo `refuse` and `ignore`."""
        self._rule(host, port, None, "the host's to take")

    def connections(self, one: Host | None = None, other: Host | None = None) -> list[Connection]:
        """The connections that stand, in the order they were made; those of *one*, and those between *one* and *other*,
        if these are given. `Connection.reset` and `Connection.silence` break them."""
        wanted = [host.addresses for host in (one, other) if host is not None]
        return [
            wire.connection
            for wire in self._fabric.wires
            if all(wire.client[0] in addresses or wire.server[0] in addresses for addresses in wanted)
        ]

    # Time.

    def seconds(self) -> float:
        """The clock, in seconds; it begins at 0."""
        return self._clock.now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> DelayedCall:
        """Call *callable* after *delay* seconds: it may do something to the network, for instance. What it raises is
        logged.

        Raises: ValueError: *delay* is negative or NaN. TypeError: *callable* cannot be called.
        """
        return self._own.callLater(delay, callable, *args, **kwargs)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """The calls of `callLater` that are still to come. (Each host has its own.)"""
        return self._own.getDelayedCalls()

    def advance(self, seconds: float = 0.0) -> None:
        """Let *seconds* pass, and all happen that is due until then.

        Raises: ValueError: *seconds* is negative, infinite or NaN. Stalled: something is busy for ever. RuntimeError:
            called by something that runs on it. KeyboardInterrupt, SystemExit: a callback raised it.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"0 or more seconds can pass, not {seconds!r}")
        self._run_to(self._clock.now + seconds, idles=True)

    def runUntil(self, awaitable: Awaitable[T], timeout: float = _LONGEST) -> T:
        """Let time pass until *awaitable*, a Deferred, a coroutine or a future, has a result.

        Args:
            timeout: virtual seconds.
        Returns: the result.
        Raises: what it failed with. Stalled: nothing will ever happen, or *timeout* is over; it was cancelled then.
            ValueError: *timeout* is negative or NaN. RuntimeError: called by something that runs on it.
        """
        return self._run_until(awaitable, timeout, self.loop.create_task)

    @property
    def log(self) -> list[str]:
        """What has happened to connections and links, with the time; the last 10,000 lines."""
        return self._fabric.told()

    def _run_until(
        self,
        awaitable: Awaitable[T],
        timeout: float,
        create_task: Callable[[Coroutine[Any, Any, T]], asyncio.Task[T]],
    ) -> T:
        if not timeout >= 0:
            raise ValueError(f"timeout is 0 or more seconds, not {timeout!r}")
        self._require_standing_still()

        async def wait() -> T:
            return await awaitable

        task = create_task(wait())
        try:
            self._run_task(task, timeout, awaitable)
        finally:
            if not task.done():
                task.cancel()
                self._run_to(self._clock.now, idles=True)
        return task.result()

    def _run_task(self, task: asyncio.Task[Any], timeout: float, told: object) -> None:
        """Let time pass until *task* is done. Raises: Stalled: it is not, after *timeout*; it tells of *told*."""

        def stop(_: object) -> None:
            self.loop.stop()

        task.add_done_callback(stop)
        try:
            self._run_to(self._clock.now + timeout)
        finally:
            task.remove_done_callback(stop)
        if not task.done():
            raise Stalled(f"{told!r} has no result after {timeout:g} s{self._fabric.story()}")

    def _require_standing_still(self) -> None:
        if self.loop.is_running():
            raise RuntimeError(
                "time passes already: what runs on a FakeNetwork waits with await, or has its callLater; advance, "
                "runUntil and close are for the test"
            )
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "another loop runs, that of pytest's fixture `reactor` perhaps: a FakeNetwork has its own, so that a "
                "test of it is an ordinary function, and host.runUntil(coroutine) runs coroutines"
            )

    def _run_to(self, limit: float, idles: bool = False) -> None:
        self._require_standing_still()
        self._clock.limit, self._clock.idles = limit, idles
        try:
            self.loop.run_forever()
        finally:
            self._clock.limit, self._clock.idles = float("inf"), False

    def _rule(self, host: Host | str, port: int, rule: str | None, told: str) -> None:
        for address in (host,) if isinstance(host, str) else host.addresses:
            if rule is None:
                self._fabric.rules.pop((address, port), None)
            else:
                self._fabric.rules[address, port] = rule
            self._fabric.tell(f"from now on connections to {address}:{port} are {told}")

    def _pairs(self, one: Hosts, other: Hosts | None) -> list[tuple[str, str]]:
        these = _hosts(one)
        those = [host for host in self._hosts if host not in these] if other is None else _hosts(other)
        for host in (*these, *those):
            self._require(host)
        return [(host.address, peer.address) for host in these for peer in those if host is not peer]

    def _require(self, host: Host) -> None:
        if host not in self._hosts:
            raise ValueError(f"{host!r} is no running host of this network")


def _hosts(hosts: Hosts) -> list[Host]:
    return [hosts] if isinstance(hosts, Host) else list(hosts)
