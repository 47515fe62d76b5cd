"""What builds connections with limits, and refuses those that are too many."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from netcore._closing import abort
from netcore._current import current_reactor
from netcore.interfaces import IDelayedCall, IProtocolFactory, IReactorTime, ISSLTransport, provides
from netcore.protocol import Protocol
from netcore.protocols.limits._counting import peer_of
from netcore.protocols.limits._limited import FAREWELL, LimitedProtocol, or_never
from netcore.protocols.policies import WrappingFactory

if TYPE_CHECKING:
    from netcore.failure import Failure
    from netcore.interfaces import IAddress
    from netcore.protocols.limits._options import ListenerLimits

__all__ = ["LimitedFactory", "Refused"]

TOLD = 10
"""One in so many of *connections* is told at a time that it is refused; and at least so many are."""


class LimitedFactory(WrappingFactory):
    """Builds what keeps connections to *limits*."""

    protocol = LimitedProtocol
    noisy = False

    def __init__(self, wrappedFactory: IProtocolFactory, limits: ListenerLimits, clock: IReactorTime | None) -> None:
        super().__init__(wrappedFactory)
        self.limits = limits
        self.counting = limits._counting
        self.in_window = 0.0  # bytes that have to come, or to be taken, in a window; 0: any
        self.idle = or_never(limits.idle)
        self.soonest = or_never(limits.request)  # after how many seconds a request is looked at first
        if limits.minimumRate is not None:
            self.in_window = limits.minimumRate * limits.rateWindow
            self.soonest = min(limits.rateWindow, self.soonest)
        self._clock = clock

    @property
    def clock(self) -> IReactorTime:
        """Whose time is taken."""
        return current_reactor() if self._clock is None else self._clock

    def buildProtocol(self, addr: IAddress) -> Any:
        """The protocol for a connection, or, if there are too many, what says so; None closes it."""
        full = self.counting.full(peer_of(addr, None, self.limits))
        return super().buildProtocol(addr) if full is None else self.refuse(full, addr)

    def refuse(self, limit: str, addr: IAddress) -> Refused | None:
        """Count a refusal. Returns: what tells the peer, unless it is to be told nothing."""
        counting, limits = self.counting, self.limits
        counting.refused[limit] += 1
        clock = self.clock
        told = "refused a connection of %s: %s stand already (ListenerLimits.%s)"
        counting.log(logging.WARNING, clock.seconds(), limit, told, addr, getattr(limits, limit), limit)
        at_a_time = max(TOLD, (limits.connections or 0) // TOLD)
        return Refused(self, clock) if limits.overflow and counting.told < at_a_time else None


class Refused(Protocol):
    """Tells a peer that it is refused, and lets it close: closing on one that still sends would reset the connection,
    which could cost it the word."""

    def __init__(self, factory: LimitedFactory, clock: IReactorTime) -> None:
        self.factory = factory
        self._clock = clock
        self._call: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Say so."""
        transport: Any = self.transport
        self.factory.counting.told += 1
        if provides(transport, ISSLTransport):  # a handshake costs more than the connection would
            abort(transport)
            return
        transport.write(self.factory.limits.overflow)
        getattr(transport, "loseWriteConnection", transport.loseConnection)()
        self._call = self._clock.callLater(FAREWELL, self._enough)

    def _enough(self) -> None:
        self._call = None
        abort(self.transport)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """It has gone."""
        self.factory.counting.told -= 1
        if self._call is not None:
            self._call.cancel()
            self._call = None
