"""Several Deferreds as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from netcore.defer._deferred import Deferred
from netcore.defer._errors import FirstError
from netcore.failure import Failure

__all__ = ["FAILURE", "SUCCESS", "DeferredList", "gatherResults"]

T = TypeVar("T")

SUCCESS = True
FAILURE = False


class DeferredList(Deferred[Any]):
    """Fires when all Deferreds of a list have fired, with a list of ``(success, result)`` in their order.

    The Deferreds stay usable: their results and failures are passed on to callbacks added later.

    Args:
        deferredList: the Deferreds; the list may be empty.
        fireOnOneCallback: fire with ``(result, index)`` as soon as one has a result.
        fireOnOneErrback: fail with FirstError as soon as one fails.
        consumeErrors: failures count as handled; each failed Deferred goes on with None.
    Returns: a Deferred. Cancelling it cancels those that have not fired.
    """

    def __init__(
        self,
        deferredList: Iterable[Deferred[Any]],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None:
        super().__init__()
        self._deferreds = list(deferredList)
        self._results: list[Any] = [None] * len(self._deferreds)
        self._missing = len(self._deferreds)
        self.fireOnOneCallback = fireOnOneCallback
        self.fireOnOneErrback = fireOnOneErrback
        self.consumeErrors = consumeErrors
        if not self._deferreds and not fireOnOneCallback:
            self.callback([])
        for index, deferred in enumerate(self._deferreds):
            deferred.addBoth(self._one_fired, index)

    def _one_fired(self, result: Any, index: int) -> Any:
        failed = isinstance(result, Failure)
        self._results[index] = (FAILURE if failed else SUCCESS, result)
        self._missing -= 1
        if not self.called:
            if failed and self.fireOnOneErrback:
                self.errback(Failure(FirstError(result, index)))
            elif not failed and self.fireOnOneCallback:
                self.callback((result, index))
            elif not self._missing:
                self.callback(self._results)
        return None if failed and self.consumeErrors else result

    def cancel(self) -> None:
        """Cancel those of the list that have not fired, which fires this one; afterwards, cancel what this one waits
        for."""
        if self.called:
            super().cancel()
            return
        for deferred in self._deferreds:
            deferred.cancel()


def gatherResults(deferredList: Iterable[Deferred[T]], consumeErrors: bool = False) -> Deferred[list[T]]:
    """Fires with the list of results of *deferredList*, in its order.

    Args:
        consumeErrors: failures after the first count as handled.
    Returns: Deferred. Cancelling it cancels those that have not fired.
    Fails with: FirstError, as soon as one fails.
    """
    gathered = DeferredList(deferredList, fireOnOneErrback=True, consumeErrors=consumeErrors)
    return gathered.addCallback(lambda results: [result for _, result in results])
