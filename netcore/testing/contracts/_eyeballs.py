"""``connectTCP`` to names with several addresses: RFC 8305, "Happy Eyeballs"."""

from __future__ import annotations

from typing import Any

from netcore.address import IPv4Address, IPv6Address
from netcore.error import (
    CannotListenError,
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
    UserError,
)
from netcore.interfaces import IReactorPluggableNameResolver, IReactorTCP, provides
from netcore.resolver import DictResolver
from netcore.testing.contracts._contract import driven
from netcore.testing.contracts._recorder import ClientRecorder, FactoryRecorder
from netcore.testing.contracts._tcp import HERE, FullPort, LoopbackContract

__all__ = ["HappyEyeballsContract"]

HERE_TOO = "::1"
NAME = "name.example"
LONG = 1000.0  # seconds: no test takes so long
QUICK = 0.001
TRIES = 20  # to find a number that is free at several addresses


class HappyEyeballsContract(LoopbackContract):
    """What `IReactorTCP.connectTCP` makes of a name with several addresses. Override `makeReactor`.

    The reactor is an `IReactorPluggableNameResolver` too, and the tests put a resolver of theirs into it. They need the
    loopback interface, with IPv4 and IPv6; `newSocket` is its.
    """

    interface = IReactorTCP

    def setAttemptDelay(self, connector: Any, seconds: float) -> None:
        """Have *connector*, which was made a moment ago, wait so long from one address to the next, unless that fails
        before. Override it if this is not what *attemptDelay* says."""
        connector.attemptDelay = seconds

    def setup_method(self) -> None:
        """Begin a test."""
        super().setup_method()
        self._holes: list[FullPort] = []

    def teardown_method(self) -> None:
        """End a test."""
        try:
            super().teardown_method()
        finally:
            for hole in self._holes:
                hole.close()

    async def declares(self) -> None:
        """It provides both interfaces."""
        await super().declares()
        assert provides(self.reactor, IReactorPluggableNameResolver)

    def knows(self, *steps: Any) -> DictResolver:
        """Have `NAME` looked up to what a `DictResolver` makes of *steps*."""
        resolver = DictResolver({NAME: steps}, self.reactor)
        self.reactor.installNameResolver(resolver)
        return resolver

    def connect(self, number: int, client: Any, delay: float = LONG, **options: Any) -> Any:
        """Connect to `NAME`."""
        connector = self.reactor.connectTCP(NAME, number, client, **options)
        self.setAttemptDelay(connector, delay)
        return connector

    def number(self, listening: tuple[str, ...] = (), full: tuple[str, ...] = (), server: Any = None) -> int:
        """A port that answers at the addresses *listening*, swallows what comes at *full*, and refuses at all others.

        Args:
            server: its factory.
        """
        tries = 0
        while True:
            number, ports, holes = 0, [], []
            try:
                for host in full:
                    holes.append(hole := FullPort(host, number, self))
                    number = hole.number
                for host in listening:
                    ports.append(self.reactor.listenTCP(number, server or FactoryRecorder(), interface=host))
                    number = ports[-1].getHost().port
                for host in {HERE, HERE_TOO}.difference(full, listening):
                    number = self.free(host, number)
            except (CannotListenError, OSError):  # pragma: no cover - somebody else has it, at another of the addresses
                for port in ports:
                    port.stopListening()
                for hole in holes:
                    hole.close()
                tries += 1
                if tries == TRIES:
                    raise
            else:
                self._holes += holes
                return number

    @driven
    async def test_the_next_address_is_tried_at_once_when_one_refuses(self) -> None:
        """Whatever the family; the delay is not waited for."""
        for refusing, answering, kind in ((HERE_TOO, HERE, IPv4Address), (HERE, HERE_TOO, IPv6Address)):
            self.knows(refusing, answering)
            number, client = self.number(listening=(answering,)), ClientRecorder()
            connector = self.connect(number, client)
            protocol = await client.made.times()
            assert protocol.transport.getPeer() == kind("TCP", answering, number) == client.addr
            assert (connector.getDestination().host, connector.getDestination().port) == (NAME, number)
            assert client.told == ["start", "connecting", "build", "made"]

    @driven
    async def test_an_address_that_does_not_answer_does_not_hold_up_the_next(self) -> None:
        """That begins when the delay is over, and leaves no timer when it has answered."""
        before = len(self.reactor.getDelayedCalls())
        for swallowing, answering in ((HERE_TOO, HERE), (HERE, HERE_TOO)):
            self.knows(swallowing, answering)
            client = ClientRecorder()
            self.connect(self.number(listening=(answering,), full=(swallowing,)), client, QUICK)
            protocol = await client.made.times()
            assert protocol.transport.getPeer().host == answering
        assert len(self.reactor.getDelayedCalls()) == before

    @driven
    async def test_if_the_first_answers_no_other_is_asked(self) -> None:
        """There is one connection."""
        server, client = FactoryRecorder(), ClientRecorder()
        self.knows(HERE_TOO, HERE)
        before = len(self.reactor.getDelayedCalls())
        self.connect(self.number(listening=(HERE_TOO, HERE), server=server), client)
        protocol = await client.made.times()
        assert protocol.transport.getPeer().host == HERE_TOO
        await server.made.times()
        await self.settle()
        assert len(server.built) == len(client.built) == 1
        assert len(self.reactor.getDelayedCalls()) == before

    @driven
    async def test_the_factory_hears_of_one_connection_though_two_may_be_made(self) -> None:
        """Whichever is the first; the other is closed, without a word."""
        server, client = FactoryRecorder(), ClientRecorder()
        self.knows(HERE_TOO, HERE)
        self.connect(self.number(listening=(HERE_TOO, HERE), server=server), client, delay=0)
        protocol = await client.made.times()
        await self.settle()
        assert client.told == ["start", "connecting", "build", "made"]
        protocol.transport.write(b"it stands")
        while not any(each.received for each in server.built):
            await self.turn()
        for each in server.built:
            if not each.received:
                await each.lost.times()
        assert client.told == ["start", "connecting", "build", "made"]

    @driven
    async def test_the_first_address_is_tried_while_others_are_looked_for(self) -> None:
        """The look-up is of no more use when it has answered, and is cancelled."""
        self.knows(HERE, LONG, HERE_TOO)
        before = len(self.reactor.getDelayedCalls())
        client = ClientRecorder()
        self.connect(self.number(listening=(HERE,)), client)
        await client.made.times()
        assert len(self.reactor.getDelayedCalls()) == before

    @driven
    async def test_an_address_that_is_found_late_is_tried(self) -> None:
        """When all that were found before have failed."""
        self.knows(QUICK, HERE_TOO, QUICK, HERE)
        client = ClientRecorder()
        self.connect(self.number(listening=(HERE,)), client)
        protocol = await client.made.times()
        assert protocol.transport.getPeer().host == HERE

    @driven
    async def test_if_all_fail_the_factory_hears_of_it_once(self) -> None:
        """The reason is one of theirs, and of one type: a refusal, if there is one."""
        self.knows(HERE_TOO, HERE)
        client = ClientRecorder()
        self.connect(self.number(), client)
        error = await client.failed.times()
        assert type(error) is ConnectionRefusedError
        assert isinstance(error, ConnectError)
        await self.settle()
        assert client.told == ["start", "connecting", "failed", "stop"]

    @driven
    async def test_a_name_without_addresses_fails(self) -> None:
        """The reason says that the look-up has failed."""
        for steps in ((), (QUICK,), (LookupError("no such name"),)):
            self.knows(*steps)
            client = ClientRecorder()
            self.connect(79, client)
            assert type(await client.failed.times()) is DNSLookupError

    @driven
    async def test_the_time_limit_is_for_all_of_it(self) -> None:
        """The look-up, and attempts; nothing is left of either."""
        before = len(self.reactor.getDelayedCalls())
        number = self.number(full=(HERE_TOO, HERE))
        for steps in ((LONG,), (HERE_TOO, HERE), (HERE_TOO, LONG, HERE)):
            self.knows(*steps)
            client = ClientRecorder()
            self.connect(number, client, QUICK, timeout=0.01)
            error = await client.failed.times()
            assert type(error) is TimeoutError
            await self.settle()
            assert client.told == ["start", "connecting", "failed", "stop"]
        assert len(self.reactor.getDelayedCalls()) == before

    @driven
    async def test_stopping_ends_look_up_and_attempts(self) -> None:
        """As soon as that is asked for."""
        before = len(self.reactor.getDelayedCalls())
        number = self.number(full=(HERE_TOO, HERE))
        for steps in ((LONG,), (HERE_TOO, HERE), (HERE_TOO, LONG, HERE)):
            self.knows(*steps)
            client = ClientRecorder()
            connector = self.connect(number, client, QUICK)
            await self.settle()
            connector.stopConnecting()
            assert type(await client.failed.times()) is UserError
            await self.settle()
            assert client.told == ["start", "connecting", "failed", "stop"]
        assert len(self.reactor.getDelayedCalls()) == before

    @driven
    async def test_trying_again_asks_again(self) -> None:
        """The name may have other addresses by now."""
        resolver = self.knows(HERE_TOO)
        client = ClientRecorder()

        def again(connector: Any) -> None:
            resolver[NAME] = [HERE]
            connector.connect()

        client.on_failed = again
        self.connect(self.number(listening=(HERE,)), client)
        protocol = await client.made.times()
        assert protocol.transport.getPeer().host == HERE
        assert resolver.asked == [NAME, NAME]

    @driven
    async def test_the_local_address_says_which_family(self) -> None:
        """Others cannot be reached from there."""
        number = self.number(listening=(HERE_TOO, HERE))
        for local in (HERE, HERE_TOO):
            self.knows(HERE_TOO, HERE)
            client = ClientRecorder()
            self.connect(number, client, bindAddress=(local, 0))
            protocol = await client.made.times()
            assert protocol.transport.getHost().host == protocol.transport.getPeer().host == local

    def test_the_end_of_the_reactor_ends_it(self) -> None:
        """The factory hears of it."""
        clients: list[ClientRecorder] = []

        async def main() -> None:
            number = self.number(full=(HERE_TOO, HERE))
            for steps in ((LONG,), (HERE_TOO, HERE), (HERE_TOO, LONG, HERE)):
                self.knows(*steps)
                clients.append(ClientRecorder())
                self.connect(number, clients[-1], QUICK)
                await self.settle()

        self.drive(main)
        assert [client.told for client in clients] == [["start", "connecting", "failed", "stop"]] * 3
