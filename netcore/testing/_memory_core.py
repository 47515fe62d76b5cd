"""The part of a `MemoryReactor` that has no network at all: its life, events, threads and names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import Deferred, succeed
from netcore.error import ReactorAlreadyRunning, ReactorNotRunning
from netcore.failure import Failure
from netcore.interfaces import IHostnameResolver, IReactorTime
from netcore.reactors._triggers import SystemEvents
from netcore.resolver import ComplexResolverSimplifier, DictResolver
from netcore.resolver._resolution import Resolution
from netcore.task import Clock
from netcore.threadpool import ThreadPool, _Job, _perform

__all__ = ["MemoryCore"]

logger = logging.getLogger("netcore.testing")

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _AnyName(DictResolver):
    """Finds every name that it was told nothing of at 127.0.0.1, as Twisted's does."""

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *args: Any, **kwargs: Any) -> Resolution:
        if str(hostName).lower() not in self._names:
            self[str(hostName)] = "127.0.0.1"
        return super().resolveHostName(resolutionReceiver, hostName, *args, **kwargs)


class _InlinePool(ThreadPool):
    """A pool of no threads: jobs are done by whoever brings them, at once."""

    def __init__(self) -> None:
        super().__init__(0, 1, "memory")

    def _submit(self, job: _Job) -> None:
        context, on_result, func, args, kwargs = job
        context.run(_perform, on_result, func, args, kwargs)


class MemoryCore:
    """`IReactorCore`, `IReactorThreads` and `IReactorPluggableNameResolver`."""

    running: bool
    nameResolver: IHostnameResolver

    def __init__(self) -> None:
        self.running = self.hasRun = self.hasStopped = self.hasCrashed = False
        self.whenRunningHooks: list[Call] = []
        self.nameResolver = _AnyName(clock=self._clock())
        self._events = SystemEvents()
        self._stopping = False
        self._pool = _InlinePool()

    def _clock(self) -> IReactorTime:
        """For look-ups that are told to wait."""
        return Clock()

    # Life.

    def run(self, installSignalHandlers: bool = True) -> None:
        """Fire "startup", which calls what `callWhenRunning` was given, and then `stop`, unless that was called: a test
        waits for nothing.

        Raises: netcore.error.ReactorAlreadyRunning.
        """
        if self.running:
            raise ReactorAlreadyRunning("run() was called by something that it has called")
        self.hasRun = True
        self._stopping = False
        self._events.fire("startup", first=self._started)
        if not self._stopping:
            self._shut_down()
        self.running = False

    def _started(self) -> None:
        self.running = not self._stopping  # a "before" trigger's Deferred may fire when all is over

    def stop(self) -> None:
        """Set *hasStopped*; and, within `run`, fire "shutdown". That it does not run is no error here: a test calls
        what a running reactor would.

        Raises: netcore.error.ReactorNotRunning: within `run`, it was stopped before.
        """
        self.hasStopped = True
        if self.running:
            if self._stopping:
                raise ReactorNotRunning("stop() is not possible: the reactor is stopping")
            self._shut_down()

    def _shut_down(self) -> None:
        self.hasStopped = self._stopping = True
        self._events.fire("shutdown", first=self._stopped)

    def _stopped(self) -> None:
        self.running = False

    def crash(self) -> None:
        """Set *hasCrashed*; *running* is False then."""
        self.hasCrashed = self._stopping = True
        self.running = False

    def iterate(self, delay: float = 0) -> None:
        """Nothing has happened meanwhile.

        Raises: ValueError: *delay* is negative or NaN.
        """
        if not delay >= 0:
            raise ValueError(f"a turn waits 0 or more seconds, not {delay!r}")

    # Events.

    @property
    def triggers(self) -> dict[str, dict[str, list[Call]]]:
        """What waits for events: lists of (callable, args, kwargs), by phase and event. A new dict each time."""
        found: dict[str, dict[str, list[Call]]] = {}
        for (event, phase), waiting in self._events._waiting.items():
            if waiting:
                listed = [(each.callable, each.args, each.kwargs) for each in waiting]
                found.setdefault(phase, {})[event] = listed
        return found

    def fireSystemEvent(self, eventType: str) -> None:
        """Call the triggers of *eventType*, phase by phase. What they raise is logged."""
        self._events.fire(eventType)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> object:
        """Have *callable* called when *eventType* is fired.

        Returns: an identifier for `removeSystemEventTrigger`.
        Raises: ValueError: an unknown phase. TypeError: *callable* cannot be called.
        """
        return self._events.add(phase, eventType, callable, args, kwargs)

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take back a trigger.

        Raises: ValueError: it was called or removed. TypeError: it is no trigger.
        """
        self._events.remove(triggerID)

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> object | None:
        """Call *callable* now if the reactor runs, or has; else when it does.

        Returns: None if it was called, else the identifier of the trigger.
        """
        if self.running or self.hasRun:
            callable(*args, **kwargs)
            return None
        trigger = self._events.add("after", "startup", callable, args, kwargs)
        self.whenRunningHooks.append((callable, args, kwargs))
        return trigger

    # Threads.

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call *callable* at once, in a copy of the context. What it raises is logged.

        Raises: TypeError: it cannot be called.
        """
        if not _can_be_called(callable):
            raise TypeError(f"{callable!r} cannot be called")
        try:
            copy_context().run(callable, *args, **kwargs)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:
            log_failure(logger, Failure(), "%r, called from a thread, raised", callable)

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call *callable* at once, in this thread. What it raises is logged."""
        self._pool.callInThread(callable, *args, **kwargs)

    def getThreadPool(self) -> ThreadPool:
        """A pool that does its jobs at once, in the thread that brings them."""
        return self._pool

    def suggestThreadPoolSize(self, size: int) -> None:
        """There is one thread, the test's.

        Raises: ValueError: less than 1.
        """
        if size < 1:
            raise ValueError(f"a pool has at least 1 thread, not {size!r}")

    # Names.

    def resolve(self, name: str, timeout: Sequence[int] = (1, 3, 11, 45)) -> Deferred[str]:
        """Look *name* up, by *nameResolver*.

        Returns: Deferred firing with an IPv4 address in dotted quads.
        Raises: TypeError: *name* is no str.
        Fails with: netcore.error.DNSLookupError.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a host is a str, not {name!r}")
        if not name:
            return succeed("0.0.0.0")
        return ComplexResolverSimplifier(self.nameResolver, self._clock()).getHostByName(name, timeout)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Have *resolver* asked for names.

        Returns: the one that was asked before.
        """
        previous, self.nameResolver = self.nameResolver, resolver
        return previous


_can_be_called = callable  # where an argument has that name
