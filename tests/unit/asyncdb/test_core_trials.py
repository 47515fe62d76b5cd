"""Few threads or all: what is tried, and what follows."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from asyncdb._core._trials import FIRST, MARGIN, MOST, PROOF, REST, SETTLE, SOON, STALE, WINDOW, Trials

ROUND = 2 * (SETTLE + WINDOW)  # one way, and the other
BEFORE = (FIRST - 1) * WINDOW  # of few, besides the one window that comes before each trial


class Load:
    """Calls that end, at a rate that depends on how many threads are at work: samples a second."""

    def __init__(self, few: float, many: float, noise: float = 0.0, seed: int = 0) -> None:
        self.trials = Trials()
        self.few, self.many = few, many
        self.now = 100.0
        self._noise, self._random = noise, random.Random(seed)
        self._until, self._factor = 0.0, 1.0

    def run(self, seconds: float, each: Callable[[], object] = lambda: None) -> float:
        """Some time passes. Returns in how much of it few threads were at work."""
        end, few = self.now + seconds, 0.0
        while self.now < end:
            if self.now >= self._until:  # what disturbs a machine lasts a while
                self._until, self._factor = self.now + 0.1, max(0.2, self._random.gauss(1.0, self._noise))
            step = 1 / (self._factor * (self.few if self.trials.few else self.many))
            few += step if self.trials.few else 0.0
            self.now += step
            self.trials.sample(self.now)
            each()
        return few / seconds

    def settle(self) -> None:
        """Until it is known which way is better, and the way after the next trial."""
        self.run(20 * ROUND)


@pytest.mark.parametrize("better", [1.1, 1.3])
def test_few_threads_stay_at_work_where_they_get_more_done(better: float) -> None:
    load = Load(better * 200, 200)
    load.settle()
    assert load.run(10 * REST * WINDOW) > 0.95


@pytest.mark.parametrize("better", [1.1, 1.3])
def test_all_threads_go_to_work_where_they_get_more_done(better: float) -> None:
    load = Load(200, better * 200)
    load.settle()
    assert load.run(10 * REST * WINDOW) < 0.05


def test_what_is_plain_is_found_out_by_two_trials() -> None:
    load = Load(200, 260)
    load.run(BEFORE + 2 * ROUND - WINDOW / 2)
    assert load.trials._prefers_few
    load.run(WINDOW)
    assert not load.trials._prefers_few
    load = Load(260, 200)
    load.run(BEFORE + ROUND + (0.22 / PROOF) * REST * WINDOW + ROUND)
    assert load.trials._shown == -PROOF
    assert load.run(REST * WINDOW / 2) == pytest.approx(1.0, abs=0.01)


def test_a_load_of_seconds_sees_no_trial() -> None:
    load = Load(200, 260)
    assert load.run(SETTLE + (FIRST - 0.5) * WINDOW) == pytest.approx(1.0, abs=0.01)
    assert load.trials.few
    load.run(WINDOW)
    assert not load.trials.few


@pytest.mark.parametrize(("gain", "windows"), [(0.1, 1), (-0.01, 4), (-0.05, 8), (-0.1, 13), (-0.2, 24)])
def test_the_more_a_trial_shows_against_the_other_way_the_later_is_the_next(gain: float, windows: int) -> None:
    load = Load(200, 200 * (1 + gain))
    load.run(BEFORE + ROUND + 0.1)
    assert load.trials.few
    load.run(SETTLE + (windows - 0.5) * WINDOW)
    assert load.trials.few
    load.run(WINDOW)
    assert not load.trials.few


@pytest.mark.parametrize("few", [200, 20_000])
def test_one_trial_alone_proves_nothing(few: float) -> None:
    load = Load(few, 2000)
    load.run(BEFORE + 1.5 * ROUND)
    assert load.trials._prefers_few
    assert load.run(REST * WINDOW) < 0.99  # there is a second one


def test_after_a_change_two_trials_are_needed_again() -> None:
    load = Load(200, 260)
    load.run(BEFORE + 2 * ROUND + WINDOW / 2)
    assert not load.trials._prefers_few
    load.few, load.many = 260, 200
    load.run(1.5 * ROUND)  # a trial is over
    assert not load.trials._prefers_few
    load.run(ROUND)
    assert load.trials._prefers_few


@pytest.mark.parametrize(("few", "many"), [(230, 200), (200, 230)])
def test_noise_seldom_hides_what_is_better(few: float, many: float) -> None:
    shares = []  # of the time, in which few were at work
    for seed in range(20):
        load = Load(few, many, noise=0.2, seed=seed)
        load.settle()
        shares.append(load.run(100.0))
    mean = sum(shares) / len(shares)
    assert mean > 0.85 if few > many else mean < 0.15


def test_where_both_are_alike_there_are_few_trials() -> None:
    load = Load(200, 200)
    load.run(REST * WINDOW * PROOF / MARGIN)  # a trial says as good as nothing against the other way
    assert load.run(10 * REST * WINDOW) > 0.95


@pytest.mark.parametrize(("few", "many"), [(200, 220), (220, 200)])
def test_a_tenth_more_is_found_out_within_two_minutes(few: float, many: float) -> None:
    load = Load(many, few)
    load.run(1000.0)
    load.few, load.many = few, many
    load.run(120.0)
    assert load.trials._prefers_few == (few > many)


def test_when_the_load_becomes_another_that_is_found_out() -> None:
    load = Load(260, 200)
    load.settle()
    load.few, load.many = 200, 260
    load.run(REST * WINDOW + 10 * ROUND)
    assert load.run(10 * REST * WINDOW) < 0.05
    load.few, load.many = 260, 200
    load.run(REST * WINDOW + 10 * ROUND)
    assert load.run(10 * REST * WINDOW) > 0.95


def test_threads_that_have_just_woken_are_not_measured() -> None:
    load = Load(200, 260)
    woken_at = load.now

    def look() -> None:
        nonlocal woken_at
        if load.trials.few:
            woken_at = load.now
        load.many = 30 if load.now - woken_at < 0.9 * SETTLE else 260

    load.run(20 * ROUND, look)
    assert not load.trials._prefers_few


def test_pauses_are_not_measured_nor_what_follows_them() -> None:
    load = Load(200, 260)
    pauses = 0

    def look() -> None:
        """After half a second of load, it pauses, and its beginning is slow each time: only with all at work."""
        nonlocal pauses
        since = load.now - paused_until[0]
        load.many = 30 if since < 0.9 * SETTLE else 260
        if since > 0.5 and not load.trials.few:
            load.now += 1.0
            paused_until[0] = load.now
            pauses += 1

    paused_until = [load.now]
    load.run(60.0, look)
    assert pauses > 10
    assert not load.trials._prefers_few


def test_a_trial_that_is_interrupted_for_less_long_goes_on() -> None:
    load = Load(200, 200)
    load.run(BEFORE + ROUND - WINDOW / 2)
    load.now += 0.9 * STALE
    load.run(0.1)
    assert not load.trials.few


def test_a_trial_is_not_compared_with_what_was_long_ago() -> None:
    load = Load(200, 200)
    load.run(BEFORE + ROUND - WINDOW / 2)
    assert not load.trials.few
    load.now += STALE
    load.run(0.1)
    assert load.trials.few
    assert load.trials._shown == -MARGIN  # what it cost
    load.run(SETTLE + 2 * WINDOW)
    assert load.trials.few
    load.run(WINDOW)
    assert not load.trials.few  # after windows of its own


def test_threads_that_are_busy_again_soon_after_few_were_not_go_on_all_together() -> None:
    load = Load(200, 200)
    load.run(SETTLE)
    load.trials.give_up(load.now)
    load.now += SOON / 2
    load.run(0.5 * WINDOW)
    assert not load.trials.few
    load.run(SETTLE + WINDOW)
    assert load.trials.few  # tried again after a window


def test_when_a_load_has_ended_what_is_known_stays() -> None:
    load = Load(260, 200)
    load.settle()
    load.trials.give_up(load.now)
    load.now += 1.1 * SOON
    assert load.run(REST * WINDOW / 2) == pytest.approx(1.0, abs=0.01)
    assert load.trials._shown == -PROOF


def test_what_was_shown_before_a_change_counts_no_more_after_it() -> None:
    load = Load(260, 200)
    load.settle()
    load.trials.give_up(load.now)
    load.run(1 / 200)
    assert not load.trials.few
    assert load.trials._shown == 0.0


def test_threads_that_are_busy_no_more_with_all_at_work_say_nothing_of_few() -> None:
    load = Load(200, 200)
    load.run(BEFORE + ROUND - WINDOW / 2)
    assert not load.trials.few
    load.trials.give_up(load.now)
    assert load.trials.few
    assert load.trials._shown == 0.0


def test_a_trial_of_few_that_makes_threads_idle_counts_against_them() -> None:
    load = Load(200, 200)
    load.trials.give_up(load.now)
    load.run(SETTLE + WINDOW + 0.02)
    assert load.trials.few
    load.trials.give_up(load.now)
    assert not load.trials.few
    assert load.trials._shown == pytest.approx(-MOST - MARGIN)
    load.run(REST * WINDOW / 2)
    assert not load.trials.few


def test_no_more_is_known_than_the_last_trials_show() -> None:
    load = Load(400, 200)
    load.run(100 * ROUND)
    assert load.trials._shown == -PROOF
