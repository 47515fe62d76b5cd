"""`CachingResolver` on a clock, over a resolver that answers when the test says so."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import CancelledError
from netcore.error import DNSLookupError
from netcore.resolver import CachingResolver, DictResolver
from netcore.task import Clock
from tests.support.guard import Logged
from tests.support.resolving import ManualResolver, Receiver


class Cached:
    """A cache and what is around it."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.asked = ManualResolver()
        self.cache = CachingResolver(self.asked, self.clock, **options)

    def ask(self, name: str = "name.example", *args: Any) -> Receiver:
        receiver = Receiver()
        assert self.cache.resolveHostName(receiver, name, *args) is receiver.resolution
        return receiver

    def answer(self, *hosts: str, error: BaseException | None = None) -> None:
        """End the last look-up."""
        self.asked.asked[-1].find(*hosts)
        self.asked.asked[-1].end(error)


@pytest.fixture
def cached() -> Cached:
    return Cached()


class TestKeeping:
    def test_what_was_found_is_found_again_until_its_time_is_over(self, cached: Cached) -> None:
        first = cached.ask("name.example", 79)
        cached.answer("192.0.2.1", "2001:db8::1")
        assert first.told == ["began", "192.0.2.1", "2001:db8::1", "complete"]
        cached.clock.advance(29.9)
        again = cached.ask("Name.Example", 80)
        assert again.addresses == [IPv4Address("TCP", "192.0.2.1", 80), IPv6Address("TCP", "2001:db8::1", 80)]
        assert again.complete
        assert len(cached.asked.asked) == 1
        cached.clock.advance(0.1)
        assert cached.ask().told == ["began"]
        assert len(cached.asked.asked) == 2

    def test_time_counts_from_the_answer(self, cached: Cached) -> None:
        cached.ask()
        cached.clock.advance(100)
        cached.answer("192.0.2.1")
        cached.clock.advance(29)
        assert cached.ask().complete

    def test_a_use_does_not_prolong_it(self) -> None:
        cached = Cached(ttl=10)
        cached.ask()
        cached.answer("192.0.2.1")
        for _ in range(3):
            cached.clock.advance(3)
            assert cached.ask().complete
        cached.clock.advance(1)
        assert not cached.ask().complete

    @pytest.mark.parametrize(
        "error",
        [
            None,
            socket.gaierror(socket.EAI_NONAME, "unknown"),
            DNSLookupError("unknown"),
            UnicodeError("label too long"),
        ],
        ids=repr,
    )
    def test_that_there_is_nothing_is_kept_for_a_shorter_time(
        self, cached: Cached, error: BaseException | None
    ) -> None:
        cached.ask()
        cached.answer(error=error)
        cached.clock.advance(9.9)
        again = cached.ask()
        assert again.told == ["began", "complete"]
        assert again.resolution.error is error
        cached.clock.advance(0.1)
        assert not cached.ask().complete

    @pytest.mark.parametrize(
        "error",
        [socket.gaierror(socket.EAI_AGAIN, "no server answers"), RuntimeError("pool stopped"), CancelledError("x")],
        ids=repr,
    )
    def test_what_may_be_gone_with_the_next_try_is_not_kept(self, cached: Cached, error: BaseException) -> None:
        first = cached.ask()
        cached.answer(error=error)
        assert first.resolution.error is error
        assert not cached.ask().complete
        wrapped = DNSLookupError("failed")
        wrapped.__cause__ = error
        cached.answer(error=wrapped)
        assert not cached.ask().complete

    def test_kept_errors_hold_no_frames(self, cached: Cached) -> None:
        error = DNSLookupError("unknown")
        try:
            raise error
        except DNSLookupError:
            cached.ask()
            cached.answer(error=error)
        assert error.__traceback__ is None

    def test_there_is_a_bound_and_the_one_not_used_for_longest_goes(self) -> None:
        cached = Cached(size=2)
        for name in ("one.example", "two.example"):
            cached.ask(name)
            cached.answer("192.0.2.1")
        assert cached.ask("one.example").complete
        cached.ask("three.example")
        cached.answer("192.0.2.3")
        assert len(cached.cache) == 2
        assert cached.ask("one.example").complete
        assert cached.ask("three.example").complete
        assert not cached.ask("two.example").complete

    @pytest.mark.parametrize("options", [{"size": 0}, {"ttl": 0, "negativeTTL": 0}])
    def test_nothing_at_all_may_be_kept(self, options: Any) -> None:
        cached = Cached(**options)
        cached.ask()
        cached.answer("192.0.2.1")
        cached.ask()
        cached.answer()
        assert not cached.ask().complete
        assert len(cached.cache) == 0

    def test_families_and_semantics_are_kept_apart(self, cached: Cached) -> None:
        questions: list[Any] = [(None, "TCP"), ([IPv4Address], "TCP"), ([IPv6Address], "TCP"), (None, "UDP")]
        for types, semantics in questions:
            assert not cached.ask("name.example", 0, types, semantics).complete
            cached.answer("192.0.2.1")
        assert len(cached.cache) == 4
        assert cached.ask("name.example", 0, [IPv6Address, IPv4Address], "TCP").complete

    def test_it_can_be_cleared(self, cached: Cached) -> None:
        cached.ask()
        cached.answer("192.0.2.1")
        cached.cache.clear()
        assert not cached.ask().complete

    def test_addresses_are_neither_asked_nor_kept(self, cached: Cached) -> None:
        assert cached.ask("192.0.2.1").told == ["began", "192.0.2.1", "complete"]
        assert cached.asked.asked == []
        assert len(cached.cache) == 0

    @pytest.mark.parametrize("option", ["ttl", "negativeTTL", "size"])
    def test_negative_options_are_refused(self, option: str) -> None:
        with pytest.raises(ValueError, match=option):
            Cached(**{option: -1})


