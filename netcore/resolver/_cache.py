"""`CachingResolver`: what was found is found again without asking, for a while.

What holds:

* A question (name, families, semantics; not the port, which is put in) is kept in ``_kept`` until its time is over, or
  is being looked up, in ``_searches``; never both, and never looked up twice at once.
* ``_kept`` has at most *size* entries, the one used last at its end. A use does not make an entry last longer.
* A search has somebody waiting for it, or has found something already: then it goes on to its end, to be kept.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from netcore._current import current_reactor
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.error import DNSLookupError
from netcore.failure import Failure
from netcore.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
    implementer,
)
from netcore.resolver._question import Address, Question
from netcore.resolver._resolution import Resolution, cancel

__all__ = ["CachingResolver"]

logger = logging.getLogger("netcore.resolver")

# getaddrinfo(3): there is no such name, or it has no address. Every other error may be gone with the next try.
_NOT_THERE = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class _Kept(NamedTuple):
    until: float
    addresses: tuple[Address, ...]
    error: BaseException | None


@implementer(IHostnameResolver)
class CachingResolver:
    """Asks *resolver*, and keeps its answers. One look-up at a time is made for a name, for all who ask meanwhile.

    The system does not say how long an answer holds, so there is one time for all. That a name is not there is kept,
    too, for a shorter one; other errors (no name server answers, say) are not.

    Args:
        resolver: is asked for what is not kept.
        clock: tells the time; None is the current reactor.
        ttl: seconds that addresses are kept. (30 and 10 are what Java's InetAddress has, for the same want of a TTL.)
        negativeTTL: seconds that it is kept that there is nothing.
        size: how many answers are kept; then the one not used for longest goes.
    Raises: ValueError: one of these is negative.
    """

    def __init__(
        self,
        resolver: IHostnameResolver,
        clock: IReactorTime | None = None,
        ttl: float = 30.0,
        negativeTTL: float = 10.0,
        size: int = 1000,
    ) -> None:
        for what, value in (("ttl", ttl), ("negativeTTL", negativeTTL), ("size", size)):
            if not value >= 0:
                raise ValueError(f"{what} is 0 or more, not {value!r}")
        self._resolver = resolver
        self._clock = clock
        self._ttl = ttl
        self._negative_ttl = negativeTTL
        self._size = size
        self._kept: dict[Question, _Kept] = {}
        self._searches: dict[Question, _Search] = {}

    def __len__(self) -> int:
        """How many answers are kept; some may be out of date."""
        return len(self._kept)

    def clear(self) -> None:
        """Forget what is kept: the network has changed, say."""
        self._kept.clear()

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Resolution:
        """See `IHostnameResolver.resolveHostName`."""
        question = Question.of(hostName, portNumber, addressTypes, transportSemantics)
        key = dataclasses.replace(question, name=hostName.lower(), port=0)

        def stop() -> None:
            search = self._searches.get(key)
            if search is not None and search.leave(resolution):
                del self._searches[key]
                search.cancel()

        resolution = Resolution(resolutionReceiver, hostName, stop)
        resolution.begin()
        literal = question.literal()
        if literal is not None:
            resolution.answer(literal)
        elif not resolution.over:
            kept = self._recall(key)
            if kept is not None:
                resolution.answer([_at_port(address, portNumber) for address in kept.addresses], kept.error)
            elif key in self._searches:
                self._searches[key].join(resolution, portNumber)
            else:
                self._search(key, question, addressTypes, resolution)
        return resolution

    def _recall(self, key: Question) -> _Kept | None:
        kept = self._kept.pop(key, None)
        if kept is None or kept.until <= self._seconds():
            return None
        self._kept[key] = kept  # at the end again
        return kept

    def _search(
        self, key: Question, question: Question, types: Sequence[type[IAddress]] | None, resolution: Resolution
    ) -> None:
        search = self._searches[key] = _Search(self, key)
        search.join(resolution, question.port)
        try:
            self._resolver.resolveHostName(search, question.name, question.port, types, question.semantics)
        except ENDS_THE_PROGRAM:
            self._searches.pop(key, None)
            raise
        except BaseException as error:  # CancelledError too
            log_failure(logger, Failure(), "%r, asked for %r, raised", self._resolver, question.name)
            search.complete(error)

    def _keep(self, search: _Search, error: BaseException | None) -> None:
        """*search* has ended."""
        if self._searches.get(search.key) is search:
            del self._searches[search.key]
        if not search.found and not _is_not_there(error):
            return
        ttl = self._ttl if search.found else self._negative_ttl
        if ttl > 0:
            if error is not None:
                error = error.with_traceback(None)  # which would keep frames for as long
            self._kept[search.key] = _Kept(self._seconds() + ttl, tuple(search.found), error)
            while len(self._kept) > self._size:
                del self._kept[next(iter(self._kept))]

    def _seconds(self) -> float:
        return (self._clock if self._clock is not None else current_reactor()).seconds()


@implementer(IResolutionReceiver)
class _Search:
    """One look-up, for all who wait for it; *found* is what has been so far."""

    __slots__ = ("_cache", "_over", "_resolution", "_waiting", "found", "key")

    def __init__(self, cache: CachingResolver, key: Question) -> None:
        self.key = key
        self.found: list[Address] = []
        self._cache = cache
        self._over = False
        self._resolution: IHostResolution | None = None
        self._waiting: dict[Resolution, int] = {}

    def join(self, resolution: Resolution, port: int) -> None:
        """Have *resolution* hear of it all, with *port*."""
        told = 0
        while told < len(self.found):  # which may grow by what the receiver does
            resolution.found(_at_port(self.found[told], port))
            told += 1
        if self._over:
            resolution.complete()
        elif not resolution.over:
            self._waiting[resolution] = port

    def leave(self, resolution: Resolution) -> bool:
        """*resolution* was cancelled. Returns: whether the look-up is of no more use."""
        if self._waiting.pop(resolution, None) is None:  # it is only being told what was found
            return False
        return not self._waiting and not self.found

    def cancel(self) -> None:
        """End it, with nothing to be kept."""
        self._over = True
        cancel(self._resolution)

    def complete(self, error: BaseException | None) -> None:
        """It has ended."""
        if self._over:
            return
        self._over = True
        self._cache._keep(self, error)
        waiting, self._waiting = self._waiting, {}
        for resolution in waiting:
            resolution.complete(error)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._resolution = resolutionInProgress

    def addressResolved(self, address: Any) -> None:
        if self._over:
            return
        self.found.append(address)
        for resolution, port in list(self._waiting.items()):
            resolution.found(_at_port(address, port))

    def resolutionComplete(self) -> None:
        self.complete(getattr(self._resolution, "error", None))


def _at_port(address: Address, port: int) -> Address:
    return address if address.port == port else dataclasses.replace(address, port=port)


def _is_not_there(error: BaseException | None) -> bool:
    """Whether *error* of a look-up means that there is nothing to be found."""
    while isinstance(error, DNSLookupError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, socket.gaierror):
        return error.errno in _NOT_THERE
    return error is None or isinstance(error, (DNSLookupError, UnicodeError))
