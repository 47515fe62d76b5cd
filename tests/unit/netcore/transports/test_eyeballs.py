"""Which address is tried next, and when: the decisions, without sockets or clock."""

from __future__ import annotations

import itertools

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.error import ConnectBindError, ConnectError, ConnectionRefusedError, NoRouteError, TCPTimedOutError
from netcore.transports._eyeballs import ATTEMPTS_AT_ONCE, NOTES, Address, Race


def address(name: str) -> Address:
    """ "4a" is an IPv4 address, "6a" an IPv6 one."""
    kind = IPv6Address if name[0] == "6" else IPv4Address
    return kind("TCP", name, 79)


def race_of(*names: str) -> Race:
    """One whose addresses are all known."""
    race = Race()
    for name in names:
        race.found(address(name))
    race.complete()
    return race


def begin(race: Race) -> str | None:
    begun = race.begin()
    return None if begun is None else begun.host


def begin_all(race: Race) -> list[str]:
    """All there are, each after a rest."""
    begun: list[str] = []
    while (host := begin(race)) is not None:
        begun.append(host)
        race.rested()
    return begun


@pytest.mark.parametrize(
    ("found", "begun"),
    [
        ("", ""),
        ("4a", "4a"),
        ("6a 4a", "6a 4a"),
        ("4a 6a", "4a 6a"),
        ("6a 6b 4a 4b", "6a 4a 6b 4b"),
        ("6a 6b 6c 4a", "6a 4a 6b 6c"),
        ("4a 4b 4c 6a 6b", "4a 6a 4b 6b 4c"),
        ("6a 4a 4b 4c", "6a 4a 4b 4c"),
        ("6a 6a 4a 6a 4a", "6a 4a"),
    ],
)
def test_families_take_turns_beginning_with_the_first(found: str, begun: str) -> None:
    assert begin_all(race_of(*found.split())) == begun.split()


def test_between_two_beginnings_there_is_a_rest() -> None:
    race = race_of("6a", "4a")
    assert begin(race) == "6a"
    assert race.resting
    assert begin(race) is None
    race.rested()
    assert not race.resting
    assert begin(race) == "4a"


def test_the_next_begins_at_once_when_any_has_failed() -> None:
    race = race_of("6a", "4a", "6b", "4b")
    assert begin(race) == "6a"
    race.rested()
    assert begin(race) == "4a"
    race.failed(address("6a"), ConnectError())  # the older one
    assert begin(race) == "6b"
    race.failed(address("6b"), ConnectError())
    assert begin(race) == "4b"
    assert not race.lost


def test_an_attempt_begins_before_all_addresses_are_known() -> None:
    race = Race()
    assert begin(race) is None
    assert not race.resting
    race.found(address("4a"))
    assert begin(race) == "4a"
    assert race.resting  # another may come
    race.found(address("4b"))
    race.found(address("6a"))
    race.rested()
    assert begin(race) == "6a"
    race.rested()
    assert begin(race) == "4b"


def test_an_address_that_comes_after_the_rest_begins_at_once() -> None:
    race = Race()
    race.found(address("4a"))
    assert begin(race) == "4a"
    race.rested()
    assert begin(race) is None
    assert not race.resting
    race.found(address("6a"))
    assert begin(race) == "6a"


def test_the_last_address_is_followed_by_no_rest() -> None:
    race = race_of("6a", "4a")
    begin(race)
    race.rested()
    begin(race)
    assert not race.resting


def test_that_there_are_no_more_ends_the_rest_after_the_only_one() -> None:
    race = Race()
    race.found(address("4a"))
    begin(race)
    assert race.resting
    race.complete()
    assert not race.resting


def test_it_is_lost_when_all_have_failed_and_none_can_come() -> None:
    race = Race()
    assert not race.lost
    race.found(address("4a"))
    begin(race)
    race.failed(address("4a"), ConnectError())
    assert not race.lost
    race.complete()
    assert race.lost
    assert race_of().lost


def test_not_too_many_are_under_way_at_once() -> None:
    race = race_of(*(f"4{number}" for number in range(ATTEMPTS_AT_ONCE + 2)))
    assert len(begin_all(race)) == ATTEMPTS_AT_ONCE
    assert not race.resting  # no passing of time helps
    race.failed(address("40"), ConnectError())
    assert begin(race) == f"4{ATTEMPTS_AT_ONCE}"
    race.rested()
    assert begin(race) is None
    assert not race.lost


ERRORS: list[ConnectError] = [
    ConnectionRefusedError(),
    TCPTimedOutError(),
    ConnectError(string="no such luck"),
    NoRouteError(),
]


@pytest.mark.parametrize(
    "order", list(itertools.permutations(ERRORS)), ids=lambda order: "-".join(type(each).__name__ for each in order)
)
def test_the_reason_is_the_error_that_says_most_of_the_server(order: tuple[ConnectError, ...]) -> None:
    race = race_of(*(f"4{number}" for number in range(len(order))))
    for number, error in enumerate(order):
        begin(race)
        race.failed(address(f"4{number}"), error)
    assert race.lost
    assert race.reason() is ERRORS[0]


def test_of_equal_errors_the_last_is_the_reason() -> None:
    race = race_of("6a", "4a", "4b")
    assert race.reason() is None
    errors = [ConnectionRefusedError(), ConnectionRefusedError(), ConnectBindError()]
    for name, error in zip(("6a", "4a", "4b"), errors, strict=True):
        begin(race)
        race.failed(address(name), error)
    assert race.reason() is errors[1]


def test_notes_say_what_came_of_each_address() -> None:
    race = Race()
    race.found(IPv6Address("TCP", "fe80::1", 79, 0, 3))
    race.found(IPv4Address("TCP", "192.0.2.1", 79))
    first = race.begin()
    assert first is not None
    race.failed(first, NoRouteError())
    race.begin()
    assert race.notes() == [
        "fe80::1%3 port 79: There is no route to the host.",
        "192.0.2.1 port 79: there was no answer yet",
        "the look-up was not over yet",
    ]
    race.complete()
    assert len(race.notes()) == 2


def test_there_is_a_bound_to_the_notes() -> None:
    names = [f"4{number}" for number in range(NOTES + 5)]
    race = race_of(*names)
    for name in names:
        begin(race)
        race.failed(address(name), ConnectError())
    notes = race.notes()
    assert len(notes) == NOTES + 1
    assert notes[0] == "5 more had failed before"
    assert notes[-1].startswith(names[-1])
