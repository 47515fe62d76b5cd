"""Services that listen or connect by a method of the reactor's, one class for each."""

from __future__ import annotations

from typing import Any, ClassVar

from netcore._current import current_reactor
from netcore.application.internet._listening import GRACE, DrainingService, after
from netcore.application.service import Service
from netcore.defer import Deferred, maybeDeferred
from netcore.interfaces import IAddress, IListeningPort

__all__ = [
    "MulticastServer",
    "SSLClient",
    "SSLServer",
    "TCPClient",
    "TCPServer",
    "UDPServer",
    "UNIXClient",
    "UNIXDatagramClient",
    "UNIXDatagramServer",
    "UNIXServer",
]


class _Listening(Service):
    """Listens while it runs: from `privilegedStartService` on if that is called, else from `startService`.

    Args:
        args, kwargs: those of the reactor's method; besides, *reactor*: what listens, by default this thread's.
    """

    method: ClassVar[str]
    """Of the reactor's method, what follows "listen"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.reactor = kwargs.pop("reactor", None)
        self.args = args
        self.kwargs = kwargs
        self._port: IListeningPort | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.args!r}>"

    def privilegedStartService(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError, and what else the reactor's method raises.
        """
        super().privilegedStartService()
        reactor = current_reactor() if self.reactor is None else self.reactor
        self._port = self._listen(reactor, *self.args, **self.kwargs)

    def getHost(self) -> IAddress:
        """Where it listens: of port 0, for example, which one that was in the end.

        Raises: RuntimeError: it does not listen.
        """
        if self._port is None:
            raise RuntimeError(f"{self!r} does not listen")
        return self._port.getHost()

    def _listen(self, reactor: Any, *args: Any, **kwargs: Any) -> IListeningPort:
        port: IListeningPort = getattr(reactor, f"listen{self.method}")(*args, **kwargs)
        return port

    def startService(self) -> None:
        """Listen, unless `privilegedStartService` did.

        Raises: netcore.error.CannotListenError, and what else the reactor's method raises.
        """
        if self._port is None:
            self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[Any] | None:
        """Listen no more.

        Returns: Deferred firing when the port is closed and what runs in scopes of the service has ended, or None if
            there is nothing to wait for.
        """
        ending = super().stopService()
        port, self._port = self._port, None
        closed = None if port is None else maybeDeferred(port.stopListening)
        return after(closed, ending)


class _ListeningForStreams(_Listening, DrainingService):
    """Has connections, and may end them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        DrainingService.__init__(self, kwargs.pop("drain", None), kwargs.pop("grace", GRACE))
        super().__init__(*args, **kwargs)

    def _listen(self, reactor: Any, *args: Any, **kwargs: Any) -> IListeningPort:
        if len(args) > 1:
            where, factory, *others = args
            args = (where, self._accept(factory, reactor), *others)
        elif "factory" in kwargs:
            kwargs["factory"] = self._accept(kwargs["factory"], reactor)
        try:
            return super()._listen(reactor, *args, **kwargs)
        except BaseException:
            self._accept_nothing()
            raise

    def stopService(self) -> Deferred[Any] | None:
        """Listen no more. Connections stay, or end: see *drain*, as of `StreamServerEndpointService`.

        Returns: Deferred firing when the port is closed, what runs in scopes of the service has ended, and connections
            that are to end have gone; or None if there is nothing to wait for.
        """
        run = self._take_no_more()
        return after(super().stopService(), self._end_connections(run))


class TCPServer(_ListeningForStreams):
    """``reactor.listenTCP``, as a service.

    Args:
        args, kwargs: those of ``listenTCP``; besides, by keyword, *reactor*: what listens, by default this thread's,
            and *drain* and *grace*, as of `StreamServerEndpointService`.
    Raises: ValueError: negative seconds.
    """

    method = "TCP"


class SSLServer(_ListeningForStreams):
    """``reactor.listenSSL``, as a service.

    Args:
        args, kwargs: those of ``listenSSL``; besides, those of `TCPServer`.
    """

    method = "SSL"


class UNIXServer(_ListeningForStreams):
    """``reactor.listenUNIX``, as a service.

    Args:
        args, kwargs: those of ``listenUNIX``; besides, those of `TCPServer`.
    """

    method = "UNIX"


class UDPServer(_Listening):
    """``reactor.listenUDP``, as a service.

    Args:
        args, kwargs: those of ``listenUDP``; besides, by keyword, *reactor*: what listens, by default this thread's.
    """

    method = "UDP"


class MulticastServer(_Listening):
    """``reactor.listenMulticast``, as a service.

    Args:
        args, kwargs: those of ``listenMulticast``; besides, *reactor* as of `UDPServer`.
    """

    method = "Multicast"


class UNIXDatagramServer(_Listening):
    """``reactor.listenUNIXDatagram``, as a service.

    Args:
        args, kwargs: those of ``listenUNIXDatagram``; besides, *reactor* as of `UDPServer`.
    """

    method = "UNIXDatagram"


class _Connecting(Service):
    """Connects once, when it is started.

    Args:
        args, kwargs: those of the reactor's method; besides, *reactor*: what connects, by default this thread's.
    """

    method: ClassVar[str]
    """Of the reactor's method, what follows "connect"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.reactor = kwargs.pop("reactor", None)
        self.args = args
        self.kwargs = kwargs
        self._connection: Any = None

    def startService(self) -> None:
        """Connect. A connection that fails or is lost is the factory's business; see `ClientService` for one that is
        not.

        Raises: what the reactor's method raises.
        """
        super().startService()
        reactor = current_reactor() if self.reactor is None else self.reactor
        self._connection = getattr(reactor, f"connect{self.method}")(*self.args, **self.kwargs)

    def stopService(self) -> Deferred[Any] | None:
        """Close the connection, or stop trying.

        Returns: Deferred firing when what runs in scopes of the service has ended, or None if nothing does.
        """
        ending = super().stopService()
        connection, self._connection = self._connection, None
        closed = None if connection is None else self._disconnect(connection)
        return after(closed, ending)

    def _disconnect(self, connection: Any) -> Deferred[Any] | None:
        connection.disconnect()
        return None


class TCPClient(_Connecting):
    """``reactor.connectTCP``, as a service.

    Args:
        args, kwargs: those of ``connectTCP``; besides, by keyword, *reactor*: what connects, by default this thread's.
    """

    method = "TCP"


class SSLClient(_Connecting):
    """``reactor.connectSSL``, as a service.

    Args:
        args, kwargs: those of ``connectSSL``; besides, *reactor* as of `TCPClient`.
    """

    method = "SSL"


class UNIXClient(_Connecting):
    """``reactor.connectUNIX``, as a service.

    Args:
        args, kwargs: those of ``connectUNIX``; besides, *reactor* as of `TCPClient`.
    """

    method = "UNIX"


class UNIXDatagramClient(_Connecting):
    """``reactor.connectUNIXDatagram``, as a service.

    Args:
        args, kwargs: those of ``connectUNIXDatagram``; besides, *reactor* as of `TCPClient`.
    """

    method = "UNIXDatagram"

    def _disconnect(self, connection: Any) -> Deferred[Any] | None:
        return maybeDeferred(connection.stopListening)  # datagrams have a port, on either side
