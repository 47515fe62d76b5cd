"""The endpoint of a program's standard streams: one connection, which stands as soon as it is listened for."""

from __future__ import annotations

from typing import Any

from netcore.defer import Deferred, fail, succeed
from netcore.error import NoProtocol
from netcore.failure import Failure
from netcore.interfaces import IAddress, IListeningPort, IProtocolFactory, IStreamServerEndpoint, implementer
from netcore.stdio import StandardIO

__all__ = ["StandardIOEndpoint"]


@implementer(IStreamServerEndpoint)
class StandardIOEndpoint:
    """This program's standard input and output, as a place to listen: whoever has started it is the one peer.

    Args:
        reactor: what reads and writes.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Have the protocol that *protocolFactory* builds talk over the standard streams.

        Returns: Deferred that has fired already, with the protocol's transport, a `netcore.stdio.StandardIO`. It is an
            `IListeningPort`, too, whose ``stopListening`` ends the connection.
        Fails with: OSError: the streams cannot be used. netcore.error.NoProtocol: *protocolFactory* built none.
            Whatever building it raised.
        """
        factory = protocolFactory
        try:
            factory.doStart()
            try:
                protocol = factory.buildProtocol(_Peer())
                if protocol is None:
                    raise NoProtocol(f"{factory!r} built no protocol for the standard streams")
                return succeed(_Port(protocol, factory, self._reactor))
            except BaseException:
                factory.doStop()
                raise
        except Exception as error:
            return fail(error)


@implementer(IAddress)
class _Peer:
    """Whoever has started this program."""

    def __repr__(self) -> str:
        return "<who has started this program>"


@implementer(IListeningPort)
class _Port(StandardIO):
    """The connection, and the port it came from."""

    def __init__(self, protocol: Any, factory: IProtocolFactory, reactor: Any) -> None:
        self._factory = factory
        self._stopped: list[Deferred[None]] = []
        super().__init__(protocol, reactor=reactor)

    def startListening(self) -> None:
        """It stands already."""

    def stopListening(self) -> Deferred[None] | None:
        """End the connection. Returns: a Deferred that fires when it has ended, or None if it had."""
        if self.disconnected:
            return None
        self._stopped.append(Deferred())
        self.loseConnection()
        return self._stopped[-1]

    def _end(self, reason: Exception | Failure) -> None:
        if self.disconnected:
            return
        super()._end(reason)
        self._factory.doStop()
        stopped, self._stopped = self._stopped, []
        for deferred in stopped:
            deferred.callback(None)
