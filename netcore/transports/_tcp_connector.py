"""`Connector`: a TCP connection to a name or an address.

An attempt is a search, by the reactor's resolver, and a race (`_eyeballs`) among the addresses that it finds, which
begins with the first of them. An address given literally is a race of one, without a search.

While CONNECTING: ``_search`` is the search that is listened to, ``_dials`` holds a `Dial` for each address that is
under way in ``_race``, and ``_rest`` is the timer for the next, if that has to wait. `_abandon` gives all of it back;
what a search, a dial or the timer of an attempt that is over might still tell is not listened to.
"""

from __future__ import annotations

import logging
import socket
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.address import IPv4Address, IPv6Address
from netcore.error import ConnectError
from netcore.failure import Failure
from netcore.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IHostResolution,
    IProtocolFactory,
    IResolutionReceiver,
    implementer,
)
from netcore.resolver._resolution import cancel, lookup_error
from netcore.transports._connection import Connection
from netcore.transports._dial import Dial
from netcore.transports._eyeballs import ATTEMPT_DELAY, Race
from netcore.transports._sockets import SocketAddress, address_of, check_port, literal_addresses
from netcore.transports._stream_connector import StreamConnector

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Connector"]

logger = logging.getLogger("netcore.transports")

Address = IPv4Address | IPv6Address
_ALL: tuple[type[Address], ...] = (IPv4Address, IPv6Address)
_FAMILIES: dict[type[Address], str] = {IPv4Address: "IPv4", IPv6Address: "IPv6"}


