"""What stands between a connection and its protocol, and reads the header first.

What holds:

* The protocol above is built, and hears of the connection, when the header is complete and valid (section 2: "The
  receiver MUST NOT start processing the connection before"); so ``buildProtocol`` is given the client's address, and
  whatever greets, counts or refuses peers works as if there were no proxy.
* What follows the header is handed on at once, uncut; while the protocol pauses, when it goes on.
* Who is not trusted, sends no header, a malformed one, or none in time, is cut off with a reset, and hears nothing; the
  log says why. Only the one connection ends.
* Before its header a connection holds no more than the header's bytes, a timer, and no protocol.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from netcore._closing import abort
from netcore._current import current_reactor
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
    implementer,
)
from netcore.protocols.haproxy._header import InvalidProxyHeader, ProxyHeader, read_header
from netcore.protocols.haproxy._trust import Source, Trusted, as_trusted
from netcore.protocols.policies import ProtocolWrapper, WrappingFactory

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HAProxyProtocolWrapper", "HAProxyWrappingFactory", "proxyEndpoint"]

logger = logging.getLogger("netcore.protocols.haproxy")

HEADER_TIMEOUT = 5.0  # seconds; section 2: "at least 3 seconds to cover a TCP retransmit"
QUIET = 10.0  # seconds from one line in the log to the next: whoever scans the port must not fill the disk


@implementer(IHandshakeListener)
class HAProxyProtocolWrapper(ProtocolWrapper):
    """One connection that begins with a header of the PROXY protocol.

    To the protocol above it is the transport: ``getPeer`` and ``getHost`` are the proxied addresses.

    Attributes: *proxyHeader*, what the proxy said (`ProxyHeader`); None before, and for a source that was let through
        without a header. The rest as of `ProtocolWrapper`.
    """

    factory: HAProxyWrappingFactory
    proxyHeader: ProxyHeader | None = None

    def __init__(self, factory: HAProxyWrappingFactory) -> None:
        super().__init__(factory, None)  # type: ignore[arg-type]  # built when it is known for whom
        self._begun: bytearray | None = bytearray()  # what has come of the header; None when it is dealt with
        self._rest = b""  # what came behind it, while the protocol pauses
        self._paused = False
        self._handshaken = False  # TLS below was through with its handshake before the protocol was there
        self._timer: IDelayedCall | None = None

    def logPrefix(self) -> str:
        """That of the protocol above, if there is one yet, else of its factory, with a hint."""
        return self.factory.logPrefix() if self.wrappedProtocol is None else super().logPrefix()

    # As the protocol of the transport below

    def makeConnection(self, transport: Any) -> None:
        """The transport stands: wait for the header."""
        super(ProtocolWrapper, self).makeConnection(transport)  # that of the wrapper would tell the protocol
        factory = self.factory
        if transport.getPeer() in factory.trusted:
            if factory.headerTimeout is not None:
                self._timer = factory.clock.callLater(factory.headerTimeout, self._too_slow)
        elif factory.untrusted == "pass":
            self._introduce()
        else:
            self._refuse(f"it is no trusted source: these are {factory.trusted}")

    def dataReceived(self, data: bytes) -> None:
        """Bytes came: of the header first, then for the protocol."""
        begun = self._begun
        if begun is None:
            if self._rest:
                self._rest += data
            elif self.wrappedProtocol is not None:  # else it was refused
                self.wrappedProtocol.dataReceived(data)
            return
        begun += data
        try:
            found = read_header(begun)
        except InvalidProxyHeader as error:
            self._refuse(str(error))
            return
        if found is not None:
            self.proxyHeader, end = found
            self._rest = bytes(begun[end:])
            self._introduce()
            self._deliver_rest()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # as in ProtocolWrapper
        """The connection has gone: if the protocol has heard of it, it hears that."""
        self._begun, self._rest = None, b""
        self._stop_timer()
        try:
            super().connectionLost(reason)
        finally:
            del reason  # as in ProtocolWrapper

    def _introduce(self) -> None:
        """The protocol may hear of the connection."""
        self._begun = None
        self._stop_timer()
        protocol = self.factory.wrappedFactory.buildProtocol(self.getPeer())
        if protocol is None:
            self.transport.loseConnection()
            return
        self.protocol = protocol
        self.factory.registerProtocol(self)
        self._introduced = True
        protocol.makeConnection(self)
        if self._handshaken and not self.disconnecting:  # as TLS, which tells nobody who is closing
            self._tell_handshake()

    def handshakeCompleted(self) -> None:
        """TLS below is through with its handshake: the protocol is told, once it has heard of the connection."""
        if self._introduced:
            self._tell_handshake()
        else:
            self._handshaken = True

    def _tell_handshake(self) -> None:
        listener = IHandshakeListener(self.wrappedProtocol, None)  # type: ignore[call-arg,misc]
        if listener is not None:
            listener.handshakeCompleted()

    def _deliver_rest(self) -> None:
        if self._rest and not self._paused:
            rest, self._rest = self._rest, b""
            if self.wrappedProtocol is not None and not self.disconnecting:  # who closes does not read, as on TCP
                self.wrappedProtocol.dataReceived(rest)

    def _too_slow(self) -> None:
        self._timer = None
        self._refuse(f"its header was not there after {self.factory.headerTimeout:g} s")

    def _refuse(self, why: str) -> None:
        self._begun = None
        self._stop_timer()
        self.factory.refused += 1
        self.factory._tell(self.transport.getPeer(), why)
        abort(self.transport)  # section 2.1: "as soon as possible"

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # As the transport of the protocol above

    def getPeer(self) -> IAddress:
        """The client's address, if the proxy has said it; else that of the other side, which is the proxy."""
        header = self.proxyHeader
        return self.transport.getPeer() if header is None or header.source is None else header.source

    def getHost(self) -> IAddress:
        """The address that the client connected to, if the proxy has said it; else that of this side."""
        header = self.proxyHeader
        return self.transport.getHost() if header is None or header.destination is None else header.destination

    def pauseProducing(self) -> None:
        """Deliver nothing for a while."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on: with what came behind the header first, if that was not delivered."""
        self._paused = False
        if self._rest:  # never from within this call, as on TCP
            if self._timer is None:
                self._timer = self.factory.clock.callLater(0, self._go_on)
        else:
            self.transport.resumeProducing()

    def clearLineBuffer(self) -> bytes:
        """Take out what was received and not taken for anything yet: with ``startTLS``, it is of TLS."""
        unread = getattr(self.wrappedProtocol, "clearLineBuffer", bytes)
        rest, self._rest = self._rest, b""
        return bytes(unread()) + rest

    def _go_on(self) -> None:
        self._timer = None
        try:
            self._deliver_rest()
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:  # CancelledError too; the transport, which did not call, does not end the connection
            log_failure(logger, Failure(), "dataReceived of %r raised: its connection is closed", self.wrappedProtocol)
            self._child_failed(Failure())  # the protocol hears why
            return
        if not self._paused and self.wrappedProtocol is not None and not self.disconnecting:
            self.transport.resumeProducing()


