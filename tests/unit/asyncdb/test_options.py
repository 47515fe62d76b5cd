"""The options: defaults, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from asyncdb.options import Options


def test_defaults() -> None:
    options = Options()
    assert (options.min, options.max) == (3, 5)
    assert options.max_waiting == 10_000
    assert options.timeout == 30.0
    assert options.connect_timeout == 10.0
    assert options.query_timeout is None
    assert options.autocommit is True
    assert options.noisy is False


def test_an_options_value_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().max = 9  # type: ignore[misc]


def test_keywords_are_split_between_the_pool_and_the_driver() -> None:
    options, others = Options.fromKeywords({"cp_max": 8, "host": "db", "cp_noisy": 1, "cpu": 3})
    assert options.max == 8
    assert options.noisy is True
    assert others == {"host": "db", "cpu": 3}


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"unknown option cp_maxwaiting: did you mean cp_max_waiting\?"):
        Options.fromKeywords({"cp_maxwaiting": 3})
    with pytest.raises(TypeError, match="known: autocommit, connect_timeout"):
        Options.fromKeywords({"cp_zzzz": 3})


def test_a_small_maximum_needs_no_minimum() -> None:
    assert Options.fromKeywords({"cp_max": 1})[0].min == 1
    with pytest.raises(ValueError, match="cp_min=3 is more than cp_max=1"):
        Options.fromKeywords({"cp_max": 1, "cp_min": 3})


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("min", -1, ValueError),
        ("min", True, TypeError),
        ("min", 2.0, TypeError),
        ("min", "3", TypeError),
        ("max", 0, ValueError),
        ("max", None, TypeError),
        ("max_waiting", -1, ValueError),
        ("max_waiting", math.inf, TypeError),
        ("timeout", 0, ValueError),
        ("timeout", -1.0, ValueError),
        ("timeout", math.nan, ValueError),
        ("timeout", math.inf, ValueError),
        ("timeout", "30", TypeError),
        ("timeout", True, TypeError),
        ("connect_timeout", None, TypeError),
        ("connect_timeout", math.nan, ValueError),
        ("query_timeout", 0.0, ValueError),
        ("noisy", "yes", TypeError),
        ("autocommit", None, TypeError),
        ("reconnect", 2, TypeError),
        ("openfun", "SET x", TypeError),
        ("good_sql", "", TypeError),
        ("good_sql", 1, TypeError),
        ("name", 7, TypeError),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"cp_{name}"):
        Options.fromKeywords({f"cp_{name}": value})


def test_no_limit_can_be_asked_for() -> None:
    assert Options(timeout=None, query_timeout=None).timeout is None
