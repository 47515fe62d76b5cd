"""Races among addresses beside a model that works everything out anew at each step."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from netcore.address import IPv4Address, IPv6Address
from netcore.error import ConnectError
from netcore.transports import _eyeballs
from netcore.transports._eyeballs import Address, Race

ADDRESSES: list[Address] = [
    kind("TCP", f"{kind.__name__}-{number}", 79) for kind in (IPv4Address, IPv6Address) for number in range(15)
]


class Model:
    """What has happened, as lists."""

    def __init__(self) -> None:
        self.found: list[Address] = []
        self.begun: list[Address] = []
        self.failed: list[Address] = []
        self.complete = False
        self.rested = True

    @property
    def left(self) -> list[Address]:
        return [each for each in self.found if each not in self.begun]

    @property
    def under_way(self) -> list[Address]:
        return [each for each in self.begun if each not in self.failed]

    def next(self) -> Address | None:
        if not self.left or not self.rested or len(self.under_way) >= _eyeballs.ATTEMPTS_AT_ONCE:
            return None
        others = [each for each in self.left if self.begun and type(each) is not type(self.begun[-1])]
        return (others or self.left)[0]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("found"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("failed"), st.integers(0, 99)),
        st.tuples(st.sampled_from(["rested", "rested", "complete"]), st.none()),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_race_decides_as_the_model_does(steps: list[tuple[str, object]]) -> None:
    race, model = Race(), Model()
    for what, of in steps:
        if what == "found":
            assert isinstance(of, (IPv4Address, IPv6Address))
            race.found(of)
            if of not in model.found:
                model.found.append(of)
        elif what == "complete":
            race.complete()
            model.complete = True
        elif what == "rested":
            race.rested()
            model.rested = True
        elif model.under_way:
            assert isinstance(of, int)
            address = model.under_way[of % len(model.under_way)]
            race.failed(address, ConnectError())
            model.failed.append(address)
            model.rested = True
        while True:
            expected = model.next()
            assert race.begin() == expected
            if expected is None:
                break
            model.begun.append(expected)
            model.rested = False
        assert race.resting == (not model.rested and (bool(model.left) or not model.complete))
        assert race.lost == (model.complete and not model.left and not model.under_way)
        assert len(model.under_way) <= _eyeballs.ATTEMPTS_AT_ONCE


@given(st.lists(st.sampled_from(ADDRESSES), unique=True))
def test_every_address_has_its_turn_once(found: list[Address]) -> None:
    race = Race()
    for address in found:
        race.found(address)
    race.complete()
    begun: list[Address] = []
    while (address_begun := race.begin()) is not None:
        begun.append(address_begun)
        race.failed(address_begun, ConnectError())
    assert race.lost
    for kind in (IPv4Address, IPv6Address):  # in the resolver's order within each family
        assert [each for each in begun if type(each) is kind] == [each for each in found if type(each) is kind]
    counts = [sum(type(each) is kind for each in found) for kind in (IPv4Address, IPv6Address)]
    for one, other in itertools.pairwise(begun[: 2 * min(counts)]):
        assert type(one) is not type(other)
