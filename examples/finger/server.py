"""The finger service: `protocol` on a network, `store` behind it.

One connection is one question: a line within ten seconds, an answer, a close. Whatever the database does, the answer
comes: within seconds the store has one, or fails, and then the client is told so in a line. The log says why, when an
outage begins and when it ends. Nothing else is needed to recover: each question asks the database anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy.exc import DBAPIError

from asyncdb import AsyncdbError
from examples.finger import protocol
from examples.finger.protocol import Query, encode, parse
from examples.finger.store import Store
from netcore.address import IPv4Address, IPv6Address
from netcore.application.service import Service
from netcore.defer import CancelledError, Deferred, ensureDeferred, maybeDeferred
from netcore.failure import Failure
from netcore.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime
from netcore.protocol import ServerFactory, connectionDone
from netcore.protocols.basic import LineReceiver

__all__ = ["GRACE", "PATIENCE", "QUIET", "FingerFactory", "FingerProtocol", "FingerService"]

log = logging.getLogger("finger")

PATIENCE = 10
"""How many seconds a client has for its question."""
GRACE = 1
"""For how many seconds the rest of a line that is too long is read, and dropped."""
QUIET = 60
"""For how many seconds no other outage is logged: a database that comes and goes must not fill the disk."""


class FingerProtocol(LineReceiver):
    """Reads a line, answers it, and hangs up.

    Args:
        factory: what finds the answer.
        clock: what measures the client's time.
    """

    delimiter = b"\n"  # a carriage return before it counts as a blank
    MAX_LENGTH = protocol.MAX_QUERY

    def __init__(self, factory: FingerFactory, clock: IReactorTime) -> None:
        self.factory = factory
        self._clock = clock
        self._patience: IDelayedCall | None = None
        self._answer: Deferred[Any] | None = None

    def connectionMade(self) -> None:
        self._patience = self._clock.callLater(PATIENCE, self.hangUp, [protocol.TOO_SLOW])

    def lineReceived(self, line: bytes) -> None:
        # The question is asked. Reading no further also keeps a client that has closed its side, as `nc -N` does, from
        # counting as gone before it has its answer.
        self.pauseProducing()
        self._stopWaiting()
        self._answer = self.factory.answer(parse(line)).addCallbacks(self.hangUp, self._gone)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._stopWaiting()
        self.transport.write(encode([protocol.TOO_LONG]))
        # Closing on a client that still sends would reset the connection, and could cost it the answer: the line is let
        # pass.
        self._patience = self._clock.callLater(GRACE, self.transport.loseConnection)
        self.setRawMode()
        self.rawDataReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if self.delimiter in data:
            self._stopWaiting()
            self.transport.loseConnection()

    def hangUp(self, lines: Iterable[str]) -> None:
        """Send *lines* and close."""
        self._stopWaiting()
        self.transport.write(encode(lines))
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stopWaiting()
        if self._answer is not None:
            self._answer.cancel()

    def _gone(self, failure: Failure) -> None:
        failure.trap(CancelledError)  # the client did not wait for the answer

    def _stopWaiting(self) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()


class FingerFactory(ServerFactory[FingerProtocol]):
    """Answers queries from a store.

    Args:
        store: the people.
        clock: what measures the clients' time.
    """

    noisy = False

    def __init__(self, store: Store, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._outage = False  # and it was logged
        self._quiet_until = 0.0

    def buildProtocol(self, addr: IAddress) -> FingerProtocol:
        return FingerProtocol(self, self._clock)

    def answer(self, query: Query) -> Deferred[list[str]]:
        """Find the answer to *query*.

        Returns: Deferred firing with the lines of the answer, whatever the database does. Cancelling it gives up.
        """
        return ensureDeferred(self._find(query))

    def install(self) -> Deferred[None]:
        """Make sure of the database's tables; if there is no database, the first question that finds one does it."""
        return self._store.install().addCallbacks(self._succeeded, self._failed)

    async def _find(self, query: Query) -> list[str]:
        if query.forward:
            return [protocol.REFUSED]
        try:
            people = await (self._store.find(query.name) if query.name else self._store.online())
            self._succeeded(None)
            if query.long:
                return list(protocol.long_records(query.name, people))
            if query.name:
                return list(protocol.short_records(query.name, people))
            return list(protocol.online_table(people))
        except CancelledError:
            raise
        except Exception:
            self._failed(Failure())
            return [protocol.UNAVAILABLE]

    def _failed(self, failure: Failure) -> None:
        if not failure.check(AsyncdbError, DBAPIError, OSError):
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
    """What went wrong and what caused that, in one line."""
    reasons = []
    while error is not None:
        reasons.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return " ".join("; because of ".join(reasons).split())


class FingerService(Service):
    """Listens on a port and answers, while it runs.

    Args:
        reactor: what listens.
        store: the people; closed when the service stops.
        port, interface: where to listen.
    """

    def __init__(self, reactor: Any, store: Store, port: int, interface: str) -> None:
        self._reactor = reactor
        self._store = store
        self._factory = FingerFactory(store, reactor)
        self._where = port, interface
        self._port: IListeningPort | None = None

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """Where it listens, while it does."""
        assert self._port is not None
        address = self._port.getHost()
        assert isinstance(address, IPv4Address | IPv6Address)
        return address

    def privilegedStartService(self) -> None:
        """Listen: on port 79 that is root's privilege.

        Raises: netcore.error.CannotListenError.
        """
        super().privilegedStartService()
        port, interface = self._where
        self._port = self._reactor.listenTCP(port, self._factory, interface=interface)

    def startService(self) -> None:
        """Listen, unless that was done before, and see whether the database is there.

        Raises: netcore.error.CannotListenError.
        """
        if self._port is None:
            self.privilegedStartService()
        super().startService()
        self._factory.install()

    def stopService(self) -> Deferred[None]:
        """Listen no more, and close the database connections."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._store.close()
