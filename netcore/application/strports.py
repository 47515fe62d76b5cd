"""Listening services from endpoint strings (`netcore.endpoints.serverFromString`)."""

from __future__ import annotations

from typing import Any

from netcore._current import current_reactor
from netcore.application.internet import StreamServerEndpointService
from netcore.application.internet._listening import GRACE
from netcore.endpoints import serverFromString
from netcore.failure import Failure
from netcore.interfaces import IListeningPort, IProtocolFactory

__all__ = ["listen", "service"]


def service(
    description: str,
    factory: IProtocolFactory,
    reactor: Any = None,
    *,
    drain: float | None = None,
    grace: float = GRACE,
) -> StreamServerEndpointService:
    """A service that listens where *description* says. A port that cannot be opened is raised when it starts.

    Args:
        description: an endpoint string, such as ``tcp:7979``.
        factory: what builds the protocols.
        reactor: what listens; by default this thread's, else ``netcore.reactor``.
        drain, grace: what becomes of connections when the service stops: see `StreamServerEndpointService`.
    Raises: ValueError: a mistake in *description*; negative seconds.
    """
    reactor = current_reactor() if reactor is None else reactor
    endpoint = serverFromString(reactor, description)
    made = StreamServerEndpointService(endpoint, factory, drain=drain, grace=grace, clock=reactor)
    made._raiseSynchronously = True
    return made


def listen(description: str, factory: IProtocolFactory) -> IListeningPort:
    """Listen where *description* says, now, with this thread's reactor, else ``netcore.reactor``.

    Returns: the open port.
    Raises:
        ValueError: a mistake in *description*.
        netcore.error.CannotListenError: the port cannot be opened.
        RuntimeError: this kind of endpoint needs time to open; use `service`.
    """
    outcome: list[IListeningPort | Failure] = []
    serverFromString(current_reactor(), description).listen(factory).addBoth(outcome.append)
    if not outcome:
        raise RuntimeError(f"{description!r} does not listen at once: make a service of it")
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]