@implementer(IConnector)
class Connector(StreamConnector):
    """One outgoing TCP connection, being made or standing.

    Args:
        reactor: whose loop watches the sockets.
        host, port, factory, timeout, bindAddress: see `IReactorTCP.connectTCP`.
    Attributes: *host*, *port*, *factory*, *timeout*, *bindAddress*, as asked for; *attemptDelay*, seconds from one
        address of a name to the next, unless that one fails before; *addressTypes*, which addresses of a name are
        tried, `IPv4Address`, `IPv6Address` or both (None); *state*, "disconnected", "connecting" or "connected";
        *transport*, the connection that stands, or None. *attemptDelay* and *addressTypes* may be set until the
        attempt begins, which it never does within `connect`.
    Raises: ValueError: a port is not from 0 to 65535. TypeError: *host* is no str.
    Threading: the reactor's thread only.
    """

    attemptDelay: float = ATTEMPT_DELAY
    addressTypes: tuple[type[Address], ...] | None = None

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None,
        bindAddress: tuple[str, int] | None,
    ) -> None:
        if not isinstance(host, str):
            raise TypeError(f"a host is a str, a name or an address, not {host!r}")
        check_port(port)
        if bindAddress is not None:
            check_port(bindAddress[1])
        super().__init__(reactor, factory, timeout)
        self.host = host
        self.port = port
        self.bindAddress = bindAddress
        self._bind: SocketAddress | None = bindAddress
        self._bind_type: type[Address] | None = None  # whose addresses alone it can be left from; None: any
        if bindAddress is not None and bindAddress[0]:
            found = literal_addresses(bindAddress[0], bindAddress[1])
            if found is not None:  # in full: bind(2) with two items would drop the scope of fe80::1%eth0
                self._bind = found[0][1]
                self._bind_type = type(address_of(self._bind))
        self._race = Race()
        self._search: _Search | None = None
        self._dials: dict[Dial, Address] = {}
        self._rest: IDelayedCall | None = None

    def getDestination(self) -> Address:
        """The address it connects to, as asked for: *host* may be a name."""
        if ":" in self.host:
            return IPv6Address("TCP", self.host, self.port)
        return IPv4Address("TCP", self.host, self.port)

    # The search.

    def _look(self) -> None:
        self._race = Race()
        found = literal_addresses(self.host or "0.0.0.0", self.port)
        if found is not None:
            for _, name in found:
                self._race.found(address_of(name))
            self._race.complete()
            self._go_on()
            return
        types = self._types()
        if types == ():
            self._complete()
            return
        self._search = search = _Search(self)
        try:
            self._reactor.nameResolver.resolveHostName(search, self.host, self.port, types, "TCP")
        except ENDS_THE_PROGRAM:
            raise
        except BaseException as error:  # CancelledError too
            log_failure(logger, Failure(), "%r, asked for %r, raised", self._reactor.nameResolver, self.host)
            if self._search is search:
                search.error = error
                self._complete()

    def _types(self) -> tuple[type[Address], ...] | None:
        """Of addresses to look for; None: any."""
        types = tuple(each for each in self.addressTypes or _ALL if self._bind_type in {None, each})
        return None if types == _ALL else types

    def _found(self, address: IAddress) -> None:
        if isinstance(address, self._types() or _ALL):  # a resolver may tell of more than it was asked for
            self._race.found(address)
            self._go_on()

    def _complete(self) -> None:
        self._race.complete()
        self._go_on()

    # The race.

    def _go_on(self) -> None:
        """Do what is to be done after something has happened."""
        while True:
            address = self._race.begin()
            if address is None:
                break
            self._stop_resting()
            self._dial(address)
        if self._race.lost:
            self._fail(Failure(self._race.reason() or self._nothing_found()))
        elif not self._race.resting:
            self._stop_resting()
        elif self._rest is None:
            self._rest = self._reactor.callLater(self.attemptDelay, self._rested)

    def _dial(self, address: Address) -> None:
        try:
            family, name = _for_connect(address)
            reactor = self._reactor
            watcher, new_socket = reactor._watcher, reactor._new_socket
            dial = Dial(watcher, new_socket, family, name, self._bind, self._context, self._decided)
        except ConnectError as error:
            self._race.failed(address, error)
        else:
            self._dials[dial] = address

    def _decided(self, dial: Dial, error: ConnectError | None) -> None:
        address = self._dials.pop(dial)
        if error is not None:
            self._race.failed(address, error)
            self._go_on()
            return
        self._abandon()  # before anybody hears of it: the others are of no use
        host, peer = dial.names
        self._made(dial.take(), address_of(host), address_of(peer))

    def _rested(self) -> None:
        self._rest = None
        self._race.rested()
        self._go_on()

    def _stop_resting(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    # Its end.

    def _nothing_found(self) -> Exception:
        told = "no address was found"
        if self.addressTypes is not None:
            told += f" of {' or '.join(_FAMILIES[each] for each in self.addressTypes)}"
        if self._bind_type is not None:
            told += f" of the family of bindAddress, {self.bindAddress}"
        return lookup_error(self.host, self._search, told)

    def _fail(self, failure: Failure) -> None:
        if self._search is not None and isinstance(failure.value, ConnectError):
            for note in self._race.notes():
                failure.value.add_note(note)
        super()._fail(failure)

    def _abandon(self) -> None:
        self._stop_resting()
        dials, self._dials = self._dials, {}
        for dial in dials:
            dial.give_up()
        self._race = Race()  # the errors of the last one hold frames
        search, self._search = self._search, None
        if search is not None:
            search.cancel()

    def _connection(self, sock: socket.socket, host: Any, peer: Any, protocol: Any, context: Context) -> Connection:
        connection = Connection(self._reactor, sock, host, peer, protocol, context, self._connection_lost)
        connection._is_client = True
        return connection

    def _target(self) -> str:
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<TCP connector to {self.host}:{self.port}, {self._state.value}, of {self.factory!r}>"


@implementer(IResolutionReceiver)
class _Search:
    """What a resolver finds, for a connector, as long as that listens.

    Attributes: *error*, why it found nothing, if it has ended and that is known.
    """

    __slots__ = ("_connector", "_resolution", "error")

    def __init__(self, connector: Connector) -> None:
        self._connector: Connector | None = connector
        self._resolution: IHostResolution | None = None
        self.error: BaseException | None = None

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        if self._connector is not None:
            self._connector._found(address)

    def resolutionComplete(self) -> None:
        connector = self._connector
        if connector is not None:
            self.error = getattr(self._resolution, "error", None)
            self._resolution = None
            connector._complete()

    def cancel(self) -> None:
        """Listen no more."""
        resolution, self._connector, self._resolution = self._resolution, None, None
        cancel(resolution)


def _for_connect(address: Address) -> tuple[int, SocketAddress]:
    """Family and address for connect(2).

    Raises: ConnectError: a resolver told of a name as an address: `socket.connect` would look it up, and block.
    """
    found = literal_addresses(address.host, address.port)
    if found is None:
        raise ConnectError(string=f"the resolver told of {address.host!r}, which is no address")
    family, name = found[0]
    if isinstance(address, IPv6Address):
        name = (*name[:2], address.flowInfo, address.scopeID or name[3])
    return family, name
