"""From simple resolvers to others, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import CancelledError, Deferred, fail, succeed
from netcore.error import DNSLookupError
from netcore.resolver import ComplexResolverSimplifier, DictResolver, SimpleResolverComplexifier
from netcore.task import Clock
from tests.support.guard import Logged
from tests.support.resolving import ManualResolver, Receiver


class Simple:
    """Answers as it is told."""

    def __init__(self, answer: Callable[[str], Deferred[Any]]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[Any]:
        self.asked.append((name, timeout))
        return self.answer(name)


def ask(simple: Simple, *args: Any) -> Receiver:
    receiver = Receiver()
    assert SimpleResolverComplexifier(simple).resolveHostName(receiver, *args) is receiver.resolution
    return receiver


class TestComplexifier:
    def test_the_address_is_told(self) -> None:
        simple = Simple(lambda name: succeed("192.0.2.1"))
        receiver = ask(simple, "name.example", 79, None, "UDP")
        assert receiver.addresses == [IPv4Address("UDP", "192.0.2.1", 79)]
        assert receiver.complete
        assert simple.asked == [("name.example", ())]

    def test_only_ipv6_addresses_are_not_asked_for(self) -> None:
        simple = Simple(lambda name: succeed("192.0.2.1"))
        assert ask(simple, "name.example", 0, [IPv6Address]).told == ["began", "complete"]
        assert ask(simple, "192.0.2.1").told == ["began", "192.0.2.1", "complete"]
        assert ask(simple, "::1").told == ["began", "::1", "complete"]
        assert simple.asked == []

    def test_its_failure_is_the_error(self) -> None:
        error = DNSLookupError("name.example")
        receiver = ask(Simple(lambda name: fail(error)), "name.example")
        assert receiver.told == ["began", "complete"]
        assert receiver.resolution.error is error

    def test_an_unexpected_failure_is_logged_too(self, logged: Logged) -> None:
        def raises(name: str) -> Deferred[Any]:
            raise LookupError

        for answer in (lambda name: fail(LookupError()), raises):
            receiver = ask(Simple(answer), "name.example")
            assert type(receiver.resolution.error) is LookupError
        assert len(logged.take(LookupError)) == 2

    @pytest.mark.parametrize("junk", ["localhost", None, 3, "", b"192.0.2.1"])
    def test_what_is_no_address_is_an_error(self, junk: Any) -> None:
        receiver = ask(Simple(lambda name: succeed(junk)), "name.example")
        assert receiver.told == ["began", "complete"]
        assert repr(junk) in str(receiver.resolution.error)

    def test_cancelling_cancels(self) -> None:
        cancelled: list[Any] = []
        receiver = ask(Simple(lambda name: Deferred(cancelled.append)), "name.example")
        receiver.resolution.cancel()
        assert len(cancelled) == 1
        assert receiver.told == ["began", "complete"]


class TestSimplifier:
    def test_the_first_ipv4_address_is_the_result_and_the_rest_is_not_waited_for(self) -> None:
        clock, resolver = Clock(), ManualResolver()
        results: list[str] = []
        ComplexResolverSimplifier(resolver, clock).getHostByName("name.example").addCallback(results.append)
        asked = resolver.asked[0]
        asked.find("2001:db8::1")
        assert results == []
        asked.find("192.0.2.1", "192.0.2.2")
        assert results == ["192.0.2.1"]
        assert asked.cancelled
        assert clock.getDelayedCalls() == []

    def test_an_address_is_its_own(self) -> None:
        resolver = ManualResolver()
        deferred = ComplexResolverSimplifier(resolver, Clock()).getHostByName("192.0.2.1")
        assert deferred.result == "192.0.2.1"
        assert resolver.asked == []

    @pytest.mark.parametrize("name", ["unknown.example", "::1", "six.example", ""])
    def test_no_ipv4_address_is_an_error(self, name: str) -> None:
        clock = Clock()
        resolver = DictResolver({"six.example": "2001:db8::1"})
        failures: list[Any] = []
        ComplexResolverSimplifier(resolver, clock).getHostByName(name).addErrback(failures.append)
        assert failures[0].type is DNSLookupError
        assert repr(name) in failures[0].getErrorMessage()
        assert clock.getDelayedCalls() == []

    def test_the_error_has_its_cause(self) -> None:
        cause = OSError("no server answers")
        failures: list[Any] = []
        resolver = DictResolver({"name.example": [cause]})
        ComplexResolverSimplifier(resolver, Clock()).getHostByName("name.example").addErrback(failures.append)
        assert failures[0].value.__cause__ is cause
        assert "no server answers" in str(failures[0].value)

    @pytest.mark.parametrize(("timeout", "seconds"), [((1, 3), 4.0), ((), 60.0), ((0.5,), 0.5)])
    def test_it_has_the_sum_of_the_seconds(self, timeout: Any, seconds: float) -> None:
        clock, resolver = Clock(), ManualResolver()
        failures: list[Any] = []
        ComplexResolverSimplifier(resolver, clock).getHostByName("name.example", timeout).addErrback(failures.append)
        clock.advance(seconds - 0.25)
        assert failures == []
        clock.advance(0.25)
        assert failures[0].type is DNSLookupError
        assert f"{seconds:g} s" in failures[0].getErrorMessage()
        assert resolver.asked[0].cancelled

    def test_cancelling_cancels(self) -> None:
        clock, resolver = Clock(), ManualResolver()
        deferred = ComplexResolverSimplifier(resolver, clock).getHostByName("name.example")
        deferred.cancel()
        failures: list[Any] = []
        deferred.addErrback(failures.append)
        assert failures[0].type is CancelledError
        assert resolver.asked[0].cancelled
        assert clock.getDelayedCalls() == []

    @pytest.mark.parametrize("args", [("name.example", (-1,)), (3,)])
    def test_what_cannot_be_is_refused(self, args: Any) -> None:
        clock = Clock()
        with pytest.raises((ValueError, TypeError)):
            ComplexResolverSimplifier(DictResolver(), clock).getHostByName(*args)
        assert clock.getDelayedCalls() == []

    def test_a_resolver_that_raises_leaves_no_timer(self) -> None:
        class Broken(ManualResolver):
            def resolveHostName(self, *args: Any) -> Any:
                raise LookupError

        clock = Clock()
        with pytest.raises(LookupError):
            ComplexResolverSimplifier(Broken(), clock).getHostByName("name.example")
        assert clock.getDelayedCalls() == []

    def test_there_and_back(self) -> None:
        simple = Simple(lambda name: succeed("192.0.2.1"))
        back = ComplexResolverSimplifier(SimpleResolverComplexifier(simple), Clock())
        assert back.getHostByName("name.example").result == "192.0.2.1"
