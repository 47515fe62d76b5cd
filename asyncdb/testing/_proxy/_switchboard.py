"""The proxy itself, in its reactor's thread: a port, the links through it, and the conditions of those to come."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import Any, Literal

from asyncdb.testing._proxy._link import Direction, Link, Side
from asyncdb.testing._proxy._pipe import Conditions, End, Pipe, Tally
from netcore.defer import Deferred, succeed
from netcore.endpoints import HostnameEndpoint, UNIXClientEndpoint
from netcore.protocol import Factory

__all__ = ["Scope", "Switchboard"]

Scope = Literal["all", "existing", "new"]
DIRECTIONS: tuple[Direction, ...] = ("toServer", "toClient")


class _Clients(Factory):
    """Builds the clients' sides."""

    noisy = False

    def __init__(self, accept: Callable[[], Side]) -> None:
        self.protocol = accept


class Switchboard:
    """A port that leads to *host* and *port*, or to the UNIX socket *host*.

    Threading: the reactor's; numbers may be read in any.
    """

    def __init__(self, reactor: Any, host: str, port: int | None, seed: int) -> None:
        self._reactor = reactor
        self._server: Any = UNIXClientEndpoint(reactor, host) if port is None else HostnameEndpoint(reactor, host, port)
        self._chance = random.Random(seed)
        self._factory = _Clients(self._accept)
        self._port: Any = None
        self._address = ("", 0)
        self._conditions = dict.fromkeys(DIRECTIONS, Conditions())
        self._when_idle: list[Deferred[None]] = []
        self.links: dict[Link, None] = {}
        self.tallies = {direction: Tally() for direction in DIRECTIONS}
        self.accepted = 0

    # The port.

    def listen(self, interface: str, port: int) -> None:
        """Take connections. Raises: netcore.error.CannotListenError."""
        self._address = (interface, port)
        self.accept()

    def accept(self) -> None:
        """Take connections again."""
        if self._port is None:
            interface, port = self._address
            self._port = self._reactor.listenTCP(port, self._factory, interface=interface)
            self._address = (interface, self._port.getHost().port)

    def refuse(self) -> None:
        """Take none: nobody listens."""
        if self._port is not None:
            self._port.stopListening()
            self._port = None

    @property
    def port(self) -> int:
        """Where connections are taken."""
        return self._address[1]

    def close(self) -> Deferred[None]:
        """Take no connections, and reset those there are. Fires when they are gone."""
        self.refuse()
        self.end("reset")
        if not self.links:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._when_idle.append(idle)
        return idle

    # Connections.

    def _accept(self) -> Side:
        self.accepted += 1
        link = Link(self._pipe, self._server.connect, self._gone)
        self.links[link] = None
        return link.client

    def _pipe(self, direction: Direction, cut: Callable[[End], object]) -> Pipe:
        return Pipe(self._reactor, self._chance, self._conditions[direction], self.tallies[direction], cut)

    def _gone(self, link: Link) -> None:
        self.links.pop(link, None)
        if not self.links:
            waiting, self._when_idle = self._when_idle, []
            for idle in waiting:
                idle.callback(None)

    def end(self, how: End) -> int:
        """End the connections there are. Returns how many."""
        links = list(self.links)
        for link in links:
            link.end(how)
        return len(links)

    def change(self, directions: Iterable[Direction], scope: Scope, fields: dict[str, Any]) -> None:
        """Have other conditions in *directions*, for the connections that *scope* says."""
        for direction in directions:
            if scope != "existing":
                self._conditions[direction] = dataclasses.replace(self._conditions[direction], **fields)
            if scope != "new":
                for link in list(self.links):
                    link.change(direction, **fields)
