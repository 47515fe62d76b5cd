"""How old connections may get."""

from __future__ import annotations

import math

import pytest

from asyncdb._core import Entry
from asyncdb._core._upkeep import SPREAD, Upkeep
from asyncdb.options import Options


def made(jitter: float = 0.0, now: float = 100.0, **options: float | None) -> tuple[Upkeep, Entry]:
    upkeep, entry = Upkeep(Options(**options), lambda: jitter), Entry()  # type: ignore[arg-type]
    upkeep.begin(entry, now)
    entry.since = entry.proven = now
    return upkeep, entry


def test_without_limits_a_connection_rests_for_ever() -> None:
    upkeep, entry = made(max_idle=None, max_lifetime=None)
    assert upkeep.next(entry, True) == math.inf
    assert not upkeep.ends(entry, 1e300, True)
    assert not upkeep.wants_check(entry, 1e300)


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_limits_are_shortened_by_a_tenth_at_most(jitter: float) -> None:
    upkeep, entry = made(jitter, max_idle=50.0, max_lifetime=1000.0)
    assert entry.idle_limit == pytest.approx(50 * (1 - SPREAD * jitter))
    assert entry.expires == pytest.approx(100 + 1000 * (1 - SPREAD * jitter))
    assert entry.reason == "lifetime"
    assert upkeep.next(entry, True) == entry.since + entry.idle_limit
    assert upkeep.next(entry, False) == entry.expires


def test_only_a_spare_one_ends_for_being_unused() -> None:
    upkeep, entry = made(max_idle=50.0, max_lifetime=1000.0)
    assert not upkeep.ends(entry, 149.9, True)
    assert not upkeep.ends(entry, 150.0, False)
    assert upkeep.ends(entry, 150.0, True)
    assert entry.reason == "idle"
    assert upkeep.ends(entry, 1100.0, False)


@pytest.mark.parametrize(("proven", "since"), [(100.0, 90.0), (90.0, 100.0), (-math.inf, 100.0)])
def test_the_next_question_is_so_long_after_the_last_use_or_answer(proven: float, since: float) -> None:
    upkeep, entry = made(keepalive=60.0, max_idle=None, max_lifetime=None)
    entry.proven, entry.since = proven, since
    assert upkeep.next(entry, False) == 160.0
    assert not upkeep.wants_check(entry, 159.9)
    assert upkeep.wants_check(entry, 160.0)


def test_one_that_is_to_be_replaced_before_it_was_made_stays_so() -> None:
    upkeep, entry = Upkeep(Options(), lambda: 0.0), Entry()
    entry.expires, entry.reason = -math.inf, "evicted"
    upkeep.begin(entry, 100.0)
    assert upkeep.ends(entry, 100.0, False)
    assert entry.reason == "evicted"


@pytest.mark.parametrize("now", [0.1 * number for number in range(1, 400, 7)])
def test_what_is_due_at_the_next_moment_is_due_then_whatever_rounding_does(now: float) -> None:
    upkeep, entry = made(0.3, now, max_idle=0.7, max_lifetime=1.1, keepalive=0.3)
    for spare in (True, False):
        moment = upkeep.next(entry, spare)
        assert upkeep.ends(entry, moment, spare) or upkeep.wants_check(entry, moment)
