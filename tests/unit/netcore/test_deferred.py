"""Callbacks, errbacks, chains, cancelling and time-outs of one Deferred, and lists of them."""

from __future__ import annotations

import builtins
import contextlib
import copy
import errno
import functools
import gc
import logging
import operator
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netcore.defer import (
    FAILURE,
    SUCCESS,
    AlreadyCalledError,
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    TimeoutError,
    fail,
    gatherResults,
    maybeDeferred,
    setUnhandledFailureHook,
    succeed,
)
from netcore.defer._chain import FAILED, FIRED, PENDING, RUNNING, run
from netcore.failure import Failure
from netcore.task import Clock


def result_of(d: Deferred[Any]) -> Any:
    """What *d* has now, a Failure as the type of its exception."""
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "the Deferred has no result"
    return seen[0].type if isinstance(seen[0], Failure) else seen[0]


def explode(result: object) -> None:
    raise ZeroDivisionError("exploded")


class TestCallbacks:
    def test_each_gets_what_the_one_before_returned(self) -> None:
        d: Deferred[int] = Deferred()
        d.addCallback(lambda n: n + 1).addCallback(lambda n: n * 10)
        d.callback(1)
        assert result_of(d) == 20

    def test_those_added_after_firing_run_at_once(self) -> None:
        assert result_of(succeed(1).addCallback(lambda n: n + 1)) == 2

    def test_arguments_are_passed_on(self) -> None:
        assert result_of(succeed(1).addCallback(lambda n, a, *, b: (n, a, b), 2, b=3)) == (1, 2, 3)

    @pytest.mark.parametrize("fired_first", [True, False])
    @pytest.mark.parametrize("keywords", [{}, {"a": 2}, None])
    @pytest.mark.parametrize("args", [(), (1,), None])
    def test_addcallbacks_passes_each_its_own_arguments(self, args: Any, keywords: Any, fired_first: bool) -> None:
        def called(result: object, *args: Any, **keywords: Any) -> tuple[Any, ...]:
            return args, keywords

        def other(result: object) -> str:
            return "other"

        def chosen(error: Exception | None, *how: Any) -> Any:
            d: Deferred[Any] = Deferred()
            if not fired_first:
                d.addCallbacks(*how)
            d.callback(None) if error is None else d.errback(error)
            if fired_first:
                d.addCallbacks(*how)
            return result_of(d)

        expected = (args or (), keywords or {})
        assert chosen(None, called, other, args, keywords) == expected
        assert chosen(KeyError(), other, called, None, None, args, keywords) == expected
        assert chosen(KeyError(), called, called, (3,), {"b": 4}, args, keywords) == expected
        assert chosen(None, called, called, args, keywords, (3,), {"b": 4}) == expected
        assert chosen(KeyError(), called, other, args, keywords) == "other"
        assert chosen(None, other, called, None, None, args, keywords) == "other"

    def test_arguments_that_cannot_be_passed_on_are_a_failure(self) -> None:
        class Keywords(dict[str, int]):
            def __bool__(self) -> bool:
                if d.called:
                    raise ZeroDivisionError
                return True

        d: Deferred[Any] = Deferred()
        d.addCallbacks(explode, callbackKeywords=Keywords(a=1))
        d.callback(1)
        assert result_of(d) is ZeroDivisionError

    def test_what_a_callback_raises_goes_to_the_next_errback(self) -> None:
        d = succeed(1).addCallback(explode).addCallback(lambda _: "skipped").addErrback(lambda f: f.getErrorMessage())
        assert result_of(d) == "exploded"

    def test_what_the_callback_raises_passes_the_errback_beside_it(self) -> None:
        seen: list[Failure] = []
        d = succeed(1).addCallbacks(explode, seen.append)
        assert result_of(d) is ZeroDivisionError
        assert seen == []

    @pytest.mark.parametrize("fired_first", [True, False])
    @pytest.mark.parametrize("args", [(), (1,)])
    def test_even_system_exit_becomes_a_failure(self, args: Any, fired_first: bool) -> None:
        def leave(result: object, *args: object) -> None:
            raise SystemExit(3)

        d: Deferred[Any] = succeed(1) if fired_first else Deferred()
        d.addCallback(leave, *args)
        if not fired_first:
            d.callback(1)
        assert result_of(d) is SystemExit

    @pytest.mark.parametrize("others", [0, 2])
    @pytest.mark.parametrize("fired_first", [True, False])
    @pytest.mark.parametrize("kind", ["function", "method", "builtin", "partial", "object", "class"])
    def test_whatever_can_be_called_is_a_callback(self, kind: str, fired_first: bool, others: int) -> None:
        class Adds:
            def __call__(self, n: int) -> int:
                return n + 1

        one: Any = {
            "function": lambda n: n + 1,
            "method": Adds().__call__,
            "builtin": (1).__add__,
            "partial": functools.partial(operator.add, 1),
            "object": Adds(),
            "class": bool,
        }[kind]
        d: Deferred[Any] = succeed(1) if fired_first else Deferred()
        d.addCallback(one)
        for _ in range(others):
            d.addCallback(one)
        if not fired_first:
            d.callback(1)
        assert result_of(d) == (kind == "class" or 2 + others)
        failed = fail(KeyError())
        failed.addCallback(one)
        assert result_of(failed) is KeyError

    def test_a_failure_given_to_callback_or_returned_counts_as_one(self) -> None:
        d: Deferred[int] = Deferred()
        d.callback(Failure(KeyError("k")))
        assert result_of(d) is KeyError
        assert result_of(succeed(1).addCallback(lambda _: Failure(KeyError("k")))) is KeyError

    def test_errback_without_argument_takes_the_exception_being_handled(self) -> None:
        d: Deferred[int] = Deferred()
        try:
            explode(None)
        except ZeroDivisionError:
            d.errback()
        assert result_of(d) is ZeroDivisionError

    @pytest.mark.parametrize("wrong", [None, 3, "text"])
    def test_something_not_callable_is_refused_when_added(self, wrong: Any) -> None:
        d: Deferred[int] = Deferred()
        for add in (d.addCallback, d.addErrback, d.addBoth):
            with pytest.raises(TypeError, match="must be callable"):
                add(wrong)
        if wrong is not None:
            with pytest.raises(TypeError, match="must be callable"):
                d.addCallbacks(wrong)
            with pytest.raises(TypeError, match="must be callable"):
                d.addCallbacks(explode, wrong)

    def test_a_deferred_as_result_is_refused(self) -> None:
        d: Deferred[Any] = Deferred()
        with pytest.raises(TypeError, match="chainDeferred"):
            d.callback(Deferred())
        assert not d.called

    def test_errback_of_something_else_is_refused(self) -> None:
        d: Deferred[Any] = Deferred()
        with pytest.raises(TypeError, match="Failure or an exception"):
            d.errback("wrong")  # type: ignore[arg-type]

    def test_callbacks_added_while_running_come_last(self) -> None:
        order: list[str] = []
        d: Deferred[None] = Deferred()

        def adds(result: None) -> None:
            order.append("first")
            d.addCallback(lambda _: order.append("added"))

        d.addCallback(adds)
        d.addCallback(lambda _: order.append("second"))
        d.addCallback(lambda _: order.append("third"))
        d.callback(None)
        assert order == ["first", "second", "third", "added"]

    def test_pausing_in_a_callback_holds_the_rest(self) -> None:
        seen: list[int] = []
        d: Deferred[int] = Deferred()

        def pause(n: int) -> int:
            d.pause()
            return n + 1

        d.addCallback(pause).addCallback(seen.append)
        d.callback(1)
        assert seen == []
        d.unpause()
        assert seen == [2]


