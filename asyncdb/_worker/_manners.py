"""Threads beside a server on the same machine that push nobody aside, while there are processors to spare.

A worker thread is woken by each answer of such a server, tens of thousands of times a second. On Linux a thread that
wakes may take the processor from whoever runs there (wake-up preemption), which is often that very server process, on
its way to sleep, or the reactor's thread. One of the policy SCHED_BATCH does not (sched(7)); all else about it is as
usual, it needs no privilege, and it can be taken back. Measured on two processors with one-row selects at 8
connections: 1.07 times as much done with 64 callers, 1.08 with one, 0.96 to 1.17 with 8.

Where other programs keep all processors busy it would be worse (0.77 with 64 callers, 0.89 with one): who does not push
waits for the end of another's slice. So threads are polite only while the machine's processors are idle now and then,
which is looked at once in a second.
"""

from __future__ import annotations

import errno
import math
import os
import threading
from collections.abc import Callable

__all__ = ["IDLE", "PERIOD", "Manners"]

PERIOD = 1.0
"""Seconds between two looks at how idle the machine is, at least."""
IDLE = 0.04
"""What part of the processors' time must have been idle. Nothing keeps a share about this from going to and fro: a
change costs each thread one system call in a second, and at the border either way is as good."""

# Linux's <sched.h>. Not os.SCHED_OTHER and os.SCHED_BATCH, which other systems have not.
USUAL, POLITE = 0, 3


class _Own(threading.local):
    """What is known of one thread."""

    asked: bool | None = None  # whether it was last asked to be polite
    policy = USUAL  # what it was left with
    alone = False  # somebody else sees to its policy


def _read_idle_time() -> tuple[float, float]:
    """Seconds since the machine was started, and those that its processors were idle, summed up (proc_uptime(5)).

    A processor that nobody needs while the machine waits for its disks does not count as idle there.
    """
    with open("/proc/uptime", encoding="ascii") as file:
        up, idle = file.read().split()
    return float(up), float(idle)


def _policy() -> int:
    if not hasattr(os, "SCHED_BATCH"):
        raise OSError(errno.ENOSYS, "this system has no such policy")
    if _is_filtered():
        raise OSError(errno.EPERM, "a filter of system calls may end the process for this")
    return os.sched_getscheduler(0)


def _is_filtered() -> bool:
    """Whether there is a seccomp(2) filter (proc_pid_status(5)). Many have no sched_setscheduler, and kill who calls it
    (systemd's ``SystemCallFilter=~@resources``)."""
    with open("/proc/thread-self/status", encoding="ascii", errors="replace") as file:
        return any(line.startswith("Seccomp:") and line.split()[1] != "0" for line in file)


def _choose(policy: int) -> None:
    os.sched_setscheduler(0, policy, os.sched_param(0))  # on Linux, 0 is the calling thread


class Manners:
    """The scheduling policy of a pool's threads.

    Args:
        idle_time: seconds since some moment, and the seconds that all processors together were idle since then.
        get_policy: that of the calling thread.
        set_policy: that of the calling thread.
        processors: how many there are in the machine.
    Attributes: *watching*, whether threads are to call `look` now and then. Where no server was ever near, or the
        system will not have it, they need not.
    Threading: `look` in worker threads, which serve this pool only; `beside` in any.
    """

    __slots__ = (
        "_before",
        "_due",
        "_get_policy",
        "_hopeless",
        "_idle_time",
        "_made",
        "_near",
        "_own",
        "_polite",
        "_processors",
        "_set_policy",
        "watching",
    )

    def __init__(
        self,
        idle_time: Callable[[], tuple[float, float]] = _read_idle_time,
        get_policy: Callable[[], int] = _policy,
        set_policy: Callable[[int], object] = _choose,
        processors: int | None = None,
    ) -> None:
        self._idle_time = idle_time
        self._get_policy = get_policy
        self._set_policy = set_policy
        self._processors = processors or os.cpu_count() or 1
        self._own = _Own()
        self._due = -math.inf
        self._before = math.inf, 0.0  # with which the first reading says nothing
        self._polite = False
        self._near = False
        self._made = False  # a thread was made polite
        self._hopeless = False
        self.watching = False

    def beside(self, near: bool) -> None:
        """A connection shows whether its server is on this machine. It has an effect with the next reading.

        Threads look on beside a server that is not near any more: else they would stay as they are.
        """
        self._near = near
        if near and not self._hopeless:
            self.watching = True

    def look(self, now: float) -> None:
        """Have the calling thread be polite if it is time for that, and as usual if it is not.

        Args:
            now: by a clock that is the same each time.
        """
        if now >= self._due:
            self._read(now)
        polite = self._polite
        if self._own.asked is not polite:
            self._behave(polite)

    def _read(self, now: float) -> None:
        # Of two threads that come here in the same moment both read. That does no harm: for the second, next to no time
        # has passed, which says nothing.
        self._due = now + PERIOD
        try:
            after = self._idle_time()
        except Exception:  # not there, or not to be read: the thread has a call to make, come what may
            self._due = math.inf
            self._polite = False
            return
        before, self._before = self._before, after
        passed = after[0] - before[0]
        if passed < PERIOD / 2:
            return
        share = (after[1] - before[1]) / (passed * self._processors)
        self._polite = self._near and share >= IDLE

    def _behave(self, polite: bool) -> None:
        own = self._own
        first, own.asked = own.asked is None, polite
        if own.alone:
            return
        wanted = POLITE if polite else USUAL
        try:
            policy = self._get_policy()
            if first and self._made and policy == POLITE:
                own.policy = policy  # it was started by one of us, and has inherited it
            if policy != own.policy:
                own.alone = True
            elif policy != wanted:
                self._set_policy(wanted)
                own.policy = wanted
                self._made = True
        except Exception:  # no such policy or, with musl, no such call; and sandboxes refuse it
            own.alone = True
            if not self._made:  # else there are others, who may have to go back
                self._hopeless = True
                self.watching = False
