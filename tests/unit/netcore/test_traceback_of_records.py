"""The tracebacks of failures that are logged, debugging or not."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from netcore import defer
from netcore.failure import Failure, _text_without_our_frames, _with_all_behind
from tests.support.debugging import switched
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


class Behind:
    """An exception with frames of netcore's in the tracebacks of what is behind it."""

    @staticmethod
    def raised() -> Exception:
        try:
            Failure(KeyError("first")).raiseException()
        except KeyError as error:
            return error

    @classmethod
    def by_cause(cls) -> Exception:
        error = ValueError("on top")
        error.__cause__ = cls.raised()
        return error

    @classmethod
    def by_context(cls) -> Exception:
        error = ValueError("on top")
        error.__context__ = cls.by_cause()
        return error

    @classmethod
    def by_group(cls) -> Exception:
        return ExceptionGroup("on top", [cls.raised(), cls.by_context()])


every_behind = pytest.mark.parametrize("make", [Behind.by_cause, Behind.by_context, Behind.by_group])


def tracebacks(error: BaseException) -> list[Any]:
    return [list(traceback.walk_tb(each.__traceback__)) for each in _with_all_behind(error)]


@every_behind
def test_causes_contexts_and_members_are_shown_without_frames_of_netcore_and_stay_as_they_are(
    make: Any, logged: Logged
) -> None:
    error = make()
    before = tracebacks(error)
    assert "in raiseException" in "".join(traceback.format_exception(error))
    defer.fail(error)
    (record,) = logged.take(type(error))
    text = logging.Formatter().format(record)
    assert "in raiseException" not in text
    assert "in raised" in text
    assert text.rstrip().endswith(traceback.format_exception(error)[-1].rstrip())
    assert tracebacks(error) == before


def test_an_exception_without_such_frames_is_the_formatters_to_format() -> None:
    error = ValueError("on top")
    error.__cause__ = KeyError("first")
    assert _text_without_our_frames(error, None) is None


def test_a_record_says_who_logged(logged: Logged) -> None:
    defer.fail(ValueError()).addErrback(defer.logError).addErrback(lambda _: None)
    (record,) = logged.take(ValueError)
    assert (record.module, record.funcName, record.levelname) == ("_callbacks", "logError", "ERROR")


def test_a_logger_that_is_switched_off_is_asked_for_nothing(logged: Logged) -> None:
    logging.disable(logging.CRITICAL)
    try:
        defer.fail(ValueError())
    finally:
        logging.disable(logging.NOTSET)
    assert logged.records == []


@every_behind
@pytest.mark.parametrize("detail", ["default", "verbose"])
def test_with_debugging_on_gettraceback_leaves_them_out_everywhere(make: Any, detail: str) -> None:
    failure = Failure(make())
    assert "in raiseException" in failure.getTraceback(detail=detail)
    with switched(True):
        text = failure.getTraceback(detail=detail)
        failure.cleanFailure()
        cleaned = failure.getTraceback()
    assert "in raiseException" not in text + cleaned
    assert "in raised" in text
    assert "in raised" in cleaned


def test_the_failure_of_the_record_is_whole(logged: Logged) -> None:
    deferred: defer.Deferred[Any] = defer.Deferred()
    started = generator2(deferred)
    deferred.callback(None)
    del started, deferred
    (record,) = logged.take(ZeroDivisionError)
    failure = record.failure  # type: ignore[attr-defined]
    assert failure.tb is failure.value.__traceback__