class TestChains:
    def test_a_returned_deferred_is_waited_for(self) -> None:
        inner: Deferred[str] = Deferred()
        seen: list[str] = []
        d = succeed(1).addCallback(lambda _: inner).addCallback(seen.append)
        assert seen == []
        assert "waiting on" in repr(d)
        inner.callback("there")
        assert seen == ["there"]

    def test_its_result_is_taken_away(self) -> None:
        inner = succeed("x")
        assert result_of(succeed(1).addCallback(lambda _: inner)) == "x"
        assert result_of(inner) is None

    def test_its_failure_is_handed_over(self) -> None:
        inner: Deferred[str] = Deferred()
        d = succeed(1).addCallback(lambda _: inner)
        inner.errback(KeyError("k"))
        assert result_of(d) is KeyError

    def test_callbacks_added_to_the_inner_one_later_see_none(self) -> None:
        inner: Deferred[str] = Deferred()
        seen: list[Any] = []
        succeed(1).addCallback(lambda _: inner).addCallback(lambda r: seen.append(("outer", r)))
        inner.addCallback(lambda r: seen.append(("inner", r)))
        inner.callback("x")
        assert seen == [("outer", "x"), ("inner", None)]

    def test_a_deferred_that_returns_itself_fails_instead_of_hanging(self) -> None:
        d: Deferred[Any] = Deferred()
        d.addCallback(lambda _: d)
        d.callback(1)
        assert result_of(d) is TypeError

    def test_chaindeferred_hands_on_results_and_failures(self) -> None:
        for first in (succeed(1), fail(KeyError())):
            second: Deferred[Any] = Deferred()
            assert result_of(first.chainDeferred(second)) is None
            assert result_of(second) in (1, KeyError)

    def test_chaindeferred_fails_where_the_other_was_fired_before(self) -> None:
        for first in (succeed(1), fail(KeyError()), Deferred[Any]().addCallback(lambda _: succeed(1))):
            second = succeed(2)
            first.chainDeferred(second)
            if not first.called:
                first.callback(None)
            assert result_of(first) is AlreadyCalledError
            assert result_of(second) == 2

    def test_chaindeferred_is_dropped_by_one_that_was_cancelled(self) -> None:
        second: Deferred[Any] = Deferred()
        second.cancel()
        assert result_of(succeed(1).chainDeferred(second)) is None
        assert result_of(second) is CancelledError

    def test_chaindeferred_calls_what_a_subclass_has_of_its_own(self) -> None:
        class Loud(Deferred[Any]):
            def callback(self, result: Any) -> None:
                super().callback(f"{result}!")

        loud = Loud()
        succeed("done").chainDeferred(loud)
        assert result_of(loud) == "done!"

    def test_chaindeferred_refuses_what_is_no_deferred(self) -> None:
        d = succeed(1)
        with pytest.raises(TypeError, match="chainDeferred"):
            d.chainDeferred(None)  # type: ignore[arg-type]
        assert result_of(d) == 1

    @pytest.mark.parametrize("fired_first", [True, False])
    def test_a_hundred_thousand_in_a_chain_need_no_stack(self, fired_first: bool) -> None:
        first: Deferred[str] = Deferred()
        last = first
        for _ in range(100_000):
            following: Deferred[Any] = Deferred()
            following.addCallback(lambda _, last=last: last)
            following.callback(None)
            last = following
        if fired_first:
            first.callback("end")
            assert result_of(last) == "end"
        else:
            seen: list[Any] = []
            last.addErrback(seen.append)
            last.cancel()
            assert [failure.type for failure in seen] == [CancelledError]

    def test_a_paused_outer_deferred_waits_for_unpause(self) -> None:
        inner: Deferred[str] = Deferred()
        seen: list[str] = []
        d = succeed(1).addCallback(lambda _: inner)
        d.pause()
        d.addCallback(seen.append)
        inner.callback("x")
        assert seen == []
        d.unpause()
        assert seen == ["x"]

    def test_many_outer_ones_run_before_the_rest_of_the_inner_one(self) -> None:
        order: list[Any] = []
        inner: Deferred[str] = Deferred()
        inner.addCallback(lambda r: order.append("a"))
        succeed(1).addCallback(lambda _: inner).addCallback(lambda r: order.append("outer"))
        inner.addCallback(lambda r: order.append("b"))
        inner.callback("x")
        assert order == ["a", "outer", "b"]


