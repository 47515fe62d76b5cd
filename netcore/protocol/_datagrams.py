"""Protocols for datagrams."""

from __future__ import annotations

import logging
from typing import Any

from netcore.failure import Failure
from netcore.interfaces import ILoggingContext, implementer

__all__ = ["ConnectedDatagramProtocol", "DatagramProtocol"]

log = logging.getLogger("netcore.protocol")


@implementer(ILoggingContext)
class DatagramProtocol:
    """What is done with the datagrams that come to a port: inherit from this, override what you need.

    Attributes: *transport*, the port (`IUDPTransport`, `IMulticastTransport` or `IUNIXDatagramTransport`), None while
        there is none; *numPorts*, how many ports use the protocol now: 0 or 1; *noisy*, whether starting and stopping
        are logged.
    """

    transport: Any = None
    numPorts: int = 0
    noisy: bool = True

    def logPrefix(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def makeConnection(self, transport: Any) -> None:
        """Keep *transport*, then call `doStart`. Called by ports; override `startProtocol` instead.

        Raises: RuntimeError: another port has the protocol. What `startProtocol` raises: there is no transport then.
        """
        if self.transport is not None:
            raise RuntimeError(
                f"{self!r} is the protocol of {self.transport!r} already: each port needs one of its own"
            )
        self.transport = transport
        try:
            self.doStart()
        except BaseException:
            self.transport = None
            raise

    def doStart(self) -> None:
        """A port uses the protocol: calls `startProtocol`."""
        if self.numPorts == 0:
            if self.noisy:
                log.info("Starting protocol %r", self)
            self.startProtocol()
        self.numPorts += 1

    def doStop(self) -> None:
        """The port is closed: calls `stopProtocol`, when there is no `transport` any more. One too many is ignored."""
        self.transport = None
        if self.numPorts == 0:
            return
        self.numPorts -= 1
        if self.numPorts == 0:
            if self.noisy:
                log.info("Stopping protocol %r", self)
            self.stopProtocol()

    def startProtocol(self) -> None:
        """The port is open, and `transport` is set: the place to connect it, to join groups, to send what comes
        first. What this raises closes the port, and is raised by what opened it."""

    def stopProtocol(self) -> None:
        """The port is closed: let go of whatever refers to this protocol. Called once, after all else."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A datagram arrived, whole, unless it was longer than the port's *maxPacketSize*: then the rest was dropped.

        What this raises is logged, and the port goes on.

        Args:
            datagram: may be empty.
            addr: who sent it, for ``transport.write``: (host, port) on UDP, a link-local IPv6 host with its zone, as in
                "fe80::1%2"; on UNIX sockets a path as str, an abstract name as bytes, or None if the sender has
                neither.
        """

    def connectionRefused(self) -> None:
        """Nobody received something that was sent earlier, on a connected transport. The port goes on: somebody may
        receive there later.

        Datagrams that are lost in other ways are not heard of.
        """


class ConnectedDatagramProtocol(DatagramProtocol):
    """What is done with datagrams that come from one place only, as ``reactor.connectUNIXDatagram`` wants it.

    (Connected UDP is a `DatagramProtocol`'s, whose transport has ``connect``.)
    """

    def datagramReceived(self, datagram: bytes) -> None:  # type: ignore[override]  # as in Twisted
        """A datagram arrived.

        Args:
            datagram: may be empty.
        """

    def connectionFailed(self, failure: Failure) -> None:
        """There will be no connection, and no `startProtocol`.

        Args:
            failure: wraps a `netcore.error.ConnectError`, or a `netcore.error.CannotListenError` if the address of
                one's own could not be had.
        """
