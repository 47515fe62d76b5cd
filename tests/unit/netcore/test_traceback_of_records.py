"""The tracebacks of failures that are logged, debugging or not."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from netcore import defer
from tests.support.guard import Logged

pytestmark = pytest.mark.usefixtures("not_debugging")


@defer.inlineCallbacks
def generator1(deferred: defer.Deferred[Any]) -> Any:
    yield deferred
    raise ZeroDivisionError


@defer.inlineCallbacks
def generator2(deferred: defer.Deferred[Any]) -> Any:
    yield generator1(deferred)


@defer.inlineCallbacks
def generator3(deferred: defer.Deferred[Any]) -> Any:
    yield generator2(deferred)


async def coroutine1(deferred: defer.Deferred[Any]) -> None:
    await deferred
    raise ZeroDivisionError


async def coroutine2(deferred: defer.Deferred[Any]) -> None:
    await coroutine1(deferred)


async def coroutine3(deferred: defer.Deferred[Any]) -> None:
    await defer.ensureDeferred(coroutine2(deferred))


async def mixed(deferred: defer.Deferred[Any]) -> None:
    await generator3(deferred)


def boom(_: object) -> None:
    raise ZeroDivisionError


@defer.inlineCallbacks
def of_a_callback(deferred: defer.Deferred[Any]) -> Any:
    deferred.addCallback(boom)
    yield deferred


CASES = {
    "generators": (generator3, ["generator3", "generator2", "generator1"]),
    "coroutines": (coroutine3, ["coroutine3", "coroutine2", "coroutine1"]),
    "mixed": (mixed, ["mixed", "generator3", "generator2", "generator1"]),
    "callback": (of_a_callback, ["of_a_callback", "boom"]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("fired_before", [True, False])
def test_they_have_the_waiting_functions_outermost_first_and_no_frame_of_netcore(
    case: str, fired_before: bool, logged: Logged
) -> None:
    function, names = CASES[case]
    deferred: defer.Deferred[Any] = defer.Deferred()
    if fired_before:
        deferred.callback(None)
    started = defer.maybeDeferred(function, deferred)
    if not fired_before:
        deferred.callback(None)
    del started, deferred
    (record,) = logged.take(ZeroDivisionError)
    assert record.exc_info is not None
    assert [frame.name for frame in traceback.extract_tb(record.exc_info[2])] == names


def test_the_failure_of_the_record_is_whole(logged: Logged) -> None:
    deferred: defer.Deferred[Any] = defer.Deferred()
    started = generator2(deferred)
    deferred.callback(None)
    del started, deferred
    (record,) = logged.take(ZeroDivisionError)
    failure = record.failure  # type: ignore[attr-defined]
    assert failure.tb is failure.value.__traceback__
