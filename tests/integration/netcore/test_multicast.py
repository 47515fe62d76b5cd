"""Groups of hosts, on the loopback interface.

IPv4 datagrams to groups pass there when it is named, and come back whatever the loopback mode. IPv6 ones have no route
there on most machines; so of IPv6 it is only tried what the kernel says of joining and leaving.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from netcore.error import CannotListenError, InvalidAddressError, MulticastJoinError, NotListeningError
from netcore.reactors import Reactor
from tests.integration.netcore.datagrams import Recorder

Run = Callable[..., Any]
GROUP, GROUP6 = "233.252.0.1", "ff02::114"  # RFC 6676 and RFC 4727: for documentation and experiments
LO = "127.0.0.1"
LOOPBACK = socket.if_nameindex()[0] if hasattr(socket, "if_nameindex") else (1, "lo")


def test_listeners_in_a_group_receive_what_is_sent_to_it(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        one, two = Recorder(), Recorder()
        first = reactor.listenMulticast(0, one, listenMultiple=True)
        second = reactor.listenMulticast(first.getHost().port, two, listenMultiple=True)
        assert (first.listenMultiple, first.getHost()) == (True, second.getHost())
        for port in (first, second):
            assert await port.joinGroup(GROUP, LO) is None
        sender = Recorder()
        from_here = reactor.listenMulticast(0, sender)
        assert await from_here.setOutgoingInterface(LO) == 1
        there = GROUP, first.getHost().port
        from_here.write(b"to all", there)
        expected = [(b"to all", (LO, from_here.getHost().port))]
        assert await one.count(1) == expected
        assert await two.count(1) == expected

        assert await second.leaveGroup(GROUP, LO) is None
        from_here.write(b"to one", there)
        assert [datagram for datagram, _ in await one.count(2)] == [b"to all", b"to one"]

    run(main)


def test_a_port_that_others_share_not_is_taken(reactor: Reactor) -> None:
    first = reactor.listenMulticast(0, Recorder())
    for multiple in (True, False):
        with pytest.raises(CannotListenError):
            reactor.listenMulticast(first.getHost().port, Recorder(), listenMultiple=multiple)


@pytest.mark.parametrize("interface", ["", "::1"])
def test_options(reactor: Reactor, interface: str) -> None:
    port = reactor.listenMulticast(0, Recorder(), interface=interface)
    assert port.getTTL() == 1
    for ttl in (0, 255):
        port.setTTL(ttl)
        assert port.getTTL() == ttl
    for ttl in (-1, 256):
        with pytest.raises(ValueError, match="0 to 255"):
            port.setTTL(ttl)
    assert port.getTTL() == 255
    assert port.getLoopbackMode() is True
    port.setLoopbackMode(False)
    assert port.getLoopbackMode() is False


def test_the_outgoing_interface_by_address(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        port = reactor.listenMulticast(0, Recorder())
        assert port.getOutgoingInterface() == "0.0.0.0"
        assert await port.setOutgoingInterface(LO) == 1
        assert port.getOutgoingInterface() == LO
        with pytest.raises(OSError):
            await port.setOutgoingInterface("203.0.113.1")
        wrong: list[Any] = ["lo", "localhost", "", 1, "::1"]
        for each in wrong:
            with pytest.raises(InvalidAddressError):
                port.setOutgoingInterface(each)
        assert port.getOutgoingInterface() == LO

    run(main)


def test_the_outgoing_interface_by_index_or_name(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        port = reactor.listenMulticast(0, Recorder(), interface="::")
        assert port.getOutgoingInterface() == 0
        index, name = LOOPBACK
        for each in (index, str(index), name):
            assert await port.setOutgoingInterface(each) == 1
            assert port.getOutgoingInterface() == index
            for any_one in (0, "::"):
                assert await port.setOutgoingInterface(any_one) == 1
                assert port.getOutgoingInterface() == 0
                assert await port.setOutgoingInterface(each) == 1
        with pytest.raises(OSError):
            await port.setOutgoingInterface(1 << 30)
        with pytest.raises(OSError, match="no interface"):
            await port.setOutgoingInterface("nosuch")
        for wrong in ("::1", -1, 1 << 31):
            with pytest.raises(InvalidAddressError):
                port.setOutgoingInterface(wrong)

    run(main)


@pytest.mark.parametrize(
    ("bound", "group", "where"),
    [
        ("", GROUP, LO),
        ("::", GROUP6, LOOPBACK[1]),
        ("::", GROUP6, LOOPBACK[0]),
        ("::", GROUP6, str(LOOPBACK[0])),
    ],
)
def test_a_group_is_joined_once_and_left_once(
    run: Run, reactor: Reactor, bound: str, group: str, where: str | int
) -> None:
    async def main() -> None:
        port = reactor.listenMulticast(0, Recorder(), interface=bound)
        with pytest.raises(MulticastJoinError):
            await port.leaveGroup(group, where)
        assert await port.joinGroup(group, where) is None
        with pytest.raises(MulticastJoinError) as raised:
            await port.joinGroup(group, where)
        assert raised.value.args[:2] == (group, where)
        assert isinstance(raised.value.__cause__, OSError)
        assert await port.leaveGroup(group, where) is None
        with pytest.raises(MulticastJoinError):
            await port.leaveGroup(group, where)

    run(main)


@pytest.mark.parametrize(
    ("bound", "group", "where"),
    [
        ("", LO, LO),  # no group
        ("", "localhost", LO),
        ("", GROUP6, ""),
        ("", GROUP, "203.0.113.1"),
        ("", GROUP, "lo"),
        ("", GROUP, 1),
        ("::", "::1", ""),
        ("::", GROUP, ""),
        ("::", GROUP6, "nosuch"),
        ("::", GROUP6, 1 << 30),
        ("::", GROUP6, -1),
        ("::", GROUP6, "fe80::1"),
        ("::", GROUP6 + "%lo", ""),
    ],
)
def test_what_cannot_be_joined(run: Run, reactor: Reactor, bound: str, group: str, where: str | int) -> None:
    async def main() -> None:
        port = reactor.listenMulticast(0, Recorder(), interface=bound)
        for method in (port.joinGroup, port.leaveGroup):
            with pytest.raises(MulticastJoinError) as raised:
                await method(group, where)
            assert raised.value.args[:2] == (group, where)
            assert len(raised.value.args) > 2

    run(main)


def test_a_closed_port_has_no_groups_and_no_options(run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        port = reactor.listenMulticast(0, Recorder())
        stopped = port.stopListening()
        assert stopped is not None
        await stopped
        for act in (
            lambda: port.joinGroup(GROUP),
            lambda: port.leaveGroup(GROUP),
            lambda: port.setTTL(1),
            port.getTTL,
            port.getLoopbackMode,
            lambda: port.setLoopbackMode(True),
            port.getOutgoingInterface,
            lambda: port.setOutgoingInterface(LO),
        ):
            with pytest.raises(NotListeningError):
                act()

    run(main)
