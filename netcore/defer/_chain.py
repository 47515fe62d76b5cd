"""`Chain`: what a Deferred is made of, its state and the entries that wait for its result, and `run`, which runs them.

States (``_state``), and what moves between them::

    PENDING --callback/errback/cancel--> RUNNING
    RUNNING --no callbacks left, or paused--> FIRED
    RUNNING --a callback returned a Deferred that has no result yet--> CHAINED
    CHAINED --that Deferred has a result--> RUNNING
    FIRED   --a callback is added, or unpaused--> RUNNING

Being paused (``_paused`` > 0) is apart from the state: it only keeps FIRED from becoming RUNNING. ``_result`` is the
result (or Failure) in FIRED, the Deferred waited for in CHAINED.

Invariants:

- A Deferred that is FIRED and not paused has no entries left: its ``_result`` may be taken at once.
- Callbacks run in one loop, `run`, which never recurses: a Deferred or coroutine that waits for another is an *entry*
  of it, and is run after it by the same loop. 100,000 of them in a chain need no stack.
- Entries are kept in the cheapest form that says all: a bare callable (a callback without arguments), a tuple (callback
  and errback with arguments), a Deferred (which waits for the result) or a `Waiter`. The first is held inline (−39 %
  time, −64 bytes), those after it in cells ``[entry, next]`` from ``_more`` to ``_tail``.
- A Deferred may be fired from another thread (``reactor.callInThread(work, d.callback)``) while its own adds callbacks.
  Adding stores the entry *before* it looks at the state, firing sets the state *before* it looks for entries, so that
  one of them sees the other; and whoever finds a FIRED one with entries must `claim` it before running them, which one
  thread only can. Claiming, and putting in and taking out an entry, are runs of operations between which CPython with a
  GIL does not switch threads (it may after a call and at a jump backward; there is none in them): no entry is lost,
  runs twice or gets a result that is not its own.
- No cycles. A traceback keeps frames alive, each frame keeps its caller (from Python 3.12 on, generators' frames too),
  and a frame its variables. So no function of ours that may be on the stack when a callback runs or a coroutine goes on
  still has a Failure in a variable when it returns: it would hold the traceback that holds it.
- A failure nobody handles is held by an `Unhandled`, made only when a failure is stored (a ``__del__`` on every
  Deferred would cost 76 ns each); when it is collected still armed, it reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netcore.defer._unhandled import Unhandled
from netcore.failure import Failure, _Special

__all__ = [
    "CHAINED",
    "FIRED",
    "PENDING",
    "RUNNING",
    "CancellingWaiter",
    "Chain",
    "Waiter",
    "claim",
    "fire",
    "rest",
    "run",
    "take",
]

PENDING, FIRED, RUNNING, CHAINED = range(4)


class Waiter(_Special):
    """An entry that takes the result away: a suspended coroutine, or an asyncio Task's view of a Deferred."""

    __slots__ = ()

    def resume(self, result: Any) -> Chain | None:
        """Take *result*, a value or a Failure. Must not raise.

        Returns: a Deferred that this made ready to run (state set, entries not run), or None.
        """
        raise NotImplementedError


class CancellingWaiter(Waiter):
    """A Waiter that is its own Deferred's canceller: cancelling is passed on, and does not by itself fire the
    Deferred."""

    __slots__ = ()

    def cancel(self) -> Chain | None:
        """Cancel what is waited for, unless it is a Deferred: that is returned, for the caller to cancel."""
        raise NotImplementedError


class Chain(_Special):
    """A state, a result and the entries that wait for it. `netcore.defer.Deferred` is this with a surface."""

    __slots__ = ("__weakref__", "_canceller", "_first", "_more", "_paused", "_report", "_result", "_state", "_tail")

    def __init__(self, canceller: Callable[[Any], object] | None = None) -> None:
        self._state = PENDING
        self._first: Any = None
        self._more: list[Any] | None = None
        self._tail: list[Any] | None = None
        self._paused = 0
        self._canceller: Any = canceller
        self._report: Unhandled | None = None
        self._result: Any = None

    def _add(self, entry: Any) -> None:
        more = self._more
        if more is None and self._first is None:
            self._first = entry
        else:
            cell = [entry, None]
            if more is None:
                self._more = cell
            else:
                self._tail[1] = cell  # type: ignore[index]  # where there is a head, there is a tail
            self._tail = cell
        if self._state == FIRED and not self._paused:
            run(self)


