"""`TCPEnd`: one end of a TCP connection of the fake network, as a kernel keeps it; what programs see of it is
`FakeSocket`.

It behaves as Linux's do (tcp(7)):

* A connection is made by three packets. The first is sent again after 1, 3, 7, ... seconds if nothing answers, and
  after 127 the attempt has timed out. Nothing answers while there is no way, or if the other's queue is full; where
  nobody listens the answer is a reset.
* As many bytes as a `FakeNetwork` has as *window* are on their way, or wait to be read, in each direction; then the
  socket is not writable until some have been read.
* What arrives for a socket that is closed is answered by a reset.
* After a reset, what came before it can still be read; then there is an error, once.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from netcore.testing.network._wire import Way, Wire

if TYPE_CHECKING:
    from netcore.testing.network._host import Host
    from netcore.testing.network._selector import Event

__all__ = ["Name", "State", "TCPEnd", "error_of"]

Name = tuple[Any, ...]

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# tcp(7), tcp_syn_retries is 6 on Linux: when the first packet is sent again, and given up.
_TRIES = (1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0)
# tcp(7), tcp_synack_retries is 5: when the server's end of an attempt is forgotten.
_FORGOTTEN = 63.0


class State(Enum):
    """Where a socket is in its life."""

    NEW = "new"
    LISTENING = "listening"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


def error_of(number: int) -> OSError:
    """The exception for an error's number."""
    return OSError(number, os.strerror(number))


