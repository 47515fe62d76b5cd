"""What puts TLS between protocols and whatever carries them."""

from __future__ import annotations

import ssl
from typing import Any
from weakref import WeakKeyDictionary

from netcore._current import current_reactor
from netcore.failure import Failure
from netcore.interfaces import IConnector, IProtocolFactory, IReactorTime, implementer
from netcore.protocols.policies import WrappingFactory
from netcore.protocols.tls._protocol import TLSMemoryBIOProtocol, log_prefix
from netcore.ssl import check_context_factory, context_of

__all__ = ["TLSMemoryBIOFactory"]


@implementer(IProtocolFactory)
class TLSMemoryBIOFactory(WrappingFactory):
    """Puts TLS between the protocols of *wrappedFactory* and whatever carries them: give it to ``listenTCP``, an
    endpoint, or anything else that takes a factory.

    Args:
        contextFactory: an `ssl.SSLContext`, or anything whose ``getContext()`` returns one (`netcore.ssl` has some). It
            is asked for each connection. If it has an attribute *hostname*, that is the server's name for a client: it
            is asked for (SNI), and must be in the certificate, where the context checks that.
        isClient: TLS's client, or its server.
        wrappedFactory: builds the protocols.
        clock: for the handshake's time limit; default: this thread's reactor.
        hostname: for a client, the server's name where *contextFactory* has none.
    Attributes: *handshakeTimeout*, seconds, after which a handshake is given up; None: never.
    """

    protocol: Any = TLSMemoryBIOProtocol
    handshakeTimeout: float | None = 30.0
    noisy = False

    def __init__(
        self,
        contextFactory: Any,
        isClient: bool,
        wrappedFactory: IProtocolFactory,
        clock: IReactorTime | None = None,
        *,
        hostname: str | None = None,
    ) -> None:
        check_context_factory(contextFactory)
        super().__init__(wrappedFactory)
        self.contextFactory = contextFactory
        self.isClient = isClient
        self._clock = clock
        self._hostname = hostname
        # Why connections ended: for us, and for the protocol above. Only while somebody still has the former: a reason
        # has a traceback, whose frames have the connection, and the connection has this factory.
        self.told: WeakKeyDictionary[Failure, Failure] = WeakKeyDictionary()

    @property
    def clock(self) -> IReactorTime:
        """Whose time is taken."""
        return current_reactor() if self._clock is None else self._clock

    def context(self) -> tuple[ssl.SSLContext, str | None]:
        """What a connection is made with, and the server's name, for a client."""
        context = context_of(self.contextFactory)
        return context, getattr(self.contextFactory, "hostname", None) or self._hostname

    def logPrefix(self) -> str:
        """That of the factory above, with a hint."""
        return f"{log_prefix(self.wrappedFactory)} (TLS)"

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """A connection has ended: with what its protocol was told just now."""
        super().clientConnectionLost(connector, self.told.pop(reason, reason))
