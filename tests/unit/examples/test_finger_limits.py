"""The bounds of the finger service hold each other."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from examples.finger.limits import DEFAULT, SPARE, Limits, make_room


@pytest.mark.parametrize("limits", [DEFAULT, Limits(answer_within=0.5)])
def test_what_the_database_may_take_is_less_than_the_whole(limits: Limits) -> None:
    assert limits.wait + limits.run < limits.answer_within
    assert 2 * limits.connect <= limits.wait, "who waits sees a second attempt to connect"


@pytest.mark.parametrize("limits", [DEFAULT, Limits(clients=1), Limits(clients=10)])
def test_what_the_listener_is_asked_to_hold_leaves_the_spare_descriptors_alone(limits: Limits) -> None:
    listener = limits.of_listener()
    assert listener.connections == limits.clients
    assert listener.connections + max(10, limits.clients // 10) + 100 <= limits.clients + limits.clients // 10 + SPARE
    assert listener.overflow.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("soft", "hard", "asked", "clients"),
    [
        (20_000, 20_000, None, 4000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 4000),
        (1024, resource.RLIM_INFINITY, 4400 + SPARE, 4000),
        (1024, 524_288, 4400 + SPARE, 4000),
        (1024, 4096, 4096, 3623),
        (1024, 1024, 1024, 830),
        (64, 64, 64, 1),
    ],
)
def test_descriptors_are_asked_for_and_clients_are_as_many_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, asked: int | None, clients: int
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: calls.append(limits))
    limits = make_room(Limits(clients=4000))
    assert limits == Limits(clients=clients)
    assert calls == ([] if asked is None else [(asked, hard)])
