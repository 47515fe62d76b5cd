"""`Fabric`: what is between the sockets of a network: who is where, and by which link he is reached."""

from __future__ import annotations

import random
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from netcore.testing.network._socket import FakeSocket
from netcore.testing.network._wire import Link, Wire

if TYPE_CHECKING:
    from netcore.testing.network._host import Host
    from netcore.testing.network._selector import VirtualSelector

__all__ = ["IGNORE", "REFUSE", "Fabric"]

_NUMBERS = 1 << 30  # where the numbers of sockets begin: no process has so many descriptors
_REMEMBERED = 10_000  # lines of the log
_TOLD = 15  # of them, with an error

REFUSE, IGNORE = "refuse", "ignore"


class Fabric:
    """The network, as sockets know it.

    Args:
        clock: has the time, and calls what is on its way.
        seed: of *random*.
        conditions: of links that nobody has said anything about.
        window: bytes that are on their way, or wait to be read, in each direction of a connection at most.
        gives_up: seconds after which a connection fails that nothing comes through.
    Attributes: *hosts*, those that run, by address; *links*, by the first addresses of two hosts; *rules*, REFUSE or
        IGNORE, by address and port; *wires*, the connections that stand, in the order they were made; *log*.
    """

    def __init__(
        self,
        clock: VirtualSelector,
        seed: int,
        conditions: dict[str, float | None],
        window: int,
        gives_up: float,
    ) -> None:
        self.clock = clock
        self.random = random.Random(seed)
        self.window = window
        self.gives_up = gives_up
        self.hosts: dict[str, Host] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.rules: dict[tuple[str, int], str] = {}
        self.wires: dict[Wire, None] = {}
        self.log: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)
        self._conditions = conditions
        Link(conditions)  # raises what there is to be raised
        self._numbers = _NUMBERS

    def next_number(self) -> int:
        """A number for a socket."""
        self._numbers += 1
        return self._numbers

    def tell(self, what: str) -> None:
        """Write down what happens."""
        self.log.append((self.clock.now, what))

    def told(self, last: int | None = None) -> list[str]:
        """What was written down, or the last lines of it."""
        return [f"{when:12.6f} {what}" for when, what in list(self.log)[-(last or 0) :]]

    def story(self) -> str:
        """The end of the log, for an error."""
        lines = self.told(_TOLD)
        return "".join(f"\n    {line}" for line in ["the last that happened:", *lines]) if lines else ""

    def link(self, one: str, other: str) -> Link:
        """The link between the hosts with these addresses. (A host is known by its first, whether it runs or not.)"""
        first, second = (self.hosts[each].address if each in self.hosts else each for each in (one, other))
        pair = (first, second) if first <= second else (second, first)
        link = self.links.get(pair)
        if link is None:
            link = self.links[pair] = Link(self._conditions)
        return link

    def arrive_first(self, wire: Wire) -> None:
        """The first packet of a connection is there."""
        client, answering = wire.there.source, wire.back.source
        address, port = wire.server
        host = client._host if wire.local and client is not None else self.hosts.get(address)
        if client is None or host is None:
            return
        if answering is not None:
            answering.answer()
            return
        rule = self.rules.get((address, port))
        listener = host._listener(address, port)
        if rule == IGNORE:
            wire.tell("is ignored")
        elif listener is None or rule == REFUSE:
            wire.tell("is refused")
            wire.back.send_once(client.was_reset)
        elif not listener.has_room():
            wire.tell("finds the queue full")
        else:
            name, peer = (_as(listener.family, end) for end in (wire.server, wire.client))
            FakeSocket(host, listener.family).half_open(wire, listener, name, peer)

    def opened(self, wire: Wire) -> None:
        """*wire* stands."""
        wire.tell("is connected")
        self.wires[wire] = None

    def closed(self, wire: Wire) -> None:
        """An end of *wire* is closed."""
        if wire.is_over():
            self.wires.pop(wire, None)
            wire.let_go()

    def send_again(self) -> None:
        """Something was mended."""
        for wire in list(self.wires):
            wire.there.send_again()
            wire.back.send_again()


def _as(family: int, end: tuple[str, int]) -> tuple[Any, ...]:
    """The name of *end* for a socket of *family*: IPv4 has a place in IPv6 (RFC 4291, 2.5.5.2)."""
    host, port = end
    if family != socket.AF_INET6:
        return (host, port)
    return (host if ":" in host else f"::ffff:{host}", port, 0, 0)
