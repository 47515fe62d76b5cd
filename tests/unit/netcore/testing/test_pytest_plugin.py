"""The plugin for pytest, in runs of pytest within this one: which tests it takes, how it runs them, what it reports.

Here every inner run is given the module, whether or not the environment has the entry point.
"""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import anyio.pytest_plugin
import hypothesis
import pytest

import netcore.debug
import netcore.endpoints
import netcore.reactors
import netcore.testing.network
from netcore import _pytest_plugin
from tests.support.guard import Logged

# An inner run forgets what it was the first to import: the next would import it once more.
IMPORTED = (
    anyio.pytest_plugin,
    hypothesis,
    netcore.debug,
    netcore.endpoints,
    netcore.reactors,
    netcore.testing.network,
)

Run = Callable[..., pytest.RunResult]

IMPORTS = """
import asyncio
import pytest
from netcore.defer import Deferred, fail, inlineCallbacks, succeed
from netcore.endpoints import TCP4ClientEndpoint
from netcore.protocol import Factory, Protocol
from netcore.task import deferLater
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source: str, *arguments: str, ini: str = "") -> pytest.RunResult:
        """Run the tests in *source* with the plugin, and no other."""
        pytester.makepyfile(IMPORTS + textwrap.dedent(source))
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}\n")
        return pytester.runpytest_inprocess(
            "-pno:cacheprovider", *arguments, plugins=[_pytest_plugin], no_reraise_ctrlc=True
        )

    return run


def test_the_entry_point_names_the_plugin() -> None:
    """As it is declared; an environment that was made before has it when it is made again."""
    declared = {"netcore": "netcore._pytest_plugin"}
    found = {each.name: each.value for each in entry_points(group="pytest11") if each.name in declared}
    assert found in (declared, {})


def test_loading_the_plugin_loads_nothing_else_of_netcore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETCORE_DEBUG", raising=False)
    program = (
        "import sys, netcore._pytest_plugin\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in ('netcore', 'asyncdb', 'zope')))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "['netcore', 'netcore._pytest_plugin']"


# -------------------------------------------------------------------------------------------------------- what is taken


def test_what_asks_for_the_reactor_is_run_in_it(run: Run) -> None:
    result = run("""
        from netcore._current import current_reactor

        async def test_coroutine(reactor):
            assert reactor.running
            assert current_reactor() is reactor
            await deferLater(reactor, 0)
            await asyncio.sleep(0)

        def test_deferred(reactor):
            assert reactor.running
            return deferLater(reactor, 0)

        @inlineCallbacks
        def test_generator(reactor):
            yield deferLater(reactor, 0)

        def test_function(reactor):
            assert reactor.running

        @pytest.fixture
        def through(reactor):
            assert not reactor.running
            return reactor

        async def test_by_another_fixture(through):
            assert through.running

        class TestMethods:
            async def test_coroutine(self, netcore_reactor, reactor):
                assert netcore_reactor is reactor

        @pytest.mark.parametrize("number", [1, 2])
        async def test_parameters(number, reactor):
            assert number
    """)
    result.assert_outcomes(passed=8)


def test_what_is_marked_is_run_in_one(run: Run) -> None:
    result = run(
        """
        @pytest.mark.netcore
        async def test_coroutine():
            await deferLater(None, 0)

        @pytest.mark.netcore(timeout=5)
        def test_deferred():
            return deferLater(None, 0)

        @pytest.mark.netcore
        class TestClass:
            async def test_method(self):
                await deferLater(None, 0)
    """,
        "--strict-markers",
    )
    result.assert_outcomes(passed=3)


OTHERS = """
async def test_coroutine():
    await deferLater(None, 0)

@inlineCallbacks
def test_generator():
    yield deferLater(None, 0)

def test_function():
    from netcore._current import running_reactor
    assert running_reactor() is None

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_of_anyio():
    await asyncio.sleep(0)
"""


def test_in_mode_auto_coroutines_are_run_in_one(run: Run) -> None:
    run(OTHERS, "-panyio.pytest_plugin", ini="netcore_mode = auto").assert_outcomes(passed=4)


def test_what_two_plugins_would_run_is_refused(run: Run) -> None:
    """Left to the other one it would wait for a reactor that does not run."""
    result = run(
        """
        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_asks(netcore_reactor):
            await deferLater(netcore_reactor, 0)

        @pytest.mark.anyio
        @pytest.mark.netcore
        async def test_marked_twice():
            await deferLater(None, 0)
        """,
        "-panyio.pytest_plugin",
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["the test is marked anyio, *: only one can run it. *"] * 2)


def test_other_tests_are_left_alone(run: Run) -> None:
    result = run(
        OTHERS
        + """
