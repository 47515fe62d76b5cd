"""How many there are, of whom; how many were refused and closed; and who has been told of it in the log."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.error import ConnectionAborted

if TYPE_CHECKING:
    from netcore.protocols.limits._options import ListenerLimits

__all__ = ["LOG_PERIOD", "Counting", "LimitCounters", "LimitExceeded", "peer_of"]

logger = logging.getLogger("netcore.limits")

LOG_PERIOD = 60.0
"""Seconds in which one kind of event is logged once: an attack must not fill the disk."""

MAPPED = bytes(10) + b"\xff\xff"
"""What an IPv4 address is preceded by in IPv6 (RFC 4291, 2.5.5.2)."""


class LimitExceeded(ConnectionAborted):
    """A connection was closed because of a limit.

    Attributes: *limit*, the name of the option of `ListenerLimits`; *value*, what that is.
    """

    def __init__(self, limit: str, value: float, what: str) -> None:
        super().__init__(limit, value, what)
        self.limit = limit
        self.value = value
        self._what = what

    def __str__(self) -> str:
        return f"{self._what} (ListenerLimits.{self.limit} is {self.value:g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCounters:
    """What `ListenerLimits.counters` has counted, at one moment.

    Attributes: *current*, how many connections stand; *peak*, how many stood at most; *peers*, from how many peers
        they are; *accepted*, how many there were in all; *refused* and *closed*, how many were, by the name of the
        limit.
    """

    current: int
    peak: int
    peers: int
    accepted: int
    refused: Mapping[str, int]
    closed: Mapping[str, int]


class Counting:
    """The live side of a `ListenerLimits`.

    Attributes: *current*, *peak*, *accepted*, *refused*, *closed*: see `LimitCounters`; *peers*, how many connections
        each peer has that has some; *told*, how many that are refused are being told so.
    """

    def __init__(self, limits: ListenerLimits) -> None:
        self.current = self.peak = self.accepted = self.told = 0
        self.peers: Counter[Any] = Counter()
        self.refused: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self._total = limits.connections
        self._of_peer = limits.connectionsPerPeer
        self._quiet_until: dict[tuple[str, str], float] = {}
        self._silent: Counter[tuple[str, str]] = Counter()

    def full(self, peer: Any) -> str | None:
        """The limit that one more connection of *peer* would exceed; None: there is room."""
        if self._total is not None and self.current >= self._total:
            return "connections"
        if self._of_peer is not None and peer is not None and self.peers.get(peer, 0) >= self._of_peer:
            return "connectionsPerPeer"
        return None

    def enter(self, peer: Any) -> None:
        """A connection of *peer* stands."""
        self.accepted += 1
        self.current += 1
        self.peak = max(self.peak, self.current)
        if peer is not None:
            self.peers[peer] += 1

    def leave(self, peer: Any) -> None:
        """It has gone."""
        self.current -= 1
        if peer is not None:
            self.peers[peer] -= 1
            if not self.peers[peer]:
                del self.peers[peer]

    def snapshot(self) -> LimitCounters:
        """What has been counted until now."""
        return LimitCounters(
            current=self.current,
            peak=self.peak,
            peers=len(self.peers),
            accepted=self.accepted,
            refused=MappingProxyType(dict(self.refused)),
            closed=MappingProxyType(dict(self.closed)),
        )

    def log(self, level: int, now: float, limit: str, message: str, *args: object) -> None:
        """Log *message*, if none like it has been for that limit within the last minute; else count it."""
        kind = message, limit
        if now < self._quiet_until.get(kind, now):
            self._silent[kind] += 1
            return
        self._quiet_until[kind] = now + LOG_PERIOD
        silent = self._silent.pop(kind, 0)
        more = f"; and {silent} more, not logged, since such a line" if silent else ""
        logger.log(level, "%s%s", message % args, more)


def peer_of(address: Any, transport: Any, limits: ListenerLimits) -> Any:
    """What stands for the peer at *address*; None: it is of a kind that is not counted by peers, or only *transport*
    would tell, and it is None."""
    if isinstance(address, IPv4Address):
        return address.host
    if isinstance(address, IPv6Address):
        packed = socket.inet_pton(socket.AF_INET6, address.host.partition("%")[0])
        if packed.startswith(MAPPED):
            return socket.inet_ntop(socket.AF_INET, packed[12:])
        return int.from_bytes(packed) >> (128 - limits.ipv6Prefix)
    if isinstance(address, UNIXAddress):
        return _user(transport) if limits.unixPeers == "user" else "unix"
    return None


def _user(transport: Any) -> Any:
    if transport is None:
        return None
    try:
        return "user", transport.getPeerCredentials().uid
    except (AttributeError, OSError, RuntimeError):  # no UNIX socket after all; the system does not say; it has gone
        return "unix"
