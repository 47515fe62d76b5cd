"""Names on loopback: looked up by the system and by resolvers of the test's own, and connected to."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import select
import socket
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import CancelledError, Deferred, succeed
from netcore.error import (
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    ReactorNotRunning,
    TimeoutError,
    UserError,
)
from netcore.failure import Failure
from netcore.interfaces import (
    IReactorPluggableNameResolver,
    IReactorPluggableResolver,
    provides,
)
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.reactors import Reactor
from netcore.resolver import (
    CachingResolver,
    ComplexResolverSimplifier,
    DictResolver,
    GAIResolver,
    SimpleResolverComplexifier,
    ThreadedResolver,
)
from netcore.task import deferLater
from netcore.transports.tcp import Connector
from tests.support.guard import Logged
from tests.support.resolving import Receiver

Run = Callable[..., Any]


class Client(ClientFactory[Any]):
    """Fires with the protocol that was connected, or with why none was."""

    noisy = False
    protocol = Protocol

    def __init__(self) -> None:
        self.connected = Deferred[Any]()
        self.failed = Deferred[Any]()

    def buildProtocol(self, addr: Any) -> Any:
        factory = self

        class Made(Protocol):
            def connectionMade(self) -> None:
                factory.connected.callback(self)

        return Made()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failed.callback(reason.value)


class Server(Factory[Any]):
    noisy = False
    protocol = Protocol


class System:
    """What stands in for the system's getaddrinfo(): notes what it is asked, and waits if it is *held*."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.real = socket.getaddrinfo

    def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            return self.real(host, port, family, type, proto, flags)
        self.asked.append(host)
        self.threads.add(threading.current_thread())
        assert self.go_on.wait(20)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            each
            for address in self.names[host]
            for each in self.real(address, port, type=type, flags=socket.AI_NUMERICHOST)
            if family in (socket.AF_UNSPEC, each[0])
        ]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    system = System()
    monkeypatch.setattr(socket, "getaddrinfo", system.getaddrinfo)
    yield system
    system.go_on.set()


def ask(reactor: Reactor, name: str, *args: Any) -> tuple[Receiver, Deferred[Receiver]]:
    """Look *name* up; the Deferred fires when that is complete."""
    done = Deferred[Receiver]()

    class Tells(Receiver):
        def resolutionComplete(self) -> None:
            super().resolutionComplete()
            done.callback(self)

    receiver = Tells()
    assert reactor.nameResolver.resolveHostName(receiver, name, *args) is receiver.resolution
    return receiver, done