import unittest

class TestCase(unittest.IsolatedAsyncioTestCase):
    async def test_method(self):
        await asyncio.sleep(0)

@pytest.mark.netcore
class TestMarked(TestCase):
    pass
""",
        "-panyio.pytest_plugin",
        "-k",
        "not test_generator",
    )
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*", "FAILED *::test_coroutine*"])


def test_another_fixture_of_the_name_is_another(run: Run) -> None:
    result = run("""
        @pytest.fixture
        def reactor():
            return "other"

        def test_function(reactor):
            assert reactor == "other"

        @pytest.mark.netcore
        async def test_marked(reactor, netcore_reactor):
            assert reactor == "other"
            assert netcore_reactor.running

        @pytest.fixture
        async def left_alone(reactor):
            return reactor

        def test_its_fixtures_are_left_alone(left_alone):
            raise AssertionError("pytest refuses such a fixture")

        @pytest.fixture
        def clock():
            return "other"

        def test_clock(clock):
            assert clock == "other"
    """)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*an async fixture 'left_alone', with no plugin or hook that handled it.*"])


def test_the_clock_is_one(run: Run) -> None:
    result = run("""
        def test_clock(clock):
            heard = []
            clock.callLater(5, heard.append, "late")
            clock.advance(5)
            assert heard == ["late"]
    """)
    result.assert_outcomes(passed=1)


def test_the_network_is_one_and_is_closed_and_loses_no_error(run: Run, logged: Logged) -> None:
    result = run("""
        used = []

        def test_use(network):
            used.append(network)
            server, client = network.host(), network.host()
            server.listenTCP(7, Factory.forProtocol(Protocol))
            factory = Factory.forProtocol(Protocol)
            network.runUntil(TCP4ClientEndpoint(client, server.address, 7).connect(factory))

        def test_closed():
            assert used.pop().loop.is_closed()

        def test_error(network):
            network.callLater(5, lambda: 1 / 0)
            network.advance(5)
    """)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["an error was logged, and not asked for by flushLoggedErrors:", "*ZeroDivisionError*"])
    logged.take(ZeroDivisionError)


def test_asynchronous_fixtures_are_run_in_the_reactor(run: Run) -> None:
    result = run("""
        ended = []

        @pytest.fixture
        async def value(reactor):
            assert reactor.running
            await deferLater(reactor, 0)
            return 5

        @pytest.fixture
        async def port(reactor, value):
            port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
            await deferLater(reactor, 0)
            yield port
            await deferLater(reactor, 0)
            await port.stopListening()
            ended.append(value)

        def test_function(port, reactor):
            assert port.getHost().port
            assert reactor.running

        class TestMethods:
            number = 1

            @pytest.fixture
            async def mine(self, reactor):
                self.number = 2
                yield self

            async def test_method(self, mine, port):
                assert mine is self
                assert self.number == 2

        def test_ended():
            assert ended == [5, 5]

        @pytest.fixture
        async def twice(reactor):
            yield 1
            yield 2

        async def test_twice(twice):
            pass

        @pytest.fixture
        async def broken(reactor):
            raise ZeroDivisionError("in the fixture")

        async def test_broken(broken):
            pass
    """)
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(
        ["*the fixture twice has yielded more than once*", "*ZeroDivisionError: in the fixture"]
    )


def test_hypothesis_runs_each_example_in_the_reactor(run: Run) -> None:
    result = run("""
        from hypothesis import given, settings, strategies

        seen = []

        @pytest.mark.netcore
        @given(number=strategies.integers(0, 9))
        @settings(max_examples=3, database=None, deadline=None)
        async def test_given(number):
            await deferLater(None, 0)
            seen.append(number)

        def test_seen():
            assert seen
    """)
    result.assert_outcomes(passed=2)


# ---------------------------------------------------------------------------------------------------- what is reported


def test_a_failure_is_shown_where_it_is(run: Run) -> None:
    """And nothing else: frames of netcore's are left out."""
    result = run("""
        async def test_assertion(reactor):
            answer = 6 * 7
            await deferLater(reactor, 0)
            assert answer == 43

        def test_deferred(reactor):
            return deferLater(reactor, 0, lambda: 1 / 0)

        async def test_outcomes(reactor):
            await deferLater(reactor, 0)
            pytest.skip("not today")

        async def test_fail(reactor):
            await deferLater(reactor, 0)
            pytest.fail("by hand")
    """)
    result.assert_outcomes(failed=3, skipped=1)
    result.stdout.fnmatch_lines(
        [">*assert answer == 43", "E*assert 42 == 43", "*ZeroDivisionError*", "E*Failed: by hand"]
    )
    result.stdout.no_fnmatch_line("*_pytest_plugin*")
    result.stdout.no_fnmatch_line("*netcore/defer*")


