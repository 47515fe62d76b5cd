"""Programs started for tests: tests/support/process.py."""

from __future__ import annotations

import shlex
import sys

import pytest

from tests.support.process import Spawn
from tests.support.waiting import has_ended, wait_until

OBEDIENT = """
import signal, sys
def stop(*_):
    print("stopped")
    sys.exit(3)
signal.signal(signal.SIGINT, stop)
print("ready on port 7979")
signal.pause()
"""


def test_a_program_is_watched_interrupted_and_its_status_returned(spawn: Spawn) -> None:
    program = spawn(sys.executable, "-c", OBEDIENT)
    assert program.wait_for(r"port (\d+)")[1] == "7979"
    assert program.interrupt() == 3
    assert program.output == "ready on port 7979\nstopped\n"


def test_lines_are_found_one_after_the_other(spawn: Spawn) -> None:
    program = spawn(sys.executable, "-c", "print('line 1'); print('line 2'); print('end', end='')")
    assert [program.wait_for(r"line (\d)")[1] for _ in range(2)] == ["1", "2"]
    program.wait_for("end")
    assert program.wait() == 0


def test_waiting_for_a_line_of_a_program_that_ended_shows_what_it_printed(spawn: Spawn) -> None:
    program = spawn(sys.executable, "-c", "raise SystemExit('no such file')")
    with pytest.raises(AssertionError, match=r"(?s)ended without printing 'ready'.*no such file"):
        program.wait_for("ready")
    assert program.wait() == 1


def test_waiting_for_a_line_ends_in_time(spawn: Spawn) -> None:
    program = spawn(sys.executable, "-c", OBEDIENT)
    with pytest.raises(AssertionError, match=r"(?s)did not print 'nothing of the kind' within 0.01 s"):
        program.wait_for("nothing of the kind", timeout=0.01)


def test_what_still_runs_is_killed_with_all_it_started() -> None:
    spawn = Spawn()
    child = "import os, signal; print('child', os.getpid()); signal.pause()"
    program = spawn("sh", "-c", f'{shlex.quote(sys.executable)} -c "{child}"; true')
    pid = int(program.wait_for(r"child (\d+)")[1])
    assert pid != program.pid
    spawn.close()
    wait_until(lambda: has_ended(pid), "the child has ended")


def test_a_module_is_run_by_the_python_of_the_tests(spawn: Spawn) -> None:
    program = spawn.module("platform", env={"TERM": "dumb"})
    assert program.wait() == 0
    assert program.output.strip()
