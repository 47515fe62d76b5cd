"""Which address of a name to connect to next, and when: RFC 8305, "Happy Eyeballs", as decisions only.

There is no socket and no clock here. Whoever drives a `Race` tells it what happens (`found`, `complete`, `failed`,
`rested`), and afterwards asks `begin` for an address until there is none, and then whether it is `resting` or `lost`.
That a connection was made needs no decision: the race is won, and the driver gives up all other attempts.

What holds:

* An address is begun once, and is then under way until it has failed.
* Addresses are begun in the resolver's order, the families taking turns (section 4, with a First Address Family Count
  of 1); a family with none left is passed over.
* Between one beginning and the next there is a rest, the Connection Attempt Delay (section 5), which ends with
  `rested`, measured by the driver from the beginning, or at once when any attempt has failed.
* It is lost when no address is under way or to be begun, and none can come any more.

Section 3, the Resolution Delay of 50 ms, is for who sends the queries for A and AAAA records himself, and may hear of
addresses first that he would rather have second. Here a resolver is asked for all addresses, and tells the best first:
ours gets both families from one getaddrinfo(3), sorted (RFC 6724). One that sends queries of its own is the place for
that delay; here it would hold up every name whose addresses arrive one by one. So the first address is begun when it
is found, and what is found later joins the order.
"""

from __future__ import annotations

from collections import deque

from netcore.address import IPv4Address, IPv6Address
from netcore.error import ConnectBindError, ConnectError, ConnectionRefusedError, NoRouteError, TCPTimedOutError

__all__ = ["ATTEMPTS_AT_ONCE", "ATTEMPT_DELAY", "NOTES", "Race"]

Address = IPv4Address | IPv6Address

ATTEMPT_DELAY = 0.25  # seconds; recommended by RFC 8305, section 5, of at least 0.1 and at most 2 (section 8)

# A name may have hundreds of addresses, none of which answers, and each attempt holds a descriptor.
ATTEMPTS_AT_ONCE = 20

NOTES = 10  # how many failed attempts a reason tells of, the last ones

# Of several errors the one that says most about the server is the reason: it answered, or at least could be sent to;
# a family without a route, or that the local address is not of, says nothing of it.
_TELLING: dict[type[ConnectError], int] = {
    ConnectionRefusedError: 3,
    TCPTimedOutError: 2,
    ConnectError: 1,
    NoRouteError: 0,
    ConnectBindError: 0,
}


class Race:
    """Attempts to connect to the addresses of one name."""

    __slots__ = ("_complete", "_failed", "_next", "_rests", "_seen", "_under_way", "_waiting")

    def __init__(self) -> None:
        self._seen: set[Address] = set()
        self._waiting: dict[type[Address], deque[Address]] = {IPv4Address: deque(), IPv6Address: deque()}
        self._next: type[Address] | None = None  # the family whose turn it is; None before the first address
        self._under_way: dict[Address, None] = {}
        self._failed: list[tuple[Address, ConnectError]] = []
        self._complete = False
        self._rests = False

    # What happens.

    def found(self, address: Address) -> None:
        """The resolver has told of *address*. (It may do so twice: /etc/hosts often has a line too many.)"""
        if address not in self._seen:
            self._seen.add(address)
            self._waiting[type(address)].append(address)
            if self._next is None:
                self._next = type(address)

    def complete(self) -> None:
        """The resolver tells of no more."""
        self._complete = True

    def failed(self, address: Address, error: ConnectError) -> None:
        """Connecting to *address*, which was begun, has failed."""
        del self._under_way[address]
        self._failed.append((address, error))
        self._rests = False

    def rested(self) -> None:
        """The delay since the last beginning is over."""
        self._rests = False

    # What is to be done.

    def begin(self) -> Address | None:
        """The address to begin now, which is under way from here on; None if there is none to begin now."""
        if self._next is None or self._rests or len(self._under_way) >= ATTEMPTS_AT_ONCE:
            return None
        other = IPv4Address if self._next is IPv6Address else IPv6Address
        family = self._next if self._waiting[self._next] else other
        if not self._waiting[family]:
            return None
        address = self._waiting[family].popleft()
        self._next = IPv4Address if family is IPv6Address else IPv6Address
        self._under_way[address] = None
        self._rests = True
        return address

    @property
    def resting(self) -> bool:
        """Whether it is to be told when the delay since the last beginning is `rested`."""
        return self._rests and (not self._complete or any(self._waiting.values()))

    @property
    def lost(self) -> bool:
        """Whether there is nothing left to hope for."""
        return self._complete and not self._under_way and not any(self._waiting.values())

    # What to say of it.

    def reason(self) -> ConnectError | None:
        """Of the errors of the attempts the most telling one, the last of several such; None if there are none."""
        best: ConnectError | None = None
        for _, error in self._failed:
            if best is None or _telling(error) >= _telling(best):
                best = error
        return best

    def notes(self) -> list[str]:
        """What has come of each address so far, a line each."""
        left_out = len(self._failed) - NOTES
        return [
            *([f"{left_out} more had failed before"] if left_out > 0 else []),
            *(f"{_shown(address)}: {error}" for address, error in self._failed[-NOTES:]),
            *(f"{_shown(address)}: there was no answer yet" for address in self._under_way),
            *([] if self._complete else ["the look-up was not over yet"]),
        ]


def _telling(error: ConnectError) -> int:
    return next(_TELLING[cls] for cls in type(error).__mro__ if cls in _TELLING)


def _shown(address: Address) -> str:
    scope = f"%{address.scopeID}" if isinstance(address, IPv6Address) and address.scopeID else ""
    return f"{address.host}{scope} port {address.port}"