def test_what_takes_too_long_is_cancelled_and_shown_where_it_stood(run: Run) -> None:
    result = run(
        """
        ended = []

        @pytest.mark.netcore(timeout=0.01)
        async def test_coroutine():
            try:
                await Deferred()  # here
            finally:
                ended.append("coroutine")

        async def test_of_the_ini_option(reactor):
            await Deferred()

        @pytest.mark.netcore(timeout=0.01)
        async def test_that_takes_no_notice():
            try:
                await Deferred()
            except BaseException:
                pass

        def test_ended():
            assert ended == ["coroutine"]

        @pytest.mark.netcore(timeout=0)
        async def test_without_a_limit():
            await deferLater(None, 0.02)
    """,
        ini="netcore_timeout = 0.01",
    )
    result.assert_outcomes(failed=3, passed=2)
    result.stdout.fnmatch_lines(
        ["this did not finish within 0.01 s, and was cancelled:", "*in test_coroutine", "*await Deferred()  # here"]
    )
    result.stdout.no_fnmatch_line("*netcore/defer/_d*")


def test_what_cannot_be_cancelled_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pytest_plugin, "CANCEL_GRACE", 0.01)
    result = run("""
        @pytest.mark.netcore(timeout=0.01)
        async def test_coroutine():
            while True:
                try:
                    await Deferred()
                except Exception:
                    pass

        @pytest.mark.netcore(timeout=0.01)
        def test_that_does_not_begin(waits):
            raise AssertionError("it has")

        @pytest.fixture
        def waits(netcore_reactor):
            netcore_reactor.addSystemEventTrigger("before", "startup", Deferred)
    """)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["this did not finish within 0.01 s, nor within 0.01 s of being cancelled"] * 2)


def test_a_reactor_that_is_stopped_fails_what_has_not_finished(run: Run) -> None:
    result = run("""
        async def test_stopped(reactor):
            reactor.stop()
            await Deferred()

        async def test_stopped_at_the_end(reactor):
            reactor.stop()

        def test_disposed(reactor):
            reactor.callWhenRunning(reactor.stop)
            return deferLater(reactor, 0)
    """)
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["the reactor was stopped before this had finished"])


def test_what_is_left_behind_is_an_error(run: Run) -> None:
    result = run("""
        async def test_timer(reactor):
            reactor.callLater(100, print)

        async def test_port(reactor):
            reactor.listenTCP(0, Factory.forProtocol(Protocol))

        async def test_task(reactor):
            reactor.task = asyncio.ensure_future(asyncio.sleep(100))

        async def test_failed(reactor):
            reactor.callLater(100, print)
            assert not "once is enough"

        @pytest.mark.xfail(strict=True)
        async def test_expected(reactor):
            reactor.callLater(100, print)
            raise ValueError

        def test_clean(reactor):
            assert not reactor.getDelayedCalls()
    """)
    result.assert_outcomes(passed=4, failed=1, xfailed=1, errors=3)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_timer*", "the test left behind, in its reactor:", "timer: <DelayedCall of print*"]
    )
    result.stdout.fnmatch_lines(["port: <TCP port *"])
    result.stdout.fnmatch_lines(["task: *sleep()"])


def test_what_was_closed_last_has_the_time_to_end(run: Run) -> None:
    result = run("""
        async def test_connection(reactor):
            port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
            client = await endpoint.connect(Factory.forProtocol(Protocol))
            client.transport.write(b"x" * 100_000)
            client.transport.loseConnection()
            port.stopListening()
    """)
    result.assert_outcomes(passed=1)


def test_a_lost_failure_fails_the_test(run: Run, logged: Logged) -> None:
    result = run("""
        async def test_deferred(reactor):
            fail(KeyError("nobody sees me"))

        async def test_timer(reactor):
            reactor.callLater(0, lambda: 1 / 0)
            await deferLater(reactor, 0)

        async def test_cycle(reactor):
            cycle = [fail(KeyError("in a cycle"))]
            cycle.append(cycle)

        async def test_asyncio(reactor):
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await deferLater(reactor, 0)

        @pytest.fixture
        def late(reactor):
            yield
            fail(KeyError("after the test"))

        async def test_late(late):
            pass
    """)
    result.assert_outcomes(failed=4, passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["an error was logged, and not asked for by flushLoggedErrors:", "*Unhandled error in Deferred: KeyError*"]
    )
    assert len(logged.take()) == 4  # asyncio's is none of netcore's


