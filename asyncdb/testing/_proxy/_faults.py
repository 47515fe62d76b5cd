"""`Faults`: what can be done to a proxy's connections."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from asyncdb.testing._proxy._link import Direction
from asyncdb.testing._proxy._pipe import FIN, HOLDS, LOSES, RST, Conditions, End
from asyncdb.testing._proxy._switchboard import DIRECTIONS, Scope, Switchboard

__all__ = ["Faults"]

T = TypeVar("T")

Directions = Literal["both", "toServer", "toClient"]
Fault = Literal["refuse", "blackHole", "latency", "throttle", "truncate"]

_PLAIN = Conditions()
_FIELDS: dict[Fault, dict[str, Any]] = {
    "refuse": {},
    "blackHole": {"hole": _PLAIN.hole},
    "latency": {"latency": _PLAIN.latency, "jitter": _PLAIN.jitter},
    "throttle": {"rate": _PLAIN.rate},
    "truncate": {"left": _PLAIN.left},
}
_SCOPES: tuple[Scope, ...] = ("all", "existing", "new")


class Faults(abc.ABC):
    """What `FaultyProxy` and `ReactorFaultyProxy` can do to their connections.

    `drop` and `reset` happen once. The others last until `heal`; together with each other, too. *direction* says which
    way they hold, "toServer", "toClient" or "both"; *connections* for which connections: for "existing" ones, for "new"
    ones, that are made from now on, or for "all".

    Raises: ValueError, everywhere: an argument that cannot be; says what can.
    """

    host: str
    """Where it listens."""

    @abc.abstractmethod
    def _call(self, function: Callable[[Switchboard], T]) -> T:
        """Call *function* in the reactor's thread."""

    # What happens once.

    def drop(self) -> int:
        """Close the connections there are, as a server does that ends: both sides read an end of file (FIN).

        Returns: how many.
        """
        return self._call(lambda board: board.end(FIN))

    def reset(self) -> int:
        """Reset the connections there are (RST), as a router or a machine does that knows nothing of them.

        Returns: how many.
        """
        return self._call(lambda board: board.end(RST))

    # What lasts.

    def refuse(self) -> None:
        """Refuse connections: nobody listens. Those that stand, stay."""
        self._call(Switchboard.refuse)

    def blackHole(self, direction: Directions = "both", *, loses: bool = False, connections: Scope = "all") -> None:
        """Let nothing through and close nothing: what is sent is not answered, and who closes is not heard.

        New connections are taken (a partition would not even answer those; here the kernel does), and the server is
        not asked for any until it is healed.

        Args:
            loses: False: what is sent meanwhile is held, and goes through when it is healed, as behind a partition,
                where TCP sends again. (Nothing is read, so that the sender can send as much as its kernel takes, and
                then has to wait.) True: it is lost, and a connection of which something was lost is reset when it is
                healed, as by a router that has forgotten it: no network lets a stream with a gap through.
        """
        self._change(direction, connections, hole=LOSES if loses else HOLDS)

    def latency(
        self, seconds: float, jitter: float = 0.0, direction: Directions = "both", *, connections: Scope = "all"
    ) -> None:
        """Have everything arrive *seconds* later, and up to *jitter* seconds more, by chance; in its order still."""
        _check_seconds("latency", seconds)
        _check_seconds("jitter", jitter)
        self._change(direction, connections, latency=seconds, jitter=jitter)

    def throttle(self, bytesPerSecond: float, direction: Directions = "both", *, connections: Scope = "all") -> None:
        """Let *bytesPerSecond* through, of each connection in each direction."""
        if not 0 < bytesPerSecond < math.inf:
            raise ValueError(
                f"bytesPerSecond must be a number above 0, not {bytesPerSecond!r}: nothing at all is a blackHole()"
            )
        self._change(direction, connections, rate=bytesPerSecond)

    def truncate(
        self, after: int, how: End = "reset", direction: Directions = "toClient", *, connections: Scope = "all"
    ) -> None:
        """Let *after* more bytes of each connection through, then end it.

        With 0 the next byte ends it, and does not come through: the answer to what the server is still to do, say.

        Args:
            how: "reset" (RST) or "close" (FIN).
        """
        given: object = after
        if isinstance(given, bool) or not isinstance(given, int) or after < 0:
            raise ValueError(f"after must be a number of bytes, 0 or more, not {after!r}")
        if how not in (FIN, RST):
            raise ValueError(f'how must be "reset" or "close", not {how!r}')
        self._change(direction, connections, left=after, cut=how)

    def heal(self, *faults: Fault) -> None:
        """End *faults*, by the names of their methods ("blackHole"); without any: all that last."""
        for fault in faults:
            if fault not in _FIELDS:
                raise ValueError(f"{fault!r} is not one of {', '.join(_FIELDS)}")
        ended: tuple[Fault, ...] = faults or tuple(_FIELDS)
        fields: dict[str, Any] = {}
        for fault in ended:
            fields.update(_FIELDS[fault])

        def heal(board: Switchboard) -> None:
            if "refuse" in ended:
                board.accept()
            board.change(DIRECTIONS, "all", fields)

        self._call(heal)

    def _change(self, direction: str, connections: Scope, **fields: Any) -> None:
        directions: tuple[Direction, ...] = tuple(each for each in DIRECTIONS if direction in (each, "both"))
        if not directions:
            raise ValueError(f'direction must be "both", "toServer" or "toClient", not {direction!r}')
        if connections not in _SCOPES:
            raise ValueError(f'connections must be "all", "existing" or "new", not {connections!r}')
        self._call(lambda board: board.change(directions, connections, fields))


def _check_seconds(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")
