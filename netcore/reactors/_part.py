"""What the parts of a reactor know of each other.

A *part* is a base class of `Reactor` with the methods of one family of interfaces: thin ones, that make an object of
`netcore.transports` or ask one that the reactor has. What they need of the reactor is here; its life is in `_reactor`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Protocol, cast

from netcore.reactors._select import too_large
from netcore.reactors._selector import Watcher
from netcore.transports._spare import Spare

if TYPE_CHECKING:
    from netcore.reactors._reactor import Reactor

__all__ = ["Closable", "Part"]


class Closable(Protocol):
    """What a reactor closes when it shuts down."""

    def _shut_down(self) -> None:
        """Close at once, and let go of the reactor."""


class Part:
    """Base of the parts."""

    loop: asyncio.AbstractEventLoop
    _watcher: Watcher
    _open: dict[Closable, None]
    _spare: Spare
    _descriptors_below: int  # this number the loop can watch

    def _require_usable(self) -> None:
        """Raises: ReactorNotRunning: the reactor was disposed of."""
        raise NotImplementedError

    @property
    def _whole(self) -> Reactor:
        """The reactor that this is a part of."""
        return cast("Reactor", self)

    # For transports.

    def _new_socket(self, family: int) -> socket.socket:
        """A stream socket. (`netcore.testing.network` has other ones.)

        Raises: OSError.
        """
        return socket.socket(family, socket.SOCK_STREAM)

    def _keep(self, thing: Closable) -> None:
        """*thing* holds a descriptor: close it at shutdown."""
        self._open[thing] = None

    def _admit(self, sock: socket.socket) -> None:
        """Ask whether the loop can watch *sock*, which was just opened: ``select`` takes small numbers only.

        Raises: OSError: it cannot; *sock* has been closed.
        """
        number = sock.fileno()
        if number >= self._descriptors_below:
            sock.close()
            raise too_large(number)

    def _drop(self, thing: Closable) -> None:
        """*thing* is closed."""
        self._open.pop(thing, None)
