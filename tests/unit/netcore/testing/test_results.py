"""successResultOf, failureResultOf, assertNoResult: what they take, give, say and leave behind."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred, fail, inlineCallbacks, succeed
from netcore.testing import assertNoResult, failureResultOf, successResultOf


async def done() -> str:
    return "done"


async def broken() -> None:
    raise KeyError("name")


async def never() -> None:
    await Deferred()


def test_a_result_is_given() -> None:
    assert successResultOf(succeed(3)) == 3
    assert successResultOf(succeed(None)) is None
    assert successResultOf(done()) == "done"


def test_a_generator_is_run_as_a_coroutine() -> None:
    def old() -> Generator[Any, Any, int]:
        got = yield succeed(3)
        return got + 1

    assert successResultOf(old()) == 4
    assert successResultOf(inlineCallbacks(old)()) == 4


def test_a_failure_is_given_and_handled() -> None:
    assert failureResultOf(fail(KeyError("name"))).value.args == ("name",)
    assert failureResultOf(broken(), KeyError).check(KeyError)
    assert failureResultOf(broken(), ValueError, LookupError).check(KeyError)


def test_what_is_taken_is_gone() -> None:
    taken = succeed(3)
    successResultOf(taken)
    assert successResultOf(taken) is None
    failed: Deferred[Any] = fail(KeyError())
    failureResultOf(failed)
    assert successResultOf(failed) is None


def test_no_result_is_seen_and_what_comes_later_goes_its_way() -> None:
    waiting: Deferred[Any] = Deferred()
    assertNoResult(waiting)
    assertNoResult(never())
    waiting.callback(3)
    assert successResultOf(waiting) == 3


def test_a_failure_that_comes_later_is_not_handled() -> None:
    waiting: Deferred[Any] = Deferred()
    assertNoResult(waiting)
    waiting.errback(KeyError())
    failureResultOf(waiting, KeyError)


@pytest.mark.parametrize("ask", [successResultOf, failureResultOf])
def test_without_a_result_it_says_so_and_takes_nothing(ask: Any) -> None:
    waiting: Deferred[Any] = Deferred()
    with pytest.raises(
        AssertionError, match=rf"was expected of <Deferred at {id(waiting):#x}.*>, and it has no result"
    ):
        ask(waiting)
    waiting.callback(3)
    assert successResultOf(waiting) == 3


def test_a_failure_where_a_result_was_expected_is_told_with_its_traceback() -> None:
    """And handled: the guard would see it otherwise."""
    with pytest.raises(AssertionError, match="a result was expected of") as raised:
        successResultOf(broken())
    text = str(raised.value)
    assert 'raise KeyError("name")' in text
    assert "in broken" in text
    assert text.endswith("KeyError: 'name'")
    assert "netcore/defer" not in text


def test_a_result_where_a_failure_was_expected_is_told() -> None:
    with pytest.raises(AssertionError, match=r"a failure was expected of .*, and its result is 3"):
        failureResultOf(succeed(3))
    with pytest.raises(AssertionError, match=r"a failure with builtins.KeyError or .*CancelledError was expected"):
        failureResultOf(Deferred(), KeyError, CancelledError)


def test_another_failure_than_expected_is_told_with_its_traceback() -> None:
    with pytest.raises(AssertionError, match=r"a failure with builtins.ValueError was expected") as raised:
        failureResultOf(broken(), ValueError)
    assert 'raise KeyError("name")' in str(raised.value)


def test_a_result_where_none_was_expected_is_told_and_stays() -> None:
    there = succeed(3)
    with pytest.raises(AssertionError, match=r"no result was expected of .*, and it has 3"):
        assertNoResult(there)
    assert successResultOf(there) == 3
    with pytest.raises(AssertionError, match="and it has failed:"):
        assertNoResult(broken())


def test_a_chained_deferred_has_no_result_yet() -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(None).addCallback(lambda _: inner)
    assertNoResult(outer)
    inner.callback(3)
    assert successResultOf(outer) == 3


@pytest.mark.parametrize("ask", [successResultOf, failureResultOf, assertNoResult])
@pytest.mark.parametrize("wrong", [3, None, done])
def test_what_is_no_deferred_is_refused(ask: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="coroutine"):
        ask(wrong)
