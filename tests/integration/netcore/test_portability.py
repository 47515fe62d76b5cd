"""The packages on a platform that is less than POSIX, as far as it can be played here: with modules taken away."""

from __future__ import annotations

import subprocess
import sys

import pytest

POSIX_ONLY = ("fcntl", "pwd", "grp", "termios", "tty", "pty", "resource", "syslog", "readline", "uvloop")

IMPORT_ALL = f"""
import sys
for name in {POSIX_ONLY!r}:
    sys.modules[name] = None
import select, selectors, signal, socket, os
import asyncio
for owner, names in {{
    os: ("eventfd", "eventfd_write", "fork", "getuid", "setuid", "pidfd_open", "EFD_NONBLOCK", "EFD_CLOEXEC"),
    select: ("poll", "epoll", "kqueue", "EPOLLIN"),
    selectors: ("PollSelector", "EpollSelector", "KqueueSelector"),
    signal: ("SIGHUP", "SIGCHLD", "SIGUSR1", "SIGALRM"),
    socket: ("AF_UNIX", "SO_REUSEPORT"),
}}.items():
    for name in names:
        if hasattr(owner, name):
            delattr(owner, name)
selectors.DefaultSelector = selectors.SelectSelector
import pkgutil
"""

PACKAGE = """
import {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
"""

RUN = """
import socket, _socket
socket.AF_UNIX = _socket.AF_UNIX  # asyncio's loop wakes itself with such a pair here
from netcore.defer import Deferred
from netcore.reactors import Reactor
from netcore.threads import deferToThread
reactor = Reactor()
class Thing:
    def __init__(self, sock): self.fileno = sock.fileno
    def doRead(self): reactor.removeReader(self); print("read")
    def connectionLost(self, reason): print(reason)
ours, peer = socket.socketpair()
peer.send(b"x")
reactor.addReader(Thing(ours))
reactor.addSystemEventTrigger("during", "reload", list)
async def main():
    print(await deferToThread(lambda: "thread"))
    reactor.stop()
reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
reactor.run()
reactor.iterate()
reactor.dispose()
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("package", ["netcore", "asyncdb"])
def test_it_can_be_imported_without_what_is_posix_only(package: str) -> None:
    run(IMPORT_ALL + PACKAGE.format(package=package))


def test_a_reactor_runs_without_what_is_posix_only() -> None:
    assert sorted(run(IMPORT_ALL + RUN).split()) == ["read", "thread"]