class TestSharing:
    def test_one_look_up_is_made_for_all_who_ask_meanwhile(self, cached: Cached) -> None:
        receivers = [cached.ask("name.example", port) for port in (1, 2, 3)]
        assert len(cached.asked.asked) == 1
        cached.answer("192.0.2.1")
        assert [each.addresses for each in receivers] == [[IPv4Address("TCP", "192.0.2.1", p)] for p in (1, 2, 3)]
        assert all(each.complete for each in receivers)

    def test_who_comes_later_is_told_what_was_found_and_then_the_rest(self, cached: Cached) -> None:
        cached.ask()
        cached.asked.asked[0].find("192.0.2.1")
        late = cached.ask()
        assert late.told == ["began", "192.0.2.1"]
        cached.asked.asked[0].find("192.0.2.2")
        cached.asked.asked[0].end()
        assert late.told == ["began", "192.0.2.1", "192.0.2.2", "complete"]

    def test_all_hear_of_the_error(self, cached: Cached) -> None:
        receivers = [cached.ask(), cached.ask()]
        error = OSError()
        cached.answer(error=error)
        assert [each.resolution.error for each in receivers] == [error, error]

    def test_each_is_told_in_its_own_context(self, cached: Cached) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        seen: list[str] = []

        class Looks(Receiver):
            def addressResolved(self, address: Any) -> None:
                seen.append(variable.get())

        for value in ("one", "two"):
            variable.set(value)
            cached.cache.resolveHostName(Looks(), "name.example")
        variable.set("other")
        cached.answer("192.0.2.1")
        assert seen == ["one", "two"]

    def test_one_that_raises_harms_no_other(self, cached: Cached, logged: Logged) -> None:
        class Raises(Receiver):
            def addressResolved(self, address: Any) -> None:
                raise LookupError

        cached.cache.resolveHostName(Raises(), "name.example")
        other = cached.ask()
        cached.answer("192.0.2.1")
        assert other.told == ["began", "192.0.2.1", "complete"]
        assert len(logged.take(LookupError)) == 1

    def test_asking_again_in_the_middle_of_being_told(self, cached: Cached) -> None:
        inner: list[Receiver] = []

        class Asks(Receiver):
            def addressResolved(self, address: Any) -> None:
                super().addressResolved(address)
                inner.append(cached.ask())

            def resolutionComplete(self) -> None:
                super().resolutionComplete()
                inner.append(cached.ask())

        cached.cache.resolveHostName(Asks(), "name.example")
        cached.answer("192.0.2.1", "192.0.2.2")
        assert [each.told for each in inner] == [["began", "192.0.2.1", "192.0.2.2", "complete"]] * 3
        assert len(cached.asked.asked) == 1

    def test_one_over_a_resolver_that_answers_at_once(self) -> None:
        names = DictResolver({"name.example": ["192.0.2.1"]})
        cache = CachingResolver(names, Clock())
        for _ in range(2):
            receiver = Receiver()
            cache.resolveHostName(receiver, "name.example")
            assert receiver.told == ["began", "192.0.2.1", "complete"]
        assert names.asked == ["name.example"]

    @pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
    def test_a_resolver_that_raises_fails_all(self, logged: Logged, kind: type[BaseException]) -> None:
        class Broken(ManualResolver):
            def resolveHostName(self, *args: Any) -> Any:
                raise kind

        receiver = Receiver()
        cache = CachingResolver(Broken(), Clock())
        cache.resolveHostName(receiver, "name.example")
        assert receiver.told == ["began", "complete"]
        assert type(receiver.resolution.error) is kind
        assert len(cache) == 0
        assert len(logged.take(kind)) == 1

    def test_what_ends_the_program_leaves_no_search_behind(self) -> None:
        class Broken(ManualResolver):
            def resolveHostName(self, *args: Any) -> Any:
                raise KeyboardInterrupt

        cache = CachingResolver(Broken(), Clock())
        with pytest.raises(KeyboardInterrupt):
            cache.resolveHostName(Receiver(), "name.example")
        assert cache._searches == {}


