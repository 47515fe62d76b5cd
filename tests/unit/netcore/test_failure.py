"""Failure: checking, trapping, tracebacks, letting go."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import traceback
from types import TracebackType
from typing import Any

import pytest

from netcore.failure import Failure, NoCurrentExceptionError, _without_our_frames


class BeyondPickling(Exception):
    """Pickled without a word, and not unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class PickledAsText(Exception):
    def __reduce__(self) -> Any:
        return str, self.args


class BrokenText(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__

    def __reduce__(self) -> Any:
        raise RuntimeError("not to be pickled")


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


@pytest.mark.parametrize("wrong", [ValueError, BaseException, ExceptionGroup, "text", 1])
def test_of_anything_but_an_exception_it_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="takes an exception, not"):
        Failure(wrong)


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


def test_framework_frames_can_be_left_out(not_debugging: None) -> None:
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


def test_cleanfailure_keeps_the_text() -> None:
    failure = failing()
    told, frames = failure.getTraceback(), failure.frames
    elided = failure.getTraceback(elideFrameworkCode=True)
    failure.cleanFailure()
    assert failure.getTraceback() == told
    assert failure.getTraceback(elideFrameworkCode=True) == elided
    assert failure.getTraceback(detail="verbose") == told
    assert failure.frames == frames
    assert copy.copy(failure).getTraceback() == told


def test_cleanfailure_lets_go_of_causes_and_groups_too() -> None:
    first, second = failing(), failing()
    group = ExceptionGroup("both", [first.value, second.value])  # type: ignore[list-item]
    error = ValueError("on top")
    error.__cause__ = group
    group.__context__ = error  # a cycle, which exceptions may form
    failure = Failure(error)
    failure.cleanFailure()
    assert first.value.__traceback__ is None
    assert second.value.__traceback__ is None
    assert "in inner" in failure.getTraceback()


class TestPickling:
    def test_it_keeps_the_exception_and_the_text_of_its_traceback(self) -> None:
        copied = pickle.loads(pickle.dumps(failing()))
        assert copied.type is KeyError
        assert copied.getErrorMessage() == "'seen'"
        assert copied.tb is None
        assert "in inner" in copied.getTraceback()
        with pytest.raises(KeyError) as caught:
            copied.raiseException()
        assert "in inner" in str(caught.value.__cause__)

    def test_the_text_outlasts_being_handed_on(self) -> None:
        copied = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(failing()))))
        assert copied.getTraceback() == pickle.loads(pickle.dumps(failing())).getTraceback()

    def test_one_that_was_never_raised_has_none(self) -> None:
        copied = pickle.loads(pickle.dumps(Failure(KeyError("k"))))
        assert copied.getTraceback() == "KeyError: 'k'\n"

    @pytest.mark.parametrize(
        "error", [BeyondPickling("a", "b"), ValueError(lambda: 0), BrokenText(), PickledAsText("t")], ids=type
    )
    def test_an_exception_that_cannot_be_pickled_does_not_stop_it(self, error: Exception) -> None:
        try:
            raise error
        except Exception:
            failure = Failure()
        copied = pickle.loads(pickle.dumps(failure))
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        assert copied.check("no.Such", kind) == kind
        assert copied.check("builtins.Exception")
        assert failure.getErrorMessage() in copied.getErrorMessage()
        assert "raise error" in copied.getTraceback()
        assert pickle.loads(pickle.dumps(copied)).check(kind) == kind

    def test_notes_and_groups_go_along(self) -> None:
        group = ExceptionGroup("both", [KeyError("k"), ValueError("v")])
        group.add_note("seen on the way")
        told = pickle.loads(pickle.dumps(Failure(group))).getTraceback()
        assert all(part in told for part in ("both", "KeyError: 'k'", "ValueError: v", "seen on the way"))

    def test_copying_keeps_everything(self) -> None:
        failure = failing()
        copied = copy.copy(failure)
        assert (copied.value, copied.type, copied.tb) == (failure.value, failure.type, failure.tb)


