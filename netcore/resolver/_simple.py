"""From a resolver that tells of one IPv4 address by a Deferred to one that tells of all addresses, and back."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netcore._current import current_reactor
from netcore._log import log_failure
from netcore.address import IPv4Address
from netcore.defer import CancelledError, Deferred, maybeDeferred, succeed
from netcore.error import DNSLookupError
from netcore.failure import Failure
from netcore.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
    IResolverSimple,
    implementer,
)
from netcore.resolver._gai import GAIResolver
from netcore.resolver._question import Question, is_ipv4_literal
from netcore.resolver._resolution import Resolution, cancel, lookup_error

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["ComplexResolverSimplifier", "SimpleResolverComplexifier", "ThreadedResolver"]

logger = logging.getLogger("netcore.resolver")

_TIMEOUT = 60.0  # seconds, where none are given: the sum of those that reactors give, (1, 3, 11, 45)


@implementer(IHostnameResolver)
class SimpleResolverComplexifier:
    """Looks names up by asking *simpleResolver*, which knows of IPv4 addresses only.

    Args:
        simpleResolver: is asked, unless only IPv6 addresses are wanted, or the name is an address.
    """

    def __init__(self, simpleResolver: IResolverSimple) -> None:
        self._simple = simpleResolver

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
        asking: Deferred[str] | None = None

        def stop() -> None:
            if asking is not None:
                asking.cancel()

        resolution = Resolution(resolutionReceiver, hostName, stop)
        resolution.begin()
        literal = question.literal()
        if literal is not None:
            resolution.answer(literal)
        elif question.family == socket.AF_INET6:
            resolution.complete()
        elif not resolution.over:
            asking = maybeDeferred(self._simple.getHostByName, hostName)
            asking.addCallbacks(_answered, _failed, (question, resolution), None, (question, resolution))
        return resolution


def _answered(text: Any, question: Question, resolution: Resolution) -> None:
    found = question.literal(text) if isinstance(text, str) else None
    if found is None:
        resolution.complete(DNSLookupError(f"{text!r}, which is no address, was given for {question.name!r}"))
    else:
        resolution.answer(found)


def _failed(failure: Failure, question: Question, resolution: Resolution) -> None:
    if failure.check(OSError, CancelledError) is None:  # a DNSLookupError is an OSError
        log_failure(logger, failure, "looking up %r failed in an unexpected way", question.name)
    failure.cleanFailure()
    resolution.complete(failure.value)


@implementer(IResolverSimple)
class ComplexResolverSimplifier:
    """Looks up one IPv4 address by asking *nameResolver*, which knows of all.

    Args:
        nameResolver: is asked, unless the name is an address.
        clock: measures the time a look-up takes; None is the current reactor.
    """

    def __init__(self, nameResolver: IHostnameResolver, clock: IReactorTime | None = None) -> None:
        self._resolver = nameResolver
        self._clock = clock

    def getHostByName(self, name: str, timeout: Sequence[float] = ()) -> Deferred[str]:
        """Look up *name*.

        Args:
            timeout: seconds; the look-up, which is made once, has the sum of them. None: a minute.
        Returns: Deferred firing with the first IPv4 address that is found. Cancelling it cancels the look-up.
        Raises: ValueError: *timeout* is negative. TypeError: *name* is no str.
        Fails with: netcore.error.DNSLookupError.
        """
        if is_ipv4_literal(name):
            return succeed(name)
        first = _First(name)
        deferred = first.deferred
        seconds = sum(timeout) if timeout else _TIMEOUT
        clock = self._clock if self._clock is not None else current_reactor()
        first.timer = clock.callLater(seconds, first.time_out, seconds)
        try:
            self._resolver.resolveHostName(first, name, 0, [IPv4Address])
        except BaseException:
            first.end()
            raise
        assert deferred is not None
        return deferred


class ThreadedResolver(ComplexResolverSimplifier):
    """Looks up one IPv4 address by the system, in the thread pool of *reactor*: what a reactor does by itself."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__(GAIResolver(reactor), reactor)


@implementer(IResolutionReceiver)
class _First:
    """Fires its Deferred with the first IPv4 address it hears of; what comes after is ignored."""

    __slots__ = ("_name", "_resolution", "deferred", "timer")

    def __init__(self, name: str) -> None:
        self._name = name
        self._resolution: IHostResolution | None = None
        self.timer: IDelayedCall | None = None
        self.deferred: Deferred[str] | None = Deferred(lambda _: self._stop())

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, IPv4Address):
            deferred = self._stop()
            if deferred is not None:
                deferred.callback(address.host)

    def resolutionComplete(self) -> None:
        resolution = self._resolution
        deferred = self.end()
        if deferred is not None:
            deferred.errback(lookup_error(self._name, resolution, "no IPv4 address was found"))

    def time_out(self, seconds: float) -> None:
        deferred = self._stop()
        if deferred is not None:
            deferred.errback(lookup_error(self._name, None, f"there was no answer within {seconds:g} s"))

    def end(self) -> Deferred[str] | None:
        """Hear no more. Returns: the Deferred, to be fired; None if it has been, or was cancelled."""
        deferred, self.deferred = self.deferred, None
        self._resolution = None
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None
        return deferred

    def _stop(self) -> Deferred[str] | None:
        """`end`, before the look-up has."""
        resolution = self._resolution
        deferred = self.end()
        cancel(resolution)
        return deferred
