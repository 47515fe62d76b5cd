"""A worker as the driver sees it: a process that is given orders and answers them, each within a time."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any

PATIENCE = 150.0  # a round takes a second or two; a start imports a library
END_PATIENCE = 10.0
ROOT = Path(__file__).parents[1]


class CannotRun(Exception):
    """The system cannot run on this machine; the message says why."""


class WorkerFailed(Exception):
    """The system failed, answered wrongly or did not answer: the run is void."""


class WorkerProcess:
    """`benchmarks.worker` in a process of its own, which ends with this one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that closing the pipe to a process that has died has nothing to flush, and does not raise
            start_new_session=True,  # Ctrl-C is for the driver, whose end then ends this
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self._pending = b""

    def ask(self, do: str, **arguments: Any) -> Any:
        """Give an order and wait for the answer.

        Raises: CannotRun: something that it needs is not installed. WorkerFailed: anything else that went wrong.
        """
        try:
            self._orders.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        except BrokenPipeError:
            pass  # it has ended: reading says so
        answer = json.loads(self._read_line())
        if "ok" in answer:
            return answer["ok"]
        if answer["missing"]:
            raise CannotRun(answer["error"])
        raise WorkerFailed(f"{self.name}: {answer['error']}")

    def _read_line(self) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(PATIENCE):
                    raise WorkerFailed(f"{self.name}: no answer within {PATIENCE:g} s")
                chunk = os.read(self._answers.fileno(), 65536)
                if not chunk:
                    raise WorkerFailed(f"{self.name}: its process ended, with exit status {self._process.wait()}")
                self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    @property
    def exit_status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """End the process, by force if it does not end by itself."""
        self._orders.close()
        try:
            self._process.wait(END_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
