"""What is between two hosts: links, and connections over them.

A connection is two ways, one in each direction. What is sent on a way arrives in its order, after the link's latency;
while the link is down it is kept, as TCP retransmits, and arrives after the link was mended. What TCP sends only once
(a reset) or again after a while (the first packet of a connection, see `_tcp`) is lost then.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netcore.testing.network._fabric import Fabric
    from netcore.testing.network._selector import Event
    from netcore.testing.network._tcp import TCPEnd

__all__ = ["Connection", "Link", "Way", "Wire"]

# A packet that was lost is sent again after this, then after twice as long, and so on: RFC 6298 has a second, Linux
# begins with its least (TCP_RTO_MIN).
_RESEND = 0.2


class Link:
    """How the way between two hosts is; `FakeNetwork.link` changes it.

    Attributes: *latency* and *jitter*, *loss*, *bandwidth*, see there; *up*, whether anything comes through.
    """

    __slots__ = ("bandwidth", "jitter", "latency", "loss", "up")

    def __init__(self, conditions: dict[str, float | None]) -> None:
        self.latency = self.jitter = self.loss = 0.0
        self.bandwidth: float | None = None
        self.up = True
        self._change(conditions)

    def _change(self, conditions: dict[str, float | None]) -> None:
        """Raises: ValueError: a number that cannot be. TypeError: an unknown name."""
        for name, value in conditions.items():
            if name not in {"latency", "jitter", "loss", "bandwidth"}:
                raise TypeError(f"a link has a latency, jitter, loss and bandwidth, but no {name}")
            if name == "bandwidth":
                good = value is None or value > 0
            else:
                good = value is not None and 0 <= value < (1 if name == "loss" else float("inf"))
            if not good:
                raise ValueError(f"the {name} of a link cannot be {value!r}")
        for name, value in conditions.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return (
            f"<link, {state}: latency {self.latency:g} s, jitter {self.jitter:g} s, loss {self.loss:g}, "
            f"bandwidth {self.bandwidth}>"
        )


_SAME_HOST = Link({})


class Connection:
    """A TCP connection that stands, or stood, as `FakeNetwork.connections` gives it.

    Attributes: *client* and *server*, the addresses of its ends, each a tuple of host and port.
    """

    __slots__ = ("_wire", "client", "server")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.client: tuple[str, int] = wire.client
        self.server: tuple[str, int] = wire.server

    def reset(self) -> None:
        """Break it: each end finds that the other has reset it, at once. Something in between may do so."""
        self._wire.reset()

    def silence(self) -> None:
        """Let nothing through any more, in either direction, as an address translator that has forgotten it. Who sends
        finds out after the seconds that a `FakeNetwork` has as *givesUp*."""
        self._wire.silence()

    def __repr__(self) -> str:
        return f"<{self._wire}>"


class Way:
    """One direction of a connection.

    Attributes: *source* and *sink*, the sockets at its ends, if they are there.
    """

    __slots__ = ("_arrival", "_busy_until", "_over", "_unsure", "_waiting", "_wire", "sink", "source")

    def __init__(self, wire: Wire) -> None:
        self.source: TCPEnd | None = None
        self.sink: TCPEnd | None = None
        self._wire = wire
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...], bool]] = deque()  # did not come through
        self._unsure: Event | None = None  # when that is given up
        self._over = False  # what does not come through now never will
        self._arrival = 0.0  # of what was sent last
        self._busy_until = 0.0

    def send(self, arrive: Callable[..., object], *args: Any, size: int = 0, answered: bool = True) -> None:
        """Have ``arrive(*args)`` called at the other end, after all that was sent before.

        Args:
            size: bytes.
            answered: whether TCP waits for an answer; if nothing comes, the connection is given up in the end.
        """
        self._arrival = when = max(self._arrival, self._departure(size) + self._wire.delay())
        self._wire.fabric.clock.at(when, partial(self._come, arrive, args, answered))

    def send_once(self, arrive: Callable[..., object], *args: Any) -> None:
        """The same, if it comes through; else it is lost."""
        clock = self._wire.fabric.clock
        self._arrival = when = max(self._arrival, clock.now + self._wire.delay())
        clock.at(when, partial(self._come_once, arrive, args))

    def send_again(self) -> None:
        """The link may be up."""
        waiting, self._waiting = self._waiting, deque()
        self._be_sure()
        for arrive, args, answered in waiting:
            self.send(arrive, *args, answered=answered)
        if waiting:
            self._wire.tell("sends again what did not come through", self)

    def stop(self) -> None:
        """The source sends nothing again."""
        self._over = True
        self._waiting.clear()
        self._be_sure()

    def _be_sure(self) -> None:
        if self._unsure is not None:
            self._unsure.cancel()
            self._unsure = None

    def _departure(self, size: int) -> float:
        now = self._wire.fabric.clock.now
        bandwidth = self._wire.link.bandwidth
        if bandwidth is None or not size:
            return now
        self._busy_until = max(now, self._busy_until) + size / bandwidth
        return self._busy_until

    def _come_once(self, arrive: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self._wire.passes(self):
            arrive(*args)

    def _come(self, arrive: Callable[..., object], args: tuple[Any, ...], answered: bool) -> None:
        if not self._waiting and self._wire.passes(self):
            arrive(*args)
        elif not self._over:
            self._waiting.append((arrive, args, answered))
            if answered and self._unsure is None:
                fabric = self._wire.fabric
                self._unsure = fabric.clock.at(fabric.clock.now + fabric.gives_up, self._give_up)

    def _give_up(self) -> None:
        self._wire.tell("gives up: nothing has answered", self)
        source = self.source
        self.stop()
        if source is not None:
            source.fail(errno.ETIMEDOUT)


class Wire:
    """A connection, being made or standing, as the network knows it.

    Attributes: *link*, what it goes over; *local*, whether both ends are on one host; *client* and *server*, their
        addresses; *there*, the way from the client to the server, and *back*; *connection*, for the user.
    """

    def __init__(self, fabric: Fabric, link: Link | None, client: TCPEnd, server: tuple[Any, ...]) -> None:
        self.fabric = fabric
        self.local = link is None
        self.link = link if link is not None else _SAME_HOST
        self.client: tuple[str, int] = client._name[:2]
        self.server: tuple[str, int] = server[:2]
        self.there, self.back = Way(self), Way(self)
        self.there.source = self.back.sink = client
        self.connection = Connection(self)
        self._silent = False

    def accepted_by(self, sock: TCPEnd) -> None:
        """*sock* is the server's end."""
        self.back.source = self.there.sink = sock

    def way_from(self, sock: TCPEnd) -> Way:
        """What *sock* sends goes this way."""
        return self.there if self.there.source is sock else self.back

    def reset(self) -> None:
        """See `Connection.reset`."""
        self.tell("is reset from in between")
        for way in (self.there, self.back):
            way.stop()
            if way.sink is not None:
                way.sink.was_reset()

    def silence(self) -> None:
        """See `Connection.silence`."""
        self.tell("falls silent for ever")
        self._silent = True

    def is_over(self) -> bool:
        """Whether both ends are closed."""
        return all(way.source is None or way.source.fileno() < 0 for way in (self.there, self.back))

    def let_go(self) -> None:
        """Both ends are closed: nothing that is still on its way means anything."""
        for way in (self.there, self.back):
            way.stop()
            way.source = way.sink = None

    def passes(self, way: Way) -> bool:
        """Whether what was sent on *way* comes through now."""
        target = self.server if way is self.there else self.client
        return not self._silent and (self.local or (self.link.up and target[0] in self.fabric.hosts))

    def delay(self) -> float:
        """How long a packet takes that is sent now."""
        link, random = self.link, self.fabric.random
        delay = link.latency
        if link.jitter:
            delay += random.random() * link.jitter
        if link.loss:
            again = _RESEND
            while random.random() < link.loss:
                delay += again
                again *= 2
        return delay

    def tell(self, what: str, way: Way | None = None) -> None:
        """Write down what happens."""
        ends = (self.server, self.client) if way is self.back else (self.client, self.server)
        self.fabric.tell("{}:{} > {}:{} {}".format(*ends[0], *ends[1], what))

    def __str__(self) -> str:
        return "connection {}:{} > {}:{}".format(*self.client, *self.server)
