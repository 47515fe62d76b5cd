"""A pool's core and the world around it: callers, threads and a clock, all that may happen to it.

What is done to the core goes through a `World`, which keeps books of it (`core_books`). After every event, what the
core has done is held against them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from asyncdb._core import Entry, EntryState, JobState, Orders
from asyncdb._core._ground import FAIL_OVER_PAUSE
from asyncdb.errors import PoolClosed, PoolOverloaded
from tests.property.core_books import CARRIED, Books, Call

__all__ = ["World"]

S = EntryState


class World(Books):
    """A core and what is around it. Args and attributes: those of `Books`."""

    # -------------------------------------------------------------------------------------------------------- callers

    def submit(self, call: Call, timeout: float | None = None) -> bool:
        """Somebody makes *call*. Returns whether it was taken in."""
        core, before, mine = self.core, self.waiting, self._waiting_of(call.caller)
        cap = self.options.max_waiting_per_caller
        full = before >= self.options.max_waiting
        try:
            orders = core.submit(call, self.now, timeout)
        except PoolClosed:
            assert core.closing
            return False
        except PoolOverloaded as error:
            if "of '" in str(error).partition(";")[0]:
                assert cap is not None
                assert mine >= cap
            else:
                assert full
                assert not self._fit() or self.suspended, "refused beside a connection at rest"
                taken = len(core.entries) - self.count(S.CLOSING)
                # The attempt that there is may be stuck, and as many threads besides as may be: then there is no other.
                stuck = bool(core.outage.failures) and self.count(S.CONNECTING) > 0
                assert before or self.suspended or ((taken >= self.options.max or stuck) and not self._coming()), (
                    "refused for ever"
                )
            self._check()
            return False
        assert not core.closing
        self.calls.append(call)
        self.lanes[call.lane].append(call)
        quick = next((e for e in orders.carry if e.job is call), None) if orders is not None else None
        if quick is None:
            assert cap is None or call.caller is None or mine < cap, "more of one caller wait than may"
        self._follow(orders)
        if call.state is JobState.WAITING and full:
            room = self.options.max - len(core.entries) + self.count(S.CLOSING)
            assert self.waiting <= max(before, self.options.max_waiting + self._coming() + room), "more wait than may"
        return True

    def cancel(self, call: Call) -> None:
        """The caller of *call* wants nothing any more."""
        if call.answers:  # the answer is on its way to him
            assert self.core.cancel(call, self.now) is None
            self._check()
            return
        if call.state is JobState.WAITING:
            self.lanes[call.lane].remove(call)
        orders = self.core.cancel(call, self.now)
        self._answer(call)
        self._follow(orders)

    def give_back(self, entry: Entry) -> None:
        """A connection that was lent comes back."""
        self.used[entry] = self.now
        self._follow(self.core.returned(entry, self.now))

    def forsake(self, entry: Entry) -> None:
        """Its borrower has dropped it."""
        self._follow(self.core.forsaken(entry))

    # ------------------------------------------------------------------------------------------------- the pool itself

    def warm(self) -> None:
        """Somebody asks for `ready`."""
        self.warmed = self.keeps = self.wants_ready = True
        self._follow(self.core.warm(self.now))

    def suspend(self) -> None:
        """The pool is suspended."""
        self.suspended = True
        self.core.suspend()
        self._check()

    def resume(self) -> None:
        """It goes on."""
        self.suspended = False
        self._follow(self.core.resume(self.now))

    def evict_all(self) -> None:
        """All connections are to be replaced."""
        self.doomed.update(self.core.entries)
        self._follow(self.core.evict_all(self.now))

    def close(self, deadline: float) -> None:
        """The pool closes."""
        self.close_at = min(self.close_at, self.now + deadline)
        self._follow(self.core.close(self.now, deadline))

    # -------------------------------------------------------------------------------------------------------- threads

    def connected(self, entry: Entry) -> None:
        """Its thread has a connection."""
        if entry.state is not S.ABANDONED:
            self.used[entry] = self.answered[entry] = self.now
            self.keeps = self.warmed
        self._report(entry, self.core.connected)

    def connect_failed(self, entry: Entry, retryable: bool) -> None:
        """Its thread has none."""
        if entry.state is not S.ABANDONED and not retryable and not self._standing():
            self.keeps = False
        self._report(entry, lambda e, now: self.core.connect_failed(e, OSError("refused"), retryable, now))

    def checked(self, entry: Entry) -> None:
        """It answered, and is clean."""
        if entry.state is not S.ABANDONED:
            self.answered[entry] = self.now
            self.interrupted.pop(entry, None)
        self._report(entry, self.core.checked)

    def suspected(self, entry: Entry) -> None:
        """Before anything was sent, there was reason for a check."""
        call = self.call_of(entry)
        if call.state is JobState.RUNNING and not self.core.closing:
            lane = self.lanes[call.lane]
            lane.append(call)
            lane.sort(key=lambda one: one.sequence)
        self._report(entry, self.core.suspected)

    def all_suspected(self, order: Callable[[Entry], object]) -> None:
        """The server has gone, which every connection shows that has rested, one after another."""
        busy = [entry for entry, state in self.doing.items() if state is entry.state is S.BUSY and entry in self.rested]
        for entry in sorted(busy, key=order):  # type: ignore[arg-type]
            if entry in self.rested and entry.state is S.BUSY and not self.call_of(entry).committing and not entry.held:
                self.suspected(entry)

    def share(self, entry: Entry, joins: Callable[[Call], object]) -> bool:
        """Its call's statement is executed; others may join its transaction. Returns whether one did."""
        call = self.call_of(entry)
        if call.state is JobState.RUNNING:  # else the thread ends it there
            call.committing = True
        waiting = next((lane[0] for lane in self.lanes if lane), None)
        shared = self.core.share(entry, self.now, joins)
        if shared:
            assert call.state is JobState.RUNNING, "one that nobody waits for is held"
            assert entry.job is waiting
            assert entry.held[-1] is call
        self._follow(None, entry)
        return shared

    def committed(self, entry: Entry) -> None:
        """The transaction that it shares with others is."""
        for held in entry.held:
            assert isinstance(held, Call)
            if held.state is JobState.RUNNING:
                self._answer(held)
        self.core.committed(entry, self.now)
        self._follow(None)

    def undone(self, entry: Entry, own: bool = False) -> None:
        """Nothing is left of what the others have done in its transaction; *own*, and its own call."""
        for job in (*entry.held, entry.job) if own else entry.held:
            assert isinstance(job, Call)
            if job.state is JobState.RUNNING and not self.core.closing:
                lane = self.lanes[job.lane]
                lane.append(job)
                lane.sort(key=lambda one: one.sequence)
        if not own:
            self._follow(self.core.undone(entry, self.now))
            return
        if entry.state is not S.ABANDONED:
            self.used[entry] = self.answered[entry] = self.now
        self.held_by.pop(entry, None)  # it may be given the same call again
        self._report(entry, lambda e, now: self.core.undone(e, now, own=True))

    def ran(self, entry: Entry, event: str) -> None:
        """Its call has "finished", "failed" or was "distrusted"."""
        if entry.state is not S.ABANDONED:
            self.used[entry] = self.now
            if event != "distrusted":
                self.answered[entry] = self.now
        call = self.call_of(entry)
        if call.state is JobState.RUNNING:
            self._answer(call)
        self._report(entry, self._finish if event == "finished" else getattr(self.core, event))

    def _finish(self, entry: Entry, now: float) -> Orders[Entry, Call] | None:
        """As its thread does: it looks first whether it is the usual case."""
        if not self.core.hand_over(entry, now):
            return self.core.finished(entry, now)
        assert entry.state is S.BUSY
        assert self.call_of(entry).started == now
        return None

    def lent(self, entry: Entry) -> bool:
        """Its call asked for the connection. Returns whether there is somebody to have it."""
        call = self.call_of(entry)
        was, thread = call.state, self.doing.pop(entry)
        lent = self.core.lent(entry, self.now)
        if lent:
            self._answer(call)
        else:
            assert was is JobState.ABANDONED or entry.state is S.ABANDONED
            self.doing[entry] = thread
        self._follow(None)
        return lent

    def cleaned(self, entry: Entry, answered: bool) -> None:
        """It was reset."""
        if entry.state is not S.ABANDONED and answered:
            self.answered[entry] = self.now
        self._report(entry, lambda e, now: self.core.cleaned(e, now, answered))

    def lost(self, entry: Entry, reason: str) -> None:
        """It was closed, for *reason*."""
        if entry.state is not S.ABANDONED and reason == "readonly":
            if self.now >= self.no_fail_over_before:
                self.no_fail_over_before = self.now + FAIL_OVER_PAUSE
                self.doomed.update(self.core.entries)
        elif entry.state is not S.ABANDONED and reason != "unclean":
            for other in self.core.entries:
                if other.state is not S.BUSY:
                    self.answered[other] = -math.inf
        self._answer_for(entry)
        self._report(entry, lambda e, now: self.core.lost(e, reason, now))

    def ended(self, entry: Entry) -> None:
        """It was closed, as it was to be."""
        self._answer_for(entry)
        self._report(entry, self.core.ended)

    def _answer_for(self, entry: Entry) -> None:
        if entry.job is not None and entry.job.state is JobState.RUNNING:
            self._answer(self.call_of(entry))

    def _report(self, entry: Entry, event: Callable[[Entry, float], Orders[Entry, Call] | None]) -> None:
        del self.doing[entry]
        orders = event(entry, self.now)
        if entry.state in CARRIED:
            self.doing[entry] = S.CLOSING if entry.state is S.ABANDONED else entry.state
        self._follow(orders, entry)

    # ----------------------------------------------------------------------------------------------------------- time

    def expire(self) -> None:
        """The timer fires, as it was asked to or at any other time."""
        before = self._picture()
        self._follow(self.core.expire(self.now))
        assert self.core.wake_at > self.now or self._picture() != before, "asks to be woken and has nothing to do"

    def run_timer(self) -> None:
        """It fires for as long as it is asked to do so at once."""
        for _ in range(20):
            if self.core.wake_at > self.now:
                return
            self.expire()
        raise AssertionError("it asks to be woken again and again")

    def _picture(self) -> object:
        core = self.core
        states = [core.count(state) for state in S]
        did = core.tally.interrupts, core.tally.leaks, len(core.strays), core.gave_up, self.close_at < self.now
        return states, core.waiting, core.outage.failures, core.drained, len(self.ever), did

    # -------------------------------------------------------------------------------------------------------- the end

    def finish(self) -> None:
        """All goes well from here on: every call ends, and then the pool."""
        if self.suspended:
            self.resume()
        for _ in range(100_000):
            if not self._step():
                break
        assert not self.waiting, "never served"
        assert not self.calls, "never answered"
        if not self.core.closing:
            self.close(5.0)
        while not self.core.drained:
            if not self._step():
                self.now = self.core.wake_at
                self.expire()
        while self._step():
            pass
        assert self.drained == 1
        assert all(entry.state is S.GONE for entry in self.ever)

    def _step(self) -> bool:
        """Somebody does what is to be done. Returns whether there was anything."""
        for entry, state in list(self.doing.items()):
            self.work(entry, state, 0)
            return True
        for entry in list(self.core.entries):
            if entry.state is S.LENT:
                self.give_back(entry)
                return True
        if self.waiting or (self.core.closing and self.core.wake_at <= self.now):
            assert self.core.wake_at != math.inf, "waits for nothing"
            self.now = max(self.now, self.core.wake_at)
            self.expire()
            return True
        return False

    def work(self, entry: Entry, state: EntryState, outcome: int) -> None:
        """The thread that believes *entry* to be in *state* has done what that asks for. *outcome* 0: well."""
        if entry.held and outcome % 4 == 3:
            self.undone(entry, own=True)
            return
        if entry.held:
            (self.undone if outcome % 4 == 1 else self.committed)(entry)
        choices: list[tuple[Any, ...]] = WORK[state]
        if state is S.BUSY:
            call = self.call_of(entry)
            if call.committing or entry not in self.rested:
                choices = [choice for choice in choices if choice[0] != "suspected"]
        name, *arguments = choices[outcome % len(choices)]
        if name == "lent":
            if call.committing or self.lent(entry):
                return
            name, arguments = "ran", ["finished"]
        getattr(self, name)(entry, *arguments)


WORK: dict[EntryState, list[tuple[Any, ...]]] = {
    S.CONNECTING: [("connected",), ("connect_failed", True), ("connect_failed", False)],
    S.CHECKING: [("checked",), ("lost", "check")],
    S.RESETTING: [("cleaned", True), ("cleaned", False), ("lost", "unclean")],
    S.CLOSING: [("ended",)],
    S.BUSY: [
        ("ran", "finished"),
        ("ran", "failed"),
        ("ran", "distrusted"),
        ("suspected",),
        ("lent",),
        ("lost", "lost"),
        ("lost", "shutdown"),
        ("lost", "readonly"),
        ("lost", "unclean"),
    ],
}
"""What may become of the work of a thread, by the state in which it found its entry."""
