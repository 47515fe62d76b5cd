"""Several Deferreds as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from netcore.defer._chain import PENDING, RUNNING, Chain, Waiter
from netcore.defer._deferred import Deferred
from netcore.defer._errors import FirstError
from netcore.failure import Failure

__all__ = ["FAILURE", "SUCCESS", "DeferredList", "gatherResults"]

T = TypeVar("T")

SUCCESS = True
FAILURE = False


class _Item(Waiter):
    """The entry of a `DeferredList` in one of its Deferreds (−30 % against a callback with an argument)."""

    __slots__ = ("collected", "index")

    collected: DeferredList
    index: int

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        collected = self.collected
        if not (failed and collected.consumeErrors):
            source._result = result  # passed on
        collected._results[self.index] = result if collected._bare else (not failed, result)
        collected._missing -= 1
        if collected._state != PENDING:
            return None
        if failed and collected.fireOnOneErrback:
            collected._result = Failure(FirstError(result, self.index))
        elif not failed and collected.fireOnOneCallback:
            collected._result = (result, self.index)
        elif not collected._missing:
            collected._result = collected._results
        else:
            return None
        collected._state = RUNNING
        return collected


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

    _bare = False  # with the results themselves instead of pairs

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
        self._cancelling = False
        self.fireOnOneCallback = fireOnOneCallback
        self.fireOnOneErrback = fireOnOneErrback
        self.consumeErrors = consumeErrors
        if not self._deferreds and not fireOnOneCallback:
            self.callback([])
        for index, deferred in enumerate(self._deferreds):
            item = _Item()
            item.collected = self
            item.index = index
            deferred._add(item)

    def cancel(self) -> None:
        """Cancel those of the list that have not fired, which fires this one; afterwards, cancel what this one waits
        for."""
        if self.called:
            super().cancel()
        elif not self._cancelling:  # one of them waits for this list: the two can only be left alone
            self._cancelling = True
            try:
                for deferred in self._deferreds:
                    deferred.cancel()
            finally:
                self._cancelling = False


class _Gathered(DeferredList):
    _bare = True


def gatherResults(deferredList: Iterable[Deferred[T]], consumeErrors: bool = False) -> Deferred[list[T]]:
    """Fires with the list of results of *deferredList*, in its order.

    Args:
        consumeErrors: failures after the first count as handled.
    Returns: Deferred. Cancelling it cancels those that have not fired.
    Fails with: FirstError, as soon as one fails.
    """
    return _Gathered(deferredList, fireOnOneErrback=True, consumeErrors=consumeErrors)