class HAProxyWrappingFactory(WrappingFactory):
    """Has every connection of *wrappedFactory*'s protocols begin with a header of the PROXY protocol, version 1 or 2.

    Args:
        wrappedFactory: builds the protocols, for the clients' addresses.
        trusted: from whom a header is accepted: networks or addresses ("10.1.0.0/16", "::1", or objects of
            `ipaddress`), and names: "private", loopback and the networks that are not routed in the Internet; "unix",
            UNIX sockets; "any". Default: "private" and "unix".
        untrusted: what becomes of the others: "refuse", or "pass": they are served as they are, without a header.
        headerTimeout: seconds until the header must be there; None: for ever.
        clock: for that; default: this thread's reactor.
    Attributes: as given; *refused*, how many connections were cut off.
    Raises: ValueError: a source, a time or *untrusted* is none. TypeError: *trusted* is one string.
    """

    protocol = HAProxyProtocolWrapper

    def __init__(
        self,
        wrappedFactory: IProtocolFactory,
        *,
        trusted: Iterable[str | Source] | Trusted | None = None,
        untrusted: Literal["refuse", "pass"] = "refuse",
        headerTimeout: float | None = HEADER_TIMEOUT,
        clock: IReactorTime | None = None,
    ) -> None:
        super().__init__(wrappedFactory)
        self.trusted = as_trusted(trusted)
        if untrusted not in {"refuse", "pass"}:
            raise ValueError(f'what becomes of sources that are not trusted is "refuse" or "pass", not {untrusted!r}')
        if headerTimeout is not None and not headerTimeout > 0:
            raise ValueError(f"the time for a header is a number of seconds above 0, not {headerTimeout!r}")
        self.untrusted = untrusted
        self.headerTimeout = headerTimeout
        self.refused = 0
        self._clock = clock
        self._quiet_until: float | None = None
        self._untold = 0

    @property
    def clock(self) -> IReactorTime:
        """As given, else this thread's reactor."""
        if self._clock is None:
            self._clock = current_reactor()
        return self._clock

    def buildProtocol(self, addr: IAddress) -> HAProxyProtocolWrapper:
        """What waits for the header. The factory above is asked when that is there."""
        return self.protocol(self)

    def _tell(self, peer: IAddress, why: str) -> None:
        """Log why *peer* was refused, but not too often."""
        now = self.clock.seconds()
        if self._quiet_until is not None and now < self._quiet_until:
            self._untold += 1
            return
        more = f" ({self._untold} more since the last such line)" if self._untold else ""
        self._quiet_until, self._untold = now + QUIET, 0
        logger.warning("PROXY protocol: the connection from %s was refused: %s%s", peer, why, more)


