"""The options: defaults, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import pytest

from asyncdb.options import PRIORITIES, CallOptions, Options


def test_defaults() -> None:
    options = Options()
    assert (options.min, options.max) == (3, 5)
    assert options.max_waiting == 10_000
    assert options.timeout is None
    assert options.wait_timeout == 30.0
    assert options.connect_timeout == 10.0
    assert (options.check_timeout, options.check_after, options.keepalive) == (2.0, 0.5, None)
    assert (options.max_idle, options.max_lifetime) == (600.0, 3600.0)
    assert (options.leak_after, options.slow_query, options.log_parameters) == (None, None, False)
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
    with pytest.raises(TypeError, match="known: autocommit, check_after"):
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
        ("connect_timeout", math.inf, ValueError),
        ("check_timeout", None, TypeError),
        ("check_timeout", 0, ValueError),
        ("wait_timeout", 0, ValueError),
        ("check_after", 0, ValueError),
        ("check_after", "1", TypeError),
        ("keepalive", 0.0, ValueError),
        ("max_idle", math.inf, ValueError),
        ("max_lifetime", -5, ValueError),
        ("leak_after", True, TypeError),
        ("slow_query", math.nan, ValueError),
        ("log_parameters", "no", TypeError),
        ("max_waiting_per_caller", 0, ValueError),
        ("max_waiting_per_caller", 1.5, TypeError),
        ("connargs", {"password": "x"}, TypeError),
        ("on_outage", "log", TypeError),
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


class Asks:
    async def __call__(self) -> dict[str, Any]:
        return {}


async def ask(key: str = "") -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("function", [ask, functools.partial(ask, "geheim"), Asks(), Asks().__call__])
def test_connect_arguments_from_a_coroutine_function_are_refused_with_what_to_write(function: Any) -> None:
    with pytest.raises(TypeError, match=r"^cp_connargs must be a plain function.*asyncio\.run") as caught:
        Options(connargs=function)
    assert "geheim" not in str(caught.value)


def test_connect_arguments_in_place_of_their_function_are_not_repeated() -> None:
    with pytest.raises(TypeError, match=r"a function of nothing.* not of type dict$"):
        Options(connargs={"password": "geheim"})  # type: ignore[arg-type]


def test_no_limit_can_be_asked_for() -> None:
    none = dict.fromkeys(
        ("timeout", "wait_timeout", "check_after", "keepalive", "max_idle", "max_lifetime", "leak_after", "slow_query")
    )
    assert dataclasses.asdict(Options(**none)).items() >= none.items()  # type: ignore[arg-type]
    assert Options(max_waiting_per_caller=None).max_waiting_per_caller is None


@pytest.mark.parametrize("name", ["timeout", "max_idle", "connect_timeout"])
def test_who_means_no_limit_is_told_how_to_say_it(name: str) -> None:
    told = "above 0, not inf" if name == "connect_timeout" else "or None for no limit"
    with pytest.raises(ValueError, match=told):
        Options(**{name: math.inf})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keyword", "instead"),
    [
        ("cp_query_timeout", "use cp_timeout"),
        ("cp_pool_size", "use cp_max"),
        ("cp_max_overflow", "use cp_max"),
        ("cp_recycle", "use cp_max_lifetime"),
        ("cp_pre_ping", "use cp_check_after"),
        ("cp_max_life", "did you mean cp_max_lifetime"),
    ],
)
def test_names_of_elsewhere_and_of_before_are_answered_with_those_of_here(keyword: str, instead: str) -> None:
    with pytest.raises(TypeError, match=f"unknown option {keyword}: {instead}"):
        Options.fromKeywords({keyword: 3})


# --------------------------------------------------------------------------------------------------------- single calls


def test_calls_have_nothing_of_their_own_unless_they_say_so() -> None:
    options = CallOptions()
    assert (options.timeout, options.isolation, options.readonly, options.name) == (None, None, None, None)
    assert options.priority == "normal"
    assert options.plain


@pytest.mark.parametrize("name", ["serializable", "Read Committed", "READ_COMMITTED", " repeatable  read "])
def test_isolation_is_given_as_sql_or_python_would_write_it(name: str) -> None:
    options = CallOptions(isolation=name)
    assert options.isolation == " ".join(name.upper().replace("_", " ").split())
    assert not options.plain


def test_a_statement_that_says_whether_it_may_write_is_not_plain() -> None:
    assert not CallOptions(readonly=True).plain
    assert not CallOptions(readonly=False).plain
    assert CallOptions(timeout=math.inf, priority="low", name="report").plain


@pytest.mark.parametrize(
    ("name", "value", "kind", "told"),
    [
        ("timeout", 0, ValueError, "more than 0 seconds"),
        ("timeout", -math.inf, ValueError, "more than 0 seconds"),
        ("timeout", math.nan, ValueError, "math.inf for no limit"),
        ("timeout", "3", TypeError, "a number of seconds, or None for the pool's"),
        ("timeout", True, TypeError, "a number of seconds"),
        ("isolation", "snapshot", ValueError, "READ UNCOMMITTED, READ COMMITTED, REPEATABLE READ, SERIALIZABLE"),
        ("isolation", 3, TypeError, "READ COMMITTED"),
        ("readonly", "yes", TypeError, "True, False, or None"),
        ("priority", "urgent", ValueError, ", ".join(PRIORITIES)),
        ("priority", None, ValueError, ", ".join(PRIORITIES)),
        ("name", "", TypeError, "a string that is not empty"),
        ("name", 7, TypeError, "a string that is not empty"),
    ],
)
def test_wrong_values_of_calls_are_refused(name: str, value: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=f"{name} must be .*{told}"):
        CallOptions(**{name: value})
