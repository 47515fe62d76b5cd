"""System events: callables to be called when something happens to the reactor, in three phases.

Each trigger is called once, in the context (contextvars) it was added in, and forgotten; those of `REPEATED` events
stay until they are removed. The triggers of a phase are called in the order they were added, those added meanwhile
included (not if the event is repeated: they wait for the next time). "before" triggers may return Deferreds (or be
coroutine functions); "during" begins when all of those have fired. A trigger that fails is logged, and the rest still
run.
"""

from __future__ import annotations

import builtins
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import Deferred, fail, maybeDeferred
from netcore.failure import Failure

__all__ = ["PHASES", "REPEATED", "SystemEvents", "Trigger"]

logger = logging.getLogger("netcore.reactors")

PHASES = ("before", "during", "after")
REPEATED = frozenset({"reload"})

Continue = Callable[[], None]


class Trigger:
    """One callable that waits for its event; what ``addSystemEventTrigger`` returns."""

    __slots__ = ("args", "callable", "context", "event", "kwargs", "phase")

    def __init__(
        self, phase: str, event: str, callable: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.phase = phase
        self.event = event
        self.callable = callable
        self.args = args
        self.kwargs = kwargs
        self.context: Context = copy_context()

    def call(self) -> Deferred[Any]:
        """Call it; what goes wrong is in the Deferred.

        Raises: KeyboardInterrupt, SystemExit: the callable raised it.
        """
        try:
            return self.context.copy().run(self._call)  # what it sets there is not for the next time
        finally:
            del self  # may be a Deferred's, and this frame in the traceback that its failure holds

    def _call(self) -> Deferred[Any]:
        try:
            result = self.callable(*self.args, **self.kwargs)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:
            return fail()
        finally:
            del self
        return maybeDeferred(lambda: result)  # which knows Deferreds, coroutines and plain results

    def __repr__(self) -> str:
        return f"<Trigger {self.phase} {self.event}: {self.callable!r}>"


class SystemEvents:
    """The triggers of one reactor, by event and phase.

    Threading: the reactor's thread only.
    """

    __slots__ = ("_firing", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], deque[Trigger]] = {}
        self._firing = 0  # counts up when what is being fired is abandoned

    def add(
        self, phase: str, event: str, callable: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Trigger:
        """Have *callable* called in *phase* of *event*.

        Raises: ValueError: no such phase. TypeError: *callable* cannot be called.
        """
        if phase not in PHASES:
            raise ValueError(f"a trigger's phase is one of {', '.join(PHASES)}, not {phase!r}")
        if not builtins.callable(callable):
            raise TypeError(f"{callable!r} cannot be called")
        trigger = Trigger(phase, event, callable, args, kwargs)
        self._waiting.setdefault((event, phase), deque()).append(trigger)
        return trigger

    def remove(self, trigger: Any) -> None:
        """Forget *trigger*.

        Raises: TypeError: it is none. ValueError: it does not wait (any more).
        """
        if not isinstance(trigger, Trigger):
            raise TypeError(f"{trigger!r} is not what addSystemEventTrigger() returned")
        try:
            self._waiting[trigger.event, trigger.phase].remove(trigger)
        except (KeyError, ValueError):
            raise ValueError(f"{trigger!r} is not waiting: it was called or removed before") from None

    def has(self, event: str) -> bool:
        """Whether a trigger waits for *event*."""
        return any(self._waiting.get((event, phase)) for phase in PHASES)

    def abandon(self) -> None:
        """Whatever is being fired and waits for Deferreds goes no further."""
        self._firing += 1

    def clear(self) -> None:
        """Forget all triggers."""
        self.abandon()
        self._waiting.clear()

    def fire(
        self,
        event: str,
        *,
        first: Continue | None = None,
        settle: Callable[[Continue], None] | None = None,
        done: Continue | None = None,
    ) -> None:
        """Call the triggers of *event*.

        Args:
            first: called at the head of the "during" phase.
            settle: called after the "during" phase with what goes on to "after".
            done: called when all is over.
        """
        firing = self._firing
        waiting = 1  # itself, until every "before" trigger has been called

        def after() -> None:
            if firing != self._firing:
                return
            self._call_all(event, "after")
            if done is not None and firing == self._firing:
                done()

        def one_finished(result: Any, trigger: Trigger | None = None) -> None:
            nonlocal waiting
            if isinstance(result, Failure):
                _report(result, trigger)
            waiting -= 1
            if waiting or firing != self._firing:
                return
            if first is not None:
                first()
            self._call_all(event, "during")
            if firing != self._firing:
                return
            if settle is not None:
                settle(after)
            else:
                after()

        for trigger in self._take(event, "before"):
            waiting += 1
            trigger.call().addBoth(one_finished, trigger)
            del trigger  # as in `Trigger.call`
        one_finished(None)

    def _call_all(self, event: str, phase: str) -> None:
        for trigger in self._take(event, phase):
            trigger.call().addErrback(_report, trigger)
            del trigger  # as in `Trigger.call`

    def _take(self, event: str, phase: str) -> Iterator[Trigger]:
        """The triggers to be called, as their turn comes: one that was removed by another is not among them."""
        queue = self._waiting.get((event, phase))
        if event in REPEATED:
            for trigger in list(queue or ()):
                if trigger in self._waiting.get((event, phase), ()):
                    yield trigger
        else:
            while queue:
                yield queue.popleft()


def _report(failure: Failure, trigger: Trigger | None) -> None:
    log_failure(logger, failure, "%r failed", trigger)
