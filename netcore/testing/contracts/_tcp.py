"""`IReactorTCP`: ports and connectors. What becomes of connections is `TCPTransportContract`'s."""

from __future__ import annotations

import errno
import socket
from typing import Any

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import maybeDeferred
from netcore.error import (
    CannotListenError,
    ConnectBindError,
    ConnectError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    NotConnectingError,
    TimeoutError,
    UserError,
)
from netcore.interfaces import IConnector, IListeningPort, IReactorTCP, provides
from netcore.testing.contracts._contract import ReactorContract, driven, raises
from netcore.testing.contracts._recorder import ClientRecorder, FactoryRecorder, Recorder

__all__ = ["HERE", "FullPort", "ReactorTCPContract"]

HERE = "127.0.0.1"


class FullPort:
    """A port whose queue is full: the kernel answers nobody, and connecting takes its time.

    Raises: OSError: *number* is taken.
    """

    def __init__(self, host: str = HERE, number: int = 0, contract: LoopbackContract | None = None) -> None:
        contract = contract if contract is not None else LoopbackContract()
        self.sockets = [contract.occupy(host, number)]
        self.sockets[0].listen(0)
        self.number = int(self.sockets[0].getsockname()[1])
        for _ in range(4):
            self.sockets.append(sock := contract.newSocket(self.sockets[0].family))
            sock.setblocking(False)
            sock.connect_ex((host, self.number))

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


class LoopbackContract(ReactorContract):
    """The base of contracts that need the loopback interface, with IPv4 and IPv6. Override `newSocket` if it is not
    this machine's."""

    def newSocket(self, family: int) -> Any:
        """A stream socket on the reactor's machine."""
        return socket.socket(family, socket.SOCK_STREAM)

    def occupy(self, host: str = HERE, number: int = 0) -> Any:
        """A socket that is bound, and does not listen (yet). Raises: OSError: *number* is taken."""
        sock = self.newSocket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, number))
        except BaseException:
            sock.close()
            raise
        return sock

    def free(self, host: str = HERE, number: int = 0) -> int:
        """A port that nobody listens on; *number*, if there is one. Raises: OSError: somebody does."""
        with self.occupy(host, number) as sock:
            sock.listen()
            return int(sock.getsockname()[1])


