"""`ListenerLimits`: the options, and what has been counted under them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from netcore.interfaces import IProtocolFactory, IReactorTime, IStreamServerEndpoint, implementer
from netcore.protocols.limits._counting import Counting, LimitCounters
from netcore.protocols.limits._factory import LimitedFactory

if TYPE_CHECKING:
    from netcore.defer import Deferred
    from netcore.interfaces import IListeningPort
    from netcore.protocols.policies import WrappingFactory

__all__ = ["ListenerLimits"]

_COUNTS = ("connections", "connectionsPerPeer", "buffer")
_SECONDS = ("handshake", "firstByte", "idle", "request")


@dataclass(frozen=True, kw_only=True, eq=False)
class ListenerLimits:
    """What a listener takes upon itself. Everything it is put around is counted together: make one for each service.

    See the head of `netcore.protocols.limits` for when each clock runs. A limit that is None does not hold.

    Args:
        connections: how many may stand at a time. The system has to give as many descriptors (RLIMIT_NOFILE).
        connectionsPerPeer: how many of one peer may; a reverse proxy in front is one peer.
        ipv6Prefix: how many bits of an IPv6 address make a peer: whoever has one address has, as a rule, the 2**64 of a
            network (RFC 6177). An IPv4 address that is mapped into IPv6 is that IPv4 address.
        unixPeers: on UNIX sockets, ``"user"``: each user of the system is a peer (where the system does not say who has
            connected, all are one); ``"one"``: all are one.
        handshake: seconds from the connection to the end of the TLS handshake. It holds for the TLS below the limits,
            as `wrapEndpoint` has it.
        firstByte: seconds from the connection, or the end of the handshake, to the peer's first byte.
        idle: seconds without a byte in either direction, between requests.
        request: seconds from a request's first byte to its end.
        minimumRate: bytes per second, on the average of *rateWindow* seconds. A peer that sends less during a request
            is closed at the end of the first such window; so is one that has, at the end of a window, not taken as much
            of what waited for it at its beginning (or all, if that was less). A request that is over within the first
            window is never too slow. What the peer has taken is what its system has acknowledged, where ours says so
            (Linux), and what ours has taken elsewhere; on transports that are not netcore's nobody is too slow to take.
        rateWindow: seconds.
        buffer: how many bytes that were written may wait until our system takes them. More closes the connection: let
            a producer write large answers (`IConsumer.registerProducer`).
        overflow: what those who are refused are told before they are closed. It is said without TLS, and to no more
            than a tenth of *connections* (at least ten) at a time; the others are closed without a word. Who has read
            it has a second to close.

    What happens: refused connections build no protocol. (If only the connection itself tells who is there, as on a UNIX
    socket, one is built, and does not hear of it.) A connection that is closed is aborted, and the protocol's
    ``connectionLost`` gets a `LimitExceeded` as its reason. A protocol that provides
    `netcore.interfaces.ILimitListener` hears before that of those limits that make sense to be told to the peer.

    Each kind of refusal and of closing is logged once a minute at most, with how often it has happened since
    (``netcore.limits``: WARNING and INFO).

    Raises: TypeError or ValueError, saying what to write instead.

    >>> from netcore.protocol import Factory, Protocol
    >>> from netcore.task import Clock
    >>> from netcore.testing import StringTransport
    >>> clock, limits = Clock(), ListenerLimits(firstByte=5)
    >>> factory = limits.wrapFactory(Factory.forProtocol(Protocol), clock)
    >>> transport = StringTransport()
    >>> factory.buildProtocol(transport.getPeer()).makeConnection(transport)
    >>> clock.advance(5)
    >>> transport.disconnected, dict(limits.counters().closed)
    (True, {'firstByte': 1})
    """

    connections: int | None = 4000
    connectionsPerPeer: int | None = 400
    ipv6Prefix: int = 64
    unixPeers: Literal["user", "one"] = "user"
    handshake: float | None = 10.0
    firstByte: float | None = 20.0
    idle: float | None = 60.0
    request: float | None = 60.0
    minimumRate: float | None = 240.0
    rateWindow: float = 20.0
    buffer: int | None = 4 * 1024 * 1024
    overflow: bytes = b""
    _counting: Counting = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) is not None:
                self._check_count(name, 1, None)
        self._check_count("ipv6Prefix", 1, 128)
        if self.unixPeers not in ("user", "one"):
            raise ValueError(f'ListenerLimits.unixPeers must be "user" or "one", not {self.unixPeers!r}')
        for name in _SECONDS:
            self._check_amount(name, "seconds", optional=True)
        self._check_amount("minimumRate", "bytes per second", optional=True)
        self._check_amount("rateWindow", "seconds", optional=False)
        if not isinstance(self.overflow, bytes):
            raise TypeError(f"ListenerLimits.overflow must be bytes, not {self.overflow!r}: encode text first")
        object.__setattr__(self, "_counting", Counting(self))

    def _check_count(self, name: str, least: int, most: int | None) -> None:
        value = getattr(self, name)
        or_none = ", or None for no limit" if most is None else f", to {most} at most"
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"ListenerLimits.{name} must be a whole number{or_none}, not {value!r}")
        if value < least or (most is not None and value > most):
            raise ValueError(f"ListenerLimits.{name} must be {least} or more{or_none}, not {value!r}")

    def _check_amount(self, name: str, unit: str, optional: bool) -> None:
        value = getattr(self, name)
        or_none = ", or None for no limit" if optional else ""
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"ListenerLimits.{name} must be a number of {unit}{or_none}, not {value!r}")
        if not 0 < value < math.inf:  # so put, NaN is refused as well
            raise ValueError(f"ListenerLimits.{name} must be a finite number of {unit} above 0{or_none}, not {value!r}")

    def wrapFactory(self, factory: IProtocolFactory, clock: IReactorTime | None = None) -> WrappingFactory:
        """*factory*, whose connections keep to the limits. Put TLS below: ``TLSMemoryBIOFactory(contexts, False,
        limits.wrapFactory(factory))``; and throttling above, or the time in which it does not read runs against peers.

        Args:
            clock: whose time is taken; default: this thread's reactor, when there is a connection.
        """
        return LimitedFactory(factory, self, clock)

    def wrapEndpoint(self, endpoint: IStreamServerEndpoint, clock: IReactorTime | None = None) -> IStreamServerEndpoint:
        """*endpoint*, whose connections keep to the limits.

        Args:
            clock: as for `wrapFactory`.
        """
        return LimitedEndpoint(endpoint, self, clock)

    def counters(self) -> LimitCounters:
        """What has been counted until now."""
        return self._counting.snapshot()


@implementer(IStreamServerEndpoint)
class LimitedEndpoint:
    """An endpoint with limits; made by `ListenerLimits.wrapEndpoint`."""

    def __init__(self, endpoint: IStreamServerEndpoint, limits: ListenerLimits, clock: IReactorTime | None) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._clock = clock

    def __repr__(self) -> str:
        return f"<{self._limits!r} on {self._endpoint!r}>"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen there, with protocols from *protocolFactory*.

        Returns: Deferred firing with the port.
        Fails with: what the endpoint's own fails with.
        """
        return self._endpoint.listen(self._limits.wrapFactory(protocolFactory, self._clock))
