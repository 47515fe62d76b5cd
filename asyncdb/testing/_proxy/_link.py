"""One connection through a proxy: the client's, the server's, and a pipe for each direction.

Ends of a connection are passed on as they came: an end of one direction (FIN) as such, a reset as a reset. What cannot
be passed on, because a black hole is open, is so when it closes; or never, if the black hole loses what comes: then
both connections are reset, as by a router that has forgotten them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from asyncdb.testing._proxy._pipe import FIN, LOSES, RST, End, Pipe
from netcore.defer import Deferred
from netcore.error import ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, implementer
from netcore.protocol import Factory, Protocol

__all__ = ["Direction", "Link", "Side"]

_UNTOLD = Failure(ConnectionDone())

Direction = Literal["toServer", "toClient"]


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """One of a link's two connections. What it sends goes into *out*; what it is sent comes from *into*."""

    transport: Any

    def __init__(self, link: Link, out: Pipe, into: Pipe) -> None:
        self.link = link
        self.out = out
        self.into = into
        self.standing = False

    def connectionMade(self) -> None:
        self.standing = True
        self.transport.setTcpNoDelay(True)  # what was sent in pieces arrives in pieces
        self.into.open_to(self.transport)
        self.out.open_from(self.transport)
        self.link.made(self)

    def dataReceived(self, data: bytes) -> None:
        self.out.take(data)

    def readConnectionLost(self) -> None:
        self.out.end(FIN)

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = _UNTOLD) -> None:
        self.standing = False
        self.into.stop()
        if not reason.check(ConnectionDone):
            self.out.end(RST)
        self.link.lost()


class Link:
    """A client's connection, and the one that is made to the server for it.

    Args:
        make_pipe: makes the pipe of a direction, given what to do when it is to be cut.
        connect: connects a factory's protocol to the server.
        gone: called when both connections have ended.
    """

    def __init__(
        self,
        make_pipe: Callable[[Direction, Callable[[End], object]], Pipe],
        connect: Callable[[Factory], Deferred[Any]],
        gone: Callable[[Link], object],
    ) -> None:
        self._connect = connect
        self._gone = gone
        self.pipes: dict[Direction, Pipe] = {
            "toServer": make_pipe("toServer", self.end),
            "toClient": make_pipe("toClient", self.end),
        }
        self.client = Side(self, self.pipes["toServer"], self.pipes["toClient"])
        self.server = Side(self, self.pipes["toClient"], self.pipes["toServer"])
        self._connecting: Deferred[Any] | None = None
        self._asked = False  # for the connection to the server
        self._ended = False

    def made(self, side: Side) -> None:
        """A connection stands."""
        if side is self.client:
            self.change("toServer")

    def change(self, direction: Direction, **fields: Any) -> None:
        """Have other conditions in *direction*."""
        pipe = self.pipes[direction]
        losing = pipe.conditions.hole == LOSES
        pipe.change(**fields)
        if losing and pipe.conditions.hole != LOSES and pipe.broken:
            self.end(RST)
        # Nothing that a client sends gets through a black hole, and so no request to connect.
        elif direction == "toServer" and not pipe.conditions.hole and not (self._asked or self._ended):
            self._asked = True
            factory = Factory.forProtocol(lambda: self.server)
            self._connecting = connecting = self._connect(factory)
            connecting.addBoth(self._connected)

    def _connected(self, result: Any) -> None:
        self._connecting = None
        if isinstance(result, Failure):
            self.end(RST)  # it has been told that it is connected, so it can be refused no more
            self.lost()

    def end(self, how: End) -> None:
        """End both connections: politely, or with a reset."""
        self._ended = True
        for pipe in self.pipes.values():
            pipe.stop()
        if self._connecting is not None:
            self._connecting.cancel()
        for side in (self.client, self.server):
            if side.standing:
                if how == FIN:
                    side.transport.loseConnection()
                else:
                    side.transport.abortConnection()

    def lost(self) -> None:
        """A connection has ended."""
        if self.client.standing or self.server.standing or self._connecting is not None:
            return
        self._gone(self)
