"""`netcore run --debug`, and SIGUSR1: in processes, as somebody would run them."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

RUNS = r"INFO \[netcore.application\] <Application '\w+'> runs"

WAITS = """
    import signal
    from netcore import defer, debug, reactor
    from netcore.application import service

    application = service.Application("waits")
    never = defer.Deferred()

    @defer.inlineCallbacks
    def waiter():
        yield never

    waiting = waiter()
    reactor.callLater(1000, print)
    print("debugging", debug.isEnabled(), flush=True)
"""


@pytest.fixture
def start(spawn: Any, tmp_path: Path) -> Any:
    """Runs an application of that text."""

    def start(text: str, *options: str, **more: Any) -> Any:
        file = tmp_path / "application.py"
        file.write_text(textwrap.dedent(text))
        return spawn.module("netcore", "run", *options, str(file), **more)

    return start


def check_report(program: Any) -> None:
    program.wait_for(r"^waiting: .*\d+ coroutines?, .*\d+ timer")
    program.wait_for(r"^coroutine: waiter\(\), waits for <Deferred at ")
    program.wait_for("    yield never")


def test_sigusr1_prints_what_waits_while_the_loop_sleeps(start: Any) -> None:
    program = start(WAITS, env={"NETCORE_DEBUG": "0"})
    program.wait_for("debugging False")
    program.wait_for(RUNS)
    for _ in range(2):
        program.send_signal(signal.SIGUSR1)
        check_report(program)
    assert program.interrupt() == 0
    assert "Traceback" not in program.output


@pytest.mark.parametrize("how", [{"option": "--debug"}, {"variable": "1"}])
def test_debug_mode_is_on_by_option_and_by_variable(how: dict[str, str], start: Any) -> None:
    options = [how["option"]] if "option" in how else []
    program = start(WAITS, *options, env={"NETCORE_DEBUG": how.get("variable", "")})
    program.wait_for("debugging True")
    program.wait_for(RUNS)
    program.send_signal(signal.SIGUSR1)
    check_report(program)
    program.wait_for("  made at")
    program.wait_for("    waiting = waiter()")
    assert program.interrupt() == 0


def test_a_handler_of_the_applications_own_stays(start: Any) -> None:
    program = start(
        WAITS + '\n    signal.signal(signal.SIGUSR1, lambda *_: print("my own", flush=True))\n'
        "    reactor.callLater(0.01, lambda: signal.raise_signal(signal.SIGUSR1))\n"
    )
    program.wait_for("my own")
    assert program.interrupt() == 0
    assert "waiting: " not in program.output


ASKS = """
    import atexit, sys, threading, time
    print("asks", flush=True)

    def ask(when):
        signal.raise_signal(signal.SIGUSR1)
        print("alive", when, flush=True)
"""


def test_the_signal_kills_at_no_time_and_prints_when_the_loop_runs(start: Any) -> None:
    program = start(
        WAITS
        + ASKS
        + """
    ask("while the file is executed")
    ask("again")
    reactor.addSystemEventTrigger("before", "startup", ask, "before the start")
    reactor.addSystemEventTrigger("after", "shutdown", ask, "after the shutdown")
    reactor.callLater(0.01, reactor.stop)
    atexit.register(ask, "at the exit")
    """
    )
    program.wait_for("alive while the file is executed")
    program.wait_for("alive again")
    program.wait_for("alive before the start")
    check_report(program)
    program.wait_for("alive after the shutdown")
    program.wait_for("alive at the exit")
    assert program.wait() == 0
    assert program.output.partition("alive after the shutdown")[0].count("waiting: ") == 1


def test_the_signal_does_not_kill_where_the_application_cannot_be_loaded(start: Any) -> None:
    program = start(WAITS + ASKS + '\n    atexit.register(ask, "at the exit")\n    del application\n')
    program.wait_for("alive at the exit")
    assert program.wait() == 1


def test_a_loop_that_is_held_prints_when_the_callback_returns(start: Any) -> None:
    program = start(
        WAITS
        + ASKS
        + """
    reactor.callLater(0.01, lambda: (ask("within"), print("returns", flush=True)))
    """
    )
    program.wait_for("alive within")
    program.wait_for("returns")
    check_report(program)
    assert program.interrupt() == 0


def test_a_signal_that_it_was_started_to_ignore_stays_ignored(start: Any) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        program = start(WAITS + ASKS + '\n    reactor.callLater(0.01, ask, "in the loop")\n')
    finally:
        signal.signal(signal.SIGUSR1, before)
    program.wait_for("alive in the loop")
    assert program.interrupt() == 0
    assert "waiting: " not in program.output


def test_a_callback_that_holds_the_loop_and_a_lost_failure_are_told_under_debug(start: Any) -> None:
    program = start(
        WAITS
        + """
    import logging, threading

    came = threading.Event()

    class Comes(logging.Handler):
        def emit(self, record):
            came.set()

    logging.getLogger("netcore.debug").addHandler(Comes())

    def hold():
        came.wait(60)
        defer.fail(ZeroDivisionError("lost"))

    reactor.callLater(0.01, hold)
    """,
        "--debug",
    )
    program.wait_for(r"WARNING \[netcore.debug\] hold \(.*application.py:\d+\) has held the loop of thread MainThread")
    program.wait_for(r"    came.wait\(60\)")
    program.wait_for(r"ERROR \[netcore.defer\] Unhandled error in Deferred: ZeroDivisionError: lost")
    program.wait_for("was made at")
    program.wait_for(r'    defer.fail\(ZeroDivisionError\("lost"\)\)')
    assert program.interrupt() == 0