@implementer(IStreamServerEndpoint)
class _ProxyEndpoint:
    """An endpoint whose connections begin with a header."""

    def __init__(self, below: IStreamServerEndpoint, options: dict[str, Any]) -> None:
        HAProxyWrappingFactory(None, **options)  # type: ignore[arg-type]  # a mistake in the options is raised here
        self._below = below
        self._options = options

    def __repr__(self) -> str:
        return f"<PROXY protocol over {self._below!r}>"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen there, with protocols from *protocolFactory*.

        Returns: Deferred firing with the port.
        Fails with: what the endpoint below fails with.
        """
        return self._below.listen(HAProxyWrappingFactory(protocolFactory, **self._options))


def proxyEndpoint(
    wrappedEndpoint: IStreamServerEndpoint,
    *,
    trusted: Iterable[str | Source] | None = None,
    untrusted: Literal["refuse", "pass"] = "refuse",
    headerTimeout: float | None = HEADER_TIMEOUT,
    clock: IReactorTime | None = None,
) -> IStreamServerEndpoint:
    """*wrappedEndpoint*, for connections that come through a proxy, each with a header of the PROXY protocol in front.

    The protocols' ``transport.getPeer()`` and ``getHost()`` are the client's address and the one that it connected to;
    ``transport.proxyHeader`` is all that the proxy says (`ProxyHeader`).

    A proxy sends the header before a TLS handshake: TLS goes above, as in ``wrapServerTLS(contexts,
    proxyEndpoint(endpoint))``.

    Args:
        trusted, untrusted, headerTimeout, clock: as for `HAProxyWrappingFactory`. By default a header is accepted from
            UNIX sockets, this machine and private networks, and who connects from elsewhere is refused.
    Raises: as `HAProxyWrappingFactory`.
    """
    options = {
        "trusted": as_trusted(trusted),
        "untrusted": untrusted,
        "headerTimeout": headerTimeout,
        "clock": clock,
    }
    return _ProxyEndpoint(wrappedEndpoint, options)
