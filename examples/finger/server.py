"""The finger service: `protocol` on a network, `store` behind it.

One connection is one question: a line, an answer, a close. How long a client may take for its line and the answer, and
how many clients there may be, netcore's `ListenerLimits` see to (`Limits.of_listener`). Whatever the database does, the
answer comes: within `Limits.answer_within` seconds the store has one, or the client is told in a line that there is
none. The log says why, when an outage begins and when it ends. Nothing else is needed to recover: each question asks
the database anew.

A service that is stopped accepts nobody any more, hangs up on those who have not asked, and answers those who have.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy.exc import DBAPIError

from examples.finger import protocol
from examples.finger.limits import DEFAULT, GRACE, QUIET, Limits
from examples.finger.protocol import Query, encode, parse
from examples.finger.store import Store
from examples.finger.tables import MOST_FOUND
from netcore.address import IPv4Address, IPv6Address
from netcore.application.internet import TCPServer
from netcore.defer import CancelledError, Deferred, TimeoutError, ensureDeferred, succeed
from netcore.failure import Failure
from netcore.interfaces import IAddress, IDelayedCall, IDrainable, ILimitListener, IReactorTime, implementer
from netcore.protocol import ServerFactory, connectionDone
from netcore.protocols.basic import LineReceiver
from netcore.protocols.limits import LimitExceeded

__all__ = ["FingerFactory", "FingerProtocol", "FingerService", "reason_of"]

log = logging.getLogger("finger")


@implementer(IDrainable, ILimitListener)
class FingerProtocol(LineReceiver):
    """Reads a line, answers it, and hangs up.

    Args:
        factory: what finds the answer.
        clock: what measures for how long the rest of a line that is too long is let pass.
    """

    delimiter = b"\n"  # a carriage return before it counts as a blank
    MAX_LENGTH = protocol.MAX_QUERY

    def __init__(self, factory: FingerFactory, clock: IReactorTime) -> None:
        self.factory = factory
        self._clock = clock
        self._passing: IDelayedCall | None = None
        self._answer: Deferred[Any] | None = None

    def lineReceived(self, line: bytes) -> None:
        # The question is asked. Reading no further also keeps a client that has closed its side, as `nc -N` does, from
        # counting as gone before it has its answer; and no time runs against one that we do not read from.
        self.pauseProducing()
        self._answer = self.factory.answer(parse(line)).addCallbacks(self.hangUp, self._gone)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.transport.write(encode([protocol.TOO_LONG]))
        # Closing on a client that still sends would reset the connection, and could cost it the answer: the line is let
        # pass.
        self._passing = self._clock.callLater(GRACE, self.transport.loseConnection)
        self.setRawMode()
        self.rawDataReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if self.delimiter in data:
            self.transport.loseConnection()

    def limitExceeded(self, error: LimitExceeded) -> None:
        self.transport.write(encode([protocol.TOO_SLOW]))

    def drain(self, seconds: float) -> None:
        """The service stops: who has not asked yet is not waited for. (A line that is too long is let pass.)"""
        if self._answer is None and self._passing is None:
            self.transport.loseConnection()

    def hangUp(self, lines: Iterable[str]) -> None:
        """Send *lines* and close."""
        self.transport.write(encode(lines))
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._passing is not None and self._passing.active():
            self._passing.cancel()
        if self._answer is not None:
            self._answer.cancel()

    def _gone(self, failure: Failure) -> None:
        failure.trap(CancelledError)  # the client did not wait for the answer


class FingerFactory(ServerFactory[FingerProtocol]):
    """Answers queries from a store.

    Args:
        store: the people.
        clock: what measures the time of answers.
        limits: how long one may take.
    """

    noisy = False

    def __init__(self, store: Store, clock: IReactorTime, limits: Limits = DEFAULT) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._outage = False  # and it was logged
        self._quiet_until = 0.0

    def buildProtocol(self, addr: IAddress) -> FingerProtocol:
        return FingerProtocol(self, self._clock)

    def answer(self, query: Query) -> Deferred[list[str]]:
        """Find the answer to *query*.

        Returns: Deferred firing with the lines of the answer, in time, whatever the database does. Cancelling it gives
            up.
        """
        if query.forward:
            return succeed([protocol.REFUSED])
        finding = ensureDeferred(self._find(query))
        return finding.addTimeout(self._limits.answer_within, self._clock).addErrback(self._too_late)

    def install(self) -> Deferred[None]:
        """Make sure of the database's tables; if there is no database, the first question that finds one does it."""
        return self._store.install().addCallbacks(self._succeeded, self._failed)

    async def _find(self, query: Query) -> list[str]:
        try:
            people = await (self._store.find(query.name) if query.name else self._store.online())
            self._succeeded(None)
            more = [protocol.MORE] if len(people) > MOST_FOUND else []
            people = people[:MOST_FOUND]
            if query.long:
                return [*protocol.long_records(query.name, people), *more]
            if query.name:
                return [*protocol.short_records(query.name, people), *more]
            return [*protocol.online_table(people), *more]
        except CancelledError:
            raise
        except Exception:
            self._failed(Failure())
            return [protocol.UNAVAILABLE]

    def _too_late(self, failure: Failure) -> list[str]:
        """The last resort: the store has its own deadlines, which are shorter."""
        failure.trap(TimeoutError)
        self._failed(failure)
        return [protocol.UNAVAILABLE]

    def _failed(self, failure: Failure) -> None:
        if not failure.check(TimeoutError, *self._store.outages):
            log.error("an answer could not be found:\n%s", failure.getTraceback())
        elif not self._outage and self._clock.seconds() >= self._quiet_until:
            self._outage = True
            self._quiet_until = self._clock.seconds() + QUIET
            log.error("the database is not available: %s", reason_of(failure.value))

    def _succeeded(self, _: object) -> None:
        if self._outage:
            self._outage = False
            log.info("the database is available again")


