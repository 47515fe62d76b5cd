"""Services that do something again and again, or a piece at a time, while they run."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from netcore._log import log_failure
from netcore.application.internet._listening import after
from netcore.application.service import Service
from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.interfaces import IReactorTime
from netcore.task import Cooperator, LoopingCall

__all__ = ["CooperatorService", "TimerService"]

log = logging.getLogger("netcore.application")


class TimerService(Service):
    """Calls a function again and again while it runs, the first time when it is started: a `LoopingCall` as a service.

    A call that fails is logged, and the last, until the service is started again.

    Args:
        step: seconds from call to call.
        callable: the function; *args* and *kwargs* its arguments. A Deferred that it returns is waited for.
    Raises: ValueError: *step* is negative.
    Attributes: *step*; *call*, the function and its arguments; *clock*, None for the current reactor, may be set before
        the service is started.
    """

    clock: IReactorTime | None = None

    def __init__(self, step: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if not 0 <= step < math.inf:
            raise ValueError(f"step is 0 or more seconds, not {step!r}")
        self.step = step
        self.call = (callable, args, kwargs)
        # One for all starts: so no call begins before the last of the start before has ended.
        self._loop = LoopingCall(self._make_call)
        self._ended: Deferred[None] | None = None

    def _make_call(self) -> Any:
        function, args, kwargs = self.call
        return function(*args, **kwargs)

    def startService(self) -> None:
        """Make the first call.

        Raises: RuntimeError: it runs.
        """
        if self._loop.running:
            raise RuntimeError(f"{self!r} runs already")
        super().startService()  # before the first call, which may stop it
        self._loop.clock = self.clock
        ended = self._ended = Deferred()  # there before that call, too
        try:
            self._loop.start(self.step, now=True).addErrback(self._failed).addCallback(lambda _: ended.callback(None))
        except BaseException:  # there is no reactor, say
            self._ended = None
            raise

    def _failed(self, failure: Failure) -> None:
        log_failure(log, failure, "%r failed, and is called no more by %r", self.call[0], self)
        del failure  # this frame may be in the traceback that it holds

    def stopService(self) -> Deferred[Any] | None:
        """Make no more calls.

        Returns: Deferred firing when a call that is being made has ended, and what runs in scopes of the service; or
            None if there is nothing to wait for.
        """
        ending = super().stopService()
        ended, self._ended = self._ended, None
        if self._loop.running:
            self._loop.stop()
        return after(ended, ending)


class CooperatorService(Service):
    """Runs iterators, a piece of each at a time, while it runs: a `Cooperator` as a service.

    Attributes: *coop*, the Cooperator.
    """

    def __init__(self) -> None:
        self.coop = Cooperator(started=False)

    def coiterate(self, iterator: Any) -> Deferred[Any]:
        """Have *iterator* take turns with the others; see `netcore.task.coiterate`. Before the service is started, it
        waits for that.

        Returns: Deferred firing with *iterator* when that has come to its end.
        Fails with: what it raised, or a Deferred that it yielded failed with. netcore.task.SchedulerStopped: the
            service was stopped.
        """
        return self.coop.coiterate(iterator)

    def startService(self) -> None:
        """Run what there is, and what comes."""
        super().startService()
        self.coop.start()

    def stopService(self) -> Deferred[Any] | None:
        """Stop. Those who wait for an iterator get `netcore.task.SchedulerStopped`.

        Returns: Deferred firing when what runs in scopes of the service has ended, or None if nothing does.
        """
        self.coop.stop()
        return super().stopService()
