"""Failure: checking, trapping, tracebacks, letting go."""

from __future__ import annotations

import gc
import io
import pickle

import pytest

from netcore.failure import Failure, NoCurrentExceptionError


def failing() -> Failure:
    """A Failure with a traceback through this function and one more."""

    def inner() -> None:
        local = "seen only verbosely"
        raise KeyError(local[:4])

    try:
        inner()
    except KeyError:
        return Failure()


def test_takes_the_exception_being_handled() -> None:
    failure = failing()
    assert failure.type is KeyError
    assert failure.getTracebackObject() is failure.value.__traceback__


def test_without_an_exception_says_what_it_needs() -> None:
    with pytest.raises(NoCurrentExceptionError, match="needs an exception"):
        Failure()


def test_check_takes_classes_and_names() -> None:
    failure = Failure(KeyError("k"))
    assert failure.check(ValueError, LookupError) is LookupError
    assert failure.check("builtins.LookupError") == "builtins.LookupError"
    assert failure.check(ValueError, "builtins.OSError") is None


def test_trap_returns_what_it_found_and_raises_the_rest() -> None:
    failure = Failure(KeyError("k"))
    assert failure.trap(ValueError, KeyError) is KeyError
    with pytest.raises(KeyError) as caught:
        failure.trap(ValueError)
    assert caught.value is failure.value


def test_raiseexception_keeps_the_traceback() -> None:
    with pytest.raises(KeyError) as caught:
        failing().raiseException()
    assert "inner" in [entry.name for entry in caught.traceback]


def test_throwing_into_a_generator() -> None:
    def generator():  # type: ignore[no-untyped-def]
        try:
            yield "first"
        except KeyError as error:
            yield ("caught", error)

    running = generator()
    next(running)
    failure = failing()
    assert failure.throwExceptionIntoGenerator(running) == ("caught", failure.value)


def test_traceback_in_three_details() -> None:
    failure = failing()
    default, brief, verbose = (failure.getTraceback(detail=detail) for detail in ("default", "brief", "verbose"))
    assert default.startswith("Traceback (most recent call last)")
    assert default.rstrip().endswith("KeyError: 'seen'")
    assert ":inner" in brief
    assert failure.getBriefTraceback() == brief
    assert "seen only verbosely" in verbose
    assert "local =" not in default
    with pytest.raises(ValueError, match="detail must be"):
        failure.getTraceback(detail="long")


def test_printtraceback_writes_to_a_file() -> None:
    file = io.StringIO()
    failure = failing()
    failure.printTraceback(file)
    assert file.getvalue() == failure.getTraceback()


def test_framework_frames_can_be_left_out() -> None:
    from netcore.defer import succeed

    seen: list[Failure] = []
    succeed(1).addCallback(lambda _: Failure(KeyError("k")).raiseException()).addErrback(seen.append)
    assert "in raiseException" in seen[0].getTraceback()
    assert "in raiseException" not in seen[0].getTraceback(elideFrameworkCode=True)


def test_cleanfailure_lets_go_of_the_frames() -> None:
    failure = failing()
    failure.cleanFailure()
    assert failure.getTracebackObject() is None
    assert failure.value.__traceback__ is None
    assert failure.getTraceback() == "KeyError: 'seen'\n"


def test_pickling_keeps_the_exception() -> None:
    copy = pickle.loads(pickle.dumps(failing()))
    assert copy.type is KeyError
    assert copy.getErrorMessage() == "'seen'"


def test_raising_again_and_again_makes_no_cycle() -> None:
    gc.collect()
    failure = failing()
    for _ in range(3):
        with pytest.raises(KeyError):
            failure.trap(ValueError)
        with pytest.raises(KeyError):
            failure.raiseException()
    del failure
    assert gc.collect() == 0
