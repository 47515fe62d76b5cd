"""Noticing when connections come and go, whatever carries them: factories and protocols around the user's own.

The user's protocol keeps its own transport, and is what is given to users; between the two, in the way in only, stands
a `Watched` one. Whatever else a protocol or factory provides, or has, the one around it seems to provide and have.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from zope.interface import directlyProvides, providedBy

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.failure import Failure
from netcore.interfaces import IAddress, IProtocol, IProtocolFactory
from netcore.protocols.policies._wrapping import never_connected

__all__ = ["Watched", "WatchingFactory", "call_at_the_end"]

log = logging.getLogger("netcore.application")


def call_at_the_end(method: Callable[..., object], *args: object) -> None:
    """Call *method* because a service stops. What it raises is logged: connections end all the same."""
    try:
        method(*args)
    except ENDS_THE_PROGRAM:
        raise
    except BaseException:  # CancelledError too
        log_failure(log, Failure(), "%r raised, when its service ended connections", method)


class Watched:
    """A protocol around another.

    Args:
        protocol: the user's.
        watcher: hears ``came(self)`` before the user's ``makeConnection`` (False keeps the connection from it, and
            closes it), ``leaves(self)`` before ``connectionLost``, and ``gone(self, reason)`` after it.
    Attributes: *protocol*, the user's; *transport*, while the connection stands; *lost*, whether it is lost.
    """

    transport: Any = None
    lost = False

    def __init__(self, protocol: IProtocol, watcher: Any) -> None:
        self.protocol = protocol
        self._watcher: Any = watcher
        self._unheard = False  # the user's protocol hears nothing of the connection

    @property
    def __providedBy__(self) -> Any:  # zope's: asked each time, for a wrapper provides more later
        return providedBy(self.protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)

    def __repr__(self) -> str:
        return repr(self.protocol)

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        if self._watcher.came(self):
            self.protocol.makeConnection(transport)
        else:
            self._unheard = True
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if not self._unheard:
            self.protocol.dataReceived(data)  # looked up each time: a protocol may put another method in its place

    def connectionLost(self, reason: Failure) -> None:
        watcher, self._watcher = self._watcher, None
        self.transport = None  # which has this one: that would be a cycle
        self.lost = True
        watcher.leaves(self)
        try:
            if self._unheard:
                never_connected(self.protocol)
            else:
                self.protocol.connectionLost(reason)
        finally:
            watcher.gone(self, reason)
            del reason  # this frame may be in the traceback of what the protocol raised


class WatchingFactory:
    """A factory around another, whose protocols are `Watched`.

    Args:
        factory: the user's.
        watcher: as of `Watched`; besides, ``refuses()`` says whether no more connections are wanted.
    """

    def __init__(self, factory: IProtocolFactory, watcher: Any) -> None:
        self._factory = factory
        self._watcher = watcher
        directlyProvides(self, providedBy(factory))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)

    def __repr__(self) -> str:
        return repr(self._factory)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress) -> Any:
        if self._watcher.refuses():
            return None
        protocol = self._factory.buildProtocol(addr)
        return None if protocol is None else Watched(protocol, self._watcher)
