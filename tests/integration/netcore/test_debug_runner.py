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


def test_the_signal_is_as_it_was_when_the_reactor_has_stopped(start: Any) -> None:
    program = start(
        WAITS
        + """
    import atexit

    def stop():
        print("taken:", signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL, flush=True)
        reactor.stop()

    reactor.callLater(0.01, stop)
    reactor.addSystemEventTrigger("after", "shutdown", print, "stopped", flush=True)
    atexit.register(lambda: print("put back:", signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
                                  signal.set_wakeup_fd(-1), flush=True))
    """
    )
    program.wait_for("taken: True")
    program.wait_for("stopped")
    program.wait_for("put back: True -1")
    assert program.wait() == 0


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