class TestCancelling:
    def test_the_canceller_may_fire_it(self) -> None:
        d: Deferred[str] = Deferred(lambda d: d.callback("partial"))
        d.cancel()
        assert result_of(d) == "partial"

    def test_it_fails_with_cancellederror_if_the_canceller_did_not(self) -> None:
        called: list[Any] = []
        d: Deferred[str] = Deferred(called.append)
        d.cancel()
        assert called == [d]
        assert result_of(d) is CancelledError

    def test_after_a_canceller_a_late_result_is_an_error(self) -> None:
        d: Deferred[str] = Deferred(lambda d: None)
        d.addErrback(lambda f: None)
        d.cancel()
        with pytest.raises(AlreadyCalledError):
            d.callback("late")

    def test_a_canceller_that_raises_is_logged_and_it_fires_all_the_same(self, caplog: Any, logged: Any) -> None:
        d: Deferred[str] = Deferred(explode)
        d.cancel()
        assert result_of(d) is CancelledError
        assert len(logged.take(ZeroDivisionError)) == 1

    def test_the_inner_one_is_cancelled_when_waited_for(self) -> None:
        called: list[Any] = []
        inner: Deferred[str] = Deferred(called.append)
        d = succeed(1).addCallback(lambda _: inner)
        d.cancel()
        assert called == [inner]
        assert result_of(d) is CancelledError

    def test_two_that_wait_for_each_other_are_left_alone(self) -> None:
        a: Deferred[Any] = Deferred()
        b: Deferred[Any] = Deferred()
        a.addCallback(lambda _: b)
        b.addCallback(lambda _: a)
        a.callback(None)
        b.callback(None)
        a.cancel()
        assert "waiting on" in repr(a)

    def test_an_inner_list_is_cancelled_in_its_own_way(self) -> None:
        cancelled: list[Any] = []
        waiting: Deferred[Any] = Deferred(cancelled.append)
        d = succeed(1).addCallback(lambda _: DeferredList([waiting], consumeErrors=True))
        d.cancel()
        assert cancelled == [waiting]
        [(success, failure)] = result_of(d)
        assert (success, failure.type) == (FAILURE, CancelledError)

    def test_nothing_happens_when_the_result_is_there(self) -> None:
        d = succeed(1)
        d.cancel()
        assert result_of(d) == 1


