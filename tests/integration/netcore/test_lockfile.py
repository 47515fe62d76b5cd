"""FilesystemLock among real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from netcore.lockfile import FilesystemLock, isLocked

ROOT = Path(__file__).parents[3]

OBEYS = """
import sys
from netcore.lockfile import FilesystemLock
lock = FilesystemLock(sys.argv[1])
print("ready", flush=True)
for order in sys.stdin:
    print(getattr(lock, order.strip())(), lock.clean, flush=True)
"""


class Process:
    """A process with a lock object, which does with it what it is told."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-c", OBEYS, name]
        self.popen = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, order: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{order}\n")
        self.popen.stdin.flush()

    def answer(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def ask(self, order: str) -> str:
        self.tell(order)
        return self.answer()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@contextmanager
def process(name: str) -> Iterator[Process]:
    made = Process(name)
    try:
        assert made.answer() == "ready"
        yield made
    finally:
        made.kill()
        for pipe in (made.popen.stdin, made.popen.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def name(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


def test_two_processes_respect_each_other(name: str) -> None:
    mine = FilesystemLock(name)
    with process(name) as other:
        assert other.ask("lock") == "True True"
        assert isLocked(name)
        assert not mine.lock()
        with pytest.raises(ValueError, match=f"process {other.popen.pid} does"):
            mine.unlock()
        other.ask("unlock")
        assert mine.lock()
        assert other.ask("lock").startswith("False")


def test_the_lock_of_a_process_that_was_killed_is_taken_over(name: str) -> None:
    mine = FilesystemLock(name)
    with process(name) as other:
        other.ask("lock")
        other.kill()
    assert not isLocked(name)
    assert mine.lock()
    assert not mine.clean


def test_of_several_that_find_a_stale_lock_one_gets_it(name: str) -> None:
    with ExitStack() as stack:
        others = [stack.enter_context(process(name)) for _ in range(4)]
        with process(name) as ended:
            pass
        for _ in range(300):
            os.symlink(str(ended.popen.pid), name)
            for each in others:
                each.tell("lock")
            answers = [each.answer() for each in others]
            winners = [each for each, answer in zip(others, answers, strict=True) if answer.startswith("True")]
            assert len(winners) == 1, answers
            (winner,) = winners
            assert os.readlink(name) == str(winner.popen.pid)
            winner.ask("unlock")
        assert os.listdir(os.path.dirname(name)) == []
