"""Cancelling: what is to be cancelled when somebody gives up on a Deferred, and whether those who wait hear of it.

A Deferred may wait for another, as a chain, a coroutine, a list or a race does. That other is cancelled in its place,
and so on; what comes of it comes back along the callbacks. 100,000 may wait for each other in a row, so each visit of
one is a generator, and who runs them keeps them in a list (`_Round.run`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from netcore._log import log_failure
from netcore.defer._chain import CHAINED, FIRED, PENDING, RUNNING, CancellingWaiter, Chain
from netcore.defer._deferred import EAT_ONE, Deferred, logger, set_cancel
from netcore.defer._errors import CancelledError
from netcore.failure import Failure

__all__ = ["SeveralAsOne", "cancel_as_asked"]


class SeveralAsOne(Deferred[Any]):
    """A Deferred made of others. Cancelled while it has no result, it has them cancelled, which fires it."""

    def _to_cancel(self) -> Sequence[Deferred[Any]]:
        """Those to be cancelled; those that have their results take no notice."""
        raise NotImplementedError


def cancel_as_asked(deferred: Deferred[Any], message: tuple[Any, ...]) -> bool:
    """As `_cancel`, by the method of *deferred* if that is a subclass's own."""
    try:
        if not _has_its_own_way(deferred):
            return _cancel(deferred, message)
        deferred.cancel()
        return not _is_stuck(deferred)
    finally:
        del deferred  # see "no cycles" in `_chain`


def _cancel(deferred: Deferred[Any], message: tuple[Any, ...]) -> bool:
    """Cancel *deferred*, as its method does. A CancelledError that comes of it is made with *message*.

    Returns: whether those who wait for *deferred* will hear of it. Else there was nothing to be cancelled (it is
        paused, or runs its callbacks, or so does what it waits for), and it is for them to give up.
    """
    try:
        if deferred._state == PENDING and not _is_cancelled_by_others(deferred):
            _cancel_one(deferred, message)
            return not _is_stuck(deferred)
        return _Round(deferred, message).run(deferred)
    finally:
        del deferred  # see "no cycles" in `_chain`


set_cancel(_cancel)

_Visit = Generator[Any, bool, bool]  # yields what to visit before it goes on, is sent what that returns


class _Round:
    """All that one call of `_cancel` leads to.

    Attributes:
        asked: the one it was called for.
        message: as there.
        within: what is being visited, by `id`. None is cancelled on behalf of what it waits for itself.
        done: what was visited, and what it waited for then. Each is once, unless it waits for something new. (They are
            kept, since identifiers of what is gone come again.)
        changes: how often something was cancelled: what several wait for may be new since.
    """

    def __init__(self, asked: Deferred[Any], message: tuple[Any, ...]) -> None:
        self.asked = asked
        self.message = message
        self.within: set[int] = set()
        self.done: dict[tuple[int, int], Any] = {}
        self.changes = 0

    def run(self, target: Any) -> bool:
        """Visit *target*, and all that it yields. Returns: what `visit` does."""
        visits: list[_Visit] = [self.visit(target)]
        heard: Any = None
        del target  # see "no cycles" in `_chain`; so everywhere here
        while visits:
            try:
                visits.append(self.visit(visits[-1].send(heard)))
                heard = None
            except StopIteration as end:
                visits.pop()
                heard = end.value
        del self
        return bool(heard)

    def visit(self, target: Any) -> _Visit:
        """Cancel *target*. Returns: whether those who wait for it hear of it."""
        waiter: Any = None
        waited_for: Any = None
        one: Any = None
        try:
            if id(target) in self.within:
                return False
            if target is not self.asked and _has_its_own_way(target):
                self.changes += 1
                target.cancel()
                return not _is_stuck(target)
            if target._state == CHAINED:
                waited_for = [target._result]
                new = id(waited_for[0])
            elif target._state != PENDING:
                return False
            elif isinstance(target, SeveralAsOne):
                waited_for = target._to_cancel()
                new = self.changes
            elif isinstance(target._canceller, CancellingWaiter):
                waiter = target._canceller
                waited_for = [waiter.pass_on_cancel(self.message)]
                if not isinstance(waited_for[0], Chain):
                    self.changes += 1
                    return waited_for[0] is None and not target._paused
                new = id(waited_for[0])
            else:
                self.changes += 1
                _cancel_one(target, self.message)
                return not _is_stuck(target)

            if (id(target), new) in self.done:
                return False
            self.done[id(target), new] = target, waited_for
            self.within.add(id(target))
            heard = False
            for one in waited_for:
                heard = (yield one) or heard
            self.within.discard(id(target))
            if not heard and waiter is not None:
                waiter.not_heard(waited_for[0], self.message)
                heard = True
            return heard and not target._paused
        finally:
            del self, target, waiter, waited_for, one


def _has_its_own_way(deferred: Chain) -> bool:
    """Whether the class of *deferred* has a `Deferred.cancel` of its own."""
    return type(deferred).cancel is not Deferred.cancel  # type: ignore[attr-defined]


def _is_cancelled_by_others(deferred: Chain) -> bool:
    """Whether *deferred*, which has no result, waits for something that is cancelled in its place."""
    return isinstance(deferred, SeveralAsOne) or isinstance(deferred._canceller, CancellingWaiter)


def _is_stuck(target: Chain) -> bool:
    """Whether *target*, which was cancelled, has nothing to tell those who wait for it before something else comes."""
    return target._state == RUNNING or (target._state >= FIRED and target._paused > 0)


def _cancel_one(target: Deferred[Any], message: tuple[Any, ...]) -> None:
    """Call the canceller of *target*, which has no result, or do without one."""
    canceller = target._canceller
    if canceller is None:
        target._canceller = EAT_ONE
    else:
        target._canceller = None
        try:
            canceller(target)
        except BaseException:
            log_failure(logger, Failure(), "The canceller of %r raised", target)
    if target._state == PENDING:
        target.errback(CancelledError(*message))
    del target, canceller  # see "no cycles" in `_chain`
