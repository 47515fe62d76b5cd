"""Several Deferreds as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from netcore.defer._cancelling import SeveralAsOne
from netcore.defer._chain import PENDING, RUNNING, Chain, Waiter
from netcore.defer._deferred import Deferred
from netcore.defer._errors import FailureGroup, FirstError
from netcore.failure import Failure

__all__ = ["FAILURE", "SUCCESS", "DeferredList", "gatherResults", "race"]

T = TypeVar("T")

SUCCESS = True
FAILURE = False


def deferreds_of(given: Iterable[Deferred[Any]]) -> list[Deferred[Any]]:
    """*given* as a list, which must be of Deferreds: found out before any is touched."""
    deferreds = list(given)
    for one in deferreds:
        if one.__class__ is not Deferred and not isinstance(one, Deferred):
            raise TypeError(
                f"Deferreds are collected, not {one!r}: make one by ensureDeferred() of a coroutine, by "
                "Deferred.fromFuture() of an asyncio future, by succeed() of a value"
            )
    return deferreds


class _Item(Waiter):
    """The entry of a `DeferredList` in one of its Deferreds (−30 % against a callback with an argument)."""

    __slots__ = ("collected", "index")

    collected: DeferredList
    index: int

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        collected = self.collected
        if not (failed and collected.consumeErrors):
            source._result = result  # passed on
        collected.resultList[self.index] = result if collected._bare else (not failed, result)
        collected._missing -= 1
        if collected._state != PENDING:
            return None
        if failed and collected.fireOnOneErrback:
            collected._result = Failure(FirstError(result, self.index))
        elif not failed and collected.fireOnOneCallback:
            collected._result = (result, self.index)
        elif not collected._missing:
            collected._result = collected.resultList
        else:
            return None
        collected._state = RUNNING
        collected._deferreds = []  # not to be kept alive, nor to keep this alive, by those that have not fired
        return collected


class DeferredList(SeveralAsOne):
    """Fires when all Deferreds of a list have fired, with a list of ``(success, result)`` in their order.

    The Deferreds stay usable: their results and failures are passed on to callbacks added later.

    Args:
        deferredList: the Deferreds. Of an empty list it fires at once (with *fireOnOneCallback*: never).
        fireOnOneCallback: fire with ``(result, index)`` as soon as one has a result.
        fireOnOneErrback: fail with FirstError as soon as one fails.
        consumeErrors: failures count as handled; each failed Deferred goes on with None.
    Attributes: *resultList*, what it fires with, None for those that have not fired; *finishedCount*, how many have;
        *fireOnOneCallback*, *fireOnOneErrback*, *consumeErrors*.
    Returns: a Deferred. Cancelling it cancels those that have not fired.
    Raises: TypeError: something in the list is no Deferred.
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
        self._deferreds = deferreds_of(deferredList)
        self.resultList: list[Any] = [None] * len(self._deferreds)
        self._missing = len(self._deferreds)
        self.fireOnOneCallback = fireOnOneCallback
        self.fireOnOneErrback = fireOnOneErrback
        self.consumeErrors = consumeErrors
        if not self._deferreds and not fireOnOneCallback:
            self.callback(self.resultList)
        for index, deferred in enumerate(self._deferreds):
            item = _Item()
            item.collected = self
            item.index = index
            deferred._add(item)

    @property
    def finishedCount(self) -> int:
        """How many of the list have fired."""
        return len(self.resultList) - self._missing

    def _to_cancel(self) -> list[Deferred[Any]]:
        return self._deferreds


class _Gathered(DeferredList):
    _bare = True


def gatherResults(deferredList: Iterable[Deferred[T]], consumeErrors: bool = False) -> Deferred[list[T]]:
    """Fires with the list of results of *deferredList*, in its order.

    Args:
        consumeErrors: the failures of *deferredList* count as handled; without, each that is still its Deferred's when
            that goes is reported.
    Returns: Deferred. Cancelling it cancels those that have not fired.
    Raises: TypeError: something in *deferredList* is no Deferred.
    Fails with: FirstError, as soon as one fails.
    """
    return _Gathered(deferredList, fireOnOneErrback=True, consumeErrors=consumeErrors)


class _Runner(Waiter):
    """The entry of a `_Race` in one of its Deferreds. It takes what comes and leaves None."""

    __slots__ = ("index", "race")

    index: int
    race: _Race

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        race = self.race
        if race._won or race._state != PENDING:
            return None
        if failed:
            race._failures[self.index] = result
            del result  # see "no cycles" in `_chain`
            race._missing -= 1
            if race._missing:
                return None
            race._result = Failure(FailureGroup(race._failures))
        else:
            race._won = True
            deferred: Any = None
            for deferred in race._deferreds:
                if deferred is not source:
                    deferred.cancel()
            del deferred, source  # as *result*
            if race._state != PENDING:  # a canceller has fired it
                return None
            race._result = (self.index, result)
        race._state = RUNNING
        race._deferreds = []  # as in `_Item`
        return race


class _Race(SeveralAsOne):
    def __init__(self, deferreds: list[Deferred[Any]]) -> None:
        super().__init__()
        self._deferreds = deferreds
        self._failures: list[Any] = [None] * len(deferreds)
        self._missing = len(deferreds)
        self._won = False
        for index, deferred in enumerate(deferreds):
            runner = _Runner()
            runner.race = self
            runner.index = index
            deferred._add(runner)

    def _to_cancel(self) -> list[Deferred[Any]]:
        return [] if self._won else self._deferreds


def race(ds: Iterable[Deferred[T]]) -> Deferred[tuple[int, T]]:
    """Fires with the first result there is among *ds*, and cancels the others.

    The Deferreds are used up: whatever they end with counts as handled, and they go on with None.

    Returns: Deferred firing with ``(index, result)``, the place in *ds* and the result. Cancelling it cancels all.
    Raises: ValueError: *ds* is empty, so that nothing could ever come. TypeError: something in *ds* is no Deferred.
    Fails with: FailureGroup, if all fail (also when it is cancelled).
    """
    deferreds = deferreds_of(ds)
    if not deferreds:
        raise ValueError("race() needs at least one Deferred: with none, there is nothing to wait for")
    return _Race(deferreds)
