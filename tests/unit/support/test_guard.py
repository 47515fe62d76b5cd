"""The guard of tests/support/guard.py: each kind of leak makes a test fail, and nothing else does.

Each case is a file of tests that a pytest of its own runs under the guard.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

RunUnderGuard = Callable[[str], pytest.RunResult]


@pytest.fixture
def run_under_guard(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunUnderGuard:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # hypothesis': half of the time that such a run takes
    pytester.makeconftest('pytest_plugins = ["tests.support.guard"]')

    def run(tests: str) -> pytest.RunResult:
        pytester.makepyfile(textwrap.dedent(tests))
        return pytester.runpytest_subprocess("-p", "no:cacheprovider")

    return run


def test_a_leaked_thread_fails_the_test(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import threading
        import tests.support.guard as guard

        guard.GRACE = 0.05
        release = threading.Event()

        def test_leaves_a_thread():
            threading.Thread(target=release.wait, name="the leaked one").start()

        def test_is_not_blamed_for_it():
            pass

        def test_ends_it():
            release.set()
    """)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*thread: the leaked one (not daemon)*", "ERROR*::test_leaves_a_thread*"])


def test_a_thread_that_is_about_to_end_is_waited_for(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import threading

        def test_starts_a_thread_that_ends_a_moment_after_the_test():
            threading.Timer(0.05, lambda: None).start()
    """)
    result.assert_outcomes(passed=1)


def test_an_open_descriptor_fails_the_test(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import socket
        import tests.support.guard as guard

        guard.GRACE = 0.05
        opened = []

        def test_leaves_a_socket():
            opened.append(socket.socket())

        def test_is_not_blamed_for_it():
            pass

        def test_closes_it():
            opened.pop().close()
    """)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*open descriptor: * -> socket:*", "ERROR*::test_leaves_a_socket*"])


def test_a_number_reused_for_another_file_is_seen(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import os
        import tests.support.guard as guard

        guard.GRACE = 0.05
        number = os.open("/dev/null", os.O_RDONLY)

        def test_puts_another_file_in_its_place():
            other = os.open("/dev/zero", os.O_RDONLY)
            os.dup2(other, number)
            os.close(other)
    """)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["open descriptor: * -> /dev/zero"])


def test_what_a_session_fixture_keeps_is_no_leak(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import socket
        import pytest

        @pytest.fixture(scope="session")
        def server():
            opened = socket.socket()
            yield
            opened.close()

        def test_asks_for_it_in_its_middle(request):
            request.getfixturevalue("server")
    """)
    result.assert_outcomes(passed=1)


def test_a_delayed_call_of_any_live_reactor_fails_the_test(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import sys, types

        class Reactor:
            def __init__(self):
                self.calls = []
            def getDelayedCalls(self):
                return list(self.calls)

        first, second = Reactor(), Reactor()
        sys.modules["netcore.reactors"] = types.SimpleNamespace(live=lambda: [first, second])

        def test_leaves_a_call():
            second.calls.append("the leaked call")

        def test_is_not_blamed_for_it():
            pass
    """)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["delayed call: the leaked call", "ERROR*::test_leaves_a_call*"])


@pytest.mark.parametrize("name", ["netcore.defer", "asyncdb"])
def test_an_unclaimed_error_fails_the_test(run_under_guard: RunUnderGuard, name: str) -> None:
    result = run_under_guard(f"""
        import logging

        def test_logs_an_error():
            logging.getLogger({name!r}).error("Unhandled", exc_info=ValueError("lost"))

        def test_logs_what_is_no_error():
            logging.getLogger({name!r}).warning("careful")
            logging.getLogger("somebody.else").error("no business of ours")
    """)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([f"unclaimed error, logged by {name}: Unhandled", "ValueError: lost"])


def test_a_failure_reported_when_garbage_is_collected_fails_the_test(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import logging

        class Deferred:
            def __init__(self):
                self.cycle = self
            def __del__(self):
                logging.getLogger("netcore.defer").error("Unhandled failure")

        def test_drops_a_failed_one():
            Deferred()
    """)
    result.assert_outcomes(passed=1, errors=1)


def test_a_claimed_error_is_forgiven_and_only_that(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import logging

        log = logging.getLogger("netcore.defer")

        def test_claims_by_kind(logged):
            log.error("Unhandled", exc_info=KeyError("expected"))
            (record,) = logged.take(LookupError)
            assert record.exc_info[0] is KeyError
            assert logged.records == []

        def test_claims_everything(logged):
            log.error("something without an exception")
            assert [record.getMessage() for record in logged.take()] == ["something without an exception"]

        def test_claims_another_kind(logged):
            log.error("Unhandled", exc_info=ValueError("not claimed"))
            assert logged.take(KeyError) == []
    """)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["ValueError: not claimed", "ERROR*::test_claims_another_kind*"])


def test_a_test_that_failed_is_not_judged_twice(run_under_guard: RunUnderGuard) -> None:
    result = run_under_guard("""
        import socket

        opened = []

        def test_fails_with_a_socket_open():
            opened.append(socket.socket())
            assert False
    """)
    result.assert_outcomes(failed=1)
