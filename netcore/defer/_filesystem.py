"""`DeferredFilesystemLock`: waiting for a lock between processes without blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netcore._current import current_reactor
from netcore.defer._deferred import Deferred, fail, succeed
from netcore.defer._errors import AlreadyTryingToLockError, TimeoutError
from netcore.lockfile import FilesystemLock

if TYPE_CHECKING:
    from netcore.interfaces import IDelayedCall, IReactorTime

__all__ = ["DeferredFilesystemLock"]


class DeferredFilesystemLock(FilesystemLock):
    """A `netcore.lockfile.FilesystemLock` that can be waited for. It looks each second whether the lock is free.

    Args:
        name: the path of the lock, in a directory that exists.
        scheduler: whose seconds; by default this thread's reactor.
    """

    _interval = 1.0  # no event tells that a symbolic link in any file system has gone

    def __init__(self, name: str, scheduler: IReactorTime | None = None) -> None:
        super().__init__(name)
        self._scheduler = scheduler
        self._trying: Deferred[None] | None = None
        self._calls: list[IDelayedCall] = []

    def deferUntilLocked(self, timeout: float | None = None) -> Deferred[None]:
        """Wait until this object holds the lock.

        Args:
            timeout: seconds to wait; None waits for ever.
        Returns: Deferred firing with None: at once, if the lock is free. Cancelling it ends the waiting.
        Fails with: TimeoutError. AlreadyTryingToLockError: it is being waited for already. What
            `netcore.lockfile.FilesystemLock.lock` raises.
        """
        if self._trying is not None:
            return fail(
                AlreadyTryingToLockError(
                    f"{self!r} is being waited for: wait for that Deferred, or use a second DeferredFilesystemLock"
                )
            )
        try:
            if self.lock():
                return succeed(None)
        except (OSError, ValueError):
            return fail()
        self._trying = Deferred(lambda _: self._stop())
        self._clock = self._scheduler if self._scheduler is not None else current_reactor()
        self._calls = [self._clock.callLater(self._interval, self._look)]
        if timeout is not None:
            self._calls.append(self._clock.callLater(timeout, self._give_up, timeout))
        return self._trying

    def _look(self) -> None:
        try:
            locked = self.lock()
        except (OSError, ValueError) as error:
            self._stop().errback(error)
            return
        if locked:
            self._stop().callback(None)
        else:
            self._calls[0] = self._clock.callLater(self._interval, self._look)

    def _give_up(self, timeout: float) -> None:
        self._stop().errback(TimeoutError(float(timeout), f"lock {self.name}"))

    def _stop(self) -> Deferred[None]:
        trying, self._trying = self._trying, None
        assert trying is not None
        calls, self._calls = self._calls, []
        for call in calls:
            if call.active():
                call.cancel()
        return trying
