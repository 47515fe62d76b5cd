"""Programs run as their reader would run them: started, watched line by line, ended by Ctrl-C."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0  # an interpreter starts in 0.1 s, on a busy machine in a few seconds


class Program:
    """A running program. What it prints, to stdout or stderr, is collected in `output`."""

    def __init__(self, command: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self.command = command
        self.output = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._searched = 0
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, for interrupt() and kill() to reach what it starts itself
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, pattern: str, timeout: float = TIMEOUT) -> re.Match[str]:
        """Wait until the program has printed a line that matches (`re.search`) after the one found before.

        Raises: AssertionError, with the output, if it does not in time or ends first.
        """
        deadline = time.monotonic() + timeout
        while True:
            ended = not self._read(0.0)
            for line in re.finditer(r".*\n|.+$" if ended else r".*\n", self.output[self._searched :]):
                if found := re.search(pattern, line[0].rstrip("\n")):
                    self._searched += line.end()
                    return found
            if ended:
                raise self._failure(f"ended without printing {pattern!r}")
            if time.monotonic() > deadline:
                raise self._failure(f"did not print {pattern!r} within {timeout:g} s")
            self._read(deadline - time.monotonic())

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait for its end and return its exit status (negative: the signal that killed it)."""
        deadline = time.monotonic() + timeout
        while self._read(deadline - time.monotonic()):
            if time.monotonic() > deadline:
                raise self._failure(f"did not end within {timeout:g} s")
        return self._process.wait(max(0.1, deadline - time.monotonic()))

    def interrupt(self, timeout: float = TIMEOUT) -> int:
        """Ctrl-C: SIGINT to the program and, as a terminal does, to what it started. Returns its exit status."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait(timeout)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Kill it and what it started, unless they ended; its pipe is closed."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._pipe.close()

    def _read(self, timeout: float) -> bool:
        """Collect what was printed, waiting for the first of it at most *timeout* seconds; false at its end."""
        if self._pipe.closed or not select.select([self._pipe], [], [], max(0.0, timeout))[0]:
            return not self._pipe.closed
        chunk = os.read(self._pipe.fileno(), 65536)
        self.output += self._decoder.decode(chunk)
        return bool(chunk)

    def _failure(self, what: str) -> AssertionError:
        return AssertionError(f"{' '.join(self.command)}: {what}. It printed:\n{self.output}")


class Spawn:
    """Starts programs; those that still run at the end of the test are killed."""

    def __init__(self) -> None:
        self._started: list[Program] = []

    def __call__(self, *command: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Program:
        """Start *command* in the folder *cwd* (the project's), with the variables *env* added to the environment."""
        program = Program(
            list(command),
            cwd,
            {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},  # so that lines come as they do on a terminal
        )
        self._started.append(program)
        return program

    def module(self, name: str, *arguments: str, **options: Any) -> Program:
        """`python -m name arguments...`, by the Python that runs the tests."""
        return self(sys.executable, "-m", name, *arguments, **options)

    def close(self) -> None:
        for program in self._started:
            program.close()


def pytest_configure() -> None:
    """Let programs be interrupted although the tests cannot be.

    A shell without job control starts background commands (``make test &``, or a CI's) with SIGINT ignored, and that is
    inherited by whatever they start; a handler is not.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts programs as their readers would: `spawn.module("examples.finger", "serve")`, `spawn("make", "run")`."""
    spawn = Spawn()
    yield spawn
    spawn.close()