def reason_of(error: BaseException | None) -> str:
    """What went wrong and what caused that, in one line, each said once."""
    reasons: list[str] = []
    while error is not None:
        if isinstance(error, DBAPIError) and error.orig is not None:
            error = error.orig  # without SQLAlchemy's statement and link, which say nothing to who has only asked
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if not any(reason in said for said in reasons):
            reasons.append(reason)
        error = error.__cause__
    return "; because of ".join(reasons)


class FingerService(TCPServer):
    """Listens on a port and answers, while it runs. Who has asked when it stops still gets an answer.

    Args:
        reactor: what listens.
        store: the people; closed when the service stops.
        port, interface: where to listen.
        limits: how long an answer may take, and how many clients there may be.
    """

    def __init__(self, reactor: Any, store: Store, port: int, interface: str, limits: Limits = DEFAULT) -> None:
        self._store = store
        self._answers = FingerFactory(store, reactor, limits)
        # As many may wait to be accepted as will be served: the kernel lets those beyond try again, a second later.
        where: dict[str, Any] = {"backlog": limits.clients, "interface": interface, "reactor": reactor}
        limited = limits.of_listener().wrapFactory(self._answers, reactor)
        super().__init__(port, limited, **where, drain=limits.answer_within)

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """Where it listens, while it does."""
        address = self.getHost()
        assert isinstance(address, IPv4Address | IPv6Address)
        return address

    def startService(self) -> None:
        """Listen, unless that was done before, and see whether the database is there.

        Raises: netcore.error.CannotListenError.
        """
        super().startService()
        self._answers.install()

    def stopService(self) -> Deferred[None]:
        """Listen no more, let those who have asked have their answers, and close the database connections."""
        return ensureDeferred(self._stop(super().stopService()))

    async def _stop(self, inherited: Deferred[None] | None) -> None:
        if inherited is not None:
            await inherited
        await self._store.close()