def take(deferred: Chain) -> Any:
    """Take the result away from *deferred*, which must be FIRED and not paused; None stays in its place."""
    result = deferred._result
    deferred._result = None
    report = deferred._report
    if report is not None:
        report.failure = None
        deferred._report = None
    return result


def claim(deferred: Chain) -> bool:
    """Make *deferred* RUNNING, if it is FIRED and not paused. Of several threads that try, one is told True."""
    if deferred._state != FIRED or deferred._paused:
        return False
    deferred._state = RUNNING
    return True


def run(current: Chain) -> None:
    """Run the entries of *current*, if it is FIRED and not paused, and then of all that waited for it."""
    if current._state != FIRED:  # as `claim`, which costs a call
        return
    current._state = RUNNING

    # The most frequent case by far, on its own (−30 %): one plain callback, and plain results.
    entry = current._first
    result = current._result
    if (
        entry is not None
        and current._more is None
        and entry.__class__ is not tuple
        and not isinstance(entry, _Special)
        and not isinstance(result, _Special)
    ):
        current._first = None
        try:
            current._result = result = entry(result)
        except BaseException as error:  # whatever a callback raises is its result, SystemExit included
            current._result = result = Failure(
                error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
            )
        if not isinstance(result, _Special) and not current._paused:
            current._state = FIRED
            if (current._first is None and current._more is None) or not claim(current):
                return

    held: list[Chain] | None = None  # RUNNING, with entries left, when those that wait for them have run
    while True:
        report = current._report
        if report is not None:
            report.failure = None
            current._report = None
        result = current._result
        following: Chain | None = None
        while True:
            failed = isinstance(result, _Special)
            if failed and isinstance(result, Chain):
                inner = result
                if inner is current:
                    result = Failure(TypeError("a callback returned the Deferred it was attached to"))
                elif inner._state == FIRED and not inner._paused:
                    result = take(inner)
                    failed = isinstance(result, Failure)
                else:
                    current._result = inner
                    current._state = CHAINED
                    inner._add(current)
                    break
            if current._paused:
                break
            entry = current._first
            if entry is not None:
                current._first = None
            else:
                cell = current._more
                if cell is None:
                    break
                entry = cell[0]
                current._more = cell[1]
                cell[0] = None  # ``_tail`` may keep the cell
            try:
                if entry.__class__ is tuple:
                    if failed:
                        _, _, _, function, args, keywords = entry
                    else:
                        function, args, keywords, _, _, _ = entry
                    if function is not None:
                        result = function(result, *args, **keywords)
                elif isinstance(entry, _Special):
                    if isinstance(entry, Chain):
                        following = entry
                        following._result = result
                        following._state = FIRED
                    else:
                        following = entry.resume(result)  # type: ignore[attr-defined]  # a Waiter
                    result = None
                    if following is not None:
                        if (following._first is not None or following._more is not None) and claim(following):
                            break
                        rest(following)
                        following = None
                elif not failed:
                    result = entry(result)
            except BaseException as error:
                result = Failure(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        if current._state == RUNNING:
            current._result = result
            current._state = FIRED
            if (current._first is not None or current._more is not None) and claim(current):
                # They are left because something that waited comes first, or were added by another thread just now.
                held = held or []
                held.append(current)
            else:
                rest(current)
        result = None  # see "no cycles"
        if following is not None:
            current = following
        elif held:
            current = held.pop()
        else:
            return


def rest(deferred: Chain) -> None:
    """*deferred* is FIRED, and nothing of it can run now: a failure in it is nobody's yet."""
    result = deferred._result
    if isinstance(result, Failure):
        report = deferred._report = Unhandled(result)
        if deferred._state != FIRED:  # another thread runs it meanwhile, and may not have seen the report
            report.failure = None


def fire(deferred: Chain) -> None:
    """Go on with *deferred*, which a `Waiter.resume` returned."""
    if deferred._paused or (deferred._first is None and deferred._more is None):
        rest(deferred)
    else:
        run(deferred)