class TestTimeouts:
    def test_it_is_cancelled_when_the_time_is_over(self) -> None:
        clock = Clock()
        d: Deferred[str] = Deferred()
        d.addTimeout(5, clock)
        clock.advance(4)
        assert not d.called
        clock.advance(1)
        seen: list[Failure] = []
        d.addErrback(seen.append)
        assert isinstance(seen[0].value, builtins.TimeoutError)
        assert seen[0].check(TimeoutError)
        assert str(seen[0].value) == "no result within 5 s"

    @pytest.mark.parametrize(
        ("args", "text", "seconds", "code"),
        [
            ((), "no result in time", None, None),
            ((5,), "no result within 5 s", 5, None),
            ((5, "Deferred"), "no result within 5 s", 5, None),
            ((errno.ETIMEDOUT, "Deferred"), f"no result within {errno.ETIMEDOUT} s", errno.ETIMEDOUT, None),
            ((2.5, "lock x"), "lock x: no result within 2.5 s", 2.5, None),
            ((110.0, "lock x"), "lock x: no result within 110 s", 110.0, None),
            ((None, "lock x"), "lock x: no result in time", None, None),
            (("Server did not answer",), "Server did not answer", None, None),
            (("Server", "did not answer"), "[Errno Server] did not answer", None, "Server"),
            ((errno.ETIMEDOUT, "Timed out"), f"[Errno {errno.ETIMEDOUT}] Timed out", None, errno.ETIMEDOUT),
            (
                (errno.ETIMEDOUT, "Timed out", "a.sock"),
                f"[Errno {errno.ETIMEDOUT}] Timed out: 'a.sock'",
                None,
                errno.ETIMEDOUT,
            ),
            (tuple(range(7)), "(0, 1, 2, 3, 4, 5, 6)", None, None),
        ],
    )
    def test_its_error_takes_what_pythons_own_takes(
        self, args: tuple[Any, ...], text: str, seconds: float | None, code: Any
    ) -> None:
        error = TimeoutError(*args)
        for each in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (str(each), each.timeout, each.errno) == (text, seconds, code)
            assert each.args == error.args

    def test_a_result_in_time_stops_the_timer(self) -> None:
        clock = Clock()
        d: Deferred[str] = Deferred()
        d.addTimeout(5, clock)
        d.callback("in time")
        assert clock.getDelayedCalls() == []
        assert result_of(d) == "in time"

    def test_what_the_canceller_made_of_it_stands(self) -> None:
        clock = Clock()
        d: Deferred[str] = Deferred(lambda d: d.callback("partial"))
        d.addTimeout(5, clock)
        clock.advance(5)
        assert result_of(d) == "partial"

    def test_another_cancel_is_not_taken_for_a_timeout(self) -> None:
        clock = Clock()
        d: Deferred[str] = Deferred()
        d.addTimeout(5, clock)
        d.cancel()
        assert result_of(d) is CancelledError
        assert clock.getDelayedCalls() == []

    def test_ontimeoutcancel_decides_the_result(self) -> None:
        clock = Clock()
        d: Deferred[Any] = Deferred()
        d.addTimeout(5, clock, lambda result, timeout: ("gave up", result.type, timeout))
        clock.advance(5)
        assert result_of(d) == ("gave up", CancelledError, 5)


