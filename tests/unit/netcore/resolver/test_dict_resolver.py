"""`DictResolver`, and with it what all resolvers have in common: the question, and what a receiver is told."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import CancelledError
from netcore.resolver import DictResolver
from netcore.task import Clock
from tests.support.guard import Logged
from tests.support.resolving import Receiver


def ask(resolver: Any, *args: Any) -> Receiver:
    receiver = Receiver()
    assert resolver.resolveHostName(receiver, *args) is receiver.resolution
    return receiver


def test_what_is_written_down_is_found_in_order() -> None:
    resolver = DictResolver({"both.example": ["2001:db8::1", "192.0.2.1"], "one.example": "192.0.2.2"})
    receiver = ask(resolver, "both.example", 79)
    assert receiver.told == ["began", "2001:db8::1", "192.0.2.1", "complete"]
    assert receiver.addresses == [IPv6Address("TCP", "2001:db8::1", 79), IPv4Address("TCP", "192.0.2.1", 79)]
    assert receiver.resolution.name == "both.example"
    assert receiver.resolution.error is None
    assert ask(resolver, "One.Example").told == ["began", "192.0.2.2", "complete"]
    assert ask(resolver, "unknown.example").told == ["began", "complete"]
    assert resolver.asked == ["both.example", "One.Example", "unknown.example"]


def test_a_name_can_be_given_other_addresses() -> None:
    resolver = DictResolver()
    resolver["name.example"] = ["192.0.2.1"]
    assert ask(resolver, "name.example").told[1:-1] == ["192.0.2.1"]
    resolver["NAME.example"] = "192.0.2.2"
    assert ask(resolver, "name.example").told[1:-1] == ["192.0.2.2"]


def test_waits_are_waited_on_the_clock() -> None:
    clock = Clock()
    resolver = DictResolver({"slow.example": [1, "192.0.2.1", "192.0.2.2", 0.5, "192.0.2.3", 2]}, clock)
    receiver = ask(resolver, "slow.example")
    assert receiver.told == ["began"]
    clock.advance(1)
    assert receiver.told == ["began", "192.0.2.1", "192.0.2.2"]
    clock.advance(0.5)
    assert receiver.told[3:] == ["192.0.2.3"]
    clock.advance(2)
    assert receiver.told[4:] == ["complete"]


def test_an_exception_ends_it() -> None:
    error = socket.gaierror(socket.EAI_AGAIN, "try again")
    receiver = ask(DictResolver({"broken.example": ["192.0.2.1", error, "192.0.2.2"]}), "broken.example")
    assert receiver.told == ["began", "192.0.2.1", "complete"]
    assert receiver.resolution.error is error


@pytest.mark.parametrize(
    ("steps", "kind"),
    [(["localhost"], ValueError), ("", ValueError), ([-1], ValueError), ([None], TypeError), ([b"x"], TypeError)],
)
def test_what_cannot_be_is_refused(steps: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        DictResolver({"name.example": steps})


@pytest.mark.parametrize(
    ("host", "types", "semantics", "found"),
    [
        ("192.0.2.1", None, "TCP", [IPv4Address("TCP", "192.0.2.1", 79)]),
        ("192.0.2.1", [IPv4Address], "UDP", [IPv4Address("UDP", "192.0.2.1", 79)]),
        ("192.0.2.1", [IPv6Address], "TCP", []),
        ("::1", None, "UDP", [IPv6Address("UDP", "::1", 79)]),
        ("::1", (IPv4Address,), "TCP", []),
        ("fe80::1%3", None, "TCP", [IPv6Address("TCP", "fe80::1", 79, 0, 3)]),
    ],
)
def test_addresses_are_their_own(host: str, types: Any, semantics: str, found: list[Any]) -> None:
    resolver = DictResolver()
    assert ask(resolver, host, 79, types, semantics).addresses == found
    assert resolver.asked == []


def test_only_what_is_wanted_is_told() -> None:
    resolver = DictResolver({"both.example": ["::1", "127.0.0.1"]})
    assert ask(resolver, "both.example", 0, [IPv6Address]).told[1:-1] == ["::1"]
    assert ask(resolver, "both.example", 0, [IPv4Address]).told[1:-1] == ["127.0.0.1"]
    assert ask(resolver, "both.example", 0, [IPv4Address, IPv6Address]).told[1:-1] == ["::1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (("name.example", 0, None, "SCTP"), ValueError),
        (("name.example", 0, []), ValueError),
        (("name.example", 0, [int]), ValueError),
        ((b"name.example",), TypeError),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_told(args: Any, kind: type[Exception]) -> None:
    receiver = Receiver()
    with pytest.raises(kind):
        DictResolver().resolveHostName(receiver, *args)
    assert receiver.told == []


@pytest.mark.parametrize("name", ["", "a\0b", "\udcff", "a" * 70 + ".example", "a..b"])
def test_a_name_that_cannot_be_one_is_just_not_known(name: str) -> None:
    assert ask(DictResolver(), name).told == ["began", "complete"]


class TestCancelling:
    def test_the_receiver_hears_at_once_that_that_was_all(self) -> None:
        clock = Clock()
        receiver = ask(DictResolver({"slow.example": ["192.0.2.1", 1, "192.0.2.2"]}, clock), "slow.example")
        receiver.resolution.cancel()
        assert receiver.told == ["began", "192.0.2.1", "complete"]
        assert type(receiver.resolution.error) is CancelledError
        assert clock.getDelayedCalls() == []
        receiver.resolution.cancel()
        assert receiver.told.count("complete") == 1

    def test_in_the_middle_of_being_told(self) -> None:
        class Enough(Receiver):
            def addressResolved(self, address: Any) -> None:
                super().addressResolved(address)
                self.resolution.cancel()

        receiver = Enough()
        DictResolver({"name.example": ["192.0.2.1", "192.0.2.2"]}).resolveHostName(receiver, "name.example")
        assert receiver.told == ["began", "192.0.2.1", "complete"]

    def test_before_anything_is_looked_up(self) -> None:
        class Never(Receiver):
            def resolutionBegan(self, resolutionInProgress: Any) -> None:
                super().resolutionBegan(resolutionInProgress)
                resolutionInProgress.cancel()

        receiver, resolver = Never(), DictResolver()
        resolver.resolveHostName(receiver, "name.example")
        assert receiver.told == ["began", "complete"]
        assert resolver.asked == []

    def test_when_it_is_over_it_does_nothing(self) -> None:
        receiver = ask(DictResolver(), "name.example")
        receiver.resolution.cancel()
        assert receiver.told == ["began", "complete"]
        assert receiver.resolution.error is None


class TestReceiversThatRaise:
    @pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
    @pytest.mark.parametrize("where", ["addressResolved", "resolutionComplete"])
    def test_are_logged_and_told_the_rest(self, logged: Logged, where: str, kind: type[BaseException]) -> None:
        receiver = Receiver()
        told = getattr(receiver, where)

        def raises(*args: Any) -> None:
            told(*args)
            raise kind(where)

        setattr(receiver, where, raises)
        DictResolver({"name.example": "192.0.2.1"}).resolveHostName(receiver, "name.example")
        assert receiver.told == ["began", "192.0.2.1", "complete"]
        (record,) = logged.take(kind)
        assert "name.example" in record.getMessage()

    def test_at_the_beginning_raise_to_who_asked(self) -> None:
        class Refuses(Receiver):
            def resolutionBegan(self, resolutionInProgress: Any) -> None:
                raise LookupError

        with pytest.raises(LookupError):
            DictResolver().resolveHostName(Refuses(), "name.example")


def test_receivers_are_told_in_the_context_of_who_asked() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    class Looks(Receiver):
        def addressResolved(self, address: Any) -> None:
            seen.append(variable.get())
            variable.set("changed by the receiver")

        def resolutionComplete(self) -> None:
            seen.append(variable.get())

    clock = Clock()
    variable.set("asking")
    DictResolver({"name.example": [1, "192.0.2.1"]}, clock).resolveHostName(Looks(), "name.example")
    variable.set("later")
    clock.advance(1)
    assert seen == ["asking", "asking"]
    assert variable.get() == "later"


def test_a_resolution_says_how_it_stands() -> None:
    receiver = ask(DictResolver({"slow.example": [1]}, Clock()), "slow.example")
    assert repr(receiver.resolution) == "<Resolution of 'slow.example', under way>"
    receiver.resolution.cancel()
    assert "over" in repr(receiver.resolution)
