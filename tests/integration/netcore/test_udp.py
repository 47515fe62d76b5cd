"""UDP over loopback: what arrives, what is refused, and the end of a port.

A bare socket is the peer where the order of things matters: on loopback a datagram, and the ICMP message that refuses
it, are with their receiver when send(2) returns.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import succeed
from netcore.error import (
    CannotListenError,
    InvalidAddressError,
    MessageLengthError,
    NotListeningError,
    ReactorNotRunning,
    UnsupportedAddressFamily,
    UnsupportedSocketType,
)
from netcore.protocol import DatagramProtocol
from netcore.reactors import Reactor
from netcore.task import deferLater
from netcore.transports import _datagram_port
from tests.integration.netcore.datagrams import Recorder
from tests.support.guard import Logged

Run = Callable[..., Any]
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


@pytest.fixture
def bare() -> Iterator[Callable[..., socket.socket]]:
    """Makes bare UDP sockets, bound to loopback."""
    made: list[socket.socket] = []

    def bare(host: str = "127.0.0.1", port: int = 0, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        made.append(sock)
        sock.bind((host, port))
        sock.settimeout(20)
        return sock

    yield bare
    for sock in made:
        sock.close()


Bare = Callable[..., socket.socket]


def of(port: Any) -> tuple[str, int]:
    """The address of *port*, to be sent to."""
    host = port.getHost()
    return host.host, host.port


def nobody(bare: Bare) -> tuple[str, int]:
    """A loopback address where nobody receives."""
    sock = bare()
    name: tuple[str, int] = sock.getsockname()
    sock.close()
    return name


async def turn(reactor: Reactor) -> None:
    """Let the loop see to all that is ready now."""
    await deferLater(reactor, 0)
    await deferLater(reactor, 0)


# ------------------------------------------------------------------------------------------------------- there and back


@HOSTS
def test_datagrams_go_there_and_back(run: Run, reactor: Reactor, host: str) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        server.on_datagram = lambda self, datagram, addr: self.transport.write(datagram.upper(), addr)
        port = reactor.listenUDP(0, server, interface=host)
        ours = reactor.listenUDP(0, client, interface=host)
        assert server.transport is port
        client.transport.write(b"hello", of(port))
        client.transport.writeSequence([b"a", b"b"], of(port))
        assert await client.count(2) == [(b"HELLO", of(port)), (b"AB", of(port))]
        assert server.told == [(b"hello", of(ours)), (b"ab", of(ours))]

    run(main)


def test_the_address_is_that_of_the_socket(reactor: Reactor) -> None:
    four = reactor.listenUDP(0, Recorder(), interface="127.0.0.1")
    assert four.getHost() == IPv4Address("UDP", "127.0.0.1", four.getHost().port)
    assert four.getHost().port > 0
    assert f"127.0.0.1:{four.getHost().port}, open" in repr(four)
    assert reactor.listenUDP(0, Recorder()).getHost().host == "0.0.0.0"
    six = reactor.listenUDP(0, Recorder(), interface="::1")
    assert six.getHost() == IPv6Address("UDP", "::1", six.getHost().port)
    chosen = reactor.listenUDP(four.getHost().port, Recorder(), interface="127.0.0.2")
    assert of(chosen) == ("127.0.0.2", four.getHost().port)


def test_an_ipv6_port_for_all_addresses_hears_ipv4_too(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        both = Recorder()
        both.on_datagram = lambda self, datagram, addr: self.transport.write(b"answer", addr)
        port = reactor.listenUDP(0, both, interface="::")
        peer = bare()
        peer.sendto(b"question", ("127.0.0.1", port.getHost().port))
        mapped = f"::ffff:{peer.getsockname()[0]}", peer.getsockname()[1]
        assert await both.count(1) == [(b"question", mapped)]
        assert peer.recv(100) == b"answer"

    run(main)


def test_an_empty_datagram_is_one(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        receiver = Recorder()
        receiver.on_datagram = lambda self, datagram, addr: self.transport.write(b"", addr)
        port = reactor.listenUDP(0, receiver, interface="127.0.0.1")
        peer = bare()
        for _ in range(3):
            peer.sendto(b"", of(port))
        peer.sendto(b"end", of(port))
        told = await receiver.count(4)
        assert [datagram for datagram, _ in told] == [b"", b"", b"", b"end"]
        assert [peer.recv(100) for _ in range(4)] == [b""] * 4

    run(main)


def test_what_is_longer_than_max_packet_size_arrives_cut_off(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        receiver = Recorder()
        port = reactor.listenUDP(0, receiver, interface="127.0.0.1", maxPacketSize=4)
        peer = bare()
        for datagram in (b"12345678", b"1234", b"123"):
            peer.sendto(datagram, of(port))
        assert [datagram for datagram, _ in await receiver.count(3)] == [b"1234", b"1234", b"123"]

    run(main)


def test_the_largest_datagram_passes_and_a_larger_one_is_refused(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        receiver = Recorder()
        port = reactor.listenUDP(0, receiver, interface="127.0.0.1", maxPacketSize=70000)
        largest = bytes(65507)  # 65535 less the headers of IP and UDP
        port.write(largest, of(port))
        with pytest.raises(MessageLengthError, match="65508 bytes"):
            port.write(largest + b"!", of(port))
        assert await receiver.count(1) == [(largest, of(port))]

    run(main)


def test_the_loop_sees_to_others_while_many_datagrams_wait(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        in_turn: list[int] = []  # how many were received in each turn of the loop
        receiver = Recorder()

        def count(self: Recorder, datagram: bytes, addr: Any) -> None:
            if not in_turn or in_turn[-1] < 0:
                in_turn.append(0)
                reactor.loop.call_soon(lambda: in_turn.append(-1))
            in_turn[-1] += 1

        receiver.on_datagram = count
        port = reactor.listenUDP(0, receiver, interface="127.0.0.1")
        peer = bare()
        total = _datagram_port.READ_AT_ONCE * 2 + 5
        for number in range(total):
            peer.sendto(b"%d" % number, of(port))
        told = await receiver.count(total)
        assert [datagram for datagram, _ in told] == [b"%d" % number for number in range(total)]
        most = max(in_turn)
        assert most == _datagram_port.READ_AT_ONCE, "as many at once as may be, and no more"

    run(main)


# ------------------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "name", ["localhost", "", "127.1", "0177.0.0.1", "2130706433", "127.0.0.1%lo", "example.com", "a:b"]
)
def test_only_literal_addresses_can_be_sent_to(reactor: Reactor, name: str) -> None:
    for interface in ("127.0.0.1", "::1"):
        port = reactor.listenUDP(0, Recorder(), interface=interface)
        for act in (lambda port=port: port.write(b"x", (name, 9)), lambda port=port: port.connect(name, 9)):
            with pytest.raises(InvalidAddressError) as raised:
                act()
            assert raised.value.address == name
            assert "look the name up first" in str(raised.value)


@pytest.mark.parametrize(
    ("interface", "other"),
    [("127.0.0.1", "::1"), ("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "127.0.0.1")],
)
def test_addresses_of_the_other_family_are_refused(reactor: Reactor, interface: str, other: str) -> None:
    port = reactor.listenUDP(0, Recorder(), interface=interface)
    for act in (lambda: port.write(b"x", (other, 9)), lambda: port.connect(other, 9)):
        with pytest.raises(InvalidAddressError, match="the other family: this port's addresses are IPv"):
            act()


def test_what_else_cannot_be_sent_is_refused(reactor: Reactor) -> None:
    port = reactor.listenUDP(0, Recorder(), interface="127.0.0.1")
    with pytest.raises(InvalidAddressError, match="say where to send to"):
        port.write(b"x")
    with pytest.raises(ValueError, match="65536"):
        port.write(b"x", ("127.0.0.1", 65536))
    with pytest.raises(TypeError, match="bytes-like"):
        port.write("x", ("127.0.0.1", 9))  # type: ignore[arg-type]
    with pytest.raises(OSError) as raised:
        port.write(b"x", ("127.0.0.1", 0))
    assert raised.value.errno == errno.EINVAL


def test_the_zone_of_an_ipv6_address_counts(reactor: Reactor) -> None:
    port = reactor.listenUDP(0, Recorder(), interface="::1")
    port.write(b"x", ("::1%1", port.getHost().port))
    with pytest.raises(InvalidAddressError, match="zone"):
        port.write(b"x", ("fe80::1%nosuchzone", 9))
    with pytest.raises(InvalidAddressError, match="zone"):
        reactor.listenUDP(0, Recorder(), interface="fe80::1%nosuchzone")


@pytest.mark.parametrize("interface", ["localhost", "127.1", "::x"])
def test_an_interface_is_a_literal_address(reactor: Reactor, interface: str) -> None:
    with pytest.raises(InvalidAddressError) as raised:
        reactor.listenUDP(0, Recorder(), interface=interface)
    assert raised.value.address == interface


def test_bad_numbers_are_refused(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="65535"):
        reactor.listenUDP(65536, Recorder())
    with pytest.raises(ValueError, match="maxPacketSize"):
        reactor.listenUDP(0, Recorder(), maxPacketSize=0)


def test_a_port_that_is_taken_cannot_be_listened_on(reactor: Reactor, bare: Bare) -> None:
    taken = bare().getsockname()[1]
    recorder = Recorder()
    with pytest.raises(CannotListenError) as raised:
        reactor.listenUDP(taken, recorder, interface="127.0.0.1")
    assert (raised.value.interface, raised.value.port) == ("127.0.0.1", taken)
    assert raised.value.socketError.errno == errno.EADDRINUSE
    assert recorder.transport is None
    with pytest.raises(CannotListenError):
        reactor.listenUDP(0, Recorder(), interface="203.0.113.1")  # RFC 5737: nobody's


def test_broadcast_is_allowed_when_asked_for(reactor: Reactor) -> None:
    port = reactor.listenUDP(0, Recorder(), interface="127.0.0.1")
    assert port.getBroadcastAllowed() is False
    for name in ("<broadcast>", "127.255.255.255"):
        with pytest.raises(PermissionError):
            port.write(b"x", (name, 9))
    port.setBroadcastAllowed(True)
    assert port.getBroadcastAllowed() is True
    port.write(b"x", ("127.255.255.255", 9))
    port.setBroadcastAllowed(False)
    assert port.getBroadcastAllowed() is False
    with pytest.raises(InvalidAddressError):
        reactor.listenUDP(0, Recorder(), interface="::1").write(b"x", ("<broadcast>", 9))


# ------------------------------------------------------------------------------------------------------------ connected


@HOSTS
def test_a_connected_port_hears_its_peer_only(run: Run, reactor: Reactor, bare: Bare, host: str) -> None:
    async def main() -> None:
        client = Recorder()
        port = reactor.listenUDP(0, client, interface=host)
        peer, stranger = bare(host), bare(host)
        stranger.sendto(b"sent before", of(port))
        port.connect(*peer.getsockname()[:2])
        with pytest.raises(ConnectionRefusedError):  # what the kernel says now
            stranger.connect(of(port))
            for _ in range(2):
                stranger.send(b"sent after")
        peer.sendto(b"from the peer", of(port))
        assert await client.count(1) == [(b"from the peer", peer.getsockname()[:2])]
        port.write(b"without an address")
        port.write(b"with it", peer.getsockname()[:2])
        assert [peer.recv(100), peer.recv(100)] == [b"without an address", b"with it"]
        with pytest.raises(InvalidAddressError, match="not where this port is connected to"):
            port.write(b"elsewhere", stranger.getsockname()[:2])
        with pytest.raises(RuntimeError, match="connected already"):
            port.connect(*stranger.getsockname()[:2])

    run(main)


def test_connecting_tells_the_local_address(reactor: Reactor, bare: Bare) -> None:
    port = reactor.listenUDP(0, Recorder())
    port.connect(*bare().getsockname())
    assert of(port) == ("127.0.0.1", port.getHost().port)


def test_a_port_that_could_not_connect_may_try_again(reactor: Reactor, bare: Bare) -> None:
    port = reactor.listenUDP(0, Recorder(), interface="127.0.0.1")
    with pytest.raises(OSError):
        port.connect("255.255.255.255", 9)  # EACCES: broadcast is not allowed
    with pytest.raises(InvalidAddressError, match="connect first"):
        port.write(b"x")
    peer = bare()
    port.connect(*peer.getsockname())
    port.write(b"x")
    assert peer.recv(10) == b"x"


def test_refused_datagrams_are_told_and_the_port_goes_on(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        client = Recorder()
        port = reactor.listenUDP(0, client, interface="127.0.0.1")
        there = nobody(bare)
        port.connect(*there)
        for round in range(1, 4):  # uvloop's poll handle stops at such an error
            port.write(b"is anybody there?")
            assert await client.count(round) == ["refused"] * round
            await turn(reactor)  # else the next is read together with this one
        peer = bare(*there)
        peer.sendto(b"now", of(port))
        assert (await client.count(4))[3] == (b"now", there)
        port.write(b"good")
        assert peer.recv(100) == b"good"

    run(main)


def test_a_refusal_reported_to_write_is_told_in_the_next_turn_and_the_datagram_sent(
    run: Run, reactor: Reactor, bare: Bare
) -> None:
    async def main() -> None:
        client = Recorder()
        port = reactor.listenUDP(0, client, interface="127.0.0.1")
        there = nobody(bare)
        port.connect(*there)
        port.write(b"nobody hears this")
        peer = bare(*there)
        client.do(port, "write", b"this is heard")  # send(2) fails, for the first one
        assert peer.recv(100) == b"this is heard"
        await client.count(1)
        await turn(reactor)
        peer.sendto(b"answer", of(port))
        assert await client.count(2) == ["refused", (b"answer", there)]
        peer.close()
        for _ in range(10):
            client.do(port, "write", b"nobody again")
        await client.count(3)
        await turn(reactor)
        assert client.told.count("refused") in {2, 3}  # one for all that were reported to write(), one for the last
        peer = bare(*there)
        peer.sendto(b"still here", of(port))
        while client.told[-1] != (b"still here", there):
            await client.count(len(client.told) + 1)

    run(main)


def test_writing_when_refused_does_not_recurse(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        client = Recorder()

        class Stubborn(Recorder):
            def connectionRefused(self) -> None:
                super().connectionRefused()
                if len(self.told) < 2000:
                    self.transport.write(b"again")
                    self.do(self.transport, "write", b"and again")

        client = Stubborn()
        reactor.listenUDP(0, client, interface="127.0.0.1").connect(*nobody(bare))
        client.transport.write(b"first")
        await client.count(sys.getrecursionlimit() + 100)

    run(main)


# ---------------------------------------------------------------------------------------------------- what callbacks do


def test_what_a_protocol_raises_is_logged_and_the_port_goes_on(
    run: Run, reactor: Reactor, bare: Bare, logged: Logged
) -> None:
    async def main() -> None:
        class Broken(Recorder):
            def connectionRefused(self) -> None:
                super().connectionRefused()
                raise KeyError("refused")

            def stopProtocol(self) -> None:
                super().stopProtocol()
                raise LookupError("stop")

        broken = Broken()
        broken.on_datagram = lambda self, datagram, addr: 1 / 0
        port = reactor.listenUDP(0, broken, interface="127.0.0.1")
        peer = bare()
        peer.sendto(b"1", of(port))
        peer.sendto(b"2", of(port))
        await broken.count(2)
        await turn(reactor)
        records = logged.take(ZeroDivisionError)
        assert [record.getMessage() for record in records] == [f"datagramReceived of {broken!r} raised"] * 2
        port.connect(*nobody(bare))
        port.write(b"x")
        await broken.count(3)
        await turn(reactor)
        assert len(logged.take(KeyError)) == 1
        await port.stopListening()
        assert broken.told[2:] == ["refused", "stopped"]
        (record,) = logged.take(LookupError)
        assert record.getMessage() == f"doStop of {broken!r} raised"

    run(main)


def test_what_start_protocol_raises_is_raised_and_the_socket_closed(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        recorder = Recorder()
        closed: list[Any] = []

        def fail(self: Recorder) -> None:
            port = self.transport
            closed.append((port, port.stopListening()))
            raise ZeroDivisionError

        recorder.on_start = fail
        with pytest.raises(ZeroDivisionError):
            reactor.listenUDP(0, recorder, interface="127.0.0.1")
        ((port, stopped),) = closed
        assert await stopped is None
        assert port.stopListening() is None
        assert recorder.transport is None
        assert recorder.told == [], "what did not start does not stop"
        recorder.on_start = lambda self: None
        again = reactor.listenUDP(port.getHost().port, recorder, interface="127.0.0.1")
        assert recorder.transport is again

    run(main)


def test_a_protocol_has_one_port_at_a_time(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        recorder = Recorder()
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        with pytest.raises(RuntimeError, match="one of its own"):
            reactor.listenUDP(0, recorder, interface="127.0.0.1")
        assert recorder.transport is port
        with pytest.raises(RuntimeError, match="listens already"):
            port.startListening()
        await port.stopListening()
        assert recorder.told == ["stopped"]
        other = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        assert recorder.transport is other

    run(main)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_escapes(reactor: Reactor, bare: Bare, error: type[BaseException]) -> None:
    recorder = Recorder()

    def end(self: Recorder, datagram: bytes, addr: Any) -> None:
        if datagram == b"end":
            raise error

    recorder.on_datagram = end
    port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
    peer = bare()
    peer.sendto(b"end", of(port))
    with pytest.raises(error):
        reactor.run(installSignalHandlers=False)
    peer.sendto(b"more", of(port))
    reactor.callWhenRunning(lambda: recorder.count(2).addCallback(lambda _: reactor.stop()))
    reactor.run(installSignalHandlers=False)
    assert [told[0] for told in recorder.told[:2]] == [b"end", b"more"]


asked = contextvars.ContextVar("asked", default="nobody")


def test_callbacks_run_in_a_context_of_the_port(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        seen: list[str] = []
        asked.set("the one who listened")
        recorder = Recorder()

        def start(self: Recorder) -> None:
            seen.append(asked.get())
            asked.set("the protocol")

        recorder.on_start = start
        recorder.on_datagram = lambda self, datagram, addr: seen.append(asked.get())
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        assert asked.get() == "the one who listened"
        asked.set("somebody else")
        bare().sendto(b"x", of(port))
        await recorder.count(1)
        assert seen == ["the one who listened", "the protocol"]

    run(main)


# -------------------------------------------------------------------------------------------------------------- the end


def test_stopping(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        recorder = Recorder()
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        peer, address = bare(), of(port)
        peer.sendto(b"not received any more", address)
        stopped = recorder.do(port, "stopListening")
        stopped_too = recorder.do(port, "stopListening")
        port.write(b"still sent", peer.getsockname())
        assert peer.recv(100) == b"still sent"
        assert await stopped is None
        assert await stopped_too is None
        assert recorder.told == ["stopped"]
        assert port.stopListening() is None
        assert of(port) == address
        assert "closed" in repr(port)
        bare(*address)  # it is free
        for act in (
            lambda: port.write(b"x", peer.getsockname()),
            lambda: port.connect(*address),
            lambda: port.setBroadcastAllowed(True),
            port.getBroadcastAllowed,
        ):
            with pytest.raises(NotListeningError, match="does not listen"):
                act()

    run(main)


def test_a_port_can_listen_again(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        recorder = Recorder()
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        port.connect(*nobody(bare))
        await port.stopListening()
        port.startListening()
        port.write(b"to myself", of(port))
        assert await recorder.count(2) == ["stopped", (b"to myself", of(port))]

    run(main)


def test_stopping_from_within_datagram_received(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        recorder = Recorder()
        results: list[Any] = []

        def stop(self: Recorder, datagram: bytes, addr: Any) -> None:
            port = self.transport
            self.do(port, "stopListening").addCallback(results.append)
            port.write(b"bye", addr)

        recorder.on_datagram = stop
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        peer = bare()
        for number in range(3):
            peer.sendto(b"%d" % number, of(port))
        assert await recorder.count(2) == [(b"0", peer.getsockname()), "stopped"]
        await turn(reactor)
        assert len(recorder.told) == 2
        assert results == [None]
        assert peer.recv(100) == b"bye"

    run(main)


def test_stopping_from_within_start_protocol(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        recorder = Recorder()
        recorder.on_start = lambda self: self.transport.stopListening()
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        await recorder.count(1)
        assert recorder.told == ["stopped"]
        assert port.stopListening() is None

    run(main)


def test_cancelling_the_end_changes_nothing(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        recorder = Recorder()
        stopped: Any = reactor.listenUDP(0, recorder, interface="127.0.0.1").stopListening()
        stopped.addErrback(lambda _: None).cancel()
        assert await recorder.count(1) == ["stopped"]

    run(main)


def test_the_end_of_the_reactor_closes_ports(reactor: Reactor) -> None:
    running, late, stopping = Recorder(), Recorder(), Recorder()
    results: list[Any] = []

    def begin() -> None:
        reactor.listenUDP(0, running, interface="127.0.0.1")
        stopped: Any = reactor.listenUDP(0, stopping, interface="127.0.0.1").stopListening()
        stopped.addCallback(results.append)
        reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("after", "shutdown", lambda: reactor.listenUDP(0, late, interface="127.0.0.1"))
    reactor.run(installSignalHandlers=False)
    assert running.told == late.told == stopping.told == ["stopped"]
    assert results == [None]
    kept, between = Recorder(), Recorder()
    port = reactor.listenUDP(0, kept, interface="127.0.0.1")
    ending: Any = reactor.listenUDP(0, between, interface="127.0.0.1").stopListening()
    assert between.told == [], "there is no turn in which it could close"
    ending.addCallback(results.append)
    reactor.dispose()
    assert kept.told == between.told == ["stopped"]
    assert results == [None, None]
    with pytest.raises(ReactorNotRunning):
        reactor.listenUDP(0, Recorder())
    with pytest.raises(ReactorNotRunning):
        port.startListening()


def test_an_attached_reactor_disposed_of_in_a_callback(bare: Bare) -> None:
    recorder = Recorder()
    starting = Recorder()

    async def main() -> None:
        reactor = Reactor.current()
        recorder.on_datagram = lambda self, datagram, addr: reactor.dispose()
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        peer = bare()
        peer.sendto(b"1", of(port))
        peer.sendto(b"2", of(port))
        await recorder.count(2)
        assert recorder.told == [(b"1", peer.getsockname()), "stopped"]

    async def while_starting() -> None:
        reactor = Reactor.current()
        starting.on_start = lambda self: reactor.dispose()
        reactor.listenUDP(0, starting, interface="127.0.0.1")
        assert starting.told == ["stopped"]

    asyncio.run(asyncio.wait_for(main(), 20))
    asyncio.run(while_starting())


def test_a_descriptor_that_went_bad_is_reported_and_the_port_closed(
    run: Run, reactor: Reactor, bare: Bare, logged: Logged
) -> None:
    async def main() -> None:
        recorder = Recorder()
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        stream = socket.create_server(("127.0.0.1", 0))
        ready = socket.create_connection(stream.getsockname())
        accepted, _ = stream.accept()
        # The number is another file's now, which is none to receive datagrams from.
        accepted.shutdown(socket.SHUT_RDWR)
        read_end, write_end = os.pipe()
        os.write(write_end, b"x")
        inner = port._socket
        assert inner is not None
        os.dup2(read_end, inner.fileno())
        port._watch_anew()
        assert await recorder.count(1) == ["stopped"]
        (record,) = logged.take()
        assert "receiving failed" in record.getMessage()
        for end in (read_end, write_end):
            os.close(end)
        for sock in (stream, ready, accepted):
            sock.close()

    run(main)


# ------------------------------------------------------------------------------------------------------------- adoption


@HOSTS
def test_a_bound_socket_can_be_adopted(run: Run, reactor: Reactor, bare: Bare, host: str) -> None:
    async def main() -> None:
        given, peer = bare(host), bare(host)
        recorder = Recorder()
        recorder.on_datagram = lambda self, datagram, addr: self.transport.write(datagram.upper(), addr)
        port = reactor.adoptDatagramPort(given.fileno(), given.family, recorder, maxPacketSize=3)
        assert of(port) == given.getsockname()[:2]
        peer.sendto(b"hello", of(port))
        assert await recorder.count(1) == [(b"hel", peer.getsockname()[:2])]
        assert peer.recv(100) == b"HEL"
        await port.stopListening()
        assert recorder.told[1:] == ["stopped"]
        peer.sendto(b"to you", given.getsockname())
        assert given.recv(100) == b"to you", "the caller's is open"
        with pytest.raises(RuntimeError, match="another must be adopted"):
            port.startListening()

    run(main)


def test_an_adopted_socket_may_be_connected(run: Run, reactor: Reactor, bare: Bare) -> None:
    async def main() -> None:
        given, peer = bare(), bare()
        given.connect(peer.getsockname())
        recorder = Recorder()
        port = reactor.adoptDatagramPort(given.fileno(), socket.AF_INET, recorder)
        port.write(b"hello")
        assert peer.recv(100) == b"hello"
        peer.close()
        port.write(b"nobody")
        assert await recorder.count(1) == ["refused"]
        given.close()

    run(main)


def test_what_cannot_be_adopted_is_refused(reactor: Reactor, bare: Bare, tmp_path: Any) -> None:
    udp, tcp = bare(), bare(kind=socket.SOCK_STREAM)
    recorder = Recorder()
    for family in (socket.AF_INET6, socket.AF_UNIX, 12345):
        with pytest.raises(UnsupportedAddressFamily):
            reactor.adoptDatagramPort(udp.fileno(), family, recorder)
    with pytest.raises(UnsupportedSocketType):
        reactor.adoptDatagramPort(tcp.fileno(), socket.AF_INET, recorder)
    with open(tmp_path / "file", "wb") as file, pytest.raises(OSError):
        reactor.adoptDatagramPort(file.fileno(), socket.AF_INET, recorder)
    with pytest.raises(ValueError, match="maxPacketSize"):
        reactor.adoptDatagramPort(udp.fileno(), socket.AF_INET, recorder, maxPacketSize=0)
    recorder.on_start = lambda self: 1 / 0
    with pytest.raises(ZeroDivisionError):
        reactor.adoptDatagramPort(udp.fileno(), socket.AF_INET, recorder)
    assert reactor._open == {}


# ------------------------------------------------------------------------------------------------------- attached, logs


def test_udp_in_an_asyncio_program(bare: Bare) -> None:
    recorder = Recorder()

    async def main() -> None:
        reactor = Reactor.current()
        recorder.on_datagram = lambda self, datagram, addr: self.transport.write(datagram.upper(), addr)
        port = reactor.listenUDP(0, recorder, interface="127.0.0.1")
        client = Recorder()
        ours = reactor.listenUDP(0, client, interface="127.0.0.1")
        ours.connect(*of(port))
        ours.write(b"hello")
        assert await client.count(1) == [(b"HELLO", of(port))]
        await ours.stopListening()
        assert client.told[1:] == ["stopped"]

    asyncio.run(asyncio.wait_for(main(), 20))
    assert recorder.told[1:] == ["stopped"], "the program's end"


def test_a_noisy_protocol_is_logged(run: Run, reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    class Noisy(DatagramProtocol):
        """Says when it starts and stops."""

    async def main() -> None:
        with caplog.at_level(logging.INFO, "netcore"):
            await (reactor.listenUDP(0, Noisy(), interface="127.0.0.1").stopListening() or succeed(None))

    run(main)
    told = [record.getMessage() for record in caplog.records if "Noisy" in record.getMessage()]
    assert [line.split(" ")[0] for line in told if "protocol" in line][:2] == ["<UDP", "Starting"]
    assert any(line.startswith("Stopping protocol") for line in told)
