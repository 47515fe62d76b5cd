"""A pool's core with a person in the part of its threads and of the clock, for the tests of what it decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncdb._core import Core, Crowd, Entry, EntryState, Job, Orders
from asyncdb._core._states import NORMAL
from asyncdb.options import PRIORITIES, Options, Priority

__all__ = ["AGAIN", "REST", "Pool"]

REST = 0.5
AGAIN = 0.25


class Pool:
    """What the core orders is kept until a test does it.

    Args:
        options: those of the pool; ``min`` is 0 and ``max`` 2 where they say nothing.
    Attributes: *carry*, entries that need a thread, and so on, as in `Orders`, one after another; *now*.
    """

    def __init__(
        self, rest: float = REST, crowd: Crowd | None = None, again: float | None = AGAIN, **options: Any
    ) -> None:
        options.setdefault("max", 2)
        options.setdefault("min", 0)
        self.options = Options(**options)
        self.core: Core[Entry, Job] = Core(self.options, Entry, rest, jitter=lambda: 1.0, crowd=crowd, again=again)
        self.now = 100.0
        self.carry: list[Entry] = []
        self.failed: list[tuple[Job, BaseException]] = []
        self.interrupted: list[Entry] = []
        self.cut: list[Entry] = []
        self.held: list[Entry] = []
        self.outages: list[BaseException] = []
        self.recovered = 0
        self.ready = 0
        self.unready: list[BaseException] = []
        self.drained = 0

    def do(self, orders: Orders[Entry, Job] | None) -> None:
        """Keep what is ordered."""
        if orders is None:
            return
        self.carry += orders.carry
        self.failed += orders.fail
        self.interrupted += orders.interrupt
        self.cut += orders.cut
        self.held += orders.held
        self.outages += [orders.outage] if orders.outage else []
        self.recovered += orders.recovered
        self.ready += orders.ready
        self.unready += [orders.unready] if orders.unready else []
        self.drained += orders.drained

    # Callers.

    def submit(self, timeout: float | None = None, priority: Priority | None = None, caller: str | None = None) -> Job:
        """A call is made."""
        job = Job(NORMAL if priority is None else PRIORITIES.index(priority), caller)
        self.do(self.core.submit(job, self.now, timeout))
        return job

    def cancel(self, job: Job) -> None:
        """Its caller does so."""
        self.do(self.core.cancel(job, self.now))

    def error_of(self, job: Job) -> BaseException:
        """The one error that *job* was failed with."""
        (error,) = [error for failed, error in self.failed if failed is job]
        return error

    # Threads.

    def tell(self, event: Callable[[Entry, float], Orders[Entry, Job] | None], entry: Entry) -> None:
        """A thread reports *event*."""
        self.do(event(entry, self.now))

    def take(self, state: EntryState) -> Entry:
        """The first entry to be carried that is in *state*."""
        entry = next(entry for entry in self.carry if entry.state is state)
        self.carry.remove(entry)
        return entry

    def connect(self) -> Entry:
        """The attempt to connect under way succeeds."""
        entry = self.take(EntryState.CONNECTING)
        self.tell(self.core.connected, entry)
        return entry

    def fail(self, error: BaseException, retryable: bool = True) -> Entry:
        """It fails."""
        entry = self.take(EntryState.CONNECTING)
        self.do(self.core.connect_failed(entry, error, retryable, self.now))
        return entry

    def lose(self, entry: Entry, reason: str = "lost") -> None:
        """Its connection is gone."""
        self.do(self.core.lost(entry, reason, self.now))

    def end(self) -> None:
        """Every connection that is to be closed, is."""
        while any(entry.state is EntryState.CLOSING for entry in self.carry):
            self.tell(self.core.ended, self.take(EntryState.CLOSING))

    def clean(self, entry: Entry, answered: bool = True) -> None:
        """It was reset."""
        self.do(self.core.cleaned(entry, self.now, answered))

    # Situations.

    def busy(self) -> tuple[Entry, Job]:
        """One more connection that runs a call."""
        job = self.submit()
        entry = self.connect() if any(e.state is EntryState.CONNECTING for e in self.carry) else self.carry.pop()
        assert entry.job is job
        return entry, job

    def idle(self, count: int = 1) -> Entry:
        """So many connections that rest, of which the one used last."""
        entries = [self.busy()[0] for _ in range(count)]
        for entry in entries:
            self.tell(self.core.finished, entry)
            assert entry.state is EntryState.IDLE
        return entries[-1]

    def lent(self) -> Entry:
        """One more connection that somebody has borrowed."""
        entry, _ = self.busy()
        assert self.core.lent(entry, self.now)
        return entry

    # Time.

    def wait(self, seconds: float) -> None:
        """Time passes, and the timer does not fire."""
        self.now += seconds

    def expire(self) -> None:
        """The timer fires."""
        self.do(self.core.expire(self.now))

    def pass_time(self, seconds: float) -> None:
        """Time passes, and the timer fires whenever it was asked to."""
        end = self.now + seconds
        for _ in range(10_000):
            if self.core.wake_at > end:
                self.now = end
                return
            self.now = max(self.now, self.core.wake_at)
            self.expire()
        raise AssertionError("it asks to be woken again and again")