def test_ctrl_c_ends_pytest_and_nothing_more_is_said_of_the_test(run: Run) -> None:
    result = run("""
        async def test_interrupted(reactor):
            def ctrl_c():
                raise KeyboardInterrupt

            reactor.callLater(0, ctrl_c)
            await deferLater(reactor, 60)
    """)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*! KeyboardInterrupt !*"])
    assert "left behind" not in result.stdout.str() + result.stderr.str()


def test_errors_that_are_expected_are_claimed(run: Run, logged: Logged) -> None:
    result = run("""
        async def test_claimed(reactor, flushLoggedErrors):
            fail(KeyError("expected"))
            assert flushLoggedErrors(ValueError) == []
            [failure] = flushLoggedErrors(LookupError)
            assert failure.check(KeyError)
            assert flushLoggedErrors() == []

        async def test_asyncio(reactor, flushLoggedErrors):
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await deferLater(reactor, 0)
            assert [failure.type for failure in flushLoggedErrors()] == [ZeroDivisionError]

        def test_without_a_reactor(flushLoggedErrors):
            fail(KeyError("expected"))
            assert len(flushLoggedErrors(KeyError)) == 1
    """)
    result.assert_outcomes(passed=3)
    logged.take(KeyError)


# ------------------------------------------------------------------------------------------------------------- options


def test_the_loop_is_chosen_by_name(run: Run) -> None:
    source = """
        async def test_loop(reactor):
            assert type(reactor.loop).__module__.startswith(%r)
    """
    run(source % "uvloop", "--netcore-loop", "uvloop").assert_outcomes(passed=1)


def test_the_loop_may_be_chosen_by_the_ini_option(run: Run) -> None:
    result = run(
        """
        async def test_loop(reactor):
            assert "select" in repr(reactor.loop._selector).lower()
    """,
        ini="netcore_loop = select",
    )
    result.assert_outcomes(passed=1)


def test_a_loop_that_there_is_not_is_named(run: Run) -> None:
    result = run("async def test_loop(reactor): pass", "--netcore-loop", "wonderful")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *NoSuchReactor: *wonderful*"])


@pytest.mark.parametrize(
    ("ini", "told"),
    [
        ("netcore_mode = automatic", "netcore_mode is strict or auto, not 'automatic'"),
        ("netcore_timeout = soon", "netcore_timeout is a number of seconds, or 0 for no limit, not 'soon'"),
        ("netcore_timeout = -1", "netcore_timeout is a number of seconds*"),
        ("netcore_timeout = nan", "netcore_timeout is a number of seconds*"),
    ],
)
def test_an_option_that_is_none_is_refused(run: Run, ini: str, told: str) -> None:
    result = run("def test_nothing(): pass", ini=ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{told}"])


def test_a_mark_that_is_none_is_refused(run: Run) -> None:
    result = run("""
        @pytest.mark.netcore(5)
        async def test_number(): pass

        @pytest.mark.netcore(time=5)
        async def test_name(): pass

        @pytest.mark.netcore(timeout="soon")
        async def test_value(): pass
    """)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*the mark is netcore, or netcore(timeout=SECONDS), not *"] * 2)
    result.stdout.fnmatch_lines(
        ["*the timeout of the mark netcore is a number of seconds, or 0 for no limit, not 'soon'"]
    )


# ----------------------------------------------------------------------------------------------------------- the guide

GUIDE = (Path(__file__).parents[4] / "docs/testing.md").read_text()


def block(first: str) -> str:
    """The block of code in the guide that begins so."""
    [found] = re.findall(rf"(?m)^    {re.escape(first)}\n(?:(?:    .*)?\n)*", GUIDE)
    return textwrap.dedent(found)


def test_the_guides_tests_pass(run: Run, pytester: pytest.Pytester) -> None:
    """Those that are no doctests. They use classes that are some."""
    shown = [each.source for each in doctest.DocTestParser().get_examples(GUIDE)]
    classes = [source for source in shown if source.startswith(("class Adder", "class Question"))]
    assert len(classes) == 2
    imports = "from netcore.defer import Deferred\nfrom netcore.protocols.basic import LineReceiver\n"
    pytester.makepyfile(adder=imports + "\n".join(classes))
    pytester.syspathinsert()
    run(block("import pytest")).assert_outcomes(passed=1)
    contract = block("from netcore.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint")
    own = """
class MyEndpoint(TCP4ClientEndpoint):
    def __init__(self, reactor, port):
        super().__init__(reactor, "127.0.0.1", port)
"""
    result = run(contract + own)
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] > 3