class TestUnhandledFailures:
    def test_are_logged_when_the_last_reference_goes(self, logged: Any) -> None:
        fail(KeyError("lost"))
        records = logged.take(KeyError)
        assert len(records) == 1
        assert records[0].name == "netcore.defer"
        assert records[0].levelno == logging.ERROR
        assert records[0].failure.type is KeyError
        assert records[0].exc_info[0] is KeyError

    def test_reach_the_hook(self, logged: Any) -> None:
        seen: list[Failure] = []
        previous = setUnhandledFailureHook(seen.append)
        try:
            fail(KeyError("lost"))
        finally:
            assert setUnhandledFailureHook(previous) == seen.append
        assert [failure.type for failure in seen] == [KeyError]
        logged.take(KeyError)

    def test_are_not_reported_once_handled_even_late(self) -> None:
        d = fail(KeyError("handled"))
        d.addErrback(lambda failure: None)
        del d
        gc.collect()  # the guard of the suite fails this test if anything is reported

    def test_are_reported_once_for_a_chain(self, logged: Any) -> None:
        inner: Deferred[Any] = Deferred()
        d = succeed(1).addCallback(lambda _, inner=inner: inner)
        inner.errback(KeyError("lost"))
        del d, inner
        gc.collect()
        assert len(logged.take(KeyError)) == 1

    def test_are_reported_for_a_paused_deferred(self, logged: Any) -> None:
        d: Deferred[Any] = Deferred()
        d.pause()
        d.errback(KeyError("lost"))
        del d
        gc.collect()
        assert len(logged.take(KeyError)) == 1

    @pytest.mark.parametrize("error", [RuntimeError("broken hook"), SystemExit(3)], ids=["Exception", "SystemExit"])
    def test_what_the_hook_raises_is_logged_too(self, error: BaseException, logged: Any) -> None:
        def broken(failure: Failure) -> None:
            raise error

        with unhandled_failure_hook(broken):
            fail(KeyError("lost"))
        assert len(logged.take(KeyError)) == 1
        (record,) = logged.take(type(error))
        assert "the hook for unhandled failures, raised when it was given <Failure builtins.K" in record.getMessage()

    @pytest.mark.parametrize("part", ["handler", "filter"])
    def test_a_broken_log_keeps_nothing_from_the_hook(self, part: str, logged: Any) -> None:
        seen: list[Failure] = []
        with unhandled_failure_hook(seen.append), broken_log(part):
            with pytest.warns(RuntimeWarning, match=r"could not be logged, because of .*broken log") as warned:
                fail(KeyError("lost"))
            assert [str(one.message).splitlines()[-1] for one in warned] == ["KeyError: 'lost'"]
        assert [failure.type for failure in seen] == [KeyError]
        logged.take(KeyError)

    def test_the_same_one_again_is_told_of_again_as_python_shows_warnings(self, tmp_path: Path) -> None:
        program = """
            import logging
            from netcore.defer import fail

            def broken(record):
                raise RuntimeError

            logging.getLogger("netcore.defer").addFilter(broken)
            for _ in range(2):
                fail(KeyError("lost"))
        """
        assert told_by(program, tmp_path).count("KeyError: 'lost'") == 2

    def test_that_neither_the_log_nor_the_hook_takes_are_warned_about(self, logged: Any) -> None:
        def broken(failure: Failure) -> None:
            raise ValueError("broken hook")

        with unhandled_failure_hook(broken), broken_log("filter"), pytest.warns(RuntimeWarning) as warned:
            fail(KeyError("lost"))
        assert [str(one.message).splitlines()[-1] for one in warned] == ["KeyError: 'lost'", "ValueError: broken hook"]

    @pytest.mark.parametrize("debugging", ["0", "1"])
    def test_held_until_the_end_are_reported_there(self, debugging: str, tmp_path: Path) -> None:
        program = """
            from netcore.defer import ensureDeferred, fail

            class App:
                pass

            async def fails():
                raise ValueError("at exit")

            app = App()
            app.itself, app.held = app, fail(KeyError("in a cycle"))
            held = ensureDeferred(fails())
        """
        text = told_by(program, tmp_path, NETCORE_DEBUG=debugging)
        assert text.count("Unhandled error in Deferred") == 2
        assert "KeyError: 'in a cycle'" in text
        assert 'raise ValueError("at exit")' in text
        assert "Warning" not in text
        assert text.count("was made at") == 2 * int(debugging)


@contextlib.contextmanager
def unhandled_failure_hook(hook: Callable[[Failure], object]) -> Iterator[None]:
    previous = setUnhandledFailureHook(hook)
    try:
        yield
    finally:
        setUnhandledFailureHook(previous)