class TCPEnd:
    """One end; base of `FakeSocket`, which closes it."""

    def __init__(self, host: Host, family: int) -> None:
        self.family = socket.AddressFamily(family)
        self.type = socket.SOCK_STREAM
        self.proto = socket.IPPROTO_TCP
        self._host = host
        self._fabric = host._fabric
        self._clock = host._fabric.clock
        self._state = State.NEW
        self._number = host._fabric.next_number()
        self._clock.sockets[self._number] = self
        self._options: dict[tuple[int, int], Any] = {}
        self._name: Name = ("::", 0, 0, 0) if family == socket.AF_INET6 else ("0.0.0.0", 0)
        self._peer: Name | None = None
        self._error = 0
        # Listening.
        self._backlog = 0
        self._queue: deque[TCPEnd] = deque()
        self._half_open = 0
        self._listener: TCPEnd | None = None  # that is to accept this, once the client has answered
        # Connected.
        self._wire: Wire | None = None
        self._attempt: Event | None = None
        self._inbox = bytearray()
        self._peer_ended = False  # and says no more
        self._ended = False  # we say no more
        self._broken = False  # by a reset, or given up
        self._room = host._fabric.window  # what may still be sent
        self._starved = False  # we have found that there is no room
        self._read_since = 0  # what the peer is still to be told of
        self._telling = False

    # What a selector asks.

    def readiness(self) -> int:
        """What would not have to wait."""
        state = self._state
        if state is State.LISTENING:
            return _READ if self._queue else 0
        if state is State.CONNECTED or self._broken:
            ready = _READ if self._inbox or self._peer_ended or self._broken else 0
            return ready | (_WRITE if self._room > 0 or self._ended or self._broken else 0)
        return 0

    def _changed(self) -> None:
        self._clock.look(self._number)

    def fileno(self) -> int:
        """A number that no real descriptor has; -1 once it is closed."""
        return self._number if self._state is not State.CLOSED else -1

    def close(self) -> None:
        """Give it back."""
        raise NotImplementedError

    # What happens to it.

    def fail(self, number: int) -> None:
        """The connection, or the attempt, is over, with this error."""
        if self._state is not State.CLOSED and not self._broken:
            self._error = number
            self._broken = True
            self._changed()

    def was_reset(self) -> None:
        """The other side has reset the connection."""
        if self._state is State.CLOSED:
            return
        if self._state is State.CONNECTING:
            if self._attempt is not None:
                self._attempt.cancel()
            self.fail(errno.ECONNREFUSED)
        else:
            self.fail(errno.EPIPE if self._peer_ended else errno.ECONNRESET)
            self._stop_sending()

    def vanish(self) -> None:
        """The host has lost its power: nobody is told."""
        self._broken = True
        self._queue.clear()
        self._stop_sending()
        self.close()

    @property
    def local_port(self) -> int:
        """The number of the port it is bound to."""
        return int(self._name[1])

    def has_room(self) -> bool:
        """Whether one more connection may wait to be accepted (listen(2))."""
        return len(self._queue) + self._half_open <= self._backlog

    def answers(self, address: str) -> bool:
        """Whether it listens at *address*."""
        name = self._name[0]
        return name in (address, "::") or (name == "0.0.0.0" and ":" not in address)

    # Connecting: this side, the other, this side, the other.

    def _try_to_connect(self, tries: int, begun: float) -> None:
        wire = self._wire
        assert wire is not None
        if tries == len(_TRIES):
            self._attempt = None
            wire.tell("gives up connecting: nothing answers")
            self.fail(errno.ETIMEDOUT)
            return
        if tries:
            wire.tell("tries again to connect: nothing answers")
        self._attempt = self._clock.at(begun + _TRIES[tries], partial(self._try_to_connect, tries + 1, begun))
        wire.there.send_once(self._fabric.arrive_first, wire)

    def half_open(self, wire: Wire, listener: TCPEnd, name: Name, peer: Name) -> None:
        """This is the server's end of a connection that a client asks for; *listener* is to accept it."""
        self._name, self._peer, self._wire = name, peer, wire
        self._state = State.CONNECTED
        self._listener = listener
        listener._half_open += 1
        wire.accepted_by(self)
        self._attempt = self._clock.at(self._clock.now + _FORGOTTEN, self._client_gone)
        self.answer()

    def answer(self) -> None:
        """The client has asked, perhaps again: it may not have heard."""
        if self._wire is not None and self._listener is not None:
            self._wire.back.send_once(self._answered, self._wire)

    def _answered(self, wire: Wire) -> None:
        """The client's end hears that it is connected."""
        client = wire.there.source
        if client is None or client._state is State.CLOSED:
            wire.there.send_once(self._client_gone)
        elif client._state is State.CONNECTING and not client._broken:
            if client._attempt is not None:
                client._attempt.cancel()
                client._attempt = None
            client._state = State.CONNECTED
            self._fabric.opened(wire)
            client._changed()
            wire.there.send(self._established)

    def _no_longer_half_open(self) -> TCPEnd | None:
        listener, self._listener = self._listener, None
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
        if listener is not None:
            listener._half_open -= 1
        return listener

    def _client_gone(self) -> None:
        if self._no_longer_half_open() is not None:
            self._gone()

    def _established(self) -> None:
        """The server's end hears that the client knows."""
        listener = self._no_longer_half_open()
        if listener is None:  # it was too long ago
            self._reset_peer()
        elif listener._state is not State.LISTENING:
            self._reset_peer()
            self._gone()
        else:
            listener._queue.append(self)
            listener._changed()

    def _gone(self) -> None:
        """Nobody ever had this socket, or will."""
        self._broken = True
        self.close()

    # Connected.

    def _send(self, arrive: Callable[..., object], *args: Any, size: int = 0) -> None:
        """Have ``arrive(other, *args)`` called at the other end."""
        way = self._way()
        way.send(_Arrival(way, arrive), *args, size=size)

    def _arrived(self, data: bytes) -> None:
        if self._state is State.CLOSED:
            self._reset_peer()
        elif not self._broken:
            self._inbox += data
            self._changed()

    def _peer_ends(self) -> None:
        if self._state is not State.CLOSED:
            self._peer_ended = True
            self._changed()

    def _was_read(self, size: int) -> None:
        """Make room for the other to send more. Only one that waits for it needs a packet to know."""
        way = self._way()
        other = way.sink
        if other is None:
            return
        if not other._starved:
            other._room += size
            return
        self._read_since += size
        if not self._telling:
            self._telling = True
            way.send(self._told, other, answered=False)

    def _told(self, other: TCPEnd) -> None:
        other._room += self._read_since
        self._read_since = 0
        self._telling = other._starved = False
        other._changed()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._tell("ends")
            self._send(TCPEnd._peer_ends)

    def _reset_peer(self) -> None:
        way = self._way()
        way.stop()
        self._tell("resets")
        way.send_once(_Arrival(way, TCPEnd.was_reset))

    def _stop_sending(self) -> None:
        if self._wire is not None:
            self._wire.way_from(self).stop()

    def _way(self) -> Way:
        """What it sends goes this way."""
        assert self._wire is not None
        return self._wire.way_from(self)

    def _tell(self, what: str) -> None:
        assert self._wire is not None
        self._wire.tell(what, self._way())

    def _require_open(self) -> None:
        if self._state is State.CLOSED:
            raise error_of(errno.EBADF)

    def _raise_error(self) -> None:
        number, self._error = self._error, 0
        if number:
            raise error_of(number)


class _Arrival:
    """What happens at the end of a way, to the socket that is there then."""

    __slots__ = ("_way", "_what")

    def __init__(self, way: Way, what: Callable[..., object]) -> None:
        self._way, self._what = way, what

    def __call__(self, *args: Any) -> None:
        sink = self._way.sink
        if sink is not None:
            self._what(sink, *args)
