"""Connectors on a clock, with attempts that succeed and fail as the test says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import Deferred
from netcore.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
    UserError,
)
from netcore.failure import Failure
from netcore.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from netcore.protocol import ClientFactory
from netcore.resolver import DictResolver, SimpleResolverComplexifier
from netcore.task import Clock
from netcore.transports import _tcp_connector
from netcore.transports._tcp_connector import Connector
from tests.support.guard import Logged


class FakeReactor(Clock):
    """A clock with what a connector needs beside."""

    _watcher = None
    _new_socket = None
    _refusing = False

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__()
        self.names = DictResolver(names, self)
        self.nameResolver: IHostnameResolver = self.names
        self._open: dict[Any, None] = {}

    def _keep(self, thing: Any) -> None:
        self._open[thing] = None

    def _drop(self, thing: Any) -> None:
        self._open.pop(thing, None)


class FakeDial:
    """In the place of a `Dial`: nothing happens until the test says so."""

    made: list[FakeDial]
    fails_at_once: dict[str, ConnectError]

    def __init__(
        self, watcher: None, new_socket: None, family: int, address: Any, bind: Any, context: Any, done: Any
    ) -> None:
        if address[0] in self.fails_at_once:
            raise self.fails_at_once[address[0]]
        self.family, self.address, self.bind, self._done = family, address, bind, done
        self.given_up = False
        self.names = ("127.0.0.1", 1), ("127.0.0.1", 2)
        self.made.append(self)

    @property
    def host(self) -> str:
        return str(self.address[0])

    def fail(self, error: ConnectError) -> None:
        assert not self.given_up
        self.given_up = True
        self._done(self, error)

    def succeed(self) -> None:
        assert not self.given_up
        self._done(self, None)

    def take(self) -> FakeSocket:
        return FakeSocket()

    def give_up(self) -> None:
        assert not self.given_up
        self.given_up = True


class FakeSocket:
    def close(self) -> None:
        pass


class FakeConnection:
    def start(self) -> None:
        pass


class Client(ClientFactory[Any]):
    noisy = False

    def __init__(self) -> None:
        self.reasons: list[Any] = []

    def buildProtocol(self, addr: Any) -> None:
        pass

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.reasons.append(reason.value)


@pytest.fixture(autouse=True)
def dials(monkeypatch: pytest.MonkeyPatch) -> list[FakeDial]:
    """Those that were made."""
    FakeDial.made = []
    FakeDial.fails_at_once = {}
    monkeypatch.setattr(_tcp_connector, "Dial", FakeDial)
    monkeypatch.setattr(Connector, "_connection", lambda self, *args: FakeConnection())
    return FakeDial.made


def connect(
    reactor: FakeReactor, host: str = "name.example", timeout: float | None = 30, bind: Any = None
) -> tuple[Connector, Client]:
    client = Client()
    connector = Connector(reactor, host, 79, client, timeout, bind)  # type: ignore[arg-type]
    connector.connect()
    reactor.advance(0)
    return connector, client


def hosts(dials: Iterable[FakeDial]) -> list[str]:
    return [dial.host for dial in dials]


def assert_nothing_is_left(reactor: FakeReactor, connector: Connector) -> None:
    assert reactor.getDelayedCalls() == []
    assert reactor._open == {}
    assert connector._dials == {}
    assert connector._search is None
    assert all(dial.given_up for dial in FakeDial.made)


BOTH = {"name.example": ["2001:db8::1", "2001:db8::2", "192.0.2.1"]}


class TestTheRace:
    def test_the_next_address_begins_after_the_delay(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor(BOTH)
        connect(reactor)
        assert hosts(dials) == ["2001:db8::1"]
        reactor.advance(0.2499)
        assert len(dials) == 1
        reactor.advance(0.0001)
        assert hosts(dials) == ["2001:db8::1", "192.0.2.1"]
        reactor.advance(0.25)
        assert hosts(dials)[2:] == ["2001:db8::2"]
        assert len(reactor.getDelayedCalls()) == 1  # the time limit

    def test_the_delay_can_be_chosen(self, dials: list[FakeDial], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Connector, "attemptDelay", 2.0)
        reactor = FakeReactor(BOTH)
        connect(reactor)
        reactor.advance(1.9)
        assert len(dials) == 1
        reactor.advance(0.1)
        assert len(dials) == 2

    def test_the_next_address_begins_at_once_when_one_fails_and_is_given_its_time(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor(BOTH)
        connect(reactor)
        reactor.advance(0.2)
        dials[0].fail(ConnectionRefusedError())
        assert hosts(dials) == ["2001:db8::1", "192.0.2.1"]
        reactor.advance(0.2)
        assert len(dials) == 2  # 0.25 from its own beginning
        reactor.advance(0.05)
        assert len(dials) == 3

    def test_addresses_that_fail_at_once_take_no_time(self, dials: list[FakeDial]) -> None:
        FakeDial.fails_at_once = {"2001:db8::1": NoRouteError(), "2001:db8::2": NoRouteError()}
        reactor = FakeReactor({"name.example": ["2001:db8::1", "2001:db8::2", "192.0.2.1"]})
        _, client = connect(reactor)
        assert hosts(dials) == ["192.0.2.1"]
        assert client.reasons == []
        assert len(reactor.getDelayedCalls()) == 1

    @pytest.mark.parametrize("winner", [0, 1, 2])
    def test_the_first_that_answers_wins_and_the_others_are_given_up(self, dials: list[FakeDial], winner: int) -> None:
        reactor = FakeReactor(BOTH)
        connector, client = connect(reactor)
        reactor.advance(0.25)
        reactor.advance(0.25)
        dials[winner].succeed()
        assert connector.state == "connected"
        assert [dial.given_up for dial in dials] == [each != winner for each in range(3)]
        assert reactor.getDelayedCalls() == []
        assert connector._dials == {}
        assert client.reasons == []

    def test_the_others_are_given_up_before_the_factory_hears_of_it(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor(BOTH)
        connector, client = connect(reactor)
        reactor.advance(0.25)

        def build(addr: Any) -> Any:
            assert dials[0].given_up
            connector.stopConnecting()

        client.buildProtocol = build  # type: ignore[method-assign]
        dials[1].succeed()
        assert [type(reason) for reason in client.reasons] == [UserError]
        assert not hasattr(client.reasons[0], "__notes__")

    def test_when_all_fail_the_most_telling_error_is_the_reason_with_the_others_as_notes(
        self, dials: list[FakeDial]
    ) -> None:
        reactor = FakeReactor(BOTH)
        connector, client = connect(reactor)
        dials[0].fail(ConnectionRefusedError())
        dials[1].fail(NoRouteError())
        assert client.reasons == []
        dials[2].fail(NoRouteError(string="nothing there"))
        (reason,) = client.reasons
        assert type(reason) is ConnectionRefusedError
        assert reason.__notes__ == [
            f"2001:db8::1 port 79: {ConnectionRefusedError()}",
            f"192.0.2.1 port 79: {NoRouteError()}",
            f"2001:db8::2 port 79: {NoRouteError(string='nothing there')}",
        ]
        assert_nothing_is_left(reactor, connector)

    def test_all_of_it_is_within_the_time_limit(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor({"name.example": [0.5, "2001:db8::1", 0.125, "192.0.2.1", 9, "192.0.2.2"]})
        connector, client = connect(reactor, timeout=1)
        for _ in range(8):
            reactor.advance(0.125)
        (reason,) = client.reasons
        assert type(reason) is TimeoutError
        assert reason.__notes__ == [
            "2001:db8::1 port 79: there was no answer yet",
            "192.0.2.1 port 79: there was no answer yet",
            "the look-up was not over yet",
        ]
        assert_nothing_is_left(reactor, connector)
        reactor.advance(100)
        assert len(client.reasons) == 1

    def test_an_attempt_made_again_begins_anew(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor(BOTH)
        connector, client = connect(reactor)
        for each in range(3):
            dials[each].fail(ConnectionRefusedError())
        connector.connect()
        reactor.advance(0)
        assert hosts(dials[3:]) == ["2001:db8::1"]
        dials[3].succeed()
        assert connector.state == "connected"
        assert len(client.reasons) == 1

    def test_a_factory_that_connects_again_when_told_is_served(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor({"name.example": "192.0.2.1"})
        connector, client = connect(reactor)
        client.clientConnectionFailed = lambda connector, reason: connector.connect()  # type: ignore[method-assign]
        for each in range(10):
            dials[each].fail(ConnectionRefusedError())
            reactor.advance(0)
        assert len(dials) == 11
        dials[-1].succeed()
        assert connector.state == "connected"


class TestTheSearch:
    def test_the_first_address_begins_while_the_search_goes_on(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor({"name.example": ["192.0.2.1", 0.1, "192.0.2.2", "2001:db8::1"]})
        connect(reactor)
        assert hosts(dials) == ["192.0.2.1"]
        reactor.advance(0.1)
        assert len(dials) == 1
        reactor.advance(0.15)
        assert hosts(dials) == ["192.0.2.1", "2001:db8::1"]

    def test_an_address_that_comes_late_begins_at_once(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor({"name.example": ["192.0.2.1", 2, "192.0.2.2"]})
        _, client = connect(reactor)
        dials[0].fail(ConnectionRefusedError())
        assert client.reasons == []
        reactor.advance(2)
        assert hosts(dials) == ["192.0.2.1", "192.0.2.2"]

    def test_a_search_is_ended_by_the_connection(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor({"name.example": ["192.0.2.1", 2, "192.0.2.2"]})
        connector, _ = connect(reactor)
        dials[0].succeed()
        assert connector.state == "connected"
        assert reactor.getDelayedCalls() == []

    @pytest.mark.parametrize("when", ["before anything", "while it looks", "while it connects"])
    @pytest.mark.parametrize("end", ["stopConnecting", "disconnect", "_shut_down", "time"])
    def test_an_attempt_that_is_ended_leaves_nothing_behind(self, dials: list[FakeDial], end: str, when: str) -> None:
        reactor = FakeReactor({"name.example": [1, "2001:db8::1", "192.0.2.1", 50, "192.0.2.2"]})
        client = Client()
        connector = Connector(reactor, "name.example", 79, client, 30, None)  # type: ignore[arg-type]
        connector.connect()
        if when != "before anything":
            reactor.advance(0)
        if when == "while it connects":
            reactor.advance(1)
            reactor.advance(0.25)
            assert len(dials) == 2
        if end == "time":
            reactor.advance(30)
        else:
            getattr(connector, end)()
        assert len(client.reasons) == 1
        assert isinstance(client.reasons[0], ConnectError)
        assert connector.state == "disconnected"
        assert_nothing_is_left(reactor, connector)

    @pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "fe80::1%1", ""])
    def test_an_address_is_not_looked_up_and_has_no_rest(self, dials: list[FakeDial], host: str) -> None:
        reactor = FakeReactor({})
        connect(reactor, host, timeout=None)
        assert hosts(dials) == [host.removesuffix("%1") or "0.0.0.0"]
        assert reactor.names.asked == []
        assert reactor.getDelayedCalls() == []

    def test_scopes_survive(self, dials: list[FakeDial]) -> None:
        reactor = FakeReactor({"name.example": "fe80::1%7"})
        connect(reactor)
        connect(reactor, "fe80::2%8")
        connect(reactor, "fe80::3%9", bind=("fe80::4%9", 5))
        assert [dial.address for dial in dials] == [
            ("fe80::1", 79, 0, 7),
            ("fe80::2", 79, 0, 8),
            ("fe80::3", 79, 0, 9),
        ]
        assert dials[2].bind == ("fe80::4", 5, 0, 9)

    @pytest.mark.parametrize(
        ("bind", "tried"),
        [
            (("192.0.2.9", 0), ["192.0.2.1"]),
            (("2001:db8::9", 0), ["2001:db8::1", "2001:db8::2"]),
            (("", 5), ["2001:db8::1", "192.0.2.1", "2001:db8::2"]),
            (("local.example", 0), ["2001:db8::1", "192.0.2.1", "2001:db8::2"]),
        ],
    )
    def test_the_local_address_says_which_family(
        self, dials: list[FakeDial], bind: tuple[str, int], tried: list[str]
    ) -> None:
        reactor = FakeReactor(BOTH)
        connect(reactor, bind=bind)
        for _ in range(3):
            reactor.advance(0.25)
        assert hosts(dials) == tried
        assert reactor.names.asked == ["name.example"]

    def test_no_address_of_the_local_ones_family_is_said_so(self) -> None:
        reactor = FakeReactor({"name.example": "2001:db8::1"})
        connector, client = connect(reactor, bind=("192.0.2.9", 0))
        (reason,) = client.reasons
        assert type(reason) is DNSLookupError
        assert "bindAddress, ('192.0.2.9', 0)" in str(reason)
        assert_nothing_is_left(reactor, connector)

    @pytest.mark.parametrize(
        ("steps", "told"),
        [([], "no address was found"), ([2, socket.gaierror(-3, "try again")], "try again")],
    )
    def test_a_search_that_finds_nothing_fails(self, steps: Any, told: str) -> None:
        reactor = FakeReactor({"name.example": steps})
        connector, client = connect(reactor)
        reactor.advance(2)
        (reason,) = client.reasons
        assert type(reason) is DNSLookupError
        assert "'name.example'" in str(reason)
        assert told in str(reason)
        assert reason.__cause__ is (steps[-1] if steps else None)
        assert_nothing_is_left(reactor, connector)

    def test_a_host_that_is_no_str_is_refused(self) -> None:
        with pytest.raises(TypeError, match="host"):
            Connector(FakeReactor({}), b"localhost", 79, Client(), 30, None)  # type: ignore[arg-type]

    def test_a_simple_resolver_is_asked(self, dials: list[FakeDial]) -> None:
        class Simple:
            def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:
                answer.addCallback(lambda _: "192.0.2.1")
                return answer  # type: ignore[return-value]

        answer: Deferred[None] = Deferred()
        reactor = FakeReactor({})
        reactor.nameResolver = SimpleResolverComplexifier(Simple())
        connect(reactor)
        assert dials == []
        answer.callback(None)
        assert hosts(dials) == ["192.0.2.1"]


class Careless:
    """A resolver that keeps to no rule: *tell* is called with the receiver."""

    def __init__(self, tell: Callable[[IResolutionReceiver], object]) -> None:
        self.tell = tell

    name = "name.example"

    def cancel(self) -> None:
        raise NotImplementedError

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolutionReceiver.resolutionBegan(self)
        self.tell(resolutionReceiver)
        return self


class TestCarelessResolvers:
    @pytest.mark.parametrize("kind", [ZeroDivisionError, asyncio.CancelledError])
    def test_one_that_raises(self, logged: Logged, kind: type[BaseException]) -> None:
        def tell(receiver: IResolutionReceiver) -> None:
            raise kind

        reactor = FakeReactor({})
        reactor.nameResolver = Careless(tell)
        connector, client = connect(reactor)
        (reason,) = client.reasons
        assert type(reason) is DNSLookupError
        assert type(reason.__cause__) is kind
        assert_nothing_is_left(reactor, connector)
        assert len(logged.take(kind)) == 1

    def test_one_that_raises_when_it_has_told_all(self, logged: Logged) -> None:
        def tell(receiver: IResolutionReceiver) -> None:
            receiver.resolutionComplete()
            raise LookupError

        reactor = FakeReactor({})
        reactor.nameResolver = Careless(tell)
        connector, client = connect(reactor)
        assert len(client.reasons) == 1
        assert_nothing_is_left(reactor, connector)
        assert len(logged.take(LookupError)) == 1

    def test_one_that_tells_of_a_name_as_an_address(self) -> None:
        """connect() would look it up, and block."""

        def tell(receiver: IResolutionReceiver) -> None:
            receiver.addressResolved(IPv4Address("TCP", "localhost", 79))
            receiver.resolutionComplete()

        reactor = FakeReactor({})
        reactor.nameResolver = Careless(tell)
        connector, client = connect(reactor)
        assert "'localhost'" in str(client.reasons[0])
        assert_nothing_is_left(reactor, connector)

    def test_one_that_tells_of_a_family_that_is_not_wanted(self, dials: list[FakeDial]) -> None:
        def tell(receiver: IResolutionReceiver) -> None:
            receiver.addressResolved(IPv6Address("TCP", "2001:db8::1", 79))
            receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", 79))
            receiver.resolutionComplete()

        reactor = FakeReactor({})
        reactor.nameResolver = Careless(tell)
        connect(reactor, bind=("127.0.0.1", 0))
        assert hosts(dials) == ["192.0.2.1"]

    def test_one_that_goes_on_when_it_was_cancelled(self, dials: list[FakeDial]) -> None:
        receivers: list[IResolutionReceiver] = []
        reactor = FakeReactor({})
        reactor.nameResolver = Careless(receivers.append)
        connector, client = connect(reactor)
        connector.stopConnecting()
        receivers[0].addressResolved(IPv4Address("TCP", "192.0.2.1", 79))
        receivers[0].resolutionComplete()
        assert dials == []
        assert [type(reason) for reason in client.reasons] == [UserError]
        connector.connect()
        reactor.advance(0)
        receivers[0].resolutionComplete()  # of the attempt before
        assert connector.state == "connecting"
        receivers[1].addressResolved(IPv4Address("TCP", "192.0.2.1", 79))
        dials[0].succeed()
        assert connector.state == "connected"

    def test_one_that_tells_twice_that_that_was_all(self, dials: list[FakeDial]) -> None:
        receivers: list[IResolutionReceiver] = []
        reactor = FakeReactor({})
        reactor.nameResolver = Careless(receivers.append)
        _, client = connect(reactor)
        receivers[0].addressResolved(IPv4Address("TCP", "192.0.2.1", 79))
        receivers[0].resolutionComplete()
        receivers[0].resolutionComplete()
        dials[0].fail(ConnectionRefusedError())
        receivers[0].resolutionComplete()
        assert len(client.reasons) == 1


class TestAddressTypes:
    """Which addresses of a name are tried, if it was said: endpoints for one family say it."""

    def begin(self, types: Any, bind: Any = None, names: Any = BOTH, host: str = "name.example") -> Any:
        reactor = FakeReactor(names)
        client = Client()
        connector = Connector(reactor, host, 79, client, 30, bind)  # type: ignore[arg-type]
        connector.connect()
        connector.addressTypes = types  # in time: it does not begin within connect()
        reactor.advance(0)
        for _ in range(10):
            reactor.advance(0.25)
        return reactor, connector, client

    @pytest.mark.parametrize(
        ("types", "bind", "tried"),
        [
            ((IPv4Address,), None, ["192.0.2.1"]),
            ((IPv6Address,), None, ["2001:db8::1", "2001:db8::2"]),
            ((IPv6Address, IPv4Address), None, ["2001:db8::1", "192.0.2.1", "2001:db8::2"]),
            ((IPv4Address,), ("192.0.2.9", 0), ["192.0.2.1"]),
        ],
    )
    def test_only_those_are_tried(self, dials: list[FakeDial], types: Any, bind: Any, tried: list[str]) -> None:
        reactor, connector, _ = self.begin(types, bind)
        assert hosts(dials) == tried
        connector.stopConnecting()
        assert_nothing_is_left(reactor, connector)

    @pytest.mark.parametrize("names", [{"name.example": ["2001:db8::1"]}, {"name.example": []}])
    def test_without_one_of_them_there_is_nothing_to_connect_to(self, dials: list[FakeDial], names: Any) -> None:
        reactor, connector, client = self.begin((IPv4Address,), names=names)
        (reason,) = client.reasons
        assert type(reason) is DNSLookupError
        assert dials == []
        assert_nothing_is_left(reactor, connector)

    def test_nor_from_an_address_of_the_other_family(self, dials: list[FakeDial]) -> None:
        reactor, connector, client = self.begin((IPv4Address,), ("2001:db8::9", 0))
        (reason,) = client.reasons
        assert "no address was found of IPv4 of the family of bindAddress, ('2001:db8::9', 0)" in str(reason)
        assert_nothing_is_left(reactor, connector)

    def test_an_address_is_connected_to_as_it_is(self, dials: list[FakeDial]) -> None:
        _, connector, _ = self.begin((IPv4Address,), host="2001:db8::1")
        assert hosts(dials) == ["2001:db8::1"]
        connector.stopConnecting()
