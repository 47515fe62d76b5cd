"""The global reactor, and programs that are ended by signals: each in a process of its own."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.support.process import Program, Spawn

# A shell that starts a job in the background has it ignore SIGINT, and children inherit that.
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def program(spawn: Spawn, source: str) -> Program:
    return spawn(sys.executable, "-W", "error", "-c", INTERRUPTIBLE + source)


def finished(spawn: Spawn, source: str) -> str:
    started = program(spawn, source)
    assert started.wait() == 0, started.output
    return started.output


def test_importing_netcore_makes_no_reactor(spawn: Spawn) -> None:
    output = finished(
        spawn,
        "import sys, netcore, netcore.protocol, netcore.defer, netcore.task, netcore.threads\n"
        "assert 'reactor' not in vars(netcore)\n"
        "reactors = sys.modules.get('netcore.reactors')\n"
        "print(reactors.live() if reactors else [])\n",
    )
    assert output == "[]\n"


def test_the_global_reactor_is_made_once_for_all_threads(spawn: Spawn) -> None:
    source = """
import threading
barrier, made = threading.Barrier(8), []
def ask():
    import netcore
    barrier.wait()
    made.append(netcore.reactor)
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
from netcore import reactor
import netcore, netcore.reactors
assert set(made) == {reactor} == {netcore.reactor} == set(netcore.reactors.live())
print(len(made))
"""
    assert finished(spawn, source) == "8\n"


@pytest.mark.parametrize("loop", ["asyncio", "select", "poll", "uvloop"])
@pytest.mark.parametrize("ends", ["child", "parent"])
def test_a_process_that_ends_after_a_fork_leaves_the_other_its_reactor(spawn: Spawn, loop: str, ends: str) -> None:
    """The kernel's epoll is common to both: what one takes out of it, the other hears nothing of any more."""
    source = f"""
import os, sys
from netcore.protocol import ServerFactory
from netcore.reactors import install
reactor = install("{loop}")
reactor.listenTCP(0, ServerFactory(), interface="127.0.0.1")
ended, open_until_then = os.pipe()
if (os.fork() == 0) is ({ends!r} == "child"):
    sys.exit()
os.close(open_until_then)
assert os.read(ended, 1) == b""
reactor.callWhenRunning(reactor.callInThread, reactor.callFromThread, reactor.stop)
reactor.callLater(10, sys.exit, "was not woken")
reactor.run()
print("was woken")
"""
    assert finished(spawn, source) == "was woken\n"


def test_what_the_package_has_not_is_an_attribute_error(spawn: Spawn) -> None:
    source = """
import netcore
try: netcore.nothing
except AttributeError as error: print(error)
try: from netcore import nothing
except ImportError: print("ImportError")
"""
    assert finished(spawn, source) == "module 'netcore' has no attribute 'nothing'\nImportError\n"


SERVER = """
import signal
from netcore import reactor
previous = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
reactor.addSystemEventTrigger("before", "shutdown", print, "before shutdown")
reactor.callWhenRunning(print, "running")
reactor.run()
assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == previous
assert signal.set_wakeup_fd(-1) == -1
print("run returned", reactor.running)
"""


def test_sigint_stops_it_and_handlers_are_put_back(spawn: Spawn) -> None:
    started = program(spawn, SERVER)
    started.wait_for("running")
    assert started.interrupt() == 0
    assert started.output == "running\nbefore shutdown\nrun returned False\n"


def test_sigterm_stops_it(spawn: Spawn) -> None:
    started = program(spawn, SERVER)
    started.wait_for("running")
    started.send_signal(signal.SIGTERM)
    assert started.wait() == 0
    assert "before shutdown\nrun returned" in started.output


NEVER = """
from netcore import reactor
from netcore.defer import Deferred
reactor.addSystemEventTrigger("before", "shutdown", lambda: print("waiting") or Deferred())
reactor.callWhenRunning(print, "running")
reactor.run()
print("run returned")
"""


def test_a_second_sigint_does_not_wait_for_shutdown(spawn: Spawn) -> None:
    started = program(spawn, NEVER)
    started.wait_for("running")
    started.send_signal(signal.SIGINT)
    started.wait_for("waiting")
    assert started.interrupt() == 0
    assert "run returned" in started.output


def test_a_second_sigterm_goes_on_waiting(spawn: Spawn) -> None:
    started = program(spawn, NEVER)
    started.wait_for("running")
    for _ in range(2):
        started.send_signal(signal.SIGTERM)
    started.wait_for("waiting")
    started.send_signal(signal.SIGTERM)
    started.send_signal(signal.SIGINT)
    assert started.wait() == 0
    assert started.output.splitlines().count("waiting") == 1


def test_an_application_that_handles_sigint_itself_keeps_it(spawn: Spawn) -> None:
    source = """
import signal
from netcore import reactor
signal.signal(signal.SIGINT, lambda *_: print("mine") or reactor.callFromThread(reactor.stop))
reactor.callWhenRunning(print, "running")
reactor.run()
"""
    started = program(spawn, source)
    started.wait_for("running")
    assert started.interrupt() == 0
    assert started.output == "running\nmine\n"