@contextlib.contextmanager
def broken_log(part: str) -> Iterator[None]:
    """The log of Deferreds has a handler, or a filter, that raises."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("broken log")

    logger, handler = logging.getLogger("netcore.defer"), Broken()
    filter = handler.emit
    if part == "handler":
        logger.addHandler(handler)
    else:
        logger.addFilter(filter)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.removeFilter(filter)


def told_by(program: str, folder: Path, **environment: str) -> str:
    """What *program*, run by a Python of its own, says on standard error."""
    file = folder / "program.py"
    file.write_text(textwrap.dedent(program))
    command = [sys.executable, str(file)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stderr


class TestThreads:
    def test_fired_from_another_thread_the_callbacks_run_there(self) -> None:
        d: Deferred[int] = Deferred()
        ran_in: list[int] = []
        d.addCallback(lambda _: ran_in.append(threading.get_ident()))
        worker = threading.Thread(target=d.callback, args=(1,))
        worker.start()
        worker.join()
        assert ran_in != [threading.get_ident()]
        assert len(ran_in) == 1

    def test_firing_and_adding_at_the_same_moment_loses_doubles_and_mixes_up_nothing(self) -> None:
        """Each round starts both sides from a barrier. Whoever comes first, both callbacks run once, in their order.

        It looks for what nobody thought of; the known windows have tests of their own, below.
        """
        rounds = 3000
        ready = threading.Barrier(2)
        deferreds: list[Deferred[int]] = [Deferred() for _ in range(rounds)]
        seen: list[list[int]] = [[] for _ in range(rounds)]

        def fire() -> None:
            for d in deferreds:
                ready.wait()
                d.callback(0)

        def count(result: int, index: int) -> int:
            seen[index].append(result)
            return result + 1

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            worker = threading.Thread(target=fire)
            worker.start()
            for index, d in enumerate(deferreds):
                ready.wait()
                for _ in range(4):
                    d.addCallback(count, index)
            worker.join()
        finally:
            sys.setswitchinterval(interval)
        assert [result for result in seen if result != [0, 1, 2, 3]] == []

    @pytest.mark.parametrize("event", ["add while claimed", "add when all are taken"])
    def test_an_entry_added_by_another_thread_while_one_runs_them_is_run_by_that_one(self, event: str) -> None:
        """The other thread's part is played by a callback: what it adds finds the Deferred RUNNING."""
        order: list[str] = []
        d: Deferred[None] = Deferred()

        def add(_: None) -> None:
            worker = threading.Thread(target=d.addCallback, args=(lambda _: order.append("added"),))
            worker.start()
            worker.join()
            order.append("adding")

        d.addCallback(add)
        if event == "add while claimed":
            d.addCallback(lambda _: order.append("second"))
        d.callback(None)
        assert order == (["adding", "second", "added"] if event == "add while claimed" else ["adding", "added"])

    @pytest.mark.parametrize("case", ["has run a callback", "has run what waited", "has failed", "had nothing to run"])
    def test_an_entry_added_after_the_last_look_for_entries_is_run(self, case: str) -> None:
        """The other thread's part is played by the assignment that ends RUNNING: it adds just before."""
        order: list[str] = []

        class Interrupted(Deferred[Any]):
            @property
            def _state(self) -> int:  # type: ignore[override]
                return int(self.__dict__.get("state", PENDING))

            @_state.setter
            def _state(self, state: int) -> None:
                if state in (FIRED, FAILED) and self._state == RUNNING and not order:
                    order.append("adding")
                    self.addBoth(lambda _: order.append("added"))
                self.__dict__["state"] = state

        d = Interrupted()
        if case == "has run what waited":
            succeed(1).addCallback(lambda _: d).addCallback(lambda _: order.append("outer"))
        elif case != "had nothing to run":
            d.addBoth(lambda result: result)
        if case.startswith("has run"):
            d.callback("x")
        else:
            d.errback(KeyError())
        assert order == ["adding", "outer", "added"] if case == "has run what waited" else ["adding", "added"]

    def test_a_deferred_that_waits_belongs_to_the_thread_that_fires_what_it_waits_for(self) -> None:
        """The other thread fires the inner one at the last moment, and is running the outer one when this goes on."""
        running, go_on = threading.Event(), threading.Event()
        order: list[str] = []

        def in_the_other_thread(result: str) -> str:
            running.set()
            assert go_on.wait(10)
            order.append(result)
            return "done"

        class FiredWhenAwaited(Deferred[str]):
            def _add(self, entry: Any) -> None:
                super()._add(entry)
                worker.start()
                assert running.wait(10)

        inner = FiredWhenAwaited()
        worker = threading.Thread(target=inner.callback, args=("x",))
        d: Deferred[int] = Deferred()
        waiting = d.addCallback(lambda _: inner)
        waiting.addCallback(in_the_other_thread)
        d.callback(1)
        assert d._state == RUNNING
        waiting.addCallback(order.append)
        go_on.set()
        worker.join()
        assert order == ["x", "done"]

    def test_only_the_thread_that_claimed_a_deferred_runs_it(self) -> None:
        order: list[str] = []
        d: Deferred[None] = Deferred()

        def other_thread_comes(_: None) -> None:
            worker = threading.Thread(target=run, args=(d,))
            worker.start()
            worker.join()
            order.append("first")

        d.addCallback(other_thread_comes)
        d.addCallback(lambda _: order.append("second"))
        d.callback(None)
        assert order == ["first", "second"]

    def test_what_is_held_back_for_those_that_wait_is_not_run_by_another_thread(self) -> None:
        order: list[str] = []
        inner: Deferred[str] = Deferred()

        def outer_runs(_: str) -> None:
            order.append("outer")
            worker = threading.Thread(target=inner.addCallback, args=(lambda _: order.append("added"),))
            worker.start()
            worker.join()

        succeed(1).addCallback(lambda _: inner).addCallback(outer_runs)
        inner.addCallback(lambda _: order.append("rest"))
        inner.callback("x")
        assert order == ["outer", "rest", "added"]


