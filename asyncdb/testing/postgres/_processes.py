"""The processes of this machine, as far as a server of ours has to know them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

__all__ = ["processes", "send", "state"]


def processes() -> list[tuple[int, int]]:
    """All processes of this machine that are not zombies, each with its parent."""
    return [(int(pid), int(parent)) for pid, parent, letters in _ps() if not letters.startswith("Z")]


def state(pid: int) -> str:
    """The first letter of what ps(1) says of a process; empty if there is none."""
    return next((letters[0] for number, _, letters in _ps() if int(number) == pid), "")


def _ps() -> list[list[str]]:
    if os.path.isdir("/proc/self"):  # slim images have no ps
        return _proc()
    done = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], stdout=subprocess.PIPE, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def _proc() -> list[list[str]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            letters, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has ended
            continue
        found.append([entry.name, parent, letters])
    return found


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