class ReactorTCPContract(LoopbackContract):
    """`IReactorTCP`. Override `makeReactor`.

    It needs the loopback interface, with IPv4 and IPv6; `newSocket` is its.
    """

    interface = IReactorTCP

    def listen(self, factory: Any = None, port: int = 0, interface: str = HERE, **options: Any) -> Any:
        """An `IListeningPort` on the loopback interface."""
        return self.reactor.listenTCP(port, factory or FactoryRecorder(), interface=interface, **options)

    # Ports.

    @driven
    async def test_a_ports_host_has_the_number_that_was_given(self) -> None:
        """If 0 was asked for, it is another."""
        port = self.listen()
        host = port.getHost()
        assert provides(port, IListeningPort)
        assert host == IPv4Address("TCP", HERE, host.port)
        assert host.port > 0

    @driven
    async def test_every_ipv4_interface_is_the_default(self) -> None:
        """And no other."""
        assert self.listen(interface="").getHost().host == "0.0.0.0"

    @driven
    async def test_ipv6_works(self) -> None:
        """An address says which it is."""
        server, client = FactoryRecorder(), ClientRecorder()
        number = self.listen(server, interface="::1").getHost().port
        connector = self.reactor.connectTCP("::1", number, client)
        made, accepted = await client.made.times(), await server.made.times()
        assert connector.getDestination() == made.transport.getPeer() == IPv6Address("TCP", "::1", number)
        assert server.addr == accepted.transport.getPeer() == made.transport.getHost()

    @driven
    async def test_a_port_in_use_is_refused(self) -> None:
        """The error says which, and why."""
        taken = self.listen().getHost().port
        factory = FactoryRecorder()
        with raises(CannotListenError) as caught:
            self.listen(factory, port=taken)
        assert caught.value.port == taken
        assert caught.value.interface == HERE
        assert caught.value.socketError.errno == errno.EADDRINUSE
        assert factory.told == []

    @driven
    async def test_what_is_no_port_number_is_refused(self) -> None:
        """At once, on both sides."""
        client = ClientRecorder()
        for wrong in (-1, 65536, 1 << 40):
            with raises(ValueError):
                self.listen(port=wrong)
            with raises(ValueError):
                self.reactor.connectTCP(HERE, wrong, client)
        assert client.told == []

    @driven
    async def test_a_factory_hears_of_its_ports(self) -> None:
        """Once, when the first begins to listen, and when the last has stopped."""
        server = FactoryRecorder()
        one, two = self.listen(server), self.listen(server)
        assert server.told == ["start"]
        await maybeDeferred(one.stopListening)
        assert server.told == ["start"]
        await maybeDeferred(two.stopListening)
        assert server.told == ["start", "stop"]

    @driven
    async def test_stop_listening_frees_the_port(self) -> None:
        """When its Deferred has fired. Stopping again does nothing."""
        port = self.listen()
        number = port.getHost().port
        await maybeDeferred(port.stopListening)
        await maybeDeferred(port.stopListening)
        client = ClientRecorder()
        self.reactor.connectTCP(HERE, number, client)
        assert type(await client.failed.times()) is ConnectionRefusedError
        assert self.listen(port=number).getHost().port == number

    @driven
    async def test_a_port_can_listen_again(self) -> None:
        """In the same place."""
        server, client = FactoryRecorder(), ClientRecorder()
        number = self.listen().getHost().port
        port = self.listen(server)
        await maybeDeferred(port.stopListening)
        port.startListening()
        assert port.getHost().port != number
        self.reactor.connectTCP(HERE, port.getHost().port, client)
        await server.made.times()

    @driven
    async def test_connections_outlive_their_port(self) -> None:
        """It only stops accepting."""
        server, client = FactoryRecorder(), ClientRecorder()
        port = self.listen(server)
        self.reactor.connectTCP(HERE, port.getHost().port, client)
        made, accepted = await client.made.times(), await server.made.times()
        await maybeDeferred(port.stopListening)
        accepted.transport.write(b"still here")
        await made.got(10)

    @driven
    async def test_each_connection_has_a_protocol_of_its_own(self) -> None:
        """Built for the peer's address."""
        server = FactoryRecorder()
        number = self.listen(server).getHost().port
        for count in range(1, 4):
            client = ClientRecorder()
            self.reactor.connectTCP(HERE, number, client)
            made, accepted = await client.made.times(), await server.made.times(count)
            assert server.addr == made.transport.getHost() == accepted.transport.getPeer()
        assert len(set(map(id, server.built))) == 3

    @driven
    async def test_many_who_connect_at_once_are_all_accepted(self) -> None:
        """As many as the backlog holds."""
        server = FactoryRecorder()
        number = self.listen(server, backlog=20).getHost().port
        clients = [ClientRecorder() for _ in range(20)]
        for client in clients:
            self.reactor.connectTCP(HERE, number, client)
        await server.made.times(20)

    @driven
    async def test_a_factory_may_decline_a_connection(self) -> None:
        """It is closed; the port goes on."""
        server, client = FactoryRecorder(), ClientRecorder()
        server.build = lambda: None
        number = self.listen(server).getHost().port
        self.reactor.connectTCP(HERE, number, client)
        await client.lost.times()
        server.build = Recorder
        self.reactor.connectTCP(HERE, number, ClientRecorder())
        await server.made.times()

    @driven
    async def test_a_factory_that_raises_loses_that_connection_only(self) -> None:
        """It is logged; the port goes on."""
        server, client = FactoryRecorder(), ClientRecorder()
        server.build = lambda: 1 / 0
        number = self.listen(server).getHost().port
        self.reactor.connectTCP(HERE, number, client)
        await client.lost.times()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        server.build = Recorder
        self.reactor.connectTCP(HERE, number, ClientRecorder())
        await server.made.times()

    # Connectors.

    @driven
    async def test_the_factory_hears_of_everything_in_order(self) -> None:
        """From the attempt to the end; what the protocol was told, it is told too."""
        client = ClientRecorder()
        number = self.listen().getHost().port
        connector = self.reactor.connectTCP(HERE, number, client)
        assert provides(connector, IConnector)
        assert client.told == ["start", "connecting"]
        protocol = await client.made.times()
        assert connector.getDestination() == protocol.transport.getPeer() == IPv4Address("TCP", HERE, number)
        connector.disconnect()
        assert type(await client.lost.times()) is ConnectionDone
        assert client.reasons[0] is protocol.reasons[0]
        await self.settle()
        assert client.told == ["start", "connecting", "build", "made", "connectionLost", "lost", "stop"]
        connector.disconnect()

    @driven
    async def test_a_refusal_is_one(self) -> None:
        """The factory hears of it, and of nothing else."""
        client = ClientRecorder()
        self.reactor.connectTCP(HERE, self.free(), client)
        error = await client.failed.times()
        assert type(error) is ConnectionRefusedError
        assert isinstance(error, ConnectError)
        await self.settle()
        assert client.told == ["start", "connecting", "failed", "stop"]

    @driven
    async def test_connecting_again_works(self) -> None:
        """When the connection was lost, from within ``clientConnectionLost``; not while it stands."""
        client = ClientRecorder()
        client.on_lost = lambda connector: connector.connect() if len(client.reasons) < 3 else None
        connector = self.reactor.connectTCP(HERE, self.listen().getHost().port, client)
        for count in range(1, 4):
            protocol = await client.made.times(count)
            with raises(RuntimeError):
                connector.connect()
            protocol.transport.loseConnection()
            await client.lost.times(count)
        await self.settle()
        assert client.started == client.stopped == 1
        assert client.told[-1] == "stop"

    @driven
    async def test_trying_again_works(self) -> None:
        """When the attempt has failed, from within ``clientConnectionFailed``."""
        client = ClientRecorder()
        client.on_failed = lambda connector: connector.connect() if len(client.reasons) < 3 else None
        self.reactor.connectTCP(HERE, self.free(), client)
        await client.failed.times(3)
        await self.settle()
        assert client.told == ["start", *["connecting", "failed"] * 3, "stop"]

    @driven
    async def test_an_attempt_can_be_stopped(self) -> None:
        """The reason says that it was. There must be one."""
        for stop in ("stopConnecting", "disconnect"):
            client = ClientRecorder()
            connector = self.reactor.connectTCP(HERE, self.listen().getHost().port, client)
            getattr(connector, stop)()
            assert type(await client.failed.times()) is UserError
            with raises(NotConnectingError):
                connector.stopConnecting()
            await self.settle()
            assert client.told == ["start", "connecting", "failed", "stop"]

    @driven
    async def test_an_attempt_that_takes_its_time_can_be_stopped(self) -> None:
        """The kernel is connecting already."""
        full = FullPort(contract=self)
        try:
            client = ClientRecorder()
            connector = self.reactor.connectTCP(HERE, full.number, client)
            await self.settle()
            assert client.told == ["start", "connecting"]
            connector.stopConnecting()
            assert type(await client.failed.times()) is UserError
        finally:
            full.close()

    @driven
    async def test_an_attempt_has_its_time(self) -> None:
        """When that is over, the reason says so."""
        full = FullPort(contract=self)
        try:
            client = ClientRecorder()
            self.reactor.connectTCP(HERE, full.number, client, timeout=0.01)
            error = await client.failed.times()
            assert type(error) is TimeoutError
            assert isinstance(error, UserError)
        finally:
            full.close()

    @driven
    async def test_a_success_leaves_no_timer(self) -> None:
        """Nor does a failure."""
        before = len(self.reactor.getDelayedCalls())
        client, refused = ClientRecorder(), ClientRecorder()
        self.reactor.connectTCP(HERE, self.listen().getHost().port, client, timeout=1000)
        self.reactor.connectTCP(HERE, self.free(), refused, timeout=1000)
        await client.made.times()
        await refused.failed.times()
        assert len(self.reactor.getDelayedCalls()) == before

    @driven
    async def test_a_client_that_declines_gets_its_connection_closed(self) -> None:
        """Cleanly."""
        client = ClientRecorder()
        client.build = lambda: None
        self.reactor.connectTCP(HERE, self.listen().getHost().port, client)
        assert type(await client.lost.times()) is ConnectionDone

    @driven
    async def test_the_local_address_can_be_chosen(self) -> None:
        """If it is one of this machine's."""
        client, other = ClientRecorder(), ClientRecorder()
        number = self.listen().getHost().port
        free = self.free()
        self.reactor.connectTCP(HERE, number, client, bindAddress=(HERE, free))
        protocol = await client.made.times()
        assert protocol.transport.getHost() == IPv4Address("TCP", HERE, free)
        self.reactor.connectTCP(HERE, number, other, bindAddress=("192.0.2.1", 0))  # RFC 5737: nobody's
        assert type(await other.failed.times()) is ConnectBindError

    @driven
    async def test_names_are_looked_up(self) -> None:
        """The connector knows what it was asked for, the transport where it leads."""
        client = ClientRecorder()
        number = self.listen().getHost().port
        connector = self.reactor.connectTCP("localhost", number, client)
        protocol = await client.made.times()
        assert protocol.transport.getPeer() == IPv4Address("TCP", HERE, number)
        assert (connector.getDestination().host, connector.getDestination().port) == ("localhost", number)

    @driven
    async def test_a_name_that_is_none_fails(self) -> None:
        """The reason says that the look-up has failed."""
        client = ClientRecorder()
        self.reactor.connectTCP("a" * 70 + ".example", 79, client)  # RFC 1035: a label has 63 bytes at most
        assert type(await client.failed.times()) is DNSLookupError

    def test_the_end_of_the_reactor_is_the_end_of_all(self) -> None:
        """Ports are closed, connections and attempts end, and all hear of it."""
        server, client, trying = FactoryRecorder(), ClientRecorder(), ClientRecorder()
        full: list[FullPort] = []

        async def main() -> int:
            full.append(FullPort(contract=self))
            number = self.listen(server).getHost().port
            self.reactor.connectTCP(HERE, number, client)
            self.reactor.connectTCP(HERE, full[0].number, trying)
            await client.made.times()
            await server.made.times()
            return int(number)

        try:
            number = self.drive(main)
            assert client.told[-3:] == ["connectionLost", "lost", "stop"]
            assert server.told[-1] == "stop" or "connectionLost" in server.told
            assert len(server.built[0].reasons) == 1
            assert trying.told == ["start", "connecting", "failed", "stop"]
            assert self.free(number=number) == number
        finally:
            for each in full:
                each.close()
