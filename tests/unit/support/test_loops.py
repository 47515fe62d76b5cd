"""``pytest --loop``: what the tests of a run stand on. Each case is a run of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

RunOn = Callable[..., pytest.RunResult]

TESTS = """
    import asyncio, os, sys

    import netcore
    from netcore.reactors import Reactor

    def name(loop):
        return f"{type(loop).__module__.partition('.')[0]} {type(getattr(loop, '_selector', loop)).__name__}"

    async def running():
        return name(asyncio.get_running_loop())

    def test_everything_stands_on_the_loop_of_the_run(spawn):
        reactor = Reactor()
        print("Reactor()", name(reactor.loop))
        reactor.dispose()
        print("run", asyncio.run(running()))
        with asyncio.Runner() as runner:
            print("Runner", runner.run(running()))
        loop = asyncio.new_event_loop()
        print("new_event_loop", name(loop))
        loop.close()
        program = spawn(sys.executable, "-c", "import netcore; print(repr(netcore.reactor))")
        assert program.wait() == 0
        print("program", program.output)

    def test_what_is_named_is_that(spawn):
        for named in ("asyncio", "uvloop", "select"):  # the guard blames none for the pipe that uvloop keeps
            reactor = Reactor(named)
            print("named", named, name(reactor.loop))
            reactor.dispose()
"""


@pytest.fixture
def run_on(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunOn:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("NETCORE_REACTOR", "nonsense")  # of whoever runs the tests
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # hypothesis': half of the time that such a run takes
    plugins = ["tests.support.guard", "tests.support.loops", "tests.support.process"]
    pytester.makeconftest(f"pytest_plugins = {plugins}")
    pytester.makepyfile(textwrap.dedent(TESTS))
    return lambda *arguments: pytester.runpytest_subprocess("-p", "no:cacheprovider", "-s", *arguments)


NAMED = ["named asyncio asyncio *", "named uvloop uvloop Loop", "named select asyncio SelectSelector"]


def test_by_default_it_is_asyncios_own(run_on: RunOn) -> None:
    result = run_on()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "event loop: asyncio",
            "*Reactor() asyncio *",
            "run asyncio *",
            "Runner asyncio *",
            "new_event_loop asyncio *",
            "program <Reactor *, over asyncio.*>",
            *("*" + line for line in NAMED),
        ]
    )


@pytest.mark.parametrize(("name", "expected"), [("uvloop", "uvloop Loop"), ("select", "asyncio SelectSelector")])
def test_the_one_that_is_named_is_under_everything(run_on: RunOn, name: str, expected: str) -> None:
    result = run_on("--loop", name)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            f"event loop: {name}",
            f"*Reactor() {expected}",
            f"run {expected}",
            f"Runner {expected}",
            f"new_event_loop {expected}",
            f"program <Reactor *, over {expected.split(maxsplit=1)[0]}.*>",
            *("*" + line for line in NAMED),
        ]
    )


def test_an_unknown_name_ends_the_run(run_on: RunOn) -> None:
    result = run_on("--loop", "nonsense")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--loop*invalid choice: 'nonsense'*"])