class TestCancelling:
    def test_the_look_up_goes_on_for_the_others(self, cached: Cached) -> None:
        one, two = cached.ask(), cached.ask()
        one.resolution.cancel()
        assert one.told == ["began", "complete"]
        assert not cached.asked.asked[0].cancelled
        cached.answer("192.0.2.1")
        assert one.told == ["began", "complete"]
        assert two.told == ["began", "192.0.2.1", "complete"]

    def test_nobody_waits_any_more_so_it_is_cancelled_and_nothing_is_kept(self, cached: Cached) -> None:
        one, two = cached.ask(), cached.ask()
        one.resolution.cancel()
        two.resolution.cancel()
        assert cached.asked.asked[0].cancelled
        assert len(cached.cache) == 0
        third = cached.ask()
        assert len(cached.asked.asked) == 2
        cached.asked.asked[0].find("192.0.2.9")  # too late
        assert third.told == ["began"]
        cached.answer("192.0.2.1")
        assert third.told == ["began", "192.0.2.1", "complete"]

    def test_what_has_found_something_goes_on_to_be_kept(self, cached: Cached) -> None:
        receiver = cached.ask()
        cached.asked.asked[0].find("192.0.2.1")
        receiver.resolution.cancel()
        assert not cached.asked.asked[0].cancelled
        cached.answer("192.0.2.2")
        assert receiver.told == ["began", "192.0.2.1", "complete"]
        assert cached.ask().told == ["began", "192.0.2.1", "192.0.2.2", "complete"]

    def test_while_it_is_told_what_was_found_before(self, cached: Cached) -> None:
        class Enough(Receiver):
            def addressResolved(self, address: Any) -> None:
                super().addressResolved(address)
                self.resolution.cancel()

        first = cached.ask()
        cached.asked.asked[0].find("192.0.2.1", "192.0.2.2")
        late = Enough()
        cached.cache.resolveHostName(late, "name.example")
        assert late.told == ["began", "192.0.2.1", "complete"]
        cached.answer()
        assert first.complete
        assert late.told.count("complete") == 1

    def test_a_resolver_that_cannot_be_cancelled_is_ignored(self, cached: Cached, logged: Logged) -> None:
        for error in (NotImplementedError, LookupError):
            receiver = cached.ask()

            def refuse(error: type[Exception] = error) -> None:
                raise error

            cached.asked.asked[-1].cancel = refuse  # type: ignore[method-assign]
            receiver.resolution.cancel()
            assert receiver.complete
        assert len(logged.take(LookupError)) == 1