class TestLists:
    def test_collects_results_and_failures_in_order(self) -> None:
        first: Deferred[str] = Deferred()
        second: Deferred[str] = Deferred()
        collected = DeferredList([first, second], consumeErrors=True)
        second.errback(KeyError("k"))
        assert not collected.called
        first.callback("a")
        (ok, result), (failed, failure) = result_of(collected)
        assert (ok, result, failed, failure.type) == (SUCCESS, "a", FAILURE, KeyError)
        assert result_of(second) is None

    def test_without_consumeerrors_failures_stay_with_their_deferreds(self) -> None:
        lost = fail(KeyError("k"))
        DeferredList([lost])
        assert result_of(lost) is KeyError

    def test_an_empty_list_fires_at_once_unless_it_waits_for_the_first(self) -> None:
        assert result_of(DeferredList([])) == []
        assert not DeferredList([], fireOnOneCallback=True).called

    def test_fireononecallback_gives_the_first_result_and_its_index(self) -> None:
        waiting: list[Deferred[str]] = [Deferred(), Deferred()]
        first = DeferredList(waiting, fireOnOneCallback=True)
        waiting[1].callback("b")
        assert result_of(first) == ("b", 1)
        waiting[0].callback("a")

    def test_fireononeerrback_fails_with_firsterror(self) -> None:
        waiting: list[Deferred[str]] = [Deferred(), Deferred()]
        collected = DeferredList(waiting, fireOnOneErrback=True, consumeErrors=True)
        seen: list[Failure] = []
        collected.addErrback(seen.append)
        waiting[1].errback(KeyError("k"))
        error = seen[0].value
        assert isinstance(error, FirstError)
        assert (error.index, error.subFailure.type) == (1, KeyError)
        assert "KeyError" in str(error)

    def test_cancelling_cancels_those_that_wait(self) -> None:
        cancelled: list[Any] = []
        waiting: list[Deferred[str]] = [Deferred(cancelled.append), succeed("x"), Deferred(cancelled.append)]
        collected = DeferredList(waiting, consumeErrors=True)
        collected.cancel()
        assert cancelled == [waiting[0], waiting[2]]
        assert [success for success, _ in result_of(collected)] == [FAILURE, SUCCESS, FAILURE]

    def test_one_that_waits_for_its_own_list_is_left_alone(self) -> None:
        lists: list[Any] = []
        waiting: Deferred[Any] = Deferred()
        waiting.addCallback(lambda _: lists[0])
        lists.append(DeferredList([waiting]))
        waiting.callback(1)
        lists[0].cancel()
        assert not lists[0].called

    def test_ten_thousand_lists_of_lists_need_no_stack(self) -> None:
        first: Deferred[Any] = Deferred()
        last = first
        for _ in range(10_000):
            last = gatherResults([last])
        first.callback("end")
        result = result_of(last)
        for _ in range(10_000):
            [result] = result
        assert result == "end"

    def test_cancelling_a_fired_list_cancels_what_it_waits_for(self) -> None:
        inner: Deferred[str] = Deferred()
        collected = DeferredList([])
        waiting = collected.addCallback(lambda _: inner)
        collected.cancel()
        assert result_of(waiting) is CancelledError

    def test_gatherresults_gives_plain_results(self) -> None:
        assert result_of(gatherResults([succeed(1), succeed(2)])) == [1, 2]
        assert result_of(gatherResults([succeed(1), fail(KeyError())], consumeErrors=True)) is FirstError