def test_call_from_thread_works_in_a_signal_handler(spawn: Spawn) -> None:
    source = """
import signal
from netcore import reactor
def handler(*_):
    reactor.callFromThread(print, "called")
    reactor.callFromThread(reactor.stop)
signal.signal(signal.SIGUSR1, handler)
reactor.callWhenRunning(print, "running")
reactor.run()
"""
    started = program(spawn, source)
    started.wait_for("running")
    started.send_signal(signal.SIGUSR1)
    assert started.wait() == 0
    assert started.output == "running\ncalled\n"


def test_without_handlers_sigint_is_a_keyboard_interrupt(spawn: Spawn) -> None:
    source = """
from netcore import reactor
reactor.callLater(0, print, "running")
try:
    reactor.run(installSignalHandlers=False)
except KeyboardInterrupt:
    print("interrupted", reactor.running)
"""
    started = program(spawn, source)
    started.wait_for("running")
    assert started.interrupt() == 0
    assert started.output == "running\ninterrupted False\n"


def test_a_stuck_thread_does_not_keep_the_process(spawn: Spawn) -> None:
    source = """
import threading
from netcore import reactor
reactor.threadPatience = 0.01
reactor.callInThread(threading.Event().wait)
reactor.callLater(0.01, reactor.stop)
reactor.run()
print("run returned")
"""
    assert "run returned" in finished(spawn, source)


REACT = """
import asyncio, logging, sys
from netcore import task
from netcore.defer import Deferred, fail, succeed
logging.basicConfig(format="%(name)s %(message)s")
async def wait(reactor, *args):
    await asyncio.sleep(0)
    await task.deferLater(reactor, 0.001)
    print("args", args)
async def exits(reactor):
    sys.exit(7)
def raises(reactor):
    raise LookupError("broken main")
task.react(*{
    "ok": (wait, ["a", "b"]),
    "exit": (exits,),
    "fail": (lambda reactor: fail(KeyError("k")),),
    "raise": (raises,),
    "none": (lambda reactor: None,),
    "stopped": (lambda reactor: reactor.callLater(0, reactor.stop) and Deferred(),),
    "at once": (lambda reactor: succeed(None),),
    "both": (lambda reactor: reactor.stop() or succeed(None),),
}[sys.argv[1]])
"""


def react(spawn: Spawn, how: str) -> tuple[int, str]:
    started = spawn(sys.executable, "-W", "error", "-c", REACT, how)
    return started.wait(), started.output


def test_react_runs_main_and_exits(spawn: Spawn) -> None:
    assert react(spawn, "ok") == (0, "args ('a', 'b')\n")
    assert react(spawn, "at once") == (0, "")


def test_react_keeps_the_code_of_a_system_exit(spawn: Spawn) -> None:
    assert react(spawn, "exit") == (7, "")


def test_react_logs_a_failure_and_exits_with_1(spawn: Spawn) -> None:
    for how, what in (("fail", "KeyError"), ("raise", "broken main"), ("none", "NotACoroutineError")):
        code, output = react(spawn, how)
        assert code == 1
        assert "netcore.task main function encountered error" in output
        assert what in output


def test_react_exits_when_the_reactor_is_stopped(spawn: Spawn) -> None:
    assert react(spawn, "stopped")[0] == 0
    assert react(spawn, "both")[0] == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_after_run_is_its_new_handlers_alone(spawn: Spawn, loop: str) -> None:
    """Also where the loop keeps the handler that it was given: uvloop removes none while it does not run."""
    source = f"""
import signal
from netcore.reactors import install
reactor = install("{loop}")
reactor.callWhenRunning(reactor.stop)
reactor.run()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
signal.signal(signal.SIGTERM, lambda *_: print("mine"))
reactor.addSystemEventTrigger("before", "shutdown", print, "stopped")
reactor.callWhenRunning(signal.raise_signal, signal.SIGTERM)
reactor.callLater(0.01, print, "still running")
reactor.callLater(0.02, reactor.stop)
reactor.run(installSignalHandlers=False)
"""
    assert finished(spawn, source) == "mine\nstill running\nstopped\n"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_that_comes_as_its_handler_is_set_is_not_lost(spawn: Spawn, loop: str) -> None:
    source = f"""
import signal
from netcore.reactors import install
loop = install("{loop}").loop
from netcore import reactor
add = loop.add_signal_handler
def add_signal_handler(number, *args):
    add(number, *args)
    if number == signal.SIGTERM: signal.raise_signal(number)
loop.add_signal_handler = add_signal_handler
reactor.addSystemEventTrigger("before", "shutdown", print, "before shutdown")
reactor.run()
print("run returned")
"""
    assert finished(spawn, source) == "before shutdown\nrun returned\n"