class TestTheSystemsWay:
    def test_it_is_the_default(self, reactor: Reactor) -> None:
        assert provides(reactor, IReactorPluggableResolver)
        assert provides(reactor, IReactorPluggableNameResolver)
        assert type(reactor.nameResolver) is GAIResolver
        assert reactor.nameResolver is reactor.nameResolver

    def test_all_addresses_are_found_in_a_thread(self, reactor: Reactor, run: Run, system: System) -> None:
        system.names["both.example"] = ["2001:db8::1", "192.0.2.1"]

        async def main() -> None:
            receiver, done = ask(reactor, "both.example", 79, None, "UDP")
            assert receiver.told == ["began"]
            await done
            assert receiver.told == ["began", "2001:db8::1", "192.0.2.1", "complete"]
            assert receiver.addresses[0] == IPv6Address("UDP", "2001:db8::1", 79)
            assert receiver.addresses[1] == IPv4Address("UDP", "192.0.2.1", 79)
            assert (await ask(reactor, "both.example", 79, [IPv4Address])[1]).told[1:-1] == ["192.0.2.1"]

        run(main)
        assert threading.current_thread() not in system.threads

    def test_an_address_is_answered_at_once(self, reactor: Reactor, system: System) -> None:
        receiver, _ = ask(reactor, "127.0.0.1", 79)
        assert receiver.told == ["began", "127.0.0.1", "complete"]
        assert system.asked == []
        assert reactor._pool._pool is None

    def test_the_loop_goes_on_meanwhile(self, reactor: Reactor, run: Run, system: System) -> None:
        system.names["slow.example"] = ["192.0.2.1"]
        system.go_on.clear()

        async def main() -> None:
            receiver, done = ask(reactor, "slow.example")
            await deferLater(reactor, 0.001)
            assert receiver.told == ["began"]
            system.go_on.set()
            await done

        run(main)

    @pytest.mark.parametrize("name", ["unknown.example", "", "a..b", "a\0b", "\udcff", "a" * 70 + ".example"])
    def test_what_is_not_known_or_cannot_be_is_not_found(self, reactor: Reactor, run: Run, name: str) -> None:
        """(Twisted 26.10 never tells of the end for a name that cannot be encoded.)"""

        def unknown(host: str, *args: Any) -> Any:
            host.encode("idna")
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def main() -> None:
            reactor.installNameResolver(GAIResolver(reactor, getaddrinfo=unknown))
            receiver, done = ask(reactor, name)
            await done
            assert receiver.told == ["began", "complete"]
            assert isinstance(receiver.resolution.error, (socket.gaierror, UnicodeError))
            assert receiver.resolution.error.__traceback__ is None

        run(main)

    def test_the_pool_can_be_another(self, reactor: Reactor, run: Run, system: System) -> None:
        system.names["name.example"] = ["192.0.2.1"]

        async def main() -> None:
            pools: list[Any] = []

            def get() -> Any:
                pools.append(reactor.getThreadPool())
                return pools[-1]

            reactor.installNameResolver(GAIResolver(reactor, get))
            await ask(reactor, "name.example")[1]
            assert len(pools) == 1

        run(main)

    def test_one_that_was_cancelled_before_its_thread_came_is_not_made(
        self, reactor: Reactor, run: Run, system: System
    ) -> None:
        system.go_on.clear()
        reactor.suggestThreadPoolSize(1)

        async def main() -> None:
            _, first_done = ask(reactor, "one.example")
            second, second_done = ask(reactor, "two.example")
            _, third_done = ask(reactor, "three.example")
            second.resolution.cancel()
            assert second.told == ["began", "complete"]
            assert type(second.resolution.error) is CancelledError
            system.go_on.set()
            await first_done
            await second_done
            await third_done
            assert second.told == ["began", "complete"]

        run(main)
        assert system.asked == ["one.example", "three.example"]

    def test_what_is_found_for_a_cancelled_one_is_dropped(self, reactor: Reactor, run: Run, system: System) -> None:
        system.names["name.example"] = ["192.0.2.1"]
        system.go_on.clear()

        async def main() -> None:
            receiver, _ = ask(reactor, "name.example")
            while not system.asked:
                await deferLater(reactor, 0.001)
            receiver.resolution.cancel()
            system.go_on.set()
            await ask(reactor, "other.example")[1]
            assert receiver.told == ["began", "complete"]

        run(main)

    def test_a_reactor_that_was_disposed_of_hears_nothing(
        self, reactor: Reactor, system: System, logged: Logged
    ) -> None:
        system.go_on.clear()
        reactor.threadPatience = 0.001
        receivers: list[Receiver] = []

        def begin() -> None:
            receivers.append(ask(reactor, "name.example")[0])
            reactor.stop()

        reactor.callWhenRunning(begin)
        reactor.run(installSignalHandlers=False)
        reactor.dispose()
        assert "left behind" in logged.take()[0].getMessage()  # the thread
        system.go_on.set()
        assert receivers[0].told == ["began"]
        with pytest.raises(ReactorNotRunning):
            reactor.resolve("name.example")

    def test_a_stopped_pool_looks_nothing_up(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            reactor.getThreadPool().beginStop()
            receiver, done = ask(reactor, "name.example")
            await done
            assert "stopped" in str(receiver.resolution.error)

        run(main)

    def test_the_context_is_that_of_who_asked(self, reactor: Reactor, run: Run, system: System) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        done = Deferred[str]()

        class Looks(Receiver):
            def resolutionComplete(self) -> None:
                done.callback(variable.get())

        async def main() -> None:
            variable.set("asking")
            reactor.nameResolver.resolveHostName(Looks(), "name.example")
            variable.set("later")
            assert await done == "asking"

        run(main)


class TestResolve:
    def test_addresses_and_the_empty_name_are_answered_at_once(self, reactor: Reactor) -> None:
        assert reactor.resolve("192.0.2.1").result == "192.0.2.1"
        assert reactor.resolve("").result == "0.0.0.0"

    def test_a_name_is_looked_up(self, reactor: Reactor, run: Run, system: System) -> None:
        system.names["both.example"] = ["2001:db8::1", "192.0.2.1", "192.0.2.2"]

        async def main() -> None:
            assert await reactor.resolve("both.example") == "192.0.2.1"

        run(main)
        assert reactor.getDelayedCalls() == []

    def test_the_systems_own_names_are_known(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            assert (await reactor.resolve("localhost")).startswith("127.")

        run(main)

    @pytest.mark.parametrize("name", ["unknown.example", "::1", "six.example"])
    def test_what_is_not_found_fails(self, reactor: Reactor, run: Run, system: System, name: str) -> None:
        system.names["six.example"] = ["2001:db8::1"]

        async def main() -> None:
            with pytest.raises(DNSLookupError, match=name):
                await reactor.resolve(name)

        run(main)

    def test_it_times_out(self, reactor: Reactor, run: Run, system: System) -> None:
        system.go_on.clear()

        async def main() -> None:
            with pytest.raises(DNSLookupError, match=r"0\.002 s"):
                await reactor.resolve("slow.example", (0.001, 0.001))  # type: ignore[arg-type]
            system.go_on.set()

        run(main)

    @pytest.mark.parametrize("name", [None, b"localhost", 3])
    def test_what_is_no_str_is_refused(self, reactor: Reactor, name: Any) -> None:
        with pytest.raises(TypeError, match="str"):
            reactor.resolve(name)


class Simple:
    """A simple resolver that knows one address."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Sequence[int] | None]] = []

    def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:
        self.asked.append((name, timeout))
        return succeed("127.0.0.1")


class TestInstalling:
    def test_a_simple_resolver_is_asked_for_everything(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            simple = Simple()
            before = reactor.installResolver(simple)
            assert type(before) is ComplexResolverSimplifier
            assert type(reactor.nameResolver) is SimpleResolverComplexifier
            assert await reactor.resolve("one.example") == "127.0.0.1"
            assert await reactor.resolve("two.example", (1, 2)) == "127.0.0.1"
            client = Client()
            port = reactor.listenTCP(0, Server(), interface="127.0.0.1").getHost().port
            reactor.connectTCP("three.example", port, client)
            assert (await client.connected).transport.getPeer().host == "127.0.0.1"
            assert simple.asked == [("one.example", (1, 3, 11, 45)), ("two.example", (1, 2)), ("three.example", ())]
            assert reactor.installResolver(before) is simple
            assert await reactor.resolve("localhost") != ""
            assert len(simple.asked) == 3

        run(main)

    def test_a_name_resolver_is_asked_for_everything(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            names = DictResolver({"one.example": ["::1", "127.0.0.1"], "two.example": "127.0.0.1"})
            before = reactor.installNameResolver(names)
            assert reactor.nameResolver is names
            assert await reactor.resolve("one.example") == "127.0.0.1"
            client = Client()
            port = reactor.listenTCP(0, Server(), interface="127.0.0.1").getHost().port
            reactor.connectTCP("two.example", port, client)
            await client.connected
            assert names.asked == ["one.example", "two.example"]
            assert reactor.installNameResolver(before) is names
            assert reactor.nameResolver is before

        run(main)

    def test_the_one_that_is_there_can_be_wrapped(self, reactor: Reactor, run: Run, system: System) -> None:
        system.names["name.example"] = ["192.0.2.1"]

        async def main() -> None:
            reactor.installNameResolver(CachingResolver(reactor.nameResolver, reactor))
            for _ in range(3):
                assert await reactor.resolve("name.example") == "192.0.2.1"
            for _ in range(2):
                with pytest.raises(DNSLookupError):
                    await reactor.resolve("unknown.example")

        run(main)
        assert system.asked == ["name.example", "unknown.example"]

    def test_a_threaded_one_does_what_reactors_do(self, reactor: Reactor, run: Run, system: System) -> None:
        system.names["name.example"] = ["192.0.2.1"]

        async def main() -> None:
            reactor.installResolver(ThreadedResolver(reactor))
            assert await reactor.resolve("name.example") == "192.0.2.1"

        run(main)

    def test_without_a_clock_it_is_the_current_reactors(self, reactor: Reactor, run: Run) -> None:
        async def main() -> None:
            names = DictResolver({"slow.example": [0.001, "192.0.2.1"]})
            cache = CachingResolver(names)
            reactor.installNameResolver(cache)
            simple = ComplexResolverSimplifier(cache)
            assert await simple.getHostByName("slow.example") == "192.0.2.1"
            assert await simple.getHostByName("slow.example") == "192.0.2.1"
            assert names.asked == ["slow.example"]

        run(main)


# ---------------------------------------------------------------------------------------------------- happy eyeballs


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(Connector, "attemptDelay", 0.001)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a failure lets the next attempt begin."""
    monkeypatch.setattr(Connector, "attemptDelay", 1000.0)


class Hosts:
    """Several addresses of this machine with the same port: none, or a socket that accepts, or one that swallows."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.port = 0

    def _listen(self, host: str, backlog: int) -> socket.socket:
        listening = socket.create_server(
            (host, self.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=backlog
        )
        self._sockets.append(listening)
        self.port = listening.getsockname()[1]
        return listening

    def accept(self, host: str) -> socket.socket:
        listening = self._listen(host, 10)
        listening.settimeout(20)
        return listening

    def swallow(self, host: str) -> None:
        """Its queue is full: the kernel drops what asks for a connection."""
        listening = self._listen(host, 0)
        while True:
            sock = socket.socket(listening.family)
            self._sockets.append(sock)
            sock.setblocking(False)
            assert sock.connect_ex(listening.getsockname()) == errno.EINPROGRESS
            if not select.select([], [sock], [], 0.05)[1]:
                return

    def refuse(self) -> None:
        """All others do; this only finds a port."""
        self._listen("127.0.0.1", 1).close()

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def there() -> Iterator[Hosts]:
    hosts = Hosts()
    yield hosts
    hosts.close()


def connect(reactor: Reactor, there: Hosts, *steps: Any, **options: Any) -> tuple[Any, Client]:
    """Connect to a name with these addresses."""
    reactor.installNameResolver(DictResolver({"name.example": steps}, reactor))
    client = Client()
    return reactor.connectTCP("name.example", there.port, client, **options), client


class TestHappyEyeballs:
    @pytest.mark.usefixtures("slow")
    @pytest.mark.parametrize(
        ("steps", "taken"),
        [
            (["::1", "127.0.0.1"], "127.0.0.1"),
            (["127.0.0.2", "127.0.0.3", "127.0.0.1"], "127.0.0.1"),
            ([0.001, "::1", 0.001, "127.0.0.2", 0.001, "127.0.0.1"], "127.0.0.1"),
            (["127.0.0.1", 1000], "127.0.0.1"),
        ],
    )
    def test_the_next_is_tried_at_once_when_one_refuses(
        self, reactor: Reactor, run: Run, there: Hosts, steps: list[Any], taken: str
    ) -> None:
        async def main() -> None:
            there.accept(taken)
            connector, client = connect(reactor, there, *steps)
            protocol = await client.connected
            assert protocol.transport.getPeer() == IPv4Address("TCP", taken, there.port)
            assert connector.getDestination() == IPv4Address("TCP", "name.example", there.port)
            assert len(reactor.getDelayedCalls()) == 1  # the test's

        run(main)

    @pytest.mark.usefixtures("quick")
    @pytest.mark.parametrize("hole", ["::1", "127.0.0.2"])
    def test_one_that_does_not_answer_does_not_hold_up_the_next(
        self, reactor: Reactor, run: Run, there: Hosts, hole: str
    ) -> None:
        async def main() -> None:
            there.accept("127.0.0.1")
            there.swallow(hole)
            connector, client = connect(reactor, there, hole, "127.0.0.1")
            protocol = await client.connected
            assert protocol.transport.getPeer().host == "127.0.0.1"
            assert connector._dials == {}

        run(main)

    @pytest.mark.usefixtures("quick")
    def test_many_that_do_not_answer(self, reactor: Reactor, run: Run, there: Hosts) -> None:
        async def main() -> None:
            there.accept("::1")
            for number in range(2, 6):
                there.swallow(f"127.0.0.{number}")
            connector, client = connect(reactor, there, *(f"127.0.0.{number}" for number in range(2, 6)), 0.01, "::1")
            await client.connected
            connector.disconnect()

        run(main)

    @pytest.mark.usefixtures("slow")
    def test_a_server_sees_one_connection(self, reactor: Reactor, run: Run, there: Hosts) -> None:
        async def main() -> None:
            one, other = there.accept("127.0.0.1"), there.accept("::1")
            _, client = connect(reactor, there, "::1", "127.0.0.1")
            await client.connected
            assert select.select([one, other], [], [], 20)[0] == [other]

        run(main)

    def test_two_that_answer_at_once_make_one_connection(
        self, reactor: Reactor, run: Run, there: Hosts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both sockets are reported in the same turn; the second is closed by the first's callback."""
        monkeypatch.setattr(Connector, "attemptDelay", 0)

        async def main() -> None:
            one, other = there.accept("127.0.0.1"), there.accept("::1")
            for _ in range(20):
                _, client = connect(reactor, there, "::1", "127.0.0.1")
                connected = await client.connected
                lost = Deferred[Any]()
                connected.connectionLost = lambda reason, lost=lost: lost.callback(reason.value)
                accepting = one if connected.transport.getPeer().host == "127.0.0.1" else other
                of: Any = None
                while of != connected.transport.getHost().port:  # one that lost the race waits there, too
                    peer, (_, of, *_) = accepting.accept()
                    peer.close()
                assert type(await lost) is ConnectionDone

        run(main)

    @pytest.mark.usefixtures("slow")
    def test_if_none_answers_the_reason_says_what_came_of_each(
        self, reactor: Reactor, run: Run, there: Hosts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = socket.socket.connect_ex

        def connect_ex(sock: socket.socket, address: Any) -> int:
            return errno.ENETUNREACH if sock.family == socket.AF_INET6 else real(sock, address)

        monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)

        async def main() -> None:
            there.refuse()
            connector, client = connect(reactor, there, "127.0.0.2", "2001:db8::1", "127.0.0.3", "2001:db8::2")
            error = await client.failed
            assert type(error) is ConnectionRefusedError
            notes = error.__notes__
            assert [note.partition(" ")[0] for note in notes] == [
                "127.0.0.2",
                "2001:db8::1",
                "127.0.0.3",
                "2001:db8::2",
            ]
            assert str(NoRouteError()).rstrip(".") in notes[1]
            assert notes[0] in Failure(error).getTraceback()
            assert connector.state == "disconnected"

        run(main)

    @pytest.mark.usefixtures("quick")
    def test_the_time_limit_ends_all_attempts(self, reactor: Reactor, run: Run, there: Hosts) -> None:
        async def main() -> None:
            there.swallow("127.0.0.1")
            there.swallow("::1")
            _, client = connect(reactor, there, "::1", "127.0.0.1", 1000, timeout=0.05)
            error = await client.failed
            assert type(error) is TimeoutError
            assert "the look-up was not over yet" in error.__notes__
            assert len(reactor.getDelayedCalls()) == 1  # the test's

        run(main)

    @pytest.mark.usefixtures("quick")
    @pytest.mark.parametrize("steps", [[1000], ["127.0.0.1", 1000]])
    def test_stopping_ends_search_and_attempts(
        self, reactor: Reactor, run: Run, there: Hosts, steps: list[Any]
    ) -> None:
        async def main() -> None:
            there.swallow("127.0.0.1")
            connector, client = connect(reactor, there, *steps)
            await deferLater(reactor, 0.01)
            connector.stopConnecting()
            assert type(await client.failed) is UserError
            assert connector not in reactor._open
            assert len(reactor.getDelayedCalls()) == 1  # the test's

        run(main)

    @pytest.mark.parametrize("end", ["stop", "crash"])
    @pytest.mark.parametrize("pace", ["quick", "slow"])
    def test_the_reactor_may_end_meanwhile(
        self, request: pytest.FixtureRequest, reactor: Reactor, there: Hosts, pace: str, end: str
    ) -> None:
        request.getfixturevalue(pace)
        there.swallow("127.0.0.1")
        there.swallow("::1")

        def begin() -> None:
            reasons.append(connect(reactor, there, "::1", "127.0.0.1", 1000)[1].failed)
            reactor.callLater(0.01, getattr(reactor, end))

        reasons: list[Deferred[Any]] = []
        reactor.callWhenRunning(begin)
        reactor.run(installSignalHandlers=False)
        reactor.dispose()
        assert reasons[0].called

    @pytest.mark.usefixtures("slow")
    def test_what_failed_is_freed_at_once(self, reactor: Reactor, run: Run, there: Hosts) -> None:
        """Its errors hold frames: none of these may hold the error again."""

        async def main() -> None:
            there.refuse()
            gone: list[weakref.ref[Any]] = []
            for steps in (["127.0.0.2", "::1"], []):
                connector, client = connect(reactor, there, *steps)
                await client.failed
                await deferLater(reactor, 0)
                gone.append(weakref.ref(connector))
                del connector, client
            assert [each() for each in gone] == [None, None]

        gc.disable()
        try:
            run(main)
        finally:
            gc.enable()

    def test_the_local_address_restricts_the_families(self, reactor: Reactor, run: Run, there: Hosts) -> None:
        async def main() -> None:
            there.accept("127.0.0.1")
            there.accept("::1")
            _, client = connect(reactor, there, "::1", "127.0.0.1", bindAddress=("127.0.0.5", 0))
            transport = (await client.connected).transport
            assert (transport.getHost().host, transport.getPeer().host) == ("127.0.0.5", "127.0.0.1")

        run(main)

    def test_the_empty_name_is_this_machine(self, reactor: Reactor, run: Run, there: Hosts) -> None:
        """As in Twisted: it is 0.0.0.0, which Linux connects to loopback."""

        async def main() -> None:
            there.accept("127.0.0.1")
            client = Client()
            reactor.connectTCP("", there.port, client)
            assert (await client.connected).transport.getPeer().host == "127.0.0.1"

        run(main)

    def test_scopes_reach_the_kernel(self, reactor: Reactor, run: Run, there: Hosts) -> None:
        """Without one, a link-local address is an invalid argument; with one, there is just nobody there."""
        loopback = next(number for number, name in socket.if_nameindex() if name.startswith("lo"))

        async def main() -> None:
            there.refuse()
            _, client = connect(reactor, there, f"fe80::1%{loopback}")
            assert (await client.failed).osError.errno != errno.EINVAL

        run(main)

    @pytest.mark.parametrize("host", ["a\0b", "\udcff", "a..b"])
    def test_what_cannot_be_a_name_fails(self, reactor: Reactor, run: Run, host: str) -> None:
        async def main() -> None:
            client = Client()
            reactor.connectTCP(host, 79, client)
            assert type(await client.failed) is DNSLookupError

        run(main)

    def test_a_host_that_is_no_str_is_refused(self, reactor: Reactor) -> None:
        with pytest.raises(TypeError, match="host"):
            reactor.connectTCP(None, 79, Client())  # type: ignore[arg-type]
        assert reactor._open == {}
        assert reactor.getDelayedCalls() == []


@pytest.mark.usefixtures("quick")
def test_it_works_in_a_running_asyncio_loop(there: Hosts, system: System) -> None:
    system.names["name.example"] = ["::1", "127.0.0.2", "127.0.0.1"]

    async def main() -> None:
        reactor = Reactor.current()
        assert await reactor.resolve("name.example") == "127.0.0.2"
        client = Client()
        reactor.connectTCP("name.example", there.port, client)
        async with asyncio.timeout(20):
            assert (await client.connected).transport.getPeer().host == "127.0.0.1"
        lost = Client()
        reactor.connectTCP("unknown.example", there.port, lost)
        assert type(await lost.failed) is DNSLookupError

    there.accept("127.0.0.1")
    there.swallow("::1")
    asyncio.run(main())
    assert threading.current_thread() not in system.threads


def test_an_unexpected_failure_of_a_simple_resolver_is_the_cause(reactor: Reactor, run: Run, logged: Logged) -> None:
    class Broken:
        def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:
            raise LookupError(name)

    async def main() -> None:
        reactor.installResolver(Broken())
        client = Client()
        reactor.connectTCP("name.example", 79, client)
        error = await client.failed
        assert type(error) is DNSLookupError
        assert type(error.__cause__) is LookupError

    run(main)
    assert len(logged.take(LookupError)) == 1