class TestWhatItTells:
    def test_parents_are_the_names_of_all_classes(self) -> None:
        assert Failure(KeyError("k")).parents == [
            f"builtins.{name}" for name in ("KeyError", "LookupError", "Exception", "BaseException", "object")
        ]

    def test_frames_are_told_outermost_first(self) -> None:
        names = [(name, file) for name, file, *_ in failing().frames]
        assert names == [("failing", __file__), ("inner", __file__)]

    def test_an_exception_whose_text_is_broken_is_told_all_the_same(self) -> None:
        failure = Failure(BrokenText())
        assert "whose __str__ raised builtins.ZeroDivisionError" in failure.getErrorMessage()
        assert failure.getErrorMessage() in repr(failure)
        for detail in ("default", "brief", "verbose"):
            assert "BrokenText" in failure.getTraceback(detail=detail)

    def test_a_variable_whose_repr_is_broken_is_told_all_the_same(self) -> None:
        def explode(broken: BrokenText) -> None:
            found = "another"
            raise KeyError(found)

        try:
            explode(BrokenText())
        except KeyError:
            told = Failure().getTraceback(detail="verbose")
        assert "found = 'another'" in told
        assert "broken = <" in told

    def test_causes_notes_and_groups_are_told(self) -> None:
        group = ExceptionGroup("both", [KeyError("k"), ValueError("v")])
        group.add_note("a note")
        try:
            raise RuntimeError("on top") from group
        except RuntimeError:
            told = Failure().getTraceback()
        assert all(
            part in told for part in ("both", "KeyError: 'k'", "ValueError: v", "a note", "RuntimeError: on top")
        )

    def test_printing_goes_to_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        failure = failing()
        for prints, detail in (
            (failure.printTraceback, "default"),
            (failure.printBriefTraceback, "brief"),
            (failure.printDetailedTraceback, "verbose"),
        ):
            prints()
            assert capsys.readouterr().err == failure.getTraceback(detail=detail)

    @pytest.mark.parametrize("wrong", ["text", 3])
    def test_something_else_than_an_exception_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="takes an exception"):
            Failure(wrong)

    def test_of_a_failure_it_is_a_copy(self) -> None:
        failure = failing()
        copied = Failure(failure, captureVars=True)
        assert (copied.value, copied.type, copied.tb) == (failure.value, failure.type, failure.tb)


class TestOurFrames:
    """Those of netcore itself, which say nothing about a user's mistake."""

    @staticmethod
    def failed() -> Failure:
        """A failure with frames of ours between those of this file, in itself, its cause and a group."""
        from netcore.defer import succeed
        from netcore.testing import StringTransport

        seen: list[Failure] = []
        succeed(1).addCallback(lambda _: Failure(KeyError("k")).raiseException()).addErrback(seen.append)
        try:
            StringTransport().write("text")  # type: ignore[arg-type]
        except TypeError as error:
            seen.append(Failure(error))
        group = ExceptionGroup("both", [each.value for each in seen])  # type: ignore[misc]
        try:
            raise RuntimeError("on top") from group
        except RuntimeError:
            return Failure()

    def test_they_are_left_out_everywhere(self, not_debugging: None) -> None:
        failure = self.failed()
        assert "in raiseException" in failure.getTraceback()
        told = failure.getTraceback(elideFrameworkCode=True)
        assert "in raiseException" not in told
        assert told.count(__file__) == 3
        assert "in write" in told  # of netcore.testing: done for the test
        failure.cleanFailure()
        assert failure.getTraceback(elideFrameworkCode=True) == told
        assert "in raiseException" in failure.getTraceback()

    def test_a_thousand_causes_in_a_row_need_no_stack(self) -> None:
        error = ValueError(0)
        for number in range(1, 1000):
            effect = ValueError(number)
            effect.__cause__ = error
            error = effect
        failure = Failure(error)
        failure.cleanFailure()
        assert failure.getTraceback(elideFrameworkCode=True) == failure.getTraceback()

    def test_a_traceback_without_them_is_a_new_one(self) -> None:
        def names(tb: TracebackType | None) -> list[str]:
            return [frame.f_code.co_name for frame, _ in traceback.walk_tb(tb)]

        with pytest.raises(KeyError) as caught:
            failing().raiseException()
        before = names(caught.tb)
        assert before[1] == "raiseException"
        assert names(_without_our_frames(caught.tb)) == [before[0], *before[2:]]
        assert names(caught.tb) == before
        assert [line for _, line in traceback.walk_tb(_without_our_frames(caught.tb))] == [
            line for frame, line in traceback.walk_tb(caught.tb) if frame.f_code.co_name != "raiseException"
        ]

    def test_a_traceback_of_nothing_else_stays(self) -> None:
        with pytest.raises(KeyError) as caught:
            Failure(KeyError("k")).raiseException()
        ours = caught.tb.tb_next
        assert _without_our_frames(ours) is ours
        assert _without_our_frames(None) is None


def test_raising_again_and_again_makes_no_cycle() -> None:
    gc.collect()
    failure = failing()
    for _ in range(3):
        with pytest.raises(KeyError):
            failure.trap(ValueError)
        with pytest.raises(KeyError):
            failure.raiseException()
        generator = (None for _ in range(3))
        next(generator)
        with pytest.raises(KeyError):
            failure.throwExceptionIntoGenerator(generator)
    del failure, generator
    assert gc.collect() == 0