class TestMaking:
    def test_maybedeferred_takes_results_exceptions_and_deferreds(self) -> None:
        async def coroutine() -> int:
            return 4

        d = succeed(2)
        assert result_of(maybeDeferred(lambda a, b: a + b, 1, b=2)) == 3
        assert result_of(maybeDeferred(explode, None)) is ZeroDivisionError
        assert maybeDeferred(lambda: d) is d
        assert result_of(maybeDeferred(coroutine)) == 4

    def test_looking_at_a_deferred(self) -> None:
        d: Deferred[int] = Deferred()
        assert not d.called
        with pytest.raises(AttributeError, match="no result"):
            _ = d.result
        assert repr(d).startswith("<Deferred at 0x")
        d.callback(3)
        assert d.called
        assert d.result == 3
        assert "current result: 3" in repr(d)

    def test_looking_at_one_from_its_own_callback(self) -> None:
        d: Deferred[Any] = Deferred()
        seen: list[str] = []

        def look(result: Any) -> Deferred[Any]:
            seen.append(repr(d))
            d.addErrback(lambda _: seen.append(repr(d)))
            return d

        d.addCallback(look)
        d.callback(1)
        assert [text.rpartition("running")[1] for text in seen] == ["running", "running"]

    def test_many_can_be_kept(self) -> None:
        d: Deferred[Any] = Deferred()
        assert sys.getsizeof(d) <= 112
        d.addCallback(result_of)
        assert d._more is None, "the first callback takes no room"

    def test_deferreds_can_be_weakly_referenced_and_subclassed(self) -> None:
        class Mine(Deferred[int]):
            pass

        mine = Mine()
        assert weakref.ref(mine)() is mine
        assert repr(mine).startswith("<Mine at")

    def test_callbacks_that_have_run_are_let_go(self) -> None:
        class Thing:
            def called(self, result: Any) -> None: ...

        d: Deferred[Any] = Deferred()
        things = [Thing() for _ in range(4)]
        for thing in things:
            d.addBoth(thing.called)
        gone = [weakref.ref(thing) for thing in things]
        del things, thing
        d.callback(None)
        assert [ref() for ref in gone] == [None] * 4

    @pytest.mark.parametrize("late", [False, True])
    @pytest.mark.parametrize("passed_by", [False, True])
    @pytest.mark.parametrize("how", ["raised", "errback", "callback", "returned", "chained"])
    def test_a_handled_failure_leaves_no_garbage(self, how: str, passed_by: bool, late: bool) -> None:
        gc.collect()
        for _ in range(100):
            d: Deferred[Any] = Deferred()
            if how == "raised":
                d.addCallback(explode)
            elif how == "returned":
                d.addCallback(lambda _: Failure(KeyError()))
            elif how == "chained":
                d.addCallback(lambda _: succeed(1).addCallback(explode))
            if passed_by:
                d.addErrback(lambda f: f.trap(ValueError))  # raises it again
            if not late:
                d.addErrback(lambda f: f.trap(ZeroDivisionError, KeyError) and None)
            if how == "errback":
                d.errback(KeyError())
            elif how == "callback":
                d.callback(Failure(KeyError()))
            else:
                d.callback(1)
            if late:
                d.addErrback(lambda f: f.trap(ZeroDivisionError, KeyError) and None)
        del d
        assert gc.collect() == 0

    @pytest.mark.parametrize("adding", ["addErrback", "addBoth"])
    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("again", [lambda failure: failure.trap(KeyError), Failure.raiseException])
    def test_an_errback_that_raises_it_again_keeps_none_of_its_variables(
        self, again: Callable[[Failure], object], adding: str, count: int
    ) -> None:
        class Thing:
            pass

        things: list[weakref.ref[Thing]] = []

        def errback(failure: Failure) -> None:
            thing = Thing()
            things.append(weakref.ref(thing))
            again(failure)

        gc.collect()
        gc.disable()
        try:
            d: Deferred[Any] = Deferred()
            seen: list[Failure] = []
            d.addCallback(explode)
            for _ in range(count):
                getattr(d, adding)(errback)
            d.addErrback(seen.append)
            d.callback(1)
            assert [thing() for thing in things] == [None] * count
        finally:
            gc.enable()
        assert [frame[0] for frame in seen[0].frames] == ["explode"]
        assert seen[0].value.__traceback__ is seen[0].tb
